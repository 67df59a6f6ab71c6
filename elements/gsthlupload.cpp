// SPDX-License-Identifier: LGPL-2.1-or-later

/**
 * SECTION:element-hlupload
 * @title: hlupload
 * @short_description: brings video frames into Gaudi memory
 *
 * Frames leave in device memory always, as linear DMABuf. Upstream is offered a pool, of host pages that the device
 * reads by DMA (memory=auto and memory=host) or of device memory (memory=device, for producers that import dma-bufs by
 * P2P).
 *
 * | frame that comes in            | what happens                                   | counted as            |
 * |--------------------------------|------------------------------------------------|-----------------------|
 * | in Gaudi memory                | passes on                                      | -                     |
 * | in host pages of such a pool   | one DMA into Gaudi memory                      | upload                |
 * | anywhere else                  | the CPU copies it to a pinned page, then a DMA | CPU copy, and upload  |
 *
 * With zero-copy=require the last is an error instead. What was found is told once per negotiation by the element
 * message "hl-placement".
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! hlupload device=sim ! hldownload ! fakesink
 * ]| On the simulator, anywhere.
 * |[
 * gst-launch-1.0 v4l2src io-mode=dmabuf-import ! hlupload ! hlinfer model=builtin:demo ! hltensordec ! hldownload !
 * autovideosink
 * ]| With a camera whose driver captures into the offered host pages: no CPU copy.
 */

#include "gsthlupload.h"

#include "gsthlbufferpool.h"
#include "gsthlcaps.h"
#include "gsthldownstream.h"
#include "gsthlerror.h"
#include "gsthlframe.h"
#include "gsthlimportprobe.h"
#include "gsthloffer.h"
#include "gsthlplacement.h"
#include "gsthlproperties.h"
#include "gsthlptr.h"
#include "gsthlvideo.h"

#include <format>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace {

enum { PROP_0, PROP_MEMORY, PROP_PLANES, PROP_IMPORT_PROBE };

struct Settings {
    GstHlMemoryMode memory = GST_HL_MEMORY_AUTO;
    GstHlPlanes planes = GST_HL_PLANES_SINGLE;
    std::string import_probe;
    bool device_imported = false; // no property: what import-probe has shown
};

} // namespace

struct GstHlUploadPrivate {
    explicit GstHlUploadPrivate(GstElement *self);

    Settings settings; // guarded by the object lock

    GstHlOffer offer;
    std::mutex mutex;             // guards the pointer, for stats
    GstPtr<GstBufferPool> output; // device placement; null until negotiated

    bool display_refused = false; // and was told on the bus, since READY; state changes and caps events alternate

    // Streaming thread.
    GstHlInput input = GstHlInput::Foreign; // of the frame at hand
    hl::FrameLayout layout;                 // where it lies, unless foreign
    hl::OwnedMemory staging;                // pinned pages for foreign frames; empty until the first
};

struct _GstHlUpload {
    GstHlTransform parent;
    GstHlUploadPrivate *priv;
};

GST_DEBUG_CATEGORY_STATIC(hl_upload_debug);
#define GST_CAT_DEFAULT hl_upload_debug

G_DEFINE_FINAL_TYPE_WITH_CODE(GstHlUpload, gst_hl_upload, GST_TYPE_HL_TRANSFORM,
                              GST_DEBUG_CATEGORY_INIT(hl_upload_debug, "hlupload", 0, "Frames into Gaudi memory"))
GST_ELEMENT_REGISTER_DEFINE(hlupload, "hlupload", GST_RANK_NONE, GST_TYPE_HL_UPLOAD)

namespace {

Settings settings_of(GstHlUpload *self)
{
    const GstObjectLocker lock(self);
    return self->priv->settings;
}

void set_output(GstHlUpload *self, GstPtr<GstBufferPool> pool)
{
    const std::lock_guard lock(self->priv->mutex);
    std::swap(self->priv->output, pool);
}

GstPtr<GstBufferPool> get_output(GstHlUpload *self)
{
    const std::lock_guard lock(self->priv->mutex);
    return self->priv->output;
}

GstPtr<GstBufferPool> new_output(GstHlUpload *self)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    auto pool = gst_hl_buffer_pool_new(gst_hl_transform_device(base), hl::Placement::Device);
    GstHlAllocator *allocator = gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get()));
    gst_hl_allocator_set_strict(allocator, gst_hl_transform_copies_refused(base));
    gst_hl_allocator_set_owner(allocator, GST_ELEMENT(self));
    return pool;
}

