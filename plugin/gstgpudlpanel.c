/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlpanel.h"

#include <math.h>
#include <string.h>

/* Longest label drawn, as a part of the frame's width, and bar, in lines and as
 * such a part. */
#define MAX_LABEL_WIDTH 0.6
#define BAR_LINES 3.0
#define MAX_BAR_WIDTH 0.25
/* Cairo's pictures have no longer side. */
#define MAX_SIDE 32767

typedef struct
{
  gchar *label;
  gchar *number;                /* NULL: a title */
  gdouble confidence;           /* in 0..1 */
} Row;

/* The sizes that follow from the text, in pixels, were they square. */
typedef struct
{
  guint n;                      /* rows */
  gint pad, bar;
  gint label_width, number_width, title_width, text_height;
  gint width, height;
  PangoLayout **labels, **numbers;
} Sizes;

static const Row *
get_row (const GstGpudlPanel * panel, guint i)
{
  return &g_array_index (panel->rows, Row, i);
}

static void
clear_row (gpointer data)
{
  Row *row = data;

  g_free (row->label);
  g_free (row->number);
}

static void
set_ratio (GstGpudlPanel * panel, gint n, gint d)
{
  panel->odd_ratio = n <= 0 || d <= 0
      || n > (gint64) d *GST_GPUDL_PANEL_MAX_RATIO
      || d > (gint64) n *GST_GPUDL_PANEL_MAX_RATIO;
  panel->narrow = panel->odd_ratio ? 1 : (gdouble) d / n;
}

/* Rows of which a part can be inside the frame. */
static guint
count_visible (const GstGpudlPanel * panel)
{
  const guint room = GST_VIDEO_INFO_HEIGHT (panel->info) / panel->line + 1;

  return MIN (panel->rows->len, room);
}

void
gst_gpudl_panel_init (GstGpudlPanel * panel, const GstVideoInfo * info,
    gdouble size, gboolean right, gboolean bottom)
{
  panel->info = info;
  panel->right = right;
  panel->bottom = bottom;
  panel->line = MAX (GST_GPUDL_PANEL_MIN_LINE,
      (gint) (GST_VIDEO_INFO_HEIGHT (info) * size));
  set_ratio (panel, GST_VIDEO_INFO_PAR_N (info), GST_VIDEO_INFO_PAR_D (info));
  panel->rows = g_array_new (FALSE, TRUE, sizeof (Row));
  g_array_set_clear_func (panel->rows, clear_row);
}

void
gst_gpudl_panel_clear (GstGpudlPanel * panel)
{
  g_clear_pointer (&panel->rows, g_array_unref);
}

void
gst_gpudl_panel_add_class (GstGpudlPanel * panel, const gchar * label,
    gfloat confidence)
{
  Row row = {.label = g_strdup (label), };

  /* what is no number has no bar */
  row.confidence = confidence > 0 ? MIN (confidence, 1) : 0;

  if (confidence >= 0 && confidence <= 1)
    row.number = g_strdup_printf ("%d %%", (gint) lrintf (confidence * 100));
  else
    row.number = g_strdup_printf ("%.3g", confidence);
  g_array_append_val (panel->rows, row);
}

void
gst_gpudl_panel_add_title (GstGpudlPanel * panel, const gchar * title)
{
  const Row row = {.label = g_strdup (title) };

  g_array_append_val (panel->rows, row);
}

void
gst_gpudl_panel_describe (const GstGpudlPanel * panel, GString * key)
{
  g_string_printf (key, "%d %d %d/%d %d %d %d",
      GST_VIDEO_INFO_WIDTH (panel->info), GST_VIDEO_INFO_HEIGHT (panel->info),
      GST_VIDEO_INFO_PAR_N (panel->info), GST_VIDEO_INFO_PAR_D (panel->info),
      panel->right, panel->bottom, panel->line);
  for (guint i = 0; i < panel->rows->len; i++)
    g_string_append_printf (key, "\n%s %s",
        get_row (panel, i)->number != NULL ? get_row (panel, i)->number : "#",
        get_row (panel, i)->label);
}

