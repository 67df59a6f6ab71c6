// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-hltensordec
 * @title: hltensordec
 *
 * Turns the tensors that hlinfer attached to a frame into what they mean, a #GstAnalyticsRelationMeta which stock
 * overlays, trackers and applications read:
 *
 * - a #GstAnalyticsODMtd per object, in pixels of the frame: YOLOv8 and v11 (tensor id `yolo-v8-out`), YOLOv5
 *   (`yolo-v5-out`), TensorFlow's SSD (`ssd-mobilenet-v1-variant-1-out-boxes`, `-scores`, `-classes` and
 *   `generic-variant-1-out-count`);
 * - beside it a #GstAnalyticsSegmentationMtd, related to it: YOLOv8 and v11 segmentation
 *   (`yolo-v8-segmentation-out-detections` and `-protos`);
 * - a #GstAnalyticsClsMtd: classifiers (`classification-generic-out`, `classification-generic-softmaxed-out`).
 *
 * Which of them is decided by the tensors' ids, or by #hltensordec:decoder. The frame is never mapped, so it may lie in
 * any memory. Frames without tensors pass through. A candidate with values that are not finite is dropped and counted
 * in #hltensordec:stats.
 *
 * The classes' names come from the file named by #hltensordec:labels, else from the model (hlinfer is asked for them).
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc ! hlinfer model=builtin:demo ! hltensordec ! objectdetectionoverlay ! autovideosink
 * ]|
 * |[
 * gst-launch-1.0 videotestsrc ! hlinfer model=builtin:demo ! tee ! queue ! hltensordec classes=circle,square ! fakesink
 * ]|
 */
#include "gsthltensordec.h"

#include "gsthlanalyticswriter.h"
#include "gsthlerror.h"
#include "gsthlptr.h"
#include "gsthltensorcaps.h"
#include "gsthltensordecproperties.h"
#include "gsthltensorgroup.h"
#include "gsthltransformmeta.h"
#include "inference/classfilter.h"
#include "inference/labels.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <format>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

GST_DEBUG_CATEGORY_STATIC(gst_hl_tensor_dec_debug);
#define GST_CAT_DEFAULT gst_hl_tensor_dec_debug

namespace {

// What a decoder was made for.
struct DecoderKey {
    hl::DecoderKind kind = hl::DecoderKind::YoloV8;
    bool softmax = false;
    std::array<hl::TensorKey, hl::max_decoder_tensors> tensors;

    friend bool operator==(const DecoderKey &, const DecoderKey &) noexcept = default;
};

// Touched by the streaming thread, and by start() and stop() while there is none.
struct State {
    GstHlTensorDecSettings settings; // as of the last frame
    GstHlTensorFinder finder;

    std::vector<std::string> labels;
    bool labels_from_file = false;
    bool labels_asked = false; // upstream was asked since the last caps

    DecoderKey key;
    std::unique_ptr<hl::TensorDecoder> decoder;
    std::vector<uint8_t> wanted; // of the property classes
    bool wanted_known = false;
    GstHlAnalyticsWriter writer;

    hl::DecodeFrame frame;
    std::optional<hl::Decoded> found; // of the frame at hand; nothing where it had no tensors

    State() { settings.serial = 0; } // older than any the user has made
};

// Of a run, from READY to READY. Guarded by the object lock.
struct Counts {
    uint64_t frames = 0;
    uint64_t decoded = 0; // those with tensors
    uint64_t detections = 0;
    uint64_t classifications = 0;
    uint64_t masks = 0;
    uint64_t dropped_nonfinite = 0;
    uint64_t dropped_candidates = 0;
    std::optional<hl::DecoderKind> decoder; // the last one used
};

} // namespace

struct GstHlTensorDecPrivate {
    GstHlTensorDecSettings settings; // guarded by the object lock
    Counts counts;
    State state;
    bool failed = false; // and was told on the bus, since READY or the last flush; as State

    GstPadEventFunction base_event = nullptr; // GstBaseTransform's, of the sink pad
};

struct _GstHlTensorDec {
    GstBaseTransform parent;
    GstHlTensorDecPrivate *priv;
};

G_DEFINE_FINAL_TYPE(GstHlTensorDec, gst_hl_tensor_dec, GST_TYPE_BASE_TRANSFORM)
GST_ELEMENT_REGISTER_DEFINE_WITH_CODE(hltensordec, "hltensordec", GST_RANK_NONE, GST_TYPE_HL_TENSOR_DEC,
                                      GST_DEBUG_CATEGORY_INIT(gst_hl_tensor_dec_debug, "hltensordec", 0,
                                                              "tensors to detections"))

