// SPDX-License-Identifier: LGPL-2.1-or-later

// The rules of the driver as a user of Device meets them: one table over the simulator's presets and the kernel
// backend, so that none of them can be milder than another. Rules about addresses, which Device hides:
// simrules_test.cpp.
#include "devicerig.h"
#include "inference/engine.h"
#include "inference/model.h"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <string>
#include <utility>
#include <vector>

using hl::ErrorCode;
using hl::Memory;
using hl::Placement;
using hl::Status;
using hl::UniqueFd;
using hl::test::apart;
using hl::test::DeviceRig;
using hl::test::granted;
using hl::test::holds_true;
using hl::test::outcome;
using hl::test::Owned;
using hl::test::refused;
using Rule = hl::test::Rule<DeviceRig>;

namespace {

constexpr auto device_placement = Placement::Device;
constexpr auto host_placement = Placement::Host;
constexpr auto range_error = refused(ErrorCode::MemoryRange, EINVAL);
constexpr auto foreign_error = refused(ErrorCode::MemoryForeign, EINVAL);
constexpr auto exported_error = refused(ErrorCode::MemoryExported, EINVAL);
constexpr auto full_error = refused(ErrorCode::MemoryFull, ENOMEM);
constexpr auto lost_error = refused(ErrorCode::DeviceLost, EBUSY);

// Outcome of an allocation, which goes again if it was granted.
Status allocate(DeviceRig &rig, uint64_t size, Placement placement)
{
    const auto memory = rig.device->allocate(size, placement);
    return memory ? rig.device->release(*memory) : outcome(memory);
}

Status export_of(DeviceRig &rig, const Memory &memory)
{
    return outcome(rig.device->export_dmabuf(memory));
}

// Outcome of the export of a part of four pages.
Status export_part(DeviceRig &rig, uint64_t offset, uint64_t size)
{
    const Owned memory{rig.device, 4 * 4096, device_placement};
    return export_of(rig, memory->part(offset, size));
}

// --- ALLOC and FREE ---

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

std::vector<Rule> allocation_rules()
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
         {{hl::test::on_gaudi, granted()}}, // hl_mem_ioctl(): there ALLOC only counts
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
         {{hl::test::on_driver, apart("the played dma-buf is a memfd; gaudi_device_test asks a real one")}},
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

// --- EXPORT ---

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
    const hl::test::NoMoreFds none;
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
    return hl::test::answer(errno ? errno : EBADF);
}

