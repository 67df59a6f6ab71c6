// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/recipebinding.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <format>
#include <string_view>
#include <utility>

namespace hl::synapse {
namespace {

constexpr const char *operation = "load model";
constexpr uint64_t max_side = 16384;
constexpr uint64_t max_tensor_bytes = uint64_t{1} << 32;
constexpr std::string_view file_prefix = "file:";
constexpr size_t most_told = 32; // tensors of each direction in a message

// What a frame's plane may be called in a description, and what its samples are.
struct PlaneName {
    std::string_view name;
    PixelFormat format;
    size_t plane;
    uint64_t channels;
};
constexpr std::array<PlaneName, 3> plane_names{{{"frame:y", PixelFormat::NV12, 0, 1},
                                                {"frame:uv", PixelFormat::NV12, 1, 2},
                                                {"frame:rgb", PixelFormat::RGB, 0, 3}}};

struct Size {
    uint64_t width = 0, height = 0;

    friend bool operator==(const Size &, const Size &) = default;
};

// The size in samples of the plane whose bytes the tensor is, row after row: W, H or channels, W, H from the fastest
// dimension on, and ones anywhere.
std::optional<Size> plane_size(const RecipeTensor &tensor, uint64_t channels)
{
    std::vector<uint64_t> dims;
    std::ranges::copy_if(tensor.dims, std::back_inserter(dims), [](uint64_t d) { return d != 1; });
    if (channels != 1) {
        if (dims.empty() || dims.front() != channels)
            return std::nullopt;
        dims.erase(dims.begin());
    }
    if (dims.size() != 2 || dims[0] > max_side || dims[1] > max_side)
        return std::nullopt;
    return Size{dims[0], dims[1]};
}

// The frame that has such a plane.
std::optional<Size> frame_size(const RecipeTensor &tensor, const PlaneName &name)
{
    auto size = plane_size(tensor, name.channels);
    if (size && name.plane == 1)
        size = Size{2 * size->width, 2 * size->height};
    if (!size || size->width > max_side || size->height > max_side ||
        (name.format == PixelFormat::NV12 && (size->width % 2 != 0 || size->height % 2 != 0)))
        return std::nullopt;
    return size;
}

std::string tensors_text(std::span<const RecipeTensor> tensors, bool inputs)
{
    std::string out;
    size_t count = 0;
    for (const RecipeTensor &tensor : tensors)
        if (tensor.input == inputs && ++count <= most_told)
            out += std::format("{}{}", out.empty() ? "" : ", ", tensor.text());
    if (count > most_told)
        out += std::format(" and {} more", count - most_told);
    return out.empty() ? "none" : out;
}

// Whether a key file may have a section of that name that means the tensor.
bool can_be_described(const std::string &name)
{
    return !name.empty() && name != "modelinfo" && name != "gst-habana" && shown(name, name.size()) == name &&
           name.find_first_of("[]") == std::string::npos;
}

// What the tensors could be, by their shapes.
std::string guess_binding(const RecipeTensor &input, bool has_uv)
{
    if (input.type == abi::type_uint8) {
        if (plane_size(input, 3))
            return "frame:rgb";
        if (plane_size(input, 2))
            return "frame:uv";
        if (has_uv && frame_size(input, plane_names[0]))
            return "frame:y";
    }
    return std::format("file:{}.bin", input.name);
}

ModelInfo guess_description(std::span<const RecipeTensor> tensors, const std::string &model_name)
{
    const std::string stem = std::filesystem::path(model_name).stem().string();
    ModelInfo info;
    info.version = "1.0";
    const bool has_uv = std::ranges::any_of(
        tensors, [](const RecipeTensor &t) { return t.input && t.type == abi::type_uint8 && plane_size(t, 2); });
    for (const RecipeTensor &tensor : tensors.first(std::min(tensors.size(), most_told))) {
        TensorInfo t{.name = tensor.name,
                     .direction = tensor.input ? TensorDirection::Input : TensorDirection::Output,
                     .id = {},
                     .type = tensor.dtype().value_or(DType::UInt8),
                     .shape = tensor.shape(),
                     .bind = {},
                     .ranges = {}};
        if (tensor.input) {
            t.bind = guess_binding(tensor, has_uv);
        } else {
            // YOLOv8 and v11 heads: 1 x (4 + classes) x candidates.
            const bool yolo = t.shape.rank() == 3 && t.shape[1] > 4 && t.shape[2] > t.shape[1];
            t.id = yolo ? "yolo-v8-out" : std::format("{}-{}", stem, tensor.name);
            if (info.group_id.empty())
                info.group_id = yolo ? t.id : stem;
        }
        info.tensors.push_back(std::move(t));
    }
    return info;
}

// Binds step by step; every error tells what the recipe has and gives a description to begin with.
class Binder {
public:
    Binder(std::span<const RecipeTensor> tensors, const Model &model) : tensors_(tensors), model_(model) {}

