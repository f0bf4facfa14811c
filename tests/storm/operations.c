/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the storm does. */
#include "storm.h"

#include "kernels/frame.h"

#define MOST_BRANCHES 24

/* branch: one of the pipeline's; not called while there is none. */
typedef void (*Operation)(StormPipeline *pipeline, Branch *branch, GRand *rand);

void storm_set_state(GstElement *element, GstState state)
{
    if (gst_element_set_state(element, state) == GST_STATE_CHANGE_FAILURE)
        storm_bad("%s can't go to %s", GST_OBJECT_NAME(element), gst_element_state_get_name(state));
}

static gboolean one_of(GRand *rand, gint n)
{
    return g_rand_int_range(rand, 0, n) == 0;
}

/* ---- flushes and ends -------------------------------------------------------------------------------------------- */

static void seek_from_sink(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    branch_seek(branch, TRUE);
}

static void seek_from_below(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    branch_seek_from_below(branch);
}

static void flush(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(branch->queue, "sink");

    branch_disturb(branch);
    gst_pad_send_event(pad, gst_event_new_flush_start());
    if (one_of(rand, 2))
        g_usleep((gulong)g_rand_int_range(rand, 0, 3000));
    gst_pad_send_event(pad, gst_event_new_flush_stop(TRUE));
    branch_seek(branch, FALSE); /* for a segment, and sources that have stopped meanwhile */
}

static gpointer flush_again_and_again(gpointer data)
{
    GstPad *pad = data;

    for (guint i = 0; i < 6; i++) {
        gst_pad_send_event(pad, gst_event_new_flush_start());
        gst_pad_send_event(pad, gst_event_new_flush_stop(TRUE));
    }
    return NULL;
}

static GstPadProbeReturn drop(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    return GST_PAD_PROBE_DROP;
}

/* A branch ends while it is being flushed. The sink sees nothing of it: a GstBaseSink that is flushed asks for the
 * latency anew, which waits for the state's lock, whose holder waits for the flush. Not with a queue in gpudlinfer's
 * place, which hangs in it now and then. */
static void stop_while_flushing(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(branch->infer, "sink");
    g_autoptr(GstPad) source = gst_element_get_static_pad(branch->infer, "src");
    GThread *thread;

    if (storm_is_control() || !one_of(rand, 3))
        return;
    g_ptr_array_remove(pipeline->branches, branch);
    branch_disturb(branch);
    gst_pad_add_probe(source, GST_PAD_PROBE_TYPE_EVENT_FLUSH, drop, NULL, NULL);
    thread = g_thread_new("flush", flush_again_and_again, pad);
    branch_stop(branch);
    g_thread_join(thread);
    branch_free(branch);
}

