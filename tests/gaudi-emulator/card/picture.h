// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "sgregs.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace gaudiemu {

// A frame's shape in a buffer, as the cards' registers describe it.
struct Picture {
    struct Plane {
        uint64_t offset = 0;
        uint32_t stride = 0;
        uint32_t row_bytes = 0; // what is visible of a row
        uint32_t rows = 0;
        bool operator==(const Plane &) const = default;
    };
    struct Run {
        uint64_t offset = 0;
        uint64_t bytes = 0;
    };

    uint32_t fourcc = 0;
    uint32_t width = 0;
    uint32_t height = 0;
    uint64_t bytes = 0;
    std::vector<Plane> planes;
    bool operator==(const Picture &) const = default;

    // The planes of a format one after the other, with nothing between them or at the rows' ends. nullopt: no such
    // format, or a size beyond HL_CARD_WIDTH_MIN and so on.
    [[nodiscard]] static std::optional<Picture> packed(uint32_t fourcc, uint32_t width, uint32_t height);

    // Every plane lies inside `bytes` and touches no other.
    [[nodiscard]] bool valid() const;

    // The visible bytes in order, rows that touch taken together.
    [[nodiscard]] std::vector<Run> runs() const;
};

// CRC-32 over what is visible of a frame. The first: all of it, as the scan-out engine counts. The second: without the
// CRC in the stamp, as the capture card does. `frame` holds picture.bytes at least.
[[nodiscard]] uint32_t visible_crc(const Picture &picture, std::span<const std::byte> frame);
[[nodiscard]] uint32_t stamped_crc(const Picture &picture, std::span<const std::byte> frame);

struct Stamp {
    uint32_t number = 0;
    uint32_t crc = 0;
};

// The stamp of a frame of the capture card; nullopt: there is none.
[[nodiscard]] std::optional<Stamp> read_stamp(const Picture &picture, std::span<const std::byte> frame);

} // namespace gaudiemu
