/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the checks of the CPU's own convolutions share. */
#ifndef GPUDL_TESTS_KERNELS_DENSE_H
#define GPUDL_TESTS_KERNELS_DENSE_H

#include "kernels/conv.h"
#include "kernels/simd.h"
#include "tests/kernels/picture.h"

#define CHECK_DENSE_ACTS 6
extern const GpudlAct check_dense_acts[CHECK_DENSE_ACTS];

/** An instruction set, and the type that is multiplied; GPUDL_DTYPE_NONE: the test's own matter. */
typedef struct {
    GpudlSimd simd;
    GpudlDType type;
} CheckParty;

/** Adds a test for each instruction set, or for each of them with float32 and with bfloat16; its data is a const
 * CheckParty *, and the path goes on with its names. */
void check_add_simds(const gchar *path, GTestDataFunc test);
void check_add_parties(const gchar *path, GTestDataFunc test);
/** FALSE, and the test is skipped, if kernels is NULL: the processor has not that instruction set, or it does not
 * multiply the type. */
gboolean check_are_here(const void *kernels);

/** Room for packed weights, so many bytes, aligned to a float and no more: NaN, until it is written. */
CheckTensor *check_packed(gsize bytes);

/** The reference's result in float64, [n][k][p][q] of shape. w: [k][c / groups][r][s], taken as bfloat16 has it if
 * rounded; bias, before (what the result is added onto): may be NULL. */
CheckTensor *check_dense_reference(const CheckPicture *x, const CheckTensor *w, gboolean rounded,
                                   const CheckTensor *bias, const CheckTensor *before, const GpudlWindow *window,
                                   int groups, const GpudlAct *act, GpudlShape shape);

/** n numbers, each at most 2 in magnitude, summed in float32 in a chain; the activations stretch that by 1.1 at most,
 * and their own error is below 1e-6 of the value, silu's below 2e-4. */
double check_dense_bound(int n, const GpudlAct *act);

/** Fills a result that is added onto, with integers of -9..9 if whole, else with -2..2; its values, [n][c][h][w]. */
CheckTensor *check_dense_fill(CheckPicture *y, gboolean whole);

#endif
