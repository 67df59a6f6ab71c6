// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "gsthlcopiesreport.h"

#include <gst/gst.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// What the hlcopies tracer writes down while frames flow. Every function may be called from any thread, from within
// GStreamer's hooks. Elements and pads are remembered through qdata on them, and outlive them here until reported.

// Where a frame's memory lies.
enum class HlFrameMemory : uint8_t { None, System, Host, Device, Mixed };

// Tells memories apart: the inode behind a descriptor, else a number given at first sight. Never 0.
using HlFrameIdentity = uint64_t;

struct HlFrameSight {
    HlFrameIdentity identity = 0;
    HlFrameMemory memory = HlFrameMemory::None;
    uint64_t bytes = 0;
    bool repeat = false; // of an earlier one, not its memory filled anew
};

// Looks at the first memory of `buffer`; maps nothing.
[[nodiscard]] HlFrameSight hl_look_at_frame(GstBuffer *buffer);

// The kinds of log line by which a foreign element shows that it copies. Several lines may tell of one copy, so each
// kind is counted for itself and the largest count stands.
inline constexpr size_t hl_copy_clues = 7;

class HlElementRecord;

// One pad that carries raw video (or any other pad, then not `video`). Lives in its element's record.
struct HlPadRecord {
    HlElementRecord *element = nullptr;
    std::string name;
    bool source = false; // direction
    unsigned index = 0;  // among the element's source pads
    bool video = false;  // carries raw video
    std::string format;
    int width = 0, height = 0;

    // Guarded by the element record's mutex.
    uint64_t frames = 0, bytes = 0, passed = 0, made = 0, made_alike = 0, repeated = 0;
    HlFrameMemory memory = HlFrameMemory::None;
};

// One element. Guarded by its own mutex.
class HlElementRecord : public std::enable_shared_from_this<HlElementRecord> {
public:
    explicit HlElementRecord(GstElement *element);
    ~HlElementRecord();
    HlElementRecord(const HlElementRecord &) = delete;
    HlElementRecord &operator=(const HlElementRecord &) = delete;

    void arrive(HlPadRecord &pad, const HlFrameSight &frame);
    void depart(HlPadRecord &pad, const HlFrameSight &frame);
    void staged_map(hl::CopyKind kind, uint64_t bytes);
    void copy_clue(size_t clue);

    // The outermost bin around the element (compared, never followed) and its name, as of the last find_root().
    [[nodiscard]] std::pair<gpointer, std::string> root();
    void find_root(GstElement *element);
    // Grows in the order in which elements met their first frame; 0 before.
    [[nodiscard]] uint64_t order();
    [[nodiscard]] bool gone(); // the element is no more
    [[nodiscard]] HlPadRecord *add_pad(const GstPad *pad);
    void set_video(HlPadRecord &pad, const GstCaps *caps);
    // Bytes of the last frame on any of its pads, 0 before the first.
    [[nodiscard]] uint64_t frame_bytes();
    // Appends the hops, and starts anew if `reset`.
    void report(std::vector<HlCopiesHop> &hops, bool reset);

private:
    struct Arrival {
        HlFrameIdentity identity = 0;
        uint32_t departed = 0; // a bit per source pad
    };
    // More than a queue holds by default (200); a frame that waits longer counts as new.
    static constexpr size_t kept_arrivals = 512;

    void take(HlPadRecord &pad, const HlFrameSight &frame);
    [[nodiscard]] bool made_alike(const HlPadRecord &pad) const;
    [[nodiscard]] hl::CopyTotals counted();
    [[nodiscard]] uint64_t seen_copies() const;
    void clear();

    std::mutex mutex_;
    GWeakRef element_;
    std::string name_, factory_;
    bool ours_ = false;   // counts its own copies
    bool source_ = false; // has no input
    gpointer root_ = nullptr;
    std::string root_name_;
    std::vector<std::unique_ptr<HlPadRecord>> pads_;
    std::vector<Arrival> arrivals_; // a ring, once full
    size_t next_arrival_ = 0;
    uint64_t frame_bytes_ = 0;
    uint64_t order_ = 0;
    hl::CopyTotals mapped_;
    std::array<uint64_t, hl_copy_clues> clues_{};
};

class HlCopiesLedger {
public:
    // The hooks' entrances.
    void caps(GstPad *pad, const GstCaps *caps);
    void pushed(GstPad *pad, GstBuffer *buffer);
    void entered(GstPad *pad, GstBuffer *buffer); // `buffer` is nullptr where it was told of before
    void left(GstPad *pad);
    void pulled(GstPad *sink_pad, GstBuffer *buffer);
    void staged_map(hl::CopyKind kind, uint64_t bytes);
    void copy_logged(GObject *object, const char *text);
    // This thread pushes a frame from `pad` with no element's chain function below: it is that element's own thread.
    void thread_of(GstPad *pad);
    // The same for a stream-start: whoever sends it first on this thread, and not those who hand it on.
    void stream_started(GstPad *pad, GstEvent *event);

    // What was seen of the elements under `root`; `reset` starts anew and forgets elements that are gone.
    [[nodiscard]] HlCopiesReport report(GstObject *root, bool reset);
    // Reports of all pipelines with frames not yet reported.
    [[nodiscard]] std::vector<HlCopiesReport> remaining();

private:
    // Keeps the element's record alive.
    [[nodiscard]] std::shared_ptr<HlPadRecord> pad_record(GstPad *pad);
    [[nodiscard]] std::shared_ptr<HlElementRecord> element_record(GstElement *element);
    [[nodiscard]] HlCopiesReport report_locked(const std::pair<gpointer, std::string> &root, bool reset);

    std::mutex mutex_; // taken before an element record's
    std::vector<std::shared_ptr<HlElementRecord>> elements_;
    hl::CopyTotals elsewhere_; // staged maps on threads of no element, since the last report
};
