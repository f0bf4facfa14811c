/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GPUDL_MODELS_TFLITE_LABELS_H
#define GPUDL_MODELS_TFLITE_LABELS_H

#include <glib.h>

G_BEGIN_DECLS

/** The lines of a file of the ZIP archive that is appended to a model; NULL with error if there is none that can be
 * read. NULL-terminated; caller frees. */
gchar **tflite_labels_read(GBytes *file, const gchar *name, GError **error);

G_END_DECLS
#endif
