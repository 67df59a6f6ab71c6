// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "device/device.h"
#include "simtest.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <string>

using hl::ErrorCode;
using hl::Placement;

TEST(SimMemory, IsAGaudi2)
{
    const auto device = hl::test::open_sim();
    EXPECT_EQ(device->info().chip, "Gaudi2");
    EXPECT_EQ(device->info().stand_in, "SIM");
    EXPECT_TRUE(device->info().simulated);
    EXPECT_EQ(device->info().page_size, uint64_t{768} << 20);
    EXPECT_EQ(device->info().memory_size, 127 * (uint64_t{768} << 20));
}

TEST(SimMemory, IsAGaudiWhereOneIsAskedFor)
{
    const hl::test::Setting chip("HL_SIM_CHIP", "gaudi");
    const auto device = hl::test::open_sim();
    EXPECT_EQ(device->info().chip, "Gaudi");
    EXPECT_EQ(device->info().stand_in, "SIM");
    EXPECT_EQ(device->info().name, "sim");
    EXPECT_EQ(device->info().page_size, uint64_t{2} << 20);
    EXPECT_EQ(device->info().memory_size, (uint64_t{32} << 30) - (uint64_t{512} << 20));
    // All of it in one piece.
    hl::test::Owned all(device, device->info().memory_size, Placement::Device);
    EXPECT_EQ(device->usage().device_bytes, device->info().memory_size);
}

TEST(SimMemory, NamesTheChipsThereAre)
{
    for (const char *name : {"goya", "Gaudi2", "gaudi,gaudi2"}) {
        const hl::test::Setting chip("HL_SIM_CHIP", name);
        const auto refused = hl::Device::open("sim");
        ASSERT_CODE(refused, ErrorCode::DeviceConfig);
        EXPECT_NE(refused.error().cause.find(name), std::string::npos) << refused.error().cause;
        EXPECT_EQ(refused.error().remedy, "set HL_SIM_CHIP to gaudi2 or gaudi");
        // Listing the devices is not opening them.
        EXPECT_TRUE(std::ranges::contains(hl::Device::enumerate(), std::string("sim"), &hl::DeviceListing::spec));
    }
}

TEST(SimMemory, TheBarIsWhatCanBeExported)
{
    for (const char *wrong : {"0", "x", "2097153"}) {
        const hl::test::Setting bar("HL_SIM_BAR_MB", wrong);
        ASSERT_CODE(hl::Device::open("sim"), ErrorCode::DeviceConfig);
    }
    const hl::test::Setting chip("HL_SIM_CHIP", "gaudi"), bar("HL_SIM_BAR_MB", "513"); // 512 are reserved
    const auto device = hl::test::open_sim();
    hl::test::Owned memory(device, 2 << 20, Placement::Device), host(device, 4096, Placement::Host);
    EXPECT_OK(device->export_dmabuf(memory->part(0, 1 << 20)));
    const auto beyond = device->export_dmabuf(memory->part(4096, 1 << 20));
    ASSERT_CODE(beyond, ErrorCode::MemoryExport);
    EXPECT_NE(beyond.error().cause.find("HL_SIM_BAR_MB"), std::string::npos) << beyond.error().cause;
    // DMA does not go through it.
    EXPECT_OK(hl::test::copy(device, *host, memory->part((2 << 20) - 4096, 4096), 4096));
}

TEST(SimMemory, RoundTripsThroughHbm)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 8192, Placement::Host), hbm(device, 5000, Placement::Device),
        back(device, 8192, Placement::Host);
    EXPECT_EQ(hbm->size, 8192u);
    hl::test::fill(device, *host, 1);
    const hl::CopyRegion up{.source = *host, .target = *hbm, .row_bytes = 8192};
    const hl::CopyRegion down{.source = *hbm, .target = *back, .row_bytes = 8192};
    ASSERT_OK(device->copy({&up, 1}));
    EXPECT_FALSE(hl::test::holds(device, *back, 1));
    ASSERT_OK(device->copy({&down, 1}));
    EXPECT_TRUE(hl::test::holds(device, *back, 1));
}

