// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/kerneldevice.h"
#include "fakegaudi.h"
#include "inference/engine.h"
#include "inference/model.h"
#include "malloc_count.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::kernel::ChipKind;
using hl::test::FakeGaudi;
using hl::test::Record;
using hl::test::request;
using namespace std::chrono_literals;

namespace {

hl::kernel::ChipNode node(ChipKind kind, bool legacy = false)
{
    return {.pci = {.address = "0000:4d:00.0",
                    .device = static_cast<uint16_t>(kind == ChipKind::Gaudi ? 0x1000 : 0x1020),
                    .accel = 0,
                    .legacy = legacy},
            .firmware = "emulated-gaudi2"};
}

class OnAGaudi : public ::testing::TestWithParam<ChipKind> {
protected:
    void open(ChipKind kind, bool legacy = false)
    {
        gaudi = std::make_shared<FakeGaudi>(kind);
        auto opened = hl::kernel::KernelDevice::open_with(
            node(kind, legacy), [g = gaudi]() -> hl::Result<std::unique_ptr<hl::kernel::Driver>> {
                if (g->open_error != 0)
                    return hl::fail(ErrorCode::DeviceBusy, "open", "played", {}, g->open_error);
                return std::make_unique<hl::test::FakeDriver>(g);
            });
        ASSERT_OK(opened);
        device = std::move(*opened);
    }
    void TearDown() override
    {
        if (!device)
            return;
        EXPECT_EQ(device->usage().requests_pending, 0u);
        device.reset();
        EXPECT_EQ(gaudi->opens, gaudi->closes);
        EXPECT_EQ(gaudi->calls.back(), "close");
        EXPECT_TRUE(gaudi->kernel_buffers.empty());
    }

