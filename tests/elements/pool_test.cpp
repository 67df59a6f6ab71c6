// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlbufferpool.h"

#include "backends/sim/simcontrol.h"
#include "gsthlcaps.h"
#include "memorytesting.h"
#include "sleeper.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/video/gstvideopool.h>

#include <algorithm>
#include <vector>

using namespace hltest;

namespace {

GstPtr<GstCaps> caps_of(const char *text)
{
    return GstPtr<GstCaps>::adopt(gst_caps_from_string(text));
}

GstPtr<GstCaps> system_caps(const std::string &format, int width, int height)
{
    return caps_of((std::string("video/x-raw,framerate=30/1,format=") + format + ",width=" + std::to_string(width) +
                    ",height=" + std::to_string(height))
                       .c_str());
}

class PoolTest : public DeviceTest {
protected:
    // An active pool.
    GstPtr<GstBufferPool> pool(GstCaps *caps, hl::Placement placement = hl::Placement::Device, guint size = 0,
                               guint min = 0, guint max = 0)
    {
        auto out = gst_hl_buffer_pool_new(device_, placement);
        const auto ready = gst_hl_buffer_pool_setup(out.get(), caps, size, min, max, true);
        EXPECT_TRUE(ready.has_value()) << ready.error().details();
        return out;
    }
    static GstPtr<GstBuffer> acquire(const GstPtr<GstBufferPool> &from, GstFlowReturn expected = GST_FLOW_OK)
    {
        GstBuffer *buffer = nullptr;
        EXPECT_EQ(gst_buffer_pool_acquire_buffer(from.get(), &buffer, nullptr), expected);
        return GstPtr<GstBuffer>::adopt(buffer);
    }
    static void stop(GstPtr<GstBufferPool> &pool)
    {
        EXPECT_TRUE(gst_buffer_pool_set_active(pool.get(), FALSE));
        pool.reset();
    }
};

TEST_F(PoolTest, FramesHaveGStreamersDefaultLayoutUnderBothCapsFeatures)
{
    for (const std::string &format : all_formats()) {
        for (const auto &[width, height] : {std::pair{320, 240}, {61, 31}, {1, 1}, {322, 241}}) {
            const auto system = system_caps(format, width, height);
            const auto dmabuf = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
            GstVideoInfo info;
            ASSERT_TRUE(gst_video_info_from_caps(&info, system.get()));
            for (GstCaps *caps : {system.get(), dmabuf.get()}) {
                auto from = pool(caps);
                // Twice: metas of the first round must be there in the second.
                for (int round = 0; round < 2; ++round) {
                    const auto buffer = acquire(from);
                    EXPECT_EQ(gst_buffer_get_size(buffer.get()), info.size);
                    EXPECT_EQ(gst_buffer_n_memory(buffer.get()), 1u);
                    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer.get());
                    ASSERT_NE(meta, nullptr) << format << " round " << round;
                    EXPECT_EQ(meta->format, GST_VIDEO_INFO_FORMAT(&info));
                    EXPECT_EQ(meta->width, static_cast<guint>(width));
                    EXPECT_EQ(meta->height, static_cast<guint>(height));
                    ASSERT_EQ(meta->n_planes, GST_VIDEO_INFO_N_PLANES(&info));
                    for (guint p = 0; p < meta->n_planes; ++p) {
                        EXPECT_EQ(meta->stride[p], info.stride[p]);
                        EXPECT_EQ(meta->offset[p], info.offset[p]);
                    }
                    EXPECT_TRUE(gst_is_dmabuf_memory(gst_buffer_peek_memory(buffer.get(), 0)));
                }
                stop(from);
            }
        }
    }
}

TEST_F(PoolTest, LargerSizesAreTakenExactly)
{
    auto from = pool(system_caps("NV12", 64, 32).get(), hl::Placement::Host, 5000);
    auto buffer = acquire(from);
    gsize maxsize = 0;
    EXPECT_EQ(gst_buffer_get_sizes(buffer.get(), nullptr, &maxsize), 5000u);
    EXPECT_EQ(maxsize, 12288u); // 5000 + 4096 in whole pages
    const ino_t identity = inode(buffer.get());
    buffer.reset();
    // Not discarded for its size on release.
    EXPECT_EQ(inode(acquire(from).get()), identity);
    stop(from);
}

