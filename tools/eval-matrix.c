/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Confusion matrices as files. */
#include <gio/gio.h>
#include <math.h>
#include <string.h>

#include "tools/eval.h"

#define PICTURE_SIDE 1024 /* pixels that a picture has at most, unless it has as many classes */
#define MOST_CELL 32
#define LEAST_CELL_WITH_GRID 6
#define GRID 255 /* colour of the palette; those below it go from white to dark */

gboolean eval_matrix_check(guint n_classes, GError **error)
{
    if (n_classes <= EVAL_MATRIX)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                "the confusion matrix of %u classes is too large, expected at most %d", n_classes, EVAL_MATRIX);
    return FALSE;
}

/* Counts, [truth][answer]. */
static guint *make_matrix(const EvalFigures *figures, GError **error)
{
    guint n = figures->n_classes, *counts;

    if (!eval_matrix_check(n, error))
        return NULL;
    counts = g_new0(guint, (gsize)n * n);
    for (guint c = 0; c < n; c++)
        counts[(gsize)c * n + c] = figures->classes[c].n_right;
    for (guint i = 0; i < figures->confusions->len; i++) {
        const EvalConfusion *one = &g_array_index(figures->confusions, EvalConfusion, i);

        counts[(gsize)one->truth * n + one->answer] = one->n;
    }
    return counts;
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

static void append_field(GString *out, const gchar *const *names, guint c)
{
    const gchar *name = names[c];

    if (name == NULL) {
        g_string_append_printf(out, "%u", c);
        return;
    }
    g_string_append_c(out, '"');
    for (; *name != '\0'; name++)
        g_string_append_printf(out, *name == '"' ? "\"%c" : "%c", *name);
    g_string_append_c(out, '"');
}

GBytes *eval_matrix_csv(const EvalFigures *figures, const gchar *const *names, GError **error)
{
    g_autofree guint *counts = make_matrix(figures, error);
    guint n = figures->n_classes;
    GString *out;

    if (counts == NULL)
        return NULL;
    out = g_string_new("truth");
    for (guint c = 0; c < n; c++) {
        g_string_append_c(out, ',');
        append_field(out, names, c);
    }
    g_string_append_c(out, '\n');
    for (guint truth = 0; truth < n; truth++) {
        append_field(out, names, truth);
        for (guint c = 0; c < n; c++)
            g_string_append_printf(out, ",%u", counts[(gsize)truth * n + c]);
        g_string_append_c(out, '\n');
    }
    return g_string_free_to_bytes(out);
}

/* ---- PNG: ISO/IEC 15948 ------------------------------------------------------------------------------------------ */

static guint32 crc(const guint8 *data, gsize n)
{
    guint32 c = 0xffffffff;

    for (gsize i = 0; i < n; i++) {
        c ^= data[i];
        for (guint bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
    }
    return ~c;
}

static void append_word(GByteArray *out, guint32 value)
{
    guint8 bytes[4] = {(guint8)(value >> 24), (guint8)(value >> 16), (guint8)(value >> 8), (guint8)value};

    g_byte_array_append(out, bytes, sizeof bytes);
}

static void append_chunk(GByteArray *out, const gchar *type, const guint8 *data, gsize n)
{
    guint start;

    append_word(out, (guint32)n);
    start = out->len;
    g_byte_array_append(out, (const guint8 *)type, 4);
    g_byte_array_append(out, data, (guint)n);
    append_word(out, crc(out->data + start, out->len - start));
}

static GBytes *pack(const guint8 *data, gsize n, GError **error)
{
    g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable();
    g_autoptr(GConverter) converter = G_CONVERTER(g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_ZLIB, -1));
    g_autoptr(GOutputStream) stream = g_converter_output_stream_new(memory, converter);

    if (!g_output_stream_write_all(stream, data, n, NULL, NULL, error) || !g_output_stream_close(stream, NULL, error))
        return NULL;
    return g_memory_output_stream_steal_as_bytes(G_MEMORY_OUTPUT_STREAM(memory));
}

/* Few of a row's pictures are to be seen beside many: the root of the share. */
static guint8 colour_of(guint count, guint all)
{
    return all == 0 ? 0 : (guint8)(sqrt((double)count / all) * (GRID - 1) + 0.5);
}

/* Rows of pixels, each behind its filter's byte, which is 0: none. */
static guint8 *draw(const EvalFigures *figures, const guint *counts, guint cell, guint side)
{
    guint n = figures->n_classes, grid = cell >= LEAST_CELL_WITH_GRID;
    guint8 *pixels = g_malloc0((gsize)side * (side + 1));

    for (guint y = 0; y < side; y++) {
        guint8 *row = pixels + (gsize)y * (side + 1) + 1;
        guint truth = y / cell;

        for (guint x = 0; x < side; x++) {
            if (grid && (x % cell == 0 || y % cell == 0))
                row[x] = GRID;
            else
                row[x] = colour_of(counts[(gsize)truth * n + x / cell], figures->classes[truth].n);
        }
    }
    return pixels;
}

GBytes *eval_matrix_png(const EvalFigures *figures, GError **error)
{
    g_autofree guint *counts = make_matrix(figures, error);
    guint n = figures->n_classes, cell = CLAMP(PICTURE_SIDE / n, 1, MOST_CELL), side = n * cell;
    g_autofree guint8 *pixels = NULL;
    g_autoptr(GBytes) packed = NULL;
    GByteArray *out;
    guint8 palette[256 * 3];
    guint8 header[13] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 3, 0, 0, 0}; /* 8 bits, palette */

    if (counts == NULL)
        return NULL;
    pixels = draw(figures, counts, cell, side);
    packed = pack(pixels, (gsize)side * (side + 1), error);
    if (packed == NULL)
        return NULL;
    for (guint i = 0; i < 256; i++) {
        double t = i < GRID ? (double)i / (GRID - 1) : 0;

        palette[3 * i] = i < GRID ? (guint8)(255 - t * 247) : 224;
        palette[3 * i + 1] = i < GRID ? (guint8)(255 - t * 207) : 224;
        palette[3 * i + 2] = i < GRID ? (guint8)(255 - t * 148) : 224;
    }
    for (guint i = 0; i < 4; i++)
        header[i] = header[4 + i] = (guint8)(side >> (24 - 8 * i));
    out = g_byte_array_new();
    g_byte_array_append(out, (const guint8 *)"\x89PNG\r\n\x1a\n", 8);
    append_chunk(out, "IHDR", header, sizeof header);
    append_chunk(out, "PLTE", palette, sizeof palette);
    append_chunk(out, "IDAT", g_bytes_get_data(packed, NULL), g_bytes_get_size(packed));
    append_chunk(out, "IEND", NULL, 0);
    return g_byte_array_free_to_bytes(out);
}
