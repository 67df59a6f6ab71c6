// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/cpuport.h"
#include "chip/gaudi1registers.h"
#include "chip/registerfile.h"

#include <cstdint>
#include <optional>

namespace gaudiemu::chip {

// The first Gaudi's CPU has addresses of 40 bits, of which bit 39 means the host; bits 49:39 of what it then sees come
// from a register (gaudi.c gaudi_alloc_cpu_accessible_dma_mem(), gaudi_init_cpu(), gaudiP.h GAUDI_PCI_TO_CPU_ADDR).
class Gaudi1CpuPort final : public CpuPort {
public:
    Gaudi1CpuPort(HostBus &bus, const RegisterFile &registers) : CpuPort(bus), registers_(registers) {}

protected:
    [[nodiscard]] std::optional<uint64_t> bus_address(uint64_t address) const override
    {
        constexpr uint64_t host_bit = uint64_t{1} << 39;
        if (address >> 39 != 1)
            return std::nullopt;
        const uint64_t extension = registers_.load(gaudi1::cpuif::cpu_msb_addr) & 0x7ff;
        const uint64_t seen = (address & (host_bit - 1)) | extension << 39;
        return seen < gaudi1::host_base ? std::nullopt : std::optional(seen - gaudi1::host_base);
    }

private:
    const RegisterFile &registers_;
};

} // namespace gaudiemu::chip
