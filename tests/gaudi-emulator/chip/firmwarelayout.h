// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/units.h"

#include <cstdint>
#include <string_view>

namespace gaudiemu {

// The registers by which driver and firmware talk: offsets in their pages, the same on both chips.
namespace scratchpad { // PSOC_GLOBAL_CONF, its scratch pads; names as in the kernel's include/gaudi2/gaudi2_reg_map.h
inline constexpr uint32_t tpc_qm_irq = 0x10c;
inline constexpr uint32_t mme_qm_irq = 0x110;
inline constexpr uint32_t dma_qm_irq = 0x114;
inline constexpr uint32_t rot_qm_irq = 0x118;
inline constexpr uint32_t nic_qm_irq = 0x11c;
inline constexpr uint32_t dma_core_irq = 0x120;
inline constexpr uint32_t pi_update_irq = 0x124;
inline constexpr uint32_t halt_irq = 0x128;
inline constexpr uint32_t ints_irq = 0x12c;
inline constexpr uint32_t engine_arc_irq = 0x13c;
inline constexpr uint32_t dev_sts0 = 0x150;
inline constexpr uint32_t dev_sts1 = 0x154;
inline constexpr uint32_t cmd_status_to_host = 0x15c;
inline constexpr uint32_t boot_err0 = 0x160;
inline constexpr uint32_t boot_err1 = 0x164;
inline constexpr uint32_t boot_status = 0x300;
inline constexpr uint32_t kmd_msg_to_cpu = 0x304;
} // namespace scratchpad

namespace cpuinterface { // CPU_IF
inline constexpr uint32_t pf_pq_pi = 0x200;
inline constexpr uint32_t pq_base_lo = 0x204;
inline constexpr uint32_t pq_base_hi = 0x208;
inline constexpr uint32_t pq_length = 0x20c;
inline constexpr uint32_t cq_base_lo = 0x210;
inline constexpr uint32_t cq_base_hi = 0x214;
inline constexpr uint32_t cq_length = 0x218;
inline constexpr uint32_t eq_base_lo = 0x220;
inline constexpr uint32_t eq_base_hi = 0x224;
inline constexpr uint32_t eq_length = 0x228;
inline constexpr uint32_t eq_read = 0x22c;
inline constexpr uint32_t queue_init = 0x230;
} // namespace cpuinterface

namespace chip {

// In what the firmware of one chip differs from the other's.
struct FirmwareLayout {
    uint32_t psoc_page;
    uint32_t cpuif_page;
    uint32_t hw_state; // a register of the driver's own, 0 after a reset
    // What the driver writes to ring the CPU.
    uint32_t irq_pi_update;
    uint32_t irq_halt_machine;
    uint32_t irq_ints_register;
    uint32_t device_status0; // CPU_BOOT_DEV_STS0
    uint32_t ready_for_cp;   // enum pq_init_status: what the driver asks the CPU queue with
    uint64_t sram_base;
    uint64_t image_address; // where images go, in HBM
    std::string_view preboot_version;
    std::string_view boot_fit_version;
    std::string_view card_name;
    uint32_t card_type; // enum cpucp_card_types
    uint64_t dram_size;
};

} // namespace chip
} // namespace gaudiemu
