// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/recipebinding.h"
#include "simtest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace vendor = hl::synapse::abi;
using hl::ErrorCode;
using hl::synapse::bind_recipe;
using hl::synapse::RecipeTensor;

namespace {

RecipeTensor input(std::string name, std::vector<uint64_t> dims, vendor::DataType type = vendor::type_uint8)
{
    return {.name = std::move(name), .id = 7, .input = true, .type = type, .dims = std::move(dims)};
}

RecipeTensor output(std::string name, std::vector<uint64_t> dims, vendor::DataType type = vendor::type_float)
{
    return {.name = std::move(name), .id = 8, .input = false, .type = type, .dims = std::move(dims)};
}

// Dimensions as a recipe has them: fastest first.
std::vector<RecipeTensor> nv12_recipe()
{
    return {input("y", {1, 640, 480, 1}), input("uv", {2, 320, 240, 1}), output("out", {2100, 9, 1})};
}

hl::Model model_of(const std::string &text)
{
    auto info = hl::ModelInfo::parse("[modelinfo]\nversion=1.0\n" + text, "/models/m.recipe.modelinfo");
    EXPECT_OK(info);
    hl::Model model{.name = "m.recipe", .path = "/models/m.recipe", .info_path = "/models/m.recipe.modelinfo"};
    if (info)
        model.info = std::move(*info);
    return model;
}

std::string section(const std::string &name, const std::string &dir, const std::string &type, const std::string &more)
{
    return "[" + name + "]\ndir=" + dir + "\ntype=" + type + "\n" + more + "\n";
}

const std::string y_section = section("y", "input", "uint8", "bind=frame:y");
const std::string uv_section = section("uv", "input", "uint8", "bind=frame:uv");
const std::string out_section = section("out", "output", "float32", "id=yolo-v8-out\ndims=1,9,2100");

hl::Error refusal(const std::vector<RecipeTensor> &tensors, const hl::Model &model)
{
    const auto bound = bind_recipe(tensors, model);
    if (bound)
        ADD_FAILURE() << "was bound";
    return bound ? hl::Error{} : bound.error();
}

} // namespace

TEST(RecipeBinding, PlanesOfAnNv12Frame)
{
    const auto bound = bind_recipe(nv12_recipe(), model_of(y_section + uv_section + out_section));
    ASSERT_OK(bound);
    EXPECT_EQ(bound->frame.format, hl::PixelFormat::NV12);
    EXPECT_EQ(bound->frame.width, 640u);
    EXPECT_EQ(bound->frame.height, 480u);
    ASSERT_EQ(bound->planes.size(), 2u);
    EXPECT_EQ(bound->planes[0].tensor, 0u);
    EXPECT_EQ(bound->planes[0].plane, 0u);
    EXPECT_EQ(bound->planes[1].tensor, 1u);
    EXPECT_EQ(bound->planes[1].plane, 1u);
    ASSERT_EQ(bound->outputs.size(), 1u);
    EXPECT_EQ(bound->outputs[0].info.id, "yolo-v8-out");
    EXPECT_EQ(bound->outputs[0].info.shape, (hl::TensorShape{1, 9, 2100}));
    EXPECT_EQ(bound->outputs[0].info.type, hl::DType::Float32);
}

// As different compilers list the same bytes.
TEST(RecipeBinding, OnesAmongTheDimensionsDoNotMatter)
{
    for (const std::vector<uint64_t> &y :
         {std::vector<uint64_t>{640, 480}, {640, 480, 1}, {640, 480, 1, 1}, {1, 640, 480, 1}, {1, 640, 480}})
        for (const std::vector<uint64_t> &uv :
             {std::vector<uint64_t>{2, 320, 240}, {2, 320, 240, 1}, {1, 2, 320, 240}}) {
            const auto bound = bind_recipe(std::vector{input("y", y), input("uv", uv), output("out", {2100, 9, 1})},
                                           model_of(y_section + uv_section + out_section));
            ASSERT_OK(bound);
            EXPECT_EQ(bound->frame.width, 640u);
            EXPECT_EQ(bound->frame.height, 480u);
        }
}

