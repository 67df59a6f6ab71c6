// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/tensordecoder.h"

#include <gmock/gmock.h>

#include <array>
#include <limits>
#include <vector>

// What the tests of the decoders share.
namespace hl::test {

inline constexpr float inf = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
inline constexpr std::array not_finite{not_a_number, inf, -inf};

// 320x320, fitted one to one.
inline constexpr DecodeFrame square{320, 320, {}, 320, 320};

// Decodes tensors given as vectors, one each. The result is the decoder's.
template <class... T>
Decoded decode(TensorDecoder &decoder, const DecodeFrame &frame, const DecodeOptions &options,
               const std::vector<T> &...tensors)
{
    const std::array data{std::as_bytes(std::span(tensors))...};
    return decoder.decode(data, frame, options);
}

// What a decoder found, kept beyond its next frame.
struct Found {
    std::vector<Detection> objects;
    uint64_t nonfinite = 0;
};
template <class... T>
Found found_by(TensorDecoder &decoder, const DecodeFrame &frame, const DecodeOptions &options,
               const std::vector<T> &...tensors)
{
    const Decoded out = decode(decoder, frame, options, tensors...);
    return {{out.objects.begin(), out.objects.end()}, out.nonfinite};
}

// Corners as given, to a thousandth of a pixel.
inline testing::Matcher<const Detection &> BoxIs(float x0, float y0, float x1, float y1)
{
    using testing::Field;
    using testing::FloatNear;
    return testing::AllOf(
        Field("x0", &Detection::x0, FloatNear(x0, 1e-3f)), Field("y0", &Detection::y0, FloatNear(y0, 1e-3f)),
        Field("x1", &Detection::x1, FloatNear(x1, 1e-3f)), Field("y1", &Detection::y1, FloatNear(y1, 1e-3f)));
}

} // namespace hl::test
