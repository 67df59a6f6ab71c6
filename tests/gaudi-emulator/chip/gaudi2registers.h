// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/firmwarelayout.h"
#include "chip/idleconstant.h"
#include "chip/queuelayout.h"
#include "chip/units.h"

#include <array>
#include <cstddef>
#include <cstdint>

// The Gaudi2's address map and the registers that the driver depends on. Addresses of registers are offsets from
// cfg_base, as in the kernel's drivers/accel/habanalabs/include/gaudi2/asic_reg/*_regs.h (there: mm<NAME>).
namespace gaudiemu::gaudi2 {

using gaudiemu::GiB;
using gaudiemu::KiB;
using gaudiemu::MiB;
using gaudiemu::page_size;

// include/gaudi2/gaudi2.h; gaudi2.c gaudi2_pci_bars_map(), gaudi2_set_pci_memory_regions().
inline constexpr uint64_t cfg_base = 0x1000007FF8000000;
inline constexpr uint32_t cfg_size = 0x8000000;
inline constexpr uint64_t cfg_in_bar = 0x4000000;
inline constexpr uint64_t sram_base = 0x1000FFFFFD000000;
inline constexpr uint64_t sram_size = 48 * MiB;
inline constexpr uint64_t sram_in_bar = 0xD000000;
inline constexpr uint64_t cfg_bar_size = 256 * MiB;
inline constexpr uint64_t msix_bar_size = 16 * KiB;
inline constexpr unsigned msix_vectors = 128;
inline constexpr uint64_t dram_base = 0x1001000000000000;
inline constexpr unsigned hbm_stacks = 6;
inline constexpr uint64_t dram_size = hbm_stacks * 16 * GiB;
inline constexpr uint64_t dram_bar_size = 128 * GiB;
inline constexpr uint64_t hbm_va_end = 0x1002000000000000; // gaudi2P.h VA_HBM_SPACE_END
inline constexpr uint64_t host_va_base = 0xFFF0000000000000;
inline constexpr uint64_t host_phys_end = 0x0100000000000000; // HOST_PHYS_BASE_0 + HOST_PHYS_SIZE_0

inline constexpr uint32_t dcore_offset = 0x200000;
inline constexpr unsigned dcores = 4;

namespace psoc { // PSOC_GLOBAL_CONF
inline constexpr uint32_t page = 0x4c4b000;
inline constexpr uint32_t pi_update_irq = page + scratchpad::pi_update_irq;
inline constexpr uint32_t halt_irq = page + scratchpad::halt_irq;
inline constexpr uint32_t ints_irq = page + scratchpad::ints_irq;
inline constexpr uint32_t dev_sts0 = page + scratchpad::dev_sts0;
inline constexpr uint32_t cmd_status_to_host = page + scratchpad::cmd_status_to_host;
inline constexpr uint32_t boot_err0 = page + scratchpad::boot_err0;
inline constexpr uint32_t boot_status = page + scratchpad::boot_status;
inline constexpr uint32_t kmd_msg_to_cpu = page + scratchpad::kmd_msg_to_cpu;
} // namespace psoc

namespace timestamp { // PSOC_TIMESTAMP
inline constexpr uint32_t page = 0x4c49000;
inline constexpr uint32_t value_lo = page + 0x8;
inline constexpr uint32_t value_hi = page + 0xc;
} // namespace timestamp

namespace cpuif { // CPU_IF
inline constexpr uint32_t page = 0x4cc1000;
inline constexpr uint32_t hw_state = page + 0x174;
inline constexpr uint32_t pf_pq_pi = page + cpuinterface::pf_pq_pi;
inline constexpr uint32_t pq_base_lo = page + cpuinterface::pq_base_lo;
inline constexpr uint32_t pq_base_hi = page + cpuinterface::pq_base_hi;
inline constexpr uint32_t pq_length = page + cpuinterface::pq_length;
inline constexpr uint32_t eq_base_lo = page + cpuinterface::eq_base_lo;
inline constexpr uint32_t eq_base_hi = page + cpuinterface::eq_base_hi;
inline constexpr uint32_t eq_length = page + cpuinterface::eq_length;
inline constexpr uint32_t eq_read = page + cpuinterface::eq_read;
inline constexpr uint32_t queue_init = page + cpuinterface::queue_init;
} // namespace cpuif

namespace stlb { // DCOREx_HMMUy_STLB and PMMU_HBW_STLB: offsets in the page
inline constexpr uint32_t pmmu = 0x4d01000;
inline constexpr uint32_t hmmu0 = 0x4081000;
inline constexpr uint32_t hmmu_offset = 0x10000;
inline constexpr unsigned hmmus_per_dcore = 4;
inline constexpr uint32_t busy = 0x0;
inline constexpr uint32_t asid = 0x4;
inline constexpr uint32_t hop0_pa43_12 = 0x8;
inline constexpr uint32_t hop0_pa63_44 = 0xc;
inline constexpr uint32_t inv_all_start = 0x34;
inline constexpr uint32_t sram_init = 0x4c;
inline constexpr uint32_t mem_cache_inv = 0x50;
inline constexpr uint32_t mem_cache_inv_status = 0x54;
inline constexpr uint32_t range_inv = 0x8c;
} // namespace stlb

namespace mmu { // DCOREx_HMMUy_MMU and PMMU_HBW_MMU: offsets in the page, which lies before the STLB's
inline constexpr uint32_t pmmu = 0x4d00000;
inline constexpr uint32_t hmmu0 = 0x4080000;
inline constexpr uint32_t spi_sei_cause = 0x30;
inline constexpr uint32_t page_error_capture = 0x34;
inline constexpr uint32_t page_error_capture_va = 0x38;
inline constexpr uint32_t access_page_error_valid = 0x44;
} // namespace mmu

namespace sm { // DCOREx_SYNC_MNGR_OBJS and _GLBL: offsets from the dcore's first sync object
inline constexpr uint32_t base = 0x4100000;
inline constexpr uint32_t size = 0x20000;
inline constexpr uint32_t sob = 0x0;
inline constexpr uint32_t sobs = 8192;
inline constexpr uint32_t monitors = 2048;
inline constexpr uint32_t pay_addr_lo = 0x8000;
inline constexpr uint32_t pay_addr_hi = 0xa000;
inline constexpr uint32_t pay_data = 0xc000;
inline constexpr uint32_t arm = 0xe000;
inline constexpr uint32_t config = 0x10000;
inline constexpr uint32_t asid_none_sec_priv = 0x1e048;
inline constexpr uint32_t cqs = 64;
inline constexpr uint32_t cq_base_lo = 0x1e050;
inline constexpr uint32_t cq_base_hi = 0x1e150;
inline constexpr uint32_t cq_size_log2 = 0x1e250;
inline constexpr uint32_t cq_pi = 0x1e350;
inline constexpr uint32_t cq_lbw_addr_lo = 0x1e550;
inline constexpr uint32_t cq_lbw_addr_hi = 0x1e650;
inline constexpr uint32_t cq_lbw_data = 0x1e750;
} // namespace sm

namespace qm { // every queue manager: offsets in its page (PDMA0_QM)
inline constexpr uint32_t glbl_cfg0 = 0x0;
inline constexpr uint32_t glbl_cfg1 = 0x4;
inline constexpr uint32_t glbl_sts0 = 0x1c;
inline constexpr uint32_t glbl_sts1 = 0x20;
inline constexpr uint32_t glbl_err_sts = 0x24;
inline constexpr uint32_t glbl_prot = 0x4c;
inline constexpr uint32_t pq_base_lo = 0x50;
inline constexpr uint32_t pq_base_hi = 0x60;
inline constexpr uint32_t pq_size = 0x70;
inline constexpr uint32_t pq_pi = 0x80;
inline constexpr uint32_t pq_ci = 0x90;
inline constexpr uint32_t msg_base_lo = 0x1f0; // + base * msg_base_step + stream * 4
inline constexpr uint32_t msg_base_hi = 0x204;
inline constexpr uint32_t msg_base_step = 0x28;
inline constexpr uint32_t current_inst_lo = 0x37c;
inline constexpr uint32_t current_inst_hi = 0x390;
inline constexpr uint32_t pqc_lbw_wdata = 0x45c;
inline constexpr uint32_t pqc_lbw_base_lo = 0x46c;
inline constexpr uint32_t pqc_lbw_base_hi = 0x47c;
inline constexpr uint32_t pqc_cfg = 0x48c;
inline constexpr uint32_t axuser_asid = 0xb80; // AXUSER_NONSECURED_HB_ASID
inline constexpr uint32_t axuser_mmu_bp = 0xb84;
inline constexpr uint32_t cgm_sts = 0xd84;
} // namespace qm

namespace dma { // every DMA core and KDMA: offsets in its page (PDMA0_CORE, ARC_FARM_KDMA)
inline constexpr uint32_t kdma = 0x4e8b000;
inline constexpr uint32_t from_qm = 0x1000; // a queue manager's core lies in the page after it
inline constexpr uint32_t axuser_asid = 0x800;
inline constexpr uint32_t axuser_mmu_bp = 0x804;
inline constexpr uint32_t wr_comp_addr_hi = 0x8bc;
inline constexpr uint32_t wr_comp_addr_lo = 0x8c0;
inline constexpr uint32_t wr_comp_wdata = 0x8c4;
inline constexpr uint32_t src_lo = 0x8d8;
inline constexpr uint32_t src_hi = 0x8dc;
inline constexpr uint32_t dst_lo = 0x8e0;
inline constexpr uint32_t dst_hi = 0x8e4;
inline constexpr uint32_t dst_tsize = 0x8e8;
inline constexpr uint32_t commit = 0x8ec;
} // namespace dma

namespace vdec { // DCOREx_VDECy_BRDG_CTRL and PCIE_VDECy_BRDG_CTRL
inline constexpr uint32_t dcore0 = 0x41e3000;
inline constexpr uint32_t pcie = 0x4f03000;
inline constexpr uint32_t instance_offset = 0x10000;
inline constexpr uint32_t graceful = 0x110; // offset in the page
} // namespace vdec

inline constexpr uint32_t pcie_wrap_page = 0x4c01000;
inline constexpr uint32_t hbw_flush = pcie_wrap_page + 0xf60; // PCIE_WRAP_SPECIAL_GLBL_SPARE_0, prop->hbw_flush_reg
inline constexpr uint32_t msix_doorbell_page = 0x4c17000;     // PCIE_MSIX

// Interrupt ids towards the device's CPU: cpu_id in include/gaudi2/gaudi2_async_ids_map_extended.h.
inline constexpr uint32_t irq_pi_update = 552;
inline constexpr uint32_t irq_halt_machine = 553;
inline constexpr uint32_t irq_ints_register = 554;

// Events towards the driver: enum gaudi2_async_event_id in include/gaudi2/gaudi2_async_events.h.
inline constexpr uint16_t event_hmmu0_page_fault = 720;
inline constexpr uint16_t event_pmmu_page_fault = 768;
inline constexpr uint16_t event_pdma0_core = 1267;
inline constexpr uint16_t event_kdma_core = 1269;

// gaudi2.c gaudi2_qm_blocks_bases[] and gaudi2_qman_async_event_id[], NICs left out (nic_ports_mask is 0 in mainline:
// habanalabs_drv.c set_driver_behavior_per_device()).
using chip::QueueManagerPlace;
inline constexpr unsigned queue_managers = 41;
[[nodiscard]] const std::array<QueueManagerPlace, queue_managers> &queue_manager_places() noexcept;

// What a register holds while its engine is idle, in pages that the guest reaches without a trap: gaudi2.c
// gaudi2_get_mme_idle_status(), gaudi2_is_tpc_engine_idle().
inline constexpr unsigned idle_constants = 29;
[[nodiscard]] const std::array<chip::IdleConstant, idle_constants> &idle_constant_registers() noexcept;

} // namespace gaudiemu::gaudi2
