// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/packets.h"
#include "guest/hldevice.h"
#include "guest/kernelreturns.h"

#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace gaudiemu::guest {

struct Unmap {
    size_t size = 0;
    void operator()(std::byte *memory) const { munmap(memory, size); }
};
using Pages = std::unique_ptr<std::byte, Unmap>;

// An open accelerator with host memory, room for command buffers and a stretch of HBM: what a job needs. On a Gaudi2
// the HBM is a page of it, mapped, and command buffers lie in host memory; on a first Gaudi the HBM has its physical
// addresses, and command buffers are the driver's.
class GaudiJobs {
public:
    static constexpr uint32_t queue_down = 0; // GAUDI2_QUEUE_ID_PDMA_0_0, GAUDI_QUEUE_ID_DMA_0_0
    static constexpr uint32_t queue_up = 4;   // GAUDI2_QUEUE_ID_PDMA_1_0, GAUDI_QUEUE_ID_DMA_1_0
    static constexpr uint64_t hbm_size = 768 << 20;
    static constexpr size_t host_size = 24 << 20;
    static constexpr size_t buffer_size = 1 << 20;

    struct Outcome {
        int error = 0;   // errno of the submission or of the wait
        int outcome = 0; // HL_WAIT_CS_STATUS_*
    };

    // 0 or errno.
    [[nodiscard]] int open();
    void close();

    // For the chip that this is.
    [[nodiscard]] chip::Packets packets() const;
    [[nodiscard]] bool first_gaudi() const noexcept { return chip_.id == 0x1000; }
    // A dma-buf of a part of the HBM.
    [[nodiscard]] int export_hbm(uint64_t offset, uint64_t size, hl::UniqueFd &dmabuf) const;

    // The command buffer lies at `at` of the room for them.
    [[nodiscard]] int send(uint32_t queue, const chip::Packets &packets, uint64_t &sequence, size_t at = 0);
    [[nodiscard]] Outcome run(uint32_t queue, const chip::Packets &packets, unsigned seconds = 10);

    // A process of its own does it: the driver kills who has the device open when it resets the chip. It opens the
    // device, makes the packets and runs them. An outcome of -1: it was killed before it could tell.
    using MakePackets = std::function<chip::Packets(const GaudiJobs &)>;
    [[nodiscard]] static Outcome in_child(const MakePackets &make, unsigned seconds);

    [[nodiscard]] HlDevice &device() noexcept { return device_; }
    [[nodiscard]] std::byte *host() const noexcept { return host_.get(); }
    [[nodiscard]] uint64_t host_address() const noexcept { return host_address_; }
    [[nodiscard]] uint64_t hbm_address() const noexcept { return hbm_address_; }

private:
    [[nodiscard]] int open_gaudi2();
    [[nodiscard]] int open_first_gaudi();

    HlDevice device_;
    HlDevice::Chip chip_;
    Pages host_, buffer_;
    uint64_t host_address_ = 0, buffer_address_ = 0, handle_ = 0, hbm_address_ = 0;
};

// One of the attributes of the device in sysfs; empty if there is none.
[[nodiscard]] std::string device_attribute(const std::string &name);
[[nodiscard]] int hard_resets();

// The first hard reset of the chip after the object was made.
class NextReset {
public:
    NextReset();
    // Until the driver has done it and calls the device operational. False after so long.
    [[nodiscard]] bool wait(std::chrono::seconds bound);

private:
    KernelReturns returns_{"habanalabs:hl_device_reset"}; // counts, and ends the reset, before it returns
    int before_ = hard_resets();
};

[[nodiscard]] bool kernel_log_has(const std::string &words);

} // namespace gaudiemu::guest
