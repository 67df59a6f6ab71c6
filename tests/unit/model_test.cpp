// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/model.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace hl;
using hl::test::ScopedEnv;
using hl::test::TemporaryDir;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

constexpr const char *plain = "[modelinfo]\nversion=1.0\n";
constexpr const char *null_text = "[modelinfo]\nversion=1.0\n[gst-habana]\nengine=null\n";

class ModelTest : public testing::Test {
protected:
    ModelTest() { std::filesystem::create_directory(dir / "models"); }

    Result<Model> with_labels(std::string_view labels)
    {
        dir.write("names.txt", labels);
        dir.write("m.onnx", "x");
        dir.write("m.onnx.modelinfo", std::string(plain) + "[gst-habana]\nlabels=names.txt\n");
        return Model::load(dir / "m.onnx");
    }

    TemporaryDir dir;
    ScopedEnv data_dir{"HL_DATA_DIR", dir.path().string()};
};

} // namespace

TEST_F(ModelTest, PathWithoutDescription)
{
    dir.write("m.onnx", "x");
    const auto model = Model::load(dir / "m.onnx");
    ASSERT_TRUE(model) << model.error().details();
    EXPECT_EQ(model->name, "m.onnx");
    EXPECT_EQ(model->path, dir / "m.onnx");
    EXPECT_EQ(model->info_path, dir / "m.onnx.modelinfo") << "the file to write";
    EXPECT_FALSE(model->info);
    EXPECT_TRUE(model->labels.empty());
}

TEST_F(ModelTest, DescriptionBesideTheModel)
{
    dir.write("m.onnx", "x");
    dir.write("m.modelinfo", plain);
    EXPECT_EQ(Model::load(dir / "m.onnx")->info_path, dir / "m.modelinfo");
    dir.write("m.onnx.modelinfo", plain);
    const auto model = Model::load(dir / "m.onnx");
    EXPECT_EQ(model->info_path, dir / "m.onnx.modelinfo") << "the full name comes first, as in GStreamer 1.28";
    EXPECT_TRUE(model->info);
}

TEST_F(ModelTest, NamedDescription)
{
    dir.write("m.onnx", "x");
    dir.write("other.ini", plain);
    const auto model = Model::load(dir / "m.onnx", dir / "other.ini");
    ASSERT_TRUE(model);
    EXPECT_TRUE(model->info);
    const auto absent = Model::load(dir / "m.onnx", dir / "absent.ini");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, ErrorCode::ModelMissing);
    EXPECT_THAT(absent.error().cause, HasSubstr("absent.ini"));
}

TEST_F(ModelTest, BrokenDescriptionIsAnErrorNotIgnored)
{
    dir.write("m.onnx", "x");
    dir.write("m.onnx.modelinfo", "nonsense");
    const auto model = Model::load(dir / "m.onnx");
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, ErrorCode::ModelInfoInvalid);
}

TEST_F(ModelTest, BuiltinComesFromTheDataDirectory)
{
    dir.write("models/thing.onnx", "x");
    const auto model = Model::load("builtin:thing");
    ASSERT_TRUE(model) << model.error().details();
    EXPECT_EQ(model->name, "builtin:thing");
    EXPECT_EQ(model->path, dir / "models/thing.onnx");
}

TEST_F(ModelTest, BuiltinNullHasNoNetwork)
{
    dir.write("models/null.modelinfo", null_text);
    const auto model = Model::load("builtin:null");
    ASSERT_TRUE(model) << model.error().details();
    EXPECT_EQ(model->path, "");
    EXPECT_EQ(model->info->engine, "null");
}

TEST_F(ModelTest, UnknownBuiltinNamesThePlaceAndWhatThereIs)
{
    dir.write("models/demo.onnx", "x");
    dir.write("models/demo.onnx.modelinfo", plain);
    dir.write("models/null.modelinfo", null_text);
    for (const char *reference : {"builtin:demmo", "builtin:", "builtin:../models/demo", "builtin:..", "builtin:a/b"}) {
        const auto model = Model::load(reference);
        ASSERT_FALSE(model) << reference;
        EXPECT_EQ(model.error().code, ErrorCode::ModelMissing);
        EXPECT_THAT(model.error().cause, HasSubstr(dir / "models"));
        EXPECT_EQ(model.error().remedy, "use one of: demo, null");
    }
}

TEST_F(ModelTest, WhatIsNoFileIsMissing)
{
    for (const std::string &path : {dir / "absent.onnx", dir.path().string(), std::string(), std::string("/dev/null"),
                                    dir / "absent.onnx" + "/below"}) {
        const auto model = Model::load(path);
        ASSERT_FALSE(model) << path;
        EXPECT_EQ(model.error().code, ErrorCode::ModelMissing);
        EXPECT_THAT(model.error().cause, HasSubstr(path));
        EXPECT_FALSE(model.error().remedy.empty());
    }
}

TEST_F(ModelTest, DescriptionAloneIsNoModelUnlessItNeedsNone)
{
    dir.write("a.modelinfo", plain);
    const auto model = Model::load(dir / "a.modelinfo");
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, ErrorCode::ModelMissing);
    EXPECT_THAT(model.error().remedy, HasSubstr(".onnx"));
}

TEST_F(ModelTest, LabelsAreTrimmedLines)
{
    const auto model = with_labels("\xef\xbb\xbf one\t\r\ntwo words \r\n\r\nd\xc3\xa9j\xc3\xa0\n\n \n");
    ASSERT_TRUE(model) << model.error().details();
    EXPECT_THAT(model->labels, ElementsAre("one", "two words", "", "d\xc3\xa9j\xc3\xa0"));
}

TEST_F(ModelTest, LabelsWithoutFinalNewline)
{
    EXPECT_THAT(with_labels("a\nb")->labels, ElementsAre("a", "b"));
}

TEST_F(ModelTest, UnusableLabelFiles)
{
    for (const std::string &text : {std::string(), std::string("\n \n"), std::string("a\0b\n", 4),
                                    std::string("\xff\xfe\x61"), std::string("caf\xe9\n"), std::string("cut\xc3"),
                                    std::string(5 * 1024 * 1024, 'x'), std::string(100000, '\n') + "x"}) {
        const auto model = with_labels(text);
        ASSERT_FALSE(model) << text.substr(0, 20);
        EXPECT_EQ(model.error().code, ErrorCode::LabelsInvalid);
        EXPECT_THAT(model.error().cause, HasSubstr(dir / "names.txt"));
    }
    std::filesystem::remove(dir / "names.txt");
    const auto absent = Model::load(dir / "m.onnx");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, ErrorCode::LabelsInvalid);
}
