// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace gaudiemu::chip {

// A machine for tests: guest memory from bus address `base` on, and interrupts that can be waited for.
class FakeHost final : public PciHost {
public:
    static constexpr uint64_t base = 0x10000000;

    explicit FakeHost(size_t size = 32 << 20) : memory_(size) {}

    std::expected<void, BusFault> dma_read(uint64_t address, std::span<std::byte> into) override
    {
        const std::lock_guard lock(mutex_);
        if (!inside(address, into.size()))
            return refuse(address);
        std::memcpy(into.data(), memory_.data() + (address - base), into.size());
        return {};
    }

    std::expected<void, BusFault> dma_write(uint64_t address, std::span<const std::byte> from) override
    {
        const std::lock_guard lock(mutex_);
        if (!inside(address, from.size()))
            return refuse(address);
        std::memcpy(memory_.data() + (address - base), from.data(), from.size());
        changed_.notify_all();
        return {};
    }

    void interrupt(unsigned vector) override
    {
        const std::lock_guard lock(mutex_);
        ++interrupts_[vector];
        changed_.notify_all();
    }

    // The guest's own view.
    template <typename T>
    [[nodiscard]] T get(uint64_t address)
    {
        T value{};
        EXPECT_TRUE(dma_read(address, std::as_writable_bytes(std::span(&value, 1))));
        return value;
    }
    template <typename T>
    void put(uint64_t address, const T &value)
    {
        EXPECT_TRUE(dma_write(address, std::as_bytes(std::span(&value, 1))));
    }
    // The bus address of the last DMA that met no memory.
    [[nodiscard]] uint64_t last_refused()
    {
        const std::lock_guard lock(mutex_);
        return refused_;
    }
    [[nodiscard]] unsigned interrupts(unsigned vector)
    {
        const std::lock_guard lock(mutex_);
        return interrupts_[vector];
    }

    // False after ten seconds.
    [[nodiscard]] bool wait_interrupts(unsigned vector, unsigned count)
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return interrupts_[vector] >= count; });
    }
    [[nodiscard]] bool wait_word(uint64_t address, uint32_t wanted)
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
            uint32_t word = 0;
            std::memcpy(&word, memory_.data() + (address - base), sizeof word);
            return word == wanted;
        });
    }

private:
    std::unexpected<BusFault> refuse(uint64_t address)
    {
        refused_ = address;
        return std::unexpected(BusFault{address, "no memory"});
    }
    [[nodiscard]] bool inside(uint64_t address, size_t size) const
    {
        return address >= base && size <= memory_.size() && address - base <= memory_.size() - size;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::byte> memory_;
    std::map<unsigned, unsigned> interrupts_;
    uint64_t refused_ = 0;
};

} // namespace gaudiemu::chip
