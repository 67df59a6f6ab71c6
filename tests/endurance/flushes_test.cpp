// SPDX-License-Identifier: LGPL-2.1-or-later
#include "endurance_fixture.h"

#include "../unit/temporarydir.h"

using namespace hltest;

namespace {

constexpr const char *caps = "video/x-raw,format=NV12,width=16,height=16,framerate=30/1";
constexpr unsigned film_frames = 2000;
constexpr size_t frame_bytes = 16 * 16 * 3 / 2;

class Flushes : public EnduranceTest {
protected:
    // A seek to `frame`.
    static void seek(const Line &line, unsigned frame)
    {
        ASSERT_TRUE(gst_element_seek_simple(line.get(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
                                            static_cast<gint64>(gst_util_uint64_scale(frame, GST_SECOND, 30))));
    }
    // A flush as a source or an application makes it.
    static void flush(const Line &line)
    {
        const auto source = line.element("source");
        ASSERT_TRUE(gst_element_send_event(source.get(), gst_event_new_flush_start()));
        ASSERT_TRUE(gst_element_send_event(source.get(), gst_event_new_flush_stop(TRUE)));
    }

    template <class Interrupt>
    void run_rounds(FrameCount &frames, unsigned rounds, bool sample, const Interrupt &interrupt)
    {
        for (unsigned i = 0; i < rounds; ++i) {
            // A frame from behind the one before is on its way.
            ASSERT_TRUE(frames.wait_entered(frames.entered() + 1)) << "round " << i;
            in_flight_ += device_->usage().requests_pending > 0;
            ASSERT_NO_FATAL_FAILURE(interrupt(i));
            if (sample && i % 500 == 499)
                while_running();
        }
    }

    // Before: warm. Behind the last interruption frames arrive as ever.
    template <class Interrupt>
    void run_all(Line &line, unsigned rounds, const char *what, const Interrupt &interrupt)
    {
        FrameCount frames;
        watch(line, frames);
        for (const bool warm : {true, false}) {
            line.set(GST_STATE_PLAYING);
            ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
            ASSERT_NO_FATAL_FAILURE(run_rounds(frames, warm ? 200 : rounds, !warm, interrupt));
            ASSERT_NO_FATAL_FAILURE(interrupt(rounds));
            ASSERT_TRUE(frames.wait_left(frames.left() + 20));
            line.set(GST_STATE_PAUSED);
            ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
            line.set(GST_STATE_READY);
            ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
            if (warm) {
                ASSERT_NO_FATAL_FAILURE(before(frames));
                in_flight_ = 0;
            }
        }
        tell_running();
        after(frames, std::format("{} {}, {} of them with requests on the device", rounds, what, in_flight_));
        EXPECT_TRUE(line.errors().empty());
    }

    unsigned in_flight_ = 0;
    SimSetting compute_{"HL_SIM_COMPUTE_US", "200"};
};

} // namespace

TEST_P(Flushes, SeeksInAFile)
{
    hl::test::TemporaryDir folder;
    const std::string film = folder.write("film.nv12", std::string(film_frames * frame_bytes, '\x40'));
    Line line(launch(std::format(
        "filesrc location={} ! rawvideoparse name=source format=nv12 width=16 height=16 framerate=30/1", film)));
    run_all(line, 5000, "seeks in a file", [&](unsigned i) { seek(line, i * 37 % (film_frames / 2)); });
}

TEST_P(Flushes, SeeksInATestSource)
{
    Line line(launch(std::format("videotestsrc name=source ! {}", caps)));
    run_all(line, 2500, "seeks", [&](unsigned i) { seek(line, i * 37 % 1000); });
}

TEST_P(Flushes, FlushesByEvents)
{
    Line line(launch(std::format("videotestsrc name=source ! {}", caps)));
    run_all(line, 2500, "flushes", [&](unsigned) { flush(line); });
}

INSTANTIATE_TEST_SUITE_P(All, Flushes, testing::ValuesIn(ways), name_of);
