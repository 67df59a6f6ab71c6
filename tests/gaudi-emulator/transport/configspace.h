// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gaudiemu {

// The 4 KiB of a PCI Express endpoint's configuration: type 0 header, PCIe capability, MSI or MSI-X capability, and no
// extended capability. Knows which bits the guest may change. Reads and writes come from one thread; bus_master() may
// be asked from any.
class ConfigSpace {
public:
    static constexpr size_t size = 4096;

    ConfigSpace(const ConfigSpaceInit &init, std::span<const Bar> bars);

    // As after power-on.
    void reset();

    // One aligned double word.
    [[nodiscard]] uint32_t read(size_t offset) const;
    // True if the write asked for a function-level reset, which is the caller's to do.
    [[nodiscard]] bool write(size_t offset, uint32_t value);

    // The guest lets the function do DMA.
    [[nodiscard]] bool bus_master() const { return bus_master_.load(std::memory_order_relaxed); }

private:
    using Words = std::array<uint32_t, size / sizeof(uint32_t)>;

    void put(size_t offset, uint32_t value, uint32_t writable = 0);
    void put16(size_t offset, uint16_t value, uint16_t writable = 0);
    void lay_out_header(const ConfigSpaceInit &init, std::span<const Bar> bars);
    void lay_out_bar(const Bar &bar);
    void lay_out_express(size_t at, size_t next);
    void lay_out(const MsiCapability &msi, size_t at);
    void lay_out(const MsixCapability &msix, size_t at);

    Words initial_{};
    Words writable_{};
    Words words_{};
    std::atomic<bool> bus_master_ = false;
};

} // namespace gaudiemu
