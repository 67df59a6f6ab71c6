// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The n-th failure of every operation of Device and Engine, with every errno that the driver or the host may answer
// (habanalabs memory.c, command_submission.c, habanalabs_drv.c; memfd_create(2), udmabuf.c, dma-buf.c), once in a
// running pipeline of real elements. Each must be one error on the bus with the code below, or nothing at all where the
// line says that it goes on; then the same pipeline plays again, and at last nothing is left: no memory of the device,
// no request, no descriptor, no thread, no object of GStreamer.
#include "backends/sim/simcontrol.h"
#include "gsthlcaps.h"
#include "infer_fixture.h"
#include "liveobjects.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <thread>

namespace {

constexpr unsigned frames = 12;
const std::string caps = "video/x-raw,format=NV12,width=64,height=32,framerate=30/1";

// A line of stock elements around ours. `in` is an appsrc where frames come from nobody in this machine.
struct Scenario {
    const char *name;
    const char *launch; // {} is the model
};
const std::map<char, Scenario> scenarios = {
    // A producer fills frames of our pool, which the engine reads in place.
    {'h', {"host pages", "videotestsrc num-buffers=12 ! {caps} ! hlinfer name=infer {model} ! fakesink"}},
    {'d',
     {"device memory", "videotestsrc num-buffers=12 ! {caps} ! hlupload ! hlinfer name=infer {model} ! "
                       "hldownload ! fakesink"}},
    {'r',
     {"read-back", "videotestsrc num-buffers=12 ! {caps} ! hlupload ! hlinfer name=infer compute=host {model} ! "
                   "fakesink"}},
    {'f',
     {"foreign memory", "videotestsrc num-buffers=12 ! {caps} ! identity drop-allocation=true ! hlupload ! "
                        "hldownload ! fakesink"}},
    {'s',
     {"staged", "videotestsrc num-buffers=12 ! {caps} ! identity drop-allocation=true ! hlinfer name=infer "
                "{model} ! fakesink"}},
    {'p', {"filled by a peer", "appsrc name=in format=time ! hlinfer name=infer memory=device {model} ! fakesink"}},
};

struct Effect {
    const char *what; // an errno, or another effect of HL_SIM_FAULTS
    const char *code; // of the one error; "" where the line goes on
};
struct Row {
    const char *point;
    const char *lines; // of `scenarios`
    std::vector<unsigned> at;
    std::vector<Effect> effects;
};

const std::vector<unsigned> early_and_mid{1, 3, 8}, early{1, 3};
constexpr const char *lost = "HL-DEV-004";

const Row rows[] = {
    {"alloc-device",
     "drf",
     early_and_mid,
     {{"ENOMEM", "HL-MEM-001"}, {"EINVAL", "HL-MEM-001"}, {"EBUSY", lost}, {"ENODEV", lost}}},
    {"alloc-host",
     "hdrfs",
     early_and_mid,
     {{"ENOMEM", "HL-MEM-006"},
      {"EFAULT", "HL-MEM-006"},
      {"EINVAL", "HL-MEM-006"},
      {"EPERM", "HL-MEM-006"},
      {"EBUSY", lost},
      {"ENODEV", lost}}},
    {"pages",
     "hds",
     early_and_mid,
     {{"ENOMEM", "HL-MEM-006"}, {"ENOSPC", "HL-MEM-006"}, {"EMFILE", "HL-MEM-007"}, {"ENFILE", "HL-MEM-007"}}},
    {"export",
     "hdp",
     early_and_mid,
     {{"EINVAL", "HL-MEM-004"},
      {"ENOMEM", "HL-MEM-004"},
      {"EMFILE", "HL-MEM-007"},
      {"ENFILE", "HL-MEM-007"},
      {"EOPNOTSUPP", "HL-MEM-004"},
      {"EBUSY", lost},
      {"ENODEV", lost}}},
    {"udmabuf",
     "hd",
     early_and_mid,
     {{"EINVAL", "HL-MEM-004"},
      {"ENOMEM", "HL-MEM-004"},
      {"EBADFD", "HL-MEM-004"},
      {"EMFILE", "HL-MEM-007"},
      {"ENFILE", "HL-MEM-007"}}},
    {"release", "dp", early, {{"EINVAL", ""}, {"EBUSY", ""}}},
    {"copy-submit",
     "drf",
     early_and_mid,
     {{"EINVAL", "HL-DMA-001"},
      {"ENOMEM", "HL-DMA-001"},
      {"EPERM", lost},
      {"EBUSY", lost},
      {"ENODEV", lost},
      {"ETIMEDOUT", lost},
      {"EAGAIN", ""}}},
    {"copy",
     "drf",
     early_and_mid,
     {{"EINVAL", "HL-DMA-001"},
      {"EIO", lost},
      {"ETIMEDOUT", lost},
      {"EBUSY", lost},
      {"ENODEV", lost},
      {"stall:20ms", lost},
      {"delay:20ms", ""}}},
    {"flush",
     "p",
     early_and_mid,
     {{"EINVAL", "HL-DMA-001"}, {"ENOMEM", "HL-DMA-001"}, {"EBUSY", lost}, {"ENODEV", lost}, {"EOPNOTSUPP", ""}}},
    {"fence", "hd", early, {{"ETIMEDOUT", ""}, {"ENOMEM", ""}, {"EMFILE", ""}, {"ENOTTY", ""}}},
    {"engine",
     "hd",
     early,
     {{"ENOMEM", "HL-MEM-001"}, {"EINVAL", "HL-INF-006"}, {"EMFILE", "HL-MEM-007"}, {"EBUSY", lost}, {"ENODEV", lost}}},
    {"configure", "hd", early, {{"ENOMEM", "HL-MEM-001"}, {"EINVAL", "HL-FMT-001"}, {"EBUSY", lost}}},
    {"submit",
     "hdsp",
     early_and_mid,
     {{"EINVAL", "HL-INF-001"},
      {"ENOMEM", "HL-INF-001"},
      {"EPERM", lost},
      {"EBUSY", lost},
      {"ENODEV", lost},
      {"ETIMEDOUT", lost},
      {"EAGAIN", ""}}},
    {"run",
     "hdsp",
     early_and_mid,
     {{"EINVAL", "HL-INF-002"},
      {"EIO", lost},
      {"ETIMEDOUT", lost},
      {"EBUSY", lost},
      {"stall:20ms", lost},
      {"delay:20ms", ""}}},
};

// What stops is gone a moment after it was told to: threads of GStreamer, of the last jobs of a stream.
bool comes_true(const std::function<bool()> &condition)
{
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > limit)
            return false;
        std::this_thread::yield();
    }
    return true;
}

