// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"

#include <string>

namespace hl {

// Which way a request's bytes go. Device to device counts as Down, as the engines have it.
enum class CopyWay : uint8_t { Down, Up };

// The checks of Device::submit() that no table of allocations is needed for. `device` is named in the error.
// Errors: CopyFailed for a wrong number of regions, host to host, and regions that go different ways.
[[nodiscard]] Result<CopyWay> check_copy_way(const CopyRequest &request, const std::string &device);
// Whether the region's rows lie inside both memories. Errors: MemoryRange.
[[nodiscard]] Status check_copy_region(const CopyRegion &region, const std::string &device);

} // namespace hl
