// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/chip.h"

#include "core/log.h"
#include "device/driveranswer.h"
#include "device/holders.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::kernel {

PinnedPages::PinnedPages(HostMemory pages, uint64_t address, std::shared_ptr<Session> session) noexcept
    : pages_(std::move(pages)), address_(address), session_(std::move(session))
{}

PinnedPages &PinnedPages::operator=(PinnedPages &&other) noexcept
{
    std::swap(pages_, other.pages_);
    std::swap(address_, other.address_);
    std::swap(session_, other.session_);
    return *this;
}

PinnedPages::~PinnedPages()
{
    if (session_)
        (void)session_->driver->unmap(address_); // before the pages go
}

Chip::Chip(uint32_t device, std::string name, ChipKind kind, bool legacy, DriverOpener opener) noexcept
    : device_(device), name_(std::move(name)), kind_(kind), legacy_(legacy), opener_(std::move(opener)),
      changed_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{}

Result<std::shared_ptr<Chip>> Chip::create(uint32_t device, std::string name, ChipKind kind, bool legacy,
                                           DriverOpener opener)
{
    std::shared_ptr<Chip> chip(new Chip(device, std::move(name), kind, legacy, std::move(opener)));
    auto session = Session::open(chip->opener_, kind, chip->name_);
    if (!session)
        return std::unexpected(std::move(session.error()));
    chip->session_ = std::move(*session);
    chip->udmabuf_ = try_open_udmabuf();
    return chip;
}

std::unexpected<Error> Chip::refuse(ErrorCode code, const char *operation, std::string cause, std::string remedy,
                                    int sys_errno) const
{
    return fail(code, operation, std::move(cause), std::move(remedy), sys_errno, name_);
}

// What says that the device is lost needs no more here: the watcher has seen it or will.
std::unexpected<Error> Chip::driver_refused(const char *operation, ErrorCode code, std::string cause,
                                            std::string remedy, int err) const
{
    code = refusal_code(err, code);
    if (code == ErrorCode::DeviceLost)
        return std::unexpected(lost_error(operation));
    if (code == ErrorCode::FdLimit)
        return refuse(code, operation, "no descriptor is left", "raise the limit of open files (ulimit -n)", err);
    return refuse(code, operation, std::move(cause), std::move(remedy), err);
}

// --- allocation ---

Result<Memory> Chip::allocate(uint64_t size, Placement placement, HostPages pages)
{
    constexpr const char *operation = "allocate";
    const bool device = placement == Placement::Device;
    Lock held = lock();
    if (auto good = check_allocation_size(owner(held), size, placement); !good)
        return std::unexpected(std::move(good.error()));
    if (auto alive = check_alive(held, operation); !alive)
        return std::unexpected(std::move(alive.error()));
    size = round_to_export_page(size);
    auto allocation =
        std::make_unique<Allocation>(Memory{.device = device_,
                                            .generation = generation_,
                                            .handle = (static_cast<uint64_t>(device_) << 40) | next_handle_++,
                                            .offset = 0,
                                            .size = size,
                                            .placement = placement});
    if (device) {
        if (auto placed = place_on_device(held, *allocation); !placed)
            return std::unexpected(std::move(placed.error()));
    } else {
        const auto session = session_;
        held.unlock(); // making and pinning pages takes milliseconds per MB
        auto pinned = pin(size, pages, session);
        if (!pinned)
            return std::unexpected(std::move(pinned.error()));
        allocation->address = pinned->address();
        allocation->pinned = std::move(*pinned);
        held.lock();
        if (session_ != session)
            return std::unexpected(lost_error(operation));
        host_bytes_ += size;
    }
    const Memory memory = allocation->memory;
    allocations_.emplace(memory.handle, std::move(allocation));
    return memory;
}

Status Chip::place_on_device(const Lock &, Allocation &allocation)
{
    HbmArenas &hbm = session_->hbm;
    const auto block = hbm.allocate(allocation.memory.size);
    if (!block)
        return driver_refused(
            "allocate", ErrorCode::MemoryFull,
            std::format("{} bytes of HBM are not free: {} of {} MiB are allocated, the largest free stretch is {} KiB",
                        allocation.memory.size, hbm.used() >> 20, hbm.size() >> 20, hbm.largest_free() >> 10),
            "use fewer or smaller frames", block.error());
    allocation.block = *block;
    allocation.address = block->base + block->offset;
    return {};
}

