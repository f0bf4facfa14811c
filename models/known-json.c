/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HuggingFace's preprocessor_config.json and config.json, and timm's pretrained_cfg in the latter. */
#include <math.h>
#include <string.h>

#include "engine/labels.h"
#include "engine/limits.h"
#include "models/json.h"
#include "models/known-processors.h"
#include "models/known.h"

#define SIDES "of 1 to " G_STRINGIFY(GPUDL_LIMIT_INPUT_SIDE)
#define THREE "a list of one or three numbers"

/* ---- members ----------------------------------------------------------------------------------------------------- */

/* Each is as if it were not there, with a note, where it is of another kind than is asked for. */

static void refuse(GpudlHint *hint, const gchar *name, JsonNode *node, const gchar *expected)
{
    gchar number[G_ASCII_DTOSTR_BUF_SIZE];
    g_autofree gchar *found = NULL;

    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_DOUBLE) /* the library has 1e-300.0 */
        found = g_strdup(g_ascii_formatd(number, sizeof number, "%.15g", json_node_get_double(node)));
    else
        found = json_to_string(node, FALSE);
    gpudl_hint_refuse(hint, name, found, expected);
}

/* How many can't be used so far: of what belongs together nothing is taken where a part can't be. */
static guint refused_by(const GpudlHint *hint)
{
    return hint->notes != NULL ? hint->notes->len : 0;
}

/* NULL also for null, which is how these files leave something open. */
static JsonNode *member_of(JsonObject *object, const gchar *name)
{
    JsonNode *node = gpudl_json_member(object, name);

    return node != NULL && !JSON_NODE_HOLDS_NULL(node) ? node : NULL;
}

static gboolean flag_of(GpudlHint *hint, JsonObject *object, const gchar *name, gboolean otherwise)
{
    JsonNode *node = member_of(object, name);

    if (node != NULL && !(JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN))
        refuse(hint, name, node, "true or false");
    return gpudl_json_flag(object, name, otherwise);
}

static const gchar *text_of(GpudlHint *hint, JsonObject *object, const gchar *name)
{
    JsonNode *node = member_of(object, name);

    if (node != NULL && gpudl_json_text(object, name) == NULL)
        refuse(hint, name, node, "a text");
    return gpudl_json_text(object, name);
}

/* FALSE: it is there, and no number between these; *value stays what it was. */
static gboolean read_number(GpudlHint *hint, JsonObject *object, const gchar *name, gdouble low, gdouble high,
                            gdouble *value)
{
    JsonNode *node = member_of(object, name);
    g_autofree gchar *expected = NULL;
    gdouble found;

    if (node == NULL)
        return TRUE;
    if (gpudl_json_node_number(node, &found) && found >= low && found <= high) {
        *value = found;
        return TRUE;
    }
    expected = g_strdup_printf("a number of %g to %g", low, high);
    refuse(hint, name, node, expected);
    return FALSE;
}

static gboolean is_side(gdouble value)
{
    return value >= 1 && value <= GPUDL_LIMIT_INPUT_SIDE;
}

/* A side of the input within its bounds, else 0. */
static gint side_of(JsonObject *object, const gchar *name)
{
    const gdouble value = gpudl_json_number(object, name, 0);

    return is_side(value) ? (gint)value : 0;
}

/* A list of three numbers, or of one for all, or that number; all above 0 if positive. FALSE: it is there, and nothing
 * of the kind. What is not there stays what it was. */
static gboolean three_of(GpudlHint *hint, JsonObject *object, const gchar *name, gboolean positive, float values[3])
{
    JsonNode *node = member_of(object, name);
    JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    const guint n = array != NULL ? json_array_get_length(array) : 1;
    gboolean good = n == 1 || n == 3;

    if (node == NULL)
        return TRUE;
    for (guint i = 0; i < 3 && good; i++) {
        JsonNode *element = array != NULL ? json_array_get_element(array, n == 1 ? 0 : i) : node;
        gdouble value;

        good = gpudl_json_node_number(element, &value) && fabs(value) < 1e6 && (!positive || value > 1e-6);
        values[i] = good ? (float)value : 0;
    }
    if (!good)
        refuse(hint, name, node, positive ? THREE " above 0" : THREE);
    return good;
}

/* ---- preprocessor_config.json ------------------------------------------------------------------------------------ */

/* {"height": h, "width": w} or {"shortest_edge": s} or a number, which is what older files have. */
typedef struct {
    gint height, width, shortest;
} Size;

