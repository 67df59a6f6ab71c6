// SPDX-License-Identifier: LGPL-2.1-or-later
// Device frames on their way to a Wayland compositor. There is none here: waylandsink stands in the line, and only our
// elements are started. What a compositor does is shown in tests/vm/wayland_test.py.
#include "gsthlallocator.h"
#include "gsthlbufferpool.h"
#include "gsthlcaps.h"
#include "infer_fixture.h"

namespace {

class DisplayTest : public InferTest {
protected:
    static void expect_refused(Line &line, const std::string &what)
    {
        const auto &errors = line.errors();
        ASSERT_EQ(errors.size(), 1u) << what;
        EXPECT_EQ(errors[0].code, "HL-IMP-008") << what;
        EXPECT_NE(errors[0].text.find("show hands"), std::string::npos) << errors[0].text;
        EXPECT_EQ(errors[0].remedy, "put hldownload before it: \"... ! hldownload ! show\"") << what;
    }

    static GstPtr<GstCaps> dmabuf_caps()
    {
        const auto system = GstPtr<GstCaps>::adopt(video_caps("BGRx", 320, 240));
        return GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
    }

    static GstPtr<GstPad> sink_of(GstElement *element)
    {
        return GstPtr<GstPad>::adopt(gst_element_get_static_pad(element, "sink"));
    }

    // waylandsink of 1.28 that has met no compositor breaks at an ALLOCATION query: it does not get one.
    static void spare(GstElement *sink)
    {
        gst_pad_add_probe(
            sink_of(sink).get(), GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
            [](GstPad *, GstPadProbeInfo *info, gpointer) {
                return GST_QUERY_TYPE(GST_PAD_PROBE_INFO_QUERY(info)) == GST_QUERY_ALLOCATION ? GST_PAD_PROBE_DROP
                                                                                              : GST_PAD_PROBE_OK;
            },
            nullptr, nullptr);
    }