namespace {

// Any video memory: nothing here looks at the pixels.
GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS("video/x-raw(ANY)"));
GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("video/x-raw(ANY)"));

// Asks upstream for the model's labels. The contract with hlinfer: a custom query whose structure is named
// "gst-hl-labels"; whoever knows sets its field "labels" (G_TYPE_STRV) and returns TRUE.
std::vector<std::string> query_labels(GstPad *sink_pad)
{
    const auto query =
        GstPtr<GstQuery>::adopt(gst_query_new_custom(GST_QUERY_CUSTOM, gst_structure_new_empty("gst-hl-labels")));
    std::vector<std::string> out;
    if (!gst_pad_peer_query(sink_pad, query.get()))
        return out;
    const GValue *value = gst_structure_get_value(gst_query_get_structure(query.get()), "labels");
    if (value && G_VALUE_HOLDS(value, G_TYPE_STRV))
        for (auto *names = static_cast<gchar **>(g_value_get_boxed(value)); names && *names; ++names)
            out.emplace_back(*names);
    return out;
}

GstHlTensorDec *self_of(gpointer instance) noexcept
{
    return GST_HL_TENSOR_DEC(instance);
}

// Takes the user's settings over where they have changed. What depends on them is made anew.
hl::Status take_settings(GstHlTensorDec *self)
{
    State &state = self->priv->state;
    {
        const GstObjectLocker lock(self);
        if (self->priv->settings.serial == state.settings.serial)
            return {};
        state.settings = self->priv->settings;
    }
    state.wanted_known = false;
    auto finder = GstHlTensorFinder::create(state.settings.decoder, state.settings.tensor_id);
    if (!finder) {
        state.settings.serial = 0; // so that no later frame is decoded by the settings before
        return std::unexpected(std::move(finder.error()));
    }
    state.finder = std::move(*finder);
    return {};
}

void warn_about_surplus_labels(GstHlTensorDec *self, size_t labels, uint32_t classes)
{
    gst_hl_post_warning(
        GST_ELEMENT(self),
        {hl::ErrorCode::LabelsInvalid, "name classes", 0, "",
         std::format("there are {} labels for the {} classes of the model; the surplus is not used", labels, classes),
         "check that the label file belongs to the model"});
}

hl::Result<DecoderKey> key_of(const GstHlTensorGroup &group, GstHlTensorDecSoftmax softmax)
{
    DecoderKey key{.kind = group.kind, .softmax = softmax == GST_HL_TENSOR_DEC_SOFTMAX_ON, .tensors = {}};
    if (softmax == GST_HL_TENSOR_DEC_SOFTMAX_AUTO)
        key.softmax = !group.probabilities;
    for (size_t i = 0; i < group.count; ++i) {
        const auto tensor = gst_hl_tensor_key(*group.tensors[i]);
        if (!tensor)
            return std::unexpected(tensor.error());
        key.tensors[i] = *tensor;
    }
    return key;
}

// Makes the decoder for tensors like `key`, of which there are `count`, and the names of its classes.
hl::Status configure_decoder(GstHlTensorDec *self, const DecoderKey &key, size_t count)
{
    State &state = self->priv->state;
    state.decoder.reset();
    state.wanted_known = false;
    if (!state.labels_from_file && !std::exchange(state.labels_asked, true))
        state.labels = query_labels(GST_BASE_TRANSFORM_SINK_PAD(self));

    auto decoder = hl::make_decoder(key.kind, std::span(key.tensors).first(count), state.labels.size(), key.softmax);
    if (!decoder)
        return std::unexpected(std::move(decoder.error()));
    const uint32_t classes = (*decoder)->classes();
    if (classes != 0 && state.labels.size() > classes)
        warn_about_surplus_labels(self, state.labels.size(), classes);
    state.writer.set_labels(state.labels);
    state.key = key;
    state.decoder = std::move(*decoder);
    GST_DEBUG_OBJECT(self, "decoding %s of %s: %u classes, %zu labels", std::string(hl::decoder_name(key.kind)).c_str(),
                     key.tensors[0].shape.text().c_str(), classes, state.labels.size());
    return {};
}

