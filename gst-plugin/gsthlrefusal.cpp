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
    std::string format;  // GStreamer's name
    std::string drm;     // under DMA_DRM, with the modifier
    std::string feature; // the memory's, if it is neither system memory nor DMABuf
    std::string mode;    // of interlacing
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
            else if (name != GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY && name != GST_CAPS_FEATURE_FORMAT_INTERLACED)
                feature = name;
        }
    }

    [[nodiscard]] bool interlaced() const { return !mode.empty() && mode != "progressive"; }
};

// What takes frames out of the memory of a device. Nothing for memories that no stock element is named for.
const gchar *downloader(const std::string &feature)
{
    constexpr std::pair<std::string_view, const gchar *> known[] = {{"memory:GLMemory", "gldownload"},
                                                                    {"memory:CUDAMemory", "cudadownload"},
                                                                    {"memory:VAMemory", "vapostproc"},
                                                                    {"memory:VulkanImage", "vulkandownload"}};
    const auto *at = std::ranges::find(known, feature, &std::pair<std::string_view, const gchar *>::first);
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

// The DRM format without its modifier, if that is one we take.
std::string linear(const std::string &drm)
{
    const std::string fourcc = drm.substr(0, drm.find(':'));
    const auto caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(gst_hl_video_caps_dmabuf()));
    const auto one = GstPtr<GstCaps>::adopt(gst_caps_from_string(
        std::format("video/x-raw(memory:DMABuf), format=DMA_DRM, drm-format=(string)\"{}\"", fourcc).c_str()));
    return one && gst_caps_can_intersect(one.get(), caps.get()) ? fourcc : "";
}

// The piece of pipeline that brings such frames into a form that is taken, from behind what makes them.
std::string correction(const Input &in, const GstCaps *taken, const gchar *element)
{
    std::string out = "... ! ";
    if (const gchar *const download = downloader(in.feature))
        out += std::format("{} ! ", download);
    else if (!in.feature.empty())
        out += "video/x-raw ! ";
    bool convert = !has_format(taken, in.format) || (in.interlaced() && !deinterlace_takes(in.format));
    if (in.dmabuf) {
        const std::string fourcc = in.format == "DMA_DRM" ? linear(in.drm) : "";
        if (!fourcc.empty() && !in.interlaced())
            return out + std::format("'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format={}' ! {}", fourcc, element);
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

// What is wrong with such frames; empty if nothing is known.
std::string complaint(const Input &in, const GstCaps *taken)
{
    if (in.interlaced())
        return std::format("the frames are interlaced (interlace-mode={}), and only progressive ones are taken",
                           in.mode);
    if (!in.feature.empty())
        return std::format("the frames lie in {}, which the device does not reach", in.feature);
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

// The answer to a CAPS query with `filter` (or none) of a sink pad that would say `answer` and takes `taken`.
GstPtr<GstCaps> with_refusable(const GstCaps *answer, GstCaps *filter, const GstCaps *taken)
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
    return filtered(raw.get(), filter);
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
            return hl::fail(hl::ErrorCode::FormatUnsupported, "take caps", what,
                            std::format("write: {}", correction(in, taken, element)));
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
        gst_query_set_caps_result(query, with_refusable(answer, filter, taken.get()).get());
    else if (gst_caps_is_empty(answer))
        gst_query_set_caps_result(query, filtered(taken.get(), filter).get());
    return TRUE;
}
