// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/hostmemory.h"

#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <format>
#include <utility>

namespace hl {
namespace {

std::unexpected<Error> host_error(const char *operation, int err, uint64_t size)
{
    if (err == EMFILE || err == ENFILE)
        return fail(ErrorCode::FdLimit, operation, "no file descriptor left for a host page allocation",
                    "raise the limit of open files (ulimit -n)", err);
    return fail(ErrorCode::MemoryHost, operation, std::format("{} bytes of host pages could not be had", size),
                "free memory, enlarge /dev/shm's backing, or use fewer or smaller frames", err);
}

} // namespace

UniqueFd open_udmabuf()
{
    return UniqueFd(::open("/dev/udmabuf", O_RDWR | O_CLOEXEC));
}

Error why_no_udmabuf()
{
    const int err = open_udmabuf() ? 0 : errno;
    const bool denied = err == EACCES || err == EPERM;
    return {.code = ErrorCode::MemoryExport,
            .operation = "open /dev/udmabuf",
            .sys_errno = err,
            .cause = denied ? "this user may not open /dev/udmabuf, which makes host pages a dma-buf"
                            : "host pages become a dma-buf through /dev/udmabuf only, which could not be opened",
            .remedy = denied ? "give this user access to /dev/udmabuf (a udev rule, or chmod)"
                             : "load its module, as root: modprobe udmabuf"};
}

Result<HostMemory> HostMemory::create(uint64_t size)
{
    HostMemory memory;
    memory.memfd_.reset(::memfd_create("hl-host", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memory.memfd_)
        return host_error("memfd_create", errno, size);
    if (size > static_cast<uint64_t>(INT64_MAX))
        return host_error("ftruncate", EFBIG, size);
    const auto length = static_cast<off_t>(size);
    if (::ftruncate(memory.memfd_.get(), length) < 0)
        return host_error("ftruncate", errno, size);
    // Reserve now: a page that cannot be had later is a SIGBUS, not an error.
    if (::fallocate(memory.memfd_.get(), 0, 0, length) < 0)
        return host_error("fallocate", errno, size);
    // udmabuf takes a memfd only with F_SEAL_SHRINK and without F_SEAL_WRITE (drivers/dma-buf/udmabuf.c).
    if (::fcntl(memory.memfd_.get(), F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        return host_error("seal memfd", errno, size);
    void *data =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory.memfd_.get(), 0);
    if (data == MAP_FAILED)
        return host_error("mmap", errno, size);
    memory.data_ = static_cast<std::byte *>(data);
    memory.size_ = size;
    return memory;
}

HostMemory::HostMemory(HostMemory &&other) noexcept
    : memfd_(std::move(other.memfd_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
{
}

HostMemory &HostMemory::operator=(HostMemory &&other) noexcept
{
    std::swap(memfd_, other.memfd_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

HostMemory::~HostMemory()
{
    if (data_)
        ::munmap(data_, static_cast<size_t>(size_));
}

Result<UniqueFd> HostMemory::export_fd(const UniqueFd &udmabuf, uint64_t offset, uint64_t size) const
{
    constexpr const char *operation = "export host pages";
    int fd = -1;
    if (udmabuf) {
        udmabuf_create create{};
        create.memfd = static_cast<__u32>(memfd_.get());
        create.flags = UDMABUF_FLAGS_CLOEXEC;
        create.offset = offset;
        create.size = size;
        fd = ::ioctl(udmabuf.get(), UDMABUF_CREATE, &create);
    } else if (offset != 0) {
        return fail(ErrorCode::MemoryRange, operation,
                    std::format("offset {}: without /dev/udmabuf only whole allocations can be exported", offset),
                    "load the udmabuf module (modprobe udmabuf) and give this user access to /dev/udmabuf", EINVAL);
    } else {
        fd = ::fcntl(memfd_.get(), F_DUPFD_CLOEXEC, 0);
    }
    if (fd >= 0)
        return UniqueFd(fd);
    const int err = errno;
    if (err == EMFILE || err == ENFILE)
        return host_error(operation, err, size);
    return fail(ErrorCode::MemoryExport, operation, std::format("{} bytes of host pages at offset {}", size, offset),
                "raise the udmabuf module's size_limit_mb parameter, or use smaller frames", err);
}

} // namespace hl
