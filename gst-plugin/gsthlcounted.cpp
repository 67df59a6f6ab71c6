// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcounted.h"

#include <array>

G_DEFINE_INTERFACE(GstHlCounted, gst_hl_counted, GST_TYPE_ELEMENT)

static void gst_hl_counted_default_init(GstHlCountedInterface *) {}

hl::CopyTotals gst_hl_counted_totals(GstHlCounted *self)
{
    const GstHlCountedInterface *iface = GST_HL_COUNTED_GET_IFACE(self);
    return iface->get_totals ? iface->get_totals(self) : hl::CopyTotals{};
}

void gst_hl_counters_to_structure(const hl::CopyTotals &totals, GstStructure *structure)
{
    struct Names {
        const gchar *count;
        const gchar *bytes;
    };
    static constexpr std::array<Names, hl::copy_kinds> names{{
        {"cpu-copies", "cpu-copy-bytes"},
        {"uploads", "upload-bytes"},
        {"downloads", "download-bytes"},
        {"p2p", "p2p-bytes"},
        {"read-backs", "read-back-bytes"},
    }};
    for (size_t i = 0; i < hl::copy_kinds; ++i)
        gst_structure_set(structure, names[i].count, G_TYPE_UINT64, guint64{totals.kind[i].count}, names[i].bytes,
                          G_TYPE_UINT64, guint64{totals.kind[i].bytes}, nullptr);
}

void gst_hl_map_counters_to_structure(const hl::CopyTotals &mapped, GstStructure *structure)
{
    const auto &down = mapped[hl::CopyKind::Download];
    const auto &up = mapped[hl::CopyKind::Upload];
    gst_structure_set(structure, "map-downloads", G_TYPE_UINT64, guint64{down.count}, "map-download-bytes",
                      G_TYPE_UINT64, guint64{down.bytes}, "map-uploads", G_TYPE_UINT64, guint64{up.count},
                      "map-upload-bytes", G_TYPE_UINT64, guint64{up.bytes}, nullptr);
}
