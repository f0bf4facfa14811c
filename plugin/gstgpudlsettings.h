/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The writable properties of gpudlinfer: their ranges and values, and what they
 * make of a model's pre-processing.
 */
#ifndef __GST_GPUDL_SETTINGS_H__
#define __GST_GPUDL_SETTINGS_H__

#include <gst/gst.h>

#include "engine/gpudl.h"
#include "gstgpudlenums.h"
#include "models/gpudl-import.h"

G_BEGIN_DECLS

/** Frames that async-depth allows at most. */
#define GST_GPUDL_MAX_DEPTH 1024

/** Property ids of gpudlinfer. The settings' come first. */
enum
{
  GST_GPUDL_PROP_MODEL = 1,
  GST_GPUDL_PROP_LABELS_FILE,
  GST_GPUDL_PROP_BACKEND,
  GST_GPUDL_PROP_PRECISION,
  GST_GPUDL_PROP_CPU_THREADS,
  GST_GPUDL_PROP_TOP_K,
  GST_GPUDL_PROP_THRESHOLD,
  GST_GPUDL_PROP_ACTIVATION,
  GST_GPUDL_PROP_RESIZE_MODE,
  GST_GPUDL_PROP_CROP_FRACTION,
  GST_GPUDL_PROP_PAD_COLOR,
  GST_GPUDL_PROP_SCALE_METHOD,
  GST_GPUDL_PROP_MEAN,
  GST_GPUDL_PROP_STD,
  GST_GPUDL_PROP_PIXEL_SCALE,
  GST_GPUDL_PROP_CHANNEL_ORDER,
  GST_GPUDL_PROP_ASYNC_DEPTH,
  GST_GPUDL_PROP_BATCH_SIZE,
  GST_GPUDL_PROP_CUDA_DEVICE_ID,
  GST_GPUDL_PROP_AUTOTUNE,
  GST_GPUDL_PROP_CACHE_DIR,
  GST_GPUDL_PROP_MEMORY_LIMIT,
  GST_GPUDL_PROP_DETERMINISTIC,
  GST_GPUDL_PROP_POST_MESSAGES,
  GST_GPUDL_PROP_INPUT_SIZE,
  GST_GPUDL_PROP_LAST_SETTING = GST_GPUDL_PROP_INPUT_SIZE
};

/** Values as the application gave them; the owner guards them by its object
 * lock. */
typedef struct
{
  gchar *model;
  gchar *labels_file;
  GstGpudlBackend backend;
  GpudlPrecision precision;
  guint cpu_threads;
  guint top_k;
  gfloat threshold;
  GpudlActivation activation;
  GpudlResizeMode resize_mode;
  gfloat crop_fraction;
  guint pad_color;
  gboolean pad_color_set;       /* FALSE: the model's own colour */
  GpudlScaleMethod scale_method;
  GArray *mean, *std;           /* gdouble; empty: the model's */
  gdouble pixel_scale;
  GpudlChannelOrder channel_order;
  guint async_depth;
  guint batch_size;
  gint cuda_device_id;          /* -1: any */
  GstGpudlAutotune autotune;
  gchar *cache_dir;
  gchar *input_size;            /* "HxW", or NULL */
  guint64 memory_limit;         /* bytes, 0: none */
  gboolean deterministic;
  GstGpudlPostMessages post_messages;

  guint preproc_serial;         /* counts changes of what the pixels go through */
  guint labels_serial;          /* counts changes of labels_file */
} GstGpudlSettings;

/** Sets the defaults. */
void gst_gpudl_settings_init (GstGpudlSettings * settings);
void gst_gpudl_settings_clear (GstGpudlSettings * settings);
/** copy: initialised; what it has goes. */
void gst_gpudl_settings_copy (GstGpudlSettings * copy,
    const GstGpudlSettings * settings);

/** Installs the properties and marks their enumerations as plugin API. */
void gst_gpudl_settings_install (GObjectClass * klass);

/** FALSE if the id is not one of the settings'. The owner holds its lock. */
gboolean gst_gpudl_settings_set (GstGpudlSettings * settings, guint prop_id,
    const GValue * value);
/** The same; changed: it is another value than before. */
gboolean gst_gpudl_settings_change (GstGpudlSettings * settings,
    GParamSpec * pspec, const GValue * value, gboolean * changed);
/** a and b have other values of this property, which is one of the settings. */
gboolean gst_gpudl_settings_differ (const GstGpudlSettings * a,
    const GstGpudlSettings * b, GParamSpec * pspec);
gboolean gst_gpudl_settings_get (const GstGpudlSettings * settings,
    guint prop_id, GValue * value);

/**
 * gst_gpudl_settings_get_import:
 *
 * What is said to whoever loads the model. INVALID_ARGUMENT: input-size is none.
 */
gboolean gst_gpudl_settings_get_import (const GstGpudlSettings * settings,
    GpudlImportOptions * options, GError ** error);

/** What gpudl_session_acquire() is asked for; strings are static or the settings'. */
void gst_gpudl_settings_get_config (const GstGpudlSettings * settings,
    GpudlSessionConfig * config);

/**
 * gst_gpudl_settings_resolve:
 * @settings: as they are now, for what may change in PLAYING
 * @started: as they were at the start, for what is fixed above READY
 * @model: the model's own pre-processing
 * @preproc: (out): the model's with everything that is set in its place
 *
 * FALSE with GPUDL_ERROR_INVALID_ARGUMENT if the settings contradict the
 * network or each other.
 */
gboolean gst_gpudl_settings_resolve (const GstGpudlSettings * settings,
    const GstGpudlSettings * started, const GpudlPreproc * model,
    GpudlPreproc * preproc, GError ** error);

G_END_DECLS

#endif /* __GST_GPUDL_SETTINGS_H__ */
