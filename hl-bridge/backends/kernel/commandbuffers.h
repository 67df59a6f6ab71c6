// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/driver.h"
#include "backends/kernel/packets.h"
#include "core/error.h"
#include "device/hostmemory.h"

#include <span>
#include <string>
#include <vector>

namespace hl::kernel {

// A fixed number of command buffers that the chip reads: Gaudi2 takes them from pinned pages of the user, Gaudi from
// memory of the kernel (habanalabs command_submission.c validate_queue_index). Not thread safe. `driver` outlives it.
class CommandBuffers {
public:
    static constexpr uint32_t buffer_bytes = 64 << 10;

    // Errors: MemoryHost, FdLimit.
    [[nodiscard]] static Result<CommandBuffers> create(Driver &driver, ChipKind chip, size_t count,
                                                       const std::string &device);
    CommandBuffers(CommandBuffers &&other) noexcept;
    CommandBuffers &operator=(CommandBuffers &&) = delete;
    ~CommandBuffers();

    [[nodiscard]] std::span<std::byte> bytes(size_t index) const noexcept;
    // The buffer as submitted, its first `used` bytes filled.
    [[nodiscard]] CommandBuffer filled(size_t index, uint32_t used) const noexcept;

private:
    explicit CommandBuffers(Driver &driver) noexcept : driver_(&driver) {}

    Driver *driver_; // nullptr: moved from
    HostMemory pages_;
    uint64_t address_ = 0; // of pages_, in the device's view
    std::vector<KernelBuffer> kernel_;
};

} // namespace hl::kernel
