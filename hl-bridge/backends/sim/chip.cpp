// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/chip.h"

#include "backends/sim/namelock.h"
#include "device/driveranswer.h"
#include "device/holders.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::sim {
namespace {

constexpr const char *fd_remedy = "raise the limit of open files (ulimit -n)";

bool hung_up(int fd) noexcept
{
    pollfd entry{.fd = fd, .events = 0, .revents = 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLHUP);
}

} // namespace

Chip::Chip(uint32_t device, std::string name, Settings settings, UniqueFd name_lock) noexcept
    : device_(device), name_(std::move(name)), settings_(std::move(settings)), name_lock_(std::move(name_lock)),
      next_host_address_(settings_.preset->host_first)
{}

Result<std::shared_ptr<Chip>> Chip::create(uint32_t device, std::string name, Settings settings, UniqueFd name_lock)
{
    std::shared_ptr<Chip> chip(new Chip(device, std::move(name), std::move(settings), std::move(name_lock)));
    const Preset &preset = *chip->settings_.preset;
    auto hbm = Hbm::create(preset, chip->settings_.hbm_user_bytes, chip->settings_.bar_bytes);
    if (!hbm) {
        hbm.error().device = chip->name_;
        return std::unexpected(std::move(hbm.error()));
    }
    chip->hbm_ = std::move(*hbm);
    if (!preset.dram_virtual)
        chip->mmu_.map(preset.dram_address, chip->hbm_.user_bytes(), chip->hbm_.bytes(preset.reserved_bytes));
    chip->udmabuf_ = try_open_udmabuf();
    return chip;
}

std::unexpected<Error> Chip::refuse(ErrorCode code, const char *operation, std::string cause, std::string remedy,
                                    int sys_errno) const
{
    return fail(code, operation, std::move(cause), std::move(remedy), sys_errno, name_);
}

std::chrono::nanoseconds Chip::dma_time(uint64_t bytes) const noexcept
{
    const std::chrono::duration<double> moving(static_cast<double>(bytes) * settings_.dma_seconds_per_byte);
    return settings_.dma_time + std::chrono::duration_cast<std::chrono::nanoseconds>(moving);
}

// --- allocation ---

Result<Memory> Chip::allocate(uint64_t size, Placement placement, HostPages pages)
{
    constexpr const char *operation = "allocate";
    const Lock held = lock();
    if (auto alive = check_alive(held, operation); !alive)
        return std::unexpected(std::move(alive.error()));
    if (auto good = check_allocation_size(owner(held), size, placement); !good)
        return std::unexpected(std::move(good.error()));
    const bool device = placement == Placement::Device;
    for (const FaultPoint point : {FaultPoint::Alloc, device ? FaultPoint::AllocDevice : FaultPoint::AllocHost})
        if (auto struck = strike(held, point, operation, device ? ErrorCode::MemoryFull : ErrorCode::MemoryHost,
                                 "use fewer or smaller frames");
            !struck)
            return std::unexpected(std::move(struck.error()));

    auto allocation = std::make_unique<Allocation>();
    allocation->memory = {.device = device_,
                          .generation = generation_,
                          .handle = (static_cast<uint64_t>(device_) << 40) | next_handle_,
                          .offset = 0,
                          .size = round_to_export_page(size),
                          .placement = placement};
    if (auto done = device ? allocate_device(held, *allocation) : allocate_host(held, *allocation, pages); !done)
        return std::unexpected(std::move(done.error()));
    ++next_handle_;
    allocation->mapped = !device || settings_.preset->dram_virtual;
    if (allocation->mapped)
        mmu_.map(allocation->address, allocation->memory.size, bytes(*allocation));
    const Memory memory = allocation->memory;
    allocations_.emplace(memory.handle, std::move(allocation));
    return memory;
}

