// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importframe.h"

#include "device/hostmemory.h"

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstddef>
#include <format>
#include <new>
#include <utility>

namespace hl {
namespace {

constexpr const char *operation = "make frame";
constexpr uint64_t mib = uint64_t{1} << 20;

bool is_dmabuf(int fd)
{
    struct statfs state{};
    return ::fstatfs(fd, &state) == 0 && state.f_type == DMA_BUF_MAGIC;
}

// A frame of more than a unit whose second half is its first again. The two cannot lie side by side then, wherever the
// kernel found memory, so that a driver that needs one stretch refuses every such frame and not some: exchanged halves
// did lie so now and then. Huge pages are not cut.
Result<UniqueFd> scattered(const UniqueFd &udmabuf, const HostMemory &memory, uint64_t bytes, uint64_t unit)
{
    const uint64_t cut = (bytes / 2 + unit - 1) & ~(unit - 1);
    alignas(udmabuf_create_list) std::byte room[sizeof(udmabuf_create_list) + 2 * sizeof(udmabuf_create_item)]{};
    auto *wanted = new (room) udmabuf_create_list{.flags = UDMABUF_FLAGS_CLOEXEC, .count = 2};
    const auto memfd = static_cast<__u32>(memory.memfd());
    wanted->list[0] = {.memfd = memfd, .offset = 0, .size = cut};
    wanted->list[1] = {.memfd = memfd, .offset = 0, .size = bytes - cut};
    UniqueFd fd(::ioctl(udmabuf.get(), UDMABUF_CREATE_LIST, wanted));
    if (fd)
        return fd;
    // A frame in one piece in its place could be a stretch by luck, and the answer to it worth nothing.
    if (errno == EMFILE || errno == ENFILE)
        return fail(ErrorCode::FdLimit, operation, "no file descriptor left for a frame to ask an importer with",
                    "raise the limit of open files (ulimit -n)", errno);
    return fail(ErrorCode::MemoryExport, operation, "udmabuf makes no frame of several pieces",
                "see the errno and the kernel log", errno);
}

Result<ImportFrame> host_frame(uint64_t bytes, HostPages pages)
{
    auto udmabuf = open_udmabuf();
    if (!udmabuf)
        return std::unexpected(std::move(udmabuf.error()));
    auto memory = HostMemory::create(bytes, pages);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    auto fd = memory->export_fd(*udmabuf, 0, bytes); // says what is wrong, if anything is
    if (!fd)
        return std::unexpected(std::move(fd.error()));
    if (const uint64_t unit = pages == HostPages::Huge ? huge_page_bytes : export_page; bytes > unit)
        fd = scattered(*udmabuf, *memory, bytes, unit);
    if (!fd)
        return std::unexpected(std::move(fd.error()));
    return ImportFrame{.fd = std::move(*fd), .bytes = bytes};
}

Result<ImportFrame> heap_frame(uint64_t bytes)
{
    constexpr const char *path = "/dev/dma_heap/system";
    const UniqueFd heap(::open(path, O_RDONLY | O_CLOEXEC));
    if (!heap)
        return fail(ErrorCode::MemoryExport, operation, std::format("{} cannot be opened", path),
                    errno == EACCES ? "give this user access to it" : "", errno);
    dma_heap_allocation_data wanted{};
    wanted.len = bytes;
    wanted.fd_flags = O_RDWR | O_CLOEXEC;
    if (::ioctl(heap.get(), DMA_HEAP_IOCTL_ALLOC, &wanted) < 0)
        return fail(ErrorCode::MemoryExport, operation, std::format("{} has no {} bytes", path, bytes), "free memory",
                    errno);
    return ImportFrame{.fd = UniqueFd(static_cast<int>(wanted.fd)), .bytes = bytes};
}

Result<ImportFrame> device_frame(const std::shared_ptr<Device> &device, uint64_t bytes)
{
    if (!device)
        return fail(ErrorCode::MemoryExport, operation, "no Gaudi is open that device memory could come from",
                    "see the state of the devices", ENODEV);
    auto memory = OwnedMemory::allocate(device, bytes, Placement::Device);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    auto fd = device->export_dmabuf(memory->get());
    if (!fd)
        return std::unexpected(std::move(fd.error()));
    return ImportFrame{.memory = std::move(*memory), .fd = std::move(*fd), .bytes = bytes};
}

Result<ImportFrame> make_frame(const std::shared_ptr<Device> &device, ImportMemory memory, uint64_t bytes)
{
    const uint64_t pages = round_to_export_page(bytes);
    switch (memory) {
    case ImportMemory::Pages:
        return host_frame(pages, HostPages::Base);
    case ImportMemory::HugePages:
        return host_frame(pages, HostPages::Huge);
    case ImportMemory::Heap:
        return heap_frame(pages);
    case ImportMemory::HeapMiB:
        return heap_frame((bytes + mib - 1) & ~(mib - 1));
    case ImportMemory::Device:
        return device_frame(device, pages);
    }
    std::unreachable();
}

} // namespace

ImportFrameMaker make_import_frames_with(std::shared_ptr<Device> device)
{
    return [device = std::move(device)](ImportMemory memory, uint64_t bytes) {
        auto frame = make_frame(device, memory, bytes);
        if (frame)
            frame->dmabuf = is_dmabuf(frame->fd.get());
        return frame;
    };
}

} // namespace hl
