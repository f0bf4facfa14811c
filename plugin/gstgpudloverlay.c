/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gpudloverlay
 * @title: gpudloverlay
 * @short_description: writes a frame's classification over the picture
 *
 * Draws what `gpudlinfer` has attached: for each of the best classes its label,
 * its confidence in percent and as a bar. Frames without classification pass as
 * they are. Where a frame has been through several `gpudlinfer`, or a network
 * has several outputs, all results are drawn, each below its model's name;
 * #GstGpudlOverlay:model picks one. The drawing is made anew only when the text
 * or the size of the frame changes, and is never larger than the frame. Where
 * downstream can compose overlays itself, they are attached to the buffers and
 * the pixels stay untouched. docs/overlay.md says more.
 *
 * ## Example launch line
 * |[
 * gst-launch-1.0 filesrc location=birds.mp4 ! decodebin ! videoconvert ! gpudlinfer model=net.bin ! gpudloverlay position=bottom-left count=1 ! videoconvert ! autovideosink
 * ]|
 *
 * Since: 0.1
 */
#include "gpudl-config.h"

#include "gstgpudloverlay.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "gstgpudldoc.h"
#include "gstgpudlfeature.h"
#include "gstgpudlpanel.h"

GST_DEBUG_CATEGORY_STATIC (gst_gpudl_overlay_debug);
#define GST_CAT_DEFAULT gst_gpudl_overlay_debug

#define DEFAULT_POSITION GST_GPUDL_OVERLAY_TOP_LEFT
#define DEFAULT_SIZE 0.05
#define DEFAULT_COUNT 3
#define MAX_COUNT 20
/* Digits of a model-hash that are no longer taken for a chance. */
#define MIN_HASH 8

enum
{
  PROP_POSITION = 1,
  PROP_SIZE,
  PROP_COUNT,
  PROP_MODEL
};

#define TEMPLATE_CAPS                                                          \
    GST_VIDEO_CAPS_MAKE (GST_VIDEO_OVERLAY_COMPOSITION_BLEND_FORMATS) ";"      \
    GST_VIDEO_CAPS_MAKE_WITH_FEATURES ("ANY",                                  \
        GST_VIDEO_OVERLAY_COMPOSITION_BLEND_FORMATS)

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (TEMPLATE_CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (TEMPLATE_CAPS));

#define parent_class gst_gpudl_overlay_parent_class
G_DEFINE_TYPE_WITH_CODE (GstGpudlOverlay, gst_gpudl_overlay, GST_TYPE_BIN,
    GST_DEBUG_CATEGORY_INIT (gst_gpudl_overlay_debug, "gpudloverlay", 0,
        "drawing of classifications"));
GST_ELEMENT_REGISTER_DEFINE (gpudloverlay, "gpudloverlay", GST_RANK_NONE,
    GST_TYPE_GPUDL_OVERLAY);

GType
gst_gpudl_overlay_position_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_GPUDL_OVERLAY_TOP_LEFT, "Top left corner", "top-left"},
    {GST_GPUDL_OVERLAY_TOP_RIGHT, "Top right corner", "top-right"},
    {GST_GPUDL_OVERLAY_BOTTOM_LEFT, "Bottom left corner", "bottom-left"},
    {GST_GPUDL_OVERLAY_BOTTOM_RIGHT, "Bottom right corner", "bottom-right"},
    {0, NULL, NULL}
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type,
        g_enum_register_static ("GstGpudlOverlayPosition", values));
  return type;
}

/* ---- composer's streaming thread ---------------------------------------- */

/* What properties say, as they are now. */
typedef struct
{
  GstGpudlOverlayPosition position;
  gdouble size;
  guint count;
  gchar *model;                 /* NULL: all */
} Wishes;

static void
get_wishes (GstGpudlOverlay * self, Wishes * wishes)
{
  GST_OBJECT_LOCK (self);
  wishes->position = self->position;
  wishes->size = self->size;
  wishes->count = self->count;
  wishes->model = g_strdup (self->model);
  GST_OBJECT_UNLOCK (self);
}

