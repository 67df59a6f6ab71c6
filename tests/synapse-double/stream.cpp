// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stream.h"

#include <format>
#include <optional>
#include <utility>

namespace hl::dbl {

std::shared_ptr<Stream> Stream::create(Gaudi &gaudi)
{
    auto copier = DmaCopier::create(gaudi.driver());
    if (!copier)
        return nullptr;
    return std::shared_ptr<Stream>(new Stream(gaudi, std::move(copier)));
}

Stream::Stream(Gaudi &gaudi, std::unique_ptr<DmaCopier> copier) : gaudi_(gaudi), copier_(std::move(copier))
{
    thread_ = std::thread([this] { run(); });
}

Stream::~Stream()
{
    {
        const Gaudi::Lock lock = gaudi_.lock();
        stopping_ = true;
        gaudi_.changed();
    }
    thread_.join();
}

void Stream::push(const Gaudi::Lock &, Work work, const Order &order)
{
    queue_.push_back({std::move(work), order});
    gaudi_.changed();
}

void Stream::run()
{
    Gaudi::Lock lock = gaudi_.lock();
    for (;;) {
        gaudi_.change().wait(
            lock, [&] { return stopping_ || (!queue_.empty() && (gaudi_.failed(lock) || !gaudi_.held(lock))); });
        if (stopping_)
            return;
        running_ = true;
        {
            const Item item = std::move(queue_.front());
            queue_.pop_front();
            pause(lock, item.order);
            if (!interrupted(lock))
                item.work(lock, *this);
        }
        running_ = false;
        gaudi_.changed();
    }
}

void Stream::pause(Gaudi::Lock &lock, const Order &order)
{
    const auto ended = [&] { return interrupted(lock); };
    if (order.delay.count() > 0)
        gaudi_.change().wait_for(lock, order.delay, ended);
    if (order.stall)
        gaudi_.change().wait(lock, ended);
}

Staging *Stream::staging(uint64_t bytes)
{
    if (!staging_ || staging_->bytes().size() < bytes) {
        staging_.reset();
        staging_ = Staging::create(gaudi_.driver(), bytes);
    }
    return staging_.get();
}

void run_copy(Gaudi::Lock &lock, Stream &stream, const Copy &copy)
{
    Gaudi &gaudi = stream.gaudi();
    const auto place = [&](uint64_t address, bool host) -> std::optional<uint64_t> {
        if (host)
            return gaudi.translate(lock, address, copy.bytes);
        return gaudi.hbm(lock).holds(address, copy.bytes) ? std::optional(address) : std::nullopt;
    };
    const auto source = place(copy.source, copy.direction == HOST_TO_DRAM);
    const auto target = place(copy.target, copy.direction == DRAM_TO_HOST);
    if (!source || !target) {
        gaudi.fail(lock, std::format("a copy of {} bytes from {:#x} to {:#x} reaches memory that is not there",
                                     copy.bytes, copy.source, copy.target));
        return;
    }
    lock.unlock();
    const int err = stream.copier().copy(*source, *target, copy.bytes, copy.direction == DRAM_TO_HOST);
    lock.lock();
    if (err)
        gaudi.fail(lock, std::format("a copy ended with errno {}", err));
}

} // namespace hl::dbl
