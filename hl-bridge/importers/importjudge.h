// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importcache.h"
#include "importers/importer.h"
#include "importers/importframe.h"
#include "importers/importprobe.h"
#include "importers/kernel.h"
#include "importers/peerpath.h"
#include "importers/verdict.h"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace hl {

// What one importer takes, in its current format.
struct ImportFinding {
    Importer importer;
    ImportFormat format;                                               // empty if the node could not be opened
    std::array<std::optional<ImportVerdict>, import_memories> verdict; // by ImportMemory; empty: not asked

    [[nodiscard]] const std::optional<ImportVerdict> &of(ImportMemory memory) const noexcept
    {
        return verdict[static_cast<size_t>(memory)];
    }
};

// Finds out, by offering frames, which memory an importer takes. Thread safe; two threads that ask about one importer
// at once may find it busy.
class ImportJudge {
public:
    // Offers frames of `device`, which may be null, and of this machine's memory.
    explicit ImportJudge(const std::shared_ptr<Device> &device);
    // Finds the route from the device to an importer.
    using RouteFinder = std::function<PeerPath(const Importer &importer)>;
    // For tests. `device` is what tells frames of one device from another's in the cache; without `route` a refusal of
    // device memory keeps both its possible reasons.
    ImportJudge(Kernel &kernel, ImportFrameMaker make, ImportCache &cache, std::string device, RouteFinder route = {});

    // Host pages are always tried, as the control that tells causes apart.
    [[nodiscard]] ImportFinding judge(const Importer &importer,
                                      std::span<const ImportMemory> memories = all_import_memories) const;
    // The same, but a refusal counts only if it is given twice, of which one may be remembered.
    [[nodiscard]] ImportFinding judge_twice(const Importer &importer, std::span<const ImportMemory> memories) const;
    // A frame as it would be offered. Errors: the maker's.
    [[nodiscard]] Result<ImportFrame> make(ImportMemory memory, uint64_t bytes) const { return make_(memory, bytes); }

private:
    enum class Refusals : uint8_t { Once, Twice };

    [[nodiscard]] ImportFinding ask(const Importer &importer, std::span<const ImportMemory> memories,
                                    Refusals refusals) const;
    [[nodiscard]] ImportAttempt offer(ImportProbe &probe, ImportMemory memory, const std::string &key,
                                      Refusals refusals) const;
    [[nodiscard]] std::string key_of(const ImportFinding &finding, ImportMemory memory) const;
    [[nodiscard]] ImportAttempt attempt(ImportProbe &probe, ImportMemory memory) const;

    Kernel &kernel_;
    ImportFrameMaker make_;
    ImportCache &cache_;
    std::string device_;
    RouteFinder route_;
};

// Finds the routes of the Gaudi at a PCI address through a tree that is read when the first is asked for, and kept
// (/proc/kallsyms alone has some 10 MB). Thread safe.
[[nodiscard]] ImportJudge::RouteFinder find_routes_from(std::string gaudi, std::function<PciTree()> read);

} // namespace hl
