// SPDX-License-Identifier: LGPL-2.1-or-later
// Each decoder of hltensordec, how it is chosen, and what reaches the metas.
#include "gsthltransformmeta.h"
#include "tensordec_fixture.h"

#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

std::vector<GstTensor *> v5_tensors(float score = 0.9f)
{
    std::vector<float> values(64 * 7, 0.f);
    std::ranges::copy(std::vector<float>{100, 100, 40, 20, 1.f, score, 0.f}, values.begin());
    return {tensor(values, {1, 64, 7}, "yolo-v5-out")};
}

const std::vector<std::string> ssd_ids{"ssd-mobilenet-v1-variant-1-out-boxes", "ssd-mobilenet-v1-variant-1-out-scores",
                                       "ssd-mobilenet-v1-variant-1-out-classes", "generic-variant-1-out-count"};
const std::vector<std::string> old_ssd_ids{"Gst.Model.ObjectDetector.Boxes", "Gst.Model.ObjectDetector.Scores",
                                           "Gst.Model.ObjectDetector.Classes",
                                           "Gst.Model.ObjectDetector.NumDetections"};

std::vector<GstTensor *> ssd_tensors(const std::vector<std::string> &ids = ssd_ids, float score = 0.8f)
{
    return {tensor({0.25f, 0.5f, 0.5f, 0.75f, 0, 0, 1, 1}, {1, 2, 4}, ids[0].c_str()),
            tensor({score, 0.9f}, {1, 2}, ids[1].c_str()), tensor({1, 2}, {1, 2}, ids[2].c_str()),
            tensor({1}, {1}, ids[3].c_str())};
}

std::vector<GstTensor *> class_tensors(const char *id = "classification-generic-softmaxed-out",
                                       std::vector<float> values = {0.1f, 0.6f, 0.3f})
{
    return {tensor(values, {1, values.size()}, id)};
}

// An object in the middle of 640x480, whose left half belongs to it; one more in the corner, all of it. Prototypes of
// 8x6 times `scale`.
std::vector<GstTensor *> seg_tensors(float coefficient = 1.f, gsize scale = 1)
{
    const std::vector<std::vector<float>> content{{320, 240, 320, 240, 0.9f, 0.f, coefficient},
                                                  {40, 30, 80, 60, 0.f, 0.8f, 1.f}};
    std::vector<float> values(7 * 64, 0.f);
    for (gsize i = 0; i < content.size(); ++i)
        for (gsize c = 0; c < 7; ++c)
            values[c * 64 + i] = content[i][c];
    const gsize columns = 8 * scale, rows = 6 * scale;
    std::vector<float> prototype(columns * rows);
    for (gsize i = 0; i < prototype.size(); ++i)
        prototype[i] = i % columns < columns / 2 ? 1.f : -1.f;
    return {tensor(values, {1, 7, 64}, "yolo-v8-segmentation-out-detections"),
            tensor(prototype, {1, 1, rows, columns}, "yolo-v8-segmentation-out-protos")};
}

std::vector<GstTensor *> v8_tensors(const char *id = "yolo-v8-out")
{
    return {tensor(values_of(two_objects, 2, 64), {1, 6, 64}, id)};
}

using Classes = std::vector<std::pair<std::string, float>>;

// The frame's GstAnalyticsClsMtd; fails where there is more than one.
Classes classes_of(GstBuffer *buffer)
{
    Classes out;
    auto *relations = gst_buffer_get_analytics_relation_meta(buffer);
    gpointer state = nullptr;
    GstAnalyticsMtd mtd;
    int metas = 0;
    while (relations &&
           gst_analytics_relation_meta_iterate(relations, &state, gst_analytics_cls_mtd_get_mtd_type(), &mtd)) {
        ++metas;
        for (gsize i = 0; i < gst_analytics_cls_mtd_get_length(&mtd); ++i)
            out.emplace_back(g_quark_to_string(gst_analytics_cls_mtd_get_quark(&mtd, i)),
                             gst_analytics_cls_mtd_get_level(&mtd, i));
    }
    EXPECT_LE(metas, 1);
    return out;
}