TEST(RecipeBinding, RgbAndDataFromAFile)
{
    const auto bound = bind_recipe(
        std::vector{output("out", {5}), input("weights", {64, 64}, vendor::type_bf16), input("image", {3, 101, 77, 1})},
        model_of(section("image", "input", "uint8", "bind=frame:rgb\ndims=1,77,101,3") +
                 section("weights", "input", "bfloat16", "bind=file:w.bin") + section("out", "output", "float32", "")));
    ASSERT_OK(bound);
    EXPECT_EQ(bound->frame.format, hl::PixelFormat::RGB);
    EXPECT_EQ(bound->frame.width, 101u);
    EXPECT_EQ(bound->frame.height, 77u);
    ASSERT_EQ(bound->files.size(), 1u);
    EXPECT_EQ(bound->files[0].tensor, 1u);
    EXPECT_EQ(bound->files[0].location, "w.bin");
    ASSERT_EQ(bound->inputs.size(), 2u);
    EXPECT_EQ(bound->inputs[0].name, "weights");
    EXPECT_EQ(bound->inputs[1].name, "image");
}

TEST(RecipeBinding, WithoutADescriptionTheErrorHasOne)
{
    hl::Model model{.name = "m.recipe", .path = "/models/m.recipe", .info_path = "/models/m.recipe.modelinfo"};
    const hl::Error error = refusal(nv12_recipe(), model);
    EXPECT_EQ(error.code, ErrorCode::ModelInfoMissing);
    EXPECT_TRUE(error.cause.contains("y uint8 1x480x640x1, uv uint8 1x240x320x2")) << error.cause;
    EXPECT_TRUE(error.cause.contains("out float32 1x9x2100")) << error.cause;
    // What the remedy says to save is a description that binds this recipe.
    const std::string skeleton = error.remedy.substr(error.remedy.find("[modelinfo]"));
    auto info = hl::ModelInfo::parse(skeleton, model.info_path);
    ASSERT_OK(info);
    model.info = std::move(*info);
    const auto bound = bind_recipe(nv12_recipe(), model);
    ASSERT_OK(bound);
    EXPECT_EQ(bound->planes.size(), 2u);
    EXPECT_EQ(bound->outputs[0].info.id, "yolo-v8-out");
}

TEST(RecipeBinding, TheSkeletonOfAnRgbRecipeBindsIt)
{
    const std::vector tensors{input("image", {3, 100, 80, 1}), output("scores", {10, 1})};
    hl::Model model{.name = "m.recipe", .path = "/models/m.recipe", .info_path = "/models/m.recipe.modelinfo"};
    const hl::Error error = refusal(tensors, model);
    auto info = hl::ModelInfo::parse(error.remedy.substr(error.remedy.find("[modelinfo]")), model.info_path);
    ASSERT_OK(info);
    model.info = std::move(*info);
    const auto bound = bind_recipe(tensors, model);
    ASSERT_OK(bound);
    EXPECT_EQ(bound->frame.format, hl::PixelFormat::RGB);
    EXPECT_EQ(bound->outputs[0].info.id, "m-scores");
}

