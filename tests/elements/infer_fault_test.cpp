// SPDX-License-Identifier: LGPL-2.1-or-later
#include "../unit/temporarydir.h"
#include "backends/sim/simcontrol.h"
#include "infer_fixture.h"

#include <chrono>
#include <thread>

namespace {

const std::string caps = "video/x-raw,format=NV12,width=64,height=32,framerate=30/1";

// A line over our pool with a fault in its middle: exactly one error from everything on the bus.
BusError one_error(const std::string &faults, const std::string &properties = "", const std::string &between = "")
{
    const SimSetting setting("HL_SIM_FAULTS", faults);
    Line line("videotestsrc num-buffers=200 ! " + caps + " ! " + between +
              " hlinfer name=infer model=builtin:demo in-flight=4 " + properties + " ! fakesink");
    EXPECT_FALSE(line.run()) << faults << ": no error was seen";
    line.set(GST_STATE_READY);
    const auto errors = line.errors();
    EXPECT_EQ(errors.size(), 1u) << faults;
    for (size_t i = 1; i < errors.size(); ++i)
        ADD_FAILURE() << "and from " << errors[i].source << ": " << errors[i].text;
    return errors.empty() ? BusError{} : errors.front();
}

// The thread of the last jobs lets the device go; nothing else may hold it.
bool let_go(const std::weak_ptr<hl::Device> &device)
{
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!device.expired() && std::chrono::steady_clock::now() < limit)
        std::this_thread::yield();
    return device.expired();
}

} // namespace

TEST_F(InferTest, ARefusedSubmissionIsOneError)
{
    const BusError error = one_error("submit:5=EINVAL");
    EXPECT_EQ(error.source, "infer");
    EXPECT_EQ(error.code.substr(0, 6), "HL-INF") << error.text;
    EXPECT_FALSE(error.remedy.empty());
}

// File names are any bytes, and GStreamer warns of strings that are not UTF-8.
TEST_F(InferTest, ANameThatIsNoTextIsOneErrorAndIsShown)
{
    for (const auto &[property, value, shown] : {std::tuple{"model", "/nonexistent/m\xff.onnx", "m\xef\xbf\xbd.onnx"},
                                                 std::tuple{"device", "sim:\xff", "sim:?"}}) {
        Line line("videotestsrc ! " + caps + " ! hlinfer name=infer model=builtin:null ! fakesink");
        g_object_set(line.element("infer").get(), property, value, nullptr);
        EXPECT_FALSE(line.run());
        ASSERT_EQ(line.errors().size(), 1u) << property;
        EXPECT_TRUE(g_utf8_validate(line.errors()[0].text.c_str(), -1, nullptr));
        EXPECT_TRUE(line.errors()[0].text.contains(shown)) << line.errors()[0].text;
    }

    const hl::test::TemporaryDir folder;
    const std::string model = folder.write("m\xff.modelinfo", "[modelinfo]\nversion=1.0\n[gst-habana]\nengine=null\n");
    Line line("videotestsrc num-buffers=1 ! " + caps + " ! hlinfer name=infer ! fakesink");
    g_object_set(line.element("infer").get(), "model", model.c_str(), nullptr);
    EXPECT_TRUE(line.run());
    EXPECT_EQ(word(line.stats(), "model"), "m\xef\xbf\xbd.modelinfo");
}

// In the middle of the stream, in the pool that upstream took from us.
TEST_F(InferTest, AFailureInTheOfferedPoolIsOurOneError)
{
    for (const char *const fault : {"alloc:4=ENOMEM", "export:4=EMFILE"}) {
        SetUp();
        const BusError error = one_error(fault);
        EXPECT_EQ(error.source, "infer") << fault;
        EXPECT_EQ(error.code.substr(0, 6), "HL-MEM") << error.text;
        EXPECT_FALSE(error.remedy.empty());
    }
}

