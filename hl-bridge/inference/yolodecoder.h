// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/tensorshape.h"
#include "inference/engine.h"

#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// What decides which boxes are reported. All may change from frame to frame.
struct YoloOptions {
    float score_threshold = 0.5f; // a box is kept where its best class scores at least this
    float iou_threshold = 0.5f;   // a box is dropped where it overlaps a better one by more than this
    uint32_t max_detections = 100;
    bool class_aware = true; // boxes of different classes never suppress each other
};

// The frame the boxes are reported in.
struct YoloFrame {
    uint32_t width = 0, height = 0; // pixels
    FrameTransform transform;       // frame = (model - pad) / scale
};

// One object: an axis-parallel box inside the frame, in frame pixels, never empty.
struct Detection {
    float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    float score = 0; // 0..1
    uint32_t class_index = 0;
};

// Decodes the output of YOLOv8 and v11 detection heads: N candidate boxes of 4 + C float32 values each, centre x,
// centre y, width and height in pixels of the model's image, then one score per class. Boxes are suppressed after they
// are clipped to the frame. Not thread safe; decode() does not allocate.
class YoloDecoder {
public:
    // For tensors of `shape`: 1 x (4+C) x N; or 1 x N x (4+C) where `labels` (number of classes the user named, 0:
    // unknown) equals C, because without that the two cannot be told apart. `column_major`: the first dimension is the
    // one that varies fastest in memory. Errors: TensorShape, saying what was expected and what came; LabelsInvalid
    // where there are fewer labels than classes.
    [[nodiscard]] static Result<YoloDecoder> configure(const TensorShape &shape, DType type, size_t labels,
                                                       bool column_major = false);

    [[nodiscard]] uint32_t classes() const noexcept { return classes_; }
    [[nodiscard]] uint32_t boxes() const noexcept { return boxes_; }
    [[nodiscard]] size_t tensor_bytes() const noexcept { return size_t{4 + classes_} * boxes_ * sizeof(float); }

    // The objects in `tensor` (exactly tensor_bytes() long), best first, equal scores in tensor order; valid until the
    // next call. Values that are not finite, boxes without extent and boxes outside the frame are ignored; scores above
    // 1 are reported as 1.
    [[nodiscard]] std::span<const Detection> decode(std::span<const float> tensor, const YoloFrame &frame,
                                                    const YoloOptions &options) noexcept;

private:
    YoloDecoder() = default;

    [[nodiscard]] float value(std::span<const float> tensor, uint32_t channel, uint32_t box) const noexcept;
    void best_scores(std::span<const float> tensor) noexcept;
    void collect(std::span<const float> tensor, const YoloFrame &frame, float threshold) noexcept;
    [[nodiscard]] std::span<const Detection> suppress(const YoloOptions &options) noexcept;

    uint32_t classes_ = 0;
    uint32_t boxes_ = 0;
    bool box_major_ = false; // a box's values lie side by side, rather than a channel's

    // One element per box, made once.
    std::vector<float> best_;
    struct Candidate {
        Detection box;
        uint32_t index = 0; // in the tensor
    };
    std::vector<Candidate> candidates_;
    size_t found_ = 0;
    std::vector<Detection> kept_;
};

} // namespace hl