// Makes the decoder fit the tensors of `group`, and knows what classes are wanted of it.
hl::Status prepare(GstHlTensorDec *self, const GstHlTensorGroup &group)
{
    State &state = self->priv->state;
    const auto key = key_of(group, state.settings.softmax);
    if (!key)
        return std::unexpected(key.error());
    if (!state.decoder || state.key != *key)
        if (auto status = configure_decoder(self, *key, group.count); !status)
            return status;
    if (state.wanted_known)
        return {};
    auto wanted = hl::parse_classes(state.settings.classes, state.labels, state.decoder->classes());
    if (!wanted)
        return std::unexpected(std::move(wanted.error()));
    state.wanted = std::move(*wanted);
    state.settings.options.wanted = state.wanted;
    state.wanted_known = true;
    return {};
}

hl::Status check_data(const GstBufferMap &map, size_t bytes, const hl::TensorKey &key)
{
    if (map && map.size() >= bytes && reinterpret_cast<uintptr_t>(map.data()) % hl::dtype_size(key.type) == 0)
        return {};
    return hl::fail(
        hl::ErrorCode::TensorShape, "read tensor",
        map ? std::format("expected {} aligned bytes for a tensor of {}, got {}", bytes, key.shape.text(), map.size())
            : std::string("the tensor's data cannot be mapped"),
        "report this to the author of the element that made the tensor");
}

hl::Status decode(GstHlTensorDec *self, GstBuffer *buffer, const GstHlTensorGroup &group)
{
    State &state = self->priv->state;
    if (auto status = prepare(self, group); !status)
        return status;

    std::array<std::optional<GstBufferMap>, hl::max_decoder_tensors> maps;
    std::array<std::span<const std::byte>, hl::max_decoder_tensors> data;
    for (size_t i = 0; i < group.count; ++i) {
        const size_t bytes = state.decoder->tensor_bytes()[i];
        maps[i].emplace(group.tensors[i]->data, GST_MAP_READ);
        if (auto status = check_data(*maps[i], bytes, state.key.tensors[i]); !status)
            return status;
        data[i] = {reinterpret_cast<const std::byte *>(maps[i]->data()), bytes};
    }
    const GstHlTransformMeta *fitted = gst_hl_buffer_get_transform_meta(buffer);
    state.frame.transform = fitted ? fitted->transform : hl::FrameTransform{};
    state.frame.model_width = fitted ? fitted->model_width : 0;
    state.frame.model_height = fitted ? fitted->model_height : 0;
    state.found = state.decoder->decode(std::span(data).first(group.count), state.frame, state.settings.options);
    return {};
}

void count(GstHlTensorDec *self)
{
    const State &state = self->priv->state;
    const GstObjectLocker lock(self);
    Counts &counts = self->priv->counts;
    ++counts.frames;
    if (!state.found)
        return;
    ++counts.decoded;
    counts.detections += state.found->objects.size();
    counts.classifications += state.found->classes.size();
    counts.masks += state.found->masks.size();
    counts.dropped_nonfinite += state.found->nonfinite;
    counts.dropped_candidates += state.found->cut;
    counts.decoder = state.key.kind;
}

// Looks at the tensors of `buffer` and leaves what was found in the state. Nothing of `buffer` is changed.
hl::Status look_at(GstHlTensorDec *self, GstBuffer *buffer)
{
    State &state = self->priv->state;
    state.found.reset();
    if (auto status = take_settings(self); !status)
        return status;
    const auto group = state.finder.find(buffer);
    if (!group)
        return std::unexpected(group.error());
    if (*group)
        if (auto status = decode(self, buffer, **group); !status)
            return status;
    count(self);
    return {};
}

GstStructurePtr stats_of(GstHlTensorDec *self)
{
    Counts counts;
    {
        const GstObjectLocker lock(self);
        counts = self->priv->counts;
    }
    const std::string decoder(counts.decoder ? hl::decoder_name(*counts.decoder) : "none");
    return GstStructurePtr(gst_structure_new(
        "hltensordec-stats", "decoder", G_TYPE_STRING, decoder.c_str(), "frames", G_TYPE_UINT64, guint64{counts.frames},
        "decoded", G_TYPE_UINT64, guint64{counts.decoded}, "detections", G_TYPE_UINT64, guint64{counts.detections},
        "classifications", G_TYPE_UINT64, guint64{counts.classifications}, "masks", G_TYPE_UINT64,
        guint64{counts.masks}, "dropped-nonfinite", G_TYPE_UINT64, guint64{counts.dropped_nonfinite},
        "dropped-candidates", G_TYPE_UINT64, guint64{counts.dropped_candidates}, nullptr));
}

} // namespace

