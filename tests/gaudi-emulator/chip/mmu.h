// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/registerrouter.h"
#include "chip/stlb.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// Which of the two kinds of MMU.
enum class MmuKind : uint8_t { Pmmu, Hmmu };

struct PageFault {
    MmuKind mmu = MmuKind::Pmmu;
    uint64_t captured = 0; // what the MMU's capture registers say: for the HMMU the scrambled address
    std::string reason;
};

// Where a virtual address leads: a bus address (PMMU) or a raw HBM address (HMMU), good for `run` bytes.
struct Translation {
    uint64_t address = 0;
    uint64_t run = 0;
};

// Both kinds of MMU. The PMMU maps host memory: 6 hops, tables in host memory (common/mmu/mmu_v2_hr.c). The 16 HMMUs
// map HBM and are always programmed alike, so one walk stands for all: 4 hops, tables in HBM, virtual and physical
// addresses scrambled (common/mmu/mmu_v2.c). gaudi2.c gaudi2_set_fixed_properties() has the shifts and sizes.
class Mmu {
public:
    Mmu(HostBus &bus, const Hbm &hbm, RegisterFile &registers, RegisterRouter &router);

    [[nodiscard]] std::expected<Translation, PageFault> translate_host(uint64_t va, unsigned asid);
    [[nodiscard]] std::expected<Translation, PageFault> translate_hbm(uint64_t va, unsigned asid);
    void reset();

private:
    [[nodiscard]] Stlb &pmmu() { return *stlbs_.front(); }
    [[nodiscard]] Stlb &hmmu() { return *stlbs_[1]; }

    HostBus &bus_;
    const Hbm &hbm_;
    std::vector<std::unique_ptr<Stlb>> stlbs_; // the PMMU's, then the HMMUs'
};

} // namespace gaudiemu::chip
