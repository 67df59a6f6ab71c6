// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcaps.h"
#include "gsthlvideo.h"

#include "backends/sim/simcontrol.h"
#include "gsthlbufferpool.h"
#include "gsthlframe.h"
#include "memorytesting.h"

using namespace hltest;

namespace {

GstPtr<GstCaps> caps_of(const std::string &text)
{
    auto out = GstPtr<GstCaps>::adopt(gst_caps_from_string(text.c_str()));
    EXPECT_TRUE(out) << text;
    return out;
}

GstVideoInfo info_of(const std::string &text)
{
    GstVideoInfo info;
    EXPECT_TRUE(gst_hl_video_info_from_caps(caps_of(text).get(), &info)) << text;
    return info;
}

const std::string size_fields = ",width=62,height=31,framerate=30/1";

TEST(CapsTest, TemplatesParseAndNameTheSameFormats)
{
    const auto dmabuf = caps_of(gst_hl_video_caps_dmabuf());
    const auto system = caps_of(gst_hl_video_caps_system());
    const auto both = caps_of(gst_hl_video_caps());
    ASSERT_EQ(gst_caps_get_size(both.get()), 2u);
    EXPECT_TRUE(gst_hl_caps_are_dmabuf(both.get())) << "DMABuf is listed first";
    EXPECT_FALSE(gst_hl_caps_are_dmabuf(system.get()));
    const auto to_dmabuf = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
    const auto to_system = GstPtr<GstCaps>::adopt(gst_hl_caps_to_system(dmabuf.get()));
    EXPECT_TRUE(gst_caps_is_equal(to_dmabuf.get(), dmabuf.get()));
    EXPECT_TRUE(gst_caps_is_equal(to_system.get(), system.get()));
}

// GStreamer has a DRM name for every format of ours, and it is ours.
TEST(CapsTest, GStreamerNamesFormatsByTheSameFourccs)
{
    for (const std::string &name : all_formats()) {
        const GstVideoFormat format = gst_video_format_from_string(name.c_str());
        ASSERT_NE(format, GST_VIDEO_FORMAT_UNKNOWN) << name;
        const uint32_t fourcc = hl::pixel_format_info(*hl::pixel_format_from_name(name)).fourcc;
        EXPECT_EQ(gst_video_dma_drm_fourcc_from_format(format), fourcc) << name;
        EXPECT_EQ(gst_video_dma_drm_fourcc_to_format(fourcc), format) << name;
        guint64 modifier = 1;
        EXPECT_EQ(gst_video_dma_drm_format_from_gst_format(format, &modifier), fourcc) << name;
        EXPECT_EQ(modifier, 0u) << name << " is linear";
    }
}

TEST(CapsTest, DrmCapsGiveTheRealLayout)
{
    struct {
        const char *drm;
        const char *gst;
    } const formats[] = {{"NV12", "NV12"}, {"YU12", "I420"}, {"YUYV", "YUY2"},      {"UYVY", "UYVY"},
                         {"BG24", "RGB"},  {"XR24", "BGRx"}, {"P010", "P010_10LE"}, {"NV21", "NV21"},
                         {"YV12", "YV12"}, {"NV16", "NV16"}, {"YU16", "Y42B"},      {"XB24", "RGBx"},
                         {"BX24", "xRGB"}, {"RX24", "xBGR"}, {"AB24", "RGBA"},      {"AR24", "BGRA"},
                         {"BA24", "ARGB"}, {"RA24", "ABGR"}, {"RG24", "BGR"},       {"R8  ", "GRAY8"}};
    static_assert(std::size(formats) == hl::pixel_formats);
    for (const auto &f : formats) {
        const std::string drm_caps =
            std::string("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)\"") + f.drm + "\"" + size_fields;
        const GstVideoInfo drm = info_of(drm_caps);
        const GstVideoInfo system = info_of(std::string("video/x-raw,format=") + f.gst + size_fields);
        EXPECT_EQ(drm.finfo->format, system.finfo->format) << f.drm;
        EXPECT_TRUE(gst_caps_can_intersect(caps_of(gst_hl_video_caps_dmabuf()).get(), caps_of(drm_caps).get()))
            << f.drm;
        EXPECT_EQ(drm.size, system.size);
        EXPECT_GT(drm.size, 0u);
        for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&system); ++p)
            EXPECT_EQ(drm.stride[p], system.stride[p]);
        // What the bridge computes for planes is what GStreamer does, but for rows rounded up to even.
        const hl::FrameFormat format = *gst_hl_frame_format(system);
        EXPECT_EQ(hl::pixel_format_info(format.format).planes, GST_VIDEO_INFO_N_PLANES(&system)) << f.gst;
        const hl::PlanePlacement placed = hl::packed_placement(format);
        for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&system); ++p) {
            EXPECT_EQ(placed.stride[p], static_cast<uint32_t>(system.stride[p])) << f.gst << " plane " << p;
            EXPECT_LE(placed.offset[p], system.offset[p]) << f.gst << " plane " << p;
        }
    }
}

