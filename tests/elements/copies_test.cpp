// SPDX-License-Identifier: LGPL-2.1-or-later
// The tracer runs in this program, as main() sets it up; each test plays a pipeline and reads the JSON report that it
// left. Uses nothing of the plugin but through GStreamer.
#include "gsthlptr.h"

#include <gst/allocators/gstfdmemory.h>
#include <gst/gst.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// --- an element that does to frames what its property says

namespace {

enum class Deed {
    Pass,       // the same buffer goes on
    DeepCopy,   // gst_buffer_copy_deep(): new memory, and a log line that says so
    HandCopy,   // memcpy() into a fresh buffer: new memory, silent
    HiddenCopy, // a deep copy is made and dropped, the buffer itself goes on
    SmallCopy,  // as HiddenCopy, of a few bytes
    Map,        // the buffer is mapped for reading and goes on
    Stale,      // the memory of the frame before goes on a second time
    List,       // the buffer goes on in a list
};

} // namespace

struct TestDoer {
    GstElement parent;
    GstPad *sink, *src;
    Deed deed;
    GstBuffer *kept;
};
struct TestDoerClass {
    GstElementClass parent_class;
};

GType test_doer_get_type();
G_DEFINE_TYPE(TestDoer, test_doer, GST_TYPE_ELEMENT)

namespace {

Deed next_deed = Deed::Pass; // of the next element made

GstBuffer *hand_copy(GstBuffer *buffer)
{
    const GstBufferMap in(buffer, GST_MAP_READ);
    GstBuffer *out = gst_buffer_new_allocate(nullptr, in.size(), nullptr);
    gst_buffer_fill(out, 0, in.data(), in.size());
    gst_buffer_copy_into(out, buffer, GST_BUFFER_COPY_METADATA, 0, static_cast<gsize>(-1));
    return out;
}

GstFlowReturn doer_chain(GstPad *, GstObject *parent, GstBuffer *buffer)
{
    auto *self = reinterpret_cast<TestDoer *>(parent);
    auto in = GstPtr<GstBuffer>::adopt(buffer);
    switch (self->deed) {
    case Deed::Pass:
        break;
    case Deed::DeepCopy:
        in = GstPtr<GstBuffer>::adopt(gst_buffer_copy_deep(in.get()));
        break;
    case Deed::HandCopy:
        in = GstPtr<GstBuffer>::adopt(hand_copy(in.get()));
        break;
    case Deed::HiddenCopy:
        gst_buffer_unref(gst_buffer_copy_deep(in.get()));
        break;
    case Deed::SmallCopy: {
        GstMemory *part = gst_memory_copy(gst_buffer_peek_memory(in.get(), 0), 0, 16);
        gst_memory_unref(part);
        break;
    }
    case Deed::Map: {
        const GstBufferMap map(in.get(), GST_MAP_READ);
        EXPECT_TRUE(map);
        break;
    }
    case Deed::Stale:
        if (!self->kept)
            self->kept = gst_buffer_ref(in.get());
        else
            in = GstPtr<GstBuffer>::share(self->kept);
        break;
    case Deed::List: {
        GstBufferList *list = gst_buffer_list_new();
        gst_buffer_list_add(list, in.release());
        return gst_pad_push_list(self->src, list);
    }
    }
    return gst_pad_push(self->src, in.release());
}

} // namespace

static void test_doer_init(TestDoer *self)
{
    self->deed = next_deed;
    const auto add = [self](const char *name, GstPadDirection direction) {
        GstPad *pad = gst_pad_new(name, direction);
        GST_PAD_SET_PROXY_CAPS(pad);
        GST_PAD_SET_PROXY_ALLOCATION(pad);
        gst_element_add_pad(GST_ELEMENT(self), pad);
        return pad;
    };
    self->sink = add("sink", GST_PAD_SINK);
    self->src = add("src", GST_PAD_SRC);
    gst_pad_set_chain_function(self->sink, doer_chain);
}

static void test_doer_finalize(GObject *object)
{
    gst_clear_buffer(&reinterpret_cast<TestDoer *>(object)->kept);
    G_OBJECT_CLASS(test_doer_parent_class)->finalize(object);
}

static void test_doer_class_init(TestDoerClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = test_doer_finalize;
    gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Doer", "Test", "Does as told", "gst-habana");
}

// --- playing and reading

