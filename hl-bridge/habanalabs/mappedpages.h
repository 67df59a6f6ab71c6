// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/hostmemory.h"
#include "habanalabs/chipsession.h"

#include <memory>

namespace hl::habanalabs {

// Pages of this process that the chip may reach, for as long as the object lives or the session lasts. Move only.
class MappedPages {
public:
    MappedPages() noexcept = default;
    // `pages` are mapped in `session`, at `address`.
    MappedPages(HostMemory pages, uint64_t address, std::shared_ptr<ChipSession> session) noexcept;
    MappedPages(MappedPages &&) noexcept = default;
    MappedPages &operator=(MappedPages &&other) noexcept;
    ~MappedPages();

    [[nodiscard]] const HostMemory &pages() const noexcept { return pages_; }
    // What the chip's copies call the first byte.
    [[nodiscard]] uint64_t address() const noexcept { return address_; }
    // The session is over: its end unmaps them. The pages stay.
    void forget_session() noexcept { session_.reset(); }

private:
    HostMemory pages_;
    uint64_t address_ = 0;
    std::shared_ptr<ChipSession> session_;
};

} // namespace hl::habanalabs