// Objects that are alive in this process: frames, events, lines and whatever is ours.
std::string live_objects()
{
    static LiveObjects objects;
    std::string out;
    for (const std::string &object : objects.now()) {
        const std::string type = object.substr(0, object.find('@'));
        if (type == "GstBuffer" || type == "GstMemory" || type == "GstEvent" || type.starts_with("GstHl") ||
            type == "GstPipeline")
            out += (out.empty() ? "" : ", ") + type;
    }
    return out;
}

class FaultMatrix : public InferTest {
protected:
    static void SetUpTestSuite()
    {
        g_setenv("GST_TRACERS", "leaks", TRUE);
        InferTest::SetUpTestSuite();
        g_thread_pool_set_max_unused_threads(0);
        if (threads_ != 0)
            return; // the first of the suites did it

        live_objects(); // counted from here on
        // The first pool starts GLib's thread that starts the others, for good (gthreadpool.c).
        g_thread_pool_free(g_thread_pool_new([](gpointer, gpointer) {}, nullptr, 1, FALSE, nullptr), TRUE, TRUE);
        threads_ = hltest::threads();
        // Whatever is made once is there before anything is counted.
        for (const auto &[letter, scenario] : scenarios) {
            Line line(launch(scenario));
            EXPECT_TRUE(play(line)) << scenario.name;
        }
        EXPECT_TRUE(comes_true([] { return live_objects().empty(); })) << live_objects();
    }

