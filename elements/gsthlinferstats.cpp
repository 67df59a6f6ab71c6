// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferstats.h"

#include <chrono>

namespace {

constexpr uint64_t enough_frames = 32;

int64_t ns(hl::Clock::duration duration) noexcept
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

} // namespace

void GstHlInferStats::add(const GstHlInferQueue::Item &item) noexcept
{
    rate_.add();
    total_.add(ns(hl::Clock::now() - item.entered));
    if (!item.inferred)
        return;
    inferred_.fetch_add(1, std::memory_order_relaxed);
    const hl::JobTimes &t = item.times;
    copy_.add(ns(t.copied - t.submitted));
    transfer_.add(ns(t.transferred - t.copied));
    queue_.add(ns(t.started - t.transferred));
    infer_.add(ns(t.finished - t.started));
    own_.add(ns(t.finished - t.submitted));
}

uint64_t GstHlInferStats::latency() const noexcept
{
    return own_.count() < enough_frames ? 0 : static_cast<uint64_t>(own_.percentile(0.99));
}

void GstHlInferStats::fill(GstStructure *structure) const
{
    rate_.fill(structure);
    gst_structure_set(structure, "inferred", G_TYPE_UINT64, guint64{inferred_.load(std::memory_order_relaxed)},
                      nullptr);
    gst_hl_stage_to_structure("copy", copy_, structure);
    gst_hl_stage_to_structure("transfer", transfer_, structure);
    gst_hl_stage_to_structure("queue", queue_, structure);
    gst_hl_stage_to_structure("infer", infer_, structure);
    gst_hl_stage_to_structure("total", total_, structure);
}
