// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlvideo.h"

#include "gsthlallocator.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>
#include <format>
#include <string>
#include <utility>

// The same four formats by DRM's names (hl::PixelFormatInfo::fourcc) and by GStreamer's; without a modifier suffix
// linear is meant.
#define HL_CAPS_SIZE                                                                                                   \
    "width = " GST_VIDEO_SIZE_RANGE ", height = " GST_VIDEO_SIZE_RANGE ", framerate = " GST_VIDEO_FPS_RANGE
#define HL_CAPS_DMABUF                                                                                                 \
    "video/x-raw(memory:DMABuf), format = (string) DMA_DRM, drm-format = (string) { NV12, YU12, BG24, XR24 "           \
    "}, " HL_CAPS_SIZE
#define HL_CAPS_SYSTEM "video/x-raw, format = (string) { NV12, I420, RGB, BGRx }, " HL_CAPS_SIZE

const char *const gst_hl_video_caps = HL_CAPS_DMABUF "; " HL_CAPS_SYSTEM;
const char *const gst_hl_video_caps_dmabuf = HL_CAPS_DMABUF;
const char *const gst_hl_video_caps_system = HL_CAPS_SYSTEM;

namespace {

using hl::ErrorCode;

std::optional<hl::PixelFormat> pixel_format(GstVideoFormat format)
{
    return hl::pixel_format_from_name(gst_video_format_to_string(format));
}

bool plain_features(const GstCapsFeatures *features)
{
    return !features || gst_caps_features_is_equal(features, GST_CAPS_FEATURES_MEMORY_SYSTEM_MEMORY);
}

bool dmabuf_features(const GstCapsFeatures *features)
{
    return features && gst_caps_features_get_size(features) == 1 &&
           gst_caps_features_contains(features, GST_CAPS_FEATURE_MEMORY_DMABUF);
}

// --- one format name, from one naming to the other ---

// "NV12" -> "NV12", "I420" -> "YU12"; nullopt for what we do not take.
std::optional<std::string> drm_name(const gchar *gst_name)
{
    const auto format = hl::pixel_format_from_name(gst_name);
    if (!format)
        return std::nullopt;
    const GCharPtr name(
        gst_video_dma_drm_fourcc_to_string(hl::pixel_format_info(*format).fourcc, DRM_FORMAT_MOD_LINEAR));
    return name.get();
}

std::optional<std::string> gst_name(const gchar *drm_name)
{
    guint64 modifier = 0;
    const guint32 fourcc = gst_video_dma_drm_fourcc_from_string(drm_name, &modifier);
    if (fourcc == 0 || modifier != DRM_FORMAT_MOD_LINEAR)
        return std::nullopt;
    for (size_t i = 0; i < hl::pixel_formats; ++i) {
        const hl::PixelFormatInfo &info = hl::pixel_format_info(static_cast<hl::PixelFormat>(i));
        if (info.fourcc == fourcc)
            return std::string(info.name);
    }
    return std::nullopt;
}

using NameMap = std::optional<std::string> (*)(const gchar *);

void append_mapped(const GValue *name, NameMap map, GValue *list)
{
    if (!G_VALUE_HOLDS_STRING(name))
        return;
    const auto mapped = map(g_value_get_string(name));
    if (!mapped)
        return;
    GValue value = G_VALUE_INIT;
    g_value_init(&value, G_TYPE_STRING);
    g_value_set_string(&value, mapped->c_str());
    gst_value_list_append_and_take_value(list, &value);
}

// Every format name of `from` (a string, a list of strings, or nullptr for any of ours) through `map` into field
// `target`; false if none is left.
bool map_names(const GValue *from, NameMap map, GstStructure *structure, const gchar *target)
{
    GValue list = G_VALUE_INIT;
    g_value_init(&list, GST_TYPE_LIST);
    if (!from) {
        for (size_t i = 0; i < hl::pixel_formats; ++i) {
            const std::string name(hl::pixel_format_info(static_cast<hl::PixelFormat>(i)).name);
            GValue value = G_VALUE_INIT;
            g_value_init(&value, G_TYPE_STRING);
            g_value_set_string(&value, map == gst_name ? drm_name(name.c_str())->c_str() : name.c_str());
            append_mapped(&value, map, &list);
            g_value_unset(&value);
        }
    } else if (GST_VALUE_HOLDS_LIST(from)) {
        for (guint i = 0; i < gst_value_list_get_size(from); ++i)
            append_mapped(gst_value_list_get_value(from, i), map, &list);
    } else {
        append_mapped(from, map, &list);
    }
    const guint names = gst_value_list_get_size(&list);
    if (names == 1)
        gst_structure_set_value(structure, target, gst_value_list_get_value(&list, 0));
    else if (names > 1)
        gst_structure_set_value(structure, target, &list);
    g_value_unset(&list);
    return names > 0;
}

void set_string(GstStructure *structure, const gchar *field, const gchar *value)
{
    gst_structure_set(structure, field, G_TYPE_STRING, value, nullptr);
}

// A copy of a DMABuf structure whose drm-format keeps only what we take; nullptr if nothing is left.
GstStructure *dmabuf_to_dmabuf(const GstStructure *from)
{
    GstStructure *to = gst_structure_copy(from);
    const NameMap ours = [](const gchar *name) -> std::optional<std::string> {
        return gst_name(name) ? std::optional<std::string>(name) : std::nullopt;
    };
    const GValue *names = gst_structure_get_value(from, "drm-format");
    // A template may leave drm-format out, which means all.
    const bool any = names ? map_names(names, ours, to, "drm-format") : map_names(nullptr, drm_name, to, "drm-format");
    if (!any) {
        gst_structure_free(to);
        return nullptr;
    }
    set_string(to, "format", "DMA_DRM");
    return to;
}

GstStructure *system_to_dmabuf(const GstStructure *from)
{
    GstStructure *to = gst_structure_copy(from);
    if (!map_names(gst_structure_get_value(from, "format"), drm_name, to, "drm-format")) {
        gst_structure_free(to);
        return nullptr;
    }
    set_string(to, "format", "DMA_DRM");
    return to;
}

GstStructure *system_to_system(const GstStructure *from)
{
    GstStructure *to = gst_structure_copy(from);
    const NameMap ours = [](const gchar *name) -> std::optional<std::string> {
        return drm_name(name) ? std::optional<std::string>(name) : std::nullopt;
    };
    if (!map_names(gst_structure_get_value(from, "format"), ours, to, "format")) {
        gst_structure_free(to);
        return nullptr;
    }
    return to;
}

GstStructure *dmabuf_to_system(const GstStructure *from)
{
    GstStructure *to = gst_structure_copy(from);
    gst_structure_remove_field(to, "drm-format");
    if (!map_names(gst_structure_get_value(from, "drm-format"), gst_name, to, "format")) {
        gst_structure_free(to);
        return nullptr;
    }
    return to;
}

GstCaps *map_caps(const GstCaps *caps, bool to_dmabuf)
{
    if (gst_caps_is_any(caps))
        return gst_caps_from_string(to_dmabuf ? gst_hl_video_caps_dmabuf : gst_hl_video_caps_system);
    GstCaps *out = gst_caps_new_empty();
    for (guint i = 0; i < gst_caps_get_size(caps); ++i) {
        const GstStructure *from = gst_caps_get_structure(caps, i);
        const GstCapsFeatures *features = gst_caps_get_features(caps, i);
        const bool from_dmabuf = dmabuf_features(features);
        if (!gst_structure_has_name(from, "video/x-raw") || (!from_dmabuf && !plain_features(features)))
            continue;
        // "format" of a DMABuf structure must be, or be open to, DMA_DRM: the legacy form with a real format means
        // another thing.
        const gchar *format = from_dmabuf ? gst_structure_get_string(from, "format") : nullptr;
        if (format && std::strcmp(format, "DMA_DRM") != 0)
            continue;
        GstStructure *to = to_dmabuf ? (from_dmabuf ? dmabuf_to_dmabuf(from) : system_to_dmabuf(from))
                                     : (from_dmabuf ? dmabuf_to_system(from) : system_to_system(from));
        if (!to)
            continue;
        GstCapsFeatures *to_features =
            to_dmabuf ? gst_caps_features_new_single_static_str(GST_CAPS_FEATURE_MEMORY_DMABUF) : nullptr;
        out = gst_caps_merge_structure_full(out, to, to_features);
    }
    return out;
}

// --- one plane of a buffer ---

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

bool all_of_device(GstBuffer *buffer, const hl::Device &device)
{
    const guint memories = gst_buffer_n_memory(buffer);
    for (guint i = 0; i < memories; ++i)
        if (gst_hl_memory_device(gst_buffer_peek_memory(buffer, i)).get() != &device)
            return false;
    return memories > 0;
}

} // namespace

