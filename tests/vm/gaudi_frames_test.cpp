// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames through hlupload and hldownload, and with them through LIN_DMA of the kernel's driver on an emulated Gaudi:
// each byte arrives. The witness is what a copy of our own brings up from HBM.
#include "../elements/elementtesting.h"
#include "gsthlbufferpool.h"

#include <utility>

using namespace hltest;

namespace {

enum class Input { Pool, Padded, Foreign };

GstPtr<GstBufferPool> padded(Harness &to, const std::string &caps)
{
    const auto query = to.ask(caps);
    GstBufferPool *pool = nullptr;
    guint size = 0;
    gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, &size, nullptr, nullptr);
    GstVideoAlignment alignment;
    gst_video_alignment_reset(&alignment);
    alignment.padding_right = 33;
    alignment.padding_bottom = 7;
    GstStructure *config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps_of(caps).get(), size, 0, 0);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
    gst_buffer_pool_config_set_video_alignment(config, &alignment);
    EXPECT_TRUE(gst_buffer_pool_set_config(pool, config));
    EXPECT_TRUE(gst_buffer_pool_set_active(pool, TRUE));
    return GstPtr<GstBufferPool>::adopt(pool);
}

// Of system memory, with strides that are odd and offsets that are not aligned.
GstPtr<GstBuffer> odd_frame(const std::string &caps)
{
    const GstVideoInfo info = video_info(caps);
    const hl::FrameFormat format = *gst_hl_frame_format(info);
    gsize offset[GST_VIDEO_MAX_PLANES] = {}, end = 0;
    gint stride[GST_VIDEO_MAX_PLANES] = {};
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
        offset[p] = end + 5;
        stride[p] = static_cast<gint>((hl::plane_row_bytes(format, p) + 4) | 1);
        end = offset[p] + static_cast<gsize>(stride[p]) * hl::plane_rows(format, p);
    }
    auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, end, nullptr));
    gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info),
                                   static_cast<guint>(info.width), static_cast<guint>(info.height),
                                   GST_VIDEO_INFO_N_PLANES(&info), offset, stride);
    return buffer;
}

class GaudiFrames : public testing::Test {
protected:
    void SetUp() override
    {
        auto opened = hl::Device::open("auto");
        ASSERT_TRUE(opened) << opened.error().details();
        device = *opened;
    }

    void there_and_back(const std::string &caps)
    {
        SCOPED_TRACE(caps);
        Harness up("hlupload"), down("hldownload");
        up.src_caps(caps);
        const auto plain = up.offered(caps), uneven = padded(up, caps);
        for (const Input input : {Input::Pool, Input::Padded, Input::Foreign}) {
            const Picture what = picture(caps, ++seed);
            const auto in = input == Input::Foreign ? odd_frame(caps) : frame_of(input == Input::Pool ? plain : uneven);
            paint_buffer(in.get(), caps, what);
            ASSERT_EQ(up.push(in), GST_FLOW_OK);
            const auto frame = up.pull();
            ASSERT_TRUE(frame);
            EXPECT_EQ(device_picture(*device, frame.get(), caps), what) << "in HBM";
            if (input == Input::Pool)
                down.src_caps(up.negotiated());
            ASSERT_EQ(down.push(frame), GST_FLOW_OK);
            const auto back = down.pull();
            ASSERT_TRUE(back);
            EXPECT_EQ(mapped_picture(back.get(), caps), what) << "in host pages again";
        }
        EXPECT_EQ(up.stat("uploads"), 3u);
        EXPECT_EQ(up.stat("cpu-copies"), 1u) << "the foreign one";
        EXPECT_EQ(down.stat("downloads"), 3u);
        for (const auto &pool : {plain, uneven})
            gst_buffer_pool_set_active(pool.get(), FALSE);
    }

    std::shared_ptr<hl::Device> device;
    unsigned seed = 0;
};

TEST_F(GaudiFrames, EveryFormatComesBackByteByByteWhateverItsSizeAndStrides)
{
    ASSERT_EQ(device->info().stand_in, "EMU");
    for (const std::string &format : all_formats())
        for (const auto &[width, height] : {std::pair{320, 240}, {61, 31}, {1, 1}})
            there_and_back(system_caps(format, width, height));
}

} // namespace
