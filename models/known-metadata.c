/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What writers of ONNX files put into metadata_props: our own keys, Ultralytics', WinML's, OpenVINO's, Paddle's. */
#include <string.h>

#include "engine/labels.h"
#include "models/known.h"
#include "models/shown.h"

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

static gboolean has_zero(const float values[3])
{
    return values[0] == 0 || values[1] == 0 || values[2] == 0;
}

static gchar **take_labels(const gchar *text)
{
    return text != NULL ? gpudl_labels_parse(text, NULL) : NULL;
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
    if (strcmp(key, "labels") == 0) {
        hint->labels = take_labels(value);
        return hint->labels != NULL;
    }
    return FALSE;
}

static gboolean read_own_keys(GHashTable *metadata, GpudlHint *hint, GError **error)
{
    static const gchar *const keys[] = {"mean",          "std",         "scale",        "crop_fraction",
                                        "channel_order", "resize_mode", "scale_method", "labels"};

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree gchar *key = g_strconcat("gpudl.", keys[i], NULL);
        const gchar *value = get(metadata, key);
        g_autofree gchar *shown = NULL;

        if (value == NULL || read_own(keys[i], value, hint))
            continue;
        shown = gpudl_shown(value, GPUDL_SHOWN_BYTES);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "metadata '%s' is '%s', which is no value of 'gpudl convert --%s'", key, shown, keys[i]);
        return FALSE;
    }
    return TRUE;
}

/* ---- others' ----------------------------------------------------------------------------------------------------- */

/* Ultralytics scales the short side, takes the middle, divides by 255. */
static void read_ultralytics(GHashTable *metadata, GpudlHint *hint)
{
    const gchar *names = get(metadata, "names"), *task = get(metadata, "task");

    if (names == NULL || get(metadata, "imgsz") == NULL || (task != NULL && strcmp(task, "classify") != 0))
        return;
    hint->labels = take_labels(names);
    hint->preproc = (GpudlPreproc){.pixel_scale = 255,
                                   .channel_order = GPUDL_CHANNELS_RGB,
                                   .resize_mode = GPUDL_RESIZE_CENTER_CROP,
                                   .scale_method = GPUDL_SCALE_BILINEAR,
                                   .crop_fraction = 1};
    hint->set = GPUDL_SET_PIXEL_SCALE | GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_RESIZE_MODE | GPUDL_SET_SCALE_METHOD;
}

static void read_winml(GHashTable *metadata, GpudlHint *hint)
{
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
    }
    if (format == NULL)
        return;
    hint->set |= GPUDL_SET_CHANNEL_ORDER;
    if (g_ascii_strncasecmp(format, "Bgr", 3) == 0)
        hint->preproc.channel_order = GPUDL_CHANNELS_BGR;
    else if (g_ascii_strncasecmp(format, "Rgb", 3) == 0)
        hint->preproc.channel_order = GPUDL_CHANNELS_RGB;
    else
        hint->preproc.channel_order = GPUDL_CHANNELS_GRAY;
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

/* Means and scales are of pixels within 0 and 255; OpenVINO's pictures are BGR unless they are reversed. */
static void read_openvino(GHashTable *metadata, GpudlHint *hint)
{
    static const gchar *const yes[] = {"yes", "true", "1", NULL}, *const no[] = {"no", "false", "0", NULL};
    static const gchar *const modes[] = {"standard", "fit_to_window_letterbox", "crop", NULL};
    const gchar *mean = get_rt(metadata, "mean_values"), *scale = get_rt(metadata, "scale_values");
    const gchar *reverse = get_rt(metadata, "reverse_input_channels"), *resize = get_rt(metadata, "resize_type");
    const gchar *labels = get_rt(metadata, "labels");

    if (mean != NULL && read_three(mean, hint->preproc.mean))
        hint->set |= GPUDL_SET_MEAN;
    if (scale != NULL && read_three(scale, hint->preproc.std) && !has_zero(hint->preproc.std))
        hint->set |= GPUDL_SET_STD;
    if (hint->set & GPUDL_KNOWN_VALUES) {
        hint->preproc.pixel_scale = 1;
        hint->set |= GPUDL_SET_PIXEL_SCALE;
    }
    if (reverse != NULL && (word(reverse, yes) || word(reverse, no))) {
        hint->preproc.channel_order = word(reverse, yes) ? GPUDL_CHANNELS_RGB : GPUDL_CHANNELS_BGR;
        hint->set |= GPUDL_SET_CHANNEL_ORDER;
    }
    if (resize != NULL && word(resize, modes)) {
        hint->preproc.resize_mode = (GpudlResizeMode)word(resize, modes);
        hint->set |= GPUDL_SET_RESIZE_MODE;
    }
    if (labels != NULL) {
        g_autofree gchar *lines = g_strdelimit(g_strstrip(g_strdup(labels)), " ", '\n');

        hint->labels = take_labels(lines);
    }
}

/* Rapid's and Paddle's: one class a line. */
static void read_character(GHashTable *metadata, GpudlHint *hint)
{
    hint->labels = take_labels(get(metadata, "character"));
}

gboolean gpudl_known_of_metadata(GHashTable *metadata, GpudlHint *hint, GError **error)
{
    static void (*const readers[])(GHashTable * metadata, GpudlHint * hint) = {read_ultralytics, read_winml,
                                                                               read_openvino, read_character};
    g_auto(GpudlKnown) known = {0};
    g_auto(GpudlHint) own = {0};

    if (metadata == NULL)
        return TRUE;
    if (!read_own_keys(metadata, &own, error))
        return FALSE;
    gpudl_known_add(&known, &own, "gpudl");
    for (guint i = 0; i < G_N_ELEMENTS(readers); i++) {
        g_auto(GpudlHint) one = {0};

        readers[i](metadata, &one);
        gpudl_known_add(&known, &one, "others");
    }
    *hint = known.hint;
    memset(&known.hint, 0, sizeof known.hint);
    return TRUE;
}
