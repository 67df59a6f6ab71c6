// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/hostmemory.h"

#include "device/driveranswer.h"
#include "device/hostsupport.h"
#include "device/nodeaccess.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <format>
#include <utility>

namespace hl {

static constexpr const char *udmabuf_node = "/dev/udmabuf";

std::unexpected<Error> HostMemory::creation_error(const char *operation, int err, uint64_t size, HostPages pages)
{
    if (says_no_descriptor(err))
        return fail(ErrorCode::FdLimit, operation, "no file descriptor left for a host page allocation",
                    "raise the limit of open files (ulimit -n)", err);
    if (pages == HostPages::Base)
        return fail(ErrorCode::MemoryHost, operation, std::format("{} bytes of host pages could not be had", size),
                    "free memory, enlarge /dev/shm's backing, or use fewer or smaller frames", err);
    const HugePagePool pool = HostSupport::read().pool_of(huge_page_bytes);
    return fail(ErrorCode::MemoryHost, operation,
                std::format("{} bytes in huge pages of 2 MiB could not be had: {} of {} pages are free", size,
                            pool.free, pool.total),
                "reserve more of them, as root: echo 64 > /proc/sys/vm/nr_hugepages", err);
}

UniqueFd try_open_udmabuf() noexcept
{
    return UniqueFd(::open(udmabuf_node, O_RDWR | O_CLOEXEC));
}

Result<UniqueFd> open_udmabuf()
{
    constexpr const char *operation = "open udmabuf";
    UniqueFd fd = try_open_udmabuf();
    const int err = errno;
    if (fd)
        return fd;
    // A node that outlived its module is as good as none (fs/char_dev.c chrdev_open).
    if (const int told = err == ENODEV || err == ENXIO ? ENOENT : err;
        told == EACCES || told == EPERM || told == ENOENT) {
        const NodeAccess access = NodeAccess::look(udmabuf_node);
        return fail(ErrorCode::MemoryExport, operation,
                    std::format("no driver can import host pages: {}", access.cause(told)), access.remedy(told), err);
    }
    return fail(ErrorCode::MemoryExport, operation, "/dev/udmabuf cannot be opened", "see the errno", err);
}

// A mapping of huge pages has to be made and undone in whole ones (mm/hugetlb.c hugetlb_vm_op_split).
uint64_t HostMemory::mapped() const noexcept
{
    return pages_ == HostPages::Huge ? (size_ + huge_page_bytes - 1) & ~(huge_page_bytes - 1) : size_;
}

Result<HostMemory> HostMemory::create(uint64_t size, HostPages pages)
{
    HostMemory memory;
    const unsigned huge = pages == HostPages::Huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0u;
    memory.memfd_.reset(::memfd_create("hl-host", MFD_CLOEXEC | MFD_ALLOW_SEALING | huge));
    if (!memory.memfd_)
        return creation_error("memfd_create", errno, size, pages);
    if (size > static_cast<uint64_t>(INT64_MAX) - huge_page_bytes)
        return creation_error("ftruncate", EFBIG, size, pages);
    memory.size_ = size;
    memory.pages_ = pages;
    const auto length = static_cast<off_t>(memory.mapped());
    if (::ftruncate(memory.memfd_.get(), length) < 0)
        return creation_error("ftruncate", errno, size, pages);
    // Reserve now: a page that cannot be had later is a SIGBUS, not an error.
    if (::fallocate(memory.memfd_.get(), 0, 0, length) < 0)
        return creation_error("fallocate", errno, size, pages);
    // udmabuf takes a memfd only with F_SEAL_SHRINK and without F_SEAL_WRITE (drivers/dma-buf/udmabuf.c).
    if (::fcntl(memory.memfd_.get(), F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        return creation_error("seal memfd", errno, size, pages);
    void *data = ::mmap(nullptr, static_cast<size_t>(length), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                        memory.memfd_.get(), 0);
    if (data == MAP_FAILED)
        return creation_error("mmap", errno, size, pages);
    memory.data_ = static_cast<std::byte *>(data);
    return memory;
}

HostMemory::HostMemory(HostMemory &&other) noexcept
    : memfd_(std::move(other.memfd_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      pages_(other.pages_)
{}

HostMemory &HostMemory::operator=(HostMemory &&other) noexcept
{
    std::swap(memfd_, other.memfd_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(pages_, other.pages_);
    return *this;
}

HostMemory::~HostMemory()
{
    if (data_)
        ::munmap(data_, static_cast<size_t>(mapped()));
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
    return export_error(errno, offset, size);
}

std::unexpected<Error> HostMemory::export_error(int err, uint64_t offset, uint64_t size) const
{
    constexpr const char *operation = "export host pages";
    if (says_no_descriptor(err))
        return creation_error(operation, err, size, pages_);
    const auto limit = HostSupport::read().udmabuf_limit;
    if (limit && size > *limit)
        return fail(ErrorCode::MemoryExport, operation,
                    std::format("a frame of {} bytes is larger than udmabuf's limit of {} MiB", size, *limit >> 20),
                    std::format("raise the limit, as root: echo {} > /sys/module/udmabuf/parameters/size_limit_mb, or "
                                "use smaller frames",
                                (size + (1 << 20) - 1) >> 20),
                    err);
    // udmabuf_create() answers EBADFD to a file that it cannot take pages from.
    if (pages_ == HostPages::Huge && err == EBADFD)
        return fail(ErrorCode::MemoryExport, operation, "this kernel's udmabuf takes no huge pages",
                    "use base pages, or a newer kernel", err);
    return fail(ErrorCode::MemoryExport, operation,
                std::format("udmabuf refused {} bytes of host pages at offset {}", size, offset),
                "see the errno and the kernel log", err);
}

} // namespace hl
