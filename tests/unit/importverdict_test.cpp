// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/verdict.h"

#include "fakekernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <ostream>
#include <set>

using hl::ImportAnswer;
using hl::ImportAttempt;
using hl::ImportAttempts;
using hl::ImportCause;
using hl::ImporterKind;
using hl::ImportMemory;
using hl::ImportProof;
using hl::ImportStep;
using testing::HasSubstr;

namespace {

struct Case {
    ImporterKind kind;
    ImportMemory memory;
    ImportStep step;
    int sys_errno;
    int pages; // what host pages got at the same step; -1: they were not tried
    ImportAnswer answer;
    ImportCause cause;
};

void PrintTo(const Case &at, std::ostream *out)
{
    *out << hl::importer_kind_name(at.kind) << ' ' << hl::import_memory_name(at.memory) << ' '
         << hl::import_step_name(at.step) << ' ' << at.sys_errno << " pages " << at.pages;
}

hl::Importer importer_of(ImporterKind kind)
{
    return kind == ImporterKind::Display || kind == ImporterKind::Render ? hl::test::fake_card(kind)
                                                                         : hl::test::fake_camera();
}

ImportAttempts attempts_of(const Case &at)
{
    ImportAttempts attempts;
    if (at.pages >= 0)
        attempts[static_cast<size_t>(ImportMemory::Pages)] = ImportAttempt{.step = at.step, .sys_errno = at.pages};
    attempts[static_cast<size_t>(at.memory)] = ImportAttempt{.step = at.step, .sys_errno = at.sys_errno};
    return attempts;
}

class Judge : public testing::TestWithParam<Case> {};

constexpr auto capture = ImporterKind::Capture;
constexpr auto display = ImporterKind::Display;
constexpr auto render = ImporterKind::Render;
constexpr auto pages = ImportMemory::Pages;
constexpr auto huge = ImportMemory::HugePages;
constexpr auto device = ImportMemory::Device;
constexpr auto request = ImportStep::Request;
constexpr auto queue = ImportStep::Queue;
constexpr auto import = ImportStep::Import;
constexpr auto imports = ImportAnswer::Imports;
constexpr auto refused = ImportAnswer::Refused;
constexpr auto unknown = ImportAnswer::Unknown;

} // namespace

TEST_P(Judge, TellsTheCause)
{
    const Case &at = GetParam();
    const auto verdict = hl::judge_import(importer_of(at.kind), at.memory, attempts_of(at));
    ASSERT_TRUE(verdict);
    EXPECT_EQ(hl::import_answer_name(verdict->answer), hl::import_answer_name(at.answer));
    EXPECT_EQ(hl::import_cause_name(verdict->cause), hl::import_cause_name(at.cause));
    EXPECT_EQ(verdict->text.empty(), at.answer == imports);
    EXPECT_EQ(verdict->proof == ImportProof::None, at.answer != imports);
}

