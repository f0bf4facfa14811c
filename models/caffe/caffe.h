/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Caffe's networks into a graph, literally: a .prototxt that describes one, a .caffemodel with its values, or a
 * .caffemodel alone, which holds a description, too.
 */
#ifndef GPUDL_MODELS_CAFFE_H
#define GPUDL_MODELS_CAFFE_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "kernels/frame.h"

G_BEGIN_DECLS

typedef struct {
    gint input_height, input_width;     /* where the network does not say its input's; 0: an error tells */
    gint default_height, default_width; /* for what is not said then; 0: none */
    gboolean mean_given;                /* the caller knows what is subtracted: no mean_file is looked for */
    GCancellable *cancellable;          /* or NULL */
} GpudlCaffeOptions;

/** The two files' content. text NULL: the values' own description counts; values NULL: no layer may need any. The
 * values' bytes are taken, those of the text borrowed. */
typedef struct {
    GBytes *text, *values;
    const gchar *text_name, *values_name; /* paths, for messages */
} GpudlCaffeFiles;

/** What the files say beside the graph; strings owned. */
typedef struct {
    gchar *name;           /* the network's, or NULL */
    gboolean size_chosen;  /* height or width came from the options */
    GpudlPreproc preproc;  /* channel_order, pixel_scale, mean, std */
    gboolean preproc_said; /* by a transform_param; FALSE: what is Caffe's custom, BGR of 0..255 */
    gchar *mean_file;      /* a file that holds what is subtracted: to be read with gpudl_caffe_read_mean(); or NULL */
} GpudlCaffeInfo;

void gpudl_caffe_info_clear(GpudlCaffeInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlCaffeInfo, gpudl_caffe_info_clear)

/** TRUE if bytes look like a NetParameter in the wire format, or like one in text; cheap. */
gboolean gpudl_caffe_sniff(const guint8 *data, gsize size);
gboolean gpudl_caffe_sniff_text(const guint8 *data, gsize size);

/**
 * Imports; the result is sorted and inferred with the batch of the file. Layers that only training has are left out,
 * and of data layers only their transform_param is taken. Errors: FORMAT, LIMIT, UNSUPPORTED naming the layer, its type
 * and what is missing; of the text with line and column.
 */
GpudlGraph *gpudl_caffe_import(const GpudlCaffeFiles *files, const GpudlCaffeOptions *options, GpudlCaffeInfo *info,
                               GError **error);

/** Takes the means of a .binaryproto's channels (values of one each, or all equal in a channel) into
 * info->preproc.mean. FORMAT, UNSUPPORTED with the averages where they are not equal. */
gboolean gpudl_caffe_read_mean(GBytes *file, const gchar *name, GpudlCaffeInfo *info, GError **error);

G_END_DECLS
#endif
