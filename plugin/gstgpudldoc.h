/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Where the elements are documented, for gst-inspect-1.0. */
#ifndef __GST_GPUDL_DOC_H__
#define __GST_GPUDL_DOC_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/** Gives the class a documentation link: what the build was told (option
 * doc-uri), else the page (such as "overlay.md") that is installed with this
 * plugin or lies in the source of its build, else none. */
void gst_gpudl_doc_add (GstElementClass * element_class, const gchar * page);

/** (transfer full) (nullable): the page's file:// URI as seen from a plugin at
 * that path: share/doc/gpudl beside any folder above it, or docs beside its
 * build folder. */
gchar *gst_gpudl_doc_find (const gchar * plugin, const gchar * page);

G_END_DECLS

#endif
