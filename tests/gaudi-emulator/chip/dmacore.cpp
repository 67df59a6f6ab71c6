// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/dmacore.h"

#include <format>
#include <utility>

namespace gaudiemu::chip {

namespace {

constexpr uint32_t commit_memset = 0x10;
constexpr uint32_t commit_completion = 0x1;
constexpr uint32_t busy = 0x80000000; // dma0_core_masks.h DMA0_CORE_STS0_BUSY_MASK

} // namespace

Initiator core_initiator(const RegisterFile &registers, const DmaCoreLayout &layout, uint32_t page, std::string name)
{
    const bool secure = layout.protection && (registers.load(page + layout.protection) & 1);
    auto who = initiator_of(registers, secure ? layout.secure : layout.context, page, std::move(name));
    who.driver = secure;
    return who;
}

void DmaCore::reset()
{
    registers_.clear_page(place_.page);
}

uint32_t DmaCore::read(uint32_t reg)
{
    if (layout_.status && reg == place_.page + layout_.status)
        return jobs_ ? busy : 0;
    return registers_.load(reg);
}

void DmaCore::write(uint32_t reg, uint32_t value, Origin)
{
    registers_.store(reg, value);
    if (reg == place_.page + layout_.commit)
        commit(value);
}

void DmaCore::commit(uint32_t value)
{
    if (value & ~(layout_.commit_linear | commit_memset | commit_completion) || !(value & layout_.commit_linear)) {
        errors_.queue(place_.name, std::format("a commit of {:#x} is not built", value), place_.event);
        return;
    }
    const DmaJob job{.source = load_pair(layout_.src_lo, layout_.src_hi),
                     .destination = load_pair(layout_.dst_lo, layout_.dst_hi),
                     .size = load(layout_.dst_tsize),
                     .memset = (value & commit_memset) != 0};
    const uint64_t completion =
        value & commit_completion ? load_pair(layout_.wr_comp_addr_lo, layout_.wr_comp_addr_hi) : 0;
    ++jobs_;
    worker_.post([this, job, who = core_initiator(registers_, layout_, place_.page, place_.name), completion,
                  word = load(layout_.wr_comp_wdata), epoch = gate_.epoch()] {
        if (dma_.run(job, who, place_.event, epoch) == JobResult::Done && completion)
            if (const auto sent = fabric_.message(who, completion, word); !sent)
                errors_.address(place_.name + "'s completion", sent.error(), true, place_.event);
        --jobs_;
    });
}

} // namespace gaudiemu::chip
