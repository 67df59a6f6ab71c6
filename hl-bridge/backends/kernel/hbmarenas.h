// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/driver.h"
#include "backends/kernel/packets.h"
#include "device/arena.h"
#include "habanalabs/chipsession.h"

#include <list>

namespace hl::kernel {

// HBM for frames. Gaudi2's driver gives out whole pages of 768 MiB (640 MiB on five stacks; gaudi2.c
// gaudi2_set_dram_properties), so each is divided here. Gaudi's leaves its HBM to the user: ALLOC gives no address and
// EXPORT takes physical ones (memory.c, gaudi.c), so that the whole of it is one stretch. Not thread safe.
class HbmArenas {
public:
    // `driver` outlives it.
    HbmArenas(Driver &driver, ChipKind chip, const uapi::HwIpInfo &hw);
    HbmArenas(const HbmArenas &) = delete;
    HbmArenas &operator=(const HbmArenas &) = delete;
    // Gives everything back.
    ~HbmArenas();

    // `bytes` is a multiple of export_page. The errno: ENOMEM where the HBM is full.
    [[nodiscard]] Sys<HbmBlock> allocate(uint64_t bytes);
    // No export of the block may be open. A stretch that is empty goes back to the driver, except for the last one.
    void free(const HbmBlock &block);

    [[nodiscard]] uint64_t used() const noexcept;
    [[nodiscard]] uint64_t size() const noexcept { return size_; }
    // Bytes of the largest block that allocate() can give.
    [[nodiscard]] uint64_t largest_free() const noexcept;

private:
    struct Stretch {
        uint64_t address;
        uint64_t handle;
        Arena arena;
    };

    [[nodiscard]] Sys<Stretch *> add(uint64_t bytes);
    // FALSE: the driver refused, as something of it is exported.
    [[nodiscard]] bool give_back(const Stretch &stretch);
    // FALSE: there is none that is empty, or none that the driver takes.
    bool give_back_empty();

    Driver &driver_;
    const bool mapped_; // by handle; else all of the HBM lies at its physical address
    const uint64_t size_;
    const uint64_t page_;
    uint64_t taken_ = 0; // bytes of the driver's pages in stretches_
    std::list<Stretch> stretches_;
};

} // namespace hl::kernel
