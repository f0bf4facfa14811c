/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * From a file to a model. What a file is, is told by its content, never by its name.
 */
#ifndef GPUDL_IMPORT_H
#define GPUDL_IMPORT_H

#ifdef GPUDL_COMPILATION
#include "engine/gpudl.h"
#else
#include <gpudl/gpudl.h>
#endif

G_BEGIN_DECLS

/** Things a file may leave open. Zero-filled: nothing is said. Strings and arrays are read during the call only. */
typedef struct {
    guint32 struct_size;            /* sizeof(GpudlImportOptions); 0: the fields of version 0.1, down to activation */
    gint input_height, input_width; /* for files with a free input size; 0: the file's */
    const gchar *const *labels;     /* NULL-terminated; replaces embedded ones */
    const GpudlPreproc *preproc;    /* fields set as flagged below override the file's; width, height are ignored */
    guint preproc_set;              /* GPUDL_SET_* bits */
    GpudlActivation activation;     /* AUTO: the file's, else by the graph */
    const gchar *labels_name;       /* where labels come from, for an error about them; or NULL */
    const gchar *with_file;         /* Caffe: the .prototxt of a .caffemodel or the other way round; NULL: the one of
                                       the same name beside it, else the only one there */
} GpudlImportOptions;

enum {
    GPUDL_SET_MEAN = 1 << 0,
    GPUDL_SET_STD = 1 << 1,
    GPUDL_SET_PIXEL_SCALE = 1 << 2,
    GPUDL_SET_CHANNEL_ORDER = 1 << 3,
    GPUDL_SET_RESIZE_MODE = 1 << 4,
    GPUDL_SET_CROP_FRACTION = 1 << 5,
    GPUDL_SET_SCALE_METHOD = 1 << 6,
    GPUDL_SET_PAD_COLOR = 1 << 7
};

/**
 * Loads a net.bin, or imports a file of ONNX, PyTorch (torch.export's, TorchScript), TensorFlow (Lite, or a frozen
 * graph) or Caffe, and rewrites the graph for running. options may be NULL.
 *
 * A file that is loaded already, unchanged and with equal options, is not read again: the live model is returned. Who
 * asks for a file while it is being loaded waits for that. Once cancellable (may be NULL) is cancelled, CANCELLED is
 * returned at once, whatever is under way. In a child of fork() models that the parent had are not returned.
 * Errors: NOT_FOUND, OPEN_READ, FORMAT, UNSUPPORTED, LIMIT, NO_MEMORY, CANCELLED, of options also INVALID_ARGUMENT;
 * each message begins with the path.
 */
GPUDL_API GpudlModel *gpudl_model_load(const gchar *path, const GpudlImportOptions *options, GCancellable *cancellable,
                                       GError **error);

/**
 * What nothing said of how the network wants its pixels, and what is assumed instead, for people: "RGB (channel-order),
 * values within 0 and 1 (mean, std, scale)", each with the option of 'gpudl convert' (or, with properties, gpudlinfer's
 * property) that says otherwise. Named are the order of three channels, the values, which any one of MEAN, STD and
 * PIXEL_SCALE settles, and the resize mode. said: GPUDL_SET_* bits that somebody has said since. NULL: nothing is
 * assumed. The caller frees.
 */
GPUDL_API gchar *gpudl_model_describe_assumed(GpudlModel *model, guint said, gboolean properties);

/** TRUE if gpudl_model_describe_assumed() names all that it could name of this model: nothing says how the network
 * wants its pixels. FALSE: a part is known, or everything. */
GPUDL_API gboolean gpudl_model_is_all_assumed(GpudlModel *model, guint said);

/** Outcome of comparing the rewritten graph on a backend with the graph as imported on the reference backend. The
 * caller sets struct_size, the library the rest. */
typedef struct {
    guint32 struct_size; /* sizeof(GpudlParity); 0: down to backend */
    /* absolute, over all inputs, of the output that is furthest off for its range = max - min of the reference */
    double max_difference, rms_difference, range;
    guint head;
    guint n_inputs;
    gboolean widened;  /* the file has half floats: both sides were computed in float32 */
    gchar backend[16]; /* that ran the rewritten graph: what "auto" stood for */
} GpudlParity;

/**
 * Converts a model file to net.bin at path_out (atomically replaced; only a regular file ever is, and none that the
 * model is read from: INVALID_ARGUMENT).
 * 8 random inputs (above 8 G multiply-accumulates fewer, at least 2) and, if given, golden_frame are run through the
 * graph as imported on the reference backend and through the rewritten graph on backend ("cpu", "ref", ...); a
 * difference above 1e-3 of the output's range in any output refuses (FAILED, nothing is written). expect (may be NULL):
 * float32 values, n_expect of them, that golden_frame has to give for the first output before the activation, from the
 * framework the model came from; compared alike. The golden sample (golden_frame's or the first random one's) is
 * stored. progress may be NULL. Once cancellable (may be NULL) is cancelled, CANCELLED is returned at once, with
 * nothing written; a file that is being written is finished first, and then it is no failure. parity (may be NULL) is
 * filled also on FAILED.
 */
GPUDL_API gboolean gpudl_model_convert(const gchar *path_in, const gchar *path_out, const GpudlImportOptions *options,
                                       const gchar *backend, const GpudlFrame *golden_frame, const gchar *golden_name,
                                       const float *expect, gsize n_expect, GpudlProgressFunc progress,
                                       gpointer user_data, GpudlParity *parity, GCancellable *cancellable,
                                       GError **error);

/** TRUE if path leads to a file that the model was read from: its own, or one with its external data. Nothing that is
 * made of the model may be written there. */
GPUDL_API gboolean gpudl_model_is_read_from(GpudlModel *model, const gchar *path);

/** Writes a model as it is to a net.bin. Errors: WRITE, also where what was written can't be read back, and LIMIT; what
 * stood there stays then. */
GPUDL_API gboolean gpudl_model_save(GpudlModel *model, const gchar *path, GError **error);

/** What is inside, for listings: JSON text (object "model", arrays "inputs" and "outputs", object "preprocessing",
 * array "layers" if asked; sizes and counts as integers). "known" of "preprocessing" is true where nothing is assumed;
 * else "assumed" says what, as gpudl_model_describe_assumed() does.
 */
GPUDL_API gchar *gpudl_model_describe(GpudlModel *model, gboolean layers);

G_END_DECLS
#endif
