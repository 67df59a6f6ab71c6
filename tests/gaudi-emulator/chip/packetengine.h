// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/dmaengine.h"
#include "chip/fabric.h"
#include "chip/jobgate.h"
#include "chip/queuelayout.h"
#include "chip/registerfile.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace gaudiemu::chip {

// One stream of a queue manager, while it works off a command buffer.
struct StreamContext {
    const QueueManagerPlace &place;
    unsigned stream = 0;
    Initiator messenger; // how the command processor's messages travel
    Initiator core;      // how the DMA core's bytes travel
    JobGate::Epoch epoch = 0;
};

struct PacketResult {
    JobResult result = JobResult::Done;
    // If it faulted, and nobody has reported it: the bit of the queue manager's GLBL_ERR_STS and what was wrong, or the
    // page that is missing. And the packet.
    uint32_t error_bit = 0;
    std::string what;
    std::optional<AddressFault> page;
    uint64_t instruction = 0;
};

// The command processor: reads the packets of a command buffer (include/gaudi2/gaudi2_packets.h, gaudi/gaudi_packets.h)
// and does what they say. A packet that it does not know, or that is built of bits that it does not know, stops it.
class PacketEngine {
public:
    PacketEngine(const EngineLayout &layout, RegisterFile &registers, Fabric &fabric, DmaEngine &dma)
        : layout_(layout), registers_(registers), fabric_(fabric), dma_(dma)
    {}

    [[nodiscard]] PacketResult run(std::span<const std::byte> buffer, const StreamContext &context);

private:
    struct Packet {
        uint32_t word = 0; // the first of the header
        uint32_t control = 0;
        std::span<const std::byte> body; // after the header
    };

    [[nodiscard]] uint64_t block_of(const StreamContext &context) const;
    [[nodiscard]] PacketResult step(const Packet &packet, const StreamContext &context);
    [[nodiscard]] PacketResult write_register(const Packet &packet, const StreamContext &context);
    [[nodiscard]] PacketResult write_registers(const Packet &packet, const StreamContext &context);
    [[nodiscard]] PacketResult message(uint64_t address, uint32_t value, const StreamContext &context);
    [[nodiscard]] PacketResult message_short(const Packet &packet, const StreamContext &context);
    [[nodiscard]] PacketResult linear_dma(const Packet &packet, const StreamContext &context);

    const EngineLayout layout_;
    RegisterFile &registers_;
    Fabric &fabric_;
    DmaEngine &dma_;
};

} // namespace gaudiemu::chip
