// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"
#include "device/device.h"
#include "importers/verdict.h"

#include <cstdint>
#include <functional>
#include <memory>

namespace hl {

// One plane's memory, to be offered to an importer.
struct ImportFrame {
    OwnedMemory memory; // Device placement: released after the descriptor is closed
    UniqueFd fd;
    uint64_t bytes = 0;  // at least what was asked for
    bool dmabuf = false; // the descriptor is a dma-buf
};

// Makes frames for the probes. Errors: those of Device::allocate() and export_dmabuf(); MemoryExport without
// /dev/udmabuf, without a system dma-heap, or without a device to take device memory from.
using ImportFrameMaker = std::function<Result<ImportFrame>(ImportMemory memory, uint64_t bytes)>;

// The maker for real use. Host pages are made as the device's backends make them; `device` may be null.
[[nodiscard]] ImportFrameMaker make_import_frames_with(std::shared_ptr<Device> device);

} // namespace hl
