// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/streamqueue.h"

#include <memory>
#include <vector>

namespace hl::synapse {

// Copies of one direction, as work for a stream.
class CopyQueue {
public:
    // Requests under way at once; as many as the simulator takes.
    static constexpr size_t capacity = StreamQueue::ring_size;

    struct Job : habanalabs::CopyJob {
        abi::DmaDirection direction = abi::host_to_dram;
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