static Size size_of(GpudlHint *hint, JsonObject *root, const gchar *name, gboolean may_be_shortest)
{
    JsonObject *object = gpudl_json_object(root, name);
    JsonNode *node = member_of(root, name);
    const gint side = side_of(root, name);
    Size size = may_be_shortest ? (Size){.shortest = side} : (Size){side, side, 0};

    if (object != NULL) {
        size = (Size){.height = side_of(object, "height"), .width = side_of(object, "width")};
        if (size.height == 0 || size.width == 0)
            size = (Size){.shortest = may_be_shortest ? side_of(object, "shortest_edge") : 0};
    }
    if (node != NULL && size.height == 0 && size.shortest == 0)
        refuse(hint, name, node,
               may_be_shortest ? "a side, height and width, or shortest_edge, " SIDES
                               : "a side, or height and width, " SIDES);
    return size;
}

/* 1 / 0.00392156862745098 is not 255 to the last bit. */
static gdouble scale_of(gdouble factor)
{
    const gdouble scale = 1 / factor, whole = round(scale);

    return fabs(scale - whole) <= 1e-9 * scale ? whole : scale;
}

/* TRUE if something is said of the values: each of a class has defaults, but of others there is nothing else. */
static gboolean says_values(JsonObject *root, gboolean normalised)
{
    return !normalised || member_of(root, "image_mean") != NULL || member_of(root, "image_std") != NULL;
}

/* (pixel * factor [- 1] - mean) / std, which EfficientNet's divides by std once more unless it is told not to.
 * PPLCNet's mean and std are of channels that are turned round afterwards. */
static void read_values(JsonObject *root, const gchar *type, GpudlHint *hint)
{
    GpudlPreproc *preproc = &hint->preproc;
    const guint before = refused_by(hint);
    const gboolean rescaled = flag_of(hint, root, "do_rescale", TRUE);
    const gboolean offset = flag_of(hint, root, "rescale_offset", FALSE) || flag_of(hint, root, "offset", FALSE);
    const gboolean normalised = flag_of(hint, root, "do_normalize", TRUE);
    const gboolean again = gpudl_processor_is(type, "EfficientNet") && flag_of(hint, root, "include_top", TRUE);
    const gboolean turned = gpudl_processor_is(type, "PPLCNet");
    float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
    gdouble factor = 1 / 255.0;

    if (rescaled)
        read_number(hint, root, "rescale_factor", 1e-5, 1e5, &factor);
    if (normalised)
        three_of(hint, root, "image_mean", FALSE, mean);
    if (normalised || again)
        three_of(hint, root, "image_std", TRUE, std);
    if (refused_by(hint) > before || !says_values(root, normalised))
        return;
    preproc->pixel_scale = !rescaled ? 1.f : (float)scale_of(factor);
    for (guint i = 0; i < 3; i++) {
        const guint from = turned ? 2 - i : i;

        preproc->mean[i] = mean[from] + (offset && rescaled ? 1.f : 0.f);
        preproc->std[i] = normalised && again ? std[from] * std[from] : std[from];
    }
    hint->set |= GPUDL_KNOWN_VALUES;
}

static void set_crop(GpudlHint *hint, GpudlResizeMode mode, gdouble fraction)
{
    hint->preproc.resize_mode = mode;
    hint->preproc.crop_fraction = (float)MIN(fraction, 1);
    hint->set |= GPUDL_SET_RESIZE_MODE | GPUDL_SET_CROP_FRACTION;
}

/* What the members together ask for, of the file or of the class, and is none of our modes. */
static void refuse_fit(GpudlHint *hint, const gchar *expected, const gchar *format, ...) G_GNUC_PRINTF(3, 4);

static void refuse_fit(GpudlHint *hint, const gchar *expected, const gchar *format, ...)
{
    g_autofree gchar *found = NULL;
    va_list args;

    va_start(args, format);
    found = g_strdup_vprintf(format, args);
    va_end(args);
    gpudl_hint_refuse(hint, "the fit", found, expected);
}

/* Of size the middle crop; where that is more, the picture gets a frame, which is none of our modes. */
static void set_middle(GpudlHint *hint, GpudlResizeMode mode, gint crop, gint size)
{
    if (crop <= size)
        set_crop(hint, mode, (gdouble)crop / size);
    else
        refuse_fit(hint, "a middle that is within the picture", "the middle %d of %d pixels", crop, size);
}

