// SPDX-License-Identifier: LGPL-2.1-or-later
#include "picture.h"

#include "crc32.h"

#include <algorithm>
#include <cstring>

namespace gaudiemu {

namespace {

struct PlaneShape {
    uint32_t bytes;  // of one sample, of all components together
    uint32_t across; // pixels to a sample
    uint32_t down;
};

std::vector<PlaneShape> shapes_of(uint32_t fourcc)
{
    switch (fourcc) {
    case HL_CARD_YUYV:
    case HL_CARD_UYVY:
        return {{4, 2, 1}};
    case HL_CARD_GREY:
        return {{1, 1, 1}};
    case HL_CARD_RGB3:
        return {{3, 1, 1}};
    case HL_CARD_XR24:
        return {{4, 1, 1}};
    case HL_CARD_NV12:
        return {{1, 1, 1}, {2, 2, 2}};
    case HL_CARD_YU12:
        return {{1, 1, 1}, {1, 2, 2}, {1, 2, 2}};
    default:
        return {};
    }
}

uint32_t divided(uint32_t value, uint32_t by)
{
    return (value + by - 1) / by;
}

uint32_t word_at(std::span<const std::byte> bytes, size_t offset)
{
    uint32_t word = 0;
    std::memcpy(&word, &bytes[offset], sizeof(word));
    return word;
}

uint32_t crc_without(const Picture &picture, std::span<const std::byte> frame, uint64_t skipped, uint64_t skipped_bytes)
{
    Crc32 crc;
    uint64_t seen = 0; // visible bytes before this run
    for (const auto &run : picture.runs()) {
        const auto bytes = frame.subspan(run.offset, run.bytes);
        const auto clip = [&](uint64_t position) { return std::clamp(position, seen, seen + run.bytes) - seen; };
        crc.add(bytes.first(clip(skipped)));
        crc.add(bytes.subspan(clip(skipped + skipped_bytes)));
        seen += run.bytes;
    }
    return crc.value();
}

} // namespace

std::optional<Picture> Picture::packed(uint32_t fourcc, uint32_t width, uint32_t height)
{
    const auto shapes = shapes_of(fourcc);
    if (shapes.empty() || width < HL_CARD_WIDTH_MIN || width > HL_CARD_WIDTH_MAX || height < HL_CARD_HEIGHT_MIN ||
        height > HL_CARD_HEIGHT_MAX) {
        return std::nullopt;
    }
    Picture picture{.fourcc = fourcc, .width = width, .height = height, .planes = {}};
    for (const auto &shape : shapes) {
        const uint32_t row_bytes = divided(width, shape.across) * shape.bytes;
        const uint32_t rows = divided(height, shape.down);
        picture.planes.push_back({picture.bytes, row_bytes, row_bytes, rows});
        picture.bytes += uint64_t{row_bytes} * rows;
    }
    return picture;
}

bool Picture::valid() const
{
    uint64_t end = 0;
    for (const auto &plane : planes) {
        if (plane.offset < end || plane.stride < plane.row_bytes) {
            return false;
        }
        end = plane.offset + uint64_t{plane.stride} * (plane.rows - 1) + plane.row_bytes;
    }
    return end <= bytes && !planes.empty();
}

std::vector<Picture::Run> Picture::runs() const
{
    std::vector<Run> runs;
    for (const auto &plane : planes) {
        for (uint32_t row = 0; row < plane.rows; ++row) {
            const uint64_t offset = plane.offset + uint64_t{plane.stride} * row;
            if (!runs.empty() && runs.back().offset + runs.back().bytes == offset) {
                runs.back().bytes += plane.row_bytes;
            } else {
                runs.push_back({offset, plane.row_bytes});
            }
        }
    }
    return runs;
}

uint32_t visible_crc(const Picture &picture, std::span<const std::byte> frame)
{
    return crc_without(picture, frame, 0, 0);
}

// The stamp lies in the first row, so that its place among the visible bytes is its place in the row.
uint32_t stamped_crc(const Picture &picture, std::span<const std::byte> frame)
{
    static_assert(HL_CARD_STAMP_BYTES <= HL_CARD_WIDTH_MIN);
    return crc_without(picture, frame, HL_CARD_STAMP_CRC, sizeof(uint32_t));
}

std::optional<Stamp> read_stamp(const Picture &picture, std::span<const std::byte> frame)
{
    const auto row = frame.subspan(picture.planes.front().offset);
    if (word_at(row, HL_CARD_STAMP_MAGIC) != HL_CARD_MAGIC) {
        return std::nullopt;
    }
    return Stamp{word_at(row, HL_CARD_STAMP_NUMBER), word_at(row, HL_CARD_STAMP_CRC)};
}

} // namespace gaudiemu
