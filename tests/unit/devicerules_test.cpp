// SPDX-License-Identifier: LGPL-2.1-or-later

// The rules of the driver as a user of Device meets them: one table over the simulator's presets and the kernel
// backend, so that none of them can be milder than another. Those of ALLOC and FREE
// have a file of their own, allocationrules_test.cpp, and so has EXPORT, exportrules_test.cpp. Rules about addresses,
// which Device hides: simrules_test.cpp.
#include "devicerules.h"
#include "inference/engine.h"
#include "inference/model.h"

#include <gtest/gtest.h>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using hl::ErrorCode;
using hl::Memory;
using hl::Status;
using hl::UniqueFd;
using namespace hl::test;

namespace {

constexpr auto lost_error = refused(ErrorCode::DeviceLost, EBUSY);

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

std::vector<DeviceRule> node_rules()
{
    constexpr std::string_view played = "the played driver has no node; gaudi_device_test asks a real one";
    return {
        {"A dma-buf keeps the node open after its process has closed it",
         "memory.c export_dmabuf(), get_file()",
         "open(sim:NAME) with an export of before open",
         refused(ErrorCode::DeviceBusy, EBUSY),
         {{on_driver, apart(played)}},
         [](DeviceRig &) {
             auto [device, fd] = named_with_export();
             device.reset();
             return outcome(hl::Device::open(own_name()));
         }},
        {"The node is free when the last dma-buf goes",
         "memory.c hl_release_dmabuf(), fput()",
         "open(sim:NAME)",
         granted(),
         {{on_driver, apart(played)}},
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
         {{on_driver, apart(played)}},
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
    return copy(rig.device, from, to, std::min(from.size, to.size));
}

Status copy_under_way(DeviceRig &rig)
{
    const auto host = rig.device->allocate(4096, host_placement), hbm = rig.device->allocate(4096, device_placement);
    rig.freeze();
    Record record;
    const auto one = request(*host, *hbm);
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

std::vector<DeviceRule> loss_rules()
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
         {{on_driver, apart("the driver revokes none, it ends the process; gaudi_loss_test")}},
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
    Record record;
    const auto one = request(*host, *hbm);
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

std::vector<DeviceRule> copy_rules()
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
             return copy(rig.device, *host, *hbm, 8193);
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

} // namespace

TEST(DeviceRules, OfTheComputeNode)
{
    check_device_rules(node_rules());
}

TEST(DeviceRules, OfADeviceThatIsNotOperational)
{
    check_device_rules(loss_rules());
}

TEST(DeviceRules, OfHostPagesAndCopies)
{
    check_device_rules(copy_rules());
}
