// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/memoryresolver.h"

#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace hl::test {

// Heap memory under handles, of one placement: what a Device's resolver looks like to an engine.
class FakeResolver final : public MemoryResolver {
public:
    static constexpr uint32_t device = 77;

    explicit FakeResolver(Placement frames = Placement::Host) : frames_(frames) {}

    Memory allocate(uint64_t size, Placement placement = Placement::Host)
    {
        const std::lock_guard lock(mutex_);
        const uint64_t handle = ++last_;
        // On a 64-byte boundary, as a Device's pages are.
        blocks_[handle] = Block{std::vector<std::byte>(size + 64), size};
        return Memory{
            .device = device, .generation = 1, .handle = handle, .offset = 0, .size = size, .placement = placement};
    }

    Result<std::span<std::byte>> resolve(const Memory &memory) override
    {
        const std::lock_guard lock(mutex_);
        const auto at = blocks_.find(memory.handle);
        if (memory.device != device || at == blocks_.end())
            return fail(ErrorCode::MemoryForeign, "resolve", "not ours");
        if (memory.offset > at->second.size || memory.size > at->second.size - memory.offset)
            return fail(ErrorCode::MemoryRange, "resolve", "outside");
        auto start = reinterpret_cast<uintptr_t>(at->second.bytes.data());
        start = (start + 63) & ~uintptr_t{63};
        return std::span(reinterpret_cast<std::byte *>(start) + memory.offset, memory.size);
    }

    bool reaches(Placement placement) const noexcept override { return placement == frames_; }

private:
    struct Block {
        std::vector<std::byte> bytes;
        uint64_t size = 0;
    };
    const Placement frames_;
    std::mutex mutex_;
    std::map<uint64_t, Block> blocks_;
    uint64_t last_ = 0;
};

} // namespace hl::test
