// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "dmacopier.h"
#include "gaudi.h"
#include "orders.h"

#include <deque>
#include <functional>
#include <memory>
#include <thread>

namespace hl::dbl {

// What one record of an event waits for. Guarded by the device's lock.
struct Ticket {
    bool done = false;
};

// An event: the record that counts is the last one. One that was never recorded has nothing to wait for (ours).
struct Event {
    std::shared_ptr<Ticket> last;
};

// A stream: its work is done in order, on a thread of its own. After a failure of the device it does no more of it.
class Stream {
public:
    // Runs on the stream's thread with the lock held, which it gives up while it waits. Not run after a failure.
    using Work = std::function<void(Gaudi::Lock &, Stream &)>;

    // nullptr: no command buffer could be had. `gaudi` outlives it.
    [[nodiscard]] static std::shared_ptr<Stream> create(Gaudi &gaudi);
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;
    // Drops what has not begun, and waits for what has. Without the lock.
    ~Stream();

    void push(const Gaudi::Lock &, Work work, const Order &order = {});
    [[nodiscard]] bool busy(const Gaudi::Lock &) const noexcept { return running_ || !queue_.empty(); }
    // Work that waits is to give up.
    [[nodiscard]] bool interrupted(const Gaudi::Lock &lock) const noexcept { return stopping_ || gaudi_.failed(lock); }

    // For work alone. Staging stays as it is until a larger one is asked for; nullptr: none can be had.
    [[nodiscard]] DmaCopier &copier() noexcept { return *copier_; }
    [[nodiscard]] Staging *staging(uint64_t bytes);
    [[nodiscard]] Gaudi &gaudi() noexcept { return gaudi_; }

private:
    struct Item {
        Work work;
        Order order;
    };

    Stream(Gaudi &gaudi, std::unique_ptr<DmaCopier> copier);
    void run();
    void pause(Gaudi::Lock &lock, const Order &order);

    Gaudi &gaudi_;
    std::unique_ptr<DmaCopier> copier_;
    std::unique_ptr<Staging> staging_;
    std::deque<Item> queue_;
    bool running_ = false, stopping_ = false;
    std::thread thread_;
};

// A copy, as work of a stream. Host addresses are looked up again when it runs.
struct Copy {
    uint64_t source = 0, target = 0, bytes = 0;
    synDmaDir direction = HOST_TO_DRAM;
};
void run_copy(Gaudi::Lock &lock, Stream &stream, const Copy &copy);

} // namespace hl::dbl
