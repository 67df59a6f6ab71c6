// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "importers/kernel.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// In which way a driver takes frames that others allocated.
enum class ImporterKind : uint8_t {
    Capture,    // V4L2: fills them (a camera)
    Output,     // V4L2: reads them (a video output)
    M2mOutput,  // V4L2 memory to memory: reads its input from them
    M2mCapture, // V4L2 memory to memory: writes its result to them
    Display,    // DRM card with planes: scans them out
    Render,     // DRM node without planes: imports them, for whatever its users do then
};

[[nodiscard]] std::string_view importer_kind_name(ImporterKind kind) noexcept;

// One queue or card of a driver that imports dma-bufs. A V4L2 memory-to-memory node is two.
struct Importer {
    std::string node; // "/dev/video0"
    ImporterKind kind = ImporterKind::Capture;
    std::string driver; // the kernel's name, "vivid"
    std::string card;   // for people
    std::string bus;    // "platform:vivid-000"
    uint32_t queue = 0; // V4L2: the buffer type; DRM: 0

    [[nodiscard]] bool drm() const noexcept { return kind == ImporterKind::Display || kind == ImporterKind::Render; }
    [[nodiscard]] bool writes() const noexcept
    {
        return kind == ImporterKind::Capture || kind == ImporterKind::M2mCapture;
    }
};

// The importers behind a node. Never empty. Errors: ImporterMissing, ImporterPermission, ImporterKindWrong (no device,
// no V4L2 or DRM node, a radio, VBI, SDR, metadata or touch node), ImporterBusy (a driver that lets one user in).
[[nodiscard]] Result<std::vector<Importer>> identify_importer(Kernel &kernel, const std::string &node);

// The V4L2 video nodes and DRM nodes of this machine, by kind and number, whether or not they import.
[[nodiscard]] std::vector<std::string> find_importer_nodes(const std::string &dev = "/dev");

} // namespace hl
