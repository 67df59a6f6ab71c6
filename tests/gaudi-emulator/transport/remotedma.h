// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "transport/connection.h"

#include <condition_variable>
#include <cstdint>
#include <expected>
#include <map>
#include <mutex>
#include <span>

namespace gaudiemu {

// DMA that the client does for us: DMA_READ and DMA_WRITE requests of the server's. QEMU performs them in the
// function's own address space (hw/vfio-user/pci.c vfio_user_dma_read() and vfio_user_dma_write()), so bridges, a
// virtual IOMMU and the other functions' BARs are its to judge. Any thread may ask, several at once; none of them may
// be the one that receives, which calls complete().
class RemoteDma {
public:
    explicit RemoteDma(Connection &connection) : connection_(connection) {}

    // Bytes that the client takes in one request.
    void set_limit(uint32_t bytes);

    // Waits for the client's answer. Errors: its errno (ENODEV: nobody answers at that address, EFAULT, EPERM), EIO for
    // an answer that is none, ECANCELED.
    [[nodiscard]] std::expected<void, int> read(uint64_t address, std::span<std::byte> into);
    [[nodiscard]] std::expected<void, int> write(uint64_t address, std::span<const std::byte> from);

    // A reply of the client's. One that nobody waits for (any more) is forgotten.
    void complete(const Connection::Message &reply);

    // Ends all waiting with ECANCELED, and until resume() every new request likewise.
    void suspend();
    void resume();

private:
    struct Waiter {
        std::span<std::byte> into; // of a read
        bool read = false;
        bool done = false;
        std::expected<void, int> result;
    };
    using Lock = std::unique_lock<std::mutex>;

    [[nodiscard]] uint32_t limit();
    [[nodiscard]] std::expected<uint16_t, int> enter(Waiter &waiter);
    [[nodiscard]] std::expected<void, int> wait(Waiter &waiter);

    Connection &connection_;
    std::mutex mutex_;
    std::condition_variable answered_;
    std::map<uint16_t, Waiter *> waiting_; // by message id
    uint16_t next_id_ = 0;
    uint32_t limit_ = vfio::max_data_size;
    bool suspended_ = false;
};

} // namespace gaudiemu
