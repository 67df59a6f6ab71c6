// SPDX-License-Identifier: LGPL-2.1-or-later

// The rules of the driver that Device hides, since they are about the device's addresses or about handles of the
// kernel: on the layers of the simulator that have them, for every preset. And those that no user space of hl-bridge
// can meet, with the reason. The others: devicerules_test.cpp.
#include "backends/sim/chip.h"
#include "backends/sim/hbm.h"
#include "backends/sim/mmu.h"
#include "backends/sim/namelock.h"
#include "ruletable.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cerrno>
#include <format>
#include <memory>
#include <string_view>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::Status;
using hl::sim::ExportRange;
using hl::sim::Hbm;
using hl::sim::Preset;
using hl::test::answer;
using hl::test::apart;
using hl::test::granted;
using hl::test::holds_true;
using hl::test::refused;

namespace {

// Four of Gaudi2's pages.
constexpr uint64_t user_bytes = 4 * (uint64_t{768} << 20);

struct SimLayers {
    explicit SimLayers(const Preset &of) : preset(of) { reach(UINT64_MAX); }

    // Makes the HBM anew, with four pages of the kernel allocated behind four others.
    void reach(uint64_t bar_bytes)
    {
        auto made = Hbm::create(preset, user_bytes, bar_bytes);
        EXPECT_OK(made);
        hbm = std::move(*made);
        (void)hbm.allocate(4 * 4096);
        offset = *hbm.allocate(4 * 4096);
    }
    // The export of the allocation, with something else about it.
    [[nodiscard]] Status ask(ExportRange range) const { return answer(hbm.check_export(range)); }
    [[nodiscard]] ExportRange whole() const { return hbm.export_range(offset, 4 * 4096); }

    [[nodiscard]] std::shared_ptr<hl::sim::Chip> chip(const Preset &of) const
    {
        auto made = hl::sim::Chip::create(1, "rules", {.preset = &of, .hbm_user_bytes = user_bytes});
        EXPECT_OK(made);
        return *made;
    }
    // The device's address of a new allocation.
    [[nodiscard]] uint64_t address(Placement placement) const
    {
        const auto on = chip(preset);
        const auto memory = on->allocate(4096, placement, hl::HostPages::Base);
        return memory ? (*on->find(on->lock(), *memory))->address : 0;
    }

    const Preset &preset;
    Hbm hbm;
    uint64_t offset = 0;
};

using Rule = hl::test::Rule<SimLayers>;
constexpr hl::test::Columns gaudi = 1, gaudi2 = 2;

std::vector<hl::test::Column<SimLayers>> columns()
{
    return {{gaudi, "SIM Gaudi", [] { return std::make_unique<SimLayers>(hl::sim::gaudi); }},
            {gaudi2, "SIM Gaudi2", [] { return std::make_unique<SimLayers>(hl::sim::gaudi2); }}};
}

void check(const std::vector<Rule> &rules)
{
    hl::test::check_rules<SimLayers>(rules, columns());
}

// What the DMA engines reach at an address.
Status reached(const SimLayers &sim, uint64_t address, uint64_t length)
{
    const auto chip = sim.chip(sim.preset);
    const auto memory = chip->allocate(2 * 4096, Placement::Device, hl::HostPages::Base);
    const auto lock = chip->lock();
    return answer(memory && chip->mmu(lock).translate(address, length) ? 0 : EFAULT);
}

// An export that lies within the BAR, of an allocation whose second device page does not.
Status half_in_the_bar(SimLayers &sim)
{
    sim.reach(sim.preset.reserved_bytes + 2 * sim.preset.device_page);
    const auto large = sim.hbm.allocate(sim.preset.device_page + 4096);
    return sim.ask(sim.hbm.export_range(*large, 4096));
}

Status two_small_ranges(const SimLayers &sim)
{
    Preset small = sim.preset;
    small.host_end = small.host_first + 3 * 4096;
    const auto chip = sim.chip(small);
    const auto one = chip->allocate(4096, Placement::Host, hl::HostPages::Base);
    const auto two = chip->allocate(4096, Placement::Host, hl::HostPages::Base);
    return one ? hl::test::outcome(two) : hl::test::outcome(one);
}

} // namespace

