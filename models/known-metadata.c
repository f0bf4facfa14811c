/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What writers of ONNX files put into metadata_props: our own keys, Ultralytics', WinML's, OpenVINO's, Paddle's. */
#include <math.h>
#include <string.h>

#include "engine/labels.h"
#include "engine/limits.h"
#include "engine/shown.h"
#include "models/known.h"

#define THREE "one or three numbers"
#define SIDE "a number of 1 to " G_STRINGIFY(GPUDL_LIMIT_INPUT_SIDE)
#define SIZE "a side or [height, width], of 1 to " G_STRINGIFY(GPUDL_LIMIT_INPUT_SIDE)

static const gchar *get(GHashTable *metadata, const gchar *key)
{
    return g_hash_table_lookup(metadata, key);
}

/* One to three numbers with blanks or commas between them, perhaps in brackets; one is meant for all. */
static gboolean read_three(const gchar *text, float values[3])
{
    guint n = 0;

    for (text += strspn(text, " \t[("); *text != '\0' && strchr(")]", *text) == NULL;) {
        gchar *end;
        const gdouble value = g_ascii_strtod(text, &end);

        if (end == text || n == 3 || !(value > -1e6 && value < 1e6))
            return FALSE;
        values[n++] = (float)value;
        text = end + strspn(end, " \t,");
    }
    text += strspn(text, ")] \t\r\n");
    if (*text != '\0' || (n != 1 && n != 3))
        return FALSE;
    if (n == 1)
        values[1] = values[2] = values[0];
    return TRUE;
}

/* What can't be divided by: gpudl_preproc_check() takes it for 0. */
#define LEAST_STD 1e-20f

static gboolean has_zero(const float values[3])
{
    return fabsf(values[0]) < LEAST_STD || fabsf(values[1]) < LEAST_STD || fabsf(values[2]) < LEAST_STD;
}

static gboolean are_positive(const float values[3])
{
    return values[0] >= LEAST_STD && values[1] >= LEAST_STD && values[2] >= LEAST_STD;
}

/* A side of the input, behind which *end is set; 0: nothing of the kind. */
static gint read_side(const gchar *text, const gchar **end)
{
    gchar *behind = NULL;
    const gint64 side = g_ascii_isdigit(*text) ? g_ascii_strtoll(text, &behind, 10) : 0;

    *end = behind;
    return side >= 1 && side <= GPUDL_LIMIT_INPUT_SIDE ? (gint)side : 0;
}

/* "224x224", as options have it. */
static gboolean read_own_size(const gchar *text, GpudlHint *hint)
{
    const gchar *end;

    hint->height = read_side(text, &end);
    if (hint->height == 0 || *end != 'x')
        return FALSE;
    hint->width = read_side(end + 1, &end);
    return hint->width > 0 && *end == '\0';
}

/* Height and width, or one for both, perhaps in brackets; FALSE: nothing of the kind. */
static gboolean read_size(const gchar *text, GpudlHint *hint)
{
    gint sides[2];
    guint n = 0;

    for (text += strspn(text, " \t[("); *text != '\0' && strchr(")]", *text) == NULL;) {
        const gchar *end;
        const gint side = n < 2 ? read_side(text, &end) : 0;

        if (side == 0)
            return FALSE;
        sides[n++] = side;
        text = end + strspn(end, " \t,");
    }
    text += strspn(text, ")] \t\r\n");
    if (*text != '\0' || n == 0)
        return FALSE;
    hint->height = sides[0];
    hint->width = sides[n - 1];
    return TRUE;
}

static gchar **take_labels(const gchar *text)
{
    return text != NULL ? gpudl_labels_parse(text, NULL) : NULL;
}

/* A value that is there, and can't be. */
static void refuse(GpudlHint *hint, const gchar *key, const gchar *value, const gchar *expected)
{
    g_autofree gchar *shown = gpudl_shown(value, GPUDL_SHOWN_BYTES), *quoted = g_strdup_printf("'%s'", shown);

    gpudl_hint_refuse(hint, key, quoted, expected);
}