bool gst_hl_caps_are_dmabuf(const GstCaps *caps)
{
    return !gst_caps_is_any(caps) && !gst_caps_is_empty(caps) && dmabuf_features(gst_caps_get_features(caps, 0));
}

bool gst_hl_video_info_from_caps(const GstCaps *caps, GstVideoInfo *info)
{
    if (!caps || !gst_caps_is_fixed(caps))
        return false;
    if (gst_video_is_dma_drm_caps(caps)) {
        GstVideoInfoDmaDrm drm;
        if (!gst_video_info_dma_drm_from_caps(&drm, caps) || drm.drm_modifier != DRM_FORMAT_MOD_LINEAR)
            return false;
        *info = drm.vinfo;
    } else if (!plain_features(gst_caps_get_features(caps, 0)) || !gst_video_info_from_caps(info, caps)) {
        return false;
    }
    return pixel_format(GST_VIDEO_INFO_FORMAT(info)).has_value();
}

GstCaps *gst_hl_caps_to_dmabuf(const GstCaps *caps)
{
    return map_caps(caps, true);
}

GstCaps *gst_hl_caps_to_system(const GstCaps *caps)
{
    return map_caps(caps, false);
}

GstCaps *gst_hl_caps_as_dmabuf(const GstCaps *caps)
{
    return map_caps(caps, true);
}

