/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One branch, and the probes that hold gpudlinfer to what it promises. */
#include <gst/video/video.h>
#include <string.h>

#include "storm.h"

#define TRACE_LENGTH 48
#define MARK "storm-mark" /* the structure of events that know their place */

/*
 * Pictures of calm branches are of one colour, by their serial. Networks have three classes: the means of red, green
 * and blue; the fake module takes the first byte, which is red's, modulo 3. These colours mean the same to both.
 */
#define CALM_CAPS "video/x-raw,format=RGB,width=40,height=32,framerate=400/1"
static const guint8 colours[3][3] = {{240, 10, 20}, {10, 240, 20}, {20, 10, 240}};
static const gchar *const names[3] = {"red", "green", "blue"};

static guint64 n_buffers; /* that left gpudlinfer; atomic by lock */
static GMutex n_buffers_lock;

guint64 branch_count_buffers(void)
{
    guint64 n;

    g_mutex_lock(&n_buffers_lock);
    n = n_buffers;
    g_mutex_unlock(&n_buffers_lock);
    return n;
}

/* ---- trace ------------------------------------------------------------------------------------------------------- */

/* Takes the text. Under the lock. */
static void trace_locked(Branch *branch, gchar *text)
{
    gchar *line = g_strdup_printf("%10.3f %s", (double)(g_get_monotonic_time() % 1000000000) / 1000, text);

    g_free(text);
    g_queue_push_tail(branch->trace, line);
    while (g_queue_get_length(branch->trace) > TRACE_LENGTH)
        g_free(g_queue_pop_head(branch->trace));
}

void branch_trace(Branch *branch, const gchar *format, ...)
{
    va_list args;
    gchar *text;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_mutex_lock(&branch->lock);
    trace_locked(branch, text);
    g_mutex_unlock(&branch->lock);
}

/* Under the lock. */
static void bad_locked(Branch *branch, const gchar *format, ...) G_GNUC_PRINTF(2, 3);

static void bad_locked(Branch *branch, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    g_autoptr(GString) all = g_string_new(NULL);
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    for (GList *l = branch->trace->head; l; l = l->next)
        g_string_append_printf(all, "\n  %s", (gchar *)l->data);
    storm_bad("branch %u: %s; epoch %u, in %u, out %d%s", branch->number, text, (guint)branch->epoch,
              (guint)branch->next_in, (gint)branch->last_out, all->str);
}

void branch_disturb(Branch *branch)
{
    g_mutex_lock(&branch->lock);
    branch->epoch++;
    branch->eos_out = FALSE;
    g_mutex_unlock(&branch->lock);
}

void branch_set_unlinked(Branch *branch, gboolean unlinked)
{
    g_mutex_lock(&branch->lock);
    branch->unlinked = unlinked;
    branch->epoch++;
    g_mutex_unlock(&branch->lock);
}

/* ---- in front of gpudlinfer -------------------------------------------------------------------------------------- */

static void draw(GstBuffer *buffer, guint64 serial)
{
    GstMapInfo map;

    if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE))
        return;
    for (gsize i = 0; i + 3 <= map.size; i += 3)
        memcpy(map.data + i, colours[serial % 3], 3); /* rows of CALM_CAPS have no padding */
    gst_buffer_unmap(buffer, &map);
}

/* Before some buffers: an event that says which one follows it, and one that sticks. */
static void send_events(GstPad *pad, guint64 serial, guint64 epoch)
{
    if (serial % 3 == 0)
        gst_pad_send_event(pad, gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                                                     gst_structure_new(MARK, "serial", G_TYPE_UINT64, serial, "epoch",
                                                                       G_TYPE_UINT64, epoch, NULL)));
    if (serial % 7 == 0)
        gst_pad_send_event(pad, gst_event_new_tag(gst_tag_list_new(GST_TAG_TRACK_NUMBER, (guint)serial + 1, NULL)));
}