static gboolean
is_of_model (const GstGpudlClassification * c, const gchar * model)
{
  return model == NULL || strcmp (c->model, model) == 0
      || (strlen (model) >= MIN_HASH && g_str_has_prefix (c->model_hash,
          model));
}

/* A name that is mistyped leaves the picture as it is, which looks as if nothing
 * were classified. Once for each value of the property. */
static void
warn_of_model (GstGpudlOverlay * self, const gchar * model,
    const gchar * others)
{
  if (g_strcmp0 (self->missed_model, model) == 0)
    return;
  g_free (self->missed_model);
  self->missed_model = g_strdup (model);
  GST_ELEMENT_WARNING (self, RESOURCE, NOT_FOUND,
      (_("No result on the picture is of model \"%s\"."), model),
      ("nothing is drawn; the results are of: %s", others));
}

/* The frame's results that are to be drawn, in the order of the elements that
 * made them. */
static GPtrArray *
read_results (GstGpudlOverlay * self, GstBuffer * buffer, const gchar * model)
{
  const guint n = gst_gpudl_meta_get_n (buffer);
  GPtrArray *results = g_ptr_array_new_full (n,
      (GDestroyNotify) gst_gpudl_classification_free);
  g_autoptr (GString) others = g_string_new (NULL);

  for (guint i = 0; i < n; i++) {
    g_autoptr (GstGpudlClassification) c = gst_gpudl_meta_read (buffer, i);

    if (c == NULL)
      continue;
    if (is_of_model (c, model))
      g_ptr_array_add (results, g_steal_pointer (&c));
    else
      g_string_append_printf (others, "%s%s (%.12s)", others->len ? ", " : "",
          c->model, c->model_hash);
  }
  if (results->len == 0 && others->len > 0)
    warn_of_model (self, model, others->str);
  return results;
}

/* Where there are several results, each says whose it is, one without any class
 * too, so that the others stay where they are. FALSE: there is no class. */
static gboolean
add_rows (GstGpudlPanel * panel, const GPtrArray * results, guint count)
{
  gboolean any = FALSE;

  for (guint i = 0; i < results->len; i++) {
    const GstGpudlClassification *c = results->pdata[i];
    g_autofree gchar *title = c->head != NULL ?
        g_strdup_printf ("%s: %s", c->model, c->head) : g_strdup (c->model);

    if (results->len > 1)
      gst_gpudl_panel_add_title (panel, title);
    for (guint k = 0; k < MIN (count, c->n_classes); k++)
      gst_gpudl_panel_add_class (panel, c->classes[k].label,
          c->classes[k].confidence);
    any |= c->n_classes > 0;
  }
  return any;
}

/* Once, until pixels have another shape. */
static void
warn_of_ratio (GstGpudlOverlay * self, const GstGpudlPanel * panel)
{
  if (panel->odd_ratio && !self->odd_ratio)
    GST_ELEMENT_WARNING (self, STREAM, FORMAT,
        (_("The picture's pixel aspect ratio %d/%d can't be right."),
            GST_VIDEO_INFO_PAR_N (panel->info),
            GST_VIDEO_INFO_PAR_D (panel->info)),
        ("the classification is drawn as over square pixels; put \"capssetter "
            "caps=video/x-raw,pixel-aspect-ratio=1/1\" before it where that "
            "is right"));
  self->odd_ratio = panel->odd_ratio;
}