// The errnos are those measured with vivid (vmalloc, dma-contig), virtio-gpu, bochs and habanalabs' exports.
INSTANTIATE_TEST_SUITE_P(Video, Judge,
                         testing::Values(
                             // vmalloc
                             Case{capture, pages, queue, 0, 0, imports, ImportCause::None},
                             Case{capture, device, queue, EFAULT, 0, refused, ImportCause::MapsByCpu},
                             // dma-contig and dma-sg
                             Case{capture, pages, queue, EFAULT, EFAULT, refused, ImportCause::NotContiguous},
                             Case{capture, huge, queue, EFAULT, EFAULT, refused, ImportCause::NotContiguous},
                             Case{capture, huge, queue, 0, EFAULT, imports, ImportCause::None},
                             Case{capture, device, queue, EINVAL, EFAULT, refused, ImportCause::NoPeerToPeer},
                             Case{capture, device, queue, EINVAL, 0, refused, ImportCause::NoPeerToPeer},
                             Case{capture, device, queue, EFAULT, EFAULT, refused, ImportCause::NotContiguous},
                             // a driver's own memory operations pass the exporter's word on
                             Case{capture, device, queue, EPERM, 0, refused, ImportCause::NoPeerToPeer},
                             Case{capture, device, queue, EOPNOTSUPP, 0, refused, ImportCause::NoPeerToPeer},
                             Case{capture, device, queue, 0, 0, imports, ImportCause::None},
                             // the format, seen by what host pages got
                             Case{capture, pages, queue, EINVAL, EINVAL, refused, ImportCause::Format},
                             Case{capture, device, queue, EINVAL, EINVAL, refused, ImportCause::Format},
                             // no control
                             Case{capture, device, queue, EINVAL, -1, refused, ImportCause::Other},
                             Case{capture, device, queue, EFAULT, -1, refused, ImportCause::Other},
                             Case{capture, pages, queue, EPROTO, EPROTO, refused, ImportCause::Other},
                             // a moment later it may be different
                             Case{capture, pages, queue, EBUSY, EBUSY, unknown, ImportCause::Busy},
                             Case{capture, pages, queue, ENOMEM, ENOMEM, unknown, ImportCause::Other},
                             Case{capture, pages, queue, EIO, EIO, unknown, ImportCause::Other},
                             // stateless codecs
                             Case{capture, pages, queue, EBADR, EBADR, unknown, ImportCause::NeedsRequest},
                             // before a frame was offered
                             Case{capture, pages, request, EBUSY, EBUSY, unknown, ImportCause::Busy},
                             Case{capture, pages, request, EINVAL, EINVAL, refused, ImportCause::NoDmabuf},
                             Case{capture, pages, request, ENOTTY, ENOTTY, refused, ImportCause::NoDmabuf},
                             Case{capture, pages, ImportStep::Format, EBUSY, EBUSY, unknown, ImportCause::Busy},
                             Case{capture, pages, ImportStep::Format, EACCES, EACCES, unknown, ImportCause::Permission},
                             Case{capture, pages, ImportStep::Format, EINVAL, EINVAL, unknown, ImportCause::Other},
                             Case{capture, pages, ImportStep::Buffer, ENOENT, ENOENT, unknown, ImportCause::NoFrame}));

INSTANTIATE_TEST_SUITE_P(
    Drm, Judge,
    testing::Values(Case{display, pages, ImportStep::Framebuffer, 0, 0, imports, ImportCause::None},
                    Case{display, pages, ImportStep::Framebuffer, EINVAL, EINVAL, refused, ImportCause::Format},
                    Case{render, pages, import, 0, 0, imports, ImportCause::None},
                    // an attachment of device memory proves no map
                    Case{render, device, import, 0, 0, unknown, ImportCause::MapsLate},
                    Case{display, device, ImportStep::Framebuffer, 0, 0, unknown, ImportCause::MapsLate},
                    Case{display, device, ImportStep::Framebuffer, EINVAL, 0, refused, ImportCause::NoPeerToPeer},
                    Case{display, device, import, EPERM, 0, refused, ImportCause::NoPeerToPeer},
                    Case{display, device, import, EOPNOTSUPP, 0, refused, ImportCause::NoPeerToPeer},
                    // virtio-gpu without blobs
                    Case{display, pages, import, ENODEV, ENODEV, refused, ImportCause::NoDmabuf},
                    Case{display, device, import, ENODEV, ENODEV, refused, ImportCause::NoDmabuf},
                    Case{render, pages, import, ENOSYS, ENOSYS, refused, ImportCause::NoDmabuf},
                    Case{render, pages, import, EACCES, EACCES, unknown, ImportCause::Permission},
                    Case{render, pages, import, EINVAL, EINVAL, refused, ImportCause::Other},
                    Case{render, pages, import, ENOMEM, ENOMEM, unknown, ImportCause::Other}));

TEST(ImportVerdict, ADriverThatMapsLateProvesNothingByItsImport)
{
    ImportAttempts attempts;
    attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = import};
    for (const char *driver : {"i915", "xe", "amdgpu", "virtio_gpu"})
        EXPECT_EQ(hl::judge_import(hl::test::fake_card(render, driver), pages, attempts)->cause, ImportCause::MapsLate);
    attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = ImportStep::Framebuffer};
    EXPECT_EQ(hl::judge_import(hl::test::fake_card(display, "xe"), pages, attempts)->proof, ImportProof::Framebuffer);
}

