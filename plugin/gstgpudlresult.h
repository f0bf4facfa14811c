/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * From a finished request to what others see of it: metadata and messages.
 */
#ifndef __GST_GPUDL_RESULT_H__
#define __GST_GPUDL_RESULT_H__

#include <gst/gst.h>

#include "gstgpudllabels.h"
#include "gstgpudlmeta.h"

G_BEGIN_DECLS

/** What a head has said of the last frame that was classified. */
typedef struct
{
  GstGpudlClass *classes;       /* room for all */
  guint n_classes;
  gboolean is_one;              /* its scores were numbers */
} GstGpudlAnswer;

typedef struct
{
  GMutex lock;                  /* for labels */
  GstGpudlLabels **labels;      /* one for each head */
  GpudlModel *model;
  gchar *name;
  const gchar *hash;            /* the model's, from the first answer on: whoever
                                 * asks a model whose file is lost reads it */
  guint n_heads;
  guint32 no_scores;            /* bit h set: head h's last scores were no numbers */
  GpudlClass *best;             /* room for the largest head's classes */
  GstGpudlAnswer *answers;      /* one for each head */
  gint held;                    /* atomic: they may be given to other frames */
  gdouble region[4];            /* of that frame, and its time */
  GstClockTime pts;
} GstGpudlResult;

void gst_gpudl_result_init (GstGpudlResult * result);
void gst_gpudl_result_clear (GstGpudlResult * result);

/** Makes room for the model's answers, with its own labels; they may come from
 * any session of it. name: what it is called in them. close() is allowed when
 * nothing is open. */
void gst_gpudl_result_open (GstGpudlResult * result, GpudlModel * model,
    const gchar * name);
void gst_gpudl_result_close (GstGpudlResult * result);

/** Takes the first head's labels from a file, or from the model if path is NULL.
 * After a failure they are as before. From any thread. Errors:
 * gst_gpudl_labels_new_from_file()'s. */
gboolean gst_gpudl_result_set_labels (GstGpudlResult * result,
    const gchar * path, GError ** error);

/** (transfer full): the first head's labels by class number; NULL: nothing is
 * open. From any thread. */
gchar **gst_gpudl_result_get_labels (GstGpudlResult * result);

/**
 * gst_gpudl_result_attach:
 * @request: finished well
 * @region: x, y, width, height of what was looked at, in 0..1
 * @top_k: classes at most, 0: all
 * @threshold: smallest confidence, 0: all, negative values too
 * @buffer: writable
 * @poster: (nullable): posts a message for each head as well
 * @segment: the buffer's, for the message's times
 *
 * One metadata for each head whose scores are numbers. By one thread at a time.
 *
 * Returns: (transfer full) (nullable): why a head has none, where the frame
 *   before it still had one
 */
GError *gst_gpudl_result_attach (GstGpudlResult * result,
    GpudlRequest * request, const gdouble region[4], guint top_k,
    gfloat threshold, GstBuffer * buffer, GstElement * poster,
    const GstSegment * segment);

/**
 * gst_gpudl_result_hold:
 * @buffer: (inout): a frame that is not classified
 *
 * Attaches to it what has been said of the last frame that was: metadata that is
 * not fresh, no message. By the thread that attaches. Does nothing where nothing
 * has been said.
 */
void gst_gpudl_result_hold (GstGpudlResult * result, GstBuffer ** buffer);

/** What has been said holds for no frame that comes. From any thread. */
void gst_gpudl_result_forget (GstGpudlResult * result);

/**
 * gst_gpudl_result_message_new:
 *
 * The element message "gpudlinfer-result": timestamp, stream-time,
 * running-time, duration (uint64, ns), model (string), head (string, where a
 * network has several); label (string), id (int), confidence (double) of the
 * best class, absent if there is none; results, a list of structures with
 * label, id and confidence, best first.
 *
 * Returns: (transfer full): the message
 */
GstMessage *gst_gpudl_result_message_new (GstObject * source,
    GstBuffer * buffer, const GstSegment * segment,
    const GstGpudlClassification * classification);

G_END_DECLS

#endif /* __GST_GPUDL_RESULT_H__ */
