/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Times of kernels that make a network's input of frames on the device. */
#ifndef GPUDL_TESTS_KERNELS_PREPROC_BENCH_H
#define GPUDL_TESTS_KERNELS_PREPROC_BENCH_H

#include "kernels/preproc_cuda.h"

/** A launcher that takes jobs on the host and on the device. */
typedef int PreprocBenchLaunch(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                               int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout, void *out,
                               GpudlKernelStream stream);

/** So many frames of a size to a float16 input of side x side. */
typedef struct {
    const char *name;
    GpudlPixelFormat format;
    int width, height;
    GpudlScaleMethod method;
    int count, side;
} PreprocBenchCase;

/** device_bench() of each case, on frames that do not fit into the second-level cache. What counts as moved are the
 * frames, all of them though less may be read, and the input if counts_input. */
void preproc_bench(PreprocBenchLaunch *launch, const PreprocBenchCase *cases, int n, int counts_input);

#endif