// The node was open by then, so its group is not what is missing.
TEST(ImportVerdict, ADenialByTheDriverSendsNobodyIntoAGroup)
{
    ImportAttempts attempts;
    attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = import, .sys_errno = EACCES};
    const auto verdict = hl::judge_import(hl::test::fake_card(render), pages, attempts);
    EXPECT_EQ(verdict->cause, ImportCause::Permission);
    EXPECT_THAT(verdict->text, HasSubstr("denies it to this process"));
    EXPECT_THAT(verdict->remedy, testing::AllOf(HasSubstr("in a container"), testing::Not(HasSubstr("group"))));
}

TEST(ImportVerdict, AScatteredFrameIsToldByOneThatIsNot)
{
    ImportAttempts attempts;
    attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = import, .sys_errno = EINVAL};
    attempts[static_cast<size_t>(huge)] = ImportAttempt{.step = import};
    EXPECT_EQ(hl::judge_import(hl::test::fake_card(display), pages, attempts)->cause, ImportCause::NotContiguous);
}

TEST(ImportVerdict, TheSimulatorsMemoryIsRefusedForWhatItIs)
{
    for (const ImportStep step : {queue, import}) {
        ImportAttempts attempts;
        attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = step};
        attempts[static_cast<size_t>(device)] = ImportAttempt{.step = step, .sys_errno = EINVAL, .dmabuf = false};
        const auto verdict = hl::judge_import(importer_of(step == queue ? capture : render), device, attempts);
        EXPECT_EQ(verdict->answer, refused);
        EXPECT_EQ(verdict->cause, ImportCause::NotADmabuf);
        EXPECT_THAT(verdict->text, HasSubstr("simulator"));
    }
}

TEST(ImportVerdict, AGoneNodeIsNotARefusal)
{
    ImportAttempts attempts;
    attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = queue, .sys_errno = ENODEV, .gone = true};
    const auto verdict = hl::judge_import(hl::test::fake_camera(), pages, attempts);
    EXPECT_EQ(verdict->answer, unknown);
    EXPECT_EQ(verdict->cause, ImportCause::Gone);
}

TEST(ImportVerdict, AFrameThatCannotBeMadeSaysWhy)
{
    ImportAttempts attempts;
    attempts[static_cast<size_t>(huge)] =
        ImportAttempt{.sys_errno = ENOSPC,
                      .buffer = hl::Error{.code = hl::ErrorCode::MemoryHost, .cause = "no page", .remedy = "get one"}};
    const auto verdict = hl::judge_import(hl::test::fake_camera(), huge, attempts);
    EXPECT_EQ(verdict->cause, ImportCause::NoFrame);
    EXPECT_EQ(verdict->text, "no page");
    EXPECT_EQ(verdict->remedy, "get one");
}

TEST(ImportVerdict, WhatWasNotTriedIsNotJudged)
{
    EXPECT_EQ(hl::judge_import(hl::test::fake_camera(), pages, {}), std::nullopt);
}

TEST(ImportVerdict, IsAnErrorWithItsCode)
{
    ImportAttempts attempts;
    attempts[static_cast<size_t>(pages)] = ImportAttempt{.step = queue, .sys_errno = EFAULT};
    const hl::Error error = hl::judge_import(hl::test::fake_camera(), pages, attempts)->error(hl::test::fake_camera());
    EXPECT_EQ(error.code, hl::ErrorCode::ImportNotContiguous);
    EXPECT_EQ(error.sys_errno, EFAULT);
    EXPECT_EQ(error.device, "/dev/video0");
    EXPECT_EQ(error.operation, "VIDIOC_QBUF");
    EXPECT_THAT(error.remedy, HasSubstr("huge page"));
}

TEST(ImportVerdict, NamesAreStableAndDifferent)
{
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(ImportCause::Other); ++i)
        EXPECT_TRUE(names.insert(hl::import_cause_name(static_cast<ImportCause>(i))).second);
    EXPECT_TRUE(names.contains("not-contiguous"));
    EXPECT_EQ(hl::import_cause_name(ImportCause::Other), "other");
    for (const ImportMemory memory : hl::all_import_memories)
        EXPECT_TRUE(names.insert(hl::import_memory_name(memory)).second);
}
