// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scatterlist.h"

#include <algorithm>

namespace gaudiemu {

std::expected<ScatterList, uint32_t> ScatterList::fetch(PciHost &host, uint64_t address, uint32_t count)
{
    if (count > HL_CARD_SG_MAX) {
        return std::unexpected(HL_CARD_ERROR_STALL);
    }
    ScatterList list;
    list.entries_.resize(count);
    if (!host.dma_read(address, std::as_writable_bytes(std::span(list.entries_)))) {
        return std::unexpected(HL_CARD_ERROR_BUS);
    }
    uint64_t end = 0;
    for (const auto &entry : list.entries_) {
        if (entry.bytes == 0) {
            return std::unexpected(HL_CARD_ERROR_STALL);
        }
        list.ends_.push_back(end += entry.bytes);
    }
    return list;
}

template <typename Move>
std::expected<void, uint32_t> ScatterList::walk(uint64_t offset, uint64_t bytes, const std::stop_token &stop,
                                                const Move &move) const
{
    if (offset + bytes > this->bytes()) {
        return std::unexpected(HL_CARD_ERROR_STALL);
    }
    auto entry = static_cast<size_t>(std::ranges::upper_bound(ends_, offset) - ends_.begin());
    for (uint64_t done = 0; done < bytes && !stop.stop_requested();) {
        const uint64_t position = offset + done;
        const uint64_t now = std::min({bytes - done, ends_[entry] - position, chunk});
        const uint64_t start = ends_[entry] - entries_[entry].bytes;
        if (!move(entries_[entry].address + (position - start), done, now)) {
            return std::unexpected(HL_CARD_ERROR_BUS);
        }
        done += now;
        entry += offset + done == ends_[entry] ? 1 : 0;
    }
    return {};
}

std::expected<void, uint32_t> ScatterList::write(PciHost &host, uint64_t offset, std::span<const std::byte> from,
                                                 const std::stop_token &stop) const
{
    return walk(offset, from.size(), stop, [&](uint64_t address, uint64_t done, uint64_t now) {
        return host.dma_write(address, from.subspan(done, now)).has_value();
    });
}

std::expected<void, uint32_t> ScatterList::read(PciHost &host, uint64_t offset, std::span<std::byte> into,
                                                const std::stop_token &stop) const
{
    return walk(offset, into.size(), stop, [&](uint64_t address, uint64_t done, uint64_t now) {
        return host.dma_read(address, into.subspan(done, now)).has_value();
    });
}

} // namespace gaudiemu
