// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/firmwarelayout.h"

#include <array>
#include <cstddef>

namespace gaudiemu::chip {

inline constexpr size_t cpucp_info_size = 1760;

// struct cpucp_info (include/linux/habanalabs/cpucp_if.h): what the card says of itself. cpucp_version begins with
// "emulated-gaudi": user space must be able to tell.
[[nodiscard]] std::array<std::byte, cpucp_info_size> make_cpucp_info(const FirmwareLayout &layout) noexcept;

} // namespace gaudiemu::chip
