// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/yolov8segdecoder.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace hl {

namespace {

constexpr int64_t max_side = 4096;      // of a prototype
constexpr int64_t max_prototypes = 256; // 32 in every network known
constexpr size_t max_cells = size_t{16} << 20;

// One axis of a mask: fills `places` with the prototype pixel that each cell's centre falls on.
void divide(int32_t from, int32_t extent, double scale, double pad, double per_pixel, uint32_t limit,
            std::vector<uint32_t> &places)
{
    const double wanted = std::round(extent * scale * per_pixel);
    const auto cells = static_cast<uint32_t>(std::clamp(wanted, 1.0, static_cast<double>(limit)));
    places.resize(cells);
    for (uint32_t i = 0; i < cells; ++i) {
        const double frame = from + (i + 0.5) * extent / cells;
        const double place = std::floor((frame * scale + pad) * per_pixel);
        places[i] = static_cast<uint32_t>(std::clamp(place, 0.0, static_cast<double>(limit) - 1));
    }
}

} // namespace

Result<YoloV8SegDecoder> YoloV8SegDecoder::configure(const TensorKey &detections, const TensorKey &prototypes,
                                                     size_t labels)
{
    const TensorShape &shape = prototypes.shape;
    if (prototypes.type != DType::Float32 || shape.rank() != 4 || !shape.fixed() || shape[0] != 1 ||
        shape[1] > max_prototypes || shape[2] > max_side || shape[3] > max_side)
        return refuse_tensor("YOLOv8 prototypes", "1xMxHxW float32 with M mask coefficients", prototypes,
                             "use a YOLOv8 or v11 segmentation model exported for batch size 1");
    const auto count = static_cast<uint32_t>(shape[1]);
    auto boxes = YoloV8Decoder::configure(detections, labels, count);
    if (!boxes)
        return std::unexpected(std::move(boxes.error()));

    const size_t most = boxes->boxes();
    YoloV8SegDecoder decoder(detections, prototypes, std::move(*boxes));
    decoder.height_ = static_cast<uint32_t>(shape[2]);
    decoder.width_ = static_cast<uint32_t>(shape[3]);
    decoder.coefficients_.resize(count);
    decoder.columns_.reserve(decoder.width_);
    decoder.rows_.reserve(decoder.height_);
    decoder.sums_.resize(decoder.width_);
    decoder.objects_.reserve(most);
    decoder.masks_.reserve(most);
    // Whatever a frame holds, nothing allocates in run(), where it would end the process.
    decoder.cells_.reserve(std::min(max_cells, most * decoder.width_ * decoder.height_));
    return decoder;
}

// One row of cells; false where a sum is not finite.
bool YoloV8SegDecoder::add_row(std::span<const float> prototypes, uint32_t row, uint8_t *cells) noexcept
{
    const std::span sums(sums_.data(), columns_.size());
    std::ranges::fill(sums, 0.f);
    for (size_t m = 0; m < coefficients_.size(); ++m) {
        const auto line = prototypes.subspan((m * height_ + row) * width_, width_);
        for (size_t i = 0; i < sums.size(); ++i)
            sums[i] += coefficients_[m] * line[columns_[i]];
    }
    for (size_t i = 0; i < sums.size(); ++i)
        cells[i] = sums[i] > 0.f ? 1 : 0;
    return std::ranges::all_of(sums, [](float sum) { return std::isfinite(sum); });
}

// Appends the mask of `object`, whose coefficients are at hand, or nothing.
YoloV8SegDecoder::Mask YoloV8SegDecoder::add_mask(const Detection &object, std::span<const float> prototypes,
                                                  const DecodeFrame &frame) noexcept
{
    const PixelBox box = pixel_box(object, frame);
    const FrameTransform &t = frame.transform;
    divide(box.x, box.width, t.scale_x, t.pad_x,
           static_cast<double>(width_) / (frame.model_width ? frame.model_width : frame.width), width_, columns_);
    divide(box.y, box.height, t.scale_y, t.pad_y,
           static_cast<double>(height_) / (frame.model_height ? frame.model_height : frame.height), height_, rows_);
    const size_t start = cells_.size();
    if (columns_.size() * rows_.size() > max_cells - start)
        return Mask::NoRoom;
    cells_.resize(start + columns_.size() * rows_.size());
    for (size_t i = 0; i < rows_.size(); ++i)
        if (!add_row(prototypes, rows_[i], cells_.data() + start + i * columns_.size())) {
            cells_.resize(start);
            return Mask::NotFinite;
        }
    masks_.push_back({static_cast<uint32_t>(columns_.size()), static_cast<uint32_t>(rows_.size()), {}});
    return Mask::Added;
}

Decoded YoloV8SegDecoder::run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept
{
    Decoded out = boxes_.decode(tensors.first(1), frame, options);
    const auto detections = values<float>(tensors[0]), prototypes = values<float>(tensors[1]);
    objects_.clear();
    masks_.clear();
    cells_.clear();
    for (size_t i = 0; i < out.objects.size(); ++i) {
        for (uint32_t m = 0; m < coefficients_.size(); ++m)
            coefficients_[m] = boxes_.extra(detections, m, boxes_.indices()[i]);
        switch (add_mask(out.objects[i], prototypes, frame)) {
        case Mask::Added:
            objects_.push_back(out.objects[i]);
            break;
        case Mask::NotFinite:
            ++out.nonfinite;
            break;
        case Mask::NoRoom:
            ++out.cut;
            break;
        }
    }
    // Only now does the store stay where it is.
    size_t start = 0;
    for (ObjectMask &mask : masks_) {
        mask.cells = std::span(cells_).subspan(start, size_t{mask.width} * mask.height);
        start += mask.cells.size();
    }
    out.objects = objects_;
    out.masks = masks_;
    return out;
}

} // namespace hl
