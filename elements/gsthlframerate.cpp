// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlframerate.h"

#include "device/completion.h"

#include <array>
#include <chrono>
#include <string>
#include <utility>

void GstHlFrameRate::add() noexcept
{
    const auto since = hl::Clock::now().time_since_epoch();
    const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
    if (frames_.fetch_add(1, std::memory_order_relaxed) == 0)
        first_ns_.store(now, std::memory_order_relaxed);
    last_ns_.store(now, std::memory_order_relaxed);
}

void GstHlFrameRate::reset() noexcept
{
    frames_ = 0;
    first_ns_ = 0;
    last_ns_ = 0;
}

void GstHlFrameRate::fill(GstStructure *structure) const
{
    const uint64_t frames = frames_.load(std::memory_order_relaxed);
    const int64_t span = last_ns_.load(std::memory_order_relaxed) - first_ns_.load(std::memory_order_relaxed);
    const double fps = frames > 1 && span > 0 ? static_cast<double>(frames - 1) * 1e9 / static_cast<double>(span) : 0.0;
    gst_structure_set(structure, "frames", G_TYPE_UINT64, guint64{frames}, "fps", G_TYPE_DOUBLE, fps, nullptr);
}

void gst_hl_stage_to_structure(const gchar *stage, const hl::LatencyHistogram &times, GstStructure *structure)
{
    constexpr std::array<std::pair<const char *, double>, 3> quantiles{{{"-p50", 0.5}, {"-p95", 0.95}, {"-p99", 0.99}}};
    for (const auto &[suffix, q] : quantiles)
        gst_structure_set(structure, (std::string(stage) + suffix).c_str(), G_TYPE_UINT64,
                          static_cast<guint64>(times.percentile(q)), nullptr);
}
