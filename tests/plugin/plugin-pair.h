/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Two streams of one pipeline that share a session over the fake modules of plugin-fake.h: each is pushed by the test into
 * a gpudlinfer, as an element before it would, whose sink keeps its first frame until both have one and play.
 */
#ifndef TESTS_PLUGIN_PAIR_H
#define TESTS_PLUGIN_PAIR_H

#include <gst/gst.h>

/** async-depth of both. */
#define PLUGIN_PAIR_DEPTH 2

typedef struct {
    GstElement *infer, *sink;
    GstPad *src;       /* what is pushed goes into it */
    gint reconfigured; /* atomic: how often it has been asked to negotiate anew */
    gint asked;        /* atomic: ALLOCATION queries that the sink has had */
} PluginPairStream;

typedef struct {
    GstElement *pipeline;
    PluginPairStream streams[2];
} PluginPair;

/** Makes them, PAUSED but for their first frames. The model is of plugin_fake_model(). */
void plugin_pair_init(PluginPair *pair, const gchar *model);
/** No error has been posted; shuts them down. */
void plugin_pair_clear(PluginPair *pair);

/** Both sinks have a frame, or play. */
void plugin_pair_await_state(PluginPair *pair, GstState state);
/** The pipeline's; waits for it. */
void plugin_pair_set_state(PluginPair *pair, GstState state);

/** Stream-start, caps and segment of PLUGIN_TEST_GRAY; an event, which it takes; frame n, all of n % 256. */
void plugin_pair_begin(PluginPairStream *stream);
gboolean plugin_pair_push_event(PluginPairStream *stream, GstEvent *event);
GstFlowReturn plugin_pair_push_frame(PluginPairStream *stream, guint n);
GstEvent *plugin_pair_new_segment(GstClockTime base);
GstEvent *plugin_pair_new_caps(const gchar *text);

/** The sink has got a frame and keeps it. */
void plugin_pair_await_preroll(PluginPairStream *stream);
/** Asks for an allocation, as an element that has something to allocate: TRUE and with an entry, whoever has answered. */
void plugin_pair_ask(PluginPairStream *stream);
/** The sink asks to negotiate anew. */
void plugin_pair_reconfigure(PluginPairStream *stream);

/** Somebody else is in what the stream's sink pad does with a frame, a serialized event or query, and has got past what it
 * stores and refuses on the way there. */
void plugin_pair_await_inside(PluginPairStream *stream);

/** Begins both and gives each a frame, in one thread: were it to wait until the first stream's sink plays, the second one
 * would never get the frame that playing waits for. data: the pair. For g_thread_new(). */
gpointer plugin_pair_feed(gpointer data);

#endif
