// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlframe.h"

#include "gsthlallocator.h"
#include "gsthlstagedmap.h"

#include <cstring>

uint64_t gst_hl_frame_bytes(const hl::FrameFormat &format) noexcept
{
    uint64_t bytes = 0;
    for (size_t p = 0; p < hl::pixel_format_info(format.format).planes; ++p)
        bytes += uint64_t{hl::plane_row_bytes(format, p)} * hl::plane_rows(format, p);
    return bytes;
}

hl::Status gst_hl_frame_transfer(hl::Device &device, const hl::FrameLayout &from, const hl::FrameLayout &to)
{
    std::array<hl::CopyRegion, hl::max_planes> regions{};
    const size_t planes = hl::pixel_format_info(from.format.format).planes;
    for (size_t p = 0; p < planes; ++p) {
        const hl::PlaneLayout &source = from.plane[p];
        const hl::PlaneLayout &target = to.plane[p];
        regions[p] = {.source = source.memory,
                      .target = target.memory,
                      .source_offset = source.offset,
                      .target_offset = target.offset,
                      .source_stride = source.stride,
                      .target_stride = target.stride,
                      .row_bytes = hl::plane_row_bytes(from.format, p),
                      .rows = hl::plane_rows(from.format, p)};
        // Rows without gaps on both sides are one row to the DMA engine.
        if (source.stride == regions[p].row_bytes && target.stride == regions[p].row_bytes) {
            regions[p].row_bytes *= regions[p].rows;
            regions[p].rows = 1;
        }
    }
    return device.copy({regions.data(), planes}, hl::Clock::now() + GstHlStagedMap::timeout);
}

hl::Status gst_hl_frame_write(hl::Device &device, const hl::FrameView &from, const hl::FrameLayout &to)
{
    for (size_t p = 0; p < hl::pixel_format_info(from.format.format).planes; ++p) {
        const hl::PlaneLayout &plane = to.plane[p];
        auto span = device.host_span(plane.memory);
        if (!span)
            return std::unexpected(std::move(span.error()));
        const size_t row = hl::plane_row_bytes(from.format, p);
        std::byte *target = span->data() + plane.offset;
        const std::byte *source = from.data[p];
        for (uint32_t y = 0; y < hl::plane_rows(from.format, p); ++y, target += plane.stride, source += from.stride[p])
            std::memcpy(target, source, row);
    }
    return {};
}

bool gst_hl_buffer_filled_by_peer(GstBuffer *buffer)
{
    for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i)
        if (gst_hl_memory_filled_by_peer(gst_buffer_peek_memory(buffer, i)))
            return true;
    return false;
}

void gst_hl_buffer_copy_metadata(GstBuffer *from, GstBuffer *to)
{
    constexpr auto what = static_cast<GstBufferCopyFlags>(GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS);
    (void)gst_buffer_copy_into(to, from, what, 0, static_cast<gsize>(-1));

    static const GQuark memory = g_quark_from_static_string(GST_META_TAG_MEMORY_STR);
    // GstParentBufferMeta: it would keep the producer's frame out of its pool for as long as the copy lives.
    static const GQuark reference = g_quark_from_static_string(GST_META_TAG_MEMORY_REFERENCE_STR);
    GstMetaTransformCopy copy{.region = FALSE, .offset = 0, .size = static_cast<gsize>(-1)};
    gpointer state = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta(from, &state)) {
        const GstMetaInfo *info = meta->info;
        if (!info->transform_func || gst_meta_api_type_has_tag(info->api, memory) ||
            gst_meta_api_type_has_tag(info->api, reference))
            continue;
        (void)info->transform_func(to, meta, from, _gst_meta_transform_copy, &copy);
    }
}