namespace {

std::string report_path;

constexpr int frames = 20;
constexpr const char *source = "videotestsrc name=source num-buffers=20 ! "
                               "capsfilter caps=video/x-raw,format=NV12,width=320,height=240,framerate=30/1 ! ";
constexpr int frame_bytes = 320 * 240 * 3 / 2;

using Pipeline = GstPtr<GstElement>;

Pipeline parse(const std::string &line)
{
    GError *error = nullptr;
    auto pipeline = Pipeline::sink(gst_parse_launch(line.c_str(), &error));
    EXPECT_FALSE(error) << error->message;
    g_clear_error(&error);
    return pipeline;
}

// Plays to the end and stops. Returns the structure "hl-copies" that came before EOS, as text; empty without one.
GstStructurePtr play(const Pipeline &pipeline)
{
    GstStructurePtr told;
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const auto bus = GstPtr<GstBus>::adopt(gst_element_get_bus(pipeline.get()));
    for (bool running = true; running;) {
        const auto wanted = static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR | GST_MESSAGE_ELEMENT);
        const auto message = GstPtr<GstMessage>::adopt(gst_bus_timed_pop_filtered(bus.get(), 60 * GST_SECOND, wanted));
        EXPECT_TRUE(message) << "no EOS within a minute";
        if (!message)
            break;
        if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ELEMENT) {
            if (gst_message_has_name(message.get(), "hl-copies"))
                told.reset(gst_structure_copy(gst_message_get_structure(message.get())));
            continue;
        }
        EXPECT_EQ(GST_MESSAGE_TYPE(message.get()), GST_MESSAGE_EOS);
        running = false;
    }
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    return told;
}

json report()
{
    std::ifstream in(report_path);
    return json::parse(in);
}

json run(const std::string &line)
{
    std::filesystem::remove(report_path);
    play(parse(line));
    return report();
}

json hop(const json &report, const std::string &element, const std::string &pad = "src")
{
    for (const auto &h : report["hops"])
        if (h["element"] == element && h["pad"] == pad)
            return h;
    ADD_FAILURE() << "no hop " << element << ":" << pad << " in " << report.dump(1);
    return json::object();
}

json run_doer(Deed deed, const std::string &before = "")
{
    next_deed = deed;
    return run(source + before + "testdoer name=doer ! fakesink name=end");
}

void expect_no_copies(const json &totals)
{
    for (const char *name : {"cpu-copies", "cpu-copy-bytes", "uploads", "downloads", "p2p", "read-backs"})
        EXPECT_EQ(totals[name], 0) << name;
}

// The memories that go by a pad, told apart without the tracer's help: by inode where there is a descriptor.
class Witness {
public:
    Witness(const Pipeline &pipeline, const char *element, const char *pad)
    {
        const auto owner = GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), element));
        const auto target = GstPtr<GstPad>::adopt(gst_element_get_static_pad(owner.get(), pad));
        gst_pad_add_probe(target.get(), GST_PAD_PROBE_TYPE_BUFFER, look, this, nullptr);
    }
    std::vector<std::pair<guintptr, guintptr>> seen;

private:
    static GstPadProbeReturn look(GstPad *, GstPadProbeInfo *info, gpointer data)
    {
        GstMemory *memory = gst_buffer_peek_memory(GST_PAD_PROBE_INFO_BUFFER(info), 0);
        auto *self = static_cast<Witness *>(data);
        struct stat file{};
        if (gst_is_fd_memory(memory) && ::fstat(gst_fd_memory_get_fd(memory), &file) == 0)
            self->seen.emplace_back(file.st_dev, file.st_ino);
        else
            self->seen.emplace_back(0, reinterpret_cast<guintptr>(memory));
        return GST_PAD_PROBE_OK;
    }
};

} // namespace

TEST(Copies, PassingElementsCopyNothing)
{
    std::filesystem::remove(report_path);
    const auto pipeline = parse(std::string(source) + "identity name=a ! queue name=b ! videoconvert name=c ! "
                                                      "videoscale name=d ! fakesink name=end");
    const Witness first(pipeline, "source", "src"), last(pipeline, "end", "sink");
    play(pipeline);
    const auto r = report();
    for (const char *name : {"a", "b", "c", "d"}) {
        EXPECT_EQ(hop(r, name)["passed"], frames) << name;
        EXPECT_EQ(hop(r, name)["new"], 0) << name;
        EXPECT_EQ(hop(r, name)["identity"], "passed") << name;
    }
    EXPECT_EQ(hop(r, "source")["identity"], "new");
    EXPECT_EQ(hop(r, "source")["says"], "fills new frames (producer)");
    EXPECT_EQ(hop(r, "end", "sink")["frames"], frames);
    EXPECT_EQ(hop(r, "end", "sink")["memory"], "system");
    EXPECT_EQ(hop(r, "end", "sink")["bytes-per-frame"], frame_bytes);
    EXPECT_EQ(hop(r, "end", "sink")["video"], "NV12 320x240");
    expect_no_copies(r["totals"]);
    EXPECT_EQ(first.seen.size(), size_t{frames});
    EXPECT_EQ(first.seen, last.seen);
}

