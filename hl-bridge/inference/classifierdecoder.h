// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/tensordecoder.h"

#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// Decodes the output of a classifier: a value per class, of which the top_k best that are wanted and reach the
// threshold are reported. A value that is not finite is dropped and counted, and takes no part in the softmax.
class ClassifierDecoder final : public TensorDecoder {
public:
    // For C or 1 x C, float32, or uint8 with 255 meaning 1. `softmax`: the values become probabilities by the softmax
    // function; else they are probabilities, and clamped to 0..1. Errors: as make_decoder().
    [[nodiscard]] static Result<ClassifierDecoder> configure(const TensorKey &key, size_t labels, bool softmax);

    [[nodiscard]] uint32_t classes() const noexcept override { return static_cast<uint32_t>(scores_.size()); }

private:
    explicit ClassifierDecoder(const TensorKey &key) : TensorDecoder({key.bytes()}) {}

    [[nodiscard]] Decoded run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept override;
    [[nodiscard]] uint64_t read(std::span<const std::byte> data) noexcept;
    void apply_softmax() noexcept;

    bool softmax_ = false;
    bool bytes_ = false;         // uint8
    std::vector<double> scores_; // one per class, NaN where dropped
    std::vector<ClassScore> found_;
};

} // namespace hl