Status Chip::allocate_device(const Lock &, Allocation &allocation)
{
    const uint64_t size = allocation.memory.size;
    const auto offset = settings_.faults.hbm_full() ? std::nullopt : hbm_.allocate(size);
    if (!offset)
        return refuse(ErrorCode::MemoryFull, "allocate",
                      std::format("{} bytes of HBM are not free: {} of {} MiB are allocated, the largest free stretch "
                                  "is {} KiB{}",
                                  size, hbm_.used() >> 20, hbm_.user_bytes() >> 20, hbm_.largest_free() >> 10,
                                  settings_.faults.hbm_full() ? " (HL_SIM_FAULTS: hbm-full)" : ""),
                      "use fewer or smaller frames, or close what else uses this device", ENOMEM);
    allocation.hbm_offset = *offset;
    allocation.address = hbm_.address(*offset);
    return {};
}

Status Chip::allocate_host(const Lock &held, Allocation &allocation, HostPages kind)
{
    const uint64_t size = allocation.memory.size;
    if (const Fault fault = next_fault(held, FaultPoint::Pages); fault.error) {
        auto failed = HostMemory::creation_error("memfd_create", fault.error, size, kind);
        failed.error().device = name_;
        return failed;
    }
    if (auto alive = check_alive(held, "pin host pages"); !alive)
        return alive;
    if (size >= settings_.preset->host_end - next_host_address_)
        return refuse(ErrorCode::MemoryHost, "pin host pages", "the device's host address range is used up",
                      "restart the process", ENOMEM);
    auto pages = HostMemory::create(size, kind);
    if (!pages) {
        pages.error().device = name_;
        return std::unexpected(std::move(pages.error()));
    }
    allocation.pages = std::move(*pages);
    // Addresses are never used twice, so that a stale one faults; a page between two mappings catches overruns.
    allocation.address = next_host_address_;
    next_host_address_ += size + export_page;
    host_bytes_ += size;
    return {};
}

std::byte *Chip::bytes(const Allocation &allocation) const noexcept
{
    return allocation.memory.placement == Placement::Device ? hbm_.bytes(allocation.hbm_offset)
                                                            : allocation.pages.span().data();
}

Result<Allocation *> Chip::find(const Lock &held, const Memory &memory)
{
    Allocation *const allocation = live(held, memory);
    if (auto good = check_memory(owner(held), memory, allocation ? &allocation->memory : nullptr); !good)
        return std::unexpected(std::move(good.error()));
    return allocation;
}

Allocation *Chip::live(const Lock &, const Memory &memory) const
{
    const auto at = allocations_.find(memory.handle);
    return at == allocations_.end() || at->second->released ? nullptr : at->second.get();
}

void Chip::drop(const Lock &, Allocation &allocation)
{
    if (--allocation.users != 0)
        return;
    if (allocation.released)
        destroy(allocation);
    else if (allocation.memory.generation != generation_)
        unmap(allocation);
}

void Chip::wake_all(const Lock &) noexcept
{
    for (std::condition_variable *waiter : waiters_)
        waiter->notify_all();
}

void Chip::unmap(Allocation &allocation)
{
    if (allocation.mapped)
        (void)mmu_.unmap(allocation.address);
    allocation.mapped = false;
}

void Chip::retire(const Lock &, Allocation &allocation)
{
    allocation.released = true;
    if (allocation.users == 0)
        destroy(allocation);
}

void Chip::destroy(Allocation &allocation)
{
    unmap(allocation);
    for (const FileId &id : allocation.exports)
        exports_.erase(id);
    if (allocation.memory.placement == Placement::Device)
        hbm_.free(allocation.hbm_offset);
    else
        host_bytes_ -= allocation.memory.size;
    allocations_.erase(allocation.memory.handle);
}

Status Chip::release(const Memory &memory)
{
    Lock held = lock();
    Allocation *const found = live(held, memory);
    if (!found || memory.device != device_)
        return check_release_of_none(owner(held), memory);
    Allocation &allocation = *found;
    if (prune_exports(held, allocation) != 0) {
        const std::vector<FileId> open = allocation.exports;
        const MemoryOwner whose = owner(held);
        held.unlock(); // the search below takes milliseconds
        const auto pids = find_holders(
            "socket:", [&open](const struct stat &st) { return std::ranges::find(open, file_id(st)) != open.end(); });
        return std::unexpected(still_exported(whose, open.size(), pids));
    }
    // EINVAL is the refusal of memory that is exported still; what else can be ordered says that the device is lost.
    const bool device = memory.placement == Placement::Device;
    if (const Fault fault = device ? next_fault(held, FaultPoint::Release) : Fault{}; fault.error == EINVAL)
        return std::unexpected(still_exported(owner(held), 1, {}));
    else if (call_says_lost(fault.error))
        lose(held);
    if (lost_ && device)
        return {}; // went with its generation
    retire(held, allocation);
    return {};
}

