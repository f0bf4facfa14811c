/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudldoc.h"

#include <dlfcn.h>

/* lib/x86_64-linux-gnu/gstreamer-1.0 is three folders below the prefix */
#define MAX_FOLDERS 3

gchar *
gst_gpudl_doc_find (const gchar * plugin, const gchar * page)
{
  g_autofree gchar *path = g_canonicalize_filename (plugin, NULL);
  g_autofree gchar *folder = g_path_get_dirname (path);
  g_autofree gchar *build = g_path_get_dirname (folder);
  g_autofree gchar *source = g_path_get_dirname (build);
  g_autofree gchar *in_source = g_build_filename (source, "docs", page, NULL);

  for (guint i = 0; i < MAX_FOLDERS; i++) {
    gchar *above = g_path_get_dirname (folder);
    g_autofree gchar *installed =
        g_build_filename (above, "share", "doc", "gpudl", page, NULL);

    g_free (folder);
    folder = above;
    if (g_file_test (installed, G_FILE_TEST_IS_REGULAR))
      return g_filename_to_uri (installed, NULL, NULL);
  }
  return g_file_test (in_source, G_FILE_TEST_IS_REGULAR) ?
      g_filename_to_uri (in_source, NULL, NULL) : NULL;
}

void
gst_gpudl_doc_add (GstElementClass * element_class, const gchar * page)
{
  g_autofree gchar *uri = NULL;
  Dl_info info;

  if (DOC_URI[0] != '\0')
    uri = g_strdup (DOC_URI);
  else if (dladdr ((const void *) gst_gpudl_doc_add, &info) != 0
      && info.dli_fname != NULL)
    uri = gst_gpudl_doc_find (info.dli_fname, page);
  if (uri != NULL)
    gst_element_class_add_metadata (element_class,
        GST_ELEMENT_METADATA_DOC_URI, uri);
}
