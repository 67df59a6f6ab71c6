// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/chip.h"
#include "backends/synapse/copyqueue.h"
#include "device/device.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace hl::synapse {

// A Gaudi behind Intel's SynapseAI runtime: memory, exports, DMA, and compute by recipes. A thread for each direction
// of DMA and one for each engine, and one that watches the device's health. After a failure of the device SynapseAI may
// end the process by itself (G3SW dfa_base.cpp); where it does not, the device is lost and can be opened again.
class SynapseDevice final : public Device {
public:
    // Whether SynapseAI is here and can be used. What speaks against a runtime that is here is logged. Opens no device.
    [[nodiscard]] static bool usable() noexcept;
    // The chip at a PCI address. Errors: SynapseMissing, SynapseVersion, SynapseAbi, then as Session::open().
    [[nodiscard]] static Result<std::unique_ptr<Device>> open(const std::string &address);

    ~SynapseDevice() override;

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
    SynapseDevice() noexcept = default;

    void start();

    DeviceInfo info_;
    std::shared_ptr<Chip> chip_;
    std::shared_ptr<CopyQueue> down_, up_;
    std::vector<std::thread> threads_;
};

} // namespace hl::synapse
