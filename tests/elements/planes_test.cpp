// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames with a dma-buf for each plane: what drivers of multi-planar formats import.

#include "elementtesting.h"
#include "gsthlbufferpool.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/analytics/analytics.h>

#include <format>
#include <set>
#include <utility>

using namespace hltest;

namespace {

// Lays a picture into a frame, each plane into the first bytes of its own memory: a map of the whole would make one.
void fill(GstBuffer *buffer, const std::string &caps, const Picture &what)
{
    const hl::FrameFormat format = *gst_hl_frame_format(video_info(caps));
    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
    ASSERT_EQ(gst_buffer_n_memory(buffer), what.size());
    for (guint p = 0; p < what.size(); ++p) {
        GstMapInfo map;
        ASSERT_TRUE(gst_memory_map(gst_buffer_peek_memory(buffer, p), &map, GST_MAP_WRITE));
        const size_t row = hl::plane_row_bytes(format, p), stride = static_cast<size_t>(meta->stride[p]);
        for (size_t y = 0; y < hl::plane_rows(format, p); ++y)
            std::memcpy(map.data + y * stride, what[p].data() + y * row, row);
        gst_memory_unmap(map.memory, &map);
    }
}

std::vector<ino_t> inodes(const GstPtr<GstBuffer> &buffer)
{
    std::vector<ino_t> out;
    for (guint i = 0; i < gst_buffer_n_memory(buffer.get()); ++i)
        out.push_back(inode(gst_buffer_peek_memory(buffer.get(), i)));
    return out;
}

class PlanesTest : public LineTest {
protected:
    // An active pool with a memory for each plane.
    GstPtr<GstBufferPool> pool(const std::string &caps, hl::Placement placement = hl::Placement::Host, guint size = 0)
    {
        auto out = gst_hl_buffer_pool_new(device_, placement, GST_HL_PLANES_MULTI);
        const auto ready = gst_hl_buffer_pool_setup(out.get(), caps_of(caps).get(), size, 0, 0, true);
        EXPECT_TRUE(ready.has_value()) << ready.error().details();
        return out;
    }
    // A frame whose pool has stopped.
    GstPtr<GstBuffer> frame(const std::string &caps, hl::Placement placement = hl::Placement::Host, guint size = 0)
    {
        const auto from = pool(caps, placement, size);
        auto out = frame_of(from);
        EXPECT_TRUE(gst_buffer_pool_set_active(from.get(), FALSE));
        return out;
    }
};

TEST_F(PlanesTest, EveryPlaneIsAWholeDmabufAndTheMetaSaysSo)
{
    for (const std::string &format : all_formats()) {
        for (const auto &[width, height] : {std::pair{320, 240}, {61, 31}, {1, 1}}) {
            for (const std::string &caps : {system_caps(format, width, height), dmabuf_caps(format, width, height)}) {
                const GstVideoInfo info = video_info(caps);
                const auto from = pool(caps);
                // Twice: metas of the first round must be there in the second.
                std::set<std::vector<ino_t>> seen;
                for (int round = 0; round < 2; ++round) {
                    const auto buffer = frame_of(from);
                    const auto identity = inodes(buffer);
                    seen.insert(identity);
                    ASSERT_EQ(identity.size(), GST_VIDEO_INFO_N_PLANES(&info)) << caps;
                    EXPECT_EQ(std::set(identity.begin(), identity.end()).size(), identity.size());
                    EXPECT_EQ(gst_buffer_get_size(buffer.get()), info.size);
                    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer.get());
                    ASSERT_NE(meta, nullptr);
                    for (guint p = 0; p < meta->n_planes; ++p) {
                        EXPECT_EQ(meta->stride[p], info.stride[p]);
                        EXPECT_EQ(meta->offset[p], info.offset[p]);
                        guint index = 9, length = 0;
                        gsize skip = 1, offset = 1, maxsize = 0;
                        ASSERT_TRUE(gst_buffer_find_memory(buffer.get(), meta->offset[p], 1, &index, &length, &skip));
                        EXPECT_EQ(index, p);
                        EXPECT_EQ(skip, 0u);
                        GstMemory *memory = gst_buffer_peek_memory(buffer.get(), p);
                        EXPECT_TRUE(gst_is_dmabuf_memory(memory));
                        const gsize size = gst_memory_get_sizes(memory, &offset, &maxsize);
                        EXPECT_EQ(offset, 0u);
                        EXPECT_GE(maxsize, size + 4096) << "a page of slack, for the driver's sizeimage";
                    }
                }
                EXPECT_EQ(seen.size(), 1u) << "not recycled";
                gst_buffer_pool_set_active(from.get(), FALSE);
            }
        }
    }
}

