// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importer.h"
#include "importers/importframe.h"
#include "importers/kernel.h"
#include "importers/verdict.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hl {

// What an importer is to be offered: for V4L2 the current format, for DRM a small frame.
struct ImportFormat {
    std::string text;                  // "NV12 640x480"
    std::vector<uint32_t> plane_bytes; // one dma-buf each

    friend bool operator==(const ImportFormat &, const ImportFormat &) = default;
};

// How many bytes are offered for a plane. A page alone is one stretch wherever it lies, and would say nothing about the
// frames of the next format.
[[nodiscard]] constexpr uint64_t offered_bytes(uint32_t plane_bytes) noexcept
{
    return std::max(round_to_export_page(plane_bytes), 2 * export_page);
}

// What came of a frame that the driver was let use.
struct ImportUse {
    ImportAttempt attempt;
    std::vector<uint32_t> filled; // a camera: the bytes of each plane that it says it has written
};

// One importer, open for probing. offer() never streams, never sets a format, a control or a mode. Whatever an offer or
// a use makes, it removes, and leaves the node as it was. Not thread safe.
class ImportProbe {
public:
    virtual ~ImportProbe() = default;

    // Opens the node. Where that fails the attempt says how.
    [[nodiscard]] static std::expected<std::unique_ptr<ImportProbe>, ImportAttempt> open(Kernel &kernel,
                                                                                         const Importer &importer);

    [[nodiscard]] virtual const ImportFormat &format() const noexcept = 0;
    // Offers one frame: as many dma-bufs as format() has planes, each of at least offered_bytes().
    [[nodiscard]] virtual ImportAttempt offer(std::span<const ImportFrame> planes) = 0;
    // Offers one frame and lets the driver work with it once: a camera fills it, an output sends it, a display shows it
    // for a moment. Empty for an importer that does nothing with one frame alone (memory to memory, a render node).
    // Waits at most `patience` for the driver.
    [[nodiscard]] virtual std::optional<ImportUse> use(std::span<const ImportFrame> planes,
                                                       std::chrono::milliseconds patience) = 0;
};

} // namespace hl