TEST(CapsTest, WhatWeDoNotTakeIsRefused)
{
    GstVideoInfo info;
    for (const std::string &text :
         {"video/x-raw,format=GRAY16_LE" + size_fields,
          std::string("video/x-raw,format=NV12,height=31,framerate=30/1,width=[1,5]"),
          "video/x-raw(memory:GLMemory),format=NV12" + size_fields,
          "video/x-raw(memory:DMABuf),format=NV12" + size_fields,
          "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12:0x0100000000000002" + size_fields,
          "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=GR88" + size_fields, std::string("image/jpeg")})
        EXPECT_FALSE(gst_hl_video_info_from_caps(caps_of(text).get(), &info)) << text;
    EXPECT_FALSE(gst_hl_video_info_from_caps(nullptr, &info));
}

TEST(CapsTest, TheOtherFeatureKeepsEveryOtherField)
{
    const auto system =
        caps_of("video/x-raw,format=I420,colorimetry=bt709,pixel-aspect-ratio=2/1,custom=7" + size_fields);
    const auto dmabuf = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
    EXPECT_TRUE(gst_video_is_dma_drm_caps(dmabuf.get()));
    const GstStructure *structure = gst_caps_get_structure(dmabuf.get(), 0);
    EXPECT_STREQ(gst_structure_get_string(structure, "drm-format"), "YU12");
    EXPECT_STREQ(gst_structure_get_string(structure, "colorimetry"), "bt709");
    EXPECT_TRUE(gst_structure_has_field(structure, "custom"));
    const auto back = GstPtr<GstCaps>::adopt(gst_hl_caps_to_system(dmabuf.get()));
    EXPECT_TRUE(gst_caps_is_equal(back.get(), system.get()));
}

TEST(CapsTest, NegotiationDropsWhatHasNoLinearEqual)
{
    const auto offered = caps_of("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format={NV12:0x0100000000000002,XR24,"
                                 "AYUV};video/x-raw(memory:GLMemory),format=RGBA;video/x-raw,format={GRAY16_LE,NV12}");
    const auto system = GstPtr<GstCaps>::adopt(gst_hl_caps_to_system(offered.get()));
    EXPECT_TRUE(gst_caps_is_equal(system.get(), caps_of("video/x-raw,format={BGRx,NV12}").get()) ||
                gst_caps_is_equal(system.get(), caps_of("video/x-raw,format=BGRx;video/x-raw,format=NV12").get()))
        << GCharPtr(gst_caps_to_string(system.get())).get();
    const auto nothing =
        GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(caps_of("video/x-raw,format={GRAY16_LE,Y444}").get()));
    EXPECT_TRUE(gst_caps_is_empty(nothing.get()));
    const auto any = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(GstPtr<GstCaps>::adopt(gst_caps_new_any()).get()));
    EXPECT_TRUE(gst_caps_is_equal(any.get(), caps_of(gst_hl_video_caps_dmabuf()).get()));
}

hl::FrameFormat format_of(const std::string &fields)
{
    return *gst_hl_frame_format(info_of("video/x-raw," + fields + size_fields));
}

