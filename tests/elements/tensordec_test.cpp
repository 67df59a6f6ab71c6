// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthltransformmeta.h"
#include "tensordec_fixture.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/eventfd.h>

#include <string>
#include <vector>

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(TensorDec, AttachesDetectionsAndLeavesTheFrameAlone)
{
    play();
    GstBuffer *in = frame();
    GstMemory *const memory = gst_buffer_peek_memory(in, 0);
    attach(in, two_objects);
    const auto out = run(in);
    ASSERT_EQ(out.get(), in); // writable, so not copied
    EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), memory);
    EXPECT_THAT(detections(out.get()),
                ElementsAre(Found{"class-0", 80, 90, 40, 20, 0.9f}, Found{"class-1", 270, 170, 60, 60, 0.75f}));
    expect_quiet();
}

TEST_F(TensorDec, BoxesGoBackThroughTheTransform)
{
    play();
    GstBuffer *in = frame();
    attach(in, two_objects);
    // 640x480 in a 320x320 letterbox.
    gst_hl_buffer_add_transform_meta(in, {0.5, 0.5, 0.0, 40.0}, 320, 320);
    const auto out = run(in);
    EXPECT_THAT(detections(out.get()),
                ElementsAre(Found{"class-0", 160, 100, 80, 40, 0.9f}, Found{"class-1", 540, 260, 100, 120, 0.75f}));
}

// A frame nobody can map: an eventfd refuses mmap, as a Gaudi's dma-buf does.
TEST_F(TensorDec, NeverMapsTheFrameUnderDmabufCaps)
{
    play({}, dmabuf_caps);
    const auto allocator = GstPtr<GstAllocator>::adopt(gst_dmabuf_allocator_new());
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    GstBuffer *in = gst_buffer_new();
    gst_buffer_append_memory(in, gst_dmabuf_allocator_alloc(allocator.get(), fd, frame_bytes));
    attach(in, two_objects);
    const auto held = GstPtr<GstBuffer>::share(in); // not writable, so copied
    const auto out = run(in);
    ASSERT_TRUE(out);
    EXPECT_NE(out.get(), in);
    EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), gst_buffer_peek_memory(in, 0));
    EXPECT_EQ(detections(out.get()).size(), 2u);
    EXPECT_THAT(detections(in), IsEmpty());
}

// GStreamer 1.26 drops the tensors when a tee's branches make the buffer writable; each branch still decodes.
TEST_F(TensorDec, DecodesBehindATee)
{
    GError *error = nullptr;
    auto pipeline = GstPtr<GstElement>::sink(gst_parse_launch(
        "appsrc name=src format=time ! tee name=t t. ! queue ! hltensordec ! appsink name=a sync=false "
        "t. ! queue ! hltensordec score-threshold=0.8 ! appsink name=b sync=false",
        &error));
    ASSERT_FALSE(error);
    const auto get = [&](const char *name) {
        return GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), name));
    };
    const auto src = get("src"), a = get("a"), b = get("b");
    const auto caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(system_caps));
    g_object_set(src.get(), "caps", caps.get(), nullptr);
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    GstBuffer *in = frame();
    attach(in, two_objects);
    // Takes the one reference, so that the source need not copy the buffer (and lose its tensors) to stamp it.
    ASSERT_EQ(gst_app_src_push_buffer(GST_APP_SRC(src.get()), in), GST_FLOW_OK);
    const auto pull = [](const GstPtr<GstElement> &sink) {
        GstSample *sample = nullptr;
        g_signal_emit_by_name(sink.get(), "try-pull-sample", guint64{10 * GST_SECOND}, &sample);
        std::vector<Found> found;
        if (sample) {
            found = detections(gst_sample_get_buffer(sample));
            gst_sample_unref(sample);
        }
        return found;
    };
    EXPECT_EQ(pull(a).size(), 2u);
    EXPECT_EQ(pull(b).size(), 1u);
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}

