// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/gaudi1registers.h"
#include "chip/hbm.h"
#include "chip/registerfile.h"
#include "chip/stlb.h"

// What the blocks that both chips are made of have to know of a first Gaudi.
namespace gaudiemu::gaudi1 {

inline constexpr chip::RegisterFile::Layout register_layout{.cfg_base = cfg_base,
                                                            .cfg_size = cfg_size,
                                                            .cfg_in_bar = cfg_in_bar,
                                                            .bar_size = cfg_bar_size,
                                                            .sram_base = sram_base,
                                                            .sram_size = sram_size,
                                                            .sram_in_bar = 0,
                                                            .sram_bar_size = sram_bar_size};

inline constexpr chip::Hbm::Layout hbm_layout{.base = dram_base, .size = dram_size};

// CPU_BOOT_DEV_STS0 (include/linux/habanalabs/hl_boot_if.h): valid; what firmware has set up, so that the driver need
// not (E2E and HBM credits, the scramblers of SRAM and DRAM, the iATU); hard reset and PLLs by firmware; the COMMS
// loader; interrupts to the CPU by the registers of the descriptor, one for each kind.
inline constexpr uint32_t device_status0 = 0x80000000 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 |
                                           1u << 16 | 1u << 17 | 1u << 20 | 1u << 22;

inline constexpr chip::FirmwareLayout firmware_layout{
    .psoc_page = psoc::page,
    .cpuif_page = cpuif::page,
    .hw_state = psoc::hw_state,
    .irq_pi_update = irq_pi_update,
    .irq_halt_machine = irq_halt_machine,
    .irq_ints_register = irq_ints_register,
    .device_status0 = device_status0,
    .ready_for_cp = 3, // PQ_INIT_STATUS_READY_FOR_CP_SINGLE_MSI
    .sram_base = sram_base,
    .image_address = dram_base + 8 * MiB, // in the 256 MiB that CPU_FW_IMAGE_SIZE keeps
    .preboot_version = "Preboot version hl-gaudi-1.10.0-fw-42.0.1-sec-3 emulated-gaudi",
    .boot_fit_version = "U-Boot hl-gaudi-1.10.0-fw-42.0.1-sec-3 emulated-gaudi",
    .card_name = "HL205",
    .card_type = 1, // cpucp_card_type_pmc, a mezzanine card
    .dram_size = dram_size};

inline constexpr chip::EngineLayout engine_layout{
    .queue = {.glbl_cfg0 = qm::glbl_cfg0,
              .glbl_cfg1 = qm::glbl_cfg1,
              .glbl_prot = qm::glbl_prot,
              .glbl_sts0 = qm::glbl_sts0,
              .glbl_sts1 = 0,
              .glbl_err_sts = qm::glbl_sts1,
              .pq_base_lo = qm::pq_base_lo,
              .pq_base_hi = qm::pq_base_hi,
              .pq_size = qm::pq_size,
              .pq_pi = qm::pq_pi,
              .pq_ci = qm::pq_ci,
              .msg_base_lo = qm::msg_base_lo,
              .msg_base_hi = qm::msg_base_hi,
              .msg_base_step = qm::msg_base_step,
              .current_inst_lo = qm::current_inst_lo,
              .current_inst_hi = qm::current_inst_hi,
              .cgm_sts = qm::cgm_sts,
              .cq_ptr = qm::cq_ptr_lo,
              .cq_step = qm::cq_step,
              .pqc_cfg = 0,
              .pqc_lbw_wdata = 0,
              .pqc_lbw_base_lo = 0,
              .pqc_lbw_base_hi = 0,
              .context = {.asid = qm::non_secure_props,
                          .bypass = qm::non_secure_props,
                          .bypass_mask = mmu_bypass,
                          .stream_step = 4}},
    .core = {.src_lo = dma::src_lo,
             .src_hi = dma::src_hi,
             .dst_lo = dma::dst_lo,
             .dst_hi = dma::dst_hi,
             .dst_tsize = dma::dst_tsize,
             .commit = dma::commit,
             .wr_comp_addr_lo = dma::wr_comp_addr_lo,
             .wr_comp_addr_hi = dma::wr_comp_addr_hi,
             .wr_comp_wdata = dma::wr_comp_wdata,
             .commit_linear = 0x8, // DMA0_CORE_COMMIT_LIN
             .status = dma::sts0,
             .context = {.asid = dma::non_secure_props,
                         .bypass = dma::non_secure_props,
                         .bypass_mask = mmu_bypass,
                         .stream_step = 0},
             .protection = dma::prot, // gaudi.c gaudi_send_job_on_qman0()
             .secure =
                 {.asid = dma::secure_props, .bypass = dma::secure_props, .bypass_mask = mmu_bypass, .stream_step = 0}},
    .lin_dma = {.linear = 0x8, .swap = 0, .ignored = 0, .address_mask = 0x00FFFFFFFFFFFFFF}};

// gaudi.c gaudi_mmu_invalidate_cache() polls INV_PS until 0.
inline const chip::Stlb::Layout stlb_layout{.done_at_once = {stlb::inv_ps},
                                            .busy = stlb::busy,
                                            .asid = stlb::asid,
                                            .hop0_low = stlb::hop0_pa43_12,
                                            .hop0_high = stlb::hop0_pa49_44,
                                            .mem_cache_inv = stlb::mem_cache_inv,
                                            .mem_cache_inv_status = stlb::mem_cache_inv_status};

} // namespace gaudiemu::gaudi1
