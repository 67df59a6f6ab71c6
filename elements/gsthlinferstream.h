// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "gsthlbufferpool.h"
#include "gsthldevice.h"
#include "gsthlinferoutput.h"
#include "gsthlinferproperties.h"
#include "gsthlinferqueue.h"
#include "gsthlinferstats.h"
#include "gsthloffer.h"
#include "gsthlplacement.h"
#include "gsthlptr.h"
#include "gsthltensorcaps.h"
#include "inference/scheduler.h"

#include <gst/gst.h>
#include <gst/video/video.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

// One run of hlinfer, from READY to READY: the loaded model, and everything a frame meets on its way. Owned by the
// element; its parts that the hardware still uses live on behind it.
class GstHlInferStream {
public:
    // Loads the model and makes its engine. `pool_failed` is told, on upstream's thread, where the offered pool could
    // not give a frame. Errors: the Model* codes, DeviceLost, memory codes.
    [[nodiscard]] static hl::Result<std::unique_ptr<GstHlInferStream>> create(GstElement *element,
                                                                              const GstHlInferSettings &settings,
                                                                              std::shared_ptr<hl::Device> device,
                                                                              GstHlPoolErrorHandler pool_failed);
    GstHlInferStream(const GstHlInferStream &) = delete;
    GstHlInferStream &operator=(const GstHlInferStream &) = delete;
    ~GstHlInferStream();

    [[nodiscard]] GstHlInferQueue &queue() { return *queue_; }
    [[nodiscard]] const hl::EngineInfo &engine_info() const { return scheduler_->engine_info(); }
    [[nodiscard]] const GstHlTensorCaps &tensor_caps() const { return tensor_caps_; }
    [[nodiscard]] const hl::Device &device() const { return *device_; }
    [[nodiscard]] unsigned in_flight() const { return scheduler_->in_flight_limit(); }
    [[nodiscard]] GstHlInferStats &stats() { return stats_; }
    [[nodiscard]] const GstHlInferStats &stats() const { return stats_; }
    [[nodiscard]] hl::CopyTotals totals() const { return counters_->totals(); }
    // Adds what this run has to say to `stats`. Any thread.
    void fill(GstStructure *stats) const;
    [[nodiscard]] GstClockTime frame_duration() const { return frame_duration_.load(std::memory_order_relaxed); }

    // ---- sink pad's streaming thread ----

    // A new format; requests of the old one are waited for. FALSE where the stream ended meanwhile. Errors:
    // FormatUnsupported.
    [[nodiscard]] hl::Result<bool> set_caps(GstCaps *caps);
    [[nodiscard]] bool has_format() const { return has_format_; }
    // Takes one frame, on which to infer or not.
    [[nodiscard]] GstFlowReturn take(GstPtr<GstBuffer> frame, bool infer);
    // Answers an ALLOCATION query with our pool, and with the metas that those behind `src` understand: they get the
    // frames as they come in. Everything queued goes first.
    [[nodiscard]] bool propose_allocation(GstQuery *query, GstPad *src);

    // ---- source pad's task ----

    // Attaches an inferred frame's results.
    void finish(GstHlInferQueue::Item &item);

    // ---- any thread ----

    // Gives up all requests that are out, without waiting for the hardware.
    void detach() { scheduler_->detach_all(); }
    // As detach(), and drops what is queued. Returns the sticky events that a flush must not lose.
    std::vector<GstPtr<GstEvent>> abandon();

private:
    // Where a frame was found; what the placement report is about.
    struct Found {
        bool ours = false; // a device knows its memory
        bool own_pool = false;
        hl::Placement placement = hl::Placement::Host;
        friend bool operator==(const Found &, const Found &) = default;
    };

    GstHlInferStream() = default;
    [[nodiscard]] hl::Status submit(GstHlInferQueue::Request &request);
    [[nodiscard]] hl::Status look(const Found &found);
    [[nodiscard]] GstHlPlacementReport report(const Found &found) const;
    [[nodiscard]] hl::Error copy_refused() const;
    [[nodiscard]] std::string headline(const Found &found) const;

    GstElement *element_ = nullptr; // owns this
    GstHlInferSettings settings_;
    std::shared_ptr<hl::Device> device_;
    std::shared_ptr<hl::CopyCounters> counters_;
    std::shared_ptr<hl::Scheduler> scheduler_;
    std::unique_ptr<GstHlInferOutput> output_;
    GstHlTensorCaps tensor_caps_;
    std::shared_ptr<GstHlInferQueue> queue_;
    GstHlInferStats stats_;
    std::atomic<GstClockTime> frame_duration_{GST_CLOCK_TIME_NONE};

    // Of the sink pad's streaming thread alone.
    GstVideoInfo info_{};
    bool has_format_ = false;
    uint64_t frame_bytes_ = 0;
    std::optional<GstHlOffer> offer_; // always there
    unsigned reports_ = 0;
    Found found_;

    mutable std::mutex mutex_; // guards what stats reads of the above
    std::string placement_;
    std::string headline_;
};