/* Text of one line, cut to max_width; size of the line grows with it. */
static PangoLayout *
new_layout (PangoContext * pango, const GstGpudlPanel * panel,
    const gchar * font_name, const gchar * text, gint max_width,
    gint * widest, gint * highest)
{
  g_autoptr (PangoFontDescription) font =
      pango_font_description_from_string (font_name);
  PangoLayout *layout = pango_layout_new (pango);
  gint width, height;

  pango_font_description_set_absolute_size (font,
      panel->line * 0.75 * PANGO_SCALE);
  pango_layout_set_font_description (layout, font);
  pango_layout_set_single_paragraph_mode (layout, TRUE);
  pango_layout_set_text (layout, text, -1);
  pango_layout_get_pixel_size (layout, &width, &height);
  if (width > max_width) {
    pango_layout_set_ellipsize (layout, PANGO_ELLIPSIZE_END);
    pango_layout_set_width (layout, max_width * PANGO_SCALE);
    pango_layout_get_pixel_size (layout, &width, &height);
  }
  *widest = MAX (*widest, width);
  *highest = MAX (*highest, height);
  return layout;
}

static void
measure (const GstGpudlPanel * panel, PangoContext * pango, Sizes * sizes)
{
  const guint n = count_visible (panel);
  const gdouble frame_width =
      GST_VIDEO_INFO_WIDTH (panel->info) / panel->narrow;
  const gint max_width = MAX (1, (gint) (frame_width * MAX_LABEL_WIDTH));

  sizes->n = n;
  sizes->labels = g_new0 (PangoLayout *, n);
  sizes->numbers = g_new0 (PangoLayout *, n);
  sizes->text_height = panel->line;
  for (guint i = 0; i < n; i++) {
    const Row *row = get_row (panel, i);
    const gboolean title = row->number == NULL;

    sizes->labels[i] = new_layout (pango, panel, title ? "Sans" : "Sans Bold",
        row->label, max_width,
        title ? &sizes->title_width : &sizes->label_width, &sizes->text_height);
    if (!title)
      sizes->numbers[i] = new_layout (pango, panel, "Sans Bold", row->number,
          max_width, &sizes->number_width, &sizes->text_height);
  }
  sizes->pad = MAX (2, panel->line / 3);
  sizes->bar = (gint) MIN (panel->line * BAR_LINES,
      MAX (1, frame_width * MAX_BAR_WIDTH));
  sizes->width = MAX (4 * sizes->pad + sizes->bar + sizes->number_width +
      sizes->label_width, 2 * sizes->pad + sizes->title_width);
  sizes->height = 2 * sizes->pad + n * sizes->text_height;
}

static void
clear_sizes (Sizes * sizes)
{
  for (guint i = 0; i < sizes->n; i++) {
    g_clear_object (&sizes->labels[i]);
    g_clear_object (&sizes->numbers[i]);
  }
  g_free (sizes->labels);
  g_free (sizes->numbers);
}

static void
draw_class (const Sizes * sizes, guint i, gdouble confidence, gdouble top,
    cairo_t * cr)
{
  const gdouble bar_y = top + sizes->text_height * 0.25;
  const gdouble bar_height = sizes->text_height * 0.5;
  const gdouble number_x = 2 * sizes->pad + sizes->bar;

  cairo_set_source_rgba (cr, 1, 1, 1, 0.25);
  cairo_rectangle (cr, sizes->pad, bar_y, sizes->bar, bar_height);
  cairo_fill (cr);
  cairo_set_source_rgba (cr, 0.3, 0.85, 0.3, 1);
  cairo_rectangle (cr, sizes->pad, bar_y, sizes->bar * confidence, bar_height);
  cairo_fill (cr);

  cairo_set_source_rgba (cr, 1, 1, 1, 1);
  cairo_move_to (cr, number_x, top);
  pango_cairo_show_layout (cr, sizes->numbers[i]);
  cairo_move_to (cr, number_x + sizes->pad + sizes->number_width, top);
  pango_cairo_show_layout (cr, sizes->labels[i]);
}

