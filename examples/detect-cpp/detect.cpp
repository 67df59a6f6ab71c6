// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Prints what hlinfer finds in a video, one line of JSON a frame, read from the samples of an appsink:
//
//   {"pts":33333333,"detections":[{"label":"star","score":0.9312,"box":{"x":12,"y":80,"w":64,"h":61}}]}
//
// pts is the frame's time in nanoseconds; boxes are in its pixels. Usage: detect [FILE [MODEL]]. Without FILE, a test
// picture is the video, until Ctrl-C; without MODEL, the model is builtin:demo.
//
// Outside of this tree:
//   libraries="gstreamer-app-1.0 gstreamer-analytics-1.0 nlohmann_json"
//   c++ -std=c++23 -O2 -o detect detect.cpp $(pkg-config --cflags --libs $libraries)

#include <glib-unix.h>
#include <gst/analytics/analytics.h>
#include <gst/app/app.h>
#include <gst/video/video.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <expected>
#include <memory>
#include <string>

namespace {

using Json = nlohmann::ordered_json;

constexpr const char *test_picture =
    "videotestsrc is-live=true ! video/x-raw,width=640,height=480,framerate=30/1 ! hlinfer name=infer ! "
    "hltensordec ! appsink name=sink";
constexpr const char *file_line =
    "uridecodebin3 name=file ! hlinfer name=infer ! hltensordec ! appsink name=sink sync=false";

struct ObjectUnref {
    void operator()(gpointer object) const noexcept { gst_object_unref(object); }
};
using ElementPtr = std::unique_ptr<GstElement, ObjectUnref>;

struct LoopUnref {
    void operator()(GMainLoop *loop) const noexcept { g_main_loop_unref(loop); }
};
using LoopPtr = std::unique_ptr<GMainLoop, LoopUnref>;

Json detections_of(GstBuffer *buffer)
{
    Json found = Json::array();
    GstAnalyticsRelationMeta *const meta = gst_buffer_get_analytics_relation_meta(buffer);
    GstAnalyticsODMtd object;
    gpointer state = nullptr;
    while (meta && gst_analytics_relation_meta_iterate(meta, &state, gst_analytics_od_mtd_get_mtd_type(), &object)) {
        gint x = 0, y = 0, w = 0, h = 0;
        gfloat score = 0;
        if (!gst_analytics_od_mtd_get_location(&object, &x, &y, &w, &h, &score))
            continue;
        const gchar *const label = g_quark_to_string(gst_analytics_od_mtd_get_obj_type(&object));
        found.push_back({{"label", label ? label : ""},
                         {"score", std::round(double{score} * 1e4) / 1e4},
                         {"box", {{"x", x}, {"y", y}, {"w", w}, {"h", h}}}});
    }
    return found;
}

// An error of gst-habana has its parts in the message's details; that of another element, text alone.
std::string told(GstMessage *message)
{
    g_autoptr(GError) error = nullptr;
    g_autofree gchar *debug = nullptr;
    const GstStructure *details = nullptr;
    gst_message_parse_error(message, &error, &debug);
    gst_message_parse_error_details(message, &details);
    std::string text = std::string(GST_MESSAGE_SRC_NAME(message)) + ": ";
    if (!details || !gst_structure_has_name(details, "hl-error"))
        return text + error->message + (debug ? std::string("\n  ") + debug : "");
    const auto part = [details](const char *name) {
        const gchar *const value = gst_structure_get_string(details, name);
        return std::string(value ? value : "");
    };
    return text + part("code") + ": " + part("operation") + "\n  cause: " + part("cause") +
           "\n  what to do: " + part("remedy");
}

// One run of the line, on the thread that made it; ends its pipeline when it goes.
class Detector {
public:
    // Errors: the line cannot be built.
    static std::expected<std::unique_ptr<Detector>, std::string> create(const char *file, const char *model);
    Detector(const Detector &) = delete;
    Detector &operator=(const Detector &) = delete;
    ~Detector() { gst_element_set_state(pipeline_.get(), GST_STATE_NULL); }

    // Until the end of the file, or Ctrl-C. Errors: what the pipeline said.
    std::expected<void, std::string> run();

private:
    explicit Detector(GstElement *pipeline) : pipeline_(pipeline), loop_(g_main_loop_new(nullptr, FALSE)) {}
    [[nodiscard]] ElementPtr element(const char *name) const
    {
        return ElementPtr(gst_bin_get_by_name(GST_BIN(pipeline_.get()), name));
    }
    static GstFlowReturn on_sample(GstAppSink *sink, gpointer);
    static gboolean on_allocation(GstAppSink *, GstQuery *query, gpointer);
    static gboolean on_message(GstBus *, GstMessage *message, gpointer self);
    static gboolean on_interrupt(gpointer self);

