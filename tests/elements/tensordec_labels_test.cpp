// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tensordec_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

using testing::AllOf;
using testing::HasSubstr;

namespace {

// A scratch file, removed at the end.
class TextFile {
public:
    explicit TextFile(std::string_view text)
    {
        path_ = std::filesystem::temp_directory_path() / "hl-tensordec-XXXXXX";
        std::string name = path_;
        const int fd = ::mkstemp(name.data());
        ::close(fd);
        path_ = name;
        std::ofstream(path_) << text;
    }
    ~TextFile() { std::filesystem::remove(path_); }
    TextFile(const TextFile &) = delete;
    TextFile &operator=(const TextFile &) = delete;
    [[nodiscard]] std::string path() const { return path_; }

private:
    std::filesystem::path path_;
};

} // namespace

TEST_F(TensorDec, LabelsComeFromTheFile)
{
    const TextFile both("cat\nred dog\n");
    play("labels=" + both.path());
    GstBuffer *in = frame();
    attach(in, two_objects);
    const auto found = detections(run(in).get());
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].label, "cat");
    EXPECT_EQ(found[1].label, "red dog");
}

TEST_F(TensorDec, LabelsTellTheTransposedTensorApart)
{
    const TextFile labels("cat\ndog\n");
    play("labels=" + labels.path());
    GstBuffer *in = frame();
    const auto rows = values_of(two_objects, 2, 64);
    std::vector<float> turned(rows.size());
    for (gsize c = 0; c < 6; ++c)
        for (gsize i = 0; i < 64; ++i)
            turned[i * 6 + c] = rows[c * 64 + i];
    attach_tensors(in, {tensor(turned, {1, 64, 6})});
    EXPECT_EQ(detections(run(in).get()).size(), 2u);
}

TEST_F(TensorDec, TooFewLabelsAreAnError)
{
    const TextFile labels("cat\n");
    play("labels=" + labels.path());
    GstBuffer *in = frame();
    attach(in, two_objects);
    EXPECT_EQ(gst_harness_push(harness_, in), GST_FLOW_FLUSHING);
    EXPECT_THAT(only_message(GST_MESSAGE_ERROR),
                AllOf(HasSubstr("HL-MOD-006"), HasSubstr("1 labels are too few for the 2 classes")));
}

TEST_F(TensorDec, TooManyLabelsAreAWarningOnce)
{
    const TextFile labels("cat\ndog\nmouse\n");
    play("labels=" + labels.path());
    for (int i = 0; i < 3; ++i) {
        GstBuffer *in = frame();
        attach(in, two_objects);
        EXPECT_EQ(detections(run(in).get()).size(), 2u);
    }
    EXPECT_THAT(only_message(GST_MESSAGE_WARNING), HasSubstr("3 labels for the 2 classes"));
}

TEST_F(TensorDec, AnUnreadableLabelFileFailsTheStart)
{
    dec_ = GstPtr<GstElement>::sink(
        gst_element_factory_make_full("hltensordec", "labels", "/nonexistent/labels.txt", nullptr));
    bus_ = GstPtr<GstBus>::adopt(gst_bus_new());
    gst_element_set_bus(dec_.get(), bus_.get());
    EXPECT_EQ(gst_element_set_state(dec_.get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    gst_element_set_state(dec_.get(), GST_STATE_NULL);
    gst_element_set_bus(dec_.get(), nullptr);
    EXPECT_THAT(only_message(GST_MESSAGE_ERROR), AllOf(HasSubstr("HL-MOD-006"), HasSubstr("/nonexistent/labels.txt")));
}

namespace {

struct LabelSource {
    std::vector<std::string> labels;
    int asked = 0;
};

gboolean answer_labels(GstPad *pad, GstObject *parent, GstQuery *query)
{
    auto *source = static_cast<LabelSource *>(pad->querydata);
    const GstStructure *asked = gst_query_get_structure(query);
    if (GST_QUERY_TYPE(query) != GST_QUERY_CUSTOM || !gst_structure_has_name(asked, "gst-hl-labels"))
        return gst_pad_query_default(pad, parent, query);
    ++source->asked;
    auto **list = g_new0(gchar *, source->labels.size() + 1);
    for (gsize i = 0; i < source->labels.size(); ++i)
        list[i] = g_strdup(source->labels[i].c_str());
    gst_structure_set(gst_query_writable_structure(query), "labels", G_TYPE_STRV, list, nullptr);
    g_strfreev(list);
    return TRUE;
}

} // namespace

TEST_F(TensorDec, AsksUpstreamForTheModelsLabelsOncePerCaps)
{
    LabelSource source{{"circle", "square"}};
    open();
    gst_pad_set_query_function_full(harness_->srcpad, answer_labels, &source, nullptr);
    gst_harness_set_src_caps_str(harness_, system_caps);
    for (int i = 0; i < 3; ++i) {
        GstBuffer *in = frame();
        attach(in, two_objects);
        EXPECT_EQ(detections(run(in).get())[0].label, "circle");
    }
    EXPECT_EQ(source.asked, 1);

    source.labels = {"disc", "box"};
    gst_harness_set_src_caps_str(harness_, "video/x-raw,format=NV12,width=320,height=240,framerate=30/1");
    GstBuffer *in = frame();
    attach(in, two_objects);
    EXPECT_EQ(detections(run(in).get())[0].label, "disc");
    EXPECT_EQ(source.asked, 2);
    expect_quiet();
}

TEST_F(TensorDec, TheLabelFileGoesBeforeTheModelsLabels)
{
    const TextFile labels("cat\ndog\n");
    LabelSource source{{"circle", "square"}};
    open("labels=" + labels.path());
    gst_pad_set_query_function_full(harness_->srcpad, answer_labels, &source, nullptr);
    gst_harness_set_src_caps_str(harness_, system_caps);
    GstBuffer *in = frame();
    attach(in, two_objects);
    EXPECT_EQ(detections(run(in).get())[0].label, "cat");
    EXPECT_EQ(source.asked, 0);
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
