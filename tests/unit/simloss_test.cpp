// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "device/device.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <poll.h>

#include <array>
#include <memory>
#include <thread>

using hl::ErrorCode;
using hl::Placement;
using hl::test::Setting;

TEST(SimLoss, EndsPendingCopies)
{
    const Setting faults("HL_SIM_FAULTS", "copy:1=stall");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    std::array<hl::CompletionWaiter, 3> ends;
    hl::CopyRequest up, down;
    up.region[0] = {.source = *host, .target = *hbm, .row_bytes = 4096};
    down.region[0] = {.source = *hbm, .target = *host, .row_bytes = 4096};
    up.regions = down.regions = 1;
    {
        const hl::sim::DmaGate gate(*device);
        ASSERT_OK(device->submit({&up, 1}, ends[0])); // would stall, the next waits behind it
        ASSERT_OK(device->submit({&up, 1}, ends[1]));
        ASSERT_OK(device->submit({&down, 1}, ends[2]));
        hl::sim::lose(*device);
        for (auto &end : ends) {
            const auto status = *end.wait();
            EXPECT_CODE(status, ErrorCode::DeviceLost);
        }
    }
    EXPECT_EQ(device->usage().requests_pending, 0u);
}

TEST(SimLoss, WakesASynchronousCopy)
{
    const Setting faults("HL_SIM_FAULTS", "copy:1=stall");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    hl::Status status;
    std::thread copier([&] { status = device->copy({&region, 1}); });
    hl::sim::lose(*device);
    copier.join();
    EXPECT_CODE(status, ErrorCode::DeviceLost);
}

TEST(SimLoss, RefusesEverythingUntilRecovered)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const uint32_t generation = device->generation();
    hl::sim::lose(*device);
    hl::sim::lose(*device); // one loss
    EXPECT_TRUE(device->lost());
    EXPECT_EQ(device->generation(), generation + 1);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    EXPECT_CODE(device->copy({&region, 1}), ErrorCode::DeviceLost);
    EXPECT_CODE(device->allocate(4096, Placement::Device), ErrorCode::DeviceLost);
    EXPECT_CODE(device->allocate(4096, Placement::Host), ErrorCode::DeviceLost);
    EXPECT_CODE(device->export_dmabuf(*hbm), ErrorCode::DeviceLost);
    const auto lost = device->flush_inbound_writes();
    ASSERT_CODE(lost, ErrorCode::DeviceLost);
    EXPECT_EQ(lost.error().sys_errno, EBUSY);
    EXPECT_EQ(lost.error().device, "sim");
    EXPECT_FALSE(lost.error().remedy.empty());

    ASSERT_OK(device->recover());
    EXPECT_FALSE(device->lost());
    EXPECT_EQ(device->generation(), generation + 1);
    EXPECT_CODE(device->copy({&region, 1}), ErrorCode::MemoryStale);
    EXPECT_CODE(device->export_dmabuf(*hbm), ErrorCode::MemoryStale);
    EXPECT_CODE(device->host_span(*host), ErrorCode::MemoryStale);
    hl::test::Owned host2(device, 4096, Placement::Host), hbm2(device, 4096, Placement::Device);
    const hl::CopyRegion again{.source = *host2, .target = *hbm2, .row_bytes = 4096};
    EXPECT_OK(device->copy({&again, 1}));
}

TEST(SimLoss, OpenRecovers)
{
    const auto device = hl::test::open_sim();
    hl::sim::lose(*device);
    const auto again = hl::Device::open("sim");
    ASSERT_OK(again);
    EXPECT_EQ(again->get(), device.get());
    EXPECT_FALSE(device->lost());
}

TEST(SimLoss, LetsGoOfExportsAtOnce)
{
    const auto device = hl::test::open_sim();
    const auto hbm = device->allocate(4096, Placement::Device);
    ASSERT_OK(hbm);
    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    hl::sim::lose(*device);
    EXPECT_EQ(device->usage().exports_open, 0u);
    EXPECT_EQ(device->usage().device_bytes, 0u);
    pollfd entry{.fd = fd->get(), .events = 0, .revents = 0};
    EXPECT_EQ(::poll(&entry, 1, 0), 1);
    EXPECT_TRUE(entry.revents & POLLHUP);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryStale);
    EXPECT_OK(device->release(*hbm)); // gone already
    ASSERT_OK(device->recover());
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryStale);
    // A frame of the new life is not mistaken for the old one's.
    hl::test::Owned fresh(device, 4096, Placement::Device);
    const auto other = device->export_dmabuf(*fresh);
    ASSERT_OK(other);
    EXPECT_EQ(device->resolve_dmabuf(other->get()), *fresh);
    EXPECT_NE(fresh->handle, hbm->handle);
}

// A decoder may still write into host pages when the device goes: they stay mapped until their owner releases them.
TEST(SimLoss, KeepsHostPagesMappedUntilReleased)
{
    const auto device = hl::test::open_sim();
    const auto host = device->allocate(4096, Placement::Host);
    ASSERT_OK(host);
    const auto fd = device->export_dmabuf(*host);
    ASSERT_OK(fd);
    const auto span = *device->host_span(*host);
    hl::sim::lose(*device);
    std::ranges::fill(span, std::byte{7});
    EXPECT_EQ(span[4095], std::byte{7});
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryStale);
    EXPECT_EQ(device->usage().host_bytes, 4096u);
    EXPECT_EQ(hl::sim::stats(*device).mmu_mappings, 0u);
    EXPECT_OK(device->release(*host));
    EXPECT_EQ(device->usage().host_bytes, 0u);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryForeign);
}

TEST(SimLoss, StrikesAtTheOrderedCopy)
{
    const Setting faults("HL_SIM_FAULTS", "lost@copy:2");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    EXPECT_OK(device->copy({&region, 1}));
    EXPECT_CODE(device->copy({&region, 1}), ErrorCode::DeviceLost);
    EXPECT_TRUE(device->lost());
}

TEST(SimLoss, ManyLivesLeakNothing)
{
    const auto device = hl::test::open_sim();
    for (int life = 0; life < 50; ++life) {
        hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
        const auto fd = device->export_dmabuf(*hbm);
        ASSERT_OK(fd);
        hl::sim::lose(*device);
        ASSERT_OK(device->recover());
    }
    const auto usage = device->usage();
    EXPECT_EQ(usage.device_bytes, 0u);
    EXPECT_EQ(usage.host_bytes, 0u);
    EXPECT_EQ(usage.exports_open, 0u);
    EXPECT_EQ(hl::sim::stats(*device).mmu_mappings, 0u);
    EXPECT_EQ(hl::sim::stats(*device).hbm_resident, 0u);
}
