// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/copycheck.h"
#include "device/delivery.h"
#include "device/device.h"
#include "device/exporttable.h"
#include "device/memorycheck.h"
#include "device/move.h"
#include "habanalabs/mappedpages.h"

#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace hl::habanalabs {

// One allocation. It leaves the tables when it is released and nothing uses it any more.
struct Allocation {
    Memory memory;         // all of it
    uint64_t address = 0;  // what copies take
    HbmBlock block;        // Device placement
    MappedPages mapped;    // Host placement
    uint32_t users = 0;    // requests under way that touch it
    bool released = false; // released while in use: goes with its last user
};

// A copy request, checked and translated to the addresses that copies take.
struct CopyJob {
    uint64_t id = 0;
    CompletionListener *listener = nullptr;
    Deadline deadline = no_deadline;
    std::array<Move, 4> move{};
    std::array<Allocation *, 8> held{}; // two per move
    size_t moves = 0;
};

// The state of one chip that its device object, its queues, its engines and its watcher share: session, memory tables,
// exports and generation, all under one mutex. Outlives the device object as long as a worker thread still runs.
// Functions taking a Lock must be called with the chip's mutex held through it. What takes long in the driver or the
// runtime is called without it. A backend derives its own from this, with its own kind of session.
class ChipState {
public:
    using Lock = std::unique_lock<std::mutex>;

    ChipState(const ChipState &) = delete;
    ChipState &operator=(const ChipState &) = delete;
    virtual ~ChipState() = default;

    [[nodiscard]] Lock lock() const { return Lock(mutex_); }
    [[nodiscard]] const std::string &name() const noexcept { return words_.name; }

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
    // Checks a request and fills in what `job` moves. Errors: as find(), check_copy_way() and check_copy_region().
    [[nodiscard]] Result<CopyWay> translate(const Lock &, const CopyRequest &request, CopyJob &job);
    // A use keeps the allocation where it is, also when it is released meanwhile. What drop() returns is to be
    // destroyed without the lock.
    void hold(const Lock &, Allocation &allocation) noexcept { ++allocation.users; }
    [[nodiscard]] std::unique_ptr<Allocation> drop(const Lock &, Allocation &allocation);
    void request_begins(const Lock &) noexcept { ++pending_; }
    void request_ends(const Lock &) noexcept { --pending_; }

    // Life. Registered waiters are notified whenever session, generation or closing change.
    void add_waiter(const Lock &, std::condition_variable &waiter) { waiters_.push_back(&waiter); }
    void remove_waiter(const Lock &, std::condition_variable &waiter) { std::erase(waiters_, &waiter); }
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

protected:
    // What a backend says in its own words.
    struct Words {
        std::string name;    // of the chip, as ChipNode has it
        const char *backend; // in the log
        const char *hbm_full_remedy;
    };

    // `legacy`: the node is one of those that were named /dev/hlN.
    ChipState(uint32_t device, Words words, bool legacy) noexcept;

    // Opens the chip for the first time. Errors: as open_session().
    [[nodiscard]] Status start();
    // nullptr after a loss.
    [[nodiscard]] const std::shared_ptr<ChipSession> &current_session(const Lock &) const noexcept { return session_; }
    void wake_waiters(const Lock &) noexcept;

private:
    [[nodiscard]] virtual Result<std::shared_ptr<ChipSession>> open_session() = 0;
    // Session, generation or closing have changed.
    virtual void changed(const Lock &lock) noexcept { wake_waiters(lock); }

    [[nodiscard]] MemoryOwner owner(const Lock &) const noexcept { return {device_, generation_, words_.name}; }
    // What the handle names, unless it was released; null if nothing.
    [[nodiscard]] Allocation *live(const Lock &, const Memory &memory) const;
    [[nodiscard]] std::unexpected<Error> refuse(ErrorCode code, const char *operation, std::string cause,
                                                std::string remedy = {}, int sys_errno = 0) const;
    [[nodiscard]] std::unexpected<Error> driver_refused(const char *operation, ErrorCode code, std::string cause,
                                                        std::string remedy, int err) const;
    [[nodiscard]] Status place_on_device(const Lock &, Allocation &allocation);
    [[nodiscard]] Status place_on_host(Lock &held, Allocation &allocation, HostPages kind);
    [[nodiscard]] Result<MappedPages> map(uint64_t size, HostPages kind, const std::shared_ptr<ChipSession> &session,
                                          uint32_t generation);
    [[nodiscard]] Result<UniqueFd> export_device(const Lock &, const Memory &memory, const Allocation &allocation);
    [[nodiscard]] Result<UniqueFd> export_host(const Lock &, const Memory &memory, const Allocation &allocation);
    // Asks the session; there is one.
    [[nodiscard]] ExportTable::OpenFiles open_files() const;
    [[nodiscard]] std::unique_ptr<Allocation> take_out(const Lock &, Allocation &allocation);

    const uint32_t device_;
    const Words words_;
    const bool legacy_;
    UniqueFd udmabuf_;

    std::mutex recovery_; // held while the chip is opened again
    // Destroyed from the last to the first: our descriptors of exports, what is mapped, then the session with the rest.
    mutable std::mutex mutex_;
    std::shared_ptr<ChipSession> session_;
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

} // namespace hl::habanalabs
