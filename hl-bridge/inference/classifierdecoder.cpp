// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/classifierdecoder.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hl {

Result<ClassifierDecoder> ClassifierDecoder::configure(const TensorKey &key, size_t labels, bool softmax)
{
    const TensorShape &shape = key.shape;
    const bool flat = shape.rank() == 1 || (shape.rank() == 2 && shape[0] == 1);
    if ((key.type != DType::Float32 && key.type != DType::UInt8) || !flat || !shape.fixed() ||
        shape[shape.rank() - 1] > max_decoder_classes)
        return refuse_tensor("classifier", "C or 1xC float32 or uint8 with C classes", key,
                             "use a classification model exported for batch size 1");
    const int64_t classes = shape[shape.rank() - 1];
    if (auto status = check_labels(labels, classes, shape); !status)
        return std::unexpected(std::move(status.error()));

    ClassifierDecoder decoder(key);
    decoder.softmax_ = softmax;
    decoder.bytes_ = key.type == DType::UInt8;
    decoder.scores_.resize(static_cast<size_t>(classes));
    decoder.found_.reserve(static_cast<size_t>(classes));
    return decoder;
}

// Fills scores_; how many values are not finite.
uint64_t ClassifierDecoder::read(std::span<const std::byte> data) noexcept
{
    uint64_t nonfinite = 0;
    for (size_t i = 0; i < scores_.size(); ++i) {
        double value = bytes_ ? std::to_integer<unsigned>(data[i]) / 255.0 : double{values<float>(data)[i]};
        if (!std::isfinite(value)) {
            value = std::numeric_limits<double>::quiet_NaN();
            ++nonfinite;
        }
        scores_[i] = value;
    }
    return nonfinite;
}

// The largest value is subtracted first, so that no exponential overflows.
void ClassifierDecoder::apply_softmax() noexcept
{
    double top = std::numeric_limits<double>::lowest();
    for (const double value : scores_)
        top = value > top ? value : top;
    double sum = 0;
    for (double &value : scores_) {
        value = std::exp(value - top);
        sum += std::isnan(value) ? 0 : value;
    }
    for (double &value : scores_)
        value /= sum;
}

Decoded ClassifierDecoder::run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &,
                               const DecodeOptions &options) noexcept
{
    const uint64_t nonfinite = read(tensors[0]);
    if (softmax_)
        apply_softmax();
    found_.clear();
    for (uint32_t i = 0; i < scores_.size(); ++i) {
        const auto score = static_cast<float>(std::clamp(scores_[i], 0.0, 1.0));
        if (score >= options.score_threshold && options.wants(i))
            found_.push_back({i, score});
    }
    const auto best = found_.begin() + static_cast<ptrdiff_t>(std::min<size_t>(options.top_k, found_.size()));
    std::ranges::partial_sort(found_, best, [](const ClassScore &a, const ClassScore &b) {
        return a.score != b.score ? a.score > b.score : a.class_index < b.class_index;
    });
    return {.classes = {found_.begin(), best}, .nonfinite = nonfinite};
}

} // namespace hl
