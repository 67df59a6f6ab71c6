// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/ortrunner.h"

#include <format>

namespace hl {

OrtRunner::OrtRunner(std::shared_ptr<OrtSession> session, std::span<const EngineTensor> inputs,
                     std::span<const EngineTensor> outputs, bool own_inputs)
    : session_(std::move(session)), inputs_(inputs.begin(), inputs.end()), outputs_(outputs.begin(), outputs.end()),
      where_(Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault))
{
    for (size_t i = 0; i < inputs_.size(); ++i) {
        if (own_inputs)
            buffers_.emplace_back(inputs_[i].bytes);
        input_values_.push_back(own_inputs ? tensor(inputs_[i], buffers_[i].span().data()) : Ort::Value(nullptr));
    }
    for (size_t i = 0; i < outputs_.size(); ++i)
        output_values_.emplace_back(nullptr);
}

Ort::Value OrtRunner::tensor(const EngineTensor &t, std::byte *data) const
{
    return Ort::Value::CreateTensor(where_, data, t.bytes, t.info.shape.dims().data(), t.info.shape.rank(),
                                    ort_type(t.info.type));
}

Status OrtRunner::bind_input(size_t i, std::byte *data) noexcept
{
    try {
        input_values_[i] = tensor(inputs_[i], data);
        return {};
    } catch (const std::exception &e) {
        return fail(ErrorCode::RunFailed, "run inference", ort_words(e), "report this with the model");
    }
}

Status OrtRunner::run(std::byte *output) noexcept
{
    try {
        for (size_t i = 0; i < outputs_.size(); ++i)
            output_values_[i] = tensor(outputs_[i], output + outputs_[i].offset);
        session_->ort().Run(options_, session_->input_names().data(), input_values_.data(), input_values_.size(),
                            session_->output_names().data(), output_values_.data(), output_values_.size());
        return {};
    } catch (const std::exception &e) {
        return fail(ErrorCode::RunFailed, "run inference", std::format("ONNX Runtime: {}", ort_words(e)),
                    "check the model with other inputs, for instance in Python with onnxruntime");
    }
}

// SetTerminate() sets a flag that the executor reads between nodes, those of subgraphs too.
void OrtRunner::stop() noexcept
{
    try {
        options_.SetTerminate();
    } catch (const std::exception &) {
        return; // it runs to its end
    }
}

Result<std::vector<TensorShape>> first_run(OrtSession &session, std::span<const EngineTensor> inputs)
{
    try {
        const Ort::MemoryInfo where = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
        std::vector<AlignedBuffer> buffers;
        std::vector<Ort::Value> values;
        for (const EngineTensor &t : inputs) {
            buffers.emplace_back(t.bytes);
            values.push_back(Ort::Value::CreateTensor(where, buffers.back().span().data(), t.bytes,
                                                      t.info.shape.dims().data(), t.info.shape.rank(),
                                                      ort_type(t.info.type)));
        }
        const std::vector<Ort::Value> outputs =
            session.ort().Run(Ort::RunOptions{}, session.input_names().data(), values.data(), values.size(),
                              session.output_names().data(), session.output_names().size());
        std::vector<TensorShape> shapes;
        for (const Ort::Value &value : outputs) {
            const std::vector<int64_t> dims = value.GetTensorTypeAndShapeInfo().GetShape();
            shapes.emplace_back(std::span<const int64_t>(dims));
        }
        return shapes;
    } catch (const std::exception &e) {
        return fail(ErrorCode::ModelUnsupported, "load model",
                    std::format("a first run on zeros failed: {}", ort_words(e)),
                    "check the model, and the dims of its .modelinfo, with onnxruntime in Python");
    }
}

} // namespace hl
