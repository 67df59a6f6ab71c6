// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/tensordecoder.h"

#include "inference/classifierdecoder.h"
#include "inference/ssddecoder.h"
#include "inference/yolov5decoder.h"
#include "inference/yolov8decoder.h"
#include "inference/yolov8segdecoder.h"

#include <algorithm>
#include <format>

namespace hl {

namespace {

// Where several fit the tensors of one meta, the first is taken.
constexpr std::array<DecoderIds, 7> known{{
    {DecoderKind::YoloV8Seg, {"yolo-v8-segmentation-out-detections", "yolo-v8-segmentation-out-protos"}},
    {DecoderKind::YoloV8, {"yolo-v8-out"}},
    {DecoderKind::YoloV5, {"yolo-v5-out"}},
    {DecoderKind::Ssd,
     {"ssd-mobilenet-v1-variant-1-out-boxes", "ssd-mobilenet-v1-variant-1-out-scores",
      "ssd-mobilenet-v1-variant-1-out-classes", "generic-variant-1-out-count"}},
    {DecoderKind::Ssd,
     {"Gst.Model.ObjectDetector.Boxes", "Gst.Model.ObjectDetector.Scores", "Gst.Model.ObjectDetector.Classes",
      "Gst.Model.ObjectDetector.NumDetections"}},
    {DecoderKind::Classifier, {"classification-generic-out"}},
    {DecoderKind::Classifier, {"classification-generic-softmaxed-out"}, true},
}};

template <class Decoder>
Result<std::unique_ptr<TensorDecoder>> boxed(Result<Decoder> decoder)
{
    if (!decoder)
        return std::unexpected(std::move(decoder.error()));
    return std::make_unique<Decoder>(std::move(*decoder));
}

} // namespace

Decoded TensorDecoder::decode(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                              const DecodeOptions &options) noexcept
{
    if (!std::ranges::equal(tensors, bytes_, {}, [](const auto &data) { return data.size(); }))
        return {};
    return run(tensors, frame, options);
}

size_t DecoderIds::count() const noexcept
{
    return static_cast<size_t>(std::ranges::find(ids, std::string_view()) - ids.begin());
}

std::span<const DecoderIds> registered_decoders() noexcept
{
    return known;
}

std::string_view decoder_name(DecoderKind kind) noexcept
{
    switch (kind) {
    case DecoderKind::YoloV8:
        return "yolov8";
    case DecoderKind::YoloV5:
        return "yolov5";
    case DecoderKind::Ssd:
        return "ssd";
    case DecoderKind::Classifier:
        return "classifier";
    case DecoderKind::YoloV8Seg:
        return "yolov8-seg";
    }
    return "";
}

size_t decoder_tensors(DecoderKind kind) noexcept
{
    return std::ranges::find(known, kind, &DecoderIds::kind)->count();
}

Result<std::unique_ptr<TensorDecoder>> make_decoder(DecoderKind kind, std::span<const TensorKey> keys, size_t labels,
                                                    bool softmax)
{
    if (keys.size() != decoder_tensors(kind))
        return fail(ErrorCode::TensorShape, "choose decoder",
                    std::format("expected {} tensors for the decoder {}, got {}", decoder_tensors(kind),
                                decoder_name(kind), keys.size()),
                    "give as many ids as the decoder takes tensors");
    switch (kind) {
    case DecoderKind::YoloV8:
        return boxed(YoloV8Decoder::configure(keys[0], labels));
    case DecoderKind::YoloV5:
        return boxed(YoloV5Decoder::configure(keys[0], labels));
    case DecoderKind::Ssd:
        return boxed(SsdDecoder::configure(keys[0], keys[1], keys[2], keys[3]));
    case DecoderKind::Classifier:
        return boxed(ClassifierDecoder::configure(keys[0], labels, softmax));
    case DecoderKind::YoloV8Seg:
        return boxed(YoloV8SegDecoder::configure(keys[0], keys[1], labels));
    }
    return fail(ErrorCode::Internal, "choose decoder", "no such kind of decoder");
}

std::unexpected<Error> refuse_tensor(std::string_view what, std::string_view expected, const TensorKey &came,
                                     std::string remedy)
{
    return fail(ErrorCode::TensorShape, std::format("decode {}", what),
                std::format("expected a tensor of {}, got {} {}", expected, came.shape.text(), dtype_name(came.type)),
                std::move(remedy));
}

Status check_labels(size_t labels, int64_t classes, const TensorShape &shape)
{
    if (labels == 0 || std::cmp_greater_equal(labels, classes))
        return {};
    return fail(ErrorCode::LabelsInvalid, "name classes",
                std::format("{} labels are too few for the {} classes of a {} tensor", labels, classes, shape.text()),
                std::format("give a label file with {} lines, one per class", classes));
}

} // namespace hl