GstCaps *gst_hl_caps_as_system(const GstCaps *caps)
{
    return map_caps(caps, false);
}

hl::Result<hl::FrameFormat> gst_hl_frame_format(const GstVideoInfo &info)
{
    const auto format = pixel_format(GST_VIDEO_INFO_FORMAT(&info));
    if (!format)
        return hl::fail(
            ErrorCode::FormatUnsupported, "read caps",
            std::format("the format {} is not taken", gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info))),
            "put videoconvert before the element; NV12, I420, RGB and BGRx are taken");
    hl::FrameFormat out{.format = *format,
                        .width = static_cast<uint32_t>(GST_VIDEO_INFO_WIDTH(&info)),
                        .height = static_cast<uint32_t>(GST_VIDEO_INFO_HEIGHT(&info))};
    switch (info.colorimetry.matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT709:
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M: // within 1 % of BT.709's coefficients
        out.matrix = hl::ColorMatrix::BT709;
        break;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
        out.matrix = hl::ColorMatrix::BT2020;
        break;
    default:
        out.matrix = hl::ColorMatrix::BT601;
        break;
    }
    const bool yuv = hl::pixel_format_info(*format).yuv;
    const bool full = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ||
                      (info.colorimetry.range == GST_VIDEO_COLOR_RANGE_UNKNOWN && !yuv);
    out.range = full ? hl::ColorRange::Full : hl::ColorRange::Limited;
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
