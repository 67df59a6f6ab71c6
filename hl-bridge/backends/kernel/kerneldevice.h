// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/chip.h"
#include "backends/kernel/dmaqueue.h"
#include "backends/kernel/watcher.h"
#include "device/device.h"
#include "habanalabs/chipnode.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace hl::kernel {

// A Gaudi behind the habanalabs driver of the kernel, without SynapseAI: memory, exports and DMA, but no compute. A
// worker thread for each direction of DMA, and one that watches for the device's end.
class KernelDevice final : public Device {
public:
    // The chip at a PCI address. Errors: DeviceBusy, DevicePermission, DeviceUnusable, DeviceNotFound, MemoryHost,
    // FdLimit.
    [[nodiscard]] static Result<std::unique_ptr<Device>> open(const std::string &address);
    // The same over calls of one's own choice.
    [[nodiscard]] static Result<std::unique_ptr<Device>> open_with(const ChipNode &node, DriverOpener opener);
    // What sysfs says of all Gaudis, the open ones too.
    [[nodiscard]] static std::vector<DeviceListing> enumerate();

    ~KernelDevice() override;

    [[nodiscard]] const DeviceInfo &info() const noexcept override { return info_; }
    [[nodiscard]] uint32_t generation() const noexcept override;
    [[nodiscard]] bool lost() const noexcept override;
    [[nodiscard]] Status recover() override;
    [[nodiscard]] Result<Memory> allocate(uint64_t size, Placement placement,
                                          HostPages pages = HostPages::Base) override;
    [[nodiscard]] Status release(const Memory &memory) override;
    [[nodiscard]] Result<UniqueFd> export_dmabuf(const Memory &memory) override;
    [[nodiscard]] Result<Memory> resolve_dmabuf(int fd) override;
    [[nodiscard]] Result<std::span<std::byte>> host_span(const Memory &memory) override;
    [[nodiscard]] Status submit(std::span<const CopyRequest> requests, CompletionListener &listener) override;
    [[nodiscard]] Status flush_inbound_writes() override;
    [[nodiscard]] Result<std::shared_ptr<Engine>> create_engine(const Model &model,
                                                                const EngineOptions &options) override;
    [[nodiscard]] Usage usage() const override;

private:
    explicit KernelDevice(DeviceInfo info) noexcept : info_(std::move(info)) {}

    void start();

    DeviceInfo info_;
    std::shared_ptr<Chip> chip_;
    std::shared_ptr<DmaQueue> down_, up_;
    std::vector<std::thread> threads_;
};

} // namespace hl::kernel
