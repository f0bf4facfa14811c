/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gpudloverlay
 * @title: gpudloverlay
 * @short_description: writes a frame's classification over the picture
 *
 * Draws what `gpudlinfer` has attached: for each of the best classes its label,
 * its confidence in percent and as a bar. Frames without classification pass as
 * they are. The drawing is made anew only when the text or the size of the
 * frame changes. Where downstream can compose overlays itself, they are
 * attached to the buffers and the pixels stay untouched.
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
#include <math.h>

GST_DEBUG_CATEGORY_STATIC (gst_gpudl_overlay_debug);
#define GST_CAT_DEFAULT gst_gpudl_overlay_debug

#define DEFAULT_POSITION GST_GPUDL_OVERLAY_TOP_LEFT
#define DEFAULT_SIZE 0.05
#define DEFAULT_COUNT 3
#define MAX_COUNT 20
/* Smallest line that can still be read, pixels. */
#define MIN_LINE 8
/* Longest label drawn, as a part of the frame's width, and bar. */
#define MAX_LABEL_WIDTH 0.6
#define BAR_LINES 3.0

enum
{
  PROP_POSITION = 1,
  PROP_SIZE,
  PROP_COUNT
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

/* ---- drawing ------------------------------------------------------------ */

/* One drawing: what is written and the sizes that follow from it, in pixels. */
typedef struct
{
  const GstVideoInfo *info;
  GstGpudlOverlayPosition position;
  guint n;
  gint line;                    /* height of a line of text */
  gint pad, bar;
  gint label_width, percent_width, text_height;
  PangoLayout *labels[MAX_COUNT], *percents[MAX_COUNT];
  gdouble confidences[MAX_COUNT];
} Panel;

static gint
percent (gfloat confidence)
{
  /* logits and other unbounded values say nothing as a percentage */
  return (gint) lrintf (CLAMP (confidence, 0, 1) * 100);
}

/* Confidences between 0 and 1 are shown as percent, others as they are. */
static gchar *
confidence_text (gfloat confidence)
{
  if (confidence >= 0 && confidence <= 1)
    return g_strdup_printf ("%d %%", percent (confidence));
  return g_strdup_printf ("%.3g", confidence);
}

static PangoLayout *
new_layout (GstGpudlOverlay * self, const Panel * panel, const gchar * text)
{
  g_autoptr (PangoFontDescription) font =
      pango_font_description_from_string ("Sans Bold");
  PangoLayout *layout = pango_layout_new (self->pango);

  pango_font_description_set_absolute_size (font,
      panel->line * 0.75 * PANGO_SCALE);
  pango_layout_set_font_description (layout, font);
  pango_layout_set_single_paragraph_mode (layout, TRUE);
  pango_layout_set_text (layout, text, -1);
  return layout;
}

static void
panel_measure (GstGpudlOverlay * self, Panel * panel,
    const GstGpudlClassification * c)
{
  const gint max_width =
      MAX (1, (gint) (GST_VIDEO_INFO_WIDTH (panel->info) * MAX_LABEL_WIDTH));

  for (guint i = 0; i < panel->n; i++) {
    g_autofree gchar *number = confidence_text (c->classes[i].confidence);
    gint width, height;

    panel->confidences[i] = CLAMP (c->classes[i].confidence, 0, 1);
    panel->labels[i] = new_layout (self, panel, c->classes[i].label);
    pango_layout_get_pixel_size (panel->labels[i], &width, &height);
    if (width > max_width) {
      pango_layout_set_ellipsize (panel->labels[i], PANGO_ELLIPSIZE_END);
      pango_layout_set_width (panel->labels[i], max_width * PANGO_SCALE);
      pango_layout_get_pixel_size (panel->labels[i], &width, &height);
    }
    panel->label_width = MAX (panel->label_width, width);
    panel->text_height = MAX (panel->text_height, height);

    panel->percents[i] = new_layout (self, panel, number);
    pango_layout_get_pixel_size (panel->percents[i], &width, &height);
    panel->percent_width = MAX (panel->percent_width, width);
    panel->text_height = MAX (panel->text_height, height);
  }
  panel->text_height = MAX (panel->text_height, panel->line);
  panel->pad = MAX (2, panel->line / 3);
  panel->bar = (gint) (panel->line * BAR_LINES);
}

static void
panel_clear (Panel * panel)
{
  for (guint i = 0; i < panel->n; i++) {
    g_clear_object (&panel->labels[i]);
    g_clear_object (&panel->percents[i]);
  }
}

static void
panel_draw (const Panel * panel, cairo_t * cr, gint width, gint height)
{
  cairo_set_source_rgba (cr, 0, 0, 0, 0.6);
  cairo_rectangle (cr, 0, 0, width, height);
  cairo_fill (cr);

  for (guint i = 0; i < panel->n; i++) {
    const gdouble top = panel->pad + i * panel->text_height;
    const gdouble bar_x = panel->pad;
    const gdouble bar_y = top + panel->text_height * 0.25;
    const gdouble bar_height = panel->text_height * 0.5;

    cairo_set_source_rgba (cr, 1, 1, 1, 0.25);
    cairo_rectangle (cr, bar_x, bar_y, panel->bar, bar_height);
    cairo_fill (cr);
    cairo_set_source_rgba (cr, 0.3, 0.85, 0.3, 1);
    cairo_rectangle (cr, bar_x, bar_y, panel->bar * panel->confidences[i],
        bar_height);
    cairo_fill (cr);

    cairo_set_source_rgba (cr, 1, 1, 1, 1);
    cairo_move_to (cr, bar_x + panel->bar + panel->pad, top);
    pango_cairo_show_layout (cr, panel->percents[i]);
    cairo_move_to (cr,
        bar_x + panel->bar + 2 * panel->pad + panel->percent_width, top);
    pango_cairo_show_layout (cr, panel->labels[i]);
  }
}

/* Where non-square pixels are shown wider or narrower, the drawing is scaled
 * the other way. */
static GstVideoOverlayComposition *
panel_render (const Panel * panel)
{
  const gint width =
      4 * panel->pad + panel->bar + panel->percent_width + panel->label_width;
  const gint height = 2 * panel->pad + panel->n * panel->text_height;
  const gint frame_width = GST_VIDEO_INFO_WIDTH (panel->info);
  const gint frame_height = GST_VIDEO_INFO_HEIGHT (panel->info);
  const gdouble narrow = (gdouble) GST_VIDEO_INFO_PAR_D (panel->info) /
      GST_VIDEO_INFO_PAR_N (panel->info);
  const gint shown = MAX (1, (gint) ceil (width * narrow));
  const gint stride =
      cairo_format_stride_for_width (CAIRO_FORMAT_ARGB32, shown);
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 0, };
  gint strides[GST_VIDEO_MAX_PLANES] = { stride, };
  GstVideoOverlayComposition *composition;
  GstVideoOverlayRectangle *rectangle;
  cairo_surface_t *surface;
  GstBuffer *buffer;
  GstMapInfo map;
  cairo_t *cr;
  gint x = 0, y = 0;

