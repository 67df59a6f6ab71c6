// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace hl::synapse {

// A size, offset or number of abi.h beside the published one. abitable.cpp asserts that all are equal.
struct AbiRow {
    std::string_view what; // "synDeviceInfoV2.fd"
    uint64_t ours = 0;
    uint64_t published = 0;
    std::string_view source; // file and name there
};

// All of them. Static storage.
[[nodiscard]] std::span<const AbiRow> abi_table() noexcept;

} // namespace hl::synapse