TEST_F(PoolTest, SmallerSizesAndLimitsAreNotTakenDownward)
{
    auto from = gst_hl_buffer_pool_new(device_, hl::Placement::Host);
    ASSERT_TRUE(gst_hl_buffer_pool_setup(from.get(), system_caps("NV12", 64, 32).get(), 10, 3, 0, false).has_value());
    GstStructure *config = gst_buffer_pool_get_config(from.get());
    guint size = 0, min = 0, max = 1;
    gst_buffer_pool_config_get_params(config, nullptr, &size, &min, &max);
    gst_structure_free(config);
    EXPECT_EQ(size, 64u * 32 * 3 / 2);
    EXPECT_EQ(min, 3u);
    EXPECT_EQ(max, 0u);
}

TEST_F(PoolTest, GrowsWhileFramesAreHeld)
{
    auto from = pool(system_caps("NV12", 64, 32).get(), hl::Placement::Device, 0, 2);
    std::vector<GstPtr<GstBuffer>> held;
    std::vector<ino_t> seen;
    for (int i = 0; i < 20; ++i) {
        held.push_back(acquire(from));
        seen.push_back(inode(held.back().get()));
    }
    std::ranges::sort(seen);
    EXPECT_EQ(std::ranges::unique(seen).size(), 0u) << "two frames share a dma-buf";
    held.clear();
    stop(from);
}

// The layout that libav computes for itself must be the one it finds: strides like those of the stock pool it would use
// otherwise.
TEST_F(PoolTest, VideoAlignmentGivesTheStockPoolsLayout)
{
    for (const char *format : {"NV12", "I420", "RGB"}) {
        const auto caps = system_caps(format, 321, 243);
        GstVideoAlignment wanted;
        gst_video_alignment_reset(&wanted);
        wanted.padding_right = 31;
        wanted.padding_bottom = 13;
        for (guint &align : wanted.stride_align)
            align = 31;
        GstAllocationParams params;
        gst_allocation_params_init(&params);
        params.align = 63;
        GstVideoInfo info;
        ASSERT_TRUE(gst_video_info_from_caps(&info, caps.get()));
        const auto layout_of = [&](GstBufferPool *from) {
            GstStructure *config = gst_buffer_pool_get_config(from);
            gst_buffer_pool_config_set_params(config, caps.get(), static_cast<guint>(info.size), 0, 0);
            gst_buffer_pool_config_set_allocator(config, nullptr, &params);
            gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
            gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
            gst_buffer_pool_config_set_video_alignment(config, &wanted);
            EXPECT_TRUE(gst_buffer_pool_set_config(from, config));
            EXPECT_TRUE(gst_buffer_pool_set_active(from, TRUE));
            GstBuffer *buffer = nullptr;
            EXPECT_EQ(gst_buffer_pool_acquire_buffer(from, &buffer, nullptr), GST_FLOW_OK);
            const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
            std::vector<gint64> out{static_cast<gint64>(gst_buffer_get_size(buffer))};
            for (guint p = 0; p < meta->n_planes; ++p) {
                out.push_back(static_cast<gint64>(meta->offset[p]));
                out.push_back(meta->stride[p]);
            }
            gst_buffer_unref(buffer);
            gst_buffer_pool_set_active(from, FALSE);
            return out;
        };
        const auto ours = gst_hl_buffer_pool_new(device_, hl::Placement::Host);
        const auto stock = GstPtr<GstBufferPool>::adopt(gst_video_buffer_pool_new());
        EXPECT_EQ(layout_of(ours.get()), layout_of(stock.get())) << format;
    }
}

TEST_F(PoolTest, OptionsAndRefusals)
{
    const auto pool = gst_hl_buffer_pool_new(device_, hl::Placement::Host);
    EXPECT_TRUE(gst_buffer_pool_has_option(pool.get(), GST_BUFFER_POOL_OPTION_VIDEO_META));
    EXPECT_TRUE(gst_buffer_pool_has_option(pool.get(), GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT));
    for (const char *text : {"video/x-raw,format=GRAY16_LE,width=16,height=16,framerate=30/1", "audio/x-raw",
                             "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12:0x0100000000000002,width=16,"
                             "height=16,framerate=30/1"}) {
        const auto refused = gst_hl_buffer_pool_setup(pool.get(), caps_of(text).get(), 0, 0, 0, true);
        ASSERT_FALSE(refused.has_value()) << text;
        EXPECT_EQ(refused.error().code, hl::ErrorCode::FormatUnsupported);
    }
}

