// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzzreader.h"
#include "fuzztargets.h"
#include "inference/yolodecoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace hl::test {
namespace {

// Larger ones take the fuzzer's time and are of no other kind.
constexpr uint64_t most_values = 1 << 14;

struct Setup {
    TensorShape shape;
    DType type = DType::Float32;
    bool column_major = false;
    size_t labels = 0;
    YoloFrame frame;
    YoloOptions options;
};

Setup read_setup(FuzzReader &in)
{
    Setup out;
    std::array<int64_t, TensorShape::max_rank> dims{};
    const size_t rank = in.take<uint8_t>() % (dims.size() + 1);
    for (size_t i = 0; i < rank; ++i)
        dims[i] = in.take<int16_t>();
    const auto flags = in.take<uint8_t>();
    if (flags & 1 && rank > 0)
        dims[rank - 1] = in.take<int64_t>();
    out.shape = TensorShape(std::span<const int64_t>(dims.data(), rank));
    out.column_major = flags & 2;
    out.options.class_aware = flags & 4;
    if (flags & 8)
        out.type = static_cast<DType>(in.take<uint8_t>() % (static_cast<uint8_t>(DType::Bool) + 1));
    out.labels = in.take<uint16_t>();
    // Of caps and properties, which GStreamer bounds.
    out.frame.width = in.take<uint16_t>() + 1u;
    out.frame.height = in.take<uint16_t>() + 1u;
    out.options.score_threshold = static_cast<float>(in.take<uint8_t>()) / 255.f;
    out.options.iou_threshold = static_cast<float>(in.take<uint8_t>()) / 255.f;
    out.options.max_detections = in.take<uint8_t>() + 1u;
    if (flags & 16)
        out.frame.transform = {.scale_x = in.take<float>(),
                               .scale_y = in.take<float>(),
                               .pad_x = in.take<float>(),
                               .pad_y = in.take<float>()};
    return out;
}

double overlap(const Detection &a, const Detection &b)
{
    const double width = std::min<double>(a.x1, b.x1) - std::max<double>(a.x0, b.x0);
    const double height = std::min<double>(a.y1, b.y1) - std::max<double>(a.y0, b.y0);
    if (width <= 0 || height <= 0)
        return 0;
    const auto area = [](const Detection &d) { return (double{d.x1} - d.x0) * (double{d.y1} - d.y0); };
    return width * height / (area(a) + area(b) - width * height);
}

void require_sound(std::span<const Detection> found, const Setup &setup, uint32_t classes)
{
    require(found.size() <= setup.options.max_detections);
    const auto width = static_cast<float>(setup.frame.width), height = static_cast<float>(setup.frame.height);
    for (size_t i = 0; i < found.size(); ++i) {
        const Detection &d = found[i];
        require(d.x0 >= 0.f && d.x0 < d.x1 && d.x1 <= width && d.y0 >= 0.f && d.y0 < d.y1 && d.y1 <= height);
        require(d.score >= setup.options.score_threshold && d.score <= 1.f && d.class_index < classes);
        require(i == 0 || d.score <= found[i - 1].score);
        constexpr double rounding = 1e-3;
        for (size_t k = 0; k < i; ++k)
            require((setup.options.class_aware && found[k].class_index != d.class_index) ||
                    overlap(found[k], d) <= setup.options.iou_threshold + rounding);
    }
}

bool same(const Detection &a, const Detection &b)
{
    return a.x0 == b.x0 && a.y0 == b.y0 && a.x1 == b.x1 && a.y1 == b.y1 && a.score == b.score &&
           a.class_index == b.class_index;
}

} // namespace

// What comes out lies in the frame, is ordered and does not overlap; the other order of the same values in memory gives
// the same.
void fuzz_tensors(std::span<const std::byte> input)
{
    FuzzReader in(input);
    const Setup setup = read_setup(in);
    if (setup.shape.elements() > most_values)
        return;
    auto decoder = YoloDecoder::configure(setup.shape, setup.type, setup.labels, setup.column_major);
    if (!decoder) {
        require(decoder.error().code == ErrorCode::TensorShape || decoder.error().code == ErrorCode::LabelsInvalid);
        require(!decoder.error().remedy.empty());
        return;
    }
    const size_t count = decoder->tensor_bytes() / sizeof(float);
    require(count == setup.shape.elements());
    const std::vector<float> values = in.fill<float>(count);
    const auto span = decoder->decode(values, setup.frame, setup.options);
    const std::vector<Detection> found(span.begin(), span.end());
    require_sound(found, setup, decoder->classes());

    auto turned = YoloDecoder::configure(setup.shape, setup.type, setup.labels, !setup.column_major);
    require(turned.has_value());
    const auto outer = static_cast<size_t>(setup.shape[1]), inner = static_cast<size_t>(setup.shape[2]);
    std::vector<float> transposed(count);
    for (size_t i = 0; i < count; ++i)
        transposed[setup.column_major ? i % outer * inner + i / outer : i % inner * outer + i / inner] = values[i];
    require(std::ranges::equal(turned->decode(transposed, setup.frame, setup.options), found, same));
}

} // namespace hl::test