struct Mask {
    gint x = 0, y = 0;
    guint w = 0, h = 0;
    guint columns = 0, rows = 0;
    std::vector<guint8> cells;
    std::vector<guint> regions;
};

// The mask related to the i-th object, from it and back.
Mask mask_of(GstBuffer *buffer, guint i)
{
    Mask out;
    auto *relations = gst_buffer_get_analytics_relation_meta(buffer);
    gpointer state = nullptr;
    GstAnalyticsMtd object, mask, back;
    for (guint k = 0; k <= i; ++k)
        EXPECT_TRUE(
            gst_analytics_relation_meta_iterate(relations, &state, gst_analytics_od_mtd_get_mtd_type(), &object));
    EXPECT_TRUE(gst_analytics_relation_meta_get_direct_related(relations, object.id, GST_ANALYTICS_REL_TYPE_RELATE_TO,
                                                               gst_analytics_segmentation_mtd_get_mtd_type(), nullptr,
                                                               &mask));
    EXPECT_TRUE(gst_analytics_relation_meta_get_direct_related(relations, mask.id, GST_ANALYTICS_REL_TYPE_RELATE_TO,
                                                               gst_analytics_od_mtd_get_mtd_type(), nullptr, &back));
    EXPECT_EQ(back.id, object.id);
    const auto picture =
        GstPtr<GstBuffer>::adopt(gst_analytics_segmentation_mtd_get_mask(&mask, &out.x, &out.y, &out.w, &out.h));
    const GstVideoMeta *video = gst_buffer_get_video_meta(picture.get());
    EXPECT_EQ(video->format, GST_VIDEO_FORMAT_GRAY8);
    EXPECT_EQ(video->stride[0], static_cast<gint>(video->width));
    out.columns = video->width;
    out.rows = video->height;
    const GstBufferMap map(picture.get(), GST_MAP_READ);
    out.cells.assign(map.data(), map.data() + map.size());
    for (gsize k = 0; k < gst_analytics_segmentation_mtd_get_region_count(&mask); ++k)
        out.regions.push_back(gst_analytics_segmentation_mtd_get_region_id(&mask, k));
    return out;
}

} // namespace

class Decoders : public TensorDec {
protected:
    GstPtr<GstBuffer> decode(std::vector<GstTensor *> tensors)
    {
        GstBuffer *in = frame();
        attach_tensors(in, std::move(tensors));
        return run(in);
    }
    std::string refused(std::vector<GstTensor *> tensors)
    {
        GstBuffer *in = frame();
        attach_tensors(in, std::move(tensors));
        EXPECT_EQ(gst_harness_push(harness_, in), GST_FLOW_FLUSHING);
        return only_message(GST_MESSAGE_ERROR);
    }
    guint64 stat(const char *field)
    {
        GstStructure *stats = nullptr;
        g_object_get(dec_.get(), "stats", &stats, nullptr);
        guint64 value = G_MAXUINT64;
        EXPECT_TRUE(gst_structure_get_uint64(stats, field, &value)) << field;
        gst_structure_free(stats);
        return value;
    }
    std::string used()
    {
        GstStructure *stats = nullptr;
        g_object_get(dec_.get(), "stats", &stats, nullptr);
        const std::string name = gst_structure_get_string(stats, "decoder");
        gst_structure_free(stats);
        return name;
    }
};

TEST_F(Decoders, YoloV5)
{
    play();
    EXPECT_THAT(detections(decode(v5_tensors()).get()), ElementsAre(Found{"class-0", 80, 90, 40, 20, 0.9f}));
    EXPECT_EQ(used(), "yolov5");
}

TEST_F(Decoders, SsdByTheIdsOfEitherGStreamer)
{
    play();
    for (const auto &ids : {ssd_ids, old_ssd_ids})
        EXPECT_THAT(detections(decode(ssd_tensors(ids)).get()),
                    ElementsAre(Found{"class-1", 320, 120, 160, 120, 0.8f}));
    EXPECT_EQ(used(), "ssd");
}

