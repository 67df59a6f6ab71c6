// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/networkplan.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace hl;
using testing::HasSubstr;

namespace {

NetworkTensor tensor(std::string name, DType type, std::initializer_list<int64_t> dims)
{
    return {.name = std::move(name),
            .type = type,
            .kind = std::string(dtype_name(type)),
            .shape = TensorShape(dims),
            .rank = dims.size()};
}

TensorInfo said(std::string name, TensorDirection direction, DType type, std::initializer_list<int64_t> dims)
{
    TensorInfo t;
    t.name = std::move(name);
    t.direction = direction;
    t.type = type;
    t.shape = TensorShape(dims);
    return t;
}

class NetworkPlanTest : public testing::Test {
protected:
    NetworkPlanTest()
    {
        network.inputs = {tensor("images", DType::Float32, {1, 3, 320, 480})};
        network.outputs = {tensor("out", DType::Float32, {1, 84, 2100})};
        model.name = "m.onnx";
        model.info_path = "/models/m.onnx.modelinfo";
        model.info = ModelInfo{.version = "1.0", .group_id = "g"};
        TensorInfo out = said("out", TensorDirection::Output, DType::Float32, {1, 84, -1});
        out.id = "yolo-v8-out";
        model.info->tensors = {said("images", TensorDirection::Input, DType::Float32, {-1, 3, 320, 480}), out};
    }

    Error refused() const
    {
        const auto plan = plan_network(network, model);
        EXPECT_FALSE(plan);
        return plan ? Error{} : plan.error();
    }

    Network network;
    Model model;
};

} // namespace

TEST_F(NetworkPlanTest, BringsBothTogether)
{
    const auto plan = plan_network(network, model);
    ASSERT_TRUE(plan) << plan.error().details();
    EXPECT_EQ(plan->kind, InputKind::Image);
    EXPECT_EQ(plan->image.width, 480u);
    EXPECT_EQ(plan->image.height, 320u);
    EXPECT_EQ(plan->image.layout, TensorLayout::NCHW);
    EXPECT_EQ(plan->image.type, DType::Float32);
    EXPECT_EQ(plan->outputs[0].id, "yolo-v8-out");
    EXPECT_EQ(plan->outputs[0].shape, (TensorShape{1, 84, 2100}));
    EXPECT_EQ(plan->group_id, "g");
}

TEST_F(NetworkPlanTest, ContradictionsSayBothSides)
{
    const auto expect = [&](const char *tensor_name, const char *key, const char *file, const char *net) {
        const Error e = refused();
        EXPECT_EQ(e.code, ErrorCode::ModelInfoInvalid);
        EXPECT_THAT(e.cause, HasSubstr(model.info_path));
        EXPECT_THAT(e.cause, HasSubstr(tensor_name));
        EXPECT_THAT(e.cause, HasSubstr(std::string("key ") + key));
        EXPECT_THAT(e.cause, HasSubstr(std::string("the file says ") + file));
        EXPECT_THAT(e.cause, HasSubstr(std::string("the network has ") + net));
    };
    const ModelInfo right = *model.info;
    model.info->tensors[0].shape = TensorShape{1, 3, 640, 640};
    expect("[images]", "dims", "1,3,640,640", "1,3,320,480");
    model.info = right;
    model.info->tensors[1].shape = TensorShape{1, 84};
    expect("[out]", "dims", "1,84", "1,84,2100");
    model.info = right;
    model.info->tensors[0].type = DType::UInt8;
    expect("[images]", "type", "uint8", "float32");
    model.info = right;
    model.info->tensors[1].direction = TensorDirection::Input;
    expect("[out]", "dir", "input", "output");
}

TEST_F(NetworkPlanTest, SectionsMustNameTensors)
{
    model.info->tensors[1].name = "output";
    const Error e = refused();
    EXPECT_EQ(e.code, ErrorCode::ModelInfoInvalid);
    EXPECT_THAT(e.cause, HasSubstr("[output] names no tensor"));
    EXPECT_THAT(e.cause, HasSubstr("out (float32, 1x84x2100)"));
}

TEST_F(NetworkPlanTest, IdsComeFromTheDescriptionThenTheMetadata)
{
    network.metadata["out"] = "from-metadata";
    EXPECT_EQ(plan_network(network, model)->outputs[0].id, "yolo-v8-out");
    model.info->tensors[1].id.clear();
    EXPECT_EQ(plan_network(network, model)->outputs[0].id, "from-metadata");
    model.info.reset();
    EXPECT_EQ(plan_network(network, model)->outputs[0].id, "from-metadata");
}