// Frames in system memory need staging pages: those cannot be had.
TEST_F(InferTest, AFailedAllocationIsOneError)
{
    const BusError error =
        one_error("alloc:2=ENOMEM,alloc:3=ENOMEM,alloc:4=ENOMEM,alloc:5=ENOMEM", "", "identity drop-allocation=true !");
    EXPECT_EQ(error.code.substr(0, 6), "HL-MEM") << error.text;
}

TEST_F(InferTest, AStalledRequestTimesOut)
{
    const auto start = std::chrono::steady_clock::now();
    const BusError error = one_error("submit:5=stall", "timeout=100000000");
    EXPECT_EQ(error.code, "HL-INF-003") << error.text;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(InferTest, ALostDeviceIsOneErrorAndPlaysAgain)
{
    const SimSetting setting("HL_SIM_FAULTS", "lost@submit:5");
    Line line("videotestsrc num-buffers=20 ! " + caps +
              " ! hlinfer name=infer model=builtin:demo in-flight=4 ! fakesink");
    EXPECT_FALSE(line.run());
    line.set(GST_STATE_READY);
    ASSERT_EQ(line.errors().size(), 1u);
    EXPECT_EQ(line.errors()[0].code, "HL-DEV-004") << line.errors()[0].text;
    EXPECT_NE(line.errors()[0].remedy.find("READY"), std::string::npos) << line.errors()[0].remedy;

    EXPECT_TRUE(line.run()) << "PLAYING again in the same process";
    EXPECT_EQ(line.errors().size(), 1u);
    EXPECT_EQ(field(line.stats(), "frames"), 20u);
}

TEST_F(InferTest, LosingTheDeviceBetweenFramesIsOneError)
{
    Line line("appsrc name=in format=time caps=" + caps +
              " ! hlinfer name=infer model=builtin:demo in-flight=2 ! fakesink async=false");
    line.set(GST_STATE_PLAYING);
    const auto in = line.element("in");
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), system_frame(0, 64, 32));
    hl::sim::lose(*device());
    for (guint i = 1; i < 4; ++i)
        gst_app_src_push_buffer(GST_APP_SRC(in.get()), system_frame(i, 64, 32));
    EXPECT_FALSE(line.wait());
    line.set(GST_STATE_READY);
    EXPECT_EQ(line.errors().size(), 1u);
}

TEST_F(InferTest, ALossGivesEveryFrameAndTheDeviceBack)
{
    Latch freed;
    std::weak_ptr<hl::Device> alive;
    {
        const SimSetting setting("HL_SIM_FAULTS", "lost@submit:5");
        Line line("appsrc name=in format=time caps=" + caps +
                  " ! hlinfer name=infer model=builtin:demo in-flight=4 ! fakesink async=false");
        line.set(GST_STATE_PLAYING);
        alive = device();
        const auto in = line.element("in");
        for (guint i = 0; i < 8; ++i) {
            GstBuffer *const buffer = system_frame(i, 64, 32);
            gst_mini_object_weak_ref(GST_MINI_OBJECT_CAST(buffer), Latch::notify, &freed);
            gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer);
        }
        EXPECT_FALSE(line.wait());
    }
    EXPECT_TRUE(freed.wait(8));
    EXPECT_TRUE(let_go(alive));
}

TEST_F(InferTest, ALossGivesTheOfferedPoolBack)
{
    std::weak_ptr<hl::Device> alive;
    {
        const SimSetting setting("HL_SIM_FAULTS", "lost@submit:5");
        Line line("videotestsrc ! " + caps + " ! hlinfer name=infer model=builtin:demo in-flight=4 ! fakesink");
        line.set(GST_STATE_READY);
        alive = device();
        EXPECT_FALSE(line.run());
    }
    EXPECT_TRUE(let_go(alive));
}

TEST_F(InferTest, ManyFaultsAreOneError)
{
    const BusError error = one_error("submit:5=EINVAL,submit:6=EINVAL,submit:7=EINVAL,lost@submit:9");
    EXPECT_EQ(error.source, "infer");
}
