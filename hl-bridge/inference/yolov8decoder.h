// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/suppression.h"
#include "inference/tensordecoder.h"

#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// Decodes the output of YOLOv8 and v11 detection heads: N candidate boxes of 4 + C float32 values each, centre x,
// centre y, width and height in pixels of the model's image, then one score per class. Boxes are suppressed after they
// are clipped to the frame. A candidate with a score that is not finite is dropped and counted; so is one that reaches
// the threshold with a box that is not finite. Boxes without extent and boxes outside the frame are ignored; scores
// above 1 are reported as 1.
class YoloV8Decoder final : public TensorDecoder {
public:
    // For 1 x (4+C) x N; or 1 x N x (4+C) where `labels` (number of classes the user named, 0: unknown) equals C,
    // because without that the two cannot be told apart. `extra`: further values of each box, behind its scores.
    // Errors: as make_decoder().
    [[nodiscard]] static Result<YoloV8Decoder> configure(const TensorKey &key, size_t labels, uint32_t extra = 0);

    [[nodiscard]] uint32_t classes() const noexcept override { return classes_; }
    [[nodiscard]] uint32_t boxes() const noexcept { return boxes_; }

    // Places in the tensor of the objects that were returned last.
    [[nodiscard]] std::span<const uint32_t> indices() const noexcept { return suppression_.indices(); }
    // The i-th extra value of a box.
    [[nodiscard]] float extra(std::span<const float> tensor, uint32_t i, uint32_t box) const noexcept
    {
        return value(tensor, 4 + classes_ + i, box);
    }

private:
    explicit YoloV8Decoder(const TensorKey &key) : TensorDecoder({key.bytes()}) {}

    [[nodiscard]] Decoded run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept override;
    [[nodiscard]] float value(std::span<const float> tensor, uint32_t channel, uint32_t box) const noexcept;
    void scan(std::span<const float> tensor) noexcept;
    void scan_by_channel(std::span<const float> tensor) noexcept;
    void consider(std::span<const float> tensor, uint32_t box, const DecodeFrame &frame,
                  const DecodeOptions &options) noexcept;

    uint32_t classes_ = 0;
    uint32_t boxes_ = 0;
    uint32_t extra_ = 0;
    bool box_major_ = false; // a box's values lie side by side, rather than a channel's

    // One element per box, made once.
    std::vector<float> best_;   // the largest score
    std::vector<float> finite_; // 0 where every score is finite, else NaN
    Suppression suppression_;
    uint64_t nonfinite_ = 0;
};

} // namespace hl
