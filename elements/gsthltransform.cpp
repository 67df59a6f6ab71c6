// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthltransform.h"

#include "gsthlbufferpool.h"
#include "gsthlcaps.h"
#include "gsthlcounted.h"
#include "gsthldevice.h"
#include "gsthlerror.h"
#include "gsthlframe.h"
#include "gsthlframerate.h"
#include "gsthlproperties.h"
#include "gsthlptr.h"
#include "gsthlrefusal.h"
#include "gsthlvideo.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

namespace {

enum { PROP_0, PROP_DEVICE, PROP_ZERO_COPY, PROP_STATS };

struct Private {
    GCharPtr device_spec;                            // guarded by the object lock
    GstHlZeroCopy zero_copy = GST_HL_ZERO_COPY_AUTO; // guarded by the object lock
    GstPtr<GstHlDevice> device;                      // gst_hl_ensure_device() guards it
    std::shared_ptr<hl::Device> open;                // the same, for the streaming thread; set below READY->PAUSED
    hl::CopyCounters counters;
    GstHlFrameRate rate;
    // A frame's copy by the CPU, its DMA, and its stay in this element.
    hl::LatencyHistogram copy, transfer, total;

    GstPadEventFunction base_event = nullptr; // GstBaseTransform's, of the sink pad

    // Streaming thread.
    bool caps_refused = false; // and was told on the bus, since the last caps that were taken or the last flush
    GstHlTransformFormat format{};
    std::vector<std::pair<const gchar *, const gchar *>> reported;
    std::atomic<bool> failed{false}; // and was told on the bus, since READY->PAUSED

    std::mutex mutex; // guards what follows, and changes of `open`, for stats
    const gchar *placement = "";
};

hl::CopyTotals counted_totals(GstHlCounted *counted);

void counted_init(GstHlCountedInterface *iface)
{
    iface->get_totals = counted_totals;
}

} // namespace

GST_DEBUG_CATEGORY_STATIC(hl_transform_debug);
#define GST_CAT_DEFAULT hl_transform_debug

using GstHlTransformPrivate = Private *;

G_DEFINE_ABSTRACT_TYPE_WITH_CODE(GstHlTransform, gst_hl_transform, GST_TYPE_BASE_TRANSFORM,
                                 G_ADD_PRIVATE(GstHlTransform) G_IMPLEMENT_INTERFACE(GST_TYPE_HL_COUNTED, counted_init)
                                     GST_DEBUG_CATEGORY_INIT(hl_transform_debug, "hltransform", 0,
                                                             "Frames moved between memories"))

namespace {

int64_t ns(hl::Clock::duration duration) noexcept
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

Private &priv_of(gpointer self)
{
    return **static_cast<GstHlTransformPrivate *>(
        gst_hl_transform_get_instance_private(static_cast<GstHlTransform *>(self)));
}

hl::CopyTotals counted_totals(GstHlCounted *counted)
{
    return priv_of(counted).counters.totals();
}

GCharPtr device_spec(GstHlTransform *self)
{
    const GstObjectLocker lock(self);
    return GCharPtr(g_strdup(priv_of(self).device_spec.get()));
}

const gchar *factory_name(GstHlTransform *self)
{
    const GstElementFactory *factory = gst_element_get_factory(GST_ELEMENT(self));
    return factory ? GST_OBJECT_NAME(factory) : GST_OBJECT_NAME(self);
}

bool ensure_device(GstHlTransform *self)
{
    Private &priv = priv_of(self);
    const GCharPtr spec = device_spec(self);
    if (auto opened = gst_hl_ensure_device(GST_ELEMENT(self), spec.get(), priv.device); !opened) {
        gst_hl_post_error(GST_ELEMENT(self), opened.error());
        return false;
    }
    const std::lock_guard lock(priv.mutex);
    priv.open = gst_hl_device_get(priv.device.get());
    return true;
}

GstStructure *make_stats(GstHlTransform *self)
{
    Private &priv = priv_of(self);
    GstStructure *stats = gst_structure_new_empty("hl-stats");
    std::shared_ptr<hl::Device> device;
    {
        const std::lock_guard lock(priv.mutex);
        device = priv.open;
        gst_structure_set(stats, "placement", G_TYPE_STRING, priv.placement, nullptr);
    }
    gst_structure_set(stats, "device", G_TYPE_STRING, device ? device->info().name.c_str() : "", "backend",
                      G_TYPE_STRING, device ? device->info().backend.c_str() : "", "stand-in", G_TYPE_STRING,
                      device ? device->info().stand_in.c_str() : "", nullptr);
    priv.rate.fill(stats);
    gst_hl_stage_to_structure("copy", priv.copy, stats);
    gst_hl_stage_to_structure("transfer", priv.transfer, stats);
    gst_hl_stage_to_structure("total", priv.total, stats);
    gst_hl_counters_to_structure(priv.counters.totals(), stats);
    gst_hl_map_counters_to_structure(GST_HL_TRANSFORM_GET_CLASS(self)->mapped(self), stats);
    return stats;
}

} // namespace

