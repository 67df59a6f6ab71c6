// SPDX-License-Identifier: LGPL-2.1-or-later

// The SynapseAI backend as a Device, over the double (DBL).
#include "../unit/temporarydir.h"
#include "doubletesting.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

namespace fs = std::filesystem;
namespace vendor = hl::synapse::abi;
using hl::CopyRegion;
using hl::Device;
using hl::ErrorCode;
using hl::Placement;
using hl::test::copy;
using hl::test::double_function;
using hl::test::fill;
using hl::test::Framework;
using hl::test::holds;
using hl::test::open_double;
using hl::test::Owned;
using hl::test::Record;
using hl::test::request;
using hl::test::Setting;
using hl::test::StreamsHeld;

namespace {

void expect_round_trip(const std::shared_ptr<Device> &device, unsigned seed)
{
    const Owned from{device, 1 << 20, Placement::Host}, hbm{device, 1 << 20, Placement::Device},
        other{device, 1 << 20, Placement::Device}, to{device, 1 << 20, Placement::Host};
    fill(device, *from, seed);
    ASSERT_OK(copy(device, *from, *hbm, 1 << 20));
    ASSERT_OK(copy(device, *hbm, *other, 1 << 20));
    ASSERT_OK(copy(device, *other, *to, 1 << 20));
    EXPECT_TRUE(holds(device, *to, seed));
}

// A copy of the double's machine, for changes.
class OtherMachine {
public:
    OtherMachine()
    {
        fs::copy(std::getenv("HL_SYSFS"), folder_.path(), all | fs::copy_options::overwrite_existing);
        sysfs_.emplace("HL_SYSFS", folder_.path().c_str());
    }

protected:
    static constexpr auto all = fs::copy_options::recursive | fs::copy_options::copy_symlinks;

    [[nodiscard]] fs::path device(const char *address) const { return folder_.path() / "bus/pci/devices" / address; }
    void write(const fs::path &file, const std::string &text) const
    {
        (void)folder_.write(fs::relative(file, folder_.path()).string(), text + "\n");
    }

private:
    hl::test::TemporaryDir folder_;
    std::optional<Setting> sysfs_;
};

// With a second Gaudi, whose node nobody plays.
class SecondGaudi : public OtherMachine {
public:
    static constexpr const char *address = "0000:4e:00.0";

    SecondGaudi()
    {
        fs::copy(device(hl::test::gaudi_address), device(address), all);
        fs::rename(device(address) / "accel/accel0", device(address) / "accel/accel1");
        fs::rename(device(address) / "accel/accel_controlD0", device(address) / "accel/accel_controlD1");
        write(device(address) / "pci_addr", address);
        write(device(address) / "module_id", "4");
    }
};

// Whose driver tells no module id.
class WithoutModuleId : public OtherMachine {
public:
    WithoutModuleId() { fs::remove(device(hl::test::gaudi_address) / "module_id"); }
};

// The double beside a libscal.so that is broken.
class WithoutScal {
public:
    WithoutScal()
    {
        fs::copy(fs::path(std::getenv("HL_SYNAPSE_DIR")) / "libSynapse.so", folder_.path());
        (void)folder_.write("libscal.so", "this is no library");
        runtime_.emplace("HL_SYNAPSE_DIR", folder_.path().c_str());
    }

private:
    hl::test::TemporaryDir folder_;
    std::optional<Setting> runtime_;
};

void wait_until_lost(const std::shared_ptr<Device> &device)
{
    while (!device->lost())
        std::this_thread::yield();
}

} // namespace

// --- opening ---

TEST(SynapseOpen, TheRuntimeIsTakenWhereItCanBeUsed)
{
    for (const char *spec : {"auto", "accel0", "module:3", hl::test::gaudi_address, "synapse", "synapse:module:3"}) {
        SCOPED_TRACE(spec);
        const auto device = Device::open(spec);
        ASSERT_OK(device);
        EXPECT_EQ((*device)->info().backend, "synapse");
        EXPECT_EQ((*device)->info().stand_in, "DBL");
        EXPECT_EQ((*device)->info().chip, "Gaudi2");
        EXPECT_EQ((*device)->info().spec, hl::test::gaudi_address);
        EXPECT_GT((*device)->info().memory_size, 0u);
    }
}

