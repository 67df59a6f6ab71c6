// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "elementtesting.h"
#include "gsthlbufferpool.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/analytics/analytics.h>
#include <unistd.h>

#include <format>

using namespace hltest;

namespace {

class DownloadTest : public LineTest {
protected:
    // A frame in this placement, from a pool of its own that the buffer outlives.
    GstPtr<GstBuffer> frame(const std::string &caps, hl::Placement placement, bool padded = false)
    {
        const auto pool = gst_hl_buffer_pool_new(device_, placement);
        GstStructure *config = gst_buffer_pool_get_config(pool.get());
        gst_buffer_pool_config_set_params(config, caps_of(caps).get(), 0, 0, 0);
        if (padded) {
            GstVideoAlignment alignment;
            gst_video_alignment_reset(&alignment);
            alignment.padding_right = 33;
            alignment.padding_bottom = 7;
            gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
            gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
            gst_buffer_pool_config_set_video_alignment(config, &alignment);
        }
        EXPECT_TRUE(gst_buffer_pool_set_config(pool.get(), config));
        EXPECT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
        auto out = frame_of(pool);
        EXPECT_TRUE(gst_buffer_pool_set_active(pool.get(), FALSE));
        return out;
    }
    // Fills a device frame by DMA: no map of it that anybody could count.
    void fill(GstBuffer *buffer, const std::string &caps, const Picture &what)
    {
        const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
        const hl::Memory memory = *gst_hl_memory_get(gst_buffer_peek_memory(buffer, 0));
        Bytes bytes(memory.size, 0xa5);
        paint(what, *gst_hl_frame_format(video_info(caps)), meta->offset, meta->stride, bytes.data());
        device_write(*device_, memory, bytes);
    }
};

TEST_F(DownloadTest, DeviceFramesComeToHostPagesByOneDma)
{
    for (const std::string &format : all_formats()) {
        for (const auto &[width, height] : {std::pair{320, 240}, {61, 31}, {1, 1}}) {
            for (const bool padded : {false, true}) {
                const std::string caps = dmabuf_caps(format, width, height);
                Harness h("hldownload device=sim");
                h.src_caps(caps);
                const auto in = frame(caps, hl::Placement::Device, padded);
                gst_hl_allocator_set_strict(GST_HL_ALLOCATOR(gst_buffer_peek_memory(in.get(), 0)->allocator), true);
                const Picture what = picture(caps, 1);
                fill(in.get(), caps, what);
                ASSERT_EQ(h.push(in), GST_FLOW_OK);
                const auto out = h.pull();
                ASSERT_TRUE(out);
                EXPECT_EQ(mapped_picture(out.get(), caps), what) << caps;
                EXPECT_EQ(gst_hl_memory_get(gst_buffer_peek_memory(out.get(), 0))->placement, hl::Placement::Host);
                EXPECT_EQ(h.stat("downloads"), 1u);
                EXPECT_EQ(h.stat("cpu-copies"), 0u);
                // What an element that ignores GstVideoMeta reads is the same picture.
                const GstVideoInfo info = video_info(caps);
                const GstBufferMap map(out.get(), GST_MAP_READ);
                EXPECT_EQ(unpaint(map.data(), *gst_hl_frame_format(info), info.offset, info.stride), what);
                EXPECT_EQ(map.size(), info.size);
            }
        }
    }
}

TEST_F(DownloadTest, SystemCapsWinWhereTheyAreTaken)
{
    const std::string dmabuf = dmabuf_caps("NV12", 64, 32);
    const std::string system = system_caps("NV12", 64, 32);
    struct {
        std::string downstream;
        std::string expected;
    } const cases[] = {
        {gst_hl_video_caps_dmabuf() + std::string(";") + gst_hl_video_caps_system(), system},
        {gst_hl_video_caps_system(), system},
        {gst_hl_video_caps_dmabuf(), dmabuf},
    };
    for (const auto &c : cases) {
        for (const std::string &in : {dmabuf, system}) {
            Harness h("hldownload device=sim");
            h.sink_caps(c.downstream);
            h.src_caps(in);
            const auto buffer = frame(in, hl::Placement::Host);
            ASSERT_EQ(h.push(buffer), GST_FLOW_OK);
            EXPECT_TRUE(gst_caps_is_equal(caps_of(h.negotiated()).get(), caps_of(c.expected).get())) << h.negotiated();
            EXPECT_EQ(h.pull().get(), buffer.get()) << "only the caps change";
            for (const char *counter : {"downloads", "cpu-copies", "uploads"})
                EXPECT_EQ(h.stat(counter), 0u) << counter;
        }
    }
}

TEST_F(DownloadTest, ForeignFramesPassUntouched)
{
    const std::string caps = system_caps("NV12", 64, 32);
    Harness h("hldownload device=sim");
    h.src_caps(caps);
    const auto in = foreign_frame(caps, picture(caps, 1));
    ASSERT_EQ(h.push(in), GST_FLOW_OK);
    EXPECT_EQ(h.pull().get(), in.get());
    const Messages messages = h.messages();
    ASSERT_EQ(messages.placements().size(), 1u);
    EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "placement"), "system");
    EXPECT_STREQ(gst_structure_get_string(messages.placements()[0], "cost"), "");
}

