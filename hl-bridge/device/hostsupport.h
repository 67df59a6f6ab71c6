// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hl {

// One size of huge pages, as the kernel counts its pool (/sys/kernel/mm/hugepages).
struct HugePagePool {
    uint64_t page_bytes = 0;
    uint64_t total = 0; // pages
    uint64_t free = 0;  // pages, those promised to others not among them
};

// A node of this machine that shares memory, and whether this process may use it.
struct SharingNode {
    std::string path;
    int open_errno = 0; // 0: it can be opened; ENOENT, EACCES, ...
    std::string cause;  // of the errno, and
    std::string remedy; // in words; empty where there is nothing to say

    [[nodiscard]] bool usable() const noexcept { return open_errno == 0; }
};

// What this machine offers for host pages that drivers are to import.
struct HostSupport {
    std::string kernel;  // "Linux 6.12.0 x86_64"
    SharingNode udmabuf; // /dev/udmabuf
    std::optional<uint64_t>
        udmabuf_limit;              // bytes of the largest udmabuf (its size_limit_mb); unknown without the module
    std::vector<SharingNode> heaps; // /dev/dma_heap/*, by name
    std::vector<HugePagePool> huge_pages; // by size

    // Looks below `root`, which is "" for the running machine, or a made-up tree with dev, sys and proc.
    [[nodiscard]] static HostSupport read(const std::string &root = {});
    // Zeros where the kernel has no pages of this size.
    [[nodiscard]] HugePagePool pool_of(uint64_t page_bytes) const noexcept;
};

} // namespace hl
