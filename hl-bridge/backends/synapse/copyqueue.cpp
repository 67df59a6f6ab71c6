// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/copyqueue.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace hl::synapse {
namespace {

constexpr StreamQueue::Kind kind{
    .operation = "DMA copy", .what = "copy", .failed = ErrorCode::CopyFailed, .late = ErrorCode::CopyTimeout};

// Rows that one call takes.
constexpr size_t batch = 512;

// A list of linear copies, given to SynapseAI when it is full.
class CopyList {
public:
    CopyList(const Session &session, abi::StreamHandle stream, abi::DmaDirection direction) noexcept
        : session_(session), stream_(stream), direction_(direction)
    {}

    void add(uint64_t source, uint64_t target, uint64_t bytes)
    {
        sources_[count_] = source;
        targets_[count_] = target;
        sizes_[count_] = bytes;
        if (++count_ == batch)
            flush();
    }
    void flush()
    {
        const size_t count = std::exchange(count_, 0);
        if (count == 0 || failed_)
            return;
        const Library &library = session_.library();
        const char *const call = count == 1 ? "synMemCopyAsync" : "synMemCopyAsyncMultiple";
        const abi::Status status =
            count == 1 ? library->synMemCopyAsync(stream_, sources_[0], sizes_[0], targets_[0], direction_)
                       : library->synMemCopyAsyncMultiple(stream_, sources_.data(), sizes_.data(), targets_.data(),
                                                          direction_, count);
        if (status != abi::success)
            failed_ = CallFailure{call, status};
    }
    [[nodiscard]] const std::optional<CallFailure> &failed() const noexcept { return failed_; }

private:
    const Session &session_;
    const abi::StreamHandle stream_;
    const abi::DmaDirection direction_;
    std::array<uint64_t, batch> sources_, targets_, sizes_;
    size_t count_ = 0;
    std::optional<CallFailure> failed_;
};

} // namespace

class CopyQueue::Work final : public StreamWork {
public:
    explicit Work(CopyQueue &queue) noexcept : queue_(queue) {}

    std::optional<CallFailure> issue(const Session &session, abi::StreamHandle stream) override
    {
        CopyList list(session, stream, job.direction);
        for (const Move &move : std::span(job.move).first(job.moves))
            if (move.contiguous())
                list.add(move.source, move.target, move.bytes());
            else
                for (uint64_t row = 0; row < move.rows; ++row)
                    list.add(move.source + row * move.source_stride, move.target + row * move.target_stride,
                             move.row_bytes);
        list.flush();
        return list.failed();
    }
    void ended(Completion completion) noexcept override { queue_.finish(*this, std::move(completion)); }

    Job job;

private:
    CopyQueue &queue_;
};

CopyQueue::CopyQueue(std::shared_ptr<Chip> chip, uint32_t generation)
    : chip_(std::move(chip)), queue_(chip_, generation, kind)
{
    for (size_t i = 0; i < capacity; ++i) {
        works_.push_back(std::make_unique<Work>(*this));
        free_.push_back(works_.back().get());
    }
}

CopyQueue::~CopyQueue() = default;

bool CopyQueue::fits(const Chip::Lock &lock, size_t more) const noexcept
{
    return more <= free_.size() && queue_.fits(lock, more);
}

void CopyQueue::push(const Chip::Lock &lock, const Job &job)
{
    Work &work = *free_.back();
    free_.pop_back();
    work.job = job;
    work.deadline = job.deadline;
    work.generation = chip_->generation(lock);
    for (Allocation *allocation : std::span(job.held).first(2 * job.moves))
        chip_->hold(lock, *allocation);
    chip_->request_begins(lock);
    queue_.push(lock, work);
}

void CopyQueue::finish(Work &work, Completion completion) noexcept
{
    completion.id = work.job.id;
    if (completion.status && completion.finished > work.job.deadline)
        completion.status = fail(kind.late, kind.operation, "the deadline passed", {}, ETIMEDOUT, chip_->name());
    CompletionListener &listener = *work.job.listener;
    std::array<std::unique_ptr<Allocation>, 8> dead;
    {
        const auto lock = chip_->lock();
        for (size_t h = 0; h < 2 * work.job.moves; ++h)
            dead[h] = chip_->drop(lock, *work.job.held[h]);
        chip_->request_ends(lock);
        free_.push_back(&work);
    }
    dead = {};
    chip_->delivery().deliver(listener, std::move(completion));
}

} // namespace hl::synapse
