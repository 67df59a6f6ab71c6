// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "picture.h"

#include <array>

namespace gaudiemu {

// Makes the capture card's frames: a sawtooth that moves up and left, in which every byte differs from the same byte of
// the next 127 frames, so that nothing stale passes for new; and the stamp.
class FramePainter {
public:
    // `picture` is valid().
    explicit FramePainter(Picture picture);

    [[nodiscard]] const Picture &picture() const { return picture_; }

    // Paints what is visible of frame `number` into `frame`, of picture().bytes, and returns the CRC of the stamp.
    uint32_t paint(uint32_t number, std::span<std::byte> frame) const;

private:
    struct Pattern {
        std::vector<std::byte> bytes; // of a row that starts with phase 0, and 256 phases more
        uint32_t phase_bytes = 0;
    };

    Picture picture_;
    std::vector<Pattern> patterns_; // one per plane
};

} // namespace gaudiemu
