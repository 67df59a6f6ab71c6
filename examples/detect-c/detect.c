/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Prints what hlinfer finds in a video, one line of JSON a frame, read by a probe on the src pad of hltensordec:
 *
 *   {"pts":33333333,"detections":[{"label":"star","score":0.9312,"box":{"x":12,"y":80,"w":64,"h":61}}]}
 *
 * pts is the frame's time in nanoseconds; boxes are in its pixels. Usage: detect [FILE [MODEL]]. Without FILE, a test
 * picture is the video, until Ctrl-C; without MODEL, the model is builtin:demo.
 *
 * Outside of this tree:
 *   cc -O2 -o detect detect.c $(pkg-config --cflags --libs gstreamer-analytics-1.0)
 */
#include <glib-unix.h>
#include <gst/analytics/analytics.h>
#include <gst/gst.h>
#include <signal.h>
#include <stdio.h>

typedef struct {
    GstElement *pipeline;
    GMainLoop *loop;
    gboolean ending; /* Ctrl-C was pressed once */
    gboolean failed;
} Detector;

static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_detections(GstBuffer *buffer)
{
    GstAnalyticsRelationMeta *meta = gst_buffer_get_analytics_relation_meta(buffer);
    GstAnalyticsODMtd object;
    gpointer state = NULL;
    const char *separator = "";
    while (meta && gst_analytics_relation_meta_iterate(meta, &state, gst_analytics_od_mtd_get_mtd_type(), &object)) {
        gint x, y, w, h;
        gfloat score;
        const gchar *label = g_quark_to_string(gst_analytics_od_mtd_get_obj_type(&object));
        if (!gst_analytics_od_mtd_get_location(&object, &x, &y, &w, &h, &score))
            continue;
        printf("%s{\"label\":", separator);
        print_string(label ? label : "");
        printf(",\"score\":%.4f,\"box\":{\"x\":%d,\"y\":%d,\"w\":%d,\"h\":%d}}", (double)score, x, y, w, h);
        separator = ",";
    }
}

/* On the streaming thread. The frame is never mapped: its metas say what was found. */
static GstPadProbeReturn on_frame(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    (void)pad;
    (void)data;
    if (GST_BUFFER_PTS_IS_VALID(buffer))
        printf("{\"pts\":%" G_GUINT64_FORMAT ",\"detections\":[", GST_BUFFER_PTS(buffer));
    else
        printf("{\"pts\":null,\"detections\":[");
    print_detections(buffer);
    puts("]}");
    fflush(stdout);
    return GST_PAD_PROBE_OK;
}

/* An error of gst-habana has its parts in the message's details; that of another element, text alone. */
static void print_error(GstMessage *message)
{
    GError *error = NULL;
    gchar *debug = NULL;
    const GstStructure *details = NULL;
    gst_message_parse_error(message, &error, &debug);
    gst_message_parse_error_details(message, &details);
    if (details && gst_structure_has_name(details, "hl-error"))
        fprintf(stderr, "error: %s: %s: %s\n  cause: %s\n  what to do: %s\n", GST_MESSAGE_SRC_NAME(message),
                gst_structure_get_string(details, "code"), gst_structure_get_string(details, "operation"),
                gst_structure_get_string(details, "cause"), gst_structure_get_string(details, "remedy"));
    else
        fprintf(stderr, "error: %s: %s\n  %s\n", GST_MESSAGE_SRC_NAME(message), error->message, debug ? debug : "");
    g_error_free(error);
    g_free(debug);
}

static gboolean on_message(GstBus *bus, GstMessage *message, gpointer data)
{
    Detector *detector = data;
    (void)bus;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        if (!detector->failed) /* the first error names the cause, later ones its effects */
            print_error(message);
        detector->failed = TRUE;
        g_main_loop_quit(detector->loop);
    }
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS)
        g_main_loop_quit(detector->loop);
    return G_SOURCE_CONTINUE;
}

/* EOS runs through the line, so that every frame under way is printed. A second Ctrl-C does not wait for it. */
static gboolean on_interrupt(gpointer data)
{
    Detector *detector = data;
    if (detector->ending)
        g_main_loop_quit(detector->loop);
    else
        gst_element_send_event(detector->pipeline, gst_event_new_eos());
    detector->ending = TRUE;
    return G_SOURCE_CONTINUE;
}

static void set_property(Detector *detector, const char *element, const char *property, const char *value)
{
    GstElement *found = gst_bin_get_by_name(GST_BIN(detector->pipeline), element);
    g_object_set(found, property, value, NULL);
    gst_object_unref(found);
}

static void play_file(Detector *detector, const char *file)
{
    gchar *uri = gst_filename_to_uri(file, NULL);
    set_property(detector, "file", "uri", uri);
    g_free(uri);
}

static void watch_frames(Detector *detector)
{
    GstElement *decoder = gst_bin_get_by_name(GST_BIN(detector->pipeline), "decode");
    GstPad *pad = gst_element_get_static_pad(decoder, "src");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_frame, NULL, NULL);
    gst_object_unref(pad);
    gst_object_unref(decoder);
}

static void run(Detector *detector)
{
    GstBus *bus = gst_element_get_bus(detector->pipeline);
    guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, detector);
    gst_bus_add_watch(bus, on_message, detector);
    gst_element_set_state(detector->pipeline, GST_STATE_PLAYING); /* a refusal comes by the bus, with its cause */
    g_main_loop_run(detector->loop);
    gst_element_set_state(detector->pipeline, GST_STATE_NULL);
    gst_bus_remove_watch(bus);
    g_source_remove(interrupt);
    gst_object_unref(bus);
}

int main(int argc, char *argv[])
{
    const char *test_picture = "videotestsrc is-live=true ! video/x-raw,width=640,height=480,framerate=30/1 ! "
                               "hlinfer name=infer ! hltensordec name=decode ! fakesink sync=true";
    const char *file_line = "uridecodebin3 name=file ! hlinfer name=infer ! hltensordec name=decode ! fakesink";
    Detector detector = {0};
    GError *error = NULL;
    gst_init(&argc, &argv);
    detector.pipeline =
        gst_parse_launch_full(argc > 1 ? file_line : test_picture, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
    if (!detector.pipeline) {
        fprintf(stderr, "error: %s\n  what to do: gst-inspect-1.0 habana shows whether the plugin is found\n",
                error->message);
        g_error_free(error);
        return 1;
    }
    detector.loop = g_main_loop_new(NULL, FALSE);
    if (argc > 1)
        play_file(&detector, argv[1]);
    set_property(&detector, "infer", "model", argc > 2 ? argv[2] : "builtin:demo");
    watch_frames(&detector);
    run(&detector);
    g_main_loop_unref(detector.loop);
    gst_object_unref(detector.pipeline);
    return detector.failed;
}
