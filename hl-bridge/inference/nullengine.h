// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/engine.h"

#include <array>
#include <mutex>

namespace hl {

// An engine that never reads the frame and has no outputs (`engine=null`): what a line costs without a model. Completes
// within submit(), on the submitting thread, or, where another thread is just delivering, on that one. A listener that
// submits again from completed() does not recurse.
class NullEngine final : public Engine {
public:
    NullEngine(const Model &model, const EngineOptions &options);

    [[nodiscard]] const EngineInfo &info() const noexcept override { return info_; }
    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format) override;
    // Errors: FrameTooSmall, FrameLayoutInvalid, QueueFull (more than 256 at once).
    [[nodiscard]] Status submit(std::span<const InferRequest> requests, CompletionListener &listener) override;

private:
    static constexpr size_t capacity = 256;
    struct Pending {
        uint64_t id = 0;
        Deadline deadline = no_deadline;
        CompletionListener *listener = nullptr;
    };

    EngineInfo info_;
    std::mutex mutex_;
    std::array<Pending, capacity> ring_; // guarded by mutex_, as all below
    size_t first_ = 0;
    size_t count_ = 0;
    bool delivering_ = false; // some thread is in submit() and will take what is in the ring
};

} // namespace hl
