// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fabric.h"

#include <algorithm>
#include <cstring>
#include <format>

namespace gaudiemu::chip {

namespace {

AddressFault bus_fault(BusFault fault)
{
    return {fault.address, "bus: " + fault.reason, std::nullopt};
}

} // namespace

// gaudi2.c gaudi2_mmu_prepare(), gaudi.c gaudi_mmu_prepare_reg(): a context's ASID, and no bypass.
Initiator initiator_of(const RegisterFile &registers, const ContextLayout &layout, uint32_t page, std::string name,
                       unsigned stream)
{
    const uint32_t at = page + stream * layout.stream_step;
    return {.name = std::move(name),
            .asid = registers.load(at + layout.asid) & 0x3ff,
            .bypass = (registers.load(at + layout.bypass) & layout.bypass_mask) != 0};
}

AddressFault Fabric::fault_of(uint64_t address, PageFault page)
{
    return {address, (page.mmu == MmuKind::Pmmu ? "PMMU: " : "HMMU: ") + page.reason, std::move(page)};
}

std::expected<Place, AddressFault> Fabric::resolve_registers(uint64_t address, uint64_t size) const
{
    const auto &layout = registers_.layout();
    if (registers_.is_register(address)) {
        const auto reg = static_cast<uint32_t>(address - layout.cfg_base);
        size = std::min<uint64_t>(size, layout.cfg_size - reg);
        if (!router_.plain(reg, size))
            return std::unexpected(AddressFault{address, "a block transfer into a block's registers", std::nullopt});
    } else {
        size = std::min(size, layout.sram_base + layout.sram_size - address);
    }
    return Place{registers_.at(address, size), 0, size, std::nullopt};
}

std::expected<Place, AddressFault> Fabric::resolve_hbm(uint64_t address, uint64_t physical, uint64_t size) const
{
    const auto &layout = hbm_.layout();
    if (hbm_.holds(physical, 1))
        size = std::min(size, layout.base + layout.size - physical);
    if (std::byte *const memory = hbm_.at(physical, size))
        return Place{memory, 0, size, physical};
    return std::unexpected(AddressFault{address, std::format("no HBM at {:#x}", physical), std::nullopt});
}

std::expected<void, AddressFault> Fabric::read(const Initiator &who, uint64_t address, std::span<std::byte> into)
{
    while (!into.empty()) {
        const auto place = resolve(who, address, into.size());
        if (!place)
            return std::unexpected(place.error());
        if (place->memory)
            std::memcpy(into.data(), place->memory, place->size);
        else if (auto done = bus_.read(place->bus, into.first(place->size)); !done)
            return std::unexpected(bus_fault(std::move(done.error())));
        into = into.subspan(place->size);
        address += place->size;
    }
    return {};
}

std::expected<void, AddressFault> Fabric::write(const Initiator &who, uint64_t address, std::span<const std::byte> from)
{
    while (!from.empty()) {
        const auto place = resolve(who, address, from.size());
        if (!place)
            return std::unexpected(place.error());
        if (place->memory)
            std::memcpy(place->memory, from.data(), place->size);
        else if (auto done = bus_.write(place->bus, from.first(place->size)); !done)
            return std::unexpected(bus_fault(std::move(done.error())));
        from = from.subspan(place->size);
        address += place->size;
    }
    return {};
}

std::expected<void, AddressFault> Fabric::message(const Initiator &who, uint64_t address, uint32_t value)
{
    if (address % sizeof value)
        return std::unexpected(AddressFault{address, "a message to an address that is no multiple of 4", std::nullopt});
    if (registers_.is_register(address)) {
        router_.write(static_cast<uint32_t>(address - registers_.layout().cfg_base), value, Origin::Device);
        return {};
    }
    const auto place = resolve(who, address, sizeof value);
    if (!place)
        return std::unexpected(place.error());
    if (place->memory) {
        std::memcpy(place->memory, &value, sizeof value);
        return {};
    }
    if (interrupts_.ring(place->bus, value))
        return {};
    if (auto done = bus_.write(place->bus, std::as_bytes(std::span(&value, 1))); !done)
        return std::unexpected(bus_fault(std::move(done.error())));
    return {};
}

} // namespace gaudiemu::chip
