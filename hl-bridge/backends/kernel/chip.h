// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/packets.h"
#include "backends/kernel/session.h"
#include "device/delivery.h"
#include "device/device.h"
#include "device/exporttable.h"
#include "device/hostmemory.h"
#include "device/memorycheck.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace hl::kernel {

// Pages of this process that the chip may reach, for as long as the object lives or the session lasts.
class PinnedPages {
public:
    PinnedPages() noexcept = default;
    PinnedPages(HostMemory pages, uint64_t address, std::shared_ptr<Session> session) noexcept;
    PinnedPages(PinnedPages &&) noexcept = default;
    PinnedPages &operator=(PinnedPages &&other) noexcept;
    ~PinnedPages();

    [[nodiscard]] const HostMemory &pages() const noexcept { return pages_; }
    [[nodiscard]] uint64_t address() const noexcept { return address_; }
    // The session is over: its end has unpinned them. The pages stay.
    void forget_session() noexcept { session_.reset(); }

private:
    HostMemory pages_;
    uint64_t address_ = 0;
    std::shared_ptr<Session> session_;
};

// One allocation. It leaves the tables when it is released and nothing uses it any more.
struct Allocation {
    Memory memory;         // all of it
    uint64_t address = 0;  // the device's
    HbmBlock block;        // Device placement
    PinnedPages pinned;    // Host placement
    uint32_t users = 0;    // requests under way that touch it
    bool released = false; // released while in use: goes with its last user
};

// The state of one chip that its device object, its DMA queues and its watcher share: session, memory tables, exports
// and generation, all under one mutex. Outlives the device object as long as a worker thread still runs. Functions
// taking a Lock must be called with the chip's mutex held through it. Calls of the driver that take long are made
// without it.
class Chip {
public:
    using Lock = std::unique_lock<std::mutex>;

    // Errors: as Session::open().
    [[nodiscard]] static Result<std::shared_ptr<Chip>> create(uint32_t device, std::string name, ChipKind kind,
                                                              bool legacy, DriverOpener opener);
    Chip(const Chip &) = delete;
    Chip &operator=(const Chip &) = delete;

    [[nodiscard]] Lock lock() const { return Lock(mutex_); }
    [[nodiscard]] const std::string &name() const noexcept { return name_; }
    [[nodiscard]] ChipKind kind() const noexcept { return kind_; }
    [[nodiscard]] bool has_udmabuf() const noexcept { return udmabuf_.valid(); }

    // Memory, as Device documents it.
    [[nodiscard]] Result<Memory> allocate(uint64_t size, Placement placement, HostPages pages);
    [[nodiscard]] Status release(const Memory &memory);
    [[nodiscard]] Result<UniqueFd> export_dmabuf(const Memory &memory);
    [[nodiscard]] Result<Memory> resolve_dmabuf(int fd);
    [[nodiscard]] Result<std::span<std::byte>> host_span(const Memory &memory);
    [[nodiscard]] Status flush_inbound_writes();
    [[nodiscard]] Device::Usage usage();

    // The live allocation behind `memory`, whose range lies inside it. Errors: MemoryStale, MemoryForeign, MemoryRange.
    [[nodiscard]] Result<Allocation *> find(const Lock &, const Memory &memory);
    // A use keeps the allocation where it is, also when it is released meanwhile. What drop() returns is to be
    // destroyed without the lock.
    void hold(const Lock &, Allocation &allocation) noexcept { ++allocation.users; }
    [[nodiscard]] std::unique_ptr<Allocation> drop(const Lock &, Allocation &allocation);
    void request_begins(const Lock &) noexcept { ++pending_; }
    void request_ends(const Lock &) noexcept { --pending_; }

    // What the queues together have in the driver, whose room they share.
    void submission_begins(const Lock &) noexcept { ++in_driver_; }
    void submission_ends(const Lock &) noexcept;
    [[nodiscard]] size_t in_driver(const Lock &) const noexcept { return in_driver_; }
    [[nodiscard]] uint64_t submissions_ended(const Lock &) const noexcept { return ended_; }

