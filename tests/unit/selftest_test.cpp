// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fakekernel.h"

#include "core/pixelformat.h"
#include "tools/selftest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>

namespace hl::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t page = export_page;

// A frame with memory in it, so that a played camera can fill it.
Result<ImportFrame> real_frame(ImportMemory, uint64_t bytes)
{
    ImportFrame out{.fd = UniqueFd(::memfd_create("frame", MFD_CLOEXEC)), .bytes = bytes, .dmabuf = true};
    EXPECT_EQ(::ftruncate(out.fd.get(), static_cast<off_t>(bytes)), 0);
    return out;
}

// Writes `bytes` zeros at `offset`.
void write_to(int fd, off_t offset, size_t bytes)
{
    const std::vector<char> zeros(bytes);
    EXPECT_EQ(::pwrite(fd, zeros.data(), bytes, offset), static_cast<ssize_t>(bytes));
}

class SelfTest : public ::testing::Test {
protected:
    SelfTest()
    {
        kernel.state.format = plain_format(V4L2_PIX_FMT_NV12, 64, 64, 3 * page);
        kernel.state.fill = [](int fd) { write_to(fd, 0, 3 * page); };
    }

    static ImportFinding said(const Importer &importer, ImportAnswer answer, ImportCause cause = ImportCause::None)
    {
        ImportFinding out{.importer = importer};
        for (auto &verdict : out.verdict)
            verdict = ImportVerdict{.answer = answer, .cause = cause};
        return out;
    }
    ImportTrials run(ImportFinding &finding, ImportFrameMaker make = real_frame)
    {
        return ImportSelfTest(kernel, std::move(make), patience).run(finding);
    }
    // What came of base pages at a camera.
    ImportTrial camera()
    {
        ImportFinding finding{.importer = fake_camera()};
        finding.verdict[0] = ImportVerdict{.answer = ImportAnswer::Imports, .cause = ImportCause::None};
        return run(finding)[0].value();
    }
    ImportTrial display(ImportMemory memory = ImportMemory::Pages)
    {
        kernel.state.planes = {pixel_format_info(PixelFormat::NV12).fourcc};
        ImportFinding finding{.importer = fake_card(ImporterKind::Display)};
        finding.verdict[static_cast<size_t>(memory)] = ImportVerdict{.answer = ImportAnswer::Imports};
        return run(finding)[static_cast<size_t>(memory)].value();
    }

    std::chrono::milliseconds patience{1};
    FakeKernel kernel;
};

TEST_F(SelfTest, CameraFillsEveryPageAndGetsNothingLeft)
{
    const ImportTrial trial = camera();
    EXPECT_EQ(trial.outcome, TrialOutcome::Proven) << trial.text;
    EXPECT_EQ(trial.bytes, 3 * page);
    EXPECT_THAT(kernel.state.calls,
                ElementsAre("G_FMT", "REQBUFS 3", "QBUF 0/12288", "QBUF 0/12288", "QBUF 0/12288", "STREAMON",
                            "wait for a filled frame", "DQBUF", "STREAMOFF", "REQBUFS 0"));
}

TEST_F(SelfTest, OnePageThatIsNotWrittenWhereAnotherMemoryIsIsAFailure)
{
    int frames = 0;
    kernel.state.fill = [&](int fd) {
        write_to(fd, 0, page);
        if (++frames != 2)
            write_to(fd, page, page);
        write_to(fd, 2 * page, page);
    };
    ImportFinding finding = said(fake_camera(), ImportAnswer::Imports);
    const ImportTrials trials = run(finding);
    EXPECT_EQ(trials[0]->outcome, TrialOutcome::Proven);
    EXPECT_EQ(trials[1]->outcome, TrialOutcome::Failed);
    EXPECT_THAT(trials[1]->text, HasSubstr("12288 bytes, and 4096 of them are as they were"));
    EXPECT_TRUE(contradicts(ImportMemory::HugePages, *finding.verdict[1], *trials[1]));
}

