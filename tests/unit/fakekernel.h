// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importframe.h"
#include "importers/kernel.h"

#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <format>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hl::test {

// What a played driver does and saw. `calls` holds every call in order, as text.
struct FakeKernelState {
    std::map<std::string, Kernel::NodeType> nodes;
    int open_error = 0;

    // V4L2
    uint32_t capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    int querycap_error = 0;
    v4l2_format format{};
    std::map<unsigned long, std::deque<int>> errors; // answers to the next calls of an ioctl; 0 or -errno; then 0
    bool unplugged = false;
    uint32_t least_buffers = 1; // REQBUFS makes no fewer
    int wait_error = 0;
    std::function<void(int fd)> fill; // what a camera does with each frame before it gives one back
    uint32_t broken = 0;              // frames that come back with V4L2_BUF_FLAG_ERROR before the first good one

    // DRM
    std::vector<uint32_t> planes;
    int import_error = 0;
    std::map<uint32_t, int> framebuffer_errors; // by fourcc
    int show_error = 0;
    std::map<uint32_t, int> show_errors; // by fourcc

    std::vector<std::string> calls;
    uint32_t framebuffers = 0, handles = 0; // open now
};

class FakeDrmNode final : public DrmNode {
public:
    explicit FakeDrmNode(FakeKernelState &state) : state_(state) {}

    std::optional<Version> version() override
    {
        if (state_.unplugged)
            return std::nullopt;
        return Version{.driver = "fake", .card = "a card", .bus = "pci:0000:01:00.0"};
    }
    std::vector<uint32_t> plane_formats() override { return state_.planes; }
    int import(int, uint32_t &handle) override
    {
        state_.calls.emplace_back("import");
        if (state_.import_error)
            return -state_.import_error;
        ++state_.handles;
        handle = 7;
        return 0;
    }
    void close_handle(uint32_t handle) override
    {
        state_.calls.push_back(std::format("close {}", handle));
        --state_.handles;
    }
    int add_framebuffer(const Framebuffer &wanted, uint32_t handle, uint32_t &id) override
    {
        const char *letters = reinterpret_cast<const char *>(&wanted.fourcc);
        state_.calls.push_back(std::format("add {} of {}", std::string(letters, 4), handle));
        if (const auto at = state_.framebuffer_errors.find(wanted.fourcc); at != state_.framebuffer_errors.end())
            return -at->second;
        ++state_.framebuffers;
        id = 9;
        return 0;
    }
    void remove_framebuffer(uint32_t id) override
    {
        state_.calls.push_back(std::format("remove {}", id));
        --state_.framebuffers;
    }
    int show(const Framebuffer &made, uint32_t id) override
    {
        state_.calls.push_back(std::format("show {} {}x{}", id, made.width, made.height));
        const auto at = state_.show_errors.find(made.fourcc);
        return -(at == state_.show_errors.end() ? state_.show_error : at->second);
    }

private:
    FakeKernelState &state_;
};

class FakeKernel final : public Kernel {
public:
    FakeKernelState state;

    NodeType type_of(const std::string &node) override
    {
        const auto at = state.nodes.find(node);
        return at == state.nodes.end() ? NodeType::Missing : at->second;
    }
    UniqueFd open_video(const std::string &, int &error) override
    {
        error = state.open_error;
        return UniqueFd(error ? -1 : ::open("/dev/null", O_RDWR | O_CLOEXEC));
    }
    std::unique_ptr<DrmNode> open_drm(const std::string &, int &error) override
    {
        error = state.open_error;
        return error ? nullptr : std::make_unique<FakeDrmNode>(state);
    }
    int ioctl(int, unsigned long request, void *argument) override
    {
        if (request == VIDIOC_QUERYCAP)
            return query(*static_cast<v4l2_capability *>(argument));
        state.calls.push_back(name_of(request, argument));
        auto &answers = state.errors[request];
        if (!answers.empty()) {
            const int answer = std::exchange(answers.front(), 0);
            answers.pop_front();
            if (answer != 0)
                return answer;
        }
        if (request == VIDIOC_REQBUFS)
            count_buffers(*static_cast<v4l2_requestbuffers *>(argument));
        if (request == VIDIOC_QBUF)
            remember(*static_cast<const v4l2_buffer *>(argument));
        if (request == VIDIOC_DQBUF)
            give_back(*static_cast<v4l2_buffer *>(argument));
        if (request == VIDIOC_G_FMT) {
            auto &wanted = *static_cast<v4l2_format *>(argument);
            const uint32_t type = wanted.type;
            wanted = state.format;
            wanted.type = type;
        }
        return 0;
    }