TEST_F(PoolTest, NewLayoutDropsTheOldMemories)
{
    auto from = pool(system_caps("NV12", 64, 32).get());
    // Taken out of its buffer, a memory comes back to the allocator and not to the pool.
    auto buffer = acquire(from);
    auto memory = GstPtr<GstMemory>::adopt(gst_buffer_get_memory(buffer.get(), 0));
    const ino_t identity = inode(memory.get());
    buffer.reset();
    memory.reset();
    EXPECT_EQ(inode(acquire(from).get()), identity);
    gst_buffer_pool_set_active(from.get(), FALSE);

    // Same number of bytes in another shape: an importer's cache of the memory would be wrong.
    ASSERT_TRUE(gst_hl_buffer_pool_setup(from.get(), system_caps("NV12", 32, 64).get(), 0, 0, 0, true).has_value());
    EXPECT_NE(inode(acquire(from).get()), identity);
    stop(from);
}

TEST_F(PoolTest, ShallowCopyKeepsTheFrameOutOfThePool)
{
    auto from = pool(system_caps("NV12", 64, 32).get());
    auto buffer = acquire(from);
    const ino_t identity = inode(buffer.get());
    auto copy = GstPtr<GstBuffer>::adopt(gst_buffer_copy(buffer.get()));
    buffer.reset();
    EXPECT_NE(inode(acquire(from).get()), identity);
    copy.reset();
    stop(from);
}

TEST_F(PoolTest, FramesWhoseReadersHangAreReplaced)
{
    auto faulty = std::make_shared<DeviceWithFaults>(device_);
    auto from = gst_hl_buffer_pool_new(faulty, hl::Placement::Device);
    ASSERT_TRUE(gst_hl_buffer_pool_setup(from.get(), system_caps("NV12", 64, 32).get(), 0, 1, 0, true).has_value());
    int waits = 0;
    faulty->on_wait_readers = [&](int, hl::Deadline) -> hl::Result<bool> {
        ++waits;
        return true;
    };
    const ino_t identity = inode(acquire(from).get());
    EXPECT_EQ(waits, 0) << "nobody can have fenced a frame that was never handed out";
    EXPECT_EQ(inode(acquire(from).get()), identity);
    EXPECT_EQ(waits, 1);
    faulty->on_wait_readers = [&](int, hl::Deadline) -> hl::Result<bool> {
        return hl::fail(hl::ErrorCode::FenceTimeout, "wait", "a reader hangs");
    };
    EXPECT_NE(inode(acquire(from).get()), identity);
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open + 1) << "the hanging frame was kept";
    stop(from);
}

TEST_F(PoolTest, WhatCameBackLastIsHandedOutFirst)
{
    auto from = pool(system_caps("NV12", 64, 32).get());
    auto one = acquire(from), two = acquire(from);
    const ino_t first = inode(one.get()), last = inode(two.get());
    one.reset();
    two.reset();
    one = acquire(from);
    two = acquire(from);
    EXPECT_EQ(inode(one.get()), last);
    EXPECT_EQ(inode(two.get()), first);
    one.reset();
    two.reset();
    stop(from);
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open) << "idle frames outlived their pool";
}

TEST_F(PoolTest, TheOldestIsTakenAndWaitedForWhereTheLastIsStillRead)
{
    auto faulty = std::make_shared<DeviceWithFaults>(device_);
    auto from = gst_hl_buffer_pool_new(faulty, hl::Placement::Device);
    ASSERT_TRUE(gst_hl_buffer_pool_setup(from.get(), system_caps("NV12", 64, 32).get(), 0, 0, 0, true).has_value());
    auto one = acquire(from), two = acquire(from), three = acquire(from);
    const ino_t oldest = inode(one.get()), last = inode(three.get());
    const int read = gst_hl_memory_fd(gst_buffer_peek_memory(three.get(), 0));
    one.reset();
    two.reset();
    three.reset();
    std::vector<bool> may_wait;
    faulty->on_wait_readers = [&](int fd, hl::Deadline until) -> hl::Result<bool> {
        may_wait.push_back(until > hl::Clock::now());
        if (fd == read)
            return hl::fail(hl::ErrorCode::FenceTimeout, "wait", "a display reads");
        return true;
    };
    EXPECT_EQ(inode(acquire(from).get()), oldest);
    EXPECT_EQ(may_wait, (std::vector<bool>{false, true}));
    faulty->on_wait_readers = nullptr;
    one = acquire(from);
    two = acquire(from);
    EXPECT_EQ(inode(two.get()), last) << "a frame that was read is kept for later";
    one.reset();
    two.reset();
    stop(from);
}

