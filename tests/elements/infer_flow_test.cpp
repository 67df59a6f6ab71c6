// SPDX-License-Identifier: LGPL-2.1-or-later
#include "infer_fixture.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

namespace {

using Ms = std::chrono::duration<double, std::milli>;

double ms_since(std::chrono::steady_clock::time_point start)
{
    return Ms(std::chrono::steady_clock::now() - start).count();
}

void watch(GstBuffer *buffer, Latch &latch)
{
    gst_mini_object_weak_ref(GST_MINI_OBJECT_CAST(buffer), Latch::notify, &latch);
}

// Counts the buffers that come to an element.
void watch_sink_pad(const GstPtr<GstElement> &element, Latch &latch)
{
    const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(element.get(), "sink"));
    gst_pad_add_probe(
        pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *, GstPadProbeInfo *, gpointer data) {
            static_cast<Latch *>(data)->up();
            return GST_PAD_PROBE_OK;
        },
        &latch, nullptr);
}

GstBuffer *small(guint index)
{
    return system_frame(index, 64, 32);
}

} // namespace

TEST_F(InferTest, EosDrainsWhatIsInFlight)
{
    const SimSetting slow("HL_SIM_COMPUTE_US", "30000");
    const HarnessPtr h = infer_harness("model=builtin:demo in-flight=4");
    for (guint i = 0; i < 4; ++i)
        ASSERT_EQ(gst_harness_push(h.get(), small(i)), GST_FLOW_OK);
    EXPECT_LT(gst_harness_buffers_received(h.get()), 4u);
    ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_eos()));
    // Downstream gets all four, and EOS behind them.
    for (guint i = 0; i < 4; ++i) {
        const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
        ASSERT_TRUE(out);
        EXPECT_EQ(GST_BUFFER_PTS(out.get()), i * GST_SECOND / 30);
    }
    GstBuffer *more = nullptr;
    EXPECT_TRUE(gst_harness_pull_until_eos(h.get(), &more));
    EXPECT_EQ(more, nullptr);
}

TEST_F(InferTest, EosBeforeTheFirstBuffer)
{
    Line line("videotestsrc num-buffers=0 ! hlinfer name=infer model=builtin:demo ! fakesink");
    EXPECT_TRUE(line.run());
    EXPECT_EQ(field(line.stats(), "frames"), 0u);
    EXPECT_TRUE(line.errors().empty());
}

// The best of a few rounds, because other programs may hold up any one of them; a flush that waited for the device
// would take 60 ms in each.
TEST_F(InferTest, FlushDoesNotWaitForTheDevice)
{
    const SimSetting slow("HL_SIM_COMPUTE_US", "60000");
    Latch freed;
    const HarnessPtr h = infer_harness("model=builtin:demo in-flight=4");
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    double best = 1000;
    constexpr guint rounds = 4;
    for (guint round = 0; round < rounds; ++round) {
        for (guint i = 0; i < 4; ++i) {
            GstBuffer *const buffer = small(i);
            watch(buffer, freed);
            ASSERT_EQ(gst_harness_push(h.get(), buffer), GST_FLOW_OK);
        }
        // And one more that waits for a request.
        auto blocked = std::async(std::launch::async, [&] { return gst_harness_push(h.get(), small(4)); });
        const auto start = std::chrono::steady_clock::now();
        ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_flush_start()));
        best = std::min(best, ms_since(start));
        EXPECT_LT(freed.count(), 4 * (round + 1)) << "frames went back while the device was reading them";
        EXPECT_EQ(blocked.get(), GST_FLOW_FLUSHING);
        ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_flush_stop(TRUE)));
        ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_segment(&segment)));
    }
    EXPECT_LT(best, 20.0);

    while (GstBuffer *const early = gst_harness_try_pull(h.get()))
        gst_buffer_unref(early); // finished before its round's flush
    ASSERT_EQ(gst_harness_push(h.get(), small(10)), GST_FLOW_OK);
    const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
    ASSERT_TRUE(out);
    EXPECT_EQ(GST_BUFFER_PTS(out.get()), 10 * GST_SECOND / 30) << "a frame from before the flush came out";
    EXPECT_TRUE(freed.wait(4 * rounds));
}

TEST_F(InferTest, FormatChangesAfterAFlushWithTheDeviceStillBusy)
{
    const SimSetting slow("HL_SIM_COMPUTE_US", "100000");
    const HarnessPtr h = infer_harness("model=builtin:demo in-flight=2");
    for (guint i = 0; i < 2; ++i)
        ASSERT_EQ(gst_harness_push(h.get(), small(i)), GST_FLOW_OK);
    ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_flush_start()));
    ASSERT_TRUE(gst_harness_push_event(h.get(), gst_event_new_flush_stop(TRUE)));
    gst_harness_set_src_caps(h.get(), video_caps("NV12", 640, 480));
    ASSERT_EQ(gst_harness_push(h.get(), system_frame(5, 640, 480)), GST_FLOW_OK);
    const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
    ASSERT_TRUE(out);
    EXPECT_EQ(GST_BUFFER_PTS(out.get()), 5 * GST_SECOND / 30);
}

