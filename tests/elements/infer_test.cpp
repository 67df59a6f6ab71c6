// SPDX-License-Identifier: LGPL-2.1-or-later
#include "infer_fixture.h"

#include "backends/sim/simcontrol.h"
#include "gsthlbufferpool.h"
#include "gsthlcaps.h"
#include "gsthltransformmeta.h"
#include "memorytesting.h"

#include <gst/analytics/analytics.h>

#include <algorithm>
#include <string>

namespace {

// An active pool of the test's own, and a frame out of it.
GstPtr<GstBufferPool> own_pool(const std::shared_ptr<hl::Device> &device, hl::Placement placement, GstCaps *caps)
{
    GstPtr<GstBufferPool> pool = gst_hl_buffer_pool_new(device, placement);
    const auto status = gst_hl_buffer_pool_setup(pool.get(), caps, 0, 2, 0, true);
    EXPECT_TRUE(status) << status.error().headline();
    return pool;
}

GstBuffer *pool_frame(GstBufferPool *pool, guint index)
{
    GstBuffer *buffer = nullptr;
    EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr), GST_FLOW_OK);
    GST_BUFFER_PTS(buffer) = index * GST_SECOND / 30;
    return buffer;
}

GstStructurePtr stats_of(GstHarness *h)
{
    const auto infer = GstPtr<GstElement>::adopt(gst_harness_find_element(h, "hlinfer"));
    GstStructure *stats = nullptr;
    g_object_get(infer.get(), "stats", &stats, nullptr);
    return GstStructurePtr(stats);
}

constexpr guint64 frame_bytes = 320 * 240 * 3 / 2;
const std::string caps_text = "video/x-raw,format=NV12,width=320,height=240,framerate=30/1";

} // namespace

TEST_F(InferTest, PassesFramesUntouchedAndInOrder)
{
    const HarnessPtr h = infer_harness("model=builtin:null in-flight=4");
    for (guint i = 0; i < 20; ++i) {
        GstBuffer *const in = system_frame(i);
        GstMemory *const memory = gst_buffer_peek_memory(in, 0);
        ASSERT_EQ(gst_harness_push(h.get(), in), GST_FLOW_OK);
        const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
        ASSERT_TRUE(out);
        EXPECT_EQ(out.get(), in);
        EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), memory);
        EXPECT_EQ(GST_BUFFER_PTS(out.get()), i * GST_SECOND / 30);
        EXPECT_EQ(gst_buffer_get_tensor_meta(out.get()), nullptr);
    }
    const auto stats = stats_of(h.get());
    EXPECT_EQ(field(stats, "frames"), 20u);
    EXPECT_EQ(field(stats, "inferred"), 20u);
    EXPECT_EQ(field(stats, "cpu-copies"), 0u) << "the null engine reads nothing";
    EXPECT_EQ(word(stats, "stand-in"), "SIM");
    EXPECT_EQ(word(stats, "model"), "builtin:null");
    EXPECT_EQ(word(stats, "preprocess"), "none");
    EXPECT_EQ(number(stats, "in-flight"), 4u);
}

TEST_F(InferTest, AttachesOneTensorPerOutputAndTheTransform)
{
    const HarnessPtr h = infer_harness("model=builtin:demo", 320, 240);
    ASSERT_EQ(gst_harness_push(h.get(), system_frame(0, 320, 240)), GST_FLOW_OK);
    const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
    ASSERT_TRUE(out);
    GstTensorMeta *const meta = gst_buffer_get_tensor_meta(out.get());
    ASSERT_NE(meta, nullptr);
    ASSERT_EQ(meta->num_tensors, 1u);
    const GstTensor *const tensor = gst_tensor_meta_get(meta, 0);
    EXPECT_STREQ(g_quark_to_string(tensor->id), "yolo-v8-out");
    EXPECT_EQ(tensor->data_type, GST_TENSOR_DATA_TYPE_FLOAT32);
    gsize elements = 1;
    for (gsize d = 0; d < tensor->num_dims; ++d)
        elements *= tensor->dims[d];
    EXPECT_GT(elements, 1u);
    EXPECT_EQ(gst_buffer_get_size(tensor->data), elements * 4);
    const GstBufferMap map(tensor->data, GST_MAP_READ);
    EXPECT_TRUE(map);

    const GstHlTransformMeta *const transform = gst_hl_buffer_get_transform_meta(out.get());
    ASSERT_NE(transform, nullptr);
    EXPECT_GT(transform->model_width, 0u);
    EXPECT_GT(transform->transform.scale_x, 0.0);
}

