// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/deviceclaim.h"
#include "backends/synapse/library.h"
#include "device/arena.h"
#include "habanalabs/chipnode.h"
#include "habanalabs/chipsession.h"
#include "habanalabs/nodecalls.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

namespace hl::synapse {

// One device acquired through SynapseAI, and what goes when it is released: the memory that frames are cut from, and a
// control node of our own for questions about its health. SynapseAI owns the compute node and the eventfd of the
// driver, which is read-and-clear (G3SW efd_controller.cpp): neither is closed, registered or read here. Streams and
// events are their owners', who let go of them before they let go of the session. What was lost in a device that other
// software of the process has acquired stays allocated, as the hardware may still reach it: that software's release
// ends it.
class Session final : public habanalabs::ChipSession {
public:
    // Acquires the chip and waits, bounded, for its last user's release (openladder.h). What this process has acquired
    // by itself (a framework) is shared where it is the same chip, and stays acquired afterwards. Errors: SynapseHolder
    // (this process has another one), SynapseCall, SynapseMissing, SynapseAbi, DeviceBusy, DevicePermission,
    // DeviceUnusable, DeviceNotFound, DeviceConfig, MemoryFull.
    [[nodiscard]] static Result<std::shared_ptr<Session>> open(const Library &library,
                                                               const habanalabs::ChipNode &chip);
    // Frames' memory, then the device, then SynapseAI, as far as they are ours.
    ~Session() override;

    [[nodiscard]] const Library &library() const noexcept { return library_; }
    [[nodiscard]] uint32_t device() const noexcept { return abi::only_device; }
    [[nodiscard]] const abi::DeviceInfoV2 &info() const noexcept { return info_; }
    // FALSE: it is shared, and whoever acquired it has let go: its descriptors may be other files by now.
    [[nodiscard]] bool still_acquired() const;

    // The compute node, for the driver's calls that disturb nobody: exports, flushes.
    [[nodiscard]] habanalabs::Node compute_node() const noexcept { return {info_.fd, numbers_}; }
    // The node to ask for DEVICE_STATUS: the control node, or the compute node where that cannot be opened.
    [[nodiscard]] habanalabs::Node health_node() const noexcept;

    [[nodiscard]] habanalabs::Sys<habanalabs::HbmBlock> allocate_hbm(uint64_t bytes) override;
    void free_hbm(const habanalabs::HbmBlock &block) override;
    [[nodiscard]] HbmUse hbm_use() const override;
    [[nodiscard]] std::expected<uint64_t, Refusal> map_host(std::span<std::byte> pages) override;
    void unmap_host(std::span<std::byte> pages, uint64_t address) noexcept override;
    [[nodiscard]] habanalabs::HbmBlock exportable(const habanalabs::HbmBlock &part) const noexcept override;
    [[nodiscard]] habanalabs::Sys<UniqueFd> export_memory(const habanalabs::HbmBlock &named, uint64_t bytes) override;
    [[nodiscard]] std::optional<uint64_t> open_files(int dmabuf) override;
    [[nodiscard]] habanalabs::Sys<void> flush_inbound_writes() override;
    void lost() noexcept override { lost_ = true; }

    // Device memory beside the frames', 128-byte aligned; nullopt where there is none of that size, or the device is
    // gone.
    [[nodiscard]] std::optional<uint64_t> allocate(uint64_t bytes) const;
    void free(uint64_t address) const noexcept;
    // Bytes that allocate() could give in all; 0 where SynapseAI does not say.
    [[nodiscard]] uint64_t free_bytes() const;

private:
    Session(const Library &library, const habanalabs::ChipNode &chip, DeviceClaim claim) noexcept;

    [[nodiscard]] Status initialize();
    [[nodiscard]] Status acquire();
    [[nodiscard]] Status share();
    [[nodiscard]] Status describe();
    [[nodiscard]] Status find_mapping();
    [[nodiscard]] Status take_frames();
    [[nodiscard]] std::string acquired_address() const;
    // What the driver says against acquiring, as an errno of open(2); 0: nothing.
    [[nodiscard]] int why_refused() const;
    [[nodiscard]] std::unexpected<Error> failed(ErrorCode code, std::string cause, std::string remedy) const;

    const Library library_;
    const habanalabs::ChipNode chip_;
    const habanalabs::uapi::IoctlNumbers numbers_;
    const DeviceClaim claim_; // goes last: the next session may then acquire
    UniqueFd control_;
    abi::DeviceInfoV2 info_{};
    bool initialized_ = false; // by us
    bool acquired_ = false;    // likewise
    std::optional<uint64_t> mapping_;
    uint64_t block_ = 0; // of synDeviceMalloc, frames_address_ less what aligns it
    uint64_t frames_address_ = 0;
    std::optional<Arena> frames_;
    std::atomic<bool> lost_ = false;
};

// The error of a thread that cannot be had.
[[nodiscard]] std::unexpected<Error> no_thread(const char *operation, const std::system_error &error,
                                               const std::string &device);

// Bytes of the frames' memory: $HL_SYNAPSE_POOL_MB, or half of what is free, 4 GiB at most, so that models find room.
// Errors: DeviceConfig.
[[nodiscard]] Result<uint64_t> frame_pool_size(const char *setting, uint64_t free_bytes);

} // namespace hl::synapse
