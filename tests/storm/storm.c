/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * storm --model=MODEL [--seconds=N] [--seed=N] [--streams=N] [--backend=all|cpu|ref|cuda] [--element=identity|queue]
 *
 * Rounds of some seconds with three pipelines each; says after each round what passed and what of the process is left.
 * Exit status 1 if anything was wrong.
 */
#include "storm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/fake.h"

#define N_PIPELINES 3
#define ROUND_US (8 * G_USEC_PER_SEC)
#define PATIENCE_US (60 * G_USEC_PER_SEC)
#define MOST_BAD 20

StormOptions storm = {.backend = "all", .element = "gpudlinfer", .seconds = 30, .seed = 1, .streams = 12};

static struct {
    GMutex lock;
    const gchar *what;
    gint64 since;
    guint n_bad, n_notes;
} state;

gboolean storm_is_control(void)
{
    return strcmp(storm.element, "gpudlinfer") != 0;
}

void storm_bad(const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;
    guint n;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_mutex_lock(&state.lock);
    n = ++state.n_bad;
    g_printerr("BAD: %s\n", text);
    g_mutex_unlock(&state.lock);
    if (n >= MOST_BAD)
        abort();
}

void storm_note(const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_mutex_lock(&state.lock);
    state.n_notes++;
    if (storm.verbose)
        g_printerr("note: %s\n", text);
    g_mutex_unlock(&state.lock);
}

void storm_begin(const gchar *what)
{
    g_mutex_lock(&state.lock);
    state.what = what;
    state.since = g_get_monotonic_time();
    g_mutex_unlock(&state.lock);
}

/* STORM_HOLD=1: stays for a debugger. */
static gpointer watch(gpointer data)
{
    for (;;) {
        gboolean hangs;

        g_usleep(G_USEC_PER_SEC);
        g_mutex_lock(&state.lock);
        hangs = g_get_monotonic_time() - state.since > PATIENCE_US;
        if (hangs)
            g_printerr("BAD: \"%s\" hangs\n", state.what);
        g_mutex_unlock(&state.lock);
        if (hangs && g_getenv("STORM_HOLD"))
            g_usleep(600 * G_USEC_PER_SEC);
        if (hangs)
            abort();
    }
    return NULL;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* What GStreamer does by itself: sources that are asked for other caps while they negotiate, and the end of a stream
 * that finds no link. Something else in gpudlinfer's place has it, too. */
static gboolean is_known(GstMessage *message, const gchar *debug)
{
    return debug &&
           ((strstr(debug, "not-negotiated") && g_str_has_prefix(GST_MESSAGE_SRC_NAME(message), "videotestsrc")) ||
            strstr(debug, "not-linked"));
}

static GstBusSyncReply on_message(GstBus *bus, GstMessage *message, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree gchar *debug = NULL;

    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        gst_message_parse_error(message, &error, &debug);
        if (is_known(message, debug))
            storm_note("%s: %s", GST_MESSAGE_SRC_NAME(message), debug);
        else
            storm_bad("error of %s: %s (%s)", GST_MESSAGE_SRC_NAME(message), error->message, debug);
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
        gst_message_parse_warning(message, &error, &debug);
        storm_note("warning of %s: %s", GST_MESSAGE_SRC_NAME(message), error->message);
    }
    gst_message_unref(message);
    return GST_BUS_DROP;
}

/* ---- what is left of the process --------------------------------------------------------------------------------- */

static gint count(const gchar *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    gint n = 0;

    while (dir && g_dir_read_name(dir))
        n++;
    if (dir)
        g_dir_close(dir);
    return n;
}

static guint64 resident_kb(void)
{
    g_autofree gchar *text = NULL;
    const gchar *second;

    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL) || !(second = strchr(text, ' ')))
        return 0;
    return g_ascii_strtoull(second, NULL, 10) * (guint64)sysconf(_SC_PAGESIZE) / 1024;
}

