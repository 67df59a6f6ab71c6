// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"
#include "sgregs.h"

#include <expected>
#include <span>
#include <stop_token>
#include <vector>

namespace gaudiemu {

// A buffer in pieces, wherever they lie on the bus. Errors are HL_CARD_ERROR_*.
class ScatterList {
public:
    // No DMA is larger, so that a stop is obeyed soon.
    static constexpr uint64_t chunk = 1 << 20;

    // Reads a list of `count` entries at a bus address.
    [[nodiscard]] static std::expected<ScatterList, uint32_t> fetch(PciHost &host, uint64_t address, uint32_t count);

    [[nodiscard]] uint64_t bytes() const { return ends_.empty() ? 0 : ends_.back(); }

    // Moves bytes at `offset` of the buffer. A stop ends it early, as if it had succeeded: nobody wants the result.
    [[nodiscard]] std::expected<void, uint32_t> write(PciHost &host, uint64_t offset, std::span<const std::byte> from,
                                                      const std::stop_token &stop) const;
    [[nodiscard]] std::expected<void, uint32_t> read(PciHost &host, uint64_t offset, std::span<std::byte> into,
                                                     const std::stop_token &stop) const;

private:
    ScatterList() = default;

    template <typename Move>
    [[nodiscard]] std::expected<void, uint32_t> walk(uint64_t offset, uint64_t bytes, const std::stop_token &stop,
                                                     const Move &move) const;

    std::vector<hl_card_sg> entries_;
    std::vector<uint64_t> ends_; // of each entry in the buffer
};

} // namespace gaudiemu