TEST_F(DownloadTest, ForeignFramesAreCopiedWhereOnlyDmabufIsTaken)
{
    const std::string caps = system_caps("NV12", 61, 31);
    Harness h("hldownload device=sim");
    h.sink_caps(gst_hl_video_caps_dmabuf());
    h.src_caps(caps);
    const Picture what = picture(caps, 2);
    ASSERT_EQ(h.push(foreign_frame(caps, what)), GST_FLOW_OK);
    const auto out = h.pull();
    EXPECT_TRUE(gst_is_dmabuf_memory(gst_buffer_peek_memory(out.get(), 0)));
    EXPECT_EQ(mapped_picture(out.get(), caps), what);
    EXPECT_EQ(h.stat("cpu-copies"), 1u);
    EXPECT_EQ(h.messages().of(GST_MESSAGE_WARNING).size(), 1u);
}

TEST_F(DownloadTest, RequireRefusesACopyAndTellsWhy)
{
    const std::string dmabuf = dmabuf_caps("I420", 61, 31), system = system_caps("I420", 61, 31);
    for (const bool padded : {true, false}) {
        Harness h("hldownload device=sim zero-copy=require");
        if (!padded)
            h.sink_caps(gst_hl_video_caps_dmabuf());
        h.src_caps(padded ? dmabuf : system);
        EXPECT_EQ(h.push(padded ? frame(dmabuf, hl::Placement::Host, true) : foreign_frame(system, picture(system, 1))),
                  GST_FLOW_FLUSHING);
        EXPECT_EQ(h.stat("cpu-copies"), 0u);
        const Messages messages = h.messages();
        EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-CPY-001"});
        ASSERT_EQ(messages.of(GST_MESSAGE_ERROR).size(), 1u);
        GError *error = nullptr;
        gst_message_parse_error(messages.of(GST_MESSAGE_ERROR)[0], &error, nullptr);
        const GErrorPtr owned(error);
        EXPECT_NE(std::string(error->message).find(padded ? "does not read GstVideoMeta" : "nothing but DMABuf"),
                  std::string::npos)
            << error->message;
    }
    // A DMA is no copy.
    Harness h("hldownload device=sim zero-copy=require");
    h.src_caps(dmabuf);
    const auto in = frame(dmabuf, hl::Placement::Device);
    fill(in.get(), dmabuf, picture(dmabuf, 1));
    EXPECT_EQ(h.push(in), GST_FLOW_OK);
    EXPECT_EQ(h.stat("downloads"), 1u);
}