static void gst_hl_transform_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    const GstObjectLocker lock(object);
    switch (id) {
    case PROP_DEVICE:
        priv_of(object).device_spec.reset(g_value_dup_string(value));
        break;
    case PROP_ZERO_COPY:
        priv_of(object).zero_copy = static_cast<GstHlZeroCopy>(g_value_get_enum(value));
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        break;
    }
}

static void gst_hl_transform_get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    switch (id) {
    case PROP_DEVICE:
        g_value_take_string(value, device_spec(GST_HL_TRANSFORM(object)).release());
        break;
    case PROP_ZERO_COPY:
        g_value_set_enum(value, gst_hl_transform_copies_refused(GST_HL_TRANSFORM(object)) ? GST_HL_ZERO_COPY_REQUIRE
                                                                                          : GST_HL_ZERO_COPY_AUTO);
        break;
    case PROP_STATS:
        g_value_take_boxed(value, make_stats(GST_HL_TRANSFORM(object)));
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        break;
    }
}

static void gst_hl_transform_set_context(GstElement *element, GstContext *context)
{
    GstHlTransform *self = GST_HL_TRANSFORM(element);
    const GCharPtr spec = device_spec(self);
    gst_hl_handle_set_context(element, context, spec.get(), priv_of(self).device);
    GST_ELEMENT_CLASS(gst_hl_transform_parent_class)->set_context(element, context);
}

static gboolean gst_hl_transform_query(GstBaseTransform *trans, GstPadDirection direction, GstQuery *query)
{
    if (gst_hl_handle_context_query(GST_ELEMENT(trans), query, priv_of(trans).device))
        return TRUE;
    const gboolean answered = GST_BASE_TRANSFORM_CLASS(gst_hl_transform_parent_class)->query(trans, direction, query);
    if (GST_QUERY_TYPE(query) != GST_QUERY_CAPS && GST_QUERY_TYPE(query) != GST_QUERY_ACCEPT_CAPS)
        return answered;
    GstPad *const pad =
        direction == GST_PAD_SINK ? GST_BASE_TRANSFORM_SINK_PAD(trans) : GST_BASE_TRANSFORM_SRC_PAD(trans);
    return gst_hl_complete_caps_query(pad, query, answered);
}

// Tells the user what is wrong with caps that are not taken, once: they come again with the first buffer.
static bool gst_hl_transform_takes(GstHlTransform *self, GstEvent *event)
{
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event, &caps);
    const auto taken = GstPtr<GstCaps>::adopt(gst_pad_get_pad_template_caps(GST_BASE_TRANSFORM_SINK_PAD(self)));
    const auto fits = gst_hl_check_input(caps, taken.get(), factory_name(self));
    if (!std::exchange(priv_of(self).caps_refused, !fits.has_value()) && !fits)
        gst_hl_post_error(GST_ELEMENT(self), fits.error());
    return fits.has_value();
}