TEST(SynapseOpen, AChipHasOneObjectAndOneRuntime)
{
    const auto device = open_double();
    const auto again = Device::open("accel0");
    ASSERT_OK(again);
    EXPECT_EQ(device, *again);
    const auto other = Device::open("kernel:accel0");
    ASSERT_CODE(other, ErrorCode::DeviceBusy);
    EXPECT_TRUE(other.error().cause.contains("synapse:")) << other.error().cause;
    EXPECT_TRUE(other.error().cause.contains("kernel:")) << other.error().cause;
}

TEST(SynapseOpen, TheEnvironmentDecidesWhatIsLeftOpen)
{
    {
        const Setting nothing("HL_RUNTIME", "cuda");
        ASSERT_CODE(Device::open("accel0"), ErrorCode::DeviceConfig);
        EXPECT_OK(Device::open("synapse:accel0"));
    }
    // A runtime that cannot be used is an error for who asks for it alone.
    const Setting wrong("HL_SYNAPSE_DIR", std::getenv("HL_TEST_OLD_SYNAPSE"));
    EXPECT_CODE(Device::open("synapse:accel0"), ErrorCode::SynapseVersion);
    {
        const auto without = Device::open("accel0");
        ASSERT_OK(without);
        EXPECT_EQ((*without)->info().backend, "kernel");
    }
    const Setting synapse("HL_RUNTIME", "synapse");
    EXPECT_CODE(Device::open("accel0"), ErrorCode::SynapseVersion);
}

TEST(SynapseOpen, WrongRuntimesHaveErrorsOfTheirOwn)
{
    {
        const Setting old("HL_SYNAPSE_DIR", std::getenv("HL_TEST_OLD_SYNAPSE"));
        EXPECT_CODE(Device::open("synapse:accel0"), ErrorCode::SynapseVersion);
    }
    const Setting other("HL_SYNAPSE_DIR", std::getenv("HL_TEST_OTHER_SYNAPSE"));
    const auto refused = Device::open("synapse:accel0");
    ASSERT_CODE(refused, ErrorCode::SynapseAbi);
    EXPECT_TRUE(refused.error().cause.contains("2021")) << refused.error().cause;
}

TEST(SynapseOpen, FramesHaveTheMemoryThatIsSet)
{
    const Setting size("HL_SYNAPSE_POOL_MB", "64");
    const auto device = open_double();
    EXPECT_EQ(device->info().memory_size, 64u << 20);
    const Owned all{device, 64 << 20, Placement::Device};
    const auto more = device->allocate(4096, Placement::Device);
    ASSERT_CODE(more, ErrorCode::MemoryFull);
    EXPECT_TRUE(more.error().cause.contains("64 of 64 MiB")) << more.error().cause;
}

TEST(SynapseOpen, MoreThanThereIsIsRefusedAndNothingStays)
{
    {
        const Setting size("HL_SYNAPSE_POOL_MB", "1000000");
        ASSERT_CODE(Device::open("synapse:accel0"), ErrorCode::MemoryFull);
    }
    EXPECT_OK(Device::open("synapse:accel0"));
}

TEST(SynapseOpen, EachCallThatFailsIsNamedAndNothingStays)
{
    for (const char *call : {"synInitialize", "synDeviceGetInfoV2"}) {
        SCOPED_TRACE(call);
        const Setting faults("HL_DBL_FAULTS", (std::string(call) + ":1=synOutOfResources").c_str());
        const auto refused = Device::open("synapse:accel0");
        ASSERT_CODE(refused, ErrorCode::SynapseCall);
        EXPECT_TRUE(refused.error().cause.contains(call)) << refused.error().cause;
        EXPECT_TRUE(refused.error().cause.contains("(status 27)")) << refused.error().cause;
    }
    const Setting faults("HL_DBL_FAULTS", "synDeviceAcquireByModuleId:1=synOutOfResources");
    EXPECT_CODE(Device::open("synapse:accel0"), ErrorCode::SynapseCall);
    EXPECT_OK(Device::open("synapse:accel0"));
}

TEST(SynapseOpen, WhatMayPassIsTriedAgain)
{
    const Setting faults("HL_DBL_FAULTS",
                         "synDeviceAcquireByModuleId:1=synFail,synDeviceAcquireByModuleId:2=synUnavailable");
    EXPECT_OK(Device::open("synapse:accel0"));
}

// By its PCI address where the driver tells no module id. The first order would end it otherwise; the second one is
// tried again.
TEST(SynapseOpen, AcquiresByAddressToo)
{
    const WithoutModuleId machine;
    const Setting faults("HL_DBL_FAULTS", "synDeviceAcquireByModuleId:1=synOutOfResources,synDeviceAcquire:1=synFail");
    expect_round_trip(open_double(), 11);
}