/* The last drawing, if it shows this, else a new one. (nullable) */
static GstVideoOverlayComposition *
draw_panel (GstGpudlOverlay * self, const GstGpudlPanel * panel)
{
  gst_gpudl_panel_describe (panel, self->key);
  if (!g_string_equal (self->key, self->last_key)) {
    GST_DEBUG_OBJECT (self, "drawing %s", self->key->str);
    warn_of_ratio (self, panel);
    g_clear_pointer (&self->composition, gst_video_overlay_composition_unref);
    g_string_truncate (self->last_key, 0);
    self->composition = gst_gpudl_panel_render (panel, self->pango);
    if (self->composition != NULL)
      g_string_assign (self->last_key, self->key->str);
    else                        /* the next frame tries again */
      GST_WARNING_OBJECT (self, "no memory for a drawing over %dx%d pixels",
          GST_VIDEO_INFO_WIDTH (panel->info),
          GST_VIDEO_INFO_HEIGHT (panel->info));
  }
  return self->composition != NULL ?
      gst_video_overlay_composition_ref (self->composition) : NULL;
}

static GstVideoOverlayComposition *
gst_gpudl_overlay_draw (GstElement * composer, GstSample * sample,
    gpointer user_data)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (user_data);
  GstVideoOverlayComposition *composition = NULL;
  g_autoptr (GPtrArray) results = NULL;
  GstGpudlPanel panel;
  GstVideoInfo info;
  Wishes wishes;

  if (!gst_video_info_from_caps (&info, gst_sample_get_caps (sample)))
    return NULL;
  get_wishes (self, &wishes);
  results = read_results (self, gst_sample_get_buffer (sample), wishes.model);
  gst_gpudl_panel_init (&panel, &info, wishes.size,
      wishes.position == GST_GPUDL_OVERLAY_TOP_RIGHT
      || wishes.position == GST_GPUDL_OVERLAY_BOTTOM_RIGHT,
      wishes.position == GST_GPUDL_OVERLAY_BOTTOM_LEFT
      || wishes.position == GST_GPUDL_OVERLAY_BOTTOM_RIGHT);
  if (add_rows (&panel, results, wishes.count))
    composition = draw_panel (self, &panel);
  gst_gpudl_panel_clear (&panel);
  g_free (wishes.model);
  return composition;
}

/* ---- object ------------------------------------------------------------- */

static GstStateChangeReturn
gst_gpudl_overlay_change_state (GstElement * element, GstStateChange transition)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (element);
  GstStateChangeReturn ret;

  switch (transition) {
    case GST_STATE_CHANGE_NULL_TO_READY:
      if (self->composer == NULL) {
        GST_ELEMENT_ERROR (self, CORE, MISSING_PLUGIN,
            (_("Element overlaycomposition is missing.")),
            ("it comes with gst-plugins-base 1.22 or newer"));
        return GST_STATE_CHANGE_FAILURE;
      }
      break;
    case GST_STATE_CHANGE_READY_TO_PAUSED:
      /* an own font map: the default one belongs to a single thread */
      if (self->pango == NULL) {
        g_autoptr (PangoFontMap) fonts = pango_cairo_font_map_new ();

        self->pango = pango_font_map_create_context (fonts);
      }
      break;
    default:
      break;
  }

  ret = GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);

  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    g_clear_pointer (&self->composition, gst_video_overlay_composition_unref);
    g_string_truncate (self->last_key, 0);
    g_clear_pointer (&self->missed_model, g_free);
    self->odd_ratio = FALSE;
    g_atomic_int_set (&self->memory_told, FALSE);
    g_clear_object (&self->pango);
  }
  return ret;
}

static void
gst_gpudl_overlay_set_property (GObject * object, guint prop_id,
    const GValue * value, GParamSpec * pspec)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (object);

  GST_OBJECT_LOCK (self);
  switch (prop_id) {
    case PROP_POSITION:
      self->position = g_value_get_enum (value);
      break;
    case PROP_SIZE:
      self->size = g_value_get_double (value);
      break;
    case PROP_COUNT:
      self->count = g_value_get_uint (value);
      break;
    case PROP_MODEL:
      g_free (self->model);
      self->model = g_value_dup_string (value);
      if (self->model != NULL && *self->model == 0)
        g_clear_pointer (&self->model, g_free);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_gpudl_overlay_get_property (GObject * object, guint prop_id, GValue * value,
    GParamSpec * pspec)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (object);

  GST_OBJECT_LOCK (self);
  switch (prop_id) {
    case PROP_POSITION:
      g_value_set_enum (value, self->position);
      break;
    case PROP_SIZE:
      g_value_set_double (value, self->size);
      break;
    case PROP_COUNT:
      g_value_set_uint (value, self->count);
      break;
    case PROP_MODEL:
      g_value_set_string (value, self->model);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);
}

