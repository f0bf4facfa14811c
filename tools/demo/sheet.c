/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contact sheet: every photograph with what was seen in it. */
#include <math.h>
#include <pango/pangocairo.h>

#include "tools/demo/demo.h"

#define CELL_WIDTH 280.0
#define PICTURE_HEIGHT 210.0
#define TEXT_HEIGHT 86.0
#define CELL_HEIGHT (PICTURE_HEIGHT + TEXT_HEIGHT)
#define GAP 24.0
#define MARGIN 36.0
#define TITLE_HEIGHT 84.0
#define CORNER 10.0

typedef struct {
    double r, g, b;
} Color;

static const Color paper = {0.965, 0.968, 0.975}, card = {1.0, 1.0, 1.0}, ink = {0.11, 0.13, 0.17};
static const Color soft = {0.42, 0.46, 0.53}, rail = {0.90, 0.92, 0.94};
static const Color good = {0.13, 0.60, 0.33}, bad = {0.83, 0.18, 0.18};

static void set_color(cairo_t *cr, Color c)
{
    cairo_set_source_rgb(cr, c.r, c.g, c.b);
}

static void round_rectangle(cairo_t *cr, double x, double y, double w, double h, double r)
{
    cairo_new_sub_path(cr);
    cairo_arc(cr, x + w - r, y + r, r, -G_PI / 2.0, 0.0);
    cairo_arc(cr, x + w - r, y + h - r, r, 0.0, G_PI / 2.0);
    cairo_arc(cr, x + r, y + h - r, r, G_PI / 2.0, G_PI);
    cairo_arc(cr, x + r, y + r, r, G_PI, 1.5 * G_PI);
    cairo_close_path(cr);
}

/* One line, cut with an ellipsis at width. */
static void draw_text(cairo_t *cr, double x, double y, double width, const gchar *font, Color color, const gchar *text)
{
    PangoLayout *layout = pango_cairo_create_layout(cr);
    PangoFontDescription *description = pango_font_description_from_string(font);

    pango_layout_set_font_description(layout, description);
    pango_layout_set_width(layout, (int)(width * PANGO_SCALE));
    pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
    pango_layout_set_single_paragraph_mode(layout, TRUE);
    pango_layout_set_text(layout, text, -1);
    set_color(cr, color);
    cairo_move_to(cr, x, y);
    pango_cairo_show_layout(cr, layout);
    pango_font_description_free(description);
    g_object_unref(layout);
}

/* A tick or a cross in a disc. */
static void draw_mark(cairo_t *cr, double x, double y, gboolean right)
{
    const double r = 13.0;

    cairo_arc(cr, x, y, r + 2.5, 0.0, 2.0 * G_PI);
    set_color(cr, card);
    cairo_fill(cr);
    cairo_arc(cr, x, y, r, 0.0, 2.0 * G_PI);
    set_color(cr, right ? good : bad);
    cairo_fill(cr);
    if (right) {
        cairo_move_to(cr, x - 6.0, y + 0.5);
        cairo_line_to(cr, x - 1.5, y + 5.0);
        cairo_line_to(cr, x + 6.5, y - 4.5);
    } else {
        cairo_move_to(cr, x - 4.5, y - 4.5);
        cairo_line_to(cr, x + 4.5, y + 4.5);
        cairo_move_to(cr, x + 4.5, y - 4.5);
        cairo_line_to(cr, x - 4.5, y + 4.5);
    }
    set_color(cr, card);
    cairo_set_line_width(cr, 2.8);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_stroke(cr);
}

static void draw_picture(cairo_t *cr, cairo_surface_t *picture, double x, double y)
{
    double w = cairo_image_surface_get_width(picture), h = cairo_image_surface_get_height(picture);
    double scale = MAX(CELL_WIDTH / w, PICTURE_HEIGHT / h);

    cairo_save(cr);
    /* round above, straight below where the text begins */
    cairo_rectangle(cr, x, y, CELL_WIDTH, PICTURE_HEIGHT);
    cairo_clip(cr);
    round_rectangle(cr, x, y, CELL_WIDTH, PICTURE_HEIGHT + 2.0 * CORNER, CORNER);
    cairo_clip(cr);
    cairo_translate(cr, x + (CELL_WIDTH - w * scale) / 2.0, y + (PICTURE_HEIGHT - h * scale) / 2.0);
    cairo_scale(cr, scale, scale);
    cairo_set_source_surface(cr, picture, 0.0, 0.0);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_BEST);
    cairo_paint(cr);
    cairo_restore(cr);
}