// The offered pool could not give a frame to upstream, which then stops without a word of its own.
void report_offer_failure(GstElement *element, const hl::Error &error)
{
    (void)gst_hl_transform_fail(GST_HL_TRANSFORM(element), error);
}

hl::Error copy_refused(GstHlUpload *self)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    const GstHlOffer::Refusal refusal = self->priv->offer.explain();
    return {.code = self->priv->offer.wanted() ? hl::ErrorCode::PoolReplaced : hl::ErrorCode::CopyRefused,
            .operation = "upload frame",
            .device = gst_hl_transform_device(base)->info().name,
            .cause =
                std::format("the frames of {} lie in memory the device does not know: {} bytes a frame would have "
                            "to be copied by the CPU (zero-copy=require); {}",
                            gst_hl_transform_upstream_name(base), gst_hl_transform_format(base).bytes, refusal.why),
            .remedy = refusal.remedy + ", or set zero-copy=auto"};
}

void report_placement(GstHlUpload *self, const gchar *placement, const gchar *reason)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    const uint64_t bytes = gst_hl_transform_format(base).bytes;
    GstHlPlacementReport report{.placement = placement, .reason = reason, .bytes_per_frame = bytes};
    switch (self->priv->input) {
    case GstHlInput::Device:
        break;
    case GstHlInput::Host:
        report.cost = std::format("1 upload of {} bytes a frame", bytes);
        break;
    case GstHlInput::Foreign: {
        report.cost = std::format("1 CPU copy and 1 upload of {} bytes a frame", bytes);
        report.copies = true;
        const GstHlOffer::Refusal refusal = self->priv->offer.explain();
        report.suggestion = std::format("{}: {}", refusal.why, refusal.remedy);
        break;
    }
    }
    gst_hl_post_placement(GST_ELEMENT(self), report);
}

// Sets priv->input and priv->layout, and says so the first time. Errors: a frame that does not fit its caps, or a CPU
// copy under zero-copy=require.
hl::Status classify(GstHlUpload *self, GstBuffer *buffer)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    GstHlUploadPrivate &priv = *self->priv;
    auto layout = gst_hl_buffer_layout(buffer, gst_hl_transform_format(base).in, *gst_hl_transform_device(base));
    if (!layout)
        return std::unexpected(std::move(layout.error()));
    const gchar *placement = "system";
    const gchar *reason = nullptr;
    if (*layout) {
        priv.layout = **layout;
        const bool device = priv.layout.placement() == hl::Placement::Device;
        priv.input = device ? GstHlInput::Device : GstHlInput::Host;
        placement = device ? "device" : "host";
        reason = priv.offer.made(buffer) ? "own-pool" : "upstream-pool";
    } else {
        priv.input = GstHlInput::Foreign;
        if (gst_hl_transform_copies_refused(base))
            return std::unexpected(copy_refused(self));
        reason = priv.offer.explain().reason;
    }
    if (gst_hl_transform_saw_frame(base, placement, reason))
        report_placement(self, placement, reason);
    return {};
}

// Brings a foreign frame to pinned pages; priv->layout then is where it lies. Counted.
hl::Status stage(GstHlUpload *self, GstBuffer *buffer)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    GstHlUploadPrivate &priv = *self->priv;
    const auto &device = gst_hl_transform_device(base);
    const GstHlTransformFormat &format = gst_hl_transform_format(base);
    auto mapped = GstHlMappedFrame::map(buffer, format.in);
    if (!mapped)
        return std::unexpected(std::move(mapped.error()));
    const hl::PlanePlacement planes = hl::packed_placement(format.frame);
    if (!priv.staging || priv.staging.get().size < planes.size ||
        priv.staging.get().generation != device->generation()) {
        auto pages = hl::OwnedMemory::allocate(device, planes.size, hl::Placement::Host);
        if (!pages)
            return std::unexpected(std::move(pages.error()));
        priv.staging = std::move(*pages);
    }
    priv.layout = hl::layout_in(format.frame, priv.staging.get(), planes);
    return gst_hl_transform_move(base, hl::CopyKind::CpuCopy,
                                 [&] { return gst_hl_frame_write(*device, mapped->view(), priv.layout); });
}

