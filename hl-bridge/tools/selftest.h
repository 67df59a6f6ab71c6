// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importjudge.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hl {

enum class TrialOutcome : uint8_t {
    Proven,   // the driver filled, sent or showed the frame
    Refused,  // it does not take the frame
    Failed,   // it took the frame, and did less with it than with another memory's
    NotTried, // in use, no permission, no signal, no such frame, nothing came of any memory, or nothing can be done
              // with one frame alone
};

[[nodiscard]] std::string_view trial_outcome_name(TrialOutcome outcome) noexcept;

// What came of one frame of one kind of memory that an importer was let use.
struct ImportTrial {
    TrialOutcome outcome = TrialOutcome::NotTried;
    ImportStep step = ImportStep::Buffer; // the last thing done
    int sys_errno = 0;
    uint64_t bytes = 0;     // a camera: bytes it says that it filled
    uint64_t untouched = 0; // of these, in pages that are as they were before
    std::string text;       // one sentence
};

using ImportTrials = std::array<std::optional<ImportTrial>, import_memories>; // by ImportMemory

// Whether a trial shows that a verdict is wrong. Two frames of a dma-heap may differ: the heap makes one of a single
// stretch and the next of several, as memory lies. That a driver takes one and not the other contradicts nothing.
[[nodiscard]] bool contradicts(ImportMemory memory, const ImportVerdict &said, const ImportTrial &trial) noexcept;

// Puts ImportJudge's verdicts to the test: every importer is given frames and has to work with them. Streams from
// cameras and to outputs, in their current formats, and shows a picture on displays that nobody uses.
class ImportSelfTest {
public:
    // `patience` is the longest wait for a frame.
    ImportSelfTest(Kernel &kernel, ImportFrameMaker make, std::chrono::milliseconds patience);

    // Tries each memory that `finding` has a verdict on. A verdict that was left open because the driver maps a frame
    // when it is first used is settled by that use.
    [[nodiscard]] ImportTrials run(ImportFinding &finding) const;

private:
    [[nodiscard]] ImportTrial attempt(ImportProbe &probe, const Importer &importer, ImportMemory memory) const;

    Kernel &kernel_;
    ImportFrameMaker make_;
    std::chrono::milliseconds patience_;
};

} // namespace hl