static void end(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (branch->eos)
        return;
    branch->eos = TRUE;
    g_atomic_int_set(&branch->want_eos, 1);
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static void pause_all(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    storm_set_state(pipeline->pipeline, GST_STATE_PAUSED);
}

static void play_all(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    storm_set_state(pipeline->pipeline, GST_STATE_PLAYING);
}

static void disturb_all(StormPipeline *pipeline)
{
    for (guint i = 0; i < pipeline->branches->len; i++) {
        Branch *branch = pipeline->branches->pdata[i];

        branch_disturb(branch);
        branch->eos = FALSE;
    }
}

static void restart(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (!one_of(rand, 4))
        return;
    disturb_all(pipeline);
    storm_set_state(pipeline->pipeline, one_of(rand, 2) ? GST_STATE_READY : GST_STATE_NULL);
    disturb_all(pipeline);
    storm_set_state(pipeline->pipeline, GST_STATE_PLAYING);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void change_caps(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (!branch->calm)
        branch_set_random_caps(branch, rand);
}

static void change_results(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (!branch->calm && !storm_is_control())
        g_object_set(branch->infer, "top-k", g_rand_int_range(rand, 0, 5), "threshold",
                     g_rand_double_range(rand, 0, 0.5), NULL);
}

static void change_preprocessing(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (!branch->calm && !storm_is_control())
        g_object_set(branch->infer, "resize-mode", g_rand_int_range(rand, 0, GPUDL_RESIZE_LAST + 1), "scale-method",
                     g_rand_int_range(rand, 0, GPUDL_SCALE_LAST + 1), "pad-color", g_rand_int_range(rand, 0, 0xffffff),
                     "crop-fraction", g_rand_double_range(rand, 0.1, 1), NULL);
}

static void change_labels(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (!branch->calm && !storm_is_control())
        g_object_set(branch->infer, "labels-file", one_of(rand, 2) ? storm.labels : NULL, "post-messages",
                     g_rand_int_range(rand, 0, 2), NULL);
}

/* ---- branches ---------------------------------------------------------------------------------------------------- */

static void remove_branch(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (!one_of(rand, 3))
        return;
    g_ptr_array_remove(pipeline->branches, branch);
    branch_stop(branch);
    branch_free(branch);
}

static Branch *add_branch(StormPipeline *pipeline, GRand *rand)
{
    Branch *branch = branch_new(rand, !one_of(rand, 3));

    gst_bin_add(GST_BIN(pipeline->pipeline), branch->bin);
    g_ptr_array_add(pipeline->branches, branch);
    return branch;
}

static void add(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    if (pipeline->branches->len >= MOST_BRANCHES)
        return;
    branch = add_branch(pipeline, rand);
    if (!gst_element_sync_state_with_parent(branch->bin))
        storm_bad("a new branch does not start");
}

/* Another sink; buffers meet no link in between, and perhaps an old one that is going. */
static void relink(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    GstElement *old = branch->sink, *fresh = gst_element_factory_make("fakesink", NULL);
    g_autoptr(GstPad) source = gst_element_get_static_pad(branch->infer, "src");
    g_autoptr(GstPad) from = gst_element_get_static_pad(old, "sink");
    g_autoptr(GstPad) to = gst_element_get_static_pad(fresh, "sink");

    g_object_set(fresh, "sync", FALSE, "async", FALSE, NULL);
    branch_set_unlinked(branch, TRUE);
    gst_pad_unlink(source, from);
    if (one_of(rand, 2))
        g_usleep((gulong)g_rand_int_range(rand, 0, 4000));
    gst_bin_add(GST_BIN(branch->bin), fresh);
    gst_element_sync_state_with_parent(fresh);
    if (gst_pad_link(source, to) != GST_PAD_LINK_OK)
        storm_bad("branch %u takes no other sink", branch->number);
    branch_set_unlinked(branch, FALSE);
    storm_set_state(old, GST_STATE_NULL);
    gst_bin_remove(GST_BIN(branch->bin), old);
    branch->sink = fresh;
    branch_seek(branch, FALSE); /* sources that stopped without a link go on */
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static void ask(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    g_autoptr(GstStructure) stats = NULL, info = NULL;
    g_autoptr(GstQuery) query = gst_query_new_latency();
    GstClockTime least, most;
    gboolean live;

    if (!storm_is_control())
        g_object_get(branch->infer, "stats", &stats, "model-info", &info, NULL);
    if (!gst_element_query(pipeline->pipeline, query))
        return;
    gst_query_parse_latency(query, &live, &least, &most);
    if (live && most != GST_CLOCK_TIME_NONE && least > most)
        storm_note("latency of %" G_GUINT64_FORMAT " at least and %" G_GUINT64_FORMAT " at most", least, most);
}

static void complain(StormPipeline *pipeline, Branch *branch, GRand *rand)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(branch->sink, "sink");

    gst_pad_push_event(pad, gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 0.5, 1000, 0));
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static struct {
    const gchar *name;
    Operation run;
    guint n;
} operations[] = {
    {"seek", seek_from_sink, 0},
    {"seek-from-below", seek_from_below, 0},
    {"flush", flush, 0},
    {"stop-while-flushing", stop_while_flushing, 0},
    {"end", end, 0},
    {"pause", pause_all, 0},
    {"play", play_all, 0},
    {"play", play_all, 0},
    {"restart", restart, 0},
    {"caps", change_caps, 0},
    {"caps", change_caps, 0},
    {"results", change_results, 0},
    {"preprocessing", change_preprocessing, 0},
    {"labels", change_labels, 0},
    {"remove", remove_branch, 0},
    {"add", add, 0},
    {"relink", relink, 0},
    {"ask", ask, 0},
    {"complain", complain, 0},
};

void operation_run(StormPipeline *pipeline, GRand *rand)
{
    guint i = (guint)g_rand_int_range(rand, 0, G_N_ELEMENTS(operations));
    Branch *branch = NULL;

    if (pipeline->branches->len > 0)
        branch = pipeline->branches->pdata[g_rand_int_range(rand, 0, (gint)pipeline->branches->len)];
    if (!branch && operations[i].run != add)
        return;
    storm_begin(operations[i].name);
    operations[i].n++;
    if (branch)
        branch_trace(branch, "-- %s", operations[i].name);
    operations[i].run(pipeline, branch, rand);
}

gchar *operation_counts(void)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(operations); i++)
        g_string_append_printf(text, "%s%s %u", i ? ", " : "", operations[i].name, operations[i].n);
    return g_string_free(text, FALSE);
}

void pipeline_begin(StormPipeline *pipeline, GRand *rand, guint n_branches)
{
    pipeline->pipeline = gst_pipeline_new(NULL);
    pipeline->branches = g_ptr_array_new();
    for (guint i = 0; i < n_branches; i++)
        add_branch(pipeline, rand);
}

void pipeline_end(StormPipeline *pipeline)
{
    disturb_all(pipeline);
    storm_set_state(pipeline->pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline->pipeline);
    for (guint i = 0; i < pipeline->branches->len; i++)
        branch_free(pipeline->branches->pdata[i]);
    g_ptr_array_unref(pipeline->branches);
}
