// SPDX-License-Identifier: LGPL-2.1-or-later

// GStreamer's leaks tracer counts every object that a line makes; when the line is gone, so are they.
#include "infer_fixture.h"
#include "liveobjects.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <thread>

namespace {

using testing::AnyOf;
using testing::Contains;
using testing::ElementsAreArray;
using testing::IsEmpty;
using testing::StartsWith;

// What is alive of all that was made in these tests.
std::vector<std::string> alive()
{
    static LiveObjects objects;
    return objects.now();
}

struct Case {
    const char *name;
    const char *launch;
    const char *faults = "";
    bool ends_well = true;
    std::vector<std::string> theirs = {}; // what a stock element of the line leaves behind, types in their order
};

constexpr const char *source = "videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=320,height=240 ! ";

const std::array cases{
    Case{"HostPages", "hlinfer name=infer model=builtin:demo ! hltensordec ! fakesink"},
    Case{"DevicePool", "hlinfer name=infer model=builtin:demo memory=device ! hltensordec ! fakesink"},
    Case{"Upload", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! fakesink"},
    Case{"UploadAndDownload", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! hldownload ! fakesink"},
    Case{"ComputeOnHost", "hlupload ! hlinfer name=infer model=builtin:demo compute=host ! hltensordec ! hldownload ! "
                          "fakesink"},
    Case{"Overlay",
         "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! hldownload ! videoconvert ! "
         "objectdetectionoverlay ! fakesink",
         "",
         true,
         // gstobjectdetectionoverlay.c: neither stop() nor finalize() frees the composition of the last frame.
         {"GstBuffer", "GstMemory", "GstVideoOverlayComposition", "GstVideoOverlayRectangle"}},
    Case{"Tee", "hlupload ! hlinfer name=infer model=builtin:demo ! tee name=t t. ! queue ! hltensordec ! fakesink "
                "t. ! queue ! hldownload ! fakesink"},
    Case{"NoModel", "hlupload ! hlinfer name=infer model=/nonexistent.onnx ! hltensordec ! fakesink", "", false},
    Case{"CopyFails", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! fakesink", "copy:7=EIO", false},
    Case{"RequestFails", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! fakesink", "submit:7=EIO",
         false},
    Case{"DeviceIsLost", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! hldownload ! fakesink",
         "lost@submit:7", false},
};

void PrintTo(const Case &one, std::ostream *out)
{
    *out << one.launch;
}

class LeaksControl : public InferTest {
protected:
    static void SetUpTestSuite()
    {
        g_setenv("GST_TRACERS", "leaks", TRUE);
        InferTest::SetUpTestSuite();
    }
};
class Leaks : public LeaksControl, public testing::WithParamInterface<Case> {};

// The types of what is alive and was not before. A device that is working, or a bin's own thread, may hold a line's
// objects for some time after it, so this waits for there to be none, or those alone.
std::vector<std::string> left_in_the_end(const std::vector<std::string> &before, const std::vector<std::string> &alone)
{
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::vector<std::string> left;
    do {
        std::this_thread::yield();
        const auto now = alive();
        left.clear();
        std::ranges::set_difference(now, before, std::back_inserter(left));
        for (std::string &object : left)
            object.resize(object.find('@'));
    } while (!left.empty() && left != alone && std::chrono::steady_clock::now() < limit);
    return left;
}

void play(const Case &one)
{
    const auto before = alive();
    Line line(std::string(source) + one.launch);
    EXPECT_EQ(line.run(), one.ends_well);
    EXPECT_EQ(line.errors().empty(), one.ends_well);
    EXPECT_GT(alive().size(), before.size()) << "the tracer sees a line that is there";
}

} // namespace

TEST_P(Leaks, NothingIsLeftAlive)
{
    const SimSetting faults("HL_SIM_FAULTS", GetParam().faults);
    play(GetParam()); // what is made once in a process (templates, static caps) is there from here on
    const auto before = alive();
    SetUp(); // another device, whose faults are still to come
    play(GetParam());
    EXPECT_THAT(left_in_the_end(before, GetParam().theirs), AnyOf(IsEmpty(), ElementsAreArray(GetParam().theirs)));
}

TEST_F(LeaksControl, ABufferThatIsHeldIsSeen)
{
    const auto before = alive();
    const auto held = GstPtr<GstBuffer>::adopt(system_frame(0));
    const auto now = alive();
    EXPECT_EQ(now.size(), before.size() + 2) << "a buffer and its memory";
    EXPECT_THAT(now, Contains(StartsWith("GstBuffer@")));
}

INSTANTIATE_TEST_SUITE_P(All, Leaks, testing::ValuesIn(cases),
                         [](const testing::TestParamInfo<Case> &one) { return std::string(one.param.name); });
