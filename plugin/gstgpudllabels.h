/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Names of classes: interned strings with their quarks, so that attaching one
 * to a buffer copies nothing. Immutable and reference-counted.
 */
#ifndef __GST_GPUDL_LABELS_H__
#define __GST_GPUDL_LABELS_H__

#include "engine/gpudl.h"

G_BEGIN_DECLS

typedef struct _GstGpudlLabels GstGpudlLabels;

/** The model's embedded labels of a head; decimal ids where it has none. */
GstGpudlLabels *gst_gpudl_labels_new_embedded (GpudlModel * model, guint head);

/** Reads a labels file for n_classes classes. Errors: gpudl_labels_read()'s;
 * GPUDL_ERROR_INVALID_ARGUMENT with both numbers if there are others. */
GstGpudlLabels *gst_gpudl_labels_new_from_file (const gchar * path,
    guint n_classes, GError ** error);

GstGpudlLabels *gst_gpudl_labels_ref (GstGpudlLabels * labels);
void gst_gpudl_labels_unref (GstGpudlLabels * labels);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GstGpudlLabels, gst_gpudl_labels_unref)

/** (transfer full): all of them, by id, ended by NULL. */
gchar **gst_gpudl_labels_list (const GstGpudlLabels * labels);

/** Quark of a class's name, never 0; id is below the number of classes. */
GQuark gst_gpudl_labels_get (const GstGpudlLabels * labels, guint id);

G_END_DECLS

#endif /* __GST_GPUDL_LABELS_H__ */