TEST(Copies, HopsStandInTheOrderOfTheFlow)
{
    const auto r = run(std::string(source) + "identity name=a ! queue name=b ! fakesink name=end");
    std::vector<std::string> names;
    for (const auto &h : r["hops"])
        names.push_back(h["element"]);
    EXPECT_THAT(names, testing::ElementsAre("source", HasSubstr("capsfilter"), "a", "b", "end"));

    // hlinfer's own thread speaks before any frame comes.
    names.clear();
    const auto with_task =
        run(std::string(source) + "identity name=a ! hlinfer name=infer model=builtin:null ! fakesink "
                                  "name=end");
    for (const auto &h : with_task["hops"])
        names.push_back(h["element"]);
    EXPECT_THAT(names, testing::ElementsAre("source", HasSubstr("capsfilter"), "a", "infer", "end"));
}

TEST(Copies, AForeignCopyIsOnePerFrame)
{
    for (const Deed deed : {Deed::DeepCopy, Deed::HandCopy}) {
        const auto r = run_doer(deed);
        const auto doer = hop(r, "doer");
        EXPECT_EQ(doer["cpu-copies"], frames);
        EXPECT_EQ(doer["cpu-copy-bytes"], frames * frame_bytes);
        EXPECT_EQ(doer["identity"], "new");
        EXPECT_EQ(r["totals"]["cpu-copies"], frames);
        EXPECT_EQ(r["totals"]["uploads"], 0);
    }
}

TEST(Copies, ACopyThatDoesNotFlowOnIsSeenInTheLog)
{
    const auto doer = hop(run_doer(Deed::HiddenCopy), "doer");
    EXPECT_EQ(doer["identity"], "passed");
    EXPECT_EQ(doer["cpu-copies"], frames);
}

TEST(Copies, SmallCopiesAreNoFrames)
{
    expect_no_copies(run_doer(Deed::SmallCopy)["totals"]);
}

TEST(Copies, MemoryThatLeavesTwiceWasFilledAnew)
{
    const auto doer = hop(run_doer(Deed::Stale), "doer");
    EXPECT_EQ(doer["passed"], 1);
    EXPECT_EQ(doer["new"], frames - 1);
    EXPECT_EQ(doer["cpu-copies"], frames - 1);
}

TEST(Copies, MarkedRepeatsAreNoCopies)
{
    const auto r = run(std::string(source) + "videorate name=rate ! capsfilter caps=video/x-raw,framerate=60/1 ! "
                                             "fakesink");
    const auto rate = hop(r, "rate");
    EXPECT_EQ(rate["new"], 0);
    EXPECT_GT(rate["repeated"], frames / 2);
    EXPECT_EQ(rate["frames"].get<int>(), rate["passed"].get<int>() + rate["repeated"].get<int>());
    expect_no_copies(r["totals"]);
}

TEST(Copies, AConverterIsAProducer)
{
    const auto r = run(std::string(source) + "videoconvert name=convert ! capsfilter caps=video/x-raw,format=RGB ! "
                                             "fakesink");
    const auto convert = hop(r, "convert");
    EXPECT_EQ(convert["identity"], "new");
    EXPECT_EQ(convert["says"], "produces new frames (producer)");
    expect_no_copies(r["totals"]);
}

// A still pattern: videotestsrc draws it once and copies it into each frame, and logs so, on a thread that no chain
// function runs on, the first time before it has sent any frame.
TEST(Copies, ASourceThatFillsFromAPictureIsAProducer)
{
    const auto r = run("videotestsrc name=source pattern=black num-buffers=20 ! video/x-raw,format=NV12 ! "
                       "identity name=a ! identity name=b ! fakesink");
    EXPECT_EQ(hop(r, "source")["says"], "fills new frames (producer)");
    expect_no_copies(r["totals"]);
}

TEST(Copies, ATeeKeepsTheMemoryOnEveryBranch)
{
    const auto r =
        run(std::string(source) + "tee name=t t. ! queue ! fakesink name=one t. ! queue ! fakesink name=two");
    for (const char *pad : {"src_0", "src_1"}) {
        EXPECT_EQ(hop(r, "t", pad)["passed"], frames) << pad;
        EXPECT_EQ(hop(r, "t", pad)["new"], 0) << pad;
    }
    expect_no_copies(r["totals"]);
}

