// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/frameformat.h"
#include "inference/engine.h"
#include "inference/modelinfo.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace hl {

// The image a model wants.
struct ImageTarget {
    uint32_t width = 0, height = 0;
    TensorLayout layout = TensorLayout::NCHW;
    DType type = DType::Float32; // UInt8, Float16 or Float32
    PreprocessInfo how;
};

// Which inner loops a plan may use. Best: the fastest this CPU has. Scalar: plain C++, the yardstick for the others.
enum class PreprocessKernel : uint8_t { Best, Scalar };

// Crop, scale, colour conversion, normalisation and layout in one call, from frame rows to tensor, with no intermediate
// but a few rows. A plan for one frame format and one target; run() may be called from several threads at once, each
// with its own scratch. Copies of a plan share their tables.
//
// Scaling is bilinear over the two nearest samples per axis, pixel centres at half coordinates, edges repeated: what
// OpenCV's INTER_LINEAR and videoconvertscale's default do, hence what models are trained and deployed with. Chroma is
// taken as centred between its luma samples and goes from its own plane to the model's size in one step. Rows are
// blended vertically by libyuv (8 bits, fractions of 1/256; P010 by us, in 16 bits and fractions of 1/16384); columns,
// colour matrix and normalisation follow in one loop of ours, in float, unrounded; uint8 and float16 images are rounded
// to the nearest, once, at the end. P010 counts with all its 10 bits (its six low bits are zero by definition; where
// they are not, they count as a fraction). Grey is R = G = B, by its range. Alpha is not looked at. libyuv's own
// scalers are not used because they allocate a row per call, its matrix functions because their 8-bit coefficients
// saturate (blue of limited BT.709 is up to 12 levels off inside the gamut).
class Preprocess {
public:
    // Errors: FormatUnsupported, ModelUnsupported.
    [[nodiscard]] static Result<Preprocess> plan(const FrameFormat &source, const ImageTarget &target,
                                                 PreprocessKernel kernel = PreprocessKernel::Best);

    // Bytes of scratch run() needs; allocate once per worker. 64-byte aligned use is handled inside.
    [[nodiscard]] size_t scratch_bytes() const noexcept;
    // Bytes run() writes: the whole input tensor.
    [[nodiscard]] size_t output_bytes() const noexcept;
    // How the whole frame (or `region`) lands in the model's image.
    [[nodiscard]] FrameTransform transform(const Rect &region = {}) const noexcept;
    // The inner loops chosen: "avx2" or "scalar". Static storage.
    [[nodiscard]] const char *kernel() const noexcept;

    // Fills `tensor` (aligned to its element type). `frame` must have the planned format and size; `region` (width 0:
    // all) is clipped to it. No malloc, cannot fail.
    void run(const FrameView &frame, const Rect &region, std::span<std::byte> scratch,
             std::span<std::byte> tensor) const noexcept;

private:
    struct Plan;
    struct Frame;

    explicit Preprocess(std::shared_ptr<const Plan> plan) noexcept : plan_(std::move(plan)) {}

    std::shared_ptr<const Plan> plan_;
};

} // namespace hl
