// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"
#include "gsthlptr.h"
#include "processcounts.h"

#include <gst/app/app.h>
#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <format>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// The plugin's objects are linked into these tests, so that device and elements share one hl-bridge.
extern "C" void gst_plugin_habana_register(void);

// One bus error, taken apart.
struct BusError {
    std::string source;
    std::string text;
    std::string code; // "HL-DEV-004"; empty for errors that are not ours
    std::string remedy;
};

// Settings of the simulator for one test; read when the device opens.
class SimSetting {
public:
    SimSetting(const char *name, const std::string &value) : name_(name) { g_setenv(name, value.c_str(), TRUE); }
    SimSetting(const SimSetting &) = delete;
    SimSetting &operator=(const SimSetting &) = delete;
    ~SimSetting() { g_unsetenv(name_); }

private:
    const char *name_;
};

// A pipeline from a launch line; its hlinfer, if it has one, is called "infer".
class Line {
public:
    explicit Line(const std::string &description)
    {
        GError *error = nullptr;
        pipeline_ = GstPtr<GstElement>::sink(gst_parse_launch(description.c_str(), &error));
        const GErrorPtr owned(error);
        if (!pipeline_ || error) {
            ADD_FAILURE() << description << ": " << (error ? error->message : "no pipeline");
            return;
        }
        bus_ = GstPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
    }
    Line(const Line &) = delete;
    Line &operator=(const Line &) = delete;
    ~Line() { set(GST_STATE_NULL); }

    GstElement *get() const { return pipeline_.get(); }
    GstPtr<GstElement> element(const char *name) const
    {
        return GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline_.get()), name));
    }
    GstStateChangeReturn set(GstState state) { return gst_element_set_state(pipeline_.get(), state); }
    GstStateChangeReturn settle() const
    {
        return gst_element_get_state(pipeline_.get(), nullptr, nullptr, 20 * GST_SECOND);
    }

    // Waits for EOS or an error. TRUE for EOS.
    bool run(GstState state = GST_STATE_PLAYING)
    {
        set(state);
        return wait();
    }
    bool wait()
    {
        while (const auto message = GstPtr<GstMessage>::adopt(gst_bus_timed_pop(bus_.get(), 30 * GST_SECOND))) {
            keep(message.get());
            if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_EOS)
                return true;
            if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ERROR)
                return false;
        }
        ADD_FAILURE() << "neither EOS nor an error within 30 s";
        return false;
    }
    // All errors so far.
    const std::vector<BusError> &errors()
    {
        drain();
        return errors_;
    }
    // Warnings with that code so far.
    size_t warnings(const std::string &code)
    {
        drain();
        return static_cast<size_t>(std::ranges::count(warnings_, code));
    }
    // All element messages of that name so far.
    std::vector<GstStructurePtr> element_messages(const char *name)
    {
        drain();
        std::vector<GstStructurePtr> out;
        for (const auto &structure : structures_)
            if (gst_structure_has_name(structure.get(), name))
                out.emplace_back(gst_structure_copy(structure.get()));
        return out;
    }
    GstStructurePtr stats(const char *name = "infer") const
    {
        GstStructure *stats = nullptr;
        g_object_get(element(name).get(), "stats", &stats, nullptr);
        return GstStructurePtr(stats);
    }

private:
    void drain()
    {
        while (const auto message = GstPtr<GstMessage>::adopt(gst_bus_pop(bus_.get())))
            keep(message.get());
    }
    void keep(GstMessage *message)
    {
        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT)
            structures_.emplace_back(gst_structure_copy(gst_message_get_structure(message)));
        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
            const GstStructure *details = nullptr;
            gst_message_parse_warning_details(message, &details);
            if (details && gst_structure_has_name(details, "hl-error"))
                warnings_.emplace_back(gst_structure_get_string(details, "code"));
        }
        if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ERROR)
            return;
        GError *error = nullptr;
        gst_message_parse_error(message, &error, nullptr);
        const GErrorPtr owned(error);
        BusError out{
            .source = GST_OBJECT_NAME(GST_MESSAGE_SRC(message)), .text = error->message, .code = {}, .remedy = {}};
        const GstStructure *details = nullptr;
        gst_message_parse_error_details(message, &details);
        if (details && gst_structure_has_name(details, "hl-error")) {
            out.code = gst_structure_get_string(details, "code");
            if (const char *const remedy = gst_structure_get_string(details, "remedy"))
                out.remedy = remedy;
        }
        errors_.push_back(std::move(out));
    }

    GstPtr<GstElement> pipeline_;
    GstPtr<GstBus> bus_;
    std::vector<BusError> errors_;
    std::vector<std::string> warnings_; // codes
    std::vector<GstStructurePtr> structures_;
};

