// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "elementtesting.h"
#include "gsthlbufferpool.h"

#include <gst/analytics/analytics.h>

using namespace hltest;

namespace {

class UploadTest : public LineTest {};

TEST_F(UploadTest, HostFramesGoIntoDeviceMemoryByOneDma)
{
    for (const std::string &format : all_formats()) {
        for (const auto &[width, height] : {std::pair{320, 240}, {61, 31}, {1, 1}}) {
            for (const std::string &caps : {system_caps(format, width, height), dmabuf_caps(format, width, height)}) {
                Harness h("hlupload device=sim");
                h.src_caps(caps);
                const auto pool = h.offered(caps);
                for (unsigned seed = 1; seed <= 2; ++seed) {
                    auto in = frame_of(pool);
                    const Picture what = picture(caps, seed);
                    paint_buffer(in.get(), caps, what);
                    ASSERT_EQ(h.push(in), GST_FLOW_OK);
                    const auto out = h.pull();
                    ASSERT_TRUE(out);
                    EXPECT_NE(inode(out.get()), inode(in.get()));
                    EXPECT_EQ(device_picture(*device_, out.get(), caps), what) << caps;
                }
                EXPECT_EQ(h.negotiated(), dmabuf_caps(format, width, height));
                EXPECT_EQ(h.stat("uploads"), 2u);
                EXPECT_EQ(h.stat("cpu-copies"), 0u);
                size_t bytes = 0;
                for (const Bytes &plane : picture(caps, 0))
                    bytes += plane.size();
                EXPECT_EQ(h.stat("upload-bytes"), 2 * bytes);
                gst_buffer_pool_set_active(pool.get(), FALSE);
            }
        }
    }
}

// The negative control of the test above: what reaches device memory comes through the device's MMU from those very
// pages, for without their mapping nothing does.
TEST_F(UploadTest, HostFramesAreReadThroughTheDevicesMmu)
{
    Harness h("hlupload device=sim");
    const std::string caps = system_caps("NV12", 64, 32);
    h.src_caps(caps);
    const auto pool = h.offered(caps);
    const auto in = frame_of(pool);
    ASSERT_TRUE(hl::sim::unpin(*device_, *gst_hl_memory_get(gst_buffer_peek_memory(in.get(), 0))));
    EXPECT_EQ(h.push(in), GST_FLOW_FLUSHING);
    EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-DMA-001"});
    EXPECT_EQ(h.stat("uploads"), 0u);
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(UploadTest, ForeignFramesAreCopiedAndSaidToBe)
{
    for (const std::string &format : all_formats()) {
        const std::string caps = system_caps(format, 61, 31);
        Harness h("hlupload device=sim");
        h.src_caps(caps);
        for (unsigned seed = 1; seed <= 3; ++seed) {
            const Picture what = picture(caps, seed);
            ASSERT_EQ(h.push(foreign_frame(caps, what)), GST_FLOW_OK);
            EXPECT_EQ(device_picture(*device_, h.pull().get(), caps), what);
        }
        EXPECT_EQ(h.stat("cpu-copies"), 3u);
        EXPECT_EQ(h.stat("uploads"), 3u);
        const Messages messages = h.messages();
        ASSERT_EQ(messages.placements().size(), 1u) << "once per negotiation";
        EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "placement"), "system");
        EXPECT_EQ(messages.of(GST_MESSAGE_WARNING).size(), 1u);
        EXPECT_TRUE(messages.of(GST_MESSAGE_ERROR).empty());
    }
}

TEST_F(UploadTest, ForeignStridesAreObeyedOnTheWayThereAndBack)
{
    for (const std::string &format : all_formats())
        for (const auto &[width, height] : {std::pair{61, 31}, {64, 32}, {7, 5}, {1, 1}}) {
            const std::string caps = system_caps(format, width, height);
            Harness up("hlupload device=sim"), down("hldownload device=sim");
            up.src_caps(caps);
            const auto in = odd_frame(caps);
            const Picture what = picture(caps, 5);
            paint_buffer(in.get(), caps, what);
            ASSERT_EQ(up.push(in), GST_FLOW_OK);
            const auto frame = up.pull();
            EXPECT_EQ(device_picture(*device_, frame.get(), caps), what) << caps;
            down.src_caps(up.negotiated());
            ASSERT_EQ(down.push(frame), GST_FLOW_OK);
            EXPECT_EQ(mapped_picture(down.pull().get(), caps), what) << caps;
        }
}

