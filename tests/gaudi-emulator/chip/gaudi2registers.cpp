// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi2registers.h"

#include <cstdio>

namespace gaudiemu::gaudi2 {
namespace {

constexpr unsigned tpcs_per_dcore = 6;

QueueManagerPlace place(const char *kind, unsigned number, uint32_t page, unsigned event, unsigned core_event = 0)
{
    QueueManagerPlace out{.page = page,
                          .event = static_cast<uint16_t>(event),
                          .core_event = static_cast<uint16_t>(core_event),
                          .core_page = page + dma::from_qm,
                          .user = kind[0] == 'P'};
    std::snprintf(out.name, sizeof out.name, "%s%u", kind, number);
    return out;
}

std::array<QueueManagerPlace, queue_managers> make_places()
{
    // The order of the driver's events for EDMA (GAUDI2_EVENT_HDMAn_QM, from 1236): 2 3 0 1 6 7 4 5.
    constexpr std::array<unsigned, 8> edma_rank{2, 3, 0, 1, 6, 7, 4, 5};
    std::array<QueueManagerPlace, queue_managers> out{};
    size_t n = 0;
    out[n++] = place("PDMA", 0, 0x4c8a000, 1244, event_pdma0_core);
    out[n++] = place("PDMA", 1, 0x4c9a000, 1245, event_pdma0_core + 1);
    for (unsigned i = 0; i < 8; ++i)
        out[n++] = place("EDMA", i, 0x41ca000 + i / 2 * dcore_offset + i % 2 * 0x10000, 1236 + edma_rank[i],
                         1259 + edma_rank[i]);
    for (unsigned i = 0; i < dcores; ++i)
        out[n++] = place("MME", i, 0x40ca000 + i * dcore_offset, 1232 + i);
    for (unsigned i = 0; i < dcores * tpcs_per_dcore; ++i)
        out[n++] =
            place("TPC", i, 0x400a000 + i / tpcs_per_dcore * dcore_offset + i % tpcs_per_dcore * 0x10000, 1206 + i);
    out[n++] = place("TPC", 24, 0x406a000, 1230);
    out[n++] = place("ROT", 0, 0x4e0a000, 1249);
    out[n++] = place("ROT", 1, 0x4e1a000, 1250);
    return out;
}

std::array<chip::IdleConstant, idle_constants> make_constants()
{
    constexpr uint32_t tpc_idle = 0xea;       // gaudi2_masks.h TPC_IDLE_MASK
    constexpr uint32_t mme_idle = 0xc07ffe00; // gaudi2_masks.h MME_ARCH_IDLE_MASK
    constexpr uint32_t tpc_status_from_qm = 0x1d84;
    constexpr uint32_t mme_status_from_qm = 0x1000;
    std::array<chip::IdleConstant, idle_constants> out{};
    size_t n = 0;
    for (const auto &qm : queue_manager_places()) {
        if (qm.name[0] == 'T')
            out[n++] = {qm.page + tpc_status_from_qm, tpc_idle};
        else if (qm.name[0] == 'M')
            out[n++] = {qm.page + mme_status_from_qm, mme_idle};
    }
    return out;
}

} // namespace

const std::array<QueueManagerPlace, queue_managers> &queue_manager_places() noexcept
{
    static const auto places = make_places();
    return places;
}

const std::array<chip::IdleConstant, idle_constants> &idle_constant_registers() noexcept
{
    static const auto constants = make_constants();
    return constants;
}

} // namespace gaudiemu::gaudi2
