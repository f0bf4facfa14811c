/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pictures with their channels last and gaps between pixels, rows and frames, for the checks of the CPU's own kernels.
 */
#ifndef GPUDL_TESTS_KERNELS_PICTURE_H
#define GPUDL_TESTS_KERNELS_PICTURE_H

#include "tests/kernels/check.h"

/** Ends with the last element of the last pixel, aligned to an element and to no more. */
typedef struct {
    CheckTensor *memory; /* one dimension, guarded */
    guint8 *data;        /* its first element */
    gint64 n, h, w, c, pixel, row, frame;
} CheckPicture;

/** Gaps at random or none. Values low..high, in the gaps NaN; if low equals high, a pattern everywhere. */
CheckPicture *check_picture(GpudlDType type, gint64 n, gint64 h, gint64 w, gint64 c, double low, double high);
/** Fails if a guard was written to, or of a picture of a pattern a gap. NULL is fine. */
void check_picture_free(CheckPicture *picture);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CheckPicture, check_picture_free)

/** Its values as a dense float64 tensor, [n][c][h][w]. */
CheckTensor *check_picture_planar(const CheckPicture *picture);

/** As check_close(); expected is [n][c][h][w]. */
void check_picture_close(const CheckPicture *got, const CheckTensor *expected, double slack);

#endif