// --- export ---

uint32_t Chip::prune_exports(const Lock &, Allocation &allocation)
{
    if (allocation.memory.placement == Placement::Host)
        return 0; // a memfd or udmabuf keeps its pages by itself
    std::erase_if(allocation.exports, [this](const FileId &id) {
        const auto at = exports_.find(id);
        if (at != exports_.end() && !hung_up(at->second.ours.get()))
            return false;
        if (at != exports_.end())
            exports_.erase(at);
        return true;
    });
    return static_cast<uint32_t>(allocation.exports.size());
}

Result<UniqueFd> Chip::export_dmabuf(const Memory &memory)
{
    constexpr const char *operation = "export dma-buf";
    const Lock held = lock();
    if (auto alive = check_alive(held, operation); !alive)
        return std::unexpected(std::move(alive.error()));
    if (auto struck = strike(held, FaultPoint::Export, operation, ErrorCode::MemoryExport); !struck)
        return std::unexpected(std::move(struck.error()));
    auto found = find(held, memory);
    if (!found)
        return std::unexpected(std::move(found.error()));
    if (auto whole = check_export_pages(owner(held), memory); !whole)
        return std::unexpected(std::move(whole.error()));
    return memory.placement == Placement::Device ? export_device(held, memory, **found)
                                                 : export_host(held, memory, **found);
}

Result<UniqueFd> Chip::export_device(const Lock &held, const Memory &memory, Allocation &allocation)
{
    constexpr const char *operation = "export dma-buf";
    if (const int err = hbm_.check_export(hbm_.export_range(allocation.hbm_offset + memory.offset, memory.size)))
        return refuse(ErrorCode::MemoryExport, operation,
                      std::format("the PCI BAR of {} does not reach {} bytes at offset {} (HL_SIM_BAR_MB)", name_,
                                  memory.size, memory.offset),
                      "use memory=host; on a real machine, \"above 4G decoding\" and resizable BAR in its setup", err);
    // One end of a socket pair is a descriptor that cannot be mapped, that no kernel importer takes for a dma-buf, that
    // travels to other processes, and whose last close, wherever, the other end sees.
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0) {
        const int err = errno;
        return refuse(says_no_descriptor(err) ? ErrorCode::FdLimit : ErrorCode::MemoryExport, operation,
                      "no descriptor could be made for the frame", fd_remedy, err);
    }
    UniqueFd ours(ends[0]), theirs(ends[1]);
    const auto id = file_id(theirs.get());
    if (!id)
        return refuse(ErrorCode::MemoryExport, operation, "the new descriptor has no identity", {}, errno);
    if (name_lock_ && !leave_with(ours.get(), name_lock_.get())) {
        const int err = errno;
        return refuse(ErrorCode::FdLimit, operation, "the frame cannot hold the device's name", fd_remedy, err);
    }
    (void)prune_exports(held, allocation);
    allocation.exports.push_back(*id);
    exports_.insert_or_assign(*id, Export{memory, std::move(ours)});
    return theirs;
}

