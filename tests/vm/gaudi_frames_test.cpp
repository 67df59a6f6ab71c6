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
        for (const auto &[width, height] : {std::pair{61, 31}, {1, 1}})
            there_and_back(system_caps(format, width, height));
    // Of a size that takes more than a few pages, each way of laying planes once: an emulated DMA is slow.
    for (const char *format : {"NV12", "I420", "YUY2", "P010_10LE", "Y42B", "RGB"})
        there_and_back(system_caps(format, 320, 240));
}

} // namespace
