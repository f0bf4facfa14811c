/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media-hold.h"

/* An element that may not pull yet. */
typedef struct {
    GstPad *pad;
    gulong probe;
} Held;

/* What is known of one bin with a typefind in it, from the adding of the typefind until it has told the type. */
typedef struct {
    GMutex lock;
    GArray *held; /* of Held; NULL once the type is told */
} Holder;

static const gchar holder_key[] = "gpudl-media-holder";

static void release(Holder *holder)
{
    GArray *held;

    g_mutex_lock(&holder->lock);
    held = g_steal_pointer(&holder->held);
    g_mutex_unlock(&holder->lock);
    for (guint i = 0; held != NULL && i < held->len; i++) {
        Held *h = &g_array_index(held, Held, i);

        gst_pad_remove_probe(h->pad, h->probe);
        gst_object_unref(h->pad);
    }
    if (held != NULL)
        g_array_unref(held);
}

static void holder_free(gpointer data)
{
    Holder *holder = data;

    release(holder);
    g_mutex_clear(&holder->lock);
    g_free(holder);
}

/* After decodebin's own handler: what it plugs behind the typefind is exposed or has told where to wait for its pads.
 */
static void on_type_told(GstElement *typefind, guint probability, GstCaps *caps, gpointer user_data)
{
    release(user_data);
}

/* OK keeps the pulling thread waiting. The thread that plugs would wait for itself: elements may look into the data
 * while they are started. */
static GstPadProbeReturn on_pull(GstPad *pad, GstPadProbeInfo *info, gpointer plugging_thread)
{
    return g_thread_self() == plugging_thread ? GST_PAD_PROBE_PASS : GST_PAD_PROBE_OK;
}

static void hold(Holder *holder, GstElement *element)
{
    Held h = {.pad = gst_element_get_static_pad(element, "sink")};

    g_mutex_lock(&holder->lock);
    if (h.pad != NULL && holder->held != NULL) {
        h.probe = gst_pad_add_probe(h.pad, GST_PAD_PROBE_TYPE_PULL | GST_PAD_PROBE_TYPE_BLOCK, on_pull, g_thread_self(),
                                    NULL);
        g_array_append_val(holder->held, h);
        h.pad = NULL;
    }
    g_mutex_unlock(&holder->lock);
    gst_clear_object(&h.pad);
}

static gboolean is_typefind(GstElement *element)
{
    GstElementFactory *factory = gst_element_get_factory(element);

    return factory != NULL && g_str_equal(GST_OBJECT_NAME(factory), "typefind");
}

static void watch(GObject *bin, GstElement *typefind)
{
    Holder *holder = g_new0(Holder, 1);

    g_mutex_init(&holder->lock);
    holder->held = g_array_new(FALSE, FALSE, sizeof(Held));
    g_object_set_data_full(bin, holder_key, holder, holder_free);
    g_signal_connect_after(typefind, "have-type", G_CALLBACK(on_type_told), holder);
}

static void on_element_added(GstBin *pipeline, GstBin *bin, GstElement *element, gpointer user_data)
{
    Holder *holder = g_object_get_data(G_OBJECT(bin), holder_key);

    if (holder != NULL)
        hold(holder, element);
    else if (is_typefind(element))
        watch(G_OBJECT(bin), element);
}

/* A decodebin that is there already has its typefind. */
static void on_element_there(const GValue *value, gpointer user_data)
{
    GstElement *element = g_value_get_object(value);
    g_autoptr(GstObject) bin = gst_object_get_parent(GST_OBJECT(element));

    if (bin != NULL && is_typefind(element))
        watch(G_OBJECT(bin), element);
}

void gpudl_media_hold_pullers(GstElement *pipeline)
{
    GstIterator *there = gst_bin_iterate_recurse(GST_BIN(pipeline));

    gst_iterator_foreach(there, on_element_there, NULL);
    gst_iterator_free(there);
    g_signal_connect(pipeline, "deep-element-added", G_CALLBACK(on_element_added), NULL);
}