TEST_F(InferTest, SeeksWhilePlaying)
{
    Line line("videotestsrc num-buffers=60 ! video/x-raw,format=NV12,width=64,height=32,framerate=30/1 ! "
              "hlinfer name=infer model=builtin:demo ! fakesink");
    line.set(GST_STATE_PAUSED);
    ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
    line.set(GST_STATE_PLAYING);
    for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(gst_element_seek_simple(line.get(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, i * 100 * GST_MSECOND));
    EXPECT_TRUE(line.wait());
    EXPECT_TRUE(line.errors().empty());
}

TEST_F(InferTest, CapsChangeWithRequestsInFlightKeepsItsPlace)
{
    const SimSetting slow("HL_SIM_COMPUTE_US", "20000");
    const HarnessPtr h = infer_harness("model=builtin:demo in-flight=4");
    for (guint i = 0; i < 3; ++i)
        ASSERT_EQ(gst_harness_push(h.get(), small(i)), GST_FLOW_OK);
    gst_harness_set_src_caps(h.get(), video_caps("I420", 128, 96));
    for (guint i = 3; i < 6; ++i)
        ASSERT_EQ(gst_harness_push(h.get(), system_frame(i, 128, 96, "I420")), GST_FLOW_OK);
    for (guint i = 0; i < 6; ++i) {
        const auto out = GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
        ASSERT_TRUE(out);
        EXPECT_EQ(GST_BUFFER_PTS(out.get()), i * GST_SECOND / 30);
    }
    std::vector<int> widths;
    while (const auto event = GstPtr<GstEvent>::adopt(gst_harness_try_pull_event(h.get())))
        if (GST_EVENT_TYPE(event.get()) == GST_EVENT_CAPS) {
            GstCaps *caps = nullptr;
            gst_event_parse_caps(event.get(), &caps);
            int width = 0;
            gst_structure_get_int(gst_caps_get_structure(caps, 0), "width", &width);
            widths.push_back(width);
        }
    EXPECT_EQ(widths, (std::vector<int>{64, 128}));
}

TEST_F(InferTest, GapsAndCustomEventsKeepTheirPlace)
{
    const SimSetting slow("HL_SIM_COMPUTE_US", "5000");
    Line line("appsrc name=in format=time caps=video/x-raw,format=NV12,width=64,height=32,framerate=30/1 ! "
              "hlinfer name=infer model=builtin:demo in-flight=4 ! fakesink name=out");
    struct Order {
        std::mutex mutex;
        std::string seen;
    } order;
    const auto sink = line.element("out");
    const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(sink.get(), "sink"));
    gst_pad_add_probe(
        pad.get(), static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
        [](GstPad *, GstPadProbeInfo *info, gpointer data) {
            auto &o = *static_cast<Order *>(data);
            const std::lock_guard lock(o.mutex);
            if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER)
                o.seen += 'b';
            else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_GAP)
                o.seen += 'g';
            return GST_PAD_PROBE_OK;
        },
        &order, nullptr);
    line.set(GST_STATE_PLAYING);
    const auto in = line.element("in");
    for (guint i = 0; i < 3; ++i) {
        gst_app_src_push_buffer(GST_APP_SRC(in.get()), small(2 * i));
        // appsrc sends events in line with buffers.
        gst_element_send_event(in.get(), gst_event_new_gap((2 * i + 1) * GST_SECOND / 30, GST_SECOND / 30));
    }
    gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
    ASSERT_TRUE(line.wait());
    const std::lock_guard lock(order.mutex);
    EXPECT_EQ(order.seen, "bgbgbg");
}

TEST_F(InferTest, StoppingDoesNotWaitForTheDeviceAndMemoryIsGivenBackLater)
{
    const SimSetting slow("HL_SIM_COMPUTE_US", "200000");
    Latch freed;
    {
        Line line("appsrc name=in format=time caps=video/x-raw,format=NV12,width=64,height=32,framerate=30/1 ! "
                  "hlinfer name=infer model=builtin:demo in-flight=4 ! fakesink async=false");
        line.set(GST_STATE_PLAYING);
        const auto in = line.element("in");
        Latch entered;
        watch_sink_pad(line.element("infer"), entered);
        for (guint i = 0; i < 5; ++i) {
            GstBuffer *const buffer = small(i);
            watch(buffer, freed);
            gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer);
        }
        ASSERT_TRUE(entered.wait(5)) << "four are out, the fifth waits";
        const auto start = std::chrono::steady_clock::now();
        line.set(GST_STATE_READY);
        EXPECT_LT(ms_since(start), 400.0) << "the device needs 200 ms for each of four";
        EXPECT_LT(freed.count(), 5u);
    }
    EXPECT_TRUE(freed.wait(5)) << "a frame was never given back";
}

