// SPDX-License-Identifier: LGPL-2.1-or-later

// In the virtual machine: peers of the emulated Gaudi reach its HBM through dma-bufs of the kernel's own driver. The
// capture card writes, the scan-out engine reads; that it happened is told by the card, by the engine and by the
// Gaudi's own DMA.

#include "guest/capturenode.h"
#include "guest/cardregisters.h"
#include "guest/gaudijobs.h"
#include "guest/kernelreturns.h"
#include "guest/screen.h"

#include "framepainter.h"

#include <drm/habanalabs_accel.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>

namespace gaudiemu::guest {
namespace {

using chip::Packets;

constexpr unsigned patience = 20; // seconds
constexpr size_t buffers = 4;
constexpr uint64_t buffer_distance = 8 << 20; // from one frame in HBM to the next
constexpr uint32_t poison = 0xdeadbeef;

std::string node(const char *variable)
{
    const char *const value = std::getenv(variable);
    return value == nullptr ? "" : value;
}

// A module's parameter for as long as this lives.
class Parameter {
public:
    Parameter(const std::string &module, const std::string &name, char value)
        : path_("/sys/module/" + module + "/parameters/" + name)
    {
        std::ifstream(path_) >> before_;
        std::ofstream(path_) << value;
    }
    ~Parameter() { std::ofstream(path_) << before_; }
    Parameter(const Parameter &) = delete;
    Parameter &operator=(const Parameter &) = delete;

private:
    const std::string path_;
    char before_ = 0;
};

class Peer : public ::testing::Test {
protected:
    void SetUp() override
    {
        ASSERT_EQ(jobs.open(), 0);
        releases.emplace({"habanalabs:hpriv_release"});
        host = std::span(jobs.host(), GaudiJobs::host_size);
    }

    void TearDown() override
    {
        jobs.close();
        // A worker of the kernel lets go of the frames that the engine showed (drivers/gpu/drm/drm_atomic_helper.c
        // commit_tail()): the context may end after all that is closed here.
        EXPECT_TRUE(!releases || releases->wait(std::chrono::seconds(30))) << "something keeps the context";
    }

    [[nodiscard]] int export_frame(size_t index, uint64_t bytes, hl::UniqueFd &dmabuf) const
    {
        return jobs.export_hbm(index * buffer_distance, (bytes + 4095) & ~uint64_t{4095}, dmabuf);
    }
    [[nodiscard]] uint64_t frame_address(size_t index) const { return jobs.hbm_address() + index * buffer_distance; }

    // One job of the Gaudi's.
    void run(uint32_t queue, const Packets &packets)
    {
        const auto done = jobs.run(queue, packets, patience);
        ASSERT_EQ(done.error, 0);
        ASSERT_EQ(done.outcome, HL_WAIT_CS_STATUS_COMPLETED);
    }

    void fill_with_poison(size_t index, uint64_t bytes)
    {
        run(GaudiJobs::queue_down,
            jobs.packets().lin_dma(poison, frame_address(index), static_cast<uint32_t>((bytes + 3) & ~uint64_t{3}),
                                   Packets::memset));
    }

    // A frame of HBM in host memory, brought by the Gaudi.
    std::span<const std::byte> fetch(size_t index, uint64_t bytes)
    {
        std::memset(host.data(), 0, bytes);
        run(GaudiJobs::queue_up,
            jobs.packets().lin_dma(frame_address(index), jobs.host_address(), static_cast<uint32_t>(bytes)));
        return host.first(bytes);
    }

