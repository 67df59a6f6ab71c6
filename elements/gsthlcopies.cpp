// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:tracer-hlcopies
 * @title: hlcopies
 *
 * Tells, hop by hop, how a pipeline's frames moved: which elements passed them on in the same memory, which made new
 * ones, and the five counters (CPU copies, uploads, downloads, P2P, read-backs), each with bytes. Memories are told
 * apart by their dma-buf's inode, or else as objects; our elements count their own transfers; CPU maps of device frames
 * are charged to the element whose chain function runs; a foreign element's CPU copies show in its GST_PERFORMANCE log
 * lines, or in frames that leave in new memory with the format they came in. What happens inside a decoder, an encoder
 * or a kernel driver is not seen.
 *
 * The report comes when the pipeline leaves PAUSED, as text on stderr or as the parameters say. At EOS, and at stop
 * where there was none, the pipeline's bus gets the same as an element message with the structure "hl-copies".
 *
 * |[
 * GST_TRACERS=hlcopies gst-launch-1.0 videotestsrc num-buffers=30 ! hlupload ! hldownload ! fakesink
 * GST_TRACERS="hlcopies(file=hops.json,format=json)" gst-launch-1.0 videotestsrc num-buffers=30 ! hlupload ! fakesink
 * ]|
 */
#include "gsthlcopies.h"

#include "core/textfile.h"
#include "gsthlallocator.h"
#include "gsthlcopiesledger.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <set>
#include <string>

GST_DEBUG_CATEGORY_STATIC(gst_hl_copies_debug);
#define GST_CAT_DEFAULT gst_hl_copies_debug

namespace {

enum Property : guint { prop_file = 1, prop_format };

enum class Format { Text, Json };

} // namespace

struct GstHlCopiesPrivate {
    // Set at construction.
    std::string file;
    Format format = Format::Text;

    HlCopiesLedger ledger;

    std::mutex output_mutex; // guards the output and what follows
    bool file_begun = false;
    std::set<gpointer> told;                          // pipelines whose bus got its message in this run
    GstDebugLevel performance_level = GST_LEVEL_NONE; // as the user set it
    bool logger_replaced = false;
};

struct _GstHlCopies {
    GstTracer parent;
    GstHlCopiesPrivate *priv;
};

G_DEFINE_FINAL_TYPE(GstHlCopies, gst_hl_copies, GST_TYPE_TRACER)

namespace {

// The one tracer whose ledger the process-wide observers (map observer, log function) write to.
std::atomic<GstHlCopiesPrivate *> observing{nullptr};

GType format_type()
{
    static const GEnumValue values[] = {{static_cast<gint>(Format::Text), "A table for people", "text"},
                                        {static_cast<gint>(Format::Json), "One JSON object", "json"},
                                        {0, nullptr, nullptr}};
    static const GType type = g_enum_register_static("GstHlCopiesFormat", values);
    return type;
}

HlCopiesLedger &ledger_of(GObject *tracer) noexcept
{
    return GST_HL_COPIES(tracer)->priv->ledger;
}

// --- output

// A text file collects the reports of all pipelines, a JSON file holds the last one.
void write_report(GstHlCopiesPrivate *priv, const HlCopiesReport &report)
{
    const std::string text = priv->format == Format::Json ? report.json() : report.text();
    const std::lock_guard lock(priv->output_mutex);
    if (priv->file.empty()) {
        std::fputs(text.c_str(), stderr);
        return;
    }
    const bool append = priv->format == Format::Text && priv->file_begun;
    const hl::Status written = append ? hl::append_text_file(priv->file, text) : hl::write_text_file(priv->file, text);
    // The user waited for it: it is not lost with the file.
    if (!written)
        g_printerr("hlcopies: %s; %s\n%s", written.error().headline().c_str(), written.error().remedy.c_str(),
                   text.c_str());
    priv->file_begun = true;
}

void tell_bus(GstElement *pipeline, const HlCopiesReport &report)
{
    gst_element_post_message(pipeline,
                             gst_message_new_element(GST_OBJECT_CAST(pipeline), report.structure().release()));
}

bool is_top_pipeline(GstElement *element)
{
    return GST_IS_PIPELINE(element) && !GST_OBJECT_PARENT(element);
}

// --- hooks; the signatures are those of gsttracerutils.h

void on_pad_push_pre(GObject *self, GstClockTime, GstPad *pad, GstBuffer *buffer) noexcept
{
    auto &ledger = ledger_of(self);
    ledger.thread_of(pad);
    ledger.pushed(pad, buffer);
}

void on_pad_push_list_pre(GObject *self, GstClockTime, GstPad *pad, GstBufferList *list) noexcept
{
    auto &ledger = ledger_of(self);
    ledger.thread_of(pad);
    for (guint i = 0; i < gst_buffer_list_length(list); ++i)
        ledger.pushed(pad, gst_buffer_list_get(list, i));
}

void on_pad_pull_range_post(GObject *self, GstClockTime, GstPad *pad, GstBuffer *buffer, GstFlowReturn) noexcept
{
    if (buffer)
        ledger_of(self).pulled(pad, buffer);
}

void on_pad_event(GObject *self, GstClockTime, GstPad *pad, GstEvent *event) noexcept
{
    if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS)
        return;
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event, &caps);
    ledger_of(self).caps(pad, caps);
}

