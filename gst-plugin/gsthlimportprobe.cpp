// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlimportprobe.h"

#include "gsthlerror.h"
#include "importers/importjudge.h"

#include <array>
#include <format>

namespace {

std::string words(const hl::ImportVerdict &verdict)
{
    const std::string answer(hl::import_answer_name(verdict.answer));
    return verdict.text.empty() ? answer : std::format("{} ({})", answer, verdict.text);
}

// Of the two kinds of host frames, the one that it takes.
const hl::ImportVerdict &on_host(const hl::ImportFinding &finding)
{
    const hl::ImportVerdict &huge = *finding.of(hl::ImportMemory::HugePages);
    return huge.answer == hl::ImportAnswer::Imports ? huge : *finding.of(hl::ImportMemory::Pages);
}

void post(GstElement *element, const hl::Importer &importer, const hl::ImportVerdict &host,
          const hl::ImportVerdict &device)
{
    const auto answer = [](const hl::ImportVerdict &verdict) {
        return hl::import_answer_name(verdict.answer).data(); // of string literals
    };
    GstStructure *structure = gst_structure_new(
        "hl-import", "element", G_TYPE_STRING, GST_OBJECT_NAME(element), "node", G_TYPE_STRING, importer.node.c_str(),
        "driver", G_TYPE_STRING, importer.driver.c_str(), "kind", G_TYPE_STRING,
        hl::importer_kind_name(importer.kind).data(), "host", G_TYPE_STRING, answer(host), "host-text", G_TYPE_STRING,
        host.text.c_str(), "device", G_TYPE_STRING, answer(device), "device-text", G_TYPE_STRING, device.text.c_str(),
        nullptr);
    (void)gst_element_post_message(element, gst_message_new_element(GST_OBJECT(element), structure));
    // gst-launch-1.0 prints of an INFO the debug text alone.
    const std::string text = std::format("{} ({}, {}): host frames: {}; device frames: {}", importer.node,
                                         importer.driver, hl::importer_kind_name(importer.kind), words(host),
                                         words(device));
    gst_element_message_full(element, GST_MESSAGE_INFO, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_SETTINGS,
                             g_strdup(text.c_str()), g_strdup(text.c_str()), __FILE__, GST_FUNCTION, __LINE__);
}

} // namespace

std::optional<bool> gst_hl_probe_importer(GstElement *element, const std::string &node,
                                          const std::shared_ptr<hl::Device> &device)
{
    if (node.empty())
        return false;
    const auto importers = hl::identify_importer(hl::Kernel::running(), node);
    if (!importers) {
        gst_hl_post_error(element, importers.error());
        return std::nullopt;
    }
    const hl::ImportJudge judge(device);
    bool maps_device = false;
    for (const hl::Importer &importer : *importers) {
        constexpr std::array asked{hl::ImportMemory::Pages, hl::ImportMemory::HugePages, hl::ImportMemory::Device};
        const hl::ImportFinding finding = judge.judge(importer, asked);
        const hl::ImportVerdict &on_device = *finding.of(hl::ImportMemory::Device);
        post(element, importer, on_host(finding), on_device);
        maps_device = maps_device || on_device.answer == hl::ImportAnswer::Imports;
    }
    return maps_device;
}
