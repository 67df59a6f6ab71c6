// SPDX-License-Identifier: LGPL-2.1-or-later

// One measurement per call, printed as one JSON object: tests/bench/run pairs and repeats them.
//   bench loop one|per-core|pipelined MODEL FORMAT WIDTH HEIGHT SECONDS FRAMES
//   bench preprocess FORMAT WIDTH HEIGHT TARGET-WIDTH TARGET-HEIGHT SECONDS
//   bench line CAPS SECONDS ELEMENTS        (replaysrc caps=CAPS ! ELEMENTS ! fakesink)
//   bench live CAPS SECONDS ELEMENTS        (the same from a live videotestsrc)
// Under LD_PRELOAD of libmalloccount.so, `line` also reports the plugin's heap allocations by call site.

#include "bareloop.h"
#include "replaysrc.h"

#include "gsthlptr.h"

#include <gst/gst.h>
#include <nlohmann/json.hpp>

#include <dlfcn.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double cpu_seconds()
{
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval &t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void die(const std::string &text)
{
    std::cerr << "bench: " << text << '\n';
    std::exit(2);
}

hl::FrameFormat parse_format(const std::vector<std::string> &a, size_t at)
{
    const auto format = hl::pixel_format_from_name(a[at]);
    if (!format)
        die("unknown format " + a[at]);
    return {.format = *format,
            .width = static_cast<uint32_t>(std::stoul(a[at + 1])),
            .height = static_cast<uint32_t>(std::stoul(a[at + 2]))};
}

void print(const LoopResult &result)
{
    std::cout << nlohmann::json{{"frames", result.frames},
                                {"seconds", result.seconds},
                                {"fps", static_cast<double>(result.frames) / result.seconds}}
              << std::endl;
}

LoopKind parse_kind(const std::string &word)
{
    if (word == "one")
        return LoopKind::OneCaller;
    if (word == "per-core")
        return LoopKind::CallerPerCore;
    if (word == "pipelined")
        return LoopKind::Pipelined;
    die("unknown loop " + word);
}

// As the sink counts them: a probe on its pad would cost each frame more than the sink itself.
uint64_t rendered_frames(GstElement *sink)
{
    GstStructure *stats = nullptr;
    g_object_get(sink, "stats", &stats, nullptr);
    const GstStructurePtr owned(stats);
    guint64 rendered = 0;
    if (!gst_structure_get_uint64(stats, "rendered", &rendered))
        die("the sink does not count its frames");
    return rendered;
}

// A function of libmalloccount.so, or null where it is not preloaded.
template <class Function>
Function *preloaded(const char *name)
{
    return reinterpret_cast<Function *>(dlsym(RTLD_DEFAULT, name));
}

nlohmann::json malloc_sites()
{
    nlohmann::json out = nlohmann::json::array();
    auto *report = preloaded<void(FILE *)>("hl_malloc_report");
    if (!report)
        return out;
    char *text = nullptr;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    report(stream);
    std::fclose(stream);
    std::string line;
    for (std::istringstream lines{std::string(text, size)}; std::getline(lines, line);)
        out.push_back(line);
    std::free(text);
    return out;
}

void fail_on_error(GstBus *bus, Clock::time_point until)
{
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now()).count();
    auto message = GstPtr<GstMessage>::adopt(
        gst_bus_timed_pop_filtered(bus, left > 0 ? static_cast<GstClockTime>(left) : 0,
                                   static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS)));
    if (!message)
        return;
    GError *error = nullptr;
    gchar *debug = nullptr;
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ERROR)
        gst_message_parse_error(message.get(), &error, &debug);
    die(std::string("the line ended: ") + (error ? error->message : "EOS") + " " + (debug ? debug : ""));
}

// Frames and CPU are counted from the second warm-up second on, at the sink, so start-up is left out.
void run_line(const std::string &caps, double seconds, const std::string &elements, bool live)
{
    const std::string source = live ? "videotestsrc is-live=true ! capsfilter name=src ! " : "replaysrc name=src ! ";
    const std::string text = source + elements + " ! fakesink name=sink sync=false enable-last-sample=false";
    GError *error = nullptr;
    auto pipeline = GstPtr<GstElement>::sink(gst_parse_launch(text.c_str(), &error));
    if (error)
        die(error->message);
    auto src = GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), "src"));
    auto sink = GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), "sink"));
    auto video = GstPtr<GstCaps>::adopt(gst_caps_from_string(caps.c_str()));
    g_object_set(src.get(), "caps", video.get(), nullptr);
    auto bus = GstPtr<GstBus>::adopt(gst_element_get_bus(pipeline.get()));

    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    fail_on_error(bus.get(), Clock::now() + std::chrono::milliseconds(1500));
    if (auto *arm = preloaded<void()>("hl_malloc_arm"))
        arm();
    const auto begin = Clock::now();
    const double cpu = cpu_seconds();
    const uint64_t first = rendered_frames(sink.get());
    fail_on_error(bus.get(),
                  begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
    const uint64_t frames = rendered_frames(sink.get()) - first;
    const double cpu_used = cpu_seconds() - cpu;
    const double wall = std::chrono::duration<double>(Clock::now() - begin).count();
    if (auto *disarm = preloaded<void()>("hl_malloc_disarm"))
        disarm();

    nlohmann::json out{{"frames", frames},
                       {"seconds", wall},
                       {"fps", static_cast<double>(frames) / wall},
                       {"cpu_us_per_frame", frames ? cpu_used * 1e6 / static_cast<double>(frames) : 0.0}};
    if (preloaded<void(FILE *)>("hl_malloc_report"))
        out["mallocs"] = malloc_sites();
    auto infer = GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), "infer"));
    if (infer) {
        GstStructure *stats = nullptr;
        g_object_get(infer.get(), "stats", &stats, nullptr);
        const GstStructurePtr owned(stats);
        const GCharPtr stats_text(gst_structure_to_string(stats));
        out["stats"] = stats_text.get();
        guint64 p95 = 0;
        if (gst_structure_get_uint64(stats, "total-p95", &p95))
            out["total_p95_ms"] = static_cast<double>(p95) * 1e-6;
    }
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    if (!live) {
        guint different = 0;
        g_object_get(src.get(), "frames", &different, nullptr);
        out["different_frames"] = different;
    }
    std::cout << out << std::endl;
}

} // namespace

int main(int argc, char **argv)
{
    gst_init(nullptr, nullptr);
    hl_replay_src_register();
    const std::vector<std::string> a(argv + 1, argv + argc);
    if (a.size() == 8 && a[0] == "loop")
        print(run_bare_loop(a[2], parse_format(a, 3), parse_kind(a[1]), std::chrono::duration<double>(std::stod(a[6])),
                            std::max(1ul, std::stoul(a[7]))));
    else if (a.size() == 7 && a[0] == "preprocess")
        print(run_preprocess_loop(parse_format(a, 1), static_cast<uint32_t>(std::stoul(a[4])),
                                  static_cast<uint32_t>(std::stoul(a[5])),
                                  std::chrono::duration<double>(std::stod(a[6]))));
    else if (a.size() == 4 && a[0] == "line")
        run_line(a[1], std::stod(a[2]), a[3], false);
    else if (a.size() == 4 && a[0] == "live")
        run_line(a[1], std::stod(a[2]), a[3], true);
    else
        die("usage: see the head of bench.cpp");
    return 0;
}
