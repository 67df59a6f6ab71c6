// SPDX-License-Identifier: LGPL-2.1-or-later

// In the virtual machine: the unmodified driver of the kernel, on the emulated Gaudi2.

#include "chip/packets.h"
#include "guest/hldevice.h"

#include <drm/habanalabs_accel.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace gaudiemu::guest {
namespace {

using chip::Packets;

constexpr uint32_t queue_down = 0; // GAUDI2_QUEUE_ID_PDMA_0_0
constexpr uint32_t queue_up = 4;   // GAUDI2_QUEUE_ID_PDMA_1_0
constexpr uint64_t seconds = 1'000'000;

struct Unmap {
    size_t size = 0;
    void operator()(std::byte *memory) const { munmap(memory, size); }
};
using Pages = std::unique_ptr<std::byte, Unmap>;

Pages make_pages(size_t size)
{
    // Shared: of a private mapping the driver pins copies.
    void *const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? Pages() : Pages(static_cast<std::byte *>(memory), Unmap{size});
}

void fill(std::byte *memory, size_t size, uint32_t seed)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        seed = seed * 1664525 + 1013904223;
        std::memcpy(memory + i, &seed, 4);
    }
}

// Names which status the driver has given the device.
std::string sysfs(const std::string &attribute)
{
    std::ifstream file("/sys/class/accel/accel0/device/" + attribute);
    std::string line;
    std::getline(file, line);
    return line;
}

class Driver : public ::testing::Test {
protected:
    static constexpr size_t host_size = 24 << 20;
    static constexpr size_t buffer_size = 1 << 20;

    void SetUp() override { open(); }
    void TearDown() override { device.close(); }

    void open()
    {
        ASSERT_EQ(device.open(), 0);
        host = make_pages(host_size);
        buffer = make_pages(buffer_size);
        ASSERT_TRUE(host && buffer);
        ASSERT_EQ(device.map_host(host.get(), host_size, host_address), 0);
        ASSERT_EQ(device.map_host(buffer.get(), buffer_size, buffer_address), 0);
        ASSERT_EQ(device.allocate(4096, handle), 0);
        ASSERT_EQ(device.map(handle, hbm), 0);
    }

    uint64_t send(uint32_t queue, const Packets &packets, size_t at = 0)
    {
        std::memcpy(buffer.get() + at, packets.bytes().data(), packets.size());
        uint64_t sequence = 0;
        EXPECT_EQ(device.submit(queue, buffer_address + at, packets.size(), sequence), 0);
        return sequence;
    }

    void run(uint32_t queue, const Packets &packets)
    {
        uint32_t outcome = HL_WAIT_CS_STATUS_BUSY;
        ASSERT_EQ(device.wait(send(queue, packets), 10 * seconds, outcome), 0);
        ASSERT_EQ(outcome, static_cast<uint32_t>(HL_WAIT_CS_STATUS_COMPLETED));
    }

    // Down to HBM, the host poisoned, up again.
    void round_trip(size_t size, size_t from, uint64_t hbm_offset)
    {
        fill(host.get() + from, size, static_cast<uint32_t>(size));
        const std::vector<std::byte> sent(host.get() + from, host.get() + from + size);
        run(queue_down, Packets().lin_dma(host_address + from, hbm + hbm_offset, static_cast<uint32_t>(size)));
        std::memset(host.get(), 0xee, host_size);
        run(queue_up, Packets().lin_dma(hbm + hbm_offset, host_address + from, static_cast<uint32_t>(size)));
        EXPECT_EQ(std::memcmp(host.get() + from, sent.data(), size), 0) << size << " bytes at " << from;
        EXPECT_EQ(host.get()[from + size], std::byte{0xee});
    }

    HlDevice device;
    Pages host, buffer;
    uint64_t host_address = 0, buffer_address = 0, handle = 0, hbm = 0;
};

TEST_F(Driver, IsOperationalAndNamesTheEmulator)
{
    uint32_t status = 99;
    ASSERT_EQ(device.status(status), 0);
    EXPECT_EQ(status, static_cast<uint32_t>(HL_DEVICE_STATUS_OPERATIONAL));
    std::string version;
    ASSERT_EQ(device.version(version), 0);
    EXPECT_EQ(version.find("emulated-gaudi"), 0u) << version;
}

TEST_F(Driver, LinDmaRoundTripsAreByteExact)
{
    round_trip(4096, 0, 0);
    round_trip(1, 77, 3);
    round_trip(1920 * 1080 * 2, 4096, 1 << 20);
    round_trip(20 << 20, 123, (768u << 20) - (20u << 20));
}

TEST_F(Driver, ManyInFlightCompleteInOrder)
{
    constexpr unsigned jobs = 48; // below the 64 that the driver keeps
    constexpr uint32_t size = 64 << 10;
    std::vector<uint64_t> sequences;
    for (unsigned i = 0; i < jobs; ++i)
        fill(host.get() + i * size, size, i);
    const std::vector<std::byte> sent(host.get(), host.get() + jobs * size);
    for (unsigned i = 0; i < jobs; ++i)
        sequences.push_back(send(queue_down, Packets().lin_dma(host_address + i * size, hbm + i * size, size), i * 64));
    for (const uint64_t sequence : sequences) {
        uint32_t outcome = HL_WAIT_CS_STATUS_BUSY;
        ASSERT_EQ(device.wait(sequence, 10 * seconds, outcome), 0);
        ASSERT_EQ(outcome, static_cast<uint32_t>(HL_WAIT_CS_STATUS_COMPLETED));
    }
    std::memset(host.get(), 0, jobs * size);
    run(queue_up, Packets().lin_dma(hbm, host_address, jobs * size));
    EXPECT_EQ(std::memcmp(host.get(), sent.data(), sent.size()), 0);
}

TEST_F(Driver, MemsetFillsHbm)
{
    run(queue_down, Packets().lin_dma(0x01020304, hbm, 1 << 20, Packets::memset));
    run(queue_up, Packets().lin_dma(hbm, host_address, 1 << 20));
    for (size_t i = 0; i < 1 << 20; i += 4)
        ASSERT_EQ(std::memcmp(host.get() + i, "\x04\x03\x02\x01", 4), 0) << i;
}

TEST_F(Driver, InboundWritesCanBeFlushed)
{
    EXPECT_EQ(device.flush_inbound(), 0);
}

TEST_F(Driver, ClosesAndOpensAgain)
{
    for (int i = 0; i < 3; ++i) {
        round_trip(4096, 0, 0);
        device.close();
        open();
    }
    EXPECT_EQ(sysfs("hard_reset_cnt"), "0");
    EXPECT_EQ(sysfs("status"), "Operational");
}

} // namespace
} // namespace gaudiemu::guest
