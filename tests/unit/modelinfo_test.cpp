// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/modelinfo.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <string>

using namespace hl;
using hl::test::TemporaryDir;
using testing::HasSubstr;

namespace {

constexpr const char *good = R"([modelinfo]
version=1.0
group-id=detector

[images]
dir=input
type=float32
dims=1, 3, -1, 640
dims-order=row-major
ranges=-1.0,1.0

[out/put:0]
dir=output
id=yolo-v8-out
type=uint8
dims=1,84,8400
dims-order=col-major

[gst-habana]
labels=names.txt
scale-mode=letterbox
pad-value=7
colour=BGR
)";

// A good file with one line replaced.
std::string with(std::string_view line, std::string_view other)
{
    std::string text = good;
    const size_t at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    return text.replace(at, line.size(), other);
}

class ModelInfoTest : public testing::Test {
protected:
    Result<ModelInfo> load(std::string_view text) { return ModelInfo::load(dir.write("m.onnx.modelinfo", text)); }

    TemporaryDir dir;
};

} // namespace

TEST_F(ModelInfoTest, ReadsEveryKey)
{
    const auto info = load(good);
    ASSERT_TRUE(info) << info.error().details();
    EXPECT_EQ(info->version, "1.0");
    EXPECT_EQ(info->group_id, "detector");
    ASSERT_EQ(info->tensors.size(), 2u);
    const TensorInfo *in = info->find("images");
    ASSERT_TRUE(in);
    EXPECT_EQ(in->direction, TensorDirection::Input);
    EXPECT_EQ(in->type, DType::Float32);
    EXPECT_EQ(in->shape, (TensorShape{1, 3, -1, 640}));
    EXPECT_FALSE(in->column_major);
    ASSERT_EQ(in->ranges.size(), 1u);
    EXPECT_EQ(in->ranges[0], (std::pair{-1.0, 1.0}));
    const TensorInfo *out = info->find("out/put:0");
    ASSERT_TRUE(out);
    EXPECT_EQ(out->direction, TensorDirection::Output);
    EXPECT_EQ(out->id, "yolo-v8-out");
    EXPECT_EQ(out->type, DType::UInt8);
    EXPECT_TRUE(out->column_major);
    EXPECT_EQ(info->labels, dir / "names.txt");
    EXPECT_EQ(info->preprocess.scale, ScaleMode::Letterbox);
    EXPECT_EQ(info->preprocess.pad_value, 7);
    EXPECT_EQ(info->preprocess.order, ChannelOrder::BGR);
    EXPECT_EQ(info->engine, "");
    EXPECT_EQ(info->planes, "");
    EXPECT_EQ(info->find("gst-habana"), nullptr);
}

// Whence an input of a recipe gets its bytes.
TEST_F(ModelInfoTest, ReadsBindings)
{
    for (const char *bind : {"frame:y", "frame:uv", "frame:rgb"}) {
        const auto info = load(with("dims-order=row-major", std::string("bind=") + bind));
        ASSERT_TRUE(info) << info.error().details();
        EXPECT_EQ(info->find("images")->bind, bind);
        const auto again = load(info->skeleton());
        ASSERT_TRUE(again) << again.error().details();
        EXPECT_EQ(again->find("images")->bind, bind);
    }
    const auto file = load(with("dims-order=row-major", "bind=file:data/w.bin"));
    ASSERT_TRUE(file) << file.error().details();
    EXPECT_EQ(file->find("images")->bind, "file:data/w.bin");
    EXPECT_EQ(file->find("out/put:0")->bind, "");
    const auto output = load(with("dir=output", "dir=output\nbind=frame:y"));
    ASSERT_FALSE(output);
    EXPECT_THAT(output.error().cause, HasSubstr("bound to nothing"));
    for (const char *bind : {"frame:v", "frame", "file:", "y", "Frame:y"}) {
        const auto refused = load(with("dims-order=row-major", std::string("bind=") + bind));
        ASSERT_FALSE(refused) << bind;
        EXPECT_EQ(refused.error().code, ErrorCode::ModelInfoInvalid);
        EXPECT_THAT(refused.error().cause, HasSubstr("section [images], key bind"));
        EXPECT_THAT(refused.error().remedy, HasSubstr("frame:uv"));
    }
}

