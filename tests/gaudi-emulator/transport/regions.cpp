// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/regions.h"

#include "transport/bytes.h"

#include <linux/vfio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace gaudiemu {
namespace {

constexpr uint32_t first_sparse_area = sizeof(vfio_region_info) + sizeof(vfio_region_info_cap_sparse_mmap);
constexpr uint64_t msix_entry = 16; // bytes of a vector in the MSI-X table

// The largest access that is aligned at `offset` and ends within `left` bytes.
unsigned access_size(uint64_t offset, uint64_t left)
{
    const uint64_t aligned = offset == 0 ? 8 : std::min<uint64_t>(8, offset & -offset);
    return static_cast<unsigned>(std::min(aligned, std::bit_floor(left)));
}

bool is_mapped_whole(const Bar &bar)
{
    return bar.mapped.size() == 1 && bar.mapped[0].offset == 0 && bar.mapped[0].size == bar.size;
}

bool inside(uint64_t offset, uint64_t start, uint64_t size)
{
    return offset >= start && offset - start < size;
}

} // namespace

Regions::Regions(PciFunction &function)
    : function_(function), identity_(function.identity()), config_(identity_, function.bars())
{}

const Bar *Regions::bar(uint32_t region) const
{
    const auto bars = function_.bars();
    const auto found = std::ranges::find(bars, region, &Bar::index);
    return found == bars.end() ? nullptr : &*found;
}

uint64_t Regions::size_of(uint32_t region) const
{
    if (region == VFIO_PCI_CONFIG_REGION_INDEX)
        return ConfigSpace::size;
    const auto *found = bar(region);
    return found ? found->size : 0;
}

std::expected<Regions::Info, int> Regions::info(uint32_t region, uint32_t argsz) const
{
    if (region >= VFIO_PCI_NUM_REGIONS)
        return std::unexpected(EINVAL);
    vfio_region_info answer{};
    answer.argsz = sizeof(answer);
    answer.index = region;
    answer.size = size_of(region);
    if (answer.size != 0)
        answer.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    const auto *found = bar(region);
    if (!found || found->memfd < 0 || found->mapped.empty())
        return Info{ByteWriter().put(answer).take(), -1};

    answer.flags |= VFIO_REGION_INFO_FLAG_MMAP;
    if (is_mapped_whole(*found))
        return Info{ByteWriter().put(answer).take(), found->memfd};

    const auto areas = static_cast<uint32_t>(found->mapped.size());
    answer.flags |= VFIO_REGION_INFO_FLAG_CAPS;
    answer.argsz = first_sparse_area + areas * static_cast<uint32_t>(sizeof(vfio_region_sparse_mmap_area));
    answer.cap_offset = sizeof(answer);
    // The client asks again, with room for all of it. QEMU wants the place of the capabilities already now
    // (hw/vfio-user/device.c vfio_user_device_io_get_region_info()).
    if (argsz < answer.argsz)
        return Info{ByteWriter().put(answer).take(), -1};
    ByteWriter out;
    out.put(answer);
    out.put(vfio_info_cap_header{.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1, .next = 0});
    out.put(areas).put(uint32_t{0});
    for (const auto &area : found->mapped)
        out.put(area.offset).put(area.size);
    return Info{out.take(), found->memfd};
}

// QEMU keeps the table and reads the pending bits from the function (hw/vfio-user/pci.c vfio_user_pba_read()): no
// interrupt is ever pending here, for QEMU masks behind the event descriptors.
bool Regions::holds_msix(unsigned bar, uint64_t offset) const
{
    const auto *msix = std::get_if<MsixCapability>(&identity_.interrupts);
    return msix && ((bar == msix->table_bar && inside(offset, msix->table_offset, msix->vectors * msix_entry)) ||
                    (bar == msix->pba_bar && inside(offset, msix->pba_offset, (msix->vectors + 63) / 64 * 8)));
}

uint32_t Regions::read_config(size_t offset)
{
    return function_.read_config(static_cast<unsigned>(offset)).value_or(config_.read(offset));
}

bool Regions::write_config(size_t offset, uint32_t value)
{
    return !function_.write_config(static_cast<unsigned>(offset), value) && config_.write(offset, value);
}

std::expected<void, int> Regions::read(uint32_t region, uint64_t offset, std::span<std::byte> into)
{
    const uint64_t size = size_of(region);
    if (offset > size || into.size() > size - offset)
        return std::unexpected(EINVAL);
    while (!into.empty()) {
        uint64_t value = 0;
        unsigned step = access_size(offset, into.size());
        if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
            const unsigned skipped = offset % sizeof(uint32_t);
            step = std::min<unsigned>(step, sizeof(uint32_t));
            value = read_config(offset - skipped) >> (skipped * 8);
        } else if (!holds_msix(region, offset)) {
            value = function_.read(region, offset, step);
        }
        std::memcpy(into.data(), &value, step);
        offset += step;
        into = into.subspan(step);
    }
    return {};
}

std::expected<Regions::Written, int> Regions::write(uint32_t region, uint64_t offset, std::span<const std::byte> from)
{
    const uint64_t size = size_of(region);
    if (offset > size || from.size() > size - offset)
        return std::unexpected(EINVAL);
    auto written = Written::Done;
    while (!from.empty()) {
        uint64_t value = 0;
        unsigned step = access_size(offset, from.size());
        if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
            const unsigned skipped = offset % sizeof(uint32_t);
            step = std::min<unsigned>(step, sizeof(uint32_t));
            uint32_t word = step == sizeof(word) ? 0 : read_config(offset - skipped);
            std::memcpy(reinterpret_cast<std::byte *>(&word) + skipped, from.data(), step);
            if (write_config(offset - skipped, word))
                written = Written::AskedForReset;
        } else if (!holds_msix(region, offset)) {
            std::memcpy(&value, from.data(), step);
            function_.write(region, offset, step, value);
        }
        offset += step;
        from = from.subspan(step);
    }
    return written;
}

} // namespace gaudiemu