// libscal tells where exported frames lie. Whatever was acquired by then is released.
TEST(SynapseOpen, ALibscalThatCannotBeLoadedIsNamed)
{
    {
        const WithoutScal runtime;
        const auto refused = Device::open("synapse:accel0");
        ASSERT_CODE(refused, ErrorCode::SynapseMissing);
        EXPECT_TRUE(refused.error().cause.contains("libscal.so")) << refused.error().cause;
    }
    expect_round_trip(open_double(), 12);
}

// Where the runtime tells it too, libscal is not needed; the driver refuses exports of another base.
TEST(SynapseOpen, TheRuntimesWordForTheMappingDoesWithoutLibscal)
{
    const WithoutScal runtime;
    const Setting told("HL_DBL_TELLS_HBM_BASE", "1");
    const auto device = open_double();
    const Owned frame{device, 4096, Placement::Device};
    EXPECT_OK(device->export_dmabuf(*frame));
    expect_round_trip(device, 15);
}

// A framework of the same process has the device: it is shared, and stays the framework's.
TEST(SynapseOpen, WhatThisProcessHasIsShared)
{
    const Framework framework;
    expect_round_trip(open_double(), 5);
    vendor::DeviceInfoV2 info{};
    EXPECT_EQ((double_function<vendor::Status(uint32_t, vendor::DeviceInfoV2 *)>("synDeviceGetInfoV2")(0, &info)),
              vendor::success);
}

TEST(SynapseOpen, WhatIsSharedIsLostWhenItsOwnerReleasesIt)
{
    Framework framework;
    const auto device = open_double();
    vendor::Status released = vendor::fail;
    while (released == vendor::fail) // a call of the watcher's is on
        released = framework.release();
    ASSERT_EQ(released, vendor::success);
    wait_until_lost(device);
    EXPECT_CODE(device->allocate(4096, Placement::Device), ErrorCode::DeviceLost);
    ASSERT_OK(device->recover()); // by itself now
    expect_round_trip(device, 7);
}

// A second synInitialize is a success, so that only who comes first may destroy.
TEST(SynapseOpen, WhatOtherSoftwareInitializedStaysSo)
{
    const auto ask = [] {
        vendor::DeviceInfoV2 info{};
        return double_function<vendor::Status(uint32_t, vendor::DeviceInfoV2 *)>("synDeviceGetInfoV2")(0, &info);
    };
    expect_round_trip(open_double(), 13);
    EXPECT_EQ(ask(), vendor::uninitialized);
    ASSERT_EQ(double_function<vendor::Status()>("synInitialize")(), vendor::success);
    expect_round_trip(open_double(), 14);
    EXPECT_NE(ask(), vendor::uninitialized);
    EXPECT_EQ(double_function<vendor::Status()>("synDestroy")(), vendor::success);
}

// SynapseAI gives a process one device, whoever took it.
TEST(SynapseOpen, ASecondDeviceIsRefusedWithTheOneThatIsOpen)
{
    const SecondGaudi second;
    const auto device = open_double();
    const auto refused = Device::open(std::string("synapse:") + SecondGaudi::address);
    ASSERT_CODE(refused, ErrorCode::SynapseHolder);
    EXPECT_TRUE(refused.error().cause.contains(hl::test::gaudi_address)) << refused.error().cause;
    expect_round_trip(device, 8);
}

TEST(SynapseOpen, AnotherDeviceOfAFrameworkIsNamedAndStaysWithIt)
{
    const SecondGaudi second;
    const Framework framework;
    const auto refused = Device::open(std::string("synapse:") + SecondGaudi::address);
    ASSERT_CODE(refused, ErrorCode::SynapseHolder);
    EXPECT_TRUE(refused.error().cause.contains("other software")) << refused.error().cause;
    EXPECT_TRUE(refused.error().cause.contains(hl::test::gaudi_address)) << refused.error().cause;
}

// --- memory ---

TEST(SynapseMemory, BytesGoDownAcrossAndUp)
{
    expect_round_trip(open_double(), 1);
}

