/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The models that are alive: whoever loads a file that is loaded already, with the same options, gets the same model.
 *
 * The registry holds no reference. Its lock is taken alone: no model is freed, and no file touched, while it is held. A
 * child of fork() begins with an empty registry: the threads that load for its parent do not exist in it.
 */
#ifndef GPUDL_MODELS_REGISTRY_H
#define GPUDL_MODELS_REGISTRY_H

#include "engine/model.h"
#include "models/file-version.h"

G_BEGIN_DECLS

/** What loading gives. */
typedef struct {
    GpudlModel *model;        /* owned */
    GpudlFileVersion version; /* of the file that was read */
    gboolean settled;         /* a change since the reading began can't go unseen by the versions */
} GpudlLoaded;

void gpudl_loaded_free(GpudlLoaded *loaded);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlLoaded, gpudl_loaded_free)

/** Loads; blocks until done or, with CANCELLED, until cancellable (may be NULL) is cancelled. */
typedef GpudlLoaded *(*GpudlLoadFunc)(gpointer data, GCancellable *cancellable, GError **error);

/**
 * The model of a file: the live one if nothing has changed since it was read, else what load() gives, once for all who
 * ask meanwhile; its error is theirs, too, but if it was cancelled another of them loads. options: text that is equal
 * for equal options alone.
 */
GpudlModel *gpudl_registry_get(const gchar *path, const gchar *options, GpudlLoadFunc load, gpointer data,
                               GCancellable *cancellable, GError **error);

/** A new reference on a live model of this base name and these options with this content, or NULL: for load(), which
 * knows the content before all its work is done. */
GpudlModel *gpudl_registry_find_content(const gchar *path, const gchar *options, const gchar *content);

/** The same for an ONNX file of which the bytes are known (GpudlOrigin.bytes_content), that needs no other files. */
GpudlModel *gpudl_registry_find_bytes(const gchar *path, const gchar *options, const gchar *bytes_content);

/** For models that go. */
void gpudl_registry_forget(GpudlModel *model);

G_END_DECLS
#endif