// A flow return and not a boolean: what was told on the bus would otherwise reach the source as an error of its own
// (gstpad.c push_sticky). Caps that failed come again with the next frame (gstpad.c check_sticky) and must not succeed
// then, after the error.
static GstFlowReturn gst_hl_transform_pad_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    Private &priv = priv_of(parent);
    const bool caps = GST_EVENT_TYPE(event) == GST_EVENT_CAPS;
    if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP)
        gst_hl_transform_clear_failure(GST_HL_TRANSFORM(parent));
    const bool refused =
        priv.failed && (gst_event_type_get_flags(GST_EVENT_TYPE(event)) & GST_EVENT_TYPE_SERIALIZED) != 0;
    if (refused || (caps && !gst_hl_transform_takes(GST_HL_TRANSFORM(parent), event))) {
        gst_event_unref(event);
        return GST_FLOW_FLUSHING;
    }
    if (priv.base_event(pad, parent, event))
        return GST_FLOW_OK;
    if (priv.failed)
        return GST_FLOW_FLUSHING;
    return caps ? GST_FLOW_NOT_NEGOTIATED : GST_FLOW_ERROR; // as gst_pad_send_event_unchecked() does
}

static GstStateChangeReturn gst_hl_transform_change_state(GstElement *element, GstStateChange transition)
{
    GstHlTransform *self = GST_HL_TRANSFORM(element);
    Private &priv = priv_of(self);
    if (transition == GST_STATE_CHANGE_NULL_TO_READY || transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
        // At READY->PAUSED again, because the device may have been lost since.
        if (!ensure_device(self))
            return GST_STATE_CHANGE_FAILURE;
    }
    const GstStateChangeReturn result =
        GST_ELEMENT_CLASS(gst_hl_transform_parent_class)->change_state(element, transition);
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
        g_object_notify(G_OBJECT(self), "stats");
    if (transition == GST_STATE_CHANGE_READY_TO_NULL) {
        const std::lock_guard lock(priv.mutex);
        priv.open.reset();
        priv.device.reset();
    }
    return result;
}

static gboolean gst_hl_transform_start(GstBaseTransform *trans)
{
    Private &priv = priv_of(trans);
    priv.counters.reset();
    priv.rate.reset();
    for (auto *times : {&priv.copy, &priv.transfer, &priv.total})
        times->reset();
    priv.reported.clear();
    gst_hl_transform_clear_failure(GST_HL_TRANSFORM(trans));
    const std::lock_guard lock(priv.mutex);
    priv.placement = "";
    return TRUE;
}

// Before the sinks see the end: gst-launch-1.0 -v prints nothing that is on the bus behind their EOS.
static gboolean gst_hl_transform_sink_event(GstBaseTransform *trans, GstEvent *event)
{
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS)
        g_object_notify(G_OBJECT(trans), "stats");
    return GST_BASE_TRANSFORM_CLASS(gst_hl_transform_parent_class)->sink_event(trans, event);
}

// Decoders with frames in hand send on after an answer of FLUSHING: those go nowhere.
static GstFlowReturn gst_hl_transform_generate_output(GstBaseTransform *trans, GstBuffer **out)
{
    if (priv_of(trans).failed) {
        gst_clear_buffer(&trans->queued_buf);
        return GST_FLOW_FLUSHING;
    }
    const auto began = hl::Clock::now();
    const GstFlowReturn flow = GST_BASE_TRANSFORM_CLASS(gst_hl_transform_parent_class)->generate_output(trans, out);
    if (flow == GST_FLOW_OK && *out) {
        priv_of(trans).rate.add();
        priv_of(trans).total.add(ns(hl::Clock::now() - began));
    }
    return flow;
}

