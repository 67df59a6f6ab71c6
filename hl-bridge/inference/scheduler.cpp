// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/scheduler.h"

#include "core/log.h"
#include "core/stragglers.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <format>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace hl {
namespace {

constexpr unsigned max_in_flight = 64;

// How long a stopping stream waits for its last jobs, so that most leave nothing behind; slower ones end on their own.
constexpr std::chrono::milliseconds tidy_stop{50};

uint64_t frame_bytes(const FrameFormat &format) noexcept
{
    uint64_t bytes = 0;
    for (size_t p = 0; p < pixel_format_info(format.format).planes; ++p)
        bytes += uint64_t{plane_row_bytes(format, p)} * plane_rows(format, p);
    return bytes;
}

// The bytes of one plane as a copy: one run where both sides have the same stride, else row by row.
CopyRegion plane_region(const FrameFormat &format, size_t p, const PlaneLayout &from, const PlaneLayout &to) noexcept
{
    const uint32_t row = plane_row_bytes(format, p);
    const uint32_t rows = plane_rows(format, p);
    CopyRegion region{.source = from.memory,
                      .target = to.memory,
                      .source_offset = from.offset,
                      .target_offset = to.offset,
                      .source_stride = from.stride,
                      .target_stride = to.stride,
                      .row_bytes = row,
                      .rows = rows};
    if (from.stride == to.stride && rows > 0) {
        region.row_bytes = uint64_t{from.stride} * (rows - 1) + row;
        region.rows = 1;
    }
    return region;
}

void copy_plane(const FrameView &from, size_t p, const PlanePlacement &to, std::span<std::byte> bytes) noexcept
{
    const uint32_t row = plane_row_bytes(from.format, p);
    const uint32_t rows = plane_rows(from.format, p);
    std::byte *target = bytes.data() + to.offset[p];
    if (from.stride[p] == to.stride[p] && rows > 0) {
        std::memcpy(target, from.data[p], size_t{row} + size_t{to.stride[p]} * (rows - 1));
        return;
    }
    for (uint32_t y = 0; y < rows; ++y)
        std::memcpy(target + size_t{y} * to.stride[p], from.data[p] + size_t{y} * from.stride[p], row);
}

class SchedulerCore;

// Memory of a slot's own that a frame passes through on its way to the engine.
struct Staging {
    OwnedMemory memory;
    std::span<std::byte> bytes; // Host placement only
};

// One job's place. Between take() and finish() its fields belong to whoever drives the job: the submitting thread,
// then one completion after the other. `listener` alone is shared, under the core's mutex.
struct Slot final : CompletionListener {
    enum class Stage : uint8_t { Free, Preparing, Transferring, Running };

    explicit Slot(SchedulerCore &owner_core, unsigned number) noexcept : core(owner_core), index(number) {}
    void completed(Completion completion) noexcept override;

    SchedulerCore &core;
    const unsigned index;
    Stage stage = Stage::Free;
    JobListener *listener = nullptr;
    bool attached = false;
    void *owner = nullptr;
    void (*release_owner)(void *) noexcept = nullptr;
    InferRequest request;
    PlanePlacement placement; // of the configured format, for staging
    uint64_t bytes = 0;       // of the configured format, padding not counted
    CopyKind transfer = CopyKind::Upload;
    JobTimes times;
    Staging host;
    Staging device;
};

// Everything that must outlive the Scheduler while the hardware is busy with one of its jobs.
class SchedulerCore {
public:
    SchedulerCore(std::shared_ptr<Device> device, std::shared_ptr<Engine> engine, unsigned in_flight,
                  std::shared_ptr<CopyCounters> counters)
        : device_(std::move(device)), engine_(std::move(engine)), counters_(std::move(counters)), limit_(in_flight)
    {
        slots_.reserve(limit_);
        free_.reserve(limit_);
        for (unsigned i = 0; i < limit_; ++i) {
            slots_.push_back(std::make_unique<Slot>(*this, i));
            free_.push_back(limit_ - 1 - i);
        }
    }

    [[nodiscard]] const EngineInfo &engine_info() const noexcept { return engine_->info(); }
    [[nodiscard]] unsigned limit() const noexcept { return limit_; }
    [[nodiscard]] bool full() const noexcept
    {
        const std::lock_guard lock(mutex_);
        return free_.empty();
    }

    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format);
    [[nodiscard]] Status submit(const Job &job, JobListener &listener);
    void detach_all() noexcept;
    void advance(Slot &slot, Completion completion) noexcept;