TEST_F(UploadTest, DeviceFramesPassOn)
{
    const std::string caps = dmabuf_caps("NV12", 320, 240);
    Harness h("hlupload device=sim memory=device");
    h.src_caps(caps);
    const auto pool = h.offered(caps);
    EXPECT_EQ(gst_hl_allocator_placement(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get()))),
              hl::Placement::Device);
    const auto in = frame_of(pool);
    ASSERT_EQ(h.push(in), GST_FLOW_OK);
    const auto out = h.pull();
    EXPECT_EQ(out.get(), in.get());
    for (const char *counter : {"uploads", "cpu-copies", "downloads", "read-backs", "map-downloads", "map-uploads"})
        EXPECT_EQ(h.stat(counter), 0u) << counter;
    const Messages messages = h.messages();
    ASSERT_EQ(messages.placements().size(), 1u);
    EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "placement"), "device");
    EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "reason"), "own-pool");
    EXPECT_TRUE(messages.of(GST_MESSAGE_WARNING).empty());
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(UploadTest, AllocationAnswerHasMetaPoolAndAllocator)
{
    for (const std::string &caps : {system_caps("NV12", 64, 32), dmabuf_caps("NV12", 64, 32)}) {
        for (const char *memory : {"auto", "host", "device"}) {
            Harness h((std::string("hlupload device=sim memory=") + memory).c_str());
            h.src_caps(caps);
            const auto query = h.ask(caps);
            EXPECT_TRUE(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
            GstBufferPool *pool = nullptr;
            guint size = 0, max = 1;
            ASSERT_EQ(gst_query_get_n_allocation_pools(query.get()), 1u);
            gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, &size, nullptr, &max);
            EXPECT_TRUE(pool && GST_IS_HL_BUFFER_POOL(pool));
            EXPECT_EQ(size, 64u * 32 * 3 / 2);
            EXPECT_EQ(max, 0u);
            gst_clear_object(&pool);
            GstAllocator *allocator = nullptr;
            ASSERT_EQ(gst_query_get_n_allocation_params(query.get()), 1u);
            gst_query_parse_nth_allocation_param(query.get(), 0, &allocator, nullptr);
            ASSERT_TRUE(allocator && GST_IS_HL_ALLOCATOR(allocator));
            EXPECT_EQ(gst_hl_allocator_placement(GST_HL_ALLOCATOR(allocator)),
                      std::string(memory) == "device" ? hl::Placement::Device : hl::Placement::Host);
            gst_clear_object(&allocator);
        }
    }
}

TEST_F(UploadTest, RequireRefusesACopyAndTellsWhy)
{
    const std::string caps = system_caps("NV12", 64, 32);
    {
        Harness h("hlupload device=sim zero-copy=require");
        h.src_caps(caps); // the harness asks as a source would
        EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_FLUSHING);
        const Messages messages = h.messages();
        EXPECT_EQ(messages.of(GST_MESSAGE_ERROR).size(), 1u);
        ASSERT_EQ(messages.error_codes().size(), 1u);
        EXPECT_EQ(h.stat("cpu-copies"), 0u);
    }
    {
        Harness h("hlupload device=sim zero-copy=require");
        h.src_caps(caps);
        const auto pool = h.offered(caps);
        EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_FLUSHING);
        // As decoders do, which send what they still have in hand.
        EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_FLUSHING);
        EXPECT_EQ(h.push(frame_of(pool)), GST_FLOW_FLUSHING) << "a frame behind the error goes nowhere";
        EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-CPY-002"});
        gst_buffer_pool_set_active(pool.get(), FALSE);
    }
    {
        Messages messages;
        Pipeline behind_tee("videotestsrc num-buffers=2 ! tee ! hlupload device=sim zero-copy=require ! fakesink");
        EXPECT_FALSE(behind_tee.run(messages));
        EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-CPY-001"});
    }
    {
        Messages messages;
        Pipeline direct("videotestsrc num-buffers=20 ! hlupload device=sim zero-copy=require ! fakesink");
        EXPECT_TRUE(direct.run(messages)) << "videotestsrc takes the pool";
    }
}