TEST(SynapseMemory, RowsGoWithTheirStrides)
{
    const auto device = open_double();
    constexpr uint32_t rows = 1100, row = 100, wide = 160; // more than one call takes
    const Owned from{device, rows * wide, Placement::Host}, hbm{device, rows * row, Placement::Device},
        to{device, rows * row, Placement::Host};
    fill(device, *from, 2);
    const CopyRegion down{
        .source = *from, .target = *hbm, .source_stride = wide, .target_stride = row, .row_bytes = row, .rows = rows};
    ASSERT_OK(device->copy({&down, 1}));
    ASSERT_OK(copy(device, *hbm, *to, rows * row));
    const auto got = device->host_span(*to);
    ASSERT_OK(got);
    for (size_t y = 0; y < rows; ++y)
        for (size_t x = 0; x < row; ++x)
            ASSERT_EQ((*got)[y * row + x], hl::test::pattern(2, y * wide + x)) << y << " " << x;
}

TEST(SynapseMemory, ExportsNameTheirFrame)
{
    const auto device = open_double();
    Owned first{device, 3 * 4096, Placement::Device}, second{device, 4096, Placement::Device};
    auto fd = device->export_dmabuf(*second);
    ASSERT_OK(fd);
    EXPECT_EQ(*device->resolve_dmabuf(fd->get()), *second);
    const auto part = device->export_dmabuf(first->part(4096, 4096));
    ASSERT_OK(part);
    EXPECT_EQ(*device->resolve_dmabuf(part->get()), first->part(4096, 4096));
    EXPECT_EQ(device->usage().exports_open, 2u);
    EXPECT_CODE(device->release(*second), ErrorCode::MemoryExported);
    fd->reset();
    second.release();
    EXPECT_EQ(device->usage().exports_open, 1u);
}

TEST(SynapseMemory, AnExportThatTheDriverRefusesIsAnErrorAndTheNextOneIsMade)
{
    const Setting faults("HL_NODE_FAULTS", "export:1=ENOMEM,export:2=EMFILE");
    const auto device = open_double();
    const Owned frame{device, 8192, Placement::Device};
    const auto refused = device->export_dmabuf(*frame);
    ASSERT_CODE(refused, ErrorCode::MemoryExport);
    EXPECT_TRUE(refused.error().cause.contains("of the mapping at 0x")) << refused.error().cause;
    EXPECT_CODE(device->export_dmabuf(*frame), ErrorCode::FdLimit);
    EXPECT_OK(device->export_dmabuf(*frame));
}

TEST(SynapseMemory, HostPagesThatCannotBeMappedAreAnError)
{
    const Setting faults("HL_DBL_FAULTS", "synHostMap:1=synFail");
    const auto device = open_double();
    const auto pages = device->allocate(4096, Placement::Host);
    ASSERT_CODE(pages, ErrorCode::MemoryHost);
    EXPECT_TRUE(pages.error().cause.contains("synHostMap")) << pages.error().cause;
    EXPECT_EQ(device->usage().host_bytes, 0u);
    const Owned later{device, 4096, Placement::Host};
}

TEST(SynapseMemory, InboundWritesAreFlushed)
{
    const Setting faults("HL_NODE_FAULTS", "flush:2=EINVAL");
    const auto device = open_double();
    EXPECT_OK(device->flush_inbound_writes());
    EXPECT_CODE(device->flush_inbound_writes(), ErrorCode::CopyFailed);
    EXPECT_OK(device->flush_inbound_writes());
}

// --- copies that do not end as they should ---

TEST(SynapseCopy, AFailureHasTheVendorsWordsAndTheNextOneGoesThrough)
{
    const Setting faults("HL_DBL_FAULTS", "synMemCopyAsync:1=synFail");
    const auto device = open_double();
    const Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    const auto failed = copy(device, *host, *hbm, 4096);
    ASSERT_CODE(failed, ErrorCode::CopyFailed);
    EXPECT_TRUE(failed.error().cause.contains("synMemCopyAsync")) << failed.error().cause;
    EXPECT_TRUE(failed.error().cause.contains("(status 26)")) << failed.error().cause;
    EXPECT_OK(copy(device, *host, *hbm, 4096));
    EXPECT_FALSE(device->lost());
}

TEST(SynapseCopy, MemoryOfACopyUnderWayStays)
{
    const auto device = open_double();
    Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    Record record;
    {
        const StreamsHeld held;
        const auto copies = request(*host, *hbm, 9);
        ASSERT_OK(device->submit({&copies, 1}, record));
        EXPECT_EQ(device->usage().requests_pending, 1u);
        host.release();
        hbm.release();
        EXPECT_EQ(device->usage().device_bytes, 4096u);
    }
    const auto ends = record.wait(1);
    EXPECT_OK(ends[0].status);
    EXPECT_EQ(ends[0].id, 9u);
    EXPECT_EQ(device->usage().requests_pending, 0u);
    EXPECT_EQ(device->usage().device_bytes, 0u);
    EXPECT_EQ(device->usage().host_bytes, 0u);
}

