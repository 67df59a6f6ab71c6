// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest/capturenode.h"

#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace gaudiemu::guest {

namespace {

v4l2_buffer buffer_of(uint32_t index)
{
    v4l2_buffer buffer{};
    buffer.index = index;
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_DMABUF;
    return buffer;
}

} // namespace

int CaptureNode::open(const std::string &node)
{
    fd_.reset(::open(node.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    return fd_ ? 0 : errno;
}

int CaptureNode::set_format(uint32_t fourcc, uint32_t width, uint32_t height, uint32_t &bytes) const
{
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    format.fmt.pix.pixelformat = fourcc;
    format.fmt.pix.width = width;
    format.fmt.pix.height = height;
    const int error = call(VIDIOC_S_FMT, &format);
    bytes = format.fmt.pix.sizeimage;
    return error;
}

int CaptureNode::request(uint32_t buffers) const
{
    v4l2_requestbuffers arguments{};
    arguments.count = buffers;
    arguments.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    arguments.memory = V4L2_MEMORY_DMABUF;
    return call(VIDIOC_REQBUFS, &arguments);
}

int CaptureNode::queue(uint32_t index, int dmabuf, uint32_t bytes) const
{
    v4l2_buffer buffer = buffer_of(index);
    buffer.m.fd = dmabuf;
    buffer.length = bytes;
    return call(VIDIOC_QBUF, &buffer);
}

int CaptureNode::start() const
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return call(VIDIOC_STREAMON, &type);
}

int CaptureNode::stop() const
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return call(VIDIOC_STREAMOFF, &type);
}

int CaptureNode::dequeue(Frame &frame) const
{
    pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (const int ready = poll(&waiting, 1, 20'000); ready <= 0)
        return ready == 0 ? ETIME : errno;
    v4l2_buffer buffer = buffer_of(0);
    const int error = call(VIDIOC_DQBUF, &buffer);
    frame = {buffer.index, buffer.sequence, (buffer.flags & V4L2_BUF_FLAG_ERROR) != 0};
    return error;
}

int CaptureNode::call(unsigned long request, void *arguments) const
{
    int result = 0;
    do
        result = ioctl(fd_.get(), request, arguments);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

} // namespace gaudiemu::guest
