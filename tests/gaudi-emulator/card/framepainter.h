// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "film.h"

namespace gaudiemu {

// Makes the capture card's frames: a sawtooth that moves up and left, in which every byte differs from the same byte of
// the next 127 frames, so that nothing stale passes for new; or, where format and size agree, a film; and the stamp.
class FramePainter {
public:
    // `picture` is valid(). The film, if there is one, lives longer than this.
    explicit FramePainter(Picture picture, const Film *film = nullptr);

    [[nodiscard]] const Picture &picture() const { return picture_; }

    // Paints what is visible of frame `number` into `frame`, of picture().bytes, and returns the CRC of the stamp.
    uint32_t paint(uint32_t number, std::span<std::byte> frame) const;

private:
    struct Pattern {
        std::vector<std::byte> bytes; // of a row that starts with phase 0, and 256 phases more
        uint32_t phase_bytes = 0;
    };

    void paint_pattern(uint32_t number, std::span<std::byte> frame) const;
    void paint_film(uint32_t number, std::span<std::byte> frame) const;

    Picture picture_;
    const Film *film_ = nullptr;    // of the picture's format and size
    std::vector<Pattern> patterns_; // one per plane
};

} // namespace gaudiemu