// value = (pixel - mean) * scale_by must give the range's ends for 0 and 255.
TEST_F(ModelInfoTest, RangesAreNormalisation)
{
    const auto info = load(with("ranges=-1.0,1.0", "ranges=0.0,1.0;-1.0,1.0;0.0,255.0"));
    ASSERT_TRUE(info) << info.error().details();
    const double ends[3][2] = {{0, 1}, {-1, 1}, {0, 255}};
    for (size_t c = 0; c < 3; ++c) {
        const PreprocessInfo &p = info->preprocess;
        EXPECT_NEAR((0.f - p.mean[c]) * p.scale_by[c], ends[c][0], 1e-5);
        EXPECT_NEAR((255.f - p.mean[c]) * p.scale_by[c], ends[c][1], 1e-4);
    }
}

TEST_F(ModelInfoTest, MeanAndScaleOverrideRanges)
{
    const auto info = load(std::string(good) + "mean=123.5,116,103\nscale=0.5\n");
    ASSERT_TRUE(info) << info.error().details();
    EXPECT_EQ(info->preprocess.mean, (std::array<float, 3>{123.5f, 116.f, 103.f}));
    EXPECT_EQ(info->preprocess.scale_by, (std::array<float, 3>{.5f, .5f, .5f}));
}

TEST_F(ModelInfoTest, WithoutRangesPixelsBecomeZeroToOne)
{
    const auto info = load(with("ranges=-1.0,1.0", ""));
    ASSERT_TRUE(info);
    EXPECT_EQ(info->preprocess.mean[0], 0.f);
    EXPECT_FLOAT_EQ(info->preprocess.scale_by[0], 1.f / 255.f);
}

TEST_F(ModelInfoTest, NewerMinorVersionIsTaken)
{
    EXPECT_TRUE(load(with("version=1.0", "version=1.7")));
}

TEST_F(ModelInfoTest, NullEngineNeedsNothingElse)
{
    const auto info = load("[modelinfo]\nversion=1.0\n[gst-habana]\nengine=null\n");
    ASSERT_TRUE(info) << info.error().details();
    EXPECT_EQ(info->engine, "null");
}

TEST_F(ModelInfoTest, SkeletonLoadsAndSaysTheSame)
{
    const auto info = load(good);
    ASSERT_TRUE(info);
    const auto again = load(info->skeleton());
    ASSERT_TRUE(again) << again.error().details();
    EXPECT_EQ(again->group_id, info->group_id);
    ASSERT_EQ(again->tensors.size(), info->tensors.size());
    for (size_t i = 0; i < info->tensors.size(); ++i) {
        const TensorInfo &a = info->tensors[i];
        const TensorInfo &b = again->tensors[i];
        EXPECT_EQ(a.name, b.name);
        EXPECT_EQ(a.direction, b.direction);
        EXPECT_EQ(a.id, b.id);
        EXPECT_EQ(a.type, b.type);
        EXPECT_EQ(a.shape, b.shape);
        EXPECT_EQ(a.column_major, b.column_major);
        EXPECT_EQ(a.ranges, b.ranges);
    }
}