    // Of threads only here: those of GStreamer's tasks wait half a second for another task (GLib's gthreadpool.c).
    void TearDown() override
    {
        EXPECT_TRUE(comes_true([] { return hltest::threads() <= threads_; }))
            << hltest::threads() << " threads, " << threads_ << " before";
        EXPECT_TRUE(comes_true([] { return live_objects().empty(); })) << live_objects();
    }

    static std::string launch(const Scenario &scenario)
    {
        const std::string model = std::format("model={}/boxes.onnx in-flight=2 compute-threads=1 timeout=20000000000",
                                              g_getenv("HL_TEST_MODELS"));
        std::string text = scenario.launch;
        const std::pair<std::string, std::string> words[] = {{"{caps}", caps}, {"{model}", model}};
        for (const auto &[name, value] : words)
            if (const size_t at = text.find(name); at != std::string::npos)
                text.replace(at, name.size(), value);
        return text;
    }

    // Frames of the offered pool that nobody in this process wrote to.
    static void feed(Line &line)
    {
        const auto in = line.element("in");
        if (!in)
            return;
        const auto system = GstPtr<GstCaps>::adopt(gst_caps_from_string(caps.c_str()));
        const auto dmabuf = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
        gst_app_src_set_caps(GST_APP_SRC(in.get()), dmabuf.get());
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(dmabuf.get(), TRUE));
        const auto src = GstPtr<GstPad>::adopt(gst_element_get_static_pad(in.get(), "src"));
        if (!gst_pad_peer_query(src.get(), query.get()))
            return;
        GstBufferPool *raw = nullptr;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &raw, nullptr, nullptr, nullptr);
        const auto pool = GstPtr<GstBufferPool>::adopt(raw);
        if (!gst_buffer_pool_set_active(pool.get(), TRUE))
            return;
        GstFlowReturn flow = GST_FLOW_OK;
        for (unsigned i = 0; flow == GST_FLOW_OK && i < frames; ++i) {
            GstBuffer *buffer = nullptr;
            flow = gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr);
            if (flow != GST_FLOW_OK)
                break;
            GST_BUFFER_PTS(buffer) = i * GST_SECOND / 30;
            flow = gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer);
        }
        gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
        gst_buffer_pool_set_active(pool.get(), FALSE);
    }
    // To the end and back to READY, unless it does not start. TRUE for EOS, with all frames.
    static bool play(Line &line)
    {
        const auto sink = [&] {
            GstIterator *const sinks = gst_bin_iterate_sinks(GST_BIN(line.get()));
            GValue value = G_VALUE_INIT;
            EXPECT_EQ(gst_iterator_next(sinks, &value), GST_ITERATOR_OK);
            auto found = GstPtr<GstElement>::share(GST_ELEMENT(g_value_get_object(&value)));
            g_value_unset(&value);
            gst_iterator_free(sinks);
            return found;
        }();
        g_object_set(sink.get(), "sync", FALSE, nullptr);
        if (line.set(GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE)
            return false; // READY would be a second attempt
        feed(line);
        const bool ended = line.wait();
        if (ended) {
            GstStructure *stats = nullptr;
            g_object_get(sink.get(), "stats", &stats, nullptr);
            const GstStructurePtr owned(stats);
            EXPECT_EQ(field(owned, "rendered"), frames);
        }
        line.set(GST_STATE_READY);
        return ended;
    }

    // The n-th event of a point fails so; what came of it.
    std::string strike(const Scenario &scenario, const std::string &fault, const std::string &code)
    {
        SetUp();
        const size_t descriptors = hltest::open_descriptors();
        std::string outcome = "never struck";
        {
            const SimSetting setting("HL_SIM_FAULTS", fault);
            std::shared_ptr<hl::Device> held = device();
            Line line(launch(scenario));
            for (int turn = 0; turn < 10 && hl::sim::stats(*held).faults == 0; ++turn) {
                const bool ended = play(line);
                if (hl::sim::stats(*held).faults > 0)
                    outcome = judge(line, ended, code);
            }
            const size_t errors = line.errors().size();
            EXPECT_TRUE(play(line)) << "does not play again";
            EXPECT_EQ(line.errors().size(), errors);
            line.set(GST_STATE_NULL);
            EXPECT_TRUE(comes_true([&] { return nothing_left(*held); })) << left(*held);
        }
        EXPECT_TRUE(comes_true([=] { return hltest::open_descriptors() == descriptors; }))
            << hltest::open_descriptors() << " descriptors, " << descriptors << " before";
        EXPECT_TRUE(comes_true([] { return live_objects().empty(); })) << live_objects();
        return outcome;
    }

    static std::string judge(Line &line, bool ended, const std::string &code)
    {
        const std::vector<BusError> errors = line.errors();
        for (const BusError &error : errors) {
            EXPECT_EQ(error.code, code) << error.source << ": " << error.text;
            EXPECT_FALSE(error.remedy.empty()) << error.text;
            EXPECT_EQ(error.text.substr(0, 3), "HL-") << error.text;
        }
        EXPECT_EQ(errors.size(), code.empty() ? 0u : 1u);
        EXPECT_EQ(ended, errors.empty()) << "neither an end nor an error";
        return errors.empty() ? "goes on" : errors.front().code;
    }
    static bool nothing_left(const hl::Device &device)
    {
        const hl::Device::Usage usage = device.usage();
        return usage.device_bytes + usage.host_bytes + usage.exports_open + usage.requests_pending == 0;
    }
    static std::string left(const hl::Device &device)
    {
        const hl::Device::Usage usage = device.usage();
        return std::format("{} bytes of HBM, {} of host pages, {} exports, {} requests", usage.device_bytes,
                           usage.host_bytes, usage.exports_open, usage.requests_pending);
    }

    static inline size_t threads_ = 0; // before any line
};

} // namespace

