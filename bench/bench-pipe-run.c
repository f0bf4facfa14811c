/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains of a pipeline, counted at their ends, and what one frame takes on the way. */
#include "bench/bench-pipe.h"

#include <stdio.h>
#include <string.h>

#define STANDS_STILL_S 60 /* without a stream's warm-up; a network is loaded within */

/* ---- chains ------------------------------------------------------------------------------------------------------ */

static gchar *numbered(const gchar *text, guint i)
{
    g_auto(GStrv) parts = g_strsplit(text, "%u", -1);
    g_autofree gchar *number = g_strdup_printf("%u", i);

    return g_strjoinv(number, parts);
}

static GstPadProbeReturn count(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    g_atomic_int_inc((gint *)data);
    return GST_PAD_PROBE_OK;
}

GstElement *pipe_run_get(PipeRun *run, const gchar *name, guint i)
{
    g_autofree gchar *full = g_strdup_printf("%s%u", name, i);

    return gst_bin_get_by_name(GST_BIN(run->pipeline), full);
}

static void prepare_stream(PipeRun *run, guint i)
{
    PipeStream *stream = &run->streams[i];
    g_autoptr(GstPad) pad = NULL;

    stream->place = pipe_run_get(run, "place", i);
    stream->end = pipe_run_get(run, "end", i);
    pad = gst_element_get_static_pad(stream->end, "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, count, &stream->frames, NULL);
}

PipeRun *pipe_run_new(const PipeOptions *options, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(PipeRun) run = g_new0(PipeRun, 1);

    for (gint i = 0; i < options->streams; i++) {
        g_autofree gchar *source = numbered(options->source, (guint)i);

        g_string_append_printf(text, "%s ! %s name=place%d ! fakesink name=end%d sync=false enable-last-sample=false  ",
                               source, options->place, i, i);
    }
    run->pipeline = gst_parse_launch_full(text->str, NULL, GST_PARSE_FLAG_FATAL_ERRORS, error);
    if (run->pipeline == NULL) {
        g_prefix_error(error, "%s: ", text->str);
        return NULL;
    }
    gst_object_ref_sink(run->pipeline);
    run->n = (guint)options->streams;
    run->streams = g_new0(PipeStream, run->n);
    for (guint i = 0; i < run->n; i++)
        prepare_stream(run, i);
    return g_steal_pointer(&run);
}

void pipe_run_free(PipeRun *run)
{
    if (run->pipeline != NULL)
        gst_element_set_state(run->pipeline, GST_STATE_NULL);
    for (guint i = 0; i < run->n; i++) {
        gst_clear_object(&run->streams[i].place);
        gst_clear_object(&run->streams[i].end);
    }
    gst_clear_object(&run->pipeline);
    g_free(run->streams);
    g_free(run);
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* TRUE: so much time has passed, and nothing has happened. */
static gboolean wait_ns(PipeRun *run, gint64 ns, GError **error)
{
    g_autoptr(GstBus) bus = gst_element_get_bus(run->pipeline);
    g_autoptr(GstMessage) message =
        gst_bus_timed_pop_filtered(bus, (GstClockTime)ns, GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
    g_autoptr(GError) cause = NULL;
    g_autofree gchar *detail = NULL;

    if (message == NULL)
        return TRUE;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
        g_set_error(error, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED,
                    "the streams ended after %d frames of the first one, before the turn did: a longer clip is needed",
                    g_atomic_int_get(&run->streams[0].frames));
        return FALSE;
    }
    gst_message_parse_error(message, &cause, &detail);
    g_set_error(error, cause->domain, cause->code, "%s: %s (%s)", GST_OBJECT_NAME(GST_MESSAGE_SRC(message)),
                cause->message, detail != NULL ? detail : "");
    return FALSE;
}

static gboolean is_warm(const PipeRun *run, gint frames)
{
    for (guint i = 0; i < run->n; i++)
        if (g_atomic_int_get(&run->streams[i].frames) < frames)
            return FALSE;
    return TRUE;
}

static guint64 count_all(const PipeRun *run)
{
    guint64 frames = 0;

    for (guint i = 0; i < run->n; i++)
        frames += (guint64)g_atomic_int_get(&run->streams[i].frames);
    return frames;
}

static gboolean warm_up(PipeRun *run, gint frames, GError **error)
{
    const gint64 begin = pipe_now_ns();

    if (gst_element_set_state(run->pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
        if (wait_ns(run, GST_SECOND, error))
            g_set_error_literal(error, GST_CORE_ERROR, GST_CORE_ERROR_STATE_CHANGE, "the pipeline does not start");
        return FALSE;
    }
    while (!is_warm(run, frames)) {
        if (!wait_ns(run, 10 * GST_MSECOND, error))
            return FALSE;
        if (pipe_now_ns() - begin > STANDS_STILL_S * (gint64)GST_SECOND) {
            g_set_error(error, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED,
                        "of one of %u streams no %d frames came to the end within %d s", run->n, frames,
                        STANDS_STILL_S);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean pipe_run_measure(PipeRun *run, const PipeOptions *options, gdouble seconds, PipeWindow *window, GError **error)
{
    gint64 begin;
    guint64 before;

    if (!warm_up(run, options->warmup, error))
        return FALSE;
    begin = pipe_now_ns();
    before = count_all(run);
    window->first = g_atomic_int_get(&run->streams[0].frames);
    if (!wait_ns(run, (gint64)(seconds * 1e9), error))
        return FALSE;
    window->after = g_atomic_int_get(&run->streams[0].frames);
    window->frames = count_all(run) - before;
    window->ns = pipe_now_ns() - begin;
    if (window->frames == 0)
        g_set_error(error, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED, "no frame came to the end within %g s", seconds);
    return window->frames > 0;
}

/* Means over the streams of what gpudlinfer tells of its last frames. */
static void print_stats(PipeRun *run)
{
    static const gchar *const names[] = {"queue-latency-p50", "infer-latency-avg", "infer-latency-p50",
                                         "total-latency-p50"};
    guint64 sums[G_N_ELEMENTS(names)] = {0}, value;
    guint told = 0;

    for (guint i = 0; i < run->n; i++) {
        g_autoptr(GstStructure) stats = NULL;
        gboolean all = TRUE;

        if (g_object_class_find_property(G_OBJECT_GET_CLASS(run->streams[i].place), "stats") == NULL)
            return;
        g_object_get(run->streams[i].place, "stats", &stats, NULL);
        for (gsize j = 0; j < G_N_ELEMENTS(names); j++) {
            all = all && stats != NULL && gst_structure_get_uint64(stats, names[j], &value);
            sums[j] += all ? value : 0;
        }
        told += all;
    }
    if (told != run->n)
        return;
    printf(", \"stats\": {");
    for (gsize j = 0; j < G_N_ELEMENTS(names); j++)
        printf("%s\"%s\": %" G_GUINT64_FORMAT, j == 0 ? "" : ", ", names[j], sums[j] / told);
    printf("}");
}

void pipe_run_print(PipeRun *run, const PipeWindow *window, const gchar *more)
{
    printf("{\"frames\": %" G_GUINT64_FORMAT ", \"window_ns\": %" G_GINT64_FORMAT ", \"ns\": %.0f", window->frames,
           window->ns, (gdouble)window->ns / (gdouble)window->frames);
    print_stats(run);
    printf("%s}\n", more);
}

gboolean pipe_rate(const PipeOptions *options, gdouble seconds, GError **error)
{
    g_autoptr(PipeRun) run = pipe_run_new(options, error);
    PipeWindow window;

    if (run == NULL || !pipe_run_measure(run, options, seconds, &window, error))
        return FALSE;
    pipe_run_print(run, &window, "");
    return TRUE;
}

/* ---- a frame's way ----------------------------------------------------------------------------------------------- */

/* Moments of frames in the order in which they pass: the place drops none. Each list is written by one thread, and read
 * when the pipeline is stopped. */
typedef struct {
    GArray *in, *out; /* ns of the monotonic clock */
    GArray *late;     /* ns, running time at the end less the frame's own */
    GstElement *pipeline;
} Moments;

static GstPadProbeReturn note_time(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    const gint64 now = pipe_now_ns();

    g_array_append_val((GArray *)data, now);
    return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn note_late(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    Moments *moments = data;
    const GstClockTime now = gst_element_get_current_running_time(moments->pipeline);
    const GstClockTime pts = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
    g_autoptr(GstEvent) event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
    const GstSegment *segment = NULL;
    gint64 late = 0;

    if (event != NULL)
        gst_event_parse_segment(event, &segment);
    if (segment != NULL && segment->format == GST_FORMAT_TIME && GST_CLOCK_TIME_IS_VALID(pts))
        late = (gint64)now - (gint64)gst_segment_to_running_time(segment, GST_FORMAT_TIME, pts);
    g_array_append_val(moments->late, late);
    return GST_PAD_PROBE_OK;
}

static void add_probe(GstElement *element, const gchar *name, GstPadProbeCallback callback, gpointer data)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(element, name);

    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, callback, data, NULL);
}

static void print_list(GString *text, const gchar *name, const GArray *later, const GArray *earlier,
                       const PipeWindow *window)
{
    g_string_append_printf(text, ", \"%s\": [", name);
    for (gint i = window->first; i < window->after; i++) {
        const gint64 from = earlier != NULL ? g_array_index(earlier, gint64, i) : 0;

        g_string_append_printf(text, "%s%" G_GINT64_FORMAT, i == window->first ? "" : ", ",
                               g_array_index(later, gint64, i) - from);
    }
    g_string_append(text, "]");
}

gboolean pipe_delay(const PipeOptions *options, gdouble seconds, GError **error)
{
    const guint expected =
        (guint)(seconds * 100) + 1024; /* grown beside a live stream they would be part of what is measured */
    g_autoptr(PipeRun) run = pipe_run_new(options, error);
    g_autoptr(GArray) in = g_array_sized_new(FALSE, FALSE, sizeof(gint64), expected);
    g_autoptr(GArray) out = g_array_sized_new(FALSE, FALSE, sizeof(gint64), expected);
    g_autoptr(GArray) late = g_array_sized_new(FALSE, FALSE, sizeof(gint64), expected);
    g_autoptr(GString) text = g_string_new(NULL);
    Moments moments = {in, out, late, NULL};
    PipeWindow window;
    gboolean measured;

    if (run == NULL)
        return FALSE;
    moments.pipeline = run->pipeline;
    add_probe(run->streams[0].place, "sink", note_time, in);
    add_probe(run->streams[0].place, "src", note_time, out);
    add_probe(run->streams[0].end, "sink", note_late, &moments);
    measured = pipe_run_measure(run, options, seconds, &window, error);
    gst_element_set_state(run->pipeline, GST_STATE_NULL);
    if (!measured)
        return FALSE;
    print_list(text, "through_ns", out, in, &window);
    print_list(text, "late_ns", late, NULL, &window);
    pipe_run_print(run, &window, text->str);
    return TRUE;
}
