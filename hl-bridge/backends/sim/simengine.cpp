// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simengine.h"

#include "core/pixelformat.h"
#include "core/stragglers.h"

#include <array>
#include <cerrno>
#include <format>
#include <optional>
#include <utility>
#include <vector>

namespace hl::sim {
namespace {

constexpr const char *operation = "submit inference";

class SimResolver final : public MemoryResolver {
public:
    explicit SimResolver(std::shared_ptr<Chip> chip) : chip_(std::move(chip)) {}

    Result<std::span<std::byte>> resolve(const Memory &memory) override { return chip_->bytes_of(memory); }
    bool reaches(Placement) const noexcept override { return true; }

private:
    const std::shared_ptr<Chip> chip_;
};

} // namespace

std::shared_ptr<MemoryResolver> make_sim_resolver(std::shared_ptr<Chip> chip)
{
    return std::make_shared<SimResolver>(std::move(chip));
}

// Everything below `chip_` is guarded by the chip's mutex.
class SimEngine::Core final : public CompletionListener, public std::enable_shared_from_this<Core> {
public:
    Core(std::shared_ptr<Device> device, std::shared_ptr<Chip> chip, std::shared_ptr<Engine> inner);

    [[nodiscard]] Engine &inner() const noexcept { return *inner_; }
    [[nodiscard]] const EngineInfo &info() const noexcept { return info_; }
    [[nodiscard]] Chip &chip() const noexcept { return *chip_; }
    [[nodiscard]] bool has_worker() const noexcept { return has_worker_; }

    [[nodiscard]] Status submit(std::span<const InferRequest> requests, CompletionListener &listener);
    void completed(Completion completion) noexcept override;
    void close();
    void work();

private:
    static constexpr size_t most_memories = max_planes + 1;

    struct Slot {
        InferRequest request; // as submitted; goes to the inner engine with the slot's number as its id
        CompletionListener *listener = nullptr;
        std::array<Allocation *, most_memories> held{};
        size_t memories = 0;
        Fault fault;
        uint32_t generation = 0;
        std::optional<Completion> inner_end; // worker only
    };

    // An engine that reads nothing may be given a frame that lies in no memory of a device.
    [[nodiscard]] bool names_a_frame(const InferRequest &request) const
    {
        return info_.input != InputKind::Nothing || request.frame.plane[0].memory.valid();
    }
    [[nodiscard]] Status check_memories(const Chip::Lock &lock, const InferRequest &request, Slot &slot);
    [[nodiscard]] Status strike(const Chip::Lock &lock, std::span<Fault> faults);
    [[nodiscard]] uint64_t take_slot(const Chip::Lock &lock, const InferRequest &request, CompletionListener &listener,
                                     const Fault &fault);
    void give_back(const Chip::Lock &lock, uint64_t index);
    void finish(Chip::Lock lock, uint64_t index, Completion completion);
    [[nodiscard]] Completion run(Chip::Lock &lock, uint64_t index);
    [[nodiscard]] std::optional<Error> interrupted(const Chip::Lock &lock, const Slot &slot) const;
    [[nodiscard]] Error error(ErrorCode code, std::string cause, int sys_errno) const;

