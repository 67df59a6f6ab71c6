// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importprobe.h"

#include "fakekernel.h"

#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using hl::ImporterKind;
using hl::ImportStep;
using testing::Contains;
using testing::ElementsAre;
using testing::ElementsAreArray;

namespace {

class Probe : public testing::Test {
protected:
    Probe() { kernel.state.format = hl::test::plain_format(V4L2_PIX_FMT_YUYV, 640, 480, 614400); }

    hl::ImportAttempt offer(const hl::Importer &importer, bool dmabuf = true)
    {
        auto probe = hl::ImportProbe::open(kernel, importer);
        if (!probe)
            return probe.error();
        std::vector<hl::ImportFrame> planes;
        for (const uint32_t bytes : (*probe)->format().plane_bytes) {
            planes.push_back(hl::test::fake_frame(hl::ImportMemory::Pages, bytes).value());
            planes.back().dmabuf = dmabuf;
        }
        return (*probe)->offer(planes);
    }

    hl::test::FakeKernel kernel;
};

} // namespace

// Whatever QBUF answers, the whole of what the node saw is this: no format is set, nothing streams, the queue is freed.
TEST_F(Probe, AVideoQueueIsLeftAsItWas)
{
    for (const int answer : {0, -EFAULT, -EINVAL, -EBUSY}) {
        kernel.state.calls.clear();
        kernel.state.errors[VIDIOC_QBUF] = {answer};
        const auto attempt = offer(hl::test::fake_camera());
        EXPECT_EQ(attempt.step, ImportStep::Queue);
        EXPECT_EQ(attempt.sys_errno, -answer);
        EXPECT_THAT(kernel.state.calls, ElementsAre("G_FMT", "REQBUFS 1", "QBUF 0/614400", "REQBUFS 0"));
    }
}

TEST_F(Probe, ARefusedRequestIsNotGivenBack)
{
    for (const int answer : {-EBUSY, -EINVAL, -ENOTTY}) {
        kernel.state.calls.clear();
        kernel.state.errors[VIDIOC_REQBUFS] = {answer};
        const auto attempt = offer(hl::test::fake_camera());
        EXPECT_EQ(attempt.step, ImportStep::Request);
        EXPECT_EQ(attempt.sys_errno, -answer);
        EXPECT_THAT(kernel.state.calls, ElementsAre("G_FMT", "REQBUFS 1"));
    }
}

TEST_F(Probe, EveryPlaneGetsAFrameOfWholePages)
{
    kernel.state.format = hl::test::planar_format(V4L2_PIX_FMT_NV12M, 320, 180, {57600, 28800});
    hl::Importer camera = hl::test::fake_camera();
    camera.queue = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
    EXPECT_EQ(offer(camera).sys_errno, 0);
    EXPECT_THAT(kernel.state.calls, Contains("QBUF 0/61440 0/32768"));
    const auto probe = hl::ImportProbe::open(kernel, camera);
    ASSERT_TRUE(probe);
    EXPECT_EQ((*probe)->format().text, "NM12 320x180");
}

TEST_F(Probe, AnOutputFrameIsFull)
{
    hl::Importer output = hl::test::fake_camera();
    output.kind = ImporterKind::Output;
    output.queue = V4L2_BUF_TYPE_VIDEO_OUTPUT;
    EXPECT_EQ(offer(output).sys_errno, 0);
    EXPECT_THAT(kernel.state.calls, Contains("QBUF 614400/614400"));
}

TEST_F(Probe, ANodeWithoutAFormatIsNotOffered)
{
    kernel.state.errors[VIDIOC_G_FMT] = {-EINVAL};
    EXPECT_EQ(offer(hl::test::fake_camera()).step, ImportStep::Format);
    kernel.state.format = hl::test::plain_format(V4L2_PIX_FMT_NV12, 0, 0, 0);
    EXPECT_EQ(offer(hl::test::fake_camera()).sys_errno, ENODATA);
    kernel.state.open_error = EACCES;
    EXPECT_EQ(offer(hl::test::fake_camera()).sys_errno, EACCES);
    EXPECT_THAT(kernel.state.calls, ElementsAre("G_FMT", "G_FMT"));
}

TEST_F(Probe, SeesThatTheNodeIsGone)
{
    kernel.state.unplugged = true;
    kernel.state.errors[VIDIOC_QBUF] = {-ENODEV};
    EXPECT_TRUE(offer(hl::test::fake_camera()).gone);
    kernel.state.import_error = ENODEV;
    EXPECT_TRUE(offer(hl::test::fake_card(ImporterKind::Render)).gone);
    kernel.state.unplugged = false;
    EXPECT_FALSE(offer(hl::test::fake_card(ImporterKind::Render)).gone);
}

TEST_F(Probe, RemembersThatTheFrameWasNoDmabuf)
{
    kernel.state.errors[VIDIOC_QBUF] = {-EINVAL};
    EXPECT_FALSE(offer(hl::test::fake_camera(), false).dmabuf);
    kernel.state.import_error = EINVAL;
    EXPECT_FALSE(offer(hl::test::fake_card(ImporterKind::Render), false).dmabuf);
}

TEST_F(Probe, ACardMakesAFramebufferInEachOfOurFormatsThatItsPlanesShow)
{
    kernel.state.planes = {DRM_FORMAT_XRGB8888, DRM_FORMAT_RGB565, DRM_FORMAT_NV12};
    kernel.state.framebuffer_errors = {{DRM_FORMAT_NV12, EINVAL}};
    const auto attempt = offer(hl::test::fake_card(ImporterKind::Display));
    EXPECT_EQ(attempt.step, ImportStep::Framebuffer);
    EXPECT_EQ(attempt.sys_errno, 0);
    EXPECT_THAT(attempt.formats, ElementsAre("BGRx"));
    EXPECT_THAT(kernel.state.calls, Contains("add NV12 of 7"));
    EXPECT_THAT(kernel.state.calls, testing::Not(Contains("add RG16 of 7")));
    EXPECT_EQ(kernel.state.calls.front(), "import");
    EXPECT_EQ(kernel.state.calls.back(), "close 7");
    EXPECT_EQ(kernel.state.handles, 0u);
    EXPECT_EQ(kernel.state.framebuffers, 0u);
}

TEST_F(Probe, ACardThatMakesNoFramebufferSaysWithWhatErrno)
{
    kernel.state.planes = {DRM_FORMAT_XRGB8888};
    kernel.state.framebuffer_errors = {{DRM_FORMAT_XRGB8888, ENOENT}};
    auto attempt = offer(hl::test::fake_card(ImporterKind::Display));
    EXPECT_EQ(attempt.step, ImportStep::Framebuffer);
    EXPECT_EQ(attempt.sys_errno, ENOENT);
    EXPECT_FALSE(attempt.no_format);
    kernel.state.planes = {DRM_FORMAT_RGB565};
    attempt = offer(hl::test::fake_card(ImporterKind::Display));
    EXPECT_TRUE(attempt.no_format);
    EXPECT_EQ(kernel.state.handles, 0u);
}

TEST_F(Probe, ARenderNodeIsAskedForTheImportOnly)
{
    EXPECT_EQ(offer(hl::test::fake_card(ImporterKind::Render)).step, ImportStep::Import);
    EXPECT_THAT(kernel.state.calls, ElementsAre("import", "close 7"));
}
