// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlproperties.h"

GType gst_hl_memory_mode_get_type()
{
    static const GEnumValue values[] = {
        {GST_HL_MEMORY_AUTO, "Host, unless an importer is known to take device memory", "auto"},
        {GST_HL_MEMORY_HOST, "Host pages that the device can read", "host"},
        {GST_HL_MEMORY_DEVICE, "Device memory, for producers that import dma-bufs by P2P", "device"},
        {0, nullptr, nullptr},
    };
    static const GType type = g_enum_register_static("GstHlMemoryMode", values);
    return type;
}

GType gst_hl_zero_copy_get_type()
{
    static const GEnumValue values[] = {
        {GST_HL_ZERO_COPY_AUTO, "Copy where nothing else is possible, and say so", "auto"},
        {GST_HL_ZERO_COPY_REQUIRE, "A copy by the CPU is an error", "require"},
        {0, nullptr, nullptr},
    };
    static const GType type = g_enum_register_static("GstHlZeroCopy", values);
    return type;
}

GType gst_hl_planes_get_type()
{
    static const GEnumValue values[] = {
        {GST_HL_PLANES_SINGLE, "One dma-buf for all planes", "single"},
        {GST_HL_PLANES_MULTI, "A dma-buf for each plane, for drivers of multi-planar formats (NV12M)", "multi"},
        {0, nullptr, nullptr},
    };
    static const GType type = g_enum_register_static("GstHlPlanes", values);
    return type;
}

hl::Placement gst_hl_memory_mode_placement(GstHlMemoryMode mode, bool device_imported) noexcept
{
    const bool device = mode == GST_HL_MEMORY_DEVICE || (mode == GST_HL_MEMORY_AUTO && device_imported);
    return device ? hl::Placement::Device : hl::Placement::Host;
}

GParamSpec *gst_hl_import_probe_spec()
{
    return g_param_spec_string(
        "import-probe", "Import probe",
        "Video or DRM node to try frames on before the stream starts; memory=auto is device memory if it maps that",
        nullptr, static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY));
}