inline guint64 field(const GstStructurePtr &structure, const char *name)
{
    guint64 value = 0;
    EXPECT_TRUE(gst_structure_get_uint64(structure.get(), name, &value)) << name;
    return value;
}
inline guint number(const GstStructurePtr &structure, const char *name)
{
    guint value = 0;
    EXPECT_TRUE(gst_structure_get_uint(structure.get(), name, &value)) << name;
    return value;
}
inline std::string word(const GstStructurePtr &structure, const char *name)
{
    const char *const value = gst_structure_get_string(structure.get(), name);
    return value ? value : "(none)";
}

inline GstCaps *video_caps(const char *format, int width, int height, int fps = 30)
{
    return gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, format, "width", G_TYPE_INT, width, "height",
                               G_TYPE_INT, height, "framerate", GST_TYPE_FRACTION, fps, 1, nullptr);
}

struct HarnessDeleter {
    void operator()(GstHarness *h) const { gst_harness_teardown(h); }
};
using HarnessPtr = std::unique_ptr<GstHarness, HarnessDeleter>;

// hlinfer alone, with the model null unless told otherwise, PLAYING, sending NV12.
inline HarnessPtr infer_harness(const std::string &properties = "model=builtin:null", int width = 64, int height = 32)
{
    HarnessPtr h(gst_harness_new_parse(("hlinfer name=infer " + properties).c_str()));
    gst_harness_set_src_caps(h.get(), video_caps("NV12", width, height));
    gst_harness_play(h.get());
    return h;
}
// A frame in system memory with its number as timestamp; transfer full.
inline GstBuffer *system_frame(guint index, int width = 64, int height = 32, const char *format = "NV12")
{
    GstVideoInfo info;
    gst_video_info_set_format(&info, gst_video_format_from_string(format), static_cast<guint>(width),
                              static_cast<guint>(height));
    GstBuffer *const buffer = gst_buffer_new_allocate(nullptr, info.size, nullptr);
    gst_buffer_memset(buffer, 0, static_cast<guint8>(index), info.size);
    GST_BUFFER_PTS(buffer) = index * GST_SECOND / 30;
    GST_BUFFER_DURATION(buffer) = GST_SECOND / 30;
    return buffer;
}

// Counts GStreamer objects that are let go, from any thread.
class Latch {
public:
    void up()
    {
        const std::lock_guard lock(mutex_);
        ++count_;
        changed_.notify_all();
    }
    [[nodiscard]] bool wait(unsigned wanted, std::chrono::seconds limit = std::chrono::seconds(20))
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, [&] { return count_ >= wanted; });
    }
    [[nodiscard]] unsigned count() const
    {
        const std::lock_guard lock(mutex_);
        return count_;
    }
    static void notify(gpointer self, GstMiniObject *) { static_cast<Latch *>(self)->up(); }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    unsigned count_ = 0;
};

// Each test has a simulated device of its own: the last requests of the test before may still hold the other one.
class InferTest : public testing::Test {
protected:
    void SetUp() override
    {
        static unsigned count = 0;
        g_setenv("HL_DEVICE", std::format("sim:infer-{}-{}", getpid(), count++).c_str(), TRUE);
    }
    static std::shared_ptr<hl::Device> device()
    {
        auto opened = hl::Device::open("");
        EXPECT_TRUE(opened) << opened.error().headline();
        return opened ? *opened : nullptr;
    }

    static void SetUpTestSuite()
    {
        static const bool once = [] {
            gst_init(nullptr, nullptr);
            // Warnings of GStreamer itself (data before stream-start, ...) are failures too.
            g_log_set_always_fatal(
                static_cast<GLogLevelFlags>(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING));
            gst_plugin_habana_register();
            return true;
        }();
        (void)once;
    }
};
