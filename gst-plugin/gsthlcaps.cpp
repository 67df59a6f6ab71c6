// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcaps.h"

#include "core/pixelformat.h"
#include "gsthlptr.h"

#include <drm_fourcc.h>
#include <gst/allocators/gstdmabuf.h>

#include <cstring>
#include <format>
#include <optional>
#include <string>

namespace {

bool plain_features(const GstCapsFeatures *features)
{
    return !features || gst_caps_features_is_equal(features, GST_CAPS_FEATURES_MEMORY_SYSTEM_MEMORY);
}

bool dmabuf_features(const GstCapsFeatures *features)
{
    return features && gst_caps_features_get_size(features) == 1 &&
           gst_caps_features_contains(features, GST_CAPS_FEATURE_MEMORY_DMABUF);
}

// How the two memory features name formats: in `field`, by GStreamer's names or by DRM's.
struct Naming {
    bool dmabuf;
    [[nodiscard]] const gchar *field() const { return dmabuf ? "drm-format" : "format"; }
    // Without a modifier suffix linear is meant.
    [[nodiscard]] std::string name(const hl::PixelFormatInfo &info) const
    {
        if (!dmabuf)
            return std::string(info.name);
        return GCharPtr(gst_video_dma_drm_fourcc_to_string(info.fourcc, DRM_FORMAT_MOD_LINEAR)).get();
    }
    // Nothing for what we do not take.
    [[nodiscard]] std::optional<hl::PixelFormat> format(const gchar *name) const
    {
        if (!dmabuf)
            return hl::pixel_format_from_name(name);
        guint64 modifier = 0;
        const guint32 fourcc = gst_video_dma_drm_fourcc_from_string(name, &modifier);
        return modifier == DRM_FORMAT_MOD_LINEAR ? hl::pixel_format_from_fourcc(fourcc) : std::nullopt;
    }
};

// As a list in a caps string; DRM's in quotes, because the last letters of "R8  " are spaces.
std::string all_formats(Naming naming)
{
    if (!naming.dmabuf)
        return hl::pixel_format_names();
    std::string out;
    for (size_t i = 0; i < hl::pixel_formats; ++i) {
        const hl::PixelFormatInfo &info = hl::pixel_format_info(static_cast<hl::PixelFormat>(i));
        out += std::format("{}\"{}\"", out.empty() ? "" : ", ", naming.name(info));
    }
    return out;
}

constexpr const char *size_fields =
    "width = " GST_VIDEO_SIZE_RANGE ", height = " GST_VIDEO_SIZE_RANGE ", framerate = " GST_VIDEO_FPS_RANGE;

void append(GValue *list, const std::string &name)
{
    GValue value = G_VALUE_INIT;
    g_value_init(&value, G_TYPE_STRING);
    g_value_set_string(&value, name.c_str());
    gst_value_list_append_and_take_value(list, &value);
}

// Appends the format `name` of one naming by the other, if it is one of ours.
void append_renamed(GValue *list, const GValue *name, Naming from, Naming to)
{
    if (!G_VALUE_HOLDS_STRING(name))
        return;
    if (const auto format = from.format(g_value_get_string(name)))
        append(list, to.name(hl::pixel_format_info(*format)));
}

// The format names of a structure (a string, a list, or none at all for any) by the other naming, as a GST_TYPE_LIST.
void rename_formats(GValue *list, const GValue *names, Naming from, Naming to)
{
    if (!names)
        for (size_t i = 0; i < hl::pixel_formats; ++i)
            append(list, to.name(hl::pixel_format_info(static_cast<hl::PixelFormat>(i))));
    else if (GST_VALUE_HOLDS_LIST(names))
        for (guint i = 0; i < gst_value_list_get_size(names); ++i)
            append_renamed(list, gst_value_list_get_value(names, i), from, to);
    else
        append_renamed(list, names, from, to);
}

// A copy of a structure for the other memory feature; nullptr if no format is left.
GstStructure *map_structure(const GstStructure *structure, Naming from, Naming to)
{
    GValue list = G_VALUE_INIT;
    g_value_init(&list, GST_TYPE_LIST);
    rename_formats(&list, gst_structure_get_value(structure, from.field()), from, to);
    GstStructure *out = nullptr;
    if (const guint names = gst_value_list_get_size(&list); names > 0) {
        out = gst_structure_copy(structure);
        gst_structure_remove_field(out, from.field());
        gst_structure_set_value(out, to.field(), names == 1 ? gst_value_list_get_value(&list, 0) : &list);
        if (to.dmabuf)
            gst_structure_set(out, "format", G_TYPE_STRING, "DMA_DRM", nullptr);
    }
    g_value_unset(&list);
    return out;
}

GstCaps *map_caps(const GstCaps *caps, Naming to)
{
    if (gst_caps_is_any(caps))
        return gst_caps_from_string(to.dmabuf ? gst_hl_video_caps_dmabuf() : gst_hl_video_caps_system());
    GstCaps *out = gst_caps_new_empty();
    for (guint i = 0; i < gst_caps_get_size(caps); ++i) {
        const GstStructure *structure = gst_caps_get_structure(caps, i);
        const GstCapsFeatures *features = gst_caps_get_features(caps, i);
        const Naming from{dmabuf_features(features)};
        if (!gst_structure_has_name(structure, "video/x-raw") || (!from.dmabuf && !plain_features(features)))
            continue;
        // "format" of a DMABuf structure must be, or be open to, DMA_DRM: the legacy form with a real format means
        // another thing.
        const gchar *format = from.dmabuf ? gst_structure_get_string(structure, "format") : nullptr;
        if (format && std::strcmp(format, "DMA_DRM") != 0)
            continue;
        GstStructure *mapped = map_structure(structure, from, to);
        if (!mapped)
            continue;
        GstCapsFeatures *to_features =
            to.dmabuf ? gst_caps_features_new_single_static_str(GST_CAPS_FEATURE_MEMORY_DMABUF) : nullptr;
        out = gst_caps_merge_structure_full(out, mapped, to_features);
    }
    return out;
}

} // namespace

const gchar *gst_hl_video_caps_dmabuf()
{
    static const std::string caps =
        std::format("video/x-raw(memory:DMABuf), format = (string) DMA_DRM, drm-format = (string) {{ {} }}, {}",
                    all_formats({.dmabuf = true}), size_fields);
    return caps.c_str();
}

const gchar *gst_hl_video_caps_system()
{
    static const std::string caps =
        std::format("video/x-raw, format = (string) {{ {} }}, {}", all_formats({.dmabuf = false}), size_fields);
    return caps.c_str();
}

const gchar *gst_hl_video_caps()
{
    static const std::string caps = std::format("{}; {}", gst_hl_video_caps_dmabuf(), gst_hl_video_caps_system());
    return caps.c_str();
}

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
    return hl::pixel_format_from_name(gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(info))).has_value();
}

GstCaps *gst_hl_caps_to_dmabuf(const GstCaps *caps)
{
    return map_caps(caps, {.dmabuf = true});
}

GstCaps *gst_hl_caps_to_system(const GstCaps *caps)
{
    return map_caps(caps, {.dmabuf = false});
}
