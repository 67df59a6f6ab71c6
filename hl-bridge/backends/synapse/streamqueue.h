// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/chip.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>

namespace hl::synapse {

// A stream and the events that mark its pieces of work, of one session. Made, used and destroyed by one thread:
// synStreamDestroy and an event's recording are not thread safe (synapse_api.h).
class Stream {
public:
    static constexpr size_t depth = 8; // pieces of work in it at once

    // Errors: SynapseCall, DeviceLost.
    [[nodiscard]] static Result<std::unique_ptr<Stream>> create(std::shared_ptr<Session> session,
                                                                const std::string &device);
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;
    ~Stream();

    [[nodiscard]] const Session &session() const noexcept { return *session_; }
    [[nodiscard]] abi::StreamHandle handle() const noexcept { return handle_; }
    [[nodiscard]] abi::EventHandle event(size_t place) const noexcept { return events_[place]; }

private:
    explicit Stream(std::shared_ptr<Session> session) noexcept : session_(std::move(session)) {}

    const std::shared_ptr<Session> session_;
    abi::StreamHandle handle_ = nullptr;
    std::array<abi::EventHandle, depth> events_{};
};

// What a call that puts work into a stream was refused with.
struct CallFailure {
    const char *call = nullptr;
    abi::Status status = abi::success;
};

// One piece of work for a stream. Its owner keeps it until ended() was called.
class StreamWork {
public:
    // Puts it into the stream, in as many calls as it takes: on the queue's thread, without a lock.
    [[nodiscard]] virtual std::optional<CallFailure> issue(const Session &session, abi::StreamHandle stream) = 0;
    // The hardware has let go of it, or is lost. On the queue's thread, without a lock; the last that the queue does
    // with the object.
    virtual void ended(Completion completion) noexcept = 0;

    Deadline deadline = no_deadline; // passed before it is issued: it is not
    uint32_t generation = 0;         // of the memories that it touches

protected:
    ~StreamWork() = default;
};

// Feeds one stream of the chip from one thread, keeps it filled, and looks for the end of what is in it: by asking, as
// waiting in SynapseAI could not be given up when the device is lost. Under the chip's mutex, except for the calls.
class StreamQueue {
public:
    static constexpr size_t ring_size = 64; // pieces that may wait besides those in the stream
    // A piece that takes longer is a hang, and the device as good as lost.
    static constexpr std::chrono::seconds patience{10};

    // Words and codes of errors.
    struct Kind {
        const char *operation = nullptr;
        const char *what = nullptr; // "copy"
        ErrorCode failed = ErrorCode::Internal;
        ErrorCode late = ErrorCode::Internal;
    };

    // `generation` is the chip's when the queue is made. `detached` is called, on the thread and without a lock, when
    // that or a later one was lost and nothing of it is in the stream any more.
    StreamQueue(std::shared_ptr<Chip> chip, uint32_t generation, const Kind &kind, std::function<void()> detached = {});

    [[nodiscard]] bool fits(const Chip::Lock &, size_t more) const noexcept { return waiting_ + more <= ring_size; }
    // Only what fits, and not after close().
    void push(const Chip::Lock &, StreamWork &work);
    // The thread: returns after close(), or when the chip is closing, once all that was issued has ended.
    void work();
    // What is not issued yet ends with Cancelled.
    void close();

private:
    struct Running {
        StreamWork *work = nullptr;
        Clock::time_point issued{};
        size_t event = 0;
        std::optional<Error> failed;
    };

    [[nodiscard]] bool closing(const Chip::Lock &lock) const noexcept { return closed_ || chip_->closing(lock); }
    [[nodiscard]] std::optional<Error> interrupted(const Chip::Lock &lock, const StreamWork &work) const;
    void begin_next(Chip::Lock &lock);
    void issue(Chip::Lock &lock, StreamWork &work);
    [[nodiscard]] std::optional<Error> attach(Chip::Lock &lock);
    void detach(Chip::Lock &lock);
    void look_at_front(Chip::Lock &lock);
    void end_front(Chip::Lock &lock, std::optional<Error> failed);
    void end(Chip::Lock &lock, StreamWork &work, std::optional<Error> failed, Clock::time_point started);
    [[nodiscard]] Error failure(const CallFailure &failure, const Library &library) const;
    [[nodiscard]] Error error(ErrorCode code, std::string cause, int sys_errno) const;

    const std::shared_ptr<Chip> chip_;
    const Kind kind_;
    const std::function<void()> detached_;
    std::condition_variable wake_;
    std::array<StreamWork *, ring_size> ring_{}; // in order
    size_t first_waiting_ = 0, waiting_ = 0;
    bool closed_ = false;

    // The thread's alone.
    uint32_t generation_; // of stream_, and of all that runs
    std::unique_ptr<Stream> stream_;
    std::array<Running, Stream::depth> running_{}; // a ring, in order
    size_t first_running_ = 0, running_count_ = 0;
    Clock::time_point last_end_{};
    std::chrono::microseconds interval_{};
};

} // namespace hl::synapse
