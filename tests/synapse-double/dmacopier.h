// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/commandbuffers.h"
#include "backends/kernel/driver.h"
#include "device/hostmemory.h"

#include <cstdint>
#include <memory>
#include <span>

namespace hl::dbl {

// Host pages that the chip reaches, for what a stream reads and writes itself.
class Staging {
public:
    // `driver` outlives it. nullptr: no memory, or the driver does not pin it.
    [[nodiscard]] static std::unique_ptr<Staging> create(kernel::Driver &driver, uint64_t bytes);
    Staging(const Staging &) = delete;
    Staging &operator=(const Staging &) = delete;
    ~Staging();

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return pages_.span(); }
    [[nodiscard]] uint64_t address() const noexcept { return address_; }

private:
    Staging(kernel::Driver &driver, HostMemory pages, uint64_t address) noexcept;

    kernel::Driver &driver_;
    HostMemory pages_;
    uint64_t address_;
};

// Copies between addresses of the chip, one after the other, by its DMA queues. One thread at a time.
class DmaCopier {
public:
    // `driver` outlives it. nullptr: no command buffer could be had.
    [[nodiscard]] static std::unique_ptr<DmaCopier> create(kernel::Driver &driver);

    // Returns when it is done. The errno of a failure, after which the device is to be given up.
    [[nodiscard]] int copy(uint64_t source, uint64_t target, uint64_t bytes, bool towards_host);

private:
    DmaCopier(kernel::Driver &driver, kernel::CommandBuffers buffers) noexcept;

    kernel::Driver &driver_;
    kernel::CommandBuffers buffers_;
};

} // namespace hl::dbl
