// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hl::sim {

// What makes one Gaudi differ from another for the user space of the driver (Linux drivers/accel/habanalabs): constants
// only, all that the simulator does differently follows from them. Where each comes from: preset.cpp.
struct Preset {
    std::string_view name;   // as HL_SIM_CHIP has it
    std::string_view chip;   // DeviceInfo::chip
    uint64_t hbm_bytes;      // all of it
    uint64_t reserved_bytes; // the first of them, which no user gets
    uint64_t device_page;    // bytes that ALLOC rounds up to
    // TRUE: HBM is allocated in device pages, which ALLOC and MAP give a virtual address, and an export names that
    // address and an offset. FALSE: the user divides all of it himself, and names physical addresses without offset.
    bool dram_virtual;
    uint64_t dram_address; // the device's, of the first byte that a user may have
    uint64_t host_first;   // the device's addresses for pages of the host, 4 KiB class
    uint64_t host_end;

    [[nodiscard]] constexpr uint64_t user_bytes() const noexcept { return hbm_bytes - reserved_bytes; }
};

extern const Preset gaudi;
extern const Preset gaudi2;

// Every preset; the first one is the default.
[[nodiscard]] std::span<const Preset *const> presets() noexcept;
// nullptr: there is none of that name.
[[nodiscard]] const Preset *find_preset(std::string_view name) noexcept;
// The names, for an error: "gaudi2 or gaudi".
[[nodiscard]] std::string preset_names();

} // namespace hl::sim