/* Above NULL the base classes complain, let go of the composer as it is, and
 * leave the pads where they are. */
static void
gst_gpudl_overlay_dispose (GObject * object)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (object);
  GstElement *composer = self->composer;

  if (composer == NULL) {
    G_OBJECT_CLASS (parent_class)->dispose (object);
    return;
  }
  gst_object_ref (composer);
  G_OBJECT_CLASS (parent_class)->dispose (object);
  gst_element_set_state (composer, GST_STATE_NULL);
  /* somebody else may have it, and it would call this object */
  g_signal_handlers_disconnect_by_data (composer, self);
  self->composer = NULL;
  gst_object_unref (composer);
  if (GST_STATE (self) != GST_STATE_NULL) {
    gst_element_set_bus (GST_ELEMENT (self), NULL);     /* messages would be references */
    gst_element_set_state (GST_ELEMENT (self), GST_STATE_NULL);
    G_OBJECT_CLASS (parent_class)->dispose (object);
  }
}

static void
gst_gpudl_overlay_finalize (GObject * object)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (object);

  g_clear_pointer (&self->composition, gst_video_overlay_composition_unref);
  g_clear_object (&self->pango);
  g_string_free (self->key, TRUE);
  g_string_free (self->last_key, TRUE);
  g_free (self->model);
  g_free (self->missed_model);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

/* ---- memory that nothing can be drawn in ---------------------------------- */

#define UNDRAWN_TEXT                                                           \
    N_("Nothing can be drawn on frames in CUDA memory: write "                \
        "... ! cudadownload ! gpudloverlay ! ...")
#define UNDRAWN_DETAIL                                                         \
    "pixels are written in system memory; cudadownload and cudaupload are in "  \
    "GStreamer's plugin nvcodec"

/* What composes overlays in CUDA memory does not exist: these frames would pass
 * without a drawing, or end in an error of another element. They are left out of
 * what is offered once frames may come, so that who has a choice takes another
 * memory. Before, elements are linked, and who links them is told nothing. */
static gboolean
gst_gpudl_overlay_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (parent);
  GstCaps *answer;

  if (GST_QUERY_TYPE (query) == GST_QUERY_ACCEPT_CAPS) {
    GstCaps *caps;

    gst_query_parse_accept_caps (query, &caps);
    if (gst_gpudl_feature_is_all (caps, GST_GPUDL_CUDA_FEATURE)) {
      gst_query_set_accept_caps_result (query, GST_PAD_IS_SINK (pad));
      return TRUE;              /* the event comes, and is refused with a reason */
    }
  }
  if (!gst_pad_query_default (pad, parent, query))
    return FALSE;
  if (GST_QUERY_TYPE (query) != GST_QUERY_CAPS
      || GST_STATE (self) < GST_STATE_PAUSED)
    return TRUE;
  gst_query_parse_caps_result (query, &answer);
  answer = gst_gpudl_feature_remove (gst_caps_ref (answer),
      GST_GPUDL_CUDA_FEATURE);
  gst_query_set_caps_result (query, answer);
  gst_caps_unref (answer);
  if (GST_PAD_IS_SINK (pad)
      && gst_gpudl_feature_is_asked_for (query, GST_GPUDL_CUDA_FEATURE)
      && g_atomic_int_compare_and_exchange (&self->memory_told, FALSE, TRUE))
    GST_ELEMENT_WARNING (self, CORE, NEGOTIATION, (_(UNDRAWN_TEXT)),
        (UNDRAWN_DETAIL));
  return TRUE;
}