TEST_F(PlanesTest, WhatIsWantedBeyondTheFrameIsTheLastPlanes)
{
    const auto buffer = frame(system_caps("NV12", 64, 32), hl::Placement::Host, 64 * 32 * 3 / 2 + 1000);
    EXPECT_EQ(gst_buffer_peek_memory(buffer.get(), 0)->size, 64u * 32);
    EXPECT_EQ(gst_buffer_peek_memory(buffer.get(), 1)->size, 64u * 16 + 1000);
}

// kmssink finds its framebuffer by the first memory: with other planes behind it that would be another picture.
TEST_F(PlanesTest, APlaneThatLostItsFrameIsNotUsedInAnother)
{
    const auto from = pool(system_caps("I420", 64, 32), hl::Placement::Device);
    auto buffer = frame_of(from);
    GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_TAG_MEMORY); // somebody changed its memories: it is discarded
    buffer.reset();
    EXPECT_EQ(device_->usage().exports_open, before_.exports_open) << "planes rest somewhere";
    gst_buffer_pool_set_active(from.get(), FALSE);
}

TEST_F(PlanesTest, PaddingBeforeThePictureIsRefused)
{
    const auto from = gst_hl_buffer_pool_new(device_, hl::Placement::Host, GST_HL_PLANES_MULTI);
    const auto takes = [&](guint top, guint left, guint bottom) {
        GstVideoAlignment alignment;
        gst_video_alignment_reset(&alignment);
        alignment.padding_top = top;
        alignment.padding_left = left;
        alignment.padding_bottom = bottom;
        GstStructure *config = gst_buffer_pool_get_config(from.get());
        gst_buffer_pool_config_set_params(config, caps_of(system_caps("NV12", 64, 32)).get(), 0, 0, 0);
        gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
        gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
        gst_buffer_pool_config_set_video_alignment(config, &alignment);
        return gst_buffer_pool_set_config(from.get(), config) != FALSE;
    };
    EXPECT_FALSE(takes(2, 0, 0));
    EXPECT_FALSE(takes(0, 2, 0));
    EXPECT_TRUE(takes(0, 0, 2));
}

// A pool whose frames the camera cannot fill starts nevertheless: its owner has said why, and better than the camera.
TEST_F(PlanesTest, WhatTheCheckAtTheStartFindsIsToldToTheOwner)
{
    static std::vector<hl::ErrorCode> told;
    const auto owner = GstPtr<GstElement>::sink(gst_element_factory_make("identity", nullptr));
    const auto from = gst_hl_buffer_pool_new(device_, hl::Placement::Host);
    auto *self = GST_HL_BUFFER_POOL(from.get());
    gst_hl_buffer_pool_set_error_handler(self, owner.get(),
                                         [](GstElement *, const hl::Error &error) { told.push_back(error.code); });
    gst_hl_buffer_pool_set_start_check(
        self, [] { return hl::Status(hl::fail(hl::ErrorCode::ImportFormat, "check", "wrong number of dma-bufs")); });
    const auto caps = caps_of(system_caps("NV12", 64, 32));
    ASSERT_TRUE(gst_hl_buffer_pool_setup(from.get(), caps.get(), 0, 1, 0, false).has_value());
    EXPECT_TRUE(told.empty());
    EXPECT_TRUE(gst_buffer_pool_set_active(from.get(), TRUE));
    EXPECT_EQ(told, std::vector{hl::ErrorCode::ImportFormat});
    EXPECT_TRUE(gst_buffer_pool_set_active(from.get(), FALSE));
}

TEST_F(PlanesTest, HluploadOffersThemAndBringsThemUpByOneDma)
{
    for (const std::string &format : all_formats()) {
        const std::string caps = system_caps(format, 61, 31);
        Harness h("hlupload device=sim planes=multi zero-copy=require");
        h.src_caps(caps);
        const auto from = h.offered(caps);
        const auto in = frame_of(from);
        const Picture what = picture(caps, 1);
        fill(in.get(), caps, what);
        ASSERT_EQ(h.push(in), GST_FLOW_OK);
        EXPECT_EQ(device_picture(*device_, h.pull().get(), caps), what) << caps;
        EXPECT_EQ(h.stat("uploads"), 1u);
        EXPECT_EQ(h.stat("cpu-copies"), 0u);
        const Messages messages = h.messages();
        ASSERT_EQ(messages.placements().size(), 1u);
        EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "reason"), "own-pool");
        gst_buffer_pool_set_active(from.get(), FALSE);
    }
}

