// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "device/device.h"
#include "gsthlbufferpool.h"
#include "gsthlptr.h"

#include <gst/gst.h>

#include <memory>
#include <mutex>

// The pool that an element offers upstream in its answer to the ALLOCATION query. Answers for the same caps share one
// allocator, so that a producer that asks again and again (libav does at odd sizes, once a frame) gets the same
// memories back. propose() and forget() on the streaming thread; the rest on any.
class GstHlOffer {
public:
    struct Terms {
        std::shared_ptr<hl::Device> device;
        hl::Placement placement = hl::Placement::Host;
        guint min = 0;       // buffers
        bool strict = false; // CPU maps of device frames are refused
    };

    // `handler` is told, with `owner` alive, of frames that the pool could not give.
    GstHlOffer(GstElement *owner, GstHlPoolErrorHandler handler) : owner_(owner), handler_(handler) {}

    // Adds pool and allocator to the query, not the metas. FALSE where its caps are not ours. Who asks without wanting
    // a pool (tee does) has not been offered one.
    [[nodiscard]] bool propose(GstQuery *query, const Terms &terms);
    // New caps: upstream asks anew, or it has no pool.
    void forget();
    // Lets go of everything.
    void reset();

    [[nodiscard]] bool asked() const;
    // Whether the last answer had a pool.
    [[nodiscard]] bool wanted() const;
    // Whether a frame's memory comes from the pool of the last answer, or of an earlier one for the same caps.
    [[nodiscard]] bool made(GstBuffer *buffer) const;
    // CPU maps of the frames offered.
    [[nodiscard]] hl::CopyTotals totals() const;

private:
    [[nodiscard]] bool fits(const GstCaps *caps, const Terms &terms) const;
    void renew(GstCaps *caps, const Terms &terms);

    GstElement *const owner_;
    const GstHlPoolErrorHandler handler_;

    mutable std::mutex mutex_; // guards what follows
    GstPtr<GstHlAllocator> allocator_;
    GstPtr<GstCaps> caps_; // what the allocator's memories are for
    bool asked_ = false;
    bool pool_wanted_ = false;
};