static void buffer_comes(Branch *branch, GstPad *pad, GstPadProbeInfo *info)
{
    GstBuffer *buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
    guint64 serial, epoch;

    g_mutex_lock(&branch->lock);
    serial = branch->next_in;
    branch->epoch += branch->unlinked;
    epoch = branch->epoch;
    g_mutex_unlock(&branch->lock);
    send_events(pad, serial, epoch);
    g_mutex_lock(&branch->lock);
    branch->next_in++;
    GST_BUFFER_OFFSET(buffer) = serial;
    GST_BUFFER_OFFSET_END(buffer) = (branch->number & 0xffff) | branch->epoch << 16;
    trace_locked(branch, g_strdup_printf("in %u", (guint)serial));
    g_mutex_unlock(&branch->lock);
    if (branch->calm)
        draw(buffer, serial);
    GST_PAD_PROBE_INFO_DATA(info) = buffer;
}

static GstPadProbeReturn in_probe(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    Branch *branch = data;
    GstEventType type;

    if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
        buffer_comes(branch, pad, info);
        return GST_PAD_PROBE_OK;
    }
    type = GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info));
    branch_trace(branch, "in %s", gst_event_type_get_name(type));
    if (type == GST_EVENT_FLUSH_START || type == GST_EVENT_FLUSH_STOP)
        branch_disturb(branch);
    return GST_PAD_PROBE_OK;
}

/* The end of the stream, from the streaming thread itself. */
static GstPadProbeReturn end_probe(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    Branch *branch = data;

    if (!g_atomic_int_compare_and_exchange(&branch->want_eos, 1, 0))
        return GST_PAD_PROBE_OK;
    gst_pad_push_event(pad, gst_event_new_eos());
    return GST_PAD_PROBE_DROP;
}

/* ---- behind it --------------------------------------------------------------------------------------------------- */

static guint count_metas(GstBuffer *buffer)
{
    GType api = gst_meta_get_info("GpudlClassificationMeta")->api;
    gpointer state = NULL;
    guint n = 0;

    while (gst_buffer_iterate_meta_filtered(buffer, &state, api))
        n++;
    return n;
}

/* Under the lock. */
static void check_result(Branch *branch, GstBuffer *buffer, guint64 serial)
{
    GstCustomMeta *meta = gst_buffer_get_custom_meta(buffer, "GpudlClassificationMeta");
    const GstStructure *s = meta ? gst_custom_meta_get_structure(meta) : NULL;
    const GValue *labels;
    const gchar *label;
    guint64 pts;
    guint n;

    if (!s) {
        bad_locked(branch, "buffer %u has no result", (guint)serial);
        return;
    }
    n = count_metas(buffer);
    if (n != 1)
        bad_locked(branch, "buffer %u has %u results", (guint)serial, n);
    if (!gst_structure_get_uint64(s, "source-pts", &pts) || pts != GST_BUFFER_PTS(buffer))
        bad_locked(branch, "buffer %u has the result of another time", (guint)serial);
    if (!branch->calm)
        return;
    labels = gst_structure_get_value(s, "labels");
    label = labels && gst_value_array_get_size(labels) > 0 ? g_value_get_string(gst_value_array_get_value(labels, 0))
                                                           : "nothing";
    if (strcmp(label, names[serial % 3]) != 0)
        bad_locked(branch, "buffer %u shows %s and is said to show %s", (guint)serial, names[serial % 3], label);
}

/* Under the lock. */
static void check_order(Branch *branch, guint64 serial, guint64 mark)
{
    guint64 epoch = mark >> 16;

    if ((mark & 0xffff) != (branch->number & 0xffff))
        bad_locked(branch, "a buffer of branch %u", (guint)(mark & 0xffff));
    if (serial >= branch->next_in)
        bad_locked(branch, "buffer %u has not come in yet", (guint)serial);
    if ((gint64)serial <= branch->last_out)
        bad_locked(branch, "buffer %u after %d", (guint)serial, (gint)branch->last_out);
    else if (branch->last_out >= 0 && (gint64)serial != branch->last_out + 1 && epoch == branch->last_epoch)
        bad_locked(branch, "%d to %u are lost", (gint)branch->last_out + 1, (guint)serial - 1);
    if (branch->eos_out)
        bad_locked(branch, "buffer %u after the end", (guint)serial);
    branch->last_epoch = epoch;
    branch->last_out = (gint64)serial;
}

