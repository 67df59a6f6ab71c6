// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/chip.h"

#include "core/log.h"
#include "device/driveranswer.h"
#include "device/holders.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::synapse {

MappedPages::MappedPages(HostMemory pages, std::shared_ptr<Session> session) noexcept
    : pages_(std::move(pages)), session_(std::move(session))
{}

MappedPages &MappedPages::operator=(MappedPages &&other) noexcept
{
    std::swap(pages_, other.pages_);
    std::swap(session_, other.session_);
    return *this;
}

MappedPages::~MappedPages()
{
    if (session_)
        (void)session_->library()->synHostUnmap(session_->device(), pages_.span().data()); // before the pages go
}

Chip::Chip(uint32_t device, const Library &library, habanalabs::ChipNode node) noexcept
    : device_(device), library_(library), node_(std::move(node)), name_(node_.name())
{}

Result<std::shared_ptr<Chip>> Chip::create(uint32_t device, const Library &library, habanalabs::ChipNode node)
{
    std::shared_ptr<Chip> chip(new Chip(device, library, std::move(node)));
    auto session = Session::open(library, chip->node_);
    if (!session)
        return std::unexpected(std::move(session.error()));
    chip->session_ = std::move(*session);
    chip->udmabuf_ = open_udmabuf().value_or(UniqueFd());
    return chip;
}

std::unexpected<Error> Chip::refuse(ErrorCode code, const char *operation, std::string cause, std::string remedy,
                                    int sys_errno) const
{
    return fail(code, operation, std::move(cause), std::move(remedy), sys_errno, name_);
}

// Of the calls that go to the driver directly. What says that the device is lost needs no more here: the watcher has
// seen it or will.
std::unexpected<Error> Chip::driver_refused(const char *operation, ErrorCode code, std::string cause,
                                            std::string remedy, int err) const
{
    if (call_says_lost(err))
        return std::unexpected(lost_error(operation));
    if (says_no_descriptor(err))
        return refuse(ErrorCode::FdLimit, operation, "no descriptor is left",
                      "raise the limit of open files (ulimit -n)", err);
    return refuse(code, operation, std::move(cause), std::move(remedy), err);
}

// --- allocation ---

Result<Memory> Chip::allocate(uint64_t size, Placement placement, HostPages pages)
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
    if (placement == Placement::Device) {
        if (auto placed = place_on_device(held, *allocation); !placed)
            return std::unexpected(std::move(placed.error()));
    } else {
        const auto session = session_;
        const uint32_t generation = generation_;
        held.unlock(); // making and pinning pages takes milliseconds per MB
        auto mapped = map(size, pages, session, generation);
        if (!mapped)
            return std::unexpected(std::move(mapped.error()));
        allocation->address = reinterpret_cast<uintptr_t>(mapped->pages().span().data());
        allocation->mapped = std::move(*mapped);
        held.lock();
        if (session_ != session) {
            held.unlock(); // unmapping is SynapseAI's, and may be the session's end
            return std::unexpected(lost_error(operation));
        }
        host_bytes_ += size;
    }
    const Memory memory = allocation->memory;
    allocations_.emplace(memory.handle, std::move(allocation));
    return memory;
}

Status Chip::place_on_device(const Lock &, Allocation &allocation)
{
    Arena &frames = session_->frames();
    const auto offset = frames.allocate(allocation.memory.size);
    if (!offset)
        return refuse(ErrorCode::MemoryFull, "allocate",
                      std::format("{} bytes of HBM are not free: {} of {} MiB are allocated, the largest free stretch "
                                  "is {} KiB",
                                  allocation.memory.size, frames.used() >> 20, frames.size() >> 20,
                                  frames.largest_free() >> 10),
                      "use fewer or smaller frames, or give frames more memory with HL_SYNAPSE_POOL_MB", ENOMEM);
    allocation.address = session_->frames_address() + *offset;
    return {};
}

