/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Reading an ONNX file so that the values of its large initializers come at once to where they stay, aligned: memory
 * that nobody has written to before is what reading takes longest for, so there should be one copy of them.
 */
#ifndef GPUDL_MODELS_ONNX_APART_H
#define GPUDL_MODELS_ONNX_APART_H

#include <gio/gio.h>

#include "engine/pages.h"

G_BEGIN_DECLS

typedef struct {
    /** The file's message, in which raw_data of some of the graph's initializers is empty; nothing else differs, but
     * how some lengths are written. */
    GBytes *rest;
    /** Their values: GBytes* by the place among the graph's initializers, NULL for those whose values are in rest. */
    GPtrArray *values;
    /** Of the file's bytes, XXH3-128. */
    gchar sum[33];
} GpudlOnnxApart;

void gpudl_onnx_apart_clear(GpudlOnnxApart *apart);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlOnnxApart, gpudl_onnx_apart_clear)

/**
 * Reads all of a file of size bytes from the beginning. Values go to room as far as it has some. FALSE without error if
 * it is no message that can be taken apart, also if it is damaged or can't be read: whoever reads it as a whole says
 * what is wrong. FALSE with error: CANCELLED.
 */
gboolean gpudl_onnx_read_apart(GpudlOnnxApart *apart, gint fd, gsize size, GpudlRoom *room, GCancellable *cancellable,
                               GError **error);

G_END_DECLS
#endif