TEST_F(Decoders, SsdGoesBackThroughTheTransform)
{
    play();
    GstBuffer *in = frame();
    attach_tensors(in, ssd_tensors());
    // 640x480 in a 320x320 letterbox.
    gst_hl_buffer_add_transform_meta(in, {0.5, 0.5, 0.0, 40.0}, 320, 320);
    EXPECT_THAT(detections(run(in).get()), ElementsAre(Found{"class-1", 320, 80, 160, 160, 0.8f}));
}

TEST_F(Decoders, ClassifierGivesOneClsMtd)
{
    play("top-k=2 score-threshold=0.2");
    EXPECT_EQ(classes_of(decode(class_tensors()).get()), (Classes{{"class-1", 0.6f}, {"class-2", 0.3f}}));
    EXPECT_EQ(used(), "classifier");
    EXPECT_EQ(stat("classifications"), 2u);
    const auto nothing = decode(class_tensors("classification-generic-softmaxed-out", {0.1f, 0.1f, 0.1f}));
    ASSERT_TRUE(gst_buffer_get_analytics_relation_meta(nothing.get())); // it was looked at
    EXPECT_THAT(classes_of(nothing.get()), IsEmpty());
}

TEST_F(Decoders, TheIdOrThePropertyDecidesAboutSoftmax)
{
    const auto best = [&](const char *id) {
        const auto found = classes_of(decode(class_tensors(id, {1.f, 1.f, 1.f})).get());
        return found.empty() ? -1.f : found[0].second;
    };
    play("score-threshold=0");
    EXPECT_FLOAT_EQ(best("classification-generic-out"), 1.f / 3.f);
    EXPECT_FLOAT_EQ(best("classification-generic-softmaxed-out"), 1.f);
    gst_util_set_object_arg(G_OBJECT(dec_.get()), "softmax", "off");
    EXPECT_FLOAT_EQ(best("classification-generic-out"), 1.f);
    gst_util_set_object_arg(G_OBJECT(dec_.get()), "softmax", "on");
    EXPECT_FLOAT_EQ(best("classification-generic-softmaxed-out"), 1.f / 3.f);
}

TEST_F(Decoders, SegmentationRelatesAMaskToEachObject)
{
    play();
    const auto out = decode(seg_tensors());
    EXPECT_THAT(detections(out.get()),
                ElementsAre(Found{"class-0", 160, 120, 320, 240, 0.9f}, Found{"class-1", 0, 0, 80, 60, 0.8f}));
    const auto first = mask_of(out.get(), 0);
    EXPECT_EQ(std::tie(first.x, first.y, first.w, first.h), std::make_tuple(160, 120, 320u, 240u));
    EXPECT_EQ(std::tie(first.columns, first.rows), std::make_tuple(4u, 3u));
    EXPECT_EQ(first.cells, (std::vector<guint8>{1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}));
    EXPECT_THAT(first.regions, ElementsAre(0u, 1u));
    const auto second = mask_of(out.get(), 1);
    EXPECT_EQ(second.cells, std::vector<guint8>{2});
    EXPECT_THAT(second.regions, ElementsAre(0u, 2u));
    EXPECT_EQ(stat("masks"), 2u);
    EXPECT_EQ(used(), "yolov8-seg");
}

// No runtime reorders memory, and GStreamer 1.28's decoders want the word "col-major" for this very order.
TEST_F(Decoders, TheWordColumnMajorChangesNothing)
{
    play();
    auto tensors = v8_tensors();
    tensors[0]->dims_order = GST_TENSOR_DIM_ORDER_COL_MAJOR;
    EXPECT_EQ(detections(decode(tensors).get()).size(), 2u);
    tensors = seg_tensors();
    for (GstTensor *t : tensors)
        t->dims_order = GST_TENSOR_DIM_ORDER_COL_MAJOR;
    EXPECT_EQ(detections(decode(tensors).get()).size(), 2u);
}

