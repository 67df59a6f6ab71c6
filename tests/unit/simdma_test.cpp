// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/dmaengine.h"
#include "backends/sim/simcontrol.h"
#include "device/device.h"
#include "malloc_count.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::test::copy;
using hl::test::Record;
using hl::test::request;
using hl::test::Setting;
using namespace std::chrono_literals;

namespace {

// Between memories that go with the device.
hl::CopyRequest upload_of_fresh_pages(hl::Device &device)
{
    const auto host = device.allocate(4096, Placement::Host);
    const auto hbm = device.allocate(4096, Placement::Device);
    EXPECT_OK(host);
    EXPECT_OK(hbm);
    return host && hbm ? request(*host, *hbm) : hl::CopyRequest{};
}

class SimDma : public ::testing::Test {
protected:
    std::shared_ptr<hl::Device> device = hl::test::open_sim();
    hl::test::Owned host{device, 4 * 4096, Placement::Host};
    hl::test::Owned back{device, 4 * 4096, Placement::Host};
    hl::test::Owned hbm{device, 4 * 4096, Placement::Device};
    hl::test::Owned hbm2{device, 4 * 4096, Placement::Device};

    void TearDown() override { EXPECT_EQ(device->usage().requests_pending, 0u); }
};

} // namespace

TEST_F(SimDma, MovesRowsOfSeveralPlanesAndNothingElse)
{
    hl::test::fill(device, *host, 1);
    hl::test::fill(device, *back, 2);
    ASSERT_OK(copy(device, *back, *hbm, 4 * 4096));
    // Two planes into a frame with other strides, around a poisoned margin.
    const hl::CopyRegion planes[] = {
        {.source = *host,
         .target = *hbm,
         .source_offset = 10,
         .target_offset = 100,
         .source_stride = 64,
         .target_stride = 80,
         .row_bytes = 50,
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
    ASSERT_OK(copy(device, *hbm, *back, 4 * 4096));

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

TEST_F(SimDma, OffsetsAreRelativeToTheMemory)
{
    hl::test::fill(device, *host, 1);
    ASSERT_OK(copy(device, host->part(4096, 4096), hbm->part(8192, 4096), 4096));
    ASSERT_OK(copy(device, hbm->part(8192, 4096), *hbm2, 4096));
    ASSERT_OK(copy(device, *hbm2, *back, 4096));
    EXPECT_EQ((*device->host_span(*back))[17], hl::test::pattern(1, 4096 + 17));
}

TEST_F(SimDma, RefusesBadRegionsWithNothingQueued)
{
    Record record;
    const hl::CopyRegion good{.source = *host, .target = *hbm, .row_bytes = 4096};
    std::vector<std::pair<hl::CopyRegion, ErrorCode>> bad;
    const auto add = [&](ErrorCode code, auto change) {
        hl::CopyRegion region = good;
        change(region);
        bad.emplace_back(region, code);
    };
    add(ErrorCode::MemoryRange, [](auto &r) { r.row_bytes = 0; });
    add(ErrorCode::MemoryRange, [](auto &r) { r.rows = 0; });
    add(ErrorCode::MemoryRange, [](auto &r) { r.row_bytes = 4 * 4096 + 1; });
    add(ErrorCode::MemoryRange, [](auto &r) { r.source_offset = 3 * 4096 + 1; });
    add(ErrorCode::MemoryRange, [](auto &r) { r.target_offset = UINT64_MAX; });
    add(ErrorCode::MemoryRange, [](auto &r) { r.rows = 2; }); // strides are 0
    add(ErrorCode::MemoryRange, [](auto &r) {
        r.rows = UINT32_MAX;
        r.source_stride = r.target_stride = UINT64_MAX / 2;
    });
    add(ErrorCode::MemoryRange, [](auto &r) {
        r.rows = 4;
        r.source_stride = 4096;
        r.target_stride = 4097;
    });
    add(ErrorCode::MemoryRange, [](auto &r) { r.source.size = 5 * 4096; });
    add(ErrorCode::MemoryRange, [](auto &r) { r.source.offset = UINT64_MAX; });
    add(ErrorCode::MemoryForeign, [](auto &r) { r.source.device += 1; });
    add(ErrorCode::MemoryForeign, [](auto &r) { r.source.handle += 1000; });
    add(ErrorCode::MemoryForeign, [](auto &r) { r.source.placement = Placement::Device; });
    add(ErrorCode::MemoryStale, [](auto &r) { r.target.generation += 1; });
    add(ErrorCode::CopyFailed, [this](auto &r) { r.target = *back; });
    for (size_t i = 0; i < bad.size(); ++i) {
        std::array<hl::CopyRequest, 2> list{request(*host, *hbm), request(*host, *hbm)};
        list[1].region[0] = bad[i].first;
        SCOPED_TRACE(i);
        EXPECT_CODE(device->submit(list, record), bad[i].second);
    }
    auto mixed = request(*host, *hbm);
    mixed.region[1] = {.source = *hbm, .target = *back, .row_bytes = 16};
    mixed.regions = 2;
    EXPECT_CODE(device->submit({&mixed, 1}, record), ErrorCode::CopyFailed);
    auto none = request(*host, *hbm);
    none.regions = 0;
    EXPECT_CODE(device->submit({&none, 1}, record), ErrorCode::CopyFailed);
    none.regions = 5;
    EXPECT_CODE(device->submit({&none, 1}, record), ErrorCode::CopyFailed);
    const std::array<hl::CopyRegion, 5> many{good, good, good, good, good};
    EXPECT_CODE(device->copy(many), ErrorCode::CopyFailed);
    EXPECT_EQ(device->usage().requests_pending, 0u);
    EXPECT_EQ(record.count(), 0u);
}

TEST_F(SimDma, KeepsOrderInADirection)
{
    Record record;
    std::array<hl::CopyRequest, 5> list;
    for (uint64_t i = 0; i < list.size(); ++i)
        list[i] = request(*host, *hbm, 100 + i);
    ASSERT_OK(device->submit(list, record));
    const auto ends = record.wait(5);
    for (uint64_t i = 0; i < list.size(); ++i) {
        EXPECT_EQ(ends[i].id, 100 + i);
        EXPECT_OK(ends[i].status);
        EXPECT_LE(ends[i].started, ends[i].finished);
    }
}

TEST_F(SimDma, FullQueueTakesAllOrNone)
{
    constexpr size_t ring = hl::sim::DmaEngine::ring_size;
    Record record;
    size_t accepted = 0;
    {
        const hl::sim::DmaGate gate(*device);
        const std::vector<hl::CopyRequest> most(ring, request(*host, *hbm));
        ASSERT_OK(device->submit(std::span(most).first(1), record));
        ASSERT_OK(device->submit(std::span(most).first(ring - 1), record));
        accepted = ring;
        // One may have moved from the ring to the worker; two more never fit.
        const auto refused = device->submit(std::span(most).first(2), record);
        ASSERT_CODE(refused, ErrorCode::QueueFull);
        EXPECT_EQ(refused.error().sys_errno, EAGAIN);
        EXPECT_EQ(device->usage().requests_pending, accepted);
        // The other direction has its own queue.
        const auto up = request(*hbm2, *back);
        ASSERT_OK(device->submit({&up, 1}, record));
        EXPECT_EQ(record.count(), 0u);
        EXPECT_CODE(device->submit(std::vector<hl::CopyRequest>(200, most[0]), record), ErrorCode::QueueFull);
    }
    record.wait(accepted + 1);
}

TEST_F(SimDma, ListenersAreToldOneAtATime)
{
    Record record;
    size_t submitted = 0;
    for (int i = 0; i < 200; ++i) {
        const std::array<hl::CopyRequest, 2> both{request(*host, *hbm), request(*hbm2, *back)};
        if (device->submit(both, record))
            submitted += 2;
    }
    record.wait(submitted);
    EXPECT_FALSE(record.overlapped());
}

TEST_F(SimDma, AListenerMaySubmit)
{
    class Chain final : public hl::CompletionListener {
    public:
        Chain(hl::Device &chip, const hl::CopyRequest &next) : chip_(chip), next_(next) {}
        void completed(hl::Completion completion) noexcept override
        {
            if (!completion.status || completion.id == 10) {
                last.completed(std::move(completion));
                return;
            }
            next_.id = completion.id + 1;
            if (auto status = chip_.submit({&next_, 1}, *this); !status)
                last.completed({.id = 0, .status = std::move(status)});
        }
        hl::CompletionWaiter last;

    private:
        hl::Device &chip_;
        hl::CopyRequest next_;
    };
    const auto first = request(*host, *hbm, 1);
    Chain chain(*device, first);
    ASSERT_OK(device->submit({&first, 1}, chain));
    const auto status = *chain.last.wait();
    EXPECT_OK(status);
}

TEST_F(SimDma, DeadlinesEndRequests)
{
    const auto late = copy(device, *host, *hbm, 4096, hl::Clock::now() - 1s);
    ASSERT_CODE(late, ErrorCode::CopyTimeout);
    EXPECT_EQ(late.error().sys_errno, ETIMEDOUT);
    const hl::sim::DmaGate gate(*device);
    EXPECT_CODE(copy(device, *host, *hbm, 4096, hl::Clock::now() + 5ms), ErrorCode::CopyTimeout);
}

TEST_F(SimDma, ATimedOutCopyMovesNothing)
{
    hl::test::fill(device, *host, 1);
    hl::test::fill(device, *back, 2);
    ASSERT_OK(copy(device, *back, *hbm, 4 * 4096));
    EXPECT_CODE(copy(device, *host, *hbm, 4 * 4096, hl::Clock::now() - 1s), ErrorCode::CopyTimeout);
    hl::test::fill(device, *back, 3);
    ASSERT_OK(copy(device, *hbm, *back, 4 * 4096));
    EXPECT_TRUE(hl::test::holds(device, *back, 2));
}

TEST_F(SimDma, AnUnpinnedPageFaults)
{
    ASSERT_OK(copy(device, *host, *hbm, 4096));
    const size_t before = hl::sim::stats(*device).mmu_mappings;
    ASSERT_TRUE(hl::sim::unpin(*device, *host));
    EXPECT_EQ(hl::sim::stats(*device).mmu_mappings, before - 1);
    const auto fault = copy(device, *host, *hbm, 4096);
    ASSERT_CODE(fault, ErrorCode::CopyFailed);
    EXPECT_EQ(fault.error().sys_errno, EFAULT);
    EXPECT_NE(fault.error().cause.find("0xfff0"), std::string::npos) << fault.error().cause;
}

TEST_F(SimDma, MemoryReleasedUnderACopyStaysUntilItsEnd)
{
    Record record;
    auto victim = device->allocate(64 * 4096, Placement::Device);
    auto pages = device->allocate(64 * 4096, Placement::Host);
    ASSERT_OK(victim);
    ASSERT_OK(pages);
    const auto before = device->usage();
    {
        const hl::sim::DmaGate gate(*device);
        const auto up = request(*pages, *victim);
        ASSERT_OK(device->submit({&up, 1}, record));
        EXPECT_OK(device->release(*victim));
        EXPECT_OK(device->release(*pages));
        EXPECT_CODE(device->release(*pages), ErrorCode::MemoryForeign);
        EXPECT_CODE(device->host_span(*pages), ErrorCode::MemoryForeign);
        EXPECT_EQ(device->usage().device_bytes, before.device_bytes);
        EXPECT_EQ(device->usage().host_bytes, before.host_bytes);
    }
    EXPECT_OK(record.wait(1)[0].status);
    EXPECT_EQ(device->usage().device_bytes, before.device_bytes - 64 * 4096);
    EXPECT_EQ(device->usage().host_bytes, before.host_bytes - 64 * 4096);
}

TEST_F(SimDma, SteadyStateAllocatesNothing)
{
    // Told on the worker's thread, so it sees the allocations that the worker made since the first request.
    class Meter final : public hl::CompletionListener {
    public:
        void completed(hl::Completion completion) noexcept override
        {
            if (completion.id == 0)
                first = hl::test::malloc_calls;
            made = hl::test::malloc_calls - first;
            waiter.completed(std::move(completion));
        }
        uint64_t first = 0;
        uint64_t made = 99;
        hl::CompletionWaiter waiter;
    } down, up;
    auto to_hbm = request(*host, *hbm), to_host = request(*hbm, *back);
    bool good = true;
    const hl::test::MallocCount count;
    for (uint64_t i = 0; i < 100; ++i) {
        to_hbm.id = to_host.id = i;
        good = good && device->submit({&to_hbm, 1}, down) && down.waiter.wait()->has_value();
        good = good && device->submit({&to_host, 1}, up) && up.waiter.wait()->has_value();
        good = good && device->copy(std::span(to_hbm.region).first(1)) && device->host_span(*host);
    }
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_EQ(down.made, 0u);
    EXPECT_EQ(up.made, 0u);
    EXPECT_TRUE(good);
}

TEST(SimDmaTime, IsALowerBoundPerRequest)
{
    const Setting fixed("HL_SIM_DMA_US", "3000");
    const Setting rate("HL_SIM_DMA_GBPS", "0.001"); // a page takes another 4 ms
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 4096, Placement::Host), hbm(device, 4096, Placement::Device);
    Record record;
    const auto up = request(*host, *hbm);
    ASSERT_OK(device->submit({&up, 1}, record));
    const auto end = record.wait(1)[0];
    EXPECT_OK(end.status);
    EXPECT_GE(end.finished - end.started, 7ms);
    EXPECT_CODE(copy(device, *host, *hbm, 4096, hl::Clock::now() + 1ms), ErrorCode::CopyTimeout);
}

TEST(SimDmaTime, ADeviceMayDieInAListener)
{
    class Last final : public hl::CompletionListener {
    public:
        void completed(hl::Completion completion) noexcept override
        {
            device.reset();
            waiter.completed(std::move(completion));
        }
        std::shared_ptr<hl::Device> device = hl::test::open_sim();
        hl::CompletionWaiter waiter;
    };
    for (int i = 0; i < 20; ++i) {
        Last last;
        const auto up = upload_of_fresh_pages(*last.device);
        hl::Device &device = *last.device;
        ASSERT_OK(device.submit({&up, 1}, last));
        const auto status = *last.waiter.wait();
        EXPECT_OK(status);
    }
}

TEST(SimDmaTime, ClosingEndsAStalledCopy)
{
    const Setting faults("HL_SIM_FAULTS", "copy:1=stall");
    Record record;
    {
        const auto device = hl::test::open_sim();
        const auto up = upload_of_fresh_pages(*device);
        const std::array<hl::CopyRequest, 2> both{up, up};
        ASSERT_OK(device->submit(both, record));
    }
    for (const auto &end : record.wait(2))
        EXPECT_CODE(end.status, ErrorCode::Cancelled);
}