/* Threads of pools take a while to go; what is more than after the first round has been left behind. */
static void check_process(guint round)
{
    static gint threads, files;
    gint now = 0;

    for (guint i = 0; i < 30; i++) {
        now = count("/proc/self/task");
        if (round > 1 && now <= threads)
            break;
        g_usleep(100000);
    }
    if (round == 1) {
        threads = now + 2; /* of GLib's pools */
        files = count("/proc/self/fd");
    }
    if (now > threads)
        storm_bad("%d threads are left, %d after the first round", now, threads);
    if (count("/proc/self/fd") > files)
        storm_bad("%d files are open, %d after the first round", count("/proc/self/fd"), files);
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static void play_round(GRand *rand, gint64 end)
{
    StormPipeline pipelines[N_PIPELINES];

    for (guint i = 0; i < N_PIPELINES; i++) {
        g_autoptr(GstBus) bus = NULL;

        storm_begin("begin");
        pipeline_begin(&pipelines[i], rand, (guint)storm.streams / N_PIPELINES + 1);
        bus = gst_element_get_bus(pipelines[i].pipeline);
        gst_bus_set_sync_handler(bus, on_message, NULL, NULL);
        storm_set_state(pipelines[i].pipeline, GST_STATE_PLAYING);
    }
    while (g_get_monotonic_time() < end) {
        operation_run(&pipelines[g_rand_int_range(rand, 0, N_PIPELINES)], rand);
        g_usleep((gulong)g_rand_int_range(rand, 0, 20000));
    }
    for (guint i = 0; i < N_PIPELINES; i++) {
        storm_begin("end");
        pipeline_end(&pipelines[i]);
    }
}

/* The device takes a while, and is tuned in the background and while nothing runs. */
static void set_up_device(void)
{
    Fake *fake = fake_get("cuda");

    fake_lock(fake);
    fake->is.max_batch = 8;
    fake->is.n_buckets = 3;
    for (guint i = 0; i < 3; i++) {
        fake->is.buckets[i] = (const guint[]){1, 3, 8}[i];
        fake->is.bucket_ns[i] = (const guint64[]){100, 150, 400}[i];
    }
    fake->is.tunes = 1;
    fake->does.delay_us = 400;
    fake->does.idle_rounds = G_MAXUINT32;
    fake->does.idle_us = 200;
    fake_unlock(fake);
}

static void rage(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)storm.seed);
    gint64 end = g_get_monotonic_time() + storm.seconds * G_USEC_PER_SEC;

    for (guint round = 1; g_get_monotonic_time() < end; round++) {
        play_round(rand, MIN(end, g_get_monotonic_time() + ROUND_US));
        storm_begin("what is left");
        check_process(round);
        g_print("round %u: %" G_GUINT64_FORMAT " buffers, %u bad, %u notes; %d threads, %d files, %" G_GUINT64_FORMAT
                " kB\n",
                round, branch_count_buffers(), state.n_bad, state.n_notes, count("/proc/self/task"),
                count("/proc/self/fd"), resident_kb());
    }
}

int main(int argc, char **argv)
{
    const GOptionEntry entries[] = {
        {"model", 0, 0, G_OPTION_ARG_FILENAME, &storm.model, "Network of the classes red, green and blue", "FILE"},
        {"labels", 0, 0, G_OPTION_ARG_FILENAME, &storm.labels, "Another labels file for it", "FILE"},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &storm.backend, "cpu, ref, cuda or all", "NAME"},
        {"element", 0, 0, G_OPTION_ARG_STRING, &storm.element, "What stands in gpudlinfer's place", "FACTORY"},
        {"seconds", 0, 0, G_OPTION_ARG_INT, &storm.seconds, "How long", "N"},
        {"seed", 0, 0, G_OPTION_ARG_INT, &storm.seed, "Of the random numbers", "N"},
        {"streams", 0, 0, G_OPTION_ARG_INT, &storm.streams, "Branches to begin with", "N"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &storm.verbose, "Say what is known, too", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- random storm over gpudlinfer");
    g_autoptr(GError) error = NULL;
    g_autofree gchar *counts = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_group(context, gst_init_get_option_group());
    if (!g_option_context_parse(context, &argc, &argv, &error) || (!storm.model && !storm_is_control())) {
        g_printerr("storm: %s\n", error ? error->message : "no --model was given");
        return 2;
    }
    storm_begin("begin");
    g_thread_unref(g_thread_new("watch", watch, NULL));
    g_print("seed %d, backend %s, element %s\n", storm.seed, storm.backend, storm.element);
    if (!storm_is_control() && (strcmp(storm.backend, "all") == 0 || strcmp(storm.backend, "cuda") == 0))
        set_up_device();
    rage();
    counts = operation_counts();
    g_print("%s\n%s\n", counts, state.n_bad ? "FAILED" : "OK");
    gst_deinit();
    return state.n_bad != 0;
}
