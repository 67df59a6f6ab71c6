// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzzreader.h"
#include "fuzztargets.h"
#include "inference/tensordecoder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

namespace hl::test {
namespace {

// Larger ones take the fuzzer's time and are of no other kind.
constexpr uint64_t most_values = 1 << 14;

struct Setup {
    DecoderKind kind = DecoderKind::YoloV8;
    std::vector<TensorKey> keys;
    bool softmax = false;
    size_t labels = 0;
    DecodeFrame frame;
    DecodeOptions options;
    std::vector<uint8_t> wanted;
};

TensorKey read_key(FuzzReader &in, bool wide)
{
    std::array<int64_t, TensorShape::max_rank> dims{};
    const size_t rank = in.take<uint8_t>() % (dims.size() + 1);
    for (size_t i = 0; i < rank; ++i)
        dims[i] = in.take<int16_t>();
    if (wide && rank > 0)
        dims[rank - 1] = in.take<int64_t>();
    return {TensorShape(std::span<const int64_t>(dims.data(), rank)),
            static_cast<DType>(in.take<uint8_t>() % (static_cast<uint8_t>(DType::Bool) + 1))};
}

// make_corpus.py tensor() writes the same.
Setup read_setup(FuzzReader &in)
{
    Setup out;
    out.kind = static_cast<DecoderKind>(in.take<uint8_t>() % (static_cast<uint8_t>(DecoderKind::YoloV8Seg) + 1));
    const auto flags = in.take<uint8_t>();
    out.options.class_aware = flags & 1;
    out.softmax = flags & 2;
    out.labels = in.take<uint16_t>();
    // Of caps and properties, which GStreamer bounds.
    out.frame.width = in.take<uint16_t>() + 1u;
    out.frame.height = in.take<uint16_t>() + 1u;
    out.options.score_threshold = static_cast<float>(in.take<uint8_t>()) / 255.f;
    out.options.iou_threshold = static_cast<float>(in.take<uint8_t>()) / 255.f;
    out.options.max_detections = in.take<uint8_t>() + 1u;
    out.options.max_candidates = in.take<uint8_t>() + 1u;
    out.options.top_k = in.take<uint8_t>() + 1u;
    if (flags & 4)
        out.frame.transform = {.scale_x = in.take<float>(),
                               .scale_y = in.take<float>(),
                               .pad_x = in.take<float>(),
                               .pad_y = in.take<float>()};
    if (flags & 8) {
        out.frame.model_width = in.take<uint16_t>();
        out.frame.model_height = in.take<uint16_t>();
    }
    if (flags & 16)
        for (uint8_t bits = in.take<uint8_t>(), i = 0; i < 8; ++i)
            out.wanted.push_back(bits >> i & 1);
    for (size_t i = 0; i < decoder_tensors(out.kind); ++i)
        out.keys.push_back(read_key(in, flags & 32));
    return out;
}

// Of rounding to float, beside a threshold and beside an edge.
constexpr double rounding = 1e-3;

double overlap(const Detection &a, const Detection &b)
{
    const double width = double{std::min(a.x1, b.x1)} - std::max(a.x0, b.x0);
    const double height = double{std::min(a.y1, b.y1)} - std::max(a.y0, b.y0);
    if (width <= 0 || height <= 0)
        return 0;
    const auto area = [](const Detection &d) { return (double{d.x1} - d.x0) * (double{d.y1} - d.y0); };
    return width * height / (area(a) + area(b) - width * height);
}

void require_sound(const Detection &d, const Setup &setup, uint32_t classes)
{
    const auto width = static_cast<float>(setup.frame.width), height = static_cast<float>(setup.frame.height);
    require(d.x0 >= 0.f && d.x0 < d.x1 && d.x1 <= width && d.y0 >= 0.f && d.y0 < d.y1 && d.y1 <= height);
    require(d.score >= setup.options.score_threshold && d.score <= 1.f);
    require((classes == 0 || d.class_index < classes) && setup.options.wants(d.class_index));
    const PixelBox box = pixel_box(d, setup.frame);
    require(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0);
    require(std::cmp_less_equal(box.x + box.width, setup.frame.width) &&
            std::cmp_less_equal(box.y + box.height, setup.frame.height));
}

// Every object lies in the frame, is wanted and in its place; none overlaps a better one, where that was asked for.
void require_objects(std::span<const Detection> found, const Setup &setup, uint32_t classes)
{
    require(found.size() <= setup.options.max_detections);
    for (size_t i = 0; i < found.size(); ++i) {
        require_sound(found[i], setup, classes);
        require(i == 0 || found[i].score <= found[i - 1].score);
        for (size_t k = 0; k < i && setup.kind != DecoderKind::Ssd; ++k)
            require((setup.options.class_aware && found[k].class_index != found[i].class_index) ||
                    overlap(found[k], found[i]) <= setup.options.iou_threshold + rounding);
    }
}

void require_masks(const Decoded &found)
{
    require(found.masks.empty() || found.masks.size() == found.objects.size());
    for (const ObjectMask &mask : found.masks) {
        require(mask.cells.size() == size_t{mask.width} * mask.height && !mask.cells.empty());
        require(std::ranges::all_of(mask.cells, [](uint8_t cell) { return cell <= 1; }));
    }
}

void require_classes(std::span<const ClassScore> found, const Setup &setup, uint32_t classes)
{
    require(found.size() <= setup.options.top_k);
    for (size_t i = 0; i < found.size(); ++i) {
        require(found[i].class_index < classes && setup.options.wants(found[i].class_index));
        require(found[i].score >= setup.options.score_threshold && found[i].score <= 1.f);
        require(i == 0 || found[i].score <= found[i - 1].score);
    }
}

// What a decoder found, beyond its next decode().
struct Kept {
    explicit Kept(const Decoded &found) : nonfinite(found.nonfinite), cut(found.cut)
    {
        for (const Detection &d : found.objects)
            objects.emplace_back(d.x0, d.y0, d.x1, d.y1, d.score, d.class_index);
        for (const ObjectMask &mask : found.masks)
            masks.emplace_back(mask.cells.begin(), mask.cells.end());
        for (const ClassScore &score : found.classes)
            classes.emplace_back(score.class_index, score.score);
    }
    friend bool operator==(const Kept &, const Kept &) = default;

