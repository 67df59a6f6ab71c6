// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthldownstream.h"

#include "gsthlcaps.h"

#include <gst/video/video.h>

#include <cstring>

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

bool passes_all_on(GstElement *element)
{
    const gchar *klass = gst_element_get_metadata(element, GST_ELEMENT_METADATA_KLASS);
    return element->numsinkpads == 1 && element->numsrcpads == 1 && klass && std::strstr(klass, "Generic");
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
    out.video_meta = dmabuf || gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr);
    if (gst_query_get_n_allocation_pools(query.get()) > 0)
        gst_query_parse_nth_allocation_pool(query.get(), 0, nullptr, nullptr, &out.min_buffers, nullptr);
    out.answer = std::move(query);
    return out;
}

std::string gst_hl_stride_blind_importer(GstPad *src)
{
    auto pad = GstPtr<GstPad>::share(src);
    for (;;) {
        const auto peer = GstPtr<GstPad>::adopt(gst_pad_get_peer(pad.get()));
        const auto element = GstPtr<GstElement>::adopt(peer ? gst_pad_get_parent_element(peer.get()) : nullptr);
        if (!element)
            return {};
        if (imports_dmabufs(element.get(), element->numsrcpads == 0 ? "io-mode" : "output-io-mode"))
            return GST_OBJECT_NAME(element.get());
        if (!passes_all_on(element.get()))
            return {};
        pad = GstPtr<GstPad>::share(GST_PAD(element->srcpads->data));
    }
}

void gst_hl_forward_metas(const GstHlDownstream &downstream, GstQuery *query)
{
    const guint metas = downstream.answer ? gst_query_get_n_allocation_metas(downstream.answer.get()) : 0;
    for (guint i = 0; i < metas; ++i) {
        const GstStructure *params = nullptr;
        const GType api = gst_query_parse_nth_allocation_meta(downstream.answer.get(), i, &params);
        if (api != GST_VIDEO_CROP_META_API_TYPE)
            gst_query_add_allocation_meta(query, api, params);
    }
    if (downstream.video_meta && !gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr))
        gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
}
