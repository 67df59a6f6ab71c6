// SPDX-License-Identifier: LGPL-2.1-or-later
#include "framepainter.h"

#include <cstring>
#include <utility>

namespace gaudiemu {

namespace {

constexpr uint32_t phases = 256;

// Both even: a pair of pixels that share chroma stays together.
constexpr uint32_t phases_per_row = 2;
constexpr uint32_t phases_per_frame = 6;

// What is added to the phase for each byte of one sample, and for each further pixel of it.
std::vector<uint8_t> components(uint32_t fourcc, size_t plane)
{
    switch (fourcc) {
    case HL_CARD_YUYV:
        return {0, 64, 1, 160};
    case HL_CARD_UYVY:
        return {64, 0, 160, 1};
    case HL_CARD_RGB3:
        return {0, 85, 170};
    case HL_CARD_XR24:
        return {170, 85, 0, 0};
    case HL_CARD_NV12:
        return plane == 0 ? std::vector<uint8_t>{0} : std::vector<uint8_t>{64, 160};
    case HL_CARD_YU12:
        return {static_cast<uint8_t>(plane == 0 ? 0 : plane == 1 ? 64 : 160)};
    default:
        return {0};
    }
}

// Phases that one sample spans: its pixels.
uint32_t pixels_per_sample(uint32_t fourcc)
{
    return fourcc == HL_CARD_YUYV || fourcc == HL_CARD_UYVY ? 2 : 1;
}

void put_word(std::span<std::byte> bytes, size_t offset, uint32_t word)
{
    std::memcpy(&bytes[offset], &word, sizeof(word));
}

} // namespace

FramePainter::FramePainter(Picture picture, const Film *film) : picture_(std::move(picture))
{
    if (film != nullptr && film->picture().fourcc == picture_.fourcc && film->picture().width == picture_.width &&
        film->picture().height == picture_.height) {
        film_ = film;
        return;
    }
    const uint32_t pixels = pixels_per_sample(picture_.fourcc);
    for (size_t i = 0; i < picture_.planes.size(); ++i) {
        const auto sample = components(picture_.fourcc, i);
        const auto sample_bytes = static_cast<uint32_t>(sample.size());
        Pattern pattern{.bytes = {}, .phase_bytes = sample_bytes / pixels};
        const size_t needed = picture_.planes[i].row_bytes + size_t{phases} * pattern.phase_bytes;
        for (uint32_t phase = 0; pattern.bytes.size() < needed; phase += pixels) {
            for (const uint8_t component : sample) {
                pattern.bytes.push_back(static_cast<std::byte>(phase + component));
            }
        }
        patterns_.push_back(std::move(pattern));
    }
}

void FramePainter::paint_film(uint32_t number, std::span<std::byte> frame) const
{
    const auto source = film_->frame(number);
    for (size_t i = 0; i < picture_.planes.size(); ++i) {
        const auto &to = picture_.planes[i];
        const auto &from = film_->picture().planes[i];
        for (uint32_t row = 0; row < to.rows; ++row) {
            std::memcpy(&frame[to.offset + uint64_t{to.stride} * row],
                        &source[from.offset + uint64_t{from.stride} * row], to.row_bytes);
        }
    }
}

void FramePainter::paint_pattern(uint32_t number, std::span<std::byte> frame) const
{
    for (size_t i = 0; i < picture_.planes.size(); ++i) {
        const auto &plane = picture_.planes[i];
        const auto &pattern = patterns_[i];
        for (uint32_t row = 0; row < plane.rows; ++row) {
            const uint32_t phase = (phases_per_row * row + phases_per_frame * number) % phases;
            std::memcpy(&frame[plane.offset + uint64_t{plane.stride} * row],
                        &pattern.bytes[size_t{phase} * pattern.phase_bytes], plane.row_bytes);
        }
    }
}

uint32_t FramePainter::paint(uint32_t number, std::span<std::byte> frame) const
{
    film_ != nullptr ? paint_film(number, frame) : paint_pattern(number, frame);
    const auto stamp = frame.subspan(picture_.planes.front().offset, HL_CARD_STAMP_BYTES);
    put_word(stamp, HL_CARD_STAMP_MAGIC, HL_CARD_MAGIC);
    put_word(stamp, HL_CARD_STAMP_NUMBER, number);
    const uint32_t crc = stamped_crc(picture_, frame);
    put_word(stamp, HL_CARD_STAMP_CRC, crc);
    return crc;
}

} // namespace gaudiemu
