/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What a buffer carries: the GstCustomMeta "GpudlClassificationMeta", and from
 * GStreamer 1.24 a GstAnalyticsClsMtd as well. The only file that knows metas.
 *
 * Fields of the custom meta: v (int, 1), model, model-hash (string), labels
 * (array of string), ids (array of int), confidences (array of double,
 * descending), fresh (boolean), source-pts, age (uint64, ns; G_MAXUINT64 for no
 * time), region (array of 4 double: x, y, width, height in 0..1), and head
 * (string) where a network has several outputs; then a buffer carries one meta
 * for each, in the network's order. Besides label (string), id (int), confidence
 * (double) of the best class, the first of the arrays; absent if there is none.
 *
 * Arrays are GST_TYPE_ARRAY. Python without GStreamer's overrides (package
 * python3-gst-1.0) knows no such values in get_value(); it has
 * Gst.Structure.get_array(), in messages get_list(), and for the element's
 * properties mean and std Gst.util_get_object_array():
 *
 *   ok, labels = structure.get_array("labels")
 *   labels = [labels.get_nth(i) for i in range(labels.n_values)]
 *
 * Several of them. A buffer that has passed several gpudlinfer carries the metas
 * of all, told apart by model and head, in the order of the elements.
 * gst_buffer_get_custom_meta() gives the first one. All of them:
 *
 *   const GstMetaInfo *info = gst_meta_get_info ("GpudlClassificationMeta");
 *   gpointer state = NULL;
 *   GstMeta *meta;
 *
 *   while (info != NULL && (meta = gst_buffer_iterate_meta_filtered (buffer,
 *               &state, info->api)) != NULL)
 *     use (gst_custom_meta_get_structure ((GstCustomMeta *) meta));
 *
 * Python can't iterate; it takes them off a buffer that has the metas alone:
 *
 *   def classifications(buffer):
 *       metas = buffer.copy_region(Gst.BufferCopyFlags.META, 0, 0)
 *       for _ in range(metas.get_n_meta(
 *               Gst.Meta.get_info("GpudlClassificationMeta").api)):
 *           meta = metas.get_custom_meta("GpudlClassificationMeta")
 *           yield meta.get_structure().copy()
 *           metas.remove_meta(meta.meta)
 *
 * Code that includes this header has gst_gpudl_meta_get_n() and
 * gst_gpudl_meta_read().
 */
#ifndef __GST_GPUDL_META_H__
#define __GST_GPUDL_META_H__

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_GPUDL_CLASSIFICATION_META_NAME "GpudlClassificationMeta"
#define GST_GPUDL_CLASSIFICATION_META_VERSION 1

/** One class. */
typedef struct
{
  const gchar *label;           /* never NULL */
  GQuark quark;                 /* of the label; 0 where it was read back */
  guint32 id;
  gfloat confidence;
} GstGpudlClass;

/** One classification of one frame by one output of a network. */
typedef struct
{
  const gchar *model, *model_hash;
  const gchar *head;            /* NULL: the network has one output */
  const GstGpudlClass *classes; /* best first */
  guint n_classes;
  gboolean fresh;               /* made of this very frame */
  GstClockTime source_pts;      /* of the frame it was made of */
  GstClockTime age;             /* this frame's time minus that frame's */
  gdouble region[4];
} GstGpudlClassification;

/** Registers the meta; cheap after the first time. From any thread. */
void gst_gpudl_meta_register (void);

/**
 * gst_gpudl_meta_attach:
 * @buffer: writable
 *
 * Strings other than the labels are copied; labels have to be interned, they
 * are referred to for ever. Where analytics metadata exists, each call adds a
 * GstAnalyticsClsMtd as well: one for each head, in the order of the calls; it
 * has no field for the head's name.
 */
void gst_gpudl_meta_attach (GstBuffer * buffer,
    const GstGpudlClassification * classification);

/** How many classifications a buffer carries, those of unknown versions
 * included: one for each head of each gpudlinfer that it has passed, in that
 * order. */
guint gst_gpudl_meta_get_n (GstBuffer * buffer);

/**
 * gst_gpudl_meta_read:
 * @buffer: a buffer
 * @index: which of its classifications, 0 the first
 *
 * Returns: (transfer full) (nullable): the classification, %NULL if there are
 * not that many or it is of a version this code does not know: one of those may
 * stand before others, so that gst_gpudl_meta_get_n() says where to stop. Free with
 * gst_gpudl_classification_free(); its strings are its own.
 */
GstGpudlClassification *gst_gpudl_meta_read (GstBuffer * buffer, guint index);

void gst_gpudl_classification_free (GstGpudlClassification * classification);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GstGpudlClassification,
    gst_gpudl_classification_free)

/** The same for the analytics meta; nothing where that does not exist.
 * gstgpudlanalytics.c or its stub. */
void gst_gpudl_analytics_attach (GstBuffer * buffer,
    const GstGpudlClassification * classification);

G_END_DECLS

#endif /* __GST_GPUDL_META_H__ */
