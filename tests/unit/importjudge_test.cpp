// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importjudge.h"

#include "fakekernel.h"
#include "simtest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

using hl::ImportAnswer;
using hl::ImportCause;
using hl::ImportMemory;
using testing::ElementsAre;

namespace {

class Judge : public testing::Test {
protected:
    Judge() { kernel.state.format = hl::test::plain_format(V4L2_PIX_FMT_YUYV, 640, 480, 614400); }

    hl::ImportFinding judge(const hl::Importer &importer = hl::test::fake_camera(),
                            const std::vector<ImportMemory> &memories = {ImportMemory::Pages, ImportMemory::Device},
                            const std::string &device = "sim")
    {
        const auto maker = [this](ImportMemory memory, uint64_t bytes) -> hl::Result<hl::ImportFrame> {
            if (no_frames)
                return hl::fail(hl::ErrorCode::MemoryExport, "make frame", "there is none");
            made.push_back(bytes);
            return hl::test::fake_frame(memory, bytes);
        };
        return hl::ImportJudge(kernel, maker, cache, device, route).judge(importer, memories);
    }
    long offers() { return std::ranges::count(kernel.state.calls, "QBUF 0/614400"); }

    hl::test::FakeKernel kernel;
    hl::ImportCache cache;
    hl::ImportJudge::RouteFinder route;
    bool no_frames = false;
    std::vector<uint64_t> made; // bytes of each frame
};

} // namespace

TEST_F(Judge, HostPagesAreTheControlWhetherAskedForOrNot)
{
    kernel.state.errors[VIDIOC_QBUF] = {0, -EFAULT};
    const auto finding = judge(hl::test::fake_camera(), {ImportMemory::Device});
    EXPECT_EQ(offers(), 2);
    EXPECT_FALSE(finding.of(ImportMemory::Pages));
    ASSERT_TRUE(finding.of(ImportMemory::Device));
    EXPECT_EQ(finding.of(ImportMemory::Device)->cause, ImportCause::MapsByCpu);
    EXPECT_EQ(finding.format.text, "YUYV 640x480");
}

// The errno is the same for a driver that attaches statically and for one that no way leads to; the route tells.
TEST_F(Judge, ARefusalOfDeviceMemoryIsNamedAsTheRouteSays)
{
    kernel.state.errors[VIDIOC_QBUF] = {0, -EINVAL};
    hl::PeerPath path{.text = "so runs the way", .remedy = "move the card"};
    route = [&](const hl::Importer &) { return path; };
    const auto told = [&](hl::PeerRoute where) {
        path.route = where;
        return *judge().of(ImportMemory::Device);
    };
    const auto still = told(hl::PeerRoute::Switch);
    EXPECT_EQ(still.cause, ImportCause::NoPeerToPeer);
    EXPECT_THAT(still.text, testing::HasSubstr("attaches dma-bufs without allowing peer-to-peer"));
    EXPECT_THAT(still.text, testing::HasSubstr("although a way is there (so runs the way)"));
    EXPECT_EQ(still.remedy.find("move the card"), std::string::npos);
    const auto refused = told(hl::PeerRoute::Refused);
    EXPECT_EQ(refused.cause, ImportCause::NoPeerToPeer);
    EXPECT_EQ(refused.text, "fake cannot reach device memory: so runs the way");
    EXPECT_EQ(refused.remedy, "move the card");
    EXPECT_THAT(told(hl::PeerRoute::Unknown).text, testing::HasSubstr("user space cannot tell which"));
}

TEST(Routes, AreFoundInATreeThatIsReadOnceAndOnlyIfAsked)
{
    int reads = 0;
    const auto routes = hl::find_routes_from("0000:03:00.0", [&] {
        ++reads;
        return hl::PciTree();
    });
    EXPECT_EQ(reads, 0);
    for (int i = 0; i < 3; ++i)
        EXPECT_FALSE(routes(hl::test::fake_camera()).reaches());
    const auto copy = routes;
    EXPECT_FALSE(copy(hl::test::fake_camera()).reaches());
    EXPECT_EQ(reads, 1);
}