// The network averages each row, so the tensors are a witness of what was read where.
TEST_F(InferTest, SeveralOutputsShareOneMemory)
{
    const std::string folder = g_getenv("HL_TEST_MODELS");
    const HarnessPtr h = infer_harness("model=" + folder + "/planes-nv12.onnx", 320, 240);
    GstBuffer *const in = system_frame(0, 320, 240);
    {
        const GstBufferMap map(in, GST_MAP_WRITE);
        for (guint y = 0; y < 240; ++y)
            std::fill_n(map.data() + y * 320, 320, static_cast<guint8>(y));
        for (guint i = 0; i < 320 * 120; ++i)
            map.data()[320 * 240 + i] = i % 2 ? 150 : 100;
    }
    ASSERT_EQ(gst_harness_push(h.get(), in), GST_FLOW_OK);
    const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
    ASSERT_TRUE(out);
    GstTensorMeta *const meta = gst_buffer_get_tensor_meta(out.get());
    ASSERT_NE(meta, nullptr);
    ASSERT_EQ(meta->num_tensors, 2u);
    const GstTensor *const means = gst_tensor_meta_get(meta, 0);
    const GstTensor *const rows = gst_tensor_meta_get(meta, 1);
    EXPECT_STREQ(g_quark_to_string(rows->id), "rows") << "without an id the name stands in";
    ASSERT_EQ(rows->num_dims, 2u);
    EXPECT_EQ(rows->dims[1], 240u);
    const GstBufferMap mean_map(means->data, GST_MAP_READ), row_map(rows->data, GST_MAP_READ);
    ASSERT_EQ(mean_map.size(), 3 * sizeof(float));
    ASSERT_EQ(row_map.size(), 240 * sizeof(float));
    const auto *const mean = reinterpret_cast<const float *>(mean_map.data());
    const auto *const row = reinterpret_cast<const float *>(row_map.data());
    EXPECT_FLOAT_EQ(mean[1], 100.f);
    EXPECT_FLOAT_EQ(mean[2], 150.f);
    for (guint y = 0; y < 240; ++y)
        ASSERT_FLOAT_EQ(row[y], static_cast<float>(y));
    EXPECT_EQ(gst_hl_buffer_get_transform_meta(out.get()), nullptr) << "raw planes are not fitted";
}

TEST_F(InferTest, AFrameBeforeItsCapsIsOneError)
{
    Line line("appsrc name=in format=time ! hlinfer name=infer model=builtin:null ! fakesink");
    line.set(GST_STATE_PLAYING);
    const auto in = line.element("in");
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), system_frame(0));
    EXPECT_FALSE(line.wait());
    ASSERT_EQ(line.errors().size(), 1u);
    EXPECT_EQ(line.errors()[0].code, "HL-FMT-004");
}

TEST_F(InferTest, OutputsAreRecycledAndMayOutliveTheElement)
{
    GstPtr<GstBuffer> kept;
    {
        const HarnessPtr h = infer_harness("model=builtin:demo in-flight=1", 320, 240);
        for (guint i = 0; i < 4; ++i) {
            ASSERT_EQ(gst_harness_push(h.get(), system_frame(i, 320, 240)), GST_FLOW_OK);
            kept = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
            ASSERT_TRUE(kept);
        }
    }
    GstTensorMeta *const meta = gst_buffer_get_tensor_meta(kept.get());
    ASSERT_NE(meta, nullptr);
    const GstBufferMap map(gst_tensor_meta_get(meta, 0)->data, GST_MAP_READ);
    ASSERT_TRUE(map);
    EXPECT_GT(map.size(), 0u);
}

