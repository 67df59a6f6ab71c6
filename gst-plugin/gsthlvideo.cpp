// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlvideo.h"

#include "gsthlallocator.h"

#include <format>
#include <string>
#include <utility>

namespace {

using hl::ErrorCode;

// Where plane `p` lies: in memory `index` of the buffer, from `skip` on.
struct PlaneSpot {
    guint index = 0;
    gsize skip = 0;
    uint32_t stride = 0;
};

std::unexpected<hl::Error> bad_layout(std::string cause, std::string remedy = "correct the buffer's video meta")
{
    return hl::fail(ErrorCode::FrameLayoutInvalid, "read frame", std::move(cause), std::move(remedy));
}

std::unexpected<hl::Error> too_small(const GstVideoInfo &info, GstBuffer *buffer, size_t plane)
{
    return hl::fail(ErrorCode::FrameTooSmall, "read frame",
                    std::format("plane {} of a {}x{} {} frame does not fit into its buffer of {} bytes", plane,
                                GST_VIDEO_INFO_WIDTH(&info), GST_VIDEO_INFO_HEIGHT(&info),
                                gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info)), gst_buffer_get_size(buffer)),
                    "the producer's buffers do not fit its caps; check width, height and format");
}

hl::Status check_meta(const GstVideoMeta &meta, const GstVideoInfo &info)
{
    // DMA_DRM: an importer that names no real format in the meta still gives the planes.
    const bool format_fits = meta.format == GST_VIDEO_INFO_FORMAT(&info) || meta.format == GST_VIDEO_FORMAT_DMA_DRM;
    if (format_fits && meta.n_planes == GST_VIDEO_INFO_N_PLANES(&info) &&
        meta.width == static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)) &&
        meta.height == static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info)))
        return {};
    return bad_layout(std::format("the buffer's video meta says {}x{} {} with {} planes, its caps {}x{} {} with {}",
                                  meta.width, meta.height, gst_video_format_to_string(meta.format), meta.n_planes,
                                  GST_VIDEO_INFO_WIDTH(&info), GST_VIDEO_INFO_HEIGHT(&info),
                                  gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info)),
                                  GST_VIDEO_INFO_N_PLANES(&info)));
}

hl::Result<PlaneSpot> locate_plane(GstBuffer *buffer, const GstVideoInfo &info, const GstVideoMeta *meta, guint plane)
{
    const gsize offset = meta ? meta->offset[plane] : GST_VIDEO_INFO_PLANE_OFFSET(&info, plane);
    const gint stride = meta ? meta->stride[plane] : GST_VIDEO_INFO_PLANE_STRIDE(&info, plane);
    if (stride <= 0)
        return bad_layout(
            std::format("plane {} has a stride of {} bytes; only positive ones are taken", plane, stride));
    PlaneSpot spot{.index = 0, .skip = 0, .stride = static_cast<uint32_t>(stride)};
    guint length = 0;
    if (!gst_buffer_find_memory(buffer, offset, 1, &spot.index, &length, &spot.skip))
        return too_small(info, buffer, plane);
    return spot;
}

// Fills format and planes of a frame whose plane `p` lies where `spot(p)` says; `memory(index)` names the memories.
hl::Result<std::array<PlaneSpot, hl::max_planes>> locate_planes(GstBuffer *buffer, const GstVideoInfo &info)
{
    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
    if (meta)
        if (auto fits = check_meta(*meta, info); !fits)
            return std::unexpected(std::move(fits.error()));
    std::array<PlaneSpot, hl::max_planes> spots{};
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
        auto spot = locate_plane(buffer, info, meta, p);
        if (!spot)
            return std::unexpected(std::move(spot.error()));
        spots[p] = *spot;
    }
    return spots;
}

// Of YUV these are all: a colorimetry with matrix unknown or rgb is none for gst_video_info_from_caps(), which takes
// the default of the frame's height instead (video-info.c validate_colorimetry). Other formats have no use for one.
hl::ColorMatrix matrix_of(GstVideoColorMatrix matrix)
{
    switch (matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT709:
        return hl::ColorMatrix::BT709;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
        return hl::ColorMatrix::BT2020;
    case GST_VIDEO_COLOR_MATRIX_FCC:
        return hl::ColorMatrix::FCC;
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
        return hl::ColorMatrix::SMPTE240M;
    default:
        return hl::ColorMatrix::BT601;
    }
}

bool all_of_device(GstBuffer *buffer, const hl::Device &device)
{
    const guint memories = gst_buffer_n_memory(buffer);
    for (guint i = 0; i < memories; ++i)
        if (gst_hl_memory_device(gst_buffer_peek_memory(buffer, i)).get() != &device)
            return false;
    return memories > 0;
}

} // namespace