TEST_F(SelfTest, ACameraThatClaimsMoreThanItWritesIsExcusedInTheMemoriesThatFareAlike)
{
    int frames = 0;
    kernel.state.fill = [&](int fd) { write_to(fd, 0, ++frames == 2 ? page : 2 * page); };
    ImportFinding finding = said(fake_camera(), ImportAnswer::Imports);
    const ImportTrials trials = run(finding);
    EXPECT_EQ(trials[0]->outcome, TrialOutcome::NotTried);
    EXPECT_EQ(trials[0]->untouched, page);
    EXPECT_THAT(trials[0]->text, HasSubstr("no other memory fared better"));
    EXPECT_EQ(trials[1]->outcome, TrialOutcome::Failed);
    EXPECT_EQ(trials[1]->untouched, 2 * page);
    EXPECT_EQ(trials[2]->outcome, TrialOutcome::NotTried);
}

TEST_F(SelfTest, OnlyWhatTheCameraClaimsIsLookedAt)
{
    kernel.state.format.fmt.pix.sizeimage = page / 2; // two pages are offered
    kernel.state.fill = [](int fd) { write_to(fd, 0, page / 2); };
    const ImportTrial trial = camera();
    EXPECT_EQ(trial.outcome, TrialOutcome::Proven) << trial.text;
    EXPECT_EQ(trial.bytes, page / 2);
}

TEST_F(SelfTest, EveryPlaneCounts)
{
    Importer camera = fake_camera();
    camera.queue = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
    kernel.state.format = planar_format(V4L2_PIX_FMT_NV12M, 64, 64, {2 * page, page});
    kernel.state.fill = [](int fd) { write_to(fd, 0, page); };
    ImportFinding finding = said(camera, ImportAnswer::Imports);
    const ImportTrial trial = run(finding)[0].value();
    EXPECT_NE(trial.outcome, TrialOutcome::Proven);
    EXPECT_THAT(trial.text, HasSubstr("12288 bytes, and 4096"));
}

TEST_F(SelfTest, TheDriverGetsAsManyBuffersAsItWants)
{
    kernel.state.least_buffers = 5;
    EXPECT_EQ(camera().outcome, TrialOutcome::Proven);
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "QBUF 0/12288"), 5);
}

TEST_F(SelfTest, FramesThatTheDriverCallsBrokenAreQueuedAgain)
{
    patience = std::chrono::seconds(60); // this one ends by itself
    kernel.state.broken = 2;
    EXPECT_EQ(camera().outcome, TrialOutcome::Proven);
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "QBUF 0/12288"), 5);
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "DQBUF"), 3);
}

TEST_F(SelfTest, NothingButBrokenFramesProveNothing)
{
    kernel.state.broken = std::numeric_limits<uint32_t>::max();
    const ImportTrial trial = camera();
    EXPECT_EQ(trial.sys_errno, EIO);
    EXPECT_NE(trial.outcome, TrialOutcome::Proven);
}

TEST_F(SelfTest, SilenceIsTheCamerasWhereNoMemoryCameToAnything)
{
    kernel.state.wait_error = ETIMEDOUT;
    ImportFinding finding = said(fake_camera(), ImportAnswer::Imports);
    for (const auto &trial : run(finding)) {
        EXPECT_EQ(trial->outcome, TrialOutcome::NotTried);
        EXPECT_THAT(trial->text, HasSubstr("VIDIOC_DQBUF"));
    }
}

TEST_F(SelfTest, SilenceIsTheMemorysWhereAnotherWorked)
{
    int streams = 0;
    kernel.state.fill = [&](int fd) {
        write_to(fd, 0, 3 * page);
        if (++streams == 1)
            kernel.state.wait_error = ETIMEDOUT;
    };
    ImportFinding finding = said(fake_camera(), ImportAnswer::Imports);
    const ImportTrials trials = run(finding);
    EXPECT_EQ(trials[0]->outcome, TrialOutcome::Proven);
    const auto &device = trials[static_cast<size_t>(ImportMemory::Device)];
    EXPECT_EQ(device->outcome, TrialOutcome::Failed);
    EXPECT_TRUE(contradicts(ImportMemory::Device, *finding.of(ImportMemory::Device), *device));
}

