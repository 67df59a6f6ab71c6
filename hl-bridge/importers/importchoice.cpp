// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importchoice.h"

#include <array>
#include <format>
#include <utility>

namespace hl {
namespace {

// A refusal that no other pages mend. The verdict's own advice is for whoever can choose the format and asks again.
Error refusal(const Importer &importer, const ImportVerdict &verdict, Placement placement)
{
    Error error = verdict.error(importer);
    error.remedy = placement == Placement::Device ? "use host memory (memory=host)" : copying_line(importer);
    return error;
}

// A driver that takes one stretch only. A frame that fits a huge page is one.
ImportChoice choose_stretch(const ImportJudge &judge, const Importer &importer, Error error, uint64_t bytes)
{
    if (bytes > huge_page_bytes) {
        error.cause += std::format("; {} bytes do not fit a huge page, which would be one", bytes);
        error.remedy = std::format("choose a smaller size or format, or {}", copying_line(importer));
        return {.refusal = std::move(error)};
    }
    if (auto frame = judge.make(ImportMemory::HugePages, bytes); !frame) {
        error.cause += std::format("; a huge page would be one, but {}", frame.error().cause);
        error.remedy = std::format("{}; or {}", frame.error().remedy, copying_line(importer));
        return {.refusal = std::move(error)};
    }
    return {.pages = HostPages::Huge};
}

} // namespace

ImportChoice choose_import(const ImportJudge &judge, const Importer &importer, Placement placement, uint64_t bytes)
{
    const std::array wanted{placement == Placement::Device ? ImportMemory::Device : ImportMemory::Pages};
    const ImportFinding finding = judge.judge_twice(importer, wanted);
    const ImportVerdict &verdict = *finding.of(wanted[0]);
    if (verdict.answer != ImportAnswer::Refused)
        return {};
    Error error = refusal(importer, verdict, placement);
    if (placement == Placement::Host && verdict.cause == ImportCause::NotContiguous)
        return choose_stretch(judge, importer, std::move(error), bytes);
    return {.refusal = std::move(error)};
}

} // namespace hl
