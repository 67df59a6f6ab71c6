// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/remotedma.h"

#include <algorithm>
#include <cerrno>

namespace gaudiemu {

namespace {
// Requests in flight at once: far more than there are workers, far fewer than there are ids.
constexpr size_t max_waiting = 1024;
// Bytes of one read. QEMU writes its answer to a socket that does not block, and forgets what does not fit
// (hw/vfio-user/ proxy.c vfio_user_send_qio()): 614 400 bytes never arrive, with the 208 KiB that a socket's buffer
// has.
constexpr size_t max_read = 64 << 10;
} // namespace

void RemoteDma::set_limit(uint32_t bytes)
{
    const Lock lock(mutex_);
    limit_ = bytes;
}

uint32_t RemoteDma::limit()
{
    const Lock lock(mutex_);
    return limit_;
}

std::expected<uint16_t, int> RemoteDma::enter(Waiter &waiter)
{
    const Lock lock(mutex_);
    if (suspended_)
        return std::unexpected(ECANCELED);
    if (waiting_.size() >= max_waiting)
        return std::unexpected(EBUSY);
    while (waiting_.contains(next_id_))
        ++next_id_;
    waiting_.emplace(next_id_, &waiter);
    return next_id_++;
}

std::expected<void, int> RemoteDma::wait(Waiter &waiter)
{
    Lock lock(mutex_);
    answered_.wait(lock, [&] { return waiter.done; });
    return waiter.result;
}

std::expected<void, int> RemoteDma::read(uint64_t address, std::span<std::byte> into)
{
    const size_t most = std::min<size_t>(limit(), max_read);
    while (!into.empty()) {
        const auto part = into.first(std::min(into.size(), most));
        Waiter waiter{.into = part, .read = true};
        const auto id = enter(waiter);
        if (!id)
            return std::unexpected(id.error());
        connection_.send(vfio::make_dma_read(*id, address, static_cast<uint32_t>(part.size())));
        if (auto result = wait(waiter); !result)
            return result;
        address += part.size();
        into = into.subspan(part.size());
    }
    return {};
}

std::expected<void, int> RemoteDma::write(uint64_t address, std::span<const std::byte> from)
{
    const size_t most = limit();
    while (!from.empty()) {
        const auto part = from.first(std::min(from.size(), most));
        Waiter waiter;
        const auto id = enter(waiter);
        if (!id)
            return std::unexpected(id.error());
        connection_.send(vfio::make_dma_write(*id, address, part));
        if (auto result = wait(waiter); !result)
            return result;
        address += part.size();
        from = from.subspan(part.size());
    }
    return {};
}

void RemoteDma::complete(const Connection::Message &reply)
{
    const Lock lock(mutex_);
    const auto found = waiting_.find(reply.header.id);
    if (found == waiting_.end())
        return;
    auto &waiter = *found->second;
    if (waiter.read) {
        const auto data = vfio::parse_dma_read_reply(reply.header, reply.payload, waiter.into.size());
        if (data)
            std::ranges::copy(*data, waiter.into.begin());
        else
            waiter.result = std::unexpected(data.error());
    } else if (reply.header.error) {
        waiter.result = std::unexpected(*reply.header.error);
    } else if (reply.header.command != static_cast<uint16_t>(vfio::Command::DmaWrite)) {
        waiter.result = std::unexpected(EIO);
    }
    waiter.done = true;
    waiting_.erase(found);
    answered_.notify_all();
}

void RemoteDma::suspend()
{
    const Lock lock(mutex_);
    suspended_ = true;
    for (const auto &[id, waiter] : waiting_) {
        waiter->result = std::unexpected(ECANCELED);
        waiter->done = true;
    }
    waiting_.clear();
    answered_.notify_all();
}

void RemoteDma::resume()
{
    const Lock lock(mutex_);
    suspended_ = false;
}

} // namespace gaudiemu