TEST(SimMemory, HostPagesAreZeroAndMapped)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 1, Placement::Host);
    const auto span = device->host_span(*host);
    ASSERT_OK(span);
    ASSERT_EQ(span->size(), 4096u);
    EXPECT_TRUE(std::ranges::all_of(*span, [](std::byte b) { return b == std::byte{0}; }));
}

TEST(SimMemory, DeviceMemoryHasNoCpuMapping)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    EXPECT_CODE(device->host_span(*hbm), ErrorCode::MemoryForeign);

    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd->get(), 0), MAP_FAILED);
}

TEST(SimMemory, ZeroBytesAreRefused)
{
    const auto device = hl::test::open_sim();
    for (const auto placement : {Placement::Device, Placement::Host}) {
        const auto memory = device->allocate(0, placement);
        ASSERT_CODE(memory, ErrorCode::MemoryRange);
        EXPECT_EQ(memory.error().sys_errno, EINVAL);
        EXPECT_CODE(device->allocate(UINT64_MAX, placement),
                    placement == Placement::Device ? ErrorCode::MemoryFull : ErrorCode::MemoryHost);
    }
}

TEST(SimMemory, HbmIsFiniteAndComesBack)
{
    const hl::test::Setting small("HL_SIM_HBM_MB", "1");
    const auto device = hl::test::open_sim();
    EXPECT_EQ(device->info().memory_size, uint64_t{1} << 20);
    const auto first = device->allocate(512 << 10, Placement::Device);
    const auto second = device->allocate(512 << 10, Placement::Device);
    ASSERT_OK(first);
    ASSERT_OK(second);
    EXPECT_EQ(device->usage().device_bytes, uint64_t{1} << 20);
    const auto third = device->allocate(4096, Placement::Device);
    ASSERT_CODE(third, ErrorCode::MemoryFull);
    EXPECT_EQ(third.error().sys_errno, ENOMEM);
    EXPECT_OK(device->release(*first));
    EXPECT_OK(device->release(*second));
    EXPECT_EQ(device->usage().device_bytes, 0u);
    const auto whole = device->allocate(1 << 20, Placement::Device);
    ASSERT_OK(whole);
    EXPECT_OK(device->release(*whole));
}

TEST(SimMemory, HbmIsSparse)
{
    const auto device = hl::test::open_sim();
    const uint64_t page = device->info().page_size;
    hl::test::Owned large(device, 2 * page + 4096, Placement::Device); // spans device pages
    EXPECT_EQ(hl::sim::stats(*device).hbm_resident, 0u);
    hl::test::Owned host(device, 4096, Placement::Host);
    const hl::CopyRegion region{.source = *host, .target = *large, .target_offset = 2 * page, .row_bytes = 4096};
    ASSERT_OK(device->copy({&region, 1}));
    EXPECT_EQ(hl::sim::stats(*device).hbm_resident, 4096u);
    large.release();
    EXPECT_EQ(hl::sim::stats(*device).hbm_resident, 0u);
}

TEST(SimMemory, DoubleReleaseIsForeign)
{
    const auto device = hl::test::open_sim();
    const auto memory = device->allocate(4096, Placement::Device);
    ASSERT_OK(memory);
    EXPECT_OK(device->release(*memory));
    EXPECT_CODE(device->release(*memory), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->export_dmabuf(*memory), ErrorCode::MemoryForeign);
}

TEST(SimMemory, OwnedMemoryReleases)
{
    const auto device = hl::test::open_sim();
    {
        auto owned = hl::OwnedMemory::allocate(device, 4096, Placement::Device);
        ASSERT_OK(owned);
        hl::OwnedMemory other = std::move(*owned);
        EXPECT_EQ(device->usage().device_bytes, 4096u);
        other = hl::OwnedMemory();
        EXPECT_EQ(device->usage().device_bytes, 0u);
    }
    EXPECT_EQ(device->usage().device_bytes, 0u);
}
