// SPDX-License-Identifier: LGPL-2.1-or-later
#include "terminal.h"

#include <gst/analytics/analytics.h>

#include <unistd.h>

#include <cstdio>
#include <format>
#include <string>

namespace {

constexpr int most_listed = 6;

// "circle 0.93 at 12,40 60x60, ..."
std::string objects(GstBuffer *frame)
{
    std::string out;
    GstAnalyticsRelationMeta *const meta = gst_buffer_get_analytics_relation_meta(frame);
    gpointer state = nullptr;
    GstAnalyticsODMtd box;
    int count = 0;
    while (meta && gst_analytics_relation_meta_iterate(meta, &state, gst_analytics_od_mtd_get_mtd_type(), &box)) {
        if (++count > most_listed)
            continue;
        gint x = 0, y = 0, w = 0, h = 0;
        gfloat score = 0;
        (void)gst_analytics_od_mtd_get_location(&box, &x, &y, &w, &h, &score);
        const GQuark type = gst_analytics_od_mtd_get_obj_type(&box);
        out += std::format("{}{} {:.2f} at {},{} {}x{}", out.empty() ? "" : ", ",
                           type ? g_quark_to_string(type) : "object", score, x, y, w, h);
    }
    if (count > most_listed)
        out += std::format(", and {} more", count - most_listed);
    return out.empty() ? "nothing" : out;
}

} // namespace

Terminal::Terminal() : in_place_(isatty(STDERR_FILENO) != 0) {}

void Terminal::show(GstBuffer *frame)
{
    ++frames_;
    const auto now = Clock::now();
    const std::chrono::duration<double> since = now - last_;
    if (frames_ > 1 && since.count() < 1.0)
        return;
    std::string line = std::format("frame {}", frames_);
    if (frames_ > 1)
        line += std::format(", {:.1f} fps", static_cast<double>(frames_ - shown_) / since.count());
    line += ": " + objects(frame);
    std::fputs((in_place_ ? "\r\033[K" + line : line + "\n").c_str(), stderr);
    shown_ = frames_;
    last_ = now;
}

void Terminal::finish()
{
    if (in_place_ && frames_ > 0)
        std::fputc('\n', stderr);
}