    // Waits, as long as given, until no job is under way and no callback is left in here; TRUE if so: the core may then
    // be destroyed.
    [[nodiscard]] bool wait_idle_for(std::chrono::milliseconds limit) noexcept
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_until(lock, Clock::now() + limit, [this] { return active_ == 0; });
    }
    void wait_idle() noexcept
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return active_ == 0; });
    }

private:
    [[nodiscard]] Result<Slot *> take(const Job &job, JobListener &listener);
    void give_back(Slot &slot) noexcept;
    [[nodiscard]] Status start(Slot &slot, const Job &job);
    [[nodiscard]] Status stage_foreign(Slot &slot, const FrameView &view);
    [[nodiscard]] Status stage_transfer(Slot &slot, Placement target);
    [[nodiscard]] Status ensure(Slot &slot, Placement placement);
    [[nodiscard]] Status run(Slot &slot);
    template <class Submit>
    [[nodiscard]] Status when_there_is_room(Slot &slot, Submit submit);
    void finish(Slot &slot, Status status) noexcept;

    const std::shared_ptr<Device> device_;
    const std::shared_ptr<Engine> engine_;
    const std::shared_ptr<CopyCounters> counters_;
    const unsigned limit_;
    std::vector<std::unique_ptr<Slot>> slots_;

    mutable std::mutex mutex_; // guards what follows, and Slot::listener/attached; never held over a call out of here
    std::condition_variable changed_;
    std::vector<unsigned> free_; // a stack, so that few jobs touch little staging memory
    unsigned active_ = 0;        // jobs taken and not yet entirely let go of, their owner's release included
    unsigned reporting_ = 0;     // listeners being called right now
    bool configured_ = false;
    FrameFormat format_;
    PlanePlacement placement_;
};

// The core whose listener this thread is calling, so that a listener may detach without waiting for itself.
thread_local const SchedulerCore *reporting_core = nullptr;

void Slot::completed(Completion completion) noexcept
{
    core.advance(*this, std::move(completion));
}

Result<FrameTransform> SchedulerCore::configure(const FrameFormat &format)
{
    {
        const std::lock_guard lock(mutex_);
        if (std::ranges::any_of(slots_, [](const auto &slot) { return slot->attached; }))
            return fail(ErrorCode::Internal, "configure scheduler", "the format changed while jobs were attached");
    }
    auto transform = engine_->configure(format);
    if (!transform)
        return transform;
    const std::lock_guard lock(mutex_);
    configured_ = true;
    format_ = format;
    // The strides that GStreamer gives by default: a frame from a default pool is then copied in one run per plane.
    placement_ = packed_placement(format);
    return transform;
}

Result<Slot *> SchedulerCore::take(const Job &job, JobListener &listener)
{
    const std::lock_guard lock(mutex_);
    if (!configured_)
        return fail(ErrorCode::FormatMissing, "submit job", "a frame came before the format of the stream");
    if (free_.empty())
        return fail(ErrorCode::QueueFull, "submit job", std::format("all {} requests are in flight", limit_));
    Slot &slot = *slots_[free_.back()];
    free_.pop_back();
    ++active_;
    slot.stage = Slot::Stage::Preparing;
    slot.listener = &listener;
    slot.attached = true;
    slot.owner = job.owner;
    slot.release_owner = job.release_owner;
    slot.request.id = job.id;
    slot.request.frame.format = format_;
    slot.request.frame.plane = {};
    slot.request.region = job.region;
    slot.request.output = job.output;
    slot.request.deadline = job.deadline;
    slot.placement = placement_;
    slot.bytes = 0;
    return &slot;
}

// Undoes take() for a job that was refused; its owner stays with the caller.
void SchedulerCore::give_back(Slot &slot) noexcept
{
    const std::lock_guard lock(mutex_);
    slot.stage = Slot::Stage::Free;
    slot.attached = false;
    free_.push_back(slot.index);
    if (--active_ == 0)
        changed_.notify_all();
}

Status SchedulerCore::submit(const Job &job, JobListener &listener)
{
    auto taken = take(job, listener);
    if (!taken)
        return std::unexpected(std::move(taken.error()));
    Slot &slot = **taken;
    slot.times = {};
    slot.times.submitted = Clock::now();
    slot.times.copied = slot.times.transferred = slot.times.submitted;
    // After success the job may already be over and its slot in other hands.
    Status status = start(slot, job);
    if (!status)
        give_back(slot);
    return status;
}