TEST_F(TensorDec, PropertiesDecideWhatIsReported)
{
    const std::vector<Box> crowd{
        {100, 100, 40, 40, {0.9f, 0.f}}, {104, 100, 40, 40, {0.8f, 0.f}}, {102, 100, 40, 40, {0.f, 0.7f}}};
    const auto count = [&] {
        GstBuffer *in = frame();
        attach(in, crowd);
        return detections(run(in).get()).size();
    };
    play();
    EXPECT_EQ(count(), 2u);
    g_object_set(dec_.get(), "class-aware-nms", FALSE, nullptr);
    EXPECT_EQ(count(), 1u);
    g_object_set(dec_.get(), "class-aware-nms", TRUE, "iou-threshold", 1.f, nullptr);
    EXPECT_EQ(count(), 3u);
    g_object_set(dec_.get(), "max-detections", 2u, nullptr);
    EXPECT_EQ(count(), 2u);
    g_object_set(dec_.get(), "max-detections", 100u, "score-threshold", 0.85f, nullptr);
    EXPECT_EQ(count(), 1u);
}

TEST_F(TensorDec, PropertiesReadBack)
{
    dec_ = GstPtr<GstElement>::sink(
        gst_element_factory_make_full("hltensordec", "labels", "some.txt", "tensor-id", "x", "score-threshold", 0.25f,
                                      "iou-threshold", 0.75f, "max-detections", 7u, "class-aware-nms", FALSE, nullptr));
    ASSERT_TRUE(dec_);
    gchar *labels = nullptr, *id = nullptr;
    gfloat score = 0, iou = 0;
    guint most = 0;
    gboolean aware = TRUE;
    g_object_get(dec_.get(), "labels", &labels, "tensor-id", &id, "score-threshold", &score, "iou-threshold", &iou,
                 "max-detections", &most, "class-aware-nms", &aware, nullptr);
    EXPECT_STREQ(labels, "some.txt");
    EXPECT_STREQ(id, "x");
    EXPECT_FLOAT_EQ(score, 0.25f);
    EXPECT_FLOAT_EQ(iou, 0.75f);
    EXPECT_EQ(most, 7u);
    EXPECT_FALSE(aware);
    g_free(labels);
    g_free(id);
}

TEST_F(TensorDec, KeepsDetectionsThatAreThere)
{
    play();
    GstBuffer *in = frame();
    auto *relations = gst_buffer_add_analytics_relation_meta(in);
    GstAnalyticsODMtd mtd;
    gst_analytics_relation_meta_add_od_mtd(relations, g_quark_from_string("earlier"), 1, 2, 3, 4, 0.5f, &mtd);
    attach(in, two_objects);
    const auto out = run(in);
    const auto found = detections(out.get());
    ASSERT_EQ(found.size(), 3u);
    EXPECT_EQ(found[0].label, "earlier");
}

TEST_F(TensorDec, AnEmptyFrameStillSaysThatItWasLookedAt)
{
    play();
    GstBuffer *in = frame();
    attach(in, std::vector<Box>{});
    const auto out = run(in);
    ASSERT_NE(gst_buffer_get_analytics_relation_meta(out.get()), nullptr);
    EXPECT_THAT(detections(out.get()), IsEmpty());
}

TEST_F(TensorDec, FramesWithoutTensorsPassThrough)
{
    play();
    GstBuffer *first = frame();
    attach(first, two_objects);
    run(first);
    GstBuffer *second = frame();
    const auto held = GstPtr<GstBuffer>::share(second);
    const auto out = run(second);
    EXPECT_EQ(out.get(), second); // not even its head is copied
    EXPECT_EQ(gst_buffer_get_analytics_relation_meta(out.get()), nullptr);
    gst_harness_push_event(harness_, gst_event_new_eos());
    expect_quiet();
}

TEST_F(TensorDec, WarnsAtEosWhereNoTensorEverCame)
{
    play();
    run(frame());
    run(frame());
    gst_harness_push_event(harness_, gst_event_new_eos());
    EXPECT_THAT(only_message(GST_MESSAGE_WARNING),
                AllOf(HasSubstr("none of the 2 frames carried a tensor"), HasSubstr("behind hlinfer")));
}

