// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/chipfaults.h"
#include "chip/errorreporter.h"
#include "chip/fabric.h"
#include "chip/jobgate.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace gaudiemu::chip {

struct DmaJob {
    uint64_t source = 0; // memset: the word
    uint64_t destination = 0;
    uint64_t size = 0;
    bool memset = false;
    bool user = false; // of a user's queue: counted for the faults on order
};

enum class JobResult : uint8_t {
    Done,
    Faulted,   // reported; the job is not completed
    Forgotten, // a reset came
};

// Moves bytes between any two places of the chip's address space, in slices, so that a reset never waits long. Any
// number of engines share one object: it keeps no state of a job.
class DmaEngine {
public:
    // What a chip that does nothing leaves out: --null completes every job and moves nothing.
    struct Settings {
        bool null = false;
    };

    DmaEngine(Fabric &fabric, ErrorReporter &errors, JobGate &gate, ChipFaults &faults, EventQueue &events,
              Settings settings)
        : fabric_(fabric), errors_(errors), gate_(gate), faults_(faults), events_(events), settings_(settings)
    {}

    [[nodiscard]] JobResult run(const DmaJob &job, const Initiator &who, uint16_t core_event, JobGate::Epoch epoch);

    [[nodiscard]] bool null() const noexcept { return settings_.null; }
    // Jobs begun, and bytes of those done.
    [[nodiscard]] uint64_t jobs() const;
    // Until so many jobs have begun; false if that takes longer.
    [[nodiscard]] bool wait_jobs(uint64_t count, std::chrono::seconds bound) const;
    [[nodiscard]] uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

private:
    [[nodiscard]] bool obey(const DmaOrder &order, JobGate::Epoch epoch);
    [[nodiscard]] JobResult copy(const DmaJob &job, const Initiator &who, uint16_t core_event, JobGate::Epoch epoch);
    [[nodiscard]] JobResult fill(const DmaJob &job, const Initiator &who, uint16_t core_event, JobGate::Epoch epoch);
    [[nodiscard]] std::expected<void, BusFault> move(const Place &from, const Place &to, uint64_t size);

    Fabric &fabric_;
    ErrorReporter &errors_;
    JobGate &gate_;
    ChipFaults &faults_;
    EventQueue &events_;
    const Settings settings_;
    mutable std::mutex mutex_;
    mutable std::condition_variable begun_;
    uint64_t jobs_ = 0;
    std::atomic<uint64_t> bytes_ = 0;
};

} // namespace gaudiemu::chip