Status SchedulerCore::start(Slot &slot, const Job &job)
{
    const EngineInfo &info = engine_->info();
    if (info.input == InputKind::Nothing) {
        if (job.frame)
            slot.request.frame = *job.frame;
        return when_there_is_room(slot, [&] { return run(slot); });
    }
    const FrameFormat &format = slot.request.frame.format;
    if ((job.frame == nullptr) == (job.foreign == nullptr))
        return fail(ErrorCode::Internal, "submit job", "a job has either a frame or a foreign frame");
    if ((job.frame ? job.frame->format : job.foreign->format) != format)
        return fail(ErrorCode::FrameLayoutInvalid, "submit job", "the frame is not of the configured format");
    slot.bytes = frame_bytes(format);

    if (job.foreign) {
        if (auto copied = stage_foreign(slot, *job.foreign); !copied)
            return copied;
    } else {
        slot.request.frame = *job.frame;
        if (job.inbound_writes && slot.request.frame.placement() == Placement::Device)
            if (auto flushed = device_->flush_inbound_writes(); !flushed)
                return flushed;
    }
    const bool on_device = slot.request.frame.placement() == Placement::Device;
    if (on_device ? info.reads_device : info.reads_host)
        return when_there_is_room(slot, [&] { return run(slot); });
    return stage_transfer(slot, on_device ? Placement::Host : Placement::Device);
}

// Allocates the slot's staging memory on first need, and again where the format outgrew it or the device was lost.
Status SchedulerCore::ensure(Slot &slot, Placement placement)
{
    Staging &staging = placement == Placement::Host ? slot.host : slot.device;
    const uint64_t size = slot.placement.size;
    if (staging.memory && staging.memory.get().size >= size && staging.memory.get().generation == device_->generation())
        return {};
    staging.bytes = {};
    staging.memory.reset();
    auto memory = OwnedMemory::allocate(device_, size, placement);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    if (placement == Placement::Host) {
        auto bytes = device_->host_span(memory->get());
        if (!bytes)
            return std::unexpected(std::move(bytes.error()));
        staging.bytes = *bytes;
    }
    staging.memory = std::move(*memory);
    return {};
}

Status SchedulerCore::stage_foreign(Slot &slot, const FrameView &view)
{
    if (auto ready = ensure(slot, Placement::Host); !ready)
        return ready;
    for (size_t p = 0; p < pixel_format_info(view.format.format).planes; ++p)
        copy_plane(view, p, slot.placement, slot.host.bytes);
    slot.request.frame = layout_in(view.format, slot.host.memory.get(), slot.placement);
    slot.times.copied = slot.times.transferred = Clock::now();
    counters_->add(CopyKind::CpuCopy, slot.bytes);
    return {};
}

// Sends the frame by DMA into the slot's staging memory; the engine starts from the completion.
Status SchedulerCore::stage_transfer(Slot &slot, Placement target)
{
    if (auto ready = ensure(slot, target); !ready)
        return ready;
    const FrameLayout source = slot.request.frame;
    const Staging &staging = target == Placement::Host ? slot.host : slot.device;
    slot.request.frame = layout_in(source.format, staging.memory.get(), slot.placement);
    slot.transfer = target == Placement::Host ? CopyKind::ReadBack : CopyKind::Upload;
    slot.stage = Slot::Stage::Transferring;

    CopyRequest copy{.id = slot.request.id, .deadline = slot.request.deadline};
    copy.regions = pixel_format_info(source.format.format).planes;
    for (size_t p = 0; p < copy.regions; ++p)
        copy.region[p] = plane_region(source.format, p, source.plane[p], slot.request.frame.plane[p]);
    return when_there_is_room(slot, [&] { return device_->submit({&copy, 1}, slot); });
}

// For the submitting thread, which may wait: other streams fill the device's queue, and nobody tells us when theirs
// end.
template <class Submit>
Status SchedulerCore::when_there_is_room(Slot &slot, Submit submit)
{
    const Deadline give_up = std::min(slot.request.deadline, Clock::now() + longest_wait_for_room);
    for (;;) {
        Status status = submit();
        if (status || status.error().code != ErrorCode::QueueFull || Clock::now() >= give_up)
            return status;
        std::unique_lock lock(mutex_);
        if (!slot.attached)
            return fail(ErrorCode::Cancelled, "submit job", "the request was detached");
        (void)changed_.wait_for(lock, room_interval);
    }
}

Status SchedulerCore::run(Slot &slot)
{
    slot.stage = Slot::Stage::Running;
    return engine_->submit({&slot.request, 1}, slot);
}

