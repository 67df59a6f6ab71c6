// SPDX-License-Identifier: LGPL-2.1-or-later
#include "endurance_fixture.h"

#include <array>

using namespace hltest;

namespace {

constexpr std::array sizes{"width=64,height=32", "width=128,height=96", "width=30,height=46"};
constexpr std::array formats{"NV12", "I420", "YUY2", "RGB"};

class CapsChanges : public EnduranceTest {
protected:
    // Counts the caps events that come to the sink.
    static void watch_caps(const Line &line, Latch &changes)
    {
        const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(line.element("sink").get(), "sink"));
        gst_pad_add_probe(
            pad.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
            [](GstPad *, GstPadProbeInfo *info, gpointer data) {
                if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_CAPS)
                    static_cast<Latch *>(data)->up();
                return GST_PAD_PROBE_OK;
            },
            &changes, nullptr);
    }
    // The n-th change: neither size nor format is that of the one before.
    static void change(const Line &line, unsigned n)
    {
        const auto caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(
            std::format("video/x-raw,format={},{}", formats[n % formats.size()], sizes[n % sizes.size()]).c_str()));
        g_object_set(line.element("caps").get(), "caps", caps.get(), nullptr);
    }
    // Changes from the sink's `changes`-th caps on, counting those with requests on the device.
    void run_changes(const Line &line, FrameCount &frames, Latch &changes, unsigned rounds, bool sample)
    {
        for (unsigned i = 0; i < rounds; ++i) {
            const unsigned number = changes.count();
            change(line, number + 1);
            in_flight_ += device_->usage().requests_pending > 0;
            ASSERT_TRUE(changes.wait(number + 1)) << "change " << i;
            ASSERT_TRUE(frames.wait_left(frames.left() + 1));
            if (sample && i % 100 == 99)
                while_running();
        }
    }

    unsigned in_flight_ = 0;
    SimSetting compute_{"HL_SIM_COMPUTE_US", "300"};
    SimSetting dma_{"HL_SIM_DMA_US", "300"}; // for compute=host, whose read-backs are all that the device has
};

} // namespace

TEST_P(CapsChanges, AThousandWithRequestsInFlight)
{
    constexpr unsigned rounds = 1000;
    FrameCount frames;
    Latch changes;
    Line line(launch("videotestsrc name=source ! capsfilter name=caps caps-change-mode=delayed"));
    watch(line, frames);
    watch_caps(line, changes);
    change(line, 0);
    for (const bool warm : {true, false}) {
        const unsigned seen = changes.count();
        line.set(GST_STATE_PLAYING);
        ASSERT_TRUE(changes.wait(seen + 1));
        ASSERT_NO_FATAL_FAILURE(run_changes(line, frames, changes, warm ? 50 : rounds, !warm));
        line.set(GST_STATE_READY);
        ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
        if (warm) {
            ASSERT_NO_FATAL_FAILURE(before(frames));
            in_flight_ = 0;
        }
    }
    tell_running();
    after(frames,
          std::format("{} changes of size and format, {} of them with requests on the device", rounds, in_flight_));
    EXPECT_GE(in_flight_, rounds / 2);
    EXPECT_TRUE(line.errors().empty());
}

INSTANTIATE_TEST_SUITE_P(All, CapsChanges, testing::ValuesIn(ways), name_of);
