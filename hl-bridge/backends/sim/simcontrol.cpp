// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"

#include "backends/sim/simdevice.h"

namespace hl::sim {
namespace {

Chip &chip_of(Device &device)
{
    return *static_cast<SimDevice &>(device).chip();
}

} // namespace

void lose(Device &device)
{
    Chip &chip = chip_of(device);
    chip.lose(chip.lock());
}

DmaGate::DmaGate(Device &device) : device_(device)
{
    chip_of(device_).set_frozen(true);
}

DmaGate::~DmaGate()
{
    chip_of(device_).set_frozen(false);
}

bool unpin(Device &device, const Memory &memory)
{
    return chip_of(device).unpin(memory);
}

Stats stats(Device &device)
{
    Chip &chip = chip_of(device);
    return {.flushes = chip.flushes(),
            .hbm_resident = chip.hbm_resident(),
            .mmu_mappings = chip.mmu_mappings(),
            .faults = chip.faults_struck()};
}

} // namespace hl::sim
