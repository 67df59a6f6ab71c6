// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "core/error.h"
#include "core/latencyhistogram.h"
#include "device/device.h"
#include "inference/engine.h"

#include <cstdint>
#include <memory>

namespace hl {

// When each stage of a job ended, for latency figures. A stage that was not needed has the same time as the one before.
struct JobTimes {
    Clock::time_point submitted{};
    Clock::time_point copied{};      // CPU copy of a foreign frame done
    Clock::time_point transferred{}; // counted DMA done
    Clock::time_point started{};     // engine began
    Clock::time_point finished{};    // engine done
};

struct JobResult {
    uint64_t id = 0;
    Status status;
    JobTimes times;
};

// Receives finished jobs, in any order, on the device's side; the rules of CompletionListener hold.
class JobListener {
public:
    virtual void job_finished(JobResult result) noexcept = 0;

protected:
    ~JobListener() = default;
};

// One frame to infer on. Exactly one of `frame` (memory a device knows) and `foreign` (mapped by the caller, read only
// during submit()) is set; for an engine that reads nothing (InputKind::Nothing) both may be missing.
struct Job {
    uint64_t id = 0;
    const FrameLayout *frame = nullptr;
    const FrameView *foreign = nullptr;
    bool inbound_writes = false; // another PCI device may have written `frame`: flush before it is read
    Rect region;                 // width 0: the whole frame
    Memory output;               // as InferRequest::output
    Deadline deadline = no_deadline;
    // What must live until the hardware has let go of frame and output (a buffer). Released exactly once, on any
    // thread, after the listener was told or would have been; nullptr: nothing.
    void *owner = nullptr;
    void (*release_owner)(void *owner) noexcept = nullptr;
};

// Brings each frame to where the engine reads it, inserting the counted transfer, and keeps at most `in_flight` jobs
// under way. Sits between one stream and one engine. Cancelling detaches the listener, never the memory: owners are
// released when the hardware is done or the device is lost. Thread safe. No malloc after create() and configure().
class Scheduler {
public:
    struct Options {
        unsigned in_flight = 0; // 0 = EngineInfo::in_flight
    };

    // `counters` is the stream's; it must outlive the scheduler.
    [[nodiscard]] static Result<std::shared_ptr<Scheduler>> create(std::shared_ptr<Device> device,
                                                                   std::shared_ptr<Engine> engine,
                                                                   const Options &options,
                                                                   std::shared_ptr<CopyCounters> counters);
    virtual ~Scheduler() = default;

    [[nodiscard]] virtual const EngineInfo &engine_info() const noexcept = 0;
    [[nodiscard]] virtual unsigned in_flight_limit() const noexcept = 0;

    // The format of the jobs from now on; call with no listener-attached job outstanding. Staging memory is allocated
    // on first need. Errors as Engine::configure().
    [[nodiscard]] virtual Result<FrameTransform> configure(const FrameFormat &format) = 0;

    // Takes a job, or refuses it (the owner is then not released; the caller keeps it). Errors: QueueFull (all slots
    // busy; wait for a completion), and those of the stages. A foreign frame is copied to pinned pages before this
    // returns and counted as a CPU copy.
    [[nodiscard]] virtual Status submit(const Job &job, JobListener &listener) = 0;

    // True while all slots are busy, detached jobs included.
    [[nodiscard]] virtual bool full() const noexcept = 0;

    // After this returns, no job submitted before is reported to its listener. Does not wait for the hardware, only for
    // a report under way on another thread. A listener may call it from a report.
    virtual void detach_all() noexcept = 0;
};

} // namespace hl
