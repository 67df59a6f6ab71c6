// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/firmwarelayout.h"
#include "chip/idleconstant.h"
#include "chip/queuelayout.h"
#include "chip/units.h"

#include <array>
#include <cstdint>

// The first Gaudi's address map and the registers that the driver depends on. Addresses of registers are offsets from
// cfg_base, as in the kernel's drivers/accel/habanalabs/include/gaudi/asic_reg/*_regs.h (there: mm<NAME>).
namespace gaudiemu::gaudi1 {

// include/gaudi/gaudi.h; gaudi.c gaudi_pci_bars_map(), gaudi_set_pci_memory_regions().
inline constexpr uint64_t cfg_base = 0x7FFC000000;
inline constexpr uint32_t cfg_size = 0x4000000;
inline constexpr uint64_t cfg_in_bar = 0x4000000; // behind the SPI flash
inline constexpr uint64_t cfg_bar_size = 128 * MiB;
inline constexpr uint64_t sram_base = 0x7FF0000000;
inline constexpr uint64_t sram_size = 20 * MiB;
inline constexpr uint64_t sram_bar_size = 64 * MiB;
inline constexpr uint64_t dram_base = 0;
inline constexpr uint64_t dram_size = 32 * GiB;           // gaudiP.h GAUDI_HBM_SIZE_32GB
inline constexpr uint64_t host_base = 0x8000000000;       // HOST_PHYS_BASE: bus addresses begin here
inline constexpr uint64_t host_size = 0x1000000000000;    // HOST_PHYS_SIZE
inline constexpr uint64_t host_va_base = 0x1000000000000; // gaudiP.h VA_HOST_SPACE_START

namespace psoc { // PSOC_GLOBAL_CONF
inline constexpr uint32_t page = 0xc4b000;
inline constexpr uint32_t hw_state = page + 0x100;
inline constexpr uint32_t btm_fsm = page + 0x28; // 0: no reset under way (gaudi.c gaudi_hw_fini())
} // namespace psoc

namespace cpuif { // CPU_IF
inline constexpr uint32_t page = 0x442000;
inline constexpr uint32_t cpu_msb_addr = page + 0x12c;
} // namespace cpuif

inline constexpr uint32_t timestamp_page = 0xc49000;
inline constexpr uint32_t pcie_wrap_page = 0xc01000;
inline constexpr uint32_t hbw_flush = pcie_wrap_page + 0x208; // PCIE_WRAP_RR_ELBI_RD_SEC_REG_CTRL, prop->hbw_flush_reg
inline constexpr uint32_t pcie_core_page = 0xc04000;
inline constexpr uint32_t msi_request = pcie_core_page + 0x100; // PCIE_CORE_MSI_REQ

namespace mmu { // MMU_UP
inline constexpr uint32_t page = 0xc11000;
inline constexpr uint32_t page_error_capture = page + 0x34;
inline constexpr uint32_t page_error_capture_va = page + 0x38;
inline constexpr uint32_t entry_valid = 0x40000; // gaudi_masks.h MMU_UP_PAGE_ERROR_CAPTURE_ENTRY_VALID
} // namespace mmu

namespace stlb { // STLB: offsets in the page
inline constexpr uint32_t page = 0xc12000;
inline constexpr uint32_t busy = 0x0;
inline constexpr uint32_t asid = 0x4;
inline constexpr uint32_t hop0_pa43_12 = 0x8;
inline constexpr uint32_t hop0_pa49_44 = 0xc;
inline constexpr uint32_t inv_ps = 0x3c;
inline constexpr uint32_t mem_cache_inv = 0x50;
inline constexpr uint32_t mem_cache_inv_status = 0x54;
} // namespace stlb

namespace sm {                                                                           // SYNC_MNGR_x_y_SYNC_MNGR_OBJS
inline constexpr std::array<uint32_t, 4> blocks{0x492000, 0x4b2000, 0x4d2000, 0x4f2000}; // W_S, E_S, W_N, E_N
inline constexpr uint32_t size = 0x5000; // sync objects, monitors and their states
} // namespace sm

namespace qm { // every queue manager: offsets in its page (DMA0_QM)
inline constexpr uint32_t glbl_cfg0 = 0x0;
inline constexpr uint32_t glbl_cfg1 = 0x4;
inline constexpr uint32_t glbl_prot = 0x8;
inline constexpr uint32_t non_secure_props = 0x24; // one for each stream
inline constexpr uint32_t glbl_sts0 = 0x38;
inline constexpr uint32_t glbl_sts1 = 0x40; // one for each stream: errors
inline constexpr uint32_t pq_base_lo = 0x70;
inline constexpr uint32_t pq_base_hi = 0x80;
inline constexpr uint32_t pq_size = 0x90;
inline constexpr uint32_t pq_pi = 0xa0;
inline constexpr uint32_t pq_ci = 0xb0;
inline constexpr uint32_t msg_base_lo = 0x228; // + base * msg_base_step + stream * 4
inline constexpr uint32_t msg_base_hi = 0x23c;
inline constexpr uint32_t msg_base_step = 0x28;
inline constexpr uint32_t cq_ptr_lo = 0x174; // then CQ_PTR_HI, CQ_TSIZE: gaudi.c gaudi_handle_sw_config_stream_data()
inline constexpr uint32_t cq_step = 0x10;
inline constexpr uint32_t current_inst_lo = 0x3bc;
inline constexpr uint32_t current_inst_hi = 0x3d0;
inline constexpr uint32_t cgm_sts = 0xc74;
} // namespace qm

namespace dma { // every DMA core: offsets in its page (DMA0_CORE)
inline constexpr uint32_t core0 = 0x500000;
inline constexpr uint32_t qm0 = 0x508000;
inline constexpr uint32_t offset = 0x20000; // to the next of eight
inline constexpr unsigned cores = 8;
inline constexpr uint32_t src_lo = 0x14;
inline constexpr uint32_t src_hi = 0x18;
inline constexpr uint32_t dst_lo = 0x1c;
inline constexpr uint32_t dst_hi = 0x20;
inline constexpr uint32_t dst_tsize = 0x74;
inline constexpr uint32_t commit = 0x78;
inline constexpr uint32_t wr_comp_wdata = 0x7c;
inline constexpr uint32_t wr_comp_addr_lo = 0x80;
inline constexpr uint32_t wr_comp_addr_hi = 0x84;
inline constexpr uint32_t prot = 0xb8;
inline constexpr uint32_t secure_props = 0xf0;
inline constexpr uint32_t non_secure_props = 0xf4;
inline constexpr uint32_t sts0 = 0x190;
} // namespace dma

// dma0_core_masks.h, dma0_qm_masks.h: MMBP in SECURE_PROPS and NON_SECURE_PROPS, beside the ASID.
inline constexpr uint32_t mmu_bypass = 0x400;

// Interrupt ids towards the device's CPU: cpu_id in include/gaudi/gaudi_async_ids_map_extended.h.
inline constexpr uint32_t irq_pi_update = 484;
inline constexpr uint32_t irq_halt_machine = 485;
inline constexpr uint32_t irq_ints_register = 486;

// Events towards the driver: enum gaudi_async_event_id in include/gaudi/gaudi_async_events.h.
inline constexpr uint16_t event_mmu_page_fault = 380;
inline constexpr uint16_t event_tpc0_qm = 572;
inline constexpr uint16_t event_mme0_qm = 581;
inline constexpr uint16_t event_dma0_qm = 583;
inline constexpr uint16_t event_dma0_core = 604;

// gaudi.c gaudi_init_pci_dma_qmans() and its kin, NICs left out (nic_ports_mask is 0 in mainline: habanalabs_drv.c
// set_driver_behavior_per_device()), and the slave MMEs, which have no queue of their own.
inline constexpr unsigned queue_managers = 18;
[[nodiscard]] const std::array<chip::QueueManagerPlace, queue_managers> &queue_manager_places() noexcept;

// gaudi.c gaudi_is_device_idle(); gaudi_run_tpc_kernel() waits for the TPCs' too.
inline constexpr unsigned idle_constants = 12;
[[nodiscard]] const std::array<chip::IdleConstant, idle_constants> &idle_constant_registers() noexcept;

} // namespace gaudiemu::gaudi1
