// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/suppression.h"
#include "inference/tensordecoder.h"

#include <cstdint>
#include <span>

namespace hl {

// Decodes the output of YOLOv5 (and v6, v7) detection heads: N candidate boxes of 5 + C float32 values each, centre x,
// centre y, width and height in pixels of the model's image, objectness, then one score per class. A box's score is its
// objectness times its best class's score; both its objectness and its score have to reach the threshold. A candidate
// with an objectness that is not finite is dropped and counted; so is one whose objectness reaches the threshold with
// any other value that is not finite (the values of the others are not read). Otherwise as YoloV8Decoder.
class YoloV5Decoder final : public TensorDecoder {
public:
    // For 1 x N x (5+C). Errors: as make_decoder().
    [[nodiscard]] static Result<YoloV5Decoder> configure(const TensorKey &key, size_t labels);

    [[nodiscard]] uint32_t classes() const noexcept override { return classes_; }

private:
    explicit YoloV5Decoder(const TensorKey &key) : TensorDecoder({key.bytes()}) {}

    [[nodiscard]] Decoded run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept override;
    void consider(std::span<const float> values, uint32_t box, const DecodeFrame &frame,
                  const DecodeOptions &options) noexcept;

    uint32_t classes_ = 0;
    uint32_t boxes_ = 0;
    Suppression suppression_;
    uint64_t nonfinite_ = 0;
};

} // namespace hl
