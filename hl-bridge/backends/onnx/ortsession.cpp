// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/ortsession.h"

#include "core/log.h"
#include "core/text.h"

#include <onnxruntime_session_options_config_keys.h>

#include <array>
#include <format>
#include <iostream>
#include <mutex>
#include <utility>

namespace hl {
namespace {

constexpr size_t longest_words = 1000;

// ONNX Runtime writes to stderr unless it is given a logger. What it warns about (fallbacks, failed runs whose error we
// return) is for developers.
void ORT_API_CALL forward_log(void *, OrtLoggingLevel, const char *, const char *, const char *, const char *message)
{
    log(LogLevel::Debug, "onnxruntime", shown(message, longest_words));
}

// Keeps std::cerr quiet while it lives. Where ONNX Runtime is linked to a shared libonnx (Debian), both register the
// operators when the first model is loaded, and libonnx writes two lines to std::cerr for each (onnx/defs/schema.h
// OpSchemaRegisterOnce). Loads are serialised, because two of these at once could leave the stream silent.
class QuietCerr {
public:
    QuietCerr() : lock_(mutex()) { std::cerr.setstate(std::ios::failbit); }
    ~QuietCerr() { std::cerr.clear(); }
    QuietCerr(const QuietCerr &) = delete;
    QuietCerr &operator=(const QuietCerr &) = delete;

private:
    static std::mutex &mutex()
    {
        static std::mutex m;
        return m;
    }
    std::lock_guard<std::mutex> lock_;
};

constexpr std::array<std::pair<DType, ONNXTensorElementDataType>, 13> types{{
    {DType::UInt8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {DType::Int8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {DType::UInt16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
    {DType::Int16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},
    {DType::UInt32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32},
    {DType::Int32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {DType::UInt64, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64},
    {DType::Int64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {DType::Float16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {DType::BFloat16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16},
    {DType::Float32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {DType::Float64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {DType::Bool, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
}};

NetworkTensor describe_tensor(std::string_view name, const Ort::TypeInfo &info)
{
    NetworkTensor out{.name = shown(name, shown_network_name)};
    if (info.GetONNXType() != ONNX_TYPE_TENSOR) {
        out.kind = "a sequence or map, not a tensor";
        return out;
    }
    const auto tensor = info.GetTensorTypeAndShapeInfo();
    const ONNXTensorElementDataType element = tensor.GetElementType();
    for (const auto &[type, ort] : types)
        if (ort == element)
            out.type = type;
    out.kind = out.type ? std::string(dtype_name(*out.type))
               : element == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING
                   ? "a tensor of strings"
                   : std::format("a tensor of ONNX type {}", int{element});
    std::vector<int64_t> dims = tensor.GetShape();
    for (int64_t &d : dims)
        if (d < 0)
            d = -1;
    out.rank = dims.size();
    out.shape = TensorShape(std::span<const int64_t>(dims));
    return out;
}

} // namespace

std::string ort_words(const std::exception &error)
{
    return shown(trimmed(error.what()), longest_words); // some end their words with a line end
}

ONNXTensorElementDataType ort_type(DType type) noexcept
{
    for (const auto &[ours, ort] : types)
        if (ours == type)
            return ort;
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

std::string OrtSession::version()
{
    return Ort::GetVersionString();
}

OrtSession::OrtSession(const std::string &path, unsigned threads)
    : env_(ORT_LOGGING_LEVEL_ERROR, "gst-habana", forward_log, nullptr)
{
    Ort::SessionOptions options;
    options.SetGraphOptimizationLevel(GraphOptimizationLevel::ORT_ENABLE_ALL);
    options.SetExecutionMode(ExecutionMode::ORT_SEQUENTIAL);
    options.SetIntraOpNumThreads(static_cast<int>(threads));
    options.SetInterOpNumThreads(1);
    // Waiting threads that spin take the CPU from the decoder and the other elements of the line.
    options.AddConfigEntry(kOrtSessionOptionsConfigAllowIntraOpSpinning, "0");
    // Whatever the file is called: check_model_file() has looked at it as an ONNX file.
    options.AddConfigEntry(kOrtSessionOptionsConfigLoadModelFormat, "ONNX");
    session_ = Ort::Session(env_, path.c_str(), options);
    describe();
}

void OrtSession::describe()
{
    Ort::AllocatorWithDefaultOptions allocator;
    for (size_t i = 0; i < session_.GetInputCount(); ++i) {
        names_.push_back(session_.GetInputNameAllocated(i, allocator));
        input_names_.push_back(names_.back().get());
        network_.inputs.push_back(describe_tensor(input_names_.back(), session_.GetInputTypeInfo(i)));
    }
    for (size_t i = 0; i < session_.GetOutputCount(); ++i) {
        names_.push_back(session_.GetOutputNameAllocated(i, allocator));
        output_names_.push_back(names_.back().get());
        network_.outputs.push_back(describe_tensor(output_names_.back(), session_.GetOutputTypeInfo(i)));
    }
    const Ort::ModelMetadata metadata = session_.GetModelMetadata();
    for (const Ort::AllocatedStringPtr &key : metadata.GetCustomMetadataMapKeysAllocated(allocator))
        if (const auto value = metadata.LookupCustomMetadataMapAllocated(key.get(), allocator))
            network_.metadata[shown(key.get(), shown_network_name)] = value.get();
}

Result<std::unique_ptr<OrtSession>> OrtSession::open(const std::string &path, unsigned threads)
{
    try {
        const QuietCerr quiet;
        return std::unique_ptr<OrtSession>(new OrtSession(path, threads));
    } catch (const Ort::Exception &e) {
        // ONNX Runtime's words name the file; its code tells an unreadable file from one it has no operator for.
        const bool known = e.GetOrtErrorCode() == ORT_NOT_IMPLEMENTED;
        return fail(known ? ErrorCode::ModelUnsupported : ErrorCode::ModelCorrupt, "load model",
                    std::format("ONNX Runtime {} cannot load {}: {}", version(), path, ort_words(e)),
                    known ? "export the model with operators and an opset that this ONNX Runtime has"
                          : "check that the file is a complete .onnx model, and not newer than this ONNX Runtime");
    } catch (const std::exception &e) {
        return fail(ErrorCode::ModelCorrupt, "load model", std::format("cannot load {}: {}", path, ort_words(e)),
                    "check that the file is a complete .onnx model");
    }
}

} // namespace hl
