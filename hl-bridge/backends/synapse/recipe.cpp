// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/recipe.h"

#include <format>
#include <utility>

namespace hl::synapse {
namespace {

constexpr const char *operation = "load model";
// Far more than a recipe that frames go into has; what SynapseAI tells is not to be trusted with our memory.
constexpr uint32_t most_tensors = 4096;

} // namespace

bool refuses_recipe(abi::Status status) noexcept
{
    return status == abi::wrong_params_file || status == abi::unsupported || status == abi::device_type_mismatch;
}

Result<Recipe> Recipe::load(const Library &library, const Model &model, const std::string &device)
{
    const auto refuse = [&](const char *call, abi::Status status) {
        const std::string cause = std::format("{}: {}", model.name, library.failure(call, status));
        if (refuses_recipe(status))
            return fail(
                ErrorCode::RecipeRefused, operation, cause,
                std::format("compile the model anew, for this chip and with this release of SynapseAI (\"{}\"): "
                            "a recipe is for one of each",
                            library.version()),
                0, device);
        return fail(ErrorCode::SynapseCall, operation, cause, "see SynapseAI's log (~/.habana_logs, or $HABANA_LOGS)",
                    0, device);
    };
    abi::RecipeHandle handle = nullptr;
    if (const abi::Status status = library->synRecipeDeSerialize(&handle, model.path.c_str()); status != abi::success)
        return refuse("synRecipeDeSerialize", status);
    Recipe recipe(library, handle);
    if (const abi::Status status = library->synWorkspaceGetSize(&recipe.workspace_, handle); status != abi::success)
        return refuse("synWorkspaceGetSize", status);
    uint32_t count = 0;
    if (const abi::Status status = library->synTensorRetrieveLaunchAmount(handle, &count); status != abi::success)
        return refuse("synTensorRetrieveLaunchAmount", status);
    if (count == 0 || count > most_tensors)
        return fail(ErrorCode::RecipeTensors, operation,
                    std::format("{} has {} tensors to bind, 1 to {} are taken", model.name, count, most_tensors),
                    "compile a model whose inputs and outputs are persistent tensors", 0, device);
    std::vector<uint64_t> ids(count);
    if (const abi::Status status = library->synTensorRetrieveLaunchIds(handle, ids.data(), count);
        status != abi::success)
        return refuse("synTensorRetrieveLaunchIds", status);
    std::vector<abi::RetrievedTensor> told(count);
    for (uint32_t i = 0; i < count; ++i)
        told[i].id = ids[i];
    if (const abi::Status status = library->synTensorRetrieveLaunchInfoById(handle, count, told.data());
        status != abi::success)
        return refuse("synTensorRetrieveLaunchInfoById", status);
    for (const abi::RetrievedTensor &tensor : told)
        recipe.tensors_.push_back(recipe_tensor(tensor));
    return recipe;
}

Recipe::Recipe(Recipe &&other) noexcept
    : library_(std::move(other.library_)), handle_(std::exchange(other.handle_, nullptr)),
      tensors_(std::move(other.tensors_)), workspace_(other.workspace_)
{}

Recipe &Recipe::operator=(Recipe &&other) noexcept
{
    std::swap(library_, other.library_);
    std::swap(handle_, other.handle_);
    std::swap(tensors_, other.tensors_);
    std::swap(workspace_, other.workspace_);
    return *this;
}

Recipe::~Recipe()
{
    if (handle_)
        (void)library_->synRecipeDestroy(handle_);
}

} // namespace hl::synapse
