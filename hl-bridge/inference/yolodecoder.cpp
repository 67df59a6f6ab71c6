// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/yolodecoder.h"

#include <algorithm>
#include <cmath>
#include <format>
#include <limits>

namespace hl {

namespace {

constexpr uint32_t box_channels = 4;
// Enough for any detection head known (8400 boxes at 640x640, 80 classes), small enough that sizes fit 32 bits.
constexpr int64_t max_boxes = 1 << 20;
constexpr int64_t max_classes = 1 << 16;
// Boxes whose running maxima fit the first-level cache beside one row of the tensor; a constant, so that the inner loop
// has a fixed count and is vectorised.
constexpr size_t block = 512;

std::string expectation(size_t labels)
{
    if (labels == 0)
        return "1x(4+C)xN float32 with C classes and N > 4+C boxes";
    const auto channels = labels + box_channels;
    return std::format("1x{0}xN or 1xNx{0} float32 (4 box values and {1} labels)", channels, labels);
}

std::unexpected<Error> refuse(const TensorShape &shape, DType type, size_t labels, std::string remedy)
{
    return fail(ErrorCode::TensorShape, "decode YOLO tensor",
                std::format("expected a tensor of {}, got {} {}", expectation(labels), shape.text(), dtype_name(type)),
                std::move(remedy));
}

float intersection_over_union(const Detection &a, const Detection &b) noexcept
{
    const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
    const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
    if (width <= 0.f || height <= 0.f)
        return 0.f;
    const float common = width * height;
    const float all = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - common;
    return common / all;
}

// One axis of a box from the model's image to the frame, clipped. False where nothing of it is left.
bool to_frame(float centre, float extent, double scale, double pad, double limit, float &low, float &high) noexcept
{
    if (!std::isfinite(centre) || !std::isfinite(extent) || !(extent > 0.f))
        return false;
    const double half = double{extent} / 2;
    const double from = (double{centre} - half - pad) / scale;
    const double to = (double{centre} + half - pad) / scale;
    if (!std::isfinite(from) || !std::isfinite(to))
        return false;
    low = static_cast<float>(std::clamp(from, 0.0, limit));
    high = static_cast<float>(std::clamp(to, 0.0, limit));
    return high > low;
}

} // namespace

Result<YoloDecoder> YoloDecoder::configure(const TensorShape &shape, DType type, size_t labels, bool column_major)
{
    if (type != DType::Float32)
        return refuse(shape, type, labels, "export the model with float32 outputs");
    if (!shape.fixed() || shape.rank() != 3 || shape[0] != 1)
        return refuse(shape, type, labels, "use a YOLOv8 or v11 detection model exported for batch size 1");

    const auto named = static_cast<int64_t>(std::min<size_t>(labels, max_classes)) + box_channels;
    const bool transposed = labels != 0 && shape[1] != named && shape[2] == named;
    const int64_t channels = transposed ? shape[2] : shape[1];
    const int64_t boxes = transposed ? shape[1] : shape[2];
    const bool by_labels = labels != 0 && channels == named;
    if (channels <= box_channels || channels - box_channels > max_classes || boxes > max_boxes ||
        (!by_labels && channels >= boxes))
        return refuse(shape, type, labels,
                      "use a YOLOv8 or v11 detection model; if its boxes come before its values, give the labels");

    const int64_t classes = channels - box_channels;
    if (labels != 0 && std::cmp_less(labels, classes))
        return fail(
            ErrorCode::LabelsInvalid, "decode YOLO tensor",
            std::format("{} labels are too few for the {} classes of a {} tensor", labels, classes, shape.text()),
            std::format("give a label file with {} lines, one per class", classes));

    YoloDecoder decoder;
    decoder.classes_ = static_cast<uint32_t>(classes);
    decoder.boxes_ = static_cast<uint32_t>(boxes);
    decoder.box_major_ = transposed != column_major;
    decoder.best_.resize(decoder.boxes_);
    decoder.candidates_.resize(decoder.boxes_);
    decoder.kept_.resize(decoder.boxes_);
    return decoder;
}

float YoloDecoder::value(std::span<const float> tensor, uint32_t channel, uint32_t box) const noexcept
{
    return box_major_ ? tensor[size_t{box} * (classes_ + box_channels) + channel]
                      : tensor[size_t{channel} * boxes_ + box];
}

// Fills best_ with each box's largest score. NaN never wins, because it compares false; an infinite one may, and is
// sorted out in collect().
void YoloDecoder::best_scores(std::span<const float> tensor) noexcept
{
    constexpr float lowest = std::numeric_limits<float>::lowest();
    if (box_major_) {
        for (uint32_t i = 0; i < boxes_; ++i) {
            const auto scores = tensor.subspan(size_t{i} * (classes_ + box_channels) + box_channels, classes_);
            float best = lowest;
            for (const float score : scores)
                best = score > best ? score : best;
            best_[i] = best;
        }
        return;
    }

    std::ranges::fill(best_, lowest);
    const size_t whole = boxes_ / block * block;
    for (size_t start = 0; start < whole; start += block) {
        float *__restrict best = best_.data() + start;
        for (uint32_t c = 0; c < classes_; ++c) {
            const float *__restrict row = tensor.data() + (size_t{box_channels} + c) * boxes_ + start;
            for (size_t i = 0; i < block; ++i)
                best[i] = row[i] > best[i] ? row[i] : best[i];
        }
    }
    for (uint32_t c = 0; c < classes_; ++c) {
        const float *row = tensor.data() + (size_t{box_channels} + c) * boxes_;
        for (size_t i = whole; i < boxes_; ++i)
            best_[i] = row[i] > best_[i] ? row[i] : best_[i];
    }
}

// Gathers the boxes that reach the threshold and have an area inside the frame.
void YoloDecoder::collect(std::span<const float> tensor, const YoloFrame &frame, float threshold) noexcept
{
    found_ = 0;
    for (uint32_t i = 0; i < boxes_; ++i) {
        if (!(best_[i] >= threshold))
            continue;
        Detection box{.score = std::numeric_limits<float>::lowest()};
        for (uint32_t c = 0; c < classes_; ++c) {
            const float score = value(tensor, box_channels + c, i);
            if (score > box.score && std::isfinite(score)) {
                box.score = score;
                box.class_index = c;
            }
        }
        const auto &t = frame.transform;
        if (!(box.score >= threshold) ||
            !to_frame(value(tensor, 0, i), value(tensor, 2, i), t.scale_x, t.pad_x, frame.width, box.x0, box.x1) ||
            !to_frame(value(tensor, 1, i), value(tensor, 3, i), t.scale_y, t.pad_y, frame.height, box.y0, box.y1))
            continue;
        candidates_[found_++] = {box, i};
    }
}

std::span<const Detection> YoloDecoder::suppress(const YoloOptions &options) noexcept
{
    const std::span found(candidates_.data(), found_);
    std::ranges::sort(found, [](const Candidate &a, const Candidate &b) {
        return a.box.score != b.box.score ? a.box.score > b.box.score : a.index < b.index;
    });

    size_t kept = 0;
    for (const auto &candidate : found) {
        if (kept >= options.max_detections)
            break;
        const auto covers = [&](const Detection &better) {
            return (!options.class_aware || better.class_index == candidate.box.class_index) &&
                   intersection_over_union(better, candidate.box) > options.iou_threshold;
        };
        if (std::any_of(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(kept), covers))
            continue;
        kept_[kept] = candidate.box;
        kept_[kept].score = std::clamp(candidate.box.score, 0.f, 1.f);
        ++kept;
    }
    return {kept_.data(), kept};
}

std::span<const Detection> YoloDecoder::decode(std::span<const float> tensor, const YoloFrame &frame,
                                               const YoloOptions &options) noexcept
{
    if (tensor.size_bytes() != tensor_bytes())
        return {};
    best_scores(tensor);
    collect(tensor, frame, options.score_threshold);
    return suppress(options);
}

} // namespace hl
