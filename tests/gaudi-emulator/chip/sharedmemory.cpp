// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/sharedmemory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace gaudiemu::chip {
namespace {

constexpr uint64_t page = 4096;

std::string failed(const std::string &name, const char *what)
{
    return name + ": " + what + ": " + std::strerror(errno);
}

} // namespace

std::expected<SharedMemory, std::string> SharedMemory::make(const std::string &name, uint64_t size)
{
    hl::UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC));
    if (!fd)
        return std::unexpected(failed(name, "memfd_create"));
    if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        return std::unexpected(failed(name, "ftruncate"));
    void *data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
    if (data == MAP_FAILED)
        return std::unexpected(failed(name, "mmap"));
    return SharedMemory(std::move(fd), static_cast<std::byte *>(data), size);
}

SharedMemory::SharedMemory(SharedMemory &&other) noexcept
    : fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
{}

SharedMemory::~SharedMemory()
{
    if (data_)
        munmap(data_, size_);
}

void SharedMemory::clear(uint64_t offset, uint64_t size) const
{
    const uint64_t end = offset + size;
    const uint64_t first = std::min((offset + page - 1) / page * page, end);
    const uint64_t last = std::max(end / page * page, first);
    std::memset(data_ + offset, 0, first - offset);
    // A kernel without hole punching gets the slow way.
    if (last > first && fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
                                  static_cast<off_t>(last - first)) != 0)
        std::memset(data_ + first, 0, last - first);
    std::memset(data_ + last, 0, end - last);
}

uint64_t SharedMemory::resident() const
{
    struct stat status{};
    return fstat(fd_.get(), &status) == 0 ? static_cast<uint64_t>(status.st_blocks) * 512 : 0;
}

} // namespace gaudiemu::chip
