// SPDX-License-Identifier: LGPL-2.1-or-later

/**
 * SECTION:element-hlinfer
 * @title: hlinfer
 * @short_description: Infers on video frames in Gaudi memory
 *
 * Runs a neural network on each frame and attaches what it says as #GstTensorMeta. The frame itself flows on unchanged
 * and untouched: it is read where it lies, in device memory or in host pages that the device knows, and copied only
 * where it comes in memory that no device knows. Every copy is counted in #GstHlInfer:stats and told once per
 * negotiation in the element message `hl-placement`.
 *
 * Up to #GstHlInfer:in-flight requests are under way at once; each frame leaves as soon as it is complete and its turn
 * has come. A flush does not wait for the device.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! hlinfer model=builtin:null ! fakesink
 * ]| The line itself, without a network.
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! hlinfer model=builtin:demo ! hltensordec ! fakesink
 * ]| Detections in every frame. `hltensordec` belongs directly behind `hlinfer`: GStreamer 1.26 loses tensors when a
 * buffer is copied.
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! hlupload ! hlinfer model=builtin:demo device=sim ! hltensordec !
 * hldownload ! fakesink
 * ]| The same with frames in device memory, on the simulator.
 */
#include "gsthlinfer.h"

#include "gsthlcaps.h"
#include "gsthlcounted.h"
#include "gsthldevice.h"
#include "gsthlerror.h"
#include "gsthlimportprobe.h"
#include "gsthlinferlatency.h"
#include "gsthlinferproperties.h"
#include "gsthlinferstream.h"
#include "gsthlrefusal.h"

#include <atomic>
#include <format>
#include <memory>
#include <string>
#include <utility>
#include <vector>

GST_DEBUG_CATEGORY_STATIC(gst_hl_infer_debug);
#define GST_CAT_DEFAULT gst_hl_infer_debug

namespace {

struct GstHlInferPrivate {
    GstPad *sink = nullptr; // owned by the element
    GstPad *src = nullptr;
    GstPtr<GstHlDevice> device; // from NULL->READY to READY->NULL
    std::atomic<guint> interval{0};

    // Guarded by the object lock. The pads' threads may use `stream` without it: it is replaced while both are stopped.
    GstHlInferSettings settings;
    std::shared_ptr<GstHlInferStream> stream;
    GstStructurePtr last_stats; // of the last run
    hl::CopyTotals last_totals;

    guint since_inferred = 0; // of the sink pad's thread: frames passed since the last inferred one
    GstHlInferLatency latency;
};

} // namespace

struct _GstHlInfer {
    GstElement parent;
    GstHlInferPrivate *priv;
};

static void gst_hl_infer_counted_init(GstHlCountedInterface *iface);

G_DEFINE_TYPE_WITH_CODE(GstHlInfer, gst_hl_infer, GST_TYPE_ELEMENT,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_HL_COUNTED, gst_hl_infer_counted_init));
GST_ELEMENT_REGISTER_DEFINE(hlinfer, "hlinfer", GST_RANK_NONE, GST_TYPE_HL_INFER)

// ---- the run ----

static std::shared_ptr<GstHlInferStream> gst_hl_infer_stream(GstHlInfer *self)
{
    const GstObjectLocker lock(self);
    return self->priv->stream;
}

static GstHlInferSettings gst_hl_infer_settings(GstHlInfer *self)
{
    const GstObjectLocker lock(self);
    return self->priv->settings;
}

// The stream cannot go on; the first to say so tells the user. Upstream's thread may be that, in the offered pool,
// while this element is going to NULL: the device is the stream's.
static void gst_hl_infer_fail(GstHlInfer *self, const hl::Error &error)
{
    const auto stream = gst_hl_infer_stream(self);
    if (!stream)
        return;
    const bool first = stream->queue().stop_with_error();
    stream->abandon();
    if (first)
        gst_hl_post_device_error(GST_ELEMENT_CAST(self), stream->device(), error);
}

