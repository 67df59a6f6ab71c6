// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-hltensordec
 * @title: hltensordec
 *
 * Turns the tensors that hlinfer attached to a frame into detections: a #GstAnalyticsRelationMeta with one
 * #GstAnalyticsODMtd per object, in pixels of the frame, which stock overlays, trackers and applications read. Takes
 * the output of YOLOv8 and v11 detection heads, float32 1x(4+classes)xN. The frame is never mapped, so it may lie in
 * any memory. Frames without tensors pass through.
 *
 * The classes' names come from the file named by #hltensordec:labels, else from the model (hlinfer is asked for them).
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc ! hlinfer model=builtin:demo ! hltensordec ! objectdetectionoverlay ! autovideosink
 * ]|
 * |[
 * gst-launch-1.0 videotestsrc ! hlinfer model=builtin:demo ! tee ! queue ! hltensordec max-detections=20 ! fakesink
 * ]|
 */
#include "gsthltensordec.h"

#include "gsthlerror.h"
#include "gsthlptr.h"
#include "gsthltransformmeta.h"
#include "inference/labels.h"
#include "inference/yolodecoder.h"

#include <gst/analytics/analytics.h>

#include <cmath>
#include <cstdint>
#include <format>
#include <optional>
#include <string>
#include <utility>
#include <vector>

GST_DEBUG_CATEGORY_STATIC(gst_hl_tensor_dec_debug);
#define GST_CAT_DEFAULT gst_hl_tensor_dec_debug

namespace {

constexpr const char *default_tensor_id = "yolo-v8-out";
constexpr guint default_max_detections = 100;
constexpr guint max_max_detections = 10000;

enum Property : guint {
    prop_labels = 1,
    prop_tensor_id,
    prop_score_threshold,
    prop_iou_threshold,
    prop_max_detections,
    prop_class_aware_nms,
};

// What the user set. Guarded by the object lock.
struct Settings {
    std::string labels;
    std::string tensor_id = default_tensor_id;
    hl::YoloOptions options{.max_detections = default_max_detections};
};

// What makes a tensor fit the decoder that was configured for it.
struct TensorKey {
    hl::TensorShape shape;
    hl::DType type = hl::DType::Float32;
    bool column_major = false;

    friend bool operator==(const TensorKey &, const TensorKey &) noexcept = default;
};

// Touched by the streaming thread, and by start() and stop() while there is none.
struct State {
    std::vector<std::string> labels;
    bool labels_from_file = false;
    bool labels_asked = false; // upstream was asked since the last caps

    TensorKey key;
    std::optional<hl::YoloDecoder> decoder;
    std::vector<GQuark> names; // one per class of `decoder`

    hl::YoloFrame frame;
    std::span<const hl::Detection> found; // of the frame at hand
    bool decoded = false;                 // the frame at hand had a tensor

    uint64_t frames = 0;
    uint64_t frames_decoded = 0;
    bool failed = false; // the one error was posted
};

} // namespace

