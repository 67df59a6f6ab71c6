// SPDX-License-Identifier: LGPL-2.1-or-later

// The unmodified driver of the kernel on the emulated Gaudi: a user's jobs, and what becomes of wrong ones.

#include "guest/gaudijobs.h"

#include <drm/habanalabs_accel.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <format>
#include <string>
#include <vector>

namespace gaudiemu::guest {
namespace {

using chip::Packets;

constexpr auto queue_down = GaudiJobs::queue_down;
constexpr auto queue_up = GaudiJobs::queue_up;

void fill(std::byte *memory, size_t size, uint32_t seed)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        seed = seed * 1664525 + 1013904223;
        std::memcpy(memory + i, &seed, 4);
    }
}

class Driver : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_EQ(jobs.open(), 0); }
    void TearDown() override { jobs.close(); }

    void run(uint32_t queue, const Packets &packets)
    {
        const auto done = jobs.run(queue, packets);
        ASSERT_EQ(done.error, 0);
        ASSERT_EQ(done.outcome, HL_WAIT_CS_STATUS_COMPLETED);
    }

    // Down to HBM, the host poisoned, up again.
    void round_trip(size_t size, size_t from, uint64_t hbm_offset)
    {
        std::byte *const host = jobs.host();
        fill(host + from, size, static_cast<uint32_t>(size));
        host[from] = std::byte{0x5a};
        const std::vector<std::byte> sent(host + from, host + from + size);
        const uint64_t here = jobs.host_address() + from;
        const uint64_t there = jobs.hbm_address() + hbm_offset;
        run(queue_down, jobs.packets().lin_dma(here, there, static_cast<uint32_t>(size)));
        std::memset(host, 0xee, GaudiJobs::host_size);
        run(queue_up, jobs.packets().lin_dma(there, here, static_cast<uint32_t>(size)));
        EXPECT_EQ(std::memcmp(host + from, sent.data(), size), 0) << size << " bytes at " << from;
        EXPECT_EQ(host[from + size], std::byte{0xee});
    }

    GaudiJobs jobs;
};

// Tests ask the driver which chip they are on.
TEST_F(Driver, IsOfTheChipThatTheMachineWasAskedFor)
{
    const char *const chip = std::getenv("HL_VM_GAUDI_CHIP");
    ASSERT_NE(chip, nullptr);
    EXPECT_EQ(jobs.first_gaudi(), chip == std::string("gaudi"));
}

TEST_F(Driver, IsOperationalAndNamesTheEmulator)
{
    uint32_t status = 99;
    ASSERT_EQ(jobs.device().status(status), 0);
    EXPECT_EQ(status, static_cast<uint32_t>(HL_DEVICE_STATUS_OPERATIONAL));
    std::string version;
    ASSERT_EQ(jobs.device().version(version), 0);
    EXPECT_EQ(version.find("emulated-gaudi"), 0u) << version;
}

TEST_F(Driver, LinDmaRoundTripsAreByteExact)
{
    round_trip(4096, 0, 0);
    round_trip(1, 77, 3);
    round_trip(1920 * 1080 * 2, 4096, 1 << 20);
    round_trip(20 << 20, 123, GaudiJobs::hbm_size - (20 << 20));
}

TEST_F(Driver, ManyInFlightAllComplete)
{
    constexpr unsigned count = 48; // below the 64 that the driver keeps
    constexpr uint32_t size = 64 << 10;
    std::byte *const host = jobs.host();
    fill(host, count * size, 1);
    const std::vector<std::byte> sent(host, host + count * size);
    std::vector<uint64_t> sequences(count);
    for (unsigned i = 0; i < count; ++i)
        ASSERT_EQ(jobs.send(queue_down,
                            jobs.packets().lin_dma(jobs.host_address() + i * size, jobs.hbm_address() + i * size, size),
                            sequences[i], i * 64),
                  0);
    for (const uint64_t sequence : sequences) {
        uint32_t outcome = HL_WAIT_CS_STATUS_BUSY;
        ASSERT_EQ(jobs.device().wait(sequence, 10'000'000, outcome), 0);
        ASSERT_EQ(outcome, static_cast<uint32_t>(HL_WAIT_CS_STATUS_COMPLETED));
    }
    std::memset(host, 0, count * size);
    run(queue_up, jobs.packets().lin_dma(jobs.hbm_address(), jobs.host_address(), count * size));
    EXPECT_EQ(std::memcmp(host, sent.data(), sent.size()), 0);
}