TEST_F(SelfTest, WhatSaysNothingOfTheMemoryIsNotTried)
{
    for (const int error : {EBUSY, EACCES, ENOLINK, ENOMEM, EAGAIN}) {
        kernel.state.errors[VIDIOC_STREAMON] = {-error};
        EXPECT_EQ(camera().outcome, TrialOutcome::NotTried) << error;
    }
    kernel.state.errors[VIDIOC_REQBUFS] = {-EBUSY};
    EXPECT_EQ(camera().outcome, TrialOutcome::NotTried);
    kernel.state.open_error = EACCES;
    EXPECT_EQ(camera().outcome, TrialOutcome::NotTried);
}

TEST_F(SelfTest, ARefusalIsOneAndContradictsWhatWasSaid)
{
    kernel.state.errors[VIDIOC_QBUF] = {-EINVAL};
    const ImportTrial trial = camera();
    EXPECT_EQ(trial.outcome, TrialOutcome::Refused);
    EXPECT_TRUE(contradicts(ImportMemory::Pages, {.answer = ImportAnswer::Imports}, trial));
    EXPECT_FALSE(contradicts(ImportMemory::Pages, {.answer = ImportAnswer::Refused}, trial));
    EXPECT_EQ(kernel.state.calls.back(), "REQBUFS 0");
}

TEST_F(SelfTest, FramesOfAHeapMayDiffer)
{
    const ImportTrial refused{.outcome = TrialOutcome::Refused, .sys_errno = EFAULT};
    EXPECT_FALSE(contradicts(ImportMemory::HeapMiB, {.answer = ImportAnswer::Imports}, refused));
    EXPECT_TRUE(contradicts(ImportMemory::Pages, {.answer = ImportAnswer::Imports}, refused));
    const ImportTrial proven{.outcome = TrialOutcome::Proven};
    const ImportVerdict scattered{.answer = ImportAnswer::Refused, .cause = ImportCause::NotContiguous};
    EXPECT_FALSE(contradicts(ImportMemory::Heap, scattered, proven));
    EXPECT_TRUE(contradicts(ImportMemory::Pages, scattered, proven));
}

TEST_F(SelfTest, NoFrameAndNoDmabufAreNotTried)
{
    ImportFinding finding = said(fake_camera(), ImportAnswer::Unknown);
    const auto none = [](ImportMemory, uint64_t) -> Result<ImportFrame> {
        return fail(ErrorCode::MemoryExport, "make frame", "no memory for it");
    };
    EXPECT_THAT(run(finding, none)[0]->text, HasSubstr("no memory for it"));
    const auto simulated = [](ImportMemory memory, uint64_t bytes) {
        auto frame = real_frame(memory, bytes);
        frame->dmabuf = false;
        return frame;
    };
    const ImportTrial trial = run(finding, simulated)[0].value();
    EXPECT_EQ(trial.outcome, TrialOutcome::NotTried);
    EXPECT_THAT(trial.text, HasSubstr("no dma-buf"));
}

TEST_F(SelfTest, AnOutputSendsAFrameAndFillsNone)
{
    Importer output = fake_camera();
    output.kind = ImporterKind::Output;
    output.queue = V4L2_BUF_TYPE_VIDEO_OUTPUT;
    ImportFinding finding = said(output, ImportAnswer::Imports);
    const ImportTrial trial = run(finding)[0].value();
    EXPECT_EQ(trial.outcome, TrialOutcome::Proven);
    EXPECT_EQ(trial.bytes, 0u);
    EXPECT_TRUE(std::ranges::contains(kernel.state.calls, "wait for a sent frame"));
}

TEST_F(SelfTest, WhatDoesNothingWithOneFrameIsNotTried)
{
    Importer converter = fake_camera();
    for (const ImporterKind kind : {ImporterKind::M2mOutput, ImporterKind::M2mCapture, ImporterKind::Render}) {
        converter.kind = kind;
        ImportFinding finding = said(converter, ImportAnswer::Imports);
        EXPECT_EQ(run(finding)[0]->outcome, TrialOutcome::NotTried);
    }
    EXPECT_FALSE(std::ranges::contains(kernel.state.calls, "STREAMON"));
}

TEST_F(SelfTest, ADisplayShowsItAndKeepsNothing)
{
    EXPECT_EQ(display().outcome, TrialOutcome::Proven);
    EXPECT_THAT(kernel.state.calls, ElementsAre("import", "add NV12 of 7", "show 9 640x480", "remove 9", "close 7"));
}

