// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/hbm.h"

#include "device/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::sim {

Result<Hbm> Hbm::create(const Preset &preset, uint64_t user_bytes, uint64_t bar_bytes)
{
    Hbm hbm;
    hbm.preset_ = &preset;
    hbm.user_bytes_ = user_bytes;
    hbm.bar_bytes_ = bar_bytes;
    hbm.total_bytes_ = preset.reserved_bytes + user_bytes;
    if (preset.dram_virtual)
        hbm.page_taken_.resize((user_bytes + preset.device_page - 1) / preset.device_page);
    else
        hbm.stretches_.emplace(preset.reserved_bytes, Stretch{0, 0, Arena(user_bytes)});
    const auto error = [&](const char *operation, int err) {
        return fail(err == EMFILE || err == ENFILE ? ErrorCode::FdLimit : ErrorCode::MemoryHost, operation,
                    std::format("{} MiB of simulated HBM could not be set up", hbm.total_bytes_ >> 20),
                    "raise the limit of address space or open files, or set HL_SIM_HBM_MB to a smaller value", err);
    };
    hbm.memfd_.reset(::memfd_create("hl-sim-hbm", MFD_CLOEXEC));
    if (!hbm.memfd_)
        return error("memfd_create", errno);
    if (::ftruncate(hbm.memfd_.get(), static_cast<off_t>(hbm.total_bytes_)) < 0)
        return error("ftruncate", errno);
    void *data =
        ::mmap(nullptr, hbm.total_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, hbm.memfd_.get(), 0);
    if (data == MAP_FAILED)
        return error("mmap", errno);
    hbm.data_ = static_cast<std::byte *>(data);
    // A core dump must not carry 96 GiB of holes.
    ::madvise(data, hbm.total_bytes_, MADV_DONTDUMP);
    return hbm;
}

Hbm::Hbm(Hbm &&other) noexcept
{
    *this = std::move(other);
}

Hbm &Hbm::operator=(Hbm &&other) noexcept
{
    std::swap(preset_, other.preset_);
    std::swap(memfd_, other.memfd_);
    std::swap(data_, other.data_);
    std::swap(total_bytes_, other.total_bytes_);
    std::swap(user_bytes_, other.user_bytes_);
    std::swap(bar_bytes_, other.bar_bytes_);
    std::swap(used_, other.used_);
    std::swap(page_taken_, other.page_taken_);
    std::swap(stretches_, other.stretches_);
    return *this;
}

Hbm::~Hbm()
{
    if (data_)
        ::munmap(data_, total_bytes_);
}

uint64_t Hbm::page_bytes(size_t first, size_t count) const noexcept
{
    // The last page is short where HL_SIM_HBM_MB is no multiple of a page.
    return std::min<uint64_t>(count * preset_->device_page, user_bytes_ - first * preset_->device_page);
}

std::optional<size_t> Hbm::take_pages(uint64_t size, size_t &count)
{
    size_t first = 0;
    while (first < page_taken_.size()) {
        size_t end = first;
        while (end < page_taken_.size() && !page_taken_[end]) {
            ++end;
            if (page_bytes(first, end - first) >= size) {
                count = end - first;
                std::fill_n(page_taken_.begin() + static_cast<std::ptrdiff_t>(first), count, true);
                return first;
            }
        }
        first = end + 1;
    }
    return std::nullopt;
}

Hbm::Stretches::iterator Hbm::add_stretch(uint64_t size)
{
    size_t count = 0;
    const auto first = take_pages(size, count);
    if (!first)
        return stretches_.end();
    Stretch pages{*first, count, Arena(page_bytes(*first, count))};
    return stretches_.emplace(preset_->reserved_bytes + *first * preset_->device_page, std::move(pages)).first;
}

