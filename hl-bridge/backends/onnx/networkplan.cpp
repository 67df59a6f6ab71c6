// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/networkplan.h"

#include "core/text.h"

#include <algorithm>
#include <filesystem>
#include <format>
#include <span>
#include <utility>

namespace hl {
namespace {

constexpr int64_t max_side = 16384;
constexpr uint64_t max_tensor_bytes = uint64_t{1} << 30; // of the input, and of all outputs
constexpr size_t max_tensors = 128;                      // on either side; detectors have up to 20
constexpr size_t listed = 8;                             // tensors in a message

constexpr std::string_view taken =
    "one image input of 4 dimensions, uint8, float16 or float32, NCHW or NHWC with 3 channels and "
    "a batch of 1; or with planes=nv12 in [gst-habana] two uint8 inputs 1xHxWx1 (Y) and "
    "1x(H/2)x(W/2)x2 (UV)";

std::string inputs_text(const std::vector<NetworkTensor> &tensors)
{
    std::string out;
    for (const NetworkTensor &t : std::span(tensors).first(std::min(tensors.size(), listed)))
        out += std::format("{}{} ({}, {})", out.empty() ? "" : ", ", t.name, t.kind,
                           t.rank > TensorShape::max_rank ? std::format("{} dimensions", t.rank) : t.shape.text());
    if (tensors.size() > listed)
        out += std::format(" and {} more", tensors.size() - listed);
    return out.empty() ? "none" : out;
}

std::unexpected<Error> unsupported(const Model &model, std::string what, std::string remedy)
{
    return fail(ErrorCode::ModelUnsupported, "load model", std::format("{}: {}", model.name, what), std::move(remedy));
}

std::unexpected<Error> outputs_too_large(const Model &model)
{
    return unsupported(model, std::format("its outputs are larger than {} MiB", max_tensor_bytes >> 20),
                       "export the model with smaller outputs");
}

std::unexpected<Error> contradiction(const Model &model, const std::string &tensor, const std::string &key,
                                     const std::string &said, const std::string &is)
{
    return fail(ErrorCode::ModelInfoInvalid, "load model",
                std::format("{}: section [{}], key {}: the file says {}, the network has {}", model.info_path, tensor,
                            key, said, is),
                std::format("correct the file: {}={}", key, is));
}

std::string dims_text(const TensorShape &shape)
{
    std::string out;
    for (const int64_t d : shape.dims())
        out += std::format("{}{}", out.empty() ? "" : ",", d > 0 ? d : -1);
    return out;
}

// One tensor of the network with what the description adds to it.
Result<TensorInfo> merge(const NetworkTensor &net, TensorDirection direction, const Model &model)
{
    const char *side = direction == TensorDirection::Input ? "input" : "output";
    if (!net.type)
        return unsupported(model, std::format("{} {} is {}", side, net.name, net.kind),
                           "export the model with numeric tensors");
    if (net.rank > TensorShape::max_rank)
        return unsupported(model,
                           std::format("{} {} has {} dimensions, at most {} are taken", side, net.name, net.rank,
                                       TensorShape::max_rank),
                           "export the model with fewer dimensions");
    TensorInfo out;
    out.name = net.name;
    out.direction = direction;
    out.type = *net.type;
    out.shape = net.shape;
    const TensorInfo *said = model.info ? model.info->find(net.name) : nullptr;
    if (!said)
        return out;
    if (said->direction != direction)
        return contradiction(model, net.name, "dir", direction == TensorDirection::Input ? "output" : "input", side);
    if (said->type != *net.type)
        return contradiction(model, net.name, "type", std::string(dtype_name(said->type)), net.kind);
    if (said->shape.rank() > 0) {
        bool fits = said->shape.rank() == net.shape.rank();
        for (size_t i = 0; fits && i < net.shape.rank(); ++i) {
            fits = said->shape[i] < 0 || net.shape[i] < 0 || said->shape[i] == net.shape[i];
            if (net.shape[i] < 0)
                out.shape[i] = said->shape[i];
        }
        if (!fits)
            return contradiction(model, net.name, "dims", dims_text(said->shape), dims_text(net.shape));
    }
    out.id = said->id;
    out.ranges = said->ranges;
    out.column_major = said->column_major;
    return out;
}

// Every section must name a tensor: a typing error would otherwise lose an id without a word.
Status check_sections(const Network &network, const Model &model)
{
    if (!model.info)
        return {};
    for (const TensorInfo &said : model.info->tensors) {
        const auto named = [&](const NetworkTensor &t) { return t.name == said.name; };
        if (std::ranges::any_of(network.inputs, named) || std::ranges::any_of(network.outputs, named))
            continue;
        return fail(ErrorCode::ModelInfoInvalid, "load model",
                    std::format("{}: section [{}] names no tensor of {}; its inputs: {}; its outputs: {}",
                                model.info_path, shown(said.name, shown_network_name), model.name,
                                inputs_text(network.inputs), inputs_text(network.outputs)),
                    "name the sections as the network names its tensors");
    }
    return {};
}

Status plan_image(NetworkPlan &plan, const Network &network, const Model &model)
{
    const auto refuse = [&] {
        return unsupported(model,
                           std::format("its inputs are {}; this engine takes {}", inputs_text(network.inputs), taken),
                           "export the model for one image, or with raw planes");
    };
    if (plan.inputs.size() != 1)
        return refuse();
    TensorInfo &in = plan.inputs[0];
    TensorShape &s = in.shape;
    const bool known_type = in.type == DType::UInt8 || in.type == DType::Float16 || in.type == DType::Float32;
    if (s.rank() != 4 || !known_type)
        return refuse();
    if (s[0] < 0)
        s[0] = 1;
    ImageTarget &image = plan.image;
    if (s[1] == 3)
        image.layout = TensorLayout::NCHW;
    else if (s[3] == 3)
        image.layout = TensorLayout::NHWC;
    else
        return refuse();
    const bool nchw = image.layout == TensorLayout::NCHW;
    const int64_t height = s[nchw ? 2 : 1];
    const int64_t width = s[nchw ? 3 : 2];
    if (height < 0 || width < 0) {
        const ModelInfo guess = guess_description(network, model.name);
        return unsupported(model, std::format("input {} ({}) leaves its size open", in.name, s.text()),
                           std::format("export the model with a fixed size, or write the size as dims of [{}] into {}, "
                                       "which could start as:\n{}",
                                       in.name, model.info_path, guess.skeleton()));
    }
    if (s[0] != 1 || height > max_side || width > max_side || height == 0 || width == 0 ||
        s.elements() * dtype_size(in.type) > max_tensor_bytes)
        return refuse();
    image.width = static_cast<uint32_t>(width);
    image.height = static_cast<uint32_t>(height);
    image.type = in.type;
    if (model.info)
        image.how = model.info->preprocess;
    if (!in.ranges.empty() && in.ranges.size() != 1 && in.ranges.size() != 3)
        return fail(ErrorCode::ModelInfoInvalid, "load model",
                    std::format("{}: section [{}], key ranges: {} ranges for 3 channels", model.info_path, in.name,
                                in.ranges.size()),
                    "give one range for all channels, or three");
    return {};
}

Status plan_planes(NetworkPlan &plan, const Network &network, const Model &model)
{
    plan.kind = InputKind::RawPlanes;
    const auto refuse = [&] {
        return unsupported(model,
                           std::format("planes=nv12 needs two uint8 inputs 1xHxWx1 (Y) and 1x(H/2)x(W/2)x2 (UV) with H "
                                       "and W even; its inputs are {}",
                                       inputs_text(network.inputs)),
                           "export the model so, or remove planes= from [gst-habana]");
    };
    if (plan.inputs.size() != 2)
        return refuse();
    for (TensorInfo &in : plan.inputs) {
        if (in.shape.rank() != 4 || in.type != DType::UInt8)
            return refuse();
        if (in.shape[0] < 0)
            in.shape[0] = 1;
    }
    const size_t luma = plan.inputs[0].shape[3] == 1 ? 0 : 1;
    const TensorShape &y = plan.inputs[luma].shape;
    const TensorShape &uv = plan.inputs[1 - luma].shape;
    if (!y.fixed() || !uv.fixed() || y[0] != 1 || uv[0] != 1 || y[3] != 1 || uv[3] != 2 || y[1] % 2 != 0 ||
        y[2] % 2 != 0 || uv[1] != y[1] / 2 || uv[2] != y[2] / 2 || y[1] > max_side || y[2] > max_side)
        return refuse();
    plan.planes = {
        .format = PixelFormat::NV12, .width = static_cast<uint32_t>(y[2]), .height = static_cast<uint32_t>(y[1])};
    plan.plane_input = {luma, 1 - luma};
    return {};
}

// Ids from the description, else from the network's metadata. A network that neither knows is refused: no decoder could
// find its tensors.
Status find_ids(NetworkPlan &plan, const Network &network, const Model &model)
{
    bool any = false;
    for (TensorInfo &out : plan.outputs) {
        if (out.id.empty())
            if (const auto at = network.metadata.find(out.name); at != network.metadata.end())
                out.id = shown(at->second, shown_network_name);
        any = any || !out.id.empty() || (model.info && model.info->find(out.name));
    }
    if (any || plan.outputs.empty())
        return {};
    const std::string why = model.info ? std::format("{} describes none of its outputs", model.info_path)
                                       : std::format("there is no {}", model.info_path);
    return fail(ErrorCode::ModelInfoMissing, "load model",
                std::format("what the tensors of {} mean is not known: {}, and its metadata_props hold no ids",
                            model.name, why),
                std::format("write {} (ids and ranges below are guesses: check them):\n{}", model.info_path,
                            guess_description(network, model.name).skeleton()));
}

} // namespace

Result<NetworkPlan> plan_network(const Network &network, const Model &model)
{
    NetworkPlan plan;
    for (const auto &[side, tensors] : {std::pair{"inputs", &network.inputs}, std::pair{"outputs", &network.outputs}})
        if (tensors->size() > max_tensors)
            return unsupported(model,
                               std::format("it has {} {}, at most {} are taken", tensors->size(), side, max_tensors),
                               "export the model with the tensors that are needed");
    if (auto status = check_sections(network, model); !status)
        return std::unexpected(status.error());
    for (const NetworkTensor &net : network.inputs) {
        auto t = merge(net, TensorDirection::Input, model);
        if (!t)
            return std::unexpected(t.error());
        plan.inputs.push_back(std::move(*t));
    }
    uint64_t total = 0;
    for (const NetworkTensor &net : network.outputs) {
        auto t = merge(net, TensorDirection::Output, model);
        if (!t)
            return std::unexpected(t.error());
        // Before the first run, which allocates them. What is left open only the run can tell.
        const uint64_t elements = t->shape.elements();
        if (t->shape.fixed() && (elements == 0 || elements > max_tensor_bytes / dtype_size(t->type)))
            return outputs_too_large(model);
        total += elements * dtype_size(t->type);
        if (total > max_tensor_bytes)
            return outputs_too_large(model);
        plan.outputs.push_back(std::move(*t));
    }
    const bool planes = model.info && model.info->planes == "nv12";
    if (auto status = planes ? plan_planes(plan, network, model) : plan_image(plan, network, model); !status)
        return std::unexpected(status.error());
    if (auto status = find_ids(plan, network, model); !status)
        return std::unexpected(status.error());
    if (model.info)
        plan.group_id = model.info->group_id;
    return plan;
}

Status settle_outputs(NetworkPlan &plan, std::span<const TensorShape> shapes, const Model &model)
{
    uint64_t total = 0;
    for (size_t i = 0; i < plan.outputs.size(); ++i) {
        TensorInfo &out = plan.outputs[i];
        const TensorShape &is = shapes[i];
        const uint64_t elements = is.elements();
        if (is.rank() > 0 && elements == 0)
            return unsupported(model, std::format("output {} has a size that depends on the picture", out.name),
                               "export the model without the step that selects (for detectors: without NMS)");
        const TensorInfo *said = model.info ? model.info->find(out.name) : nullptr;
        if (said && said->shape.rank() > 0) {
            bool fits = said->shape.rank() == is.rank();
            for (size_t k = 0; fits && k < is.rank(); ++k)
                fits = said->shape[k] < 0 || said->shape[k] == is[k];
            if (!fits)
                return contradiction(model, out.name, "dims", dims_text(said->shape), dims_text(is));
        }
        out.shape = is;
        total += std::max<uint64_t>(elements, 1) * dtype_size(out.type);
        if (elements > max_tensor_bytes || total > max_tensor_bytes)
            return outputs_too_large(model);
    }
    return {};
}

ModelInfo guess_description(const Network &network, const std::string &model_name)
{
    const std::string stem = std::filesystem::path(model_name).stem().string();
    ModelInfo info;
    info.version = "1.0";
    const auto take = [&](const NetworkTensor &net, TensorDirection direction) {
        TensorInfo t;
        t.name = net.name;
        t.direction = direction;
        t.type = net.type.value_or(DType::Float32);
        t.shape = net.shape;
        return t;
    };
    for (const NetworkTensor &net : network.inputs) {
        TensorInfo t = take(net, TensorDirection::Input);
        const double high = t.type == DType::UInt8 ? 255.0 : 1.0;
        if (t.shape.rank() == 4)
            t.ranges.assign(3, {0.0, high});
        info.tensors.push_back(std::move(t));
    }
    for (const NetworkTensor &net : network.outputs) {
        TensorInfo t = take(net, TensorDirection::Output);
        // YOLOv8 and v11 heads: 1 x (4 + classes) x candidates.
        const bool yolo = t.shape.rank() == 3 && t.shape[1] > 4 && (t.shape[2] < 0 || t.shape[2] > t.shape[1]);
        t.id = yolo ? "yolo-v8-out" : std::format("{}-{}", stem, net.name);
        if (info.group_id.empty())
            info.group_id = yolo ? t.id : stem;
        info.tensors.push_back(std::move(t));
    }
    return info;
}

} // namespace hl
