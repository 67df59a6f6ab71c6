// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaudiemu::chip {

// What happens to one DMA job of a user's queue.
struct DmaOrder {
    std::chrono::microseconds delay{0};
    bool stall = false;           // never completes until a reset
    bool link_gone = false;       // the card falls off the bus first
    std::vector<uint16_t> events; // error events that the firmware posts first
};

// Firmware that fails: how far it gets.
enum class FirmwareFault : uint8_t {
    None,
    Preboot, // reports a failed DRAM initialisation
    BootFit, // refuses the image
    Linux,   // never starts
};

// Faults on order. The command line's --fault may come several times; each is
//
//   order = "dma-stall@" N         the N-th DMA job never completes (until a reset); N counts from 1, over the LIN_DMA
//                                  packets of PDMA 0 and 1 since the process started
//         | "dma-slow=" US         every DMA job takes US microseconds longer
//         | "event=" ID "@" N      before the N-th DMA job the firmware posts the error event ID (its number in the
//                                  kernel's include/gaudi2/gaudi2_async_events.h)
//         | "link-gone@" N         before the N-th DMA job the card falls off the bus: reads give all ones, no DMA, no
//                                  interrupt, for good
//         | "cpu-stall@" N         the N-th packet of the CPU queue, and each one after it, is never answered until a
//                                  hard reset (a heartbeat that stops)
//         | "firmware-fail=" STAGE with STAGE = "preboot" | "boot-fit" | "linux"
//
// Thread safe.
class ChipFaults {
public:
    ChipFaults() = default;
    ChipFaults(ChipFaults &&other) noexcept;

    // Adds one order. Errors: the order and the grammar, in words.
    [[nodiscard]] std::expected<void, std::string> add(std::string_view order);

    // Counts one DMA job and says what happens to it.
    [[nodiscard]] DmaOrder next_dma();
    // Counts one CPU packet. False: it is never answered.
    [[nodiscard]] bool next_cpu_packet();
    // A hard reset revives the CPU.
    void revive_cpu();
    [[nodiscard]] FirmwareFault firmware() const;

private:
    struct EventOrder {
        uint16_t id = 0;
        uint64_t at = 0;
    };

    mutable std::mutex mutex_;
    uint64_t dma_jobs_ = 0;
    uint64_t cpu_packets_ = 0;
    std::chrono::microseconds delay_{0};
    std::vector<uint64_t> stalls_;
    std::vector<EventOrder> events_;
    std::optional<uint64_t> link_gone_;
    std::optional<uint64_t> cpu_stall_;
    FirmwareFault firmware_ = FirmwareFault::None;
};

} // namespace gaudiemu::chip
