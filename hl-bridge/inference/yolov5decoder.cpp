// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/yolov5decoder.h"

#include <algorithm>
#include <cmath>
#include <format>

namespace hl {

namespace {

constexpr uint32_t objectness = 4;
constexpr uint32_t box_channels = 5;

} // namespace

Result<YoloV5Decoder> YoloV5Decoder::configure(const TensorKey &key, size_t labels)
{
    const TensorShape &shape = key.shape;
    const auto refuse = [&](std::string remedy) {
        const auto expected = labels == 0 ? std::string("1xNx(5+C) float32 with C classes and N > 5+C boxes")
                                          : std::format("1xNx{} float32 (4 box values, objectness and {} labels)",
                                                        labels + box_channels, labels);
        return refuse_tensor("YOLOv5", expected, key, std::move(remedy));
    };
    if (key.type != DType::Float32)
        return refuse("export the model with float32 outputs");
    if (!shape.fixed() || shape.rank() != 3 || shape[0] != 1)
        return refuse("use a YOLOv5 detection model exported for batch size 1");
    const int64_t boxes = shape[1], channels = shape[2];
    const bool by_labels = labels != 0 && std::cmp_equal(labels + box_channels, channels);
    if (channels <= box_channels || channels - box_channels > max_decoder_classes || boxes > max_decoder_boxes ||
        (!by_labels && channels >= boxes))
        return refuse("use a YOLOv5 detection model; one of YOLOv8 or v11 has the id yolo-v8-out");
    if (auto status = check_labels(labels, channels - box_channels, shape); !status)
        return std::unexpected(std::move(status.error()));

    YoloV5Decoder decoder(key);
    decoder.classes_ = static_cast<uint32_t>(channels - box_channels);
    decoder.boxes_ = static_cast<uint32_t>(boxes);
    decoder.suppression_ = Suppression(decoder.boxes_);
    return decoder;
}

// Takes a box whose objectness reaches the threshold. `v` are all its values.
void YoloV5Decoder::consider(std::span<const float> v, uint32_t box, const DecodeFrame &frame,
                             const DecodeOptions &options) noexcept
{
    if (!std::ranges::all_of(v, [](float value) { return std::isfinite(value); })) {
        ++nonfinite_;
        return;
    }
    const auto scores = v.subspan(box_channels);
    const auto best = std::ranges::max_element(scores);
    Detection found{.score = *best * v[objectness], .class_index = static_cast<uint32_t>(best - scores.begin())};
    if (!(found.score >= options.score_threshold) || !options.wants(found.class_index))
        return;
    const double x = double{v[0]}, y = double{v[1]}, w = double{v[2]}, h = double{v[3]};
    if (place_box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, frame, found))
        suppression_.add(found, box);
}

Decoded YoloV5Decoder::run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                           const DecodeOptions &options) noexcept
{
    const auto tensor = values<float>(tensors[0]);
    const size_t channels = size_t{box_channels} + classes_;
    nonfinite_ = 0;
    suppression_.clear();
    for (uint32_t i = 0; i < boxes_; ++i) {
        const auto v = tensor.subspan(i * channels, channels);
        if (!std::isfinite(v[objectness]))
            ++nonfinite_;
        else if (v[objectness] >= options.score_threshold)
            consider(v, i, frame, options);
    }
    const auto objects = suppression_.suppress(options);
    return {.objects = objects, .nonfinite = nonfinite_, .cut = suppression_.cut()};
}

} // namespace hl