static void buffer_leaves(Branch *branch, GstBuffer *buffer)
{
    guint64 serial = GST_BUFFER_OFFSET(buffer);

    g_mutex_lock(&n_buffers_lock);
    n_buffers++;
    g_mutex_unlock(&n_buffers_lock);
    g_mutex_lock(&branch->lock);
    trace_locked(branch, g_strdup_printf("        out %u", (guint)serial));
    check_order(branch, serial, GST_BUFFER_OFFSET_END(buffer));
    if (!storm_is_control() && !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP))
        check_result(branch, buffer, serial);
    g_mutex_unlock(&branch->lock);
}

/* Under the lock. */
static void check_mark(Branch *branch, GstEvent *event)
{
    guint64 serial, epoch;

    if (!gst_event_has_name(event, MARK) || !gst_structure_get(gst_event_get_structure(event), "serial", G_TYPE_UINT64,
                                                               &serial, "epoch", G_TYPE_UINT64, &epoch, NULL))
        return;
    if (branch->last_out >= (gint64)serial)
        bad_locked(branch, "the event before buffer %u comes after %d", (guint)serial, (gint)branch->last_out);
    else if (branch->last_out >= 0 && branch->last_out + 1 != (gint64)serial && epoch == branch->last_epoch)
        bad_locked(branch, "the event before buffer %u comes right after %d", (guint)serial, (gint)branch->last_out);
}

static GstPadProbeReturn out_probe(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    Branch *branch = data;
    GstEventType type;

    if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
        buffer_leaves(branch, GST_PAD_PROBE_INFO_BUFFER(info));
        if (!g_atomic_int_compare_and_exchange(&branch->want_seek, 1, 2))
            return GST_PAD_PROBE_OK;
        branch_seek(branch, FALSE);
        g_atomic_int_set(&branch->want_seek, 0);
        return GST_PAD_PROBE_DROP; /* it is of before */
    }
    type = GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info));
    g_mutex_lock(&branch->lock);
    trace_locked(branch, g_strdup_printf("        out %s", gst_event_type_get_name(type)));
    check_mark(branch, GST_PAD_PROBE_INFO_EVENT(info));
    if (type == GST_EVENT_EOS) {
        if (branch->last_out >= 0 && branch->last_out + 1 != (gint64)branch->next_in &&
            branch->epoch == branch->last_epoch && gst_pad_is_linked(pad))
            bad_locked(branch, "the end before the last buffer");
        branch->eos_out = TRUE;
    }
    g_mutex_unlock(&branch->lock);
    return GST_PAD_PROBE_OK;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void branch_set_random_caps(Branch *branch, GRand *rand)
{
    static const gchar *const formats[] = {"NV12", "I420", "RGB",  "BGRx",      "YUY2",     "GRAY8",
                                           "RGBP", "Y444", "ARGB", "P010_10LE", "I420_10LE"};
    g_autofree gchar *text =
        g_strdup_printf("video/x-raw,format=%s,width=%d,height=%d,framerate=%d/1",
                        formats[g_rand_int_range(rand, 0, G_N_ELEMENTS(formats))], g_rand_int_range(rand, 16, 120),
                        g_rand_int_range(rand, 16, 120), g_rand_int_range(rand, 100, 1000));
    g_autoptr(GstCaps) caps = gst_caps_from_string(text);

    g_object_set(branch->caps, "caps", caps, NULL);
}

static GstElement *make(Branch *branch, const gchar *factory)
{
    GstElement *element = gst_element_factory_make(factory, NULL);

    if (!element)
        g_error("there is no element %s", factory);
    gst_bin_add(GST_BIN(branch->bin), element);
    return element;
}

static void probe(Branch *branch, GstElement *element, const gchar *name, GstPadProbeType type,
                  GstPadProbeCallback func)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(element, name);

    gst_pad_add_probe(pad, type, func, branch, NULL);
}