// The harness's sink answers no ALLOCATION query, so it is one that does not read GstVideoMeta.
TEST_F(DownloadTest, PaddedHostFramesAreCopiedForWhoIgnoresStrides)
{
    const std::string caps = dmabuf_caps("I420", 61, 31);
    for (const bool reads_meta : {false, true}) {
        Harness h("hldownload device=sim");
        if (reads_meta)
            gst_harness_add_propose_allocation_meta(h.get(), GST_VIDEO_META_API_TYPE, nullptr);
        h.src_caps(caps);
        const auto in = frame(caps, hl::Placement::Host, true);
        const Picture what = picture(caps, 3);
        paint_buffer(in.get(), caps, what);
        ASSERT_EQ(h.push(in), GST_FLOW_OK);
        const auto out = h.pull();
        EXPECT_EQ(out.get() == in.get(), reads_meta);
        EXPECT_EQ(h.stat("cpu-copies"), reads_meta ? 0u : 1u);
        EXPECT_EQ(mapped_picture(out.get(), caps), what);
        if (!reads_meta) {
            const GstVideoInfo info = video_info(caps);
            const GstBufferMap map(out.get(), GST_MAP_READ);
            EXPECT_EQ(unpaint(map.data(), *gst_hl_frame_format(info), info.offset, info.stride), what);
        }
    }
}

TEST_F(DownloadTest, MetadataGoesAlongButTensorsStayBefore128)
{
    const std::string caps = dmabuf_caps("NV12", 64, 32);
    Harness h("hldownload device=sim");
    h.src_caps(caps);
    const auto in = frame(caps, hl::Placement::Device);
    fill(in.get(), caps, picture(caps, 1));
    GST_BUFFER_PTS(in.get()) = 3 * GST_SECOND;
    GstAnalyticsODMtd box;
    GstAnalyticsRelationMeta *relations = gst_buffer_add_analytics_relation_meta(in.get());
    ASSERT_TRUE(gst_analytics_relation_meta_add_od_mtd(relations, 0, 1, 2, 3, 4, 0.5f, &box));
    (void)gst_buffer_add_tensor_meta(in.get());
    const auto clock = caps_of("timestamp/x-test");
    gst_buffer_add_reference_timestamp_meta(in.get(), clock.get(), 5, GST_CLOCK_TIME_NONE);
    ASSERT_EQ(h.push(in), GST_FLOW_OK);
    const auto out = h.pull();
    EXPECT_EQ(GST_BUFFER_PTS(out.get()), 3 * GST_SECOND);
    ASSERT_NE(gst_buffer_get_analytics_relation_meta(out.get()), nullptr);
    EXPECT_EQ(gst_analytics_relation_get_length(gst_buffer_get_analytics_relation_meta(out.get())), 1u);
    EXPECT_NE(gst_buffer_get_reference_timestamp_meta(out.get(), clock.get()), nullptr);
    // As documented: GStreamer 1.26 drops it.
    EXPECT_EQ(gst_buffer_get_meta(out.get(), GST_TENSOR_META_API_TYPE) != nullptr, GST_CHECK_VERSION(1, 28, 0));
}

TEST_F(DownloadTest, FramesThatDoNotFitTheirCapsAreOneError)
{
    const std::string caps = dmabuf_caps("NV12", 64, 32);
    Harness h("hldownload device=sim");
    h.src_caps(caps);
    const auto in = frame(caps, hl::Placement::Device);
    gst_buffer_resize(in.get(), 0, 99);
    EXPECT_EQ(h.push(in), GST_FLOW_FLUSHING);
    const Messages messages = h.messages();
    EXPECT_EQ(messages.of(GST_MESSAGE_ERROR).size(), 1u);
    EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-FMT-002"});
}

