// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/faultlist.h"
#include "backends/sim/simcontrol.h"
#include "device/device.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <format>
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

TEST(FaultList, KnowsEveryPoint)
{
    const std::string_view names[] = {"open",    "recover", "alloc",   "alloc-device", "alloc-host",  "pages",
                                      "release", "export",  "udmabuf", "resolve",      "copy-submit", "copy",
                                      "flush",   "fence",   "engine",  "configure",    "submit",      "run"};
    static_assert(std::size(names) == hl::sim::fault_points);
    for (size_t i = 0; i < hl::sim::fault_points; ++i) {
        auto list = FaultList::parse(std::format("{0}:1=ENODEV,lost@{0}:2", names[i]));
        ASSERT_OK(list) << names[i];
        const auto point = static_cast<FaultPoint>(i);
        EXPECT_TRUE(list->strikes(point)) << names[i];
        EXPECT_EQ(list->next(point).error, ENODEV);
        EXPECT_TRUE(list->next(point).lost);
        EXPECT_EQ(list->struck(), 2u);
        EXPECT_NE(FaultList::parse("x").error().remedy.find(names[i]), std::string::npos) << names[i];
        const bool timed = names[i] == "copy" || names[i] == "submit" || names[i] == "run";
        EXPECT_EQ(FaultList::parse(std::format("{}:1=stall", names[i])).has_value(), timed) << names[i];
    }
}

