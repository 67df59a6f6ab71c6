// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which frames count as peer to peer: those in a device pool that another PCI device filled. No such device is here, so
// these tests push frames that nobody filled, to elements whose device says that it is none of the simulator's; that a
// camera's frames do arrive, and that these counts are true of them, is shown in the virtual machine.
#include "backends/sim/simcontrol.h"
#include "elementtesting.h"
#include "gsthlbufferpool.h"
#include "infer_fixture.h"

using namespace hltest;

namespace {

constexpr guint64 frame_bytes = 320 * 240 * 3 / 2;

class P2pTest : public testing::Test {
protected:
    void SetUp() override
    {
        sim_ = open_sim();
        device_ = std::make_shared<DeviceWithFaults>(sim_);
        device_->told = sim_->info();
    }

    void start(const char *line)
    {
        h_.reset(gst_harness_new_parse(line));
        const GstStateChangeReturn ready = gst_element_set_state(h_->element, GST_STATE_NULL);
        ASSERT_NE(ready, GST_STATE_CHANGE_FAILURE);
        gst_element_set_context(h_->element, context_with(device_).get());
        const auto system =
            GstPtr<GstCaps>::adopt(gst_caps_from_string("video/x-raw,format=NV12,width=320,height=240,framerate=30/1"));
        auto dmabuf = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
        gst_harness_set_src_caps(h_.get(), gst_caps_ref(dmabuf.get()));
        gst_harness_play(h_.get());
        const auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(dmabuf.get(), TRUE));
        ASSERT_TRUE(gst_pad_peer_query(h_->srcpad, query.get()));
        GstBufferPool *pool = nullptr;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, nullptr, nullptr, nullptr);
        pool_ = GstPtr<GstBufferPool>::adopt(pool);
        ASSERT_TRUE(gst_buffer_pool_set_active(pool_.get(), TRUE));
    }

    void TearDown() override
    {
        if (pool_)
            gst_buffer_pool_set_active(pool_.get(), FALSE);
    }

    enum class Filler { Nobody, Cpu, CpuTheFirstPlane };

    void push(Filler filler)
    {
        GstBuffer *buffer = nullptr;
        ASSERT_EQ(gst_buffer_pool_acquire_buffer(pool_.get(), &buffer, nullptr), GST_FLOW_OK);
        if (filler == Filler::Cpu)
            gst_buffer_memset(buffer, 0, 1, gst_buffer_get_size(buffer));
        GstMapInfo map;
        if (filler == Filler::CpuTheFirstPlane) {
            ASSERT_EQ(gst_buffer_n_memory(buffer), 2u);
            ASSERT_TRUE(gst_buffer_map_range(buffer, 0, 1, &map, GST_MAP_WRITE));
            gst_buffer_unmap(buffer, &map);
        }
        ASSERT_EQ(gst_harness_push(h_.get(), buffer), GST_FLOW_OK);
        gst_buffer_unref(gst_harness_pull(h_.get()));
    }

    [[nodiscard]] guint64 count(const char *element, const char *field) const
    {
        const auto found = GstPtr<GstElement>::adopt(gst_harness_find_element(h_.get(), element));
        GstStructure *stats = nullptr;
        g_object_get(found.get(), "stats", &stats, nullptr);
        const GstStructurePtr owned(stats);
        guint64 value = ~guint64{0};
        gst_structure_get_uint64(stats, field, &value);
        return value;
    }

    std::shared_ptr<hl::Device> sim_;
    std::shared_ptr<DeviceWithFaults> device_;
    HarnessPtr h_;
    GstPtr<GstBufferPool> pool_;
};

} // namespace

TEST_F(P2pTest, InferCountsWhatNobodyHereFilled)
{
    device_->told->simulated = false;
    start("hlinfer model=builtin:null memory=device");
    for (int i = 0; i < 5; ++i)
        push(Filler::Nobody);
    EXPECT_EQ(count("hlinfer", "p2p"), 5u);
    EXPECT_EQ(count("hlinfer", "p2p-bytes"), 5 * frame_bytes);
    EXPECT_EQ(count("hlinfer", "cpu-copies"), 0u);
}

TEST_F(P2pTest, WhatTheCpuFilledIsAnUpload)
{
    device_->told->simulated = false;
    start("hlinfer model=builtin:null memory=device");
    push(Filler::Cpu);
    push(Filler::Nobody); // the same frame again: its new life counts
    push(Filler::Cpu);
    EXPECT_EQ(count("hlinfer", "p2p"), 1u);
    EXPECT_EQ(count("hlinfer", "map-uploads"), 2u);
}

TEST_F(P2pTest, OfAFrameThatPassesBothTheFirstCounts)
{
    device_->told->simulated = false;
    start("hlupload memory=device ! hlinfer model=builtin:null");
    const uint64_t flushes = hl::sim::stats(*sim_).flushes;
    for (int i = 0; i < 3; ++i)
        push(Filler::Nobody);
    EXPECT_EQ(count("hlupload", "p2p"), 3u);
    EXPECT_EQ(count("hlinfer", "p2p"), 0u);
    EXPECT_EQ(count("hlupload", "uploads"), 0u);
    EXPECT_EQ(hl::sim::stats(*sim_).flushes, flushes) << "the null model reads nothing";
}

TEST_F(P2pTest, WhatPassedHluploadIsFlushedAllTheSame)
{
    start("hlupload memory=device ! hlinfer model=builtin:demo");
    const uint64_t flushes = hl::sim::stats(*sim_).flushes;
    push(Filler::Nobody);
    push(Filler::Cpu);
    push(Filler::Nobody);
    EXPECT_EQ(hl::sim::stats(*sim_).flushes, flushes + 2);
}

// A frame of two dma-bufs, of which the CPU wrote the first.
TEST_F(P2pTest, OnePlaneOfAPeersIsEnoughToBeCountedAndFlushed)
{
    device_->told->simulated = false;
    start("hlinfer model=builtin:demo memory=device planes=multi");
    const uint64_t flushes = hl::sim::stats(*sim_).flushes;
    push(Filler::CpuTheFirstPlane);
    EXPECT_EQ(count("hlinfer", "p2p"), 1u);
    EXPECT_EQ(hl::sim::stats(*sim_).flushes, flushes + 1);
    push(Filler::Cpu);
    EXPECT_EQ(count("hlinfer", "p2p"), 1u);
    EXPECT_EQ(hl::sim::stats(*sim_).flushes, flushes + 1);
}

TEST_F(P2pTest, NoDriverReachesTheSimulatorsMemory)
{
    start("hlinfer model=builtin:null memory=device");
    push(Filler::Nobody);
    EXPECT_EQ(count("hlinfer", "p2p"), 0u);
}
