/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the kernel checks share: seeded random numbers, tensors between guard bands, comparison with a message that says
 * which case failed and how to get it again.
 *
 * A check has cases worked by hand (the authority of the reference) and random ones against a second, plain
 * formulation. Options of every check: --seed N (default 1).
 */
#ifndef GPUDL_TESTS_KERNELS_CHECK_H
#define GPUDL_TESTS_KERNELS_CHECK_H

#include <glib.h>

#include "kernels/kernel.h"

/** A shape from its extents; CHECK_SCALAR has none. */
#define CHECK_SHAPE(...)                                                                                               \
    ((GpudlShape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dims = {__VA_ARGS__}})
#define CHECK_SCALAR ((GpudlShape){0})

/** Takes --seed out of the arguments, then g_test_init(). */
void check_init(int *argc, char ***argv);

/** Names the random case that follows and restarts the generator from seed and number, so that each case stands alone.
 * The text is part of every failure's message. */
void check_case(guint number, const gchar *format, ...) G_GNUC_PRINTF(2, 3);
/** Adds to the case's text. */
void check_note(const gchar *format, ...) G_GNUC_PRINTF(1, 2);

/** Uniform integer, low <= n <= high; uniform real. */
gint64 check_int(gint64 low, gint64 high);
double check_real(double low, double high);
/** All 64 bits at random. */
guint64 check_bits(void);
/** One of float32, float16, bfloat16, float64. */
GpudlDType check_float_type(void);
/** One of the integer types, bool left out. */
GpudlDType check_integer_type(void);

/** What a new tensor is filled with. */
#define CHECK_FRESH_BYTE 0x5a

/** A tensor in memory of its own between guard bands. */
typedef struct {
    GpudlTensorView view; /* at an odd address, but for check_floats() */
    guint8 *block;
    gsize bytes, skew;
} CheckTensor;

/** Contents: a pattern, so that elements never written are seen. */
CheckTensor *check_tensor(GpudlDType dtype, GpudlShape shape);
/** With these values (as many as the shape has elements), rounded to dtype. */
CheckTensor *check_tensor_of(GpudlDType dtype, GpudlShape shape, const double *values);
/** With random reals low..high, or for integers any bits (int64: up to 2^40 in magnitude; bool 0 or 1). */
CheckTensor *check_tensor_random(GpudlDType dtype, GpudlShape shape, double low, double high);
/** float32 for what takes an array of float: aligned to one and to no more, with random reals low..high, or as
 * check_tensor() has it if they are equal. */
CheckTensor *check_floats(GpudlShape shape, double low, double high);
/** Frees; fails if a guard band was written to. NULL is fine. */
void check_tensor_free(CheckTensor *tensor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CheckTensor, check_tensor_free)

gint64 check_elements(const CheckTensor *tensor);
/** Element as double, or as integer (uint64: its bits). */
double check_get(const CheckTensor *tensor, gint64 i);
gint64 check_get_int(const CheckTensor *tensor, gint64 i);
void check_set(CheckTensor *tensor, gint64 i, double value);
void check_set_int(CheckTensor *tensor, gint64 i, gint64 value);

/** Index of an element of a broadcast operand: index counts in out, the result in shape. */
gint64 check_broadcast(const GpudlShape *out, gint64 index, const GpudlShape *shape);
/** Coordinates of a flat index, and back. */
void check_unravel(const GpudlShape *shape, gint64 index, gint64 *coordinates);
gint64 check_ravel(const GpudlShape *shape, const gint64 *coordinates);
/** Random shape of rank low..high, extents 1..max. */
GpudlShape check_shape(int low, int high, gint64 max);
/** The same with some dimensions made 1 or, in front, left out: broadcasts onto it. */
GpudlShape check_narrowed(const GpudlShape *shape);

/**
 * Fails unless got is expected: NaN by NaN, infinities equal, all else |got - expected| <= slack + e * |expected| with
 * e one rounding to got's type, and its smallest subnormal. slack: what a differently ordered sum in double may leave.
 */
void check_close(const CheckTensor *got, const double *expected, double slack);
/** Fails unless each element is that integer, wrapped to the type. */
void check_equal_int(const CheckTensor *got, const gint64 *expected);
/** Fails with the case and this text. */
void check_fail(const gchar *format, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;
/** Fails unless status is expected. */
void check_status(int status, int expected);

#endif