TEST_F(Decoders, TheDecoderCanBeChosenAmongSeveral)
{
    const auto both = [] {
        auto all = v8_tensors();
        for (GstTensor *t : class_tensors())
            all.push_back(t);
        return all;
    };
    play();
    EXPECT_THAT(classes_of(decode(both()).get()), IsEmpty());
    EXPECT_EQ(used(), "yolov8");
    gst_util_set_object_arg(G_OBJECT(dec_.get()), "decoder", "classifier");
    const auto out = decode(both());
    EXPECT_EQ(classes_of(out.get()).size(), 1u);
    EXPECT_THAT(detections(out.get()), IsEmpty());
}

// A second network's tensors come as a meta of their own, behind the first one's.
TEST_F(Decoders, TheNearestNetworkIsDecoded)
{
    play();
    GstBuffer *in = frame();
    attach_tensors(in, v8_tensors());
    attach_tensors(in, class_tensors());
    const auto out = run(in);
    EXPECT_EQ(classes_of(out.get()).size(), 1u);
    EXPECT_THAT(detections(out.get()), IsEmpty());
}

TEST_F(Decoders, IdsOfTheUsersOwn)
{
    play("decoder=ssd tensor-id=a,b,c,d");
    EXPECT_EQ(detections(decode(ssd_tensors({"a", "b", "c", "d"})).get()).size(), 1u);
    TearDown();
    play("decoder=ssd tensor-id=\" a, b,c ,d\""); // blanks as in classes
    EXPECT_EQ(detections(decode(ssd_tensors({"a", "b", "c", "d"})).get()).size(), 1u);
    TearDown();
    play("decoder=ssd tensor-id=a,b");
    EXPECT_THAT(refused(ssd_tensors()),
                AllOf(HasSubstr("HL-MOD-007"), HasSubstr("expected 4 tensor ids"), HasSubstr("got 2")));
    TearDown();
    play("tensor-id=a");
    EXPECT_THAT(refused(v8_tensors("a")), HasSubstr("the decoder is not"));
}

TEST_F(Decoders, AnIncompleteGroupIsRefusedByItsIds)
{
    play();
    auto tensors = ssd_tensors();
    gst_tensor_free(tensors.back());
    tensors.pop_back();
    EXPECT_THAT(refused(tensors), AllOf(HasSubstr("generic-variant-1-out-count (ssd)"),
                                        HasSubstr("got the ids: ssd-mobilenet-v1-variant-1-out-boxes,")));
}

TEST_F(Decoders, EveryDecoderSaysWhatItExpectedAndWhatCame)
{
    const std::vector<float> values(512);
    const std::vector<std::pair<std::vector<GstTensor *>, std::pair<const char *, const char *>>> cases{
        {{tensor(values, {1, 512}, "yolo-v5-out")}, {"1xNx(5+C) float32", "1x512"}},
        {{tensor(values, {4, 128}, "classification-generic-out")}, {"C or 1xC float32", "4x128"}},
        {{tensor(values, {1, 128, 4}, ssd_ids[0].c_str()), tensor(values, {1, 127}, ssd_ids[1].c_str()),
          tensor(values, {1, 128}, ssd_ids[2].c_str()), tensor(values, {1}, ssd_ids[3].c_str())},
         {"1x128 float32", "1x127"}},
        {{tensor(values, {1, 8, 64}, "yolo-v8-segmentation-out-detections"),
          tensor(values, {8, 8, 8}, "yolo-v8-segmentation-out-protos")},
         {"1xMxHxW float32", "8x8x8"}}};
    for (const auto &[tensors, texts] : cases) {
        play();
        EXPECT_THAT(refused(tensors), AllOf(HasSubstr("HL-MOD-007"), HasSubstr(texts.first), HasSubstr(texts.second)));
        TearDown();
    }
    harness_ = nullptr;
}