  buffer = gst_buffer_new_allocate (NULL, (gsize) stride * height, NULL);
  gst_buffer_memset (buffer, 0, 0, (gsize) stride * height);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB, shown, height, 1, offsets,
      strides);
  gst_buffer_map (buffer, &map, GST_MAP_READWRITE);
  surface = cairo_image_surface_create_for_data (map.data, CAIRO_FORMAT_ARGB32,
      shown, height, stride);
  cr = cairo_create (surface);
  cairo_scale (cr, narrow, 1);
  panel_draw (panel, cr, width, height);
  cairo_destroy (cr);
  cairo_surface_flush (surface);
  cairo_surface_destroy (surface);
  gst_buffer_unmap (buffer, &map);

  if (panel->position == GST_GPUDL_OVERLAY_TOP_RIGHT
      || panel->position == GST_GPUDL_OVERLAY_BOTTOM_RIGHT)
    x = MAX (0, frame_width - shown);
  if (panel->position == GST_GPUDL_OVERLAY_BOTTOM_LEFT
      || panel->position == GST_GPUDL_OVERLAY_BOTTOM_RIGHT)
    y = MAX (0, frame_height - height);
  rectangle = gst_video_overlay_rectangle_new_raw (buffer, x, y, shown, height,
      GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
  composition = gst_video_overlay_composition_new (rectangle);
  gst_video_overlay_rectangle_unref (rectangle);
  gst_buffer_unref (buffer);
  return composition;
}

