// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/pagefault.h"
#include "chip/registerrouter.h"
#include "chip/resettable.h"
#include "chip/stlb.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <vector>

namespace gaudiemu::chip {

// Both kinds of MMU. The PMMU maps host memory: 6 hops, tables in host memory (common/mmu/mmu_v2_hr.c). The 16 HMMUs
// map HBM and are always programmed alike, so one walk stands for all: 4 hops, tables in HBM, virtual and physical
// addresses scrambled (common/mmu/mmu_v2.c). gaudi2.c gaudi2_set_fixed_properties() has the shifts and sizes.
class Gaudi2Mmu final : public PageFaultCapture, public Resettable {
public:
    Gaudi2Mmu(HostBus &bus, const Hbm &hbm, RegisterFile &registers, RegisterRouter &router);

    // To a bus address.
    [[nodiscard]] std::expected<Translation, PageFault> translate_host(uint64_t va, unsigned asid);
    // To a raw HBM address. What is captured of a fault is the scrambled one.
    [[nodiscard]] std::expected<Translation, PageFault> translate_hbm(uint64_t va, unsigned asid);
    [[nodiscard]] uint16_t capture(const PageFault &fault) override;
    void reset() override;

private:
    [[nodiscard]] Stlb &pmmu() { return *stlbs_.front(); }
    [[nodiscard]] Stlb &hmmu() { return *stlbs_[1]; }

    HostBus &bus_;
    const Hbm &hbm_;
    RegisterFile &registers_;
    std::vector<std::unique_ptr<Stlb>> stlbs_; // the PMMU's, then the HMMUs'
    std::mutex capturing_;
};

} // namespace gaudiemu::chip
