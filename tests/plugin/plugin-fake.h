/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * For suites that run elements over the real engine with the fake modules of tests/fake below it: which of them runs,
 * and model files that it takes.
 *
 * The models have an input of 32x24 RGB with every pre-processing setting off its default. Their heads are called
 * "first", "second", and the module answers by the first byte of a frame: tests/fake/fake.h says how.
 */
#ifndef TESTS_PLUGIN_FAKE_H
#define TESTS_PLUGIN_FAKE_H

#include <gst/check/gstharness.h>

#include "plugin/gstgpudlmeta.h"
#include "tests/fake/fake.h"

/** The module that "auto" finds: "cpu", or what GPUDL_TEST_BACKEND says; and the other one. */
extern Fake *fake, *fake_other;
extern const gchar *fake_backend;

/** After plugin_test_init(). */
void plugin_fake_init(void);

/** Each test begins with it: nothing of the engine is alive, and both modules are as they are by default. */
void plugin_fake_reset(void);

/** No session is listed, no engine, device or ticket is alive in a module. */
void plugin_fake_check_nothing_alive(void);

/** Writes a net.bin into the test's folder; labels: "label 0", "label 1", ... The name of the model is the file's. */
const gchar *plugin_fake_model(const gchar *name, guint n_classes, guint n_heads, gboolean labels);

/** The same with center-crop and this fraction as its pre-processing. */
const gchar *plugin_fake_cropping_model(const gchar *name, guint n_classes, gfloat crop_fraction);

/** A class for each value that a frame can have: what plugin_fake_check_frame() looks for. */
#define PLUGIN_FAKE_CLASSES 256

/** Writes an ONNX file of one input x, 1x3x24x32, and these nodes up to y into the test's folder. */
const gchar *plugin_fake_onnx(const gchar *name, const gchar *nodes);

/** plugin_test_harness() round a gpudlinfer that takes PLUGIN_TEST_GRAY, with settings as in gst-launch, or NULL. */
GstHarness *plugin_fake_harness(const gchar *model, const gchar *first, const gchar *second);

/** The same with this async-depth. */
GstHarness *plugin_fake_harness_of_depth(const gchar *model, guint depth);

/** Pushes frame n, which is all n % 256. */
void plugin_fake_push(GstHarness *h, guint n);

/** Pushes until something else than OK comes back: after the depth and one more at the latest. */
GstFlowReturn plugin_fake_push_until_told(GstHarness *h, guint depth);

/** The buffer is frame n with the classification of frame n by the element's model of PLUGIN_FAKE_CLASSES. */
void plugin_fake_check_frame(GstHarness *h, GstBuffer *buffer, guint n);

/** Pulls a buffer, which is frame n. */
void plugin_fake_pull(GstHarness *h, guint n);

/** Pushes a frame that is all value; what is told of it, which the caller frees. */
GstGpudlClassification *plugin_fake_classify(GstHarness *h, guint8 value);

typedef enum {
    PLUGIN_FAKE_AT_STAGE,  /* says it to who submits the frame */
    PLUGIN_FAKE_AT_SUBMIT, /* before it runs */
    PLUGIN_FAKE_AT_RUN
} PluginFakeFailAt;

/** The how manieth from now on fails. */
void plugin_fake_fail_at(PluginFakeFailAt at, guint n, GpudlStatus status);

/** Lets go of what does.hold holds; data is not looked at. For plugin_test_later(). */
gpointer plugin_fake_release(gpointer data);

#endif