static gboolean gst_hl_transform_set_caps(GstBaseTransform *trans, GstCaps *in, GstCaps *out)
{
    GstHlTransformFormat format{};
    if (!gst_hl_video_info_from_caps(in, &format.in) || !gst_hl_video_info_from_caps(out, &format.out))
        return FALSE;
    auto frame = gst_hl_frame_format(format.in);
    if (!frame) {
        (void)gst_hl_transform_fail(GST_HL_TRANSFORM(trans), frame.error());
        return FALSE;
    }
    format.frame = *frame;
    format.bytes = gst_hl_frame_bytes(*frame);
    Private &priv = priv_of(trans);
    priv.format = format;
    priv.reported.clear();
    return TRUE;
}

static hl::CopyTotals gst_hl_transform_mapped(GstHlTransform *)
{
    return {};
}

static void gst_hl_transform_finalize(GObject *object)
{
    delete &priv_of(object);
    G_OBJECT_CLASS(gst_hl_transform_parent_class)->finalize(object);
}

static void gst_hl_transform_class_init(GstHlTransformClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = gst_hl_transform_set_property;
    object_class->get_property = gst_hl_transform_get_property;
    object_class->finalize = gst_hl_transform_finalize;
    g_object_class_install_property(
        object_class, PROP_DEVICE,
        g_param_spec_string(
            "device", "Device",
            "Gaudi to use: auto, sim, sim:NAME, accelN, a PCI address or module:N; unset: $HL_DEVICE, "
            "then auto",
            nullptr, static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY)));
    gst_type_mark_as_plugin_api(GST_TYPE_HL_ZERO_COPY, static_cast<GstPluginAPIFlags>(0));
    g_object_class_install_property(
        object_class, PROP_ZERO_COPY,
        g_param_spec_enum(
            "zero-copy", "Zero copy", "What happens where the CPU would have to copy a frame", GST_TYPE_HL_ZERO_COPY,
            GST_HL_ZERO_COPY_AUTO,
            static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY)));
    g_object_class_install_property(
        object_class, PROP_STATS,
        g_param_spec_boxed("stats", "Statistics",
                           "Frames, rate, latencies (ns) and bytes moved since READY (CPU copies, uploads, downloads, "
                           "P2P, read-backs, and CPU maps of device frames), placement, device, backend and stand-in",
                           GST_TYPE_STRUCTURE, static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

    GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
    element_class->set_context = gst_hl_transform_set_context;
    element_class->change_state = gst_hl_transform_change_state;

    GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS(klass);
    trans_class->query = gst_hl_transform_query;
    trans_class->start = gst_hl_transform_start;
    trans_class->sink_event = gst_hl_transform_sink_event;
    trans_class->generate_output = gst_hl_transform_generate_output;
    trans_class->set_caps = gst_hl_transform_set_caps;
    klass->mapped = gst_hl_transform_mapped;
    gst_type_mark_as_plugin_api(GST_TYPE_HL_TRANSFORM, static_cast<GstPluginAPIFlags>(0));
}

static void gst_hl_transform_init(GstHlTransform *self)
{
    *static_cast<GstHlTransformPrivate *>(gst_hl_transform_get_instance_private(self)) = new Private;
    GstPad *const sink = GST_BASE_TRANSFORM_SINK_PAD(self);
    priv_of(self).base_event = GST_PAD_EVENTFUNC(sink);
    gst_pad_set_event_full_function(sink, gst_hl_transform_pad_event);
    gst_hl_install_log_sink();
}

const std::shared_ptr<hl::Device> &gst_hl_transform_device(GstHlTransform *self)
{
    return priv_of(self).open;
}

const GstHlTransformFormat &gst_hl_transform_format(GstHlTransform *self)
{
    return priv_of(self).format;
}

bool gst_hl_transform_copies_refused(GstHlTransform *self)
{
    const GstObjectLocker lock(self);
    return priv_of(self).zero_copy == GST_HL_ZERO_COPY_REQUIRE;
}

void gst_hl_transform_count(GstHlTransform *self, hl::CopyKind kind, hl::Clock::duration took)
{
    Private &priv = priv_of(self);
    priv.counters.add(kind, priv.format.bytes);
    if (took.count() > 0)
        (kind == hl::CopyKind::CpuCopy ? priv.copy : priv.transfer).add(ns(took));
}

bool gst_hl_transform_saw_frame(GstHlTransform *self, const gchar *placement, const gchar *reason)
{
    Private &priv = priv_of(self);
    {
        const std::lock_guard lock(priv.mutex);
        priv.placement = placement;
    }
    const auto known = [=](const auto &pair) {
        return std::strcmp(pair.first, placement) == 0 && std::strcmp(pair.second, reason) == 0;
    };
    if (std::ranges::any_of(priv.reported, known))
        return false;
    priv.reported.emplace_back(placement, reason);
    return true;
}

void gst_hl_transform_clear_failure(GstHlTransform *self)
{
    priv_of(self).failed = priv_of(self).caps_refused = false;
}

GstFlowReturn gst_hl_transform_fail(GstHlTransform *self, const hl::Error &error)
{
    Private &priv = priv_of(self);
    if (priv.failed.exchange(true))
        return GST_FLOW_FLUSHING;
    // Upstream may be in the offered pool on a thread of its own, while this element is stopped.
    std::shared_ptr<hl::Device> device;
    {
        const std::lock_guard lock(priv.mutex);
        device = priv.open;
    }
    if (device)
        gst_hl_post_device_error(GST_ELEMENT(self), *device, error);
    else
        gst_hl_post_error(GST_ELEMENT(self), error);
    return GST_FLOW_FLUSHING;
}

GstFlowReturn gst_hl_transform_acquire(GstHlTransform *self, GstBufferPool *pool, GstBuffer **buffer)
{
    const GstFlowReturn flow = pool ? gst_buffer_pool_acquire_buffer(pool, buffer, nullptr) : GST_FLOW_FLUSHING;
    if (flow != GST_FLOW_ERROR)
        return flow;
    auto error = gst_hl_buffer_pool_take_error(GST_HL_BUFFER_POOL(pool));
    return gst_hl_transform_fail(self, error ? *error
                                             : hl::Error{.code = hl::ErrorCode::Internal,
                                                         .operation = "acquire frame",
                                                         .cause = "the pool gave no frame and no reason"});
}

std::string gst_hl_transform_upstream_name(GstHlTransform *self)
{
    const auto peer = GstPtr<GstPad>::adopt(gst_pad_get_peer(GST_BASE_TRANSFORM_SINK_PAD(self)));
    const auto element = GstPtr<GstElement>::adopt(peer ? gst_pad_get_parent_element(peer.get()) : nullptr);
    return element ? GST_OBJECT_NAME(element.get()) : "upstream";
}

void gst_hl_transform_set_query_pool(GstQuery *query, GstBufferPool *pool, guint size, guint min)
{
    GstAllocator *allocator = GST_ALLOCATOR(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool)));
    while (gst_query_get_n_allocation_pools(query) > 0)
        gst_query_remove_nth_allocation_pool(query, 0);
    gst_query_add_allocation_pool(query, pool, size, min, 0);
    while (gst_query_get_n_allocation_params(query) > 0)
        gst_query_remove_nth_allocation_param(query, 0);
    gst_query_add_allocation_param(query, allocator, nullptr);
}

void gst_hl_transform_add_template(GstElementClass *klass, const gchar *name, GstPadDirection direction,
                                   const gchar *caps)
{
    const auto parsed = GstPtr<GstCaps>::adopt(gst_caps_from_string(caps));
    gst_element_class_add_pad_template(klass, gst_pad_template_new(name, direction, GST_PAD_ALWAYS, parsed.get()));
}
