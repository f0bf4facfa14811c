/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/demo/annotate.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <signal.h>
#include <string.h>

#include "tools/media-hold.h"

#define META_NAME "GpudlClassificationMeta"

static const VideoEncoder exact_encoders[] = {
    {".avi", "video/x-raw,format=I420 ! jpegenc quality=88 ! avimux", {"jpegenc", "avimux"}},
    {".mkv", "video/x-raw,format=I420 ! jpegenc quality=88 ! matroskamux", {"jpegenc", "matroskamux"}},
    {".ogv", "theoraenc quality=60 ! oggmux", {"theoraenc", "oggmux"}},
};

static const VideoEncoder shown_encoders[] = {
    {".webm",
     "vp8enc deadline=1 cpu-used=8 threads=2 target-bitrate=2500000 keyframe-max-dist=50 ! webmmux",
     {"vp8enc", "webmmux"}},
    {".ogv", "theoraenc quality=48 ! oggmux", {"theoraenc", "oggmux"}},
    {".avi", "video/x-raw,format=I420 ! jpegenc quality=85 ! avimux", {"jpegenc", "avimux"}},
};

static gboolean has_element(const gchar *name)
{
    g_autoptr(GstElementFactory) factory = gst_element_factory_find(name);

    return factory != NULL;
}

const VideoEncoder *video_encoder_find(VideoEncoderUse use, GError **error)
{
    const VideoEncoder *table = use == VIDEO_ENCODER_EXACT ? exact_encoders : shown_encoders;
    guint n = use == VIDEO_ENCODER_EXACT ? G_N_ELEMENTS(exact_encoders) : G_N_ELEMENTS(shown_encoders);

    gst_init(NULL, NULL);
    for (guint i = 0; i < n; i++)
        if (has_element(table[i].elements[0]) && has_element(table[i].elements[1]))
            return &table[i];
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND,
                "GStreamer has no encoder to write a video with: install gstreamer1.0-plugins-good (Debian)");
    return NULL;
}

gboolean window_check(gboolean *there, GError **error)
{
    static const gchar *const sinks[] = {"glimagesink", "xvimagesink", "ximagesink", "waylandsink"};
    const gchar *x11 = g_getenv("DISPLAY"), *wayland = g_getenv("WAYLAND_DISPLAY");

    gst_init(NULL, NULL);
    *there = (x11 != NULL && x11[0] != '\0') || (wayland != NULL && wayland[0] != '\0');
    for (guint i = 0; *there && i < G_N_ELEMENTS(sinks); i++) {
        /* Wayland's can't do X11 */
        if (has_element(sinks[i]) && (strcmp(sinks[i], "waylandsink") != 0 || wayland != NULL))
            return TRUE;
    }
    if (!*there)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND,
                "there is a display, but GStreamer has nothing to open a window with: install gstreamer1.0-x or "
                "gstreamer1.0-gl (Debian), or unset DISPLAY and WAYLAND_DISPLAY to write a file");
    return FALSE;
}

/* ---- what is on the frames --------------------------------------------------------------------------------------- */

typedef struct {
    const AnnotateJob *job;
    AnnotateCounts *counts;
    GstElement *pipeline;
    GMainLoop *loop;
    GError *error;
    guint64 n_classified;
    gint flowing; /* atomic: frames have come */
    gint ending;  /* atomic: no more are let in */
} Run;

static void read_classes(GstBuffer *buffer, SeenFrame *frame)
{
    GstCustomMeta *meta = gst_buffer_get_custom_meta(buffer, META_NAME);
    const GstStructure *s = meta != NULL ? gst_custom_meta_get_structure(meta) : NULL;
    const GValue *ids = s != NULL ? gst_structure_get_value(s, "ids") : NULL;
    const GValue *labels = s != NULL ? gst_structure_get_value(s, "labels") : NULL;
    const GValue *confidences = s != NULL ? gst_structure_get_value(s, "confidences") : NULL;

    if (ids == NULL || labels == NULL || confidences == NULL)
        return;
    frame->n_classes = MIN(gst_value_array_get_size(ids), (guint)G_N_ELEMENTS(frame->classes));
    frame->n_classes = MIN(frame->n_classes, gst_value_array_get_size(labels));
    frame->n_classes = MIN(frame->n_classes, gst_value_array_get_size(confidences));
    for (guint i = 0; i < frame->n_classes; i++) {
        frame->classes[i].id = (guint32)g_value_get_int(gst_value_array_get_value(ids, i));
        frame->classes[i].label = g_value_get_string(gst_value_array_get_value(labels, i));
        frame->classes[i].confidence = g_value_get_double(gst_value_array_get_value(confidences, i));
    }
}