/* Labels as text has them, or a note. */
static void read_labels(GpudlHint *hint, const gchar *key, const gchar *value, const gchar *text, const gchar *expected)
{
    if (value == NULL)
        return;
    hint->labels = take_labels(text);
    if (hint->labels == NULL)
        refuse(hint, key, value, expected);
}

/* ---- our own keys ------------------------------------------------------------------------------------------------ */

/* The place of a word in a list, from 1; 0: it is not there. */
static gint word(const gchar *text, const gchar *const *words)
{
    for (gint i = 0; words[i] != NULL; i++)
        if (g_ascii_strcasecmp(text, words[i]) == 0)
            return i + 1;
    return 0;
}

/* RRGGBB, perhaps behind # or 0x. */
static gboolean read_color(const gchar *text, guint32 *color)
{
    guint64 value;

    text += text[0] == '#' ? 1 : g_str_has_prefix(text, "0x") ? 2 : 0;
    if (strlen(text) != 6 || !g_ascii_string_to_unsigned(text, 16, 0, 0xffffff, &value, NULL))
        return FALSE;
    *color = (guint32)value;
    return TRUE;
}

static gboolean read_own(const gchar *key, const gchar *value, GpudlHint *hint)
{
    static const gchar *const orders[] = {"rgb", "bgr", "gray", NULL};
    static const gchar *const modes[] = {"stretch", "letterbox", "center-crop", "squash", "border", NULL};
    static const gchar *const methods[] = {"nearest",          "bilinear",      "bicubic", "area",
                                           "bilinear-aliased", "bicubic-bytes", NULL};
    GpudlPreproc *preproc = &hint->preproc;
    float values[3];
    gint found;

    G_STATIC_ASSERT(G_N_ELEMENTS(modes) == GPUDL_RESIZE_LAST + 1);
    G_STATIC_ASSERT(G_N_ELEMENTS(methods) == GPUDL_SCALE_LAST + 1);
    if (strcmp(key, "mean") == 0) {
        hint->set |= GPUDL_SET_MEAN;
        return read_three(value, preproc->mean);
    }
    if (strcmp(key, "std") == 0) {
        hint->set |= GPUDL_SET_STD;
        return read_three(value, preproc->std) && !has_zero(preproc->std);
    }
    if (strcmp(key, "scale") == 0 || strcmp(key, "crop_fraction") == 0) {
        const gboolean scale = key[0] == 's';

        if (!read_three(value, values) || !(values[0] > 0) || values[0] != values[1] || (!scale && values[0] > 1))
            return FALSE;
        hint->set |= scale ? GPUDL_SET_PIXEL_SCALE : GPUDL_SET_CROP_FRACTION;
        *(scale ? &preproc->pixel_scale : &preproc->crop_fraction) = values[0];
        return TRUE;
    }
    if (strcmp(key, "channel_order") == 0) {
        hint->set |= GPUDL_SET_CHANNEL_ORDER;
        found = word(value, orders);
        preproc->channel_order = (GpudlChannelOrder)found;
        return found != 0;
    }
    if (strcmp(key, "resize_mode") == 0) {
        hint->set |= GPUDL_SET_RESIZE_MODE;
        found = word(value, modes);
        preproc->resize_mode = (GpudlResizeMode)found;
        return found != 0;
    }
    if (strcmp(key, "scale_method") == 0) {
        hint->set |= GPUDL_SET_SCALE_METHOD;
        found = word(value, methods);
        preproc->scale_method = (GpudlScaleMethod)found;
        return found != 0;
    }
    if (strcmp(key, "pad_color") == 0) {
        hint->set |= GPUDL_SET_PAD_COLOR;
        return read_color(value, &preproc->pad_color);
    }
    if (strcmp(key, "input_size") == 0)
        return read_own_size(value, hint);
    if (strcmp(key, "labels") == 0) {
        hint->labels = take_labels(value);
        return hint->labels != NULL;
    }
    return FALSE;
}

