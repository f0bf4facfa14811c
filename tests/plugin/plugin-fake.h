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

#include <glib.h>

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

/** Lets go of what does.hold holds; data is not looked at. For plugin_test_later(). */
gpointer plugin_fake_release(gpointer data);

#endif
