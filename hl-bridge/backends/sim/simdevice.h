// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/sim/chip.h"
#include "backends/sim/dmaengine.h"
#include "device/device.h"

#include <memory>
#include <string_view>

namespace hl::sim {

// A Gaudi that is not there, by one of the presets: same page sizes, addresses, rules and errors as the driver's,
// memory in a sparse memfd, DMA and compute on the CPU. `stand_in` is "SIM". Settings and faults: settings.h. Where it
// is milder than the driver: Host placement can be released while an export of it is open, because a memfd or udmabuf
// keeps its pages by itself.
class SimDevice final : public Device {
public:
    // `name`: "" for the process's own, else taken machine-wide. Errors: DeviceBusy, DeviceConfig, MemoryHost, FdLimit.
    [[nodiscard]] static Result<std::unique_ptr<Device>> open(std::string_view name);
    // What open("") would open.
    [[nodiscard]] static DeviceListing list();

    ~SimDevice() override;

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
    [[nodiscard]] Result<bool> wait_readers(int fd, Deadline deadline) override;
    [[nodiscard]] Result<std::shared_ptr<Engine>> create_engine(const Model &model,
                                                                const EngineOptions &options) override;
    [[nodiscard]] Usage usage() const override;

    [[nodiscard]] const std::shared_ptr<Chip> &chip() const noexcept { return chip_; }

private:
    explicit SimDevice(DeviceInfo info);

    DeviceInfo info_;
    std::shared_ptr<Chip> chip_;
    std::unique_ptr<DmaEngine> dma_;
};

} // namespace hl::sim
