// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <cstdint>
#include <string>

namespace gaudiemu::guest {

// A camera by the kernel's ioctls: dma-bufs of somebody else's, in the single-planar API. Every call returns 0 or a
// positive errno.
class CaptureNode {
public:
    struct Frame {
        uint32_t index = 0;
        uint32_t sequence = 0;
        bool broken = false; // V4L2_BUF_FLAG_ERROR
    };

    [[nodiscard]] int open(const std::string &node);
    // `bytes`: of a buffer, as the driver wants it.
    [[nodiscard]] int set_format(uint32_t fourcc, uint32_t width, uint32_t height, uint32_t &bytes) const;
    [[nodiscard]] int request(uint32_t buffers) const;
    [[nodiscard]] int queue(uint32_t index, int dmabuf, uint32_t bytes) const;
    [[nodiscard]] int start() const;
    [[nodiscard]] int stop() const;
    // Waits for a frame; ETIME: none came within 20 seconds.
    [[nodiscard]] int dequeue(Frame &frame) const;

private:
    [[nodiscard]] int call(unsigned long request, void *arguments) const;

    hl::UniqueFd fd_;
};

} // namespace gaudiemu::guest