TEST_F(SelfTest, ADisplayIsTriedInEachFormatUntilOneIsShown)
{
    const uint32_t nv12 = pixel_format_info(PixelFormat::NV12).fourcc,
                   i420 = pixel_format_info(PixelFormat::I420).fourcc,
                   bgrx = pixel_format_info(PixelFormat::BGRx).fourcc;
    kernel.state.planes = {nv12, i420, bgrx};
    kernel.state.show_errors[nv12] = EINVAL;
    ImportFinding finding{.importer = fake_card(ImporterKind::Display)};
    finding.verdict[0] = ImportVerdict{.answer = ImportAnswer::Imports};
    EXPECT_EQ(run(finding)[0]->outcome, TrialOutcome::Proven);
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "show 9 640x480"), 2);
    EXPECT_EQ(kernel.state.framebuffers + kernel.state.handles, 0u);
}

TEST_F(SelfTest, ADisplayThatShowsNothingIsOneThatRefuses)
{
    kernel.state.show_error = EINVAL;
    const ImportTrial trial = display();
    EXPECT_EQ(trial.outcome, TrialOutcome::Refused);
    EXPECT_EQ(trial.step, ImportStep::Show);
    for (const int error : {EBUSY, EACCES, ENOENT, ENOMEM}) {
        kernel.state.show_error = error;
        EXPECT_EQ(display().outcome, TrialOutcome::NotTried) << error;
    }
    kernel.state.show_error = ECANCELED; // it does not show again what it showed before
    EXPECT_EQ(display().outcome, TrialOutcome::Failed);
    EXPECT_EQ(kernel.state.framebuffers + kernel.state.handles, 0u);
}

TEST_F(SelfTest, UseSettlesWhatAnAttachmentLeftOpen)
{
    kernel.state.planes = {pixel_format_info(PixelFormat::NV12).fourcc};
    ImportFinding finding = said(fake_card(ImporterKind::Display), ImportAnswer::Unknown, ImportCause::MapsLate);
    (void)run(finding);
    const ImportVerdict &shown = *finding.of(ImportMemory::Device);
    EXPECT_EQ(shown.answer, ImportAnswer::Imports);
    EXPECT_EQ(shown.proof, ImportProof::Use);

    kernel.state.show_error = EINVAL;
    finding = said(fake_card(ImporterKind::Display), ImportAnswer::Unknown, ImportCause::MapsLate);
    (void)run(finding);
    EXPECT_EQ(finding.of(ImportMemory::Device)->answer, ImportAnswer::Refused);
    EXPECT_EQ(finding.of(ImportMemory::Device)->cause, ImportCause::Other); // nor does it show host pages
    EXPECT_EQ(finding.of(ImportMemory::Pages)->cause, ImportCause::Other);
}

TEST_F(SelfTest, ADisplayThatShowsPagesButNotDeviceMemoryMapsByCpu)
{
    kernel.state.planes = {pixel_format_info(PixelFormat::NV12).fourcc};
    const auto cause_with = [&](int error) {
        ImportFinding finding = said(fake_card(ImporterKind::Display), ImportAnswer::Unknown, ImportCause::MapsLate);
        (void)run(finding, [&](ImportMemory memory, uint64_t bytes) {
            kernel.state.show_error = memory == ImportMemory::Device ? error : 0;
            return real_frame(memory, bytes);
        });
        return finding.of(ImportMemory::Device)->cause;
    };
    EXPECT_EQ(cause_with(EINVAL), ImportCause::MapsByCpu);
    EXPECT_EQ(cause_with(EPERM), ImportCause::NoPeerToPeer);
}

TEST_F(SelfTest, AnAnswerThatWasGivenIsNotRewritten)
{
    ImportFinding finding = said(fake_camera(), ImportAnswer::Refused, ImportCause::NoPeerToPeer);
    const ImportTrials trials = run(finding);
    EXPECT_EQ(trials[0]->outcome, TrialOutcome::Proven);
    EXPECT_EQ(finding.verdict[0]->answer, ImportAnswer::Refused);
    EXPECT_TRUE(contradicts(ImportMemory::Pages, *finding.verdict[0], *trials[0]));
}

} // namespace
} // namespace hl::test
