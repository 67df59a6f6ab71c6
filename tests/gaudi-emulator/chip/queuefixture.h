// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fakedriver.h"
#include "chip/packets.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gaudiemu::chip {

inline constexpr uint32_t pdma0 = 0x4c8a000;
inline constexpr uint32_t pdma1 = 0x4c9a000;
inline constexpr uint64_t ring = FakeDriver::queues;
inline constexpr uint64_t buffer = FakeDriver::free;
inline constexpr uint64_t data = FakeDriver::free + 0x100000;

inline std::vector<std::byte> pattern(size_t size, unsigned seed = 1)
{
    std::vector<std::byte> out(size);
    for (size_t i = 0; i < size; ++i)
        out[i] = static_cast<std::byte>(i * 7 + i / 251 + seed);
    return out;
}

// A chip whose firmware runs, with PDMA 0 and 1 started as gaudi2_init_pdma() starts them.
class QueueTest : public ::testing::Test {
protected:
    void SetUp() override { start({}); }

    void start(Gaudi2::Settings settings)
    {
        driver = std::make_unique<FakeDriver>(std::move(settings));
        driver->boot();
        driver->start_cpu_queue();
        driver->cpu(2, FakeDriver::doorbell); // ENABLE_PCI_ACCESS
        driver->start_queue(pdma0, ring);
        driver->start_queue(pdma1, ring + 0x40000);
        bypass(pdma0);
        bypass(pdma1);
    }

    // Before a context exists, physical addresses.
    void bypass(uint32_t page) const
    {
        driver->reg(page + gaudi2::qm::axuser_mmu_bp, 0x11);
        driver->reg(page + gaudi2::dma::from_qm + gaudi2::dma::axuser_mmu_bp, 0x11);
    }

    uint32_t send(const Packets &packets, uint32_t index = 0, uint32_t page = pdma0, unsigned stream = 0)
    {
        EXPECT_TRUE(driver->host.dma_write(buffer, packets.bytes()));
        return driver->submit(page, stream, page == pdma0 ? ring : ring + 0x40000, buffer, packets.size(), index);
    }

    // Sends, and sees it through to the completion queue.
    void run(const Packets &packets, uint32_t page = pdma0)
    {
        const uint32_t index = ++runs % 64;
        driver->arm(index);
        send(packets, index, page);
        ASSERT_TRUE(driver->host.wait_interrupts(FakeDriver::completion_vector, runs)) << faults();
        EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::completion_queue + (runs - 1) % 4096 * 4), 0xc0000000 | index);
    }

    [[nodiscard]] std::string faults() const
    {
        std::string out;
        for (const auto &line : driver->chip->journal().faults())
            out += line + "\n";
        return out;
    }

    [[nodiscard]] std::vector<std::byte> host_bytes(uint64_t at, size_t size) const
    {
        std::vector<std::byte> out(size);
        EXPECT_TRUE(driver->host.dma_read(at, out));
        return out;
    }

    std::unique_ptr<FakeDriver> driver;
    uint32_t runs = 0;
};

} // namespace gaudiemu::chip
