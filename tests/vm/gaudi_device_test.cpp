// SPDX-License-Identifier: LGPL-2.1-or-later

// The contract of Device over the kernel's driver and the emulated Gaudi; built a second time, over SynapseAI's double
// on both (gaudiway.h). Called with the name of a role it is another process that opens the device (main() below).
#include "../unit/simtest.h"
#include "device/device.h"
#include "gaudiway.h"
#include "inference/engine.h"
#include "inference/model.h"
#include "rolechild.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <format>
#include <fstream>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::test::Child;
using hl::test::Owned;
using hl::test::Record;
using hl::test::request;
using hl::test::through_synapse;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<hl::Device> open_gaudi()
{
    auto device = hl::Device::open(hl::test::gaudi_spec);
    EXPECT_OK(device);
    return device ? *device : nullptr;
}

// What the kernel says of a dma-buf.
std::string fdinfo(int fd, const std::string &key)
{
    std::ifstream info(std::format("/proc/self/fdinfo/{}", fd));
    for (std::string word; info >> word;)
        if (word == key + ":" && info >> word)
            return word;
    return {};
}

std::string variable(const char *name)
{
    const char *const value = std::getenv(name);
    return value ? value : "";
}

// What the machine's chip has to be, by what the machine was asked for: gaudi.c gaudi_set_fixed_properties(), gaudi2.c
// gaudi2_set_dram_properties().
struct Expected {
    std::string chip;
    uint64_t page_size = 0;
    uint64_t memory_size = 0; // at least, for the user
};
std::optional<Expected> expected_chip()
{
    const std::string chip = variable("HL_VM_GAUDI_CHIP");
    if (chip == "gaudi")
        return Expected{"Gaudi", 2u << 20, (32ull << 30) - (512u << 20)};
    return chip == "gaudi2" ? std::optional(Expected{"Gaudi2", 768u << 20, 90ull << 30}) : std::nullopt;
}

size_t open_descriptors()
{
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class Gaudi : public ::testing::Test {
protected:
    std::shared_ptr<hl::Device> device = open_gaudi();

    void SetUp() override { ASSERT_NE(device, nullptr); }
    void TearDown() override
    {
        if (!device)
            return;
        const auto usage = device->usage();
        EXPECT_EQ(usage.device_bytes, 0u);
        EXPECT_EQ(usage.host_bytes, 0u);
        EXPECT_EQ(usage.exports_open, 0u);
        EXPECT_EQ(usage.requests_pending, 0u);
    }
};

} // namespace

TEST_F(Gaudi, SaysThatItIsAnEmulatedGaudiOfTheKernelsDriver)
{
    const hl::DeviceInfo &info = device->info();
    EXPECT_EQ(info.backend, through_synapse ? "synapse" : "kernel");
    EXPECT_EQ(info.stand_in, through_synapse ? "DBL" : "EMU");
    const auto expected = expected_chip();
    ASSERT_TRUE(expected) << "no such chip: " << variable("HL_VM_GAUDI_CHIP");
    EXPECT_EQ(info.chip, expected->chip);
    EXPECT_EQ(info.page_size, expected->page_size);
    EXPECT_GE(info.memory_size,
              through_synapse ? 4ull << 30 : expected->memory_size); // of SynapseAI's, the frames' part
    EXPECT_EQ(info.spec, variable("HL_VM_GAUDI_PCI"));
    EXPECT_TRUE(info.udmabuf);
    const auto all = hl::Device::enumerate();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].spec, info.spec);
    EXPECT_EQ(all[0].name, info.name);
    EXPECT_EQ(all[0].chip, info.chip);
    EXPECT_EQ(all[0].stand_in, "EMU");
}

// --- copies ---