// Upstream got no frame from our pool; it has been answered FLUSHING.
static void gst_hl_infer_pool_failed(GstElement *element, const hl::Error &error)
{
    gst_hl_infer_fail(GST_HL_INFER(element), error);
}

static bool gst_hl_infer_open(GstHlInfer *self)
{
    const GstHlInferSettings settings = gst_hl_infer_settings(self);
    const auto status = gst_hl_ensure_device(
        GST_ELEMENT_CAST(self), settings.device.empty() ? nullptr : settings.device.c_str(), self->priv->device);
    if (!status)
        gst_hl_post_error(GST_ELEMENT_CAST(self), status.error());
    return status.has_value();
}

static bool gst_hl_infer_probe_importer(GstHlInfer *self)
{
    const auto imported = gst_hl_probe_importer(GST_ELEMENT_CAST(self), gst_hl_infer_settings(self).import_probe,
                                                gst_hl_device_get(self->priv->device.get()));
    const GstObjectLocker lock(self);
    self->priv->settings.device_imported = imported.value_or(false);
    return imported.has_value();
}

// A network whose images are prepared by the CPU runs so on the simulator alone.
static void gst_hl_infer_tell_preprocessing(GstHlInfer *self, const hl::EngineInfo &info, GstHlInferCompute compute)
{
    if (info.preprocess != hl::PreprocessPlace::Host || compute == GST_HL_INFER_COMPUTE_HOST ||
        !gst_hl_device_get(self->priv->device.get())->info().simulated)
        return;
    // gst-launch-1.0 prints an INFO's debug text and leaves its message out, so both say it.
    const std::string text = std::format(
        "the simulator prepares images for {} on the CPU; a Gaudi needs this folded into the network", info.model);
    GST_ELEMENT_INFO(self, STREAM, FORMAT, ("%s", text.c_str()), ("%s", text.c_str()));
}

static bool gst_hl_infer_start(GstHlInfer *self)
{
    GstHlInferPrivate *const priv = self->priv;
    const GstHlInferSettings settings = gst_hl_infer_settings(self);
    // Again, because the device may have been lost since READY.
    if (!gst_hl_infer_open(self))
        return false;
    auto stream = GstHlInferStream::create(GST_ELEMENT_CAST(self), settings, gst_hl_device_get(priv->device.get()),
                                           gst_hl_infer_pool_failed);
    if (!stream) {
        gst_hl_post_error(GST_ELEMENT_CAST(self), stream.error());
        return false;
    }
    gst_hl_infer_tell_preprocessing(self, (*stream)->engine_info(), settings.compute);
    priv->since_inferred = 0;
    priv->latency.reset();
    const GstObjectLocker lock(self);
    priv->stream = std::move(*stream);
    priv->last_stats.reset();
    priv->last_totals = {};
    return true;
}

// The pads are inactive: nobody else uses the stream, except who reads statistics.
static void gst_hl_infer_stop(GstHlInfer *self)
{
    std::shared_ptr<GstHlInferStream> stream = gst_hl_infer_stream(self);
    if (!stream)
        return;
    stream->abandon();
    GstStructurePtr stats(gst_structure_new_empty("hlinfer-stats"));
    stream->fill(stats.get());
    {
        const GstObjectLocker lock(self);
        self->priv->last_stats = std::move(stats);
        self->priv->last_totals = stream->totals();
        self->priv->stream.reset();
    }
    g_object_notify(G_OBJECT(self), "stats");
}

// ---- source pad's task ----

static GstFlowReturn gst_hl_infer_push_frame(GstHlInfer *self, GstHlInferQueue::Item &item)
{
    GstHlInferStream &stream = *self->priv->stream;
    // Downstream said EOS for this segment; the frames behind it go the same way.
    if (stream.queue().flow() == GST_FLOW_EOS)
        return GST_FLOW_EOS;
    stream.finish(item);
    stream.stats().add(item);
    if (self->priv->latency.outgrown(stream))
        gst_element_post_message(GST_ELEMENT_CAST(self), gst_message_new_latency(GST_OBJECT_CAST(self)));
    return gst_pad_push(self->priv->src, item.frame.release());
}

