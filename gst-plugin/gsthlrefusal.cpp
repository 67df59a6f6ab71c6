// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlrefusal.h"

#include "core/pixelformat.h"
#include "gsthlcaps.h"
#include "gsthlptr.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cstring>
#include <format>
#include <iterator>
#include <string>
#include <utility>

namespace {

constexpr const gchar *any_raw_video = "video/x-raw(ANY)";
constexpr std::string_view meta_prefix = "meta:", memory_prefix = "memory:";

std::string field(const GstStructure *structure, const gchar *name)
{
    const gchar *value = gst_structure_get_string(structure, name);
    return value ? value : "";
}

bool is_raw_video(const GstCaps *caps)
{
    return caps && !gst_caps_is_any(caps) && gst_caps_get_size(caps) > 0 &&
           gst_structure_has_name(gst_caps_get_structure(caps, 0), "video/x-raw");
}

// What fixed caps of raw video say, as far as refusals care.
struct Input {
    std::string format; // GStreamer's name
    std::string drm;    // under DMA_DRM, with the modifier
    std::string memory; // its feature, if it is neither system memory nor DMABuf
    std::string meta;   // the feature of what comes beside the pixels
    std::string mode;   // of interlacing
    bool dmabuf = false;

    explicit Input(const GstCaps *caps)
    {
        const GstStructure *structure = gst_caps_get_structure(caps, 0);
        const GstCapsFeatures *features = gst_caps_get_features(caps, 0);
        format = field(structure, "format");
        drm = field(structure, "drm-format");
        mode = field(structure, "interlace-mode");
        for (guint i = 0; features && i < gst_caps_features_get_size(features); ++i) {
            const std::string name = gst_caps_features_get_nth(features, i);
            if (name == GST_CAPS_FEATURE_MEMORY_DMABUF)
                dmabuf = true;
            else if (name.starts_with(meta_prefix))
                meta = name;
            else if (name != GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY && name != GST_CAPS_FEATURE_FORMAT_INTERLACED)
                memory = name;
        }
    }

    [[nodiscard]] bool interlaced() const { return !mode.empty() && mode != "progressive"; }
};

// What takes frames out of the memory of a device. Nothing for memories that no stock element is named for.
const gchar *downloader(const std::string &memory)
{
    constexpr std::pair<std::string_view, const gchar *> known[] = {{"memory:GLMemory", "gldownload"},
                                                                    {"memory:CUDAMemory", "cudadownload"},
                                                                    {"memory:VAMemory", "vapostproc"},
                                                                    {"memory:VulkanImage", "vulkandownload"}};
    const auto *at = std::ranges::find(known, memory, &std::pair<std::string_view, const gchar *>::first);
    return at == std::end(known) ? nullptr : at->second;
}

// All of our formats but four: three that are not in gstdeinterlace.c DEINTERLACE_VIDEO_FORMATS, and NV21, for which
// 1.26.2 loses its last field ("history_count >= 1 + ..." is printed).
bool deinterlace_takes(const std::string &format)
{
    return format != "P010_10LE" && format != "NV16" && format != "GRAY8" && format != "NV21";
}

bool has_format(const GstCaps *taken, const std::string &format)
{
    const auto one =
        GstPtr<GstCaps>::adopt(gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, format.c_str(), nullptr));
    return gst_caps_can_intersect(one.get(), taken);
}

// Dma-bufs of a DRM format, as a filter in a launch line: the quotes keep the spaces of "R8  ".
std::string dmabuf_filter(const std::string &drm)
{
    return std::format("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)\"{}\"", drm);
}

bool has_drm_format(const GstCaps *taken, const std::string &drm)
{
    const auto one = GstPtr<GstCaps>::adopt(gst_caps_from_string(dmabuf_filter(drm).c_str()));
    return one && gst_caps_can_intersect(one.get(), taken);
}

// The DRM format without its modifier, if that is one we take.
std::string linear(const std::string &drm)
{
    const std::string fourcc = drm.substr(0, drm.find(':'));
    const auto caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(gst_hl_video_caps_dmabuf()));
    return has_drm_format(caps.get(), fourcc) ? fourcc : "";
}

