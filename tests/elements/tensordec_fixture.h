// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlptr.h"

#include <gst/analytics/analytics.h>
#include <gst/check/gstharness.h>
#include <gst/gst.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

// What the tests of hltensordec share: tensors made by hand, and what was found in them.

inline constexpr const char *system_caps = "video/x-raw,format=NV12,width=640,height=480,framerate=30/1";
inline constexpr const char *dmabuf_caps =
    "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,width=640,height=480,framerate=30/1";
inline constexpr gsize frame_bytes = 640 * 480 * 3 / 2;

struct Box {
    float cx, cy, w, h;
    std::vector<float> scores;
};

struct Found {
    std::string label;
    gint x, y, w, h;
    float score;
    friend bool operator==(const Found &, const Found &) = default;
    friend void PrintTo(const Found &f, std::ostream *out)
    {
        *out << f.label << ' ' << f.x << ',' << f.y << ' ' << f.w << 'x' << f.h << ' ' << f.score;
    }
};

// 1 x (4+classes) x boxes, row-major.
inline std::vector<float> values_of(const std::vector<Box> &content, gsize classes, gsize boxes)
{
    std::vector<float> out((4 + classes) * boxes, 0.f);
    for (gsize i = 0; i < content.size(); ++i) {
        const auto &b = content[i];
        std::vector<float> column{b.cx, b.cy, b.w, b.h};
        column.insert(column.end(), b.scores.begin(), b.scores.end());
        for (gsize c = 0; c < column.size(); ++c)
            out[c * boxes + i] = column[c];
    }
    return out;
}

// Field by field, because gst_tensor_new_simple() refuses what does not fit together.
inline GstTensor *tensor(const std::vector<float> &values, std::vector<gsize> dims, const char *id = "yolo-v8-out",
                         GstTensorDataType type = GST_TENSOR_DATA_TYPE_FLOAT32)
{
    GstTensor *out = gst_tensor_alloc(dims.size());
    out->id = g_quark_from_string(id);
    out->layout = GST_TENSOR_LAYOUT_CONTIGUOUS;
    out->data_type = type;
    out->data = gst_buffer_new_memdup(values.data(), values.size() * sizeof(float));
    out->dims_order = GST_TENSOR_DIM_ORDER_ROW_MAJOR;
    std::ranges::copy(dims, out->dims);
    return out;
}

inline void attach_tensors(GstBuffer *buffer, std::vector<GstTensor *> tensors)
{
    auto **list = g_new(GstTensor *, tensors.size());
    std::ranges::copy(tensors, list);
    gst_tensor_meta_set(gst_buffer_add_tensor_meta(buffer), static_cast<guint>(tensors.size()), list);
}

inline void attach(GstBuffer *buffer, const std::vector<Box> &content, gsize classes = 2, gsize boxes = 64)
{
    attach_tensors(buffer, {tensor(values_of(content, classes, boxes), {1, 4 + classes, boxes})});
}

inline GstBuffer *frame()
{
    return gst_buffer_new_allocate(nullptr, frame_bytes, nullptr);
}

inline const std::vector<Box> two_objects{{100, 100, 40, 20, {0.9f, 0.f}}, {300, 200, 60, 60, {0.f, 0.75f}}};

inline std::vector<Found> detections(GstBuffer *buffer)
{
    std::vector<Found> out;
    auto *relations = gst_buffer_get_analytics_relation_meta(buffer);
    gpointer state = nullptr;
    GstAnalyticsMtd mtd;
    while (relations &&
           gst_analytics_relation_meta_iterate(relations, &state, gst_analytics_od_mtd_get_mtd_type(), &mtd)) {
        Found f{};
        gst_analytics_od_mtd_get_location(&mtd, &f.x, &f.y, &f.w, &f.h, &f.score);
        f.label = g_quark_to_string(gst_analytics_od_mtd_get_obj_type(&mtd));
        out.push_back(f);
    }
    return out;
}

class TensorDec : public testing::Test {
protected:
    void open(const std::string &settings = {})
    {
        harness_ = gst_harness_new_parse(("hltensordec name=dec " + settings).c_str());
        bus_ = GstPtr<GstBus>::adopt(gst_bus_new());
        gst_element_set_bus(harness_->element, bus_.get());
        dec_ = GstPtr<GstElement>::adopt(gst_harness_find_element(harness_, "hltensordec"));
    }
    void play(const std::string &settings = {}, const char *caps = system_caps)
    {
        open(settings);
        gst_harness_set_src_caps_str(harness_, caps);
    }
    void TearDown() override
    {
        if (!harness_)
            return;
        gst_element_set_bus(harness_->element, nullptr);
        dec_.reset();
        gst_harness_teardown(harness_);
    }

    // The one message of `type` posted so far: its text and its structure's code; fails where there is not exactly one.
    std::string only_message(GstMessageType type)
    {
        std::vector<std::string> texts;
        while (auto message = GstPtr<GstMessage>::adopt(gst_bus_pop_filtered(bus_.get(), type))) {
            GError *error = nullptr;
            gchar *debug = nullptr;
            const GstStructure *details = nullptr;
            if (type == GST_MESSAGE_ERROR) {
                gst_message_parse_error(message.get(), &error, &debug);
                gst_message_parse_error_details(message.get(), &details);
            } else {
                gst_message_parse_warning(message.get(), &error, &debug);
                gst_message_parse_warning_details(message.get(), &details);
            }
            const gchar *code = details ? gst_structure_get_string(details, "code") : nullptr;
            texts.push_back(std::string(code ? code : "(no code)") + "|" + error->message + "|" + debug);
            g_error_free(error);
            g_free(debug);
        }
        EXPECT_EQ(texts.size(), 1u);
        return texts.empty() ? "" : texts.front();
    }
    void expect_quiet()
    {
        const auto wanted = static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
        EXPECT_FALSE(GstPtr<GstMessage>::adopt(gst_bus_pop_filtered(bus_.get(), wanted)));
    }
    GstPtr<GstBuffer> run(GstBuffer *buffer)
    {
        EXPECT_EQ(gst_harness_push(harness_, buffer), GST_FLOW_OK);
        return GstPtr<GstBuffer>::adopt(gst_harness_try_pull(harness_));
    }

    GstHarness *harness_ = nullptr;
    GstPtr<GstElement> dec_;
    GstPtr<GstBus> bus_;
};