TEST_F(Driver, MemsetFillsHbm)
{
    run(queue_down, jobs.packets().lin_dma(0x01020304, jobs.hbm_address(), 1 << 20, Packets::memset));
    run(queue_up, jobs.packets().lin_dma(jobs.hbm_address(), jobs.host_address(), 1 << 20));
    for (size_t i = 0; i < 1 << 20; i += 4)
        ASSERT_EQ(std::memcmp(jobs.host() + i, "\x04\x03\x02\x01", 4), 0) << i;
}

TEST_F(Driver, InboundWritesCanBeFlushed)
{
    EXPECT_EQ(jobs.device().flush_inbound(), 0);
}

TEST_F(Driver, ClosesAndOpensAgainWithoutAHardReset)
{
    const int before = hard_resets();
    for (int i = 0; i < 3; ++i) {
        round_trip(4096, 0, 0);
        jobs.close();
        ASSERT_EQ(jobs.open(), 0);
    }
    EXPECT_EQ(hard_resets(), before);
    EXPECT_EQ(device_attribute("status"), "Operational");
}

// What the tests of resets wait with.
TEST(KernelReturnsOfNothing, FailTheTestAtOnce)
{
    EXPECT_NONFATAL_FAILURE((void)KernelReturns({"hl_no_such_function"}),
                            "no probe at the return of hl_no_such_function");
}

bool first_gaudi()
{
    GaudiJobs jobs;
    EXPECT_EQ(jobs.open(), 0);
    const bool first = jobs.first_gaudi();
    jobs.close();
    return first;
}

// What a wrong job says in the kernel log, and that the chip is reset for it and works again: a Gaudi2 at once, a first
// Gaudi when its process ends with the job under way (gaudi.c gaudi_handle_eqe() only tells of the event).
class WrongJob : public ::testing::Test {
protected:
    void expect_reset(const GaudiJobs::MakePackets &make, const std::string &complaint) const
    {
        NextReset reset;
        const auto wrong = GaudiJobs::in_child(make, first ? 1 : 3);
        EXPECT_NE(wrong.outcome, HL_WAIT_CS_STATUS_COMPLETED);
        EXPECT_NE(wrong.error, EINVAL) << "the driver did not send it";
        EXPECT_TRUE(reset.wait(std::chrono::seconds(40))) << device_attribute("status");
        EXPECT_TRUE(kernel_log_has(complaint)) << complaint;
        const auto good = GaudiJobs::in_child(
            [](const GaudiJobs &jobs) { return jobs.packets().lin_dma(jobs.host_address(), jobs.hbm_address(), 4096); },
            10);
        EXPECT_EQ(good.error, 0);
        EXPECT_EQ(good.outcome, HL_WAIT_CS_STATUS_COMPLETED);
    }

    const bool first = first_gaudi();
};

// The first Gaudi's driver looks at the packets itself (gaudi.c gaudi_validate_cb()): what it lets pass and the
// emulated chip does not know is a fence.
TEST_F(WrongJob, AnUnknownPacket)
{
    const uint32_t control = first ? 0x08000000 : 0x1f000000;
    expect_reset([&](const GaudiJobs &) { return Packets().raw(0, control); },
                 first ? "DMA_QM0 stream0. err cause: CP error due to undefined OPCODE"
                       : "PDMA0_QM: stream0. err cause: CP error due to undefined OPCODE");
}

TEST_F(WrongJob, AHostPageThatIsNotMapped)
{
    uint64_t missing = 0;
    {
        GaudiJobs jobs; // each open lays out the same addresses anew
        ASSERT_EQ(jobs.open(), 0);
        missing = jobs.host_address() + (1 << 30);
        jobs.close();
    }
    expect_reset(
        [&](const GaudiJobs &jobs) {
            return jobs.packets().lin_dma(jobs.host_address() + (1 << 30), jobs.hbm_address(), 64);
        },
        std::format("{} page fault on va {:#x}", first ? "MMU" : "PMMU", missing));
}

// Beyond what is mapped on a Gaudi2, beyond what there is on a first Gaudi.
TEST_F(WrongJob, HbmThatIsNotThere)
{
    expect_reset(
        [](const GaudiJobs &jobs) {
            const uint64_t far = (jobs.first_gaudi() ? 50 : 20) * GaudiJobs::hbm_size;
            return jobs.packets().lin_dma(jobs.host_address(), jobs.hbm_address() + far, 64);
        },
        first ? "Received H/W interrupt 604 [\"DMA0_CORE\"]" : "HMMU page fault on va range");
}

} // namespace
} // namespace gaudiemu::guest
