/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Frames and values of pre-processing that are written down in a check. */
#ifndef GPUDL_TESTS_KERNELS_PREPROC_HAND_H
#define GPUDL_TESTS_KERNELS_PREPROC_HAND_H

#include <glib.h>
#include <math.h>

#include "kernels/preproc.h"

/** A frame of one plane, full range; stride in bytes. pixels stay the caller's. */
static inline GpudlFrame packed(GpudlPixelFormat format, const void *pixels, int width, int height, int stride)
{
    return (GpudlFrame){.format = format,
                        .width = width,
                        .height = height,
                        .planes = {pixels},
                        .strides = {stride},
                        .range = GPUDL_RANGE_FULL};
}

/** That the reference makes these n values of it. */
static inline void assert_values(const GpudlFrame *frame, const GpudlPreproc *pp, const double *expected, int n)
{
    g_autofree float *got = g_new(float, (gsize)pp->channels * pp->width * pp->height);

    g_assert_cmpint(pp->channels * pp->width * pp->height, ==, n);
    g_assert_cmpint(gpudl_preproc_ref(frame, pp, got), ==, 0);
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - expected[i]) <= 1e-4 + 1e-6 * fabs(expected[i])))
            g_error("value %d: found %.6f, expected %.6f", i, got[i], expected[i]);
}

#endif