// How much faster that makes a line: ./dev bench live.
TEST_F(InferTest, FramesAreUploadedWhileTheDeviceComputes)
{
    const SimSetting compute("HL_SIM_COMPUTE_US", "10000000");
    Line line("videotestsrc num-buffers=4 ! video/x-raw,format=NV12,width=64,height=32,framerate=30/1 ! hlupload ! "
              "hlinfer name=infer model=builtin:null in-flight=4 ! fakesink name=sink");
    Latch uploaded, inferred;
    watch_sink_pad(line.element("infer"), uploaded);
    watch_sink_pad(line.element("sink"), inferred);
    line.set(GST_STATE_PLAYING);
    EXPECT_TRUE(uploaded.wait(4));
    EXPECT_EQ(inferred.count(), 0u) << "the first frame is computed for ten seconds";
}

TEST_F(InferTest, DownstreamsAnswerIsTheSinkPadsAnswer)
{
    Line line("videotestsrc ! hlinfer name=infer model=builtin:null ! identity eos-after=3 ! fakesink");
    EXPECT_TRUE(line.run()) << "EOS from downstream must end the stream";
}

TEST_F(InferTest, PausesWithAFullLineAndGoesOn)
{
    Line line("videotestsrc num-buffers=30 ! video/x-raw,framerate=300/1 ! hlinfer name=infer model=builtin:null ! "
              "fakesink sync=true");
    line.set(GST_STATE_PAUSED);
    ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
    line.set(GST_STATE_PLAYING);
    line.set(GST_STATE_PAUSED);
    ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
    EXPECT_TRUE(line.run());
    EXPECT_EQ(field(line.stats(), "frames"), 30u);
}

namespace {

// What the process holds of a device.
class Holdings {
public:
    explicit Holdings(std::shared_ptr<hl::Device> device) : device_(std::move(device)) {}
    void remember()
    {
        descriptors_ = hltest::open_descriptors();
        usage_ = device_->usage();
    }
    void expect_same() const
    {
        EXPECT_EQ(hltest::open_descriptors(), descriptors_);
        const hl::Device::Usage now = device_->usage();
        EXPECT_EQ(now.device_bytes, usage_.device_bytes);
        EXPECT_EQ(now.host_bytes, usage_.host_bytes);
        EXPECT_EQ(now.exports_open, usage_.exports_open);
    }

private:
    std::shared_ptr<hl::Device> device_;
    size_t descriptors_ = 0;
    hl::Device::Usage usage_;
};

} // namespace

TEST_F(InferTest, CyclesLeaveNothingBehind)
{
    Holdings holdings(device());
    Line line("videotestsrc ! capsfilter name=caps caps=video/x-raw,format=NV12,width=64,height=32 ! "
              "hlinfer name=infer model=builtin:null ! fakesink name=out");
    line.set(GST_STATE_READY);
    for (int i = 0; i < 205; ++i) {
        line.set(GST_STATE_PLAYING);
        ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
        line.set(GST_STATE_READY);
        ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
        if (i == 4)
            holdings.remember();
    }
    holdings.expect_same();
}

TEST_F(InferTest, CapsChangesLeaveNothingBehind)
{
    Holdings holdings(device());
    const HarnessPtr h = infer_harness("model=builtin:demo");
    for (int i = 0; i < 204; ++i) {
        const int width = i % 2 ? 64 : 128;
        gst_harness_set_src_caps(h.get(), video_caps("NV12", width, 32));
        // As a producer does it: ask for a pool, use it, and leave it at the next change.
        const auto caps = GstPtr<GstCaps>::adopt(video_caps("NV12", width, 32));
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps.get(), TRUE));
        ASSERT_TRUE(gst_pad_peer_query(h->srcpad, query.get()));
        GstBufferPool *raw = nullptr;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &raw, nullptr, nullptr, nullptr);
        const auto pool = GstPtr<GstBufferPool>::adopt(raw);
        ASSERT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
        GstBuffer *buffer = nullptr;
        ASSERT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
        ASSERT_EQ(gst_harness_push(h.get(), buffer), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h.get()));
        ASSERT_EQ(gst_harness_push(h.get(), system_frame(static_cast<guint>(i), width, 32)), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h.get()));
        gst_buffer_pool_set_active(pool.get(), FALSE);
        if (i == 3)
            holdings.remember();
    }
    holdings.expect_same();
}
