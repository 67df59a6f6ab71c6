// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/exporttable.h"

#include <utility>

namespace hl {
namespace {

// Nothing but our own descriptor has it open. Unknown counts as in use.
bool ours_alone(const UniqueFd &ours, const ExportTable::OpenFiles &open_files)
{
    return ours && open_files(ours.get()) == 1;
}

} // namespace

void ExportTable::add(FileId id, const Memory &memory, UniqueFd ours)
{
    // A memfd has one identity for all its exports, all of them from byte 0: the longest wins.
    const auto [at, inserted] = exports_.try_emplace(id, Export{memory, UniqueFd()});
    if (inserted)
        at->second.ours = std::move(ours);
    else if (at->second.memory.size < memory.size)
        at->second.memory.size = memory.size;
}

std::optional<Memory> ExportTable::find(FileId id) const
{
    if (const auto at = exports_.find(id); at != exports_.end())
        return at->second.memory;
    if (const auto at = lost_.find(id); at != lost_.end())
        return at->second.memory;
    return std::nullopt;
}

std::vector<FileId> ExportTable::open_of(uint64_t handle, const OpenFiles &open_files)
{
    std::vector<FileId> open;
    for (auto at = exports_.begin(); at != exports_.end();) {
        const Memory &memory = at->second.memory;
        if (memory.handle != handle || memory.placement != Placement::Device) {
            ++at;
        } else if (ours_alone(at->second.ours, open_files)) {
            at = exports_.erase(at);
        } else {
            open.push_back(at->first);
            ++at;
        }
    }
    return open;
}

uint32_t ExportTable::count_open(const OpenFiles &open_files)
{
    std::erase_if(exports_, [&open_files](const auto &entry) { return ours_alone(entry.second.ours, open_files); });
    uint32_t open = 0;
    for (const auto &[id, one] : exports_)
        open += one.ours.valid();
    return open;
}

void ExportTable::forget(uint64_t handle)
{
    std::erase_if(exports_, [handle](const auto &entry) { return entry.second.memory.handle == handle; });
}

std::vector<UniqueFd> ExportTable::lose()
{
    std::vector<UniqueFd> ours;
    for (auto &[id, one] : exports_)
        ours.push_back(std::move(one.ours));
    lost_ = std::exchange(exports_, {});
    return ours;
}

} // namespace hl
