// SPDX-License-Identifier: LGPL-2.1-or-later
// Before GStreamer 1.28 caps say nothing of tensors, and nobody would understand them.
#include "infer_fixture.h"

using TensorCapsBefore = InferTest;

TEST_F(TensorCapsBefore, WhatComesOutIsWhatWentIn)
{
    auto h = infer_harness("model=builtin:demo");
    ASSERT_EQ(gst_harness_push(h.get(), system_frame(0)), GST_FLOW_OK);
    gst_buffer_unref(gst_harness_pull(h.get()));
    const auto sent = GstPtr<GstCaps>::adopt(gst_pad_get_current_caps(h->srcpad));
    const auto received = GstPtr<GstCaps>::adopt(gst_pad_get_current_caps(h->sinkpad));
    EXPECT_TRUE(gst_caps_is_strictly_equal(sent.get(), received.get()))
        << GCharPtr(gst_caps_to_string(received.get())).get();
}