std::optional<uint64_t> Hbm::allocate(uint64_t size)
{
    if (size == 0 || size > user_bytes_)
        return std::nullopt;
    auto found = stretches_.end();
    std::optional<uint64_t> at;
    for (auto stretch = stretches_.begin(); stretch != stretches_.end() && !at; ++stretch) {
        at = stretch->second.arena.allocate(size);
        found = stretch;
    }
    if (!at) {
        found = add_stretch(size);
        if (found == stretches_.end())
            return std::nullopt;
        at = found->second.arena.allocate(size);
        if (!at)
            return std::nullopt;
    }
    used_ += found->second.arena.size_at(*at);
    return found->first + *at;
}

void Hbm::free(uint64_t offset)
{
    auto at = stretches_.upper_bound(offset);
    if (at == stretches_.begin())
        return;
    --at;
    Stretch &stretch = at->second;
    const uint64_t size = stretch.arena.size_at(offset - at->first);
    if (size == 0 || !stretch.arena.free(offset - at->first))
        return;
    used_ -= size;
    ::fallocate(memfd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(size));
    if (!preset_->dram_virtual || !stretch.arena.empty())
        return;
    std::fill_n(page_taken_.begin() + static_cast<std::ptrdiff_t>(stretch.first), stretch.count, false);
    stretches_.erase(at);
}

// --- export ---

Hbm::Stretches::const_iterator Hbm::stretch_at(uint64_t offset) const noexcept
{
    auto at = stretches_.upper_bound(offset);
    if (at == stretches_.begin())
        return stretches_.end();
    --at;
    return offset - at->first < at->second.arena.size() ? at : stretches_.end();
}

ExportRange Hbm::export_range(uint64_t offset, uint64_t size) const noexcept
{
    const auto stretch = preset_->dram_virtual ? stretch_at(offset) : stretches_.end();
    if (stretch == stretches_.end())
        return {.address = address(offset), .size = size, .offset = 0};
    return {.address = address(stretch->first), .size = size, .offset = offset - stretch->first};
}

int Hbm::check_export(const ExportRange &range) const noexcept
{
    // memory.c validate_export_params_common()
    if (range.size == 0 || range.size % export_page || range.offset % export_page || range.address % export_page)
        return EINVAL;
    const uint64_t at = range.address - preset_->dram_address;
    if (!preset_->dram_virtual) {
        // memory.c export_dmabuf_from_addr(), validate_export_params_no_mmu()
        if (range.offset != 0 || range.address < preset_->dram_address || at > user_bytes_ ||
            range.size > user_bytes_ - at)
            return EINVAL;
        return preset_->reserved_bytes + at + range.size > bar_bytes_ ? EINVAL : 0;
    }
    // memory.c memhash_node_export_get(): the very address that MAP gave. validate_export_params(): and all of its
    // device pages within the BAR, whatever is exported of them.
    const auto stretch = stretches_.find(preset_->reserved_bytes + at);
    if (range.address < preset_->dram_address || stretch == stretches_.end())
        return EINVAL;
    const uint64_t whole = stretch->second.arena.size();
    if (range.offset > whole || range.size > whole - range.offset)
        return EINVAL;
    return stretch->first + stretch->second.count * preset_->device_page > bar_bytes_ ? EINVAL : 0;
}

uint64_t Hbm::largest_free() const noexcept
{
    uint64_t largest = 0;
    for (const auto &[offset, stretch] : stretches_)
        largest = std::max(largest, stretch.arena.largest_free());
    for (size_t first = 0; first < page_taken_.size(); ++first) {
        size_t end = first;
        while (end < page_taken_.size() && !page_taken_[end])
            ++end;
        if (end == first)
            continue;
        largest = std::max(largest, page_bytes(first, end - first));
        first = end;
    }
    return largest;
}

uint64_t Hbm::resident() const noexcept
{
    struct stat st{};
    if (::fstat(memfd_.get(), &st) < 0)
        return 0;
    return static_cast<uint64_t>(st.st_blocks) * 512;
}

} // namespace hl::sim