void on_pad_push_event_pre(GObject *self, GstClockTime time, GstPad *pad, GstEvent *event) noexcept
{
    if (GST_PAD_DIRECTION(pad) != GST_PAD_SRC)
        return;
    // Every stream starts with this, before the first frame: from then on it is known whose thread this is.
    if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START)
        ledger_of(self).stream_started(pad, event);
    on_pad_event(self, time, pad, event);
}

void on_pad_chain_pre(GObject *self, GstClockTime, GstPad *pad, GstBuffer *buffer) noexcept
{
    ledger_of(self).entered(pad, buffer);
}

void on_pad_chain_post(GObject *self, GstClockTime, GstPad *pad, GstFlowReturn) noexcept
{
    ledger_of(self).left(pad);
}

// Without a chain-list function of its own an element gets the list's buffers one by one, each with its own hook
// (gst_pad_chain_list_default()); frames are counted here only where that is not so. The hook tells who runs.
void on_pad_chain_list_pre(GObject *self, GstClockTime, GstPad *pad, GstBufferList *list) noexcept
{
    auto &ledger = ledger_of(self);
    static const GstPadChainListFunction by_default = [] {
        const auto plain = GstPtr<GstPad>::sink(gst_pad_new(nullptr, GST_PAD_SINK));
        return GST_PAD_CHAINLISTFUNC(plain.get());
    }();
    ledger.entered(pad, nullptr);
    if (GST_PAD_CHAINLISTFUNC(pad) == by_default)
        return;
    for (guint i = 0; i < gst_buffer_list_length(list); ++i) {
        ledger.entered(pad, gst_buffer_list_get(list, i));
        ledger.left(pad);
    }
}

void on_element_post_message_pre(GObject *self, GstClockTime, GstElement *element, GstMessage *message) noexcept
{
    if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_EOS || GST_MESSAGE_SRC(message) != GST_OBJECT_CAST(element) ||
        !is_top_pipeline(element))
        return;
    auto *priv = GST_HL_COPIES(self)->priv;
    const auto report = priv->ledger.report(GST_OBJECT_CAST(element), false);
    {
        const std::lock_guard lock(priv->output_mutex);
        priv->told.insert(element);
    }
    tell_bus(element, report);
}

void on_element_change_state_post(GObject *self, GstClockTime, GstElement *element, GstStateChange transition,
                                  GstStateChangeReturn) noexcept
{
    if (transition != GST_STATE_CHANGE_PAUSED_TO_READY || !is_top_pipeline(element))
        return;
    auto *priv = GST_HL_COPIES(self)->priv;
    const auto report = priv->ledger.report(GST_OBJECT_CAST(element), true);
    bool told = false;
    {
        const std::lock_guard lock(priv->output_mutex);
        told = priv->told.erase(element) > 0;
    }
    if (report.hops.empty())
        return;
    if (!told)
        tell_bus(element, report);
    write_report(priv, report);
}

void register_hooks(GstTracer *tracer)
{
    gst_tracing_register_hook(tracer, "pad-push-pre", G_CALLBACK(on_pad_push_pre));
    gst_tracing_register_hook(tracer, "pad-push-list-pre", G_CALLBACK(on_pad_push_list_pre));
    gst_tracing_register_hook(tracer, "pad-pull-range-post", G_CALLBACK(on_pad_pull_range_post));
    gst_tracing_register_hook(tracer, "pad-push-event-pre", G_CALLBACK(on_pad_push_event_pre));
    gst_tracing_register_hook(tracer, "pad-send-event-pre", G_CALLBACK(on_pad_event));
    gst_tracing_register_hook(tracer, "pad-chain-pre", G_CALLBACK(on_pad_chain_pre));
    gst_tracing_register_hook(tracer, "pad-chain-post", G_CALLBACK(on_pad_chain_post));
    gst_tracing_register_hook(tracer, "pad-chain-list-pre", G_CALLBACK(on_pad_chain_list_pre));
    gst_tracing_register_hook(tracer, "pad-chain-list-post", G_CALLBACK(on_pad_chain_post));
    gst_tracing_register_hook(tracer, "element-post-message-pre", G_CALLBACK(on_element_post_message_pre));
    gst_tracing_register_hook(tracer, "element-change-state-post", G_CALLBACK(on_element_change_state_post));
}

// --- process-wide observers

void on_staged_map(GstMemory *, hl::CopyKind kind, uint64_t bytes) noexcept
{
    if (auto *priv = observing.load(std::memory_order_acquire))
        priv->ledger.staged_map(kind, bytes);
}