TEST_F(UploadTest, RequireRefusesCpuMapsOfWhatComesOut)
{
    const std::string caps = system_caps("NV12", 64, 32);
    Harness h("hlupload device=sim zero-copy=require");
    h.src_caps(caps);
    const auto pool = h.offered(caps);
    ASSERT_EQ(h.push(frame_of(pool)), GST_FLOW_OK);
    const auto out = h.pull();
    GstMapInfo map;
    EXPECT_FALSE(gst_buffer_map(out.get(), &map, GST_MAP_READ));
    EXPECT_FALSE(gst_buffer_map(out.get(), &map, GST_MAP_READ));
    EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-CPY-001"}) << "told once";
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(UploadTest, CpuMapsOfWhatComesOutAreCounted)
{
    const std::string caps = system_caps("NV12", 64, 32);
    Harness h("hlupload device=sim");
    h.src_caps(caps);
    const Picture what = picture(caps, 3);
    ASSERT_EQ(h.push(foreign_frame(caps, what)), GST_FLOW_OK);
    EXPECT_EQ(mapped_picture(h.pull().get(), caps), what);
    EXPECT_EQ(h.stat("map-downloads"), 1u);
    EXPECT_EQ(h.stat("map-download-bytes"), 64u * 32 * 3 / 2);
    EXPECT_EQ(h.stat("downloads"), 0u) << "the element's own doing";
}

TEST_F(UploadTest, MetadataGoesAlong)
{
    const std::string caps = system_caps("NV12", 64, 32);
    Harness h("hlupload device=sim");
    h.src_caps(caps);
    const auto in = foreign_frame(caps, picture(caps, 1));
    GST_BUFFER_PTS(in.get()) = 3 * GST_SECOND;
    GST_BUFFER_DURATION(in.get()) = GST_SECOND;
    GstAnalyticsRelationMeta *relations = gst_buffer_add_analytics_relation_meta(in.get());
    GstAnalyticsODMtd box;
    ASSERT_TRUE(gst_analytics_relation_meta_add_od_mtd(relations, 0, 1, 2, 3, 4, 0.5f, &box));
    ASSERT_EQ(h.push(in), GST_FLOW_OK);
    const auto out = h.pull();
    EXPECT_EQ(GST_BUFFER_PTS(out.get()), 3 * GST_SECOND);
    EXPECT_EQ(GST_BUFFER_DURATION(out.get()), GST_SECOND);
    const GstAnalyticsRelationMeta *copied = gst_buffer_get_analytics_relation_meta(out.get());
    ASSERT_NE(copied, nullptr);
    EXPECT_EQ(gst_analytics_relation_get_length(const_cast<GstAnalyticsRelationMeta *>(copied)), 1u);
    guint video_metas = 0;
    gpointer state = nullptr;
    while (gst_buffer_iterate_meta_filtered(out.get(), &state, GST_VIDEO_META_API_TYPE))
        ++video_metas;
    EXPECT_EQ(video_metas, 1u);
}

TEST_F(UploadTest, FramesThatDoNotFitTheirCapsAreOneError)
{
    const std::string caps = system_caps("NV12", 64, 32);
    {
        Harness h("hlupload device=sim");
        h.src_caps(caps);
        EXPECT_EQ(h.push(GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, 100, nullptr))), GST_FLOW_FLUSHING);
        const Messages messages = h.messages();
        EXPECT_EQ(messages.of(GST_MESSAGE_ERROR).size(), 1u);
        EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-FMT-002"});
    }
    {
        Harness h("hlupload device=sim");
        h.src_caps(caps);
        const auto pool = h.offered(caps);
        const auto in = frame_of(pool);
        gst_buffer_get_video_meta(in.get())->stride[0] = 63;
        EXPECT_EQ(h.push(in), GST_FLOW_FLUSHING);
        EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-FMT-003"});
        gst_buffer_pool_set_active(pool.get(), FALSE);
    }
    {
        Harness h("hlupload device=sim");
        h.src_caps(caps);
        EXPECT_EQ(h.push(GstPtr<GstBuffer>::adopt(gst_buffer_new())), GST_FLOW_FLUSHING) << "an empty buffer";
        EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-FMT-002"});
    }
}