TEST(SynapseCopy, AFullQueueSaysSo)
{
    const auto device = open_double();
    const Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    Record record;
    size_t taken = 0;
    {
        const StreamsHeld held;
        const auto one = request(*host, *hbm);
        hl::Status status;
        while ((status = device->submit({&one, 1}, record)))
            ++taken;
        EXPECT_CODE(status, ErrorCode::QueueFull);
        EXPECT_GE(taken, 64u);
    }
    for (const auto &end : record.wait(taken))
        EXPECT_OK(end.status);
    EXPECT_FALSE(record.overlapped());
}

// The deadline of what waits behind others: it is not begun.
TEST(SynapseCopy, WhatIsLateIsNotBegun)
{
    const Setting faults("HL_DBL_FAULTS", "synMemCopyAsync:1=synFail"); // of the one that is begun
    const auto device = open_double();
    const Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    Record record;
    auto late = request(*host, *hbm, 1);
    late.deadline = hl::Clock::now();
    ASSERT_OK(device->submit({&late, 1}, record));
    EXPECT_CODE(record.wait(1)[0].status, ErrorCode::CopyTimeout);
    EXPECT_CODE(copy(device, *host, *hbm, 4096), ErrorCode::CopyFailed);
}

// --- loss ---

TEST(SynapseLoss, EndsWhatIsUnderWayAndOpensAgain)
{
    const Setting faults("HL_DBL_FAULTS", "lost@synMemCopyAsync:2");
    const auto device = open_double();
    const uint32_t generation = device->generation();
    Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    ASSERT_OK(copy(device, *host, *hbm, 4096));
    ASSERT_CODE(copy(device, *host, *hbm, 4096), ErrorCode::DeviceLost);
    wait_until_lost(device);
    EXPECT_GT(device->generation(), generation);
    EXPECT_CODE(device->allocate(4096, Placement::Device), ErrorCode::DeviceLost);
    EXPECT_CODE(device->host_span(*host), ErrorCode::MemoryStale);
    EXPECT_EQ(device->usage().exports_open, 0u);
    fd->reset();
    host.release();
    hbm.release();

    ASSERT_OK(device->recover());
    EXPECT_FALSE(device->lost());
    expect_round_trip(device, 3);
}

// Neither an error nor an end: after 10 s nothing is waited for any more.
TEST(SynapseLoss, ACopyThatNeverEndsIsOne)
{
    const Setting faults("HL_DBL_FAULTS", "synMemCopyAsync:1=stall");
    const auto device = open_double();
    {
        const Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
        const auto begin = hl::Clock::now();
        EXPECT_CODE(copy(device, *host, *hbm, 4096), ErrorCode::DeviceLost);
        EXPECT_GE(hl::Clock::now() - begin, std::chrono::seconds(10)) << "before the patience was over";
        EXPECT_TRUE(device->lost());
    }
    ASSERT_OK(device->recover());
    expect_round_trip(device, 9);
}

// The framework's release is what stops the hardware: until then it may still write.
TEST(SynapseLoss, OfWhatIsSharedLeavesItsMemoryAllocated)
{
    const Setting faults("HL_DBL_FAULTS", "synMemCopyAsync:2=stall");
    const Framework framework;
    uint64_t free = 0;
    {
        const auto device = open_double();
        free = hl::test::free_bytes();
        const Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
        EXPECT_OK(copy(device, *host, *hbm, 4096));
        EXPECT_CODE(copy(device, *host, *hbm, 4096), ErrorCode::DeviceLost);
    }
    EXPECT_EQ(hl::test::free_bytes(), free);
}

// Nobody works on the device: its status says it.
TEST(SynapseLoss, IsSeenWithoutARequest)
{
    const Setting faults("HL_NODE_FAULTS", "lost@status:4"); // the first of them are asked while it is acquired
    const auto device = open_double();
    wait_until_lost(device);
    ASSERT_OK(device->recover());
    expect_round_trip(device, 6);
}

TEST(SynapseLoss, TheObjectsEndIsTheDevicesRelease)
{
    for (int i = 0; i < 3; ++i) {
        auto device = open_double();
        expect_round_trip(device, 4);
        device.reset();
        vendor::DeviceInfoV2 info{};
        EXPECT_NE((double_function<vendor::Status(uint32_t, vendor::DeviceInfoV2 *)>("synDeviceGetInfoV2")(0, &info)),
                  vendor::success);
    }
}