GstDebugCategory *performance_category()
{
    static GstDebugCategory *const category = _gst_debug_get_category("GST_PERFORMANCE");
    return category;
}

void on_log(GstDebugCategory *category, GstDebugLevel, const gchar *, const gchar *, gint, GObject *object,
            GstDebugMessage *message, gpointer) noexcept
{
    if (category != performance_category())
        return;
    if (auto *priv = observing.load(std::memory_order_acquire))
        priv->ledger.copy_logged(object, gst_debug_message_get(message));
}

// Stands in for GStreamer's own log function and holds back what only this tracer asked for.
void log_as_before(GstDebugCategory *category, GstDebugLevel level, const gchar *file, const gchar *function, gint line,
                   GObject *object, GstDebugMessage *message, gpointer data) noexcept
{
    const auto *priv = static_cast<const GstHlCopiesPrivate *>(data);
    if (category != performance_category() || level <= priv->performance_level)
        gst_debug_log_default(category, level, file, function, line, object, message, nullptr);
}

void observe(GstHlCopiesPrivate *priv)
{
    GstHlCopiesPrivate *none = nullptr;
    if (!observing.compare_exchange_strong(none, priv))
        return;
    gst_hl_set_map_observer(on_staged_map);
    GstDebugCategory *category = performance_category();
    if (!category)
        return;
    priv->performance_level = gst_debug_category_get_threshold(category);
    // With GST_DEBUG_FILE the default function has a file that cannot be handed to ours; that file then gets the lines.
    if (priv->performance_level < GST_LEVEL_DEBUG && !g_getenv("GST_DEBUG_FILE") &&
        gst_debug_remove_log_function(gst_debug_log_default) > 0) {
        gst_debug_add_log_function(log_as_before, priv, nullptr);
        priv->logger_replaced = true;
    }
    gst_debug_add_log_function(on_log, nullptr, nullptr);
    gst_debug_category_set_threshold(category, std::max(priv->performance_level, GST_LEVEL_DEBUG));
}

void stop_observing(GstHlCopiesPrivate *priv)
{
    GstHlCopiesPrivate *mine = priv;
    if (!observing.compare_exchange_strong(mine, nullptr))
        return;
    gst_hl_set_map_observer(nullptr);
    gst_debug_remove_log_function(on_log);
    if (GstDebugCategory *category = performance_category())
        gst_debug_category_set_threshold(category, priv->performance_level);
    if (priv->logger_replaced) {
        gst_debug_remove_log_function(log_as_before);
        gst_debug_add_log_function(gst_debug_log_default, nullptr, nullptr);
    }
}

} // namespace

static void gst_hl_copies_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    auto *priv = GST_HL_COPIES(object)->priv;
    switch (id) {
    case prop_file: {
        const gchar *file = g_value_get_string(value);
        priv->file = file ? file : "";
        break;
    }
    case prop_format:
        priv->format = static_cast<Format>(g_value_get_enum(value));
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void gst_hl_copies_constructed(GObject *object)
{
    G_OBJECT_CLASS(gst_hl_copies_parent_class)->constructed(object);
    register_hooks(GST_TRACER(object));
    observe(GST_HL_COPIES(object)->priv);
}

// Runs in gst_deinit(): pipelines that were never stopped are reported now.
static void gst_hl_copies_finalize(GObject *object)
{
    auto *priv = GST_HL_COPIES(object)->priv;
    stop_observing(priv);
    for (const auto &report : priv->ledger.remaining())
        write_report(priv, report);
    delete priv;
    G_OBJECT_CLASS(gst_hl_copies_parent_class)->finalize(object);
}

static void gst_hl_copies_init(GstHlCopies *self)
{
    self->priv = new GstHlCopiesPrivate;
}

static void gst_hl_copies_class_init(GstHlCopiesClass *klass)
{
    auto *object = G_OBJECT_CLASS(klass);
    object->set_property = gst_hl_copies_set_property;
    object->constructed = gst_hl_copies_constructed;
    object->finalize = gst_hl_copies_finalize;
    constexpr auto flags = static_cast<GParamFlags>(G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
    g_object_class_install_property(
        object, prop_file,
        g_param_spec_string("file", "File",
                            "Where the report goes (default: stderr). Text is appended for each pipeline, JSON is that "
                            "of the pipeline that stopped last",
                            nullptr, flags));
    g_object_class_install_property(object, prop_format,
                                    g_param_spec_enum("format", "Format", "What the report is written as",
                                                      format_type(), static_cast<gint>(Format::Text), flags));
    gst_tracer_class_set_use_structure_params(GST_TRACER_CLASS(klass), TRUE);
}

gboolean gst_hl_copies_register(GstPlugin *plugin)
{
    GST_DEBUG_CATEGORY_INIT(gst_hl_copies_debug, "hlcopies", 0, "how frames move");
    return gst_tracer_register(plugin, "hlcopies", GST_TYPE_HL_COPIES);
}
