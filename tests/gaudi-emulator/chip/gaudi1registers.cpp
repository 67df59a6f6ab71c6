// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi1registers.h"

#include <cstddef>
#include <cstdio>

namespace gaudiemu::gaudi1 {
namespace {

constexpr unsigned tpcs = 8;
constexpr uint32_t tpc_qm0 = 0xe08000;
constexpr uint32_t tpc_offset = 0x40000;
constexpr uint32_t tpc_status = 0xe0691c; // TPC0_CFG_STATUS
constexpr uint32_t tpc_idle = 0xee;       // gaudi_masks.h TPC_IDLE_MASK
constexpr unsigned mmes = 4;              // 1 and 3 are slaves
constexpr uint32_t mme_qm0 = 0x68000;
constexpr uint32_t mme_offset = 0x80000;
constexpr uint32_t mme_status = 0x60000; // MME0_CTRL_ARCH_STATUS
constexpr uint32_t mme_idle = 0x1180;    // gaudi_masks.h MME_ARCH_IDLE_MASK

chip::QueueManagerPlace place(const char *kind, unsigned number, uint32_t page, unsigned event)
{
    chip::QueueManagerPlace out{.page = page, .event = static_cast<uint16_t>(event)};
    std::snprintf(out.name, sizeof out.name, "%s%u", kind, number);
    return out;
}

std::array<chip::QueueManagerPlace, queue_managers> make_places()
{
    std::array<chip::QueueManagerPlace, queue_managers> out{};
    size_t n = 0;
    for (unsigned i = 0; i < dma::cores; ++i) {
        out[n] = place("DMA", i, dma::qm0 + i * dma::offset, event_dma0_qm + i);
        out[n].core_event = static_cast<uint16_t>(event_dma0_core + i);
        out[n].core_page = dma::core0 + i * dma::offset;
        out[n++].user = i < 2; // the others' queues are internal
    }
    for (unsigned i = 0; i < mmes; i += 2)
        out[n++] = place("MME", i, mme_qm0 + i * mme_offset, event_mme0_qm + i / 2);
    for (unsigned i = 0; i < tpcs; ++i)
        out[n++] = place("TPC", i, tpc_qm0 + i * tpc_offset, event_tpc0_qm + i);
    return out;
}

std::array<chip::IdleConstant, idle_constants> make_constants()
{
    std::array<chip::IdleConstant, idle_constants> out{};
    size_t n = 0;
    for (unsigned i = 0; i < tpcs; ++i)
        out[n++] = {tpc_status + i * tpc_offset, tpc_idle};
    for (unsigned i = 0; i < mmes; ++i)
        out[n++] = {mme_status + i * mme_offset, mme_idle};
    return out;
}

} // namespace

const std::array<chip::QueueManagerPlace, queue_managers> &queue_manager_places() noexcept
{
    static const auto places = make_places();
    return places;
}

const std::array<chip::IdleConstant, idle_constants> &idle_constant_registers() noexcept
{
    static const auto constants = make_constants();
    return constants;
}

} // namespace gaudiemu::gaudi1
