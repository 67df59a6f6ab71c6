// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/ioctldriver.h"

#include <sys/mman.h>

#include <cerrno>

namespace hl::kernel {
namespace {

template <class T>
Sys<void> without_value(const Sys<T> &result)
{
    if (!result)
        return std::unexpected(result.error());
    return {};
}

} // namespace

Sys<uapi::HwIpInfo> IoctlDriver::hw_info()
{
    return node_info<uapi::HwIpInfo>(node(), uapi::info_hw_ip);
}

Sys<uint32_t> IoctlDriver::status()
{
    return device_status(node());
}

Sys<void> IoctlDriver::register_events(int eventfd)
{
    return without_value(node_info<uint64_t>(node(), uapi::info_register_eventfd, static_cast<uint32_t>(eventfd)));
}

Sys<uint64_t> IoctlDriver::take_events()
{
    return node_info<uint64_t>(node(), uapi::info_get_events);
}

Sys<uint64_t> IoctlDriver::memory(const uapi::MemArgs &args)
{
    return node_call(node_.get(), numbers_.memory, args).transform([](const auto &out) { return out.word[0]; });
}

Sys<uint64_t> IoctlDriver::allocate(uint64_t bytes)
{
    return memory({.word = {bytes, 0, 0}, .op = uapi::mem_alloc, .flags = 0, .ctx_id = 0, .count = 0});
}

Sys<void> IoctlDriver::free(uint64_t handle)
{
    return without_value(memory({.word = {handle, 0, 0}, .op = uapi::mem_free, .flags = 0, .ctx_id = 0, .count = 0}));
}

Sys<uint64_t> IoctlDriver::map_device(uint64_t handle)
{
    return memory({.word = {0, handle, 0}, .op = uapi::mem_map, .flags = 0, .ctx_id = 0, .count = 0});
}

Sys<uint64_t> IoctlDriver::map_host(std::span<std::byte> pages)
{
    return memory({.word = {reinterpret_cast<uintptr_t>(pages.data()), 0, pages.size()},
                   .op = uapi::mem_map,
                   .flags = uapi::mem_userptr,
                   .ctx_id = 0,
                   .count = 0});
}

Sys<void> IoctlDriver::unmap(uint64_t address)
{
    return without_value(memory({.word = {address, 0, 0}, .op = uapi::mem_unmap, .flags = 0, .ctx_id = 0, .count = 0}));
}

Sys<UniqueFd> IoctlDriver::export_memory(uint64_t address, uint64_t bytes, uint64_t offset)
{
    return habanalabs::export_memory(node(), address, bytes, offset);
}

std::optional<uint64_t> IoctlDriver::open_files(int dmabuf)
{
    return habanalabs::open_files(dmabuf);
}

Sys<KernelBuffer> IoctlDriver::create_buffer(uint32_t bytes)
{
    const uapi::CbArgs args{.handle = 0, .op = uapi::cb_create, .size = bytes, .ctx_id = 0, .flags = 0};
    auto made = node_call(node_.get(), numbers_.cb, args);
    if (!made)
        return std::unexpected(made.error());
    KernelBuffer buffer{.handle = made->handle, .bytes = {}};
    // The handle is the offset to map (memory_mgr.c hl_mem_mgr_mmap).
    void *at =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, node_.get(), static_cast<off_t>(buffer.handle));
    if (at == MAP_FAILED) {
        const int err = errno;
        destroy_buffer(buffer);
        return std::unexpected(err);
    }
    buffer.bytes = {static_cast<std::byte *>(at), bytes};
    return buffer;
}

void IoctlDriver::destroy_buffer(const KernelBuffer &buffer) noexcept
{
    if (!buffer.bytes.empty())
        ::munmap(buffer.bytes.data(), buffer.bytes.size());
    const uapi::CbArgs args{.handle = buffer.handle, .op = uapi::cb_destroy, .size = 0, .ctx_id = 0, .flags = 0};
    (void)node_call(node_.get(), numbers_.cb, args);
}

Sys<uint64_t> IoctlDriver::submit(uint32_t queue, const CommandBuffer &buffer, std::chrono::seconds limit)
{
    uapi::CsChunk chunk{};
    chunk.cb = buffer.cb;
    chunk.queue = queue;
    chunk.cb_size = buffer.bytes;
    chunk.flags = buffer.user ? uapi::cs_chunk_user_alloc_cb : 0;
    uapi::CsArgs args{};
    args.chunks_execute = reinterpret_cast<uintptr_t>(&chunk);
    args.num_chunks_execute = 1;
    args.timeout = static_cast<uint32_t>(limit.count());
    args.flags = uapi::cs_custom_timeout;
    return node_call(node_.get(), numbers_.cs, args).transform([](const auto &out) { return out.chunks_restore; });
}

Sys<bool> IoctlDriver::wait(uint64_t sequence, std::chrono::microseconds limit)
{
    uapi::WaitArgs args{};
    args.seq = sequence;
    args.timeout_us = static_cast<uint64_t>(limit.count());
    auto waited = node_call(node_.get(), numbers_.wait_cs, args);
    if (!waited)
        return std::unexpected(waited.error());
    switch (static_cast<uint32_t>(waited->seq)) { // the answer's status lies where seq was
    case uapi::wait_completed:
        return true;
    case uapi::wait_busy:
        return false;
    case uapi::wait_timed_out:
        return std::unexpected(ETIMEDOUT);
    default:
        return std::unexpected(EIO);
    }
}

Sys<void> IoctlDriver::flush_inbound_writes()
{
    return habanalabs::flush_inbound_writes(node());
}

} // namespace hl::kernel