Result<MappedPages> Chip::map(uint64_t size, HostPages kind, const std::shared_ptr<Session> &session,
                              uint32_t generation)
{
    constexpr const char *operation = "pin host pages";
    auto pages = HostMemory::create(size, kind);
    if (!pages) {
        pages.error().device = name_;
        return std::unexpected(std::move(pages.error()));
    }
    const abi::Status status = session->library()->synHostMap(session->device(), size, pages->span().data());
    if (status == abi::success)
        return MappedPages(std::move(*pages), session);
    const std::string why = library_.failure("synHostMap", status);
    if (says_lost(status)) {
        lose(generation, why);
        return std::unexpected(lost_error(operation));
    }
    return refuse(ErrorCode::MemoryHost, operation,
                  std::format("the device could not pin {} bytes of host pages ({})", size, why),
                  "free memory, or use fewer or smaller frames");
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
        (void)session_->frames().free(allocation.address - session_->frames_address());
    auto owned = std::move(allocations_.at(memory.handle));
    allocations_.erase(memory.handle);
    return owned;
}

Status Chip::release(const Memory &memory)
{
    std::unique_ptr<Allocation> dead; // unmapped without the lock
    Lock held = lock();
    Allocation *const found = live(held, memory);
    if (!found || memory.device != device_)
        return check_release_of_none(owner(held), memory);
    const auto open = session_ ? exports_.open_of(memory.handle, habanalabs::open_files) : std::vector<FileId>{};
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

Result<UniqueFd> Chip::export_dmabuf(const Memory &memory)
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

Result<UniqueFd> Chip::export_device(const Lock &, const Memory &memory, const Allocation &allocation)
{
    constexpr const char *operation = "export dma-buf";
    const auto [base, offset] = session_->exportable(allocation.address + memory.offset);
    // memory.c of Linux 6.3 to 6.6 checks the offset of an export and then maps from the start; before, there was none.
    if (node_.pci.legacy && offset != 0)
        return refuse(ErrorCode::MemoryExport, operation,
                      std::format("the driver behind /dev/hlN exports from the start of a mapping alone, and this "
                                  "frame lies at offset {}",
                                  offset),
                      "use a driver that makes /dev/accel nodes, or memory=host", EOPNOTSUPP);
    (void)exports_.open_of(memory.handle, habanalabs::open_files); // lets go of those that were closed
    auto fd = habanalabs::export_memory(session_->compute_node(), base, memory.size, offset);
    if (!fd)
        return driver_refused(operation, ErrorCode::MemoryExport,
                              std::format("the driver does not export {} bytes at offset {:#x} of the mapping at {:#x}",
                                          memory.size, offset, base),
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
        udmabuf_ = open_udmabuf().value_or(UniqueFd()); // loaded, or permitted, since
    auto fd = allocation.mapped.pages().export_fd(udmabuf_, memory.offset, memory.size);
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
    return (*found)->mapped.pages().span().subspan(memory.offset, memory.size);
}

// A call of the driver on SynapseAI's node: it takes no queue and no slot of SynapseAI's, who submits through SCAL's
// engines (command_submission.c cs_ioctl_flush_pci_hbw_writes).
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
    const auto flushed = habanalabs::flush_inbound_writes(session->compute_node());
    // EOPNOTSUPP: a chip that needs none.
    if (flushed || flushed.error() == EOPNOTSUPP)
        return {};
    return driver_refused(operation, ErrorCode::CopyFailed, "the driver refused to flush what others wrote to HBM",
                          "see the kernel log", flushed.error());
}

Device::Usage Chip::usage()
{
    const Lock held = lock();
    return {.device_bytes = session_ ? session_->frames().used() : 0,
            .host_bytes = host_bytes_,
            .exports_open = session_ ? exports_.count_open(habanalabs::open_files) : 0,
            .requests_pending = pending_};
}

// --- life ---

void Chip::changed(const Lock &) noexcept
{
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
    // All of these go without the lock, and the session last: its end may release the device, which exports keep busy.
    std::shared_ptr<Session> session;
    std::vector<std::unique_ptr<Allocation>> dead;
    std::vector<UniqueFd> descriptors;
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
                allocation->mapped.forget_session();
                continue;
            }
            allocation->released = true;
            if (allocation->users == 0)
                dead.push_back(take_out(held, *allocation));
        }
        changed(held);
    }
    log(LogLevel::Warning, "synapse", std::format("{} was lost: {}", name_, why));
}

Status Chip::recover()
{
    const std::lock_guard one_at_a_time(recovery_);
    {
        const Lock held = lock();
        if (session_)
            return {};
    }
    auto session = Session::open(library_, node_); // once the last one is gone
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

} // namespace hl::synapse