/* ---- composer's streaming thread ---------------------------------------- */

/* All that the drawing depends on, as it is shown: a change of a confidence
 * below the last digit draws nothing anew. */
static void
describe (GString * key, const Panel * panel, const GstGpudlClassification * c)
{
  g_string_printf (key, "%d %d %d/%d %d %d", GST_VIDEO_INFO_WIDTH (panel->info),
      GST_VIDEO_INFO_HEIGHT (panel->info), GST_VIDEO_INFO_PAR_N (panel->info),
      GST_VIDEO_INFO_PAR_D (panel->info), panel->position, panel->line);
  for (guint i = 0; i < panel->n; i++) {
    g_autofree gchar *number = confidence_text (c->classes[i].confidence);

    g_string_append_printf (key, "\n%s %s", number, c->classes[i].label);
  }
}

static GstVideoOverlayComposition *
gst_gpudl_overlay_draw (GstElement * composer, GstSample * sample,
    gpointer user_data)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (user_data);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  g_autoptr (GstGpudlClassification) c = gst_gpudl_meta_read (buffer, 0);
  Panel panel = { 0, };
  GstVideoInfo info;
  gdouble size;

  if (c == NULL || c->n_classes == 0
      || !gst_video_info_from_caps (&info, gst_sample_get_caps (sample)))
    return NULL;

  GST_OBJECT_LOCK (self);
  panel.position = self->position;
  panel.n = MIN (self->count, c->n_classes);
  size = self->size;
  GST_OBJECT_UNLOCK (self);
  panel.info = &info;
  panel.line = MAX (MIN_LINE, (gint) (GST_VIDEO_INFO_HEIGHT (&info) * size));

  describe (self->key, &panel, c);
  if (self->composition == NULL || !g_string_equal (self->key, self->last_key)) {
    GST_DEBUG_OBJECT (self, "drawing %s", self->key->str);
    g_clear_pointer (&self->composition, gst_video_overlay_composition_unref);
    panel_measure (self, &panel, c);
    self->composition = panel_render (&panel);
    panel_clear (&panel);
    g_string_assign (self->last_key, self->key->str);
  }
  return gst_video_overlay_composition_ref (self->composition);
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
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_gpudl_overlay_finalize (GObject * object)
{
  GstGpudlOverlay *self = GST_GPUDL_OVERLAY (object);

  g_clear_pointer (&self->composition, gst_video_overlay_composition_unref);
  g_clear_object (&self->pango);
  g_string_free (self->key, TRUE);
  g_string_free (self->last_key, TRUE);
  G_OBJECT_CLASS (parent_class)->finalize (object);
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
  object_class->finalize = gst_gpudl_overlay_finalize;
  element_class->change_state = gst_gpudl_overlay_change_state;

  g_object_class_install_property (object_class, PROP_POSITION,
      g_param_spec_enum ("position", "Position", "Corner that is written in",
          GST_TYPE_GPUDL_OVERLAY_POSITION, DEFAULT_POSITION, flags));
  g_object_class_install_property (object_class, PROP_SIZE,
      g_param_spec_double ("size", "Size",
          "Height of a line as a part of the frame's height, at least "
          G_STRINGIFY (MIN_LINE) " pixels", 0.01, 0.5, DEFAULT_SIZE, flags));
  g_object_class_install_property (object_class, PROP_COUNT,
      g_param_spec_uint ("count", "Count", "Classes written at most", 1,
          MAX_COUNT, DEFAULT_COUNT, flags));
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_OVERLAY_POSITION, 0);

  gst_element_class_set_static_metadata (element_class,
      "Classification overlay", "Filter/Editor/Video",
      "Writes the classification that gpudlinfer attached over the picture",
      "The gpudlinfer developers");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
}
