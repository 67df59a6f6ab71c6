// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/cpucpinfo.h"

#include <cstdint>
#include <cstring>
#include <string_view>

namespace gaudiemu::chip {

namespace {

constexpr size_t kernel_version = 1024;
constexpr size_t card_type = 1156;
constexpr size_t fuse_version = 1172;
constexpr size_t thermal_version = 1300;
constexpr size_t cpucp_version = 1428;
constexpr size_t dram_bytes = 1560;
constexpr size_t card_name = 1568;
constexpr size_t os_version = 1632;

// Without a sensor, or with a name that hwmon does not like, hl_hwmon_init() fails and with it the device (hwmon.c
// hl_build_hwmon_channel_info(); drivers/hwmon/hwmon.c refuses '-' in names).
constexpr uint32_t sensor_temperature = 1; // enum hwmon_sensor_types
constexpr uint32_t sensor_input = 1;

} // namespace

std::array<std::byte, cpucp_info_size> make_cpucp_info(const FirmwareLayout &layout) noexcept
{
    std::array<std::byte, cpucp_info_size> info{};
    const auto put = [&](size_t offset, const auto &value) { std::memcpy(info.data() + offset, &value, sizeof value); };
    const auto text = [&](size_t offset, std::string_view value) {
        std::memcpy(info.data() + offset, value.data(), value.size());
    };
    put(0, sensor_temperature);
    put(4, sensor_input);
    text(kernel_version, "emulated-gaudi");
    text(fuse_version, "emulated-gaudi");
    text(thermal_version, "emulated-gaudi");
    text(cpucp_version, "emulated-gaudi 1.10.0");
    put(card_type, layout.card_type);
    put(dram_bytes, layout.dram_size);
    text(card_name, layout.card_name);
    text(os_version, "emulated-gaudi");
    return info;
}

} // namespace gaudiemu::chip
