/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How far apart two answers to the same input may be, for the converter.
 */
#ifndef GPUDL_MODELS_COMPARE_H
#define GPUDL_MODELS_COMPARE_H

#include <glib.h>

G_BEGIN_DECLS

/** What comparing has shown of one output. */
typedef struct {
    double max, sum, low, high; /* largest difference, sum of the squares of all; range of what was expected */
    guint64 n_values;
} GpudlCompared;

/**
 * How many random inputs are compared of a network of so many multiply-accumulates: 8, fewer of one for which the
 * scalar reference would take longer than for 8 of 8 G each, and no fewer than 2, since one alone shows nothing of what
 * should depend on the input and does not.
 */
guint gpudl_compared_inputs(guint64 macs);

/** Nothing compared yet. */
void gpudl_compared_begin(GpudlCompared *head);

/** Adds n values. Returns n, or the index of the first value that is not finite on either side: nothing more is added
 * from there on. */
guint gpudl_compared_add(GpudlCompared *head, const float *found, const float *expected, guint n);

/** The largest difference that is taken for values within low and high. */
double gpudl_compared_allowed(double low, double high);

/** The largest difference by what is taken. */
double gpudl_compared_off(const GpudlCompared *head);

/** Compares the golden picture's values with those that it has to give. INVALID_ARGUMENT for values that can't be
 * those of this network, FAILED for others. */
gboolean gpudl_compared_expect(const float *found, const float *expect, gsize n_expect, guint n, GError **error);

G_END_DECLS
#endif
