// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fakehost.h"
#include "chip/gaudi2.h"
#include "chip/registers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// Walks the chip as the kernel's driver does, in the same order, over the same registers.
class FakeDriver {
public:
    // Where things lie in FakeHost's memory.
    static constexpr uint64_t cpu_queue = FakeHost::base;
    static constexpr uint64_t event_queue = FakeHost::base + 0x20000;
    static constexpr uint64_t packet = FakeHost::base + 0x30000;
    static constexpr uint64_t info = FakeHost::base + 0x31000;
    static constexpr uint64_t doorbell = FakeHost::base + 0x40000;
    static constexpr uint64_t completion_queue = FakeHost::base + 0x50000;
    static constexpr uint64_t queues = FakeHost::base + 0x100000; // 64 KiB for each stream
    static constexpr uint64_t free = FakeHost::base + 0x800000;   // for the test
    static constexpr uint32_t queue_length = 4096;

    explicit FakeDriver(Gaudi2::Settings settings = {})
    {
        settings.quiet = true;
        auto made = Gaudi2::make(std::move(settings));
        EXPECT_TRUE(made) << made.error_or("");
        chip = std::move(*made);
        chip->attach(host);
    }

    [[nodiscard]] uint32_t reg(uint32_t at) const
    {
        return static_cast<uint32_t>(chip->read(0, gaudi2::cfg_in_bar + at, 4));
    }
    void reg(uint32_t at, uint32_t value) { chip->write(0, gaudi2::cfg_in_bar + at, 4, value); }
    void reg_pair(uint32_t lo, uint32_t hi, uint64_t value)
    {
        reg(lo, static_cast<uint32_t>(value));
        reg(hi, static_cast<uint32_t>(value >> 32));
    }

    static constexpr std::chrono::seconds bound{10};

    // What the driver waits for with hl_poll_timeout() is there when the chip has come to rest, or will never be.
    [[nodiscard]] bool poll_reg(uint32_t at, uint32_t wanted) const { return chip->settle(bound) && reg(at) == wanted; }

    // hl_fw_dynamic_send_protocol_cmd(); the answer's word, 0 if none was waited for.
    uint32_t comms(uint32_t command, uint32_t size, bool wait_ok)
    {
        using namespace gaudi2;
        const auto status = [&] { return reg(psoc::cmd_status_to_host) >> 28; };
        reg(psoc::kmd_msg_to_cpu, 1u << 27);
        EXPECT_EQ(status(), 0u);
        reg(psoc::kmd_msg_to_cpu, command << 27 | size);
        EXPECT_EQ(status(), 1u) << "no ACK of COMMS command " << command;
        reg(psoc::kmd_msg_to_cpu, 1u << 27);
        EXPECT_EQ(status(), 0u);
        reg(psoc::kmd_msg_to_cpu, 0);
        if (!wait_ok)
            return 0;
        EXPECT_NE(status(), 0u) << "no answer to COMMS command " << command;
        const uint32_t answer = reg(psoc::cmd_status_to_host);
        reg(psoc::kmd_msg_to_cpu, 1u << 27);
        EXPECT_EQ(status(), 0u);
        reg(psoc::kmd_msg_to_cpu, 0);
        return answer;
    }

    // hl_fw_dynamic_load_image(); the descriptor's bytes. `answer` gets what DATA_RDY said.
    std::vector<std::byte> load(std::span<const std::byte> image, uint32_t *answer = nullptr)
    {
        using namespace gaudi2;
        const uint32_t where = comms(3, static_cast<uint32_t>(image.size()), true);
        std::vector<std::byte> descriptor(1280);
        for (size_t i = 0; i < descriptor.size(); i += 8) {
            const uint64_t word = chip->read(0, sram_in_bar + (where & 0x3ffffff) * 4 + i, 8);
            std::memcpy(descriptor.data() + i, &word, 8);
        }
        uint64_t at = 0;
        std::memcpy(&at, descriptor.data() + 632, sizeof at);
        EXPECT_GE(at, dram_base);
        for (size_t i = 0; i < image.size(); ++i)
            chip->write(4, at - dram_base + i, 1, static_cast<uint64_t>(image[i]));
        const uint32_t ready = comms(4, 0, true);
        if (answer)
            *answer = ready >> 28;
        comms(5, 0, false);
        return descriptor;
    }

    // hl_fw_dynamic_init_cpu().
    void boot()
    {
        using namespace gaudi2;
        ASSERT_TRUE(poll_reg(psoc::boot_status, 16));
        EXPECT_EQ(comms(2, 0, true) >> 28, 2u);
        EXPECT_EQ(comms(3, 1280, true) >> 28, 2u);
        const std::vector<std::byte> image(4096, std::byte{0x5a});
        load(image);
        ASSERT_TRUE(poll_reg(psoc::boot_status, 15));
        load(image);
        ASSERT_TRUE(poll_reg(psoc::boot_status, 3));
    }

    // gaudi2_init_cpu_queues() and gaudi2_enable_events_from_fw().
    void start_cpu_queue()
    {
        using namespace gaudi2;
        reg_pair(cpuif::pq_base_lo, cpuif::pq_base_hi, cpu_queue);
        reg_pair(cpuif::eq_base_lo, cpuif::eq_base_hi, event_queue);
        reg(cpuif::pq_length, queue_length * 16);
        reg(cpuif::eq_length, 64 * 64);
        reg(cpuif::eq_read, 0);
        reg(cpuif::pf_pq_pi, 0);
        reg(cpuif::queue_init, 1);
        reg(psoc::pi_update_irq, irq_pi_update);
        ASSERT_TRUE(poll_reg(cpuif::queue_init, 2));
        cpu_pi = 0;
        reg(psoc::ints_irq, irq_ints_register);
    }

    struct Reply {
        bool answered = false;
        uint32_t code = 0;
        uint64_t result = 0;
    };

    // hl_fw_send_cpu_message().
    Reply cpu(uint32_t opcode, uint64_t value = 0, uint32_t parameter = 0, bool expect_answer = true)
    {
        using namespace gaudi2;
        host.put(packet, value);
        host.put(packet + 8, opcode << 16);
        host.put(packet + 12, UINT32_MAX);
        host.put(packet + 16, parameter);
        const uint64_t slot = cpu_queue + uint64_t{cpu_pi % queue_length} * 16;
        host.put(slot, packet);
        host.put(slot + 8, uint32_t{24});
        host.put(slot + 12, uint32_t{0});
        cpu_pi = (cpu_pi + 1) % (2 * queue_length);
        reg(cpuif::pf_pq_pi, cpu_pi);
        reg(psoc::pi_update_irq, irq_pi_update);
        Reply reply;
        if (!expect_answer)
            return reply;
        reply.answered = host.wait_word(packet + 12, 0xFE8CE7A5);
        reply.code = host.get<uint32_t>(packet + 8) >> 12 & 0xf;
        reply.result = host.get<uint64_t>(packet);
        return reply;
    }

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

    FakeHost host;
    std::unique_ptr<Gaudi2> chip;
    uint32_t cpu_pi = 0;
};

} // namespace gaudiemu::chip
