// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlerror.h"

#include "core/log.h"
#include "gsthlptr.h"

#include <format>
#include <string>
#include <utility>

GST_DEBUG_CATEGORY_STATIC(hl_bridge_debug);

namespace {

using hl::ErrorCode;

struct Domain {
    GQuark quark;
    gint code;
};

gint resource_code(ErrorCode code)
{
    switch (code) {
    case ErrorCode::DeviceNotFound:
        return GST_RESOURCE_ERROR_NOT_FOUND;
    case ErrorCode::DeviceBusy:
        return GST_RESOURCE_ERROR_BUSY;
    case ErrorCode::DevicePermission:
        return GST_RESOURCE_ERROR_NOT_AUTHORIZED;
    case ErrorCode::DeviceSpec:
    case ErrorCode::DeviceConfig:
        return GST_RESOURCE_ERROR_SETTINGS;
    case ErrorCode::MemoryFull:
    case ErrorCode::MemoryHost:
    case ErrorCode::FdLimit:
        return GST_RESOURCE_ERROR_NO_SPACE_LEFT;
    default:
        return GST_RESOURCE_ERROR_FAILED;
    }
}

// The printed code's middle part is its group: HL-DEV, HL-MEM and HL-DMA speak of the machine, HL-MOD and HL-FMT of
// what was fed in.
Domain domain_of(ErrorCode code)
{
    const std::string_view group = hl::error_code_name(code).substr(0, 6);
    if (group == "HL-DEV" || group == "HL-MEM" || group == "HL-DMA")
        return {GST_RESOURCE_ERROR, resource_code(code)};
    if (group == "HL-FMT")
        return {GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT};
    if (group == "HL-MOD")
        return {GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED};
    return {GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED};
}

// Where nothing better is known.
constexpr const char *last_remedy =
    "set the pipeline to READY and to PLAYING again; docs/troubleshooting.md explains the code";

hl::Error in_utf8(hl::Error error)
{
    for (std::string *const text : {&error.operation, &error.device, &error.cause, &error.remedy})
        *text = gst_hl_utf8(*text);
    return error;
}

void post(GstElement *element, GstMessageType type, const hl::Error &given)
{
    const hl::Error error = in_utf8(given);
    const Domain domain = domain_of(error.code);
    const std::string remedy = error.remedy.empty() ? last_remedy : error.remedy;
    const std::string text = error.headline() + "\n" + remedy;
    GstStructure *details =
        gst_structure_new("hl-error", "code", G_TYPE_STRING, std::string(hl::error_code_name(error.code)).c_str(),
                          "operation", G_TYPE_STRING, error.operation.c_str(), "errno", G_TYPE_INT, error.sys_errno,
                          "device", G_TYPE_STRING, error.device.c_str(), "cause", G_TYPE_STRING, error.cause.c_str(),
                          "remedy", G_TYPE_STRING, remedy.c_str(), nullptr);
    // Takes the strings and the structure over.
    gst_element_message_full_with_details(element, type, domain.quark, domain.code, g_strdup(text.c_str()),
                                          g_strdup(error.details().c_str()), __FILE__, GST_FUNCTION, __LINE__, details);
}

// All elements of a pipeline meet the same loss, and one word of it is enough. The pipeline remembers which it has
// told, of each of its devices.
bool first_to_tell_loss(GstElement *element, const hl::Device &device)
{
    const GQuark quark = g_quark_from_string(std::format("gst-hl-loss-told-{}", device.id()).c_str());
    const auto life = GSIZE_TO_POINTER(gsize{device.generation()} + 1); // 0 is none
    auto top = GstPtr<GstObject>::share(GST_OBJECT(element));
    while (GstObject *const parent = gst_object_get_parent(top.get()))
        top = GstPtr<GstObject>::adopt(parent);
    const GstObjectLocker lock(top.get());
    if (g_object_get_qdata(G_OBJECT(top.get()), quark) == life)
        return false;
    g_object_set_qdata(G_OBJECT(top.get()), quark, life);
    return true;
}

GstDebugLevel debug_level(hl::LogLevel level)
{
    switch (level) {
    case hl::LogLevel::Error:
        return GST_LEVEL_ERROR;
    case hl::LogLevel::Warning:
        return GST_LEVEL_WARNING;
    case hl::LogLevel::Info:
        return GST_LEVEL_INFO;
    case hl::LogLevel::Debug:
        return GST_LEVEL_DEBUG;
    }
    return GST_LEVEL_DEBUG;
}

void log_sink(hl::LogLevel level, std::string_view module, std::string_view text) noexcept
{
    GST_CAT_LEVEL_LOG(hl_bridge_debug, debug_level(level), nullptr, "%.*s: %.*s", static_cast<int>(module.size()),
                      module.data(), static_cast<int>(text.size()), text.data());
}

} // namespace

std::string gst_hl_utf8(std::string_view text)
{
    return GCharPtr(g_utf8_make_valid(text.data(), static_cast<gssize>(text.size()))).get();
}

void gst_hl_post_error(GstElement *element, const hl::Error &error)
{
    post(element, GST_MESSAGE_ERROR, error);
}

void gst_hl_post_device_error(GstElement *element, const hl::Device &device, const hl::Error &error)
{
    // After a loss whatever is tried next fails in its own words; the loss is what happened.
    if (error.code != ErrorCode::DeviceLost && !device.lost())
        return gst_hl_post_error(element, error);
    if (!first_to_tell_loss(element, device))
        return;
    hl::Error told = error;
    told.code = ErrorCode::DeviceLost;
    told.remedy = "set the pipeline to READY and to PLAYING again: that opens the device anew";
    gst_hl_post_error(element, told);
}

void gst_hl_post_warning(GstElement *element, const hl::Error &error)
{
    post(element, GST_MESSAGE_WARNING, error);
}

void gst_hl_install_log_sink()
{
    static const bool installed = [] {
        GST_DEBUG_CATEGORY_INIT(hl_bridge_debug, "hlbridge", 0, "Gaudi devices, engines and their memory");
        hl::set_log_sink(log_sink);
        return true;
    }();
    (void)installed;
}