TEST(RecipeBinding, WhatDoesNotFitIsTold)
{
    struct Case {
        const char *why;
        std::vector<RecipeTensor> tensors;
        std::string text;
        const char *told;
    };
    const auto with = [](size_t at, const std::function<void(RecipeTensor &)> &change) {
        auto tensors = nv12_recipe();
        change(tensors[at]);
        return tensors;
    };
    const std::string all = y_section + uv_section + out_section;
    const std::vector<Case> cases{
        {"not bound", nv12_recipe(), y_section + out_section, "nothing says what input uv gets"},
        {"no plane", with(0, [](RecipeTensor &t) { t.dims = {640, 480, 3}; }), all, "cannot be frame:y"},
        {"odd", with(0, [](RecipeTensor &t) { t.dims = {641, 480}; }), all, "cannot be frame:y"},
        {"not uint8", with(0, [](RecipeTensor &t) { t.type = vendor::type_int8; }),
         section("y", "input", "int8", "bind=frame:y") + uv_section + out_section, "cannot be frame:y, which is uint8"},
        {"other frames", with(1, [](RecipeTensor &t) { t.dims = {2, 300, 240, 1}; }), all,
         "uv is a plane of another frame (600x480 NV12) than y (640x480 NV12)"},
        {"twice", with(1, [](RecipeTensor &t) { t.dims = {640, 480}; }),
         y_section + section("uv", "input", "uint8", "bind=frame:y") + out_section,
         "y and uv are both bound to frame:y"},
        {"two formats", with(1, [](RecipeTensor &t) { t.dims = {3, 640, 480}; }),
         y_section + section("uv", "input", "uint8", "bind=frame:rgb") + out_section, "is a plane of another frame"},
        {"no frame",
         {input("w", {4}), output("out", {5})},
         section("w", "input", "uint8", "bind=file:w.bin") + section("out", "output", "float32", ""),
         "none of its inputs is bound to a frame"},
        {"other type", nv12_recipe(), section("y", "input", "float32", "bind=frame:y") + uv_section + out_section,
         "section [y] of /models/m.recipe.modelinfo, key type: the file says float32, the recipe has y uint8"},
        {"other dims", nv12_recipe(), y_section + uv_section + section("out", "output", "float32", "dims=1,9,2101"),
         "key dims: the file says 1x9x2101"},
        {"other direction", nv12_recipe(), y_section + uv_section + section("out", "input", "float32", ""), "key dir"},
        {"no tensor", nv12_recipe(), all + section("z", "input", "uint8", ""), "section [z]"},
        {"varies", with(2, [](RecipeTensor &t) { t.fixed = false; }), all, "has a size that varies"},
        {"permuted", with(2, [](RecipeTensor &t) { t.permuted = true; }), all, "order of its dimensions"},
        {"shape", with(2, [](RecipeTensor &t) { t.kind = vendor::shape_tensor; }), all, "is no data"},
        {"fp8", with(2, [](RecipeTensor &t) { t.type = vendor::type_fp8_143; }), all, "type or size that is not taken"},
        {"huge", with(2, [](RecipeTensor &t) { t.dims = {1ull << 40, 1ull << 40}; }), all, "that is not taken"},
        {"nine", with(2, [](RecipeTensor &t) { t.dims.assign(9, 2); }), all, "that is not taken"},
        {"none", with(2, [](RecipeTensor &t) { t.dims = {0, 5}; }), all, "that is not taken"},
    };
    for (const Case &c : cases) {
        SCOPED_TRACE(c.why);
        const hl::Error error = refusal(c.tensors, model_of(c.text));
        EXPECT_EQ(error.code, ErrorCode::RecipeTensors);
        EXPECT_TRUE(error.cause.contains(c.told)) << error.cause;
        EXPECT_TRUE(error.cause.contains("its inputs: ")) << error.cause;
        EXPECT_FALSE(error.remedy.empty());
    }
}

TEST(RecipeTensor, IsWhatSynapseAiTold)
{
    vendor::RetrievedTensor told{};
    std::strcpy(told.name, "y");
    told.id = 42;
    told.type = vendor::data_tensor;
    told.data_type = vendor::type_uint8;
    told.dims = 4;
    for (size_t i = 0; i < 4; ++i)
        told.max_size[i] = told.min_size[i] = std::vector<uint64_t>{1, 640, 480, 1}[i];
    told.is_input = 1;
    RecipeTensor tensor = hl::synapse::recipe_tensor(told);
    EXPECT_EQ(tensor.text(), "y uint8 1x480x640x1");
    EXPECT_EQ(tensor.id, 42u);
    EXPECT_EQ(tensor.bytes(), 640u * 480);
    EXPECT_TRUE(tensor.input && tensor.fixed && !tensor.permuted);

    told.min_size[1] = 320;
    EXPECT_FALSE(hl::synapse::recipe_tensor(told).fixed);
    std::fill_n(told.min_size, 4, 0);
    EXPECT_TRUE(hl::synapse::recipe_tensor(told).fixed); // not said
    for (uint8_t i = 0; i < 4; ++i)
        told.permutation[i] = i;
    EXPECT_FALSE(hl::synapse::recipe_tensor(told).permuted);
    std::swap(told.permutation[1], told.permutation[2]);
    EXPECT_TRUE(hl::synapse::recipe_tensor(told).permuted);

    // What is no C string, and has more dimensions than there are.
    std::memset(told.name, 'n', sizeof(told.name));
    told.dims = 1000;
    tensor = hl::synapse::recipe_tensor(told);
    EXPECT_EQ(tensor.name.size(), vendor::max_name);
    EXPECT_EQ(tensor.dims.size(), vendor::max_dims);
    EXPECT_EQ(tensor.bytes(), 0u);
}
