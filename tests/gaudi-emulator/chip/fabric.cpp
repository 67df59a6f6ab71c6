// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fabric.h"
#include "chip/registers.h"

#include <algorithm>
#include <cstring>
#include <format>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

constexpr bool is_register(uint64_t address)
{
    return address >= cfg_base && address - cfg_base < cfg_size;
}

constexpr bool is_sram(uint64_t address)
{
    return address >= sram_base && address - sram_base < sram_size;
}

constexpr bool is_hbm(uint64_t address)
{
    return address >= dram_base && address < hbm_va_end;
}

AddressFault fault_of(uint64_t address, PageFault page)
{
    return {address, (page.mmu == MmuKind::Pmmu ? "PMMU: " : "HMMU: ") + page.reason, std::move(page)};
}

AddressFault fault_of(BusFault fault)
{
    return {fault.address, "bus: " + fault.reason, std::nullopt};
}

} // namespace

std::expected<Place, AddressFault> Fabric::resolve(const Initiator &who, uint64_t address, uint64_t size)
{
    if (is_register(address) || is_sram(address))
        return resolve_registers(address, size);
    if (is_hbm(address))
        return resolve_hbm(who, address, size);
    return resolve_host(who, address, size);
}

std::expected<Place, AddressFault> Fabric::resolve_registers(uint64_t address, uint64_t size)
{
    if (is_register(address)) {
        const auto reg = static_cast<uint32_t>(address - cfg_base);
        size = std::min<uint64_t>(size, cfg_size - reg);
        if (!router_.plain(reg, size))
            return std::unexpected(AddressFault{address, "a block transfer into a block's registers", std::nullopt});
    } else {
        size = std::min(size, sram_base + sram_size - address);
    }
    return Place{registers_.at(address, size), 0, size};
}

std::expected<Place, AddressFault> Fabric::resolve_hbm(const Initiator &who, uint64_t address, uint64_t size)
{
    uint64_t raw = address;
    if (!who.bypass) {
        auto translated = mmu_.translate_hbm(address, who.asid);
        if (!translated)
            return std::unexpected(fault_of(address, std::move(translated.error())));
        raw = translated->address;
        size = std::min(size, translated->run);
    }
    if (Hbm::holds(raw, 1))
        size = std::min(size, dram_base + dram_size - raw);
    if (std::byte *const memory = hbm_.at(raw, size))
        return Place{memory, 0, size, raw};
    return std::unexpected(AddressFault{address, std::format("no HBM at {:#x}", raw), std::nullopt});
}

std::expected<Place, AddressFault> Fabric::resolve_host(const Initiator &who, uint64_t address, uint64_t size)
{
    if (who.bypass) {
        if (address >= host_phys_end)
            return std::unexpected(AddressFault{address, "nothing lies there", std::nullopt});
        return Place{nullptr, address, std::min(size, host_phys_end - address)};
    }
    auto translated = mmu_.translate_host(address, who.asid);
    if (!translated)
        return std::unexpected(fault_of(address, std::move(translated.error())));
    return Place{nullptr, translated->address, std::min(size, translated->run)};
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
            return std::unexpected(fault_of(std::move(done.error())));
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
            return std::unexpected(fault_of(std::move(done.error())));
        from = from.subspan(place->size);
        address += place->size;
    }
    return {};
}

std::expected<void, AddressFault> Fabric::message(const Initiator &who, uint64_t address, uint32_t value)
{
    if (address % sizeof value)
        return std::unexpected(AddressFault{address, "a message to an address that is no multiple of 4", std::nullopt});
    if (is_register(address)) {
        router_.write(static_cast<uint32_t>(address - cfg_base), value, Origin::Device);
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
        return std::unexpected(fault_of(std::move(done.error())));
    return {};
}

} // namespace gaudiemu::chip
