// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/queuemanager.h"
#include "chip/dmacore.h"
#include "chip/units.h"

#include <algorithm>
#include <format>
#include <span>
#include <vector>

namespace gaudiemu::chip {

namespace {

constexpr uint32_t sts0_idle = 0x3fff; // gaudi2_masks.h QM_IDLE_MASK: PQF 3:0, CQF 8:4, CP 13:9
constexpr uint32_t sts1_idle = 0x1;    // QM_ARC_IDLE_MASK
constexpr uint32_t cgm_idle = 0x100;   // CGM_IDLE_MASK
constexpr uint32_t error_queue_read = 0x1;
constexpr uint32_t error_buffer_read = 0x2;
constexpr uint32_t largest_buffer = 16 * MiB;

// Bits 3:0 for the queue's reads, 8:4 for the buffer's, 13:9 for the command processor's: in GLBL_CFG0 (enable),
// GLBL_CFG1 (stop) and GLBL_PROT (trusted: physical addresses) alike.
constexpr uint32_t all_parts(unsigned stream)
{
    return 0x211u << stream;
}

constexpr uint32_t buffer_part(unsigned stream)
{
    return 0x10u << stream;
}

constexpr uint32_t processor_part(unsigned stream)
{
    return 0x200u << stream;
}

} // namespace

void QueueManager::reset()
{
    stopped_ = 0;
    registers_.clear_page(place_.page);
    if (place_.core_event)
        registers_.clear_page(place_.core_page);
}

uint32_t QueueManager::read(uint32_t at)
{
    // gaudi2.c gaudi2_get_pdma_idle_status() and its kin, gaudi.c gaudi_is_device_idle().
    const uint32_t offset = at - place_.page;
    if (offset == layout_.glbl_sts0) {
        uint32_t idle = sts0_idle;
        for (unsigned stream = 0; stream < queue_streams; ++stream)
            if (busy_ >> stream & 1)
                idle &= ~all_parts(stream);
        return idle;
    }
    if (layout_.glbl_sts1 && offset == layout_.glbl_sts1)
        return sts1_idle;
    return offset == layout_.cgm_sts ? cgm_idle : registers_.load(at);
}

void QueueManager::write(uint32_t at, uint32_t value, Origin)
{
    registers_.store(at, value);
    const uint32_t offset = at - place_.page;
    if (offset < layout_.pq_pi || offset >= layout_.pq_ci)
        return;
    const unsigned stream = (offset - layout_.pq_pi) / 4;
    worker_.post([this, stream, epoch = gate_.epoch()] { work(stream, epoch); });
}

bool QueueManager::enabled(unsigned stream) const
{
    const uint32_t parts = all_parts(stream);
    return (registers_.load(reg(layout_.glbl_cfg0)) & parts) == parts &&
           !(registers_.load(reg(layout_.glbl_cfg1)) & parts) && !(stopped_ >> stream & 1);
}

// Trusted parts bypass the MMU: gaudi2.c gaudi2_qman_set_test_mode(), gaudi_masks.h QMAN_EXTERNAL_MAKE_TRUSTED.
Initiator QueueManager::part(unsigned stream, uint32_t mask) const
{
    auto who = initiator_of(registers_, layout_.context, place_.page, place_.name, stream);
    who.bypass = who.bypass || (registers_.load(reg(layout_.glbl_prot)) & mask);
    return who;
}

// The indices run to twice the queue's length, so that full and empty differ (habanalabs.h hl_queue_inc_ptr()).
void QueueManager::work(unsigned stream, JobGate::Epoch epoch)
{
    busy_ |= 1u << stream;
    while (gate_.open(epoch) && enabled(stream)) {
        const uint32_t length = 1u << (registers_.load(reg(layout_.pq_size, stream)) & 0x1f);
        const uint32_t ci = registers_.load(reg(layout_.pq_ci, stream));
        if (ci == registers_.load(reg(layout_.pq_pi, stream)))
            break;
        const uint64_t slot = registers_.load_pair(reg(layout_.pq_base_lo, stream), reg(layout_.pq_base_hi, stream)) +
                              uint64_t{ci % length} * sizeof(Descriptor);
        Descriptor descriptor;
        const Initiator fetcher{.name = place_.name}; // gaudi2_masks.h QMAN_MAKE_TRUSTED: PQF
        if (const auto got = fabric_.read(fetcher, slot, std::as_writable_bytes(std::span(&descriptor, 1))); !got) {
            if (gate_.open(epoch))
                stop(stream,
                     {.error_bit = error_queue_read,
                      .what = std::format("its descriptor at {:#x}: {}", slot, got.error().reason)},
                     false);
            break;
        }
        if (!run(stream, descriptor, epoch))
            break;
        registers_.store(reg(layout_.pq_ci, stream), (ci + 1) % (2 * length));
    }
    busy_ &= ~(1u << stream);
}

bool QueueManager::run(unsigned stream, const Descriptor &descriptor, JobGate::Epoch epoch)
{
    if (layout_.cq_ptr) {
        const uint32_t at = place_.page + layout_.cq_ptr + stream * layout_.cq_step;
        registers_.store(at, static_cast<uint32_t>(descriptor.address));
        registers_.store(at + 4, static_cast<uint32_t>(descriptor.address >> 32));
        registers_.store(at + 8, descriptor.size);
    }
    std::vector<std::byte> buffer(std::min(descriptor.size, largest_buffer));
    const auto got = fabric_.read(part(stream, buffer_part(stream)), descriptor.address, buffer);
    if (!got || descriptor.size > largest_buffer) {
        PacketResult fault{.error_bit = error_buffer_read};
        if (got)
            fault.what = std::format("a command buffer of {} bytes", descriptor.size);
        else if (got.error().page)
            fault.page = got.error();
        else
            fault.what = std::format("its command buffer at {:#x}: {}", descriptor.address, got.error().reason);
        if (gate_.open(epoch))
            stop(stream, fault, false);
        return false;
    }
    const StreamContext context{.place = place_,
                                .stream = stream,
                                .messenger = part(stream, processor_part(stream)),
                                .core = core_initiator(registers_, core_, place_.core_page, place_.name),
                                .epoch = epoch};
    const auto result = packets_.run(buffer, context);
    if (result.result == JobResult::Done)
        complete(stream, descriptor);
    else if (result.result == JobResult::Faulted && gate_.open(epoch))
        stop(stream, result, true);
    return result.result == JobResult::Done;
}

// common/hw_queue.c hw_queue_schedule_job(): COMP_OFFSET is the sync object's number. The other half of a completion, a
// word to PQC_HBW_BASE, goes to a scratchpad that nobody reads (gaudi2.c gaudi2_init_qman_pqc()) and is left out.
void QueueManager::complete(unsigned stream, const Descriptor &descriptor)
{
    if (!layout_.pqc_cfg || !(registers_.load(reg(layout_.pqc_cfg)) & 1))
        return;
    const uint64_t address =
        registers_.load_pair(reg(layout_.pqc_lbw_base_lo, stream), reg(layout_.pqc_lbw_base_hi, stream)) +
        (descriptor.control >> 16 & 0xfff) * 4;
    const Initiator who{.name = place_.name};
    if (const auto sent = fabric_.message(who, address, registers_.load(reg(layout_.pqc_lbw_wdata, stream))); !sent)
        errors_.queue(place_.name, std::format("its completion to {:#x}: {}", address, sent.error().reason),
                      place_.event);
}

// gaudi2.c gaudi2_handle_qman_err_generic() and gaudi.c gaudi_handle_qman_err_generic() read the bits when it gets the
// event. A missing page is the MMU's event, a fault of the DMA core has been reported by it.
void QueueManager::stop(unsigned stream, const PacketResult &fault, bool write)
{
    stopped_ |= 1u << stream;
    const std::string who = std::format("{} stream {}", place_.name, stream);
    if (fault.page) {
        errors_.address(who, *fault.page, write, 0);
    } else if (fault.error_bit) {
        registers_.store(reg(layout_.glbl_err_sts, stream),
                         registers_.load(reg(layout_.glbl_err_sts, stream)) | fault.error_bit);
        registers_.store(reg(layout_.current_inst_lo, stream), static_cast<uint32_t>(fault.instruction));
        registers_.store(reg(layout_.current_inst_hi, stream), static_cast<uint32_t>(fault.instruction >> 32));
        errors_.queue(who, fault.what, place_.event);
    }
}

} // namespace gaudiemu::chip
