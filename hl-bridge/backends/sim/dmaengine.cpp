// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/dmaengine.h"

#include "device/copycheck.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>

namespace hl::sim {
namespace {

constexpr const char *operation = "DMA copy";

} // namespace

DmaEngine::DmaEngine(const std::shared_ptr<Chip> &chip)
    : chip_(chip), down_(std::make_shared<Queue>()), up_(std::make_shared<Queue>())
{
    for (const auto &queue : {down_, up_})
        queue->chip = chip;
    {
        const auto lock = chip_->lock();
        chip_->add_waiter(lock, down_->wake);
        chip_->add_waiter(lock, up_->wake);
    }
    down_thread_ = std::thread([queue = down_] { queue->work(); });
    up_thread_ = std::thread([queue = up_] { queue->work(); });
}

DmaEngine::~DmaEngine()
{
    chip_->close();
    stop(down_thread_);
    stop(up_thread_);
    const auto lock = chip_->lock();
    chip_->remove_waiter(lock, down_->wake);
    chip_->remove_waiter(lock, up_->wake);
}

void DmaEngine::stop(std::thread &thread)
{
    if (chip_->delivery().delivering_here())
        thread.detach();
    else
        thread.join();
}

Status DmaEngine::check_region(const Chip::Lock &lock, const CopyRegion &region, Job &job)
{
    auto source = chip_->find(lock, region.source);
    if (!source)
        return std::unexpected(std::move(source.error()));
    auto target = chip_->find(lock, region.target);
    if (!target)
        return std::unexpected(std::move(target.error()));
    if (auto fits = check_copy_region(region, chip_->name()); !fits)
        return fits;
    job.held[job.moves * 2] = *source;
    job.held[job.moves * 2 + 1] = *target;
    const Move move = Move::of(region, (*source)->address, (*target)->address);
    job.bytes += move.bytes();
    job.move[job.moves++] = move;
    return {};
}

Result<DmaEngine::Queue *> DmaEngine::check(const Chip::Lock &lock, const CopyRequest &request, Job &job)
{
    auto way = check_copy_way(request, chip_->name());
    if (!way)
        return std::unexpected(std::move(way.error()));
    for (const CopyRegion &region : std::span(request.region).first(request.regions))
        if (auto checked = check_region(lock, region, job); !checked)
            return std::unexpected(std::move(checked.error()));
    return *way == CopyWay::Up ? up_.get() : down_.get();
}

Status DmaEngine::submit(std::span<const CopyRequest> requests, CompletionListener &listener)
{
    const auto lock = chip_->lock();
    if (auto alive = chip_->check_alive(lock, operation); !alive)
        return alive;
    const auto refuse_full = [&](std::string cause, int err) -> Status {
        return fail(ErrorCode::QueueFull, operation, std::move(cause), "wait for a completion before submitting more",
                    err, chip_->name());
    };
    // First pass: nothing is queued unless all can be.
    size_t down = 0, up = 0;
    for (const CopyRequest &request : requests) {
        Job job;
        auto queue = check(lock, request, job);
        if (!queue)
            return std::unexpected(std::move(queue.error()));
        ++(*queue == up_.get() ? up : down);
    }
    if (down_->count + down > ring_size || up_->count + up > ring_size)
        return refuse_full(std::format("{} requests do not fit into a queue of {}", requests.size(), ring_size),
                           EAGAIN);
    std::array<Fault, 2 * ring_size> faults;
    for (size_t i = 0; i < requests.size(); ++i) {
        faults[i] = chip_->next_fault(lock, FaultPoint::CopySubmit, FaultPoint::Copy);
        if (auto alive = chip_->check_alive(lock, operation); !alive)
            return alive;
        if (faults[i].error == EAGAIN)
            return refuse_full("the queue is full (HL_SIM_FAULTS)", EAGAIN);
        if (faults[i].error && !faults[i].ends)
            return std::unexpected(chip_->ended_with(lock, operation, ErrorCode::CopyFailed, faults[i].error));
    }
    for (size_t i = 0; i < requests.size(); ++i) {
        Job job;
        Queue &queue = **check(lock, requests[i], job);
        job.id = requests[i].id;
        job.listener = &listener;
        job.deadline = requests[i].deadline;
        job.fault = faults[i];
        job.generation = chip_->generation(lock);
        for (size_t h = 0; h < 2 * job.moves; ++h)
            chip_->hold(lock, *job.held[h]);
        chip_->request_begins(lock);
        queue.ring[(queue.head + queue.count++) % ring_size] = job;
        queue.wake.notify_one();
    }
    return {};
}

// --- worker ---

template <class Predicate>
bool DmaEngine::Queue::wait(Chip::Lock &lock, Deadline until, Predicate ready)
{
    // wait_until(time_point::max()) overflows in libstdc++'s clock conversion.
    if (until == no_deadline) {
        wake.wait(lock, ready);
        return true;
    }
    return wake.wait_until(lock, until, ready);
}

Error DmaEngine::Queue::error(ErrorCode code, std::string cause, int sys_errno) const
{
    return {.code = code,
            .operation = operation,
            .sys_errno = sys_errno,
            .device = chip->name(),
            .cause = std::move(cause),
            .remedy = {}};
}

std::optional<Error> DmaEngine::Queue::interrupted(const Chip::Lock &lock, const Job &job) const
{
    if (job.generation != chip->generation(lock))
        return chip->lost_error(operation);
    if (chip->closing(lock))
        return error(ErrorCode::Cancelled, "the device was closed", ECANCELED);
    return std::nullopt;
}

void DmaEngine::Queue::work()
{
    auto lock = chip->lock();
    for (;;) {
        wake.wait(lock, [&] { return count > 0 || chip->closing(lock); });
        if (count == 0)
            return;
        const Job job = ring[head];
        head = (head + 1) % ring_size;
        --count;
        Completion completion{.id = job.id, .started = Clock::now()};
        completion.status = run(lock, job, completion.started);
        completion.finished = Clock::now();
        for (size_t h = 0; h < 2 * job.moves; ++h)
            chip->drop(lock, *job.held[h]);
        chip->request_ends(lock);
        lock.unlock();
        chip->delivery().deliver(*job.listener, std::move(completion));
        lock.lock();
    }
}

Status DmaEngine::Queue::run(Chip::Lock &lock, const Job &job, Clock::time_point &started)
{
    const auto stopped = [&] { return interrupted(lock, job).has_value(); };
    const auto late = [&] { return error(ErrorCode::CopyTimeout, "the deadline passed", ETIMEDOUT); };

    (void)wait(lock, job.deadline, [&] { return !chip->frozen(lock) || stopped(); });
    if (job.fault.stall && !wait(lock, Clock::now() + job.fault.patience, stopped))
        chip->lose(lock);
    if (auto error = interrupted(lock, job))
        return std::unexpected(std::move(*error));
    started = Clock::now();
    if (started >= job.deadline)
        return std::unexpected(late());

    const auto takes = chip->dma_time(job.bytes) + job.fault.delay;
    if (takes.count() > 0) {
        const Deadline finish = started + takes;
        if (wait(lock, std::min(finish, job.deadline), stopped))
            return std::unexpected(*interrupted(lock, job));
        if (job.deadline < finish)
            return std::unexpected(late());
    }
    if (job.fault.error)
        return std::unexpected(chip->ended_with(lock, operation, ErrorCode::CopyFailed, job.fault.error));
    return move_bytes(lock, job);
}

Status DmaEngine::Queue::move_bytes(Chip::Lock &lock, const Job &job)
{
    struct Bytes {
        std::byte *source;
        std::byte *target;
    };
    std::array<Bytes, 4> at{};
    for (size_t i = 0; i < job.moves; ++i) {
        const Move &move = job.move[i];
        const uint64_t rows_before = move.rows - 1;
        at[i] = {chip->mmu(lock).translate(move.source, rows_before * move.source_stride + move.row_bytes),
                 chip->mmu(lock).translate(move.target, rows_before * move.target_stride + move.row_bytes)};
        if (!at[i].source || !at[i].target)
            return std::unexpected(
                error(ErrorCode::CopyFailed,
                      std::format("the device's MMU has no page at {:#x}", at[i].source ? move.target : move.source),
                      EFAULT));
    }
    // The job holds its allocations, so their bytes stay where they are without the lock.
    lock.unlock();
    for (size_t i = 0; i < job.moves; ++i) {
        const Move &move = job.move[i];
        if (move.contiguous()) {
            std::memmove(at[i].target, at[i].source, move.bytes());
            continue;
        }
        for (uint32_t row = 0; row < move.rows; ++row)
            std::memmove(at[i].target + row * move.target_stride, at[i].source + row * move.source_stride,
                         move.row_bytes);
    }
    lock.lock();
    if (auto error = interrupted(lock, job); error && error->code == ErrorCode::DeviceLost)
        return std::unexpected(std::move(*error));
    return {};
}

} // namespace hl::sim
