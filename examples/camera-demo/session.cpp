// SPDX-License-Identifier: LGPL-2.1-or-later
#include "session.h"

#include <glib-unix.h>

#include <csignal>
#include <cstdio>
#include <format>

namespace {

constexpr guint silence_seconds = 20; // a software-emulated machine may take half of it for its first frame
constexpr const char *enough = "enough-frames";

struct ObjectUnref {
    void operator()(gpointer object) const noexcept { gst_object_unref(object); }
};

std::unique_ptr<GstElement, ObjectUnref> element_of(GstElement *pipeline, const char *name)
{
    return std::unique_ptr<GstElement, ObjectUnref>(gst_bin_get_by_name(GST_BIN(pipeline), name));
}

bool is_copies(GstMessage *message)
{
    return GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT &&
           gst_structure_has_name(gst_message_get_structure(message), "hl-copies");
}

// What an element has to say about how frames move.
void print_note(GstMessage *message)
{
    g_autoptr(GError) note = nullptr;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING)
        gst_message_parse_warning(message, &note, nullptr);
    else
        gst_message_parse_info(message, &note, nullptr);
    std::fputs(std::format("  {}: {}\n", GST_MESSAGE_SRC_NAME(message), note->message).c_str(), stderr);
}

} // namespace

std::expected<std::unique_ptr<Session>, std::string> Session::create(const Attempt &attempt, uint64_t frames)
{
    g_autoptr(GError) error = nullptr;
    GstElement *const pipeline =
        gst_parse_launch_full(attempt.line.c_str(), nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error);
    if (!pipeline)
        return std::unexpected(std::format("{}\n  in: {}", error->message, attempt.line));
    std::unique_ptr<Session> session(new Session(frames));
    session->pipeline_ = GST_ELEMENT(gst_object_ref_sink(pipeline));
    session->loop_ = g_main_loop_new(nullptr, FALSE);
    g_autoptr(GstPad) pad = gst_element_get_static_pad(element_of(pipeline, "decode").get(), "src");
    (void)gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_frame, session.get(), nullptr);
    return session;
}

Session::~Session()
{
    (void)gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_object_unref(pipeline_);
    g_main_loop_unref(loop_);
}

std::expected<Outcome, std::string> Session::run()
{
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_);
    (void)gst_bus_add_watch(bus, on_message, this);
    const guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, this);
    // A refusal is on the bus, with its reason. The model is loaded when this returns; the silence counts from here.
    (void)gst_element_set_state(pipeline_, GST_STATE_PLAYING);
    const guint silence = g_timeout_add_seconds(silence_seconds, on_silence, this);
    g_main_loop_run(loop_);

    (void)g_source_remove(silence);
    (void)g_source_remove(interrupt);
    (void)gst_bus_remove_watch(bus);
    take_copies();
    Outcome outcome{.stats = stats(), .copies = std::move(copies_)};
    (void)gst_element_set_state(pipeline_, GST_STATE_NULL);
    terminal_.finish();
    if (!error_.empty())
        return std::unexpected(std::move(error_));
    return outcome;
}

GstPadProbeReturn Session::on_frame(GstPad *, GstPadProbeInfo *info, gpointer self)
{
    auto *const session = static_cast<Session *>(self);
    session->terminal_.show(GST_PAD_PROBE_INFO_BUFFER(info));
    // The main loop ends the pipeline: a streaming thread cannot wait for itself.
    if (++session->arrived_ == session->wanted_)
        (void)gst_element_post_message(
            session->pipeline_,
            gst_message_new_application(GST_OBJECT(session->pipeline_), gst_structure_new_empty(enough)));
    return GST_PAD_PROBE_OK;
}

gboolean Session::on_message(GstBus *, GstMessage *message, gpointer self)
{
    static_cast<Session *>(self)->handle(message);
    return G_SOURCE_CONTINUE;
}

gboolean Session::on_interrupt(gpointer self)
{
    static_cast<Session *>(self)->end();
    return G_SOURCE_CONTINUE;
}

gboolean Session::on_silence(gpointer self)
{
    auto *const session = static_cast<Session *>(self);
    const uint64_t arrived = session->arrived_.load();
    if (arrived == session->seen_) {
        session->error_ = std::format("no frame came for {} s", silence_seconds);
        g_main_loop_quit(session->loop_);
    }
    session->seen_ = arrived;
    return G_SOURCE_CONTINUE;
}

void Session::handle(GstMessage *message)
{
    switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
        g_main_loop_quit(loop_);
        break;
    case GST_MESSAGE_ERROR: {
        g_autoptr(GError) error = nullptr;
        g_autofree gchar *debug = nullptr;
        gst_message_parse_error(message, &error, &debug);
        // The first error names the cause; what follows are its effects on other elements.
        if (error_.empty())
            error_ = std::format("{}: {}{}{}", GST_MESSAGE_SRC_NAME(message), error->message, debug ? "\n  " : "",
                                 debug ? debug : "");
        g_main_loop_quit(loop_);
        break;
    }
    case GST_MESSAGE_WARNING:
    case GST_MESSAGE_INFO:
        print_note(message);
        break;
    case GST_MESSAGE_APPLICATION:
        end();
        break;
    default:
        if (is_copies(message))
            copies_.reset(gst_structure_copy(gst_message_get_structure(message)));
        break;
    }
}

// EOS runs through the whole line, so that every frame is counted. A second Ctrl-C does not wait for it.
void Session::end()
{
    if (ending_)
        g_main_loop_quit(loop_);
    else
        (void)gst_element_send_event(pipeline_, gst_event_new_eos());
    ending_ = true;
}

// The tracer speaks at EOS, just before or behind it.
void Session::take_copies()
{
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_);
    while (GstMessage *const next = gst_bus_pop_filtered(bus, GST_MESSAGE_ELEMENT)) {
        g_autoptr(GstMessage) message = next;
        if (is_copies(message))
            handle(message);
    }
}

StructurePtr Session::stats() const
{
    GstStructure *stats = nullptr;
    g_object_get(element_of(pipeline_, "infer").get(), "stats", &stats, nullptr);
    return StructurePtr(stats);
}
