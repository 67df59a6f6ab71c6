// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importer.h"

#include "fakekernel.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

using hl::ErrorCode;
using hl::ImporterKind;
using hl::Kernel;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

constexpr const char *camera = "/dev/video0";
constexpr const char *card = "/dev/dri/card0";

class Identify : public testing::Test {
protected:
    Identify() { kernel.state.nodes = {{camera, Kernel::NodeType::Video}, {card, Kernel::NodeType::Drm}}; }

    std::vector<ImporterKind> kinds_of(uint32_t capabilities)
    {
        kernel.state.capabilities = capabilities;
        std::vector<ImporterKind> kinds;
        const auto importers = hl::identify_importer(kernel, camera).value();
        for (const hl::Importer &importer : importers)
            kinds.push_back(importer.kind);
        return kinds;
    }

    hl::test::FakeKernel kernel;
};

} // namespace

TEST_F(Identify, ReadsWhatTheDriverSays)
{
    const auto found = hl::identify_importer(kernel, camera);
    ASSERT_OK(found);
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ((*found)[0].node, camera);
    EXPECT_EQ((*found)[0].driver, "fake");
    EXPECT_EQ((*found)[0].card, "a camera");
    EXPECT_EQ((*found)[0].bus, "platform:fake");
    EXPECT_EQ((*found)[0].queue, static_cast<uint32_t>(V4L2_BUF_TYPE_VIDEO_CAPTURE));
    EXPECT_THAT(kernel.state.calls, testing::IsEmpty());
}

TEST_F(Identify, TellsQueuesByTheCapabilities)
{
    EXPECT_THAT(kinds_of(V4L2_CAP_VIDEO_CAPTURE_MPLANE), ElementsAre(ImporterKind::Capture));
    EXPECT_THAT(kinds_of(V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE), ElementsAre(ImporterKind::Output));
    EXPECT_THAT(kinds_of(V4L2_CAP_VIDEO_OUTPUT_MPLANE), ElementsAre(ImporterKind::Output));
    EXPECT_THAT(kinds_of(V4L2_CAP_VIDEO_M2M), ElementsAre(ImporterKind::M2mOutput, ImporterKind::M2mCapture));
    EXPECT_THAT(kinds_of(V4L2_CAP_VIDEO_M2M_MPLANE), ElementsAre(ImporterKind::M2mOutput, ImporterKind::M2mCapture));
}

TEST_F(Identify, ACardIsADisplayIfItHasPlanes)
{
    kernel.state.planes = {1};
    EXPECT_EQ(hl::identify_importer(kernel, card).value()[0].kind, ImporterKind::Display);
    kernel.state.planes = {};
    EXPECT_EQ(hl::identify_importer(kernel, card).value()[0].kind, ImporterKind::Render);
}

TEST_F(Identify, RefusesWhatIsNoImporter)
{
    kernel.state.nodes["/etc/passwd"] = Kernel::NodeType::NoDevice;
    kernel.state.nodes["/dev/null"] = Kernel::NodeType::OtherDevice;
    EXPECT_CODE(hl::identify_importer(kernel, "/dev/video7"), ErrorCode::ImporterMissing);
    EXPECT_CODE(hl::identify_importer(kernel, "/etc/passwd"), ErrorCode::ImporterKindWrong);
    EXPECT_CODE(hl::identify_importer(kernel, "/dev/null"), ErrorCode::ImporterKindWrong);
    for (const uint32_t other : {V4L2_CAP_RADIO | V4L2_CAP_TUNER, V4L2_CAP_VBI_CAPTURE, V4L2_CAP_SDR_CAPTURE,
                                 V4L2_CAP_META_CAPTURE, V4L2_CAP_TOUCH}) {
        kernel.state.capabilities = other;
        EXPECT_CODE(hl::identify_importer(kernel, camera), ErrorCode::ImporterKindWrong);
    }
    kernel.state.querycap_error = ENOTTY;
    EXPECT_CODE(hl::identify_importer(kernel, camera), ErrorCode::ImporterKindWrong);
}

TEST_F(Identify, SaysWhyANodeCannotBeOpened)
{
    const std::pair<int, ErrorCode> reasons[] = {{EACCES, ErrorCode::ImporterPermission},
                                                 {EBUSY, ErrorCode::ImporterBusy},
                                                 {ENODEV, ErrorCode::ImporterMissing},
                                                 {EIO, ErrorCode::ImporterUnclear}};
    for (const auto &[error, code] : reasons)
        for (const char *node : {camera, card}) {
            kernel.state.open_error = error;
            const auto found = hl::identify_importer(kernel, node);
            ASSERT_CODE(found, code);
            EXPECT_THAT(found.error().cause, HasSubstr(node));
            EXPECT_FALSE(found.error().remedy.empty());
        }
}

// The kernel itself, on what every machine has.
TEST(RunningKernel, TellsDevicesFromFiles)
{
    Kernel &kernel = Kernel::running();
    const hl::test::TemporaryDir directory;
    EXPECT_EQ(kernel.type_of("/dev/null"), Kernel::NodeType::OtherDevice);
    EXPECT_EQ(kernel.type_of(directory.write("file", "")), Kernel::NodeType::NoDevice);
    EXPECT_EQ(kernel.type_of(directory.path()), Kernel::NodeType::NoDevice);
    EXPECT_EQ(kernel.type_of(directory / "none"), Kernel::NodeType::Missing);
    int error = 0;
    EXPECT_FALSE(kernel.open_video(directory / "none", error));
    EXPECT_EQ(error, ENOENT);
    EXPECT_EQ(kernel.open_drm(directory / "none", error), nullptr);
    EXPECT_EQ(error, ENOENT);
    const hl::UniqueFd null = kernel.open_video("/dev/null", error);
    ASSERT_TRUE(null);
    v4l2_capability have{};
    EXPECT_EQ(kernel.ioctl(null.get(), VIDIOC_QUERYCAP, &have), -ENOTTY);
}

TEST(FindImporterNodes, OrdersByNumberAndLeavesOtherNodesOut)
{
    const hl::test::TemporaryDir dev;
    std::filesystem::create_directories(dev.path() / "dri");
    for (const char *name :
         {"video10", "video2", "video", "videodev", "vbi0", "dri/card1", "dri/card0", "dri/renderD128", "dri/by-path"})
        dev.write(name, "");
    EXPECT_THAT(hl::find_importer_nodes(dev.path()), ElementsAre(dev / "video2", dev / "video10", dev / "dri/card0",
                                                                 dev / "dri/card1", dev / "dri/renderD128"));
    EXPECT_THAT(hl::find_importer_nodes(dev / "none"), testing::IsEmpty());
}
