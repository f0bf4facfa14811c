/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Batches of random frames for checks of pre-processing on a device, and their comparison with the reference. */
#ifndef GPUDL_TESTS_KERNELS_PREPROC_BATCH_H
#define GPUDL_TESTS_KERNELS_PREPROC_BATCH_H

#include "kernels/preproc_cuda.h"

/** Most frames of a batch. */
#define PREPROC_BATCH_JOBS 130

/** A frame in host memory, of the case (device_host()), and what is to be made of it; idle: a job without a frame;
 * aligned: on the device its planes begin where allocations do. */
typedef struct {
    GpudlFrame frame;
    GpudlPreproc pp;
    int idle, aligned;
} PreprocSlot;

/** width, height, channels: of the network's input. */
typedef struct {
    int count, width, height, channels;
    GpudlPreprocLayout layout;
    PreprocSlot slots[PREPROC_BATCH_JOBS];
} PreprocBatch;

/** Begins a case with an input of at most so many pixels a side: one frame, or up to most_count. */
void preproc_batch_begin(PreprocBatch *batch, int number, int most_input, int most_count);
/** A frame of at most that size, small ones and those of one pixel more often; it has no pixels yet. */
void preproc_random_frame(GpudlFrame *f, GpudlPixelFormat format, int most_width, int most_height);
void preproc_random_params(GpudlPreproc *pp, const PreprocBatch *batch, GpudlScaleMethod method);
/** Pixels of the frame's format and size: noise, extremes by chance, all white. Strides are multiples of alignment; 0:
 * of what comes, plane by plane. */
void preproc_make_pixels(GpudlFrame *f, int alignment);

/** Jobs of all slots, their planes on the device at any alignment unless aligned; a slot that has none fails the check.
 */
void preproc_batch_fill(const PreprocBatch *batch, GpudlPreprocJob *jobs);
/** Of the input for all frames. */
size_t preproc_batch_bytes(const PreprocBatch *batch);
/** The input as the device made it, fetched, against the reference: what differs by more than GPUDL_PREPROC_JOB_BOUND
 * and the rounding of the type fails the check. */
void preproc_batch_compare(const PreprocBatch *batch, const void *got);
/** The same with another bound. */
void preproc_batch_compare_within(const PreprocBatch *batch, const void *got, double bound);

#endif
