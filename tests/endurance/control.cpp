// SPDX-License-Identifier: LGPL-2.1-or-later

// In each program of the suite: its witnesses see a leak of everything that they count.
#include "../elements/infer_fixture.h"
#include "framecount.h"
#include "holdings.h"

#include <future>
#include <thread>
#include <vector>

using namespace hltest;

namespace {

using EnduranceControl = InferTest;

} // namespace

TEST_F(EnduranceControl, EachWitnessSeesALeak)
{
    const SimSetting slow("HL_SIM_DMA_US", "2000000");
    const auto dev = device();
    ASSERT_TRUE(dev);
    const Holdings before = Holdings::now(*dev);
    EXPECT_EQ(Holdings::now(*dev).grown_since(before), std::vector<std::string>{});

    auto hbm = hl::OwnedMemory::allocate(dev, 4096, hl::Placement::Device);
    auto host = hl::OwnedMemory::allocate(dev, 4096, hl::Placement::Host);
    ASSERT_TRUE(hbm && host);
    const auto exported = dev->export_dmabuf(hbm->get());
    ASSERT_TRUE(exported);
    hl::CompletionWaiter copied;
    hl::CopyRequest copy{.regions = 1};
    copy.region[0] = {.source = host->get(), .target = hbm->get(), .row_bytes = 4096};
    ASSERT_TRUE(dev->submit({&copy, 1}, copied));
    const std::vector<unsigned char> heap(32 << 10, 1), anonymous(8 << 20, 1);
    std::promise<void> end;
    std::jthread thread([&] { end.get_future().wait(); });

    std::vector<std::string> all;
    for (const Holdings::Witness &witness : Holdings::witnesses)
        all.emplace_back(witness.name);
    const Holdings now = Holdings::now(*dev);
    std::cout << Holdings::header("control") << '\n'
              << before.row("before") << '\n'
              << now.row("with a leak of each") << std::endl;
    EXPECT_EQ(now.grown_since(before), all);
    end.set_value();
    EXPECT_TRUE(copied.wait());
}

TEST_F(EnduranceControl, AFrameThatIsHeldIsNotLetGo)
{
    FrameCount frames;
    Line line("videotestsrc name=source num-buffers=2 ! identity ! fakesink name=sink enable-last-sample=false");
    frames.watch(line.element("source").get(), line.element("sink").get());
    GstPtr<GstBuffer> held;
    const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(line.element("sink").get(), "sink"));
    gst_pad_add_probe(
        pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *, GstPadProbeInfo *info, gpointer to) {
            *static_cast<GstPtr<GstBuffer> *>(to) = GstPtr<GstBuffer>::share(GST_PAD_PROBE_INFO_BUFFER(info));
            return GST_PAD_PROBE_OK;
        },
        &held, nullptr);
    ASSERT_TRUE(line.run());
    EXPECT_EQ(frames.entered(), 2u);
    EXPECT_EQ(frames.left(), 2u);
    EXPECT_EQ(frames.let_go(), 1u);
    held = {};
    EXPECT_TRUE(frames.wait_all_let_go());
}