struct GstHlTensorDecPrivate {
    Settings settings;
    State state;
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

std::optional<hl::DType> dtype_of(GstTensorDataType type) noexcept
{
    switch (type) {
    case GST_TENSOR_DATA_TYPE_INT8:
        return hl::DType::Int8;
    case GST_TENSOR_DATA_TYPE_INT16:
        return hl::DType::Int16;
    case GST_TENSOR_DATA_TYPE_INT32:
        return hl::DType::Int32;
    case GST_TENSOR_DATA_TYPE_INT64:
        return hl::DType::Int64;
    case GST_TENSOR_DATA_TYPE_UINT8:
        return hl::DType::UInt8;
    case GST_TENSOR_DATA_TYPE_UINT16:
        return hl::DType::UInt16;
    case GST_TENSOR_DATA_TYPE_UINT32:
        return hl::DType::UInt32;
    case GST_TENSOR_DATA_TYPE_UINT64:
        return hl::DType::UInt64;
    case GST_TENSOR_DATA_TYPE_FLOAT16:
        return hl::DType::Float16;
    case GST_TENSOR_DATA_TYPE_FLOAT32:
        return hl::DType::Float32;
    case GST_TENSOR_DATA_TYPE_FLOAT64:
        return hl::DType::Float64;
    case GST_TENSOR_DATA_TYPE_BFLOAT16:
        return hl::DType::BFloat16;
    default:
        return std::nullopt; // the 4-bit ones
    }
}

hl::Result<TensorKey> key_of(const GstTensor &tensor)
{
    const auto type = dtype_of(tensor.data_type);
    if (!type || tensor.num_dims > hl::TensorShape::max_rank)
        return hl::fail(hl::ErrorCode::TensorShape, "decode tensor",
                        std::format("expected a tensor of 3 dimensions of float32, got {} dimensions of type {}",
                                    tensor.num_dims, static_cast<int>(tensor.data_type)),
                        "use a YOLOv8 or v11 detection model with float32 outputs");
    std::array<int64_t, hl::TensorShape::max_rank> dims{};
    for (size_t i = 0; i < tensor.num_dims; ++i)
        dims[i] = std::in_range<int64_t>(tensor.dims[i]) ? static_cast<int64_t>(tensor.dims[i]) : -1;
    return TensorKey{hl::TensorShape(std::span<const int64_t>(dims.data(), tensor.num_dims)), *type,
                     tensor.dims_order == GST_TENSOR_DIM_ORDER_COL_MAJOR};
}

// The tensor with `id` on `buffer`, in any of its tensor metas; nullptr where there is none. `present` receives the ids
// that are there. transfer none.
const GstTensor *find_tensor(GstBuffer *buffer, GQuark id, bool &any_meta, std::string *present)
{
    gpointer position = nullptr;
    any_meta = false;
    while (GstMeta *meta = gst_buffer_iterate_meta_filtered(buffer, &position, GST_TENSOR_META_API_TYPE)) {
        any_meta = true;
        const auto *tensors = reinterpret_cast<const GstTensorMeta *>(meta);
        for (gsize i = 0; i < tensors->num_tensors; ++i) {
            const GstTensor *tensor = tensors->tensors[i];
            if (tensor->id == id)
                return tensor;
            if (present) {
                const gchar *name = g_quark_to_string(tensor->id);
                *present += std::format("{}{}", present->empty() ? "" : ", ", name ? name : "(none)");
            }
        }
    }
    return nullptr;
}

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

Settings copy_settings(GstHlTensorDec *self)
{
    const GstObjectLocker lock(self);
    return self->priv->settings;
}

void warn_about_surplus_labels(GstHlTensorDec *self, size_t labels, uint32_t classes)
{
    gst_hl_post_warning(
        GST_ELEMENT(self),
        {hl::ErrorCode::LabelsInvalid, "name classes", 0, "",
         std::format("there are {} labels for the {} classes of the model; the surplus is not used", labels, classes),
         "check that the label file belongs to the model"});
}

// Makes the decoder for tensors like `key`, and the names of its classes.
hl::Status configure_decoder(GstHlTensorDec *self, const TensorKey &key)
{
    State &state = self->priv->state;
    state.decoder.reset();
    if (!state.labels_from_file && !std::exchange(state.labels_asked, true))
        state.labels = query_labels(GST_BASE_TRANSFORM_SINK_PAD(self));

    auto decoder = hl::YoloDecoder::configure(key.shape, key.type, state.labels.size(), key.column_major);
    if (!decoder)
        return std::unexpected(std::move(decoder.error()));
    if (state.labels.size() > decoder->classes())
        warn_about_surplus_labels(self, state.labels.size(), decoder->classes());

    state.names.clear();
    for (uint32_t i = 0; i < decoder->classes(); ++i) {
        const bool named = i < state.labels.size() && !state.labels[i].empty();
        state.names.push_back(
            g_quark_from_string(named ? state.labels[i].c_str() : std::format("class-{}", i).c_str()));
    }
    state.key = key;
    state.decoder = std::move(*decoder);
    GST_DEBUG_OBJECT(self, "decoding tensors of %s: %u classes, %u boxes, %zu labels", key.shape.text().c_str(),
                     state.decoder->classes(), state.decoder->boxes(), state.labels.size());
    return {};
}

hl::Status check_data(const GstBufferMap &map, const hl::YoloDecoder &decoder, const TensorKey &key)
{
    if (map && map.size() >= decoder.tensor_bytes() && reinterpret_cast<uintptr_t>(map.data()) % alignof(float) == 0)
        return {};
    return hl::fail(hl::ErrorCode::TensorShape, "read tensor",
                    map ? std::format("expected {} aligned bytes for a tensor of {}, got {}", decoder.tensor_bytes(),
                                      key.shape.text(), map.size())
                        : std::string("the tensor's data cannot be mapped"),
                    "report this to the author of the element that made the tensor");
}

hl::Status decode_tensor(GstHlTensorDec *self, GstBuffer *buffer, const GstTensor &tensor,
                         const hl::YoloOptions &options)
{
    State &state = self->priv->state;
    const auto key = key_of(tensor);
    if (!key)
        return std::unexpected(key.error());
    if (!state.decoder || state.key != *key)
        if (auto status = configure_decoder(self, *key); !status)
            return status;

    const GstBufferMap map(tensor.data, GST_MAP_READ);
    if (auto status = check_data(map, *state.decoder, *key); !status)
        return status;
    const GstHlTransformMeta *fitted = gst_hl_buffer_get_transform_meta(buffer);
    state.frame.transform = fitted ? fitted->transform : hl::FrameTransform{};
    state.found = state.decoder->decode(
        {reinterpret_cast<const float *>(map.data()), state.decoder->tensor_bytes() / sizeof(float)}, state.frame,
        options);
    state.decoded = true;
    ++state.frames_decoded;
    return {};
}

// Looks at the tensors of `buffer` and leaves what was found in the state. Nothing of `buffer` is changed.
hl::Status look_at(GstHlTensorDec *self, GstBuffer *buffer)
{
    State &state = self->priv->state;
    state.found = {};
    state.decoded = false;
    ++state.frames;

    hl::YoloOptions options;
    GQuark id = 0;
    {
        const GstObjectLocker lock(self);
        options = self->priv->settings.options;
        id = g_quark_from_string(self->priv->settings.tensor_id.c_str());
    }
    bool any_meta = false;
    if (const GstTensor *tensor = find_tensor(buffer, id, any_meta, nullptr))
        return decode_tensor(self, buffer, *tensor, options);
    if (!any_meta)
        return {};
    std::string present;
    std::ignore = find_tensor(buffer, id, any_meta, &present);
    return hl::fail(hl::ErrorCode::TensorShape, "find tensor",
                    std::format("expected a tensor with the id \"{}\", got the ids: {}", g_quark_to_string(id),
                                present.empty() ? "none" : present),
                    "set the id of the model's detection output in its .modelinfo file, or the property tensor-id");
}

// Boxes are real numbers, GstAnalyticsODMtd takes whole ones: nearest, at least one pixel, inside the frame.
std::pair<gint, gint> to_pixels(float low, float high, uint32_t limit) noexcept
{
    const auto from = std::min(static_cast<gint>(std::lround(low)), static_cast<gint>(limit) - 1);
    const auto to = std::max(static_cast<gint>(std::lround(high)), from + 1);
    return {from, to - from};
}

void attach(const State &state, GstBuffer *buffer)
{
    GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta(buffer);
    if (!relations)
        relations = gst_buffer_add_analytics_relation_meta(buffer);
    for (const auto &object : state.found) {
        const auto [x, width] = to_pixels(object.x0, object.x1, state.frame.width);
        const auto [y, height] = to_pixels(object.y0, object.y1, state.frame.height);
        GstAnalyticsODMtd unused;
        gst_analytics_relation_meta_add_od_mtd(relations, state.names[object.class_index], x, y, width, height,
                                               object.score, &unused);
    }
}

} // namespace

