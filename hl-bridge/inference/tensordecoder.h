// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/tensorshape.h"
#include "inference/detection.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace hl {

// What makes a tensor fit the decoder that was made for it. The dimensions are those of the network, the last one
// varying fastest in memory: a tensor's dims-order is not looked at, because no runtime reorders its memory and
// GStreamer 1.28's decoders of YOLO ask for "col-major" and read it in this order (gst_yolo_tensor_decoder_decode_f32).
struct TensorKey {
    TensorShape shape;
    DType type = DType::Float32;

    [[nodiscard]] size_t bytes() const noexcept { return shape.elements() * dtype_size(type); }
    friend bool operator==(const TensorKey &, const TensorKey &) noexcept = default;
};

struct ClassScore {
    uint32_t class_index = 0;
    float score = 0; // 0..1
};

// Which part of an object's pixel_box() belongs to it: width x height cells, row by row, that divide the box evenly.
struct ObjectMask {
    uint32_t width = 0, height = 0;
    std::span<const uint8_t> cells; // 1: belongs to the object, else 0
};

// What a frame's tensors said. The spans are the decoder's, valid until its next decode().
struct Decoded {
    std::span<const Detection> objects;  // best first
    std::span<const ObjectMask> masks;   // one per object, or none at all
    std::span<const ClassScore> classes; // of the frame, best first
    uint64_t nonfinite = 0;              // candidates dropped because a value read of them was NaN or infinite
    uint64_t cut = 0;                    // candidates that max_candidates, or a decoder's own limit, left out
};

// Turns the output tensors of a kind of network into objects or classes. Not thread safe.
class TensorDecoder {
public:
    virtual ~TensorDecoder() = default;

    // Classes of the network; 0 where its tensors do not tell.
    [[nodiscard]] virtual uint32_t classes() const noexcept = 0;
    // Size of each tensor's data.
    [[nodiscard]] std::span<const size_t> tensor_bytes() const noexcept { return bytes_; }

    // `tensors`: the data, in the order of the kind's ids, of the shapes and types the decoder was made for, aligned to
    // their types. Data of another size give an empty result. Does not allocate once the busiest frame was seen.
    [[nodiscard]] Decoded decode(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                                 const DecodeOptions &options) noexcept;

protected:
    explicit TensorDecoder(std::vector<size_t> bytes) : bytes_(std::move(bytes)) {}
    TensorDecoder(TensorDecoder &&) noexcept = default;
    TensorDecoder &operator=(TensorDecoder &&) noexcept = default;

    // As decode(), the data's sizes being right.
    [[nodiscard]] virtual Decoded run(std::span<const std::span<const std::byte>> tensors, const DecodeFrame &frame,
                                      const DecodeOptions &options) noexcept = 0;

    template <class T>
    [[nodiscard]] static std::span<const T> values(std::span<const std::byte> data) noexcept
    {
        return {reinterpret_cast<const T *>(data.data()), data.size() / sizeof(T)};
    }

private:
    std::vector<size_t> bytes_; // per tensor
};

enum class DecoderKind : uint8_t { YoloV8, YoloV5, Ssd, Classifier, YoloV8Seg };

inline constexpr size_t max_decoder_tensors = 4;

// A kind of decoder, and the registered ids of the tensors it takes, in its order.
struct DecoderIds {
    DecoderKind kind;
    std::array<std::string_view, max_decoder_tensors> ids; // empty: no more
    bool probabilities = false;                            // of a classifier: its values are probabilities already

    [[nodiscard]] size_t count() const noexcept;
};

// Every set of ids that is known: those of GStreamer 1.28's decoders (ssdtensordec, yolov8tensordec,
// yolosegv8tensordec, classifiertensordecoder) and of 1.26's ssdobjectdetector, and "yolo-v5-out", for which GStreamer
// has none.
[[nodiscard]] std::span<const DecoderIds> registered_decoders() noexcept;

// "yolov8", "yolov5", "ssd", "classifier", "yolov8-seg". Static storage.
[[nodiscard]] std::string_view decoder_name(DecoderKind kind) noexcept;
// How many tensors it takes.
[[nodiscard]] size_t decoder_tensors(DecoderKind kind) noexcept;

// A decoder for tensors like `keys`, in the order of its ids. `labels`: number of classes the user named, 0 if unknown.
// `softmax`: a classifier's values are no probabilities yet. Errors: TensorShape, saying what was expected and what
// came; LabelsInvalid where there are fewer labels than classes.
[[nodiscard]] Result<std::unique_ptr<TensorDecoder>> make_decoder(DecoderKind kind, std::span<const TensorKey> keys,
                                                                  size_t labels, bool softmax);

// Limits of every decoder: enough for any network known (8400 boxes at 640x640, 80 classes), small enough that sizes
// fit 32 bits.
inline constexpr int64_t max_decoder_boxes = 1 << 20;
inline constexpr int64_t max_decoder_classes = 1 << 16;

// The error of a tensor that does not fit: `what` names it, `expected` its shape and type.
[[nodiscard]] std::unexpected<Error> refuse_tensor(std::string_view what, std::string_view expected,
                                                   const TensorKey &came, std::string remedy);
// LabelsInvalid where `labels` are given, and fewer than `classes`.
[[nodiscard]] Status check_labels(size_t labels, int64_t classes, const TensorShape &shape);

} // namespace hl