    Result<RecipeBinding> bind();

private:
    std::unexpected<Error> refuse(const std::string &why, ErrorCode code = ErrorCode::RecipeTensors) const
    {
        return fail(code, operation,
                    std::format("{}: {}; its inputs: {}; its outputs: {}", model_.name, why,
                                tensors_text(tensors_, true), tensors_text(tensors_, false)),
                    std::format("write {} (bindings and ids below are guesses: check them):\n{}", model_.info_path,
                                guess_description(tensors_, model_.name).skeleton()));
    }
    // What no description can mend.
    std::unexpected<Error> unusable(const RecipeTensor &tensor, const char *why) const
    {
        return fail(ErrorCode::RecipeTensors, operation,
                    std::format("{}: {} {}; its inputs: {}; its outputs: {}", model_.name, tensor.text(), why,
                                tensors_text(tensors_, true), tensors_text(tensors_, false)),
                    "compile the model with persistent data tensors of fixed sizes for inputs and outputs, of uint8, "
                    "int8, int16, int32, uint16, uint32, int64, float16, bfloat16 or float32");
    }
    Status check_tensor(const RecipeTensor &tensor) const;
    Status check_sections() const;
    Result<TensorInfo> merge(const RecipeTensor &tensor) const;
    Status bind_input(size_t index, const TensorInfo &info);
    Status bind_plane(size_t index, const PlaneName &name);
    Status check_planes() const;