    // Life. Registered waiters are notified whenever session, generation or closing change, and when a submission ends.
    void add_waiter(const Lock &, std::condition_variable &waiter) { waiters_.push_back(&waiter); }
    void remove_waiter(const Lock &, std::condition_variable &waiter) { std::erase(waiters_, &waiter); }
    // An eventfd that is readable when session, generation or closing have changed. Invalid where none could be had.
    [[nodiscard]] int changed_fd() const noexcept { return changed_.get(); }
    // nullptr after a loss.
    [[nodiscard]] const std::shared_ptr<Session> &session(const Lock &) const noexcept { return session_; }
    [[nodiscard]] uint32_t generation(const Lock &) const noexcept { return generation_; }
    [[nodiscard]] bool lost(const Lock &) const noexcept { return session_ == nullptr; }
    [[nodiscard]] bool closing(const Lock &) const noexcept { return closing_; }
    [[nodiscard]] Status check_alive(const Lock &, const char *operation) const;
    [[nodiscard]] Error lost_error(const char *operation) const;
    // Ends the generation, if it is still this one. `why` is for people. Not with the lock.
    void lose(uint32_t generation, const std::string &why);
    [[nodiscard]] Status recover();
    void close();

    // To be used without the chip's mutex.
    [[nodiscard]] Delivery &delivery() noexcept { return delivery_; }

private:
    Chip(uint32_t device, std::string name, ChipKind kind, bool legacy, DriverOpener opener) noexcept;

    [[nodiscard]] MemoryOwner owner(const Lock &) const noexcept { return {device_, generation_, name_}; }
    // What the handle names, unless it was released; null if nothing.
    [[nodiscard]] Allocation *live(const Lock &, const Memory &memory) const;
    [[nodiscard]] std::unexpected<Error> refuse(ErrorCode code, const char *operation, std::string cause,
                                                std::string remedy = {}, int sys_errno = 0) const;
    [[nodiscard]] std::unexpected<Error> driver_refused(const char *operation, ErrorCode code, std::string cause,
                                                        std::string remedy, int err) const;
    [[nodiscard]] Status place_on_device(const Lock &, Allocation &allocation);
    [[nodiscard]] Result<PinnedPages> pin(uint64_t size, HostPages kind, const std::shared_ptr<Session> &session);
    [[nodiscard]] Result<UniqueFd> export_device(const Lock &, const Memory &memory, const Allocation &allocation);
    [[nodiscard]] Result<UniqueFd> export_host(const Lock &, const Memory &memory, const Allocation &allocation);
    // Asks the session's driver; there is one.
    [[nodiscard]] ExportTable::OpenFiles open_files() const;
    [[nodiscard]] std::unique_ptr<Allocation> take_out(const Lock &, Allocation &allocation);
    void changed(const Lock &) noexcept;

    const uint32_t device_;
    const std::string name_;
    const ChipKind kind_;
    const bool legacy_;
    const DriverOpener opener_;
    UniqueFd udmabuf_;
    UniqueFd changed_;

    std::mutex recovery_; // held while the node is opened again
    // Destroyed from the last to the first: our descriptors of exports, what is pinned, then the session with the rest.
    mutable std::mutex mutex_;
    std::shared_ptr<Session> session_;
    uint64_t next_handle_ = 1;
    std::unordered_map<uint64_t, std::unique_ptr<Allocation>> allocations_;
    ExportTable exports_;
    uint32_t generation_ = 1;
    bool closing_ = false;
    uint32_t pending_ = 0;
    size_t in_driver_ = 0;
    uint64_t ended_ = 0;
    uint64_t host_bytes_ = 0;
    std::vector<std::condition_variable *> waiters_;

    Delivery delivery_;
};

} // namespace hl::kernel