// In GStreamer 1.26 a GstTensorMeta does not survive a copy of its buffer, so the tensors are read from the input,
// before it is made writable. A frame without tensors goes on as it is.
static GstFlowReturn gst_hl_tensor_dec_prepare_output_buffer(GstBaseTransform *trans, GstBuffer *input,
                                                             GstBuffer **output)
{
    auto *self = self_of(trans);
    State &state = self->priv->state;
    if (auto status = look_at(self, input); !status) {
        if (!std::exchange(state.failed, true))
            gst_hl_post_error(GST_ELEMENT(self), status.error());
        return GST_FLOW_ERROR;
    }
    // A copy shares the frame's memory; only the buffer's own fields and metas are new.
    *output = !state.decoded || gst_buffer_is_writable(input) ? input : gst_buffer_copy(input);
    return GST_FLOW_OK;
}

static GstFlowReturn gst_hl_tensor_dec_transform_ip(GstBaseTransform *trans, GstBuffer *buffer)
{
    const State &state = self_of(trans)->priv->state;
    if (state.decoded)
        attach(state, buffer);
    return GST_FLOW_OK;
}

static gboolean gst_hl_tensor_dec_set_caps(GstBaseTransform *trans, GstCaps *caps, GstCaps *)
{
    State &state = self_of(trans)->priv->state;
    const GstStructure *video = gst_caps_get_structure(caps, 0);
    gint width = 0, height = 0;
    if (!gst_structure_get_int(video, "width", &width) || !gst_structure_get_int(video, "height", &height) ||
        width <= 0 || height <= 0)
        return FALSE;
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
    const State &state = self->priv->state;
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS && state.frames > 0 && state.frames_decoded == 0 && !state.failed)
        gst_hl_post_warning(GST_ELEMENT(self),
                            {hl::ErrorCode::TensorShape, "find tensor", 0, "",
                             std::format("none of the {} frames carried a tensor", state.frames),
                             "put hltensordec behind hlinfer, with nothing in between that copies frames (GStreamer "
                             "1.26 drops tensors from copies)"});
    return GST_BASE_TRANSFORM_CLASS(gst_hl_tensor_dec_parent_class)->sink_event(trans, event);
}

