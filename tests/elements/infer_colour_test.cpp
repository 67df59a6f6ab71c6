// SPDX-License-Identifier: LGPL-2.1-or-later

// Colours from the caps to the tensor: what the model is given of a frame of one colour, for each format and
// colorimetry. The network hands its input back.
#include "../unit/preprocess_reference.h"
#include "elementtesting.h"

#include <gst/analytics/analytics.h>

#include <format>
#include <iostream>
#include <string>

using namespace hltest;
using hl::ColorMatrix;
using hl::ColorRange;

namespace {

constexpr int width = 64, height = 48;

struct Colorimetry {
    const char *name; // in caps
    ColorMatrix matrix;
    ColorRange range;
};
constexpr Colorimetry colorimetries[] = {
    {"bt601", ColorMatrix::BT601, ColorRange::Limited},   {"1:4:0:0", ColorMatrix::BT601, ColorRange::Full},
    {"bt709", ColorMatrix::BT709, ColorRange::Limited},   {"1:3:5:1", ColorMatrix::BT709, ColorRange::Full},
    {"bt2020", ColorMatrix::BT2020, ColorRange::Limited}, {"1:6:14:7", ColorMatrix::BT2020, ColorRange::Full},
    {"2:2:0:0", ColorMatrix::FCC, ColorRange::Limited},   {"smpte240m", ColorMatrix::SMPTE240M, ColorRange::Limited},
};

// A frame of one colour with GStreamer's own layout; the samples of formats are placed by their definition.
GstPtr<GstBuffer> frame(const GstVideoInfo &info, hl::PixelFormat format, const std::array<uint32_t, 3> &colour)
{
    auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, info.size, nullptr));
    const GstBufferMap map(buffer.get(), GST_MAP_WRITE);
    const auto of = hl::test::samples_of(format);
    const int bits = hl::test::bits_of(format);
    for (size_t k = 0; k < 3; ++k) {
        const auto stride = static_cast<size_t>(info.stride[of[k].plane]);
        for (size_t y = 0; y < size_t{height} >> of[k].rows; ++y)
            for (size_t x = 0; x < size_t{width} >> of[k].shift; ++x) {
                guint8 *const at = map.data() + info.offset[of[k].plane] + y * stride + x * of[k].distance + of[k].byte;
                const uint32_t sample = bits > 8 ? colour[k] << (16 - bits) : colour[k];
                at[0] = static_cast<guint8>(sample);
                if (bits > 8)
                    at[1] = static_cast<guint8>(sample >> 8);
            }
    }
    return buffer;
}

std::array<double, 3> expected(const hl::FrameFormat &format, const std::array<uint32_t, 3> &colour)
{
    switch (hl::pixel_format_info(format.format).model) {
    case hl::ColorModel::YUV:
        return hl::test::to_rgb(format, colour[0], colour[1], colour[2]);
    case hl::ColorModel::Gray:
        return hl::test::to_rgb(format, colour[2], 128, 128); // all three were written to one place, the last stays
    case hl::ColorModel::RGB:
        break;
    }
    return {double(colour[0]), double(colour[1]), double(colour[2])};
}

// The centre of the second output, "echo" 1x3xHxW of float32.
std::array<double, 3> echo(GstBuffer *buffer)
{
    GstTensorMeta *const meta = gst_buffer_get_tensor_meta(buffer);
    if (!meta || meta->num_tensors != 2) {
        ADD_FAILURE() << "no tensors";
        return {};
    }
    const GstBufferMap map(gst_tensor_meta_get(meta, 1)->data, GST_MAP_READ);
    std::array<double, 3> out{};
    for (size_t k = 0; k < 3; ++k)
        out[k] = reinterpret_cast<const float *>(map.data())[k * width * height + height / 2 * width + width / 2];
    return out;
}

// hlinfer sends from a thread of its own.
GstPtr<GstBuffer> pulled(const Harness &h)
{
    return GstPtr<GstBuffer>::adopt(gst_harness_pull(h.get()));
}

std::string line()
{
    return std::format("hlinfer device=sim compute-threads=1 model={}/image-f32-nchw.onnx", g_getenv("HL_TEST_MODELS"));
}

TEST(InferColourTest, EveryColorimetryOfEveryFormatReachesTheModel)
{
    for (const std::string &name : all_formats()) {
        const auto format = *hl::pixel_format_from_name(name);
        const uint32_t most = (1u << hl::test::bits_of(format)) - 1;
        const std::array<uint32_t, 3> colours[] = {{most * 5 / 10, most * 4 / 10, most * 6 / 10},
                                                   {most * 3 / 10, most * 55 / 100, most * 45 / 100},
                                                   {most, most / 2, most / 2}};
        Harness h(line().c_str());
        std::cout << std::format("{:10}", name);
        for (const auto &c : colorimetries) {
            if (hl::pixel_format_info(format).model == hl::ColorModel::RGB && c.name != colorimetries[0].name)
                continue;
            std::string caps = system_caps(name, width, height);
            if (hl::pixel_format_info(format).model != hl::ColorModel::RGB)
                caps += std::format(",colorimetry=(string){}", c.name);
            h.src_caps(caps);
            for (const auto &colour : colours) {
                ASSERT_EQ(h.push(frame(video_info(caps), format, colour)), GST_FLOW_OK) << caps;
                const auto got = echo(pulled(h).get());
                const auto want = expected({format, width, height, c.matrix, c.range}, colour);
                for (size_t k = 0; k < 3; ++k)
                    EXPECT_NEAR(got[k] * 255, want[k], 2e-3) << caps << " channel " << k;
            }
            std::cout << ' ' << c.name;
        }
        std::cout << '\n';
    }
}

// Caps whose colorimetry has no matrix of YUV: what GStreamer takes for such a height, 601 up to 576 rows.
TEST(InferColourTest, ColorimetryWithoutAMatrixIsTheDefaultOfTheHeight)
{
    for (const char *colorimetry : {"sRGB", "2:0:0:0"}) {
        Harness h(line().c_str());
        const std::string caps = system_caps("NV12", width, height) + ",colorimetry=(string)" + colorimetry;
        h.src_caps(caps);
        const std::array<uint32_t, 3> colour{110, 90, 160};
        ASSERT_EQ(h.push(frame(video_info(caps), hl::PixelFormat::NV12, colour)), GST_FLOW_OK);
        const auto got = echo(pulled(h).get());
        const auto want =
            expected({hl::PixelFormat::NV12, width, height, ColorMatrix::BT601, ColorRange::Limited}, colour);
        for (size_t k = 0; k < 3; ++k)
            EXPECT_NEAR(got[k] * 255, want[k], 2e-3) << colorimetry << " channel " << k;
    }
}

} // namespace
