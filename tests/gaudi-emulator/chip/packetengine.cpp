// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/packetengine.h"

#include <cstring>
#include <format>
#include <optional>

namespace gaudiemu::chip {

namespace {

// include/gaudi2/gaudi2_packets.h enum packet_id.
enum Opcode : uint32_t {
    wreg_32 = 0x1,
    wreg_bulk = 0x2,
    msg_long = 0x3,
    msg_short = 0x4,
    msg_prot = 0x7,
    lin_dma = 0x9,
    nop = 0xa,
};
constexpr size_t header_size = 8;

// GLBL_ERR_STS, in the order of gaudi2.c gaudi2_qman_error_cause[].
constexpr uint32_t error_fetch = 0x4;
constexpr uint32_t error_opcode = 0x8;
constexpr uint32_t error_message = 0x20;
constexpr uint32_t error_register = 0x40;

// struct packet_lin_dma's control word.
constexpr uint32_t dma_write_completion = 0x1;
constexpr uint32_t dma_memset = 0x10;
constexpr uint32_t barriers_and_opcode = 0xff000000;

template <typename T>
T at(std::span<const std::byte> bytes, size_t offset)
{
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

constexpr uint32_t opcode(uint32_t control)
{
    return control >> 24 & 0x1f;
}

// Bytes behind the header; nullopt: no such packet here. FENCE, ARB_POINT, CP_DMA and the rest are packets of the chip
// that this one does not have: the driver sends none of them to queues without sync streams.
std::optional<size_t> body_size(uint32_t word, uint32_t control)
{
    switch (opcode(control)) {
    case wreg_32:
    case msg_short:
    case nop:
        return 0;
    case msg_long:
    case msg_prot:
        return 8;
    case lin_dma:
        return 16;
    case wreg_bulk:
        return size_t{word & 0xffff} * 8;
    default:
        return std::nullopt;
    }
}

PacketResult fault(uint32_t bit, std::string what)
{
    return {.result = JobResult::Faulted, .error_bit = bit, .what = std::move(what)};
}

} // namespace

PacketResult PacketEngine::run(std::span<const std::byte> buffer, const StreamContext &context)
{
    while (!buffer.empty()) {
        if (buffer.size() < header_size)
            return fault(error_fetch, std::format("a command buffer ends {} bytes into a packet", buffer.size()));
        Packet packet{at<uint32_t>(buffer, 0), at<uint32_t>(buffer, 4), {}};
        const uint64_t instruction = at<uint64_t>(buffer, 0);
        const auto body = body_size(packet.word, packet.control);
        if (!body) {
            if (dma_.null()) // a chip that does nothing does not mind
                return {};
            auto unknown = fault(error_opcode,
                                 std::format("unknown packet {:#x} ({:#018x})", opcode(packet.control), instruction));
            unknown.instruction = instruction;
            return unknown;
        }
        if (buffer.size() < header_size + *body)
            return fault(error_fetch, std::format("a command buffer ends inside packet {:#x}", opcode(packet.control)));
        packet.body = buffer.subspan(header_size, *body);
        auto result = step(packet, context);
        if (result.result != JobResult::Done) {
            result.instruction = instruction;
            return result;
        }
        buffer = buffer.subspan(header_size + *body);
    }
    return {};
}

PacketResult PacketEngine::step(const Packet &packet, const StreamContext &context)
{
    switch (opcode(packet.control)) {
    case wreg_32:
        return write_register(packet, context);
    case wreg_bulk:
        return write_registers(packet, context);
    case msg_long:
    case msg_prot:
        return message(at<uint64_t>(packet.body, 0), packet.word, context);
    case msg_short:
        return message_short(packet, context);
    case lin_dma:
        return linear_dma(packet, context);
    default: // nop
        return {};
    }
}

// The offset of a register is relative to the 64 KiB block that the queue manager belongs to.
uint64_t PacketEngine::block_of(const StreamContext &context) const
{
    return registers_.layout().cfg_base + (context.place.page & ~0xffffu);
}

PacketResult PacketEngine::write_register(const Packet &packet, const StreamContext &context)
{
    const uint32_t offset = packet.control >> 8 & 0xffff;
    if (offset % 4)
        return fault(error_register, std::format("WREG32 of register {:#x}", offset));
    return message(block_of(context) + offset, packet.word, context);
}

PacketResult PacketEngine::write_registers(const Packet &packet, const StreamContext &context)
{
    const uint32_t first = packet.control >> 8 & 0xffff;
    for (size_t i = 0; i < packet.body.size(); i += 4)
        if (auto done = message(block_of(context) + ((first + i) & 0xfffc), at<uint32_t>(packet.body, i), context);
            done.result != JobResult::Done)
            return done;
    return {};
}

PacketResult PacketEngine::message(uint64_t address, uint32_t value, const StreamContext &context)
{
    const auto sent = fabric_.message(context.messenger, address, value);
    if (sent)
        return {};
    if (sent.error().page)
        return {.result = JobResult::Faulted, .page = sent.error()};
    return fault(error_message, std::format("a message to {:#x}: {}", address, sent.error().reason));
}

PacketResult PacketEngine::message_short(const Packet &packet, const StreamContext &context)
{
    const uint32_t base = packet.control >> 22 & 3; // GAUDI2_PKT_SHORT_CTL_BASE
    const auto &queue = layout_.queue;
    const uint32_t reg = context.place.page + base * queue.msg_base_step + context.stream * 4;
    const uint64_t address = registers_.load_pair(reg + queue.msg_base_lo, reg + queue.msg_base_hi);
    return message(address + (packet.control & 0xffff), packet.word, context);
}

PacketResult PacketEngine::linear_dma(const Packet &packet, const StreamContext &context)
{
    const auto &rules = layout_.lin_dma;
    if (!context.place.core_event)
        return fault(error_opcode, "LIN_DMA for an engine that has no DMA core");
    if (packet.control & rules.swap)
        return fault(error_opcode, "LIN_DMA with swapped bytes is not built");
    if (rules.linear && !(packet.control & rules.linear))
        return fault(error_opcode, "LIN_DMA that is not linear is not built");
    if (const uint32_t rest =
            packet.control & ~(barriers_and_opcode | rules.ignored | rules.linear | dma_memset | dma_write_completion))
        return fault(error_opcode, std::format("LIN_DMA with unknown bits {:#x}", rest));
    const DmaJob job{.source = at<uint64_t>(packet.body, 0),
                     .destination = at<uint64_t>(packet.body, 8) & rules.address_mask,
                     .size = packet.word,
                     .memset = (packet.control & dma_memset) != 0,
                     .user = context.place.user && !context.core.driver};
    const auto result = dma_.run(job, context.core, context.place.core_event, context.epoch);
    if (result != JobResult::Done)
        return {.result = result};
    if (!(packet.control & dma_write_completion))
        return {};
    const uint32_t page = context.place.core_page;
    const auto &core = layout_.core;
    return message(registers_.load_pair(page + core.wr_comp_addr_lo, page + core.wr_comp_addr_hi),
                   registers_.load(page + core.wr_comp_wdata), context);
}

} // namespace gaudiemu::chip
