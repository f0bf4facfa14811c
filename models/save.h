/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Writing a model's file. */
#ifndef GPUDL_MODELS_SAVE_H
#define GPUDL_MODELS_SAVE_H

#include <glib.h>

/** What can be known before the work is done: whether a file can be written there. FALSE with GPUDL_ERROR_WRITE. */
gboolean gpudl_save_check(const gchar *path, GError **error);

#endif