/* Buffers are stamped in their segment's time, which begins where its producer likes. */
static gint64 stream_time(GstPad *pad, GstBuffer *buffer)
{
    g_autoptr(GstEvent) event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
    const GstSegment *segment = NULL;
    guint64 time = GST_CLOCK_TIME_NONE;

    if (event != NULL)
        gst_event_parse_segment(event, &segment);
    if (segment != NULL && segment->format == GST_FORMAT_TIME && GST_BUFFER_PTS_IS_VALID(buffer))
        time = gst_segment_to_stream_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
    return GST_CLOCK_TIME_IS_VALID(time) ? (gint64)time : -1;
}

static GstPadProbeReturn on_classified(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    Run *run = user_data;
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    SeenFrame frame = {.number = run->n_classified++, .pts = stream_time(pad, buffer)};

    read_classes(buffer, &frame);
    run->counts->n_labelled += frame.n_classes > 0;
    if (run->job->seen != NULL)
        run->job->seen(&frame, run->job->user_data);
    return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn on_in(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    Run *run = user_data;

    if (g_atomic_int_get(&run->ending))
        return GST_PAD_PROBE_DROP;
    run->counts->n_in++;
    g_atomic_int_set(&run->flowing, TRUE);
    return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn on_out(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    Run *run = user_data;

    run->counts->n_out++;
    return GST_PAD_PROBE_OK;
}

static gboolean add_probe(Run *run, const gchar *element_name, const gchar *pad_name, GstPadProbeCallback func)
{
    g_autoptr(GstElement) element = gst_bin_get_by_name(GST_BIN(run->pipeline), element_name);
    g_autoptr(GstPad) pad = element != NULL ? gst_element_get_static_pad(element, pad_name) : NULL;

    return pad != NULL && gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, func, run, NULL) != 0;
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------ */

/* Descriptions come in two spellings: one that gst_parse_launch() reads, with names by which the probes find their
 * elements, and one to type after gst-launch-1.0 in a shell. */
typedef enum { FOR_PARSER, FOR_SHELL } Spelling;

static gchar *quoted(const gchar *text, Spelling spelling)
{
    g_autoptr(GString) out = NULL;

    if (text[strcspn(text, " \t\n\"'\\!;()<>$&*?`#~|=")] == '\0')
        return g_strdup(text);
    if (spelling == FOR_SHELL)
        return g_shell_quote(text);
    out = g_string_new("\"");
    for (const gchar *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *p);
    }
    g_string_append_c(out, '"');
    return g_strdup(out->str);
}

static gchar *describe_source(const AnnotateJob *job, Spelling spelling)
{
    g_autofree gchar *name = quoted(job->input, spelling);

    if (job->still != NULL) {
        g_autofree gchar *path = g_filename_from_uri(job->input, NULL, NULL);
        g_autofree gchar *file = quoted(path != NULL ? path : job->input, spelling);

        return g_strdup_printf("filesrc location=%s ! %s ! imagefreeze num-buffers=1", file, job->still);
    }
    if (g_str_has_prefix(job->input, "/dev/"))
        return g_strdup_printf("v4l2src device=%s ! decodebin", name);
    return g_strdup_printf(strstr(job->input, "://") != NULL
                               ? "uridecodebin uri=%s ! videoconvert ! videoflip video-direction=auto"
                               : "filesrc location=%s ! decodebin ! videoconvert ! videoflip video-direction=auto",
                           name);
}

static gchar *describe(const AnnotateJob *job, Spelling spelling, GError **error)
{
    g_autofree gchar *source = describe_source(job, spelling), *model = quoted(job->model, spelling);
    g_autofree gchar *backend = job->backend != NULL ? g_strdup_printf(" backend=%s", job->backend) : g_strdup("");
    g_autofree gchar *output = job->output != NULL ? quoted(job->output, spelling) : NULL;
    g_autofree gchar *tail = NULL;

    if (job->output == NULL) {
        tail = g_strdup_printf("%sautovideosink", job->still != NULL ? "imagefreeze ! videoconvert ! " : "");
    } else if (job->still != NULL) {
        tail = g_strdup_printf("pngenc ! filesink location=%s", output);
    } else {
        const VideoEncoder *encoder = video_encoder_find(VIDEO_ENCODER_SHOWN, error);

        if (encoder == NULL)
            return NULL;
        tail = g_strdup_printf("%s ! filesink location=%s", encoder->description, output);
    }
    return g_strdup_printf("%s ! videoconvert ! gpudlinfer%s model=%s%s ! gpudloverlay%s ! videoconvert ! %s", source,
                           spelling == FOR_PARSER ? " name=infer" : "", model, backend,
                           spelling == FOR_PARSER ? " name=overlay" : "", tail);
}

/* Sinks call it an error when their window is closed. */
static gboolean is_closed_window(const Run *run, GstMessage *message, const GError *reason)
{
    return run->job->output == NULL && GST_IS_ELEMENT(GST_MESSAGE_SRC(message)) &&
           GST_OBJECT_FLAG_IS_SET(GST_MESSAGE_SRC(message), GST_ELEMENT_FLAG_SINK) &&
           g_error_matches(reason, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);
}

static gboolean on_message(GstBus *bus, GstMessage *message, gpointer user_data)
{
    Run *run = user_data;

    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        g_autoptr(GError) reason = NULL;
        g_autofree gchar *debug = NULL;

        gst_message_parse_error(message, &reason, &debug);
        if (run->error == NULL && !is_closed_window(run, message, reason))
            run->error = g_error_new(GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: %s", run->job->input, reason->message);
        g_main_loop_quit(run->loop);
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
        g_main_loop_quit(run->loop);
    }
    return G_SOURCE_CONTINUE;
}

/* From a thread of its own: it waits until the frame before it has been taken. */
static void end_stream(GstElement *pipeline, gpointer user_data)
{
    g_autoptr(GstElement) infer = gst_bin_get_by_name(GST_BIN(pipeline), "infer");
    g_autoptr(GstPad) pad = gst_element_get_static_pad(infer, "sink");

    gst_pad_send_event(pad, gst_event_new_eos());
}

/* The first Ctrl-C ends the stream, so that the file gets its end; the second one stops at once. The end is put where
 * gpudlinfer takes frames: from the source it would come behind all that is queued on the way, and a source that waits
 * for a network passes nothing on. */
static gboolean on_interrupt(gpointer user_data)
{
    Run *run = user_data;

    if (run->counts->interrupted || run->job->output == NULL || !g_atomic_int_get(&run->flowing)) {
        g_main_loop_quit(run->loop);
    } else {
        g_atomic_int_set(&run->ending, TRUE);
        gst_element_call_async(run->pipeline, end_stream, NULL, NULL);
    }
    run->counts->interrupted = TRUE;
    return G_SOURCE_CONTINUE;
}

static gboolean play(Run *run, GError **error)
{
    g_autoptr(GstBus) bus = gst_element_get_bus(run->pipeline);
    guint interrupt;

    if (!add_probe(run, "infer", "sink", on_in) || !add_probe(run, "infer", "src", on_classified) ||
        !add_probe(run, "overlay", "src", on_out)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: the pipeline has no pads to watch", run->job->input);
        return FALSE;
    }
    run->loop = g_main_loop_new(NULL, FALSE);
    gst_bus_add_watch(bus, on_message, run);
    interrupt = g_unix_signal_add(SIGINT, on_interrupt, run);
    gst_element_set_state(run->pipeline, GST_STATE_PLAYING);
    g_main_loop_run(run->loop);
    gst_element_set_state(run->pipeline, GST_STATE_NULL);
    g_source_remove(interrupt);
    gst_bus_remove_watch(bus);
    g_main_loop_unref(run->loop);
    if (run->error != NULL) {
        g_propagate_error(error, run->error);
        return FALSE;
    }
    return TRUE;
}

gboolean annotate_run(const AnnotateJob *job, AnnotateCounts *counts, gchar **text, GError **error)
{
    Run run = {.job = job, .counts = counts};
    g_autofree gchar *description = NULL;
    g_autoptr(GError) reason = NULL;
    gboolean done;

    gst_init(NULL, NULL);
    memset(counts, 0, sizeof *counts);
    description = describe(job, FOR_PARSER, error);
    if (description == NULL)
        return FALSE;
    if (text != NULL)
        *text = describe(job, FOR_SHELL, NULL);
    run.pipeline = gst_parse_launch_full(description, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &reason);
    if (run.pipeline == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "%s; 'gpudl doctor' says what to install",
                    reason->message);
        return FALSE;
    }
    gst_object_ref_sink(run.pipeline);
    gpudl_media_hold_pullers(run.pipeline);
    done = play(&run, error);
    if (job->output != NULL && counts->n_in == 0)
        g_unlink(job->output);
    gst_object_unref(run.pipeline);
    return done;
}
