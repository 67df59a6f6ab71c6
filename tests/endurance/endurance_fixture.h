// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "../elements/infer_fixture.h"
#include "framecount.h"
#include "holdings.h"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

namespace hltest {

// The ways that frames go.
struct Way {
    const char *name;
    const char *launch; // between a source and a sink
};
inline const Way ways[] = {
    {"host pages", "hlinfer name=infer in-flight=4 model=builtin:null"},
    {"HBM", "hlupload ! hlinfer name=infer in-flight=4 model=builtin:null ! hldownload"},
    {"HBM, compute=host", "hlupload ! hlinfer name=infer in-flight=4 compute=host compute-threads=1 "
                          "model=MODELS/image-u8-nchw.onnx ! hldownload"},
};

inline void PrintTo(const Way &way, std::ostream *out)
{
    *out << way.name;
}

// One of the ways, many times over: what the process holds is the same before and after, and printed.
class EnduranceTest : public InferTest, public testing::WithParamInterface<Way> {
protected:
    void SetUp() override
    {
        InferTest::SetUp();
        // Threads that GLib keeps for the next task look like a leak of one.
        g_thread_pool_set_max_unused_threads(0);
        device_ = device();
    }

    [[nodiscard]] std::string launch(const std::string &source, const std::string &sink = "fakesink name=sink") const
    {
        std::string way = GetParam().launch;
        if (const size_t at = way.find("MODELS"); at != std::string::npos)
            way.replace(at, 6, std::getenv("HL_TEST_MODELS"));
        return source + " ! " + way + " ! " + sink;
    }
    // Counts its frames. Of its bus only what ends a run is kept: a thousand cycles leave ten thousand messages.
    static void watch(const Line &line, FrameCount &frames)
    {
        frames.watch(line.element("source").get(), line.element("sink").get());
        const auto bus = GstPtr<GstBus>::adopt(gst_element_get_bus(line.get()));
        gst_bus_set_sync_handler(
            bus.get(),
            [](GstBus *, GstMessage *message, gpointer) {
                constexpr int ends = GST_MESSAGE_EOS | GST_MESSAGE_ERROR;
                if (GST_MESSAGE_TYPE(message) & ends)
                    return GST_BUS_PASS;
                gst_message_unref(message); // what a handler drops is its own
                return GST_BUS_DROP;
            },
            nullptr, nullptr);
    }

    // With the line at rest: everything that it started has ended.
    void before(FrameCount &frames)
    {
        ASSERT_TRUE(frames.wait_all_let_go());
        rest_ = Holdings::now(*device_);
        std::cout << Holdings::header(GetParam().name) << '\n' << rest_.row("before") << std::endl;
    }
    void after(FrameCount &frames, const std::string &what)
    {
        ASSERT_TRUE(frames.wait_all_let_go()) << frames.let_go() << " of " << frames.entered();
        wait_for_threads();
        const Holdings now = Holdings::now(*device_);
        std::cout << now.row("after") << "\n| SIM, " << what << ": " << frames.entered() << " frames entered, "
                  << frames.left() << " left, " << frames.entered() - frames.left() << " dropped, all let go"
                  << std::endl;
        EXPECT_EQ(now.grown_since(rest_), std::vector<std::string>{});
    }
    // While it runs.
    void while_running()
    {
        last_running_ = Holdings::now(*device_);
        if (!std::exchange(ran_, true)) {
            running_ = last_running_;
            std::cout << running_.row("running, early") << std::endl;
        }
        EXPECT_EQ(last_running_.grown_since(running_, true), std::vector<std::string>{})
            << last_running_.row("running");
    }
    void tell_running() const { std::cout << last_running_.row("running, late") << std::endl; }

    std::shared_ptr<hl::Device> device_;

private:
    // Threads of a pool end after they have been joined.
    void wait_for_threads() const
    {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (threads() > rest_.threads_alive() && std::chrono::steady_clock::now() < limit)
            std::this_thread::yield();
    }

    Holdings rest_, running_, last_running_;
    bool ran_ = false;
};

inline std::string name_of(const testing::TestParamInfo<Way> &way)
{
    std::string out;
    for (const char c : std::string_view(way.param.name))
        if (g_ascii_isalnum(c))
            out += c;
    return out;
}

} // namespace hltest
