// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/hbmarenas.h"

#include "device/memory.h"

#include <algorithm>
#include <cerrno>

namespace hl::kernel {

HbmArenas::HbmArenas(Driver &driver, ChipKind chip, const uapi::HwIpInfo &hw)
    : driver_(driver), mapped_(chip == ChipKind::Gaudi2), size_(hw.dram_size),
      page_(hw.dram_page_size ? hw.dram_page_size : export_page)
{
    if (mapped_)
        return;
    const uint64_t base = round_to_export_page(hw.dram_base_address);
    stretches_.push_back({.address = base, .handle = 0, .arena = Arena(size_ - (base - hw.dram_base_address))});
}

HbmArenas::~HbmArenas()
{
    for (const Stretch &stretch : stretches_)
        (void)give_back(stretch);
}

Sys<HbmArenas::Stretch *> HbmArenas::add(uint64_t bytes)
{
    const uint64_t whole = (bytes + page_ - 1) / page_ * page_;
    if (whole < bytes || whole > size_ - taken_)
        return std::unexpected(ENOMEM);
    const auto handle = driver_.allocate(whole);
    if (!handle)
        return std::unexpected(handle.error());
    const auto address = driver_.map_device(*handle);
    if (!address) {
        (void)driver_.free(*handle);
        return std::unexpected(address.error());
    }
    taken_ += whole;
    return &stretches_.emplace_back(*address, *handle, Arena(whole));
}

bool HbmArenas::give_back(const Stretch &stretch)
{
    if (!mapped_)
        return true;
    if (!driver_.unmap(stretch.address))
        return false;
    (void)driver_.free(stretch.handle);
    return true;
}

bool HbmArenas::give_back_empty()
{
    return std::erase_if(stretches_, [this](const Stretch &stretch) {
               const bool gone = stretch.arena.empty() && give_back(stretch);
               taken_ -= gone ? stretch.arena.size() : 0;
               return gone;
           }) != 0;
}

Sys<HbmBlock> HbmArenas::allocate(uint64_t bytes)
{
    for (Stretch &stretch : stretches_)
        if (const auto offset = stretch.arena.allocate(bytes))
            return HbmBlock{stretch.address, *offset};
    if (!mapped_)
        return std::unexpected(ENOMEM);
    auto stretch = add(bytes);
    // What free() kept may be too small for this one and yet the pages that it lacks.
    if (!stretch && stretch.error() == ENOMEM && give_back_empty())
        stretch = add(bytes);
    if (!stretch)
        return std::unexpected(stretch.error());
    return HbmBlock{(*stretch)->address, *(*stretch)->arena.allocate(bytes)};
}

void HbmArenas::free(const HbmBlock &block)
{
    const auto at = std::ranges::find(stretches_, block.base, &Stretch::address);
    if (at == stretches_.end() || !at->arena.free(block.offset) || !at->arena.empty() || stretches_.size() == 1)
        return;
    // The kernel may see an export's end a moment after us: the stretch then stays for the next allocation.
    if (!give_back(*at))
        return;
    taken_ -= at->arena.size();
    stretches_.erase(at);
}

uint64_t HbmArenas::used() const noexcept
{
    uint64_t used = 0;
    for (const Stretch &stretch : stretches_)
        used += stretch.arena.used();
    return used;
}

uint64_t HbmArenas::largest_free() const noexcept
{
    uint64_t largest = mapped_ ? (size_ - taken_) / page_ * page_ : 0;
    for (const Stretch &stretch : stretches_)
        largest = std::max(largest, stretch.arena.largest_free());
    return largest;
}

} // namespace hl::kernel