TEST(SimRules, OfTheAddressesOfExports)
{
    constexpr std::string_view common = "memory.c validate_export_params_common()";
    constexpr std::string_view from_address = "memory.c export_dmabuf_from_addr()";
    constexpr std::string_view by_mapping = "memory.c memhash_node_export_get()";
    constexpr std::string_view physical = "memory.c validate_export_params_no_mmu()";
    constexpr std::string_view mapped = "memory.c validate_export_params()";
    constexpr auto invalid = refused(EINVAL);
    const auto with = [](auto change) {
        return [change](SimLayers &sim) {
            ExportRange range = sim.whole();
            change(range, sim.preset);
            return sim.ask(range);
        };
    };
    check({
        {"EXPORT of an allocation", from_address, "check_export()", granted(), {}, with([](auto &, auto &) {})},
        {"EXPORT at an address within a kernel page",
         common,
         "check_export()",
         invalid,
         {},
         with([](auto &range, auto &) { range.address += 512; })},
        {"EXPORT of no bytes", common, "check_export()", invalid, {}, with([](auto &range, auto &) {
             range.size = 0;
         })},
        {"EXPORT of part of a kernel page", common, "check_export()", invalid, {}, with([](auto &range, auto &) {
             range.size -= 1;
         })},
        {"EXPORT at an offset within a kernel page",
         common,
         "check_export()",
         invalid,
         {},
         with([](auto &range, auto &) {
             range.offset += 512;
             range.size -= 4096;
         })},
        {"EXPORT with an offset",
         from_address,
         "check_export()",
         granted(),
         {{gaudi, invalid}},
         with([](auto &range, auto &) {
             range.offset += 4096;
             range.size -= 4096;
         })},
        {"EXPORT at an address that MAP did not give",
         by_mapping,
         "check_export()",
         invalid,
         {{gaudi, granted()}}, // any physical address is the user's
         with([](auto &range, auto &) {
             range.address += 4096;
             range.size -= 4096;
         })},
        {"EXPORT of what was never allocated",
         by_mapping,
         "check_export()",
         invalid,
         {{gaudi, granted()}}, // the driver does not know
         with([](auto &range, auto &preset) { range.address = preset.dram_address + user_bytes / 2; })},
        {"EXPORT of the reserved part", physical, "check_export()", invalid, {}, with([](auto &range, auto &preset) {
             range.address = preset.dram_address - 4096;
         })},
        {"EXPORT that ends beyond the HBM",
         physical,
         "check_export()",
         invalid,
         {},
         with([](auto &range, auto &preset) { range.address = preset.dram_address + user_bytes - 4096; })},
        {"EXPORT that ends beyond its allocation", mapped, "check_export()", invalid, {}, with([](auto &range, auto &) {
             range.size = user_bytes;
         })},
        {"EXPORT whose end wraps around", physical, "check_export()", invalid, {}, with([](auto &range, auto &) {
             range.size = UINT64_MAX & ~uint64_t{4095};
         })},
        {"EXPORT of host pages",
         "memory.c memhash_node_export_get(), validate_export_params_no_mmu()",
         "check_export()",
         invalid,
         {},
         with([](auto &range, auto &preset) { range = {preset.host_first, 4096, 0}; })},
        {"EXPORT of what the BAR does not reach",
         "memory.c validate_export_params(), validate_export_params_no_mmu()",
         "check_export()",
         invalid,
         {},
         [](SimLayers &sim) {
             sim.reach(sim.preset.reserved_bytes);
             return sim.ask(sim.whole());
         }},
        {"EXPORT within the BAR of an allocation that is not",
         mapped,
         "check_export()",
         invalid,
         {{gaudi, granted()}}, // by what is exported
         half_in_the_bar},
    });
}

