// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthldevice.h"

#include "gsthlerror.h"

#include <mutex>
#include <string>
#include <string_view>
#include <utility>

struct GstHlDevicePrivate {
    std::shared_ptr<hl::Device> device;
};

struct _GstHlDevice {
    GstObject parent;
    GstHlDevicePrivate *priv;
};

GST_DEBUG_CATEGORY_STATIC(hl_device_debug);
#define GST_CAT_DEFAULT hl_device_debug
GST_DEBUG_CATEGORY_STATIC(context_debug);

G_DEFINE_FINAL_TYPE_WITH_CODE(GstHlDevice, gst_hl_device, GST_TYPE_OBJECT,
                              GST_DEBUG_CATEGORY_INIT(hl_device_debug, "hldevice", 0, "Gaudi devices of elements");
                              GST_DEBUG_CATEGORY_GET(context_debug, "GST_CONTEXT"))

namespace {

// Guards every `slot` that the functions below are given: an application may set a context from another thread while an
// element answers a query. Never held across a query, a message or the opening of a device.
std::mutex &slot_mutex()
{
    static std::mutex mutex;
    return mutex;
}

GstPtr<GstHlDevice> read_slot(const GstPtr<GstHlDevice> &slot)
{
    const std::lock_guard lock(slot_mutex());
    return slot;
}

void write_slot(GstPtr<GstHlDevice> &slot, GstPtr<GstHlDevice> value)
{
    const std::lock_guard lock(slot_mutex());
    std::swap(slot, value);
}

std::string effective_spec(const gchar *spec)
{
    if (spec && *spec)
        return spec;
    const gchar *environment = g_getenv("HL_DEVICE");
    return environment && *environment ? environment : "auto";
}

// Whether a neighbour's device may stand in for what this element would open itself.
bool fits(const gchar *spec, const hl::Device &device)
{
    const std::string wanted = effective_spec(spec);
    return wanted == "auto" || wanted == device.info().spec;
}

GstPtr<GstHlDevice> device_of(GstContext *context)
{
    GstHlDevice *device = nullptr;
    if (g_strcmp0(gst_context_get_context_type(context), GST_HL_DEVICE_CONTEXT_TYPE) != 0)
        return {};
    gst_structure_get(gst_context_get_structure(context), "device", GST_TYPE_HL_DEVICE, &device, nullptr);
    return GstPtr<GstHlDevice>::adopt(device);
}

void put_device(GstContext *context, GstHlDevice *device)
{
    gst_structure_set(gst_context_writable_structure(context), "device", GST_TYPE_HL_DEVICE, device, nullptr);
}

GstPtr<GstContext> context_for(GstHlDevice *device)
{
    auto context = GstPtr<GstContext>::adopt(gst_context_new(GST_HL_DEVICE_CONTEXT_TYPE, TRUE));
    put_device(context.get(), device);
    return context;
}

struct NeighbourQuery {
    GstQuery *query;
    bool answered;
};

gboolean ask_peer(GstElement *element, GstPad *pad, gpointer data)
{
    auto *ask = static_cast<NeighbourQuery *>(data);
    if (!gst_pad_peer_query(pad, ask->query))
        return TRUE;
    GST_CAT_INFO_OBJECT(context_debug, element, "neighbour behind %s:%s shares its device", GST_DEBUG_PAD_NAME(pad));
    ask->answered = true;
    return FALSE;
}

// Asks downstream, upstream, then the application. An answer reaches the element through its set_context(), which calls
// gst_hl_handle_set_context().
void ask_neighbours(GstElement *element, const GstPtr<GstHlDevice> &slot)
{
    const auto query = GstPtr<GstQuery>::adopt(gst_query_new_context(GST_HL_DEVICE_CONTEXT_TYPE));
    NeighbourQuery ask{query.get(), false};
    gst_element_foreach_src_pad(element, ask_peer, &ask);
    if (!ask.answered)
        gst_element_foreach_sink_pad(element, ask_peer, &ask);
    if (ask.answered) {
        GstContext *context = nullptr;
        gst_query_parse_context(query.get(), &context);
        if (context)
            gst_element_set_context(element, context);
    }
    if (!read_slot(slot))
        (void)gst_element_post_message(element,
                                       gst_message_new_need_context(GST_OBJECT(element), GST_HL_DEVICE_CONTEXT_TYPE));
}

void warn_of_stand_in(GstElement *element, const hl::DeviceInfo &info)
{
    gchar *const text = info.simulated
                            ? g_strdup_printf("running on the simulator (%s): device \"%s\" is no real Gaudi",
                                              info.stand_in.c_str(), info.name.c_str())
                            : g_strdup_printf("running on %s: %s", info.stand_in.c_str(), info.caveat.c_str());
    gst_element_message_full(element, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, text,
                             nullptr, __FILE__, GST_FUNCTION, __LINE__);
}

} // namespace