class FaultRow : public FaultMatrix, public testing::WithParamInterface<Row> {};

TEST_P(FaultRow, IsOneErrorOrGoesOn)
{
    const Row &row = GetParam();
    for (const Effect &effect : row.effects)
        for (const char *letter = row.lines; *letter; ++letter) {
            const Scenario &scenario = scenarios.at(*letter);
            std::printf("%-12s %-11s %-17s", row.point, effect.what, scenario.name);
            for (const unsigned n : row.at) {
                const std::string fault = std::format("{}:{}={}", row.point, n, effect.what);
                SCOPED_TRACE(std::format("{} in {}", fault, scenario.name));
                const std::string outcome = strike(scenario, fault, effect.code);
                EXPECT_NE(outcome, "never struck");
                std::printf(" %u: %s", n, outcome.c_str());
            }
            std::printf("\n");
        }
}

INSTANTIATE_TEST_SUITE_P(Operations, FaultRow, testing::ValuesIn(rows), [](const auto &row) {
    std::string name = row.param.point;
    std::ranges::replace(name, '-', '_');
    return name;
});

TEST_F(FaultMatrix, ALossAtAnyOperationIsOneError)
{
    for (const Row &row : rows) {
        if (std::string_view(row.point) == "release" || std::string_view(row.point) == "fence")
            continue; // where the run is over, or the frame is let go: nobody is told
        const Scenario &scenario = scenarios.at(row.lines[0]);
        std::printf("%-12s %-17s", row.point, scenario.name);
        for (const unsigned n : early) {
            SCOPED_TRACE(std::format("lost@{}:{} in {}", row.point, n, scenario.name));
            const std::string outcome = strike(scenario, std::format("lost@{}:{}", row.point, n), lost);
            EXPECT_NE(outcome, "never struck");
            std::printf(" %u: %s", n, outcome.c_str());
        }
        std::printf("\n");
    }
}