TEST_F(Gaudi, MovesRowsOfSeveralPlanesAndNothingElse)
{
    constexpr size_t bytes = 64 * 4096;
    const Owned host{device, bytes, Placement::Host}, back{device, bytes, Placement::Host};
    const Owned hbm{device, bytes, Placement::Device}, hbm2{device, bytes, Placement::Device};
    std::mt19937 random(1);
    for (int round = 0; round < 12; ++round) {
        hl::test::fill(device, *host, 1);
        hl::test::fill(device, *back, 2);
        ASSERT_OK(hl::test::copy(device, *back, *hbm, bytes));
        std::vector<std::byte> expected(bytes);
        for (size_t i = 0; i < bytes; ++i)
            expected[i] = hl::test::pattern(2, i);
        std::vector<hl::CopyRegion> planes;
        for (uint64_t p = 0; p < 4; ++p) { // each in its own quarter of the target
            const uint64_t row = random() % 700 + 1;
            const hl::CopyRegion plane{.source = *host,
                                       .target = *hbm,
                                       .source_offset = random() % 1000,
                                       .target_offset = p * (bytes / 4) + random() % 1000,
                                       .source_stride = row + random() % 3 * (random() % 60),
                                       .target_stride = row + random() % 3 * (random() % 60),
                                       .row_bytes = row,
                                       .rows = static_cast<uint32_t>(random() % 70 + 1)};
            planes.push_back(plane);
            for (size_t r = 0; r < plane.rows; ++r)
                for (size_t i = 0; i < row; ++i)
                    expected[plane.target_offset + r * plane.target_stride + i] =
                        hl::test::pattern(1, plane.source_offset + r * plane.source_stride + i);
        }
        ASSERT_OK(device->copy(planes));
        ASSERT_OK(hl::test::copy(device, *hbm, *hbm2, bytes));
        ASSERT_OK(hl::test::copy(device, *hbm2, *back, bytes));
        ASSERT_TRUE(std::ranges::equal(*device->host_span(*back), expected)) << "round " << round;
    }
}

TEST_F(Gaudi, ManyRowsTakeSeveralSubmissions)
{
    constexpr uint32_t rows = through_synapse ? 2001 : 9001; // all of them within the 10 s after which it hangs
    const Owned host{device, rows * 17, Placement::Host}, back{device, rows * 17, Placement::Host};
    const Owned hbm{device, rows * 31, Placement::Device};
    hl::test::fill(device, *host, 3);
    const hl::CopyRegion down{
        .source = *host, .target = *hbm, .source_stride = 17, .target_stride = 31, .row_bytes = 17, .rows = rows};
    const hl::CopyRegion up{
        .source = *hbm, .target = *back, .source_stride = 31, .target_stride = 17, .row_bytes = 17, .rows = rows};
    ASSERT_OK(device->copy({&down, 1}));
    ASSERT_OK(device->copy({&up, 1}));
    EXPECT_TRUE(hl::test::holds(device, back->part(0, rows * 17), 3));
}

TEST_F(Gaudi, ManyAreUnderWayAtOnceInBothDirections)
{
    constexpr size_t frames = 60, bytes = 128 << 10;
    std::vector<std::unique_ptr<Owned>> hosts, hbms, backs;
    std::vector<hl::CopyRequest> down, up;
    for (size_t i = 0; i < frames; ++i) {
        hosts.push_back(std::make_unique<Owned>(device, bytes, Placement::Host));
        backs.push_back(std::make_unique<Owned>(device, bytes, Placement::Host));
        hbms.push_back(std::make_unique<Owned>(device, bytes, Placement::Device));
        hl::test::fill(device, **hosts[i], static_cast<unsigned>(i));
        down.push_back(request(**hosts[i], **hbms[i], i));
        up.push_back(request(**hbms[i], **backs[i], i));
    }
    Record downs, ups;
    ASSERT_OK(device->submit(down, downs));
    for (const auto &end : downs.wait(frames))
        EXPECT_OK(end.status);
    ASSERT_OK(device->submit(up, ups));
    ASSERT_OK(device->submit(down, downs)); // the other way meanwhile, over the same frames
    const auto ends = ups.wait(frames);
    for (size_t i = 0; i < frames; ++i) {
        EXPECT_EQ(ends[i].id, i);
        EXPECT_OK(ends[i].status);
        EXPECT_TRUE(hl::test::holds(device, **backs[i], static_cast<unsigned>(i))) << i;
    }
    for (const auto &end : downs.wait(2 * frames))
        EXPECT_OK(end.status);
    EXPECT_FALSE(downs.overlapped() || ups.overlapped());
}

