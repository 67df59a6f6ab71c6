// SPDX-License-Identifier: LGPL-2.1-or-later
// The tensors in hlinfer's caps. That they are the words of GStreamer's own elements is shown by
// tests/pipelines/stock_decoders_test.py.
#include "infer_fixture.h"

namespace {

constexpr const char *demo_tensors =
    "tensors=(structure)[tensorgroups, yolo-v8-out=(/uniquelist){(GstCaps)[tensor/strided, "
    "tensor-id=(string)yolo-v8-out, dims=<1,9,2100>, dims-order=(string)col-major, type=(string)float32]}]";
constexpr const char *other_tensors =
    "tensors=(structure)[tensorgroups, other-out=(/uniquelist){(GstCaps)[tensor/strided, tensor-id=(string)other-out, "
    "dims=<1,4>, dims-order=(string)row-major, type=(string)float32]}]";

GstPtr<GstCaps> caps(const std::string &text)
{
    auto out = GstPtr<GstCaps>::adopt(gst_caps_from_string(text.c_str()));
    EXPECT_TRUE(out) << text;
    return out;
}

std::string text(const GstPtr<GstCaps> &caps)
{
    return caps ? GCharPtr(gst_caps_to_string(caps.get())).get() : "none";
}

std::string video(const std::string &more = {})
{
    return "video/x-raw, format=NV12, width=64, height=32, framerate=30/1" + (more.empty() ? "" : ", " + more);
}

// The caps that reach the element behind hlinfer.
GstPtr<GstCaps> received(const HarnessPtr &h)
{
    EXPECT_EQ(gst_harness_push(h.get(), system_frame(0)), GST_FLOW_OK);
    gst_buffer_unref(gst_harness_pull(h.get()));
    return GstPtr<GstCaps>::adopt(gst_pad_get_current_caps(h->sinkpad));
}

GstPtr<GstCaps> offered_upstream(const HarnessPtr &h, const GstPtr<GstCaps> &filter = {})
{
    return GstPtr<GstCaps>::adopt(gst_pad_peer_query_caps(h->srcpad, filter.get()));
}

} // namespace

using TensorCaps = InferTest;

TEST_F(TensorCaps, TellWhatTheModelAttaches)
{
    const auto h = infer_harness("model=builtin:demo");
    const auto got = received(h);
    EXPECT_TRUE(gst_caps_is_strictly_equal(got.get(), caps(video(demo_tensors)).get())) << text(got);
}

TEST_F(TensorCaps, AreLeftOutWhereAModelHasNoTensors)
{
    const auto h = infer_harness("model=builtin:null");
    const auto got = received(h);
    EXPECT_TRUE(gst_caps_is_strictly_equal(got.get(), caps(video()).get())) << text(got);
}

// As of a second hlinfer behind the first.
TEST_F(TensorCaps, StandBesideThoseOfAnotherModelUpstream)
{
    auto h = infer_harness("model=builtin:demo");
    gst_harness_set_src_caps(h.get(), caps(video(other_tensors)).release());
    const auto got = received(h);
    ASSERT_TRUE(got);
    const std::string shown = text(got);
    EXPECT_NE(shown.find("yolo-v8-out=(/uniquelist)"), std::string::npos) << shown;
    EXPECT_NE(shown.find("other-out=(/uniquelist)"), std::string::npos) << shown;
}

// Of two models that share a group the nearest is decoded, so its tensors are told.
TEST_F(TensorCaps, TakeThePlaceOfTheSameGroupUpstream)
{
    const std::string upstream =
        video("tensors=(structure)[tensorgroups, yolo-v8-out=(/uniquelist){(GstCaps)[tensor/strided, "
              "tensor-id=(string)yolo-v8-out, dims=<1,85,2100>, dims-order=(string)row-major, type=(string)float32]}, "
              "other-out=(/uniquelist){(GstCaps)[tensor/strided, tensor-id=(string)other-out, dims=<1,4>, "
              "dims-order=(string)row-major, type=(string)float32]}]");
    auto h = infer_harness("model=builtin:demo");
    EXPECT_TRUE(gst_pad_peer_query_accept_caps(h->srcpad, caps(upstream).get()));
    gst_harness_set_src_caps(h.get(), caps(upstream).release());
    const auto got = received(h);
    ASSERT_TRUE(got);
    const std::string shown = text(got);
    EXPECT_TRUE(gst_caps_can_intersect(got.get(), caps(video(demo_tensors)).get())) << shown;
    EXPECT_NE(shown.find("other-out=(/uniquelist)"), std::string::npos) << shown;
    EXPECT_EQ(shown.find("85"), std::string::npos) << shown;
    const auto answer = GstPtr<GstCaps>::adopt(gst_pad_peer_query_caps(h->sinkpad, nullptr));
    EXPECT_FALSE(gst_caps_is_empty(answer.get()));
}

TEST_F(TensorCaps, AreNotAskedOfUpstream)
{
    const auto h = infer_harness("model=builtin:demo");
    gst_harness_set_sink_caps(h.get(), caps(std::string("video/x-raw, format=NV12, ") + demo_tensors).release());
    for (const auto &filter : {GstPtr<GstCaps>(), caps("video/x-raw, format={NV12, RGB}")}) {
        const auto offered = offered_upstream(h, filter);
        // Behind what is taken, to who asks for nothing in particular: what is refused with words.
        ASSERT_EQ(gst_caps_get_size(offered.get()), filter ? 1u : 2u) << text(offered);
        EXPECT_FALSE(gst_structure_has_field(gst_caps_get_structure(offered.get(), 0), "tensors")) << text(offered);
        EXPECT_STREQ(gst_structure_get_string(gst_caps_get_structure(offered.get(), 0), "format"), "NV12");
    }
    EXPECT_TRUE(gst_pad_peer_query_accept_caps(h->srcpad, caps(video()).get()));
    EXPECT_FALSE(gst_pad_peer_query_accept_caps(
        h->srcpad, caps("video/x-raw, format=RGB, width=64, height=32, framerate=30/1").get()));
    EXPECT_FALSE(gst_pad_peer_query_accept_caps(h->srcpad, caps("audio/x-raw").get()));
}

TEST_F(TensorCaps, OfAnotherShapeThanDownstreamDecodesAreRefused)
{
    const auto h = infer_harness("model=builtin:demo");
    gst_harness_set_sink_caps(
        h.get(),
        caps("video/x-raw, tensors=(structure)[tensorgroups, yolo-v8-out=(/uniquelist){(GstCaps)[tensor/strided, "
             "tensor-id=(string)yolo-v8-out, dims=<1,85,2100>, dims-order=(string)col-major, "
             "type=(string)float32]}]")
            .release());
    const auto offered = offered_upstream(h, caps(video()));
    EXPECT_TRUE(gst_caps_is_empty(offered.get())) << text(offered);
}

// What a decoder behind hlinfer asks before data flows.
TEST_F(TensorCaps, AreInTheAnswerToDownstream)
{
    const auto h = infer_harness("model=builtin:demo");
    const auto answer = GstPtr<GstCaps>::adopt(gst_pad_peer_query_caps(h->sinkpad, nullptr));
    ASSERT_GT(gst_caps_get_size(answer.get()), 0u);
    for (guint i = 0; i < gst_caps_get_size(answer.get()); ++i)
        EXPECT_TRUE(gst_structure_has_field(gst_caps_get_structure(answer.get(), i), "tensors")) << text(answer);
    EXPECT_TRUE(gst_pad_peer_query_accept_caps(h->sinkpad, caps(video(demo_tensors)).get()));
}
