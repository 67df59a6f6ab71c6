// SPDX-License-Identifier: LGPL-2.1-or-later

// The driver's rules of ALLOC and FREE, as a user of Device meets them; the tables' why: devicerules_test.cpp.
#include "devicerules.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <format>
#include <memory>
#include <vector>

using hl::ErrorCode;
using hl::Memory;
using hl::Status;
using hl::UniqueFd;
using namespace hl::test;

namespace {

constexpr auto exported_error = refused(ErrorCode::MemoryExported, EINVAL);
constexpr auto full_error = refused(ErrorCode::MemoryFull, ENOMEM);

Status takes_two_pages(DeviceRig &rig)
{
    const uint64_t quarter = rig.device->info().memory_size / 4;
    const Owned one{rig.device, quarter + 4096, device_placement}, two{rig.device, quarter + 4096, device_placement};
    return allocate(rig, quarter, device_placement);
}

Status when_full(DeviceRig &rig)
{
    const Owned all{rig.device, rig.device->info().memory_size, device_placement};
    return allocate(rig, 1, device_placement);
}

// Two free pieces, together as large as what is asked for, and in one quarter of the memory each.
Status when_scattered(DeviceRig &rig)
{
    const uint64_t piece = rig.device->info().memory_size / 8;
    std::vector<std::unique_ptr<Owned>> pieces;
    for (int i = 0; i < 8; ++i)
        pieces.push_back(std::make_unique<Owned>(rig.device, piece, device_placement));
    pieces[1].reset();
    pieces[4].reset();
    return allocate(rig, 2 * piece, device_placement);
}

Status after_others(DeviceRig &rig)
{
    Owned(rig.device, rig.device->info().memory_size / 4, device_placement).release();
    return allocate(rig, rig.device->info().memory_size, device_placement);
}

Status release_twice(DeviceRig &rig)
{
    const auto memory = rig.device->allocate(4096, device_placement);
    if (!memory || !rig.device->release(*memory))
        return {};
    return rig.device->release(*memory);
}

Status release_unknown(DeviceRig &rig)
{
    const Owned memory{rig.device, 4096, device_placement};
    Memory other = *memory;
    ++other.handle;
    return rig.device->release(other);
}

Status release_exported(DeviceRig &rig)
{
    Owned memory{rig.device, 8192, device_placement};
    const auto fd = rig.device->export_dmabuf(memory->part(4096, 4096));
    return fd ? rig.device->release(*memory) : outcome(fd);
}

Status release_with_a_duplicate_open(DeviceRig &rig)
{
    Owned memory{rig.device, 4096, device_placement};
    auto fd = rig.device->export_dmabuf(*memory);
    const UniqueFd other(::dup(fd->get()));
    fd->reset();
    return rig.device->release(*memory);
}

Status release_after_the_last_close(DeviceRig &rig)
{
    const auto memory = rig.device->allocate(4096, device_placement);
    auto fd = rig.device->export_dmabuf(*memory);
    UniqueFd other(::dup(fd->get()));
    fd->reset();
    other.reset();
    return rig.device->release(*memory);
}

Status names_the_holder(DeviceRig &rig)
{
    Owned memory{rig.device, 4096, device_placement};
    const auto fd = rig.device->export_dmabuf(*memory);
    const Status refusal = rig.device->release(*memory);
    return holds_true(!refusal && refusal.error().cause.contains(std::format("process {} (", ::getpid())),
                      "the holder is not named");
}

std::vector<DeviceRule> allocation_rules()
{
    return {
        {"ALLOC of no bytes is invalid",
         "memory.c hl_mem_ioctl(), alloc_device_memory()",
         "allocate(0)",
         range_error,
         {},
         [](DeviceRig &rig) { return allocate(rig, 0, device_placement); }},
        {"What is allocated can be exported whole, so it is whole kernel pages",
         "memory.c validate_export_params_common()",
         "allocate(1), export_dmabuf()",
         granted(),
         {},
         [](DeviceRig &rig) {
             const Owned memory{rig.device, 1, device_placement};
             const Status size = holds_true(memory->size == 4096, "not one page");
             return size ? export_of(rig, *memory) : size;
         }},
        {"ALLOC rounds up to device pages, the rest of which serves nobody else who needs a whole one",
         "memory.c alloc_device_memory()",
         "allocate(quarter + a page) twice, allocate(quarter)",
         full_error,
         {{on_gaudi, granted()}}, // hl_mem_ioctl(): there ALLOC only counts
         takes_two_pages},
        {"A device page has the chip's size",
         "gaudi.c gaudi_set_fixed_properties(), gaudi2.c gaudi2_set_dram_properties()",
         "info()",
         granted(),
         {},
         [](DeviceRig &rig) {
             const auto &info = rig.device->info();
             return holds_true(info.page_size == (info.chip == "Gaudi" ? 2u << 20 : 768u << 20), "another page");
         }},
        {"HBM that is full gives no more",
         "memory.c alloc_device_memory()",
         "allocate(all), allocate(1)",
         full_error,
         {},
         when_full},
        {"More than there is cannot be had",
         "memory.c alloc_device_memory()",
         "allocate(all + a page)",
         full_error,
         {},
         [](DeviceRig &rig) { return allocate(rig, rig.device->info().memory_size + 4096, device_placement); }},
        {"Free memory in two places is not one allocation",
         "memory.c alloc_device_memory()",
         "allocate() what two holes have together",
         full_error,
         {},
         when_scattered},
        {"Memory that was freed can be had in one piece with its neighbours",
         "memory.c free_phys_pg_pack()",
         "release(quarter), allocate(all)",
         granted(),
         {},
         after_others},
        {"FREE of an unknown handle is invalid",
         "memory.c free_device_memory()",
         "release()",
         foreign_error,
         {},
         release_unknown},
        {"FREE twice is invalid", "memory.c free_device_memory()", "release() twice", foreign_error, {}, release_twice},
        {"UNMAP is refused while an export of any part is open",
         "memory.c unmap_device_va()",
         "release()",
         exported_error,
         {},
         release_exported},
        {"A duplicate of the descriptor is the same export",
         "memory.c hl_release_dmabuf()",
         "release()",
         exported_error,
         {},
         release_with_a_duplicate_open},
        {"The last close anywhere ends the export",
         "memory.c hl_release_dmabuf()",
         "release()",
         granted(),
         {},
         release_after_the_last_close},
        {"Who holds a dma-buf can be seen",
         "drivers/dma-buf/dma-buf.c dma_buf_show_fdinfo()",
         "release() names the process",
         granted(),
         {{on_driver, apart("the played dma-buf is a memfd; gaudi_device_test asks a real one")}},
         names_the_holder},
        {"Memory of another context is not to be had",
         "memory.c map_device_va() (EPERM there: nobody else's handle exists "
         "in a process's own context)",
         "export_dmabuf(of another device)",
         foreign_error,
         {},
         [](DeviceRig &rig) {
             const Owned memory{rig.device, 4096, device_placement};
             Memory other = *memory;
             ++other.device;
             return export_of(rig, other);
         }},
    };
}

} // namespace

TEST(DeviceRules, OfAllocations)
{
    check_device_rules(allocation_rules());
}