// The model sees the same picture in one memory and in several, and nothing is copied for it.
TEST_F(PlanesTest, HlinferOffersThemAndReadsThemInPlace)
{
    const std::string caps = system_caps("NV12", 320, 240);
    std::vector<Bytes> tensors;
    for (const char *planes : {"single", "multi"}) {
        Harness h((std::string("hlinfer device=sim model=builtin:demo zero-copy=require planes=") + planes).c_str());
        h.src_caps(caps);
        const auto from = h.offered(caps);
        const auto in = frame_of(from);
        if (tensors.empty())
            paint_buffer(in.get(), caps, picture(caps, 4));
        else
            fill(in.get(), caps, picture(caps, 4));
        const auto identity = inodes(in);
        ASSERT_EQ(h.push(in), GST_FLOW_OK);
        const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
        EXPECT_EQ(inodes(out), identity);
        const GstTensorMeta *meta = gst_buffer_get_tensor_meta(out.get());
        ASSERT_NE(meta, nullptr);
        const GstBufferMap map(gst_tensor_meta_get(const_cast<GstTensorMeta *>(meta), 0)->data, GST_MAP_READ);
        tensors.emplace_back(map.data(), map.data() + map.size());
        for (const char *counter : {"cpu-copies", "uploads", "read-backs"})
            EXPECT_EQ(h.stat(counter), 0u) << counter;
        gst_buffer_pool_set_active(from.get(), FALSE);
    }
    EXPECT_FALSE(tensors[0].empty());
    EXPECT_EQ(tensors[0], tensors[1]);
}

TEST_F(PlanesTest, AProducerThatMapsPlaneByPlaneFillsThem)
{
    for (const char *element : {"hlupload", "hlinfer model=builtin:demo"}) {
        Messages messages;
        Pipeline pipeline(std::format("videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=62,height=31 ! {} "
                                      "device=sim planes=multi zero-copy=require ! fakesink",
                                      element));
        EXPECT_TRUE(pipeline.run(messages)) << element;
    }
}

TEST_F(PlanesTest, DeviceFramesPassHluploadAndComeDownByOneDma)
{
    for (const std::string &format : all_formats()) {
        const std::string caps = dmabuf_caps(format, 61, 31);
        const auto in = frame(caps, hl::Placement::Device);
        const Picture what = picture(caps, 2);
        fill(in.get(), caps, what);
        Harness up("hlupload device=sim");
        up.src_caps(caps);
        ASSERT_EQ(up.push(in), GST_FLOW_OK);
        EXPECT_EQ(up.pull().get(), in.get());
        Harness down("hldownload device=sim");
        down.src_caps(caps);
        ASSERT_EQ(down.push(in), GST_FLOW_OK);
        const auto out = down.pull();
        EXPECT_EQ(gst_buffer_n_memory(out.get()), 1u);
        EXPECT_EQ(mapped_picture(out.get(), caps), what) << caps;
        EXPECT_EQ(down.stat("downloads"), 1u);
        EXPECT_EQ(down.stat("cpu-copies"), 0u);
    }
}

// Who maps the whole of such a buffer makes GStreamer copy its memories into one, which nobody would count.
TEST_F(PlanesTest, HostFramesPassHldownloadOnlyWhereEveryPlaneIsMappedAlone)
{
    const std::string caps = dmabuf_caps("NV12", 64, 32);
    for (const bool reads_meta : {true, false}) {
        Harness h("hldownload device=sim");
        if (reads_meta)
            gst_harness_add_propose_allocation_meta(h.get(), GST_VIDEO_META_API_TYPE, nullptr);
        h.src_caps(caps);
        const auto in = frame(caps);
        const Picture what = picture(caps, 3);
        fill(in.get(), caps, what);
        ASSERT_EQ(h.push(in), GST_FLOW_OK);
        const auto out = h.pull();
        EXPECT_EQ(out.get() == in.get(), reads_meta);
        EXPECT_EQ(gst_buffer_n_memory(out.get()), reads_meta ? 2u : 1u);
        EXPECT_EQ(h.stat("cpu-copies"), reads_meta ? 0u : 1u);
        EXPECT_EQ(mapped_picture(out.get(), caps), what);
        if (!reads_meta) {
            const Messages messages = h.messages();
            ASSERT_EQ(messages.placements().size(), 1u);
            EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "reason"), "planes-apart");
        }
    }
}

} // namespace
