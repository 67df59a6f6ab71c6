// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthltensordecproperties.h"

namespace {

enum Property : guint {
    PROP_0,
    PROP_DECODER,
    PROP_TENSOR_ID,
    PROP_LABELS,
    PROP_CLASSES,
    PROP_SCORE_THRESHOLD,
    PROP_IOU_THRESHOLD,
    PROP_CLASS_AWARE_NMS,
    PROP_MAX_CANDIDATES,
    PROP_MAX_DETECTIONS,
    PROP_TOP_K,
    PROP_SOFTMAX,
};

constexpr guint max_max_detections = 10000;
constexpr guint max_max_candidates = 1 << 20;

constexpr gint decoder_auto = 0;

gint enum_of(hl::DecoderKind kind) noexcept
{
    return static_cast<gint>(kind) + 1;
}

GType decoder_type()
{
    static const GEnumValue values[] = {
        {decoder_auto, "The one whose registered tensor ids are attached", "auto"},
        {enum_of(hl::DecoderKind::YoloV8), "YOLOv8 and v11 detection", "yolov8"},
        {enum_of(hl::DecoderKind::YoloV5), "YOLOv5 detection", "yolov5"},
        {enum_of(hl::DecoderKind::Ssd), "TensorFlow's SSD with its post-processing", "ssd"},
        {enum_of(hl::DecoderKind::Classifier), "Image classification", "classifier"},
        {enum_of(hl::DecoderKind::YoloV8Seg), "YOLOv8 and v11 instance segmentation", "yolov8-seg"},
        {0, nullptr, nullptr}};
    static const GType type = g_enum_register_static("GstHlTensorDecDecoder", values);
    return type;
}

GType softmax_type()
{
    static const GEnumValue values[] = {
        {GST_HL_TENSOR_DEC_SOFTMAX_AUTO, "Unless the tensor's id is classification-generic-softmaxed-out", "auto"},
        {GST_HL_TENSOR_DEC_SOFTMAX_ON, "Always: the values are logits", "on"},
        {GST_HL_TENSOR_DEC_SOFTMAX_OFF, "Never: the values are probabilities", "off"},
        {0, nullptr, nullptr}};
    static const GType type = g_enum_register_static("GstHlTensorDecSoftmax", values);
    return type;
}

std::string string_of(const GValue *value)
{
    const gchar *const text = g_value_get_string(value);
    return text ? text : "";
}

void take_string(GValue *value, const std::string &text)
{
    g_value_set_string(value, text.empty() ? nullptr : text.c_str());
}

void install(GObjectClass *klass, guint id, GParamSpec *spec)
{
    g_object_class_install_property(klass, id, spec);
}

constexpr auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
constexpr auto ready = static_cast<GParamFlags>(flags | GST_PARAM_MUTABLE_READY);
constexpr auto playing = static_cast<GParamFlags>(flags | GST_PARAM_MUTABLE_PLAYING);

void install_choices(GObjectClass *klass)
{
    install(klass, PROP_DECODER,
            g_param_spec_enum("decoder", "Decoder", "What the tensors are decoded as", decoder_type(), decoder_auto,
                              playing));
    install(klass, PROP_TENSOR_ID,
            g_param_spec_string("tensor-id", "Tensor ids",
                                "Ids of the tensors to decode, with commas between, in the decoder's order; needs "
                                "decoder to be set (unset: the registered ids)",
                                nullptr, playing));
    install(klass, PROP_LABELS,
            g_param_spec_string("labels", "Labels",
                                "Path of a UTF-8 text file with one label per line, in the order of the model's "
                                "classes (unset: those of the model, else \"class-0\" and so on)",
                                nullptr, ready));
    install(klass, PROP_CLASSES,
            g_param_spec_string("classes", "Classes",
                                "Labels or indices of the classes to report, with commas between (unset: all)", nullptr,
                                playing));
}

void install_limits(GObjectClass *klass)
{
    const hl::DecodeOptions defaults;
    install(klass, PROP_SCORE_THRESHOLD,
            g_param_spec_float("score-threshold", "Score threshold",
                               "Objects and classes that score less than this, of 1, are dropped", 0.f, 1.f,
                               defaults.score_threshold, playing));
    install(klass, PROP_IOU_THRESHOLD,
            g_param_spec_float("iou-threshold", "IoU threshold",
                               "Of two boxes whose intersection over union is above this, the one that scores less is "
                               "dropped (YOLO)",
                               0.f, 1.f, defaults.iou_threshold, playing));
    install(klass, PROP_CLASS_AWARE_NMS,
            g_param_spec_boolean("class-aware-nms", "Class-aware NMS",
                                 "Boxes of different classes do not suppress each other (YOLO)", defaults.class_aware,
                                 playing));
    install(klass, PROP_MAX_CANDIDATES,
            g_param_spec_uint("max-candidates", "Maximum of candidates",
                              "Boxes per frame that are compared with one another at most, the best ones (YOLO)", 1,
                              max_max_candidates, defaults.max_candidates, playing));
    install(klass, PROP_MAX_DETECTIONS,
            g_param_spec_uint("max-detections", "Maximum of detections",
                              "Objects reported per frame at most, the best ones", 1, max_max_detections,
                              defaults.max_detections, playing));
    install(klass, PROP_TOP_K,
            g_param_spec_uint("top-k", "Top k", "Classes reported per frame at most, the best ones (classifier)", 1,
                              static_cast<guint>(hl::max_decoder_classes), defaults.top_k, playing));
    install(klass, PROP_SOFTMAX,
            g_param_spec_enum("softmax", "Softmax", "Whether scores are made of the values (classifier)",
                              softmax_type(), GST_HL_TENSOR_DEC_SOFTMAX_AUTO, playing));
}

} // namespace

