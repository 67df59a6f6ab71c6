// SPDX-License-Identifier: LGPL-2.1-or-later

// Preprocess::run() against videoconvertscale, both in the calling thread on one core, on the same frames in turn.
// Times are the process's CPU time, so that other work on the machine disturbs neither side's figure much. The peer
// stops at RGB bytes, and Preprocess goes on to normalised planar floats: the comparison flatters the peer.
//
// usage: preprocess_bench [--pairs N] [--seconds S]      (S: of each half of a pair)

#include "inference/preprocess.h"

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <format>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

struct Case {
    const char *name;
    hl::FrameFormat frame;
    uint32_t side; // of the model's square image
    hl::ScaleMode scale;
    const char *limit; // what is asked of the ratio, for the table
};

constexpr hl::FrameFormat frame_of(hl::PixelFormat format, uint32_t width, uint32_t height)
{
    return {format, width, height, hl::ColorMatrix::BT709, hl::ColorRange::Limited};
}

constexpr Case cases[] = {
    {"NV12 1280x720 -> 320x320", frame_of(hl::PixelFormat::NV12, 1280, 720), 320, hl::ScaleMode::Stretch, ">= 3"},
    {"NV12 1280x720 -> 320x320, letterbox", frame_of(hl::PixelFormat::NV12, 1280, 720), 320, hl::ScaleMode::Letterbox,
     ""},
    {"NV12 1920x1080 -> 640x640", frame_of(hl::PixelFormat::NV12, 1920, 1080), 640, hl::ScaleMode::Stretch, ""},
    {"I420 1280x720 -> 320x320", frame_of(hl::PixelFormat::I420, 1280, 720), 320, hl::ScaleMode::Stretch, ""},
    {"RGB 1280x720 -> 320x320", frame_of(hl::PixelFormat::RGB, 1280, 720), 320, hl::ScaleMode::Stretch, ""},
    {"BGRx 1280x720 -> 320x320", frame_of(hl::PixelFormat::BGRx, 1280, 720), 320, hl::ScaleMode::Stretch, ""},
    {"NV12 320x320 -> 320x320", frame_of(hl::PixelFormat::NV12, 320, 320), 320, hl::ScaleMode::Stretch, ""},
};

constexpr size_t frames_in_turn = 4; // more than a core's own caches hold

