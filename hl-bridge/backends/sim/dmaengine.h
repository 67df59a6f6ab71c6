// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/sim/chip.h"
#include "device/move.h"

#include <array>
#include <condition_variable>
#include <memory>
#include <span>
#include <thread>

namespace hl::sim {

// The DMA side of a simulated chip: a worker thread per direction, each with a bounded ring of requests. "Down" is host
// to device, "up" device to host; device to device goes down. Moves bytes only through the chip's MMU.
class DmaEngine {
public:
    // Requests each direction holds besides the one it works on; Gaudi2's driver takes 64 submissions (gaudi2.c).
    static constexpr size_t ring_size = 64;

    explicit DmaEngine(const std::shared_ptr<Chip> &chip);
    DmaEngine(const DmaEngine &) = delete;
    DmaEngine &operator=(const DmaEngine &) = delete;
    // Completes what is queued with Cancelled. May run on a worker thread (in a listener that dropped the device).
    ~DmaEngine();

    // As Device::submit().
    [[nodiscard]] Status submit(std::span<const CopyRequest> requests, CompletionListener &listener);

private:
    struct Job {
        uint64_t id = 0;
        CompletionListener *listener = nullptr;
        std::array<Move, 4> move{};
        std::array<Allocation *, 8> held{};
        size_t moves = 0;
        uint64_t bytes = 0;
        Deadline deadline = no_deadline;
        Fault fault;
        uint32_t generation = 0;
    };
    // What a worker thread uses. Shared with it, because it may outlive the engine by a moment.
    struct Queue {
        std::shared_ptr<Chip> chip;
        std::condition_variable wake;
        std::array<Job, ring_size> ring{};
        size_t head = 0;
        size_t count = 0;

        void work();
        [[nodiscard]] Status run(Chip::Lock &lock, const Job &job, Clock::time_point &started);
        [[nodiscard]] Status move_bytes(Chip::Lock &lock, const Job &job);
        [[nodiscard]] std::optional<Error> interrupted(const Chip::Lock &lock, const Job &job) const;
        [[nodiscard]] Error error(ErrorCode code, std::string cause, int sys_errno) const;
        template <class Predicate>
        bool wait(Chip::Lock &lock, Deadline until, Predicate ready);
    };

    [[nodiscard]] Result<Queue *> check(const Chip::Lock &lock, const CopyRequest &request, Job &job);
    [[nodiscard]] Status check_region(const Chip::Lock &lock, const CopyRegion &region, Job &job);
    void stop(std::thread &thread);

    std::shared_ptr<Chip> chip_;
    std::shared_ptr<Queue> down_, up_;
    std::thread down_thread_, up_thread_;
};

} // namespace hl::sim
