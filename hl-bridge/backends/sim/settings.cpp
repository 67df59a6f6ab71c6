// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/settings.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <format>
#include <string>

namespace hl::sim {
namespace {

std::string_view variable(const char *name)
{
    const char *value = std::getenv(name);
    return value ? value : "";
}

std::unexpected<Error> malformed(const char *name, std::string_view value, std::string wanted)
{
    return fail(ErrorCode::DeviceConfig, std::format("read {}", name),
                std::format("{}=\"{}\" is not valid", name, value.substr(0, 60)), std::move(wanted));
}

template <class T>
bool parse(std::string_view text, T &value)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
}

Result<std::chrono::nanoseconds> microseconds(const char *name)
{
    const std::string_view text = variable(name);
    if (text.empty())
        return std::chrono::nanoseconds(0);
    constexpr uint32_t hour = 3'600'000'000u;
    uint32_t value = 0;
    if (!parse(text, value) || value > hour)
        return malformed(name, text, std::format("set {} to whole microseconds from 0 to {}", name, hour));
    return std::chrono::microseconds(value);
}

// Leaves `bytes` alone where the variable is not set.
Status mebibytes(const char *name, uint64_t most, uint64_t &bytes)
{
    const std::string_view text = variable(name);
    if (text.empty())
        return {};
    uint64_t value = 0;
    if (!parse(text, value) || value == 0 || value > most)
        return malformed(name, text, std::format("set {} to MiB from 1 to {}", name, most));
    bytes = value << 20;
    return {};
}

} // namespace

Result<Settings> Settings::from_environment()
{
    Settings settings;
    if (const auto text = variable("HL_SIM_CHIP"); !text.empty()) {
        settings.preset = find_preset(text);
        if (!settings.preset)
            return malformed("HL_SIM_CHIP", text, std::format("set HL_SIM_CHIP to {}", preset_names()));
    }
    settings.hbm_user_bytes = settings.preset->user_bytes();
    if (auto hbm = mebibytes("HL_SIM_HBM_MB", 1048576, settings.hbm_user_bytes); !hbm)
        return std::unexpected(std::move(hbm.error()));
    if (auto bar = mebibytes("HL_SIM_BAR_MB", 2097152, settings.bar_bytes); !bar)
        return std::unexpected(std::move(bar.error()));
    if (const auto text = variable("HL_SIM_DMA_GBPS"); !text.empty()) {
        double value = 0;
        if (!parse(text, value) || !std::isfinite(value) || value < 1e-6)
            return malformed("HL_SIM_DMA_GBPS", text, "set HL_SIM_DMA_GBPS to a decimal number of at least 0.000001");
        settings.dma_seconds_per_byte = 1e-9 / value;
    }
    auto dma = microseconds("HL_SIM_DMA_US");
    if (!dma)
        return std::unexpected(dma.error());
    settings.dma_time = *dma;
    auto compute = microseconds("HL_SIM_COMPUTE_US");
    if (!compute)
        return std::unexpected(compute.error());
    settings.compute_time = *compute;
    auto faults = FaultList::parse(variable("HL_SIM_FAULTS"));
    if (!faults)
        return std::unexpected(faults.error());
    settings.faults = std::move(*faults);
    return settings;
}

} // namespace hl::sim