/* How the picture is fitted, by sizes that can be. crop: 0 where nothing is cut. */
static void set_fit(GpudlHint *hint, const gchar *type, Size size, Size crop, gdouble percent)
{
    const gboolean crops = crop.height > 0;

    if (gpudl_processor_is(type, "ConvNext") && size.shortest > 0) {
        const gboolean whole = size.shortest >= 384 || !(percent > 0);

        set_crop(hint, whole ? GPUDL_RESIZE_STRETCH : GPUDL_RESIZE_CENTER_CROP, whole ? 1 : percent);
    } else if (gpudl_processor_is(type, "Perceiver") && crops && size.height > 0) {
        set_middle(hint, GPUDL_RESIZE_CENTER_CROP, size.height, crop.height);
    } else if (gpudl_processor_is(type, "PoolFormer") && percent > 0 && crops) {
        const gint shortest = size.height > 0 ? size.height : size.shortest;

        if (size.height == size.width)
            set_middle(hint, GPUDL_RESIZE_CENTER_CROP, crop.height, (gint)(shortest / percent));
        else
            refuse_fit(hint, "height and width alike where there is a crop_pct", "a size of %dx%d", size.height,
                       size.width);
    } else if (size.shortest > 0 && crops) {
        const gint shortest = gpudl_processor_is(type, "Levit") ? (gint)(256 / 224.0 * size.shortest) : size.shortest;

        set_middle(hint, GPUDL_RESIZE_CENTER_CROP, crop.height, shortest);
    } else if (size.shortest > 0) {
        refuse_fit(hint, "a middle of it, or height and width", "the short side scaled to %d", size.shortest);
    } else if (size.height > 0 && crops && crop.height * size.width != crop.width * size.height) {
        refuse_fit(hint, "a middle of the same shape", "the middle %dx%d of %dx%d", crop.height, crop.width,
                   size.height, size.width);
    } else if (size.height > 0) {
        set_middle(hint, crops ? GPUDL_RESIZE_SQUASH : GPUDL_RESIZE_STRETCH, crops ? crop.height : 1,
                   crops ? size.height : 1);
    } else if (crops) {
        refuse_fit(hint, "a size as well", "the middle %dx%d", crop.height, crop.width);
    }
}

static void read_geometry(JsonObject *root, const gchar *type, GpudlHint *hint)
{
    const guint before = refused_by(hint);
    JsonNode *shortest = gpudl_processor_is(type, "PPLCNet") ? member_of(root, "resize_short") : NULL;
    Size size, crop = size_of(hint, root, "crop_size", FALSE);
    gboolean cuts, resizes;
    gdouble percent = 0;

    if (shortest != NULL && side_of(root, "resize_short") == 0) /* its size does not count then */
        refuse(hint, "resize_short", shortest, "a side " SIDES ", or null");
    size = size_of(hint, root, "size", TRUE);
    if (!flag_of(hint, root, "do_center_crop", TRUE))
        crop = (Size){0};
    cuts = crop.height > 0 && !gpudl_processor_is(type, "Perceiver"); /* which takes the middle before */
    if (refused_by(hint) == before) {
        hint->height = cuts ? crop.height : size.height > 0 ? size.height : size.shortest;
        hint->width = cuts ? crop.width : size.width > 0 ? size.width : size.shortest;
    }
    read_number(hint, root, "crop_pct", 1e-3, 10, &percent);
    resizes = flag_of(hint, root, "do_resize", TRUE);
    if (refused_by(hint) > before)
        return;
    if (resizes)
        set_fit(hint, type, size, crop, percent);
    else
        refuse(hint, "do_resize", member_of(root, "do_resize"), "true: every picture is fitted to the input");
}

static void set_method(gint resample, GpudlHint *hint)
{
    /* Pillow's numbers, of which 1 is none of ours. Its bilinear and box are never clamped: in bytes they
     * are off from ours by roundings alone */
    static const GpudlScaleMethod methods[] = {GPUDL_SCALE_NEAREST, GPUDL_SCALE_AUTO, GPUDL_SCALE_BILINEAR,
                                               GPUDL_SCALE_BICUBIC_BYTES, GPUDL_SCALE_AREA};

    hint->preproc.scale_method = methods[resample];
    hint->set |= GPUDL_SET_SCALE_METHOD;
}