TEST(Copies, BuffersInListsCountOnce)
{
    next_deed = Deed::List;
    const auto r = run(std::string(source) + "testdoer name=doer ! identity name=a ! queue name=b ! fakesink name=end");
    for (const char *name : {"doer", "a", "b"}) {
        EXPECT_EQ(hop(r, name)["frames"], frames) << name;
        EXPECT_EQ(hop(r, name)["passed"], frames) << name;
    }
    EXPECT_EQ(hop(r, "end", "sink")["frames"], frames);
}

TEST(Copies, OnlyRawVideoCounts)
{
    const auto r = run("audiotestsrc num-buffers=5 ! fakesink " + std::string(source) + "fakesink name=end");
    EXPECT_EQ(r["hops"].size(), 3u);
}

TEST(Copies, FramesInDeviceMemoryKeepTheirInode)
{
    std::filesystem::remove(report_path);
    const auto pipeline =
        parse(std::string(source) + "hlupload name=up ! identity name=a ! queue name=b ! fakesink name=end");
    const Witness first(pipeline, "up", "src"), last(pipeline, "end", "sink");
    play(pipeline);
    const auto r = report();
    for (const char *name : {"a", "b"}) {
        EXPECT_EQ(hop(r, name)["passed"], frames) << name;
        EXPECT_EQ(hop(r, name)["memory"], "device") << name;
    }
    const auto up = hop(r, "up");
    EXPECT_EQ(up["uploads"], frames);
    EXPECT_EQ(up["upload-bytes"], frames * frame_bytes);
    EXPECT_EQ(up["cpu-copies"], 0);
    EXPECT_EQ(hop(r, "source")["memory"], "host"); // hlupload's pool
    EXPECT_EQ(r["totals"]["downloads"], 0);
    EXPECT_EQ(first.seen, last.seen);
    EXPECT_NE(first.seen.front().first, 0u); // told apart by inode
    const std::set<std::pair<guintptr, guintptr>> different(first.seen.begin(), first.seen.end());
    EXPECT_GE(different.size(), 2u); // a pool's memories have inodes of their own
}

TEST(Copies, AStagedMapIsChargedToTheElementThatMaps)
{
    next_deed = Deed::Map;
    const auto r = run(std::string(source) + "hlupload name=up ! queue ! testdoer name=doer ! fakesink name=end");
    const auto doer = hop(r, "doer");
    EXPECT_EQ(doer["downloads"], frames);
    EXPECT_EQ(doer["identity"], "passed");
    EXPECT_EQ(doer["cpu-copies"], 0);
    EXPECT_EQ(hop(r, "up")["downloads"], 0);
    EXPECT_EQ(hop(r, "end", "sink")["downloads"], 0);
    EXPECT_EQ(r["totals"]["downloads"], frames);
}

TEST(Copies, RoundTripIsOneUploadAndOneDownload)
{
    const auto r = run(std::string(source) + "hlupload name=up ! hldownload name=down ! fakesink");
    EXPECT_EQ(hop(r, "down")["downloads"], frames);
    EXPECT_EQ(hop(r, "down")["memory"], "host");
    EXPECT_EQ(r["totals"]["uploads"], frames);
    EXPECT_EQ(r["totals"]["downloads"], frames);
    EXPECT_EQ(r["totals"]["cpu-copies"], 0);
}

TEST(Copies, TheBusGetsTheSameBeforeEos)
{
    std::filesystem::remove(report_path);
    const auto told = play(parse(std::string(source) + "hlupload name=up ! fakesink"));
    ASSERT_TRUE(told);
    const GstStructure *totals = gst_value_get_structure(gst_structure_get_value(told.get(), "totals"));
    guint64 uploads = 0, copies = 1;
    gst_structure_get_uint64(totals, "uploads", &uploads);
    gst_structure_get_uint64(totals, "cpu-copies", &copies);
    EXPECT_EQ(uploads, guint64{frames});
    EXPECT_EQ(copies, 0u);

    const GValue *hops = gst_structure_get_value(told.get(), "hops");
    const auto r = report();
    ASSERT_EQ(gst_value_array_get_size(hops), r["hops"].size());
    for (guint i = 0; i < gst_value_array_get_size(hops); ++i) {
        const GstStructure *h = gst_value_get_structure(gst_value_array_get_value(hops, i));
        guint64 count = 0;
        gst_structure_get_uint64(h, "frames", &count);
        EXPECT_EQ(gst_structure_get_string(h, "element"), r["hops"][i]["element"].get<std::string>());
        EXPECT_EQ(count, r["hops"][i]["frames"].get<guint64>());
    }
}

