// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/kdma.h"
#include "chip/registers.h"

#include <format>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

constexpr uint32_t commit_linear = 0x80000000; // ARC_FARM_KDMA_CTX_COMMIT
constexpr uint32_t commit_memset = 0x10;
constexpr uint32_t commit_completion = 0x1;

} // namespace

void Kdma::reset()
{
    registers_.clear_page(dma::kdma);
}

void Kdma::write(uint32_t reg, uint32_t value, Origin)
{
    registers_.store(reg, value);
    if (reg != dma::kdma + dma::commit)
        return;
    const auto at = [&](uint32_t lo, uint32_t hi) { return registers_.load_pair(dma::kdma + lo, dma::kdma + hi); };
    if (value & ~(commit_linear | commit_memset | commit_completion) || !(value & commit_linear)) {
        errors_.queue("KDMA", std::format("a commit of {:#x} is not built", value), event_kdma_core);
        return;
    }
    const DmaJob job{.source = at(dma::src_lo, dma::src_hi),
                     .destination = at(dma::dst_lo, dma::dst_hi),
                     .size = registers_.load(dma::kdma + dma::dst_tsize),
                     .memset = (value & commit_memset) != 0};
    const Initiator who{.name = "KDMA",
                        .asid = registers_.load(dma::kdma + dma::axuser_asid) & 0x3ff,
                        .bypass = (registers_.load(dma::kdma + dma::axuser_mmu_bp) & 1) != 0};
    const uint64_t address = value & commit_completion ? at(dma::wr_comp_addr_lo, dma::wr_comp_addr_hi) : 0;
    worker_.post(
        [this, job, who, address, word = registers_.load(dma::kdma + dma::wr_comp_wdata), epoch = gate_.epoch()] {
            if (dma_.run(job, who, event_kdma_core, epoch) != JobResult::Done || !address)
                return;
            if (const auto sent = fabric_.message(who, address, word); !sent)
                errors_.address("KDMA's completion", sent.error(), true, event_kdma_core);
        });
}

} // namespace gaudiemu::chip
