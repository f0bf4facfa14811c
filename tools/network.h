/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A network that is ready to answer: what the commands that classify load, and the options that say which.
 */
#ifndef GPUDL_TOOLS_NETWORK_H
#define GPUDL_TOOLS_NETWORK_H

#include "models/gpudl-import.h"

G_BEGIN_DECLS

/** Options as given, NULL where they are not. Strings are the owner's. */
typedef struct {
    gchar *labels_file, *input_size, *backend, *precision, *threads;
} NetworkOptions;

/** Rows of a table of GOptionEntry that fill them, without their braces. */
#define NETWORK_LABELS_FILE(o)                                                                                         \
    "labels-file", 0, 0, G_OPTION_ARG_FILENAME, &(o).labels_file, "Labels, one a line, in place of the model's", "FILE"
#define NETWORK_INPUT_SIZE(o)                                                                                          \
    "input-size", 0, 0, G_OPTION_ARG_STRING, &(o).input_size, "For files with a free input size", "HxW"
#define NETWORK_BACKEND(o)                                                                                             \
    "backend", 0, 0, G_OPTION_ARG_STRING, &(o).backend, "auto, cuda, cpu or ref (default auto)", "B"
#define NETWORK_PRECISION(o)                                                                                           \
    "precision", 0, 0, G_OPTION_ARG_STRING, &(o).precision, "auto, fp32, tf32, fp16, bf16, int8 or fp8", "P"
#define NETWORK_THREADS(o)                                                                                             \
    "threads", 0, 0, G_OPTION_ARG_STRING, &(o).threads, "CPU threads, 0: one per core (default)", "N"

void network_options_clear(NetworkOptions *options);

/** What they mean, into import (the input's size) and config (the rest; its strings stay the options'). FALSE with
 * INVALID_ARGUMENT that names the option. */
gboolean network_options_read(const NetworkOptions *options, GpudlImportOptions *import, GpudlSessionConfig *config,
                              GError **error);

typedef struct {
    GpudlModel *model;
    GpudlSession *session;
    GpudlStream *stream;
    gchar **labels; /* in place of the model's, n_classes of them; or NULL */
    guint n_classes;
} Network;

/** Loads it, until Ctrl-C (CANCELLED). labels_file may be NULL; FORMAT where it has not a label for each class. On
 * failure network is to be cleared as well. */
gboolean network_load(Network *network, const gchar *path, const GpudlImportOptions *import,
                      const GpudlSessionConfig *config, const gchar *labels_file, GError **error);
/** All requests of its stream must have been freed. */
void network_clear(Network *network);

G_END_DECLS
#endif
