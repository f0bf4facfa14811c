/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the plugin's suites share: start and leak check, model files, harnesses, frames, a record of what leaves.
 */
#ifndef TESTS_PLUGIN_TEST_H
#define TESTS_PLUGIN_TEST_H

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gst/video/video.h>

/** Starts GStreamer with the leaks tracer and GLib's test program. */
void plugin_test_init(int *argc, char ***argv);

/** Runs the tests, then shuts GStreamer down and counts what is still alive: not 0 fails the program. */
int plugin_test_run(void);

/** A file with this text in the test's own folder, which is removed at the end; the path is valid until then. */
const gchar *plugin_test_file(const gchar *name, const gchar *text);

/** A folder's path, and one where nothing is. */
const gchar *plugin_test_folder(void);
const gchar *plugin_test_missing(void);

/** An element of this factory; "name=value" settings as in gst-launch follow, ended by NULL. */
GstElement *plugin_test_element(const gchar *factory, ...) G_GNUC_NULL_TERMINATED;

/** A harness round an element, which it takes; caps NULL: none pushed yet. The element has a bus of its own. */
GstHarness *plugin_test_harness(GstElement *element, const gchar *caps);

/** Ends a harness of plugin_test_harness() and what is left on its bus. */
void plugin_test_teardown(GstHarness *h);

/** Takes the next message of these types off the element's bus, waiting up to 20 seconds; NULL: none. */
GstMessage *plugin_test_message(GstElement *element, GstMessageType types);

/** Exactly one error is on the bus, with this domain and code; and nothing else of the kind comes. */
void plugin_test_one_error(GstElement *element, GQuark domain, gint code);

/** No error is on its bus; works for pipelines, too. */
void plugin_test_no_error(GstElement *element);

/** How many LATENCY messages the element has posted; they are taken off its bus, and all before them. */
guint plugin_test_take_latency_messages(GstHarness *h);
/** The least latency by a LATENCY query from downstream. */
GstClockTime plugin_test_query_latency(GstHarness *h);

/** The smallest frames: caps and bytes. */
#define PLUGIN_TEST_GRAY "video/x-raw,format=GRAY8,width=4,height=4,framerate=50/1"
#define PLUGIN_TEST_GRAY_SIZE 16

/** Bytes all of one value; pts n frames of 20 ms. */
GstBuffer *plugin_test_frame(gsize size, guint8 value, guint n);

/** What left the element's source pad, in order: "C" caps, "S" segment, "E" EOS, "G" gap, "<" flush start, ">" flush
 * stop, "T" tag, "B" buffer, others not. */
typedef struct {
    GMutex lock;
    GCond more;
    GString *text;
} PluginTestRecord;

PluginTestRecord *plugin_test_record_new(GstHarness *h);
/** The text once it has so many letters, freed by the caller; forgets it. */
gchar *plugin_test_record_take(PluginTestRecord *record, gsize letters);

/** Sends FLUSH_START into a harness. For g_thread_new() and plugin_test_later(). */
gpointer plugin_test_flush_start(gpointer harness);

/** FLUSH_START in another thread, which lasts as long as a frame runs; downstream has it, and takes nothing more. */
GThread *plugin_test_begin_flush(GstHarness *h);
/** After a flush: the segment that frames need. */
void plugin_test_restart(GstHarness *h);

/** Calls a function in 20 ms in another thread; join with g_thread_join(). */
GThread *plugin_test_later(GThreadFunc func, gpointer data);

#endif
