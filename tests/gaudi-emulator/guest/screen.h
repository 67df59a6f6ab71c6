// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <cstdint>
#include <optional>
#include <string>

namespace gaudiemu::guest {

// The scan-out engine's card by the kernel's ioctls: shows dma-bufs of somebody else's. Every call returns 0 or a
// positive errno.
class Screen {
public:
    // What the engine said of the frame that it read last (debugfs).
    struct Shown {
        std::string format, size, memory;
        uint32_t crc = 0;
        uint32_t error = 0;
    };

    ~Screen();
    Screen() = default;
    Screen(const Screen &) = delete;
    Screen &operator=(const Screen &) = delete;

    [[nodiscard]] int open(const std::string &node);
    [[nodiscard]] int import(int dmabuf, uint32_t &handle) const;
    void forget(uint32_t handle) const;
    // A packed XRGB8888 frame of 640x480 at the start of an imported dma-buf; returns when the engine has read it.
    [[nodiscard]] int show(uint32_t handle);
    [[nodiscard]] std::optional<Shown> last() const;

private:
    hl::UniqueFd fd_;
    std::string debugfs_;
    uint32_t framebuffer_ = 0;
};

} // namespace gaudiemu::guest