Result<UniqueFd> Chip::export_host(const Lock &held, const Memory &memory, Allocation &allocation)
{
    if (!udmabuf_)
        udmabuf_ = try_open_udmabuf(); // loaded, or permitted, since
    const Fault fault = next_fault(held, FaultPoint::Udmabuf);
    if (auto alive = check_alive(held, "export host pages"); !alive)
        return std::unexpected(std::move(alive.error()));
    Result<UniqueFd> fd = fault.error ? allocation.pages.export_error(fault.error, memory.offset, memory.size)
                                      : allocation.pages.export_fd(udmabuf_, memory.offset, memory.size);
    if (!fd) {
        fd.error().device = name_;
        return std::unexpected(std::move(fd.error()));
    }
    const auto id = file_id(fd->get());
    if (!id)
        return refuse(ErrorCode::MemoryExport, "export dma-buf", "the new descriptor has no identity", {}, errno);
    // A memfd has one identity for all its exports, all of them from byte 0: the longest wins.
    const auto [at, inserted] = exports_.try_emplace(*id, Export{memory, UniqueFd()});
    if (inserted)
        allocation.exports.push_back(*id);
    else if (at->second.memory.size < memory.size)
        at->second.memory.size = memory.size;
    return fd;
}

Result<Memory> Chip::resolve_dmabuf(int fd)
{
    const Lock held = lock();
    if (const Fault fault = next_fault(held, FaultPoint::Resolve); fault.error)
        return refuse(says_no_descriptor(fault.error) ? ErrorCode::FdLimit : ErrorCode::MemoryForeign,
                      "resolve dma-buf", "the descriptor could not be looked at (HL_SIM_FAULTS)", order_remedy,
                      fault.error);
    const auto id = exported_file(owner(held), fd);
    if (!id)
        return std::unexpected(id.error());
    const auto at = exports_.find(*id);
    return check_resolved(owner(held), at == exports_.end() ? std::nullopt : std::optional(at->second.memory));
}

// --- access ---

Result<std::span<std::byte>> Chip::host_span(const Memory &memory)
{
    if (memory.placement == Placement::Device)
        return refuse(ErrorCode::MemoryForeign, "map host pages", "device memory has no CPU mapping",
                      "copy it to host pages with Device::submit()", EINVAL);
    return bytes_of(memory);
}

Result<std::span<std::byte>> Chip::bytes_of(const Memory &memory)
{
    const Lock held = lock();
    auto found = find(held, memory);
    if (!found)
        return std::unexpected(std::move(found.error()));
    return std::span<std::byte>(bytes(**found) + memory.offset, static_cast<size_t>(memory.size));
}

Device::Usage Chip::usage()
{
    const Lock held = lock();
    Device::Usage usage{
        .device_bytes = hbm_.used(), .host_bytes = host_bytes_, .exports_open = 0, .requests_pending = pending_};
    for (auto &[handle, allocation] : allocations_)
        usage.exports_open += prune_exports(held, *allocation);
    return usage;
}

// --- life ---

Fault Chip::next_fault(const Lock &held, FaultPoint point)
{
    const Fault fault = settings_.faults.next(point);
    if (fault.lost)
        lose(held);
    return fault;
}

Fault Chip::next_fault(const Lock &held, FaultPoint submission, FaultPoint end)
{
    const Fault fault = settings_.faults.next(submission, end);
    if (fault.lost)
        lose(held);
    return fault;
}

Status Chip::strike(const Lock &held, FaultPoint point, const char *operation, ErrorCode code, const char *remedy)
{
    const int err = next_fault(held, point).error;
    if (call_says_lost(err))
        lose(held);
    if (auto alive = check_alive(held, operation); !alive)
        return alive;
    if (err == 0)
        return {};
    const bool descriptors = says_no_descriptor(err);
    return refuse(refusal_code(err, code), operation,
                  std::format("{} (HL_SIM_FAULTS)", descriptors ? "no descriptor is left" : "the device refused it"),
                  descriptors ? fd_remedy : remedy, err);
}

Status Chip::check_alive_and_strike(FaultPoint point, const char *operation, ErrorCode code)
{
    const Lock held = lock();
    if (auto alive = check_alive(held, operation); !alive)
        return alive;
    Status struck = strike(held, point, operation, code);
    if (!struck && struck.error().sys_errno == ENOMEM)
        struck.error().code = ErrorCode::MemoryFull;
    return struck;
}

Error Chip::ended_with(const Lock &held, const char *operation, ErrorCode code, int err)
{
    if (submission_says_lost(err)) {
        lose(held);
        return lost_error(operation);
    }
    return {.code = code,
            .operation = operation,
            .sys_errno = err,
            .device = name_,
            .cause = "the device reported an error (HL_SIM_FAULTS)",
            .remedy = order_remedy};
}

