// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "synapseabi.h"

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hl::dbl {

// What make_recipe.py wrote: the table of persistent tensors, the workspace that the chip would need, and the ONNX
// graph that is computed in its place. The file is
//   "SYNDBL1\n", u32 length of the description, the description (JSON), the graph (ONNX)
// in little endian; the description is {release: [major, minor], chip: "gaudi2", workspace: bytes, onnx: bytes,
// tensors: [{name, input, type, dims}]}, dims slowest first as in the graph. Immutable; run() from any thread.
class Recipe {
public:
    struct Tensor {
        std::string name;
        bool input = false;
        synDataType type = syn_type_uint8;
        ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        std::vector<int64_t> dims; // slowest first
        uint64_t bytes = 0;
        uint64_t id = 0;
    };

    // Errors: WrongParamsFile (with the reason on stderr), Unsupported (another release), OutOfHostMemory.
    [[nodiscard]] static std::expected<std::shared_ptr<Recipe>, synStatus> load(const std::string &file);

    [[nodiscard]] const std::vector<Tensor> &tensors() const noexcept { return tensors_; }
    [[nodiscard]] uint64_t workspace() const noexcept { return workspace_; }
    [[nodiscard]] synDeviceType chip() const noexcept { return chip_; }

    // Computes; `places` are the tensors' bytes in host memory, in order. FALSE: ONNX Runtime refused.
    [[nodiscard]] bool run(std::span<std::byte *const> places);

private:
    Recipe();
    // What is wrong with it; empty: nothing.
    [[nodiscard]] std::string read(const std::string &file, bool &other_release);
    [[nodiscard]] std::string describe(const std::string &text, uint64_t &onnx_bytes, bool &other_release);
    [[nodiscard]] std::string open(std::span<const char> onnx);

    std::vector<Tensor> tensors_;
    uint64_t workspace_ = 0;
    synDeviceType chip_ = synDeviceGaudi2;
    Ort::Env env_;
    Ort::Session session_{nullptr};
};

} // namespace hl::dbl
