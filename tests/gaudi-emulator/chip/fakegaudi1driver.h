// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fakefirmwaredriver.h"
#include "chip/gaudi1.h"
#include "chip/gaudi1layout.h"
#include "chip/packets.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gaudiemu::chip {

// A first Gaudi's driver.
class FakeGaudi1Driver : public FakeFirmwareDriver<Gaudi1> {
public:
    static constexpr uint32_t dma0 = gaudi1::dma::qm0;
    static constexpr uint32_t dma1 = gaudi1::dma::qm0 + gaudi1::dma::offset;
    static constexpr unsigned asid = 1;
    static constexpr uint32_t completion = 0x600dc0de;

    explicit FakeGaudi1Driver(Gaudi1::Settings settings = {})
        : FakeFirmwareDriver({.firmware = gaudi1::firmware_layout,
                              .cfg_bar = 2,
                              .cfg_in_bar = gaudi1::cfg_in_bar,
                              .sram_bar = 0,
                              .sram_in_bar = 0,
                              .dram_base = gaudi1::dram_base,
                              .cpu_base = gaudi1::host_base},
                             std::move(settings))
    {}

    // gaudi_hw_init(), as far as it is needed.
    void start(bool with_tables = true)
    {
        // gaudi_init_cpu(): bits 49:39 of host_base.
        reg(gaudi1::cpuif::cpu_msb_addr, static_cast<uint32_t>(gaudi1::host_base >> 39));
        boot();
        if (with_tables)
            set_hop0();
        start_queue(dma0, queues);
        start_queue(dma1, queues + 0x40000);
        start_cpu_queue();
        for (const uint32_t page : {dma0, dma1})
            use_context(page);
    }

    // gaudi_init_pci_dma_qman() and gaudi_init_dma_core().
    void start_queue(uint32_t page, uint64_t ring)
    {
        using namespace gaudi1;
        for (unsigned s = 0; s < queue_streams; ++s) {
            reg_pair(page + qm::pq_base_lo + s * 4, page + qm::pq_base_hi + s * 4, host_base + ring + s * 0x10000);
            reg(page + qm::pq_size + s * 4, 12);
            reg(page + qm::pq_pi + s * 4, 0);
            reg(page + qm::pq_ci + s * 4, 0);
            reg_pair(page + qm::msg_base_lo + qm::msg_base_step + s * 4,
                     page + qm::msg_base_hi + qm::msg_base_step + s * 4, cfg_base + sm::blocks.back());
        }
        reg(page + qm::glbl_prot, 0x5eff); // QMAN_EXTERNAL_MAKE_TRUSTED: the first three parts of each stream
        reg(page + qm::glbl_cfg1, 0);
        reg(core_of(page) + dma::prot, 2);
        reg(core_of(page) + dma::secure_props, mmu_bypass);
        reg(page + qm::glbl_cfg0, 0x1eff); // PCI_DMA_QMAN_ENABLE
    }
    static constexpr uint32_t core_of(uint32_t page) { return page - gaudi1::dma::qm0 + gaudi1::dma::core0; }

    // gaudi_mmu_prepare().
    void use_context(uint32_t page)
    {
        using namespace gaudi1;
        for (unsigned s = 0; s < queue_streams; ++s)
            reg(page + qm::non_secure_props + s * 4, asid);
        reg(core_of(page) + dma::non_secure_props, asid);
    }

    // hl_hw_queue_submit_bd(): the packets, at `buffer` of the host's memory.
    void submit(const Packets &packets, uint32_t page = dma0, unsigned stream = 0, uint64_t buffer = free)
    {
        using namespace gaudi1;
        EXPECT_TRUE(host.dma_write(buffer, packets.bytes()));
        const uint32_t pi = reg(page + qm::pq_pi + stream * 4);
        const uint64_t ring = queues + (page == dma0 ? 0 : 0x40000) + stream * 0x10000;
        const uint64_t slot = ring + uint64_t{pi % queue_length} * 16;
        host.put(slot, host_base + buffer);
        host.put(slot + 8, packets.size());
        host.put(slot + 12, uint32_t{0});
        reg(page + qm::pq_pi + stream * 4, (pi + 1) % (2 * queue_length));
    }

    // A job of a user's, whose end the driver appends (gaudi_add_end_of_cb_packets()).
    void send(Packets packets, uint32_t page = dma0)
    {
        host.put(completion_queue, uint32_t{0});
        packets.raw(0, 0x0a000000);
        packets.msg_prot(gaudi1::host_base + completion_queue, completion);
        packets.msg_prot(gaudi1::cfg_base + gaudi1::msi_request, 1);
        submit(packets, page);
    }
    void run(const Packets &packets, uint32_t page = dma0)
    {
        const unsigned before = host.interrupts(0);
        send(packets, page);
        ASSERT_TRUE(host.wait_interrupts(0, before + 1)) << faults();
        EXPECT_EQ(host.get<uint32_t>(completion_queue), completion);
    }
    // One of the driver's own (gaudi_send_job_on_qman0()).
    void run_own(Packets packets)
    {
        constexpr uint32_t fence = 0x72E91AB9;
        using namespace gaudi1;
        host.put(completion_queue, uint32_t{0});
        reg(core_of(dma0) + dma::prot, 3);
        submit(packets.msg_prot(host_base + completion_queue, fence));
        EXPECT_TRUE(host.wait_word(completion_queue, fence)) << faults();
        reg(core_of(dma0) + dma::prot, 2);
    }

    // Builds page tables as common/mmu/mmu_v1.c does, written through the BAR. `device`: what the host's memory is
    // called without the MMU.
    void map(uint64_t va, uint64_t device, bool huge = false)
    {
        static constexpr std::array<unsigned, 5> shifts{48, 39, 30, 21, 12};
        const size_t hops = huge ? 4 : 5;
        uint64_t table = hop0;
        for (size_t hop = 0; hop + 1 < hops; ++hop) {
            const uint64_t entry = table + (va >> shifts[hop] & 0x1ff) * 8;
            uint64_t next = chip->read(4, entry, 8);
            if (!(next & 1)) {
                next = (next_table += 4096) | 1;
                chip->write(4, entry, 8, next);
            }
            table = next & ~uint64_t{0xfff};
        }
        chip->write(4, table + (va >> shifts[hops - 1] & 0x1ff) * 8, 8, device | 0x801);
    }

    [[nodiscard]] std::string faults() const
    {
        std::string out;
        for (const auto &line : chip->journal().faults())
            out += line + "\n";
        return out;
    }

private:
    static constexpr uint64_t hop0 = 0x10000000 + asid * 4096; // gaudiP.h MMU_PAGE_TABLES_ADDR

    // gaudi_mmu_update_asid_hop0_addr().
    void set_hop0()
    {
        using namespace gaudi1;
        reg(stlb::page + stlb::asid, asid);
        reg(stlb::page + stlb::hop0_pa43_12, static_cast<uint32_t>(hop0 >> 12));
        reg(stlb::page + stlb::hop0_pa49_44, 0);
        reg(stlb::page + stlb::busy, 0x80000000);
        EXPECT_EQ(reg(stlb::page + stlb::busy), 0u);
    }

    uint64_t next_table = hop0 + 4096;
};

} // namespace gaudiemu::chip
