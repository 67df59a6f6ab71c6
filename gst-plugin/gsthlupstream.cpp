// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlupstream.h"

#include "gsthlcounted.h"
#include "gsthlptr.h"

#include <format>
#include <string_view>

namespace {

// Farther up nobody's memory reaches us; also ends a line that was linked into a circle.
constexpr int max_elements = 32;

// The source pad that feeds `sink`, of an element that is no bin. GstProxyPad is both what a ghost pad shows to the
// inside of its bin and what GstGhostPad derives from.
GstPtr<GstPad> feeding_pad(GstPad *sink)
{
    auto pad = GstPtr<GstPad>::adopt(gst_pad_get_peer(sink));
    while (pad && GST_IS_PROXY_PAD(pad.get())) {
        if (GST_IS_GHOST_PAD(pad.get())) {
            pad = GstPtr<GstPad>::adopt(gst_ghost_pad_get_target(GST_GHOST_PAD(pad.get())));
            continue;
        }
        const auto ghost = GstPtr<GstPad>::adopt(GST_PAD(gst_proxy_pad_get_internal(GST_PROXY_PAD(pad.get()))));
        pad = GstPtr<GstPad>::adopt(ghost ? gst_pad_get_peer(ghost.get()) : nullptr);
    }
    return pad;
}

GstPtr<GstElement> feeding_element(GstPad *sink)
{
    const auto pad = feeding_pad(sink);
    return GstPtr<GstElement>::adopt(pad ? gst_pad_get_parent_element(pad.get()) : nullptr);
}

std::string factory_of(GstElement *element)
{
    const GstElementFactory *factory = gst_element_get_factory(element);
    return factory ? GST_OBJECT_NAME(factory) : "";
}

GstPtr<GstPad> only_sink(GstElement *element)
{
    const GstObjectLocker lock(element);
    return element->numsinkpads == 1 ? GstPtr<GstPad>::share(GST_PAD(element->sinkpads->data)) : GstPtr<GstPad>();
}

// v4l2src has io-mode, V4L2 decoders and converters capture-io-mode.
bool set_to_import(GstElement *element)
{
    for (const char *property : {"io-mode", "capture-io-mode"}) {
        GParamSpec *spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), property);
        if (!spec || !G_IS_PARAM_SPEC_ENUM(spec))
            continue;
        int mode = 0;
        g_object_get(element, property, &mode, nullptr);
        const GEnumValue *value = g_enum_get_value(G_PARAM_SPEC_ENUM(spec)->enum_class, mode);
        if (value && std::string_view(value->value_nick) == "dmabuf-import")
            return true;
    }
    return false;
}

// The device node of a V4L2 element, if it has one to tell.
std::string node_of(GstElement *element)
{
    GParamSpec *spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), "device");
    if (!spec || !G_IS_PARAM_SPEC_STRING(spec))
        return {};
    gchar *text = nullptr;
    g_object_get(element, "device", &text, nullptr);
    const GCharPtr node(text);
    return node ? node.get() : "";
}

} // namespace

GstHlUpstream gst_hl_look_upstream(GstPad *sink)
{
    GstHlUpstream out{.neighbour = "upstream"};
    auto element = feeding_element(sink);
    if (element)
        out.neighbour = GST_OBJECT_NAME(element.get());
    for (int i = 0; element && i < max_elements; ++i) {
        const std::string factory = factory_of(element.get());
        if (factory == "tee" && out.swallower.empty())
            out.swallower = GST_OBJECT_NAME(element.get());
        out.imports = set_to_import(element.get());
        if (out.imports)
            out.node = node_of(element.get());
        // Our own elements fill frames of their own pools, or pass on those of the pool that they offered upstream.
        const bool last = out.imports || GST_IS_HL_COUNTED(element.get());
        const auto next = only_sink(element.get());
        if (!next || last) {
            const GstObjectLocker lock(element.get());
            if (last || element->numsinkpads == 0)
                out.producer = factory;
            break;
        }
        element = feeding_element(next.get());
    }
    return out;
}

std::string GstHlUpstream::line() const
{
    if (producer.empty())
        return "SOURCE";
    return imports ? std::format("{} io-mode=dmabuf-import", producer) : producer;
}
