/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A TensorFlow Lite file as plain structs: what the FlatBuffers library, which is C++, is kept behind. All pointers
 * lead into the file's bytes but for the arrays, which are the file's own.
 */
#ifndef GPUDL_MODELS_TFLITE_FILE_H
#define GPUDL_MODELS_TFLITE_FILE_H

#include <glib.h>
#include <string.h>

#include "kernels/types.h"

G_BEGIN_DECLS

typedef struct {
    gchar *name; /* UTF-8 */
    GpudlDType dtype;
    const gchar *type_name; /* as the schema calls it */
    GpudlShape shape;       /* the signature's, where it has one: -1 is free */
    const guint8 *data;     /* NULL: no constant */
    gsize size;             /* bytes of data */
    const float *scales;    /* quantised: real = scale (stored - zero) */
    const guint8 *zeros;    /* n_zeros integers of 64 bits, which may lie anywhere; NULL: 0 */
    gsize n_scales, n_zeros;
    gint dimension;   /* that has n_scales > 1 */
    gboolean refused; /* a variable, sparse, or quantised in a way of its own */
} TfliteTensor;

/** The stored value that stands for 0 in a channel; 0 where the file says nothing. */
static inline gint64 tflite_zero(const TfliteTensor *tensor, gsize channel)
{
    gint64 zero = 0;

    if (channel < tensor->n_zeros)
        memcpy(&zero, tensor->zeros + channel * sizeof zero, sizeof zero);
    return zero;
}

/** Attributes of all operators; those that one does not have are 0. */
typedef struct {
    gint valid; /* padding: 0 same, 1 valid */
    gint stride_h, stride_w, dilation_h, dilation_w, filter_h, filter_w;
    gint activation; /* 0 none, 1 relu, 2 -1..1, 3 relu6, 4 tanh */
    gint axis, count, batch_dims, block, radius, bits;
    gboolean keep_dims, approximate, adj_x, adj_y, offset, symmetric, shuffled, half_pixel_centers, align_corners,
        narrow;
    gint begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask;
    float alpha, beta, bias, low, high;
    GpudlDType to;
    const gint32 *dims; /* RESHAPE, SQUEEZE */
    gsize n_dims;
} TfliteOptions;

typedef struct {
    gint code;
    const gchar *name; /* the schema's, "CONV_2D", or a custom operator's; "?" for one that is newer */
    gboolean has_options;
    TfliteOptions options;
    const gint32 *inputs, *outputs; /* tensors; -1: absent */
    gsize n_inputs, n_outputs;
} TfliteOperator;

typedef struct {
    gchar *description; /* UTF-8, or NULL */
    guint version;
    gsize n_subgraphs;
    TfliteTensor *tensors;
    TfliteOperator *operators;
    const gint32 *inputs, *outputs;
    gsize n_tensors, n_operators, n_inputs, n_outputs;
    /* metadata, by the first entry of its name */
    gboolean metadata_damaged;      /* it is there, and can't be read */
    gpointer metadata_copy;         /* of its bytes where they do not lie aligned in the file, or NULL */
    gchar *name, *author, *licence; /* or NULL */
    const float *mean, *std;        /* of values 0..255; NULL without */
    gsize n_mean, n_std;
    guint32 default_height, default_width; /* of an input whose size is free; 0: not said */
    const gchar *labels_file;              /* in the ZIP archive behind the model, or NULL */
} TfliteFile;

/** Verifies all of it before anything is read, then reads. data must stay until the file is cleared and be aligned to
 * 16 bytes. FORMAT, LIMIT or UNSUPPORTED. */
gboolean tflite_file_read(TfliteFile *file, const guint8 *data, gsize size, GError **error);
void tflite_file_clear(TfliteFile *file);

G_END_DECLS
#endif