/* Behind "gpudl.", with '-' in place of each '_' or as they are here. */
static const struct {
    const gchar *name, *expected;
} own_keys[] = {
    {"mean", "a number, or three with ',' between"},
    {"std", "a number, or three with ',' between, none of them 0"},
    {"scale", "a number above 0"},
    {"channel_order", "rgb, bgr or gray"},
    {"resize_mode", "stretch, letterbox, center-crop, squash or border"},
    {"crop_fraction", "a number above 0, at most 1"},
    {"pad_color", "a colour as RRGGBB, hexadecimal"},
    {"scale_method", "nearest, bilinear, bicubic, area, bilinear-aliased or bicubic-bytes"},
    {"input_size", "height and width as 224x224, each of 1 to " G_STRINGIFY(GPUDL_LIMIT_INPUT_SIDE)},
    {"labels", "the classes' names, one a line or as a list in JSON"},
};

#define MOST_NOTES 8

/* As the options are called; the caller frees. */
static gchar *own_key(guint i)
{
    return g_strdelimit(g_strconcat("gpudl.", own_keys[i].name, NULL), "_", '-');
}

/* Its value and the key as it stands there, which the caller frees; NULL: it is not there. */
static const gchar *get_own(GHashTable *metadata, guint i, gchar **key)
{
    const gchar *value = NULL;

    for (guint form = 0; form < 2 && value == NULL; form++) {
        g_autofree gchar *candidate = form == 0 ? own_key(i) : g_strconcat("gpudl.", own_keys[i].name, NULL);

        value = get(metadata, candidate);
        if (value != NULL)
            *key = g_steal_pointer(&candidate);
    }
    return value;
}

static gboolean read_own_keys(GHashTable *metadata, GpudlHint *hint, GError **error)
{
    for (guint i = 0; i < G_N_ELEMENTS(own_keys); i++) {
        g_autofree gchar *key = NULL, *shown = NULL;
        const gchar *value = get_own(metadata, i, &key);

        if (value == NULL || read_own(own_keys[i].name, value, hint))
            continue;
        shown = gpudl_shown(value, GPUDL_SHOWN_BYTES);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s in " GPUDL_KNOWN_METADATA " is '%s', expected %s", key,
                    shown, own_keys[i].expected);
        return FALSE;
    }
    return TRUE;
}

static gint compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const gchar *const *)a, *(const gchar *const *)b);
}

/* Keys that are meant to be ours, and are not among those that are read; sorted. The strings are the table's. */
static GPtrArray *unused_own_keys(GHashTable *metadata)
{
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GPtrArray *unused = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    for (guint i = 0; i < G_N_ELEMENTS(own_keys); i++) {
        gchar *read = NULL;

        if (get_own(metadata, i, &read) != NULL)
            g_hash_table_add(used, read);
    }
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (g_ascii_strncasecmp(key, "gpudl.", 6) == 0 && !g_hash_table_contains(used, key))
            g_ptr_array_add(unused, key);
    g_ptr_array_sort(unused, compare_keys);
    return unused;
}

/* Notes of them, the first of which has the list of what there is, the last counts the rest. */
static void refuse_unused_keys(GHashTable *metadata, GpudlHint *hint)
{
    g_autoptr(GPtrArray) unused = unused_own_keys(metadata);
    g_autoptr(GString) expected = g_string_new("one of the keys ");

    for (guint i = 0; i < G_N_ELEMENTS(own_keys); i++) {
        g_autofree gchar *key = own_key(i);

        g_string_append_printf(expected, "%s, ", key);
    }
    g_string_append(expected, "each once");
    for (guint i = 0; i < MIN(unused->len, MOST_NOTES); i++) {
        const guint more = i == MOST_NOTES - 1 ? unused->len - MOST_NOTES : 0;
        g_autofree gchar *key = gpudl_shown(unused->pdata[i], GPUDL_SHOWN_BYTES);
        g_autofree gchar *keys = more > 0 ? g_strdup_printf("%s (and %u more)", key, more) : g_strdup(key);

        refuse(hint, keys, get(metadata, unused->pdata[i]), i == 0 ? expected->str : "one of those keys, each once");
    }
}

/* ---- others' ----------------------------------------------------------------------------------------------------- */

