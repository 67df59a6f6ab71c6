// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/ssddecoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <format>

namespace hl {

namespace {

constexpr const char *remedy = "use an SSD model with TensorFlow's post-processing, exported for batch size 1";

bool is_number(DType type) noexcept
{
    return type == DType::Float32 || type == DType::Int32 || type == DType::UInt32 || type == DType::Int64;
}

// The i-th of numbers of `type`; exact for every class and count that can be meant.
double number(std::span<const std::byte> data, DType type, size_t i) noexcept
{
    const auto at = [&]<class T>(T) { return static_cast<double>(reinterpret_cast<const T *>(data.data())[i]); };
    switch (type) {
    case DType::Int32:
        return at(int32_t{});
    case DType::UInt32:
        return at(uint32_t{});
    case DType::Int64:
        return at(int64_t{});
    default:
        return at(float{});
    }
}

} // namespace

Result<SsdDecoder> SsdDecoder::configure(const TensorKey &boxes, const TensorKey &scores, const TensorKey &classes,
                                         const TensorKey &count)
{
    const TensorShape &shape = boxes.shape;
    if (boxes.type != DType::Float32 || shape.rank() != 3 || shape[0] != 1 || shape[1] < 1 || shape[2] != 4 ||
        shape[1] > max_decoder_boxes)
        return refuse_tensor("SSD boxes", "1xNx4 float32", boxes, remedy);
    const TensorShape flat{1, shape[1]};
    if (scores.type != DType::Float32 || scores.shape != flat)
        return refuse_tensor("SSD scores", std::format("{} float32", flat.text()), scores, remedy);
    if (!is_number(classes.type) || classes.shape != flat)
        return refuse_tensor("SSD classes", std::format("{} float32, int32, uint32 or int64", flat.text()), classes,
                             remedy);
    // A network's count may have no dimension at all.
    if (!is_number(count.type) || (count.shape.rank() != 0 && count.shape.elements() != 1))
        return refuse_tensor("SSD count", "1 number, float32, int32, uint32 or int64", count, remedy);

    SsdDecoder decoder({boxes.bytes(), scores.bytes(), classes.bytes(), dtype_size(count.type)});
    decoder.boxes_ = static_cast<uint32_t>(shape[1]);
    decoder.class_type_ = classes.type;
    decoder.count_type_ = count.type;
    decoder.suppression_ = Suppression(decoder.boxes_);
    return decoder;
}

Decoded SsdDecoder::run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                        const DecodeOptions &options) noexcept
{
    const auto boxes = values<float>(tensors[0]), scores = values<float>(tensors[1]);
    const double claimed = number(tensors[3], count_type_, 0);
    if (!std::isfinite(claimed))
        return {.nonfinite = 1};
    const auto count = static_cast<uint32_t>(std::clamp(claimed, 0.0, static_cast<double>(boxes_)));
    const double width = frame.model_width ? frame.model_width : frame.width;
    const double height = frame.model_height ? frame.model_height : frame.height;

    Decoded out;
    suppression_.clear();
    for (uint32_t i = 0; i < count; ++i) {
        if (std::isfinite(scores[i]) && !(scores[i] >= options.score_threshold))
            continue;
        const auto box = boxes.subspan(size_t{i} * 4, 4);
        const double label = number(tensors[2], class_type_, i);
        if (!std::isfinite(scores[i]) || !std::isfinite(label) ||
            !std::ranges::all_of(box, [](float value) { return std::isfinite(value); })) {
            ++out.nonfinite;
            continue;
        }
        if (label < 0 || label >= static_cast<double>(max_decoder_classes))
            continue;
        Detection found{.score = scores[i], .class_index = static_cast<uint32_t>(label)};
        if (options.wants(found.class_index) &&
            place_box(double{box[1]} * width, double{box[0]} * height, double{box[3]} * width, double{box[2]} * height,
                      frame, found))
            suppression_.add(found, i);
    }
    out.objects = suppression_.best(options);
    return out;
}

} // namespace hl