TEST_F(TensorDec, EosBeforeTheFirstFrameIsNoWarning)
{
    play();
    gst_harness_push_event(harness_, gst_event_new_eos());
    expect_quiet();
}

TEST_F(TensorDec, RefusesAShapeWithOneErrorThatSaysWhatWasExpected)
{
    play();
    for (int i = 0; i < 2; ++i) {
        GstBuffer *in = frame();
        attach_tensors(in, {tensor(std::vector<float>(300 * 6), {1, 300, 6})});
        EXPECT_EQ(gst_harness_push(harness_, in), GST_FLOW_FLUSHING);
    }
    EXPECT_THAT(only_message(GST_MESSAGE_ERROR),
                AllOf(HasSubstr("HL-MOD-007"), HasSubstr("1x(4+C)xN float32"), HasSubstr("1x300x6 float32")));
}

TEST_F(TensorDec, RefusesOtherTypesAndRanks)
{
    const auto refused = [&](GstTensor *t) {
        play();
        GstBuffer *in = frame();
        attach_tensors(in, {t});
        EXPECT_EQ(gst_harness_push(harness_, in), GST_FLOW_FLUSHING);
        const auto text = only_message(GST_MESSAGE_ERROR);
        TearDown();
        harness_ = nullptr;
        return text;
    };
    const std::vector<float> values(6 * 64);
    EXPECT_THAT(refused(tensor(values, {1, 6, 64}, "yolo-v8-out", GST_TENSOR_DATA_TYPE_FLOAT16)),
                HasSubstr("1x6x64 float16"));
    EXPECT_THAT(refused(tensor(values, {1, 6, 64}, "yolo-v8-out", GST_TENSOR_DATA_TYPE_UINT4)),
                HasSubstr("HL-MOD-007"));
    EXPECT_THAT(refused(tensor(values, std::vector<gsize>(9, 1))), HasSubstr("9 dimensions"));
    EXPECT_THAT(refused(tensor(values, {1, 6, G_MAXSIZE})), HasSubstr("HL-MOD-007"));
}

TEST_F(TensorDec, RefusesATensorWithTooLittleData)
{
    play();
    GstBuffer *in = frame();
    attach_tensors(in, {tensor(std::vector<float>(6 * 63), {1, 6, 64})});
    EXPECT_EQ(gst_harness_push(harness_, in), GST_FLOW_FLUSHING);
    EXPECT_THAT(only_message(GST_MESSAGE_ERROR), AllOf(HasSubstr("1536 aligned bytes"), HasSubstr("got 1512")));
}

TEST_F(TensorDec, AMissingIdListsThoseThatAreThere)
{
    play();
    GstBuffer *in = frame();
    const std::vector<float> values(6 * 64);
    attach_tensors(in, {tensor(values, {1, 6, 64}, "boxes"), tensor(values, {1, 6, 64}, "scores")});
    EXPECT_EQ(gst_harness_push(harness_, in), GST_FLOW_FLUSHING);
    EXPECT_THAT(
        only_message(GST_MESSAGE_ERROR),
        AllOf(HasSubstr("yolo-v8-out (yolov8)"), HasSubstr("got the ids: boxes, scores"), HasSubstr("tensor-id")));
}

TEST_F(TensorDec, TakesTheTensorNamedByTheProperty)
{
    play("decoder=yolov8 tensor-id=second");
    GstBuffer *in = frame();
    attach_tensors(in, {tensor(std::vector<float>(10), {1, 10, 1}, "first")});
    attach_tensors(in, {tensor(values_of(two_objects, 2, 64), {1, 6, 64}, "second")});
    EXPECT_EQ(detections(run(in).get()).size(), 2u);
}

TEST_F(TensorDec, ANewShapeIsDecodedAnew)
{
    play();
    GstBuffer *first = frame();
    attach(first, two_objects);
    EXPECT_EQ(detections(run(first).get()).size(), 2u);
    GstBuffer *second = frame();
    attach(second, two_objects, 3, 128);
    EXPECT_EQ(detections(run(second).get()).size(), 2u);
}