TEST_F(InferTest, ForeignFramesAreCopiedOnceAndCounted)
{
    const HarnessPtr h = infer_harness("model=builtin:demo", 320, 240);
    for (guint i = 0; i < 5; ++i)
        ASSERT_EQ(gst_harness_push(h.get(), system_frame(i, 320, 240)), GST_FLOW_OK);
    for (guint i = 0; i < 5; ++i)
        gst_buffer_unref(gst_harness_pull(h.get()));
    const auto stats = stats_of(h.get());
    EXPECT_EQ(field(stats, "cpu-copies"), 5u);
    EXPECT_EQ(field(stats, "cpu-copy-bytes"), 5 * frame_bytes);
    EXPECT_EQ(field(stats, "uploads"), 0u) << "the simulator's engine reads host pages where they lie";
    EXPECT_EQ(word(stats, "placement"), "system");
    EXPECT_EQ(word(stats, "preprocess"), "host");
}

TEST_F(InferTest, FramesOfOurPoolAreReadInPlace)
{
    Line line("videotestsrc num-buffers=10 ! " + caps_text + " ! hlinfer name=infer model=builtin:demo ! fakesink");
    ASSERT_TRUE(line.run());
    const auto stats = line.stats();
    EXPECT_EQ(field(stats, "frames"), 10u);
    for (const char *counter : {"cpu-copies", "uploads", "downloads", "p2p", "read-backs"})
        EXPECT_EQ(field(stats, counter), 0u) << counter;
    EXPECT_EQ(word(stats, "placement"), "host");

    const auto told = line.element_messages("hl-placement");
    ASSERT_EQ(told.size(), 1u) << "once per negotiation";
    EXPECT_EQ(word(told[0], "reason"), "own-pool");
    EXPECT_EQ(word(told[0], "placement"), "host");
}

// A copy by anybody would read the frame's pages; these have none that can be read.
TEST_F(InferTest, DeviceFramesBindWithoutTouchingThem)
{
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    const auto pool = own_pool(device(), hl::Placement::Device, caps.get());
    gst_hl_allocator_set_strict(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get())), true);
    const HarnessPtr h = infer_harness("model=builtin:demo zero-copy=require", 320, 240);
    ASSERT_EQ(gst_harness_push(h.get(), pool_frame(pool.get(), 0)), GST_FLOW_OK);
    const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
    ASSERT_TRUE(out);
    EXPECT_NE(gst_buffer_get_tensor_meta(out.get()), nullptr);
    const auto stats = stats_of(h.get());
    for (const char *counter : {"cpu-copies", "uploads", "downloads", "p2p", "read-backs"})
        EXPECT_EQ(field(stats, counter), 0u) << counter;
    EXPECT_EQ(word(stats, "placement"), "device");
    const hl::CopyTotals staged =
        gst_hl_allocator_totals(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get())));
    EXPECT_EQ(staged[hl::CopyKind::Download].count, 0u);
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(InferTest, ComputeOnTheHostReadsBackAndSaysSo)
{
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    const auto pool = own_pool(device(), hl::Placement::Device, caps.get());
    const HarnessPtr h = infer_harness("model=builtin:demo compute=host", 320, 240);
    for (guint i = 0; i < 3; ++i) {
        ASSERT_EQ(gst_harness_push(h.get(), pool_frame(pool.get(), i)), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h.get()));
    }
    const auto stats = stats_of(h.get());
    EXPECT_EQ(field(stats, "read-backs"), 3u);
    EXPECT_EQ(field(stats, "read-back-bytes"), 3 * frame_bytes);
    EXPECT_EQ(field(stats, "cpu-copies"), 0u);
    EXPECT_EQ(word(stats, "headline"), "frames in HBM, compute on HOST, 115200 bytes read back per frame");
    EXPECT_EQ(word(stats, "compute"), "host");
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

