// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "habanalabs/nodecalls.h"
#include "habanalabs/uapi.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hl::kernel {

using namespace habanalabs; // the driver's words are this backend's

// A command buffer to run: in memory of the kernel (Gaudi: `cb` is its handle) or of the user (Gaudi2: the device's
// address).
struct CommandBuffer {
    uint64_t cb = 0;
    uint32_t bytes = 0;
    bool user = false;
};

// Memory of the kernel for command buffers.
struct KernelBuffer {
    uint64_t handle = 0;
    std::span<std::byte> bytes;
};

// One open of a compute node: the driver's calls that this backend uses, each as it is, without policy. The last
// owner's destructor closes the node. Thread safe. Played by a test's double.
class Driver {
public:
    Driver() = default;
    Driver(const Driver &) = delete;
    Driver &operator=(const Driver &) = delete;
    virtual ~Driver() = default;

    [[nodiscard]] virtual Sys<uapi::HwIpInfo> hw_info() = 0;
    [[nodiscard]] virtual Sys<uint32_t> status() = 0;
    [[nodiscard]] virtual Sys<void> register_events(int eventfd) = 0;
    // uapi::Event bits since the last call.
    [[nodiscard]] virtual Sys<uint64_t> take_events() = 0;

    // HBM of chips that have virtual memory for it (Gaudi2): handles, and the addresses they are mapped at.
    [[nodiscard]] virtual Sys<uint64_t> allocate(uint64_t bytes) = 0;
    [[nodiscard]] virtual Sys<void> free(uint64_t handle) = 0;
    [[nodiscard]] virtual Sys<uint64_t> map_device(uint64_t handle) = 0;
    // Pins pages of this process and gives the device's address of them.
    [[nodiscard]] virtual Sys<uint64_t> map_host(std::span<std::byte> pages) = 0;
    [[nodiscard]] virtual Sys<void> unmap(uint64_t address) = 0;
    [[nodiscard]] virtual Sys<UniqueFd> export_memory(uint64_t address, uint64_t bytes, uint64_t offset) = 0;
    // Open files of an exported dma-buf in all processes and importers; nullopt where the kernel does not say.
    [[nodiscard]] virtual std::optional<uint64_t> open_files(int dmabuf) = 0;

    [[nodiscard]] virtual Sys<KernelBuffer> create_buffer(uint32_t bytes) = 0;
    virtual void destroy_buffer(const KernelBuffer &buffer) noexcept = 0;

    // Queues a command buffer; the sequence number. The driver resets the device if it takes longer than `limit`.
    // EAGAIN: too many are under way.
    [[nodiscard]] virtual Sys<uint64_t> submit(uint32_t queue, const CommandBuffer &buffer,
                                               std::chrono::seconds limit) = 0;
    // Waits for a submission at most so long. FALSE: it is still under way.
    [[nodiscard]] virtual Sys<bool> wait(uint64_t sequence, std::chrono::microseconds limit) = 0;
    [[nodiscard]] virtual Sys<void> flush_inbound_writes() = 0;
};

} // namespace hl::kernel
