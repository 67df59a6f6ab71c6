// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "elementtesting.h"
#include "gsthlerror.h"

#include <unistd.h>

#include <format>

using namespace hltest;

namespace {

// This process's own: a name is taken machine-wide, and the test runs on two chips side by side.
std::string named_sim()
{
    return std::format("sim:context-test-{}", getpid());
}

std::string device_name(GstElement *element)
{
    GstStructure *stats = nullptr;
    g_object_get(element, "stats", &stats, nullptr);
    const GstStructurePtr owned(stats);
    return gst_structure_get_string(stats, "device");
}

TEST(DeviceContextTest, OnePipelineOpensOnceAndWarnsOnce)
{
    Messages messages;
    Pipeline pipeline("videotestsrc num-buffers=2 ! hlupload device=sim ! hldownload device=sim ! hlupload device=sim "
                      "! fakesink");
    EXPECT_TRUE(pipeline.run(messages));
    EXPECT_EQ(messages.of(GST_MESSAGE_HAVE_CONTEXT).size(), 1u);
    const auto warnings = messages.of(GST_MESSAGE_WARNING);
    ASSERT_EQ(warnings.size(), 1u);
    GError *error = nullptr;
    gst_message_parse_warning(warnings[0], &error, nullptr);
    EXPECT_NE(std::strstr(error->message, "running on the simulator (SIM)"), nullptr) << error->message;
    g_error_free(error);
}

// Elements meet a loss again and again, and those of two devices by turns.
TEST(DeviceContextTest, ALossIsToldOnceOfEachDevice)
{
    const hl::Error error{.code = hl::ErrorCode::CopyFailed, .operation = "copy"};
    const auto first = hl::Device::open(named_sim()), second = hl::Device::open(named_sim() + "-b");
    ASSERT_TRUE(first && second);
    Pipeline pipeline("identity name=i ! fakesink");
    const auto element = pipeline.element("i");
    Messages messages;
    for (const auto &device : {*first, *second})
        hl::sim::lose(*device);
    for (int round = 0; round < 2; ++round)
        for (const auto &device : {*first, *second})
            gst_hl_post_device_error(element.get(), *device, error);
    drain(pipeline.bus(), messages);
    EXPECT_EQ(messages.error_codes(), (std::vector<std::string>{"HL-DEV-004", "HL-DEV-004"}));
}

TEST(DeviceContextTest, DeviceIsClosedAtNull)
{
    Pipeline pipeline("videotestsrc ! hlupload name=u device=sim ! fakesink");
    pipeline.state(GST_STATE_READY);
    EXPECT_EQ(device_name(pipeline.element("u").get()), "sim");
    std::weak_ptr<hl::Device> watch = open_sim();
    EXPECT_FALSE(watch.expired()) << "the element holds it";
    pipeline.state(GST_STATE_NULL);
    EXPECT_EQ(device_name(pipeline.element("u").get()), "");
}

TEST(DeviceContextTest, ApplicationsDeviceIsTaken)
{
    const auto device = hl::Device::open(named_sim());
    ASSERT_TRUE(device.has_value());
    Messages messages;
    Pipeline pipeline("videotestsrc num-buffers=2 ! hlupload name=u device=auto ! hldownload name=d device=auto ! "
                      "fakesink");
    gst_element_set_context(pipeline.get(), context_with(*device).get());
    EXPECT_TRUE(pipeline.run(messages));
    EXPECT_EQ(device_name(pipeline.element("u").get()), named_sim());
    EXPECT_EQ(device_name(pipeline.element("d").get()), named_sim());
    EXPECT_TRUE(messages.of(GST_MESSAGE_HAVE_CONTEXT).empty());
}

TEST(DeviceContextTest, ApplicationMayAnswerNeedContext)
{
    const auto device = hl::Device::open(named_sim());
    ASSERT_TRUE(device.has_value());
    Pipeline pipeline(std::format("videotestsrc num-buffers=2 ! hlupload name=u device={} ! fakesink", named_sim()));
    auto context = context_with(*device);
    gst_bus_set_sync_handler(
        pipeline.bus(),
        [](GstBus *, GstMessage *message, gpointer data) {
            if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_NEED_CONTEXT)
                gst_element_set_context(GST_ELEMENT(GST_MESSAGE_SRC(message)), static_cast<GstContext *>(data));
            return GST_BUS_PASS;
        },
        context.get(), nullptr);
    Messages messages;
    EXPECT_TRUE(pipeline.run(messages));
    EXPECT_EQ(device_name(pipeline.element("u").get()), named_sim());
    EXPECT_TRUE(messages.of(GST_MESSAGE_HAVE_CONTEXT).empty());
    gst_bus_set_sync_handler(pipeline.bus(), nullptr, nullptr, nullptr);
}

TEST(DeviceContextTest, AnotherDevicesContextIsNotTaken)
{
    const auto device = hl::Device::open(named_sim());
    ASSERT_TRUE(device.has_value());
    Messages messages;
    Pipeline pipeline("videotestsrc num-buffers=2 ! hlupload name=u device=sim ! fakesink");
    gst_element_set_context(pipeline.get(), context_with(*device).get());
    EXPECT_TRUE(pipeline.run(messages));
    EXPECT_EQ(device_name(pipeline.element("u").get()), "sim");
}

TEST(DeviceContextTest, ContextQueriesAreAnswered)
{
    Harness h("hlupload device=sim");
    const auto query = GstPtr<GstQuery>::adopt(gst_query_new_context(GST_HL_DEVICE_CONTEXT_TYPE));
    ASSERT_TRUE(gst_pad_peer_query(h.get()->srcpad, query.get()));
    GstContext *context = nullptr;
    gst_query_parse_context(query.get(), &context);
    ASSERT_NE(context, nullptr);
    GstHlDevice *device = nullptr;
    ASSERT_TRUE(gst_structure_get(gst_context_get_structure(context), "device", GST_TYPE_HL_DEVICE, &device, nullptr));
    EXPECT_EQ(gst_hl_device_get(device), open_sim());
    gst_object_unref(device);
    const auto other = GstPtr<GstQuery>::adopt(gst_query_new_context("gst.other"));
    EXPECT_FALSE(gst_pad_peer_query(h.get()->srcpad, other.get()));
}

TEST(DeviceContextTest, BadDeviceIsOneErrorAndNoStart)
{
    Messages messages;
    Pipeline pipeline("videotestsrc num-buffers=2 ! hlupload device=no-such-thing ! fakesink");
    EXPECT_EQ(gst_element_set_state(pipeline.get(), GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    drain(pipeline.bus(), messages);
    EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-DEV-005"});
}

} // namespace