static void gst_hl_device_finalize(GObject *object)
{
    delete GST_HL_DEVICE(object)->priv;
    G_OBJECT_CLASS(gst_hl_device_parent_class)->finalize(object);
}

static void gst_hl_device_class_init(GstHlDeviceClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = gst_hl_device_finalize;
}

static void gst_hl_device_init(GstHlDevice *self)
{
    self->priv = new GstHlDevicePrivate;
}

GstPtr<GstHlDevice> gst_hl_device_wrap(std::shared_ptr<hl::Device> device)
{
    auto self = GstPtr<GstHlDevice>::sink(GST_HL_DEVICE(g_object_new(GST_TYPE_HL_DEVICE, nullptr)));
    self->priv->device = std::move(device);
    return self;
}

const std::shared_ptr<hl::Device> &gst_hl_device_get(GstHlDevice *device)
{
    return device->priv->device;
}

hl::Status gst_hl_ensure_device(GstElement *element, const gchar *spec, GstPtr<GstHlDevice> &slot)
{
    g_type_ensure(GST_TYPE_HL_DEVICE);
    if (const auto held = read_slot(slot)) {
        const auto &device = gst_hl_device_get(held.get());
        return device->lost() ? device->recover() : hl::Status{};
    }

    ask_neighbours(element, slot);
    if (const auto shared = read_slot(slot)) {
        const auto &device = gst_hl_device_get(shared.get());
        return device->lost() ? device->recover() : hl::Status{};
    }

    auto opened = hl::Device::open(spec ? spec : "");
    if (!opened)
        return std::unexpected(std::move(opened.error()));
    const hl::DeviceInfo &info = (*opened)->info();
    const auto device = gst_hl_device_wrap(*opened);
    GST_INFO_OBJECT(element, "opened %s (%s)", info.name.c_str(), info.stand_in.c_str());
    write_slot(slot, device);
    const auto context = context_for(device.get());
    gst_element_set_context(element, context.get());
    (void)gst_element_post_message(
        element, gst_message_new_have_context(GST_OBJECT(element), GstPtr<GstContext>(context).release()));
    if (info.simulated || !info.caveat.empty())
        warn_of_stand_in(element, info);
    return {};
}

void gst_hl_handle_set_context(GstElement *element, GstContext *context, const gchar *spec, GstPtr<GstHlDevice> &slot)
{
    if (!context)
        return;
    auto device = device_of(context);
    if (!device)
        return;
    if (!fits(spec, *gst_hl_device_get(device.get()))) {
        GST_CAT_INFO_OBJECT(context_debug, element, "a context offers %s, %s is wanted",
                            gst_hl_device_get(device.get())->info().spec.c_str(), effective_spec(spec).c_str());
        return;
    }
    const std::lock_guard lock(slot_mutex());
    if (!slot)
        slot = std::move(device);
}

gboolean gst_hl_handle_context_query(GstElement *element, GstQuery *query, const GstPtr<GstHlDevice> &device)
{
    const gchar *type = nullptr;
    if (GST_QUERY_TYPE(query) != GST_QUERY_CONTEXT || !gst_query_parse_context_type(query, &type) ||
        g_strcmp0(type, GST_HL_DEVICE_CONTEXT_TYPE) != 0)
        return FALSE;
    const auto held = read_slot(device);
    if (!held)
        return FALSE;
    GstContext *old = nullptr;
    gst_query_parse_context(query, &old);
    auto context = old ? GstPtr<GstContext>::adopt(gst_context_copy(old)) : context_for(held.get());
    if (old)
        put_device(context.get(), held.get());
    gst_query_set_context(query, context.get());
    GST_CAT_INFO_OBJECT(context_debug, element, "answered a context query with %" GST_PTR_FORMAT, context.get());
    return TRUE;
}
