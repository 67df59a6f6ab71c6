// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/gaudi2registers.h"
#include "chip/hbm.h"
#include "chip/registerfile.h"
#include "chip/stlb.h"

// What the blocks that both chips are made of have to know of a Gaudi2.
namespace gaudiemu::gaudi2 {

inline constexpr chip::RegisterFile::Layout register_layout{.cfg_base = cfg_base,
                                                            .cfg_size = cfg_size,
                                                            .cfg_in_bar = cfg_in_bar,
                                                            .bar_size = cfg_bar_size,
                                                            .sram_base = sram_base,
                                                            .sram_size = sram_size,
                                                            .sram_in_bar = sram_in_bar,
                                                            .sram_bar_size = 0};

inline constexpr chip::Hbm::Layout hbm_layout{.base = dram_base, .size = dram_size};

inline constexpr chip::FirmwareLayout firmware_layout{
    .psoc_page = psoc::page,
    .cpuif_page = cpuif::page,
    .hw_state = cpuif::hw_state,
    .irq_pi_update = irq_pi_update,
    .irq_halt_machine = irq_halt_machine,
    .irq_ints_register = irq_ints_register,
    .device_status0 = 0x80010400, // valid, the COMMS loader, hard reset by firmware
    .ready_for_cp = 1,            // PQ_INIT_STATUS_READY_FOR_CP
    .sram_base = sram_base,
    .image_address = dram_base + 8 * MiB, // in the 256 MiB that CPU_FW_IMAGE_SIZE keeps
    // hl_fw_dynamic_read_device_fw_version() wants "Preboot" and "-1.10.0-fw-"; 1.11 and later promise more than is
    // built.
    .preboot_version = "Preboot version hl-gaudi2-1.10.0-fw-42.0.1-sec-3 emulated-gaudi",
    .boot_fit_version = "U-Boot hl-gaudi2-1.10.0-fw-42.0.1-sec-3 emulated-gaudi",
    .card_name = "HL225",
    .card_type = 0, // cpucp_card_type_pci
    .dram_size = dram_size};

inline constexpr chip::EngineLayout engine_layout{
    .queue = {.glbl_cfg0 = qm::glbl_cfg0,
              .glbl_cfg1 = qm::glbl_cfg1,
              .glbl_prot = qm::glbl_prot,
              .glbl_sts0 = qm::glbl_sts0,
              .glbl_sts1 = qm::glbl_sts1,
              .glbl_err_sts = qm::glbl_err_sts,
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
              .cq_ptr = 0,
              .cq_step = 0,
              .pqc_cfg = qm::pqc_cfg,
              .pqc_lbw_wdata = qm::pqc_lbw_wdata,
              .pqc_lbw_base_lo = qm::pqc_lbw_base_lo,
              .pqc_lbw_base_hi = qm::pqc_lbw_base_hi,
              .context = {.asid = qm::axuser_asid, .bypass = qm::axuser_mmu_bp, .bypass_mask = 1, .stream_step = 0}},
    .core = {.src_lo = dma::src_lo,
             .src_hi = dma::src_hi,
             .dst_lo = dma::dst_lo,
             .dst_hi = dma::dst_hi,
             .dst_tsize = dma::dst_tsize,
             .commit = dma::commit,
             .wr_comp_addr_lo = dma::wr_comp_addr_lo,
             .wr_comp_addr_hi = dma::wr_comp_addr_hi,
             .wr_comp_wdata = dma::wr_comp_wdata,
             .commit_linear = 0x80000000, // ARC_FARM_KDMA_CTX_COMMIT
             .status = 0,
             .context = {.asid = dma::axuser_asid, .bypass = dma::axuser_mmu_bp, .bypass_mask = 1, .stream_step = 0},
             .protection = 0,
             .secure = {}},
    .lin_dma = {.linear = 0, .swap = 0x6, .ignored = 0xffff00 /* CONTEXT_ID */, .address_mask = UINT64_MAX}};

// gaudi2.c gaudi2_mmu_init_common(), gaudi2_mmu_invalidate_cache_status_poll(): the invalidations are polled until 0.
inline const chip::Stlb::Layout stlb_layout{.done_at_once = {stlb::inv_all_start, stlb::range_inv, stlb::sram_init},
                                            .busy = stlb::busy,
                                            .asid = stlb::asid,
                                            .hop0_low = stlb::hop0_pa43_12,
                                            .hop0_high = stlb::hop0_pa63_44,
                                            .mem_cache_inv = stlb::mem_cache_inv,
                                            .mem_cache_inv_status = stlb::mem_cache_inv_status};

} // namespace gaudiemu::gaudi2
