/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Structs that callers fill, or have filled, and that grow: each begins with its size as the caller knows it. Not
 * installed.
 */
#ifndef GPUDL_ENGINE_STRUCTS_H
#define GPUDL_ENGINE_STRUCTS_H

#include <glib.h>

G_BEGIN_DECLS

/** Bytes that no version of such a struct has: a caller who has not set its size. */
#define GPUDL_STRUCT_LIMIT 4096u

/** Size of a struct whose last field is this one. */
#define GPUDL_SIZE_TO(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))

/**
 * Copies a caller's struct of struct_size bytes (its first field; 0: first_size) to one of size bytes: fields that the
 * caller does not know are 0. INVALID_ARGUMENT naming the struct if it is shorter than first_size, or longer than size
 * with something set in what is beyond.
 */
gboolean gpudl_struct_take(gpointer to, gsize size, gconstpointer from, gsize first_size, const gchar *name,
                           GError **error);

/**
 * Whether a struct to be filled, of the size that its first field says (0: first_size), has room for what the first
 * version of it held, and is one that can be: filling zeroes all of it. INVALID_ARGUMENT naming the struct if not.
 */
gboolean gpudl_struct_has_room(gconstpointer to, gsize first_size, const gchar *name, GError **error);

/**
 * Fills a caller's struct that has room from one of size bytes: as much of it as the caller knows. What the caller
 * knows beyond it becomes 0; struct_size stays.
 */
void gpudl_struct_give(gpointer to, gconstpointer from, gsize size, gsize first_size);

#define GPUDL_FRAME_FIRST_SIZE GPUDL_SIZE_TO(GpudlFrame, cuda_context)
#define GPUDL_PREPROC_FIRST_SIZE GPUDL_SIZE_TO(GpudlPreproc, std)

G_END_DECLS
#endif
