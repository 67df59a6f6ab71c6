// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "picture.h"

#include <expected>
#include <memory>
#include <string>
#include <utility>

namespace gaudiemu {

// Raw frames of one format and size from a file, over and over: what the capture card may look at instead of its
// pattern.
class Film {
public:
    // "FILE:FOURCC:WIDTHxHEIGHT", for instance "clip.raw:NV12:640x480"; planes and rows without gaps. Errors: why not.
    [[nodiscard]] static std::expected<Film, std::string> open(const std::string &description);

    // The shape of its frames.
    [[nodiscard]] const Picture &picture() const { return picture_; }

    // Of the frame that the card numbers so; picture().bytes of them.
    [[nodiscard]] std::span<const std::byte> frame(uint32_t number) const;

private:
    struct Unmap {
        size_t bytes;
        void operator()(const std::byte *memory) const;
    };

    using Memory = std::unique_ptr<const std::byte, Unmap>;

    Film(Picture picture, Memory memory) : picture_(std::move(picture)), memory_(std::move(memory)) {}

    Picture picture_;
    Memory memory_;
};

} // namespace gaudiemu