std::vector<Rule> export_rules()
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
         {{hl::test::on_driver, apart(played)}},
         [](DeviceRig &rig) {
             return on_export(rig,
                              [](int fd) { return ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED; });
         }},
        {"A dma-buf has no read (the driver: EINVAL)",
         "drivers/dma-buf/dma-buf.c dma_buf_fops",
         "pread()",
         refused(ESPIPE),
         {{hl::test::on_driver, apart(played)}},
         [](DeviceRig &rig) {
             char byte = 0;
             return on_export(rig, [&](int fd) { return ::pread(fd, &byte, 1, 0) >= 0; });
         }},
        {"A dma-buf has no write (the driver: EINVAL)",
         "drivers/dma-buf/dma-buf.c dma_buf_fops",
         "pwrite()",
         refused(ESPIPE),
         {{hl::test::on_driver, apart(played)}},
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

// --- the compute node ---

std::string own_name()
{
    return std::format("sim:rule-{}", ::getpid());
}

// A named device, of which one dma-buf is left.
std::pair<std::shared_ptr<hl::Device>, UniqueFd> named_with_export()
{
    auto device = hl::Device::open(own_name());
    if (!device)
        return {};
    const auto memory = (*device)->allocate(4096, device_placement);
    return {*device, std::move(*(*device)->export_dmabuf(*memory))};
}

std::vector<Rule> node_rules()
{
    constexpr std::string_view played = "the played driver has no node; gaudi_device_test asks a real one";
    return {
        {"A dma-buf keeps the node open after its process has closed it",
         "memory.c export_dmabuf(), get_file()",
         "open(sim:NAME) with an export of before open",
         refused(ErrorCode::DeviceBusy, EBUSY),
         {{hl::test::on_driver, apart(played)}},
         [](DeviceRig &) {
             auto [device, fd] = named_with_export();
             device.reset();
             return outcome(hl::Device::open(own_name()));
         }},
        {"The node is free when the last dma-buf goes",
         "memory.c hl_release_dmabuf(), fput()",
         "open(sim:NAME)",
         granted(),
         {{hl::test::on_driver, apart(played)}},
         [](DeviceRig &) {
             auto [device, fd] = named_with_export();
             UniqueFd other(::dup(fd.get()));
             device.reset();
             fd.reset();
             const auto busy = hl::Device::open(own_name());
             other.reset();
             const Status first = holds_true(!busy, "a duplicate did not hold it");
             return first ? outcome(hl::Device::open(own_name())) : first;
         }},
        {"What is in use is still listed (the kernel's attributes need no open)",
         "sysfs.c device_type_show()",
         "enumerate()",
         granted(),
         {{hl::test::on_driver, apart(played)}},
         [](DeviceRig &rig) {
             const auto all = hl::Device::enumerate();
             return holds_true(std::ranges::contains(all, rig.device->info().chip, &hl::DeviceListing::chip),
                               "the chip is not listed");
         }},
    };
}

// --- not operational ---

Status submit_one(DeviceRig &rig, const Memory &from, const Memory &to)
{
    return hl::test::copy(rig.device, from, to, std::min(from.size, to.size));
}

Status copy_under_way(DeviceRig &rig)
{
    const auto host = rig.device->allocate(4096, host_placement), hbm = rig.device->allocate(4096, device_placement);
    rig.freeze();
    hl::test::Record record;
    const auto one = hl::test::request(*host, *hbm);
    if (const auto taken = rig.device->submit({&one, 1}, record); !taken)
        return taken;
    rig.lose();
    return record.wait(1)[0].status;
}

Status resolve_older(DeviceRig &rig)
{
    const auto memory = rig.device->allocate(4096, device_placement);
    const auto fd = rig.device->export_dmabuf(*memory);
    rig.lose();
    return outcome(rig.device->resolve_dmabuf(fd->get()));
}

std::vector<Rule> loss_rules()
{
    constexpr std::string_view memory_ioctl = "memory.c hl_mem_ioctl()";
    const auto when_lost = [](auto ask) {
        return [ask](DeviceRig &rig) {
            const auto host = rig.device->allocate(4096, host_placement);
            const auto hbm = rig.device->allocate(4096, device_placement);
            rig.lose();
            return ask(rig, *host, *hbm);
        };
    };
    return {
        {"ALLOC on a device that is not operational",
         memory_ioctl,
         "allocate(Device)",
         lost_error,
         {},
         when_lost([](DeviceRig &rig, auto &, auto &) { return allocate(rig, 4096, device_placement); })},
        {"MAP on a device that is not operational",
         memory_ioctl,
         "allocate(Host)",
         lost_error,
         {},
         when_lost([](DeviceRig &rig, auto &, auto &) { return allocate(rig, 4096, host_placement); })},
        {"EXPORT on a device that is not operational",
         memory_ioctl,
         "export_dmabuf()",
         lost_error,
         {},
         when_lost([](DeviceRig &rig, auto &, auto &hbm) { return export_of(rig, hbm); })},
        {"UNMAP and FREE on it are refused as well, but what is lost need not be freed",
         memory_ioctl,
         "release()",
         granted(),
         {},
         when_lost([](DeviceRig &rig, auto &host, auto &hbm) {
             const Status one = rig.device->release(host);
             return one ? rig.device->release(hbm) : one;
         })},
        {"CS on a device that is not operational",
         "command_submission.c hl_cs_ioctl()",
         "copy()",
         lost_error,
         {},
         when_lost([](DeviceRig &rig, auto &host, auto &hbm) { return submit_one(rig, host, hbm); })},
        {"The flush of inbound writes on it",
         "command_submission.c hl_cs_ioctl()",
         "flush_inbound_writes()",
         lost_error,
         {},
         when_lost([](DeviceRig &rig, auto &, auto &) { return rig.device->flush_inbound_writes(); })},
        {"A model on it",
         "command_submission.c hl_cs_ioctl()",
         "create_engine()",
         lost_error,
         {},
         when_lost([](DeviceRig &rig, auto &, auto &) {
             return outcome(rig.device->create_engine(*hl::Model::load("builtin:null"), {}));
         })},
        {"What asks about the device still answers",
         "habanalabs_ioctl.c _hl_info_ioctl()",
         "info(), usage()",
         granted(),
         {},
         when_lost([](DeviceRig &rig, auto &, auto &) {
             return holds_true(!rig.device->info().chip.empty() && rig.device->usage().exports_open == 0, "no answer");
         })},
        {"A reset aborts what is waited for",
         "command_submission.c hl_wait_ioctl(), EIO",
         "submit(), completion",
         lost_error,
         {},
         copy_under_way},
        {"No dma-buf of before a reset is of the device after it",
         "device.c hl_device_reset()",
         "resolve_dmabuf()",
         refused(ErrorCode::MemoryStale, EINVAL),
         {},
         resolve_older},
        {"A reset ends every export",
         "device.c device_kill_open_processes()",
         "poll() of the descriptor",
         granted(),
         {{hl::test::on_driver, apart("the driver revokes none, it ends the process; gaudi_loss_test")}},
         [](DeviceRig &rig) {
             const auto memory = rig.device->allocate(4096, device_placement);
             const auto fd = rig.device->export_dmabuf(*memory);
             rig.lose();
             pollfd entry{.fd = fd->get(), .events = 0, .revents = 0};
             return holds_true(::poll(&entry, 1, 0) == 1 && (entry.revents & POLLHUP), "the holder is not told");
         }},
    };
}

// --- host pages and copies ---

Status until_refused(DeviceRig &rig)
{
    const Owned host{rig.device, 4096, host_placement}, hbm{rig.device, 4096, device_placement};
    rig.freeze();
    hl::test::Record record;
    const auto one = hl::test::request(*host, *hbm);
    Status last;
    size_t taken = 0;
    for (; last && taken <= 16384; ++taken)
        last = rig.device->submit({&one, 1}, record);
    rig.thaw();
    for (const auto &end : record.wait(taken - 1))
        if (!end.status)
            return end.status;
    const Status enough = holds_true(taken > 64, "fewer than 64 were taken");
    return enough ? last : enough;
}

Status copy_released(DeviceRig &rig)
{
    const Owned host{rig.device, 4096, host_placement};
    const auto hbm = rig.device->allocate(4096, device_placement);
    const Status released = rig.device->release(*hbm);
    return released ? submit_one(rig, *host, *hbm) : Status();
}

std::vector<Rule> copy_rules()
{
    const auto pin = [](int sys_errno) {
        return [sys_errno](DeviceRig &rig) {
            rig.fail_pins(sys_errno);
            return allocate(rig, 4096, host_placement);
        };
    };
    return {
        {"MAP of no host pages is invalid",
         "memory.c hl_pin_host_memory()",
         "allocate(0, Host)",
         range_error,
         {},
         [](DeviceRig &rig) { return allocate(rig, 0, host_placement); }},
        {"MAP of host pages whose end wraps around (EINVAL there; no such pages can be made here)",
         "memory.c hl_pin_host_memory()",
         "allocate(2^64 - 1, Host)",
         refused(ErrorCode::MemoryHost, ENOMEM),
         {},
         [](DeviceRig &rig) { return allocate(rig, UINT64_MAX, host_placement); }},
        {"MAP of pages that cannot be pinned",
         "memory.c get_user_memory()",
         "allocate(Host)",
         refused(ErrorCode::MemoryHost, EFAULT),
         {},
         pin(EFAULT)},
        {"MAP without memory for it, or without a free address",
         "memory.c map_device_va(), get_user_memory()",
         "allocate(Host)",
         refused(ErrorCode::MemoryHost, ENOMEM),
         {},
         pin(ENOMEM)},
        {"A copy stays within its memories",
         "DMA to what is not mapped faults (gaudi2.c gaudi2_handle_page_error())",
         "copy(8193 of 8192 bytes)",
         range_error,
         {},
         [](DeviceRig &rig) {
             const Owned host{rig.device, 16384, host_placement}, hbm{rig.device, 8192, device_placement};
             return hl::test::copy(rig.device, *host, *hbm, 8193);
         }},
        {"A copy to what was freed", "likewise", "copy()", foreign_error, {}, copy_released},
        {"Submissions in flight are bounded (the driver: 64 on Gaudi2, 16384 on Gaudi; a Device's queue is shorter "
         "than "
         "what it hands to either)",
         "command_submission.c allocate_cs(), EAGAIN",
         "submit() until refused",
         refused(ErrorCode::QueueFull, EAGAIN),
         {},
         until_refused},
        {"Inbound writes can be flushed",
         "command_submission.c cs_ioctl_flush_pci_hbw_writes()",
         "flush_inbound_writes()",
         granted(),
         {},
         [](DeviceRig &rig) { return rig.device->flush_inbound_writes(); }},
    };
}

void check(const std::vector<Rule> &rules)
{
    const auto columns = hl::test::device_columns();
    hl::test::check_rules<DeviceRig>(rules, columns);
}

} // namespace

TEST(DeviceRules, OfAllocations)
{
    check(allocation_rules());
}

TEST(DeviceRules, OfExports)
{
    check(export_rules());
}

TEST(DeviceRules, OfTheComputeNode)
{
    check(node_rules());
}

TEST(DeviceRules, OfADeviceThatIsNotOperational)
{
    check(loss_rules());
}

TEST(DeviceRules, OfHostPagesAndCopies)
{
    check(copy_rules());
}