TEST_F(Decoders, ClassesByLabelOrIndex)
{
    play("classes=1");
    EXPECT_THAT(detections(decode(v8_tensors()).get()), ElementsAre(Found{"class-1", 270, 170, 60, 60, 0.75f}));
    EXPECT_THAT(detections(decode(v5_tensors()).get()), IsEmpty());
    EXPECT_EQ(detections(decode(ssd_tensors()).get()).size(), 1u);
    EXPECT_EQ(classes_of(decode(class_tensors()).get()).size(), 1u);
    const auto segmented = decode(seg_tensors());
    EXPECT_THAT(detections(segmented.get()), ElementsAre(Found{"class-1", 0, 0, 80, 60, 0.8f}));
    EXPECT_EQ(mask_of(segmented.get(), 0).regions.size(), 2u);
    g_object_set(dec_.get(), "classes", "0", nullptr); // while it plays
    EXPECT_THAT(detections(decode(v8_tensors()).get()), ElementsAre(Found{"class-0", 80, 90, 40, 20, 0.9f}));
    g_object_set(dec_.get(), "classes", nullptr, nullptr);
    EXPECT_EQ(detections(decode(v8_tensors()).get()).size(), 2u);
}

TEST_F(Decoders, AnUnknownClassIsOneError)
{
    play("classes=0,bicycle");
    GstBuffer *again = frame();
    attach_tensors(again, v8_tensors());
    EXPECT_EQ(gst_harness_push(harness_, again), GST_FLOW_FLUSHING);
    EXPECT_THAT(refused(v8_tensors()),
                AllOf(HasSubstr("HL-MOD-008"), HasSubstr("\"bicycle\" is no class"), HasSubstr("from 0 to 1")));
}

TEST_F(Decoders, WhatIsNotFiniteIsDroppedAndCounted)
{
    play("score-threshold=0.2");
    auto bad = values_of(two_objects, 2, 64);
    bad[0] = not_a_number; // the first box's centre
    EXPECT_EQ(detections(decode({tensor(bad, {1, 6, 64})}).get()).size(), 1u);
    EXPECT_EQ(stat("dropped-nonfinite"), 1u);
    EXPECT_THAT(detections(decode(v5_tensors(not_a_number)).get()), IsEmpty());
    EXPECT_EQ(stat("dropped-nonfinite"), 2u);
    EXPECT_THAT(detections(decode(ssd_tensors(ssd_ids, not_a_number)).get()), IsEmpty());
    EXPECT_EQ(stat("dropped-nonfinite"), 3u);
    const auto found =
        classes_of(decode(class_tensors("classification-generic-softmaxed-out", {not_a_number, 0.3f, 0.2f})).get());
    EXPECT_EQ(found, (Classes{{"class-1", 0.3f}}));
    EXPECT_EQ(stat("dropped-nonfinite"), 4u);
    EXPECT_EQ(detections(decode(seg_tensors(not_a_number)).get()).size(), 1u);
    EXPECT_EQ(stat("dropped-nonfinite"), 5u);
    expect_quiet();
}

TEST_F(Decoders, StatsCountARun)
{
    play("max-candidates=1");
    EXPECT_EQ(used(), "none");
    decode(v8_tensors());
    run(frame());
    EXPECT_EQ(stat("frames"), 2u);
    EXPECT_EQ(stat("decoded"), 1u);
    EXPECT_EQ(stat("detections"), 1u);
    EXPECT_EQ(stat("dropped-candidates"), 1u);
    gst_element_set_state(dec_.get(), GST_STATE_READY);
    EXPECT_EQ(stat("frames"), 2u); // still to be read
    gst_element_set_state(dec_.get(), GST_STATE_PLAYING);
    EXPECT_EQ(stat("frames"), 0u);
}