TEST_F(NetworkPlanTest, UnknownTensorsGetASkeleton)
{
    model.info.reset();
    const Error e = refused();
    EXPECT_EQ(e.code, ErrorCode::ModelInfoMissing);
    EXPECT_THAT(e.remedy, HasSubstr(model.info_path));
    EXPECT_THAT(e.remedy, HasSubstr("[images]\ndir=input\ntype=float32\ndims=1,3,320,480\n"));
    EXPECT_THAT(e.remedy, HasSubstr("[out]\ndir=output\nid=yolo-v8-out\ntype=float32\ndims=1,84,2100\n"));
}

TEST_F(NetworkPlanTest, DescriptionOfTheInputAloneDoesNotNameTheOutputs)
{
    model.info->tensors.pop_back();
    EXPECT_EQ(refused().code, ErrorCode::ModelInfoMissing);
}

TEST_F(NetworkPlanTest, ImagesThatAreNot)
{
    model.info.reset();
    network.metadata["out"] = "id";
    const std::vector<std::vector<NetworkTensor>> cases{
        {},
        {tensor("a", DType::Float32, {1, 3, 8, 8}), tensor("b", DType::Float32, {1, 3, 8, 8})},
        {tensor("a", DType::Float32, {1, 4, 8, 8})},
        {tensor("a", DType::Float32, {1, 1, 8, 8})},
        {tensor("a", DType::Float32, {2, 3, 8, 8})},
        {tensor("a", DType::Int8, {1, 3, 8, 8})},
        {tensor("a", DType::BFloat16, {1, 3, 8, 8})},
        {tensor("a", DType::Float32, {3, 8, 8})},
        {tensor("a", DType::Float32, {1, 3, 8, 8, 1})},
        {tensor("a", DType::Float32, {1, 3, 100000, 8})},
        {tensor("a", DType::Float32, {1, 3, 16384, 16384})},
        {tensor("a", DType::Float32, {})},
        {{.name = "a", .type = std::nullopt, .kind = "a sequence"}},
        {{.name = "a", .type = DType::Float32, .kind = "float32", .shape = {1, 1, 1, 1, 1, 1, 1, 1}, .rank = 9}},
    };
    for (const auto &inputs : cases) {
        network.inputs = inputs;
        const Error e = refused();
        EXPECT_EQ(e.code, ErrorCode::ModelUnsupported) << e.details();
        EXPECT_THAT(e.cause, HasSubstr("m.onnx"));
        EXPECT_FALSE(e.remedy.empty());
    }
    network.inputs = {tensor("a", DType::UInt8, {-1, 8, 16, 3})};
    const auto plan = plan_network(network, model);
    ASSERT_TRUE(plan) << plan.error().details();
    EXPECT_EQ(plan->image.layout, TensorLayout::NHWC);
    EXPECT_EQ(plan->image.width, 16u);
    EXPECT_EQ(plan->inputs[0].shape, (TensorShape{1, 8, 16, 3}));

    network.inputs = {tensor("a", DType::Float16, {1, 3, 8, 16})};
    const auto half = plan_network(network, model);
    ASSERT_TRUE(half) << half.error().details();
    EXPECT_EQ(half->image.type, DType::Float16);
}

TEST_F(NetworkPlanTest, RawPlanesInEitherOrder)
{
    model.info = ModelInfo{.version = "1.0", .planes = "nv12"};
    network.metadata["out"] = "id";
    const NetworkTensor y = tensor("y", DType::UInt8, {1, 24, 32, 1});
    const NetworkTensor uv = tensor("uv", DType::UInt8, {1, 12, 16, 2});
    network.inputs = {uv, y};
    const auto plan = plan_network(network, model);
    ASSERT_TRUE(plan) << plan.error().details();
    EXPECT_EQ(plan->kind, InputKind::RawPlanes);
    EXPECT_EQ(plan->plane_input, (std::vector<size_t>{1, 0}));
    EXPECT_EQ(plan->planes.width, 32u);
    EXPECT_EQ(plan->planes.height, 24u);

    for (const auto &inputs :
         std::vector<std::vector<NetworkTensor>>{{y},
                                                 {y, y},
                                                 {uv, uv},
                                                 {y, tensor("uv", DType::Float32, {1, 12, 16, 2})},
                                                 {y, tensor("uv", DType::UInt8, {1, 12, 15, 2})},
                                                 {tensor("y", DType::UInt8, {1, 25, 32, 1}), uv},
                                                 {tensor("y", DType::UInt8, {1, -1, 32, 1}), uv}}) {
        network.inputs = inputs;
        EXPECT_EQ(refused().code, ErrorCode::ModelUnsupported);
    }
}

