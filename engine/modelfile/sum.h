/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The quick sum that contents are told apart by: XXH3-128, as 32 lower-case hexadecimal digits. Not a cryptographic
 * one.
 */
#ifndef GPUDL_ENGINE_SUM_H
#define GPUDL_ENGINE_SUM_H

#include <glib.h>

G_BEGIN_DECLS

#define GPUDL_SUM_BYTES 33

/** Of bytes that are all there. */
void gpudl_sum_of(gconstpointer data, gsize size, gchar text[GPUDL_SUM_BYTES]);

/** Of bytes that come one after the other. */
typedef struct _GpudlSum GpudlSum;

GpudlSum *gpudl_sum_new(void);
void gpudl_sum_add(GpudlSum *sum, gconstpointer data, gsize size);
/** Of all that has been added so far. */
void gpudl_sum_get(const GpudlSum *sum, gchar text[GPUDL_SUM_BYTES]);
void gpudl_sum_free(GpudlSum *sum);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlSum, gpudl_sum_free)

G_END_DECLS
#endif
