// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/engine.h"

#include "backends/onnx/onnxengine.h"
#include "inference/nullengine.h"

#include <cerrno>
#include <filesystem>
#include <format>
#include <utility>

namespace hl {
namespace {

class HostResolver final : public MemoryResolver {
public:
    explicit HostResolver(std::shared_ptr<Device> device) : device_(std::move(device)) {}

    Result<std::span<std::byte>> resolve(const Memory &memory) override { return device_->host_span(memory); }
    bool reaches(Placement placement) const noexcept override { return placement == Placement::Host; }

private:
    const std::shared_ptr<Device> device_;
};

} // namespace

Result<std::shared_ptr<Engine>> create_cpu_engine(const Model &model, const EngineOptions &options,
                                                  std::shared_ptr<MemoryResolver> resolver)
{
    if (model.info && model.info->engine == "null")
        return std::make_shared<NullEngine>(model, options);
    if (model.path.empty())
        return fail(ErrorCode::ModelMissing, "load model", model.name + " names no network",
                    "give the path of an .onnx file");
    if (std::filesystem::path(model.path).extension() == ".recipe")
        return fail(ErrorCode::ModelUnsupported, "load model",
                    std::format("{} is a recipe, which nothing but a Gaudi runs", model.name),
                    "open a Gaudi with SynapseAI (device=synapse), or give the .onnx file the recipe was compiled from",
                    ENOTSUP);
    return create_onnx_engine(model, options, std::move(resolver));
}

std::shared_ptr<MemoryResolver> make_host_resolver(std::shared_ptr<Device> device)
{
    return std::make_shared<HostResolver>(std::move(device));
}

} // namespace hl
