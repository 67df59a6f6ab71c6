// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/faultlist.h"
#include "device/device.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

using hl::ErrorCode;
using hl::Placement;
using hl::sim::FaultList;
using hl::sim::FaultPoint;
using hl::test::Setting;
using namespace std::chrono_literals;

TEST(FaultList, StrikesTheNthEventOnce)
{
    auto list = FaultList::parse("alloc:3=ENOMEM, copy:1=delay:20ms,copy:1=EIO ,submit:2=stall");
    ASSERT_OK(list);
    EXPECT_FALSE(list->next(FaultPoint::Alloc));
    EXPECT_FALSE(list->next(FaultPoint::Alloc));
    EXPECT_EQ(list->next(FaultPoint::Alloc).error, ENOMEM);
    EXPECT_FALSE(list->next(FaultPoint::Alloc));

    const auto copy = list->next(FaultPoint::Copy);
    EXPECT_EQ(copy.error, EIO);
    EXPECT_EQ(copy.delay, 20ms);
    EXPECT_FALSE(list->next(FaultPoint::Submit));
    EXPECT_TRUE(list->next(FaultPoint::Submit).stall);
    EXPECT_FALSE(list->next(FaultPoint::Export));
    EXPECT_TRUE(list->strikes(FaultPoint::Submit));
    EXPECT_FALSE(list->strikes(FaultPoint::Export));
}

TEST(FaultList, KnowsLossAndFullHbm)
{
    auto list = FaultList::parse("hbm-full,lost@frame:2");
    ASSERT_OK(list);
    EXPECT_TRUE(list->hbm_full());
    EXPECT_FALSE(list->next(FaultPoint::Submit).lost);
    EXPECT_TRUE(list->next(FaultPoint::Submit).lost);
    EXPECT_OK(FaultList::parse(""));
    EXPECT_OK(FaultList::parse("  "));
}

TEST(FaultList, RefusesHostileInput)
{
    const std::string huge(1 << 20, 'x');
    const std::string commas(1 << 16, ',');
    for (const std::string &text :
         {std::string("alloc"), std::string("alloc:"), std::string("alloc:1"), std::string("alloc:1="),
          std::string("alloc:0=ENOMEM"), std::string("alloc:-1=ENOMEM"), std::string("alloc:+1=ENOMEM"),
          std::string("alloc: 1=ENOMEM"), std::string("alloc:1=enomem"), std::string("alloc:1=12"),
          std::string("alloc:1=ESOMETHING"), std::string("alloc:18446744073709551616=ENOMEM"),
          std::string("alloc:1=delay:1ms"), std::string("export:1=stall"), std::string("copy:1=delay:"),
          std::string("copy:1=delay:ms"), std::string("copy:1=delay:1"), std::string("copy:1=delay:-1ms"),
          std::string("copy:1=delay:3601s"), std::string("copy:1=delay:99999999999999999999s"),
          std::string("copy:1=delay:1m"), std::string("copy:1=EIO;copy:2=EIO"), std::string("copy:1=EIO,"),
          std::string(",copy:1=EIO"), std::string("copy:1=EIO,,copy:2=EIO"), std::string("lost@"),
          std::string("lost@frame"), std::string("lost@frame:0"), std::string("lost@frame:1=EIO"),
          std::string("lost@nothing:1"), std::string("Copy:1=EIO"), std::string("hbm-full:1"), std::string("=,:"),
          std::string("copy:1=EIO\0", 11), huge, commas, "copy:1=" + huge}) {
        const auto list = FaultList::parse(text);
        ASSERT_CODE(list, ErrorCode::DeviceConfig);
        EXPECT_LT(list.error().cause.size(), 200u);
        EXPECT_NE(list.error().remedy.find("POINT:N=ERRNO"), std::string::npos);
    }
    EXPECT_NE(FaultList::parse("alloc:1=ENOMEM,copy:x=EIO").error().cause.find("copy:x=EIO"), std::string::npos);
    EXPECT_EQ(FaultList::parse("a\x1b[2J").error().cause.find('\x1b'), std::string::npos);
}