/* Ultralytics scales the short side, takes the middle, divides by 255. */
static void read_ultralytics(GHashTable *metadata, GpudlHint *hint)
{
    const gchar *names = get(metadata, "names"), *task = get(metadata, "task"), *size = get(metadata, "imgsz");
    gchar first;

    if (names == NULL || size == NULL || (task != NULL && strcmp(task, "classify") != 0))
        return;
    first = names[strspn(names, " \t\r\n")];
    read_labels(hint, "names", names, first == '{' || first == '[' ? names : NULL,
                "a map or a list of all classes, as {0: 'a', 1: 'b'} or ['a', 'b']");
    if (!read_size(size, hint))
        refuse(hint, "imgsz", size, SIZE);
    hint->preproc = (GpudlPreproc){.pixel_scale = 255,
                                   .channel_order = GPUDL_CHANNELS_RGB,
                                   .resize_mode = GPUDL_RESIZE_CENTER_CROP,
                                   .scale_method = GPUDL_SCALE_BILINEAR,
                                   .crop_fraction = 1};
    hint->set = GPUDL_SET_PIXEL_SCALE | GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_RESIZE_MODE | GPUDL_SET_SCALE_METHOD;
}

static void read_winml(GHashTable *metadata, GpudlHint *hint)
{
    static const struct {
        const gchar *begins;
        GpudlChannelOrder order;
    } orders[] = {{"Bgr", GPUDL_CHANNELS_BGR}, {"Rgb", GPUDL_CHANNELS_RGB}, {"Gray", GPUDL_CHANNELS_GRAY}};
    const gchar *range = get(metadata, "Image.NominalPixelRange"), *format = get(metadata, "Image.BitmapPixelFormat");

    if (range != NULL && strcmp(range, "NominalRange_0_255") == 0) {
        hint->preproc.pixel_scale = 1;
        hint->set |= GPUDL_SET_PIXEL_SCALE;
    } else if (range != NULL && strcmp(range, "Normalized_0_1") == 0) {
        hint->preproc.pixel_scale = 255;
        hint->set |= GPUDL_SET_PIXEL_SCALE;
    } else if (range != NULL && strcmp(range, "Normalized_1_1") == 0) {
        hint->preproc.pixel_scale = 127.5f;
        hint->preproc.mean[0] = hint->preproc.mean[1] = hint->preproc.mean[2] = 1;
        hint->set |= GPUDL_SET_PIXEL_SCALE | GPUDL_SET_MEAN;
    } else if (range != NULL) {
        refuse(hint, "Image.NominalPixelRange", range, "NominalRange_0_255, Normalized_0_1 or Normalized_1_1");
    }
    for (guint i = 0; format != NULL && i < G_N_ELEMENTS(orders); i++)
        if (g_ascii_strncasecmp(format, orders[i].begins, strlen(orders[i].begins)) == 0) {
            hint->preproc.channel_order = orders[i].order;
            hint->set |= GPUDL_SET_CHANNEL_ORDER;
            return;
        }
    if (format != NULL)
        refuse(hint, "Image.BitmapPixelFormat", format, "Rgb8, Rgba8, Bgr8, Bgra8 or Gray8");
}

/* "model_info mean_values", as OpenVINO's model_api writes rt_info into ONNX, or without the first word. */
static const gchar *get_rt(GHashTable *metadata, const gchar *key)
{
    g_autofree gchar *spaced = g_strconcat("model_info ", key, NULL), *parted = g_strconcat("model_info/", key, NULL);
    const gchar *value = get(metadata, spaced);

    if (value == NULL)
        value = get(metadata, parted);
    return value != NULL ? value : get(metadata, key);
}

static gint read_one_side(GpudlHint *hint, const gchar *key, const gchar *text)
{
    const gchar *end;
    const gint side = read_side(text, &end);

    if (side > 0 && *end == '\0')
        return side;
    refuse(hint, key, text, SIDE);
    return 0;
}

