// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hostbus.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <span>

namespace gaudiemu::chip {

// Host memory by the addresses that the device's CPU uses. A Gaudi2's are bus addresses.
class CpuPort {
public:
    explicit CpuPort(HostBus &bus) : bus_(bus) {}
    virtual ~CpuPort() = default;
    CpuPort(const CpuPort &) = delete;
    CpuPort &operator=(const CpuPort &) = delete;

    [[nodiscard]] std::expected<void, BusFault> read(uint64_t address, std::span<std::byte> into) const;
    [[nodiscard]] std::expected<void, BusFault> write(uint64_t address, std::span<const std::byte> from) const;

protected:
    // nullopt: the CPU sees no host memory there.
    [[nodiscard]] virtual std::optional<uint64_t> bus_address(uint64_t address) const { return address; }

private:
    HostBus &bus_;
};

} // namespace gaudiemu::chip
