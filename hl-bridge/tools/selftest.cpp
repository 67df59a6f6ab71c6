// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/selftest.h"

#include "tools/framecontents.h"

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>
#include <vector>

namespace hl {
namespace {

ImportTrial not_tried(ImportStep step, std::string why, int sys_errno = 0)
{
    return {.outcome = TrialOutcome::NotTried, .step = step, .sys_errno = sys_errno, .text = std::move(why)};
}

// Nobody else's use, no missing signal and no missing display says anything about the memory.
bool unrelated(int err)
{
    return err == EBUSY || err == EACCES || err == ENOLINK || err == ENOENT;
}

ImportTrial judge_offer(const Importer &importer, ImportMemory memory, const ImportAttempt &attempt)
{
    ImportAttempts alone;
    alone[static_cast<size_t>(memory)] = attempt;
    const auto verdict = judge_import(importer, memory, alone);
    if (verdict->answer == ImportAnswer::Refused && attempt.dmabuf)
        return {.outcome = TrialOutcome::Refused,
                .step = attempt.step,
                .sys_errno = attempt.sys_errno,
                .text = std::format("{} refused it ({}: {})", importer.driver, import_step_name(attempt.step),
                                    errno_text(attempt.sys_errno))};
    return not_tried(attempt.step, verdict->text, attempt.sys_errno);
}

ImportTrial judge_show(const Importer &importer, int err)
{
    if (err == ENOENT)
        return not_tried(ImportStep::Show, "no connected display has a mode of the frame's size", err);
    if (unrelated(err))
        return not_tried(ImportStep::Show, "somebody else has the display", err);
    return {.outcome = TrialOutcome::Refused,
            .step = ImportStep::Show,
            .sys_errno = err,
            .text = std::format("{} does not show it ({})", importer.driver, errno_text(err))};
}

// The frame was mapped, and then nothing came of it.
ImportTrial judge_stream(const Importer &importer, const ImportAttempt &attempt)
{
    ImportTrial out{.outcome = TrialOutcome::Failed, .step = attempt.step, .sys_errno = attempt.sys_errno};
    if (attempt.step == ImportStep::Stream && unrelated(attempt.sys_errno))
        out.outcome = TrialOutcome::NotTried;
    out.text = std::format("{} took the frame and gave it not back ({}: {})", importer.driver,
                           import_step_name(attempt.step), errno_text(attempt.sys_errno));
    return out;
}

ImportTrial judge_failure(const Importer &importer, ImportMemory memory, const ImportAttempt &attempt)
{
    switch (attempt.step) {
    case ImportStep::Show:
        return judge_show(importer, attempt.sys_errno);
    case ImportStep::Stream:
    case ImportStep::Dequeue:
        return judge_stream(importer, attempt);
    default:
        return judge_offer(importer, memory, attempt);
    }
}

ImportTrial judge_contents(const Importer &importer, const std::vector<FrameContents> &contents, const ImportUse &use)
{
    ImportTrial out{.outcome = TrialOutcome::Proven, .step = use.attempt.step};
    uint64_t untouched = 0;
    for (size_t i = 0; i < contents.size(); ++i) {
        const auto left = contents[i].untouched(use.filled[i]);
        if (!left)
            return not_tried(out.step, left.error().headline(), left.error().sys_errno);
        untouched += *left;
        out.bytes += use.filled[i];
    }
    if (untouched || out.bytes == 0) {
        out.outcome = TrialOutcome::Failed;
        out.text = std::format("{} says that it filled {} bytes, and {} of them are as they were", importer.driver,
                               out.bytes, untouched);
        return out;
    }
    out.text = std::format("{} filled it: {} bytes, no page as it was", importer.driver, out.bytes);
    return out;
}

ImportTrial judge_use(const Importer &importer, ImportMemory memory, const std::vector<FrameContents> &contents,
                      const ImportUse &use)
{
    if (use.attempt.sys_errno != 0 || use.attempt.no_format)
        return judge_failure(importer, memory, use.attempt);
    if (importer.writes())
        return judge_contents(importer, contents, use);
    return {.outcome = TrialOutcome::Proven,
            .step = use.attempt.step,
            .text = std::format("{} {} it", importer.driver, importer.drm() ? "showed" : "sent")};
}

// Where no memory at all came to anything it is the camera that gives nothing.
void excuse_silence(ImportTrials &trials)
{
    const auto proven = [](const auto &trial) { return trial && trial->outcome == TrialOutcome::Proven; };
    if (std::ranges::any_of(trials, proven))
        return;
    for (auto &trial : trials)
        if (trial && trial->outcome == TrialOutcome::Failed && trial->sys_errno != 0)
            trial->outcome = TrialOutcome::NotTried;
}

// Why a display does not show what it attached. Without a kernel mapping dma_buf_vmap() answers EINVAL (dma-buf.c), and
// so would the display to a format it does not show, which what happened to host pages tells apart.
ImportCause cause_of(ImportMemory memory, const ImportTrials &trials)
{
    const ImportTrial &trial = *trials[static_cast<size_t>(memory)];
    const auto &pages = trials[static_cast<size_t>(ImportMemory::Pages)];
    if (memory != ImportMemory::Device)
        return ImportCause::Other;
    const bool format_is_shown = pages && pages->outcome == TrialOutcome::Proven;
    return trial.sys_errno == EINVAL && format_is_shown ? ImportCause::MapsByCpu : ImportCause::NoPeerToPeer;
}

void settle(ImportVerdict &verdict, ImportMemory memory, const ImportTrials &trials)
{
    const ImportTrial &trial = *trials[static_cast<size_t>(memory)];
    if (verdict.cause != ImportCause::MapsLate)
        return;
    if (trial.outcome == TrialOutcome::Proven)
        verdict = {.answer = ImportAnswer::Imports,
                   .cause = ImportCause::None,
                   .proof = ImportProof::Use,
                   .step = trial.step,
                   .formats = std::move(verdict.formats)};
    else if (trial.outcome == TrialOutcome::Refused)
        verdict = {.answer = ImportAnswer::Refused,
                   .cause = cause_of(memory, trials),
                   .step = trial.step,
                   .sys_errno = trial.sys_errno,
                   .text = trial.text,
                   .remedy = std::move(verdict.remedy)};
}

} // namespace

std::string_view trial_outcome_name(TrialOutcome outcome) noexcept
{
    constexpr std::array<std::string_view, 4> names{"proven", "refused", "failed", "not-tried"};
    return names[static_cast<size_t>(outcome)];
}

bool contradicts(ImportMemory memory, const ImportVerdict &said, const ImportTrial &trial) noexcept
{
    const bool heap = memory == ImportMemory::Heap || memory == ImportMemory::HeapMiB;
    if (heap && (said.cause == ImportCause::NotContiguous || trial.sys_errno == EFAULT))
        return false;
    const bool fails = trial.outcome == TrialOutcome::Refused || trial.outcome == TrialOutcome::Failed;
    return (said.answer == ImportAnswer::Imports && fails) ||
           (said.answer == ImportAnswer::Refused && trial.outcome == TrialOutcome::Proven);
}

ImportSelfTest::ImportSelfTest(Kernel &kernel, ImportFrameMaker make, std::chrono::milliseconds patience)
    : kernel_(kernel), make_(std::move(make)), patience_(patience)
{}

ImportTrials ImportSelfTest::run(ImportFinding &finding) const
{
    ImportTrials out;
    auto probe = ImportProbe::open(kernel_, finding.importer);
    for (const ImportMemory memory : all_import_memories) {
        auto &trial = out[static_cast<size_t>(memory)];
        if (!finding.of(memory))
            continue;
        trial =
            probe ? attempt(**probe, finding.importer, memory) : judge_offer(finding.importer, memory, probe.error());
    }
    excuse_silence(out);
    for (const ImportMemory memory : all_import_memories)
        if (out[static_cast<size_t>(memory)])
            settle(*finding.verdict[static_cast<size_t>(memory)], memory, out);
    return out;
}

ImportTrial ImportSelfTest::attempt(ImportProbe &probe, const Importer &importer, ImportMemory memory) const
{
    std::vector<ImportFrame> planes;
    for (const uint32_t bytes : probe.format().plane_bytes) {
        auto frame = make_(memory, offered_bytes(bytes));
        if (!frame)
            return not_tried(ImportStep::Buffer, frame.error().cause, frame.error().sys_errno);
        if (!frame->dmabuf)
            return not_tried(ImportStep::Buffer, "the simulator's device memory is no dma-buf");
        planes.push_back(std::move(*frame));
    }
    std::vector<FrameContents> contents;
    for (const ImportFrame &plane : planes) {
        if (!importer.writes())
            break;
        auto filled = FrameContents::fill(plane);
        if (!filled)
            return not_tried(ImportStep::Buffer, filled.error().headline(), filled.error().sys_errno);
        contents.push_back(std::move(*filled));
    }
    const auto use = probe.use(planes, patience_);
    if (!use)
        return not_tried(ImportStep::Buffer, "this importer does nothing with one frame alone");
    return judge_use(importer, memory, contents, *use);
}

} // namespace hl
