// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/settings.h"

#include "backends/sim/mmu.h"

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

} // namespace

Result<Settings> Settings::from_environment()
{
    Settings settings;
    settings.hbm_user_bytes = hbm_bytes - device_page;
    if (const auto text = variable("HL_SIM_HBM_MB"); !text.empty()) {
        constexpr uint64_t most = 1048576;
        uint64_t value = 0;
        if (!parse(text, value) || value == 0 || value > most)
            return malformed("HL_SIM_HBM_MB", text, std::format("set HL_SIM_HBM_MB to MiB from 1 to {}", most));
        settings.hbm_user_bytes = value << 20;
    }
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