TEST(CapsTest, ColorimetryReachesTheFrameFormat)
{
    EXPECT_EQ(format_of("format=NV12").width, 62u);
    EXPECT_EQ(format_of("format=NV12").height, 31u);
    const struct {
        const char *colorimetry;
        hl::ColorMatrix matrix;
        hl::ColorRange range;
    } cases[] = {
        {"bt601", hl::ColorMatrix::BT601, hl::ColorRange::Limited},
        {"1:4:0:0", hl::ColorMatrix::BT601, hl::ColorRange::Full},
        {"bt709", hl::ColorMatrix::BT709, hl::ColorRange::Limited},
        {"1:3:5:1", hl::ColorMatrix::BT709, hl::ColorRange::Full},
        {"bt2020", hl::ColorMatrix::BT2020, hl::ColorRange::Limited},
        {"1:6:14:7", hl::ColorMatrix::BT2020, hl::ColorRange::Full},
        {"bt2100-pq", hl::ColorMatrix::BT2020, hl::ColorRange::Limited},
        {"2:2:0:0", hl::ColorMatrix::FCC, hl::ColorRange::Limited},
        {"smpte240m", hl::ColorMatrix::SMPTE240M, hl::ColorRange::Limited},
        {"0:3:0:0", hl::ColorMatrix::BT709, hl::ColorRange::Limited}, // a range that is not said
    };
    for (const std::string &name : all_formats()) {
        const hl::PixelFormatInfo &pixels = hl::pixel_format_info(*hl::pixel_format_from_name(name));
        for (const auto &c : cases) {
            if (pixels.model != hl::ColorModel::YUV)
                continue;
            const auto format = format_of("format=" + name + ",colorimetry=(string)" + c.colorimetry);
            EXPECT_EQ(format.matrix, c.matrix) << name << ' ' << c.colorimetry;
            EXPECT_EQ(format.range, c.range) << name << ' ' << c.colorimetry;
        }
        if (pixels.model == hl::ColorModel::RGB) {
            EXPECT_EQ(format_of("format=" + name).range, hl::ColorRange::Full) << name;
        }
    }
    EXPECT_EQ(format_of("format=GRAY8").range, hl::ColorRange::Full) << "GStreamer's default";
    EXPECT_EQ(format_of("format=GRAY8,colorimetry=(string)1:4:0:0").range, hl::ColorRange::Full);
    EXPECT_EQ(format_of("format=GRAY8,colorimetry=(string)2:4:0:0").range, hl::ColorRange::Limited);
}

// A matrix that YUV cannot have, or none: GStreamer takes what it takes for caps that say nothing, by the height.
TEST(CapsTest, ColorimetryWithoutAMatrixIsTheDefaultOfTheHeight)
{
    const auto of_height = [](int height, const char *colorimetry) {
        const std::string fields = colorimetry ? std::string(",colorimetry=(string)") + colorimetry : "";
        return *gst_hl_frame_format(
            info_of("video/x-raw,format=NV12,framerate=30/1,width=64,height=" + std::to_string(height) + fields));
    };
    for (const char *colorimetry : {"sRGB", "2:0:0:0", "nonsense"})
        for (const int height : {576, 577}) {
            const auto said = of_height(height, colorimetry), silent = of_height(height, nullptr);
            EXPECT_EQ(said.matrix, silent.matrix) << colorimetry << ' ' << height;
            EXPECT_EQ(said.range, hl::ColorRange::Limited) << colorimetry << ' ' << height;
        }
    EXPECT_EQ(of_height(576, "sRGB").matrix, hl::ColorMatrix::BT601);
    EXPECT_EQ(of_height(577, "sRGB").matrix, hl::ColorMatrix::BT709);
}

// --- frames in buffers ---

class FrameTest : public testing::Test {
protected:
    void SetUp() override { device_ = open_sim(); }

    GstPtr<GstBuffer> frame(hl::Placement placement)
    {
        const auto pool = gst_hl_buffer_pool_new(device_, placement);
        EXPECT_TRUE(gst_hl_buffer_pool_setup(pool.get(), caps_of(caps_).get(), 0, 0, 0, true).has_value());
        GstBuffer *buffer = nullptr;
        EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
        gst_buffer_pool_set_active(pool.get(), FALSE);
        return GstPtr<GstBuffer>::adopt(buffer);
    }
    hl::ErrorCode layout_error(GstBuffer *buffer)
    {
        auto layout = gst_hl_buffer_layout(buffer, info_of(caps_), *device_);
        EXPECT_FALSE(layout.has_value());
        return layout ? hl::ErrorCode::Internal : layout.error().code;
    }
    static GstPtr<GstBuffer> foreign(gsize size)
    {
        return GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, size, nullptr));
    }

    const std::string caps_ = "video/x-raw,format=NV12" + size_fields; // strides 64, 31 and 16 rows
    std::shared_ptr<hl::Device> device_;
};