static void gst_hl_infer_push_event(GstHlInfer *self, GstHlInferQueue::Item &item)
{
    const GstEventType type = GST_EVENT_TYPE(item.event.get());
    if (type == GST_EVENT_SEGMENT || type == GST_EVENT_STREAM_START)
        self->priv->stream->queue().resume_after_eos();
    // Before the sinks see the end: gst-launch-1.0 -v prints nothing that is on the bus behind their EOS.
    if (type == GST_EVENT_EOS)
        g_object_notify(G_OBJECT(self), "stats");
    gst_pad_push_event(self->priv->src, item.event.release());
}

static void gst_hl_infer_loop(gpointer data)
{
    auto *const self = GST_HL_INFER(data);
    GstHlInferStream &stream = *self->priv->stream;
    GstHlInferQueue::Item item;
    if (!stream.queue().pop(item)) {
        // Ended by a flush or by stop, who clean up themselves, or by what downstream answered.
        const GstFlowReturn flow = stream.queue().flow();
        if (flow != GST_FLOW_FLUSHING)
            stream.abandon();
        GST_DEBUG_OBJECT(self, "task pauses: %s", gst_flow_get_name(flow));
        gst_pad_pause_task(self->priv->src);
        return;
    }
    GstFlowReturn result = GST_FLOW_OK;
    switch (item.kind) {
    case GstHlInferQueue::Item::Kind::Frame:
        result = gst_hl_infer_push_frame(self, item);
        break;
    case GstHlInferQueue::Item::Kind::Event:
        gst_hl_infer_push_event(self, item);
        break;
    case GstHlInferQueue::Item::Kind::Error:
        gst_hl_infer_fail(self, *item.error);
        break;
    }
    stream.queue().popped(result);
}

// What the pads say of caps differs where GStreamer's caps tell of tensors.
static bool gst_hl_infer_caps_query(GstHlInfer *self, GstPad *pad, GstPad *other, GstQuery *query)
{
    const auto stream = gst_hl_infer_stream(self);
    return stream && stream->tensor_caps().answer(pad, other, query);
}

// ---- sink pad ----

static GstFlowReturn gst_hl_infer_chain(GstPad *, GstObject *parent, GstBuffer *buffer)
{
    auto *const self = GST_HL_INFER(parent);
    GstHlInferPrivate *const priv = self->priv;
    auto frame = GstPtr<GstBuffer>::adopt(buffer);
    if (!priv->stream->has_format()) {
        gst_hl_infer_fail(self, {.code = hl::ErrorCode::FormatMissing,
                                 .operation = "take frame",
                                 .cause = "a frame came before its caps",
                                 .remedy = "set caps on the source (appsrc: caps=...)"});
        return GST_FLOW_FLUSHING;
    }
    bool infer = false;
    if (!GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP)) {
        infer = priv->since_inferred == 0;
        if (++priv->since_inferred > priv->interval)
            priv->since_inferred = 0;
    }
    return priv->stream->take(std::move(frame), infer);
}

static GstFlowReturn gst_hl_infer_set_caps(GstHlInfer *self, GstPtr<GstEvent> event)
{
    GstHlInferStream &stream = *self->priv->stream;
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event.get(), &caps);
    const auto set = stream.set_caps(caps);
    if (!set)
        gst_hl_infer_fail(self, set.error());
    else if (*set && stream.queue().push_event(stream.tensor_caps().add(std::move(event))))
        return GST_FLOW_OK;
    return stream.queue().flow();
}

static void gst_hl_infer_flush_start(GstHlInfer *self, GstPtr<GstEvent> event)
{
    gst_pad_push_event(self->priv->src, event.release());
    self->priv->stream->queue().stop(GST_FLOW_FLUSHING);
    self->priv->stream->detach();
    gst_pad_pause_task(self->priv->src);
}

