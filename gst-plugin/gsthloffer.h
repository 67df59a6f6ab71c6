// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "device/device.h"
#include "gsthlbufferpool.h"
#include "gsthlptr.h"
#include "gsthlupstream.h"

#include <gst/gst.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

// The pool that an element offers upstream in its answer to the ALLOCATION query. Answers for the same caps share one
// allocator, so that a producer that asks again and again (libav does at odd sizes, once a frame) gets the same
// memories back. propose() and forget() on the streaming thread; the rest on any.
class GstHlOffer {
public:
    struct Terms {
        std::shared_ptr<hl::Device> device;
        hl::Placement placement = hl::Placement::Host;
        GstHlPlanes planes = GST_HL_PLANES_SINGLE;
        guint min = 0;       // buffers
        bool strict = false; // CPU maps of device frames are refused
    };

    // Why a frame came in other memory than the pool's, and what to do about it, in words.
    struct Refusal {
        const char *reason = nullptr; // of the placement report: "no-pool", "pool-swallowed" or "pool-replaced"
        std::string why;
        std::string remedy;
    };

    // `handler` is told, with `owner` alive, of frames that the pool could not give.
    GstHlOffer(GstElement *owner, GstHlPoolErrorHandler handler) : owner_(owner), handler_(handler) {}

    GstHlOffer(const GstHlOffer &) = delete;
    GstHlOffer &operator=(const GstHlOffer &) = delete;
    ~GstHlOffer() { reset(); }

    // Adds pool and allocator to the query, not the metas. FALSE where its caps are not ours. Who asks without wanting
    // a pool (tee does) has not been offered one.
    [[nodiscard]] bool propose(GstQuery *query, const Terms &terms);
    // New caps: upstream asks anew, or it has no pool.
    void forget();
    // Lets go of everything, and stops the pool that upstream got.
    void reset();

    [[nodiscard]] bool asked() const;
    // Whether the last answer had a pool.
    [[nodiscard]] bool wanted() const;
    [[nodiscard]] Refusal explain() const;
    // Whether a frame's memory comes from the pool of the last answer, or of an earlier one for the same caps.
    [[nodiscard]] bool made(GstBuffer *buffer) const;
    // CPU maps of the frames offered.
    [[nodiscard]] hl::CopyTotals totals() const;

private:
    [[nodiscard]] bool fits(const GstCaps *caps, const Terms &terms, hl::HostPages pages) const;
    void renew(GstCaps *caps, const Terms &terms, hl::HostPages pages);
    // Finds the pages that upstream imports, if it does; nullopt where nothing suits it. It would stop without saying
    // why: we say it, before it.
    [[nodiscard]] std::optional<hl::HostPages> meet_importer(const Terms &terms, gsize memory_bytes, bool pool_wanted);
    void warn_swallowed(const GstHlUpstream &importer);
    [[nodiscard]] GstHlUpstream upstream() const;
    [[nodiscard]] std::string name() const; // what a launch line calls the owner
    // Words for a pool that was lost on the way.
    [[nodiscard]] std::string swallowed(const GstHlUpstream &upstream) const;
    [[nodiscard]] std::string better_line(const GstHlUpstream &upstream) const;

    GstElement *const owner_;
    const GstHlPoolErrorHandler handler_;

    // The streaming thread's: upstream was met with these caps, and what came of it.
    bool met_ = false;
    std::optional<hl::HostPages> suits_;
    std::string camera_; // the node of an upstream that imports

    mutable std::mutex mutex_; // guards what follows
    GstPtr<GstHlAllocator> allocator_;
    GstPtr<GstBufferPool> pool_; // the last that was given away
    GstPtr<GstCaps> caps_; // what the allocator's memories are for
    bool asked_ = false;
    bool pool_wanted_ = false;
};