TEST_F(FrameTest, OurFramesAreKnownPlaneByPlane)
{
    for (const auto placement : {hl::Placement::Host, hl::Placement::Device}) {
        const auto buffer = frame(placement);
        const auto layout = gst_hl_buffer_layout(buffer.get(), info_of(caps_), *device_);
        ASSERT_TRUE(layout.has_value() && layout->has_value());
        EXPECT_EQ((*layout)->placement(), placement);
        EXPECT_EQ((*layout)->plane[0].stride, 64u);
        EXPECT_EQ((*layout)->plane[1].offset, 64u * 32); // GStreamer rounds NV12's luma rows up to even
    }
}

TEST_F(FrameTest, PlanesInMemoriesOfTheirOwnAreFound)
{
    const auto from = gst_hl_allocator_new(device_, hl::Placement::Device);
    const auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new());
    for (const gsize size : {64 * 31, 64 * 16})
        gst_buffer_append_memory(buffer.get(), gst_hl_allocator_alloc_memory(from.get(), size)->release());
    gsize offset[4] = {0, 64 * 31};
    gint stride[4] = {64, 64};
    gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_NV12, 62, 31, 2, offset,
                                   stride);
    const auto layout = gst_hl_buffer_layout(buffer.get(), info_of(caps_), *device_);
    ASSERT_TRUE(layout.has_value() && layout->has_value());
    EXPECT_EQ((*layout)->plane[1].offset, 0u);
    EXPECT_NE((*layout)->plane[0].memory.handle, (*layout)->plane[1].memory.handle);
}

TEST_F(FrameTest, ForeignFramesAreNoError)
{
    auto mixed = frame(hl::Placement::Host);
    gst_buffer_append_memory(mixed.get(), gst_allocator_alloc(nullptr, 10, nullptr));
    const auto plain = foreign(10);
    for (GstBuffer *buffer : {plain.get(), mixed.get()}) {
        const auto layout = gst_hl_buffer_layout(buffer, info_of(caps_), *device_);
        ASSERT_TRUE(layout.has_value());
        EXPECT_FALSE(layout->has_value());
    }
}

TEST_F(FrameTest, FramesThatDoNotFitTheirCapsAreNamed)
{
    auto buffer = frame(hl::Placement::Host);
    gst_buffer_resize(buffer.get(), 0, 100);
    EXPECT_EQ(layout_error(buffer.get()), hl::ErrorCode::FrameTooSmall);

    buffer = frame(hl::Placement::Host);
    gst_buffer_get_video_meta(buffer.get())->stride[0] = 61;
    EXPECT_EQ(layout_error(buffer.get()), hl::ErrorCode::FrameLayoutInvalid);
    gst_buffer_get_video_meta(buffer.get())->stride[0] = -64;
    EXPECT_EQ(layout_error(buffer.get()), hl::ErrorCode::FrameLayoutInvalid);
    gst_buffer_get_video_meta(buffer.get())->stride[0] = 64;
    gst_buffer_get_video_meta(buffer.get())->height = 16;
    EXPECT_EQ(layout_error(buffer.get()), hl::ErrorCode::FrameLayoutInvalid);
    gst_buffer_get_video_meta(buffer.get())->height = 31;
    gst_buffer_get_video_meta(buffer.get())->offset[1] = 1 << 20;
    EXPECT_EQ(layout_error(buffer.get()), hl::ErrorCode::FrameTooSmall);

    buffer = frame(hl::Placement::Device);
    hl::sim::lose(*device_);
    EXPECT_EQ(layout_error(buffer.get()), hl::ErrorCode::MemoryStale);
    ASSERT_TRUE(device_->recover().has_value());
}