    ElementPtr pipeline_;
    LoopPtr loop_;
    std::string error_;
    bool ending_ = false;
};

std::expected<std::unique_ptr<Detector>, std::string> Detector::create(const char *file, const char *model)
{
    g_autoptr(GError) error = nullptr;
    GstElement *const pipeline =
        gst_parse_launch_full(file ? file_line : test_picture, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error);
    if (!pipeline)
        return std::unexpected(std::string(error->message) +
                               "\n  what to do: gst-inspect-1.0 habana shows whether the plugin is found");
    std::unique_ptr<Detector> detector(new Detector(GST_ELEMENT(gst_object_ref_sink(pipeline))));
    if (file) {
        g_autofree gchar *uri = gst_filename_to_uri(file, &error);
        if (!uri)
            return std::unexpected(std::string(error->message));
        g_object_set(detector->element("file").get(), "uri", uri, nullptr);
    }
    g_object_set(detector->element("infer").get(), "model", model, nullptr);
    GstAppSinkCallbacks callbacks{};
    callbacks.new_sample = on_sample;
    callbacks.propose_allocation = on_allocation;
    gst_app_sink_set_callbacks(GST_APP_SINK(detector->element("sink").get()), &callbacks, nullptr, nullptr);
    return detector;
}

std::expected<void, std::string> Detector::run()
{
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_.get());
    gst_bus_add_watch(bus, on_message, this);
    const guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, this);
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING); // a refusal comes by the bus, with its cause
    g_main_loop_run(loop_.get());
    g_source_remove(interrupt);
    gst_bus_remove_watch(bus);
    if (!error_.empty())
        return std::unexpected(error_);
    return {};
}

// On the streaming thread. The frame is never mapped: its metas say what was found.
GstFlowReturn Detector::on_sample(GstAppSink *sink, gpointer)
{
    g_autoptr(GstSample) sample = gst_app_sink_pull_sample(sink);
    if (!sample)
        return GST_FLOW_EOS;
    GstBuffer *const buffer = gst_sample_get_buffer(sample);
    Json line;
    line["pts"] = GST_BUFFER_PTS_IS_VALID(buffer) ? Json(GST_BUFFER_PTS(buffer)) : Json();
    line["detections"] = detections_of(buffer);
    std::puts(line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    std::fflush(stdout);
    return GST_FLOW_OK;
}

// Rows may be padded, since no pixel is read here: a decoder then writes straight into Gaudi's pages.
gboolean Detector::on_allocation(GstAppSink *, GstQuery *query, gpointer)
{
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
    return TRUE;
}

gboolean Detector::on_message(GstBus *, GstMessage *message, gpointer self)
{
    auto *const detector = static_cast<Detector *>(self);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        if (detector->error_.empty()) // the first error names the cause, later ones its effects
            detector->error_ = told(message);
        g_main_loop_quit(detector->loop_.get());
    }
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
        g_autoptr(GError) warning = nullptr;
        gst_message_parse_warning(message, &warning, nullptr);
        std::fprintf(stderr, "%s: %s\n", GST_MESSAGE_SRC_NAME(message), warning->message);
    }
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS)
        g_main_loop_quit(detector->loop_.get());
    return G_SOURCE_CONTINUE;
}

// EOS runs through the line, so that every frame under way is printed. A second Ctrl-C does not wait for it.
gboolean Detector::on_interrupt(gpointer self)
{
    auto *const detector = static_cast<Detector *>(self);
    if (detector->ending_)
        g_main_loop_quit(detector->loop_.get());
    else
        gst_element_send_event(detector->pipeline_.get(), gst_event_new_eos());
    detector->ending_ = true;
    return G_SOURCE_CONTINUE;
}

} // namespace

int main(int argc, char *argv[])
{
    gst_init(&argc, &argv);
    auto detector = Detector::create(argc > 1 ? argv[1] : nullptr, argc > 2 ? argv[2] : "builtin:demo");
    const auto done = detector ? (*detector)->run() : std::unexpected(detector.error());
    if (done)
        return 0;
    std::fprintf(stderr, "error: %s\n", done.error().c_str());
    return 1;
}
