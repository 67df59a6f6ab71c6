// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace gaudiemu::chip {

// Registers that say in which address space an engine lives: offsets in the engine's page.
struct ContextLayout {
    uint32_t asid;
    uint32_t bypass; // of the MMU
    uint32_t bypass_mask;
    uint32_t stream_step; // from a stream's registers to the next one's
};

// Registers of every queue manager: offsets in its page. 0: the chip has no such register.
struct QueueLayout {
    uint32_t glbl_cfg0;
    uint32_t glbl_cfg1;
    uint32_t glbl_prot;
    uint32_t glbl_sts0;
    uint32_t glbl_sts1;
    uint32_t glbl_err_sts; // one for each stream, as all that follows to pq_ci
    uint32_t pq_base_lo;
    uint32_t pq_base_hi;
    uint32_t pq_size;
    uint32_t pq_pi;
    uint32_t pq_ci;
    uint32_t msg_base_lo; // + base * msg_base_step + stream * 4
    uint32_t msg_base_hi;
    uint32_t msg_base_step;
    uint32_t current_inst_lo;
    uint32_t current_inst_hi;
    uint32_t cgm_sts;
    uint32_t cq_ptr; // the command buffer under way: its address, then its size; cq_step to the next stream's
    uint32_t cq_step;
    uint32_t pqc_cfg; // completions of whole descriptors
    uint32_t pqc_lbw_wdata;
    uint32_t pqc_lbw_base_lo;
    uint32_t pqc_lbw_base_hi;
    ContextLayout context;
};
inline constexpr unsigned queue_streams = 4;

// Registers of every DMA core, likewise.
struct DmaCoreLayout {
    uint32_t src_lo;
    uint32_t src_hi;
    uint32_t dst_lo;
    uint32_t dst_hi;
    uint32_t dst_tsize;
    uint32_t commit;
    uint32_t wr_comp_addr_lo;
    uint32_t wr_comp_addr_hi;
    uint32_t wr_comp_wdata;
    uint32_t commit_linear; // the bit in `commit`
    uint32_t status;        // bit 31: busy; 0: the chip has no such register
    ContextLayout context;
    // The driver's own jobs: where bit 0 of `protection` is set, `secure` is the context.
    uint32_t protection;
    ContextLayout secure;
};

// The packet LIN_DMA (include/gaudi2/gaudi2_packets.h and gaudi/gaudi_packets.h struct packet_lin_dma).
struct LinDmaLayout {
    uint32_t linear; // the bit of the control word that has to be there; 0: none
    uint32_t swap;   // bits that are not built
    uint32_t ignored;
    uint64_t address_mask; // of the destination
};

// Where a queue manager lies.
struct QueueManagerPlace {
    char name[16];
    uint32_t page;
    uint16_t event;      // its error event
    uint16_t core_event; // its DMA core's error event; 0: it has no DMA core
    uint32_t core_page;
    bool user; // its DMA jobs count for the faults on order
};

// What the engines of a chip have in common.
struct EngineLayout {
    QueueLayout queue;
    DmaCoreLayout core;
    LinDmaLayout lin_dma;
};

} // namespace gaudiemu::chip
