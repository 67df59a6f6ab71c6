// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/memory.h"
#include "importers/importer.h"
#include "importers/importjudge.h"

#include <cstdint>
#include <optional>

namespace hl {

// What frames have to be made of for an importer that is about to take them.
struct ImportChoice {
    HostPages pages = HostPages::Base;
    std::optional<Error> refusal; // nothing suits it, for a cause that lasts; with the line that works
};

// Offers frames of this placement in the importer's current format, which need not be the one it is about to use: v4l2src
// sets its format after it has asked for a pool. `bytes` is what a frame of ours will take. A refusal counts only if it
// is given twice: one may be of the moment. Where nothing is known (the node is busy, no frame could be made) the choice
// is the default.
[[nodiscard]] ImportChoice choose_import(const ImportJudge &judge, const Importer &importer, Placement placement,
                                         uint64_t bytes);

} // namespace hl