TEST_F(FaultMatrix, ARefusedOpenIsOneError)
{
    const Effect effects[] = {{"EAGAIN", "HL-DEV-006"}, {"EBUSY", "HL-DEV-002"},  {"EPERM", "HL-DEV-003"},
                              {"EACCES", "HL-DEV-003"}, {"ENOMEM", "HL-DEV-006"}, {"ENODEV", "HL-DEV-001"},
                              {"ENXIO", "HL-DEV-001"},  {"EINVAL", "HL-DEV-006"}, {"EMFILE", "HL-MEM-007"}};
    for (const Effect &effect : effects)
        for (const char letter : {'h', 'd'}) {
            SetUp();
            SCOPED_TRACE(effect.what);
            const size_t descriptors = hltest::open_descriptors();
            {
                Line line(launch(scenarios.at(letter)));
                {
                    const SimSetting setting("HL_SIM_FAULTS", std::format("open:1={}", effect.what));
                    EXPECT_FALSE(play(line));
                }
                std::printf("open         %-11s %-17s %s\n", effect.what, scenarios.at(letter).name,
                            judge(line, false, effect.code).c_str());
                line.set(GST_STATE_NULL);
                EXPECT_TRUE(play(line)) << "does not play again";
            }
            EXPECT_TRUE(comes_true([=] { return hltest::open_descriptors() == descriptors; }));
        }
}

TEST_F(FaultMatrix, ARefusedRecoveryIsOneErrorMore)
{
    const Effect effects[] = {{"EAGAIN", "HL-DEV-006"},
                              {"EBUSY", "HL-DEV-002"},
                              {"EPERM", "HL-DEV-003"},
                              {"ENODEV", "HL-DEV-001"},
                              {"EMFILE", "HL-MEM-007"}};
    for (const Effect &effect : effects)
        for (const char letter : {'h', 'd'}) {
            SetUp();
            SCOPED_TRACE(effect.what);
            const SimSetting setting("HL_SIM_FAULTS", std::format("lost@submit:2,recover:1={}", effect.what));
            Line line(launch(scenarios.at(letter)));
            EXPECT_FALSE(play(line));
            EXPECT_EQ(line.errors().size(), 1u);
            EXPECT_FALSE(play(line)) << "the device cannot be opened again yet";
            ASSERT_EQ(line.errors().size(), 2u);
            EXPECT_EQ(line.errors()[1].code, effect.code);
            std::printf("recover      %-11s %-17s %s\n", effect.what, scenarios.at(letter).name,
                        line.errors()[1].code.c_str());
            EXPECT_TRUE(play(line)) << "does not play again";
        }
}

// A frame whose fence cannot be waited for is let go; another takes its place, and the user is told, once. Of all
// fences, as one alone is only asked: then the oldest frame is waited for instead, and that may be a fresh one.
TEST_F(FaultMatrix, AReaderThatDoesNotFinishIsAWarning)
{
    SetUp();
    std::string faults = "fence:1=ETIMEDOUT";
    for (unsigned n = 2; n <= 4 * frames; ++n)
        faults += std::format(",fence:{}=ETIMEDOUT", n);
    const SimSetting setting("HL_SIM_FAULTS", faults);
    Line line(launch(scenarios.at('h')));
    EXPECT_TRUE(play(line));
    EXPECT_TRUE(line.errors().empty());
    EXPECT_EQ(line.warnings("HL-DMA-003"), 1u);
}

// A request that never completes, where the element's own patience is shorter than the driver's.
TEST_F(FaultMatrix, ARequestThatNeverEndsIsOneError)
{
    SetUp();
    const SimSetting setting("HL_SIM_FAULTS", "run:5=stall:300ms");
    Line line(launch(scenarios.at('h')));
    g_object_set(line.element("infer").get(), "timeout", guint64{50 * GST_MSECOND}, nullptr);
    EXPECT_FALSE(play(line));
    EXPECT_EQ(judge(line, false, "HL-INF-003"), "HL-INF-003");
    EXPECT_TRUE(play(line)) << "does not play again";
}