    int wait(int, short events, std::chrono::milliseconds) override
    {
        state.calls.emplace_back(events == POLLIN ? "wait for a filled frame" : "wait for a sent frame");
        return -state.wait_error;
    }

private:
    void count_buffers(v4l2_requestbuffers &wanted) const
    {
        if (wanted.count)
            wanted.count = std::max(wanted.count, state.least_buffers);
    }

    void remember(const v4l2_buffer &buffer)
    {
        planes_.clear();
        if (!V4L2_TYPE_IS_MULTIPLANAR(buffer.type))
            planes_.push_back(buffer.m.fd);
        for (uint32_t i = 0; V4L2_TYPE_IS_MULTIPLANAR(buffer.type) && i < buffer.length; ++i)
            planes_.push_back(buffer.m.planes[i].m.fd);
    }

    void give_back(v4l2_buffer &buffer)
    {
        for (const int plane : planes_)
            if (state.fill)
                state.fill(plane);
        buffer.flags = state.broken ? uint32_t{V4L2_BUF_FLAG_ERROR} : 0;
        state.broken -= state.broken ? 1 : 0;
        buffer.bytesused = state.format.fmt.pix.sizeimage;
        for (uint32_t i = 0; V4L2_TYPE_IS_MULTIPLANAR(buffer.type) && i < buffer.length; ++i)
            buffer.m.planes[i].bytesused = state.format.fmt.pix_mp.plane_fmt[i].sizeimage;
    }

    std::vector<int> planes_; // of the frame queued last

    int query(v4l2_capability &have) const
    {
        if (state.unplugged)
            return -ENODEV;
        if (state.querycap_error)
            return -state.querycap_error;
        std::memcpy(have.driver, "fake", 5);
        std::memcpy(have.card, "a camera", 9);
        std::memcpy(have.bus_info, "platform:fake", 14);
        have.capabilities = state.capabilities | V4L2_CAP_DEVICE_CAPS;
        have.device_caps = state.capabilities;
        return 0;
    }

    static std::string name_of(unsigned long request, const void *argument)
    {
        switch (request) {
        case VIDIOC_G_FMT:
            return "G_FMT";
        case VIDIOC_REQBUFS: {
            const auto &wanted = *static_cast<const v4l2_requestbuffers *>(argument);
            return std::format("REQBUFS {}{}", wanted.count, wanted.memory == V4L2_MEMORY_DMABUF ? "" : " not DMABUF");
        }
        case VIDIOC_QBUF: {
            const auto &buffer = *static_cast<const v4l2_buffer *>(argument);
            if (!V4L2_TYPE_IS_MULTIPLANAR(buffer.type))
                return std::format("QBUF {}/{}", buffer.bytesused, buffer.length);
            std::string text = "QBUF";
            for (uint32_t i = 0; i < buffer.length; ++i)
                text += std::format(" {}/{}", buffer.m.planes[i].bytesused, buffer.m.planes[i].length);
            return text;
        }
        case VIDIOC_STREAMON:
            return "STREAMON";
        case VIDIOC_STREAMOFF:
            return "STREAMOFF";
        case VIDIOC_DQBUF:
            return "DQBUF";
        default:
            return std::format("ioctl {:#x}", request);
        }
    }
};

// A capture format of one plane.
inline v4l2_format plain_format(uint32_t fourcc, uint32_t width, uint32_t height, uint32_t bytes)
{
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    format.fmt.pix.pixelformat = fourcc;
    format.fmt.pix.width = width;
    format.fmt.pix.height = height;
    format.fmt.pix.field = V4L2_FIELD_NONE;
    format.fmt.pix.sizeimage = bytes;
    return format;
}

inline v4l2_format planar_format(uint32_t fourcc, uint32_t width, uint32_t height, std::vector<uint32_t> bytes)
{
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
    format.fmt.pix_mp.pixelformat = fourcc;
    format.fmt.pix_mp.width = width;
    format.fmt.pix_mp.height = height;
    format.fmt.pix_mp.num_planes = static_cast<__u8>(bytes.size());
    for (size_t i = 0; i < bytes.size(); ++i)
        format.fmt.pix_mp.plane_fmt[i].sizeimage = bytes[i];
    return format;
}

inline Importer fake_camera()
{
    return {.node = "/dev/video0",
            .kind = ImporterKind::Capture,
            .driver = "fake",
            .card = "a camera",
            .bus = "platform:fake",
            .queue = V4L2_BUF_TYPE_VIDEO_CAPTURE};
}

inline Importer fake_card(ImporterKind kind, const char *driver = "fake")
{
    return {.node = "/dev/dri/card0", .kind = kind, .driver = driver, .card = "a card", .bus = "pci:0000:01:00.0"};
}

// Frames that are no memory at all: the played driver does not look.
inline Result<ImportFrame> fake_frame(ImportMemory, uint64_t bytes)
{
    return ImportFrame{.fd = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)), .bytes = bytes, .dmabuf = true};
}

} // namespace hl::test