static void read_openvino_size(GHashTable *metadata, GpudlHint *hint)
{
    const gchar *height = get_rt(metadata, "orig_height"), *width = get_rt(metadata, "orig_width");

    if (height != NULL && width == NULL)
        refuse(hint, "orig_height", height, "orig_width beside it");
    if (width != NULL && height == NULL)
        refuse(hint, "orig_width", width, "orig_height beside it");
    if (height == NULL || width == NULL)
        return;
    hint->height = read_one_side(hint, "orig_height", height);
    hint->width = read_one_side(hint, "orig_width", width);
}

/* Means and scales are of pixels within 0 and 255; OpenVINO's pictures are BGR unless they are reversed. */
static void read_openvino(GHashTable *metadata, GpudlHint *hint)
{
    static const gchar *const yes[] = {"yes", "true", "1", NULL}, *const no[] = {"no", "false", "0", NULL};
    static const gchar *const modes[] = {"standard", "fit_to_window_letterbox", "crop", NULL};
    const gchar *mean = get_rt(metadata, "mean_values"), *scale = get_rt(metadata, "scale_values");
    const gchar *reverse = get_rt(metadata, "reverse_input_channels"), *resize = get_rt(metadata, "resize_type");
    const gchar *labels = get_rt(metadata, "labels");
    const gboolean good_mean = mean == NULL || read_three(mean, hint->preproc.mean);
    const gboolean good_scale =
        scale == NULL || (read_three(scale, hint->preproc.std) && are_positive(hint->preproc.std));

    if (!good_mean)
        refuse(hint, "mean_values", mean, THREE);
    if (!good_scale)
        refuse(hint, "scale_values", scale, THREE " above 0");
    if (good_mean && good_scale && (mean != NULL || scale != NULL)) { /* one without the other is another value */
        hint->preproc.pixel_scale = 1;
        hint->set |= GPUDL_SET_PIXEL_SCALE | (mean != NULL ? GPUDL_SET_MEAN : 0) | (scale != NULL ? GPUDL_SET_STD : 0);
    }
    if (reverse != NULL && (word(reverse, yes) || word(reverse, no))) {
        hint->preproc.channel_order = word(reverse, yes) ? GPUDL_CHANNELS_RGB : GPUDL_CHANNELS_BGR;
        hint->set |= GPUDL_SET_CHANNEL_ORDER;
    } else if (reverse != NULL) {
        refuse(hint, "reverse_input_channels", reverse, "YES or NO");
    }
    if (resize != NULL && word(resize, modes)) {
        hint->preproc.resize_mode = (GpudlResizeMode)word(resize, modes);
        hint->set |= GPUDL_SET_RESIZE_MODE;
    } else if (resize != NULL) {
        refuse(hint, "resize_type", resize, "standard, fit_to_window_letterbox or crop");
    }
    if (labels != NULL) {
        g_autofree gchar *lines = g_strdelimit(g_strstrip(g_strdup(labels)), " ", '\n');

        read_labels(hint, "labels", labels, lines, "the classes' names with blanks between");
    }
    read_openvino_size(metadata, hint);
}

/* Rapid's and Paddle's: one class a line. */
static void read_character(GHashTable *metadata, GpudlHint *hint)
{
    const gchar *names = get(metadata, "character");

    read_labels(hint, "character", names, names, "the classes' names, one a line");
}

gboolean gpudl_known_of_metadata(GHashTable *metadata, GpudlHint *hint, GError **error)
{
    static void (*const readers[])(GHashTable * metadata, GpudlHint * hint) = {read_ultralytics, read_winml,
                                                                               read_openvino, read_character};
    g_auto(GpudlKnown) known = {0};
    g_auto(GpudlHint) own = {.place = GPUDL_KNOWN_METADATA};

    if (metadata == NULL)
        return TRUE;
    if (!read_own_keys(metadata, &own, error))
        return FALSE;
    refuse_unused_keys(metadata, &own);
    gpudl_known_add(&known, &own, "gpudl");
    for (guint i = 0; i < G_N_ELEMENTS(readers); i++) {
        g_auto(GpudlHint) one = {.place = GPUDL_KNOWN_METADATA};

        readers[i](metadata, &one);
        gpudl_known_add(&known, &one, "others");
    }
    *hint = known.hint;
    memset(&known.hint, 0, sizeof known.hint);
    return TRUE;
}