Result<PinnedPages> Chip::pin(uint64_t size, HostPages kind, const std::shared_ptr<Session> &session)
{
    auto pages = HostMemory::create(size, kind);
    if (!pages) {
        pages.error().device = name_;
        return std::unexpected(std::move(pages.error()));
    }
    const auto address = session->driver->map_host(pages->span());
    if (!address)
        return driver_refused("pin host pages", ErrorCode::MemoryHost,
                              std::format("the device could not pin {} bytes of host pages", size),
                              "free memory, or use fewer or smaller frames", address.error());
    return PinnedPages(std::move(*pages), *address, session);
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

std::unique_ptr<Allocation> Chip::drop(const Lock &held, Allocation &allocation)
{
    if (--allocation.users != 0 || !allocation.released)
        return nullptr;
    return take_out(held, allocation);
}

std::unique_ptr<Allocation> Chip::take_out(const Lock &, Allocation &allocation)
{
    const Memory memory = allocation.memory;
    exports_.forget(memory.handle);
    if (memory.placement == Placement::Host)
        host_bytes_ -= memory.size;
    else if (memory.generation == generation_)
        session_->hbm.free(allocation.block);
    auto owned = std::move(allocations_.at(memory.handle));
    allocations_.erase(memory.handle);
    return owned;
}

ExportTable::OpenFiles Chip::open_files() const
{
    return [driver = session_->driver.get()](int dmabuf) { return driver->open_files(dmabuf); };
}

Status Chip::release(const Memory &memory)
{
    std::unique_ptr<Allocation> dead; // unpinned without the lock
    Lock held = lock();
    Allocation *const found = live(held, memory);
    if (!found || memory.device != device_)
        return check_release_of_none(owner(held), memory);
    Allocation &allocation = *found;
    const auto open = session_ ? exports_.open_of(memory.handle, open_files()) : std::vector<FileId>{};
    if (!open.empty()) {
        const MemoryOwner whose = owner(held);
        held.unlock(); // the search takes milliseconds
        const auto pids = find_holders(
            "/dmabuf:", [&open](const struct stat &st) { return std::ranges::find(open, file_id(st)) != open.end(); });
        return std::unexpected(still_exported(whose, open.size(), pids));
    }
    allocation.released = true;
    if (allocation.users == 0)
        dead = take_out(held, allocation);
    held.unlock();
    return {};
}

// --- export ---

Result<UniqueFd> Chip::export_dmabuf(const Memory &memory)
{
    constexpr const char *operation = "export dma-buf";
    const Lock held = lock();
    if (auto alive = check_alive(held, operation); !alive)
        return std::unexpected(std::move(alive.error()));
    auto found = find(held, memory);
    if (!found)
        return std::unexpected(std::move(found.error()));
    if (auto whole = check_export_pages(owner(held), memory); !whole)
        return std::unexpected(std::move(whole.error()));
    return memory.placement == Placement::Device ? export_device(held, memory, **found)
                                                 : export_host(held, memory, **found);
}

Result<UniqueFd> Chip::export_device(const Lock &, const Memory &memory, const Allocation &allocation)
{
    constexpr const char *operation = "export dma-buf";
    uint64_t base = allocation.block.base;
    uint64_t offset = allocation.block.offset + memory.offset;
    if (kind_ == ChipKind::Gaudi) { // by physical address, without an offset
        base += offset;
        offset = 0;
    }
    // memory.c of Linux 6.3 to 6.6 checks the offset of an export and then maps from the start; before, there was none.
    if (legacy_ && offset != 0)
        return refuse(ErrorCode::MemoryExport, operation,
                      std::format("the driver behind /dev/hlN exports from the start of a device page alone, and this "
                                  "frame lies at offset {}",
                                  offset),
                      "use Linux 6.7 or later, or memory=host", EOPNOTSUPP);
    (void)exports_.open_of(memory.handle, open_files()); // lets go of those that were closed
    auto fd = session_->driver->export_memory(base, memory.size, offset);
    if (!fd)
        return driver_refused(
            operation, ErrorCode::MemoryExport,
            std::format("the driver does not export {} bytes at offset {}", memory.size, memory.offset),
            "see the kernel log; the memory BAR must reach all HBM (\"above 4G decoding\" and "
            "resizable BAR in the machine's setup)",
            fd.error());
    UniqueFd ours(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
    const auto id = file_id(fd->get());
    if (!ours || !id)
        return refuse(ErrorCode::FdLimit, operation, "no descriptor is left for the frame",
                      "raise the limit of open files (ulimit -n)", EMFILE);
    exports_.add(*id, memory, std::move(ours));
    return std::move(*fd);
}

Result<UniqueFd> Chip::export_host(const Lock &, const Memory &memory, const Allocation &allocation)
{
    if (!udmabuf_)
        udmabuf_ = try_open_udmabuf(); // loaded, or permitted, since
    auto fd = allocation.pinned.pages().export_fd(udmabuf_, memory.offset, memory.size);
    if (!fd) {
        fd.error().device = name_;
        return std::unexpected(std::move(fd.error()));
    }
    const auto id = file_id(fd->get());
    if (!id)
        return refuse(ErrorCode::MemoryExport, "export dma-buf", "the new descriptor has no identity", {}, errno);
    exports_.add(*id, memory, UniqueFd());
    return fd;
}

Result<Memory> Chip::resolve_dmabuf(int fd)
{
    const Lock held = lock();
    const auto id = exported_file(owner(held), fd);
    if (!id)
        return std::unexpected(id.error());
    return check_resolved(owner(held), exports_.find(*id));
}

// --- access ---

Result<std::span<std::byte>> Chip::host_span(const Memory &memory)
{
    if (memory.placement == Placement::Device)
        return refuse(ErrorCode::MemoryForeign, "map host pages", "device memory has no CPU mapping",
                      "copy it to host pages with Device::submit()", EINVAL);
    const Lock held = lock();
    auto found = find(held, memory);
    if (!found)
        return std::unexpected(std::move(found.error()));
    return (*found)->pinned.pages().span().subspan(memory.offset, memory.size);
}

Status Chip::flush_inbound_writes()
{
    constexpr const char *operation = "flush inbound writes";
    std::shared_ptr<Session> session;
    {
        const Lock held = lock();
        if (auto alive = check_alive(held, operation); !alive)
            return alive;
        session = session_;
    }
    const auto flushed = session->driver->flush_inbound_writes();
    // EOPNOTSUPP: a chip that needs none (command_submission.c cs_ioctl_flush_pci_hbw_writes).
    if (flushed || flushed.error() == EOPNOTSUPP)
        return {};
    return driver_refused(operation, ErrorCode::CopyFailed, "the driver refused to flush what others wrote to HBM",
                          "see the kernel log", flushed.error());
}

Device::Usage Chip::usage()
{
    const Lock held = lock();
    return {.device_bytes = session_ ? session_->hbm.used() : 0,
            .host_bytes = host_bytes_,
            .exports_open = session_ ? exports_.count_open(open_files()) : 0,
            .requests_pending = pending_};
}

// --- life ---

void Chip::changed(const Lock &) noexcept
{
    for (std::condition_variable *waiter : waiters_)
        waiter->notify_all();
    if (changed_)
        (void)::eventfd_write(changed_.get(), 1);
}

void Chip::submission_ends(const Lock &) noexcept
{
    --in_driver_;
    ++ended_;
    for (std::condition_variable *waiter : waiters_)
        waiter->notify_all();
}

Status Chip::check_alive(const Lock &, const char *operation) const
{
    if (!session_)
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

void Chip::lose(uint32_t generation, const std::string &why)
{
    // All of these are closed without the lock: the last one's end takes the device's context down.
    std::vector<std::unique_ptr<Allocation>> dead;
    std::vector<UniqueFd> descriptors;
    std::shared_ptr<Session> session;
    {
        const Lock held = lock();
        if (!session_ || generation_ != generation)
            return;
        ++generation_;
        session = std::move(session_);
        session_.reset();
        descriptors = exports_.lose();
        std::vector<Allocation *> all;
        for (auto &[handle, allocation] : allocations_)
            all.push_back(allocation.get());
        for (Allocation *allocation : all) {
            // The pages are the process's: they stay until released, as CPU users still have them mapped.
            if (allocation->memory.placement == Placement::Host) {
                allocation->pinned.forget_session();
                continue;
            }
            allocation->released = true;
            if (allocation->users == 0)
                dead.push_back(take_out(held, *allocation));
        }
        changed(held);
    }
    log(LogLevel::Warning, "kernel", std::format("{} was lost: {}", name_, why));
}

Status Chip::recover()
{
    const std::lock_guard one_at_a_time(recovery_);
    {
        const Lock held = lock();
        if (session_)
            return {};
    }
    auto session = Session::open(opener_, kind_, name_);
    if (!session)
        return std::unexpected(std::move(session.error()));
    const Lock held = lock();
    session_ = std::move(*session);
    changed(held);
    return {};
}

void Chip::close()
{
    const Lock held = lock();
    closing_ = true;
    changed(held);
}

} // namespace hl::kernel
