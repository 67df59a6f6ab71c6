// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recipe.h"

#include "version.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <format>
#include <fstream>
#include <iostream>
#include <optional>
#include <string_view>
#include <utility>

namespace hl::dbl {
namespace {

constexpr std::string_view magic = "SYNDBL1\n";
constexpr uint32_t max_description = 1 << 20;

struct Type {
    std::string_view name;
    synDataType type;
    ONNXTensorElementDataType element;
    uint64_t bytes;
};
constexpr std::array<Type, 10> types{{
    {"uint8", syn_type_uint8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1},
    {"int8", syn_type_int8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1},
    {"uint16", syn_type_uint16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, 2},
    {"int16", syn_type_int16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, 2},
    {"uint32", syn_type_uint32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, 4},
    {"int32", syn_type_int32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4},
    {"int64", syn_type_int64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8},
    {"float16", syn_type_fp16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2},
    {"bfloat16", syn_type_bf16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, 2},
    {"float32", syn_type_float, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4},
}};

std::optional<synDeviceType> chip_of(std::string_view name)
{
    if (name == "gaudi")
        return synDeviceGaudi;
    if (name == "gaudi2")
        return synDeviceGaudi2;
    if (name == "gaudi3")
        return synDeviceGaudi3;
    return std::nullopt;
}

// An empty name: the table is malformed.
Recipe::Tensor tensor_of(const nlohmann::json &row, size_t index)
{
    const auto name = row.at("type").get<std::string>();
    const auto type = std::ranges::find(types, name, &Type::name);
    Recipe::Tensor tensor{.name = row.at("name").get<std::string>(),
                          .input = row.at("input").get<bool>(),
                          .dims = row.at("dims").get<std::vector<int64_t>>(),
                          .id = 0x1700 + 16 * index}; // no index: who takes it for one is to fail
    bool good = type != types.end() && !tensor.dims.empty() && tensor.dims.size() <= syn_max_dims &&
                tensor.name.size() < syn_name_size;
    if (!good)
        return {};
    tensor.type = type->type;
    tensor.element = type->element;
    tensor.bytes = type->bytes;
    for (const int64_t d : tensor.dims) {
        if (d < 1 || static_cast<uint64_t>(d) > (uint64_t{1} << 40) / tensor.bytes)
            return {};
        tensor.bytes *= static_cast<uint64_t>(d);
    }
    return tensor;
}

// Debian's ONNX Runtime and libonnx register the same operators at the first load, and write two lines for each.
class QuietCerr {
public:
    QuietCerr() { std::cerr.setstate(std::ios::failbit); }
    ~QuietCerr() { std::cerr.clear(); }
    QuietCerr(const QuietCerr &) = delete;
    QuietCerr &operator=(const QuietCerr &) = delete;
};

} // namespace

Recipe::Recipe() : env_(ORT_LOGGING_LEVEL_FATAL, "SynapseAI double") {}

std::expected<std::shared_ptr<Recipe>, synStatus> Recipe::load(const std::string &file)
{
    std::shared_ptr<Recipe> recipe(new Recipe());
    bool other_release = false;
    std::string wrong;
    try {
        wrong = recipe->read(file, other_release);
    } catch (const std::bad_alloc &) {
        return std::unexpected(synOutOfHostMemory);
    } catch (const std::exception &e) {
        wrong = e.what();
    }
    if (wrong.empty())
        return recipe;
    std::fprintf(stderr, "SynapseAI double: %s: %s\n", file.c_str(), wrong.c_str());
    return std::unexpected(other_release ? synUnsupported : synWrongParamsFile);
}

std::string Recipe::read(const std::string &file, bool &other_release)
{
    std::ifstream in(file, std::ios::binary);
    if (!in)
        return "cannot be opened";
    std::array<char, magic.size()> start{};
    uint32_t length = 0;
    in.read(start.data(), start.size());
    in.read(reinterpret_cast<char *>(&length), sizeof length);
    if (!in || std::string_view(start.data(), start.size()) != magic || length > max_description)
        return "is no recipe of the double's";
    std::string text(length, '\0');
    if (!in.read(text.data(), length))
        return "is cut short";
    uint64_t onnx_bytes = 0;
    if (std::string wrong = describe(text, onnx_bytes, other_release); !wrong.empty())
        return wrong;
    const uint64_t size = std::filesystem::file_size(file),
                   rest = size - std::min(size, static_cast<uint64_t>(in.tellg()));
    if (rest != onnx_bytes)
        return std::format("holds {} bytes of a graph instead of {}", rest, onnx_bytes);
    std::vector<char> onnx(onnx_bytes);
    if (!in.read(onnx.data(), static_cast<std::streamsize>(onnx_bytes)))
        return "cannot be read";
    return open(onnx);
}

std::string Recipe::describe(const std::string &text, uint64_t &onnx_bytes, bool &other_release)
{
    const auto json = nlohmann::json::parse(text);
    const auto release = json.at("release").get<std::array<int, 2>>();
    if (release != std::array<int, 2>{double_major, double_minor}) {
        other_release = true;
        return std::format("was compiled by release {}.{}, and this is {}.{}", release[0], release[1], double_major,
                           double_minor);
    }
    const auto chip = chip_of(json.at("chip").get<std::string>());
    if (!chip)
        return "is for no chip that is known";
    chip_ = *chip;
    workspace_ = json.at("workspace").get<uint64_t>();
    onnx_bytes = json.at("onnx").get<uint64_t>();
    for (const auto &row : json.at("tensors")) {
        tensors_.push_back(tensor_of(row, tensors_.size()));
        if (tensors_.back().name.empty())
            return std::format("has a tensor {} that makes no sense", tensors_.size() - 1);
    }
    return {};
}

std::string Recipe::open(std::span<const char> onnx)
{
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    {
        const QuietCerr quiet;
        session_ = Ort::Session(env_, onnx.data(), onnx.size(), options);
    }
    if (session_.GetInputCount() + session_.GetOutputCount() != tensors_.size())
        return "has another number of tensors than its graph";
    const Ort::AllocatorWithDefaultOptions allocator;
    const auto matches = [&](const std::string &name, bool input, const Ort::TypeInfo &info) {
        const auto shape = info.GetTensorTypeAndShapeInfo();
        return std::ranges::any_of(tensors_, [&](const Tensor &t) {
            return t.name == name && t.input == input && t.element == shape.GetElementType() &&
                   t.dims == shape.GetShape();
        });
    };
    for (size_t i = 0; i < session_.GetInputCount(); ++i)
        if (!matches(session_.GetInputNameAllocated(i, allocator).get(), true, session_.GetInputTypeInfo(i)))
            return std::format("and its graph differ in input {}", i);
    for (size_t i = 0; i < session_.GetOutputCount(); ++i)
        if (!matches(session_.GetOutputNameAllocated(i, allocator).get(), false, session_.GetOutputTypeInfo(i)))
            return std::format("and its graph differ in output {}", i);
    return {};
}

bool Recipe::run(std::span<std::byte *const> places)
{
    try {
        const auto where = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        Ort::IoBinding binding(session_);
        for (size_t i = 0; i < tensors_.size(); ++i) {
            const Tensor &t = tensors_[i];
            const Ort::Value value =
                Ort::Value::CreateTensor(where, places[i], t.bytes, t.dims.data(), t.dims.size(), t.element);
            if (t.input)
                binding.BindInput(t.name.c_str(), value);
            else
                binding.BindOutput(t.name.c_str(), value);
        }
        session_.Run(Ort::RunOptions(), binding);
        return true;
    } catch (const std::exception &e) {
        std::fprintf(stderr, "SynapseAI double: %s\n", e.what());
        return false;
    }
}

} // namespace hl::dbl