hl::Status upload(GstHlUpload *self, GstBuffer *in, GstBuffer *out)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    const auto &device = gst_hl_transform_device(base);
    if (self->priv->input == GstHlInput::Foreign)
        if (auto staged = stage(self, in); !staged)
            return staged;
    auto target = gst_hl_buffer_layout(out, gst_hl_transform_format(base).out, *device);
    if (!target)
        return std::unexpected(std::move(target.error()));
    if (!*target)
        return hl::fail(hl::ErrorCode::Internal, "upload frame", "the output frame is not the device's");
    auto moved = gst_hl_transform_move(base, hl::CopyKind::Upload,
                                       [&] { return gst_hl_frame_transfer(*device, self->priv->layout, **target); });
    if (moved)
        gst_hl_memory_device_written(gst_buffer_peek_memory(out, 0));
    return moved;
}

} // namespace

GstHlUploadPrivate::GstHlUploadPrivate(GstElement *self) : offer(self, report_offer_failure) {}

static void gst_hl_upload_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    Settings &settings = GST_HL_UPLOAD(object)->priv->settings;
    const GstObjectLocker lock(object);
    switch (id) {
    case PROP_MEMORY:
        settings.memory = static_cast<GstHlMemoryMode>(g_value_get_enum(value));
        break;
    case PROP_PLANES:
        settings.planes = static_cast<GstHlPlanes>(g_value_get_enum(value));
        break;
    case PROP_IMPORT_PROBE: {
        const gchar *const node = g_value_get_string(value);
        settings.import_probe = node ? node : "";
        break;
    }
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void gst_hl_upload_get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    const Settings settings = settings_of(GST_HL_UPLOAD(object));
    switch (id) {
    case PROP_MEMORY:
        g_value_set_enum(value, settings.memory);
        break;
    case PROP_PLANES:
        g_value_set_enum(value, settings.planes);
        break;
    case PROP_IMPORT_PROBE:
        g_value_set_string(value, settings.import_probe.empty() ? nullptr : settings.import_probe.c_str());
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static bool gst_hl_upload_probe_importer(GstHlUpload *self)
{
    const auto imported = gst_hl_probe_importer(GST_ELEMENT(self), settings_of(self).import_probe,
                                                gst_hl_transform_device(GST_HL_TRANSFORM(self)));
    const GstObjectLocker lock(self);
    self->priv->settings.device_imported = imported.value_or(false);
    return imported.has_value();
}

static GstCaps *gst_hl_upload_transform_caps(GstBaseTransform *, GstPadDirection direction, GstCaps *caps,
                                             GstCaps *filter)
{
    GstCaps *out = gst_hl_caps_to_dmabuf(caps);
    if (direction == GST_PAD_SRC)
        gst_caps_append(out, gst_hl_caps_to_system(caps));
    if (!filter)
        return out;
    GstCaps *filtered = gst_caps_intersect_full(filter, out, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref(out);
    return filtered;
}

static gboolean gst_hl_upload_set_caps(GstBaseTransform *trans, GstCaps *in, GstCaps *out)
{
    GstHlUpload *self = GST_HL_UPLOAD(trans);
    self->priv->offer.forget();
    self->priv->staging.reset();
    return GST_BASE_TRANSFORM_CLASS(gst_hl_upload_parent_class)->set_caps(trans, in, out);
}

static gboolean gst_hl_upload_propose_allocation(GstBaseTransform *trans, GstQuery *, GstQuery *query)
{
    GstHlUpload *self = GST_HL_UPLOAD(trans);
    GstHlTransform *base = GST_HL_TRANSFORM(trans);
    const Settings settings = settings_of(self);
    if (!gst_hl_transform_device(base) ||
        !self->priv->offer.propose(
            query, {.device = gst_hl_transform_device(base),
                    .placement = gst_hl_memory_mode_placement(settings.memory, settings.device_imported),
                    .planes = settings.planes,
                    .strict = gst_hl_transform_copies_refused(base)}))
        return FALSE;
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
    return TRUE;
}

// Whether device frames may go where this element is linked to; tells the user if not, once.
static bool gst_hl_upload_fits_display(GstHlUpload *self)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    auto fits = gst_hl_check_display(GST_BASE_TRANSFORM_SRC_PAD(self), *gst_hl_transform_device(base));
    if (!fits && !std::exchange(self->priv->display_refused, true))
        (void)gst_hl_transform_fail(base, fits.error());
    return fits.has_value();
}

// For a sink that was linked after PAUSED.
static gboolean gst_hl_upload_sink_event(GstBaseTransform *trans, GstEvent *event)
{
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS && !gst_hl_upload_fits_display(GST_HL_UPLOAD(trans))) {
        gst_event_unref(event);
        return FALSE;
    }
    return GST_BASE_TRANSFORM_CLASS(gst_hl_upload_parent_class)->sink_event(trans, event);
}

static GstStateChangeReturn gst_hl_upload_change_state(GstElement *element, GstStateChange transition)
{
    GstElementClass *const parent = GST_ELEMENT_CLASS(gst_hl_upload_parent_class);
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
        // Before caps are negotiated: with a compositor that takes no dma-bufs we have none in common, and nobody would
        // say why.
        GST_HL_UPLOAD(element)->priv->display_refused = false;
        gst_hl_transform_clear_failure(GST_HL_TRANSFORM(element)); // of the start before
        if (!gst_hl_upload_fits_display(GST_HL_UPLOAD(element)))
            return GST_STATE_CHANGE_FAILURE;
    }
    const GstStateChangeReturn result = parent->change_state(element, transition);
    // The device is open from here on.
    if (transition != GST_STATE_CHANGE_NULL_TO_READY || result == GST_STATE_CHANGE_FAILURE ||
        gst_hl_upload_probe_importer(GST_HL_UPLOAD(element)))
        return result;
    (void)parent->change_state(element, GST_STATE_CHANGE_READY_TO_NULL);
    return GST_STATE_CHANGE_FAILURE;
}