    // Captures into HBM; every frame is fetched, compared with the card's word and then poisoned, so that nothing of it
    // passes for the next.
    void capture(const Picture &picture, unsigned frames)
    {
        CaptureNode camera;
        const CardRegisters card(node("HL_VM_CARD"));
        std::array<hl::UniqueFd, buffers> dmabufs;
        uint32_t bytes = 0;
        ASSERT_TRUE(card.valid());
        ASSERT_EQ(camera.open(node("HL_VM_CARD")), 0);
        ASSERT_EQ(camera.set_format(picture.fourcc, picture.width, picture.height, bytes), 0);
        ASSERT_EQ(bytes, picture.bytes);
        ASSERT_EQ(camera.request(buffers), 0);
        for (uint32_t i = 0; i < buffers; ++i) {
            ASSERT_EQ(export_frame(i, bytes, dmabufs[i]), 0);
            fill_with_poison(i, bytes);
            ASSERT_EQ(camera.queue(i, dmabufs[i].get(), bytes), 0);
        }
        ASSERT_EQ(camera.start(), 0);
        const auto begin = std::chrono::steady_clock::now();
        for (unsigned i = 0; i < frames; ++i) {
            CaptureNode::Frame frame;
            ASSERT_EQ(camera.dequeue(frame), 0);
            ASSERT_FALSE(frame.broken) << frame.sequence;
            ASSERT_EQ(jobs.device().flush_inbound(), 0);
            const auto there = fetch(frame.index, bytes);
            const auto stamp = read_stamp(picture, there);
            ASSERT_TRUE(stamp) << "frame " << frame.sequence;
            ASSERT_EQ(stamp->number, frame.sequence);
            ASSERT_EQ(stamp->crc, stamped_crc(picture, there));
            ASSERT_EQ(card.crc(frame.sequence), stamp->crc);
            fill_with_poison(frame.index, bytes);
            ASSERT_EQ(camera.queue(frame.index, dmabufs[frame.index].get(), bytes), 0);
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::cout << "# " << frames << " frames of " << bytes << " bytes in " << took.count() << " s\n";
        ASSERT_EQ(camera.stop(), 0);
    }

    GaudiJobs jobs;
    std::optional<KernelReturns> releases;
    std::span<std::byte> host;
};

TEST_F(Peer, CardWritesFramesIntoHbm)
{
    capture(*Picture::packed(HL_CARD_YUYV, 640, 480), 60);
}

TEST_F(Peer, CardWritesEveryFormatAndSizeIntoHbm)
{
    capture(*Picture::packed(HL_CARD_NV12, 320, 240), 8);
    capture(*Picture::packed(HL_CARD_RGB3, 61, 31), 8);
    capture(*Picture::packed(HL_CARD_YUYV, 1920, 1080), 8);
}

TEST_F(Peer, CardWritesIntoHbmAsFastAsBuffersCome)
{
    const Parameter unpaced("hl_test_capture", "unpaced", 'Y');
    capture(*Picture::packed(HL_CARD_YUYV, 640, 480), 100);
}

// The stock importers of videobuf2 have one word for it.
TEST_F(Peer, CardThatMayNotIsRefused)
{
    const Parameter forbidden("hl_test_capture", "allow_peer2peer", 'N');
    CaptureNode camera;
    hl::UniqueFd dmabuf;
    uint32_t bytes = 0;
    ASSERT_EQ(camera.open(node("HL_VM_CARD")), 0);
    ASSERT_EQ(camera.set_format(HL_CARD_YUYV, 640, 480, bytes), 0);
    ASSERT_EQ(camera.request(1), 0);
    ASSERT_EQ(export_frame(0, bytes, dmabuf), 0);
    EXPECT_EQ(camera.queue(0, dmabuf.get(), bytes), EINVAL);
}

TEST_F(Peer, EngineReadsHbm)
{
    const auto picture = *Picture::packed(HL_CARD_XR24, 640, 480);
    Screen screen;
    ASSERT_EQ(screen.open(node("HL_VM_SCANOUT")), 0);
    for (const uint32_t number : {7u, 8u}) {
        hl::UniqueFd dmabuf;
        uint32_t handle = 0;
        FramePainter(picture).paint(number, host);
        run(GaudiJobs::queue_down,
            jobs.packets().lin_dma(jobs.host_address(), frame_address(number), static_cast<uint32_t>(picture.bytes)));
        ASSERT_EQ(export_frame(number, picture.bytes, dmabuf), 0);
        ASSERT_EQ(screen.import(dmabuf.get(), handle), 0);
        ASSERT_EQ(screen.show(handle), 0);
        screen.forget(handle);
        const auto shown = screen.last();
        ASSERT_TRUE(shown);
        EXPECT_EQ(shown->error, 0u);
        EXPECT_EQ(shown->memory, "imported");
        EXPECT_EQ(shown->crc, visible_crc(picture, host));
    }
}

TEST_F(Peer, EngineThatMayNotIsRefusedAtTheImport)
{
    const Parameter forbidden("hl_test_scanout", "allow_peer2peer", 'N');
    Screen screen;
    hl::UniqueFd dmabuf;
    uint32_t handle = 0;
    ASSERT_EQ(screen.open(node("HL_VM_SCANOUT")), 0);
    ASSERT_EQ(export_frame(0, 4096, dmabuf), 0);
    EXPECT_EQ(screen.import(dmabuf.get(), handle), EPERM);
}

} // namespace
} // namespace gaudiemu::guest
