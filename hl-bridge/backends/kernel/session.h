// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/commandbuffers.h"
#include "backends/kernel/driver.h"
#include "backends/kernel/hbmarenas.h"
#include "core/error.h"
#include "device/copycheck.h"
#include "habanalabs/chipsession.h"

#include <functional>
#include <memory>
#include <string>

namespace hl::kernel {

// Opens the compute node.
using DriverOpener = std::function<Result<std::unique_ptr<Driver>>()>;

// One open of a chip's compute node, with all that goes when it ends. The node is closed when its last user lets go.
class Session final : public ChipSession {
public:
    // Submissions that a queue keeps in the driver: two queues together stay below the 64 that Gaudi2's takes (gaudi2.c
    // GAUDI2_MAX_PENDING_CS).
    static constexpr size_t queue_depth = 24;

    // Errors: those of `opener`, MemoryHost, FdLimit, DeviceUnusable.
    [[nodiscard]] static Result<std::shared_ptr<Session>> open(const DriverOpener &opener, ChipKind chip,
                                                               const std::string &device);

    [[nodiscard]] Driver &driver() noexcept { return *driver_; }
    [[nodiscard]] const uapi::HwIpInfo &hw() const noexcept { return hw_; }
    // Readable when Driver::take_events() has news; invalid where the driver has no events.
    [[nodiscard]] const UniqueFd &events() const noexcept { return events_; }
    [[nodiscard]] const CommandBuffers &buffers(CopyWay way) const noexcept { return way == CopyWay::Up ? up_ : down_; }

    [[nodiscard]] Sys<HbmBlock> allocate_hbm(uint64_t bytes) override;
    void free_hbm(const HbmBlock &block) override;
    [[nodiscard]] HbmUse hbm_use() const override;
    [[nodiscard]] std::expected<uint64_t, Refusal> map_host(std::span<std::byte> pages) override;
    void unmap_host(std::span<std::byte> pages, uint64_t address) noexcept override;
    [[nodiscard]] HbmBlock exportable(const HbmBlock &part) const noexcept override;
    [[nodiscard]] Sys<UniqueFd> export_memory(const HbmBlock &named, uint64_t bytes) override;
    [[nodiscard]] std::optional<uint64_t> open_files(int dmabuf) override;
    [[nodiscard]] Sys<void> flush_inbound_writes() override;

private:
    Session(std::unique_ptr<Driver> driver, ChipKind kind, const uapi::HwIpInfo &hw, UniqueFd events,
            CommandBuffers down, CommandBuffers up);

    const ChipKind kind_;
    const std::unique_ptr<Driver> driver_; // before the others, which are taken down through it
    const uapi::HwIpInfo hw_;
    const UniqueFd events_;
    CommandBuffers down_, up_;
    HbmArenas hbm_;
};

} // namespace hl::kernel
