/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Why GStreamer has no plugin gpudl. */
#ifndef GPUDL_TOOLS_PLUGIN_FILE_H
#define GPUDL_TOOLS_PLUGIN_FILE_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * Looks for the plugin's file where GStreamer's registry remembers one and beside libgpudl, and tries to load it. Sets
 * reason to what is wrong and mend to the command, or what else, that puts it right; both freed by the caller. For
 * after GStreamer was started and did not have the plugin's elements.
 */
void plugin_file_explain(gchar **reason, gchar **mend);

G_END_DECLS
#endif
