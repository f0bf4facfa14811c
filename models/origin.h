/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The file that a model came from: what it is known by, and how the model gets its constants and its id from it again.
 */
#ifndef GPUDL_MODELS_ORIGIN_H
#define GPUDL_MODELS_ORIGIN_H

#include "engine/model.h"
#include "models/file-version.h"
#include "models/gpudl-import.h"
#include "models/import.h"
#include "models/source.h"

G_BEGIN_DECLS

typedef struct {
    GMutex lock;      /* of paths; taken last: under the model's or the registry's */
    GPtrArray *paths; /* absolute: files with this content, the one read last first; strings owned */
    gchar *directory; /* of external data, links followed; NULL without */
    gchar *with_file; /* GpudlImportOptions's, absolute; or NULL */
    gint input_height, input_width;
    gchar bytes_content[33]; /* of an ONNX file: XXH3-128 of its bytes; "" of a net.bin */
    gchar external_content[33], beside[33];
    gboolean size_chosen;
    gsize room;            /* limit of the room in which the model's pages begin; 0: they are no room */
    GArray *files, *reads; /* GpudlSourceFile, GpudlSourceRead: of external data; or NULL */
} GpudlOrigin;

/** XXH3-128 of bytes, 32 hexadecimal digits. */
void gpudl_origin_hash(GBytes *bytes, gchar text[33]);

/**
 * Origin of a net.bin. The model's constants lie in pages; from now on gpudl_model_hold() and gpudl_model_release()
 * bring them and let them go, but for the small ones, which are moved. NO_MEMORY.
 */
gboolean gpudl_origin_of_modelfile(GpudlModel *model, const gchar *path, GpudlPages *pages, GError **error);

/** Makes a model of a rewritten ONNX graph, which it takes, with its origin. file: what it was read from, of which
 * the room becomes the model's. info is what the import said, of which the files are taken. Of the options (may be
 * NULL) with_file counts. */
GpudlModel *gpudl_origin_make_onnx(GpudlGraph *graph, const gchar *path, const GpudlImportOptions *options,
                                   GpudlImportFile *file, const GpudlSourceInfo *info, GError **error);

/** What an ONNX file computes, as of GpudlModel.content: its bytes, those of other files, the size that was chosen. */
void gpudl_origin_content(const gchar *bytes_content, const GpudlSourceInfo *info, const GpudlPreproc *preproc,
                          gchar content[GPUDL_CONTENT_BYTES]);

/** The file at path, just read, has the content of a live model: that may get its constants there, too, since the file
 * that it was made of may be gone by then. Not for a model with external data, which lies at its own place. */
void gpudl_origin_also_at(GpudlModel *model, const gchar *path);

/** The model's origin, or NULL. */
const GpudlOrigin *gpudl_model_get_origin(const GpudlModel *model);

/** TRUE if the files of external data are those that the model was made of, and those that a model at path would be
 * made of. Looks at the files' versions. */
gboolean gpudl_origin_is_current(const GpudlOrigin *origin, const gchar *path);

/** TRUE if a change of these files after now (g_get_real_time()) can't go unseen by gpudl_origin_is_current(). */
gboolean gpudl_origin_is_settled(const GpudlOrigin *origin, gint64 now);

G_END_DECLS
#endif
