// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/doctorreport.h"

#include <nlohmann/json.hpp>

namespace hl {
namespace {

using Json = nlohmann::ordered_json;

std::string errno_name(int err)
{
    const char *name = err ? strerrorname_np(err) : nullptr;
    return name ? name : "";
}

Json json_of(const Error &error)
{
    return {{"code", error_code_name(error.code)},
            {"operation", error.operation},
            {"errno", errno_name(error.sys_errno)},
            {"cause", error.cause},
            {"remedy", error.remedy}};
}

Json json_of(const SharingNode &node)
{
    return {{"path", node.path}, {"usable", node.usable()}, {"errno", errno_name(node.open_errno)}};
}

Json json_of(const ImportVerdict &verdict)
{
    const auto code = import_cause_code(verdict.cause);
    return {{"answer", import_answer_name(verdict.answer)},
            {"proof", import_proof_name(verdict.proof)},
            {"formats", verdict.formats},
            {"cause", import_cause_name(verdict.cause)},
            {"code", code ? Json(error_code_name(*code)) : Json()},
            {"operation", import_step_name(verdict.step)},
            {"errno", errno_name(verdict.sys_errno)},
            {"text", verdict.text},
            {"remedy", verdict.remedy}};
}

Json json_of(ImportMemory memory, const ImportTrial &trial, const ImportVerdict &said)
{
    return {{"outcome", trial_outcome_name(trial.outcome)},
            {"contradicts", contradicts(memory, said, trial)},
            {"operation", import_step_name(trial.step)},
            {"errno", errno_name(trial.sys_errno)},
            {"bytes", trial.bytes},
            {"text", trial.text}};
}

// `trials` may be null.
Json json_of(const ImportFinding &finding, const ImportTrials *trials)
{
    const Importer &importer = finding.importer;
    Json memory = Json::object();
    for (const ImportMemory kind : all_import_memories) {
        const auto &verdict = finding.of(kind);
        if (!verdict)
            continue;
        Json &entry = memory[std::string(import_memory_name(kind))] = json_of(*verdict);
        if (trials)
            entry["self_test"] = json_of(kind, *(*trials)[static_cast<size_t>(kind)], *verdict);
    }
    return {{"node", importer.node},
            {"kind", importer_kind_name(importer.kind)},
            {"driver", importer.driver},
            {"card", importer.card},
            {"bus", importer.bus},
            {"format", finding.format.text},
            {"plane_bytes", finding.format.plane_bytes},
            {"memory", std::move(memory)}};
}

Json json_of(const HostSupport &host)
{
    Json heaps = Json::array(), pools = Json::array();
    for (const SharingNode &heap : host.heaps)
        heaps.push_back(json_of(heap));
    for (const HugePagePool &pool : host.huge_pages)
        pools.push_back({{"bytes", pool.page_bytes}, {"total", pool.total}, {"free", pool.free}});
    Json udmabuf = json_of(host.udmabuf);
    udmabuf["limit_bytes"] = host.udmabuf_limit ? Json(*host.udmabuf_limit) : Json();
    return {{"kernel", host.kernel},
            {"udmabuf", std::move(udmabuf)},
            {"dma_heaps", std::move(heaps)},
            {"huge_pages", std::move(pools)}};
}

Json json_of(const DeviceInfo &info)
{
    return {{"name", info.name},
            {"stand_in", info.stand_in},
            {"backend", info.backend},
            {"chip", info.chip},
            {"memory_bytes", info.memory_size}};
}

Json json_of(const GaudiPlace &place)
{
    return {{"address", place.gaudi.address},
            {"pci_device", place.gaudi.device},
            {"accel", place.gaudi.accel < 0 ? Json() : Json(place.gaudi.accel)},
            {"module", place.gaudi.module < 0 ? Json() : Json(place.gaudi.module)},
            {"driver", place.driver},
            {"iommu", place.iommu},
            {"window_bytes", place.window_bytes},
            {"memory_bytes", place.memory_bytes}};
}

Json json_of(const PeerFinding &finding)
{
    return {{"node", finding.node},
            {"kind", finding.kind},
            {"driver", finding.driver},
            {"pci", finding.pci},
            {"gaudi", finding.gaudi},
            {"route", peer_route_name(finding.path.route)},
            {"meeting", finding.path.meeting},
            {"acs_redirect", finding.path.redirecting},
            {"verdict", peer_verdict_name(finding.verdict)},
            {"text", finding.text},
            {"remedy", finding.remedy}};
}

} // namespace

std::string DoctorReport::json() const
{
    Json all = {{"version", 1}};
    if (!root.empty())
        all["root"] = root;
    all["host"] = json_of(host);
    Json &chips = all["gaudis"] = Json::array();
    for (const GaudiPlace &place : peers.gaudis)
        chips.push_back(json_of(place));
    all["device"] = device ? json_of(*device) : Json{{"error", json_of(device.error())}};
    Json &importers = all["importers"] = Json::array();
    for (size_t i = 0; i < findings.size(); ++i)
        importers.push_back(json_of(findings[i], trials.empty() ? nullptr : &trials[i]));
    Json &failed = all["failures"] = Json::array();
    for (const DoctorFailure &failure : failures) {
        Json entry = {{"node", failure.node}};
        entry.update(json_of(failure.error));
        failed.push_back(std::move(entry));
    }
    all["not_importers"] = others;
    Json &peer = all["peers"] = Json::array();
    for (const PeerFinding &finding : peers.findings)
        peer.push_back(json_of(finding));
    all["exit_status"] = static_cast<int>(exit_status());
    // Names come from drivers: what is no UTF-8 must not throw.
    return all.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace hl
