// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "captureregs.h"
#include "pcifunction.h"
#include "picture.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <vector>

namespace gaudiemu {

// Memory at one bus address and an interrupt line, for tests without a machine. Around the memory nobody answers.
class FakeBus final : public PciHost {
public:
    static constexpr uint64_t base = 0x1'2345'0000;

    explicit FakeBus(size_t bytes) : memory(bytes) {}

    std::expected<void, BusFault> dma_read(uint64_t address, std::span<std::byte> into) override
    {
        return move(address, into.size(), [&](std::span<std::byte> there) { std::ranges::copy(there, into.begin()); });
    }

    std::expected<void, BusFault> dma_write(uint64_t address, std::span<const std::byte> from) override
    {
        return move(address, from.size(), [&](std::span<std::byte> there) { std::ranges::copy(from, there.begin()); });
    }

    void interrupt(unsigned vector) override
    {
        const std::lock_guard lock(mutex_);
        interrupts_ += vector == 0 ? 1 : 1000;
        changed_.notify_all();
    }

    // Waits until so many interrupts have come in all. False: they did not.
    [[nodiscard]] bool wait_for_interrupts(unsigned count)
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return interrupts_ >= count; });
    }

    // From the next one on, DMA in the second half of the memory does not end before release().
    void hold()
    {
        const std::lock_guard lock(mutex_);
        held_ = true;
    }

    void release()
    {
        const std::lock_guard lock(mutex_);
        held_ = false;
        changed_.notify_all();
    }

    [[nodiscard]] bool wait_until_held()
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return waiting_; });
    }

    [[nodiscard]] unsigned transfers()
    {
        const std::lock_guard lock(mutex_);
        return transfers_;
    }

    std::vector<std::byte> memory; // the test's while nothing runs

private:
    static constexpr std::chrono::seconds patience{20};

    template <typename Action>
    std::expected<void, BusFault> move(uint64_t address, size_t bytes, const Action &action)
    {
        std::unique_lock lock(mutex_);
        ++transfers_;
        if (address < base || address + bytes > base + memory.size()) {
            return std::unexpected(BusFault{address, "nobody answers"});
        }
        if (held_ && address - base >= memory.size() / 2) {
            waiting_ = true;
            changed_.notify_all();
            changed_.wait(lock, [&] { return !held_; });
            waiting_ = false;
        }
        action(std::span(memory).subspan(address - base, bytes));
        return {};
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    unsigned interrupts_ = 0;
    unsigned transfers_ = 0;
    bool held_ = false;
    bool waiting_ = false;
};

// The driver's half of a card: lists at the start of the memory, buffers in its second half.
class CardDriver {
public:
    CardDriver(FakeBus &bus, PciFunction &card) : bus_(bus), card_(card)
    {
        card_.attach(bus_);
        card_.reset();
    }

    [[nodiscard]] uint32_t get(uint64_t offset) { return static_cast<uint32_t>(card_.read(HL_CARD_BAR, offset, 4)); }
    void set(uint64_t offset, uint32_t value) { card_.write(HL_CARD_BAR, offset, 4, value); }

    void describe(const Picture &picture)
    {
        set(HL_CARD_FORMAT, picture.fourcc);
        set(HL_CARD_WIDTH, picture.width);
        set(HL_CARD_HEIGHT, picture.height);
        set(HL_CARD_FRAME_BYTES, static_cast<uint32_t>(picture.bytes));
        for (uint32_t i = 0; i < picture.planes.size(); ++i) {
            set(HL_CARD_OFFSET(i), static_cast<uint32_t>(picture.planes[i].offset));
            set(HL_CARD_STRIDE(i), picture.planes[i].stride);
        }
    }

    void queue(uint32_t cookie, const std::vector<hl_card_sg> &entries)
    {
        const uint64_t place = uint64_t{list_bytes} * (cookie % 8);
        std::memcpy(&bus_.memory[place], entries.data(), entries.size() * sizeof(hl_card_sg));
        set(HL_CARD_SG_LOW, static_cast<uint32_t>(FakeBus::base + place));
        set(HL_CARD_SG_HIGH, static_cast<uint32_t>((FakeBus::base + place) >> 32));
        set(HL_CARD_SG_COUNT, static_cast<uint32_t>(entries.size()));
        set(HL_CARD_COOKIE, cookie);
        set(HL_CARD_DOORBELL, 1);
    }

    // One entry for all of a buffer.
    void queue_whole(uint32_t cookie, uint64_t bytes)
    {
        queue(cookie, {{buffer_address(), static_cast<uint32_t>(bytes), 0}});
    }

    [[nodiscard]] uint64_t buffer_address() const { return FakeBus::base + bus_.memory.size() / 2; }
    [[nodiscard]] std::span<std::byte> buffer() { return std::span(bus_.memory).subspan(bus_.memory.size() / 2); }

    void start()
    {
        set(HL_CARD_IRQ_ENABLE, HL_CARD_IRQ_DONE | HL_CARD_IRQ_IDLE);
        set(HL_CARD_CONTROL, HL_CARD_CONTROL_RUN);
    }

private:
    static constexpr uint32_t list_bytes = 4096;
    FakeBus &bus_;
    PciFunction &card_;
};

} // namespace gaudiemu
