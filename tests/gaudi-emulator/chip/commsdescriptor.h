// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/firmwarelayout.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gaudiemu::chip {

// What the firmware hands the driver before an image is loaded (include/linux/habanalabs/hl_boot_if.h struct
// lkd_fw_comms_desc): where registers lie, what runs now, where the next image goes.
class CommsDescriptor {
public:
    static constexpr size_t size = 1280;

    // `version`: what runs now. The kernel checks header and CRC in
    // firmware_if.c hl_fw_dynamic_validate_descriptor() and parses the version in
    // hl_fw_dynamic_read_device_fw_version().
    CommsDescriptor(const FirmwareLayout &layout, std::string_view version);

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

    // A message of the driver to the firmware has this first word (HL_COMMS_MSG_MAGIC_VALUE), and a descriptor's size.
    [[nodiscard]] static bool is_message(uint32_t first_word) noexcept
    {
        return (first_word & 0xffffff00) == 0x48434d00;
    }
    [[nodiscard]] static uint32_t crc32(std::span<const std::byte> bytes) noexcept;

private:
    template <typename T>
    void put(size_t offset, T value);
    void put_text(size_t offset, std::string_view text);

    std::array<std::byte, size> bytes_{};
};

} // namespace gaudiemu::chip
