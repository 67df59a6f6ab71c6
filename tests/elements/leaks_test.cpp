// SPDX-License-Identifier: LGPL-2.1-or-later

// GStreamer's leaks tracer counts every object that a line makes; when the line is gone, so are they.
#include "infer_fixture.h"

#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <thread>

namespace {

using testing::Contains;
using testing::HasSubstr;

GstPtr<GstTracer> leaks_tracer()
{
    GList *const tracers = gst_tracing_get_active_tracers();
    GstPtr<GstTracer> found;
    for (GList *at = tracers; at; at = at->next)
        if (g_str_equal(G_OBJECT_TYPE_NAME(at->data), "GstLeaksTracer"))
            found = GstPtr<GstTracer>::share(GST_TRACER(at->data));
    g_list_free_full(tracers, gst_object_unref);
    return found;
}

// What is alive, by type, without what GStreamer says may be.
std::vector<std::string> alive()
{
    const auto tracer = leaks_tracer();
    if (!tracer) {
        ADD_FAILURE() << "the leaks tracer is not there";
        return {};
    }
    GstStructure *raw = nullptr;
    g_signal_emit_by_name(tracer.get(), "get-live-objects", &raw);
    const GstStructurePtr all(raw);
    std::vector<std::string> out;
    const GValue *list = raw ? gst_structure_get_value(raw, "live-objects-list") : nullptr;
    for (guint i = 0; list && i < gst_value_list_get_size(list); ++i) {
        const GstStructure *object = gst_value_get_structure(gst_value_list_get_value(list, i));
        out.emplace_back(GCharPtr(gst_structure_to_string(object)).get());
    }
    return out;
}

struct Case {
    const char *name;
    const char *launch;
    const char *faults = "";
    bool ends_well = true;
};

constexpr const char *source = "videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=320,height=240 ! ";

const std::array cases{
    Case{"HostPages", "hlinfer name=infer model=builtin:demo ! hltensordec ! fakesink"},
    Case{"DevicePool", "hlinfer name=infer model=builtin:demo memory=device ! hltensordec ! fakesink"},
    Case{"Upload", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! fakesink"},
    Case{"UploadAndDownload", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! hldownload ! fakesink"},
    Case{"ComputeOnHost", "hlupload ! hlinfer name=infer model=builtin:demo compute=host ! hltensordec ! hldownload ! "
                          "fakesink"},
    Case{"Overlay", "hlupload ! hlinfer name=infer model=builtin:demo ! hltensordec ! hldownload ! videoconvert ! "
                    "objectdetectionoverlay ! fakesink"},
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

class Leaks : public InferTest, public testing::WithParamInterface<Case> {};
using LeaksControl = InferTest;

// A device that is working, or a bin's own thread, may hold a line's objects for some time after it.
std::vector<std::string> alive_in_the_end(const std::vector<std::string> &wanted)
{
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    auto now = alive();
    while (now != wanted && std::chrono::steady_clock::now() < limit) {
        std::this_thread::yield();
        now = alive();
    }
    return now;
}

} // namespace

TEST_P(Leaks, NothingIsLeftAlive)
{
    const SimSetting faults("HL_SIM_FAULTS", GetParam().faults);
    const auto before = alive();
    {
        Line line(std::string(source) + GetParam().launch);
        EXPECT_EQ(line.run(), GetParam().ends_well);
        EXPECT_EQ(line.errors().empty(), GetParam().ends_well);
        EXPECT_GT(alive().size(), before.size()) << "the tracer sees a line that is there";
    }
    EXPECT_EQ(alive_in_the_end(before), before);
}

TEST_F(LeaksControl, ABufferThatIsHeldIsSeen)
{
    const auto before = alive();
    const auto held = GstPtr<GstBuffer>::adopt(system_frame(0));
    const auto now = alive();
    EXPECT_EQ(now.size(), before.size() + 2) << "a buffer and its memory";
    EXPECT_THAT(now, Contains(HasSubstr("GstBuffer")));
}

INSTANTIATE_TEST_SUITE_P(All, Leaks, testing::ValuesIn(cases),
                         [](const testing::TestParamInfo<Case> &one) { return std::string(one.param.name); });