static gboolean
gst_gpudl_overlay_sink_event (GstPad * pad, GstObject * parent,
    GstEvent * event)
{
  GstCaps *caps;

  if (GST_EVENT_TYPE (event) != GST_EVENT_CAPS)
    return gst_pad_event_default (pad, parent, event);
  gst_event_parse_caps (event, &caps);
  if (!gst_gpudl_feature_is_all (caps, GST_GPUDL_CUDA_FEATURE))
    return gst_pad_event_default (pad, parent, event);
  gst_event_unref (event);
  GST_ELEMENT_ERROR (parent, CORE, NEGOTIATION, (_(UNDRAWN_TEXT)),
      (UNDRAWN_DETAIL));
  return FALSE;
}

static void
add_pad (GstGpudlOverlay * self, const gchar * name)
{
  GstPadTemplate *template =
      gst_element_get_pad_template (GST_ELEMENT (self), name);
  GstPad *pad;

  if (self->composer != NULL) {
    g_autoptr (GstPad) target =
        gst_element_get_static_pad (self->composer, name);

    pad = gst_ghost_pad_new_from_template (name, target, template);
  } else {
    pad = gst_ghost_pad_new_no_target_from_template (name, template);
  }
  gst_pad_set_query_function (pad, gst_gpudl_overlay_query);
  if (GST_PAD_IS_SINK (pad))
    gst_pad_set_event_function (pad, gst_gpudl_overlay_sink_event);
  gst_element_add_pad (GST_ELEMENT (self), pad);
}

static void
gst_gpudl_overlay_init (GstGpudlOverlay * self)
{
  self->position = DEFAULT_POSITION;
  self->size = DEFAULT_SIZE;
  self->count = DEFAULT_COUNT;
  self->key = g_string_new (NULL);
  self->last_key = g_string_new (NULL);

  self->composer = gst_element_factory_make ("overlaycomposition", NULL);
  if (self->composer != NULL) {
    g_signal_connect (self->composer, "draw",
        G_CALLBACK (gst_gpudl_overlay_draw), self);
    gst_bin_add (GST_BIN (self), self->composer);
  }
  add_pad (self, "sink");
  add_pad (self, "src");
}

static void
gst_gpudl_overlay_class_init (GstGpudlOverlayClass * klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_PLAYING;
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  gst_gpudl_meta_register ();
  object_class->set_property = gst_gpudl_overlay_set_property;
  object_class->get_property = gst_gpudl_overlay_get_property;
  object_class->dispose = gst_gpudl_overlay_dispose;
  object_class->finalize = gst_gpudl_overlay_finalize;
  element_class->change_state = gst_gpudl_overlay_change_state;

  g_object_class_install_property (object_class, PROP_POSITION,
      g_param_spec_enum ("position", "Position", "Corner that is written in",
          GST_TYPE_GPUDL_OVERLAY_POSITION, DEFAULT_POSITION, flags));
  g_object_class_install_property (object_class, PROP_SIZE,
      g_param_spec_double ("size", "Size",
          "Height of a line as a part of the frame's height, at least "
          G_STRINGIFY (GST_GPUDL_PANEL_MIN_LINE) " pixels", 0.01, 0.5,
          DEFAULT_SIZE, flags));
  g_object_class_install_property (object_class, PROP_COUNT,
      g_param_spec_uint ("count", "Count", "Classes of each result written at "
          "most", 1, MAX_COUNT, DEFAULT_COUNT, flags));
  g_object_class_install_property (object_class, PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Model whose results are written: its name, or the first "
          G_STRINGIFY (MIN_HASH) " digits or more of its model-hash; default: "
          "all results", NULL, flags));
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_OVERLAY_POSITION, 0);

  gst_element_class_set_static_metadata (element_class,
      "Classification overlay", "Filter/Editor/Video",
      "Writes the classification that gpudlinfer attached over the picture",
      "The gpudlinfer developers");
  gst_gpudl_doc_add (element_class, "overlay.md");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
}
