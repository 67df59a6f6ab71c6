// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importjudge.h"

#include <algorithm>
#include <format>
#include <mutex>
#include <utility>
#include <vector>

namespace hl {
namespace {

// The simulator has no place on the PCI bus.
ImportJudge::RouteFinder routes_of(const std::shared_ptr<Device> &device)
{
    if (!device || device->info().simulated)
        return {};
    return find_routes_from(device->info().spec, [] { return PciTree::read(); });
}

// A call that failed, whatever the moment.
bool refused(const ImportAttempt &attempt)
{
    return attempt.lasting() && attempt.sys_errno != 0;
}

} // namespace

ImportJudge::RouteFinder find_routes_from(std::string gaudi, std::function<PciTree()> read)
{
    struct Lazy {
        std::once_flag once;
        PciTree tree;
    };
    return
        [gaudi = std::move(gaudi), read = std::move(read), lazy = std::make_shared<Lazy>()](const Importer &importer) {
            std::call_once(lazy->once, [&] { lazy->tree = read(); });
            return judge_peer_path(lazy->tree, gaudi, pci_address_of(class_device_of({}, importer.node)));
        };
}

ImportJudge::ImportJudge(const std::shared_ptr<Device> &device)
    : ImportJudge(Kernel::running(), make_import_frames_with(device), ImportCache::process(),
                  device ? device->info().name : std::string(), routes_of(device))
{}

ImportJudge::ImportJudge(Kernel &kernel, ImportFrameMaker make, ImportCache &cache, std::string device,
                         RouteFinder route)
    : kernel_(kernel), make_(std::move(make)), cache_(cache), device_(std::move(device)), route_(std::move(route))
{}

std::string ImportJudge::key_of(const ImportFinding &finding, ImportMemory memory) const
{
    const Importer &importer = finding.importer;
    std::string key = std::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", importer.node, importer.driver, importer.card,
                                  importer.bus, importer.queue, finding.format.text, import_memory_name(memory));
    for (const uint32_t bytes : finding.format.plane_bytes)
        key += std::format("\n{}", bytes);
    return memory == ImportMemory::Device ? key + '\n' + device_ : key;
}

ImportAttempt ImportJudge::attempt(ImportProbe &probe, ImportMemory memory) const
{
    std::vector<ImportFrame> planes;
    for (const uint32_t bytes : probe.format().plane_bytes) {
        auto frame = make_(memory, offered_bytes(bytes));
        if (!frame)
            return {
                .step = ImportStep::Buffer, .sys_errno = frame.error().sys_errno, .buffer = std::move(frame.error())};
        planes.push_back(std::move(*frame));
    }
    return probe.offer(planes);
}

ImportFinding ImportJudge::judge(const Importer &importer, std::span<const ImportMemory> memories) const
{
    return ask(importer, memories, Refusals::Once);
}

ImportFinding ImportJudge::judge_twice(const Importer &importer, std::span<const ImportMemory> memories) const
{
    return ask(importer, memories, Refusals::Twice);
}

ImportAttempt ImportJudge::offer(ImportProbe &probe, ImportMemory memory, const std::string &key,
                                 Refusals refusals) const
{
    auto remembered = cache_.find(key);
    if (remembered && (refusals == Refusals::Once || !refused(*remembered)))
        return *remembered;
    auto answer = attempt(probe, memory);
    if (refusals == Refusals::Twice && !remembered && refused(answer))
        answer = attempt(probe, memory);
    cache_.store(key, answer);
    return answer;
}

ImportFinding ImportJudge::ask(const Importer &importer, std::span<const ImportMemory> memories,
                               Refusals refusals) const
{
    ImportFinding finding{.importer = importer};
    ImportAttempts attempts;
    const auto wanted = [&](ImportMemory memory) {
        return memory == ImportMemory::Pages || std::ranges::find(memories, memory) != memories.end();
    };
    auto probe = ImportProbe::open(kernel_, importer);
    if (probe)
        finding.format = (*probe)->format();
    std::optional<ImportAttempt> all_alike; // an attempt that did not get as far as its frame
    if (!probe)
        all_alike = probe.error();
    for (const ImportMemory memory : all_import_memories) {
        if (!wanted(memory))
            continue;
        auto &slot = attempts[static_cast<size_t>(memory)];
        if (all_alike) {
            slot = all_alike;
            continue;
        }
        slot = offer(**probe, memory, key_of(finding, memory), refusals);
        if (slot->step == ImportStep::Request)
            all_alike = slot;
    }
    for (const ImportMemory memory : memories)
        finding.verdict[static_cast<size_t>(memory)] = judge_import(importer, memory, attempts);
    auto &on_device = finding.verdict[static_cast<size_t>(ImportMemory::Device)];
    if (route_ && on_device && on_device->cause == ImportCause::NoPeerToPeer)
        explain_route(*on_device, importer, route_(importer));
    return finding;
}

} // namespace hl
