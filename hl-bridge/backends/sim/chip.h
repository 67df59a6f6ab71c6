// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/sim/hbm.h"
#include "backends/sim/mmu.h"
#include "backends/sim/settings.h"
#include "core/fileid.h"
#include "device/completion.h"
#include "device/delivery.h"
#include "device/device.h"
#include "device/hostmemory.h"
#include "device/memorycheck.h"

#include <sys/types.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hl::sim {

// Of errors that were ordered, where none is better.
inline constexpr const char *order_remedy = "take this order out of HL_SIM_FAULTS";

// One allocation. It leaves the tables when it is released and nothing uses it any more.
struct Allocation {
    Memory memory;           // all of it
    uint64_t address = 0;    // the device's
    uint64_t hbm_offset = 0; // Device placement
    HostMemory pages;        // Host placement
    uint32_t users = 0;      // requests under way that touch it
    bool released = false;   // released while in use: goes with its last user
    bool mapped = false;     // by itself in the MMU
    std::vector<FileId> exports;
};

// The state of one simulated chip that its device object, its DMA engines and its compute engines share: memory tables,
// MMU, exports, generation and fault counters, all under one mutex. Outlives the device object as long as a worker
// thread still runs. Functions taking a Lock must be called with the chip's mutex held through it.
class Chip {
public:
    using Lock = std::unique_lock<std::mutex>;

    // `name_lock` is held until close(), and by every Device export until its last descriptor is closed, wherever
    // (memory.c export_dmabuf() takes a reference of the compute node). Errors: MemoryHost, FdLimit.
    [[nodiscard]] static Result<std::shared_ptr<Chip>> create(uint32_t device, std::string name, Settings settings,
                                                              UniqueFd name_lock = {});

    Chip(const Chip &) = delete;
    Chip &operator=(const Chip &) = delete;

    [[nodiscard]] Lock lock() const { return Lock(mutex_); }
    [[nodiscard]] const std::string &name() const noexcept { return name_; }
    [[nodiscard]] bool has_udmabuf() const noexcept { return udmabuf_.valid(); }
    [[nodiscard]] std::chrono::nanoseconds compute_time() const noexcept { return settings_.compute_time; }
    [[nodiscard]] bool faults_strike(FaultPoint point) const noexcept { return settings_.faults.strikes(point); }
    // How long the DMA of so many bytes takes at least.
    [[nodiscard]] std::chrono::nanoseconds dma_time(uint64_t bytes) const noexcept;

    // Memory, as Device documents it.
    [[nodiscard]] Result<Memory> allocate(uint64_t size, Placement placement, HostPages pages);
    [[nodiscard]] Status release(const Memory &memory);
    [[nodiscard]] Result<UniqueFd> export_dmabuf(const Memory &memory);
    [[nodiscard]] Result<Memory> resolve_dmabuf(int fd);
    [[nodiscard]] Result<std::span<std::byte>> host_span(const Memory &memory);
    // For SIM's own resolver: reaches both placements.
    [[nodiscard]] Result<std::span<std::byte>> bytes_of(const Memory &memory);
    [[nodiscard]] Device::Usage usage();

    // The live allocation behind `memory`, whose range lies inside it. Errors: MemoryStale, MemoryForeign, MemoryRange.
    [[nodiscard]] Result<Allocation *> find(const Lock &, const Memory &memory);
    // A use keeps the allocation's bytes in place, also when it is released meanwhile.
    void hold(const Lock &, Allocation &allocation) noexcept { ++allocation.users; }
    void drop(const Lock &, Allocation &allocation);
    [[nodiscard]] const Mmu &mmu(const Lock &) const noexcept { return mmu_; }
    // Counts one event, or both of a request. A fault that loses the device has done so when this returns.
    [[nodiscard]] Fault next_fault(const Lock &, FaultPoint point);
    [[nodiscard]] Fault next_fault(const Lock &, FaultPoint submission, FaultPoint end);
    // Counts one event of a call that is refused with `code` where a fault orders it. An errno that says so loses the
    // device. Errors: `code`, FdLimit, DeviceLost.
    [[nodiscard]] Status strike(const Lock &, FaultPoint point, const char *operation, ErrorCode code,
                                const char *remedy = order_remedy);
    // The same, for the device's engine, unless the device is lost already.
    [[nodiscard]] Status check_alive_and_strike(FaultPoint point, const char *operation, ErrorCode code);
    // The error of a submission or completion that ends with this errno, with all that follows for the device.
    [[nodiscard]] Error ended_with(const Lock &, const char *operation, ErrorCode code, int err);
    // What the opening ends with; the codes are those of a Gaudi's opening, operational or in a reset.
    [[nodiscard]] Error open_error(int err) const;
    // 0, or the errno that the next wait for readers is to meet.
    [[nodiscard]] int fence_fault();
    void request_begins(const Lock &) noexcept { ++pending_; }
    void request_ends(const Lock &) noexcept { --pending_; }

