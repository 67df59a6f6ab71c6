// SPDX-License-Identifier: LGPL-2.1-or-later

// The driver's rules of EXPORT, as a user of Device meets them; the tables' why: devicerules_test.cpp.
#include "devicerules.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

using hl::ErrorCode;
using hl::Memory;
using hl::Status;
using hl::UniqueFd;
using namespace hl::test;

namespace {

// Outcome of the export of a part of four pages.
Status export_part(DeviceRig &rig, uint64_t offset, uint64_t size)
{
    const Owned memory{rig.device, 4 * 4096, device_placement};
    return export_of(rig, memory->part(offset, size));
}

Status export_many(DeviceRig &rig)
{
    const Owned memory{rig.device, 8192, device_placement};
    std::vector<UniqueFd> all;
    for (int i = 0; i < 50; ++i) {
        auto fd = rig.device->export_dmabuf(*memory);
        auto half = rig.device->export_dmabuf(memory->part(4096, 4096));
        if (!fd || !half)
            return fd ? outcome(half) : outcome(fd);
        all.push_back(std::move(*fd));
        all.push_back(std::move(*half));
    }
    const bool same = *rig.device->resolve_dmabuf(all[98].get()) == *memory &&
                      *rig.device->resolve_dmabuf(all[99].get()) == memory->part(4096, 4096);
    return holds_true(same && rig.device->usage().exports_open == 100, "not 100 exports of the two ranges");
}

Status export_without_descriptors(DeviceRig &rig)
{
    const Owned memory{rig.device, 4096, device_placement};
    const NoMoreFds none;
    return export_of(rig, *memory);
}

Status failing_export(DeviceRig &rig, int sys_errno)
{
    rig.fail_exports(sys_errno);
    return export_part(rig, 0, 4096);
}

// What a system call on a descriptor of device memory answers.
template <class Call>
Status on_export(DeviceRig &rig, Call call)
{
    const Owned memory{rig.device, 4096, device_placement};
    const auto fd = rig.device->export_dmabuf(*memory);
    if (!fd)
        return outcome(fd);
    errno = 0;
    if (call(fd->get()))
        return {};
    return answer(errno ? errno : EBADF);
}

std::vector<DeviceRule> export_rules()
{
    constexpr std::string_view common = "memory.c validate_export_params_common(), export_dmabuf_from_addr()";
    constexpr std::string_view played = "the played dma-buf is a memfd; gaudi_device_test asks a real one";
    return {
        {"EXPORT of no bytes is invalid",
         common,
         "export_dmabuf()",
         range_error,
         {},
         [](DeviceRig &rig) { return export_part(rig, 0, 0); }},
        {"EXPORT of part of a kernel page is invalid",
         common,
         "export_dmabuf()",
         range_error,
         {},
         [](DeviceRig &rig) { return export_part(rig, 0, 4096 + 512); }},
        {"EXPORT at an offset within a kernel page is invalid",
         common,
         "export_dmabuf()",
         range_error,
         {},
         [](DeviceRig &rig) { return export_part(rig, 100, 4096); }},
        {"EXPORT at an offset of whole pages",
         "memory.c export_dmabuf_from_addr(): Gaudi by address, Gaudi2 by offset",
         "export_dmabuf(), resolve_dmabuf()",
         granted(),
         {},
         [](DeviceRig &rig) {
             const Owned memory{rig.device, 4 * 4096, device_placement};
             const auto fd = rig.device->export_dmabuf(memory->part(8192, 4096));
             return fd ? holds_true(*rig.device->resolve_dmabuf(fd->get()) == memory->part(8192, 4096), "another part")
                       : outcome(fd);
         }},
        {"EXPORT beyond the allocation is invalid",
         "memory.c validate_export_params(), validate_export_params_no_mmu()",
         "export_dmabuf()",
         range_error,
         {},
         [](DeviceRig &rig) { return export_part(rig, 8192, 3 * 4096); }},
        {"EXPORT whose end wraps around is invalid",
         "memory.c validate_export_params_no_mmu()",
         "export_dmabuf()",
         range_error,
         {},
         [](DeviceRig &rig) { return export_part(rig, UINT64_MAX - 4095, 8192); }},
        {"EXPORT of what was freed is invalid",
         "memory.c memhash_node_export_get()",
         "export_dmabuf()",
         foreign_error,
         {},
         [](DeviceRig &rig) {
             const auto memory = rig.device->allocate(4096, device_placement);
             const Status released = rig.device->release(*memory);
             return released ? export_of(rig, *memory) : Status();
         }},
        {"EXPORT of what the PCI BAR does not reach is invalid",
         "memory.c validate_export_params(), validate_export_params_no_mmu()",
         "export_dmabuf()",
         refused(ErrorCode::MemoryExport, EINVAL),
         {},
         [](DeviceRig &rig) {
             rig.shrink_bar();
             return export_part(rig, 0, 4096);
         }},
        {"EXPORT needs kernel memory",
         "memory.c export_dmabuf_from_addr()",
         "export_dmabuf()",
         refused(ErrorCode::MemoryExport, ENOMEM),
         {},
         [](DeviceRig &rig) { return failing_export(rig, ENOMEM); }},
        {"EXPORT needs a descriptor of the process",
         "memory.c export_dmabuf(), dma_buf_fd()",
         "export_dmabuf()",
         refused(ErrorCode::FdLimit, EMFILE),
         {},
         export_without_descriptors},
        {"EXPORT needs a file of the system",
         "memory.c export_dmabuf(), dma_buf_export()",
         "export_dmabuf()",
         refused(ErrorCode::FdLimit, ENFILE),
         {},
         [](DeviceRig &rig) { return failing_export(rig, ENFILE); }},
        {"A dma-buf is as large as was asked for",
         "memory.c export_dmabuf()",
         "resolve_dmabuf()",
         granted(),
         {},
         [](DeviceRig &rig) {
             const Owned memory{rig.device, 4 * 4096, device_placement};
             const auto fd = rig.device->export_dmabuf(memory->part(0, 12288));
             return fd ? holds_true(rig.device->resolve_dmabuf(fd->get())->size == 12288, "another size") : outcome(fd);
         }},
        {"The descriptor has the flags of the call",
         "memory.c hl_mem_ioctl(), export_dmabuf()",
         "fcntl(F_GETFD)",
         granted(),
         {},
         [](DeviceRig &rig) { return on_export(rig, [](int fd) { return ::fcntl(fd, F_GETFD) & FD_CLOEXEC; }); }},
        {"Exports are as many as wanted, of one range and of overlapping ones",
         "memory.c export_dmabuf_from_addr()",
         "export_dmabuf() 100 times",
         granted(),
         {},
         export_many},
        {"A dma-buf has no mmap (the driver: EINVAL; a descriptor that answers so cannot be had without one)",
         "memory.c habanalabs_dmabuf_ops",
         "mmap()",
         refused(ENODEV),
         {{on_driver, apart(played)}},
         [](DeviceRig &rig) {
             return on_export(rig,
                              [](int fd) { return ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED; });
         }},
        {"A dma-buf has no read (the driver: EINVAL)",
         "drivers/dma-buf/dma-buf.c dma_buf_fops",
         "pread()",
         refused(ESPIPE),
         {{on_driver, apart(played)}},
         [](DeviceRig &rig) {
             char byte = 0;
             return on_export(rig, [&](int fd) { return ::pread(fd, &byte, 1, 0) >= 0; });
         }},
        {"A dma-buf has no write (the driver: EINVAL)",
         "drivers/dma-buf/dma-buf.c dma_buf_fops",
         "pwrite()",
         refused(ESPIPE),
         {{on_driver, apart(played)}},
         [](DeviceRig &rig) { return on_export(rig, [](int fd) { return ::pwrite(fd, "", 1, 0) >= 0; }); }},
        {"The CPU has no mapping of HBM",
         "memory.c: none of its mmap functions is for DRAM",
         "host_span()",
         foreign_error,
         {},
         [](DeviceRig &rig) {
             const Owned memory{rig.device, 4096, device_placement};
             return outcome(rig.device->host_span(*memory));
         }},
        {"The driver adds no fences: nobody is waited for",
         "memory.c habanalabs_dmabuf_ops",
         "wait_readers(until now)",
         granted(),
         {},
         [](DeviceRig &rig) {
             const Owned memory{rig.device, 4096, device_placement};
             const auto fd = rig.device->export_dmabuf(*memory);
             return fd ? outcome(rig.device->wait_readers(fd->get(), hl::Clock::now())) : outcome(fd);
         }},
    };
}

} // namespace

TEST(DeviceRules, OfExports)
{
    check_device_rules(export_rules());
}