    const std::shared_ptr<Device> device_;
    const std::shared_ptr<Chip> chip_;
    std::array<Slot, capacity> slots_{};
    std::array<uint64_t, capacity> free_slots_{};
    size_t free_count_ = capacity;
    std::array<uint64_t, capacity> ring_{}; // slots that wait for the worker
    size_t head_ = 0;
    size_t count_ = 0;
    size_t unfinished_ = 0;      // requests whose listener has not returned yet
    std::shared_ptr<Core> self_; // set while unfinished_ > 0: the inner engine tells this object
    bool closing_ = false;
    std::condition_variable wake_;
    EngineInfo info_;
    bool has_worker_ = false;
    std::optional<Straggler> straggler_;  // from close() on: the last to let go may be a thread of the inner engine
    const std::shared_ptr<Engine> inner_; // last: destroyed first, while the rest still stands
};

SimEngine::Core::Core(std::shared_ptr<Device> device, std::shared_ptr<Chip> chip, std::shared_ptr<Engine> inner)
    : device_(std::move(device)), chip_(std::move(chip)), info_(inner->info()), inner_(std::move(inner))
{
    for (size_t i = 0; i < capacity; ++i)
        free_slots_[i] = capacity - 1 - i;
    has_worker_ = chip_->compute_time().count() > 0 || chip_->faults_strike(FaultPoint::Submit) ||
                  chip_->faults_strike(FaultPoint::Run);
    if (has_worker_)
        info_.callers = 1;
}

Error SimEngine::Core::error(ErrorCode code, std::string cause, int sys_errno) const
{
    return {.code = code,
            .operation = operation,
            .sys_errno = sys_errno,
            .device = chip_->name(),
            .cause = std::move(cause),
            .remedy = {}};
}

std::optional<Error> SimEngine::Core::interrupted(const Chip::Lock &lock, const Slot &slot) const
{
    if (slot.generation != chip_->generation(lock))
        return chip_->lost_error("run inference");
    if (closing_)
        return error(ErrorCode::Cancelled, "the engine was closed", ECANCELED);
    return std::nullopt;
}

// --- submission ---

Status SimEngine::Core::check_memories(const Chip::Lock &lock, const InferRequest &request, Slot &slot)
{
    slot.memories = 0;
    const auto add = [&](const Memory &memory) -> Status {
        auto found = chip_->find(lock, memory);
        if (!found)
            return std::unexpected(std::move(found.error()));
        slot.held[slot.memories++] = *found;
        return {};
    };
    const size_t planes = names_a_frame(request) ? pixel_format_info(request.frame.format.format).planes : 0;
    for (size_t p = 0; p < planes; ++p)
        if (auto added = add(request.frame.plane[p].memory); !added)
            return added;
    if (info_.output_bytes == 0)
        return {};
    if (request.output.placement != Placement::Host)
        return std::unexpected(error(ErrorCode::MemoryForeign, "the output does not lie in host pages", EINVAL));
    if (request.output.size < info_.output_bytes)
        return std::unexpected(error(
            ErrorCode::MemoryRange,
            std::format("the output memory has {} bytes, the model writes {}", request.output.size, info_.output_bytes),
            EINVAL));
    return add(request.output);
}

Status SimEngine::Core::strike(const Chip::Lock &lock, std::span<Fault> faults)
{
    for (Fault &fault : faults) {
        fault = chip_->next_fault(lock, FaultPoint::Submit, FaultPoint::Run);
        if (auto alive = chip_->check_alive(lock, operation); !alive)
            return alive;
        if (fault.error == EAGAIN)
            return std::unexpected(error(ErrorCode::QueueFull, "the queue is full (HL_SIM_FAULTS)", EAGAIN));
        if (fault.error && !fault.ends)
            return std::unexpected(chip_->ended_with(lock, operation, ErrorCode::SubmitFailed, fault.error));
    }
    return {};
}

uint64_t SimEngine::Core::take_slot(const Chip::Lock &lock, const InferRequest &request, CompletionListener &listener,
                                    const Fault &fault)
{
    const uint64_t index = free_slots_[--free_count_];
    Slot &slot = slots_[index];
    slot.request = request;
    slot.listener = &listener;
    slot.fault = fault;
    slot.generation = chip_->generation(lock);
    slot.inner_end.reset();
    (void)check_memories(lock, request, slot); // it passed before; fills in `held`
    for (size_t i = 0; i < slot.memories; ++i)
        chip_->hold(lock, *slot.held[i]);
    chip_->request_begins(lock);
    if (unfinished_++ == 0)
        self_ = shared_from_this();
    return index;
}

void SimEngine::Core::give_back(const Chip::Lock &lock, uint64_t index)
{
    Slot &slot = slots_[index];
    for (size_t i = 0; i < slot.memories; ++i)
        chip_->drop(lock, *slot.held[i]);
    slot.memories = 0;
    chip_->request_ends(lock);
    free_slots_[free_count_++] = index;
}

Status SimEngine::Core::submit(std::span<const InferRequest> requests, CompletionListener &listener)
{
    auto lock = chip_->lock();
    if (auto alive = chip_->check_alive(lock, operation); !alive)
        return alive;
    if (requests.size() > most_at_once || requests.size() > free_count_)
        return std::unexpected(
            error(ErrorCode::QueueFull,
                  std::format("{} requests are under way, {} more do not fit", capacity - free_count_, requests.size()),
                  EAGAIN));
    for (const InferRequest &request : requests) {
        Slot scratch;
        if (auto checked = check_memories(lock, request, scratch); !checked)
            return checked;
        if (!names_a_frame(request))
            continue;
        if (auto valid = validate(request.frame); !valid)
            return valid;
    }
    std::array<Fault, most_at_once> faults;
    if (auto struck = strike(lock, std::span(faults).first(requests.size())); !struck)
        return struck;

    std::array<InferRequest, most_at_once> copies;
    for (size_t i = 0; i < requests.size(); ++i) {
        copies[i] = requests[i];
        copies[i].id = take_slot(lock, requests[i], listener, faults[i]);
        if (has_worker_)
            ring_[(head_ + count_++) % capacity] = copies[i].id;
    }
    if (has_worker_) {
        wake_.notify_one();
        return {};
    }
    lock.unlock();
    auto status = inner_->submit(std::span(copies).first(requests.size()), *this);
    if (status)
        return {};
    lock.lock();
    for (size_t i = 0; i < requests.size(); ++i)
        give_back(lock, copies[i].id);
    unfinished_ -= requests.size();
    const auto keep = unfinished_ == 0 ? std::exchange(self_, nullptr) : nullptr;
    lock.unlock(); // before `keep` may take this object with it
    return status;
}

// --- completion ---

void SimEngine::Core::completed(Completion completion) noexcept
{
    auto lock = chip_->lock();
    const uint64_t index = completion.id;
    if (has_worker_) {
        slots_[index].inner_end = std::move(completion);
        wake_.notify_one();
        return;
    }
    finish(std::move(lock), index, std::move(completion));
}

void SimEngine::Core::finish(Chip::Lock lock, uint64_t index, Completion completion)
{
    const Slot &slot = slots_[index];
    completion.id = slot.request.id;
    if (slot.generation != chip_->generation(lock))
        completion.status = std::unexpected(chip_->lost_error("run inference"));
    CompletionListener &listener = *slot.listener;
    give_back(lock, index);
    lock.unlock();
    chip_->delivery().deliver(listener, std::move(completion));
    lock.lock();
    const auto keep = --unfinished_ == 0 ? std::exchange(self_, nullptr) : nullptr;
    lock.unlock(); // before `keep` may take this object with it
}

void SimEngine::Core::close()
{
    const auto lock = chip_->lock();
    closing_ = true;
    straggler_.emplace();
    wake_.notify_all();
}

void SimEngine::Core::work()
{
    {
        const auto lock = chip_->lock();
        chip_->add_waiter(lock, wake_);
    }
    for (;;) {
        auto lock = chip_->lock();
        wake_.wait(lock, [&] { return count_ > 0 || closing_; });
        if (count_ == 0) {
            chip_->remove_waiter(lock, wake_);
            return;
        }
        const uint64_t index = ring_[head_];
        head_ = (head_ + 1) % capacity;
        --count_;
        Completion completion = run(lock, index);
        finish(std::move(lock), index, std::move(completion));
    }
}

Completion SimEngine::Core::run(Chip::Lock &lock, uint64_t index)
{
    Slot &slot = slots_[index];
    const auto stopped = [&] { return interrupted(lock, slot).has_value(); };
    const auto ended = [](Status status, Clock::time_point started) {
        return Completion{.id = 0, .status = std::move(status), .started = started, .finished = Clock::now()};
    };
    if (slot.fault.stall && !wake_.wait_until(lock, Clock::now() + slot.fault.patience, stopped))
        chip_->lose(lock);
    const auto started = Clock::now();
    if (auto error = interrupted(lock, slot))
        return ended(std::unexpected(std::move(*error)), started);

    InferRequest request = slot.request;
    request.id = index;
    lock.unlock();
    auto submitted = inner_->submit({&request, 1}, *this);
    lock.lock();
    if (!submitted)
        return ended(std::move(submitted), started);
    // The CPU engine has the memories until it says it is done, lost device or not.
    wake_.wait(lock, [&] { return slot.inner_end.has_value(); });
    Status status = std::move(slot.inner_end->status);
    const auto takes = chip_->compute_time() + slot.fault.delay;
    if (takes.count() > 0 && wake_.wait_until(lock, started + takes, stopped))
        return ended(std::unexpected(*interrupted(lock, slot)), started);
    if (slot.fault.error)
        status = std::unexpected(chip_->ended_with(lock, "run inference", ErrorCode::RunFailed, slot.fault.error));
    return ended(std::move(status), started);
}

// --- the engine ---

SimEngine::SimEngine(std::shared_ptr<Device> device, std::shared_ptr<Chip> chip, std::shared_ptr<Engine> inner)
    : core_(std::make_shared<Core>(std::move(device), std::move(chip), std::move(inner)))
{
    if (core_->has_worker())
        worker_ = std::thread([core = core_] { core->work(); });
}

SimEngine::~SimEngine()
{
    core_->close();
    if (!worker_.joinable())
        return;
    // The worker may be waiting to deliver while this thread does.
    if (core_->chip().delivery().delivering_here() || worker_.get_id() == std::this_thread::get_id()) {
        std::vector<std::thread> waiting;
        waiting.push_back(std::move(worker_));
        join_elsewhere(std::move(waiting));
    } else {
        worker_.join();
    }
}

const EngineInfo &SimEngine::info() const noexcept
{
    return core_->info();
}

Result<FrameTransform> SimEngine::configure(const FrameFormat &format)
{
    if (auto ready = core_->chip().check_alive_and_strike(FaultPoint::Configure, "configure engine",
                                                          ErrorCode::FormatUnsupported);
        !ready)
        return std::unexpected(std::move(ready.error()));
    return core_->inner().configure(format);
}

Status SimEngine::submit(std::span<const InferRequest> requests, CompletionListener &listener)
{
    return core_->submit(requests, listener);
}

} // namespace hl::sim
