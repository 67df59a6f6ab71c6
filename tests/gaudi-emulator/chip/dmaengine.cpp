// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/dmaengine.h"
#include "chip/units.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace gaudiemu::chip {

namespace {

constexpr uint64_t slice = MiB;

} // namespace

JobResult DmaEngine::run(const DmaJob &job, const Initiator &who, uint16_t core_event, JobGate::Epoch epoch)
{
    const auto order = job.user ? faults_.next_dma() : DmaOrder{};
    {
        const std::lock_guard lock(mutex_);
        ++jobs_; // with its faults taken: the next job that is sent is the next that they count
    }
    begun_.notify_all();
    if (!obey(order, epoch))
        return JobResult::Forgotten;
    if (settings_.null)
        return JobResult::Done;
    const auto result = job.memset ? fill(job, who, core_event, epoch) : copy(job, who, core_event, epoch);
    if (result == JobResult::Done)
        bytes_.fetch_add(job.size, std::memory_order_relaxed);
    return result;
}

uint64_t DmaEngine::jobs() const
{
    const std::lock_guard lock(mutex_);
    return jobs_;
}

bool DmaEngine::wait_jobs(uint64_t count, std::chrono::seconds bound) const
{
    std::unique_lock lock(mutex_);
    return begun_.wait_for(lock, bound, [&] { return jobs_ >= count; });
}

bool DmaEngine::obey(const DmaOrder &order, JobGate::Epoch epoch)
{
    for (const uint16_t event : order.events)
        events_.post(event);
    if (order.link_gone)
        fabric_.bus().lose();
    if (order.stall)
        gate_.wait_for_end(epoch);
    else if (order.delay.count())
        (void)gate_.wait(epoch, order.delay);
    return gate_.open(epoch);
}

JobResult DmaEngine::copy(const DmaJob &job, const Initiator &who, uint16_t core_event, JobGate::Epoch epoch)
{
    for (uint64_t done = 0; done < job.size;) {
        if (!gate_.open(epoch))
            return JobResult::Forgotten;
        const uint64_t want = std::min(slice, job.size - done);
        const auto from = fabric_.resolve(who, job.source + done, want);
        const auto to = from ? fabric_.resolve(who, job.destination + done, from->size) : from;
        std::expected<void, BusFault> moved;
        if (from && to)
            moved = move(*from, *to, to->size);
        if (!gate_.open(epoch)) // the link was closed under it
            return JobResult::Forgotten;
        if (!from || !to) {
            errors_.address(who.name, from ? to.error() : from.error(), from.has_value(), core_event);
            return JobResult::Faulted;
        }
        if (!moved) {
            errors_.address(who.name, {moved.error().address, "bus: " + moved.error().reason, std::nullopt},
                            !to->memory, core_event);
            return JobResult::Faulted;
        }
        done += to->size;
    }
    return JobResult::Done;
}

JobResult DmaEngine::fill(const DmaJob &job, const Initiator &who, uint16_t core_event, JobGate::Epoch epoch)
{
    // gaudi2.c gaudi2_memset_memory_chunk_using_edma_qm(): the source holds a 32-bit word.
    const auto word = static_cast<uint32_t>(job.source);
    // Zeroing HBM is giving pages back, however much it is.
    const uint64_t step = word == 0 ? GiB : slice;
    for (uint64_t done = 0; done < job.size;) {
        if (!gate_.open(epoch))
            return JobResult::Forgotten;
        auto to = fabric_.resolve(who, job.destination + done, std::min(step, job.size - done));
        if (!to) {
            errors_.address(who.name, to.error(), true, core_event);
            return JobResult::Faulted;
        }
        if (to->hbm) {
            fabric_.hbm().fill(*to->hbm, to->size, word);
        } else {
            to->size = std::min(slice, to->size);
            const std::vector<uint32_t> pattern((to->size + 3) / 4, word);
            const auto bytes = std::as_bytes(std::span(pattern)).first(to->size);
            if (to->memory) {
                std::memcpy(to->memory, bytes.data(), bytes.size());
            } else if (const auto written = fabric_.bus().write(to->bus, bytes); !written) {
                if (!gate_.open(epoch))
                    return JobResult::Forgotten;
                errors_.address(who.name, {written.error().address, "bus: " + written.error().reason, std::nullopt},
                                true, core_event);
                return JobResult::Faulted;
            }
        }
        done += to->size;
    }
    return JobResult::Done;
}

std::expected<void, BusFault> DmaEngine::move(const Place &from, const Place &to, uint64_t size)
{
    if (from.memory && to.memory) {
        std::memmove(to.memory, from.memory, size);
        return {};
    }
    if (to.memory)
        return fabric_.bus().read(from.bus, {to.memory, size});
    if (from.memory)
        return fabric_.bus().write(to.bus, {from.memory, size});
    std::vector<std::byte> between(size);
    if (auto done = fabric_.bus().read(from.bus, between); !done)
        return done;
    return fabric_.bus().write(to.bus, between);
}

} // namespace gaudiemu::chip
