// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/yolov8decoder.h"

#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// Decodes the output of YOLOv8 and v11 segmentation heads: the detections of YoloV8Decoder with M mask coefficients
// behind each box's scores, and M prototype images that cover the model's image. A point belongs to an object where the
// sum of the prototypes there, each times its coefficient, is above zero (a probability above one half). A mask has as
// many cells as there are prototype pixels in the box, and each takes the prototype pixel its centre falls on. An
// object with a coefficient that is not finite, or a sum inside its box, is dropped and counted; so is one whose mask
// finds no room among the 16 Mi cells of a frame (a hundred boxes that fill it have 2.5 Mi in every network known).
class YoloV8SegDecoder final : public TensorDecoder {
public:
    // For detections 1 x (4+C+M) x N (or transposed, see YoloV8Decoder) and prototypes 1 x M x H x W, float32.
    // Errors: as make_decoder().
    [[nodiscard]] static Result<YoloV8SegDecoder> configure(const TensorKey &detections, const TensorKey &prototypes,
                                                            size_t labels);

    [[nodiscard]] uint32_t classes() const noexcept override { return boxes_.classes(); }

private:
    YoloV8SegDecoder(const TensorKey &detections, const TensorKey &prototypes, YoloV8Decoder boxes)
        : TensorDecoder({detections.bytes(), prototypes.bytes()}), boxes_(std::move(boxes))
    {}

    [[nodiscard]] Decoded run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept override;
    enum class Mask : uint8_t { Added, NotFinite, NoRoom };

    [[nodiscard]] Mask add_mask(const Detection &object, std::span<const float> prototypes,
                                const DecodeFrame &frame) noexcept;
    [[nodiscard]] bool add_row(std::span<const float> prototypes, uint32_t row, uint8_t *cells) noexcept;

    YoloV8Decoder boxes_;
    uint32_t width_ = 0, height_ = 0; // of a prototype
    std::vector<float> coefficients_; // of the object at hand
    std::vector<uint32_t> columns_;   // of a prototype, one per cell of a mask's row
    std::vector<uint32_t> rows_;
    std::vector<float> sums_; // of a mask's row
    std::vector<Detection> objects_;
    std::vector<ObjectMask> masks_;
    std::vector<uint8_t> cells_; // of all masks, room for all of them reserved
};

} // namespace hl