// Upstream stops at FLUSHING without an error of its own. Until a flush nothing more is decoded.
static GstFlowReturn gst_hl_tensor_dec_fail(GstHlTensorDec *self, const hl::Error &error)
{
    if (!std::exchange(self->priv->failed, true))
        gst_hl_post_error(GST_ELEMENT(self), error);
    return GST_FLOW_FLUSHING;
}

// In GStreamer 1.26 a GstTensorMeta does not survive a copy of its buffer, so the tensors are read from the input,
// before it is made writable. A frame without tensors goes on as it is.
static GstFlowReturn gst_hl_tensor_dec_prepare_output_buffer(GstBaseTransform *trans, GstBuffer *input,
                                                             GstBuffer **output)
{
    auto *self = self_of(trans);
    if (self->priv->failed)
        return GST_FLOW_FLUSHING;
    if (auto status = look_at(self, input); !status)
        return gst_hl_tensor_dec_fail(self, status.error());
    // A copy shares the frame's memory; only the buffer's own fields and metas are new.
    *output = !self->priv->state.found || gst_buffer_is_writable(input) ? input : gst_buffer_copy(input);
    return GST_FLOW_OK;
}

static GstFlowReturn gst_hl_tensor_dec_transform_ip(GstBaseTransform *trans, GstBuffer *buffer)
{
    State &state = self_of(trans)->priv->state;
    if (state.found)
        state.writer.write(buffer, *state.found, state.frame);
    return GST_FLOW_OK;
}

// Behind us the caps say nothing of tensors, unless somebody there asks for them.
static GstCaps *gst_hl_tensor_dec_transform_caps(GstBaseTransform *, GstPadDirection direction, GstCaps *caps,
                                                 GstCaps *filter)
{
    auto out = direction == GST_PAD_SINK ? GstHlTensorCaps::drop(caps) : GstPtr<GstCaps>::share(caps);
    if (filter)
        out = GstPtr<GstCaps>::adopt(gst_caps_intersect_full(filter, out.get(), GST_CAPS_INTERSECT_FIRST));
    return out.release();
}

static gboolean gst_hl_tensor_dec_set_caps(GstBaseTransform *trans, GstCaps *caps, GstCaps *)
{
    State &state = self_of(trans)->priv->state;
    const GstStructure *video = gst_caps_get_structure(caps, 0);
    gint width = 0, height = 0;
    if (!gst_structure_get_int(video, "width", &width) || !gst_structure_get_int(video, "height", &height) ||
        width <= 0 || height <= 0) {
        (void)gst_hl_tensor_dec_fail(self_of(trans),
                                     {.code = hl::ErrorCode::FormatUnsupported,
                                      .operation = "take caps",
                                      .cause = std::format("{} has no size, which boxes are pixels of",
                                                           GCharPtr(gst_caps_to_string(caps)).get()),
                                      .remedy = "set width and height in the caps of what makes the frames"});
        return FALSE;
    }
    state.frame.width = static_cast<uint32_t>(width);
    state.frame.height = static_cast<uint32_t>(height);
    // A new stream may come from another model.
    state.decoder.reset();
    state.labels_asked = false;
    return TRUE;
}

static gboolean gst_hl_tensor_dec_sink_event(GstBaseTransform *trans, GstEvent *event)
{
    auto *self = self_of(trans);
    // Only the streaming thread writes them, and this is it.
    const Counts &counts = self->priv->counts;
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS && counts.frames > 0 && counts.decoded == 0)
        gst_hl_post_warning(GST_ELEMENT(self),
                            {hl::ErrorCode::TensorShape, "find tensor", 0, "",
                             std::format("none of the {} frames carried a tensor", counts.frames),
                             "put hltensordec behind hlinfer, with nothing in between that copies frames (GStreamer "
                             "1.26 drops tensors from copies)"});
    // Before the sinks see the end: gst-launch-1.0 -v prints nothing that is on the bus behind their EOS.
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS)
        g_object_notify(G_OBJECT(self), "stats");
    return GST_BASE_TRANSFORM_CLASS(gst_hl_tensor_dec_parent_class)->sink_event(trans, event);
}

