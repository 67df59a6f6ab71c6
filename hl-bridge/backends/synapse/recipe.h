// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/library.h"
#include "backends/synapse/recipebinding.h"
#include "inference/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace hl::synapse {

// A compiled model, as SynapseAI has loaded it; needs no device. Move only.
class Recipe {
public:
    // Errors: RecipeRefused (of another chip or release, or no recipe), SynapseCall.
    [[nodiscard]] static Result<Recipe> load(const Library &library, const Model &model, const std::string &device);
    Recipe(Recipe &&other) noexcept;
    Recipe &operator=(Recipe &&other) noexcept;
    ~Recipe();

    [[nodiscard]] abi::RecipeHandle handle() const noexcept { return handle_; }
    [[nodiscard]] const Library &library() const noexcept { return library_; }
    [[nodiscard]] const std::vector<RecipeTensor> &tensors() const noexcept { return tensors_; }
    // Bytes of device memory that a launch works in.
    [[nodiscard]] uint64_t workspace() const noexcept { return workspace_; }

private:
    Recipe(const Library &library, abi::RecipeHandle handle) noexcept : library_(library), handle_(handle) {}

    Library library_;
    abi::RecipeHandle handle_ = nullptr;
    std::vector<RecipeTensor> tensors_;
    uint64_t workspace_ = 0;
};

// Whether SynapseAI means with a status that it cannot use this recipe, here or at all.
[[nodiscard]] bool refuses_recipe(abi::Status status) noexcept;

} // namespace hl::synapse