// The piece of pipeline that brings such frames into a form that is taken, from behind what makes them.
std::string correction(const Input &in, const GstCaps *taken, const gchar *element)
{
    std::string out = "... ! ";
    if (const gchar *const download = downloader(in.memory))
        out += std::format("{} ! ", download);
    else if (!in.meta.empty() && !in.dmabuf)
        out += "video/x-raw ! "; // what puts overlays in draws them then
    bool convert = !has_format(taken, in.format) || (in.interlaced() && !deinterlace_takes(in.format));
    if (in.dmabuf) {
        const std::string fourcc = in.format == "DMA_DRM" ? linear(in.drm) : "";
        if (!fourcc.empty() && !in.interlaced())
            return out + std::format("'{}' ! {}", dmabuf_filter(fourcc), element);
        out += "video/x-raw ! ";
        convert = true;
    }
    if (convert)
        out += "videoconvert ! ";
    // deinterlace links with formats that it then fails on.
    if (convert && in.interlaced())
        out += "video/x-raw,format=NV12 ! ";
    if (in.mode == "alternate")
        out += "video/x-raw,interlace-mode=interleaved ! ";
    if (in.interlaced())
        out += "deinterlace ! ";
    return out + element;
}

// What helps such frames. No launch line leads out of a memory that no element is known for.
std::string remedy(const Input &in, const GstCaps *taken, const gchar *element)
{
    if (!in.memory.empty() && !downloader(in.memory))
        return std::format("bring the frames from {} to system memory in front of {}, with the element that comes "
                           "with what makes them",
                           in.memory, element);
    return std::format("write: {}", correction(in, taken, element));
}

// What is wrong with such frames; empty if nothing is known.
std::string complaint(const Input &in, const GstCaps *taken)
{
    if (in.interlaced())
        return std::format("the frames are interlaced (interlace-mode={}), and only progressive ones are taken",
                           in.mode);
    if (!in.memory.empty())
        return std::format("the frames lie in {}, which the device does not reach", in.memory);
    if (!in.meta.empty())
        return std::format("the frames come with {}, and only pixels are taken", in.meta);
    if (in.dmabuf && in.format == "DMA_DRM" && (in.drm.empty() || has_drm_format(taken, in.drm)))
        return {};
    if (in.dmabuf && in.format == "DMA_DRM")
        return std::format("dma-bufs of drm-format={} are not taken, only linear ones of the formats in "
                           "docs/hlinfer.md",
                           in.drm);
    if (in.dmabuf)
        return std::format("dma-bufs of format={} are not taken: it has to be DMA_DRM with a drm-format", in.format);
    if (in.format.empty() || has_format(taken, in.format))
        return {};
    std::string names;
    for (size_t i = 0; i < hl::pixel_formats; ++i)
        if (const auto name = std::string(hl::pixel_format_info(static_cast<hl::PixelFormat>(i)).name);
            has_format(taken, name))
            names.append(names.empty() ? "" : ", ").append(name);
    return std::format("format={} is not taken; these are: {}", in.format, names);
}

// Leaves progressive of a structure's interlace modes; false if it is not among them. None at all means progressive.
bool keep_progressive(GstStructure *structure)
{
    const GValue *modes = gst_structure_get_value(structure, "interlace-mode");
    if (!modes)
        return true;
    GValue progressive = G_VALUE_INIT;
    g_value_init(&progressive, G_TYPE_STRING);
    g_value_set_static_string(&progressive, "progressive");
    const bool among = gst_value_intersect(nullptr, modes, &progressive);
    if (among)
        gst_structure_set_value(structure, "interlace-mode", &progressive);
    g_value_unset(&progressive);
    return among;
}

GstPtr<GstCaps> progressive_of(const GstCaps *caps)
{
    auto out = GstPtr<GstCaps>::adopt(gst_caps_copy(caps));
    if (gst_caps_is_any(caps))
        return out;
    for (guint i = gst_caps_get_size(out.get()); i-- > 0;)
        if (!keep_progressive(gst_caps_get_structure(out.get(), i)))
            gst_caps_remove_structure(out.get(), i);
    return out;
}

GstPtr<GstCaps> filtered(GstCaps *caps, GstCaps *filter)
{
    return GstPtr<GstCaps>::adopt(filter ? gst_caps_intersect_full(filter, caps, GST_CAPS_INTERSECT_FIRST)
                                         : gst_caps_copy(caps));
}

// Whether what is linked to `sink` says by its template that it makes frames that are taken. What passes on any memory
// says nothing.
bool upstream_has_choice(GstPad *sink, const GstCaps *taken)
{
    const auto peer = GstPtr<GstPad>::adopt(gst_pad_get_peer(sink));
    const auto made = GstPtr<GstCaps>::adopt(peer ? gst_pad_get_pad_template_caps(peer.get()) : gst_caps_new_empty());
    if (gst_caps_is_any(made.get()))
        return false;
    for (guint i = 0; i < gst_caps_get_size(made.get()); ++i) {
        const auto one = GstPtr<GstCaps>::adopt(gst_caps_copy_nth(made.get(), i));
        if (!gst_caps_features_is_any(gst_caps_get_features(one.get(), 0)) && gst_caps_can_intersect(one.get(), taken))
            return true;
    }
    return false;
}

