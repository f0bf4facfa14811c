/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Random convolutions of NHWC pictures for the checks of their kernels, and the reference's answer to them, in double.
 */
#ifndef GPUDL_TESTS_KERNELS_CONV_PROBLEM_H
#define GPUDL_TESTS_KERNELS_CONV_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/nhwc.h"
#include "kernels/window.h"

typedef struct {
    GpudlNhwc xs, ys;
    int64_t z_pitch;
    GpudlWindow window;
    GpudlAct act;
    int groups, has_bias, has_z;
    GpudlDType dtype;
    uint16_t *x, *w, *z; /* host: float16, or of bfloat16 if dtype is that */
    float *bias;
    /* device */
    const void *from_x, *from_w, *from_z, *from_bias;
    void *to_y;
    size_t y_bytes;
} ConvProblem;

/** Of float16, bfloat16, or float32 whose values are float16's; data of this case. Channels of a group and
 * pitches are multiples. */
void conv_problem_random(ConvProblem *p, GpudlDType dtype, int multiple);
/** The same of a problem whose extents, window, activation and type are set: its data. */
void conv_problem_fill(ConvProblem *p);
/** Fails unless to_y is what the reference says, within roundings. */
void conv_problem_compare(const ConvProblem *p);

#endif