    std::vector<std::tuple<float, float, float, float, float, uint32_t>> objects;
    std::vector<std::vector<uint8_t>> masks;
    std::vector<std::pair<uint32_t, float>> classes;
    uint64_t nonfinite, cut;
};

// The input's rest, over and over, as the data of all tensors; each begins where its type may.
struct Data {
    Data(FuzzReader &in, std::span<const size_t> sizes)
    {
        for (const size_t size : sizes) {
            storage.push_back(in.fill<uint64_t>((size + 7) / 8));
            spans.push_back(std::as_bytes(std::span(storage.back())).first(size));
            (void)in.take_bytes(size);
        }
    }
    std::vector<std::vector<uint64_t>> storage;
    std::vector<std::span<const std::byte>> spans;
};

} // namespace

void fuzz_tensors(std::span<const std::byte> input)
{
    FuzzReader in(input);
    Setup setup = read_setup(in);
    setup.options.wanted = setup.wanted;
    if (std::ranges::any_of(setup.keys, [](const TensorKey &key) { return key.shape.elements() > most_values; }))
        return;
    const auto made = make_decoder(setup.kind, setup.keys, setup.labels, setup.softmax);
    if (!made) {
        require(made.error().code == ErrorCode::TensorShape || made.error().code == ErrorCode::LabelsInvalid);
        require(!made.error().remedy.empty());
        return;
    }
    TensorDecoder &decoder = **made;
    require(std::ranges::equal(decoder.tensor_bytes(), setup.keys, {}, {},
                               [](const TensorKey &key) { return key.bytes(); }));
    const Data data(in, decoder.tensor_bytes()), other(in, decoder.tensor_bytes());
    const auto decode = [&](const Data &frame) {
        const Decoded found = decoder.decode(frame.spans, setup.frame, setup.options);
        require_objects(found.objects, setup, decoder.classes());
        require_masks(found);
        require_classes(found.classes, setup, decoder.classes());
        require(found.nonfinite <= most_values);
        return Kept(found);
    };
    // No frame leaves anything behind.
    const Kept first = decode(data);
    (void)decode(other);
    require(decode(data) == first);
}

} // namespace hl::test
