/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A double of the CUDA runtime, and of the device's functions that report errors: memory is the host's, and what is
 * queued on a stream is done when the test says so, in order. Functions may be called on any thread; what a test sets
 * is set while no other thread calls.
 */
#ifndef GPUDL_TESTS_ENGINE_DOUBLE_CUDART_H
#define GPUDL_TESTS_ENGINE_DOUBLE_CUDART_H

#include <glib.h>

#include "engine/cuda/device.h"

typedef struct {
    /* what the test sets */
    gboolean is_slow;       /* operations stay queued */
    gboolean answers;       /* who asks an event or a stream too early lets one queued operation be done */
    gboolean never;         /* waiting for a stream ends the test */
    guint fail_host_from;   /* the so many-th allocation of pinned memory and those after it fail; 0: none */
    guint fail_device_from; /* the same of the device's memory */
    guint fail_copy_at;     /* the so many-th copy fails */
    guint fail_record_at;   /* the so many-th event that is recorded */
    cudaError_t lost;       /* what events answer, if it is an error */
    gsize device_room;      /* bytes of the device's memory; 0: no end */
    const guint8 *frames;   /* of what lies in so much room from here on only the first bytes are copied */
    gsize frames_room, frames_bytes;
    /* what it looks at */
    guint copies, records, host_allocs, device_allocs; /* since double_cudart_count() */
    guint host_blocks, device_blocks, events;          /* that are there */
    gsize device_bytes;
    const guint8 *last_from; /* of the last copy that was queued */
} DoubleCudart;

extern DoubleCudart double_cudart;

/** Sets all back; ends the test if memory or events are left. */
void double_cudart_reset(void);
void double_cudart_count(void);
/** Does all that is queued, or the first n operations. */
void double_cudart_drain(void);
void double_cudart_advance(guint n);

#endif
