// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/suppression.h"
#include "inference/tensordecoder.h"

#include <cstdint>
#include <span>

namespace hl {

// Decodes what TensorFlow's SSD networks put out behind their own suppression: N boxes as top, left, bottom, right, in
// parts of the model's image; a score and a class for each; and how many of the N count. They are reported best first;
// none is suppressed again. A score that is not finite, or the box or the class of one that reaches the threshold,
// drops the candidate, and is counted; a count that is not finite drops all and is counted once. Classes are indices
// into the labels as they come (of TensorFlow's networks class 1 is the first object, 0 the background); those outside
// 0 to 65535 are ignored.
class SsdDecoder final : public TensorDecoder {
public:
    // For boxes 1 x N x 4, scores 1 x N, classes 1 x N, and one number as count. Boxes and scores are float32, classes
    // and count float32, int32, uint32 or int64. Errors: as make_decoder().
    [[nodiscard]] static Result<SsdDecoder> configure(const TensorKey &boxes, const TensorKey &scores,
                                                      const TensorKey &classes, const TensorKey &count);

    // The tensors do not tell.
    [[nodiscard]] uint32_t classes() const noexcept override { return 0; }

private:
    explicit SsdDecoder(std::vector<size_t> bytes) : TensorDecoder(std::move(bytes)) {}

    [[nodiscard]] Decoded run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept override;

    uint32_t boxes_ = 0;
    DType class_type_ = DType::Float32;
    DType count_type_ = DType::Float32;
    Suppression suppression_;
};

} // namespace hl
