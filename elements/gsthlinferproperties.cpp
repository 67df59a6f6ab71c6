// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferproperties.h"

namespace {

enum Property : guint {
    PROP_0,
    PROP_MODEL,
    PROP_MODEL_INFO,
    PROP_DEVICE,
    PROP_MEMORY,
    PROP_PLANES,
    PROP_ZERO_COPY,
    PROP_COMPUTE,
    PROP_IN_FLIGHT,
    PROP_COMPUTE_THREADS,
    PROP_INTERVAL,
    PROP_TIMEOUT,
    PROP_IMPORT_PROBE,
};

GType compute_type()
{
    static const GEnumValue values[] = {
        {GST_HL_INFER_COMPUTE_AUTO, "The device", "auto"},
        {GST_HL_INFER_COMPUTE_DEVICE, "The device", "device"},
        {GST_HL_INFER_COMPUTE_HOST, "This machine's CPU; frames in device memory are read back", "host"},
        {0, nullptr, nullptr}};
    static const GType type = g_enum_register_static("GstHlInferCompute", values);
    return type;
}

std::string string_of(const GValue *value)
{
    const gchar *const text = g_value_get_string(value);
    return text ? text : "";
}

void install(GObjectClass *klass, guint id, GParamSpec *spec)
{
    g_object_class_install_property(klass, id, spec);
}

} // namespace

void gst_hl_infer_install_properties(GObjectClass *klass)
{
    constexpr auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
    constexpr auto ready = static_cast<GParamFlags>(flags | GST_PARAM_MUTABLE_READY);
    constexpr auto playing = static_cast<GParamFlags>(flags | GST_PARAM_MUTABLE_PLAYING);
    const GstHlInferSettings defaults;
    for (const GType type : {GST_TYPE_HL_MEMORY_MODE, GST_TYPE_HL_PLANES, GST_TYPE_HL_ZERO_COPY, compute_type()})
        gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
    install(klass, PROP_MODEL,
            g_param_spec_string("model", "Model",
                                "The network: a path to an .onnx file, or builtin:demo or builtin:null", nullptr,
                                ready));
    install(klass, PROP_MODEL_INFO,
            g_param_spec_string("model-info", "Model description",
                                "Path of the .modelinfo file (unset: the model's path with .modelinfo appended)",
                                nullptr, ready));
    install(klass, PROP_DEVICE,
            g_param_spec_string("device", "Device",
                                "auto, sim, sim:NAME, accel0, 0000:4d:00.0 or module:3, the last three also behind "
                                "synapse: or kernel: (unset: $HL_DEVICE, then auto)",
                                nullptr, ready));
    install(klass, PROP_MEMORY,
            g_param_spec_enum("memory", "Memory", "Placement of the buffer pool that is offered upstream",
                              GST_TYPE_HL_MEMORY_MODE, defaults.memory, ready));
    install(klass, PROP_PLANES,
            g_param_spec_enum("planes", "Planes", "Dma-bufs per frame of the pool that is offered upstream",
                              GST_TYPE_HL_PLANES, defaults.planes, ready));
    install(klass, PROP_ZERO_COPY,
            g_param_spec_enum("zero-copy", "Zero copy", "What to do where a frame needs a copy by the CPU",
                              GST_TYPE_HL_ZERO_COPY, defaults.zero_copy, ready));
    install(klass, PROP_COMPUTE,
            g_param_spec_enum("compute", "Compute", "Where the network runs; the host is never chosen by itself",
                              compute_type(), defaults.compute, ready));
    install(klass, PROP_IN_FLIGHT,
            g_param_spec_uint("in-flight", "Requests in flight",
                              "Most inference requests under way at once (0: as many as the engine can use)", 0, 64,
                              defaults.in_flight, ready));
    install(klass, PROP_COMPUTE_THREADS,
            g_param_spec_uint("compute-threads", "Compute threads",
                              "CPU threads where the CPU computes (0: measured best for this model and machine)", 0,
                              1024, defaults.compute_threads, ready));
    install(klass, PROP_INTERVAL,
            g_param_spec_uint("interval", "Interval",
                              "Frames to pass without inference after each one with (0: infer on every frame)", 0,
                              G_MAXUINT - 1, defaults.interval, playing));
    install(klass, PROP_TIMEOUT,
            g_param_spec_uint64("timeout", "Timeout",
                                "Nanoseconds after which a request that did not finish is an error (0: never)", 0,
                                24 * 3600 * GST_SECOND, defaults.timeout, ready));
    install(klass, PROP_IMPORT_PROBE, gst_hl_import_probe_spec());
    install(klass, gst_hl_infer_stats_property,
            g_param_spec_boxed("stats", "Statistics",
                               "Rate, latencies (ns), copies, placement and layout since the element left READY",
                               GST_TYPE_STRUCTURE,
                               static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

bool gst_hl_infer_settings_set(GstHlInferSettings &settings, guint id, const GValue *value)
{
    switch (id) {
    case PROP_MODEL:
        settings.model = string_of(value);
        return true;
    case PROP_MODEL_INFO:
        settings.model_info = string_of(value);
        return true;
    case PROP_DEVICE:
        settings.device = string_of(value);
        return true;
    case PROP_MEMORY:
        settings.memory = static_cast<GstHlMemoryMode>(g_value_get_enum(value));
        return true;
    case PROP_PLANES:
        settings.planes = static_cast<GstHlPlanes>(g_value_get_enum(value));
        return true;
    case PROP_ZERO_COPY:
        settings.zero_copy = static_cast<GstHlZeroCopy>(g_value_get_enum(value));
        return true;
    case PROP_COMPUTE:
        settings.compute = static_cast<GstHlInferCompute>(g_value_get_enum(value));
        return true;
    case PROP_IN_FLIGHT:
        settings.in_flight = g_value_get_uint(value);
        return true;
    case PROP_COMPUTE_THREADS:
        settings.compute_threads = g_value_get_uint(value);
        return true;
    case PROP_INTERVAL:
        settings.interval = g_value_get_uint(value);
        return true;
    case PROP_TIMEOUT:
        settings.timeout = g_value_get_uint64(value);
        return true;
    case PROP_IMPORT_PROBE:
        settings.import_probe = string_of(value);
        return true;
    default:
        return false;
    }
}

bool gst_hl_infer_settings_get(const GstHlInferSettings &settings, guint id, GValue *value)
{
    const auto text = [value](const std::string &s) { g_value_set_string(value, s.empty() ? nullptr : s.c_str()); };
    switch (id) {
    case PROP_MODEL:
        text(settings.model);
        return true;
    case PROP_MODEL_INFO:
        text(settings.model_info);
        return true;
    case PROP_DEVICE:
        text(settings.device);
        return true;
    case PROP_MEMORY:
        g_value_set_enum(value, settings.memory);
        return true;
    case PROP_PLANES:
        g_value_set_enum(value, settings.planes);
        return true;
    case PROP_ZERO_COPY:
        g_value_set_enum(value, settings.zero_copy);
        return true;
    case PROP_COMPUTE:
        g_value_set_enum(value, settings.compute);
        return true;
    case PROP_IN_FLIGHT:
        g_value_set_uint(value, settings.in_flight);
        return true;
    case PROP_COMPUTE_THREADS:
        g_value_set_uint(value, settings.compute_threads);
        return true;
    case PROP_INTERVAL:
        g_value_set_uint(value, settings.interval);
        return true;
    case PROP_TIMEOUT:
        g_value_set_uint64(value, settings.timeout);
        return true;
    case PROP_IMPORT_PROBE:
        text(settings.import_probe);
        return true;
    default:
        return false;
    }
}