TEST(FaultList, JoinsTheTwoEventsOfARequest)
{
    auto list = FaultList::parse("copy-submit:1=EINVAL,copy:1=EIO,copy:2=EIO,copy-submit:3=EINVAL");
    ASSERT_OK(list);
    const auto next = [&] { return list->next(FaultPoint::CopySubmit, FaultPoint::Copy); };
    const auto first = next(), second = next(), third = next();
    EXPECT_EQ(first.error, EINVAL);
    EXPECT_FALSE(first.ends);
    EXPECT_EQ(second.error, EIO);
    EXPECT_TRUE(second.ends);
    EXPECT_EQ(third.error, EINVAL);
    EXPECT_FALSE(third.ends);
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
    for (const std::string &text : {std::string("alloc"),
                                    std::string("alloc:"),
                                    std::string("alloc:1"),
                                    std::string("alloc:1="),
                                    std::string("alloc:0=ENOMEM"),
                                    std::string("alloc:-1=ENOMEM"),
                                    std::string("alloc:+1=ENOMEM"),
                                    std::string("alloc: 1=ENOMEM"),
                                    std::string("alloc:1=enomem"),
                                    std::string("alloc:1=12"),
                                    std::string("alloc:1=ESOMETHING"),
                                    std::string("alloc:18446744073709551616=ENOMEM"),
                                    std::string("alloc:1=delay:1ms"),
                                    std::string("export:1=stall"),
                                    std::string("release:1=ENOMEM"),
                                    std::string("release:1=EIO"),
                                    std::string("copy:1=delay:"),
                                    std::string("copy:1=delay:ms"),
                                    std::string("copy:1=delay:1"),
                                    std::string("copy:1=delay:-1ms"),
                                    std::string("copy:1=delay:3601s"),
                                    std::string("copy:1=delay:99999999999999999999s"),
                                    std::string("copy:1=delay:1m"),
                                    std::string("copy:1=EIO;copy:2=EIO"),
                                    std::string("copy:1=EIO,"),
                                    std::string(",copy:1=EIO"),
                                    std::string("copy:1=EIO,,copy:2=EIO"),
                                    std::string("lost@"),
                                    std::string("lost@frame"),
                                    std::string("lost@frame:0"),
                                    std::string("lost@frame:1=EIO"),
                                    std::string("lost@nothing:1"),
                                    std::string("Copy:1=EIO"),
                                    std::string("hbm-full:1"),
                                    std::string("=,:"),
                                    std::string("copy:1=EIO\0", 11),
                                    huge,
                                    commas,
                                    "copy:1=" + huge}) {
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
        {"HL_SIM_HBM_MB", "0"},        {"HL_SIM_HBM_MB", "x"},     {"HL_SIM_HBM_MB", "1048577"},
        {"HL_SIM_HBM_MB", "-1"},       {"HL_SIM_DMA_US", "1.5"},   {"HL_SIM_DMA_US", "99999999999"},
        {"HL_SIM_DMA_GBPS", "0"},      {"HL_SIM_DMA_GBPS", "-1"},  {"HL_SIM_DMA_GBPS", "nan"},
        {"HL_SIM_DMA_GBPS", "inf"},    {"HL_SIM_DMA_GBPS", "1GB"}, {"HL_SIM_COMPUTE_US", "5ms"},
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
    const Setting faults("HL_SIM_FAULTS", "copy:2=EINVAL");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    EXPECT_OK(device->copy({&region, 1}));
    const auto second = device->copy({&region, 1});
    ASSERT_CODE(second, ErrorCode::CopyFailed);
    EXPECT_EQ(second.error().sys_errno, EINVAL);
    EXPECT_OK(device->copy({&region, 1}));
    EXPECT_EQ(device->usage().requests_pending, 0u);
}

TEST(SimFaults, AFullQueueRefusesASubmissionAndACopyWaitsForRoom)
{
    const Setting faults("HL_SIM_FAULTS", "copy:1=EAGAIN,copy-submit:3=EAGAIN");
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    hl::test::Record record;
    const hl::CopyRequest request = hl::test::request(*host, *hbm);
    EXPECT_CODE(device->submit({&request, 1}, record), ErrorCode::QueueFull);
    EXPECT_OK(device->submit({&request, 1}, record));
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    EXPECT_OK(device->copy({&region, 1}));
    EXPECT_EQ(record.wait(1).size(), 1u);
    EXPECT_EQ(hl::sim::stats(*device).faults, 2u);
}

TEST(SimFaults, WaitingForRoomEnds)
{
    std::string full = "copy:1=EAGAIN";
    for (int i = 2; i < 200; ++i)
        full += std::format(",copy:{}=EAGAIN", i);
    const Setting faults("HL_SIM_FAULTS", full.c_str());
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    const hl::CopyRegion region{.source = *host, .target = *hbm, .row_bytes = 4096};
    EXPECT_CODE(device->copy({&region, 1}, hl::Clock::now() + 20ms), ErrorCode::QueueFull);
}

// What the driver's errno says of the device counts more than the call that met it.
TEST(SimFaults, AnErrnoThatSaysSoLosesTheDevice)
{
    for (const char *const text : {"copy:1=EIO", "copy-submit:1=EPERM", "copy:1=ETIMEDOUT", "alloc-device:1=EBUSY",
                                   "alloc-host:1=ENODEV", "export:1=EBUSY", "flush:1=ENODEV"}) {
        const Setting faults("HL_SIM_FAULTS", text);
        const auto device = hl::test::open_sim();
        const uint32_t before = device->generation();
        const auto use = [&]() -> hl::Status {
            auto host = hl::OwnedMemory::allocate(device, 4096, Placement::Host);
            if (!host)
                return std::unexpected(host.error());
            auto hbm = hl::OwnedMemory::allocate(device, 4096, Placement::Device);
            if (!hbm)
                return std::unexpected(hbm.error());
            if (auto fd = device->export_dmabuf(hbm->get()); !fd)
                return std::unexpected(fd.error());
            const hl::CopyRegion region{.source = host->get(), .target = hbm->get(), .row_bytes = 4096};
            if (auto copied = device->copy({&region, 1}); !copied)
                return copied;
            return device->flush_inbound_writes();
        };
        EXPECT_CODE(use(), ErrorCode::DeviceLost) << text;
        EXPECT_TRUE(device->lost()) << text;
        EXPECT_EQ(device->generation(), before + 1) << text;
        EXPECT_OK(device->recover());
        EXPECT_OK(use()) << text;
        EXPECT_EQ(device->usage().device_bytes, 0u) << text;
        EXPECT_EQ(device->usage().host_bytes, 0u) << text;
    }
}

TEST(SimFaults, HostPagesFailAsTheHostFails)
{
    const Setting faults("HL_SIM_FAULTS", "pages:1=ENOMEM,pages:2=EMFILE,udmabuf:1=ENOMEM,udmabuf:2=ENFILE");
    const auto device = hl::test::open_sim();
    const auto none = device->allocate(4096, Placement::Host);
    ASSERT_CODE(none, ErrorCode::MemoryHost);
    EXPECT_EQ(none.error().sys_errno, ENOMEM);
    EXPECT_EQ(none.error().device, "sim");
    EXPECT_CODE(device->allocate(4096, Placement::Host), ErrorCode::FdLimit);
    hl::test::Owned host(device, 4096, Placement::Host);
    EXPECT_CODE(device->export_dmabuf(*host), ErrorCode::MemoryExport);
    EXPECT_CODE(device->export_dmabuf(*host), ErrorCode::FdLimit);
    EXPECT_OK(device->export_dmabuf(*host));
}

TEST(SimFaults, ARefusedReleaseKeepsTheMemory)
{
    const Setting faults("HL_SIM_FAULTS", "release:1=EINVAL");
    const auto device = hl::test::open_sim();
    const auto hbm = device->allocate(4096, Placement::Device);
    ASSERT_OK(hbm);
    EXPECT_CODE(device->release(*hbm), ErrorCode::MemoryExported);
    EXPECT_EQ(device->usage().device_bytes, 4096u);
    EXPECT_OK(device->release(*hbm));
    EXPECT_EQ(device->usage().device_bytes, 0u);
}

// What a release can be ordered to say besides.
TEST(SimFaults, AReleaseLosesTheDevice)
{
    for (const char *const text : {"release:1=EBUSY", "release:1=ENODEV", "lost@release:1"}) {
        const Setting faults("HL_SIM_FAULTS", text);
        const auto device = hl::test::open_sim();
        const auto hbm = device->allocate(4096, Placement::Device);
        ASSERT_OK(hbm);
        EXPECT_OK(device->release(*hbm)) << text; // went with its generation
        EXPECT_TRUE(device->lost()) << text;
        EXPECT_EQ(device->usage().device_bytes, 0u);
    }
}

// The point is fstat(2), which knows nothing of the device.
TEST(SimFaults, ARefusedResolveLosesNothing)
{
    const Setting faults("HL_SIM_FAULTS", "resolve:1=EBUSY,resolve:2=ENODEV,resolve:3=EMFILE");
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::FdLimit);
    EXPECT_FALSE(device->lost());
    EXPECT_OK(device->resolve_dmabuf(fd->get()));
}

