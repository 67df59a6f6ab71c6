// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/v4l2importprobe.h"

#include <linux/videodev2.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <format>

namespace hl {
namespace {

std::string fourcc_text(uint32_t fourcc)
{
    std::string text;
    for (int shift = 0; shift < 32; shift += 8)
        text += static_cast<char>((fourcc >> shift) & 0x7f);
    while (!text.empty() && text.back() == ' ')
        text.pop_back();
    return text;
}

// The buffers a queue was asked for, given back whatever happens.
class RequestedBuffers {
public:
    RequestedBuffers(Kernel &kernel, int fd, uint32_t queue) : kernel_(kernel), fd_(fd), queue_(queue) {}
    RequestedBuffers(const RequestedBuffers &) = delete;
    RequestedBuffers &operator=(const RequestedBuffers &) = delete;
    ~RequestedBuffers()
    {
        if (held_)
            (void)request(0);
    }

    [[nodiscard]] int request(uint32_t count)
    {
        v4l2_requestbuffers wanted{};
        wanted.count = count;
        wanted.type = queue_;
        wanted.memory = V4L2_MEMORY_DMABUF;
        const int result = kernel_.ioctl(fd_, VIDIOC_REQBUFS, &wanted);
        held_ = result == 0 && count > 0;
        count_ = wanted.count;
        return result;
    }
    // As many as the driver makes of it, which may be more.
    [[nodiscard]] uint32_t count() const noexcept { return count_; }

private:
    Kernel &kernel_;
    int fd_;
    uint32_t queue_;
    uint32_t count_ = 0;
    bool held_ = false;
};

// A queue that streams, until this goes.
class Streaming {
public:
    Streaming(Kernel &kernel, int fd, uint32_t queue) : kernel_(kernel), fd_(fd), queue_(static_cast<int>(queue)) {}
    Streaming(const Streaming &) = delete;
    Streaming &operator=(const Streaming &) = delete;
    ~Streaming() { (void)kernel_.ioctl(fd_, VIDIOC_STREAMOFF, &queue_); }

