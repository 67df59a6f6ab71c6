// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "attempts.h"
#include "terminal.h"

#include <gst/gst.h>

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

struct StructureDeleter {
    void operator()(GstStructure *structure) const noexcept { gst_structure_free(structure); }
};
using StructurePtr = std::unique_ptr<GstStructure, StructureDeleter>;

// What is left of a session that ran to its end.
struct Outcome {
    StructurePtr stats;  // hlinfer's
    StructurePtr copies; // the tracer's; none without it
};

// One attempt, from its start to its end. Used from one thread; ends its pipeline when it goes.
class Session {
public:
    // Errors: the line cannot be built.
    [[nodiscard]] static std::expected<std::unique_ptr<Session>, std::string> create(const Attempt &attempt,
                                                                                     uint64_t frames);
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    ~Session();

    // Plays until as many frames as asked came through, the source ended, or Ctrl-C. Errors: what the pipeline said.
    [[nodiscard]] std::expected<Outcome, std::string> run();
    // Frames came through: a failure is not one of this way of moving them.
    [[nodiscard]] bool streamed() const { return arrived_.load() > 0; }

private:
    explicit Session(uint64_t frames) : wanted_(frames) {}
    static GstPadProbeReturn on_frame(GstPad *pad, GstPadProbeInfo *info, gpointer self);
    static gboolean on_message(GstBus *bus, GstMessage *message, gpointer self);
    static gboolean on_interrupt(gpointer self);
    static gboolean on_silence(gpointer self);
    void handle(GstMessage *message);
    void end();
    void take_copies();
    [[nodiscard]] StructurePtr stats() const;

    const uint64_t wanted_;
    std::atomic<uint64_t> arrived_{0};
    GstElement *pipeline_ = nullptr; // owned
    GMainLoop *loop_ = nullptr;      // owned
    Terminal terminal_;              // of the thread that brings the frames

    // Of the main loop.
    uint64_t seen_ = 0; // frames, when on_silence() looked last
    bool ending_ = false;
    std::string error_;
    StructurePtr copies_;
};