TEST_F(PoolTest, ADescriptorWithoutFencesIsAskedOnce)
{
    auto faulty = std::make_shared<DeviceWithFaults>(device_);
    auto from = gst_hl_buffer_pool_new(faulty, hl::Placement::Host);
    ASSERT_TRUE(gst_hl_buffer_pool_setup(from.get(), system_caps("NV12", 64, 32).get(), 0, 1, 0, true).has_value());
    int asked = 0;
    faulty->on_wait_readers = [&](int, hl::Deadline) -> hl::Result<bool> {
        ++asked;
        return false;
    };
    for (int round = 0; round < 4; ++round)
        acquire(from);
    EXPECT_EQ(asked, 1);
    stop(from);
}

TEST_F(PoolTest, AThreadThatWaitsGetsTheFrameThatComesBack)
{
    auto from = pool(system_caps("NV12", 64, 32).get(), hl::Placement::Host, 0, 0, 1);
    auto only = acquire(from);
    const ino_t identity = inode(only.get());
    Sleeper waiting([&] { EXPECT_EQ(inode(acquire(from).get()), identity); });
    waiting.wait_asleep();
    only.reset();
    waiting.join();
    EXPECT_EQ(inode(acquire(from).get()), identity);
    stop(from);
}

TEST_F(PoolTest, APoolThatNobodyStoppedFreesItsFrames)
{
    auto from = pool(system_caps("NV12", 64, 32).get(), hl::Placement::Host, 0, 3);
    acquire(from);
    from.reset();
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open);
}

TEST_F(PoolTest, LossEndsInAnErrorAndRecoveryInNewFrames)
{
    auto from = pool(system_caps("NV12", 64, 32).get(), hl::Placement::Device, 0, 1);
    const ino_t identity = inode(acquire(from).get());
    hl::sim::lose(*device_);
    acquire(from, GST_FLOW_ERROR);
    const auto error = gst_hl_buffer_pool_take_error(GST_HL_BUFFER_POOL(from.get()));
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->code, hl::ErrorCode::DeviceLost);
    EXPECT_FALSE(gst_hl_buffer_pool_take_error(GST_HL_BUFFER_POOL(from.get())).has_value()) << "moved out once";
    ASSERT_TRUE(device_->recover().has_value());
    const auto buffer = acquire(from);
    EXPECT_NE(inode(buffer.get()), identity);
    EXPECT_TRUE(gst_hl_memory_get(gst_buffer_peek_memory(buffer.get(), 0)).has_value());
    stop(from);
}

TEST_F(PoolTest, FramesOutliveThePoolAndTheElement)
{
    auto from = pool(system_caps("NV12", 64, 32).get());
    auto buffer = acquire(from);
    EXPECT_TRUE(gst_buffer_pool_set_active(from.get(), FALSE));
    from.reset();
    GstMapInfo map;
    ASSERT_TRUE(gst_buffer_map(buffer.get(), &map, GST_MAP_WRITE));
    std::memset(map.data, 1, map.size);
    gst_buffer_unmap(buffer.get(), &map);
    buffer.reset();
}

TEST_F(PoolTest, FlushingEndsAnAcquire)
{
    auto from = pool(system_caps("NV12", 64, 32).get());
    gst_buffer_pool_set_flushing(from.get(), TRUE);
    acquire(from, GST_FLOW_FLUSHING);
    gst_buffer_pool_set_flushing(from.get(), FALSE);
    acquire(from);
    stop(from);
}

TEST(PoolFaultTest, FullDeviceIsAnErrorWithItsCode)
{
    const Setenv faults("HL_SIM_FAULTS", "alloc:2=ENOMEM");
    const auto device = open_sim();
    const auto pool = gst_hl_buffer_pool_new(device, hl::Placement::Device);
    const auto refused = gst_hl_buffer_pool_setup(pool.get(), system_caps("NV12", 64, 32).get(), 0, 3, 0, true);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, hl::ErrorCode::MemoryFull);
    EXPECT_EQ(device->usage().device_bytes, 0u) << "the first frame leaked";
}

TEST(PoolFaultTest, AFailureInTheMiddleOfAFrameLeavesNothing)
{
    const Setenv faults("HL_SIM_FAULTS", "alloc:2=ENOMEM");
    const auto device = open_sim();
    const auto pool = gst_hl_buffer_pool_new(device, hl::Placement::Device, GST_HL_PLANES_MULTI);
    const auto refused = gst_hl_buffer_pool_setup(pool.get(), system_caps("NV12", 64, 32).get(), 0, 1, 0, true);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, hl::ErrorCode::MemoryFull);
    EXPECT_EQ(device->usage().device_bytes, 0u) << "the first plane leaked";
    EXPECT_EQ(device->usage().exports_open, 0u);
}

} // namespace