TEST_F(UploadTest, EosBeforeTheFirstFrame)
{
    Messages messages;
    Pipeline pipeline("videotestsrc num-buffers=0 ! hlupload device=sim ! fakesink");
    EXPECT_TRUE(pipeline.run(messages));
    EXPECT_TRUE(messages.placements().empty());
}

TEST_F(UploadTest, FlushLeavesItWorking)
{
    const std::string caps = system_caps("NV12", 64, 32);
    Harness h("hlupload device=sim");
    h.src_caps(caps);
    const auto pool = h.offered(caps);
    ASSERT_EQ(h.push(frame_of(pool)), GST_FLOW_OK);
    ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_flush_start()));
    EXPECT_EQ(h.push(frame_of(pool)), GST_FLOW_FLUSHING);
    ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_flush_stop(TRUE)));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_segment(&segment)));
    EXPECT_EQ(h.push(frame_of(pool)), GST_FLOW_OK);
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(UploadTest, CapsChangesLeakNothing)
{
    Harness h("hlupload device=sim");
    const auto round = [&](int i) {
        const std::string caps = system_caps(i % 2 ? "NV12" : "BGRx", 64 + i % 7, 32);
        h.src_caps(caps);
        const auto pool = h.offered(caps);
        EXPECT_EQ(h.push(frame_of(pool)), GST_FLOW_OK);
        EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_OK);
        EXPECT_TRUE(h.pull());
        EXPECT_TRUE(h.pull());
        gst_buffer_pool_set_active(pool.get(), FALSE);
    };
    // Every seventh pair of rounds has the same caps.
    for (int i = 0; i < 14; ++i)
        round(i);
    const size_t descriptors = open_descriptors();
    const hl::Device::Usage usage = device_->usage();
    for (int i = 0; i < 210; ++i)
        round(i % 14);
    EXPECT_EQ(open_descriptors(), descriptors);
    EXPECT_EQ(device_->usage().device_bytes, usage.device_bytes);
    EXPECT_EQ(device_->usage().host_bytes, usage.host_bytes);
}

TEST_F(UploadTest, StateCyclesLeakNothing)
{
    Pipeline pipeline("videotestsrc ! video/x-raw,format=NV12,width=64,height=32 ! hlupload device=sim ! "
                      "hldownload ! fakesink sync=false");
    const auto round = [&] {
        pipeline.state(GST_STATE_PLAYING);
        pipeline.state(GST_STATE_READY);
        Messages dropped;
        drain(pipeline.bus(), dropped);
        EXPECT_TRUE(dropped.of(GST_MESSAGE_ERROR).empty());
    };
    round();
    const size_t descriptors = open_descriptors();
    const hl::Device::Usage usage = device_->usage();
    for (int i = 0; i < 200; ++i)
        round();
    EXPECT_EQ(open_descriptors(), descriptors);
    EXPECT_EQ(device_->usage().device_bytes, usage.device_bytes);
    EXPECT_EQ(device_->usage().host_bytes, usage.host_bytes);
}

TEST_F(UploadTest, LossIsOneErrorAndPlayingWorksAgain)
{
    const std::string caps = system_caps("NV12", 64, 32);
    Harness h("hlupload device=sim");
    h.src_caps(caps);
    ASSERT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_OK);
    EXPECT_TRUE(h.pull());
    (void)h.messages();
    hl::sim::lose(*device_);
    EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_FLUSHING);
    EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-DEV-004"});
    ASSERT_EQ(gst_element_set_state(h.element(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
    ASSERT_EQ(gst_element_set_state(h.element(), GST_STATE_PLAYING), GST_STATE_CHANGE_SUCCESS);
    gst_harness_push_event(h.get(), gst_event_new_stream_start("again"));
    h.src_caps(caps);
    const Picture what = picture(caps, 9);
    ASSERT_EQ(h.push(foreign_frame(caps, what)), GST_FLOW_OK);
    EXPECT_EQ(device_picture(*device_, h.pull().get(), caps), what);
}

TEST_F(UploadTest, PlacementIsToldAnewAfterACapsChange)
{
    Harness h("hlupload device=sim");
    for (const std::string &caps : {system_caps("NV12", 64, 32), system_caps("NV12", 32, 64)}) {
        h.src_caps(caps);
        const auto pool = h.offered(caps);
        for (int i = 0; i < 3; ++i)
            ASSERT_EQ(h.push(frame_of(pool)), GST_FLOW_OK);
        const Messages messages = h.messages();
        ASSERT_EQ(messages.placements().size(), 1u);
        EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "placement"), "host");
        EXPECT_EQ(messages.of(GST_MESSAGE_INFO).size(), 1u);
        gst_buffer_pool_set_active(pool.get(), FALSE);
    }
}