static void set_up_infer(Branch *branch, GRand *rand)
{
    static const gchar *const backends[] = {"cpu", "ref", "cuda"};
    const gchar *backend = storm.backend;

    if (storm_is_control())
        return;
    if (strcmp(backend, "all") == 0)
        backend = backends[g_rand_int_range(rand, 0, G_N_ELEMENTS(backends))];
    g_object_set(branch->infer, "model", storm.model, "async-depth", g_rand_int_range(rand, 0, 6), NULL);
    gst_util_set_object_arg(G_OBJECT(branch->infer), "backend", backend);
}

Branch *branch_new(GRand *rand, gboolean calm)
{
    static guint n_branches;
    Branch *branch = g_new0(Branch, 1);
    GstElement *tee, *queue, *sink;

    branch->number = n_branches++;
    branch->calm = calm && !storm_is_control();
    branch->last_out = -1;
    branch->trace = g_queue_new();
    g_mutex_init(&branch->lock);
    branch->bin = gst_bin_new(NULL);
    branch->source = make(branch, "videotestsrc");
    branch->caps = make(branch, "capsfilter");
    tee = make(branch, "tee");
    branch->queue = make(branch, "queue");
    branch->infer = make(branch, storm.element);
    branch->sink = make(branch, "fakesink");
    queue = make(branch, "queue");
    sink = make(branch, "fakesink");
    g_object_set(branch->source, "is-live", g_rand_int_range(rand, 0, 2), "pattern", g_rand_int_range(rand, 0, 20),
                 NULL);
    if (calm)
        gst_util_set_object_arg(G_OBJECT(branch->caps), "caps", CALM_CAPS);
    else
        branch_set_random_caps(branch, rand);
    g_object_set(branch->queue, "max-size-buffers", g_rand_int_range(rand, 1, 6), NULL);
    g_object_set(queue, "max-size-buffers", g_rand_int_range(rand, 1, 6), NULL);
    set_up_infer(branch, rand);
    g_object_set(branch->sink, "sync", g_rand_int_range(rand, 0, 2), "async", FALSE, NULL);
    g_object_set(sink, "sync", FALSE, "async", FALSE, NULL);
    gst_element_link_many(branch->source, branch->caps, tee, branch->queue, branch->infer, branch->sink, NULL);
    gst_element_link_many(tee, queue, sink, NULL);
    probe(branch, branch->infer, "sink",
          GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_EVENT_FLUSH, in_probe);
    probe(branch, branch->caps, "src", GST_PAD_PROBE_TYPE_BUFFER, end_probe);
    probe(branch, branch->infer, "src", GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, out_probe);
    return branch;
}

void branch_stop(Branch *branch)
{
    g_autoptr(GstElement) pipeline = GST_ELEMENT(gst_object_get_parent(GST_OBJECT(branch->bin)));

    branch_disturb(branch);
    storm_set_state(branch->bin, GST_STATE_NULL);
    gst_bin_remove(GST_BIN(pipeline), branch->bin);
}

void branch_free(Branch *branch)
{
    g_queue_free_full(branch->trace, g_free);
    g_mutex_clear(&branch->lock);
    g_free(branch);
}

void branch_seek(Branch *branch, gboolean from_sink)
{
    g_autoptr(GstPad) pad = from_sink ? gst_element_get_static_pad(branch->sink, "sink")
                                      : gst_element_get_static_pad(branch->source, "src");
    GstEvent *event =
        gst_event_new_seek(1.0, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, -1);

    branch_disturb(branch);
    if (from_sink)
        gst_pad_push_event(pad, event);
    else
        gst_pad_send_event(pad, event);
    branch_disturb(branch);
    branch->eos = FALSE;
}

void branch_seek_from_below(Branch *branch)
{
    g_atomic_int_set(&branch->want_seek, 1);
    for (guint i = 0; i < 30 && g_atomic_int_get(&branch->want_seek) == 1; i++)
        g_usleep(1000);
    if (g_atomic_int_compare_and_exchange(&branch->want_seek, 1, 0))
        return;
    while (g_atomic_int_get(&branch->want_seek) != 0)
        g_usleep(200);
}
