/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What every importer is told, and what it tells of the file that it read beside the graph.
 */
#ifndef GPUDL_MODELS_SOURCE_H
#define GPUDL_MODELS_SOURCE_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "engine/pages.h"
#include "models/file-version.h"

G_BEGIN_DECLS

/** What to do about an input whose height and width the file does not say, of each command and the element. */
#define GPUDL_SOURCE_SIZE_ADVICE "give its height and width: --input-size HxW, gpudlinfer's input-size=HxW, e.g. "

/** A file that values were read from. */
typedef struct {
    gchar *path; /* links followed; owned */
    GpudlFileVersion version;
    gboolean same; /* it had this version at every reading */
} GpudlSourceFile;

/** One reading. */
typedef struct {
    guint file; /* index in the files */
    guint64 offset, bytes;
} GpudlSourceRead;

/** What the file says of itself; strings owned, NULL where absent. */
typedef struct {
    gchar *producer; /* "pytorch 2.1" */
    gchar *graph_name;
    gchar *doc;
    gint64 ir_version, opset;
    GHashTable *metadata;       /* metadata_props: gchar* -> gchar* */
    gchar **labels;             /* of classes, by a ZipMap or a list inside; or NULL */
    GPtrArray *notes;           /* gchar*: what was left out, for people; or NULL */
    GArray *files, *reads;      /* GpudlSourceFile, GpudlSourceRead: of external data, in order; empty without it */
    gchar external_content[33]; /* XXH3-128 of all that was read of them; "" without any */
    gboolean size_chosen;       /* the input's height or width is free in the file and came from the options */
    gint pixel_scale;           /* what the input is by the graph: 1: 0..255, 255: 0..1, 0: it does not show */
    /* of other formats than ONNX, else NULL or 0 */
    gchar *format;        /* what the file is: "Caffe", "TensorFlow Lite 3" */
    GpudlPreproc preproc; /* of which the fields in preproc_set, GPUDL_SET_*, are what the file says, and those in */
    guint preproc_set;    /* preproc_custom what its format is used with where it says nothing */
    guint preproc_custom;
    const gchar *preproc_from; /* what of the file says so: "transform_param"; static */
    /* set by the caller: the size of an input that is free where the options give none, 0: none either, whether it
     * counts before what the file itself says of that, and who says it; and what counts as content beside the file.
     * An importer that takes the file's own word instead sets default_from, which is static then. */
    gint default_height, default_width;
    gboolean default_first;
    const gchar *default_from;
    gchar beside[33];
} GpudlSourceInfo;

/** Frees what is in it, and leaves it as one of zeros. */
void gpudl_source_info_clear(GpudlSourceInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlSourceInfo, gpudl_source_info_clear)

/** How a file is read; of zeros: as it is. */
typedef struct {
    gint input_height, input_width;     /* for free spatial dimensions; 0: an error names them */
    gint default_height, default_width; /* for those that are free then; 0: none */
    gboolean default_first;             /* before what the file itself says; else after it */
    const gchar *default_from;          /* who says the default, for messages; NULL where there is none */
    /** Inputs whose value is known: name -> GpudlOnnxValue*, of ONNX alone; they become constants. May be NULL. */
    GHashTable *values;
    gboolean picture;          /* the graph is to have one input, of 4 dimensions: else UNSUPPORTED, before its nodes */
    const gchar *directory;    /* where external data files lie, or NULL: external data is refused */
    GCancellable *cancellable; /* looked at between nodes, or NULL */
    /** The values of initializers that models/onnx/onnx-apart.h has read apart from the file's bytes, which are taken
     * out of it, of ONNX alone; or NULL. */
    GPtrArray *apart;
    GpudlPages *pages; /* what the file is a slice of, from its beginning on, if nobody reads it afterwards: an importer
                          may give back pieces of it, those of PyTorch do; or NULL */
    GpudlRoom *room;   /* where large external data is read to, of ONNX alone; made if there is none; or NULL */
} GpudlSourceOptions;

/** Adds one of n inputs, where there are more than are taken, to a message: "'x' ?x3x8x8, 'z' scalar and 3 more". i
 * counts from 0; an extent below 1 is free; shape NULL: it is not told. */
void gpudl_source_name_input(GString *text, guint i, guint n, const gchar *name, const GpudlShape *shape);

G_END_DECLS
#endif
