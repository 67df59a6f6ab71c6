// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/sim/preset.h"
#include "core/error.h"
#include "core/uniquefd.h"
#include "device/arena.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace hl::sim {

// What an export names to the driver (memory.c export_dmabuf_from_addr()).
struct ExportRange {
    uint64_t address = 0; // the device's
    uint64_t size = 0;
    uint64_t offset = 0;
};

// Simulated HBM with its allocator. Sparse: a memfd of the chip's full size, mapped once without reserving anything;
// bytes cost memory when first touched and give it back when freed. HBM comes in stretches, which arenas divide among
// frames: device pages where the driver hands those out, else all of it. Not thread safe. Only SIM's DMA engines and
// its resolver may use bytes().
class Hbm {
public:
    // `user_bytes`: what a user may allocate; the reserved part comes before it. `bar_bytes`: how much of the whole the
    // PCI BAR reaches. `preset` outlives it. Errors: MemoryHost, FdLimit.
    [[nodiscard]] static Result<Hbm> create(const Preset &preset, uint64_t user_bytes, uint64_t bar_bytes);

    Hbm() noexcept = default;
    Hbm(Hbm &&other) noexcept;
    Hbm &operator=(Hbm &&other) noexcept;
    ~Hbm();

    // The offset of a free, 4 KiB aligned piece of a stretch, or nullopt: HBM full.
    [[nodiscard]] std::optional<uint64_t> allocate(uint64_t size);
    // Gives back what allocate() returned and punches its pages out of the memfd.
    void free(uint64_t offset);

    // `offset` is one of the user's.
    [[nodiscard]] std::byte *bytes(uint64_t offset) const noexcept { return data_ + offset; }
    [[nodiscard]] uint64_t address(uint64_t offset) const noexcept
    {
        return preset_->dram_address + (offset - preset_->reserved_bytes);
    }
    // How a user of the driver has to name the piece that begins at `offset`, which lies in a stretch.
    [[nodiscard]] ExportRange export_range(uint64_t offset, uint64_t size) const noexcept;
    // 0, or the errno with which the driver refuses the export.
    [[nodiscard]] int check_export(const ExportRange &range) const noexcept;

    [[nodiscard]] uint64_t user_bytes() const noexcept { return user_bytes_; }
    [[nodiscard]] uint64_t used() const noexcept { return used_; }
    // Largest piece allocate() could give now.
    [[nodiscard]] uint64_t largest_free() const noexcept;
    // Bytes of host memory the simulated HBM occupies now.
    [[nodiscard]] uint64_t resident() const noexcept;

private:
    struct Stretch {
        size_t first; // page
        size_t count;
        Arena arena;
    };
    using Stretches = std::map<uint64_t, Stretch>; // by offset of their first byte

    [[nodiscard]] uint64_t page_bytes(size_t first, size_t count) const noexcept;
    [[nodiscard]] std::optional<size_t> take_pages(uint64_t size, size_t &count);
    [[nodiscard]] Stretches::iterator add_stretch(uint64_t size);
    // The stretch that holds the offset; end() if none does.
    [[nodiscard]] Stretches::const_iterator stretch_at(uint64_t offset) const noexcept;

    const Preset *preset_ = nullptr;
    UniqueFd memfd_;
    std::byte *data_ = nullptr;
    uint64_t total_bytes_ = 0;
    uint64_t user_bytes_ = 0;
    uint64_t bar_bytes_ = 0;
    uint64_t used_ = 0;
    std::vector<bool> page_taken_; // of the user's pages
    Stretches stretches_;
};

} // namespace hl::sim
