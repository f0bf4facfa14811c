/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pictures whose class is known: what they are, where they lie, and which of a network's classes each belongs to.
 */
#ifndef GPUDL_TOOLS_DATASET_H
#define GPUDL_TOOLS_DATASET_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

typedef enum {
    DATASET_FOLDERS, /* a folder for each class, with pictures in it at any depth */
    DATASET_LIST,    /* a text file: a picture and its class a line */
    DATASET_MNIST,   /* IDX files of pictures and of labels */
    DATASET_CIFAR10, /* binary records */
    DATASET_CIFAR100
} DatasetKind;

/** How the data set's classes were found among the network's. */
typedef enum {
    DATASET_BY_NAME,
    DATASET_BY_NUMBER, /* they are called as the network counts, from 0 */
    DATASET_BY_ORDER   /* the folders, sorted by name as bytes, are the network's classes one by one */
} DatasetMatch;

typedef struct {
    DatasetKind kind;
    gchar *path;       /* as given */
    GPtrArray *labels; /* gchar*: the classes as the data set calls them, each once; of folders sorted */
    GArray *pictures;  /* of guint: the label of each */
    GPtrArray *files;  /* gchar*: the path of each; NULL where pixels are in data */
    guint n_left_out;  /* files in folders that are no pictures by their suffix */
    /*< private >*/
    GBytes *data;
    gsize first, step, skip; /* bytes: before the first record, of a record, of a record before its pixels */
    gint height, width;
} Dataset;

/**
 * Opens what is at path, told by what it is and by its bytes; pictures in files are not opened yet. Text may be UTF-8
 * with or without a BOM. Errors: NOT_FOUND, OPEN_READ, FORMAT (damaged; nothing of the kind: the message says what
 * would be), LIMIT. Each message begins with the path of the file or folder that it is about.
 */
Dataset *dataset_open(const gchar *path, GError **error);
void dataset_free(Dataset *dataset);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Dataset, dataset_free)

/** "folders", "list", "mnist", "cifar-10", "cifar-100"; "name", "number", "order". */
const gchar *dataset_kind_name(DatasetKind kind);
const gchar *dataset_match_name(DatasetMatch match);

/** What messages call a picture: its path, or "FILE #17". Freed by the caller. */
gchar *dataset_name(const Dataset *dataset, guint picture);
/** Describes a picture that is in data, in frame, whose pixels are the data set's. FALSE: it is in a file. */
gboolean dataset_frame(const Dataset *dataset, guint picture, GpudlFrame *frame);

/**
 * Finds the network's class of each of the data set's labels: by name where all of them are names (names[c], NULL: has
 * none; in any case, with blanks or _ or -, by all of a name or what stands before its first comma); else by number;
 * else, of as many folders as there are classes, by order if no name contradicts that. Returns n_labels ids, freed by
 * the caller: below n_classes for each label that a picture has; a label without pictures may have no class, and then
 * an id that is not. FORMAT: says which labels are unknown, or mean two classes, and what is known.
 */
guint32 *dataset_match(const Dataset *dataset, const gchar *const *names, guint n_classes, DatasetMatch *match,
                       GError **error);

G_END_DECLS
#endif
