// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/syncmanager.h"
#include "chip/gaudi2registers.h"

#include <format>
#include <utility>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

// include/gaudi2/asic_reg/dcore0_sync_mngr_objs_masks.h.
constexpr uint32_t sob_value = 0x7fff;
constexpr uint32_t sob_long = 0x01000000;
constexpr uint32_t sob_increment = 0x80000000;
constexpr uint32_t config_cq_enable = 0x10;
constexpr uint32_t config_lbw_enable = 0x100;
constexpr uint32_t config_long_sob = 0x1;
constexpr uint32_t arm_equal = 0x10000;
// A message that leads back to a sync object may fire again: a bound for a loop that would never end.
constexpr unsigned chain_limit = 4096;

constexpr uint32_t config_writes(uint32_t config)
{
    return (config >> 5 & 3) + 1;
}

// Groups of eight sync objects: the lower bits in ARM, the upper ones in CONFIG.
constexpr uint32_t group(uint32_t arm, uint32_t config)
{
    return (config >> 16 & 0xf) << 8 | (arm & 0xff);
}

} // namespace

void SyncManager::reset()
{
    const std::lock_guard lock(mutex_);
    pending_.clear();
    for (uint32_t dcore = 0; dcore < dcores; ++dcore)
        for (uint32_t offset = 0; offset < sm::size; offset += page_size)
            registers_.clear_page(sm::base + dcore * dcore_offset + offset);
}

void SyncManager::write(uint32_t reg, uint32_t value, Origin)
{
    const std::lock_guard lock(mutex_);
    pending_.emplace_back(reg, value);
    for (unsigned chained = 0; !pending_.empty(); ++chained) {
        if (chained == chain_limit) {
            journal_.fault(std::format("sync manager: a message to {:#x} goes round in circles", reg));
            pending_.clear();
            return;
        }
        const auto [next_reg, next_value] = pending_.front();
        pending_.pop_front();
        apply(next_reg, next_value);
    }
}

void SyncManager::apply(uint32_t reg, uint32_t value)
{
    const uint32_t dcore_base = sm::base + (reg - sm::base) / dcore_offset * dcore_offset;
    const uint32_t offset = reg - dcore_base;
    if (offset < sm::pay_addr_lo) {
        set_sob(dcore_base, offset / 4, value);
        return;
    }
    registers_.store(reg, value);
    if (offset >= sm::arm && offset < sm::config)
        look_at(dcore_base, (offset - sm::arm) / 4);
}

void SyncManager::set_sob(uint32_t dcore_base, uint32_t sob, uint32_t value)
{
    if (value & sob_long)
        journal_.fault(std::format("sync manager: a long sync object ({}) is not built", sob));
    // An increment is signed: bit 15 says that it counts down (gaudi2_arm_monitors_for_virt_msix_db()).
    const uint32_t reg = dcore_base + sm::sob + sob * 4;
    registers_.store(reg, (value & sob_increment ? registers_.load(reg) + value : value) & sob_value);

    for (uint32_t monitor = 0; monitor < sm::monitors; ++monitor) {
        const uint32_t arm = registers_.load(dcore_base + sm::arm + monitor * 4);
        if (arm && group(arm, registers_.load(dcore_base + sm::config + monitor * 4)) == sob / 8)
            look_at(dcore_base, monitor);
    }
}

void SyncManager::look_at(uint32_t dcore_base, uint32_t monitor)
{
    const uint32_t arm = registers_.load(dcore_base + sm::arm + monitor * 4);
    const uint32_t config = registers_.load(dcore_base + sm::config + monitor * 4);
    if (!arm)
        return;
    if (config & config_long_sob) {
        journal_.fault(std::format("sync manager: a monitor ({}) of a long sync object is not built", monitor));
        return;
    }
    const uint32_t wanted = arm >> 17;
    for (uint32_t i = 0; i < 8; ++i) {
        if (arm >> (8 + i) & 1) // masked: not watched
            continue;
        const uint32_t sob = group(arm, config) * 8 + i;
        if (sob >= sm::sobs)
            return;
        const uint32_t now = registers_.load(dcore_base + sm::sob + sob * 4) & sob_value;
        if (arm & arm_equal ? now != wanted : now < wanted)
            return;
    }
    registers_.store(dcore_base + sm::arm + monitor * 4, 0);
    fire(dcore_base, monitor, config);
}

void SyncManager::fire(uint32_t dcore_base, uint32_t monitor, uint32_t config)
{
    for (uint32_t i = 0; i < config_writes(config) && monitor + i < sm::monitors; ++i) {
        const uint32_t offset = (monitor + i) * 4;
        const uint32_t payload = registers_.load(dcore_base + sm::pay_data + offset);
        const uint64_t address =
            registers_.load_pair(dcore_base + sm::pay_addr_lo + offset, dcore_base + sm::pay_addr_hi + offset);
        if (config & config_cq_enable)
            complete(dcore_base, static_cast<uint32_t>(address), payload, config & config_lbw_enable);
        else
            send(dcore_base, {address, payload});
    }
}

void SyncManager::complete(uint32_t dcore_base, uint32_t cq, uint32_t payload, bool lbw)
{
    if (cq >= sm::cqs) {
        journal_.fault(std::format("sync manager: completion queue {} of {}", cq, sm::cqs));
        return;
    }
    const auto reg = [&](uint32_t first) { return dcore_base + first + cq * 4; };
    const uint32_t size = 1u << (registers_.load(reg(sm::cq_size_log2)) & 0x1f); // in bytes
    const uint32_t index = registers_.load(reg(sm::cq_pi));
    registers_.store(reg(sm::cq_pi), index + 1);
    send(dcore_base,
         {registers_.load_pair(reg(sm::cq_base_lo), reg(sm::cq_base_hi)) + (size < 4 ? 0 : index % (size / 4) * 4),
          payload});
    // After the entry: whoever is interrupted finds it.
    if (lbw)
        send(dcore_base, {registers_.load_pair(reg(sm::cq_lbw_addr_lo), reg(sm::cq_lbw_addr_hi)),
                          registers_.load(reg(sm::cq_lbw_data))});
}

void SyncManager::send(uint32_t dcore_base, Message message)
{
    if (message.address >= cfg_base && message.address - cfg_base < cfg_size) {
        const auto reg = static_cast<uint32_t>(message.address - cfg_base);
        const uint32_t in_dcore = (reg - sm::base) % dcore_offset;
        if (reg >= sm::base && reg < sm::base + dcores * dcore_offset && in_dcore < sm::size) {
            pending_.emplace_back(reg, message.value);
            return;
        }
    }
    // The driver's own monitors are secured and bypass the MMU (DCORE0_SYNC_MNGR_GLBL_ASID_SEC in gaudi2_init_sm()); a
    // user's live in its address space, whose host addresses begin where no bus address reaches.
    const Initiator who{.name = "sync manager",
                        .asid = registers_.load(dcore_base + sm::asid_none_sec_priv) & 0xffff,
                        .bypass = message.address < host_va_base};
    if (const auto sent = fabric_->message(who, message.address, message.value); !sent)
        journal_.fault(std::format("sync manager: a message to {:#x}: {}", message.address, sent.error().reason));
}

} // namespace gaudiemu::chip
