// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/sim/chip.h"
#include "inference/engine.h"

#include <memory>
#include <thread>

namespace hl::sim {

// A CPU engine as the simulated device shows it: checks memories against the chip, keeps them in place while a request
// is under way, strikes faults, tells listeners one at a time with the DMA engines, and turns what ends after a loss
// into DeviceLost. Where compute takes a simulated time, or faults were ordered for submissions, one worker runs the
// requests one after the other, as a Gaudi's stream does; otherwise they go straight to the CPU engine.
class SimEngine final : public Engine {
public:
    // Requests under way at once.
    static constexpr size_t capacity = 64;
    // Requests one submit() takes; more are QueueFull.
    static constexpr size_t most_at_once = 16;

    // `device` is kept alive. `inner` reads through a resolver of the same chip.
    SimEngine(std::shared_ptr<Device> device, std::shared_ptr<Chip> chip, std::shared_ptr<Engine> inner);
    SimEngine(const SimEngine &) = delete;
    SimEngine &operator=(const SimEngine &) = delete;
    // Requests that wait for the worker end with Cancelled; the others end on their own.
    ~SimEngine() override;

    [[nodiscard]] const EngineInfo &info() const noexcept override;
    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format) override;
    [[nodiscard]] Status submit(std::span<const InferRequest> requests, CompletionListener &listener) override;

private:
    class Core;

    std::shared_ptr<Core> core_; // the worker's and the pending requests' too
    std::thread worker_;
};

// Reaches both placements of the chip. Keeps the chip's bytes, not the device object, alive.
[[nodiscard]] std::shared_ptr<MemoryResolver> make_sim_resolver(std::shared_ptr<Chip> chip);

} // namespace hl::sim
