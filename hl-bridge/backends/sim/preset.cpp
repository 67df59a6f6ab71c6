// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/preset.h"

#include <algorithm>
#include <array>

namespace hl::sim {
namespace {

constexpr uint64_t MiB = uint64_t{1} << 20;
constexpr uint64_t GiB = uint64_t{1} << 30;

constexpr uint64_t gaudi2_stacks = 6; // functional ones of HBM; gaudi2.c gaudi2_set_dram_properties() of five as well
constexpr uint64_t gaudi2_page = gaudi2_stacks * 16 * 8 * MiB;   // ibid., GAUDI2_COMPENSATE_TLB_PAGE_SIZE_FACTOR
constexpr uint64_t gaudi2_dram_physical = 0x1001'0000'0000'0000; // include/gaudi2/gaudi2.h DRAM_PHYS_BASE
constexpr uint64_t gaudi_host_start = 0x1'0000'0000'0000;        // gaudi/gaudiP.h VA_HOST_SPACE_START
constexpr uint64_t gaudi_host_size = 0x3'FF80'0000'0000 - gaudi_host_start; // ibid., VA_HOST_SPACE_SIZE

constexpr std::array<const Preset *, 2> all{&gaudi2, &gaudi};

} // namespace

constexpr Preset gaudi{
    .name = "gaudi",
    .chip = "Gaudi",
    .hbm_bytes = 32 * GiB,         // gaudi/gaudiP.h GAUDI_HBM_SIZE_32GB; gaudi.c gaudi_set_fixed_properties()
    .reserved_bytes = 0x2000'0000, // gaudi/gaudiP.h DRAM_BASE_ADDR_USER; ibid.
    .device_page = 2 * MiB,        // gaudi.c gaudi_set_fixed_properties(), dram_page_size
    .dram_virtual = false,         // ibid.: dram_supports_virtual_memory stays unset
    .dram_address = 0x2000'0000,   // ibid.: DRAM_PHYS_BASE is 0, and common/habanalabs_ioctl.c hw_ip_info()
    .host_first = gaudi_host_start,
    .host_end = gaudi_host_start + gaudi_host_size / 2, // gaudi.c gaudi_set_fixed_properties(), pmmu.end_addr
};

constexpr Preset gaudi2{
    .name = "gaudi2",
    .chip = "Gaudi2",
    .hbm_bytes = gaudi2_stacks * 16 * GiB, // gaudi2.c gaudi2_set_dram_properties(), dram_size
    .reserved_bytes = gaudi2_page,         // ibid., dram_user_base_address
    .device_page = gaudi2_page,
    .dram_virtual = true,                                            // ibid., dram_supports_virtual_memory
    .dram_address = gaudi2_dram_physical + gaudi2_stacks * 16 * GiB, // ibid., dmmu.start_addr: after the physical range
    .host_first = 0xFFF0'0000'0000'0000,                             // gaudi2/gaudi2P.h VA_HOST_SPACE_PAGE_START
    .host_end = 0xFFF0'8000'0000'0000,                               // ibid., VA_HOST_SPACE_HPAGE_START
};

std::span<const Preset *const> presets() noexcept
{
    return all;
}

const Preset *find_preset(std::string_view name) noexcept
{
    const auto at = std::ranges::find(all, name, &Preset::name);
    return at == all.end() ? nullptr : *at;
}

std::string preset_names()
{
    std::string text;
    for (const Preset *preset : all)
        text.append(text.empty() ? "" : " or ").append(preset->name);
    return text;
}

} // namespace hl::sim