    // Loss and life. The registered waiters are woken whenever generation, closing or the gate change.
    void add_waiter(const Lock &, std::condition_variable &waiter) { waiters_.push_back(&waiter); }
    void remove_waiter(const Lock &, std::condition_variable &waiter) { std::erase(waiters_, &waiter); }
    [[nodiscard]] uint32_t generation(const Lock &) const noexcept { return generation_; }
    [[nodiscard]] bool lost(const Lock &) const noexcept { return lost_; }
    [[nodiscard]] bool closing(const Lock &) const noexcept { return closing_; }
    [[nodiscard]] Status check_alive(const Lock &, const char *operation) const;
    [[nodiscard]] Error lost_error(const char *operation) const;
    void lose(const Lock &);
    [[nodiscard]] Status recover();
    void close();

    // To be used without the chip's mutex.
    [[nodiscard]] Delivery &delivery() noexcept { return delivery_; }

    // For tests (simcontrol.h).
    void set_frozen(bool frozen);
    [[nodiscard]] bool frozen(const Lock &) const noexcept { return frozen_; }
    [[nodiscard]] bool unpin(const Memory &memory);
    [[nodiscard]] uint64_t hbm_resident();
    [[nodiscard]] size_t mmu_mappings();
    void count_flush(const Lock &) noexcept { ++flushes_; }
    [[nodiscard]] uint64_t flushes();
    [[nodiscard]] uint64_t faults_struck();

private:
    struct Export {
        Memory memory;
        UniqueFd ours; // hangs up when the last descriptor anywhere is closed; none for Host placement and after loss
    };

    Chip(uint32_t device, std::string name, Settings settings, UniqueFd name_lock) noexcept;

    [[nodiscard]] MemoryOwner owner(const Lock &) const noexcept { return {device_, generation_, name_}; }
    // What the handle names, unless it was released; null if nothing.
    [[nodiscard]] Allocation *live(const Lock &, const Memory &memory) const;
    [[nodiscard]] std::unexpected<Error> refuse(ErrorCode code, const char *operation, std::string cause,
                                                std::string remedy = {}, int sys_errno = 0) const;
    [[nodiscard]] Status allocate_device(const Lock &, Allocation &allocation);
    [[nodiscard]] Status allocate_host(const Lock &, Allocation &allocation, HostPages pages);
    [[nodiscard]] Result<UniqueFd> export_device(const Lock &, const Memory &memory, Allocation &allocation);
    [[nodiscard]] Result<UniqueFd> export_host(const Lock &, const Memory &memory, Allocation &allocation);
    [[nodiscard]] std::byte *bytes(const Allocation &allocation) const noexcept;
    // Forgets the Device exports that were closed everywhere; returns those that were not.
    uint32_t prune_exports(const Lock &, Allocation &allocation);
    void unmap(Allocation &allocation);
    void wake_all(const Lock &) noexcept;
    void retire(const Lock &, Allocation &allocation);
    void destroy(Allocation &allocation);

    const uint32_t device_;
    const std::string name_;
    Settings settings_;
    UniqueFd udmabuf_;
    UniqueFd name_lock_; // invalid where the name is nobody's else, and after close()

    mutable std::mutex mutex_;
    Hbm hbm_;
    Mmu mmu_;
    uint64_t next_handle_ = 1;
    uint64_t next_host_address_;
    std::unordered_map<uint64_t, std::unique_ptr<Allocation>> allocations_;
    std::map<FileId, Export> exports_;
    uint32_t generation_ = 1;
    bool lost_ = false;
    bool closing_ = false;
    bool frozen_ = false;
    uint32_t pending_ = 0;
    uint64_t host_bytes_ = 0;
    uint64_t flushes_ = 0;
    std::vector<std::condition_variable *> waiters_;

    Delivery delivery_;
};

} // namespace hl::sim
