// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/sim/faultlist.h"
#include "backends/sim/preset.h"
#include "core/error.h"

#include <chrono>
#include <cstdint>

namespace hl::sim {

// How a simulated device behaves, read from the environment when it is opened:
//   HL_SIM_CHIP        the preset: gaudi2 (default) or gaudi
//   HL_SIM_HBM_MB      MiB of HBM a user may allocate; 1 to 1048576; default what the chip has
//   HL_SIM_BAR_MB      MiB from the start of the HBM (the reserved part included) that its PCI BAR reaches, beyond
//                      which nothing can be exported; 1 to 2097152; default all
//   HL_SIM_DMA_US      microseconds that each DMA request takes at least; default 0
//   HL_SIM_DMA_GBPS    10^9 bytes per second of each DMA direction, a decimal number above 0; default: as fast as the
//                      CPU copies
//   HL_SIM_COMPUTE_US  microseconds that each inference takes at least, one at a time; default 0
//   HL_SIM_FAULTS      see FaultList
struct Settings {
    const Preset *preset = &gaudi2;
    uint64_t hbm_user_bytes = gaudi2.user_bytes();
    uint64_t bar_bytes = UINT64_MAX;
    std::chrono::nanoseconds dma_time{0};
    double dma_seconds_per_byte = 0.0;
    std::chrono::nanoseconds compute_time{0};
    FaultList faults;

    // Errors: DeviceConfig naming the variable.
    [[nodiscard]] static Result<Settings> from_environment();
};

} // namespace hl::sim
