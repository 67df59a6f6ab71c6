// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/chip.h"
#include "backends/kernel/packets.h"
#include "device/copycheck.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace hl::kernel {

struct DmaJob : CopyJob {
    uint32_t generation = 0;
};

// One queue of the chip: keeps its command buffers filled and submitted, and waits for them in order. A request becomes
// one submission, or several where its rows or bytes are many; whoever submits fills the buffers, and the worker thread
// what did not fit. All of it under the chip's mutex, except for the driver's calls.
class DmaQueue {
public:
    // Requests that may wait besides those in the driver; as many as the simulator takes.
    static constexpr size_t ring_size = 64;
    static constexpr uint64_t submission_bytes = 64u << 20;

    DmaQueue(std::shared_ptr<Chip> chip, CopyWay way) noexcept;

    // Whether `more` requests fit.
    [[nodiscard]] bool fits(const Chip::Lock &, size_t more) const noexcept { return jobs_count_ + more <= jobs_size; }
    // Only what fits.
    void push(const Chip::Lock &, const DmaJob &job);
    // Fills and submits as much as goes.
    void pump(Chip::Lock &lock);
    // The worker thread: returns when the chip is closing and all that was submitted has ended.
    void work();

    [[nodiscard]] std::condition_variable &wake() noexcept { return wake_; }

private:
    struct Active {
        DmaJob job;
        CopyCutter rest;          // what is not submitted yet
        uint32_t submissions = 0; // in the driver
        bool filling = false;     // a submission of it is just being made, without the lock
        Clock::time_point started{};
        std::optional<Error> failed;
    };
    struct Submission {
        uint64_t sequence = 0;
        uint32_t generation = 0;
    };
    static constexpr size_t jobs_size = ring_size + Session::queue_depth;

    [[nodiscard]] Active &job_at(size_t index) noexcept { return jobs_[(first_job_ + index) % jobs_size]; }
    // What the worker and pump() can do now.
    [[nodiscard]] bool can_finish() noexcept;
    [[nodiscard]] bool can_submit(const Chip::Lock &lock) noexcept;

    void submit_next(Chip::Lock &lock);
    void refused(Chip::Lock &lock, Active &active, int err, uint64_t ended_before);
    [[nodiscard]] static uint32_t fill(ChipKind chip, CopyCutter &rest, std::span<std::byte> buffer);
    void wait_front(Chip::Lock &lock);
    void front_ended(const Chip::Lock &lock, std::optional<Error> failed);
    void finish_front(Chip::Lock &lock);
    // Its rest is not submitted any more.
    void give_up(Active &active, Error error);
    void advance_cursor() noexcept;
    [[nodiscard]] Error error(ErrorCode code, std::string cause, int sys_errno) const;
    // Why the job is not to go on.
    [[nodiscard]] std::optional<Error> interrupted(const Chip::Lock &lock, const Active &active) const;

    const std::shared_ptr<Chip> chip_;
    const CopyWay way_;
    const uint32_t queue_;
    std::condition_variable wake_;

    std::array<Active, jobs_size> jobs_{}; // a ring, in order
    size_t first_job_ = 0, jobs_count_ = 0;
    size_t cursor_ = 0;                                          // index, from the first, of the job to submit of next
    std::array<Submission, Session::queue_depth> submissions_{}; // a ring, in order; its places are the buffers'
    size_t first_submission_ = 0, submissions_count_ = 0;
    bool pumping_ = false;               // somebody submits, maybe without the lock
    std::optional<uint64_t> blocked_at_; // the driver had no room when so many submissions had ended
};

} // namespace hl::kernel