// Who writes into a device pool of ours is another device: what it wrote must be visible before the launch.
TEST_F(InferTest, DeviceMemoryIsOfferedUnderDmabufCapsAndFlushedBeforeUse)
{
    const HarnessPtr h(gst_harness_new_parse("hlinfer model=builtin:demo memory=device"));
    const auto system = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    GstCaps *const dmabuf = gst_hl_caps_to_dmabuf(system.get());
    gst_harness_set_src_caps(h.get(), gst_caps_ref(dmabuf));
    gst_harness_play(h.get());
    const auto offered = [&](GstCaps *caps) {
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps, TRUE));
        EXPECT_TRUE(gst_pad_peer_query(h->srcpad, query.get()));
        GstBufferPool *pool = nullptr;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, nullptr, nullptr, nullptr);
        return GstPtr<GstBufferPool>::adopt(pool);
    };
    const auto placement = [](const GstPtr<GstBufferPool> &pool) {
        return gst_hl_allocator_placement(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get())));
    };
    EXPECT_EQ(placement(offered(system.get())), hl::Placement::Host) << "nobody may map what this would be";
    const auto pool = offered(dmabuf);
    gst_caps_unref(dmabuf);
    ASSERT_EQ(placement(pool), hl::Placement::Device);
    ASSERT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));

    const auto sim = device();
    const uint64_t before = hl::sim::stats(*sim).flushes;
    for (guint i = 0; i < 3; ++i) {
        ASSERT_EQ(gst_harness_push(h.get(), pool_frame(pool.get(), i)), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h.get()));
    }
    EXPECT_EQ(hl::sim::stats(*sim).flushes, before + 3);
    EXPECT_EQ(word(stats_of(h.get()), "placement"), "device");
    gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST_F(InferTest, NamesWhyFramesAreForeign)
{
    const std::string line_end = " ! hlinfer name=infer model=builtin:demo ! fakesink";
    Line dropped("videotestsrc num-buffers=3 ! " + caps_text + " ! identity drop-allocation=true" + line_end);
    ASSERT_TRUE(dropped.run());
    auto told = dropped.element_messages("hl-placement");
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(word(told[0], "reason"), "no-pool");
    EXPECT_NE(word(told[0], "cost").find("115200 bytes copied by the CPU"), std::string::npos);
    EXPECT_NE(word(told[0], "suggestion"), "");

    const HarnessPtr h = infer_harness("model=builtin:demo", 320, 240);
    const auto bus = GstPtr<GstBus>::adopt(gst_bus_new());
    gst_element_set_bus(h->element, bus.get());
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps.get(), TRUE));
    ASSERT_TRUE(gst_pad_peer_query(h->srcpad, query.get()));
    for (guint i = 0; i < 3; ++i) {
        ASSERT_EQ(gst_harness_push(h.get(), system_frame(i, 320, 240)), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h.get()));
    }
    std::vector<std::string> reasons;
    while (const auto message = GstPtr<GstMessage>::adopt(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ELEMENT)))
        if (gst_message_has_name(message.get(), "hl-placement"))
            reasons.emplace_back(gst_structure_get_string(gst_message_get_structure(message.get()), "reason"));
    EXPECT_EQ(reasons, std::vector<std::string>{"pool-replaced"});
    gst_element_set_bus(h->element, nullptr);
}

TEST_F(InferTest, RequiredZeroCopyRefusesForeignFrames)
{
    Line line("appsrc name=in caps=" + caps_text +
              " format=time ! hlinfer name=infer model=builtin:demo zero-copy=require ! fakesink");
    line.set(GST_STATE_PLAYING);
    const auto in = line.element("in");
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), system_frame(0, 320, 240));
    EXPECT_FALSE(line.wait());
    ASSERT_EQ(line.errors().size(), 1u);
    EXPECT_EQ(line.errors()[0].code, "HL-CPY-001");
    EXPECT_NE(line.errors()[0].remedy.find("videotestsrc ! hlinfer"), std::string::npos);
    EXPECT_EQ(field(line.stats(), "cpu-copies"), 0u);
}

TEST_F(InferTest, InfersEveryThirdFrame)
{
    const HarnessPtr h = infer_harness("model=builtin:demo interval=2", 320, 240);
    for (guint i = 0; i < 7; ++i) {
        ASSERT_EQ(gst_harness_push(h.get(), system_frame(i, 320, 240)), GST_FLOW_OK);
        const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
        ASSERT_TRUE(out);
        EXPECT_EQ(GST_BUFFER_PTS(out.get()), i * GST_SECOND / 30);
        EXPECT_EQ(gst_buffer_get_tensor_meta(out.get()) != nullptr, i % 3 == 0) << i;
    }
    EXPECT_EQ(field(stats_of(h.get()), "inferred"), 3u);
    EXPECT_EQ(field(stats_of(h.get()), "frames"), 7u);
}

