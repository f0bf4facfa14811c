/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A data set's pictures, decoded by several threads ahead of who takes them, in the data set's order.
 */
#ifndef GPUDL_TOOLS_LOADER_H
#define GPUDL_TOOLS_LOADER_H

#include "tools/dataset.h"
#include "tools/media.h"

G_BEGIN_DECLS

typedef struct _Loader Loader;

/** A picture, or why there is none. */
typedef struct {
    guint number;           /* in the data set */
    GpudlFrame frame;       /* not if error is set */
    GpudlMediaFrame *media; /* what has the frame's pixels; NULL: the data set */
    gboolean cut;           /* its end is missing: it may be incomplete */
    GError *error;          /* begins with the picture's name */
} LoadedPicture;

/** Frees what the picture holds; frame's pixels are gone then. */
void loaded_picture_clear(LoadedPicture *picture);

/** dataset is borrowed. Once cancellable is cancelled, pictures that are not decoded yet have CANCELLED. NULL with
 * BACKEND: GStreamer can't be started, which only pictures in files need. */
Loader *loader_new(const Dataset *dataset, GCancellable *cancellable, GError **error);
/** Waits for the next picture, which is the caller's to clear. FALSE: that was all. */
gboolean loader_next(Loader *loader, LoadedPicture *picture);
/** Waits for what is being decoded. */
void loader_free(Loader *loader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Loader, loader_free)

G_END_DECLS
#endif
