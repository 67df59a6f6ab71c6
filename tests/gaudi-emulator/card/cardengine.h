// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pcifunction.h"
#include "picture.h"
#include "sgregs.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

namespace gaudiemu {

// What both cards do, the registers of sgregs.h: a queue of buffers, a worker that goes through them, results and
// interrupts. What is done with a buffer is the card's.
class CardEngine {
public:
    struct Buffer {
        uint64_t list = 0; // bus address of its entries
        uint32_t count = 0;
        uint32_t cookie = 0;
        std::optional<Picture> picture; // as the registers were at the doorbell; nullopt: they described none
    };
    struct Outcome {
        uint32_t error = HL_CARD_ERROR_NONE;
        uint32_t crc = 0;
    };
    // Runs on the worker, without a lock. A stop was asked for: it returns soon, whatever it has done.
    using Job = std::function<Outcome(const Buffer &buffer, uint32_t number, const std::stop_token &stop)>;
    using Host = std::function<PciHost &()>;
    using Clock = std::chrono::steady_clock;

    // `host` is asked from the first access on.
    CardEngine(uint32_t id, Host host, Job job);
    ~CardEngine();
    CardEngine(const CardEngine &) = delete;
    CardEngine &operator=(const CardEngine &) = delete;

    // Accesses of 32 bits.
    [[nodiscard]] uint32_t read(uint32_t offset);
    void write(uint32_t offset, uint32_t value);

    // Back to power-on; returns when no job runs any more.
    void reset();

    // Frames come at this interval, and are lost where no buffer waits; 0: a frame for every buffer.
    void set_interval(std::chrono::microseconds interval);

    struct Counts {
        uint32_t done = 0; // jobs without an error since the start
        uint32_t lost = 0;
    };
    [[nodiscard]] Counts counts();

    // The result of a frame without an error, after the start; called with the engine's lock held.
    std::function<void(uint32_t number, uint32_t crc)> on_frame;
    // The worker is about to begin: the results before are void. Likewise.
    std::function<void()> on_start;

private:
    struct Result {
        uint32_t cookie;
        uint32_t error;
        uint32_t number;
        uint32_t crc;
    };
    using Lock = std::unique_lock<std::mutex>;

    void work();
    void process(Lock &lock);
    [[nodiscard]] bool wait_for_frame(Lock &lock);
    void control(uint32_t value);
    void halt();
    void take();
    void finish(const Result &result);
    void raise(uint32_t cause);
    [[nodiscard]] uint32_t shadow(uint32_t offset) const;
    [[nodiscard]] std::optional<Picture> picture() const;

    const uint32_t id_;
    const Host host_;
    const Job job_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<uint32_t, uint32_t> registers_; // what was written to those that only keep it
    std::deque<Buffer> queue_;
    std::deque<Result> results_;
    std::chrono::microseconds interval_{0};
    Clock::time_point next_;
    uint32_t number_ = 0;
    Counts counts_;
    uint32_t irq_status_ = 0;
    bool running_ = false;
    bool busy_ = false;
    bool ending_ = false;
    std::stop_source stop_;
    std::thread worker_; // last: it uses all the others
};

} // namespace gaudiemu