    std::shared_ptr<FakeGaudi> gaudi;
    std::shared_ptr<hl::Device> device;
};

class OnBothChips : public OnAGaudi {
protected:
    void SetUp() override { open(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Chips, OnBothChips, ::testing::Values(ChipKind::Gaudi, ChipKind::Gaudi2),
                         [](const auto &test) { return test.param == ChipKind::Gaudi ? "Gaudi" : "Gaudi2"; });

class OnGaudi2 : public OnAGaudi {
protected:
    void SetUp() override { open(ChipKind::Gaudi2); }
};

} // namespace

TEST_F(OnGaudi2, SaysWhatItIs)
{
    const hl::DeviceInfo &info = device->info();
    EXPECT_EQ(info.name, "accel0 (Gaudi2, 0000:4d:00.0)");
    EXPECT_EQ(info.backend, "kernel");
    EXPECT_EQ(info.stand_in, "EMU");
    EXPECT_EQ(info.chip, "Gaudi2");
    EXPECT_EQ(info.spec, "0000:4d:00.0");
    EXPECT_EQ(info.page_size, 768u << 20);
    EXPECT_EQ(info.memory_size, 4ull * 768 << 20);
    EXPECT_FALSE(info.simulated);
}

// --- copies ---

TEST_P(OnBothChips, MovesRowsOfSeveralPlanesAndNothingElse)
{
    const hl::test::Owned host{device, 4 * 4096, Placement::Host}, back{device, 4 * 4096, Placement::Host};
    const hl::test::Owned hbm{device, 4 * 4096, Placement::Device}, hbm2{device, 4 * 4096, Placement::Device};
    hl::test::fill(device, *host, 1);
    hl::test::fill(device, *back, 2);
    ASSERT_OK(hl::test::copy(device, *back, *hbm, 4 * 4096));
    const hl::CopyRegion planes[] = {
        {.source = *host,
         .target = *hbm,
         .source_offset = 11,
         .target_offset = 101,
         .source_stride = 63,
         .target_stride = 79,
         .row_bytes = 51,
         .rows = 20},
        {.source = *host,
         .target = *hbm,
         .source_offset = 4096,
         .target_offset = 8000,
         .source_stride = 32,
         .target_stride = 32,
         .row_bytes = 32,
         .rows = 10},
    };
    ASSERT_OK(device->copy(planes));
    EXPECT_EQ(gaudi->packets, 1u + 20 + 1); // the second plane has no gaps
    ASSERT_OK(hl::test::copy(device, *hbm, *hbm2, 4 * 4096));
    EXPECT_EQ(gaudi->last_queue, 0u);
    ASSERT_OK(hl::test::copy(device, *hbm2, *back, 4 * 4096));
    EXPECT_EQ(gaudi->last_queue, 4u);

    std::vector<std::byte> expected(4 * 4096);
    for (size_t i = 0; i < expected.size(); ++i)
        expected[i] = hl::test::pattern(2, i);
    for (const auto &p : planes)
        for (size_t row = 0; row < p.rows; ++row)
            for (size_t i = 0; i < p.row_bytes; ++i)
                expected[p.target_offset + row * p.target_stride + i] =
                    hl::test::pattern(1, p.source_offset + row * p.source_stride + i);
    EXPECT_TRUE(std::ranges::equal(*device->host_span(*back), expected));
}

TEST_F(OnGaudi2, ManyRowsTakeSeveralSubmissionsAndEndAsOne)
{
    constexpr uint32_t rows = 9000; // a command buffer has room for 2730
    const hl::test::Owned host{device, rows * 16, Placement::Host}, back{device, rows * 16, Placement::Host};
    const hl::test::Owned hbm{device, rows * 24, Placement::Device};
    hl::test::fill(device, *host, 3);
    Record record;
    hl::CopyRequest down{.id = 5};
    down.region[0] = {
        .source = *host, .target = *hbm, .source_stride = 16, .target_stride = 24, .row_bytes = 16, .rows = rows};
    down.regions = 1;
    ASSERT_OK(device->submit({&down, 1}, record));
    ASSERT_EQ(record.wait(1)[0].id, 5u);
    EXPECT_OK(record.wait(1)[0].status);
    EXPECT_EQ(gaudi->submissions, 4u);
    const hl::CopyRegion up{
        .source = *hbm, .target = *back, .source_stride = 24, .target_stride = 16, .row_bytes = 16, .rows = rows};
    ASSERT_OK(device->copy({&up, 1}));
    EXPECT_TRUE(hl::test::holds(device, back->part(0, rows * 16), 3));
    EXPECT_EQ(record.count(), 1u);
}

TEST_P(OnBothChips, ManyAreUnderWayAtOnceAndEndInOrder)
{
    const hl::test::Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    gaudi->freeze();
    Record record;
    std::vector<hl::CopyRequest> requests;
    for (uint64_t i = 0; i < 60; ++i)
        requests.push_back(request(*host, *hbm, i));
    ASSERT_OK(device->submit(requests, record));
    EXPECT_EQ(gaudi->waiting.size(), 24u); // before submit() returned
    EXPECT_EQ(device->usage().requests_pending, 60u);
    EXPECT_EQ(record.count(), 0u);
    gaudi->thaw();
    const auto ends = record.wait(60);
    for (size_t i = 0; i < 60; ++i) {
        EXPECT_EQ(ends[i].id, i);
        EXPECT_OK(ends[i].status);
    }
    EXPECT_FALSE(record.overlapped());
}

TEST_F(OnGaudi2, AFullDriverIsWaitedForAndAFullQueueIsRefused)
{
    const hl::test::Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    gaudi->freeze();
    gaudi->room = 3;
    Record record;
    std::vector<hl::CopyRequest> down, up;
    for (uint64_t i = 0; i < 10; ++i) {
        down.push_back(request(*host, *hbm, i));
        up.push_back(request(*hbm, *host, i));
    }
    ASSERT_OK(device->submit(down, record)); // takes all the room of the driver
    ASSERT_OK(device->submit(up, record));   // none left: to be tried again when one of the others ends
    EXPECT_EQ(gaudi->waiting.size(), 3u);
    EXPECT_EQ(gaudi->refused, 2u);
    const std::vector<hl::CopyRequest> too_many(79, down[0]);
    EXPECT_CODE(device->submit(too_many, record), ErrorCode::QueueFull);
    gaudi->thaw();
    for (const auto &end : record.wait(20))
        EXPECT_OK(end.status);
}

TEST_F(OnGaudi2, SubmittingAllocatesNothing)
{
    const hl::test::Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    struct Counter final : hl::CompletionListener {
        void completed(hl::Completion) noexcept override { ++ends; }
        std::atomic<int> ends{0};
    } counter;
    const auto one = request(*host, *hbm);
    gaudi->freeze();
    gaudi->room = 1;
    ASSERT_OK(device->submit({&one, 1}, counter));
    const hl::test::MallocCount count; // of the played driver, too: it refuses this one
    ASSERT_OK(device->submit({&one, 1}, counter));
    EXPECT_EQ(count.calls(), 0u);
    gaudi->thaw();
    while (counter.ends < 2)
        std::this_thread::yield();
}

TEST_F(OnGaudi2, ADeadlineThatPassedEndsARequestUnrun)
{
    const hl::test::Owned host{device, 4096, Placement::Host}, hbm{device, 4096, Placement::Device};
    const auto packets = gaudi->packets;
    EXPECT_CODE(hl::test::copy(device, *host, *hbm, 4096, hl::Clock::now() - 1ms), ErrorCode::CopyTimeout);
    EXPECT_EQ(gaudi->packets, packets);
}

TEST_F(OnGaudi2, RefusesWhatTheInterfaceRefuses)
{
    const hl::test::Owned host{device, 8192, Placement::Host}, hbm{device, 8192, Placement::Device};
    EXPECT_CODE(hl::test::copy(device, *host, *host, 16), ErrorCode::CopyFailed);
    EXPECT_CODE(hl::test::copy(device, *host, *hbm, 0), ErrorCode::MemoryRange);
    EXPECT_CODE(hl::test::copy(device, *host, *hbm, 8193), ErrorCode::MemoryRange);
    hl::Memory foreign = *host;
    foreign.device += 1;
    EXPECT_CODE(hl::test::copy(device, foreign, *hbm, 16), ErrorCode::MemoryForeign);
    EXPECT_CODE(device->copy({}), ErrorCode::CopyFailed);
    EXPECT_EQ(gaudi->packets, 0u);
}

// --- memory ---

TEST_F(OnGaudi2, FramesShareAPageOfTheDriverAndAnEmptyPageGoesBack)
{
    std::vector<std::unique_ptr<hl::test::Owned>> frames;
    for (int i = 0; i < 10; ++i)
        frames.push_back(std::make_unique<hl::test::Owned>(device, 8192, Placement::Device));
    EXPECT_EQ(gaudi->hbm.size(), 1u);
    EXPECT_EQ(device->usage().device_bytes, 10u * 8192);
    const hl::test::Owned large{device, FakeGaudi::page, Placement::Device};
    EXPECT_EQ(gaudi->hbm.size(), 2u);
    frames.clear();
    EXPECT_EQ(gaudi->hbm.size(), 1u);
    EXPECT_EQ(gaudi->calls, (std::vector<std::string>{"unmap", "free"}));
    const auto full = device->allocate(4 * FakeGaudi::page, Placement::Device);
    ASSERT_CODE(full, ErrorCode::MemoryFull);
    EXPECT_NE(full.error().cause.find("768 of 3072 MiB are allocated"), std::string::npos) << full.error().cause;
}

TEST_P(OnBothChips, ExportsNameWhatTheDriverMapped)
{
    const hl::test::Owned first{device, 8192, Placement::Device}, second{device, 16384, Placement::Device};
    const auto whole = device->export_dmabuf(*second);
    ASSERT_OK(whole);
    if (GetParam() == ChipKind::Gaudi) { // physical, without an offset
        EXPECT_EQ(gaudi->last_export_address, FakeGaudi::gaudi_base + 8192);
        EXPECT_EQ(gaudi->last_export_offset, 0u);
    } else {
        EXPECT_EQ(gaudi->last_export_address, gaudi->hbm_address.begin()->second);
        EXPECT_EQ(gaudi->last_export_offset, 8192u);
    }
    const auto part = device->export_dmabuf(second->part(4096, 8192));
    ASSERT_OK(part);
    EXPECT_EQ(*device->resolve_dmabuf(whole->get()), *second);
    EXPECT_EQ(*device->resolve_dmabuf(part->get()), second->part(4096, 8192));
    EXPECT_CODE(device->export_dmabuf(second->part(100, 4096)), ErrorCode::MemoryRange);
    EXPECT_CODE(device->export_dmabuf(second->part(0, 0)), ErrorCode::MemoryRange);
    EXPECT_CODE(device->resolve_dmabuf(0), ErrorCode::MemoryForeign);
}

TEST_P(OnBothChips, AReleaseIsRefusedWhileAnExportIsOpen)
{
    hl::test::Owned frame{device, 8192, Placement::Device};
    auto fd = device->export_dmabuf(*frame);
    ASSERT_OK(fd);
    hl::UniqueFd dup(::dup(fd->get()));
    EXPECT_EQ(device->usage().exports_open, 1u);
    EXPECT_CODE(device->release(*frame), ErrorCode::MemoryExported);
    fd->reset();
    EXPECT_CODE(device->release(*frame), ErrorCode::MemoryExported);
    EXPECT_EQ(*device->resolve_dmabuf(dup.get()), *frame);
    dup.reset();
    EXPECT_EQ(device->usage().exports_open, 0u);
    frame.release();
}

TEST_P(OnBothChips, HostPagesArePinnedAndUnpinned)
{
    const auto before = gaudi->mapped.size();
    hl::test::Owned host{device, 100, Placement::Host};
    EXPECT_EQ(host->size, 4096u);
    EXPECT_EQ(gaudi->mapped.size(), before + 1);
    EXPECT_EQ(device->usage().host_bytes, 4096u);
    host.release();
    EXPECT_EQ(gaudi->mapped.size(), before);
    EXPECT_EQ(gaudi->calls, (std::vector<std::string>{"unmap host"}));
    EXPECT_EQ(device->usage().host_bytes, 0u);
}

TEST_F(OnGaudi2, AMemoryReleasedInUseGoesWithItsLastRequest)
{
    const hl::test::Owned hbm{device, 4096, Placement::Device};
    const auto host = device->allocate(4096, Placement::Host);
    ASSERT_OK(host);
    gaudi->freeze();
    Record record;
    const auto one = request(*host, *hbm);
    ASSERT_OK(device->submit({&one, 1}, record));
    const auto mapped = gaudi->mapped.size();
    ASSERT_OK(device->release(*host));
    EXPECT_EQ(gaudi->mapped.size(), mapped);
    gaudi->thaw();
    EXPECT_OK(record.wait(1)[0].status);
    EXPECT_EQ(gaudi->mapped.size(), mapped - 1);
}

class OnTheOldDriver : public OnAGaudi {
protected:
    void SetUp() override { open(ChipKind::Gaudi2, true); }
};

TEST_F(OnTheOldDriver, AnExportAwayFromThePagesStartIsRefused)
{
    const hl::test::Owned first{device, 8192, Placement::Device}, second{device, 8192, Placement::Device};
    EXPECT_OK(device->export_dmabuf(*first));
    const auto refused = device->export_dmabuf(*second);
    ASSERT_CODE(refused, ErrorCode::MemoryExport);
    EXPECT_NE(refused.error().cause.find("offset 8192"), std::string::npos) << refused.error().cause;
    EXPECT_EQ(gaudi->exports.size(), 1u);
}

// --- life ---

TEST_F(OnGaudi2, AResetEndsEverythingAndRecoveryBeginsAnew)
{
    const auto host = device->allocate(4096, Placement::Host);
    const auto hbm = device->allocate(4096, Placement::Device);
    ASSERT_OK(host);
    ASSERT_OK(hbm);
    const auto fd = device->export_dmabuf(*hbm);
    ASSERT_OK(fd);
    gaudi->freeze();
    Record record;
    const std::vector<hl::CopyRequest> many(40, request(*host, *hbm));
    ASSERT_OK(device->submit(many, record));
    gaudi->reset_with_event();
    for (const auto &end : record.wait(40))
        EXPECT_CODE(end.status, ErrorCode::DeviceLost);
    EXPECT_TRUE(device->lost());
    EXPECT_EQ(device->generation(), 2u);
    EXPECT_CODE(device->allocate(4096, Placement::Device), ErrorCode::DeviceLost);
    EXPECT_CODE(device->export_dmabuf(*hbm), ErrorCode::DeviceLost);
    EXPECT_CODE(device->submit({&many[0], 1}, record), ErrorCode::DeviceLost);
    EXPECT_CODE(device->flush_inbound_writes(), ErrorCode::DeviceLost);
    EXPECT_CODE(device->resolve_dmabuf(fd->get()), ErrorCode::MemoryStale);
    EXPECT_EQ(device->usage().device_bytes, 0u);
    // The node is closed as soon as the last call has returned.
    const auto closes = [&] {
        const std::lock_guard lock(gaudi->mutex);
        return gaudi->closes;
    };
    while (closes() == 0)
        std::this_thread::yield();

    gaudi->open_error = EBUSY;
    EXPECT_CODE(device->recover(), ErrorCode::DeviceBusy);
    EXPECT_TRUE(device->lost());
    gaudi->open_error = 0;
    gaudi->come_back();
    gaudi->thaw();
    ASSERT_OK(device->recover());
    EXPECT_FALSE(device->lost());
    EXPECT_CODE(hl::test::copy(device, *host, *hbm, 16), ErrorCode::MemoryStale);
    EXPECT_OK(device->release(*host));
    EXPECT_OK(device->release(*hbm));
    const hl::test::Owned again{device, 4096, Placement::Host}, hbm2{device, 4096, Placement::Device};
    EXPECT_OK(hl::test::copy(device, *again, *hbm2, 4096));
}

// Without an event: the status is asked, too.
TEST_F(OnGaudi2, AResetThatTellsNothingIsSeen)
{
    {
        const std::lock_guard lock(gaudi->mutex);
        gaudi->gone = true;
    }
    while (!device->lost())
        std::this_thread::yield();
    EXPECT_EQ(device->generation(), 2u);
}

TEST_P(OnBothChips, ClosingCancelsWhatHasNotBegunAndWaitsForTheRest)
{
    const auto host = device->allocate(4096, Placement::Host);
    const auto hbm = device->allocate(4096, Placement::Device);
    gaudi->freeze();
    Record record;
    const std::vector<hl::CopyRequest> many(30, request(*host, *hbm));
    ASSERT_OK(device->submit(many, record));
    std::thread closer([this] { device.reset(); });
    // What no submission was made of ends at its turn: after those that the chip works on.
    gaudi->thaw();
    closer.join();
    const auto ends = record.wait(30);
    for (size_t i = 0; i < 30; ++i)
        if (i < 24 || ends[i].status)
            EXPECT_OK(ends[i].status);
        else
            EXPECT_CODE(ends[i].status, ErrorCode::Cancelled);
    EXPECT_EQ(gaudi->opens, gaudi->closes);
}

TEST_F(OnGaudi2, AListenerMayLetGoOfTheDevice)
{
    struct Last final : hl::CompletionListener {
        void completed(hl::Completion) noexcept override
        {
            device.reset();
            done = true;
        }
        std::shared_ptr<hl::Device> device;
        std::atomic<bool> done{false};
    } last;
    const auto host = device->allocate(4096, Placement::Host);
    const auto hbm = device->allocate(4096, Placement::Device);
    const auto one = request(*host, *hbm);
    gaudi->freeze();
    ASSERT_OK(device->submit({&one, 1}, last));
    last.device = std::move(device);
    gaudi->thaw();
    const auto closed = [&] {
        const std::lock_guard lock(gaudi->mutex);
        return gaudi->closes == 1;
    };
    while (!last.done || !closed())
        std::this_thread::yield();
}

TEST_F(OnGaudi2, EverythingIsTakenDownBeforeTheNodeIsClosed)
{
    (void)device->allocate(4096, Placement::Host);
    (void)device->allocate(4096, Placement::Device);
    device.reset();
    EXPECT_EQ(gaudi->calls,
              (std::vector<std::string>{"unmap host", "unmap", "free", "unmap host", "unmap host", "close"}));
}

TEST_F(OnGaudi2, FlushesAndComputesNothing)
{
    ASSERT_OK(device->flush_inbound_writes());
    EXPECT_EQ(gaudi->flushes, 1u);
    hl::Model model;
    model.name = "demo";
    const auto engine = device->create_engine(model, {});
    ASSERT_CODE(engine, ErrorCode::ComputeMissing);
    EXPECT_NE(engine.error().cause.find("SynapseAI"), std::string::npos);
    EXPECT_NE(engine.error().remedy.find("compute=host"), std::string::npos);
}