TEST(SimRules, OfTheDevicesAddresses)
{
    check({
        {"HBM that a user may have begins at a fixed address",
         "gaudi/gaudiP.h DRAM_BASE_ADDR_USER; gaudi2.c gaudi2_set_dram_properties(): virtual, after the physical range",
         "allocate(Device)",
         granted(),
         {},
         [](SimLayers &sim) {
             const uint64_t first = &sim.preset == &hl::sim::gaudi ? 0x20000000 : 0x1001001800000000;
             return holds_true(sim.address(Placement::Device) == first, "another address");
         }},
        {"A user has all HBM but the reserved part",
         "habanalabs_ioctl.c hw_ip_info()",
         "user_bytes()",
         granted(),
         {},
         [](SimLayers &sim) {
             const uint64_t all = &sim.preset == &hl::sim::gaudi ? (uint64_t{32} << 30) - (uint64_t{512} << 20)
                                                                 : 127 * (uint64_t{768} << 20);
             return holds_true(sim.preset.user_bytes() == all, "another size");
         }},
        {"The range of the ARC cores is left alone",
         "gaudi2/gaudi2P.h RESERVED_VA_RANGE_FOR_ARC_ON_HBM_START",
         "the preset's range",
         granted(),
         {{gaudi, apart("it has no ARC cores and no virtual HBM")}},
         [](SimLayers &sim) {
             return holds_true(sim.preset.dram_address + sim.preset.user_bytes() <= 0x1001500000000000, "they overlap");
         }},
        {"Host pages are mapped in a range of their own",
         "gaudi.c gaudi_set_fixed_properties(), gaudi2.c gaudi2_set_fixed_properties(), pmmu",
         "allocate(Host)",
         granted(),
         {},
         [](SimLayers &sim) {
             const bool first = &sim.preset == &hl::sim::gaudi;
             const uint64_t begin = first ? 0x1000000000000 : 0xFFF0000000000000;
             const uint64_t end = first ? 0x27FC000000000 : 0xFFF0800000000000;
             const uint64_t at = sim.address(Placement::Host);
             return holds_true(at >= begin && at < end && sim.preset.host_end == end, "outside");
         }},
        {"MAP without a free address",
         "memory.c map_device_va(), get_va_block()",
         "allocate(Host) in a range of 3 pages",
         refused(ErrorCode::MemoryHost, ENOMEM),
         {},
         two_small_ranges},
        {"DMA to what is not mapped faults",
         "gaudi2.c gaudi2_handle_page_error(); gaudi.c gaudi_print_and_get_mmu_error_info()",
         "Mmu::translate()",
         refused(EFAULT),
         {},
         [](SimLayers &sim) { return reached(sim, sim.preset.host_first, 1); }},
        {"HBM that nobody allocated is no address",
         "memory.c map_device_va()",
         "Mmu::translate()",
         refused(EFAULT),
         {{gaudi, granted()}}, // physical addresses, whoever has them
         [](SimLayers &sim) { return reached(sim, sim.preset.dram_address + 4 * 4096, 4096); }},
        {"DMA beyond the end of HBM faults",
         "gaudi.c gaudi_set_fixed_properties(), dram_end_address",
         "Mmu::translate()",
         refused(EFAULT),
         {},
         [](SimLayers &sim) { return reached(sim, sim.preset.dram_address + user_bytes - 4096, 4097); }},
        {"UNMAP of an unknown address is invalid",
         "memory.c unmap_device_va()",
         "Mmu::unmap()",
         refused(EINVAL),
         {},
         [](SimLayers &sim) {
             hl::sim::Mmu mmu;
             return answer(mmu.unmap(sim.preset.host_first) ? 0 : EINVAL);
         }},
        {"UNMAP twice is invalid",
         "memory.c unmap_device_va()",
         "Mmu::unmap() twice",
         refused(EINVAL),
         {},
         [](SimLayers &sim) {
             hl::sim::Mmu mmu;
             std::byte byte{};
             mmu.map(sim.preset.host_first, 1, &byte);
             return answer(mmu.unmap(sim.preset.host_first) && mmu.unmap(sim.preset.host_first) ? 0 : EINVAL);
         }},
        {"UNMAP takes the address that MAP gave, no other of the mapping",
         "memory.c get_vm_hash_node_locked()",
         "Mmu::unmap()",
         refused(EINVAL),
         {},
         [](SimLayers &sim) {
             hl::sim::Mmu mmu;
             std::vector<std::byte> bytes(8192);
             mmu.map(sim.preset.host_first, bytes.size(), bytes.data());
             return answer(mmu.unmap(sim.preset.host_first + 4096) ? 0 : EINVAL);
         }},
        {"One open of a device at a time",
         "habanalabs_drv.c hl_device_open(), EBUSY",
         "lock_name() twice",
         refused(ErrorCode::DeviceBusy, EBUSY),
         {},
         [](SimLayers &) {
             const auto name = std::format("rules-{}", ::getpid());
             const auto first = hl::sim::lock_name(name);
             return first ? hl::test::outcome(hl::sim::lock_name(name)) : hl::test::outcome(first);
         }},
    });
}
