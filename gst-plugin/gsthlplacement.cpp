// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlplacement.h"

#include <format>

void gst_hl_post_placement(GstElement *element, const GstHlPlacementReport &report)
{
    GstStructure *structure =
        gst_structure_new("hl-placement", "element", G_TYPE_STRING, GST_OBJECT_NAME(element), "placement",
                          G_TYPE_STRING, report.placement.c_str(), "reason", G_TYPE_STRING, report.reason.c_str(),
                          "bytes-per-frame", G_TYPE_UINT64, guint64{report.bytes_per_frame}, "cost", G_TYPE_STRING,
                          report.cost.c_str(), "suggestion", G_TYPE_STRING, report.suggestion.c_str(), nullptr);
    (void)gst_element_post_message(element, gst_message_new_element(GST_OBJECT(element), structure));

    const std::string where =
        report.placement == "none" ? "no frames arrive" : "frames arrive in " + report.placement + " memory";
    std::string text =
        std::format("{} ({}): {}", where, report.reason, report.cost.empty() ? "nothing is copied" : report.cost);
    if (!report.suggestion.empty())
        text += "; " + report.suggestion;
    // gst-launch-1.0 prints of an INFO the debug text alone, of a WARNING both. The call takes the strings over.
    gst_element_message_full(element, report.copies ? GST_MESSAGE_WARNING : GST_MESSAGE_INFO, GST_LIBRARY_ERROR,
                             GST_LIBRARY_ERROR_SETTINGS, g_strdup(text.c_str()),
                             report.copies ? nullptr : g_strdup(text.c_str()), __FILE__, GST_FUNCTION, __LINE__);
}