TEST_F(InferTest, OffersItsPoolWithVideoMeta)
{
    const HarnessPtr h = infer_harness("model=builtin:null in-flight=3", 320, 240);
    gst_harness_add_propose_allocation_meta(h.get(), GST_VIDEO_META_API_TYPE, nullptr);
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps.get(), TRUE));
    ASSERT_TRUE(gst_pad_peer_query(h->srcpad, query.get()));
    ASSERT_EQ(gst_query_get_n_allocation_pools(query.get()), 1u);
    GstBufferPool *raw = nullptr;
    guint size = 0, min = 0, max = 9;
    gst_query_parse_nth_allocation_pool(query.get(), 0, &raw, &size, &min, &max);
    const auto pool = GstPtr<GstBufferPool>::adopt(raw);
    ASSERT_TRUE(pool);
    EXPECT_TRUE(GST_IS_HL_BUFFER_POOL(pool.get()));
    EXPECT_GE(size, frame_bytes);
    EXPECT_GT(min, 3u) << "fewer than are in flight would stall upstream";
    EXPECT_EQ(max, 0u);
    EXPECT_TRUE(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
    EXPECT_EQ(gst_query_get_n_allocation_params(query.get()), 1u);
}

// The frames go on as they are, so what those behind hlinfer cannot take must not be offered to those before it.
TEST_F(InferTest, OffersTheMetasThatDownstreamUnderstands)
{
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    const auto offered = [&](GstPad *sink, GType api) {
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps.get(), TRUE));
        EXPECT_TRUE(gst_pad_query(sink, query.get()));
        return gst_query_find_allocation_meta(query.get(), api, nullptr) != FALSE;
    };
    for (const bool reads : {false, true}) {
        const HarnessPtr h = infer_harness("model=builtin:null", 320, 240);
        gst_harness_add_propose_allocation_meta(h.get(), GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, nullptr);
        gst_harness_add_propose_allocation_meta(h.get(), GST_VIDEO_CROP_META_API_TYPE, nullptr);
        if (reads)
            gst_harness_add_propose_allocation_meta(h.get(), GST_VIDEO_META_API_TYPE, nullptr);
        const auto sink = GstPtr<GstPad>::adopt(gst_element_get_static_pad(h->element, "sink"));
        EXPECT_EQ(offered(sink.get(), GST_VIDEO_META_API_TYPE), reads);
        EXPECT_TRUE(offered(sink.get(), GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE));
        EXPECT_FALSE(offered(sink.get(), GST_VIDEO_CROP_META_API_TYPE)) << "the model would see what is cropped away";
    }
    // Who does not answer reads none; but fakesink reads nothing at all.
    const std::pair<const char *, bool> lines[] = {
        {"fakesink", true},
        {"tee name=t ! queue ! fakesink t. ! queue ! fakesink", true},
        {"tee name=t ! queue ! fakesink t. ! queue ! appsink wait-on-eos=false", false},
        {"appsink wait-on-eos=false", false}};
    for (const auto &[end, reads] : lines) {
        Line line("videotestsrc num-buffers=1 ! " + caps_text +
                  std::string(" ! hlinfer name=infer model=builtin:null ! ") + end);
        line.set(GST_STATE_PAUSED);
        ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
        const auto sink = GstPtr<GstPad>::adopt(gst_element_get_static_pad(line.element("infer").get(), "sink"));
        line.set(GST_STATE_PLAYING);
        EXPECT_EQ(offered(sink.get(), GST_VIDEO_META_API_TYPE), reads) << end;
    }
}

