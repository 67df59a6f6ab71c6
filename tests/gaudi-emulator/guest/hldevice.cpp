// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest/hldevice.h"

#include <drm/habanalabs_accel.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace gaudiemu::guest {

int HlDevice::open(const char *node)
{
    fd_.reset(::open(node, O_RDWR | O_CLOEXEC));
    return fd_ ? 0 : errno;
}

void HlDevice::close()
{
    fd_.reset();
}

int HlDevice::chip(Chip &chip) const
{
    hl_info_hw_ip_info answer{};
    const int error = info(HL_INFO_HW_IP_INFO, &answer, sizeof answer);
    chip = {answer.device_id, answer.dram_base_address};
    return error;
}

int HlDevice::status(uint32_t &status) const
{
    hl_info_device_status answer{};
    const int error = info(HL_INFO_DEVICE_STATUS, &answer, sizeof answer);
    status = answer.status;
    return error;
}

int HlDevice::version(std::string &cpucp) const
{
    hl_info_hw_ip_info answer{};
    const int error = info(HL_INFO_HW_IP_INFO, &answer, sizeof answer);
    cpucp = reinterpret_cast<const char *>(answer.cpucp_version);
    return error;
}

int HlDevice::allocate(uint64_t size, uint64_t &handle) const
{
    hl_mem_args arguments{};
    arguments.in.alloc.mem_size = size;
    arguments.in.op = HL_MEM_OP_ALLOC;
    const int error = call(DRM_IOCTL_HL_MEMORY, &arguments);
    handle = arguments.out.handle;
    return error;
}

int HlDevice::release(uint64_t handle) const
{
    hl_mem_args arguments{};
    arguments.in.free.handle = handle;
    arguments.in.op = HL_MEM_OP_FREE;
    return call(DRM_IOCTL_HL_MEMORY, &arguments);
}

int HlDevice::map(uint64_t handle, uint64_t &address) const
{
    hl_mem_args arguments{};
    arguments.in.map_device.handle = handle;
    arguments.in.op = HL_MEM_OP_MAP;
    const int error = call(DRM_IOCTL_HL_MEMORY, &arguments);
    address = arguments.out.device_virt_addr;
    return error;
}

int HlDevice::map_host(void *memory, uint64_t size, uint64_t &address) const
{
    hl_mem_args arguments{};
    arguments.in.map_host.host_virt_addr = reinterpret_cast<uintptr_t>(memory);
    arguments.in.map_host.mem_size = size;
    arguments.in.op = HL_MEM_OP_MAP;
    arguments.in.flags = HL_MEM_USERPTR;
    const int error = call(DRM_IOCTL_HL_MEMORY, &arguments);
    address = arguments.out.device_virt_addr;
    return error;
}

int HlDevice::unmap(uint64_t address) const
{
    hl_mem_args arguments{};
    arguments.in.unmap.device_virt_addr = address;
    arguments.in.op = HL_MEM_OP_UNMAP;
    return call(DRM_IOCTL_HL_MEMORY, &arguments);
}

int HlDevice::export_dmabuf(uint64_t address, uint64_t size, uint64_t offset, hl::UniqueFd &dmabuf) const
{
    hl_mem_args arguments{};
    arguments.in.export_dmabuf_fd.addr = address;
    arguments.in.export_dmabuf_fd.mem_size = size;
    arguments.in.export_dmabuf_fd.offset = offset;
    arguments.in.op = HL_MEM_OP_EXPORT_DMABUF_FD;
    arguments.in.flags = O_RDWR | O_CLOEXEC;
    const int error = call(DRM_IOCTL_HL_MEMORY, &arguments);
    dmabuf.reset(error == 0 ? static_cast<int>(arguments.out.fd) : -1);
    return error;
}

int HlDevice::submit(uint32_t queue, uint64_t address, uint32_t size, uint64_t &sequence) const
{
    return submit_chunk(queue, address, size, HL_CS_CHUNK_FLAGS_USER_ALLOC_CB, sequence);
}

int HlDevice::submit_buffer(uint32_t queue, uint64_t handle, uint32_t size, uint64_t &sequence) const
{
    return submit_chunk(queue, handle, size, 0, sequence);
}

int HlDevice::create_buffer(uint32_t size, uint64_t &handle) const
{
    hl_cb_args arguments{};
    arguments.in.op = HL_CB_OP_CREATE;
    arguments.in.cb_size = size;
    const int error = call(DRM_IOCTL_HL_CB, &arguments);
    handle = arguments.out.cb_handle;
    return error;
}

void *HlDevice::map_buffer(uint64_t handle, size_t size) const
{
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), static_cast<off_t>(handle));
}

int HlDevice::submit_chunk(uint32_t queue, uint64_t buffer, uint32_t size, uint32_t flags, uint64_t &sequence) const
{
    hl_cs_chunk chunk{};
    chunk.cb_handle = buffer;
    chunk.queue_index = queue;
    chunk.cb_size = size;
    chunk.cs_chunk_flags = flags;
    hl_cs_args arguments{};
    arguments.in.chunks_execute = reinterpret_cast<uintptr_t>(&chunk);
    arguments.in.num_chunks_execute = 1;
    const int error = call(DRM_IOCTL_HL_CS, &arguments);
    sequence = arguments.out.seq;
    return error;
}

int HlDevice::wait(uint64_t sequence, uint64_t microseconds, uint32_t &outcome) const
{
    hl_wait_cs_args arguments{};
    arguments.in.seq = sequence;
    arguments.in.timeout_us = microseconds;
    const int error = call(DRM_IOCTL_HL_WAIT_CS, &arguments);
    outcome = arguments.out.status;
    return error;
}

int HlDevice::flush_inbound() const
{
    hl_cs_args arguments{};
    arguments.in.cs_flags = HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES;
    return call(DRM_IOCTL_HL_CS, &arguments);
}

int HlDevice::call(unsigned long request, void *arguments) const
{
    int result = 0;
    do
        result = ioctl(fd_.get(), request, arguments);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

int HlDevice::info(uint32_t op, void *into, uint32_t size) const
{
    hl_info_args arguments{};
    arguments.return_pointer = reinterpret_cast<uintptr_t>(into);
    arguments.return_size = size;
    arguments.op = op;
    return call(DRM_IOCTL_HL_INFO, &arguments);
}

} // namespace gaudiemu::guest