// A flow return and not a boolean: what was told on the bus would otherwise reach the source as an error of its own
// (gstpad.c push_sticky).
static GstFlowReturn gst_hl_tensor_dec_pad_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    GstHlTensorDecPrivate &priv = *self_of(parent)->priv;
    const bool caps = GST_EVENT_TYPE(event) == GST_EVENT_CAPS, serialized = GST_EVENT_IS_SERIALIZED(event);
    if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP)
        priv.failed = false;
    if (serialized && priv.failed) {
        gst_event_unref(event);
        return GST_FLOW_FLUSHING;
    }
    if (priv.base_event(pad, parent, event))
        return GST_FLOW_OK;
    if (serialized && priv.failed)
        return GST_FLOW_FLUSHING;
    return caps ? GST_FLOW_NOT_NEGOTIATED : GST_FLOW_ERROR; // as gst_pad_send_event_unchecked() does
}

static gboolean gst_hl_tensor_dec_start(GstBaseTransform *trans)
{
    auto *self = self_of(trans);
    State &state = self->priv->state;
    state = {};
    self->priv->failed = false;
    std::string file;
    {
        const GstObjectLocker lock(self);
        self->priv->counts = {};
        file = self->priv->settings.labels;
    }
    if (file.empty())
        return TRUE;
    auto labels = hl::read_labels(file);
    if (!labels) {
        gst_hl_post_error(GST_ELEMENT(self), labels.error());
        return FALSE;
    }
    state.labels = std::move(*labels);
    state.labels_from_file = true;
    return TRUE;
}

static gboolean gst_hl_tensor_dec_stop(GstBaseTransform *trans)
{
    self_of(trans)->priv->state = {};
    g_object_notify(G_OBJECT(trans), "stats");
    return TRUE;
}

static void gst_hl_tensor_dec_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    auto *self = self_of(object);
    const GstObjectLocker lock(self);
    if (!gst_hl_tensor_dec_settings_set(self->priv->settings, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_hl_tensor_dec_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    auto *self = self_of(object);
    if (id == gst_hl_tensor_dec_stats_property) {
        g_value_take_boxed(value, stats_of(self).release());
        return;
    }
    const GstObjectLocker lock(self);
    if (!gst_hl_tensor_dec_settings_get(self->priv->settings, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_hl_tensor_dec_finalize(GObject *object)
{
    delete self_of(object)->priv;
    G_OBJECT_CLASS(gst_hl_tensor_dec_parent_class)->finalize(object);
}

static void gst_hl_tensor_dec_init(GstHlTensorDec *self)
{
    self->priv = new GstHlTensorDecPrivate;
    gst_base_transform_set_in_place(GST_BASE_TRANSFORM(self), TRUE);
    GstPad *const sink = GST_BASE_TRANSFORM_SINK_PAD(self);
    self->priv->base_event = GST_PAD_EVENTFUNC(sink);
    gst_pad_set_event_full_function(sink, gst_hl_tensor_dec_pad_event);
}

static void gst_hl_tensor_dec_class_init(GstHlTensorDecClass *klass)
{
    auto *object = G_OBJECT_CLASS(klass);
    object->set_property = gst_hl_tensor_dec_set_property;
    object->get_property = gst_hl_tensor_dec_get_property;
    object->finalize = gst_hl_tensor_dec_finalize;
    gst_hl_tensor_dec_install_properties(object);

    auto *element = GST_ELEMENT_CLASS(klass);
    gst_element_class_add_static_pad_template(element, &sink_template);
    gst_element_class_add_static_pad_template(element, &src_template);
    gst_element_class_set_static_metadata(
        element, "Gaudi tensor decoder", "Tensordecoder/Video",
        "Turns the output tensors of YOLO, SSD, segmentation and classification models into objects, in pixels of the "
        "frame, masks and classes",
        "gst-habana");

    auto *transform = GST_BASE_TRANSFORM_CLASS(klass);
    transform->start = gst_hl_tensor_dec_start;
    transform->stop = gst_hl_tensor_dec_stop;
    transform->transform_caps = gst_hl_tensor_dec_transform_caps;
    transform->set_caps = gst_hl_tensor_dec_set_caps;
    transform->sink_event = gst_hl_tensor_dec_sink_event;
    transform->prepare_output_buffer = gst_hl_tensor_dec_prepare_output_buffer;
    transform->transform_ip = gst_hl_tensor_dec_transform_ip;
}