bool has_feature_of(const GstCapsFeatures *features, std::string_view prefix)
{
    for (guint i = 0; features && i < gst_caps_features_get_size(features); ++i) {
        const std::string_view name = gst_caps_features_get_nth(features, i);
        if (name.starts_with(prefix) && name != GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY)
            return true;
    }
    return false;
}

// Leaves out what upstream does not need: metas always, and memories where it `has_choice`. Elements ask alone for what
// they would like to do, attach overlays instead of drawing them (gstbasetextoverlay.c
// gst_base_text_overlay_negotiate()) or leave frames in a device's memory (gstmsdkdec.c pad_accept_memory()), and do it
// where the answer is not empty.
GstPtr<GstCaps> needed(GstPtr<GstCaps> caps, bool has_choice)
{
    auto out = GstPtr<GstCaps>::adopt(gst_caps_make_writable(caps.release()));
    for (guint i = gst_caps_get_size(out.get()); i-- > 0;) {
        const GstCapsFeatures *features = gst_caps_get_features(out.get(), i);
        if (has_feature_of(features, meta_prefix) || (has_choice && has_feature_of(features, memory_prefix)))
            gst_caps_remove_structure(out.get(), i);
    }
    return out;
}

// The answer to a CAPS query with `filter` (or none) of the pad `sink` that would say `answer` and takes `taken`.
GstPtr<GstCaps> with_refusable(GstPad *sink, const GstCaps *answer, GstCaps *filter, const GstCaps *taken)
{
    auto progressive = progressive_of(answer);
    const auto raw = GstPtr<GstCaps>::adopt(gst_caps_from_string(any_raw_video));
    if (!filter) {
        // To who asks for nothing in particular, as links do: what is taken first.
        gst_caps_append(progressive.get(), gst_caps_copy(raw.get()));
        return progressive;
    }
    if (!gst_caps_is_empty(progressive.get()))
        return progressive;
    if (!gst_caps_is_empty(answer))
        return GstPtr<GstCaps>::adopt(gst_caps_copy(answer));
    // Where we take it, it is downstream that does not.
    if (gst_caps_can_intersect(filter, taken))
        return progressive;
    return needed(filtered(raw.get(), filter), upstream_has_choice(sink, taken));
}

} // namespace

hl::Status gst_hl_check_input(const GstCaps *caps, const GstCaps *taken, const gchar *element)
{
    GstVideoInfo info;
    const bool known = gst_hl_video_info_from_caps(caps, &info) && gst_caps_can_intersect(caps, taken);
    if (known && GST_VIDEO_INFO_INTERLACE_MODE(&info) == GST_VIDEO_INTERLACE_MODE_PROGRESSIVE)
        return {};
    const GCharPtr text(caps ? gst_caps_to_string(caps) : g_strdup("nothing"));
    if (is_raw_video(caps)) {
        const Input in(caps);
        if (const std::string what = complaint(in, taken); !what.empty())
            return hl::fail(hl::ErrorCode::FormatUnsupported, "take caps", what, remedy(in, taken, element));
    }
    return hl::fail(hl::ErrorCode::FormatUnsupported, "take caps",
                    std::format("{} is no complete video format", text.get()),
                    "set width, height, format and framerate in the caps of what makes the frames");
}

gboolean gst_hl_complete_caps_query(GstPad *pad, GstQuery *query, gboolean answered)
{
    const auto taken = GstPtr<GstCaps>::adopt(gst_pad_get_pad_template_caps(pad));
    const bool sink = GST_PAD_IS_SINK(pad);
    if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
        GstCaps *caps = nullptr;
        gst_query_parse_accept_caps(query, &caps);
        // Caps that are taken here may still be refused downstream.
        if (!sink || !is_raw_video(caps) || gst_hl_check_input(caps, taken.get(), "").has_value())
            return answered;
        gst_query_set_accept_caps_result(query, TRUE);
        return TRUE;
    }
    if (!answered)
        return FALSE;
    GstCaps *filter = nullptr, *answer = nullptr;
    gst_query_parse_caps(query, &filter);
    gst_query_parse_caps_result(query, &answer);
    if (sink)
        gst_query_set_caps_result(query, with_refusable(pad, answer, filter, taken.get()).get());
    else if (gst_caps_is_empty(answer))
        gst_query_set_caps_result(query, filtered(taken.get(), filter).get());
    return TRUE;
}