hl::Result<hl::FrameFormat> gst_hl_frame_format(const GstVideoInfo &info)
{
    const auto format = hl::pixel_format_from_name(gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info)));
    if (!format)
        return hl::fail(
            ErrorCode::FormatUnsupported, "read caps",
            std::format("the format {} is not taken", gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info))),
            std::format("put videoconvert before the element; it takes {}", hl::pixel_format_names()));
    hl::FrameFormat out{.format = *format,
                        .width = static_cast<uint32_t>(GST_VIDEO_INFO_WIDTH(&info)),
                        .height = static_cast<uint32_t>(GST_VIDEO_INFO_HEIGHT(&info))};
    out.matrix = matrix_of(info.colorimetry.matrix);
    const bool limited = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_16_235 ||
                         (info.colorimetry.range == GST_VIDEO_COLOR_RANGE_UNKNOWN &&
                          hl::pixel_format_info(*format).model == hl::ColorModel::YUV);
    out.range = limited ? hl::ColorRange::Limited : hl::ColorRange::Full;
    return out;
}

hl::Result<std::optional<hl::FrameLayout>> gst_hl_buffer_layout(GstBuffer *buffer, const GstVideoInfo &info,
                                                                const hl::Device &device)
{
    if (!all_of_device(buffer, device))
        return std::nullopt;
    auto format = gst_hl_frame_format(info);
    if (!format)
        return std::unexpected(std::move(format.error()));
    auto spots = locate_planes(buffer, info);
    if (!spots)
        return std::unexpected(std::move(spots.error()));
    hl::FrameLayout layout{.format = *format, .plane = {}};
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
        const PlaneSpot &spot = (*spots)[p];
        auto memory = gst_hl_memory_get(gst_buffer_peek_memory(buffer, spot.index));
        if (!memory)
            return std::unexpected(std::move(memory.error()));
        layout.plane[p] = {*memory, spot.skip, spot.stride};
    }
    if (auto valid = hl::validate(layout); !valid)
        return std::unexpected(std::move(valid.error()));
    return layout;
}

hl::Result<GstHlMappedFrame> GstHlMappedFrame::map(GstBuffer *buffer, const GstVideoInfo &info)
{
    auto format = gst_hl_frame_format(info);
    if (!format)
        return std::unexpected(std::move(format.error()));
    auto spots = locate_planes(buffer, info);
    if (!spots)
        return std::unexpected(std::move(spots.error()));

    GstHlMappedFrame frame;
    frame.buffer_ = GstPtr<GstBuffer>::share(buffer);
    frame.view_.format = *format;
    // Without a meta the planes may run across memories; only a map of the whole (which merges them) shows that frame.
    frame.merged_ = gst_buffer_n_memory(buffer) > 1 && !gst_buffer_get_video_meta(buffer);
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
        const PlaneSpot &spot = (*spots)[p];
        const uint64_t row = hl::plane_row_bytes(*format, p);
        const uint64_t rows = hl::plane_rows(*format, p);
        if (spot.stride < row)
            return bad_layout(std::format("plane {} has a stride of {} bytes, its rows need {}", p, spot.stride, row));
        GstMemory *memory = gst_buffer_peek_memory(buffer, spot.index);
        const gsize skip = frame.merged_ ? GST_VIDEO_INFO_PLANE_OFFSET(&info, p) : spot.skip;
        const gsize available = frame.merged_ ? gst_buffer_get_size(buffer) : memory->size;
        if (skip + uint64_t{spot.stride} * (rows - 1) + row > available)
            return too_small(info, buffer, p);
        if (!(frame.merged_ ? gst_buffer_map(buffer, &frame.map_[p], GST_MAP_READ)
                            : gst_memory_map(memory, &frame.map_[p], GST_MAP_READ)))
            return hl::fail(
                ErrorCode::CopyFailed, "map frame",
                std::format("the buffer's {} memory cannot be mapped for reading",
                            memory->allocator && memory->allocator->mem_type ? memory->allocator->mem_type : "unknown"),
                "use a producer whose frames the CPU can read, or let it take the proposed pool");
        frame.mapped_ = p + 1;
        frame.view_.data[p] = reinterpret_cast<const std::byte *>(frame.map_[p].data) + skip;
        frame.view_.stride[p] = spot.stride;
    }
    return frame;
}

GstHlMappedFrame::GstHlMappedFrame(GstHlMappedFrame &&other) noexcept
    : buffer_(std::move(other.buffer_)), map_(other.map_), mapped_(std::exchange(other.mapped_, 0)),
      merged_(other.merged_), view_(other.view_)
{}

GstHlMappedFrame &GstHlMappedFrame::operator=(GstHlMappedFrame &&other) noexcept
{
    if (this != &other) {
        unmap();
        buffer_ = std::move(other.buffer_);
        map_ = other.map_;
        mapped_ = std::exchange(other.mapped_, 0);
        merged_ = other.merged_;
        view_ = other.view_;
    }
    return *this;
}

GstHlMappedFrame::~GstHlMappedFrame()
{
    unmap();
}

void GstHlMappedFrame::unmap() noexcept
{
    for (size_t p = 0; p < mapped_; ++p)
        if (merged_)
            gst_buffer_unmap(buffer_.get(), &map_[p]);
        else
            gst_memory_unmap(map_[p].memory, &map_[p]);
    mapped_ = 0;
}