static void gst_hl_infer_flush_stop(GstHlInfer *self, GstPtr<GstEvent> event)
{
    gst_pad_push_event(self->priv->src, event.release());
    // Detaches once more, now under the stream lock: a frame may have been on its way in while the flush began.
    // Sticky events describe the stream, not its data, and survive (gstqueue.c gst_queue_locked_flush).
    for (const auto &sticky : self->priv->stream->abandon())
        gst_pad_store_sticky_event(self->priv->src, sticky.get());
    self->priv->stream->queue().start();
    self->priv->since_inferred = 0;
    if (GST_PAD_MODE(self->priv->src) == GST_PAD_MODE_PUSH)
        gst_pad_start_task(self->priv->src, gst_hl_infer_loop, self, nullptr);
}

// A flow return and not a boolean: a refused sticky event would otherwise reach the source as an error of its own
// (gstpad.c push_sticky).
static GstFlowReturn gst_hl_infer_sink_event(GstPad *, GstObject *parent, GstEvent *raw)
{
    auto *const self = GST_HL_INFER(parent);
    auto event = GstPtr<GstEvent>::adopt(raw);
    switch (GST_EVENT_TYPE(raw)) {
    case GST_EVENT_FLUSH_START:
        gst_hl_infer_flush_start(self, std::move(event));
        return GST_FLOW_OK;
    case GST_EVENT_FLUSH_STOP:
        gst_hl_infer_flush_stop(self, std::move(event));
        return GST_FLOW_OK;
    case GST_EVENT_CAPS:
        return gst_hl_infer_set_caps(self, std::move(event));
    default:
        break;
    }
    if (!(gst_event_type_get_flags(GST_EVENT_TYPE(raw)) & GST_EVENT_TYPE_SERIALIZED))
        return gst_pad_push_event(self->priv->src, event.release()) ? GST_FLOW_OK : GST_FLOW_ERROR;

    const bool eos = GST_EVENT_TYPE(raw) == GST_EVENT_EOS;
    if (self->priv->stream->queue().push_event(std::move(event)))
        return GST_FLOW_OK;
    // No frame will follow that could carry the refusal upstream (as gstqueue.c gst_queue_handle_sink_event).
    const GstFlowReturn flow = self->priv->stream->queue().flow();
    if (eos && (flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS))
        GST_ELEMENT_FLOW_ERROR(self, flow);
    return flow;
}

static gboolean gst_hl_infer_sink_query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    auto *const self = GST_HL_INFER(parent);
    switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_ALLOCATION:
        return self->priv->stream && self->priv->stream->propose_allocation(query, self->priv->src);
    case GST_QUERY_CAPS:
    case GST_QUERY_ACCEPT_CAPS:
        return gst_hl_complete_caps_query(pad, query,
                                          gst_hl_infer_caps_query(self, pad, self->priv->src, query) ||
                                              gst_pad_query_default(pad, parent, query));
    case GST_QUERY_CONTEXT:
        if (gst_hl_handle_context_query(GST_ELEMENT_CAST(self), query, self->priv->device))
            return TRUE;
        break;
    default:
        // What is serialized asks about the state after all that was sent before.
        if (gst_query_type_get_flags(GST_QUERY_TYPE(query)) & GST_QUERY_TYPE_SERIALIZED)
            return self->priv->stream && self->priv->stream->queue().wait_empty() &&
                   gst_pad_peer_query(self->priv->src, query);
        break;
    }
    return gst_pad_query_default(pad, parent, query);
}

static gboolean gst_hl_infer_sink_activate_mode(GstPad *, GstObject *parent, GstPadMode mode, gboolean active)
{
    auto *const self = GST_HL_INFER(parent);
    if (mode != GST_PAD_MODE_PUSH || !self->priv->stream)
        return mode == GST_PAD_MODE_PUSH && !active;
    if (active)
        self->priv->stream->queue().start();
    else
        self->priv->stream->queue().stop(GST_FLOW_FLUSHING);
    return TRUE;
}

