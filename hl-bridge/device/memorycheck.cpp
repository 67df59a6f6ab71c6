// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/memorycheck.h"

#include "device/holders.h"

#include <cerrno>
#include <format>
#include <string>
#include <utility>

namespace hl {
namespace {

std::unexpected<Error> refuse(const MemoryOwner &owner, ErrorCode code, const char *operation, std::string cause,
                              std::string remedy = {}, int sys_errno = EINVAL)
{
    return fail(code, operation, std::move(cause), std::move(remedy), sys_errno, std::string(owner.name));
}

} // namespace

Status check_allocation_size(const MemoryOwner &owner, uint64_t size, Placement placement)
{
    constexpr const char *operation = "allocate";
    if (size == 0)
        return refuse(owner, ErrorCode::MemoryRange, operation, "an allocation of 0 bytes was asked for");
    if (size > uint64_t{1} << 62)
        return refuse(owner, placement == Placement::Device ? ErrorCode::MemoryFull : ErrorCode::MemoryHost, operation,
                      std::format("{} bytes are more than any device has", size), {}, ENOMEM);
    return {};
}

Status check_memory(const MemoryOwner &owner, const Memory &memory, const Memory *allocation)
{
    constexpr const char *operation = "find memory";
    if (memory.device != owner.device)
        return refuse(owner, ErrorCode::MemoryForeign, operation,
                      std::format("memory of device {} was given to device {}", memory.device, owner.device),
                      "use one device per pipeline");
    if (memory.generation != owner.generation)
        return refuse(owner, ErrorCode::MemoryStale, operation,
                      std::format("the memory is of generation {}, the device is in generation {}", memory.generation,
                                  owner.generation),
                      "allocate anew after a device loss");
    if (!allocation || allocation->placement != memory.placement)
        return refuse(owner, ErrorCode::MemoryForeign, operation,
                      std::format("handle {:#x} names no allocation of this placement", memory.handle));
    if (memory.offset > allocation->size || memory.size > allocation->size - memory.offset)
        return refuse(owner, ErrorCode::MemoryRange, operation,
                      std::format("{} bytes at offset {} leave the allocation of {} bytes", memory.size, memory.offset,
                                  allocation->size));
    return {};
}

Status check_release_of_none(const MemoryOwner &owner, const Memory &memory)
{
    constexpr const char *operation = "release";
    if (memory.device != owner.device)
        return refuse(owner, ErrorCode::MemoryForeign, operation, "the memory is another device's");
    if (memory.generation != owner.generation)
        return {};
    return refuse(owner, ErrorCode::MemoryForeign, operation,
                  std::format("handle {:#x} is not allocated", memory.handle));
}

Error still_exported(const MemoryOwner &owner, size_t exports, const std::vector<pid_t> &holders)
{
    return refuse(owner, ErrorCode::MemoryExported, "release",
                  std::format("{} exports of the memory are open in {}", exports, holders_text(holders)),
                  "close every descriptor of the exported frame first")
        .error();
}

// habanalabs memory.c hl_export_dmabuf_from_addr: offset and size must be page multiples, and there is no empty one.
Status check_export_pages(const MemoryOwner &owner, const Memory &memory)
{
    if (memory.size != 0 && memory.size % export_page == 0 && memory.offset % export_page == 0)
        return {};
    return refuse(
        owner, ErrorCode::MemoryRange, "export dma-buf",
        std::format("{} bytes at offset {} are no whole pages of {} bytes", memory.size, memory.offset, export_page),
        "round size and offset up to whole pages");
}

Result<FileId> exported_file(const MemoryOwner &owner, int fd)
{
    const auto id = file_id(fd);
    const int err = id ? 0 : errno;
    if (id)
        return *id;
    return refuse(owner, ErrorCode::MemoryForeign, "resolve dma-buf", std::format("{} is no open descriptor", fd), {},
                  err);
}

Result<Memory> check_resolved(const MemoryOwner &owner, const std::optional<Memory> &exported)
{
    constexpr const char *operation = "resolve dma-buf";
    if (!exported)
        return refuse(owner, ErrorCode::MemoryForeign, operation, "the descriptor was not exported by this device");
    if (exported->generation != owner.generation)
        return refuse(owner, ErrorCode::MemoryStale, operation,
                      std::format("the descriptor was exported in generation {}, the device is in generation {}",
                                  exported->generation, owner.generation),
                      "allocate and export anew after a device loss");
    return *exported;
}

} // namespace hl
