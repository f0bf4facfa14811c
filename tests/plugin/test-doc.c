/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where gst-inspect-1.0 says that the elements are documented. */
#include <glib/gstdio.h>

#include "plugin/gstgpudldoc.h"

static void
make_page (const gchar * folder, const gchar * name)
{
  g_autofree gchar *path = g_build_filename (folder, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, "page", -1, NULL));
}

/* the page of the prefix, however deep the plugin lies in it; that of the source for a build; none of anybody else */
static void
test_documentation (void)
{
  g_autofree gchar *root = g_dir_make_tmp ("gpudl doc XXXXXX", NULL);
  g_autofree gchar *installed =
      g_build_filename (root, "share/doc/gpudl", NULL);
  g_autofree gchar *docs = g_build_filename (root, "docs", NULL);
  g_autofree gchar *page = g_build_filename (installed, "overlay.md", NULL);
  g_autofree gchar *source = g_build_filename (docs, "live.md", NULL);
  g_autofree gchar *page_uri = g_filename_to_uri (page, NULL, NULL);
  g_autofree gchar *source_uri = g_filename_to_uri (source, NULL, NULL);
  static const gchar *const folders[] =
      { "share/doc/gpudl", "share/doc", "share", "docs", "" };
  const struct
  {
    const gchar *plugin, *page, *uri;
  } cases[] = {
    {"lib/x86_64-linux-gnu/gstreamer-1.0/libgstgpudl.so", "overlay.md",
        page_uri},
    {"lib/gstreamer-1.0/libgstgpudl.so", "overlay.md", page_uri},
    {"build/plugin/libgstgpudl.so", "overlay.md", page_uri},
    {"build/plugin/libgstgpudl.so", "live.md", source_uri},
    {"build/plugin/../plugin/libgstgpudl.so", "live.md", source_uri},
    {"libgstgpudl.so", "live.md", NULL},
    {"a/b/c/d/libgstgpudl.so", "overlay.md", NULL},
    {"a/b/c/libgstgpudl.so", "live.md", NULL},
    {"lib/gstreamer-1.0/libgstgpudl.so", "none.md", NULL},
  };

  make_page (installed, "overlay.md");
  make_page (docs, "live.md");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *plugin = g_build_filename (root, cases[i].plugin, NULL);
    g_autofree gchar *uri = gst_gpudl_doc_find (plugin, cases[i].page);

    g_test_message ("%s", cases[i].plugin);
    g_assert_cmpstr (uri, ==, cases[i].uri);
  }
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (g_remove (i == 0 ? page : source), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autofree gchar *folder = g_build_filename (root, folders[i], NULL);

    g_assert_cmpint (g_rmdir (folder), ==, 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/doc/page-of-prefix-or-source", test_documentation);
  return g_test_run ();
}