TEST_F(FrameTest, MappedFramesShowEveryPlane)
{
    const GstVideoInfo info = info_of(caps_);
    const auto buffer = foreign(info.size);
    const Bytes bytes = pattern(info.size, 11);
    gst_buffer_fill(buffer.get(), 0, bytes.data(), bytes.size());
    auto mapped = GstHlMappedFrame::map(buffer.get(), info);
    ASSERT_TRUE(mapped.has_value());
    const GstHlMappedFrame moved = std::move(*mapped);
    EXPECT_EQ(std::memcmp(moved.view().data[0], bytes.data(), 64), 0);
    EXPECT_EQ(std::memcmp(moved.view().data[1], bytes.data() + info.offset[1], 64), 0);
    EXPECT_EQ(moved.view().stride[1], 64u);
}

TEST_F(FrameTest, MappedFramesInPiecesAreMerged)
{
    const GstVideoInfo info = info_of(caps_);
    const Bytes bytes = pattern(info.size, 12);
    const auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new());
    for (gsize at = 0; at < info.size; at += 1000) {
        const gsize size = std::min<gsize>(1000, info.size - at);
        GstMemory *memory = gst_allocator_alloc(nullptr, size, nullptr);
        gst_buffer_append_memory(buffer.get(), memory);
    }
    gst_buffer_fill(buffer.get(), 0, bytes.data(), bytes.size());
    const auto mapped = GstHlMappedFrame::map(buffer.get(), info);
    ASSERT_TRUE(mapped.has_value()) << mapped.error().details();
    EXPECT_EQ(std::memcmp(mapped->view().data[0], bytes.data(), 64 * 31), 0);
    EXPECT_EQ(std::memcmp(mapped->view().data[1], bytes.data() + info.offset[1], 64 * 16), 0);
}

TEST_F(FrameTest, MappingChecksSizesToo)
{
    const GstVideoInfo info = info_of(caps_);
    EXPECT_EQ(GstHlMappedFrame::map(foreign(100).get(), info).error().code, hl::ErrorCode::FrameTooSmall);
    // 64 bytes of the last chroma row are missing, but its two padding bytes may be.
    EXPECT_EQ(GstHlMappedFrame::map(foreign(info.size - 3).get(), info).error().code, hl::ErrorCode::FrameTooSmall);
    EXPECT_TRUE(GstHlMappedFrame::map(foreign(info.size - 2).get(), info).has_value());
    const auto strict = frame(hl::Placement::Device);
    gst_hl_allocator_set_strict(GST_HL_ALLOCATOR(gst_buffer_peek_memory(strict.get(), 0)->allocator), true);
    EXPECT_EQ(GstHlMappedFrame::map(strict.get(), info).error().code, hl::ErrorCode::CopyFailed);
}

TEST_F(FrameTest, MetadataOfACopiedFrame)
{
    const auto from = foreign(16);
    const auto to = foreign(16);
    GST_BUFFER_PTS(from.get()) = 7 * GST_SECOND;
    GST_BUFFER_OFFSET(from.get()) = 9;
    GST_BUFFER_FLAG_SET(from.get(), GST_BUFFER_FLAG_DISCONT);
    gst_buffer_add_video_meta(from.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_NV12, 62, 31);
    gst_buffer_add_parent_buffer_meta(from.get(), foreign(1).get());
    gst_buffer_add_video_region_of_interest_meta(from.get(), "shape", 1, 2, 3, 4);
    const auto clock = GstPtr<GstCaps>::adopt(gst_caps_new_empty_simple("timestamp/x-test"));
    gst_buffer_add_reference_timestamp_meta(from.get(), clock.get(), 5, GST_CLOCK_TIME_NONE);
    gst_hl_buffer_copy_metadata(from.get(), to.get());
    EXPECT_EQ(GST_BUFFER_PTS(to.get()), 7 * GST_SECOND);
    EXPECT_EQ(GST_BUFFER_OFFSET(to.get()), 9u);
    EXPECT_TRUE(GST_BUFFER_FLAG_IS_SET(to.get(), GST_BUFFER_FLAG_DISCONT));
    EXPECT_EQ(gst_buffer_get_video_meta(to.get()), nullptr) << "speaks of other memory";
    EXPECT_EQ(gst_buffer_get_parent_buffer_meta(to.get()), nullptr) << "would hold the producer's frame";
    EXPECT_NE(gst_buffer_get_reference_timestamp_meta(to.get(), clock.get()), nullptr);
    EXPECT_NE(gst_buffer_get_meta(to.get(), GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE), nullptr);
}

} // namespace