TEST(SimFaults, ADeviceIsLostAgainWhileItRecovers)
{
    const Setting faults("HL_SIM_FAULTS", "lost@recover:1,recover:3=EAGAIN,lost@recover:3");
    const auto device = hl::test::open_sim();
    const uint32_t before = device->generation();
    hl::sim::lose(*device);
    EXPECT_CODE(device->recover(), ErrorCode::DeviceLost);
    EXPECT_TRUE(device->lost());
    EXPECT_EQ(device->generation(), before + 2);
    EXPECT_OK(device->recover());
    EXPECT_FALSE(device->lost());
    EXPECT_EQ(device->generation(), before + 2);
    hl::test::Owned hbm(device, 4096, Placement::Device);
    EXPECT_CODE(device->recover(), ErrorCode::DeviceUnusable);
    EXPECT_TRUE(device->lost());
    EXPECT_EQ(device->generation(), before + 3);
    EXPECT_OK(device->recover());
}

TEST(SimFaults, FencesAnswerAsTheKernels)
{
    const Setting faults("HL_SIM_FAULTS", "fence:1=ETIMEDOUT,fence:2=EMFILE,fence:3=ENOTTY,fence:4=ENOMEM");
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    const auto ask = [&] { return device->wait_readers(fd->get(), hl::Clock::now()); };
    EXPECT_CODE(ask(), ErrorCode::FenceTimeout);
    EXPECT_CODE(ask(), ErrorCode::FdLimit);
    const auto none = ask();
    ASSERT_OK(none);
    EXPECT_FALSE(*none) << "no fences";
    EXPECT_CODE(ask(), ErrorCode::FenceTimeout) << "unknown is not free";
    EXPECT_OK(ask());
}

TEST(SimFaults, ResolveAndRecoverAreRefusedOnce)
{
    const Setting faults("HL_SIM_FAULTS", "resolve:1=EBADF,recover:1=EAGAIN,lost@resolve:3");
    const auto device = hl::test::open_sim();
    hl::test::Owned hbm(device, 4096, Placement::Device);
    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryForeign);
    EXPECT_OK(device->resolve_dmabuf(fd->get()));
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryStale);
    EXPECT_CODE(device->recover(), ErrorCode::DeviceUnusable);
    EXPECT_TRUE(device->lost());
    EXPECT_OK(device->recover());
    EXPECT_FALSE(device->lost());
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