TEST_F(TensorDec, BoxesStayInsideTheFrameAndKeepAPixel)
{
    play();
    GstBuffer *in = frame();
    attach(in, std::vector<Box>{{639.9f, 479.9f, 0.1f, 0.1f, {0.9f, 0.f}}, {0, 0, 10000, 10000, {0.8f, 0.f}}});
    EXPECT_THAT(detections(run(in).get()),
                ElementsAre(Found{"class-0", 639, 479, 1, 1, 0.9f}, Found{"class-0", 0, 0, 640, 480, 0.8f}));
}

// Downstream's pool and metas reach whoever allocates upstream: nothing here needs its own.
TEST_F(TensorDec, ProxiesTheAllocationQuery)
{
    play();
    gst_harness_add_propose_allocation_meta(harness_, GST_VIDEO_META_API_TYPE, nullptr);
    const auto caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(system_caps));
    const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps.get(), TRUE));
    EXPECT_TRUE(gst_pad_peer_query(harness_->srcpad, query.get()));
    EXPECT_TRUE(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
}

TEST_F(TensorDec, StartsAgainAfterAnError)
{
    play();
    GstBuffer *bad = frame();
    attach_tensors(bad, {tensor(std::vector<float>(8), {1, 8, 1})});
    EXPECT_EQ(gst_harness_push(harness_, bad), GST_FLOW_FLUSHING);
    only_message(GST_MESSAGE_ERROR);
    gst_element_set_state(dec_.get(), GST_STATE_READY);
    gst_element_set_state(dec_.get(), GST_STATE_PLAYING);
    gst_harness_push_event(harness_, gst_event_new_stream_start("again"));
    const auto caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(system_caps));
    gst_harness_push_event(harness_, gst_event_new_caps(caps.get()));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(harness_, gst_event_new_segment(&segment));
    GstBuffer *good = frame();
    attach(good, two_objects);
    EXPECT_EQ(detections(run(good).get()).size(), 2u);
    expect_quiet();
}

// After a flush the stream begins anew, and so does the telling.
TEST_F(TensorDec, AFlushEndsAFailureAndTheNextIsToldAgain)
{
    play();
    for (int round = 0; round < 2; ++round) {
        GstBuffer *bad = frame();
        attach_tensors(bad, {tensor(std::vector<float>(8), {1, 8, 1})});
        EXPECT_EQ(gst_harness_push(harness_, bad), GST_FLOW_FLUSHING);
        GstBuffer *good = frame();
        attach(good, two_objects);
        EXPECT_EQ(gst_harness_push(harness_, good), GST_FLOW_FLUSHING) << "a frame behind the error goes nowhere";
        EXPECT_FALSE(gst_harness_push_event(harness_, gst_event_new_eos())) << "nor does the end";
        only_message(GST_MESSAGE_ERROR);
        gst_harness_push_event(harness_, gst_event_new_flush_start());
        gst_harness_push_event(harness_, gst_event_new_flush_stop(TRUE));
        GstSegment segment;
        gst_segment_init(&segment, GST_FORMAT_TIME);
        gst_harness_push_event(harness_, gst_event_new_segment(&segment));
        GstBuffer *again = frame();
        attach(again, two_objects);
        EXPECT_EQ(detections(run(again).get()).size(), 2u);
    }
}

// All errors of a line: the source's own would be the second.
std::vector<std::string> errors_of(const std::string &line)
{
    const auto pipeline = GstPtr<GstElement>::sink(gst_parse_launch(line.c_str(), nullptr));
    const auto bus = GstPtr<GstBus>::adopt(gst_element_get_bus(pipeline.get()));
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const auto any = static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
    std::vector<std::string> out;
    auto message = GstPtr<GstMessage>::adopt(gst_bus_timed_pop_filtered(bus.get(), 30 * GST_SECOND, any));
    EXPECT_TRUE(message) << "the pipeline hangs";
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    for (; message; message = GstPtr<GstMessage>::adopt(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR))) {
        if (GST_MESSAGE_TYPE(message.get()) != GST_MESSAGE_ERROR)
            continue;
        GError *error = nullptr;
        gst_message_parse_error(message.get(), &error, nullptr);
        out.emplace_back(error->message);
        g_error_free(error);
    }
    return out;
}

