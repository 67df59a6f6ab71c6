// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/chipsettings.h"
#include "chip/fakehost.h"
#include "chip/firmwarelayout.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// Where a driver finds what it boots a chip with.
struct FakeDriverPlaces {
    const FirmwareLayout &firmware;
    unsigned cfg_bar;
    uint64_t cfg_in_bar;
    unsigned sram_bar;
    uint64_t sram_in_bar;
    uint64_t dram_base;
    uint64_t cpu_base; // what bus addresses begin with in the eyes of the device's CPU
};

// Walks a chip through its boot and its firmware's queue as the kernel's driver does, in the same order, over the same
// registers.
template <typename Chip>
class FakeFirmwareDriver {
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

    FakeFirmwareDriver(const FakeDriverPlaces &where, ChipSettings settings) : places(where)
    {
        settings.quiet = true;
        auto made = Chip::make(std::move(settings));
        EXPECT_TRUE(made) << made.error_or("");
        chip = std::move(*made);
        chip->attach(host);
    }

    [[nodiscard]] uint32_t psoc(uint32_t offset) const { return places.firmware.psoc_page + offset; }
    [[nodiscard]] uint32_t cpuif(uint32_t offset) const { return places.firmware.cpuif_page + offset; }
    [[nodiscard]] uint32_t reg(uint32_t at) const
    {
        return static_cast<uint32_t>(chip->read(places.cfg_bar, places.cfg_in_bar + at, 4));
    }
    void reg(uint32_t at, uint32_t value) { chip->write(places.cfg_bar, places.cfg_in_bar + at, 4, value); }
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
        const auto status = [&] { return reg(psoc(scratchpad::cmd_status_to_host)) >> 28; };
        reg(psoc(scratchpad::kmd_msg_to_cpu), 1u << 27);
        EXPECT_EQ(status(), 0u);
        reg(psoc(scratchpad::kmd_msg_to_cpu), command << 27 | size);
        EXPECT_EQ(status(), 1u) << "no ACK of COMMS command " << command;
        reg(psoc(scratchpad::kmd_msg_to_cpu), 1u << 27);
        EXPECT_EQ(status(), 0u);
        reg(psoc(scratchpad::kmd_msg_to_cpu), 0);
        if (!wait_ok)
            return 0;
        EXPECT_NE(status(), 0u) << "no answer to COMMS command " << command;
        const uint32_t answer = reg(psoc(scratchpad::cmd_status_to_host));
        reg(psoc(scratchpad::kmd_msg_to_cpu), 1u << 27);
        EXPECT_EQ(status(), 0u);
        reg(psoc(scratchpad::kmd_msg_to_cpu), 0);
        return answer;
    }

    // hl_fw_dynamic_load_image(); the descriptor's bytes. `answer` gets what DATA_RDY said.
    std::vector<std::byte> load(std::span<const std::byte> image, uint32_t *answer = nullptr)
    {
        const uint32_t where = comms(3, static_cast<uint32_t>(image.size()), true);
        std::vector<std::byte> descriptor(1280);
        for (size_t i = 0; i < descriptor.size(); i += 8) {
            const uint64_t word = chip->read(places.sram_bar, places.sram_in_bar + (where & 0x3ffffff) * 4 + i, 8);
            std::memcpy(descriptor.data() + i, &word, 8);
        }
        uint64_t at = 0;
        std::memcpy(&at, descriptor.data() + 632, sizeof at);
        EXPECT_GE(at, places.dram_base);
        for (size_t i = 0; i < image.size(); ++i)
            chip->write(4, at - places.dram_base + i, 1, static_cast<uint64_t>(image[i]));
        const uint32_t ready = comms(4, 0, true);
        if (answer)
            *answer = ready >> 28;
        comms(5, 0, false);
        return descriptor;
    }

    // hl_fw_dynamic_init_cpu().
    void boot()
    {
        ASSERT_TRUE(poll_reg(psoc(scratchpad::boot_status), 16));
        EXPECT_EQ(comms(2, 0, true) >> 28, 2u);
        EXPECT_EQ(comms(3, 1280, true) >> 28, 2u);
        const std::vector<std::byte> image(4096, std::byte{0x5a});
        load(image);
        ASSERT_TRUE(poll_reg(psoc(scratchpad::boot_status), 15));
        load(image);
        ASSERT_TRUE(poll_reg(psoc(scratchpad::boot_status), 3));
    }

    // gaudi2_init_cpu_queues() and gaudi2_enable_events_from_fw(); the first Gaudi's have the same names.
    void start_cpu_queue()
    {
        reg_pair(cpuif(cpuinterface::pq_base_lo), cpuif(cpuinterface::pq_base_hi), places.cpu_base + cpu_queue);
        reg_pair(cpuif(cpuinterface::eq_base_lo), cpuif(cpuinterface::eq_base_hi), places.cpu_base + event_queue);
        reg(cpuif(cpuinterface::pq_length), queue_length * 16);
        reg(cpuif(cpuinterface::eq_length), 64 * 64);
        reg(cpuif(cpuinterface::eq_read), 0);
        reg(cpuif(cpuinterface::pf_pq_pi), 0);
        reg(cpuif(cpuinterface::queue_init), places.firmware.ready_for_cp);
        reg(psoc(scratchpad::pi_update_irq), places.firmware.irq_pi_update);
        ASSERT_TRUE(poll_reg(cpuif(cpuinterface::queue_init), 2));
        cpu_pi = 0;
        reg(psoc(scratchpad::ints_irq), places.firmware.irq_ints_register);
    }

    struct Reply {
        bool answered = false;
        uint32_t code = 0;
        uint64_t result = 0;
    };

    // hl_fw_send_cpu_message().
    Reply cpu(uint32_t opcode, uint64_t value = 0, uint32_t parameter = 0, bool expect_answer = true)
    {
        host.put(packet, value);
        host.put(packet + 8, opcode << 16);
        host.put(packet + 12, UINT32_MAX);
        host.put(packet + 16, parameter);
        const uint64_t slot = cpu_queue + uint64_t{cpu_pi % queue_length} * 16;
        host.put(slot, places.cpu_base + packet);
        host.put(slot + 8, uint32_t{24});
        host.put(slot + 12, uint32_t{0});
        cpu_pi = (cpu_pi + 1) % (2 * queue_length);
        reg(cpuif(cpuinterface::pf_pq_pi), cpu_pi);
        reg(psoc(scratchpad::pi_update_irq), places.firmware.irq_pi_update);
        Reply reply;
        if (!expect_answer)
            return reply;
        reply.answered = host.wait_word(packet + 12, 0xFE8CE7A5);
        reply.code = host.get<uint32_t>(packet + 8) >> 12 & 0xf;
        reply.result = host.get<uint64_t>(packet);
        return reply;
    }

    const FakeDriverPlaces places;
    FakeHost host;
    std::unique_ptr<Chip> chip;
    uint32_t cpu_pi = 0;
};

} // namespace gaudiemu::chip