TEST(Copies, ASecondRunStartsAnew)
{
    const auto pipeline = parse(std::string(source) + "identity name=a ! fakesink");
    play(pipeline);
    play(pipeline);
    EXPECT_EQ(hop(report(), "a")["frames"], frames);
}

// --- as a user starts it

namespace {

struct Launched {
    int status;
    std::string error; // its stderr
};

Launched launch(const std::string &environment, const std::string &line)
{
    const std::string out = report_path + ".stderr";
    const int status =
        std::system(std::format("env {} gst-launch-1.0 -q {} >/dev/null 2>{}", environment, line, out).c_str());
    std::stringstream text;
    text << std::ifstream(out).rdbuf();
    std::filesystem::remove(out);
    return {WEXITSTATUS(status), text.str()};
}

std::string copying_line()
{
    return std::string(source) + "identity name=a ! videoflip method=horizontal-flip ! fakesink";
}

} // namespace

TEST(CopiesLaunch, PrintsATableAtTheEnd)
{
    const auto r = launch("GST_TRACERS=hlcopies", copying_line());
    EXPECT_EQ(r.status, 0);
    EXPECT_THAT(r.error, AllOf(HasSubstr("hlcopies: how the frames of pipeline0 moved"), HasSubstr("a:src"),
                               HasSubstr("CPU copies"), HasSubstr("20 (2.2 MiB)"), HasSubstr("is not seen")));
}

// The tracer listens to log lines; the user, who did not ask for them, does not see them.
TEST(CopiesLaunch, LogLinesStayAsTheUserSetThem)
{
    const std::string line =
        "videotestsrc num-buffers=3 ! capsfilter caps=video/x-raw,format=NV12,width=320,height=240 "
        "! tee name=t t. ! queue ! videobalance brightness=0.1 ! fakesink t. ! queue ! fakesink";
    EXPECT_THAT(launch("GST_TRACERS=hlcopies", line).error, Not(HasSubstr("GST_PERFORMANCE")));
    EXPECT_THAT(launch("GST_TRACERS=hlcopies GST_DEBUG=GST_PERFORMANCE:5", line).error, HasSubstr("GST_PERFORMANCE"));
}

TEST(CopiesLaunch, NothingIsPrintedWithoutTheTracer)
{
    EXPECT_EQ(launch("GST_TRACERS=", copying_line()).error, "");
}

TEST(CopiesLaunch, AFileThatCannotBeWrittenIsSaid)
{
    const auto r = launch("GST_TRACERS='hlcopies(file=/nonexistent/report.txt)'", copying_line());
    EXPECT_EQ(r.status, 0);
    EXPECT_THAT(r.error, HasSubstr("cannot write /nonexistent/report.txt"));
}

TEST(CopiesLaunch, AReportThatFindsNoRoomIsNotLost)
{
    for (const char *const format : {"text", "json"}) {
        const auto r = launch(std::format("GST_TRACERS='hlcopies(file=/dev/full,format={})'", format), copying_line());
        EXPECT_EQ(r.status, 0);
        EXPECT_THAT(r.error, AllOf(HasSubstr("cannot write /dev/full: ENOSPC"), HasSubstr("videoflip0"))) << format;
    }
}

TEST(CopiesLaunch, NothingIsLeftAlive)
{
    const auto r = launch("'GST_TRACERS=leaks;hlcopies' GST_DEBUG=GST_TRACER:7",
                          std::string(source) + "hlupload ! hldownload ! fakesink");
    EXPECT_EQ(r.status, 0);
    EXPECT_THAT(r.error, AllOf(HasSubstr("object-alive.class"), // the leaks tracer was there to see
                               Not(testing::ContainsRegex("object-alive, type-name=\\(string\\)[^%]")),
                               Not(HasSubstr("Leaks detected"))));
}

int main(int argc, char **argv)
{
    std::string name = std::filesystem::temp_directory_path() / "hl-copies-XXXXXX";
    const int fd = ::mkstemp(name.data());
    if (fd < 0)
        return 1;
    ::close(fd);
    report_path = name;
    ::setenv("GST_TRACERS", std::format("hlcopies(file={},format=json)", report_path).c_str(), 1);
    gst_init(&argc, &argv);
    gst_element_register(nullptr, "testdoer", GST_RANK_NONE, test_doer_get_type());
    testing::InitGoogleTest(&argc, argv);
    const int result = RUN_ALL_TESTS();
    std::filesystem::remove(report_path);
    return result;
}