TEST_F(Judge, AsksOncePerNodeFormatAndMemory)
{
    kernel.state.errors[VIDIOC_QBUF] = {0, -EINVAL};
    for (int i = 0; i < 3; ++i) {
        const auto finding = judge();
        EXPECT_EQ(finding.of(ImportMemory::Pages)->answer, ImportAnswer::Imports);
        EXPECT_EQ(finding.of(ImportMemory::Device)->cause, ImportCause::NoPeerToPeer);
    }
    EXPECT_EQ(offers(), 2);
}

TEST_F(Judge, APageAloneIsNotOffered)
{
    kernel.state.format = hl::test::plain_format(V4L2_PIX_FMT_YUYV, 32, 16, 1024);
    EXPECT_EQ(judge().format.plane_bytes, std::vector<uint32_t>{1024});
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "QBUF 0/8192"), 2);
    EXPECT_EQ(made, (std::vector<uint64_t>{8192, 8192}));
}

TEST_F(Judge, AnotherFormatNodeOrDeviceIsAskedAnew)
{
    (void)judge();
    kernel.state.format.fmt.pix.width = 320; // at the same size of its frames
    (void)judge();
    EXPECT_EQ(offers(), 4);
    hl::Importer other = hl::test::fake_camera();
    other.node = "/dev/video1";
    (void)judge(other);
    EXPECT_EQ(offers(), 6);
    other.card = "another camera, plugged in where the first was";
    (void)judge(other);
    EXPECT_EQ(offers(), 8);
    (void)judge(other, {ImportMemory::Device}, "accel0");
    EXPECT_EQ(offers(), 9); // host pages are nobody's
    kernel.state.format.fmt.pix.sizeimage = 614401;
    (void)judge(other);
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "QBUF 0/618496"), 2);
}

TEST_F(Judge, ABusyNodeIsUnknownAndAskedAgain)
{
    kernel.state.errors[VIDIOC_REQBUFS] = {-EBUSY};
    const auto busy = judge();
    for (const ImportMemory memory : {ImportMemory::Pages, ImportMemory::Device}) {
        EXPECT_EQ(busy.of(memory)->answer, ImportAnswer::Unknown);
        EXPECT_EQ(busy.of(memory)->cause, ImportCause::Busy);
    }
    EXPECT_THAT(kernel.state.calls, ElementsAre("G_FMT", "REQBUFS 1")); // one word is enough
    EXPECT_EQ(judge().of(ImportMemory::Pages)->answer, ImportAnswer::Imports);
}

TEST_F(Judge, AFrameThatCouldNotBeMadeIsMadeTheNextTime)
{
    no_frames = true;
    EXPECT_EQ(judge().of(ImportMemory::Pages)->cause, ImportCause::NoFrame);
    EXPECT_EQ(offers(), 0);
    no_frames = false;
    EXPECT_EQ(judge().of(ImportMemory::Pages)->answer, ImportAnswer::Imports);
}

TEST_F(Judge, ANodeThatCannotBeOpenedIsUnknown)
{
    kernel.state.open_error = EACCES;
    const auto finding = judge();
    EXPECT_EQ(finding.of(ImportMemory::Pages)->cause, ImportCause::Permission);
    EXPECT_EQ(finding.of(ImportMemory::Device)->cause, ImportCause::Permission);
    kernel.state.open_error = ENODEV;
    EXPECT_EQ(judge().of(ImportMemory::Device)->cause, ImportCause::Gone);
}

// The real maker of frames, on the simulator.
TEST(ImportFrames, DeviceMemoryOfTheSimulatorIsNoDmabufAndGoesBack)
{
    const auto device = hl::test::open_sim();
    const auto make = hl::make_import_frames_with(device);
    {
        const auto frame = make(ImportMemory::Device, 614400);
        ASSERT_OK(frame);
        EXPECT_FALSE(frame->dmabuf);
        EXPECT_GE(frame->bytes, 614400u);
        EXPECT_EQ(device->usage().exports_open, 1u);
    }
    EXPECT_EQ(device->usage().exports_open, 0u);
    EXPECT_EQ(device->usage().device_bytes, 0u);
    EXPECT_CODE(hl::make_import_frames_with(nullptr)(ImportMemory::Device, 4096), hl::ErrorCode::MemoryExport);
}