TEST_F(DownloadTest, FramesOfAnotherDeviceAreRefusedByName)
{
    const std::string caps = dmabuf_caps("NV12", 64, 32);
    Harness h("hldownload device=sim");
    h.src_caps(caps);
    auto other = hl::Device::open(std::format("sim:download-test-{}", getpid()));
    ASSERT_TRUE(other.has_value());
    const auto pool = gst_hl_buffer_pool_new(*other, hl::Placement::Device);
    ASSERT_TRUE(gst_hl_buffer_pool_setup(pool.get(), caps_of(caps).get(), 0, 0, 0, true).has_value());
    EXPECT_EQ(h.push(frame_of(pool)), GST_FLOW_FLUSHING);
    EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-MEM-008"});
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(DownloadTest, FramesWithAnOpenWriteMapAreRefused)
{
    const std::string caps = dmabuf_caps("NV12", 64, 32);
    Harness h("hldownload device=sim");
    h.src_caps(caps);
    const auto in = frame(caps, hl::Placement::Device);
    GstMemory *memory = gst_buffer_peek_memory(in.get(), 0);
    GstMapInfo map;
    ASSERT_TRUE(gst_memory_map(memory, &map, GST_MAP_WRITE));
    EXPECT_EQ(h.push(in), GST_FLOW_FLUSHING);
    gst_memory_unmap(memory, &map);
    EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-MEM-009"});
}

TEST_F(DownloadTest, CapsChangesLeakNothing)
{
    Harness h("hldownload device=sim");
    const auto round = [&](int i) {
        const std::string caps = dmabuf_caps(i % 2 ? "NV12" : "BGRx", 64 + i % 7, 32);
        h.src_caps(caps);
        const auto in = frame(caps, hl::Placement::Device);
        fill(in.get(), caps, picture(caps, 1));
        EXPECT_EQ(h.push(in), GST_FLOW_OK);
        EXPECT_TRUE(h.pull());
    };
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

TEST_F(DownloadTest, RoundTripKeepsEveryPixelOfAStream)
{
    for (const std::string &format : all_formats()) {
        // An even width: of odd ones videotestsrc leaves the last luma of YUY2 as it was.
        const std::string source = std::string("videotestsrc num-buffers=10 pattern=snow ! video/x-raw,format=") +
                                   format + ",width=162,height=121 ! ";
        // Frames that went through device memory against the same frames that did not.
        std::vector<Bytes> direct, through;
        for (auto *into : {&direct, &through}) {
            Pipeline pipeline(source + (into == &direct ? "" : "hlupload device=sim ! hldownload ! ") +
                              "fakesink name=s signal-handoffs=true sync=false");
            g_signal_connect(pipeline.element("s").get(), "handoff",
                             G_CALLBACK(+[](GstElement *, GstBuffer *buffer, GstPad *, gpointer data) {
                                 const GstBufferMap map(buffer, GST_MAP_READ);
                                 static_cast<std::vector<Bytes> *>(data)->emplace_back(map.data(),
                                                                                       map.data() + map.size());
                             }),
                             into);
            Messages messages;
            ASSERT_TRUE(pipeline.run(messages));
        }
        ASSERT_EQ(direct.size(), 10u);
        ASSERT_EQ(through.size(), 10u);
        const std::string caps = system_caps(format, 162, 121);
        const GstVideoInfo info = video_info(caps);
        const auto pixels = [&](const Bytes &bytes) {
            return unpaint(bytes.data(), *gst_hl_frame_format(info), info.offset, info.stride);
        };
        for (size_t i = 0; i < direct.size(); ++i)
            EXPECT_EQ(pixels(direct[i]), pixels(through[i])) << format << " frame " << i;
        EXPECT_NE(pixels(direct[0]), pixels(direct[1])) << "snow does not move";
    }
}

TEST(DownloadFaultTest, EveryFaultIsOneErrorWithItsCode)
{
    struct {
        const char *faults;
        const char *code;
    } const cases[] = {
        {"copy:2=EINVAL", "HL-DMA-001"}, {"lost@copy:4", "HL-DEV-004"}, {"export:3=EMFILE", "HL-MEM-007"}};
    for (const auto &c : cases) {
        const Setenv faults("HL_SIM_FAULTS", c.faults);
        Messages messages;
        Pipeline pipeline("videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=64,height=32 ! hlupload "
                          "device=sim ! hldownload ! fakesink sync=false");
        EXPECT_FALSE(pipeline.run(messages)) << c.faults;
        pipeline.state(GST_STATE_NULL);
        drain(pipeline.bus(), messages);
        const auto codes = messages.error_codes();
        ASSERT_EQ(codes.size(), 1u) << c.faults;
        EXPECT_EQ(codes[0], c.code) << c.faults;
    }
}

} // namespace
