// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/session.h"
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

namespace hl::synapse {

// Pages of this process that SynapseAI has mapped for the chip, for as long as the object lives or the session lasts.
class MappedPages {
public:
    MappedPages() noexcept = default;
    MappedPages(HostMemory pages, std::shared_ptr<Session> session) noexcept;
    MappedPages(MappedPages &&) noexcept = default;
    MappedPages &operator=(MappedPages &&other) noexcept;
    ~MappedPages();

    [[nodiscard]] const HostMemory &pages() const noexcept { return pages_; }
    // The session is over: its end has unmapped them. The pages stay.
    void forget_session() noexcept { session_.reset(); }

private:
    HostMemory pages_;
    std::shared_ptr<Session> session_;
};

// One allocation. It leaves the tables when it is released and nothing uses it any more.
struct Allocation {
    Memory memory;         // all of it
    uint64_t address = 0;  // what SynapseAI's copies take: the device's for Device placement, the CPU's for Host
    MappedPages mapped;    // Host placement
    uint32_t users = 0;    // requests under way that touch it
    bool released = false; // released while in use: goes with its last user
};

// The state of one chip that its device object, its queues, its engines and its watcher share: session, memory tables,
// exports and generation, all under one mutex. Outlives the device object as long as a worker thread still runs.
// Functions taking a Lock must be called with the chip's mutex held through it. SynapseAI is called without it, except
// for what only looks something up.
class Chip {
public:
    using Lock = std::unique_lock<std::mutex>;

    // Errors: as Session::open().
    [[nodiscard]] static Result<std::shared_ptr<Chip>> create(uint32_t device, const Library &library,
                                                              habanalabs::ChipNode node);
    Chip(const Chip &) = delete;
    Chip &operator=(const Chip &) = delete;

    [[nodiscard]] Lock lock() const { return Lock(mutex_); }
    [[nodiscard]] const std::string &name() const noexcept { return name_; }

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

    // Life. Registered waiters are notified whenever session, generation or closing change.
    void add_waiter(const Lock &, std::condition_variable &waiter) { waiters_.push_back(&waiter); }
    void remove_waiter(const Lock &, std::condition_variable &waiter) { std::erase(waiters_, &waiter); }
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
    Chip(uint32_t device, const Library &library, habanalabs::ChipNode node) noexcept;

    [[nodiscard]] MemoryOwner owner(const Lock &) const noexcept { return {device_, generation_, name_}; }
    // What the handle names, unless it was released; null if nothing.
    [[nodiscard]] Allocation *live(const Lock &, const Memory &memory) const;
    [[nodiscard]] std::unexpected<Error> refuse(ErrorCode code, const char *operation, std::string cause,
                                                std::string remedy = {}, int sys_errno = 0) const;
    [[nodiscard]] std::unexpected<Error> driver_refused(const char *operation, ErrorCode code, std::string cause,
                                                        std::string remedy, int err) const;
    [[nodiscard]] Status place_on_device(const Lock &, Allocation &allocation);
    [[nodiscard]] Result<MappedPages> map(uint64_t size, HostPages kind, const std::shared_ptr<Session> &session,
                                          uint32_t generation);
    [[nodiscard]] Result<UniqueFd> export_device(const Lock &, const Memory &memory, const Allocation &allocation);
    [[nodiscard]] Result<UniqueFd> export_host(const Lock &, const Memory &memory, const Allocation &allocation);
    [[nodiscard]] std::unique_ptr<Allocation> take_out(const Lock &, Allocation &allocation);
    void changed(const Lock &) noexcept;

    const uint32_t device_;
    const Library library_;
    const habanalabs::ChipNode node_;
    const std::string name_;
    UniqueFd udmabuf_;

    std::mutex recovery_; // held while the device is acquired again
    // Destroyed from the last to the first: our descriptors of exports, what is mapped, then the session with the rest.
    mutable std::mutex mutex_;
    std::shared_ptr<Session> session_;
    uint64_t next_handle_ = 1;
    std::unordered_map<uint64_t, std::unique_ptr<Allocation>> allocations_;
    ExportTable exports_;
    uint32_t generation_ = 1;
    bool closing_ = false;
    uint32_t pending_ = 0;
    uint64_t host_bytes_ = 0;
    std::vector<std::condition_variable *> waiters_;

    Delivery delivery_;
};

} // namespace hl::synapse
