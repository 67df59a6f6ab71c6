// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthldownstream.h"

#include "gsthlcaps.h"

#include <gst/video/video.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <format>
#include <string_view>

namespace {

bool is_fakesink(GstElement *element)
{
    const GstElementFactory *factory = gst_element_get_factory(element);
    return factory && std::strcmp(GST_OBJECT_NAME(factory), "fakesink") == 0;
}

// Whether every way down from `src` ends in a fakesink.
bool ends_in_fakesinks(GstPad *src)
{
    const auto peer = GstPtr<GstPad>::adopt(gst_pad_get_peer(src));
    const auto element = GstPtr<GstElement>::adopt(peer ? gst_pad_get_parent_element(peer.get()) : nullptr);
    if (!element)
        return false;
    if (element->numsrcpads == 0)
        return is_fakesink(element.get());
    return gst_element_foreach_src_pad(
        element.get(), [](GstElement *, GstPad *pad, gpointer) -> gboolean { return ends_in_fakesinks(pad); }, nullptr);
}

bool imports_dmabufs(GstElement *element, const char *property)
{
    const GParamSpec *spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), property);
    if (!spec || !G_IS_PARAM_SPEC_ENUM(spec))
        return false;
    gint mode = 0;
    g_object_get(element, property, &mode, nullptr);
    const GEnumValue *value = g_enum_get_value(G_PARAM_SPEC_ENUM(spec)->enum_class, mode);
    return value && std::strcmp(value->value_nick, "dmabuf-import") == 0;
}

bool hands_to_compositor(GstElement *element)
{
    const GstElementFactory *factory = gst_element_get_factory(element);
    const std::string_view name = factory ? GST_OBJECT_NAME(factory) : "";
    return name == "waylandsink" || name == "gtkwaylandsink";
}

// Whether the element's frames leave as they came in.
bool passes_all_on(GstElement *element)
{
    const gchar *klass = gst_element_get_metadata(element, GST_ELEMENT_METADATA_KLASS);
    return klass && std::ranges::any_of(std::array{"Generic", "Analyzer", "Tensordecoder"},
                                        [&](const char *kind) { return std::strstr(klass, kind); });
}

// The pad of an element, not of a bin, that gets what `src` sends; nullptr if there is none.
GstPtr<GstPad> real_peer(GstPad *src)
{
    auto pad = GstPtr<GstPad>::adopt(gst_pad_get_peer(src));
    while (pad && GST_IS_PROXY_PAD(pad.get())) {
        if (GST_IS_GHOST_PAD(pad.get())) { // into a bin
            pad = GstPtr<GstPad>::adopt(gst_ghost_pad_get_target(GST_GHOST_PAD(pad.get())));
        } else { // out of one
            const auto ghost =
                GstPtr<GstPad>::adopt(GST_PAD_CAST(gst_proxy_pad_get_internal(GST_PROXY_PAD(pad.get()))));
            pad = GstPtr<GstPad>::adopt(ghost ? gst_pad_get_peer(ghost.get()) : nullptr);
        }
    }
    return pad;
}

// Name of an element for which test(element) holds and that gets the frames of `src` as they are, maybe from elements
// that pass all frames on; empty if there is none.
std::string find_behind(GstPad *src, bool (*test)(GstElement *))
{
    const auto pad = real_peer(src);
    const auto element = GstPtr<GstElement>::adopt(pad ? gst_pad_get_parent_element(pad.get()) : nullptr);
    if (!element)
        return {};
    if (test(element.get()))
        return GST_OBJECT_NAME(element.get());
    std::string found;
    GstIterator *const next = passes_all_on(element.get()) ? gst_pad_iterate_internal_links(pad.get()) : nullptr;
    if (!next)
        return found;
    GValue value = G_VALUE_INIT;
    while (found.empty() && gst_iterator_next(next, &value) == GST_ITERATOR_OK) {
        found = find_behind(GST_PAD_CAST(g_value_get_object(&value)), test);
        g_value_reset(&value);
    }
    g_value_unset(&value);
    gst_iterator_free(next);
    return found;
}

bool stride_blind(GstPad *src)
{
    return !gst_hl_stride_blind_importer(src).empty() || !gst_hl_wayland_sink(src).empty();
}

} // namespace

GstHlDownstream gst_hl_ask_downstream(GstPad *src, GstCaps *caps)
{
    GstHlDownstream out;
    auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps, FALSE));
    const bool dmabuf = gst_hl_caps_are_dmabuf(caps);
    if (!gst_pad_peer_query(src, query.get())) {
        out.video_meta = dmabuf || ends_in_fakesinks(src);
        return out;
    }
    out.video_meta =
        dmabuf || (gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr) && !stride_blind(src));
    if (gst_query_get_n_allocation_pools(query.get()) > 0)
        gst_query_parse_nth_allocation_pool(query.get(), 0, nullptr, nullptr, &out.min_buffers, nullptr);
    out.answer = std::move(query);
    return out;
}

std::string gst_hl_stride_blind_importer(GstPad *src)
{
    return find_behind(src, [](GstElement *element) {
        return imports_dmabufs(element, element->numsrcpads == 0 ? "io-mode" : "output-io-mode");
    });
}

std::string gst_hl_wayland_sink(GstPad *src)
{
    return find_behind(src, hands_to_compositor);
}

hl::Status gst_hl_check_display(GstPad *src, const hl::Device &device)
{
    const std::string sink = gst_hl_wayland_sink(src);
    if (sink.empty())
        return {};
    return hl::fail(hl::ErrorCode::ImportMapsByCpu, "show frame",
                    std::format("{} hands a frame to its compositor as shared memory where that takes no dma-buf of "
                                "it, and frames in device memory cannot be mapped",
                                sink),
                    std::format("put hldownload before it: \"... ! hldownload ! {}\"", sink), 0, device.info().name);
}

void gst_hl_forward_metas(const GstHlDownstream &downstream, GstQuery *query)
{
    const guint metas = downstream.answer ? gst_query_get_n_allocation_metas(downstream.answer.get()) : 0;
    for (guint i = 0; i < metas; ++i) {
        const GstStructure *params = nullptr;
        const GType api = gst_query_parse_nth_allocation_meta(downstream.answer.get(), i, &params);
        if (api != GST_VIDEO_CROP_META_API_TYPE && api != GST_VIDEO_META_API_TYPE)
            gst_query_add_allocation_meta(query, api, params);
    }
    if (downstream.video_meta)
        gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
}