TEST(SimSettings, MalformedOnesAreNamed)
{
    const std::pair<const char *, const char *> bad[] = {
        {"HL_SIM_HBM_MB", "0"},       {"HL_SIM_HBM_MB", "x"},       {"HL_SIM_HBM_MB", "1048577"},
        {"HL_SIM_HBM_MB", "-1"},      {"HL_SIM_DMA_US", "1.5"},     {"HL_SIM_DMA_US", "99999999999"},
        {"HL_SIM_DMA_GBPS", "0"},     {"HL_SIM_DMA_GBPS", "-1"},    {"HL_SIM_DMA_GBPS", "nan"},
        {"HL_SIM_DMA_GBPS", "inf"},   {"HL_SIM_DMA_GBPS", "1GB"},   {"HL_SIM_COMPUTE_US", "5ms"},
        {"HL_SIM_FAULTS", "nonsense"},
    };
    for (const auto &[name, value] : bad) {
        const Setting setting(name, value);
        const auto device = hl::Device::open("sim");
        ASSERT_CODE(device, ErrorCode::DeviceConfig);
        EXPECT_NE(device.error().cause.find(name), std::string::npos) << device.error().cause;
        EXPECT_FALSE(device.error().remedy.empty());
    }
    EXPECT_OK(hl::Device::open("sim"));
}

TEST(SimFaults, AllocationFailsWithItsErrno)
{
    const Setting faults("HL_SIM_FAULTS", "alloc:1=ENOMEM,alloc:2=ENOMEM,alloc:3=EMFILE");
    const auto device = hl::test::open_sim();
    const auto hbm = device->allocate(4096, Placement::Device);
    ASSERT_CODE(hbm, ErrorCode::MemoryFull);
    EXPECT_EQ(hbm.error().sys_errno, ENOMEM);
    EXPECT_EQ(hbm.error().device, "sim");
    EXPECT_CODE(device->allocate(4096, Placement::Host), ErrorCode::MemoryHost);
    EXPECT_CODE(device->allocate(4096, Placement::Device), ErrorCode::FdLimit);
    hl::test::Owned fourth(device, 4096, Placement::Device);
}

TEST(SimFaults, HbmFullLeavesHostPages)
{
    const Setting faults("HL_SIM_FAULTS", "hbm-full");
    const auto device = hl::test::open_sim();
    EXPECT_CODE(device->allocate(4096, Placement::Device), ErrorCode::MemoryFull);
    hl::test::Owned host(device, 4096, Placement::Host);
}

TEST(SimFaults, ExportFailsWithItsErrno)
{
    const Setting faults("HL_SIM_FAULTS", "export:1=EMFILE,export:2=EINVAL");
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    EXPECT_CODE(device->export_dmabuf(*hbm), ErrorCode::FdLimit);
    EXPECT_CODE(device->export_dmabuf(*hbm), ErrorCode::MemoryExport);
    EXPECT_OK(device->export_dmabuf(*hbm));
}

TEST(SimFaults, CopyFailsInItsCompletionAndOthersGoOn)
{
    const Setting faults("HL_SIM_FAULTS", "copy:2=EIO,copy:4=EAGAIN");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    EXPECT_OK(device->copy({&region, 1}));
    const auto second = device->copy({&region, 1});
    ASSERT_CODE(second, ErrorCode::CopyFailed);
    EXPECT_EQ(second.error().sys_errno, EIO);
    EXPECT_OK(device->copy({&region, 1}));
    EXPECT_CODE(device->copy({&region, 1}), ErrorCode::QueueFull);
    EXPECT_OK(device->copy({&region, 1}));
    EXPECT_EQ(device->usage().requests_pending, 0u);
}

TEST(SimFaults, DelayIsALowerBound)
{
    const Setting faults("HL_SIM_FAULTS", "copy:1=delay:30ms");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    const auto start = hl::Clock::now();
    EXPECT_OK(device->copy({&region, 1}));
    EXPECT_GE(hl::Clock::now() - start, 30ms);
}