    [[nodiscard]] int start() { return kernel_.ioctl(fd_, VIDIOC_STREAMON, &queue_); }

private:
    Kernel &kernel_;
    int fd_;
    int queue_;
};

} // namespace

V4l2ImportProbe::V4l2ImportProbe(Kernel &kernel, UniqueFd fd, const Importer &importer)
    : kernel_(kernel), fd_(std::move(fd)), kind_(importer.kind), queue_(importer.queue)
{}

std::expected<std::unique_ptr<ImportProbe>, ImportAttempt> V4l2ImportProbe::open(Kernel &kernel,
                                                                                 const Importer &importer)
{
    int error = 0;
    UniqueFd fd = kernel.open_video(importer.node, error);
    if (!fd)
        return std::unexpected(ImportAttempt{.step = ImportStep::Format,
                                             .sys_errno = error,
                                             .gone = error == ENODEV || error == ENXIO || error == ENOENT});
    std::unique_ptr<V4l2ImportProbe> probe(new V4l2ImportProbe(kernel, std::move(fd), importer));
    if (const int failed = probe->read_format(); failed < 0)
        return std::unexpected(probe->failed(ImportStep::Format, -failed));
    return probe;
}

int V4l2ImportProbe::read_format()
{
    v4l2_format current{};
    current.type = queue_;
    if (const int failed = kernel_.ioctl(fd_.get(), VIDIOC_G_FMT, &current); failed < 0)
        return failed;
    uint32_t fourcc, width, height;
    if (V4L2_TYPE_IS_MULTIPLANAR(queue_)) {
        const v4l2_pix_format_mplane &pix = current.fmt.pix_mp;
        fourcc = pix.pixelformat, width = pix.width, height = pix.height, field_ = pix.field;
        for (unsigned i = 0; i < std::min<unsigned>(pix.num_planes, VIDEO_MAX_PLANES); ++i)
            format_.plane_bytes.push_back(pix.plane_fmt[i].sizeimage);
    } else {
        const v4l2_pix_format &pix = current.fmt.pix;
        fourcc = pix.pixelformat, width = pix.width, height = pix.height, field_ = pix.field;
        format_.plane_bytes.push_back(pix.sizeimage);
    }
    format_.text = std::format("{} {}x{}", fourcc_text(fourcc), width, height);
    // A decoder before its first frame has a format without a size.
    const bool sized =
        !format_.plane_bytes.empty() && std::ranges::find(format_.plane_bytes, 0u) == format_.plane_bytes.end();
    return sized ? 0 : -ENODATA;
}

ImportAttempt V4l2ImportProbe::failed(ImportStep step, int error)
{
    v4l2_capability ignored{};
    return {.step = step, .sys_errno = error, .gone = kernel_.ioctl(fd_.get(), VIDIOC_QUERYCAP, &ignored) < 0};
}

ImportAttempt V4l2ImportProbe::refused(std::span<const ImportFrame> planes, int error)
{
    ImportAttempt attempt = failed(ImportStep::Queue, error);
    attempt.dmabuf = std::ranges::all_of(planes, &ImportFrame::dmabuf);
    return attempt;
}

ImportAttempt V4l2ImportProbe::offer(std::span<const ImportFrame> planes)
{
    RequestedBuffers buffers(kernel_, fd_.get(), queue_);
    if (const int error = buffers.request(1); error < 0)
        return failed(ImportStep::Request, -error);
    if (const int error = queue_frame(planes, 0); error < 0)
        return refused(planes, -error);
    return {.step = ImportStep::Queue};
}

std::optional<ImportUse> V4l2ImportProbe::use(std::span<const ImportFrame> planes, std::chrono::milliseconds patience)
{
    if (kind_ == ImporterKind::M2mOutput || kind_ == ImporterKind::M2mCapture)
        return std::nullopt;
    constexpr uint32_t enough = 3; // more than drivers hold back while they wait for the next
    RequestedBuffers buffers(kernel_, fd_.get(), queue_);
    if (const int error = buffers.request(enough); error < 0)
        return ImportUse{.attempt = failed(ImportStep::Request, -error)};
    for (uint32_t i = 0; i < buffers.count(); ++i)
        if (const int error = queue_frame(planes, i); error < 0)
            return ImportUse{.attempt = refused(planes, -error)};
    Streaming streaming(kernel_, fd_.get(), queue_);
    if (const int error = streaming.start(); error < 0)
        return ImportUse{.attempt = failed(ImportStep::Stream, -error)};
    return dequeue(planes, patience);
}

ImportUse V4l2ImportProbe::dequeue(std::span<const ImportFrame> planes, std::chrono::milliseconds patience)
{
    const short event = V4L2_TYPE_IS_OUTPUT(queue_) ? POLLOUT : POLLIN;
    const bool planar = V4L2_TYPE_IS_MULTIPLANAR(queue_);
    const auto end = std::chrono::steady_clock::now() + patience;
    for (int error = ETIMEDOUT;; error = EIO) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        const int failure = left.count() > 0 ? kernel_.wait(fd_.get(), event, left) : -ETIMEDOUT;
        if (failure < 0)
            return {.attempt = failed(ImportStep::Dequeue, failure == -ETIMEDOUT ? error : -failure)};
        std::array<v4l2_plane, VIDEO_MAX_PLANES> parts{};
        v4l2_buffer buffer{};
        buffer.type = queue_;
        buffer.memory = V4L2_MEMORY_DMABUF;
        if (planar) {
            buffer.m.planes = parts.data();
            buffer.length = static_cast<uint32_t>(format_.plane_bytes.size());
        }
        if (const int refused = kernel_.ioctl(fd_.get(), VIDIOC_DQBUF, &buffer); refused < 0)
            return {.attempt = failed(ImportStep::Dequeue, -refused)};
        if (buffer.flags & V4L2_BUF_FLAG_ERROR) {
            if (const int refused = queue_frame(planes, buffer.index); refused < 0)
                return {.attempt = failed(ImportStep::Dequeue, -refused)};
            continue;
        }
        ImportUse out{.attempt = {.step = ImportStep::Dequeue}};
        for (size_t i = 0; event == POLLIN && i < format_.plane_bytes.size(); ++i)
            out.filled.push_back(std::min(planar ? parts[i].bytesused : buffer.bytesused, format_.plane_bytes[i]));
        return out;
    }
}

int V4l2ImportProbe::queue_frame(std::span<const ImportFrame> planes, uint32_t index)
{
    std::array<v4l2_plane, VIDEO_MAX_PLANES> parts{};
    v4l2_buffer buffer{};
    buffer.index = index;
    buffer.type = queue_;
    buffer.memory = V4L2_MEMORY_DMABUF;
    // An output frame of an alternating format has to be one of the two fields (videobuf2-v4l2.c
    // vb2_fill_vb2_v4l2_buffer).
    buffer.field = field_ == V4L2_FIELD_ALTERNATE ? uint32_t{V4L2_FIELD_TOP} : field_;
    const bool output = V4L2_TYPE_IS_OUTPUT(queue_);
    const auto length_of = [this](size_t plane) {
        return static_cast<uint32_t>(offered_bytes(format_.plane_bytes[plane]));
    };
    if (V4L2_TYPE_IS_MULTIPLANAR(queue_)) {
        for (size_t i = 0; i < planes.size(); ++i) {
            parts[i].m.fd = planes[i].fd.get();
            parts[i].length = length_of(i);
            parts[i].bytesused = output ? format_.plane_bytes[i] : 0;
        }
        buffer.m.planes = parts.data();
        buffer.length = static_cast<uint32_t>(planes.size());
    } else {
        buffer.m.fd = planes[0].fd.get();
        buffer.length = length_of(0);
        buffer.bytesused = output ? format_.plane_bytes[0] : 0;
    }
    return kernel_.ioctl(fd_.get(), VIDIOC_QBUF, &buffer);
}

} // namespace hl