// ---- source pad ----

static gboolean gst_hl_infer_src_activate_mode(GstPad *pad, GstObject *parent, GstPadMode mode, gboolean active)
{
    auto *const self = GST_HL_INFER(parent);
    if (mode != GST_PAD_MODE_PUSH || !self->priv->stream)
        return mode == GST_PAD_MODE_PUSH && !active;
    if (active) {
        self->priv->stream->queue().start();
        return gst_pad_start_task(pad, gst_hl_infer_loop, self, nullptr);
    }
    self->priv->stream->queue().stop(GST_FLOW_FLUSHING);
    return gst_pad_stop_task(pad);
}

// hltensordec asks for the names of the model's classes: field "labels" (G_TYPE_STRV) of the structure "gst-hl-labels".
// The query goes no further up, where it would reach another model.
static gboolean gst_hl_infer_labels_query(GstHlInfer *self, GstQuery *query)
{
    const auto stream = gst_hl_infer_stream(self);
    if (!stream)
        return FALSE;
    std::vector<const gchar *> labels;
    for (const std::string &label : stream->engine_info().labels)
        labels.push_back(label.c_str());
    labels.push_back(nullptr);
    gst_structure_set(gst_query_writable_structure(query), "labels", G_TYPE_STRV, labels.data(), nullptr);
    return TRUE;
}

static gboolean gst_hl_infer_src_query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    auto *const self = GST_HL_INFER(parent);
    switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_LATENCY:
        return self->priv->latency.answer(self->priv->sink, gst_hl_infer_stream(self).get(), query);
    case GST_QUERY_CAPS:
        return gst_hl_complete_caps_query(pad, query,
                                          gst_hl_infer_caps_query(self, pad, self->priv->sink, query) ||
                                              gst_pad_query_default(pad, parent, query));
    case GST_QUERY_CUSTOM:
        if (const GstStructure *asked = gst_query_get_structure(query);
            asked && gst_structure_has_name(asked, "gst-hl-labels"))
            return gst_hl_infer_labels_query(self, query);
        break;
    case GST_QUERY_CONTEXT:
        if (gst_hl_handle_context_query(GST_ELEMENT_CAST(self), query, self->priv->device))
            return TRUE;
        break;
    case GST_QUERY_ACCEPT_CAPS:
        if (gst_hl_infer_caps_query(self, pad, self->priv->sink, query))
            return TRUE;
        break;
    default:
        break;
    }
    return gst_pad_query_default(pad, parent, query);
}

// ---- element ----

static GstStateChangeReturn gst_hl_infer_change_state(GstElement *element, GstStateChange transition)
{
    auto *const self = GST_HL_INFER(element);
    switch (transition) {
    case GST_STATE_CHANGE_NULL_TO_READY:
        if (!gst_hl_infer_open(self) || !gst_hl_infer_probe_importer(self)) {
            self->priv->device.reset();
            return GST_STATE_CHANGE_FAILURE;
        }
        break;
    case GST_STATE_CHANGE_READY_TO_PAUSED:
        if (!gst_hl_infer_start(self))
            return GST_STATE_CHANGE_FAILURE;
        break;
    default:
        break;
    }
    const auto result = GST_ELEMENT_CLASS(gst_hl_infer_parent_class)->change_state(element, transition);
    const bool failed_start = transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE;
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY || failed_start)
        gst_hl_infer_stop(self);
    else if (transition == GST_STATE_CHANGE_READY_TO_NULL)
        self->priv->device.reset();
    return result;
}

static void gst_hl_infer_set_context(GstElement *element, GstContext *context)
{
    auto *const self = GST_HL_INFER(element);
    const GstHlInferSettings settings = gst_hl_infer_settings(self);
    gst_hl_handle_set_context(element, context, settings.device.empty() ? nullptr : settings.device.c_str(),
                              self->priv->device);
    GST_ELEMENT_CLASS(gst_hl_infer_parent_class)->set_context(element, context);
}