// Each of them may be taken alone.
TEST_F(NetworkPlanTest, OutputsAreWeighedTogetherBeforeTheFirstRun)
{
    model.info->tensors.pop_back();
    network.metadata["out0"] = "id";
    constexpr int64_t half = int64_t{1} << 27; // of the bytes that are taken, in float32
    network.outputs = {tensor("out0", DType::Float32, {1, half}), tensor("out1", DType::Float32, {1, half})};
    EXPECT_TRUE(plan_network(network, model));
    network.outputs.push_back(tensor("out2", DType::Float32, {1, -1})); // what a run shows
    auto plan = plan_network(network, model);
    ASSERT_TRUE(plan);
    const std::vector<TensorShape> shapes{{1, half}, {1, half}, {1, 1}};
    const Status settled = settle_outputs(*plan, shapes, model);
    ASSERT_FALSE(settled);
    EXPECT_EQ(settled.error().code, ErrorCode::ModelUnsupported);
    network.outputs.push_back(tensor("out3", DType::UInt8, {1}));
    const Error e = refused();
    EXPECT_EQ(e.code, ErrorCode::ModelUnsupported);
    EXPECT_THAT(e.cause, HasSubstr("outputs are larger than 1024 MiB"));
}

TEST_F(NetworkPlanTest, ManyTensorsAreOneShortError)
{
    network.outputs.clear();
    for (int i = 0; i < 100; ++i)
        network.outputs.push_back(tensor("out" + std::to_string(i), DType::Float32, {1, 1}));
    const Error sections = refused(); // [out] names none of them
    EXPECT_EQ(sections.code, ErrorCode::ModelInfoInvalid);
    EXPECT_THAT(sections.cause, HasSubstr("out7 (float32, 1x1) and 92 more"));
    EXPECT_LT(sections.cause.size(), 1000u);
    for (int i = 100; i < 1000; ++i)
        network.outputs.push_back(tensor("out" + std::to_string(i), DType::Float32, {1, 1}));
    const Error many = refused();
    EXPECT_EQ(many.code, ErrorCode::ModelUnsupported);
    EXPECT_THAT(many.cause, HasSubstr("it has 1000 outputs, at most 128 are taken"));
}

TEST_F(NetworkPlanTest, IdsOfTheMetadataAreFitForMessages)
{
    model.info.reset();
    network.metadata["out"] = "\x1b[2J" + std::string(10000, 'x');
    const auto plan = plan_network(network, model);
    ASSERT_TRUE(plan);
    EXPECT_TRUE(plan->outputs[0].id.starts_with("?[2Jxxx"));
    EXPECT_LT(plan->outputs[0].id.size(), 300u);
}

TEST_F(NetworkPlanTest, FirstRunSettlesOutputs)
{
    network.outputs[0].shape = TensorShape{-1, 84, -1};
    auto plan = plan_network(network, model);
    ASSERT_TRUE(plan) << plan.error().details();
    const TensorShape good{1, 84, 2100};
    ASSERT_TRUE(settle_outputs(*plan, std::span(&good, 1), model));
    EXPECT_EQ(plan->outputs[0].shape, good);

    const TensorShape other{1, 85, 2100};
    const Status contradicted = settle_outputs(*plan, std::span(&other, 1), model);
    ASSERT_FALSE(contradicted);
    EXPECT_EQ(contradicted.error().code, ErrorCode::ModelInfoInvalid);

    model.info->tensors[1].shape = {};
    const TensorShape empty{1, 84, 0};
    EXPECT_EQ(settle_outputs(*plan, std::span(&empty, 1), model).error().code, ErrorCode::ModelUnsupported);
    const TensorShape huge{1, 1 << 20, 1 << 20};
    EXPECT_EQ(settle_outputs(*plan, std::span(&huge, 1), model).error().code, ErrorCode::ModelUnsupported);
}