TEST_F(ModelInfoTest, ErrorsNameFileSectionAndKey)
{
    const struct {
        std::string text;
        const char *section;
        const char *key;
    } cases[] = {
        {with("[modelinfo]\nversion=1.0\ngroup-id=detector\n", ""), "[modelinfo]", ""},
        {with("version=1.0", ""), "[modelinfo]", "key version"},
        {with("version=1.0", "version=one"), "[modelinfo]", "key version"},
        {with("version=1.0", "version=2.0"), "[modelinfo]", "key version"},
        {with("version=1.0", "version=1.0.0"), "[modelinfo]", "key version"},
        {with("dir=input", "dir=inward"), "[images]", "key dir"},
        {with("dir=input", ""), "[images]", "key dir"},
        {with("type=float32", ""), "[images]", "key type"},
        {with("type=float32", "type=float31"), "[images]", "key type"},
        {with("id=yolo-v8-out", "id=PLACEHOLDER_ID"), "[out/put:0]", "key id"},
        {with("dims=1, 3, -1, 640", "dims=1,3,x,640"), "[images]", "key dims"},
        {with("dims=1, 3, -1, 640", "dims=1,3,0,640"), "[images]", "key dims"},
        {with("dims=1, 3, -1, 640", "dims=1,3,-2,640"), "[images]", "key dims"},
        {with("dims=1, 3, -1, 640", "dims="), "[images]", "key dims"},
        {with("dims=1, 3, -1, 640", "dims=99999999999999999999"), "[images]", "key dims"},
        {with("dims=1, 3, -1, 640", "dims=1,1,1,1,1,1,1,1,1"), "[images]", "key dims"},
        {with("dims-order=row-major", "dims-order=sideways"), "[images]", "key dims-order"},
        {with("ranges=-1.0,1.0", "ranges=1.0"), "[images]", "key ranges"},
        {with("ranges=-1.0,1.0", "ranges=0,nan"), "[images]", "key ranges"},
        {with("ranges=-1.0,1.0", "ranges=0,inf"), "[images]", "key ranges"},
        {with("ranges=-1.0,1.0", "ranges=1.0,1.0"), "[images]", "key ranges"},
        {with("ranges=-1.0,1.0", "ranges=0,1;0,1"), "[images]", "key ranges"},
        {with("pad-value=7", "pad-value=256"), "[gst-habana]", "key pad-value"},
        {with("colour=BGR", "colour=GBR"), "[gst-habana]", "key colour"},
        {with("scale-mode=letterbox", "scale-mode=fit"), "[gst-habana]", "key scale-mode"},
        {with("colour=BGR", "planes=yuy2"), "[gst-habana]", "key planes"},
        {with("colour=BGR", "engine=magic"), "[gst-habana]", "key engine"},
        {with("colour=BGR", "mean=1,2"), "[gst-habana]", "key mean"},
        {with("colour=BGR", "scale=0"), "[gst-habana]", "key scale"},
    };
    for (const auto &c : cases) {
        const auto info = load(c.text);
        ASSERT_FALSE(info) << c.text;
        EXPECT_EQ(info.error().code, ErrorCode::ModelInfoInvalid);
        EXPECT_THAT(info.error().cause, HasSubstr(dir / "m.onnx.modelinfo"));
        EXPECT_THAT(info.error().cause, HasSubstr(c.section));
        EXPECT_THAT(info.error().cause, HasSubstr(c.key));
        EXPECT_FALSE(info.error().remedy.empty());
    }
}

TEST_F(ModelInfoTest, LongValuesAreCutInErrors)
{
    const auto info = load(with("type=float32", "type=" + std::string(10000, 'x')));
    ASSERT_FALSE(info);
    EXPECT_LT(info.error().cause.size(), 400u);
}

TEST_F(ModelInfoTest, WhatIsNoIniFileIsRefused)
{
    for (const std::string &text : {std::string("\x08\x07\x12\x0bpytorch\xff\xfe", 12), std::string("hello world\n"),
                                    std::string("[unclosed\nx=1\n"), std::string("a\0b", 3), std::string()}) {
        const auto info = load(text);
        ASSERT_FALSE(info) << text;
        EXPECT_EQ(info.error().code, ErrorCode::ModelInfoInvalid);
        EXPECT_THAT(info.error().cause, HasSubstr("m.onnx.modelinfo"));
    }
}

TEST_F(ModelInfoTest, HugeFilesAreRefusedWithoutReadingThem)
{
    std::string text = good;
    text += "#" + std::string(300 * 1024, 'x') + "\n";
    const auto info = load(text);
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().code, ErrorCode::ModelInfoInvalid);

    std::string many = "[modelinfo]\nversion=1.0\n";
    for (int i = 0; i < 2000; ++i)
        many += "[t" + std::to_string(i) + "]\ndir=input\ntype=uint8\n";
    const auto sections = load(many);
    ASSERT_FALSE(sections);
    EXPECT_THAT(sections.error().cause, HasSubstr("2001 sections"));

    std::string list(200 * 1024, ',');
    EXPECT_FALSE(load(with("dims=1, 3, -1, 640", "dims=1" + list)));
}

TEST_F(ModelInfoTest, WhatIsNoFileIsMissing)
{
    ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
    for (const std::string &path : {dir / "absent", dir.path().string(), dir / "pipe"}) {
        const auto info = ModelInfo::load(path);
        ASSERT_FALSE(info) << path;
        EXPECT_EQ(info.error().code, ErrorCode::ModelMissing);
        EXPECT_THAT(info.error().cause, HasSubstr(path));
    }
}
