// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/chipfaults.h"
#include "chip/cpuport.h"
#include "chip/eventqueue.h"
#include "chip/firmwarelayout.h"
#include "chip/interrupts.h"
#include "chip/journal.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"
#include "chip/worker.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace gaudiemu::chip {

// The firmware's Linux as the driver knows it: a queue of packets in host memory, each answered in place
// (firmware_if.c hl_fw_send_cpu_message(), include/linux/habanalabs/cpucp_if.h).
class CpuCp final : public RegisterBlock, public Resettable {
public:
    CpuCp(const FirmwareLayout &layout, RegisterFile &registers, CpuPort &host, Interrupts &interrupts,
          EventQueue &events, ChipFaults &faults, Worker &worker, Journal &journal)
        : layout_(layout), page_(layout.cpuif_page), registers_(registers), host_(host), interrupts_(interrupts),
          events_(events), faults_(faults), worker_(worker), journal_(journal)
    {}

    // What the packet SOFT_RESET does, on the worker; before the first access. Without it there is no such packet.
    void on_compute_reset(std::function<void()> reset) { compute_reset_ = std::move(reset); }
    // An interrupt of the driver.
    void interrupt(uint32_t id);
    void reset() override;

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin) override { registers_.store(reg, value); }

private:
    struct Packet {
        uint64_t value = 0; // and result
        uint32_t control = 0;
        uint32_t fence = 0;
        uint32_t parameter = 0;
        uint32_t parameter2 = 0;
    };
    struct Reply {
        uint32_t code = 0; // enum cpucp_packet_rc
        uint64_t result = 0;
    };

    void work();
    [[nodiscard]] bool answer(uint64_t address, uint32_t size);
    [[nodiscard]] Reply obey(const Packet &packet);
    [[nodiscard]] Reply unknown(uint32_t opcode);
    [[nodiscard]] Reply give(uint64_t address, uint32_t limit, std::span<const std::byte> bytes);

    const FirmwareLayout layout_;
    const uint32_t page_;
    RegisterFile &registers_;
    CpuPort &host_;
    Interrupts &interrupts_;
    EventQueue &events_;
    ChipFaults &faults_;
    Worker &worker_;
    Journal &journal_;
    std::function<void()> compute_reset_;
    uint32_t ci_ = 0; // the worker's
};

} // namespace gaudiemu::chip