TEST_F(Gaudi, AFullQueueIsRefusedAndNothingOfItIsLost)
{
    const Owned host{device, 1 << 20, Placement::Host}, hbm{device, 1 << 20, Placement::Device};
    const std::vector<hl::CopyRequest> many(32, request(*host, *hbm));
    Record record;
    size_t accepted = 0;
    hl::Status status;
    for (int i = 0; i < 100 && status; ++i)
        if (status = device->submit(many, record); status)
            accepted += many.size();
    EXPECT_CODE(status, ErrorCode::QueueFull);
    for (const auto &end : record.wait(accepted))
        EXPECT_OK(end.status);
}

TEST_F(Gaudi, RefusesWhatTheInterfaceRefuses)
{
    const Owned host{device, 8192, Placement::Host}, hbm{device, 8192, Placement::Device};
    EXPECT_CODE(hl::test::copy(device, *host, *host, 16), ErrorCode::CopyFailed);
    EXPECT_CODE(hl::test::copy(device, *host, *hbm, 8193), ErrorCode::MemoryRange);
    EXPECT_CODE(hl::test::copy(device, *host, *hbm, 16, hl::Clock::now() - 1ms), ErrorCode::CopyTimeout);
    EXPECT_CODE(device->host_span(*hbm), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->allocate(0, Placement::Device), ErrorCode::MemoryRange);
    EXPECT_CODE(device->allocate(device->info().memory_size + 1, Placement::Device), ErrorCode::MemoryFull);
    hl::Model model;
    model.name = "demo";
    EXPECT_CODE(device->create_engine(model, {}),
                through_synapse ? ErrorCode::ModelUnsupported : ErrorCode::ComputeMissing);
    EXPECT_OK(device->flush_inbound_writes());
}

// --- memory and exports ---

TEST_F(Gaudi, HostPagesAreTheOnesThatTheirUdmabufShows)
{
    const Owned host{device, 8 * 4096, Placement::Host}, source{device, 8 * 4096, Placement::Host};
    const Owned hbm{device, 8 * 4096, Placement::Device};
    hl::test::fill(device, *source, 9);
    const auto fd = device->export_dmabuf(host->part(4096, 4 * 4096));
    ASSERT_OK(fd);
    EXPECT_EQ(fdinfo(fd->get(), "exp_name"), "udmabuf");
    void *const shown = ::mmap(nullptr, 4 * 4096, PROT_READ, MAP_SHARED, fd->get(), 0);
    ASSERT_NE(shown, MAP_FAILED);
    ASSERT_OK(hl::test::copy(device, *source, *hbm, hbm->size));
    ASSERT_OK(hl::test::copy(device, *hbm, *host, hbm->size));
    for (size_t i = 0; i < 4 * 4096; ++i)
        ASSERT_EQ(static_cast<std::byte *>(shown)[i], hl::test::pattern(9, i + 4096)) << i;
    ::munmap(shown, 4 * 4096);
    EXPECT_EQ(*device->resolve_dmabuf(fd->get()), host->part(4096, 4 * 4096));
}

