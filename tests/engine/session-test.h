/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the tests of sessions share: networks that the fake module runs, and short ways to sessions and requests. What
 * fails where it should not ends the test.
 */
#ifndef GPUDL_TESTS_SESSION_TEST_H
#define GPUDL_TESTS_SESSION_TEST_H

#include "engine/model.h"
#include "engine/session/session.h"
#include "tests/fake/fake.h"

G_BEGIN_DECLS

#define N_CLASSES 16
#define SECOND_NS G_GUINT64_CONSTANT(1000000000)

/** side x side values in one channel, a constant added to them (which the fake ignores), and heads outputs of side x
 * side classes each. */
GpudlModel *make_model_of(guint side, guint heads);
/** One head of N_CLASSES. */
GpudlModel *make_model(void);

/** The control of a backend's module, with everything as it is at first. */
Fake *fake_begin(const gchar *backend);

GpudlSession *acquire_with(GpudlModel *model, GpudlSessionConfig config);
/** All defaults. */
GpudlSession *acquire(GpudlModel *model, const gchar *backend);
/** Asserts that it is refused like that. */
void check_refused(GpudlModel *model, const GpudlSessionConfig *config, GpudlError code, const gchar *text);

/** Asserts that who acquires gets neither this session nor its device. */
void check_unlisted(GpudlModel *model, GpudlSession *dead, const gchar *backend);

/** A session with one stream and N requests that tell how often they were told. */
typedef struct {
    GpudlModel *model;
    GpudlSession *session;
    GpudlStream *stream;
    guint n;
    GpudlRequest **requests;
    float (*values)[N_CLASSES]; /* of each */
    gint told;                  /* atomic */
} Use;

/** Defaults where config.backend alone is set. */
Use *use_new(GpudlSessionConfig config, guint n);
/** All requests are done. */
void use_free(Use *use);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Use, use_free)

/** Submits values that begin with this one (see fake.h). */
void use_submit(Use *use, guint i, float steer);
/** Asserts that a request ends like that; GPUDL_ERROR_FAILED - 1 for one that ends well, with its own values. */
void use_check(Use *use, guint i, gint code);
#define GOOD (-1)

/** Pixels of a page of their own: touching them after they were freed ends the process. */
guint8 *pixels_new(void);
void pixels_free(guint8 *pixels);

/** An 8x8 grey frame in this kind of memory. */
GpudlFrame make_frame(const guint8 *pixels, GpudlMemoryKind memory);

/** Adds func for "cpu" and "cuda", as /PATH/cpu/NAME and /PATH/cuda/NAME. */
void add_for_both(const gchar *path, const gchar *name, GTestDataFunc func);

G_END_DECLS
#endif
