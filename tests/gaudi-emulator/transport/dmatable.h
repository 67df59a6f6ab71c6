// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>

namespace gaudiemu {

// A file of guest memory, mapped whole into this process.
class RamFile;

// Which bus addresses are guest memory, and where it lies in this process: DMA_MAP and DMA_UNMAP. Each file of guest
// memory is mapped once and its descriptors are closed at once: behind a virtual IOMMU tens of thousands of mappings
// come, more than a process may have descriptors or mappings. Thread safe.
class DmaTable {
public:
    DmaTable();
    ~DmaTable();
    DmaTable(const DmaTable &) = delete;
    DmaTable &operator=(const DmaTable &) = delete;

    // Adds a page-aligned range; without a valid `fd` it is one that only the client can reach. Errors: EEXIST (touches
    // another one), EINVAL (beyond the end of the file), ENOSPC, or mmap()'s.
    [[nodiscard]] std::expected<void, int> map(uint64_t address, uint64_t size, bool writable, hl::UniqueFd fd,
                                               uint64_t offset);
    // Removes the mappings that lie in the range; a range may hold several or none. Once this has returned nothing
    // touches their bytes. Errors: EINVAL, and nothing is removed, if it would cut one in two.
    [[nodiscard]] std::expected<void, int> unmap(uint64_t address, uint64_t size);
    void clear();

    enum class Access { Read, Write };
    enum class Found {
        Moved,     // these bytes
        Elsewhere, // these bytes are no guest memory known here: ask the client
        ReadOnly,
    };
    struct Piece {
        Found found = Found::Elsewhere;
        size_t size = 0; // at least 1, at most what was asked for
    };
    // Moves the first bytes of a DMA, as far as one answer holds: up to `chunk` bytes of one mapping. Calls again until
    // done move the rest.
    [[nodiscard]] Piece read(uint64_t address, std::span<std::byte> into);
    [[nodiscard]] Piece write(uint64_t address, std::span<const std::byte> from);
    // Bytes moved in one go: map() and unmap() wait no longer than that takes.
    static constexpr size_t chunk = 256 << 10;

    // For tests: mappings, and files mapped into this process.
    [[nodiscard]] size_t mappings() const;
    [[nodiscard]] size_t files() const;

private:
    struct Mapping {
        uint64_t size = 0;
        bool writable = false;
        std::shared_ptr<RamFile> file; // null: only the client can reach it
        uint64_t offset = 0;
    };
    struct Span {
        Found found = Found::Elsewhere;
        std::byte *bytes = nullptr;
        size_t size = 0;
    };

    [[nodiscard]] std::expected<std::shared_ptr<RamFile>, int> file_of(const hl::UniqueFd &fd, uint64_t offset,
                                                                       uint64_t size);
    [[nodiscard]] bool touches(uint64_t address, uint64_t last) const;
    [[nodiscard]] Span locate(uint64_t address, size_t size, Access access) const;

    // A writer that waits for mutex_ holds gate_, through which every reader passes: readers that never cease cannot
    // keep it waiting.
    [[nodiscard]] std::shared_lock<std::shared_mutex> lock_shared() const;
    [[nodiscard]] std::unique_lock<std::shared_mutex> lock_unique() const;
    mutable std::mutex gate_;
    mutable std::shared_mutex mutex_;
    std::map<uint64_t, Mapping> mappings_; // by address, disjoint
    std::map<std::pair<dev_t, ino_t>, std::weak_ptr<RamFile>> files_;
};

} // namespace gaudiemu
