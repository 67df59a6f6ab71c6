// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/tensorshape.h"

#include <onnxruntime_cxx_api.h>

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hl {

// Bytes of a network's names that are kept for people to read and for descriptions to quote.
inline constexpr size_t shown_network_name = 256;

// A tensor at the edge of a network, as the file declares it.
struct NetworkTensor {
    std::string name;          // as a message may hold it; ONNX Runtime's own is in OrtSession's names
    std::optional<DType> type; // nothing: a type this project has no name for, said in `kind`
    std::string kind;          // "float32", or words such as "string tensor", "sequence"
    TensorShape shape;         // -1 for dimensions left open
    size_t rank = 0;           // also where it is larger than a TensorShape holds
};

struct Network {
    std::vector<NetworkTensor> inputs;
    std::vector<NetworkTensor> outputs;
    std::map<std::string, std::string> metadata; // metadata_props
};

// One loaded network with a thread pool of `threads` (1: none, runs on the caller's thread). run by OrtRunner, from
// several threads at once.
class OrtSession {
public:
    // Errors: ModelCorrupt, ModelUnsupported (operators or versions this ONNX Runtime does not know).
    [[nodiscard]] static Result<std::unique_ptr<OrtSession>> open(const std::string &path, unsigned threads);

    [[nodiscard]] const Network &network() const noexcept { return network_; }
    [[nodiscard]] Ort::Session &ort() noexcept { return session_; }
    [[nodiscard]] const std::vector<const char *> &input_names() const noexcept { return input_names_; }
    [[nodiscard]] const std::vector<const char *> &output_names() const noexcept { return output_names_; }

    // "1.21.0"
    [[nodiscard]] static std::string version();

private:
    OrtSession(const std::string &path, unsigned threads);
    void describe();

    Ort::Env env_; // ONNX Runtime keeps one per process and counts its users
    Ort::Session session_{nullptr};
    Network network_;
    std::vector<Ort::AllocatedStringPtr> names_;
    std::vector<const char *> input_names_; // into names_
    std::vector<const char *> output_names_;
};

// What ONNX Runtime says of an error, which quotes the file's names as they are, as a message may hold it.
[[nodiscard]] std::string ort_words(const std::exception &error);

[[nodiscard]] ONNXTensorElementDataType ort_type(DType type) noexcept;

} // namespace hl
