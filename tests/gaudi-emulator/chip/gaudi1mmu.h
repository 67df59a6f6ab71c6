// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hbm.h"
#include "chip/pagefault.h"
#include "chip/registerrouter.h"
#include "chip/resettable.h"
#include "chip/stlb.h"

#include <cstdint>
#include <expected>
#include <mutex>

namespace gaudiemu::chip {

// The first Gaudi's only MMU, for host memory: 5 hops, tables in HBM (common/mmu/mmu_v1.c; gaudi.c
// gaudi_set_fixed_properties() has the shifts, gaudi_mmu_init() the tables' place).
class Gaudi1Mmu final : public PageFaultCapture, public Resettable {
public:
    Gaudi1Mmu(const Hbm &hbm, RegisterFile &registers, RegisterRouter &router);

    // To what the host's memory is called without the MMU.
    [[nodiscard]] std::expected<Translation, PageFault> translate(uint64_t va, unsigned asid) const;
    [[nodiscard]] uint16_t capture(const PageFault &fault) override;
    void reset() override { stlb_.reset(); }

private:
    const Hbm &hbm_;
    RegisterFile &registers_;
    Stlb stlb_;
    std::mutex capturing_;
};

} // namespace gaudiemu::chip
