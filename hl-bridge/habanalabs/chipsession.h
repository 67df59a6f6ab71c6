// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "habanalabs/nodecalls.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace hl::habanalabs {

// A stretch of HBM that was divided off.
struct HbmBlock {
    uint64_t base = 0;   // the device's address of what it was divided off from
    uint64_t offset = 0; // into that

    [[nodiscard]] uint64_t address() const noexcept { return base + offset; }
};

// One open of a chip: what the ways to have one open (the driver alone, SynapseAI) do for memory, each in its own
// manner. Ends with its last user, and with it whatever the driver or the runtime holds for this process. Thread safe,
// except for the functions of HBM.
class ChipSession {
public:
    struct HbmUse {
        uint64_t used = 0, size = 0, largest_free = 0; // bytes
    };
    // A call that failed: the errno, where it has one, and what more can be said.
    struct Refusal {
        int sys_errno = 0;
        std::string why;
        bool lost = false; // the device is gone, and nobody else may have noticed
    };

    ChipSession() = default;
    ChipSession(const ChipSession &) = delete;
    ChipSession &operator=(const ChipSession &) = delete;
    virtual ~ChipSession() = default;

    // HBM for frames; `bytes` is a multiple of export_page. The errno: ENOMEM where it is full.
    [[nodiscard]] virtual Sys<HbmBlock> allocate_hbm(uint64_t bytes) = 0;
    // No export of the block may be open.
    virtual void free_hbm(const HbmBlock &block) = 0;
    [[nodiscard]] virtual HbmUse hbm_use() const = 0;

    // Pins pages of this process until unmap_host() or the session's end. What the chip's copies call their first byte.
    [[nodiscard]] virtual std::expected<uint64_t, Refusal> map_host(std::span<std::byte> pages) = 0;
    virtual void unmap_host(std::span<std::byte> pages, uint64_t address) noexcept = 0;

    // How the driver wants a part of a block named for an export: by the mapping that it lies in and the offset into
    // that, or by its physical address.
    [[nodiscard]] virtual HbmBlock exportable(const HbmBlock &part) const noexcept = 0;
    // A dma-buf of so many bytes of what exportable() gave.
    [[nodiscard]] virtual Sys<UniqueFd> export_memory(const HbmBlock &named, uint64_t bytes) = 0;
    // Open files of an exported dma-buf in all processes and importers; nullopt where the kernel does not say.
    [[nodiscard]] virtual std::optional<uint64_t> open_files(int dmabuf) = 0;
    // EOPNOTSUPP: a chip that needs none.
    [[nodiscard]] virtual Sys<void> flush_inbound_writes() = 0;

    // The chip was lost: nobody begins anything in this session any more.
    virtual void lost() noexcept {}
};

} // namespace hl::habanalabs
