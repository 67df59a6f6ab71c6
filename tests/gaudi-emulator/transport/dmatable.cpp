// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/dmatable.h"

#include "transport/message.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gaudiemu {

class RamFile {
public:
    RamFile(std::byte *bytes, uint64_t size) : bytes_(bytes), size_(size) {}
    RamFile(const RamFile &) = delete;
    RamFile &operator=(const RamFile &) = delete;
    ~RamFile() { ::munmap(bytes_, size_); }

    [[nodiscard]] std::byte *bytes() const { return bytes_; }
    [[nodiscard]] uint64_t size() const { return size_; }

private:
    std::byte *const bytes_;
    const uint64_t size_;
};

DmaTable::DmaTable() = default;
DmaTable::~DmaTable() = default;

std::shared_lock<std::shared_mutex> DmaTable::lock_shared() const
{
    const std::lock_guard gate(gate_);
    return std::shared_lock(mutex_);
}

std::unique_lock<std::shared_mutex> DmaTable::lock_unique() const
{
    const std::lock_guard gate(gate_);
    return std::unique_lock(mutex_);
}

std::expected<std::shared_ptr<RamFile>, int> DmaTable::file_of(const hl::UniqueFd &fd, uint64_t offset, uint64_t size)
{
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0)
        return std::unexpected(errno);
    // A mapping beyond the end would be a SIGBUS later.
    const auto whole = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0));
    if (offset > whole || size > whole - offset)
        return std::unexpected(EINVAL);
    auto &known = files_[{status.st_dev, status.st_ino}];
    if (auto file = known.lock(); file && whole <= file->size())
        return file;
    // Writable as a whole: QEMU opens its memory so, and what of it the guest's devices may not write the table knows.
    void *bytes = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
    if (bytes == MAP_FAILED)
        return std::unexpected(errno);
    auto file = std::make_shared<RamFile>(static_cast<std::byte *>(bytes), whole);
    known = file;
    return file;
}

bool DmaTable::touches(uint64_t address, uint64_t last) const
{
    const auto next = mappings_.upper_bound(last);
    if (next == mappings_.begin())
        return false;
    const auto &[start, mapping] = *std::prev(next);
    return start + (mapping.size - 1) >= address;
}

std::expected<void, int> DmaTable::map(uint64_t address, uint64_t size, bool writable, hl::UniqueFd fd, uint64_t offset)
{
    const auto lock = lock_unique();
    if (touches(address, address + (size - 1)))
        return std::unexpected(EEXIST);
    if (mappings_.size() >= vfio::max_dma_maps)
        return std::unexpected(ENOSPC);
    Mapping mapping{.size = size, .writable = writable, .file = nullptr, .offset = offset};
    if (fd) {
        auto file = file_of(fd, offset, size);
        if (!file)
            return std::unexpected(file.error());
        mapping.file = std::move(*file);
    }
    mappings_.emplace(address, std::move(mapping));
    return {};
}

std::expected<void, int> DmaTable::unmap(uint64_t address, uint64_t size)
{
    const auto lock = lock_unique();
    const uint64_t last = address + (size - 1);
    const auto first = mappings_.lower_bound(address);
    const auto end = mappings_.upper_bound(last);
    if (first != mappings_.begin()) {
        const auto &[start, mapping] = *std::prev(first);
        if (start + (mapping.size - 1) >= address)
            return std::unexpected(EINVAL);
    }
    if (first != end) {
        const auto &[start, mapping] = *std::prev(end);
        if (start + (mapping.size - 1) > last)
            return std::unexpected(EINVAL);
    }
    mappings_.erase(first, end);
    std::erase_if(files_, [](const auto &entry) { return entry.second.expired(); });
    return {};
}

void DmaTable::clear()
{
    const auto lock = lock_unique();
    mappings_.clear();
    files_.clear();
}

DmaTable::Span DmaTable::locate(uint64_t address, size_t size, Access access) const
{
    const auto next = mappings_.upper_bound(address);
    if (next != mappings_.begin()) {
        const auto &[start, mapping] = *std::prev(next);
        const uint64_t inside = address - start;
        if (inside < mapping.size) {
            const auto length = static_cast<size_t>(std::min<uint64_t>(size, mapping.size - inside));
            if (!mapping.file)
                return {.found = Found::Elsewhere, .size = length};
            if (access == Access::Write && !mapping.writable)
                return {.found = Found::ReadOnly, .size = length};
            return {.found = Found::Moved,
                    .bytes = mapping.file->bytes() + mapping.offset + inside,
                    .size = std::min(length, chunk)};
        }
    }
    // Up to the next mapping.
    const uint64_t gap = next == mappings_.end() ? size : next->first - address;
    return {.found = Found::Elsewhere, .size = static_cast<size_t>(std::min<uint64_t>(size, gap))};
}

DmaTable::Piece DmaTable::read(uint64_t address, std::span<std::byte> into)
{
    const auto lock = lock_shared();
    const auto span = locate(address, into.size(), Access::Read);
    if (span.bytes)
        std::memcpy(into.data(), span.bytes, span.size);
    return {span.found, span.size};
}

DmaTable::Piece DmaTable::write(uint64_t address, std::span<const std::byte> from)
{
    const auto lock = lock_shared();
    const auto span = locate(address, from.size(), Access::Write);
    if (span.bytes)
        std::memcpy(span.bytes, from.data(), span.size);
    return {span.found, span.size};
}

size_t DmaTable::mappings() const
{
    const auto lock = lock_shared();
    return mappings_.size();
}

size_t DmaTable::files() const
{
    const auto lock = lock_shared();
    return static_cast<size_t>(
        std::ranges::count_if(files_, [](const auto &entry) { return !entry.second.expired(); }));
}

} // namespace gaudiemu
