// SPDX-License-Identifier: LGPL-2.1-or-later
#include "habanalabs/chipstate.h"

#include "core/log.h"
#include "device/driveranswer.h"
#include "device/holders.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::habanalabs {

ChipState::ChipState(uint32_t device, Words words, bool legacy) noexcept
    : device_(device), words_(std::move(words)), legacy_(legacy)
{}

Status ChipState::start()
{
    auto session = open_session();
    if (!session)
        return std::unexpected(std::move(session.error()));
    session_ = std::move(*session);
    udmabuf_ = try_open_udmabuf();
    return {};
}

std::unexpected<Error> ChipState::refuse(ErrorCode code, const char *operation, std::string cause, std::string remedy,
                                         int sys_errno) const
{
    return fail(code, operation, std::move(cause), std::move(remedy), sys_errno, name());
}

// What says that the device is lost needs no more here: the watcher has seen it or will.
std::unexpected<Error> ChipState::driver_refused(const char *operation, ErrorCode code, std::string cause,
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

Result<Memory> ChipState::allocate(uint64_t size, Placement placement, HostPages pages)
{
    constexpr const char *operation = "allocate";
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
    auto placed =
        placement == Placement::Device ? place_on_device(held, *allocation) : place_on_host(held, *allocation, pages);
    if (!placed)
        return std::unexpected(std::move(placed.error()));
    const Memory memory = allocation->memory;
    allocations_.emplace(memory.handle, std::move(allocation));
    return memory;
}

Status ChipState::place_on_device(const Lock &, Allocation &allocation)
{
    const auto block = session_->allocate_hbm(allocation.memory.size);
    if (!block) {
        const ChipSession::HbmUse use = session_->hbm_use();
        return driver_refused("allocate", ErrorCode::MemoryFull,
                              std::format("{} bytes of HBM are not free: {} of {} MiB are allocated, the largest free "
                                          "stretch is {} KiB",
                                          allocation.memory.size, use.used >> 20, use.size >> 20,
                                          use.largest_free >> 10),
                              words_.hbm_full_remedy, block.error());
    }
    allocation.block = *block;
    allocation.address = block->address();
    return {};
}

Status ChipState::place_on_host(Lock &held, Allocation &allocation, HostPages kind)
{
    const auto session = session_;
    const uint32_t generation = generation_;
    held.unlock(); // making and pinning pages takes milliseconds per MB
    auto mapped = map(allocation.memory.size, kind, session, generation);
    if (!mapped)
        return std::unexpected(std::move(mapped.error()));
    allocation.address = mapped->address();
    allocation.mapped = std::move(*mapped);
    held.lock();
    if (session_ != session) {
        held.unlock(); // unmapping takes its time, and may be the session's end
        return std::unexpected(lost_error("allocate"));
    }
    host_bytes_ += allocation.memory.size;
    return {};
}

Result<MappedPages> ChipState::map(uint64_t size, HostPages kind, const std::shared_ptr<ChipSession> &session,
                                   uint32_t generation)
{
    constexpr const char *operation = "pin host pages";
    auto pages = HostMemory::create(size, kind);
    if (!pages) {
        pages.error().device = name();
        return std::unexpected(std::move(pages.error()));
    }
    const auto address = session->map_host(pages->span());
    if (address)
        return MappedPages(std::move(*pages), *address, session);
    const auto &[err, why, is_lost] = address.error();
    if (is_lost) {
        lose(generation, why);
        return std::unexpected(lost_error(operation));
    }
    return driver_refused(operation, ErrorCode::MemoryHost,
                          std::format("the device could not pin {} bytes of host pages{}", size,
                                      why.empty() ? "" : std::format(" ({})", why)),
                          "free memory, or use fewer or smaller frames", err);
}

Result<Allocation *> ChipState::find(const Lock &held, const Memory &memory)
{
    Allocation *const allocation = live(held, memory);
    if (auto good = check_memory(owner(held), memory, allocation ? &allocation->memory : nullptr); !good)
        return std::unexpected(std::move(good.error()));
    return allocation;
}

Allocation *ChipState::live(const Lock &, const Memory &memory) const
{
    const auto at = allocations_.find(memory.handle);
    return at == allocations_.end() || at->second->released ? nullptr : at->second.get();
}

Result<CopyWay> ChipState::translate(const Lock &held, const CopyRequest &request, CopyJob &job)
{
    auto way = check_copy_way(request, name());
    if (!way)
        return way;
    for (const CopyRegion &region : std::span(request.region).first(request.regions)) {
        auto source = find(held, region.source);
        if (!source)
            return std::unexpected(std::move(source.error()));
        auto target = find(held, region.target);
        if (!target)
            return std::unexpected(std::move(target.error()));
        if (auto fits = check_copy_region(region, name()); !fits)
            return std::unexpected(std::move(fits.error()));
        job.held[job.moves * 2] = *source;
        job.held[job.moves * 2 + 1] = *target;
        job.move[job.moves++] = Move::of(region, (*source)->address, (*target)->address);
    }
    return way;
}

std::unique_ptr<Allocation> ChipState::drop(const Lock &held, Allocation &allocation)
{
    if (--allocation.users != 0 || !allocation.released)
        return nullptr;
    return take_out(held, allocation);
}

std::unique_ptr<Allocation> ChipState::take_out(const Lock &, Allocation &allocation)
{
    const Memory memory = allocation.memory;
    exports_.forget(memory.handle);
    if (memory.placement == Placement::Host)
        host_bytes_ -= memory.size;
    else if (memory.generation == generation_)
        session_->free_hbm(allocation.block);
    auto owned = std::move(allocations_.at(memory.handle));
    allocations_.erase(memory.handle);
    return owned;
}

ExportTable::OpenFiles ChipState::open_files() const
{
    return [session = session_.get()](int dmabuf) { return session->open_files(dmabuf); };
}

Status ChipState::release(const Memory &memory)
{
    std::unique_ptr<Allocation> dead; // unmapped without the lock
    Lock held = lock();
    Allocation *const found = live(held, memory);
    if (!found || memory.device != device_)
        return check_release_of_none(owner(held), memory);
    const auto open = session_ ? exports_.open_of(memory.handle, open_files()) : std::vector<FileId>{};
    if (!open.empty()) {
        const MemoryOwner whose = owner(held);
        held.unlock(); // the search takes milliseconds
        const auto pids = find_holders(
            "/dmabuf:", [&open](const struct stat &st) { return std::ranges::find(open, file_id(st)) != open.end(); });
        return std::unexpected(still_exported(whose, open.size(), pids));
    }
    found->released = true;
    if (found->users == 0)
        dead = take_out(held, *found);
    held.unlock();
    return {};
}

// --- export ---

Result<UniqueFd> ChipState::export_dmabuf(const Memory &memory)
{
    const Lock held = lock();
    if (auto alive = check_alive(held, "export dma-buf"); !alive)
        return std::unexpected(std::move(alive.error()));
    auto found = find(held, memory);
    if (!found)
        return std::unexpected(std::move(found.error()));
    if (auto whole = check_export_pages(owner(held), memory); !whole)
        return std::unexpected(std::move(whole.error()));
    return memory.placement == Placement::Device ? export_device(held, memory, **found)
                                                 : export_host(held, memory, **found);
}

Result<UniqueFd> ChipState::export_device(const Lock &, const Memory &memory, const Allocation &allocation)
{
    constexpr const char *operation = "export dma-buf";
    const HbmBlock named = session_->exportable({allocation.block.base, allocation.block.offset + memory.offset});
    // memory.c of Linux 6.3 to 6.6 checks the offset of an export and then maps from the start; before, there was none.
    if (legacy_ && named.offset != 0)
        return refuse(ErrorCode::MemoryExport, operation,
                      std::format("the driver behind /dev/hlN exports from the start of a mapping alone, and this "
                                  "frame lies at offset {}",
                                  named.offset),
                      "use a driver that makes /dev/accel nodes (Linux 6.7 or later), or memory=host", EOPNOTSUPP);
    (void)exports_.open_of(memory.handle, open_files()); // lets go of those that were closed
    auto fd = session_->export_memory(named, memory.size);
    if (!fd)
        return driver_refused(operation, ErrorCode::MemoryExport,
                              std::format("the driver does not export {} bytes at offset {:#x} of the mapping at {:#x}",
                                          memory.size, named.offset, named.base),
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

Result<UniqueFd> ChipState::export_host(const Lock &, const Memory &memory, const Allocation &allocation)
{
    if (!udmabuf_)
        udmabuf_ = try_open_udmabuf(); // loaded, or permitted, since
    auto fd = allocation.mapped.pages().export_fd(udmabuf_, memory.offset, memory.size);
    if (!fd) {
        fd.error().device = name();
        return std::unexpected(std::move(fd.error()));
    }
    const auto id = file_id(fd->get());
    if (!id)
        return refuse(ErrorCode::MemoryExport, "export dma-buf", "the new descriptor has no identity", {}, errno);
    exports_.add(*id, memory, UniqueFd());
    return fd;
}

Result<Memory> ChipState::resolve_dmabuf(int fd)
{
    const Lock held = lock();
    const auto id = exported_file(owner(held), fd);
    if (!id)
        return std::unexpected(id.error());
    return check_resolved(owner(held), exports_.find(*id));
}

// --- access ---

Result<std::span<std::byte>> ChipState::host_span(const Memory &memory)
{
    if (memory.placement == Placement::Device)
        return refuse(ErrorCode::MemoryForeign, "map host pages", "device memory has no CPU mapping",
                      "copy it to host pages with Device::submit()", EINVAL);
    const Lock held = lock();
    auto found = find(held, memory);
    if (!found)
        return std::unexpected(std::move(found.error()));
    return (*found)->mapped.pages().span().subspan(memory.offset, memory.size);
}

Status ChipState::flush_inbound_writes()
{
    constexpr const char *operation = "flush inbound writes";
    std::shared_ptr<ChipSession> session;
    {
        const Lock held = lock();
        if (auto alive = check_alive(held, operation); !alive)
            return alive;
        session = session_;
    }
    const auto flushed = session->flush_inbound_writes();
    // EOPNOTSUPP: a chip that needs none (command_submission.c cs_ioctl_flush_pci_hbw_writes).
    if (flushed || flushed.error() == EOPNOTSUPP)
        return {};
    return driver_refused(operation, ErrorCode::CopyFailed, "the driver refused to flush what others wrote to HBM",
                          "see the kernel log", flushed.error());
}

Device::Usage ChipState::usage()
{
    const Lock held = lock();
    return {.device_bytes = session_ ? session_->hbm_use().used : 0,
            .host_bytes = host_bytes_,
            .exports_open = session_ ? exports_.count_open(open_files()) : 0,
            .requests_pending = pending_};
}

// --- life ---

void ChipState::wake_waiters(const Lock &) noexcept
{
    for (std::condition_variable *waiter : waiters_)
        waiter->notify_all();
}

Status ChipState::check_alive(const Lock &, const char *operation) const
{
    if (!session_)
        return std::unexpected(lost_error(operation));
    return {};
}

Error ChipState::lost_error(const char *operation) const
{
    return {.code = ErrorCode::DeviceLost,
            .operation = operation,
            .sys_errno = EBUSY, // the driver's word while a device is not operational
            .device = name(),
            .cause = std::format("{} was lost", name()),
            .remedy = "stop and start the pipeline: it opens the device again"};
}

void ChipState::lose(uint32_t generation, const std::string &why)
{
    // All of these go without the lock, and the session last: its end may release the device, which exports keep busy.
    std::shared_ptr<ChipSession> session;
    std::vector<std::unique_ptr<Allocation>> dead;
    std::vector<UniqueFd> descriptors;
    {
        const Lock held = lock();
        if (!session_ || generation_ != generation)
            return;
        ++generation_;
        session = std::move(session_);
        session_.reset();
        session->lost();
        descriptors = exports_.lose();
        std::vector<Allocation *> all;
        for (auto &[handle, allocation] : allocations_)
            all.push_back(allocation.get());
        for (Allocation *allocation : all) {
            // The pages are the process's: they stay until released, as CPU users still have them mapped.
            if (allocation->memory.placement == Placement::Host) {
                allocation->mapped.forget_session();
                continue;
            }
            allocation->released = true;
            if (allocation->users == 0)
                dead.push_back(take_out(held, *allocation));
        }
        changed(held);
    }
    log(LogLevel::Warning, words_.backend, std::format("{} was lost: {}", name(), why));
}

Status ChipState::recover()
{
    const std::lock_guard one_at_a_time(recovery_);
    {
        const Lock held = lock();
        if (session_)
            return {};
    }
    auto session = open_session(); // once the last one is gone
    if (!session)
        return std::unexpected(std::move(session.error()));
    const Lock held = lock();
    session_ = std::move(*session);
    changed(held);
    return {};
}

void ChipState::close()
{
    const Lock held = lock();
    closing_ = true;
    changed(held);
}

} // namespace hl::habanalabs