static void
draw (const GstGpudlPanel * panel, const Sizes * sizes, cairo_t * cr)
{
  cairo_set_source_rgba (cr, 0, 0, 0, 0.6);
  cairo_rectangle (cr, 0, 0, sizes->width, sizes->height);
  cairo_fill (cr);

  for (guint i = 0; i < sizes->n; i++) {
    const gdouble top = sizes->pad + i * sizes->text_height;

    if (sizes->numbers[i] != NULL) {
      draw_class (sizes, i, get_row (panel, i)->confidence, top, cr);
    } else {
      cairo_set_source_rgba (cr, 0.65, 0.85, 1, 1);
      cairo_move_to (cr, sizes->pad, top);
      pango_cairo_show_layout (cr, sizes->labels[i]);
    }
  }
}

/* Draws into a new buffer of width x height; NULL: there is no memory. */
static GstBuffer *
draw_buffer (const GstGpudlPanel * panel, const Sizes * sizes, gint width,
    gint height)
{
  const gint stride =
      cairo_format_stride_for_width (CAIRO_FORMAT_ARGB32, width);
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 0, };
  gint strides[GST_VIDEO_MAX_PLANES] = { stride, };
  g_autoptr (GstBuffer) buffer =
      gst_buffer_new_allocate (NULL, (gsize) stride * height, NULL);
  cairo_surface_t *surface;
  cairo_status_t status;
  GstMapInfo map;
  cairo_t *cr;

  if (buffer == NULL || !gst_buffer_map (buffer, &map, GST_MAP_READWRITE))
    return NULL;
  memset (map.data, 0, map.size);
  surface = cairo_image_surface_create_for_data (map.data, CAIRO_FORMAT_ARGB32,
      width, height, stride);
  cr = cairo_create (surface);
  cairo_scale (cr, panel->narrow, 1);
  draw (panel, sizes, cr);
  status = cairo_status (cr);
  cairo_destroy (cr);
  cairo_surface_flush (surface);
  cairo_surface_destroy (surface);
  gst_buffer_unmap (buffer, &map);
  if (status != CAIRO_STATUS_SUCCESS)
    return NULL;
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB, width, height, 1, offsets,
      strides);
  return g_steal_pointer (&buffer);
}

/* Where non-square pixels are shown wider or narrower, the drawing is scaled
 * the other way. */
GstVideoOverlayComposition *
gst_gpudl_panel_render (const GstGpudlPanel * panel, PangoContext * pango)
{
  const gint frame_width = GST_VIDEO_INFO_WIDTH (panel->info);
  const gint frame_height = GST_VIDEO_INFO_HEIGHT (panel->info);
  GstVideoOverlayComposition *composition;
  GstVideoOverlayRectangle *rectangle;
  g_autoptr (GstBuffer) buffer = NULL;
  Sizes sizes = { 0, };
  gint width, height;

  measure (panel, pango, &sizes);
  width = CLAMP ((gint) ceil (sizes.width * panel->narrow), 1,
      MIN (frame_width, MAX_SIDE));
  height = MIN (sizes.height, MIN (frame_height, MAX_SIDE));
  buffer = draw_buffer (panel, &sizes, width, height);
  clear_sizes (&sizes);
  if (buffer == NULL)
    return NULL;

  rectangle = gst_video_overlay_rectangle_new_raw (buffer,
      panel->right ? frame_width - width : 0,
      panel->bottom ? frame_height - height : 0, width, height,
      GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
  composition = gst_video_overlay_composition_new (rectangle);
  gst_video_overlay_rectangle_unref (rectangle);
  return composition;
}
