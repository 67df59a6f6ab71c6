// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcopiesreport.h"

#include "gsthlcounted.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <format>

namespace {

constexpr const char *note = "What happens inside a decoder, an encoder or a kernel driver is not seen.";

// The names gst_hl_counters_to_structure() gives the counters.
struct CounterNames {
    const char *count;
    const char *bytes;
    const char *column;
};
constexpr std::array<CounterNames, hl::copy_kinds> counter_names{{
    {"cpu-copies", "cpu-copy-bytes", "CPU copies"},
    {"uploads", "upload-bytes", "uploads"},
    {"downloads", "download-bytes", "downloads"},
    {"p2p", "p2p-bytes", "P2P"},
    {"read-backs", "read-back-bytes", "read-backs"},
}};

std::string amount(uint64_t bytes)
{
    constexpr std::array<const char *, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < units.size()) {
        value /= 1024.0;
        ++unit;
    }
    return unit == 0 ? std::format("{} B", bytes) : std::format("{:.1f} {}", value, units[unit]);
}

std::string cell(const hl::CopyTotals::Total &total)
{
    return total.count == 0 ? "0" : std::format("{} ({})", total.count, amount(total.bytes));
}

std::string counters_text(const hl::CopyTotals &totals)
{
    std::string out;
    for (size_t i = 0; i < hl::copy_kinds; ++i)
        out += std::format(" {:>18}", cell(totals.kind[i]));
    return out;
}

void add_counters(nlohmann::ordered_json &object, const hl::CopyTotals &totals)
{
    for (size_t i = 0; i < hl::copy_kinds; ++i) {
        object[counter_names[i].count] = totals.kind[i].count;
        object[counter_names[i].bytes] = totals.kind[i].bytes;
    }
}

nlohmann::ordered_json hop_json(const HlCopiesHop &hop)
{
    nlohmann::ordered_json out{{"element", hop.element},
                               {"factory", hop.factory},
                               {"pad", hop.pad},
                               {"video", hop.video},
                               {"memory", hop.memory},
                               {"frames", hop.frames},
                               {"bytes-per-frame", hop.bytes_per_frame()},
                               {"identity", hop.identity()},
                               {"passed", hop.passed},
                               {"new", hop.made},
                               {"repeated", hop.repeated},
                               {"says", hop.says()}};
    add_counters(out, hop.totals);
    return out;
}

GstStructure *hop_structure(const HlCopiesHop &hop)
{
    GstStructure *out = gst_structure_new(
        "hl-copies-hop", "element", G_TYPE_STRING, hop.element.c_str(), "factory", G_TYPE_STRING, hop.factory.c_str(),
        "pad", G_TYPE_STRING, hop.pad.c_str(), "video", G_TYPE_STRING, hop.video.c_str(), "memory", G_TYPE_STRING,
        hop.memory.c_str(), "frames", G_TYPE_UINT64, guint64{hop.frames}, "bytes-per-frame", G_TYPE_UINT64,
        guint64{hop.bytes_per_frame()}, "identity", G_TYPE_STRING, hop.identity().c_str(), "passed", G_TYPE_UINT64,
        guint64{hop.passed}, "new", G_TYPE_UINT64, guint64{hop.made}, "repeated", G_TYPE_UINT64, guint64{hop.repeated},
        "says", G_TYPE_STRING, hop.says().c_str(), nullptr);
    gst_hl_counters_to_structure(hop.totals, out);
    return out;
}

// Moves `structure` into a value that `take` gets.
template <class Take>
void with_structure_value(GstStructure *structure, Take take)
{
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GST_TYPE_STRUCTURE);
    g_value_take_boxed(&value, structure);
    take(&value);
}

} // namespace

std::string HlCopiesHop::identity() const
{
    if (sink)
        return "taken";
    if (made == 0)
        return "passed";
    return passed == 0 && repeated == 0 ? "new" : "mixed";
}

std::string HlCopiesHop::says() const
{
    if (seen_copies > 0)
        return std::format("copied {} frames by CPU (seen from outside)", seen_copies);
    if (sink)
        return "takes frames";
    if (made == 0)
        return "passes frames on";
    if (std::ranges::any_of(totals.kind, [](const auto &t) { return t.count != 0; }))
        return "moves frames, as counted";
    return source ? "fills new frames (producer)" : "produces new frames (producer)";
}

hl::CopyTotals HlCopiesReport::totals() const noexcept
{
    hl::CopyTotals out;
    for (const auto &hop : hops)
        for (size_t i = 0; i < hl::copy_kinds; ++i) {
            out.kind[i].count += hop.totals.kind[i].count;
            out.kind[i].bytes += hop.totals.kind[i].bytes;
        }
    return out;
}

std::string HlCopiesReport::text() const
{
    size_t name_width = 7;
    for (const auto &hop : hops)
        name_width = std::max(name_width, hop.element.size() + 1 + hop.pad.size());

    std::string out = std::format("hlcopies: how the frames of {} moved\n", pipeline);
    const hl::CopyTotals sum = totals();
    if (const auto &back = sum[hl::CopyKind::ReadBack]; back.count > 0)
        out += std::format("frames in HBM, compute on HOST, {} bytes read back per frame\n", back.bytes / back.count);
    out +=
        std::format("{:{}} {:>7} {:>11} {:>7} {:>8}", "hop", name_width, "frames", "bytes each", "memory", "identity");
    for (const auto &names : counter_names)
        out += std::format(" {:>18}", names.column);
    out += '\n';
    for (const auto &hop : hops)
        out +=
            std::format("{:{}} {:>7} {:>11} {:>7} {:>8}{}  {}\n", hop.element + ":" + hop.pad, name_width, hop.frames,
                        hop.bytes_per_frame(), hop.memory, hop.identity(), counters_text(hop.totals), hop.says());
    out += std::format("{:{}} {:>7} {:>11} {:>7} {:>8}{}\n{}\n", "total", name_width, "", "", "", "",
                       counters_text(sum), note);
    return out;
}

std::string HlCopiesReport::json() const
{
    nlohmann::ordered_json out{{"pipeline", pipeline}};
    auto list = nlohmann::ordered_json::array();
    for (const auto &hop : hops)
        list.push_back(hop_json(hop));
    out["hops"] = std::move(list);
    nlohmann::ordered_json sum;
    add_counters(sum, totals());
    out["totals"] = std::move(sum);
    out["note"] = note;
    // Names may be any bytes; what is not UTF-8 is replaced rather than thrown about.
    return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

GstStructurePtr HlCopiesReport::structure() const
{
    GstStructurePtr out(gst_structure_new("hl-copies", "pipeline", G_TYPE_STRING, pipeline.c_str(), "note",
                                          G_TYPE_STRING, note, nullptr));
    GValue list = G_VALUE_INIT;
    g_value_init(&list, GST_TYPE_ARRAY);
    for (const auto &hop : hops)
        with_structure_value(hop_structure(hop), [&](GValue *v) { gst_value_array_append_and_take_value(&list, v); });
    gst_structure_take_value(out.get(), "hops", &list);

    GstStructure *sum = gst_structure_new_empty("hl-copies-totals");
    gst_hl_counters_to_structure(totals(), sum);
    with_structure_value(sum, [&](GValue *v) { gst_structure_take_value(out.get(), "totals", v); });
    return out;
}