// libav asks for a new pool with every frame where it finds the old one's size odd.
TEST_F(InferTest, AnswersForTheSameCapsShareTheirMemories)
{
    const HarnessPtr h = infer_harness("model=builtin:null", 320, 240);
    const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", 320, 240));
    const auto other = GstPtr<GstCaps>::adopt(video_caps("NV12", 240, 320));
    const auto frame_of_new_pool = [&](GstCaps *wanted) {
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(wanted, TRUE));
        EXPECT_TRUE(gst_pad_peer_query(h->srcpad, query.get()));
        GstBufferPool *raw = nullptr;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &raw, nullptr, nullptr, nullptr);
        const auto pool = GstPtr<GstBufferPool>::adopt(raw);
        GstStructure *const config = gst_buffer_pool_get_config(pool.get());
        gst_buffer_pool_config_set_params(config, wanted, 0, 0, 0);
        EXPECT_TRUE(gst_buffer_pool_set_config(pool.get(), config));
        EXPECT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
        GstBuffer *buffer = nullptr;
        EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
        const ino_t identity = hltest::inode(buffer);
        gst_buffer_unref(buffer);
        gst_buffer_pool_set_active(pool.get(), FALSE);
        return identity;
    };
    const ino_t first = frame_of_new_pool(caps.get());
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(frame_of_new_pool(caps.get()), first);
    EXPECT_NE(frame_of_new_pool(other.get()), first) << "same size, other layout";
}

TEST_F(InferTest, AnswersCapsFromBothSides)
{
    Line line("videotestsrc num-buffers=2 ! hlinfer name=infer model=builtin:null ! "
              "video/x-raw,format=BGRx,width=64,height=64 ! fakesink");
    EXPECT_TRUE(line.run());
    const HarnessPtr h = infer_harness();
    const auto accepts = [&](const char *format) {
        const auto caps = GstPtr<GstCaps>::adopt(video_caps(format, 64, 64));
        return gst_pad_peer_query_accept_caps(h->srcpad, caps.get());
    };
    EXPECT_TRUE(accepts("RGB"));
    EXPECT_TRUE(accepts("Y444")) << "to be refused in words (refusal_test)";
    gst_harness_set_sink_caps(h.get(), video_caps("NV12", 64, 64));
    EXPECT_TRUE(accepts("NV12"));
    EXPECT_FALSE(accepts("RGB")) << "downstream does not take it";
}

TEST_F(InferTest, AddsItsLatencyForLiveSources)
{
    const HarnessPtr h = infer_harness("model=builtin:null");
    ASSERT_EQ(gst_harness_push(h.get(), system_frame(0)), GST_FLOW_OK);
    gst_buffer_unref(gst_harness_pull(h.get()));
    gst_harness_set_upstream_latency(h.get(), 7 * GST_MSECOND);
    const GstClockTime latency = gst_harness_query_latency(h.get());
    EXPECT_EQ(latency, 7 * GST_MSECOND + GST_SECOND / 30) << "a frame's duration until enough is measured";
    for (guint i = 1; i < 64; ++i) {
        ASSERT_EQ(gst_harness_push(h.get(), system_frame(i)), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h.get()));
    }
    const GstClockTime measured = gst_harness_query_latency(h.get());
    EXPECT_GT(measured, 7 * GST_MSECOND);
    EXPECT_NE(measured, latency);
}

TEST_F(InferTest, ErrorsOfTheModelAreOneClearMessage)
{
    for (const auto &[properties, code] : std::vector<std::pair<std::string, std::string>>{
             {"", "HL-MOD-001"}, {"model=/nowhere/net.onnx", "HL-MOD-001"}}) {
        Line line("videotestsrc ! hlinfer name=infer " + properties + " ! fakesink");
        EXPECT_EQ(line.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
        ASSERT_EQ(line.errors().size(), 1u) << properties;
        EXPECT_EQ(line.errors()[0].code, code);
        EXPECT_FALSE(line.errors()[0].remedy.empty());
    }
}

TEST_F(InferTest, SmallBuffersAreRefused)
{
    Line line("appsrc name=in caps=" + caps_text + " format=time ! hlinfer name=infer model=builtin:demo ! fakesink");
    line.set(GST_STATE_PLAYING);
    const auto in = line.element("in");
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), system_frame(0, 320, 238));
    EXPECT_FALSE(line.wait());
    ASSERT_EQ(line.errors().size(), 1u);
    EXPECT_EQ(line.errors()[0].code, "HL-FMT-002");
}
