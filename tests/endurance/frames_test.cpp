// SPDX-License-Identifier: LGPL-2.1-or-later
#include "endurance_fixture.h"

using namespace hltest;

namespace {

class Frames : public EnduranceTest {
protected:
    // One run to the end; while it runs, all is counted every `every` frames, by the streaming thread.
    void play(Line &line, int frames, int every)
    {
        g_object_set(line.element("source").get(), "num-buffers", frames, nullptr);
        every_ = every;
        line.set(GST_STATE_PLAYING);
        const auto bus = GstPtr<GstBus>::adopt(gst_element_get_bus(line.get()));
        const auto end = GstPtr<GstMessage>::adopt(gst_bus_timed_pop(bus.get(), 300 * GST_SECOND));
        ASSERT_TRUE(end) << seen_ << " frames";
        ASSERT_EQ(GST_MESSAGE_TYPE(end.get()), GST_MESSAGE_EOS);
        line.set(GST_STATE_READY);
        ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
    }
    void sample_at_sink(const Line &line)
    {
        const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(line.element("sink").get(), "sink"));
        gst_pad_add_probe(
            pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
            [](GstPad *, GstPadProbeInfo *, gpointer data) {
                auto *const self = static_cast<Frames *>(data);
                if (self->every_ > 0 && ++self->seen_ % self->every_ == 0)
                    self->while_running();
                return GST_PAD_PROBE_OK;
            },
            this, nullptr);
    }

    int every_ = 0, seen_ = 0;
};

} // namespace

TEST_P(Frames, AHundredThousand)
{
    constexpr int frames = 100'000;
    FrameCount counted;
    Line line(launch("videotestsrc name=source pattern=solid-color ! "
                     "video/x-raw,format=NV12,width=16,height=16,framerate=30/1"));
    watch(line, counted);
    sample_at_sink(line);
    ASSERT_NO_FATAL_FAILURE(play(line, 500, 0));
    ASSERT_NO_FATAL_FAILURE(before(counted));
    ASSERT_NO_FATAL_FAILURE(play(line, frames, frames / 20));
    tell_running();
    EXPECT_EQ(counted.entered(), 500u + frames);
    EXPECT_EQ(counted.left(), 500u + frames);
    after(counted, std::format("{} frames", frames));
}

INSTANTIATE_TEST_SUITE_P(All, Frames, testing::ValuesIn(ways), name_of);
