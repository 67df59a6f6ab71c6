// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace hl {

// Where a frame's bytes lie.
enum class Placement : uint8_t {
    Device, // Gaudi HBM; no CPU mapping exists
    Host,   // memfd pages, pinned in Gaudi's MMU and exportable as a udmabuf
};

// Of which pages Host memory is made. A driver without an IOMMU that takes one physical stretch only (V4L2's
// dma-contig) imports a frame of base pages hardly ever, one that fits a huge page always.
enum class HostPages : uint8_t {
    Base, // the kernel's usual pages
    Huge, // of huge_page_bytes each, from the pool that vm.nr_hugepages reserves
};
inline constexpr uint64_t huge_page_bytes = uint64_t{2} << 20;

// A stretch of memory a Device knows. A value: copying it neither owns nor pins anything. Valid while the allocation
// behind `handle` lives and `generation` is the device's.
struct Memory {
    uint32_t device = 0;     // Device::id() of the owner; 0 is no device
    uint32_t generation = 0; // Device::generation() at allocation
    uint64_t handle = 0;     // the owner's name for the allocation; never reused in a process
    uint64_t offset = 0;     // bytes into the allocation
    uint64_t size = 0;       // bytes
    Placement placement = Placement::Host;

    [[nodiscard]] bool valid() const noexcept { return device != 0; }
    // The part [at, at + length) of this memory; the caller keeps it inside.
    [[nodiscard]] Memory part(uint64_t at, uint64_t length) const noexcept
    {
        Memory m = *this;
        m.offset += at;
        m.size = length;
        return m;
    }

    friend bool operator==(const Memory &, const Memory &) noexcept = default;
};

// Exported frames start and end on this boundary (habanalabs: memory.c hl_export_dmabuf_from_addr checks PAGE_SIZE).
inline constexpr uint64_t export_page = 4096;

[[nodiscard]] constexpr uint64_t round_to_export_page(uint64_t bytes) noexcept
{
    return (bytes + export_page - 1) & ~(export_page - 1);
}

} // namespace hl