double cpu_seconds()
{
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Frames a second of CPU time that `step(i)` reaches in about `seconds`.
template <class Step>
double rate(double seconds, const Step &step)
{
    const double begin = cpu_seconds();
    double now = begin;
    size_t done = 0;
    do {
        for (int burst = 0; burst < 8; ++burst)
            step(done++);
        now = cpu_seconds();
    } while (now - begin < seconds);
    return static_cast<double>(done) / (now - begin);
}

struct Frames {
    hl::FrameFormat format;
    hl::PlanePlacement placement;
    std::vector<std::vector<std::byte>> pixels;

    explicit Frames(const hl::FrameFormat &f) : format(f), placement(hl::packed_placement(f)), pixels(frames_in_turn)
    {
        std::mt19937 random(1);
        for (auto &frame : pixels) {
            frame.resize(placement.size);
            for (auto &byte : frame)
                byte = static_cast<std::byte>(random());
        }
    }

    [[nodiscard]] hl::FrameView view(size_t i) const
    {
        hl::FrameView out{format, {}, placement.stride};
        for (size_t p = 0; p < hl::pixel_format_info(format.format).planes; ++p)
            out.data[p] = pixels[i % pixels.size()].data() + placement.offset[p];
        return out;
    }
};

// videoconvertscale in a harness: a push converts the frame before it returns.
class Peer {
public:
    Peer(const Frames &frames, uint32_t side)
    {
        harness_ = gst_harness_new_parse(
            std::format("videoconvertscale ! capsfilter caps=video/x-raw,format=RGB,width={0},height={0}", side)
                .c_str());
        gst_harness_set_drop_buffers(harness_, TRUE);
        gst_harness_set_src_caps_str(
            harness_,
            std::format("video/x-raw,format={},width={},height={},framerate=30/1,colorimetry=bt709",
                        hl::pixel_format_info(frames.format.format).name, frames.format.width, frames.format.height)
                .c_str());
        for (const auto &frame : frames.pixels)
            buffers_.push_back(gst_buffer_new_memdup(frame.data(), frame.size()));
    }
    Peer(const Peer &) = delete;
    Peer &operator=(const Peer &) = delete;
    ~Peer()
    {
        for (GstBuffer *buffer : buffers_)
            gst_buffer_unref(buffer);
        gst_harness_teardown(harness_);
    }

    void step(size_t i)
    {
        if (gst_harness_push(harness_, gst_buffer_ref(buffers_[i % buffers_.size()])) != GST_FLOW_OK) {
            std::fputs("videoconvertscale refused a frame\n", stderr);
            std::exit(1);
        }
    }

private:
    GstHarness *harness_;
    std::vector<GstBuffer *> buffers_;
};

double median(std::vector<double> values)
{
    std::ranges::sort(values);
    return values[values.size() / 2];
}

// In percent of the median, from the least to the largest.
double spread(const std::vector<double> &values)
{
    const auto [least, most] = std::ranges::minmax(values);
    return (most - least) / median(values) * 100;
}

void measure(const Case &what, size_t pairs, double seconds)
{
    const Frames frames(what.frame);
    hl::ImageTarget target;
    target.width = target.height = what.side;
    target.how.scale = what.scale;
    const auto plan = hl::Preprocess::plan(what.frame, target);
    if (!plan) {
        std::fprintf(stderr, "%s: %s\n", what.name, plan.error().headline().c_str());
        std::exit(1);
    }
    std::vector<std::byte> scratch(plan->scratch_bytes()), tensor(plan->output_bytes());
    Peer peer(frames, what.side);

    const auto ours = [&](size_t i) { plan->run(frames.view(i), {}, scratch, tensor); };
    const auto theirs = [&](size_t i) { peer.step(i); };
    rate(0.1, ours);
    rate(0.1, theirs);
    std::vector<double> our_rates, their_rates, ratios;
    for (size_t pair = 0; pair < pairs; ++pair) {
        our_rates.push_back(rate(seconds, ours));
        their_rates.push_back(rate(seconds, theirs));
        ratios.push_back(our_rates.back() / their_rates.back());
    }
    std::printf("%-36s %-7s %9.0f %6.1f %% %9.0f %6.1f %% %8.2f %6.2f %6.1f %% %s\n", what.name, plan->kernel(),
                median(our_rates), spread(our_rates), median(their_rates), spread(their_rates), median(ratios),
                std::ranges::min(ratios), spread(ratios), what.limit);
    std::fflush(stdout);
}

void stay_on_one_core()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(::sched_getcpu(), &set);
    ::sched_setaffinity(0, sizeof set, &set);
}

} // namespace

int main(int argc, char **argv)
{
    size_t pairs = 9;
    double seconds = 3;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--pairs") == 0)
            pairs = std::max(1ul, std::strtoul(argv[i + 1], nullptr, 10));
        else if (std::strcmp(argv[i], "--seconds") == 0)
            seconds = std::strtod(argv[i + 1], nullptr);
    }
    gst_init(nullptr, nullptr);
    stay_on_one_core();
    std::printf("frames per second of CPU time, medians of %zu interleaved pairs of %g s; spread = largest - least\n",
                pairs, seconds);
    std::printf("%-36s %-7s %9s %8s %9s %8s %8s %6s %8s %s\n", "case", "kernel", "ours", "spread", "peer", "spread",
                "ratio", "least", "spread", "asked");
    for (const Case &what : cases)
        measure(what, pairs, seconds);
    return 0;
}
