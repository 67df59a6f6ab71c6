// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/driver.h"

#include <memory>
#include <string>

namespace hl::kernel {

// Driver by ioctl, of either generation.
class IoctlDriver final : public Driver {
public:
    // `node` was opened read-write.
    IoctlDriver(UniqueFd node, const uapi::IoctlNumbers &numbers) noexcept : node_(std::move(node)), numbers_(numbers)
    {}

    [[nodiscard]] Sys<uapi::HwIpInfo> hw_info() override;
    [[nodiscard]] Sys<uint32_t> status() override;
    [[nodiscard]] Sys<void> register_events(int eventfd) override;
    [[nodiscard]] Sys<uint64_t> take_events() override;
    [[nodiscard]] Sys<uint64_t> allocate(uint64_t bytes) override;
    [[nodiscard]] Sys<void> free(uint64_t handle) override;
    [[nodiscard]] Sys<uint64_t> map_device(uint64_t handle) override;
    [[nodiscard]] Sys<uint64_t> map_host(std::span<std::byte> pages) override;
    [[nodiscard]] Sys<void> unmap(uint64_t address) override;
    [[nodiscard]] Sys<UniqueFd> export_memory(uint64_t address, uint64_t bytes, uint64_t offset) override;
    [[nodiscard]] std::optional<uint64_t> open_files(int dmabuf) override;
    [[nodiscard]] Sys<KernelBuffer> create_buffer(uint32_t bytes) override;
    void destroy_buffer(const KernelBuffer &buffer) noexcept override;
    [[nodiscard]] Sys<uint64_t> submit(uint32_t queue, const CommandBuffer &buffer,
                                       std::chrono::seconds limit) override;
    [[nodiscard]] Sys<bool> wait(uint64_t sequence, std::chrono::microseconds limit) override;
    [[nodiscard]] Sys<void> flush_inbound_writes() override;

private:
    [[nodiscard]] Sys<uint64_t> memory(const uapi::MemArgs &args);
    [[nodiscard]] Node node() const noexcept { return {node_.get(), numbers_}; }

    UniqueFd node_;
    uapi::IoctlNumbers numbers_;
};

} // namespace hl::kernel
