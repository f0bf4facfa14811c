/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A stand-in for libgpudl that does what a test tells it: answers in any order, late, or not at all.
 *
 * A model file is any file that begins with FAKE_GPUDL_MAGIC. The answer is made of the first byte of the frame's first
 * plane, read when the request runs: class byte % n_classes has score 1, the next ones fall by 1 / n_classes each.
 * Head h answers for byte + h.
 */
#ifndef TESTS_FAKE_GPUDL_H
#define TESTS_FAKE_GPUDL_H

#include "models/gpudl-import.h"

#define FAKE_GPUDL_MAGIC "fake model"
#define FAKE_GPUDL_NO_ERROR (-1)

typedef struct {
    /* what it is like; set before the element starts */
    guint n_classes, n_heads;
    gboolean labels; /* "label 0", "label 1", ... */
    guint parallelism;
    guint64 run_time;               /* ns, as measured at warm-up */
    const gchar *backend;           /* what AUTO becomes */
    gint load_error, acquire_error; /* GpudlError that the call fails with, or FAKE_GPUDL_NO_ERROR */

    /* what happens to requests; may be set at any time under fake_gpudl_lock() */
    gboolean scramble;    /* run in an order other than the queue's */
    guint delay_us;       /* each run takes this long */
    gboolean hold;        /* nothing runs while it is set */
    guint fail_submit_at; /* the how manieth submit since reset fails, from 1; 0: none */
    guint fail_run_at;    /* the how manieth submitted request fails when it runs */
    GpudlError fail_code;

    /* what has happened */
    guint submits, runs, cancelled;
    guint sessions_made;
    guint max_queued;
    GpudlFrame last_frame;
    GpudlPreproc last_preproc;
    GpudlSessionConfig last_config;

    /* what is alive now: 0 at the end of every test */
    gint models, sessions, streams, requests;
} FakeGpudl;

extern FakeGpudl fake_gpudl;

/** Defaults: 10 classes, one head, no failures. Nothing may be alive. */
void fake_gpudl_reset(void);
void fake_gpudl_lock(void);
/** Lets the workers look at what has been changed. */
void fake_gpudl_unlock(void);
/** Waits until n requests wait to be run. */
void fake_gpudl_wait_queued(guint n);
void fake_gpudl_set_hold(gboolean hold);

#endif