static void draw_cell(cairo_t *cr, const Photo *photo, double x, double y)
{
    gboolean right = photo->classified && photo_is_right(photo, photo->id);
    double text_x = x + 14.0, text_width = CELL_WIDTH - 28.0, text_y = y + PICTURE_HEIGHT + 10.0;
    double bar = text_width - 62.0;
    g_autofree gchar *number = NULL, *truth = g_strdup_printf("expected %s", photo->truth);

    round_rectangle(cr, x, y, CELL_WIDTH, CELL_HEIGHT, CORNER);
    set_color(cr, card);
    cairo_fill_preserve(cr);
    set_color(cr, rail);
    cairo_set_line_width(cr, 1.0);
    cairo_stroke(cr);
    if (photo->picture != NULL)
        draw_picture(cr, photo->picture, x, y);
    draw_mark(cr, x + CELL_WIDTH - 24.0, y + PICTURE_HEIGHT, right);
    if (!photo->classified) {
        draw_text(cr, text_x, text_y, text_width - 24.0, "Sans Bold 12", bad, "can't be read");
    } else {
        draw_text(cr, text_x, text_y, text_width - 24.0, "Sans Bold 12", ink, photo->label);
        round_rectangle(cr, text_x, text_y + 31.0, bar, 6.0, 3.0);
        set_color(cr, rail);
        cairo_fill(cr);
        round_rectangle(cr, text_x, text_y + 31.0, MAX(bar * CLAMP(photo->confidence, 0.0f, 1.0f), 6.0), 6.0, 3.0);
        set_color(cr, right ? good : bad);
        cairo_fill(cr);
        number = g_strdup_printf("%.1f %%", 100.0 * photo->confidence);
        draw_text(cr, text_x + bar + 10.0, text_y + 24.0, 60.0, "Sans 10", ink, number);
    }
    draw_text(cr, text_x, text_y + 47.0, text_width, "Sans 9", soft, truth);
}

/* Between 3 and 5 columns, whatever leaves the fewest gaps in the last row; wider rather than taller. */
static guint columns_for(guint n)
{
    guint best = MIN(n, 5);

    for (guint c = 5; c >= 3; c--)
        if (n >= c && (c - n % c) % c < (best - n % best) % best)
            best = c;
    return MAX(best, 1);
}

gboolean sheet_write(GPtrArray *photos, const gchar *title, const gchar *subtitle, const gchar *path, GError **error)
{
    guint columns = columns_for(photos->len), rows = (photos->len + columns - 1) / columns;
    double width = 2.0 * MARGIN + columns * CELL_WIDTH + (columns - 1) * GAP;
    double height = 2.0 * MARGIN + TITLE_HEIGHT + rows * CELL_HEIGHT + (rows - 1) * GAP;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cairo_t *cr = cairo_create(surface);
    cairo_status_t status;

    set_color(cr, paper);
    cairo_paint(cr);
    draw_text(cr, MARGIN, MARGIN - 6.0, width - 2.0 * MARGIN, "Sans Bold 22", ink, title);
    draw_text(cr, MARGIN, MARGIN + 36.0, width - 2.0 * MARGIN, "Sans 12", soft, subtitle);
    for (guint i = 0; i < photos->len; i++)
        draw_cell(cr, photos->pdata[i], MARGIN + (i % columns) * (CELL_WIDTH + GAP),
                  MARGIN + TITLE_HEIGHT + (i / columns) * (CELL_HEIGHT + GAP));
    cairo_destroy(cr);
    status = cairo_surface_write_to_png(surface, path);
    cairo_surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be written: %s", path,
                cairo_status_to_string(status));
    return FALSE;
}
