// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/streamqueue.h"
#include "device/copycheck.h"
#include "device/move.h"

#include <array>
#include <memory>

namespace hl::synapse {

// Copies of one direction, as work for a stream.
class CopyQueue {
public:
    // Requests under way at once; as many as the simulator takes.
    static constexpr size_t capacity = StreamQueue::ring_size;

    // A request, checked and translated.
    struct Job {
        uint64_t id = 0;
        CompletionListener *listener = nullptr;
        Deadline deadline = no_deadline;
        abi::DmaDirection direction = abi::host_to_dram;
        std::array<Move, 4> move{};
        std::array<Allocation *, 8> held{}; // two per move
        size_t moves = 0;
    };

    CopyQueue(std::shared_ptr<Chip> chip, uint32_t generation);
    CopyQueue(const CopyQueue &) = delete;
    CopyQueue &operator=(const CopyQueue &) = delete;
    ~CopyQueue();

    [[nodiscard]] bool fits(const Chip::Lock &lock, size_t more) const noexcept;
    // Only what fits. Holds the memories until the request has ended.
    void push(const Chip::Lock &lock, const Job &job);
    // The thread, as StreamQueue::work().
    void work() { queue_.work(); }

private:
    class Work;

    void finish(Work &work, Completion completion) noexcept;

    const std::shared_ptr<Chip> chip_;
    std::vector<std::unique_ptr<Work>> works_;
    std::vector<Work *> free_; // never grows
    StreamQueue queue_;
};

} // namespace hl::synapse
