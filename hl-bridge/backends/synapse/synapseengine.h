// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/chip.h"
#include "inference/engine.h"

#include <memory>
#include <thread>

namespace hl::synapse {

// A recipe on the device. It reads frames in HBM where they lie: a plane's address is the tensor's. Each request in
// flight has a workspace and outputs of its own in HBM; what it computed is copied to its Host output by the same
// stream. Bound to the session it was loaded in: after a loss it refuses, and a new one is to be made.
class SynapseEngine final : public Engine {
public:
    // Requests in flight where the caller does not say, and at most.
    static constexpr unsigned usual_in_flight = 2, most_in_flight = 16;

    // `device` is kept alive. Errors: ModelUnsupported (no recipe), RecipeRefused, ModelInfoMissing, RecipeTensors,
    // ModelMissing and ModelCorrupt (of a file that an input is bound to), MemoryFull, DeviceLost, SynapseCall.
    [[nodiscard]] static Result<std::shared_ptr<Engine>> create(std::shared_ptr<Device> device,
                                                                std::shared_ptr<Chip> chip, const Model &model,
                                                                const EngineOptions &options);
    SynapseEngine(const SynapseEngine &) = delete;
    SynapseEngine &operator=(const SynapseEngine &) = delete;
    // Requests that wait end with Cancelled; those in the stream end on their own.
    ~SynapseEngine() override;

    [[nodiscard]] const EngineInfo &info() const noexcept override;
    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format) override;
    [[nodiscard]] Status submit(std::span<const InferRequest> requests, CompletionListener &listener) override;

private:
    class Core;

    explicit SynapseEngine(std::shared_ptr<Core> core);

    const std::shared_ptr<Core> core_; // the worker's too
    std::thread worker_;
};

} // namespace hl::synapse