TEST_F(Gaudi, ExportsAreTheDriversAndHoldTheirMemory)
{
    Owned first{device, 8192, Placement::Device}, second{device, 16384, Placement::Device};
    auto whole = device->export_dmabuf(*second);
    auto part = device->export_dmabuf(second->part(4096, 8192));
    ASSERT_OK(whole);
    ASSERT_OK(part);
    EXPECT_EQ(fdinfo(whole->get(), "exp_name"), "habanalabs");
    EXPECT_EQ(fdinfo(whole->get(), "size"), "16384");
    EXPECT_EQ(fdinfo(part->get(), "size"), "8192");
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, whole->get(), 0), MAP_FAILED);
    EXPECT_NE(::fcntl(whole->get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(*device->resolve_dmabuf(whole->get()), *second);
    EXPECT_EQ(*device->resolve_dmabuf(part->get()), second->part(4096, 8192));
    EXPECT_CODE(device->resolve_dmabuf(STDOUT_FILENO), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->export_dmabuf(second->part(100, 4096)), ErrorCode::MemoryRange);

    EXPECT_EQ(device->usage().exports_open, 2u);
    const auto refused = device->release(*second);
    ASSERT_CODE(refused, ErrorCode::MemoryExported);
    EXPECT_NE(refused.error().cause.find(std::format("process {}", ::getpid())), std::string::npos)
        << refused.error().cause;
    part->reset();
    hl::UniqueFd dup(::dup(whole->get()));
    whole->reset();
    EXPECT_CODE(device->release(*second), ErrorCode::MemoryExported);
    dup.reset();
    EXPECT_EQ(device->usage().exports_open, 0u);
    second.release();
    first.release();
}

TEST_F(Gaudi, FramesOfAPageComeAndGoWithoutGrowth)
{
    const Owned host{device, 65536, Placement::Host};
    const auto round = [&] {
        std::vector<std::unique_ptr<Owned>> frames;
        for (int i = 0; i < 8; ++i) {
            frames.push_back(std::make_unique<Owned>(device, 65536, Placement::Device));
            const auto fd = device->export_dmabuf(**frames.back());
            ASSERT_OK(fd);
            ASSERT_OK(hl::test::copy(device, *host, **frames.back(), 65536));
        }
    };
    round();
    const auto before = open_descriptors();
    for (int i = 0; i < 60; ++i)
        round();
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(device->usage().device_bytes, 0u);
}

TEST_F(Gaudi, AllOfTheMemoryCanBeHad)
{
    std::vector<std::unique_ptr<Owned>> pages;
    const uint64_t page = device->info().page_size;
    for (;;) {
        auto memory = device->allocate(page, Placement::Device);
        if (!memory) {
            EXPECT_CODE(memory, ErrorCode::MemoryFull);
            break;
        }
        ASSERT_OK(device->release(*memory));
        pages.push_back(std::make_unique<Owned>(device, page, Placement::Device));
    }
    EXPECT_GE(pages.size() * page, device->info().memory_size - 2 * page);
}

// --- life ---

TEST_F(Gaudi, AnExportOutlivesItsDeviceAndKeepsItBusy)
{
    auto memory = device->allocate(8192, Placement::Device);
    ASSERT_OK(memory);
    auto fd = device->export_dmabuf(*memory);
    ASSERT_OK(fd);
    device.reset();
    EXPECT_EQ(fdinfo(fd->get(), "count"), "1"); // ours is the last
    const auto busy = hl::Device::open(hl::test::gaudi_spec);
    ASSERT_CODE(busy, ErrorCode::DeviceBusy);
    EXPECT_NE(busy.error().cause.find(std::format("process {}", ::getpid())), std::string::npos) << busy.error().cause;
    fd->reset();
    device = open_gaudi();
    ASSERT_NE(device, nullptr);
}

TEST_F(Gaudi, ASecondOpenerIsToldWhoHasIt)
{
    Child other("open");
    const std::string said = other.line();
    EXPECT_TRUE(said.starts_with("HL-DEV-002")) << said;
    const std::string comm = through_synapse ? "gaudi_synapse_d" : "gaudi_device_te"; // the kernel keeps 15 bytes
    EXPECT_NE(said.find(std::format("process {} ({})", ::getpid(), comm)), std::string::npos) << said;
}

TEST_F(Gaudi, AKilledOwnerLeavesADeviceThatWorks)
{
    device.reset();
    for (int round = 0; round < 3; ++round) {
        Child owner("work");
        ASSERT_EQ(owner.line(), "working");
        owner.kill(SIGKILL);
        (void)owner.wait();
        device = open_gaudi();
        ASSERT_NE(device, nullptr);
        {
            const Owned host{device, 65536, Placement::Host}, back{device, 65536, Placement::Host};
            const Owned hbm{device, 65536, Placement::Device};
            hl::test::fill(device, *host, 5);
            ASSERT_OK(hl::test::copy(device, *host, *hbm, 65536));
            ASSERT_OK(hl::test::copy(device, *hbm, *back, 65536));
            EXPECT_TRUE(hl::test::holds(device, *back, 5));
        }
        device.reset();
    }
    device = open_gaudi();
}

// A reset that the driver tells nobody of: the process has a second to let go, which SynapseAI's release may not keep.
#ifndef HL_TEST_SYNAPSE
TEST_F(Gaudi, AResetByHandLosesTheDeviceAndItComesBack)
{
    device.reset();
    Child owner("reset");
    EXPECT_EQ(owner.line(), "lost, and back");
    EXPECT_EQ(owner.wait(), 0);
    device = open_gaudi();
}
#endif

namespace {

int role_open()
{
    const auto device = hl::Device::open(hl::test::gaudi_spec);
    std::cout << (device ? std::string("opened") : device.error().headline()) << std::endl;
    return 0;
}

// Copies until it is killed, with exports open.
int role_work()
{
    const auto device = hl::Device::open(hl::test::gaudi_spec);
    if (!device)
        return 1;
    const auto host = (*device)->allocate(4 << 20, Placement::Host);
    const auto hbm = (*device)->allocate(4 << 20, Placement::Device);
    const auto fd = (*device)->export_dmabuf(*hbm);
    const hl::CopyRegion down{.source = *host, .target = *hbm, .row_bytes = 4 << 20};
    for (bool said = false; (*device)->copy({&down, 1});)
        if (!std::exchange(said, true))
            std::cout << "working" << std::endl;
    return 1;
}

int role_reset()
{
    auto device = hl::Device::open(hl::test::gaudi_spec);
    if (!device)
        return 1;
    auto host = (*device)->allocate(1 << 20, Placement::Host);
    auto hbm = (*device)->allocate(1 << 20, Placement::Device);
    auto fd = (*device)->export_dmabuf(*hbm);
    const hl::CopyRegion down{.source = *host, .target = *hbm, .row_bytes = 1 << 20};
    std::thread([spec = (*device)->info().spec] {
        std::ofstream("/sys/bus/pci/devices/" + spec + "/hard_reset") << "1\n";
    }).detach();
    hl::Status status;
    while (status)
        status = (*device)->copy({&down, 1});
    fd->reset();
    if (status.error().code != ErrorCode::DeviceLost || !(*device)->lost())
        return 2;
    if (auto again = (*device)->recover(); !again) {
        std::cout << again.error().details() << std::endl;
        return 3;
    }
    if ((*device)->copy({&down, 1}).error().code != ErrorCode::MemoryStale)
        return 4;
    host = (*device)->allocate(1 << 20, Placement::Host);
    hbm = (*device)->allocate(1 << 20, Placement::Device);
    const hl::CopyRegion anew{.source = *host, .target = *hbm, .row_bytes = 1 << 20};
    if (!(*device)->copy({&anew, 1}))
        return 5;
    std::cout << "lost, and back" << std::endl;
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    hl::test::find_double();
    const std::string role = argc > 1 ? argv[1] : "";
    if (role == "open")
        return role_open();
    if (role == "work")
        return role_work();
    if (role == "reset")
        return role_reset();
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