int Chip::fence_fault()
{
    const Lock held = lock();
    return next_fault(held, FaultPoint::Fence).error;
}

Error Chip::open_error(int err) const
{
    const auto error = [&](ErrorCode code, std::string cause, std::string remedy) {
        return Error{.code = code,
                     .operation = "open " + name_,
                     .sys_errno = err,
                     .device = name_,
                     .cause = std::move(cause) + " (HL_SIM_FAULTS)",
                     .remedy = std::move(remedy)};
    };
    switch (err) {
    case EBUSY:
        return error(ErrorCode::DeviceBusy, name_ + " is owned by another process", "end that process");
    case EPERM:
    case EACCES:
        return error(ErrorCode::DevicePermission, "this user may not open " + name_,
                     "add the user to the node's group and log in again");
    case ENODEV:
    case ENXIO:
        return error(ErrorCode::DeviceNotFound, name_ + " is gone", "see that the device is there");
    case EMFILE:
    case ENFILE:
        return error(ErrorCode::FdLimit, "no descriptor is left to open the device with", fd_remedy);
    default:
        return error(ErrorCode::DeviceUnusable, name_ + " could not be opened", "see the errno, and try again");
    }
}

Status Chip::check_alive(const Lock &, const char *operation) const
{
    if (lost_)
        return std::unexpected(lost_error(operation));
    return {};
}

Error Chip::lost_error(const char *operation) const
{
    return {.code = ErrorCode::DeviceLost,
            .operation = operation,
            .sys_errno = EBUSY, // the driver's word while a device is not operational
            .device = name_,
            .cause = std::format("{} was lost", name_),
            .remedy = "stop and start the pipeline: it opens the device again"};
}

void Chip::lose(const Lock &held)
{
    if (lost_)
        return;
    lost_ = true;
    ++generation_;
    // Descriptors of the generation before the one just ended answer MemoryForeign from now on.
    std::erase_if(exports_, [this](const auto &entry) { return entry.second.memory.generation + 1 < generation_; });
    std::vector<Allocation *> all;
    for (auto &[handle, allocation] : allocations_)
        all.push_back(allocation.get());
    for (Allocation *allocation : all) {
        if (allocation->memory.placement == Placement::Host) {
            // The pages are the process's: they stay until released, as CPU users still have them mapped.
            if (allocation->users == 0)
                unmap(*allocation);
            continue;
        }
        for (const FileId &id : allocation->exports)
            if (const auto at = exports_.find(id); at != exports_.end())
                at->second.ours.reset(); // holders see a hang-up
        allocation->exports.clear();
        if (!allocation->released)
            retire(held, *allocation);
    }
    wake_all(held);
}

Status Chip::recover()
{
    const Lock held = lock();
    const bool was_lost = std::exchange(lost_, false); // so that it can be lost again
    if (const Fault fault = next_fault(held, FaultPoint::Recover); fault.error) {
        lost_ = lost_ || was_lost;
        return std::unexpected(open_error(fault.error));
    }
    return check_alive(held, "recover");
}

void Chip::close()
{
    const Lock held = lock();
    closing_ = true;
    name_lock_.reset();
    wake_all(held);
}

// --- for tests ---

void Chip::set_frozen(bool frozen)
{
    const Lock held = lock();
    frozen_ = frozen;
    wake_all(held);
}

bool Chip::unpin(const Memory &memory)
{
    const Lock held = lock();
    auto found = find(held, memory);
    if (!found || !(*found)->mapped)
        return false;
    unmap(**found);
    return true;
}

uint64_t Chip::hbm_resident()
{
    const Lock held = lock();
    return hbm_.resident();
}

size_t Chip::mmu_mappings()
{
    const Lock held = lock();
    return mmu_.mappings();
}

uint64_t Chip::flushes()
{
    const Lock held = lock();
    return flushes_;
}

uint64_t Chip::faults_struck()
{
    const Lock held = lock();
    return settings_.faults.struck();
}

} // namespace hl::sim