TEST_F(Decoders, PropertiesReadBack)
{
    dec_ = GstPtr<GstElement>::sink(
        gst_element_factory_make_full("hltensordec", "classes", "a,b", "max-candidates", 9u, "top-k", 3u, nullptr));
    gst_util_set_object_arg(G_OBJECT(dec_.get()), "decoder", "yolov8-seg");
    gst_util_set_object_arg(G_OBJECT(dec_.get()), "softmax", "off");
    gchar *classes = nullptr;
    guint candidates = 0, top_k = 0;
    gint decoder = 0, softmax = 0;
    g_object_get(dec_.get(), "classes", &classes, "max-candidates", &candidates, "top-k", &top_k, "decoder", &decoder,
                 "softmax", &softmax, nullptr);
    EXPECT_STREQ(classes, "a,b");
    EXPECT_EQ(candidates, 9u);
    EXPECT_EQ(top_k, 3u);
    EXPECT_EQ(decoder, 5);
    EXPECT_EQ(softmax, 2);
    g_free(classes);
}

// The masks belong to the frame: they outlive the decoder's next one, and a copy of the frame has them.
TEST_F(Decoders, MasksOutliveTheNextFrame)
{
    play();
    const auto first = decode(seg_tensors());
    const auto copy = GstPtr<GstBuffer>::adopt(gst_buffer_copy(first.get()));
    decode(seg_tensors(-1.f));
    EXPECT_EQ(mask_of(first.get(), 0).cells[0], 1);
    EXPECT_EQ(mask_of(copy.get(), 0).cells, mask_of(first.get(), 0).cells);
}

// How many of a frame's masks lie in memory that was marked by this before. All are then.
int marked_masks(GstBuffer *frame)
{
    static const GQuark quark = g_quark_from_static_string("seen-before");
    auto *relations = gst_buffer_get_analytics_relation_meta(frame);
    gpointer state = nullptr;
    GstAnalyticsMtd mtd;
    int marked = 0;
    while (
        gst_analytics_relation_meta_iterate(relations, &state, gst_analytics_segmentation_mtd_get_mtd_type(), &mtd)) {
        const auto picture =
            GstPtr<GstBuffer>::adopt(gst_analytics_segmentation_mtd_get_mask(&mtd, nullptr, nullptr, nullptr, nullptr));
        auto *memory = GST_MINI_OBJECT_CAST(gst_buffer_peek_memory(picture.get(), 0));
        marked += gst_mini_object_get_qdata(memory, quark) != nullptr;
        gst_mini_object_set_qdata(memory, quark, GINT_TO_POINTER(1), nullptr);
    }
    return marked;
}

// The mark tells a memory that is used again from a new one at the same address.
TEST_F(Decoders, MasksAreUsedAgainOnceTheyAreLetGo)
{
    play();
    auto first = decode(seg_tensors());
    EXPECT_EQ(marked_masks(first.get()), 0);
    auto second = decode(seg_tensors());
    EXPECT_EQ(marked_masks(second.get()), 0) << "the first frame has its own still";
    first.reset();
    second.reset();
    for (int i = 0; i < 5; ++i) {
        const auto frame = decode(seg_tensors());
        EXPECT_EQ(marked_masks(frame.get()), 2) << "memory is taken for frame " << i;
        EXPECT_EQ(mask_of(frame.get(), 0).cells, (std::vector<guint8>{1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}));
    }
}

TEST_F(Decoders, MasksMayGrowAndShrink)
{
    play();
    const auto small = decode(seg_tensors());
    {
        const auto large = mask_of(decode(seg_tensors(1.f, 16)).get(), 0);
        EXPECT_EQ(std::tie(large.columns, large.rows), std::make_tuple(64u, 48u));
        EXPECT_EQ(large.cells.size(), 64u * 48u);
        EXPECT_EQ(std::ranges::count(large.cells, 1), 32 * 48);
    }
    for (const auto &frame : {small, decode(seg_tensors())}) {
        const auto mask = mask_of(frame.get(), 0);
        EXPECT_EQ(std::tie(mask.columns, mask.rows), std::make_tuple(4u, 3u));
        EXPECT_EQ(mask.cells, (std::vector<guint8>{1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}));
    }
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
