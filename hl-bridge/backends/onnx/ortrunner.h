// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/alignedbuffer.h"
#include "backends/onnx/ortsession.h"
#include "inference/engine.h"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace hl {

// One thread's means to run a session: input tensors of its own, and outputs bound where the caller says. One thread at
// a time; several runners share a session.
class OrtRunner {
public:
    // `own_inputs`: allocate zeroed input tensors (else bind_input() comes before run()). Throws Ort::Exception and
    // std::bad_alloc: used while loading only.
    OrtRunner(std::shared_ptr<OrtSession> session, std::span<const EngineTensor> inputs,
              std::span<const EngineTensor> outputs, bool own_inputs);

    [[nodiscard]] std::span<std::byte> input(size_t i) const noexcept { return buffers_[i].span(); }
    // Takes input i from `data`, which must hold its bytes until run() returns. Errors: RunFailed.
    [[nodiscard]] Status bind_input(size_t i, std::byte *data) noexcept;

    // Runs once, outputs at their offsets from `output`. Errors: RunFailed.
    [[nodiscard]] Status run(std::byte *output) noexcept;
    // Has run(), the present one and all to come, end as failed before its next node. From any thread.
    void stop() noexcept;

private:
    [[nodiscard]] Ort::Value tensor(const EngineTensor &t, std::byte *data) const;

    std::shared_ptr<OrtSession> session_;
    std::vector<EngineTensor> inputs_;
    std::vector<EngineTensor> outputs_;
    Ort::MemoryInfo where_;
    Ort::RunOptions options_;
    std::vector<AlignedBuffer> buffers_;
    std::vector<Ort::Value> input_values_;
    std::vector<Ort::Value> output_values_;
};

// Runs once on zeros, letting ONNX Runtime size the outputs, and returns their shapes. Loading only. Errors:
// ModelUnsupported.
[[nodiscard]] Result<std::vector<TensorShape>> first_run(OrtSession &session, std::span<const EngineTensor> inputs);

} // namespace hl
