/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of the reader: the archive with its weights, and the values that the graph's names stand for. */
#ifndef GPUDL_MODELS_TORCH_PT2_INTERNAL_H
#define GPUDL_MODELS_TORCH_PT2_INTERNAL_H

#include "models/json.h"
#include "models/onnx/onnx.h"
#include "models/torch/aten.h"
#include "models/zip.h"

G_BEGIN_DECLS

/** The archive, opened. */
typedef struct {
    GpudlZip *zip;
    gchar *root;         /* what its members' names begin with: "net/" or "" */
    JsonNode *model;     /* models/model.json */
    JsonNode *tables[2]; /* what the files of weights and of constants hold */
} Pt2File;

/** pages: what the file lies in, if its memory is the reader's to give back; or NULL. */
gboolean pt2_open(Pt2File *pt2, GBytes *file, GpudlPages *pages, GError **error);
void pt2_close(Pt2File *pt2);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Pt2File, pt2_close)

/** Element type of the file to ours, NONE if there is none. */
GpudlDType pt2_dtype(gint64 type);

/** The weight or constant of this name as a constant of the graph. NULL with error. */
GpudlTensor *pt2_weight(const Pt2File *pt2, AtenContext *context, const gchar *name, GError **error);

/** A value by its name in the graph. */
typedef struct {
    AtenValue value;
    const gchar *weight; /* its name among the weights, until it is read; or NULL */
} Pt2Value;

/** One import under way. */
typedef struct {
    AtenContext context;
    Pt2File file;
    JsonObject *graph;
    const GpudlSourceOptions *options;
    GHashTable *values;          /* gchar* -> Pt2Value*, the context's; those of the region being read */
    gchar *region;               /* what names of its nodes begin with; NULL outside of all */
    guint depth;                 /* of regions */
    gboolean size_chosen, bytes; /* bytes: the input is uint8 */
} Pt2Import;

/** Makes a name stand for a value. FORMAT if it does so already. */
gboolean pt2_define(Pt2Import *import, const gchar *name, const AtenValue *value, const gchar *weight, GError **error);
/** What a name stands for; a weight is read now. */
AtenValue *pt2_value(Pt2Import *import, const gchar *name, GError **error);
/** An argument of the file. */
AtenValue *pt2_argument(Pt2Import *import, JsonObject *arg, GError **error);
/** A name of the file as the graph has it, with its region's before it; lives as long as the context. */
const gchar *pt2_full_name(Pt2Import *import, const gchar *name);
/** Gives what a node has made the names that the file says. */
gboolean pt2_results(Pt2Import *import, JsonArray *outputs, const AtenValue *result, GError **error);

G_END_DECLS
#endif