// Decoders of libav write into an offered pool only if it has both options and lays frames out as they computed. The
// first frames may come from elsewhere.
TEST_F(UploadTest, LibavDecodesIntoTheOfferedPool)
{
    const auto decoder = GstPtr<GstElementFactory>::adopt(gst_element_factory_find("avdec_h264"));
    const auto encoder = GstPtr<GstElementFactory>::adopt(gst_element_factory_find("x264enc"));
    ASSERT_TRUE(decoder && encoder) << "gstreamer1.0-libav and gstreamer1.0-plugins-ugly are build dependencies";
    Messages messages;
    Pipeline pipeline("videotestsrc num-buffers=120 pattern=ball ! video/x-raw,format=I420,width=322,height=242 ! "
                      "x264enc key-int-max=30 tune=zerolatency ! h264parse ! avdec_h264 ! hlupload name=u device=sim ! "
                      "fakesink sync=false");
    ASSERT_TRUE(pipeline.run(messages));
    GstStructure *stats = nullptr;
    g_object_get(pipeline.element("u").get(), "stats", &stats, nullptr);
    const GstStructurePtr owned(stats);
    guint64 copies = 0, uploads = 0;
    gst_structure_get_uint64(stats, "cpu-copies", &copies);
    gst_structure_get_uint64(stats, "uploads", &uploads);
    EXPECT_EQ(uploads, 120u);
    EXPECT_LE(copies, 30u) << "from the second GOP on nothing is copied";
    RecordProperty("cpu_copies", static_cast<int>(copies));
}

TEST(UploadFaultTest, EveryFaultIsOneErrorWithItsCode)
{
    struct {
        const char *faults;
        const char *code;
    } const cases[] = {{"hbm-full", "HL-MEM-001"},
                       {"copy:5=EINVAL", "HL-DMA-001"},
                       {"export:2=EMFILE", "HL-MEM-007"},
                       {"lost@copy:4", "HL-DEV-004"}};
    for (const auto &c : cases) {
        const Setenv faults("HL_SIM_FAULTS", c.faults);
        Messages messages;
        Pipeline pipeline("videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=64,height=32 ! hlupload "
                          "device=sim ! fakesink sync=false");
        EXPECT_FALSE(pipeline.run(messages)) << c.faults;
        pipeline.state(GST_STATE_NULL);
        drain(pipeline.bus(), messages);
        const auto codes = messages.error_codes();
        ASSERT_GE(codes.size(), 1u) << c.faults;
        EXPECT_EQ(codes[0], c.code) << c.faults;
        EXPECT_EQ(codes.size(), 1u) << c.faults;
    }
}

// "frames" are those that left.
TEST(UploadFaultTest, AFrameThatFailsIsNotCounted)
{
    const Setenv faults("HL_SIM_FAULTS", "copy:2=EINVAL");
    Harness h("hlupload device=sim");
    const std::string caps = system_caps("NV12", 64, 32);
    h.src_caps(caps);
    EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_OK);
    EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 2))), GST_FLOW_FLUSHING);
    EXPECT_EQ(h.stat("frames"), 1u);
}

TEST(UploadInspectTest, ReadsLikeAnUpstreamElement)
{
    const auto element = GstPtr<GstElement>::sink(gst_element_factory_make("hlupload", nullptr));
    ASSERT_TRUE(element);
    GstElementClass *klass = GST_ELEMENT_GET_CLASS(element.get());
    EXPECT_STREQ(gst_element_class_get_metadata(klass, GST_ELEMENT_METADATA_KLASS), "Filter/Converter/Video/Hardware");
    for (const char *name : {"device", "memory", "zero-copy", "stats"}) {
        const GParamSpec *spec = g_object_class_find_property(G_OBJECT_CLASS(klass), name);
        ASSERT_NE(spec, nullptr) << name;
        EXPECT_GT(std::strlen(g_param_spec_get_blurb(const_cast<GParamSpec *>(spec))), 10u) << name;
    }
}

} // namespace
