// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/frameformat.h"
#include "inference/engine.h"
#include "inference/modelinfo.h"

#include <cstddef>
#include <memory>
#include <span>

namespace hl {

// The image a model wants.
struct ImageTarget {
    uint32_t width = 0, height = 0;
    TensorLayout layout = TensorLayout::NCHW;
    DType type = DType::Float32; // UInt8 or Float32
    PreprocessInfo how;
};

// Crop, scale, colour conversion, normalisation and layout in one call, from frame rows to tensor, with no intermediate
// larger than the model's input. A plan for one frame format and one target; run() may be called from several threads
// at once, each with its own scratch.
class Preprocess {
public:
    // Errors: FormatUnsupported, ModelUnsupported.
    [[nodiscard]] static Result<Preprocess> plan(const FrameFormat &source, const ImageTarget &target);

    // Bytes of scratch run() needs; allocate once per worker. 64-byte aligned use is handled inside.
    [[nodiscard]] size_t scratch_bytes() const noexcept;
    // Bytes run() writes: the whole input tensor.
    [[nodiscard]] size_t output_bytes() const noexcept;
    // How the whole frame (or `region`) lands in the model's image.
    [[nodiscard]] FrameTransform transform(const Rect &region = {}) const noexcept;

    // Fills `tensor`. `frame` must have the planned format and size; `region` (width 0: all) lies inside it. No malloc,
    // cannot fail.
    void run(const FrameView &frame, const Rect &region, std::span<std::byte> scratch,
             std::span<std::byte> tensor) const noexcept;

private:
    Preprocess() = default;
    FrameFormat source_;
    ImageTarget target_;
};

} // namespace hl