static hl::CopyTotals gst_hl_infer_get_totals(GstHlCounted *counted)
{
    auto *const self = GST_HL_INFER(counted);
    const GstObjectLocker lock(self);
    return self->priv->stream ? self->priv->stream->totals() : self->priv->last_totals;
}

static void gst_hl_infer_counted_init(GstHlCountedInterface *iface)
{
    iface->get_totals = gst_hl_infer_get_totals;
}

static GstStructurePtr gst_hl_infer_get_stats(GstHlInfer *self)
{
    if (const auto stream = gst_hl_infer_stream(self)) {
        GstStructurePtr stats(gst_structure_new_empty("hlinfer-stats"));
        stream->fill(stats.get());
        return stats;
    }
    const GstObjectLocker lock(self);
    return GstStructurePtr(self->priv->last_stats ? gst_structure_copy(self->priv->last_stats.get())
                                                  : gst_structure_new_empty("hlinfer-stats"));
}

static void gst_hl_infer_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    auto *const self = GST_HL_INFER(object);
    const GstObjectLocker lock(self);
    if (!gst_hl_infer_settings_set(self->priv->settings, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    self->priv->interval = self->priv->settings.interval;
}

static void gst_hl_infer_get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    auto *const self = GST_HL_INFER(object);
    if (id == gst_hl_infer_stats_property) {
        g_value_take_boxed(value, gst_hl_infer_get_stats(self).release());
        return;
    }
    const GstObjectLocker lock(self);
    if (!gst_hl_infer_settings_get(self->priv->settings, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void gst_hl_infer_finalize(GObject *object)
{
    delete GST_HL_INFER(object)->priv;
    G_OBJECT_CLASS(gst_hl_infer_parent_class)->finalize(object);
}

static void gst_hl_infer_class_init(GstHlInferClass *klass)
{
    auto *const object_class = G_OBJECT_CLASS(klass);
    auto *const element_class = GST_ELEMENT_CLASS(klass);
    object_class->set_property = gst_hl_infer_set_property;
    object_class->get_property = gst_hl_infer_get_property;
    object_class->finalize = gst_hl_infer_finalize;
    element_class->change_state = gst_hl_infer_change_state;
    element_class->set_context = gst_hl_infer_set_context;
    gst_hl_infer_install_properties(object_class);

    GST_DEBUG_CATEGORY_INIT(gst_hl_infer_debug, "hlinfer", 0, "hlinfer element");
    gst_element_class_set_static_metadata(element_class, "Gaudi inference", "Filter/Analyzer/Video/Hardware",
                                          "Infers on video frames in Intel Gaudi memory and attaches the tensors",
                                          "gst-habana");
    const GstPtr<GstCaps> caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(gst_hl_video_caps()));
    gst_element_class_add_pad_template(element_class,
                                       gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, caps.get()));
    gst_element_class_add_pad_template(element_class,
                                       gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps.get()));
}

static void gst_hl_infer_init(GstHlInfer *self)
{
    self->priv = new GstHlInferPrivate;
    GstElementClass *const klass = GST_ELEMENT_GET_CLASS(self);
    GstPad *const sink = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");
    gst_pad_set_chain_function(sink, gst_hl_infer_chain);
    gst_pad_set_event_full_function(sink, gst_hl_infer_sink_event);
    gst_pad_set_query_function(sink, gst_hl_infer_sink_query);
    gst_pad_set_activatemode_function(sink, gst_hl_infer_sink_activate_mode);
    GST_PAD_SET_PROXY_CAPS(sink);
    gst_element_add_pad(GST_ELEMENT_CAST(self), sink);
    self->priv->sink = sink;

    GstPad *const src = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
    gst_pad_set_query_function(src, gst_hl_infer_src_query);
    gst_pad_set_activatemode_function(src, gst_hl_infer_src_activate_mode);
    GST_PAD_SET_PROXY_CAPS(src);
    gst_element_add_pad(GST_ELEMENT_CAST(self), src);
    self->priv->src = src;
}