    const std::span<const RecipeTensor> tensors_;
    const Model &model_;
    RecipeBinding binding_;
    std::optional<Size> size_;
};

Status Binder::check_tensor(const RecipeTensor &tensor) const
{
    if (!can_be_described(tensor.name))
        return unusable(tensor, "has a name that no .modelinfo can hold");
    if (tensor.kind != abi::data_tensor && tensor.kind != abi::data_tensor_dynamic)
        return unusable(tensor, "is no data, but a shape or something for the host");
    if (!tensor.fixed)
        return unusable(tensor, "has a size that varies");
    if (tensor.permuted)
        return unusable(tensor, "does not lie in the order of its dimensions");
    if (tensor.bytes() == 0)
        return unusable(tensor, "is of a type or size that is not taken");
    return {};
}

Status Binder::check_sections() const
{
    for (const TensorInfo &said : model_.info->tensors)
        if (std::ranges::find(tensors_, said.name, &RecipeTensor::name) == tensors_.end())
            return refuse(std::format("section [{}] of {} names no tensor of it", said.name, model_.info_path));
    return {};
}

Result<TensorInfo> Binder::merge(const RecipeTensor &tensor) const
{
    const TensorDirection direction = tensor.input ? TensorDirection::Input : TensorDirection::Output;
    TensorInfo out{.name = tensor.name,
                   .direction = direction,
                   .id = {},
                   .type = *tensor.dtype(),
                   .shape = tensor.shape(),
                   .bind = {},
                   .ranges = {}};
    const TensorInfo *said = model_.info->find(tensor.name);
    if (!said)
        return out;
    const auto differs = [&](const char *key, std::string_view says) {
        return refuse(std::format("section [{}] of {}, key {}: the file says {}, the recipe has {}", tensor.name,
                                  model_.info_path, key, says, tensor.text()));
    };
    if (said->direction != direction)
        return differs("dir", said->direction == TensorDirection::Input ? "input" : "output");
    if (said->type != out.type)
        return differs("type", dtype_name(said->type));
    if (said->shape.rank() > 0 && !(said->shape == out.shape))
        return differs("dims", said->shape.text());
    out.id = said->id;
    out.bind = said->bind;
    out.ranges = said->ranges;
    out.column_major = said->column_major;
    return out;
}

Status Binder::bind_plane(size_t index, const PlaneName &name)
{
    const RecipeTensor &tensor = tensors_[index];
    const auto size = frame_size(tensor, name);
    if (tensor.type != abi::type_uint8 || !size)
        return refuse(std::format("{} cannot be {}, which is uint8 and {}", tensor.text(), name.name,
                                  name.channels == 1   ? "1xHxWx1 with H and W even"
                                  : name.channels == 2 ? "1x(H/2)x(W/2)x2"
                                                       : "1xHxWx3"));
    for (const RecipeBinding::Plane &other : binding_.planes)
        if (other.plane == name.plane && binding_.frame.format == name.format)
            return refuse(
                std::format("{} and {} are both bound to {}", tensors_[other.tensor].name, tensor.name, name.name));
    if (!binding_.planes.empty() && (binding_.frame.format != name.format || *size_ != *size))
        return refuse(std::format("{} is a plane of another frame ({}x{} {}) than {} ({}x{} {})", tensor.name,
                                  size->width, size->height, pixel_format_info(name.format).name,
                                  tensors_[binding_.planes.front().tensor].name, size_->width, size_->height,
                                  pixel_format_info(binding_.frame.format).name));
    size_ = size;
    binding_.frame.format = name.format;
    binding_.frame.width = static_cast<uint32_t>(size->width);
    binding_.frame.height = static_cast<uint32_t>(size->height);
    binding_.planes.push_back({.tensor = index, .plane = name.plane});
    return {};
}

Status Binder::bind_input(size_t index, const TensorInfo &info)
{
    if (info.bind.empty())
        return refuse(std::format("nothing says what input {} gets: {} has no bind= in a section [{}]",
                                  tensors_[index].name, model_.info_path, tensors_[index].name));
    if (info.bind.starts_with(file_prefix)) {
        binding_.files.push_back({.tensor = index, .location = info.bind.substr(file_prefix.size())});
        return {};
    }
    const auto name = std::ranges::find(plane_names, info.bind, &PlaneName::name);
    if (name == plane_names.end()) // ModelInfo::parse() lets no other word through
        return refuse(std::format("{} is bound to {}, which is nothing of a frame", tensors_[index].name, info.bind));
    return bind_plane(index, *name);
}

Status Binder::check_planes() const
{
    if (binding_.planes.empty())
        return refuse("none of its inputs is bound to a frame");
    return {};
}

Result<RecipeBinding> Binder::bind()
{
    for (const RecipeTensor &tensor : tensors_)
        if (auto good = check_tensor(tensor); !good)
            return std::unexpected(std::move(good.error()));
    if (!model_.info)
        return refuse(std::format("what its tensors mean is not known: there is no {}", model_.info_path),
                      ErrorCode::ModelInfoMissing);
    if (auto good = check_sections(); !good)
        return std::unexpected(std::move(good.error()));
    for (size_t i = 0; i < tensors_.size(); ++i) {
        auto info = merge(tensors_[i]);
        if (!info)
            return std::unexpected(std::move(info.error()));
        if (!tensors_[i].input) {
            binding_.outputs.push_back({.tensor = i, .info = std::move(*info)});
            continue;
        }
        if (auto bound = bind_input(i, *info); !bound)
            return std::unexpected(std::move(bound.error()));
        binding_.inputs.push_back(std::move(*info));
    }
    if (auto good = check_planes(); !good)
        return std::unexpected(std::move(good.error()));
    return std::move(binding_);
}

} // namespace

TensorShape RecipeTensor::shape() const
{
    std::vector<int64_t> outermost_first;
    for (const uint64_t d : dims) {
        if (dims.size() > TensorShape::max_rank || d > static_cast<uint64_t>(INT64_MAX))
            return {};
        outermost_first.insert(outermost_first.begin(), static_cast<int64_t>(d));
    }
    return TensorShape(std::span<const int64_t>(outermost_first));
}

std::optional<DType> RecipeTensor::dtype() const noexcept
{
    switch (type) {
    case abi::type_int8:
        return DType::Int8;
    case abi::type_bf16:
        return DType::BFloat16;
    case abi::type_float:
        return DType::Float32;
    case abi::type_int16:
        return DType::Int16;
    case abi::type_int32:
        return DType::Int32;
    case abi::type_uint8:
        return DType::UInt8;
    case abi::type_fp16:
        return DType::Float16;
    case abi::type_uint16:
        return DType::UInt16;
    case abi::type_uint32:
        return DType::UInt32;
    case abi::type_int64:
        return DType::Int64;
    case abi::type_fp8_143:
    case abi::type_fp8_152:
        break;
    }
    return std::nullopt;
}

uint64_t RecipeTensor::bytes() const
{
    const auto known = dtype();
    const uint64_t elements = shape().elements();
    if (!known || dims.empty() || dims.size() > TensorShape::max_rank || elements == 0 ||
        elements > max_tensor_bytes / dtype_size(*known))
        return 0;
    return elements * dtype_size(*known);
}

std::string RecipeTensor::text() const
{
    const auto known = dtype();
    std::string size;
    for (auto d = dims.rbegin(); d != dims.rend(); ++d)
        size += std::format("{}{}", size.empty() ? "" : "x", *d);
    return std::format("{} {} {}", shown(name),
                       known ? std::string(dtype_name(*known)) : std::format("type {:#x}", std::to_underlying(type)),
                       size.empty() ? "scalar" : size);
}

RecipeTensor recipe_tensor(const abi::RetrievedTensor &told)
{
    const size_t dims = std::min<size_t>(told.dims, abi::max_dims);
    RecipeTensor out{.name = std::string(told.name, ::strnlen(told.name, sizeof(told.name))),
                     .id = told.id,
                     .input = told.is_input != 0,
                     .kind = told.type,
                     .type = told.data_type,
                     .dims = std::vector(told.max_size, told.max_size + dims)};
    // A minimum of zeros is none: static tensors need not have one.
    out.fixed = std::equal(told.max_size, told.max_size + dims, told.min_size) ||
                std::all_of(told.min_size, told.min_size + dims, [](uint64_t d) { return d == 0; });
    bool in_order = true, zeros = true;
    for (size_t i = 0; i < dims; ++i) {
        in_order = in_order && told.permutation[i] == i;
        zeros = zeros && told.permutation[i] == 0;
    }
    out.permuted = !in_order && !zeros; // zeros: not said
    return out;
}

Result<RecipeBinding> bind_recipe(std::span<const RecipeTensor> tensors, const Model &model)
{
    return Binder(tensors, model).bind();
}

} // namespace hl::synapse