void SchedulerCore::advance(Slot &slot, Completion completion) noexcept
{
    if (slot.stage == Slot::Stage::Transferring) {
        if (!completion.status)
            return finish(slot, std::move(completion.status));
        counters_->add(slot.transfer, slot.bytes);
        slot.times.transferred = completion.finished;
        bool wanted = false;
        {
            const std::lock_guard lock(mutex_);
            wanted = slot.attached;
        }
        if (!wanted)
            return finish(slot, fail(ErrorCode::Cancelled, "run inference", "the request was detached"));
        if (auto status = run(slot); !status)
            finish(slot, std::move(status));
        return;
    }
    slot.times.started = completion.started;
    slot.times.finished = completion.finished;
    finish(slot, std::move(completion.status));
}

// Frees the slot first, so that a listener that is told of room finds room. `active_` covers the rest of the way out.
void SchedulerCore::finish(Slot &slot, Status status) noexcept
{
    JobResult result{.id = slot.request.id, .status = std::move(status), .times = slot.times};
    // Requests that never began (refused, lost) have no times of their own.
    result.times.started = std::max(result.times.started, result.times.transferred);
    result.times.finished = std::max(result.times.finished, result.times.started);
    void *const owner = slot.owner;
    const auto release_owner = slot.release_owner;
    JobListener *listener = nullptr;
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(slot.attached, false)) {
            listener = slot.listener;
            ++reporting_;
        }
        slot.stage = Slot::Stage::Free;
        free_.push_back(slot.index);
    }
    if (listener) {
        const SchedulerCore *const outer = std::exchange(reporting_core, this);
        listener->job_finished(std::move(result));
        reporting_core = outer;
        const std::lock_guard lock(mutex_);
        --reporting_;
        changed_.notify_all();
    }
    if (release_owner)
        release_owner(owner);
    // Notified under the lock: the core may be destroyed as soon as another thread sees it idle.
    const std::lock_guard lock(mutex_);
    if (--active_ == 0)
        changed_.notify_all();
}

void SchedulerCore::detach_all() noexcept
{
    std::unique_lock lock(mutex_);
    for (const auto &slot : slots_)
        slot->attached = false;
    const unsigned own = reporting_core == this ? 1 : 0;
    changed_.wait(lock, [this, own] { return reporting_ <= own; });
}

// What a stream holds. Its destructor runs on a thread of the stream's; the core, and with it perhaps the last
// reference to engine and device, is never destroyed on a thread of theirs.
class StreamScheduler final : public Scheduler {
public:
    explicit StreamScheduler(std::unique_ptr<SchedulerCore> core) noexcept : core_(std::move(core)) {}

    ~StreamScheduler() override
    {
        core_->detach_all();
        if (core_->wait_idle_for(tidy_stop))
            return;
        SchedulerCore *const busy = core_.release();
        try {
            run_straggler([busy] {
                busy->wait_idle();
                delete busy;
            });
        } catch (const std::system_error &) {
            // Leaking is the one safe thing left: the hardware still writes to memory of these jobs.
            log(LogLevel::Error, "scheduler", "no thread for the last jobs of a stream; their memory is leaked");
        }
    }

    [[nodiscard]] const EngineInfo &engine_info() const noexcept override { return core_->engine_info(); }
    [[nodiscard]] unsigned in_flight_limit() const noexcept override { return core_->limit(); }
    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format) override
    {
        return core_->configure(format);
    }
    [[nodiscard]] Status submit(const Job &job, JobListener &listener) override { return core_->submit(job, listener); }
    [[nodiscard]] bool full() const noexcept override { return core_->full(); }
    void detach_all() noexcept override { core_->detach_all(); }

private:
    std::unique_ptr<SchedulerCore> core_;
};

} // namespace

Result<std::shared_ptr<Scheduler>> Scheduler::create(std::shared_ptr<Device> device, std::shared_ptr<Engine> engine,
                                                     const Options &options, std::shared_ptr<CopyCounters> counters)
{
    if (!device || !engine || !counters)
        return fail(ErrorCode::Internal, "create scheduler", "device, engine and counters are needed");
    const EngineInfo &info = engine->info();
    if (info.input != InputKind::Nothing && !info.reads_device && !info.reads_host)
        return fail(ErrorCode::Internal, "create scheduler",
                    std::format("engine {} reads frames neither on the device nor on the host", info.name));
    const unsigned in_flight = std::clamp(options.in_flight ? options.in_flight : info.in_flight, 1u, max_in_flight);
    return std::make_shared<StreamScheduler>(
        std::make_unique<SchedulerCore>(std::move(device), std::move(engine), in_flight, std::move(counters)));
}

} // namespace hl