    static gboolean begin(GstPad *pad, GstCaps *caps)
    {
        GstSegment segment;
        gst_segment_init(&segment, GST_FORMAT_TIME);
        return gst_pad_send_event(pad, gst_event_new_stream_start("test")) &&
               gst_pad_send_event(pad, gst_event_new_caps(caps)) &&
               gst_pad_send_event(pad, gst_event_new_segment(&segment));
    }
};

TEST_F(DisplayTest, UploadRefusesToStartBeforeAWaylandSink)
{
    for (const char *between : {"", "queue ! identity ! ", "hlinfer model=builtin:null ! hltensordec ! ",
                                "tee name=t ! queue ! fakesink t. ! queue ! "}) {
        Line line(std::format("videotestsrc ! hlupload name=up ! {}waylandsink name=show", between));
        for (int run = 0; run < 2; ++run) {
            EXPECT_EQ(gst_element_set_state(line.element("up").get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
            gst_element_set_state(line.element("up").get(), GST_STATE_NULL);
        }
        const auto errors = line.errors();
        ASSERT_EQ(errors.size(), 2u) << between << ": once a start";
        EXPECT_EQ(errors[0].code, "HL-IMP-008");
        EXPECT_EQ(errors[1].code, "HL-IMP-008");
    }
}

TEST_F(DisplayTest, BinsHideNoSink)
{
    Line line("identity fakesink"); // a pipeline
    GstElement *const from = gst_parse_bin_from_description("hlupload name=up", TRUE, nullptr);
    GstElement *const to = gst_parse_bin_from_description("queue ! waylandsink name=show", TRUE, nullptr);
    gst_bin_add_many(GST_BIN(line.get()), from, to, nullptr);
    ASSERT_TRUE(gst_element_link(from, to));
    EXPECT_EQ(gst_element_set_state(line.element("up").get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    expect_refused(line, "from bin to bin");
}

TEST_F(DisplayTest, WhatTakesFramesOutOfDeviceMemoryMayStandBeforeIt)
{
    for (const char *rest : {"hldownload ! waylandsink", "queue ! hldownload ! queue ! waylandsink", "fakesink",
                             "tee name=t ! queue ! hldownload ! waylandsink t. ! queue ! fakesink"}) {
        Line line(std::format("videotestsrc ! hlupload name=up ! {}", rest));
        EXPECT_NE(gst_element_set_state(line.element("up").get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE) << rest;
        EXPECT_TRUE(line.errors().empty()) << rest;
    }
}

TEST_F(DisplayTest, ASinkThatIsLinkedLaterIsSeenToo)
{
    Line line("hlupload name=up waylandsink name=show");
    const auto up = line.element("up");
    ASSERT_NE(gst_element_set_state(up.get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    ASSERT_TRUE(line.errors().empty());
    ASSERT_TRUE(gst_element_link(up.get(), line.element("show").get()));
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("BGRx", 320, 240));
    for (int again = 0; again < 2; ++again) // as each sticky event that follows would do
        EXPECT_FALSE(begin(sink_of(up.get()).get(), caps.get()));
    expect_refused(line, "linked later");
}

TEST_F(DisplayTest, InferRefusesDeviceFramesBeforeAWaylandSink)
{
    Line line("hlinfer name=infer model=builtin:null ! queue ! waylandsink name=show");
    const auto infer = line.element("infer");
    ASSERT_NE(gst_element_set_state(infer.get(), GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    const auto caps = dmabuf_caps();
    const auto pool = gst_hl_buffer_pool_new(device(), hl::Placement::Device);
    ASSERT_TRUE(gst_hl_buffer_pool_setup(pool.get(), caps.get(), 0, 2, 0, true));
    GstBuffer *frame = nullptr;
    ASSERT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &frame, nullptr), GST_FLOW_OK);
    const auto pad = sink_of(infer.get());
    ASSERT_TRUE(begin(pad.get(), caps.get()));
    (void)gst_pad_chain(pad.get(), frame);
    EXPECT_FALSE(line.wait());
    expect_refused(line, "device frames");
    gst_element_set_state(infer.get(), GST_STATE_NULL);
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(DisplayTest, InferOffersHostMemoryBeforeAWaylandSink)
{
    for (const auto &[rest, placement] :
         {std::pair{"waylandsink name=show", hl::Placement::Host},
          {"tee name=t ! queue ! waylandsink name=show t. ! fakesink", hl::Placement::Host},
          {"hldownload ! waylandsink name=show", hl::Placement::Device}}) {
        Line line(std::format("hlinfer name=infer model=builtin:null memory=device ! {}", rest));
        spare(line.element("show").get());
        const auto infer = line.element("infer");
        ASSERT_NE(gst_element_set_state(infer.get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(dmabuf_caps().get(), TRUE));
        ASSERT_TRUE(gst_pad_query(sink_of(infer.get()).get(), query.get()));
        GstBufferPool *offered = nullptr;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &offered, nullptr, nullptr, nullptr);
        const auto pool = GstPtr<GstBufferPool>::adopt(offered);
        EXPECT_EQ(gst_hl_allocator_placement(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get()))), placement)
            << rest;
        gst_element_set_state(infer.get(), GST_STATE_NULL);
    }
}

// waylandsink says that it reads GstVideoMeta; of a frame that it hands over as shared memory it does not.
TEST_F(DisplayTest, NoPaddedFramesAreAskedForBeforeAWaylandSink)
{
    for (const auto &[sink, padded] :
         {std::pair{"waylandsink", false}, {"v4l2sink io-mode=dmabuf-import", false}, {"kmssink", true}}) {
        Line line(std::format("hlinfer name=infer model=builtin:null ! {} name=show", sink));
        const auto infer = line.element("infer");
        ASSERT_NE(gst_element_set_state(infer.get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
        const auto shown = sink_of(line.element("show").get());
        gst_pad_set_active(shown.get(), TRUE);
        gst_pad_add_probe(
            shown.get(), static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM | GST_PAD_PROBE_TYPE_PUSH),
            [](GstPad *, GstPadProbeInfo *info, gpointer) {
                if (GST_QUERY_TYPE(GST_PAD_PROBE_INFO_QUERY(info)) != GST_QUERY_ALLOCATION)
                    return GST_PAD_PROBE_OK;
                gst_query_add_allocation_meta(GST_PAD_PROBE_INFO_QUERY(info), GST_VIDEO_META_API_TYPE, nullptr);
                return GST_PAD_PROBE_HANDLED;
            },
            nullptr, nullptr);
        const auto caps = GstPtr<GstCaps>::adopt(video_caps("I420", 320, 240));
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps.get(), TRUE));
        ASSERT_TRUE(gst_pad_query(sink_of(infer.get()).get(), query.get()));
        EXPECT_EQ(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr) != FALSE, padded)
            << sink;
        gst_pad_set_active(shown.get(), FALSE);
        gst_element_set_state(infer.get(), GST_STATE_NULL);
    }
}

} // namespace
