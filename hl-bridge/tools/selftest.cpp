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

// Says nothing about the memory: the moment, somebody else's use, no signal, no display.
bool unrelated(const ImportAttempt &attempt)
{
    const int err = attempt.sys_errno;
    return !attempt.lasting() || err == EACCES || err == ENOLINK || err == ENOENT;
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

ImportTrial judge_show(const Importer &importer, const ImportAttempt &attempt)
{
    const int err = attempt.sys_errno;
    if (err == ENOENT)
        return not_tried(attempt.step, "no connected display has a mode of the frame's size", err);
    if (err == EBUSY || err == EACCES)
        return not_tried(attempt.step, "somebody else has the display, or it is dark", err);
    if (err == ECANCELED)
        return {.outcome = TrialOutcome::Failed,
                .step = attempt.step,
                .sys_errno = err,
                .text = std::format("{} showed it, and does not show again what it showed before", importer.driver)};
    return {.outcome = unrelated(attempt) ? TrialOutcome::NotTried : TrialOutcome::Refused,
            .step = attempt.step,
            .sys_errno = err,
            .text = std::format("{} does not show it ({})", importer.driver, errno_text(err))};
}

// The frame was mapped, and then nothing came of it. A camera's silence is judged beside what came of other memory.
ImportTrial judge_stream(const Importer &importer, const ImportAttempt &attempt)
{
    const bool silent = attempt.step == ImportStep::Dequeue && !attempt.gone;
    return {.outcome = silent || !unrelated(attempt) ? TrialOutcome::Failed : TrialOutcome::NotTried,
            .step = attempt.step,
            .sys_errno = attempt.sys_errno,
            .text = std::format("{} took the frame and {} ({}: {})", importer.driver,
                                attempt.step == ImportStep::Stream ? "did not start to stream" : "gave it not back",
                                import_step_name(attempt.step), errno_text(attempt.sys_errno))};
}

ImportTrial judge_failure(const Importer &importer, ImportMemory memory, const ImportAttempt &attempt)
{
    switch (attempt.step) {
    case ImportStep::Show:
        return judge_show(importer, attempt);
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
    for (size_t i = 0; i < contents.size(); ++i) {
        const auto left = contents[i].untouched(use.filled[i]);
        if (!left)
            return not_tried(out.step, left.error().headline(), left.error().sys_errno);
        out.untouched += *left;
        out.bytes += use.filled[i];
    }
    if (out.untouched || out.bytes == 0) {
        out.outcome = TrialOutcome::Failed;
        out.text = std::format("{} says that it filled {} bytes, and {} of them are as they were", importer.driver,
                               out.bytes, out.untouched);
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

// More came of `better` than of `worse`: its frame came back, and with more of it filled.
bool outdoes(const ImportTrial &better, const ImportTrial &worse)
{
    if (better.outcome == TrialOutcome::Proven)
        return true;
    return better.outcome == TrialOutcome::Failed && better.sys_errno == 0 &&
           (worse.sys_errno != 0 || better.untouched < worse.untouched);
}

// What fails in every memory alike is the camera's: it gives no frames, or claims more bytes than it writes (rows
// beyond the picture that only align it).
void excuse_what_fails_everywhere(ImportTrials &trials)
{
    std::array<bool, import_memories> worst{};
    for (size_t i = 0; i < trials.size(); ++i)
        worst[i] =
            trials[i] && trials[i]->outcome == TrialOutcome::Failed && trials[i]->step != ImportStep::Show &&
            std::ranges::none_of(trials, [&](const auto &other) { return other && outdoes(*other, *trials[i]); });
    for (size_t i = 0; i < trials.size(); ++i)
        if (worst[i]) {
            trials[i]->outcome = TrialOutcome::NotTried;
            trials[i]->text += ", and no other memory fared better";
        }
}

// Why a display does not show what it attached, where it shows a like frame of host pages: without a kernel mapping
// dma_buf_vmap() answers EINVAL (dma-buf.c). Where it shows that no more, the frame's format or mode may be the reason.
ImportCause cause_of(ImportMemory memory, const ImportTrials &trials)
{
    const auto &pages = trials[static_cast<size_t>(ImportMemory::Pages)];
    if (memory != ImportMemory::Device || !pages || pages->outcome != TrialOutcome::Proven)
        return ImportCause::Other;
    return trials[static_cast<size_t>(memory)]->sys_errno == EINVAL ? ImportCause::MapsByCpu
                                                                    : ImportCause::NoPeerToPeer;
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
    excuse_what_fails_everywhere(out);
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