TEST_F(TensorDec, AFailureIsTheLinesOneError)
{
    const std::string frames = "videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=64,height=48 ! ";
    EXPECT_THAT(errors_of(frames + "hlinfer device=sim model=builtin:demo ! hltensordec tensor-id=other ! fakesink"),
                ElementsAre(HasSubstr("HL-MOD-007")));
    EXPECT_THAT(
        errors_of("fakesrc num-buffers=3 sizetype=fixed ! capsfilter caps=video/x-raw,format=NV12 ! hltensordec "
                  "! fakesink"),
        ElementsAre(AllOf(HasSubstr("HL-FMT-001"), HasSubstr("set width and height"))));
}

// The meta is made with room for all that was found: growing, it would copy its relations every few objects.
TEST_F(TensorDec, ManyObjectsNeedOneMeta)
{
    struct Log {
        std::vector<std::string> lines;
        static void add(GstDebugCategory *category, GstDebugLevel, const gchar *, const gchar *, gint, GObject *,
                        GstDebugMessage *message, gpointer data)
        {
            if (g_str_equal(gst_debug_category_get_name(category), "anrelmeta"))
                static_cast<Log *>(data)->lines.emplace_back(gst_debug_message_get(message));
        }
    } log;
    play("iou-threshold=1 max-detections=500");
    std::vector<Box> many;
    for (int i = 0; i < 300; ++i)
        many.push_back({20.f + static_cast<float>(i), 100, 10, 10, {0.9f, 0.f}});
    GstBuffer *in = frame();
    attach(in, many, 2, 512);
    gst_analytics_relation_meta_api_get_type(); // makes the category
    gst_debug_set_threshold_for_name("anrelmeta", GST_LEVEL_DEBUG);
    gst_debug_remove_log_function(gst_debug_log_default);
    gst_debug_add_log_function(Log::add, &log, nullptr);
    const auto out = run(in);
    gst_debug_remove_log_function(Log::add);
    gst_debug_add_log_function(gst_debug_log_default, nullptr, nullptr);
    gst_debug_unset_threshold_for_name("anrelmeta");
    EXPECT_EQ(detections(out.get()).size(), 300u);
    // gstanalyticsmeta.c gst_analytics_relation_meta_init() says how many entries there is room for.
    EXPECT_THAT(log.lines, Contains(HasSubstr("order=301)")));
}

// objectdetectionoverlay draws what hltensordec found: the pixels under the box's edge change.
TEST_F(TensorDec, StockOverlayDrawsTheBoxes)
{
    const auto factory = GstPtr<GstElementFactory>::adopt(gst_element_factory_find("objectdetectionoverlay"));
    ASSERT_TRUE(factory) << "install gstreamer1.0-plugins-bad";
    harness_ = gst_harness_new_parse("hltensordec ! objectdetectionoverlay");
    bus_ = GstPtr<GstBus>::adopt(gst_bus_new());
    gst_element_set_bus(harness_->element, bus_.get());
    gst_harness_set_src_caps_str(harness_, "video/x-raw,format=BGRx,width=640,height=480,framerate=30/1");
    GstBuffer *in = gst_buffer_new_allocate(nullptr, 640 * 480 * 4, nullptr);
    gst_buffer_memset(in, 0, 0, 640 * 480 * 4);
    attach(in, std::vector<Box>{{300, 200, 100, 100, {0.9f, 0.f}}});
    const auto out = run(in);
    ASSERT_TRUE(out);
    const GstBufferMap map(out.get(), GST_MAP_READ);
    const auto row = [&](int y) {
        const auto *begin = map.data() + (static_cast<gsize>(y) * 640 + 240) * 4;
        return std::any_of(begin, begin + gsize{120} * 4, [](guint8 v) { return v != 0; });
    };
    EXPECT_TRUE(row(150)); // the upper edge
    EXPECT_FALSE(row(400));
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
