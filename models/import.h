/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of loading: what the converter needs beside the finished model. Not installed.
 */
#ifndef GPUDL_MODELS_IMPORT_H
#define GPUDL_MODELS_IMPORT_H

#include <sys/stat.h>

#include "engine/graph/graph.h"
#include "engine/pages.h"
#include "models/gpudl-import.h"
#include "models/source.h"

G_BEGIN_DECLS

typedef enum {
    GPUDL_IMPORT_UNKNOWN = 0,
    GPUDL_IMPORT_NET_BIN,
    GPUDL_IMPORT_ONNX,
    GPUDL_IMPORT_TFLITE,
    GPUDL_IMPORT_GRAPHDEF,
    GPUDL_IMPORT_CAFFE,
    GPUDL_IMPORT_PT2,
    GPUDL_IMPORT_SCRIPT
} GpudlImportKind;

/** A model's file as it was read. */
typedef struct {
    GpudlImportKind kind;
    GpudlPages *pages; /* they hold the bytes of a net.bin, and PyTorch's until they are imported; else NULL */
    GBytes *bytes;     /* all of the file's, or, of ONNX, those that are not apart */
    gchar sum[33];     /* of the file's bytes, XXH3-128; "" of a net.bin */
    GPtrArray
        *apart;     /* of ONNX: the values of initializers that are not in bytes (models/onnx/onnx-apart.h); or NULL */
    GpudlRoom room; /* of ONNX: where they are, and external data comes to */
    struct stat st; /* as it was before the reading */
} GpudlImportFile;

void gpudl_import_file_clear(GpudlImportFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlImportFile, gpudl_import_file_clear)

/**
 * Reads a file and looks what it is. into (may be NULL): values of ONNX come to this room, if they come to any. Errors
 * as gpudl_file_read_pages()'s and gpudl_import_kind()'s.
 */
gboolean gpudl_import_read(GpudlImportFile *file, const gchar *path, const GpudlRoom *into, GCancellable *cancellable,
                           GError **error);

/** What a file's bytes are; UNKNOWN with FORMAT that says what they look like. */
GpudlImportKind gpudl_import_kind(GBytes *bytes, GError **error);

/** Reads the bytes of one of Caffe's files, a .caffemodel or a .prototxt, into the graph, with the other file as
 * options say or beside it. Takes the bytes; info may be NULL, and is cleared by the caller. */
GpudlGraph *gpudl_import_caffe(GBytes *bytes, const gchar *path, const GpudlImportOptions *options,
                               GpudlSourceInfo *info, GCancellable *cancellable, GError **error);

/**
 * Reads a file of any kind but a net.bin into its graph, its input as sessions feed it (models/input.h), proven for
 * other batches as far as it goes, rewritten, and inferred at batch 1. Takes the bytes out of it, and the values: their
 * memory is needed while the graph is built, and not after. Of the options the input's size and the other file count.
 * info (may be NULL) is cleared by the caller after success. The same bytes always give the same graph, with the same
 * constants at the same ids.
 */
GpudlGraph *gpudl_import_rewritten(GpudlImportFile *file, const gchar *path, const GpudlImportOptions *options,
                                   GpudlSourceInfo *info, GCancellable *cancellable, GError **error);

/** The graph of a file, nothing rewritten but the input. A net.bin is UNSUPPORTED here: it holds a rewritten graph.
 * Errors as gpudl_model_load()'s. */
gboolean gpudl_import_graph(const gchar *path, const GpudlImportOptions *options, GpudlGraph **unrewritten,
                            GpudlSourceInfo *info, GCancellable *cancellable, GError **error);

/** A model of the caller's own: as gpudl_model_load(), but never one that somebody else has. Blocks. */
GpudlModel *gpudl_import_model(const gchar *path, const GpudlImportOptions *options, GCancellable *cancellable,
                               GError **error);

/** A deep copy; of NULL, options that say nothing. */
GpudlImportOptions *gpudl_import_options_copy(const GpudlImportOptions *options);
void gpudl_import_options_free(GpudlImportOptions *options);

/** The model's file in a folder as HuggingFace has them (model.onnx, or onnx/model.onnx); the path itself for anything
 * else. The caller frees. */
gchar *gpudl_import_file_of(const gchar *path);

/** FALSE for a folder, which gpudl_import_file_of() has found no model in: OPEN_READ, which names what is there and
 * what to do. */
gboolean gpudl_import_check_folder(const gchar *path, GError **error);

/** Puts the path before a message that does not begin with it. */
void gpudl_import_name_file(GError **error, const gchar *path);

/** TRUE if a file's name of this many bytes ends as those of models do; a net.bin's and weights' ".bin" is not among
 * these. For messages alone: what a file is, is told by its content. */
gboolean gpudl_import_is_called_model(const gchar *name, gsize length);

/** TRUE for the ZIP archives that torch.export.save() writes, by the names of their members. */
gboolean gpudl_import_is_exported(const guint8 *data, gsize size);

/** TRUE for those that torch.jit.save() writes. */
gboolean gpudl_import_is_script(const guint8 *data, gsize size);

/** "a Keras model (.keras). ...": what bytes that are no model look like, and what makes one of them. The caller
 * frees. */
gchar *gpudl_import_recognise(const guint8 *data, gsize size);

/** The same of messages that begin as ONNX's do, static; NULL for others. */
const gchar *gpudl_import_recognise_message(const guint8 *data, gsize size);

/** Takes a caller's options, NULL for none, as far as this version knows them; preproc is where those of *known point
 * to. Strings and arrays stay the caller's. INVALID_ARGUMENT for a struct_size that can't be. */
gboolean gpudl_import_options_take(GpudlImportOptions *known, GpudlPreproc *preproc, const GpudlImportOptions *options,
                                   GError **error);

G_END_DECLS
#endif
