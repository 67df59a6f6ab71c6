// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferstats.h"

#include <array>
#include <chrono>
#include <string>
#include <utility>

namespace {

constexpr uint64_t enough_frames = 32;

int64_t ns(hl::Clock::duration duration) noexcept
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

} // namespace

void GstHlInferStats::add(const GstHlInferQueue::Item &item) noexcept
{
    const auto now = hl::Clock::now();
    const int64_t stamp = ns(now.time_since_epoch());
    if (frames_.fetch_add(1, std::memory_order_relaxed) == 0)
        first_ns_.store(stamp, std::memory_order_relaxed);
    last_ns_.store(stamp, std::memory_order_relaxed);
    total_.add(ns(now - item.entered));
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

void GstHlInferStats::reset() noexcept
{
    for (auto *histogram : {&copy_, &transfer_, &queue_, &infer_, &total_, &own_})
        histogram->reset();
    frames_ = 0;
    inferred_ = 0;
    first_ns_ = 0;
    last_ns_ = 0;
}

uint64_t GstHlInferStats::latency() const noexcept
{
    return own_.count() < enough_frames ? 0 : static_cast<uint64_t>(own_.percentile(0.99));
}

void GstHlInferStats::fill(GstStructure *structure) const
{
    const uint64_t frames = frames_.load(std::memory_order_relaxed);
    const int64_t span = last_ns_.load(std::memory_order_relaxed) - first_ns_.load(std::memory_order_relaxed);
    const double fps = frames > 1 && span > 0 ? static_cast<double>(frames - 1) * 1e9 / static_cast<double>(span) : 0.0;
    gst_structure_set(structure, "frames", G_TYPE_UINT64, guint64{frames}, "inferred", G_TYPE_UINT64,
                      guint64{inferred_.load(std::memory_order_relaxed)}, "fps", G_TYPE_DOUBLE, fps, nullptr);

    const std::array<std::pair<const char *, const hl::LatencyHistogram *>, 5> stages{
        {{"copy", &copy_}, {"transfer", &transfer_}, {"queue", &queue_}, {"infer", &infer_}, {"total", &total_}}};
    const std::array<std::pair<const char *, double>, 3> quantiles{{{"-p50", 0.5}, {"-p95", 0.95}, {"-p99", 0.99}}};
    for (const auto &[stage, histogram] : stages)
        for (const auto &[suffix, q] : quantiles)
            gst_structure_set(structure, (std::string(stage) + suffix).c_str(), G_TYPE_UINT64,
                              static_cast<guint64>(histogram->percentile(q)), nullptr);
}
