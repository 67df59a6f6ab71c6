// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"

#include <atomic>
#include <cstdint>
#include <shared_mutex>
#include <span>

namespace gaudiemu::chip {

// The chip's side of the PCIe link: the PciHost, behind a valve. A reset or a lost link closes it; nothing of this
// model touches the machine once close() has returned. Thread safe.
class HostBus {
public:
    void attach(PciHost &host);

    [[nodiscard]] std::expected<void, BusFault> read(uint64_t bus_address, std::span<std::byte> into);
    [[nodiscard]] std::expected<void, BusFault> write(uint64_t bus_address, std::span<const std::byte> from);
    void interrupt(unsigned vector);

    // Waits for what is under way (each call above moves at most a slice, see DmaEngine).
    void close();
    void open();
    // For good: the card has fallen off the bus.
    void lose();
    [[nodiscard]] bool lost() const noexcept { return lost_.load(std::memory_order_acquire); }

private:
    [[nodiscard]] bool passes() const noexcept { return host_ && open_ && !lost(); }

    std::shared_mutex mutex_;
    PciHost *host_ = nullptr;
    bool open_ = true;
    std::atomic<bool> lost_ = false;
};

} // namespace gaudiemu::chip
