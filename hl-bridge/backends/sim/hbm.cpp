// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/hbm.h"

#include "backends/sim/mmu.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::sim {

Result<Hbm> Hbm::create(uint64_t user_bytes)
{
    Hbm hbm;
    hbm.user_bytes_ = user_bytes;
    hbm.total_bytes_ = device_page + user_bytes;
    hbm.page_taken_.resize((user_bytes + device_page - 1) / device_page);
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
    void *data = ::mmap(nullptr, hbm.total_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        hbm.memfd_.get(), 0);
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
    std::swap(memfd_, other.memfd_);
    std::swap(data_, other.data_);
    std::swap(total_bytes_, other.total_bytes_);
    std::swap(user_bytes_, other.user_bytes_);
    std::swap(used_, other.used_);
    std::swap(page_taken_, other.page_taken_);
    std::swap(arenas_, other.arenas_);
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
    return std::min<uint64_t>(count * device_page, user_bytes_ - first * device_page);
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

std::optional<uint64_t> Hbm::allocate(uint64_t size)
{
    if (size == 0 || size > user_bytes_)
        return std::nullopt;
    auto found = arenas_.end();
    std::optional<uint64_t> at;
    for (auto arena = arenas_.begin(); arena != arenas_.end() && !at; ++arena) {
        at = arena->second.arena.allocate(size);
        found = arena;
    }
    if (!at) {
        size_t count = 0;
        const auto first = take_pages(size, count);
        if (!first)
            return std::nullopt;
        Pages pages{*first, count, Arena(page_bytes(*first, count))};
        found = arenas_.emplace(device_page + *first * device_page, std::move(pages)).first;
        at = found->second.arena.allocate(size);
        if (!at)
            return std::nullopt;
    }
    used_ += found->second.arena.size_at(*at);
    return found->first + *at;
}

void Hbm::free(uint64_t offset)
{
    auto at = arenas_.upper_bound(offset);
    if (at == arenas_.begin())
        return;
    --at;
    Pages &pages = at->second;
    const uint64_t size = pages.arena.size_at(offset - at->first);
    if (size == 0 || !pages.arena.free(offset - at->first))
        return;
    used_ -= size;
    ::fallocate(memfd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(size));
    if (!pages.arena.empty())
        return;
    std::fill_n(page_taken_.begin() + static_cast<std::ptrdiff_t>(pages.first), pages.count, false);
    arenas_.erase(at);
}

uint64_t Hbm::largest_free() const noexcept
{
    uint64_t largest = 0;
    for (const auto &[offset, pages] : arenas_)
        largest = std::max(largest, pages.arena.largest_free());
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
