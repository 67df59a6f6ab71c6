// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fakedriver.h"
#include "chip/gaudi2registers.h"
#include "chip/scramble.h"

#include <cstdint>

namespace gaudiemu::chip {

// Builds page tables as the driver does (common/mmu/mmu_v2_hr.c _hl_mmu_v2_hr_map(), mmu_v2.c) and tells the MMUs.
class FakePageTables {
public:
    static constexpr unsigned asid = 1;

    explicit FakePageTables(FakeDriver &driver) : driver_(driver)
    {
        using namespace gaudi2;
        set_hop0(stlb::pmmu, host_hop0);
        for (unsigned dcore = 0; dcore < dcores; ++dcore)
            for (unsigned i = 0; i < stlb::hmmus_per_dcore; ++i)
                set_hop0(stlb::hmmu0 + dcore * dcore_offset + i * stlb::hmmu_offset, hbm_hop0);
    }

    // gaudi2_mmu_prepare() for one queue manager and its DMA core.
    void use(uint32_t page) const
    {
        using namespace gaudi2;
        driver_.reg(page + qm::axuser_asid, asid | asid << 16);
        driver_.reg(page + qm::axuser_mmu_bp, 0);
        driver_.reg(page + dma::from_qm + dma::axuser_asid, asid | asid << 16);
        driver_.reg(page + dma::from_qm + dma::axuser_mmu_bp, 0);
    }

    void map_host(uint64_t va, uint64_t bus, bool huge = false)
    {
        static constexpr std::array<unsigned, 6> shifts{57, 48, 39, 30, 21, 12};
        const size_t hops = huge ? 5 : 6;
        uint64_t table = host_hop0;
        for (size_t hop = 0; hop + 1 < hops; ++hop) {
            const uint64_t entry = table + (va >> shifts[hop] & 0x1ff) * 8;
            uint64_t next = driver_.host.get<uint64_t>(entry);
            if (!(next & 1)) {
                next = (next_host_table_ += 4096) | 1;
                driver_.host.put(entry, next);
            }
            table = next & ~uint64_t{0xfff};
        }
        driver_.host.put(table + (va >> shifts[hops - 1] & 0x1ff) * 8, bus | 0x801);
    }

    // One page of 768 MiB; both addresses raw.
    void map_hbm(uint64_t va, uint64_t raw)
    {
        static constexpr std::array<unsigned, 4> shifts{57, 48, 39, 30};
        const uint64_t scrambled = gaudi2::scramble(va);
        uint64_t table = hbm_hop0;
        for (size_t hop = 0; hop + 1 < shifts.size(); ++hop) {
            const uint64_t entry = table + (scrambled >> shifts[hop] & 0x1ff) * 8;
            uint64_t next = driver_.chip->read(4, entry - gaudi2::dram_base, 8);
            if (!(next & 1)) {
                next = (next_hbm_table_ += 4096) | 1;
                driver_.chip->write(4, entry - gaudi2::dram_base, 8, next);
            }
            table = next & ~uint64_t{0xfff};
        }
        driver_.chip->write(4, table + (scrambled >> shifts.back() & 0x1ff) * 8 - gaudi2::dram_base, 8,
                            gaudi2::scramble(raw) | 0x801);
    }

private:
    static constexpr uint64_t host_hop0 = FakeHost::base + 0x60000;
    static constexpr uint64_t hbm_hop0 = gaudi2::dram_base + 512 * gaudi2::MiB;

    void set_hop0(uint32_t page, uint64_t address)
    {
        using namespace gaudi2;
        driver_.reg(page + stlb::asid, asid);
        driver_.reg(page + stlb::hop0_pa43_12, static_cast<uint32_t>(address >> 12));
        driver_.reg(page + stlb::hop0_pa63_44, static_cast<uint32_t>(address >> 44));
        driver_.reg(page + stlb::busy, 0x80000000);
        EXPECT_EQ(driver_.reg(page + stlb::busy), 0u) << "gaudi2_mmu_update_asid_hop0_addr() polls for it";
    }

    FakeDriver &driver_;
    uint64_t next_host_table_ = host_hop0;
    uint64_t next_hbm_table_ = hbm_hop0;
};

} // namespace gaudiemu::chip
