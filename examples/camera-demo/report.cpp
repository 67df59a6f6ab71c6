// SPDX-License-Identifier: LGPL-2.1-or-later
#include "report.h"

#include <nlohmann/json.hpp>

#include <array>
#include <format>
#include <vector>

namespace {

constexpr std::array<const char *, 5> counters{"cpu-copies", "uploads", "downloads", "p2p", "read-backs"};

std::string text_field(const GstStructure *structure, const char *name)
{
    const gchar *const value = gst_structure_get_string(structure, name);
    return value ? value : "unknown";
}

guint64 number_field(const GstStructure *structure, const char *name)
{
    guint64 value = 0;
    (void)gst_structure_get_uint64(structure, name, &value);
    return value;
}

double milliseconds(const GstStructure *stats, const char *name)
{
    return static_cast<double>(number_field(stats, name)) / 1e6;
}

double fps(const GstStructure *stats)
{
    gdouble value = 0;
    (void)gst_structure_get_double(stats, "fps", &value);
    return value;
}

std::vector<const GstStructure *> hops(const GstStructure *copies)
{
    std::vector<const GstStructure *> out;
    const GValue *const list = copies ? gst_structure_get_value(copies, "hops") : nullptr;
    for (guint i = 0; list && i < gst_value_array_get_size(list); ++i)
        out.push_back(gst_value_get_structure(gst_value_array_get_value(list, i)));
    return out;
}

} // namespace

std::string Report::text() const
{
    std::string out = std::format("\nCamera: {}\nHow:    {}\nWhere:  {} ({}), {}\n", camera, how,
                                  text_field(stats, "backend"), text_field(stats, "stand-in"),
                                  text_field(stats, "headline"));
    out += std::format("{} frames, {:.1f} fps; hlinfer, sink to src: p50 {:.2f} ms, p95 {:.2f} ms, p99 {:.2f} ms\n\n",
                       number_field(stats, "frames"), fps(stats), milliseconds(stats, "total-p50"),
                       milliseconds(stats, "total-p95"), milliseconds(stats, "total-p99"));
    if (!copies)
        return out + "No report of copies: the tracer hlcopies is not there.\n";
    out += std::format("{:24} {:>7} {:>8}", "hop", "frames", "memory");
    for (const char *name : counters)
        out += std::format(" {:>10}", name);
    for (const GstStructure *hop : hops(copies)) {
        out += std::format("\n{:24} {:>7} {:>8}", text_field(hop, "element"), number_field(hop, "frames"),
                           text_field(hop, "memory"));
        for (const char *name : counters)
            out += std::format(" {:>10}", number_field(hop, name));
        out += "  " + text_field(hop, "says");
    }
    return out + "\n" + text_field(copies, "note") + "\n";
}

std::string Report::json() const
{
    nlohmann::ordered_json out{{"camera", camera},
                               {"how", how},
                               {"frames", number_field(stats, "frames")},
                               {"fps", fps(stats)},
                               {"latency",
                                {{"p50_ms", milliseconds(stats, "total-p50")},
                                 {"p95_ms", milliseconds(stats, "total-p95")},
                                 {"p99_ms", milliseconds(stats, "total-p99")}}},
                               {"backend", text_field(stats, "backend")},
                               {"stand_in", text_field(stats, "stand-in")},
                               {"placement", text_field(stats, "placement")}};
    auto list = nlohmann::ordered_json::array();
    for (const GstStructure *hop : hops(copies)) {
        nlohmann::ordered_json entry{{"element", text_field(hop, "element")},
                                     {"frames", number_field(hop, "frames")},
                                     {"memory", text_field(hop, "memory")},
                                     {"says", text_field(hop, "says")}};
        for (const char *name : counters)
            entry[name] = number_field(hop, name);
        list.push_back(std::move(entry));
    }
    out["hops"] = std::move(list);
    // A driver's name may hold any bytes.
    return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}
