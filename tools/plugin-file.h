/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Why GStreamer has no plugin gpudl, and where the programs are that doctor looks with. */
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

/**
 * A file that is installed, or else was built, together with this libgpudl: in the folder installed beside it, or in
 * built. NULL if there is none; freed by the caller.
 */
gchar *plugin_file_find_beside(const gchar *installed, const gchar *built, const gchar *name);

G_END_DECLS
#endif