static void read_method(JsonObject *root, GpudlHint *hint)
{
    JsonNode *node = member_of(root, "resample");
    gint64 resample;

    if (node == NULL)
        return;
    if (gpudl_json_integer(root, "resample", &resample) && (resample == 0 || (resample >= 2 && resample <= 4)))
        set_method((gint)resample, hint);
    else
        refuse(hint, "resample", node, "0 (nearest), 2 (bilinear), 3 (bicubic) or 4 (box)");
}

static void read_order(JsonObject *root, GpudlHint *hint)
{
    const guint before = refused_by(hint);
    const gboolean reversed = g_strcmp0(text_of(hint, root, "image_mode"), "BGR") == 0;
    const gboolean flipped = flag_of(hint, root, "do_flip_channel_order", FALSE);

    if (refused_by(hint) > before)
        return;
    hint->preproc.channel_order = reversed || flipped ? GPUDL_CHANNELS_BGR : GPUDL_CHANNELS_RGB;
    hint->set |= GPUDL_SET_CHANNEL_ORDER;
}

gboolean gpudl_known_of_preprocessor(const gchar *text, GpudlHint *hint, GError **error)
{
    g_autoptr(JsonNode) node = gpudl_json_parse(text, strlen(text), error);
    JsonObject *root = node != NULL ? json_node_get_object(node) : NULL;
    const gchar *type = NULL;

    if (root == NULL)
        return FALSE;
    hint->place = "preprocessor_config.json";
    type = text_of(hint, root, "image_processor_type");
    if (type == NULL)
        type = text_of(hint, root, "feature_extractor_type");
    if (type == NULL || (strstr(type, "Image") == NULL && strstr(type, "FeatureExtractor") == NULL))
        return TRUE; /* of sound or text */
    gpudl_processor_complete(root, type);
    read_values(root, type, hint);
    read_geometry(root, type, hint);
    read_method(root, hint);
    read_order(root, hint);
    return TRUE;
}

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static void read_labels(GpudlHint *hint, JsonObject *root, const gchar *name)
{
    JsonNode *node = member_of(root, name);
    g_autofree gchar *text = NULL, *expected = NULL;
    g_autoptr(GError) fault = NULL;

    if (node == NULL || hint->labels != NULL)
        return;
    if (JSON_NODE_HOLDS_OBJECT(node) || JSON_NODE_HOLDS_ARRAY(node)) {
        text = json_to_string(node, FALSE);
        hint->labels = gpudl_labels_parse(text, &fault);
    }
    if (hint->labels == NULL) {
        expected = g_strdup_printf("a name of each class%s%s%s", fault != NULL ? " (" : "",
                                   fault != NULL ? fault->message : "", fault != NULL ? ")" : "");
        refuse(hint, name, node, expected);
    } else if (strcmp(hint->labels[0], "LABEL_0") == 0) { /* what is written where nobody has given names */
        g_clear_pointer(&hint->labels, g_strfreev);
    }
}

/* Round the picture timm puts the mean, as bytes. */
static guint32 colour_of(const float mean[3])
{
    guint32 colour = 0;

    for (guint c = 0; c < 3; c++)
        colour = colour << 8 | (guint32)CLAMP(rint(255.0 * mean[c]), 0, 255);
    return colour;
}

/* One of these words, from 0; -1: it is none, or not there. */
static gint word_of(GpudlHint *hint, JsonObject *object, const gchar *name, const gchar *const *words,
                    const gchar *expected)
{
    JsonNode *node = member_of(object, name);

    for (gint i = 0; words[i] != NULL; i++)
        if (g_strcmp0(gpudl_json_text(object, name), words[i]) == 0)
            return i;
    if (node != NULL)
        refuse(hint, name, node, expected);
    return -1;
}

/* [channels, height, width]; FALSE: it is not there, or can't be. */
static gboolean read_input_size(GpudlHint *hint, JsonObject *cfg, const gchar *name, gint *height, gint *width)
{
    JsonNode *node = member_of(cfg, name);
    JsonArray *array = gpudl_json_array(cfg, name);
    gdouble sides[2];
    gboolean good = array != NULL && json_array_get_length(array) == 3;

    for (guint i = 0; i < 2 && good; i++)
        good = gpudl_json_node_number(json_array_get_element(array, 1 + i), &sides[i]) && is_side(sides[i]);
    if (node != NULL && !good)
        refuse(hint, name, node, "[channels, height, width], sides " SIDES);
    if (good) {
        *height = (gint)sides[0];
        *width = (gint)sides[1];
    }
    return good;
}

