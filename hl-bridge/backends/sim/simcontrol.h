// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"

#include <cstddef>
#include <cstdint>

// What tests may do to a simulated device and see of it. Every function takes a device whose info().simulated is true.
namespace hl::sim {

// Loses the device now, as a hard reset would.
void lose(Device &device);

// While one exists, no DMA request starts: tests decide what is pending. At most one per device.
class DmaGate {
public:
    explicit DmaGate(Device &device);
    DmaGate(const DmaGate &) = delete;
    DmaGate &operator=(const DmaGate &) = delete;
    ~DmaGate();

private:
    Device &device_;
};

// Takes the memory's allocation out of the simulated MMU behind its user's back. False if it was not there.
bool unpin(Device &device, const Memory &memory);

struct Stats {
    uint64_t flushes = 0;      // flush_inbound_writes() calls that succeeded
    uint64_t hbm_resident = 0; // bytes of host memory that the simulated HBM occupies
    size_t mmu_mappings = 0;
    uint64_t faults = 0; // of HL_SIM_FAULTS that struck since the device was opened
};
[[nodiscard]] Stats stats(Device &device);

} // namespace hl::sim