// The output pool is ours always: what downstream proposes would be the same at best.
static gboolean gst_hl_upload_decide_allocation(GstBaseTransform *trans, GstQuery *query)
{
    GstHlUpload *self = GST_HL_UPLOAD(trans);
    GstCaps *caps = nullptr;
    gst_query_parse_allocation(query, &caps, nullptr);
    guint min = 0;
    if (gst_query_get_n_allocation_pools(query) > 0)
        gst_query_parse_nth_allocation_pool(query, 0, nullptr, nullptr, &min, nullptr);
    auto pool = new_output(self);
    if (auto ready = gst_hl_buffer_pool_setup(pool.get(), caps, 0, min, 0, true); !ready) {
        (void)gst_hl_transform_fail(GST_HL_TRANSFORM(self), ready.error());
        return FALSE;
    }
    GstVideoInfo info;
    (void)gst_hl_video_info_from_caps(caps, &info);
    gst_hl_transform_set_query_pool(query, pool.get(), static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)), min);
    set_output(self, std::move(pool));
    return TRUE;
}

// Decides what becomes of the frame. A device frame goes on as it is; GstBaseTransform allows the input as output.
static GstFlowReturn gst_hl_upload_prepare_output_buffer(GstBaseTransform *trans, GstBuffer *in, GstBuffer **out)
{
    GstHlUpload *self = GST_HL_UPLOAD(trans);
    GstHlTransform *base = GST_HL_TRANSFORM(trans);
    if (auto known = classify(self, in); !known)
        return gst_hl_transform_fail(base, known.error());
    if (self->priv->input == GstHlInput::Device) {
        for (guint i = 0; i < gst_buffer_n_memory(in); ++i)
            gst_hl_memory_peer_written(gst_buffer_peek_memory(in, i));
        if (!gst_hl_transform_device(base)->info().simulated && self->priv->offer.made(in) &&
            gst_hl_buffer_filled_by_peer(in))
            gst_hl_transform_count(base, hl::CopyKind::P2P);
        *out = in;
        return GST_FLOW_OK;
    }
    const auto pool = get_output(self);
    const GstFlowReturn flow = gst_hl_transform_acquire(base, pool.get(), out);
    if (flow == GST_FLOW_OK)
        gst_hl_buffer_copy_metadata(in, *out);
    return flow;
}