static void read_timm(JsonObject *cfg, GpudlHint *hint)
{
    static const gchar *const methods[] = {"bilinear", "bicubic", NULL};
    static const gchar *const modes[] = {"center", "squash", "border", NULL};
    GpudlPreproc *preproc = &hint->preproc;
    const gint method = word_of(hint, cfg, "interpolation", methods, "\"bilinear\" or \"bicubic\"");
    const guint before = refused_by(hint);
    const gint mode = word_of(hint, cfg, "crop_mode", modes, "\"center\", \"squash\" or \"border\"");
    const gboolean fits = refused_by(hint) == before;
    const gboolean says_values = member_of(cfg, "mean") != NULL || member_of(cfg, "std") != NULL;
    float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f}; /* timm's where one is not said */
    const gboolean good_mean = three_of(hint, cfg, "mean", FALSE, mean);
    const gboolean good_std = three_of(hint, cfg, "std", TRUE, std);
    gdouble percent = 0.875, test_percent;
    gint height, width;

    if (says_values && good_mean && good_std) {
        memcpy(preproc->mean, mean, sizeof mean);
        memcpy(preproc->std, std, sizeof std);
        preproc->pixel_scale = 255;
        preproc->channel_order = GPUDL_CHANNELS_RGB;
        hint->set |= GPUDL_KNOWN_VALUES | GPUDL_SET_CHANNEL_ORDER;
    }
    if (method >= 0)
        set_method(2 + method, hint);
    if (read_number(hint, cfg, "crop_pct", 1e-3, 10, &percent) && fits) {
        set_crop(hint,
                 mode == 1   ? GPUDL_RESIZE_SQUASH
                 : mode == 2 ? GPUDL_RESIZE_BORDER
                             : GPUDL_RESIZE_CENTER_CROP,
                 percent);
    }
    if (hint->preproc.resize_mode == GPUDL_RESIZE_BORDER) {
        preproc->pad_color = (hint->set & GPUDL_SET_MEAN) != 0 ? colour_of(preproc->mean) : 0;
        hint->set |= GPUDL_SET_PAD_COLOR;
    }
    read_input_size(hint, cfg, "input_size", &hint->height, &hint->width);
    test_percent = percent;
    if (read_input_size(hint, cfg, "test_input_size", &height, &width) && height != hint->height &&
        read_number(hint, cfg, "test_crop_pct", 1e-3, 10, &test_percent)) {
        hint->other_height = height;
        hint->other_fraction = (float)MIN(test_percent, 1);
    }
}

/* A side, or height and width. */
static void read_image_size(JsonObject *root, GpudlHint *hint)
{
    JsonNode *node = member_of(root, "image_size");
    JsonArray *array = gpudl_json_array(root, "image_size");
    const guint n = array != NULL ? json_array_get_length(array) : 1;
    gdouble sides[2];
    gboolean good = node != NULL && (array == NULL || n == 2);

    for (guint i = 0; i < 2 && good; i++)
        good = gpudl_json_node_number(array != NULL ? json_array_get_element(array, i) : node, &sides[i]) &&
               is_side(sides[i]);
    if (node != NULL && !good)
        refuse(hint, "image_size", node, "a side or [height, width], " SIDES);
    if (!good)
        return;
    hint->height = (gint)sides[0];
    hint->width = (gint)sides[1];
}

gboolean gpudl_known_of_config(const gchar *text, GpudlHint *hint, GError **error)
{
    g_autoptr(JsonNode) node = gpudl_json_parse(text, strlen(text), error);
    JsonObject *root = node != NULL ? json_node_get_object(node) : NULL;
    JsonObject *cfg;

    if (root == NULL)
        return FALSE;
    hint->place = "config.json";
    cfg = gpudl_json_object(root, "pretrained_cfg");
    if (cfg == NULL && member_of(root, "pretrained_cfg") != NULL)
        refuse(hint, "pretrained_cfg", member_of(root, "pretrained_cfg"), "an object");
    if (cfg != NULL || member_of(root, "crop_pct") != NULL)
        read_timm(cfg != NULL ? cfg : root, hint);
    if (hint->height == 0)
        read_image_size(root, hint);
    read_labels(hint, root, "id2label");
    read_labels(hint, root, "label_names");
    return TRUE;
}