void gst_hl_tensor_dec_install_properties(GObjectClass *klass)
{
    for (const GType type : {decoder_type(), softmax_type()})
        gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
    install_choices(klass);
    install_limits(klass);
    install(
        klass, gst_hl_tensor_dec_stats_property,
        g_param_spec_boxed("stats", "Statistics",
                           "Counts since READY: frames, decoded (frames with tensors), detections, classifications, "
                           "masks, dropped-nonfinite and dropped-candidates; and decoder, the one in use",
                           GST_TYPE_STRUCTURE, static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

bool gst_hl_tensor_dec_settings_set(GstHlTensorDecSettings &settings, guint id, const GValue *value)
{
    ++settings.serial;
    switch (id) {
    case PROP_DECODER:
        settings.decoder.reset();
        if (const gint chosen = g_value_get_enum(value); chosen != decoder_auto)
            settings.decoder = static_cast<hl::DecoderKind>(chosen - 1);
        return true;
    case PROP_TENSOR_ID:
        settings.tensor_id = string_of(value);
        return true;
    case PROP_LABELS:
        settings.labels = string_of(value);
        return true;
    case PROP_CLASSES:
        settings.classes = string_of(value);
        return true;
    case PROP_SCORE_THRESHOLD:
        settings.options.score_threshold = g_value_get_float(value);
        return true;
    case PROP_IOU_THRESHOLD:
        settings.options.iou_threshold = g_value_get_float(value);
        return true;
    case PROP_CLASS_AWARE_NMS:
        settings.options.class_aware = g_value_get_boolean(value);
        return true;
    case PROP_MAX_CANDIDATES:
        settings.options.max_candidates = g_value_get_uint(value);
        return true;
    case PROP_MAX_DETECTIONS:
        settings.options.max_detections = g_value_get_uint(value);
        return true;
    case PROP_TOP_K:
        settings.options.top_k = g_value_get_uint(value);
        return true;
    case PROP_SOFTMAX:
        settings.softmax = static_cast<GstHlTensorDecSoftmax>(g_value_get_enum(value));
        return true;
    default:
        return false;
    }
}

bool gst_hl_tensor_dec_settings_get(const GstHlTensorDecSettings &settings, guint id, GValue *value)
{
    switch (id) {
    case PROP_DECODER:
        g_value_set_enum(value, settings.decoder ? enum_of(*settings.decoder) : decoder_auto);
        return true;
    case PROP_TENSOR_ID:
        take_string(value, settings.tensor_id);
        return true;
    case PROP_LABELS:
        take_string(value, settings.labels);
        return true;
    case PROP_CLASSES:
        take_string(value, settings.classes);
        return true;
    case PROP_SCORE_THRESHOLD:
        g_value_set_float(value, settings.options.score_threshold);
        return true;
    case PROP_IOU_THRESHOLD:
        g_value_set_float(value, settings.options.iou_threshold);
        return true;
    case PROP_CLASS_AWARE_NMS:
        g_value_set_boolean(value, settings.options.class_aware);
        return true;
    case PROP_MAX_CANDIDATES:
        g_value_set_uint(value, settings.options.max_candidates);
        return true;
    case PROP_MAX_DETECTIONS:
        g_value_set_uint(value, settings.options.max_detections);
        return true;
    case PROP_TOP_K:
        g_value_set_uint(value, settings.options.top_k);
        return true;
    case PROP_SOFTMAX:
        g_value_set_enum(value, settings.softmax);
        return true;
    default:
        return false;
    }
}
