// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attempts.h"

#include <cstdint>
#include <cstdlib>
#include <format>
#include <string_view>

namespace {

// An emulated processor takes seconds for a frame when its host is busy.
constexpr uint64_t timeout_ns = 60'000'000'000;

Display chosen(Display display)
{
    if (display != Display::Auto)
        return display;
    return std::getenv("WAYLAND_DISPLAY") || std::getenv("DISPLAY") ? Display::Window : Display::Terminal;
}

// Behind the detections. The overlay draws into the frame itself; KMS scans that same memory out where it can.
std::string_view sink(Display display)
{
    switch (chosen(display)) {
    case Display::Window:
        return "objectdetectionoverlay ! videoconvert ! autovideosink name=sink";
    case Display::Kms:
        return "objectdetectionoverlay ! kmssink name=sink force-modesetting=true";
    default:
        return "fakesink name=sink";
    }
}

// A quoted value for gst_parse_launch().
std::string quoted(std::string_view value)
{
    std::string out = "\"";
    for (const char c : value) {
        if (c == '"' || c == '\\')
            out += '\\';
        out += c;
    }
    return out + '"';
}

// Lets only frames of this size through, as dma-bufs where the next element takes them.
std::string size_filter(const std::string &size)
{
    if (size.empty())
        return {};
    const size_t by = size.find('x');
    const std::string wanted = std::format("width={},height={}", size.substr(0, by), size.substr(by + 1));
    return " ! capsfilter caps=" + quoted(std::format("video/x-raw(memory:DMABuf),{0};video/x-raw,{0}", wanted));
}

} // namespace

std::vector<Attempt> attempts(const Options &options, const std::optional<Camera> &camera)
{
    const std::string device = (options.device.empty() ? "" : " device=" + quoted(options.device)) +
                               (options.compute.empty() ? "" : " compute=" + quoted(options.compute));
    const auto line = [&](std::string_view source, std::string_view infer) {
        return std::format("{} ! hlinfer name=infer model={}{} timeout={} {} ! hltensordec name=decode "
                           "score-threshold={} ! {}",
                           source, quoted(options.model), device, timeout_ns, infer, options.threshold,
                           sink(options.display));
    };
    if (!camera)
        return {{.what = "the given source", .line = line(options.source, "")}};

    const std::string source = "v4l2src device=" + quoted(camera->node);
    const std::string size = size_filter(options.size);
    if (!camera->raw)
        return {{.what = "the camera compresses: its frames are decoded into our memory",
                 .line = line(source + " ! decodebin3", "")}};
    return {
        {.what = "the camera's driver writes into our memory",
         .line = line(source + " io-mode=dmabuf-import" + size,
                      "zero-copy=require import-probe=" + quoted(camera->node))},
        {.what = "the camera's driver writes into our memory, each plane by itself",
         .line = line(source + " io-mode=dmabuf-import" + size, "planes=multi zero-copy=require")},
        {.what = "the camera's own memory, and a copy of each frame", .line = line(source + " io-mode=mmap" + size, "")},
    };
}
