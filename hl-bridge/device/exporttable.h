// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/fileid.h"
#include "core/uniquefd.h"
#include "device/memory.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace hl {

// What a device has exported and what of it is still open anywhere. Of each dma-buf it keeps a descriptor of its own:
// that holds the identity, and the count of the others tells when they are gone, which no call of the driver does (it
// counts per mapping, and a mapping has many frames). Not thread safe.
class ExportTable {
public:
    // Open files of a dma-buf in all processes and importers; nullopt where the kernel does not say.
    using OpenFiles = std::function<std::optional<uint64_t>(int dmabuf)>;

    void add(FileId id, const Memory &memory, UniqueFd ours);
    // What the file was exported for, also in the generation before this one.
    [[nodiscard]] std::optional<Memory> find(FileId id) const;
    // Drops the Device exports of an allocation that were closed everywhere else; those that were not.
    [[nodiscard]] std::vector<FileId> open_of(uint64_t handle, const OpenFiles &open_files);
    [[nodiscard]] uint32_t count_open(const OpenFiles &open_files);
    // Drops all of an allocation that is released.
    void forget(uint64_t handle);
    // Our descriptors of a lost generation, to be closed; its identities stay known until the next loss.
    [[nodiscard]] std::vector<UniqueFd> lose();

private:
    struct Export {
        Memory memory;
        UniqueFd ours; // invalid for Host placement, whose pages live by themselves, and after a loss
    };
    std::map<FileId, Export> exports_;
    std::map<FileId, Export> lost_;
};

} // namespace hl