static GstFlowReturn gst_hl_upload_transform(GstBaseTransform *trans, GstBuffer *in, GstBuffer *out)
{
    if (in == out)
        return GST_FLOW_OK;
    if (auto done = upload(GST_HL_UPLOAD(trans), in, out); !done)
        return gst_hl_transform_fail(GST_HL_TRANSFORM(trans), done.error());
    return GST_FLOW_OK;
}

static gboolean gst_hl_upload_stop(GstBaseTransform *trans)
{
    GstHlUpload *self = GST_HL_UPLOAD(trans);
    if (const auto pool = get_output(self))
        (void)gst_buffer_pool_set_active(pool.get(), FALSE);
    set_output(self, {});
    self->priv->offer.reset();
    self->priv->staging.reset();
    return TRUE;
}

static hl::CopyTotals gst_hl_upload_mapped(GstHlTransform *base)
{
    GstHlUpload *self = GST_HL_UPLOAD(base);
    hl::CopyTotals sum = self->priv->offer.totals();
    if (const auto pool = get_output(self))
        sum += gst_hl_allocator_totals(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get())));
    return sum;
}

static void gst_hl_upload_finalize(GObject *object)
{
    delete GST_HL_UPLOAD(object)->priv;
    G_OBJECT_CLASS(gst_hl_upload_parent_class)->finalize(object);
}

static void gst_hl_upload_class_init(GstHlUploadClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = gst_hl_upload_set_property;
    object_class->get_property = gst_hl_upload_get_property;
    object_class->finalize = gst_hl_upload_finalize;
    constexpr auto flags =
        static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
    g_object_class_install_property(object_class, PROP_MEMORY,
                                    g_param_spec_enum("memory", "Memory", "Which pool is offered upstream",
                                                      GST_TYPE_HL_MEMORY_MODE, GST_HL_MEMORY_AUTO, flags));
    g_object_class_install_property(object_class, PROP_PLANES,
                                    g_param_spec_enum("planes", "Planes",
                                                      "Dma-bufs per frame of the pool that is offered upstream",
                                                      GST_TYPE_HL_PLANES, GST_HL_PLANES_SINGLE, flags));
    g_object_class_install_property(object_class, PROP_IMPORT_PROBE, gst_hl_import_probe_spec());
    gst_type_mark_as_plugin_api(GST_TYPE_HL_PLANES, static_cast<GstPluginAPIFlags>(0));
    gst_type_mark_as_plugin_api(GST_TYPE_HL_MEMORY_MODE, static_cast<GstPluginAPIFlags>(0));

    GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
    element_class->change_state = gst_hl_upload_change_state;
    gst_element_class_set_static_metadata(element_class, "Gaudi uploader", "Filter/Converter/Video/Hardware",
                                          "Brings video frames into Intel Gaudi memory, by DMA where the producer uses "
                                          "the offered pool",
                                          "gst-habana");
    gst_hl_transform_add_template(element_class, "sink", GST_PAD_SINK, gst_hl_video_caps());
    gst_hl_transform_add_template(element_class, "src", GST_PAD_SRC, gst_hl_video_caps_dmabuf());

    GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS(klass);
    trans_class->transform_caps = gst_hl_upload_transform_caps;
    trans_class->sink_event = gst_hl_upload_sink_event;
    trans_class->set_caps = gst_hl_upload_set_caps;
    trans_class->propose_allocation = gst_hl_upload_propose_allocation;
    trans_class->decide_allocation = gst_hl_upload_decide_allocation;
    trans_class->prepare_output_buffer = gst_hl_upload_prepare_output_buffer;
    trans_class->transform = gst_hl_upload_transform;
    trans_class->stop = gst_hl_upload_stop;
    GST_HL_TRANSFORM_CLASS(klass)->mapped = gst_hl_upload_mapped;
}

static void gst_hl_upload_init(GstHlUpload *self)
{
    self->priv = new GstHlUploadPrivate(GST_ELEMENT(self));
}
