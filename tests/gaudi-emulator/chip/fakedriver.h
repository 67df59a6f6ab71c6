// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fakefirmwaredriver.h"
#include "chip/gaudi2.h"
#include "chip/gaudi2layout.h"

namespace gaudiemu::chip {

// A Gaudi2's driver.
class FakeDriver : public FakeFirmwareDriver<Gaudi2> {
public:
    explicit FakeDriver(Gaudi2::Settings settings = {})
        : FakeFirmwareDriver({.firmware = gaudi2::firmware_layout,
                              .cfg_bar = 0,
                              .cfg_in_bar = gaudi2::cfg_in_bar,
                              .sram_bar = 0,
                              .sram_in_bar = gaudi2::sram_in_bar,
                              .dram_base = gaudi2::dram_base,
                              .cpu_base = 0},
                             std::move(settings))
    {}

    // gaudi2_init_qman() of one queue manager: ring, message bases, completions to the sync objects, enabled.
    void start_queue(uint32_t page, uint64_t ring, bool completions = true)
    {
        using namespace gaudi2;
        constexpr uint64_t sobs = cfg_base + sm::base;
        for (unsigned s = 0; s < queue_streams; ++s) {
            reg_pair(page + qm::pq_base_lo + s * 4, page + qm::pq_base_hi + s * 4, ring + s * 0x10000);
            reg(page + qm::pq_size + s * 4, 12);
            reg(page + qm::pq_pi + s * 4, 0);
            reg(page + qm::pq_ci + s * 4, 0);
            reg_pair(page + qm::msg_base_lo + s * 4, page + qm::msg_base_hi + s * 4, sobs + sm::pay_addr_lo);
            reg_pair(page + qm::msg_base_lo + qm::msg_base_step + s * 4,
                     page + qm::msg_base_hi + qm::msg_base_step + s * 4, sobs);
            reg(page + qm::pqc_lbw_wdata + s * 4, 0x80000001);
            reg_pair(page + qm::pqc_lbw_base_lo + s * 4, page + qm::pqc_lbw_base_hi + s * 4, sobs);
        }
        reg(page + qm::pqc_cfg, completions ? 1 : 0);
        reg(page + qm::glbl_prot, completions ? 0x1400f : 0x17fff); // trusted, test mode
        reg(page + qm::glbl_cfg1, 0);
        reg(page + qm::glbl_cfg0, 0x7fff);
    }

    // gaudi2_arm_cq_monitor() for a submission: sync object and monitor `index` watch for `jobs`, then completion queue
    // 0 gets an entry and a vector is raised.
    void arm(uint32_t index, uint32_t jobs = 1)
    {
        using namespace gaudi2;
        const auto at = [&](uint32_t first) { return sm::base + first + index * 4; };
        reg(at(sm::config), 0x110);
        reg_pair(sm::base + sm::cq_base_lo, sm::base + sm::cq_base_hi, completion_queue);
        reg(sm::base + sm::cq_size_log2, 14);
        reg_pair(sm::base + sm::cq_lbw_addr_lo, sm::base + sm::cq_lbw_addr_hi, doorbell);
        reg(sm::base + sm::cq_lbw_data, completion_vector);
        reg(at(sm::sob), 0);
        reg(at(sm::pay_addr_lo), 0);
        reg(at(sm::pay_data), 0xc0000000 | index);
        reg(at(sm::arm), jobs << 17 | 0x10000 | (0xffu & ~(1u << index % 8)) << 8 | index / 8);
    }
    static constexpr unsigned completion_vector = 21;

    // hl_hw_queue_submit_bd(); returns the new PI.
    uint32_t submit(uint32_t page, unsigned stream, uint64_t ring, uint64_t buffer, uint32_t size, uint32_t index = 0)
    {
        using namespace gaudi2;
        const uint32_t pi = reg(page + qm::pq_pi + stream * 4);
        const uint64_t slot = ring + stream * 0x10000 + uint64_t{pi % queue_length} * 16;
        host.put(slot, buffer);
        host.put(slot + 8, size);
        host.put(slot + 12, index << 16);
        const uint32_t next = (pi + 1) % (2 * queue_length);
        reg(page + qm::pq_pi + stream * 4, next);
        return next;
    }
};

} // namespace gaudiemu::chip
