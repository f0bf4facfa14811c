/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "puller.h"

#include <string.h>

#define CAPS "application/x-gpudl-puller"
#define FRAME_CAPS "video/x-raw, format=GRAY8, width=4, height=4, framerate=25/1"
#define FRAME_DURATION (GST_SECOND / 25)

typedef struct {
    GstElement parent;
    GstPad *sink, *src;
    guint n_frames;
    gint running; /* atomic: its thread was started */
} Puller;

typedef struct {
    GstElementClass parent;
} PullerClass;

GType puller_get_type(void);
G_DEFINE_TYPE(Puller, puller, GST_TYPE_ELEMENT)

static void begin(Puller *self)
{
    g_autoptr(GstCaps) caps = gst_caps_from_string(FRAME_CAPS);
    GstSegment segment;

    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(self->src, gst_event_new_stream_start("puller"));
    gst_pad_push_event(self->src, gst_event_new_caps(caps));
    gst_pad_push_event(self->src, gst_event_new_segment(&segment));
}

static GstFlowReturn push_one(Puller *self)
{
    GstBuffer *byte = NULL, *frame;
    GstFlowReturn flow = gst_pad_pull_range(self->sink, strlen(PULLER_MAGIC) + self->n_frames, 1, &byte);
    guint8 value;

    if (flow != GST_FLOW_OK)
        return flow;
    gst_buffer_extract(byte, 0, &value, 1);
    gst_buffer_unref(byte);
    if (value == PULLER_HANGS) {
        g_usleep(PULLER_DELAY_US);
        return GST_FLOW_OK;
    }
    if (self->n_frames == 0)
        begin(self);
    frame = gst_buffer_new_allocate(NULL, PULLER_SIDE * PULLER_SIDE, NULL);
    gst_buffer_memset(frame, 0, value, PULLER_SIDE * PULLER_SIDE);
    GST_BUFFER_PTS(frame) = self->n_frames++ * FRAME_DURATION;
    GST_BUFFER_DURATION(frame) = FRAME_DURATION;
    return gst_pad_push(self->src, frame);
}

static void loop(gpointer user_data)
{
    Puller *self = user_data;
    GstFlowReturn flow = push_one(self);

    if (flow == GST_FLOW_OK)
        return;
    gst_pad_pause_task(self->sink);
    if (flow == GST_FLOW_FLUSHING)
        return;
    if (flow != GST_FLOW_EOS)
        GST_ELEMENT_FLOW_ERROR(self, flow);
    gst_pad_push_event(self->src, gst_event_new_eos());
}

static gboolean activate(GstPad *pad, GstObject *parent)
{
    return gst_pad_activate_mode(pad, GST_PAD_MODE_PULL, TRUE);
}

static gboolean activate_mode(GstPad *pad, GstObject *parent, GstPadMode mode, gboolean active)
{
    g_atomic_int_set(&((Puller *)parent)->running, active);
    return active ? gst_pad_start_task(pad, loop, parent, NULL) : gst_pad_stop_task(pad);
}

static gboolean query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    if (GST_QUERY_TYPE(query) == GST_QUERY_CAPS && g_atomic_int_get(&((Puller *)parent)->running))
        g_usleep(PULLER_DELAY_US);
    return gst_pad_query_default(pad, parent, query);
}

static void puller_class_init(PullerClass *klass)
{
    GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
    g_autoptr(GstCaps) in = gst_caps_from_string(CAPS), out = gst_caps_from_string("video/x-raw, format=GRAY8");

    gst_element_class_set_static_metadata(element_class, "Puller", "Codec/Demuxer", "test double", "gpudl");
    gst_element_class_add_pad_template(element_class, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, in));
    gst_element_class_add_pad_template(element_class, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, out));
}

static void puller_init(Puller *self)
{
    GstElementClass *element_class = GST_ELEMENT_GET_CLASS(self);

    self->sink = gst_pad_new_from_template(gst_element_class_get_pad_template(element_class, "sink"), "sink");
    self->src = gst_pad_new_from_template(gst_element_class_get_pad_template(element_class, "src"), "src");
    gst_pad_set_activate_function(self->sink, activate);
    gst_pad_set_activatemode_function(self->sink, activate_mode);
    gst_pad_set_query_function(self->src, query);
    gst_element_add_pad(GST_ELEMENT(self), self->sink);
    gst_element_add_pad(GST_ELEMENT(self), self->src);
}

static void find_type(GstTypeFind *find, gpointer user_data)
{
    const guint8 *data = gst_type_find_peek(find, 0, strlen(PULLER_MAGIC));

    if (data != NULL && memcmp(data, PULLER_MAGIC, strlen(PULLER_MAGIC)) == 0)
        gst_type_find_suggest_empty_simple(find, GST_TYPE_FIND_MAXIMUM, CAPS);
}

void puller_register(void)
{
    g_autoptr(GstCaps) caps = gst_caps_from_string(CAPS);

    gst_type_find_register(NULL, "gpudl-puller", GST_RANK_PRIMARY, find_type, NULL, caps, NULL, NULL);
    gst_element_register(NULL, "gpudlpuller", GST_RANK_PRIMARY, puller_get_type());
}
