// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/abi.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/frameformat.h"
#include "core/tensorshape.h"
#include "inference/model.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hl::synapse {

// A tensor that a recipe wants an address for, as it says itself.
struct RecipeTensor {
    std::string name;
    uint64_t id = 0;
    bool input = false;
    abi::TensorType kind = abi::data_tensor;
    abi::DataType type = abi::type_uint8;
    std::vector<uint64_t> dims; // elements, fastest dimension first
    bool fixed = true;          // its sizes do not vary
    bool permuted = false;      // its dimensions do not lie in their order

    // As the project writes shapes: outermost first. Empty where a dimension does not fit.
    [[nodiscard]] TensorShape shape() const;
    [[nodiscard]] std::optional<DType> dtype() const noexcept;
    // Bytes in memory; 0 for a type or size that we have no name for.
    [[nodiscard]] uint64_t bytes() const;
    // "y uint8 1x480x640x1"
    [[nodiscard]] std::string text() const;
};

// Fills in what SynapseAI told of a tensor.
[[nodiscard]] RecipeTensor recipe_tensor(const abi::RetrievedTensor &told);

// Whence each tensor of a recipe gets its bytes. `tensor` is an index into the recipe's tensors.
struct RecipeBinding {
    struct Plane {
        size_t tensor = 0;
        size_t plane = 0; // of the frame
    };
    struct File {
        size_t tensor = 0;
        // Of a file (datafile.h) of as many bytes as the tensor has, in its order.
        std::string location;
    };
    struct Output {
        size_t tensor = 0;
        TensorInfo info;
    };

    FrameFormat frame; // what the planes are of
    std::vector<Plane> planes;
    std::vector<File> files;
    std::vector<Output> outputs;
    std::vector<TensorInfo> inputs; // of all, in the recipe's order
};

// Binds a recipe's tensors as the model's description says: `bind` of an input's section is frame:y and frame:uv (the
// planes of an NV12 frame), frame:rgb (the one of an RGB frame), or file:PATH for data that is loaded once. Pure.
// Errors: ModelInfoMissing, RecipeTensors; both tell what the recipe has and give a description to save.
[[nodiscard]] Result<RecipeBinding> bind_recipe(std::span<const RecipeTensor> tensors, const Model &model);

} // namespace hl::synapse
