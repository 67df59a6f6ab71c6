// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/yolov8decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <format>
#include <limits>

namespace hl {

namespace {

constexpr uint32_t box_channels = 4;
// Boxes whose running maxima fit the first-level cache beside one row of the tensor; a constant, so that the inner loop
// has a fixed count and is vectorised.
constexpr size_t block = 512;
constexpr float lowest = std::numeric_limits<float>::lowest();

std::unexpected<Error> refuse(const TensorKey &key, size_t labels, uint32_t extra, std::string remedy)
{
    const auto more = extra == 0 ? std::string() : std::format("+{}", extra);
    if (labels == 0)
        return refuse_tensor("YOLOv8", std::format("1x(4+C{0})xN float32 with C classes and N > 4+C{0} boxes", more),
                             key, std::move(remedy));
    return refuse_tensor("YOLOv8",
                         std::format("1x{0}xN or 1xNx{0} float32 (4 box values and {1} labels{2})",
                                     labels + box_channels + extra, labels,
                                     extra == 0 ? "" : std::format(", {} mask coefficients", extra)),
                         key, std::move(remedy));
}

} // namespace

Result<YoloV8Decoder> YoloV8Decoder::configure(const TensorKey &key, size_t labels, uint32_t extra)
{
    const TensorShape &shape = key.shape;
    if (key.type != DType::Float32)
        return refuse(key, labels, extra, "export the model with float32 outputs");
    if (!shape.fixed() || shape.rank() != 3 || shape[0] != 1)
        return refuse(key, labels, extra, "use a YOLOv8 or v11 model exported for batch size 1");

    const int64_t fixed = int64_t{box_channels} + extra;
    const auto named = static_cast<int64_t>(std::min<size_t>(labels, max_decoder_classes)) + fixed;
    const bool transposed = labels != 0 && shape[1] != named && shape[2] == named;
    const int64_t channels = transposed ? shape[2] : shape[1];
    const int64_t boxes = transposed ? shape[1] : shape[2];
    const bool by_labels = labels != 0 && channels == named;
    if (channels <= fixed || channels - fixed > max_decoder_classes || boxes > max_decoder_boxes ||
        (!by_labels && channels >= boxes))
        return refuse(key, labels, extra,
                      "use a YOLOv8 or v11 model; if its boxes come before its values, give the labels");
    if (auto status = check_labels(labels, channels - fixed, shape); !status)
        return std::unexpected(std::move(status.error()));

    YoloV8Decoder decoder(key);
    decoder.classes_ = static_cast<uint32_t>(channels - fixed);
    decoder.boxes_ = static_cast<uint32_t>(boxes);
    decoder.extra_ = extra;
    decoder.box_major_ = transposed;
    decoder.best_.resize(decoder.boxes_);
    decoder.finite_.resize(decoder.boxes_);
    decoder.suppression_ = Suppression(decoder.boxes_);
    return decoder;
}

float YoloV8Decoder::value(std::span<const float> tensor, uint32_t channel, uint32_t box) const noexcept
{
    return box_major_ ? tensor[size_t{box} * (box_channels + classes_ + extra_) + channel]
                      : tensor[size_t{channel} * boxes_ + box];
}

// Fills best_ and finite_. Zero times a value is zero where it is finite and NaN where it is not.
void YoloV8Decoder::scan(std::span<const float> tensor) noexcept
{
    if (!box_major_) {
        scan_by_channel(tensor);
        return;
    }
    for (uint32_t i = 0; i < boxes_; ++i) {
        float best = lowest, finite = 0.f;
        for (const float score :
             tensor.subspan(size_t{i} * (box_channels + classes_ + extra_) + box_channels, classes_)) {
            best = score > best ? score : best;
            finite += score * 0.f;
        }
        best_[i] = best;
        finite_[i] = finite;
    }
}

void YoloV8Decoder::scan_by_channel(std::span<const float> tensor) noexcept
{
    std::ranges::fill(best_, lowest);
    std::ranges::fill(finite_, 0.f);
    const size_t whole = boxes_ / block * block;
    for (size_t start = 0; start < whole; start += block) {
        float *__restrict best = best_.data() + start;
        float *__restrict finite = finite_.data() + start;
        for (uint32_t c = 0; c < classes_; ++c) {
            const float *__restrict row = tensor.data() + (size_t{box_channels} + c) * boxes_ + start;
            for (size_t i = 0; i < block; ++i) {
                best[i] = row[i] > best[i] ? row[i] : best[i];
                finite[i] += row[i] * 0.f;
            }
        }
    }
    for (uint32_t c = 0; c < classes_; ++c) {
        const float *row = tensor.data() + (size_t{box_channels} + c) * boxes_;
        for (size_t i = whole; i < boxes_; ++i) {
            best_[i] = row[i] > best_[i] ? row[i] : best_[i];
            finite_[i] += row[i] * 0.f;
        }
    }
}

// Takes a box whose scores are finite and reach the threshold, if the rest is, its class is wanted and it has an area.
void YoloV8Decoder::consider(std::span<const float> tensor, uint32_t box, const DecodeFrame &frame,
                             const DecodeOptions &options) noexcept
{
    Detection found{.score = best_[box]};
    while (value(tensor, box_channels + found.class_index, box) != found.score)
        ++found.class_index;

    std::array<double, box_channels> v{};
    float finite = 0.f;
    for (uint32_t c = 0; c < box_channels; ++c) {
        v[c] = double{value(tensor, c, box)};
        finite += value(tensor, c, box) * 0.f;
    }
    for (uint32_t i = 0; i < extra_; ++i)
        finite += extra(tensor, i, box) * 0.f;
    if (finite != 0.f) {
        ++nonfinite_;
        return;
    }
    if (options.wants(found.class_index) &&
        place_box(v[0] - v[2] / 2, v[1] - v[3] / 2, v[0] + v[2] / 2, v[1] + v[3] / 2, frame, found))
        suppression_.add(found, box);
}

Decoded YoloV8Decoder::run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                           const DecodeOptions &options) noexcept
{
    const auto tensor = values<float>(tensors[0]);
    scan(tensor);
    nonfinite_ = 0;
    suppression_.clear();
    for (uint32_t i = 0; i < boxes_; ++i) {
        if (finite_[i] != 0.f)
            ++nonfinite_;
        else if (best_[i] >= options.score_threshold)
            consider(tensor, i, frame, options);
    }
    const auto objects = suppression_.suppress(options);
    return {.objects = objects, .nonfinite = nonfinite_, .cut = suppression_.cut()};
}

} // namespace hl