static gboolean gst_hl_tensor_dec_start(GstBaseTransform *trans)
{
    auto *self = self_of(trans);
    State &state = self->priv->state;
    state = {};
    const auto file = copy_settings(self).labels;
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
    return TRUE;
}

static void gst_hl_tensor_dec_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    auto *self = self_of(object);
    const GstObjectLocker lock(self);
    Settings &settings = self->priv->settings;
    const auto text = [value] {
        const gchar *given = g_value_get_string(value);
        return std::string(given ? given : "");
    };
    switch (id) {
    case prop_labels:
        settings.labels = text();
        break;
    case prop_tensor_id:
        settings.tensor_id = text();
        break;
    case prop_score_threshold:
        settings.options.score_threshold = g_value_get_float(value);
        break;
    case prop_iou_threshold:
        settings.options.iou_threshold = g_value_get_float(value);
        break;
    case prop_max_detections:
        settings.options.max_detections = g_value_get_uint(value);
        break;
    case prop_class_aware_nms:
        settings.options.class_aware = g_value_get_boolean(value);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void gst_hl_tensor_dec_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    const Settings settings = copy_settings(self_of(object));
    switch (id) {
    case prop_labels:
        g_value_set_string(value, settings.labels.empty() ? nullptr : settings.labels.c_str());
        break;
    case prop_tensor_id:
        g_value_set_string(value, settings.tensor_id.c_str());
        break;
    case prop_score_threshold:
        g_value_set_float(value, settings.options.score_threshold);
        break;
    case prop_iou_threshold:
        g_value_set_float(value, settings.options.iou_threshold);
        break;
    case prop_max_detections:
        g_value_set_uint(value, settings.options.max_detections);
        break;
    case prop_class_aware_nms:
        g_value_set_boolean(value, settings.options.class_aware);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
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
}

static void install_properties(GObjectClass *klass)
{
    constexpr auto ready =
        static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
    constexpr auto playing =
        static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING);
    g_object_class_install_property(
        klass, prop_labels,
        g_param_spec_string("labels", "Labels",
                            "Path of a UTF-8 text file with one label per line, in the order of the model's classes "
                            "(default: those of the model, else \"class-0\" and so on)",
                            nullptr, ready));
    g_object_class_install_property(
        klass, prop_tensor_id,
        g_param_spec_string("tensor-id", "Tensor id", "Id of the tensor to decode", default_tensor_id, playing));
    g_object_class_install_property(klass, prop_score_threshold,
                                    g_param_spec_float("score-threshold", "Score threshold",
                                                       "Boxes whose best class scores less than this are dropped", 0.f,
                                                       1.f, hl::YoloOptions{}.score_threshold, playing));
    g_object_class_install_property(
        klass, prop_iou_threshold,
        g_param_spec_float(
            "iou-threshold", "IoU threshold",
            "Of two boxes whose intersection over union is above this, the one that scores less is dropped", 0.f, 1.f,
            hl::YoloOptions{}.iou_threshold, playing));
    g_object_class_install_property(klass, prop_max_detections,
                                    g_param_spec_uint("max-detections", "Maximum of detections",
                                                      "Detections reported per frame at most, the best ones", 1,
                                                      max_max_detections, default_max_detections, playing));
    g_object_class_install_property(klass, prop_class_aware_nms,
                                    g_param_spec_boolean("class-aware-nms", "Class-aware NMS",
                                                         "Boxes of different classes do not suppress each other", TRUE,
                                                         playing));
}

static void gst_hl_tensor_dec_class_init(GstHlTensorDecClass *klass)
{
    auto *object = G_OBJECT_CLASS(klass);
    object->set_property = gst_hl_tensor_dec_set_property;
    object->get_property = gst_hl_tensor_dec_get_property;
    object->finalize = gst_hl_tensor_dec_finalize;
    install_properties(object);

    auto *element = GST_ELEMENT_CLASS(klass);
    gst_element_class_add_static_pad_template(element, &sink_template);
    gst_element_class_add_static_pad_template(element, &src_template);
    gst_element_class_set_static_metadata(
        element, "Gaudi tensor decoder", "Tensordecoder/Video",
        "Turns the output tensors of YOLOv8 and v11 models into object detections, in pixels of the frame",
        "gst-habana");

    auto *transform = GST_BASE_TRANSFORM_CLASS(klass);
    transform->start = gst_hl_tensor_dec_start;
    transform->stop = gst_hl_tensor_dec_stop;
    transform->set_caps = gst_hl_tensor_dec_set_caps;
    transform->sink_event = gst_hl_tensor_dec_sink_event;
    transform->prepare_output_buffer = gst_hl_tensor_dec_prepare_output_buffer;
    transform->transform_ip = gst_hl_tensor_dec_transform_ip;
}
