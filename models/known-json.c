/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HuggingFace's preprocessor_config.json and config.json, and timm's pretrained_cfg in the latter. */
#include <math.h>
#include <string.h>

#include "engine/labels.h"
#include "engine/limits.h"
#include "models/json.h"
#include "models/known-processors.h"
#include "models/known.h"

/* A side of the input within its bounds, else 0. */
static gint side_of(JsonObject *object, const gchar *name)
{
    const gdouble value = gpudl_json_number(object, name, 0);

    return value >= 1 && value <= GPUDL_LIMIT_INPUT_SIDE ? (gint)value : 0;
}

/* A list of three numbers, or of one for all; FALSE: nothing of the kind. */
static gboolean three_of(JsonObject *object, const gchar *name, float values[3])
{
    JsonNode *node = gpudl_json_member(object, name);
    JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    const guint n = array != NULL ? json_array_get_length(array) : 0;

    if (n != 1 && n != 3)
        return FALSE;
    for (guint i = 0; i < 3; i++) {
        gdouble value;

        if (!gpudl_json_node_number(json_array_get_element(array, n == 1 ? 0 : i), &value))
            return FALSE;
        values[i] = (float)value;
    }
    return TRUE;
}

static gboolean has_zero(const float values[3])
{
    return values[0] == 0 || values[1] == 0 || values[2] == 0;
}

/* ---- preprocessor_config.json ------------------------------------------------------------------------------------ */

/* {"height": h, "width": w} or {"shortest_edge": s} or a number, which is what older files have. */
typedef struct {
    gint height, width, shortest;
} Size;

static Size size_of(JsonObject *root, const gchar *name, gboolean number_is_shortest)
{
    JsonObject *object = gpudl_json_object(root, name);
    Size size = {0};

    if (object != NULL) {
        size = (Size){side_of(object, "height"), side_of(object, "width"), side_of(object, "shortest_edge")};
        return size.height == 0 || size.width == 0 ? (Size){.shortest = size.shortest} : size;
    }
    size.shortest = side_of(root, name);
    return number_is_shortest ? size : (Size){size.shortest, size.shortest, 0};
}

static gboolean is_type(const gchar *type, const gchar *name)
{
    return g_str_has_prefix(type, name);
}

/* (pixel * factor [- 1] - mean) / std, which EfficientNet's divides by std once more unless it is told not to. */
static void read_values(JsonObject *root, const gchar *type, GpudlHint *hint)
{
    GpudlPreproc *preproc = &hint->preproc;
    const gdouble factor = gpudl_json_number(root, "rescale_factor", 1 / 255.0);
    const gboolean offset = gpudl_json_flag(root, "rescale_offset", FALSE) || gpudl_json_flag(root, "offset", FALSE);
    const gboolean normalised = gpudl_json_flag(root, "do_normalize", !is_type(type, "MobileViT"));
    const gboolean again = is_type(type, "EfficientNet") && gpudl_json_flag(root, "include_top", TRUE);
    const gboolean rescaled = gpudl_json_flag(root, "do_rescale", TRUE);
    float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1}, more[3] = {1, 1, 1};

    if (gpudl_json_flag(root, "do_rescale", TRUE) && !(factor > 1e-5 && factor < 1e5))
        return;
    /* 1 / 0.00392156862745098 is not 255 to the last bit */
    preproc->pixel_scale = !gpudl_json_flag(root, "do_rescale", TRUE) ? 1.f : (float)(round(1e4 / factor) / 1e4);
    if (normalised && (!three_of(root, "image_mean", mean) || !three_of(root, "image_std", std) || has_zero(std)))
        return;
    if (again && (!three_of(root, "image_std", more) || has_zero(more)))
        return;
    for (guint i = 0; i < 3; i++) {
        preproc->mean[i] = mean[i] + (offset && rescaled ? 1.f : 0.f);
        preproc->std[i] = std[i] * more[i];
    }
    hint->set |= GPUDL_KNOWN_VALUES;
}

static void set_crop(GpudlHint *hint, GpudlResizeMode mode, gdouble fraction)
{
    hint->preproc.resize_mode = mode;
    hint->preproc.crop_fraction = (float)MIN(fraction, 1);
    hint->set |= GPUDL_SET_RESIZE_MODE | GPUDL_SET_CROP_FRACTION;
}

/* Of size the middle crop; where that is more, the picture gets a frame, which is none of our modes. */
static void set_middle(GpudlHint *hint, GpudlResizeMode mode, gint crop, gint size)
{
    if (crop <= size)
        set_crop(hint, mode, (gdouble)crop / size);
}

static void read_geometry(JsonObject *root, const gchar *type, GpudlHint *hint)
{
    static const gchar *const stretching[] = {"ViT", "EfficientNet", "PPLCNet", "Beit", "Swin", "SegFormer"};
    const gdouble percent = gpudl_json_number(root, "crop_pct", 0);
    gboolean stretches = FALSE, crops, cuts;
    Size size, crop = size_of(root, "crop_size", FALSE);

    for (guint i = 0; i < G_N_ELEMENTS(stretching); i++)
        stretches = stretches || is_type(type, stretching[i]);
    size = size_of(root, "size", !stretches);
    crops = gpudl_json_flag(root, "do_center_crop", !stretches && (crop.height > 0 || percent > 0)) && crop.height > 0;
    if (crop.height == 0)
        crop.height = crop.width = crop.shortest;
    cuts = crops && !is_type(type, "Perceiver"); /* which takes the middle before */
    hint->height = cuts ? crop.height : size.height > 0 ? size.height : size.shortest;
    hint->width = cuts ? crop.width : size.width > 0 ? size.width : size.shortest;
    if (!gpudl_json_flag(root, "do_resize", TRUE))
        return;
    if (is_type(type, "ConvNext") && size.shortest > 0) {
        const gboolean whole = size.shortest >= 384 || !(percent > 0);

        set_crop(hint, whole ? GPUDL_RESIZE_STRETCH : GPUDL_RESIZE_CENTER_CROP, whole ? 1 : percent);
    } else if (is_type(type, "Perceiver") && crops && size.height > 0) {
        set_middle(hint, GPUDL_RESIZE_CENTER_CROP, size.height, crop.height);
    } else if (is_type(type, "PoolFormer") && percent > 0 && crops) {
        const gint shortest = size.height > 0 ? size.height : size.shortest;

        if (size.height == size.width)
            set_middle(hint, GPUDL_RESIZE_CENTER_CROP, crop.height, (gint)MIN(shortest / percent, G_MAXINT));
    } else if (size.shortest > 0 && crops) {
        const gint shortest = is_type(type, "Levit") ? (gint)(256 / 224.0 * size.shortest) : size.shortest;

        set_middle(hint, GPUDL_RESIZE_CENTER_CROP, crop.height, shortest);
    } else if (size.height > 0 && (!crops || crop.height * size.width == crop.width * size.height)) {
        set_middle(hint, crops ? GPUDL_RESIZE_SQUASH : GPUDL_RESIZE_STRETCH, crops ? crop.height : 1,
                   crops ? size.height : 1);
    }
}

static void read_method(gint resample, GpudlHint *hint)
{
    /* Pillow's numbers; what it has beside ours is left unsaid. Its bilinear and box are never clamped: in bytes they
     * are off from ours by roundings alone */
    static const GpudlScaleMethod methods[] = {GPUDL_SCALE_NEAREST, GPUDL_SCALE_AUTO, GPUDL_SCALE_BILINEAR,
                                               GPUDL_SCALE_BICUBIC_BYTES, GPUDL_SCALE_AREA};

    if (resample < 0 || resample >= (gint)G_N_ELEMENTS(methods) || methods[resample] == GPUDL_SCALE_AUTO)
        return;
    hint->preproc.scale_method = methods[resample];
    hint->set |= GPUDL_SET_SCALE_METHOD;
}

gboolean gpudl_known_of_preprocessor(const gchar *text, GpudlHint *hint, GError **error)
{
    g_autoptr(JsonNode) node = gpudl_json_parse(text, strlen(text), error);
    JsonObject *root = node != NULL ? json_node_get_object(node) : NULL;
    const gchar *type = NULL, *mode = NULL;

    if (root == NULL)
        return FALSE;
    type = gpudl_json_text(root, "image_processor_type");
    if (type == NULL)
        type = gpudl_json_text(root, "feature_extractor_type");
    if (type == NULL || (strstr(type, "Image") == NULL && strstr(type, "FeatureExtractor") == NULL))
        return TRUE; /* of sound or text */
    gpudl_processor_complete(root, type);
    mode = gpudl_json_text(root, "image_mode");
    read_values(root, type, hint);
    read_geometry(root, type, hint);
    read_method((gint)gpudl_json_number(root, "resample", -1), hint);
    hint->preproc.channel_order = gpudl_json_flag(root, "do_flip_channel_order", FALSE) || g_strcmp0(mode, "BGR") == 0
                                      ? GPUDL_CHANNELS_BGR
                                      : GPUDL_CHANNELS_RGB;
    hint->set |= GPUDL_SET_CHANNEL_ORDER;
    return TRUE;
}

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static gchar **labels_of(JsonNode *node)
{
    g_autofree gchar *text = node != NULL && (JSON_NODE_HOLDS_OBJECT(node) || JSON_NODE_HOLDS_ARRAY(node))
                                 ? json_to_string(node, FALSE)
                                 : NULL;
    gchar **labels = text != NULL ? gpudl_labels_parse(text, NULL) : NULL;

    /* what is written where nobody has given names */
    if (labels != NULL && strcmp(labels[0], "LABEL_0") == 0)
        g_clear_pointer(&labels, g_strfreev);
    return labels;
}

/* Round the picture timm puts the mean, as bytes. */
static guint32 colour_of(const float mean[3])
{
    guint32 colour = 0;

    for (guint c = 0; c < 3; c++)
        colour = colour << 8 | (guint32)CLAMP(rint(255.0 * mean[c]), 0, 255);
    return colour;
}

static void read_timm(JsonObject *cfg, GpudlHint *hint)
{
    GpudlPreproc *preproc = &hint->preproc;
    const gchar *interpolation = gpudl_json_text(cfg, "interpolation"), *mode = gpudl_json_text(cfg, "crop_mode");
    const gdouble percent = gpudl_json_number(cfg, "crop_pct", 0.875);
    float size[3];

    if (three_of(cfg, "mean", preproc->mean) && three_of(cfg, "std", preproc->std) && !has_zero(preproc->std)) {
        preproc->pixel_scale = 255;
        preproc->channel_order = GPUDL_CHANNELS_RGB;
        hint->set |= GPUDL_KNOWN_VALUES | GPUDL_SET_CHANNEL_ORDER;
    }
    if (g_strcmp0(interpolation, "bicubic") == 0)
        read_method(3, hint);
    else if (g_strcmp0(interpolation, "bilinear") == 0)
        read_method(2, hint);
    if (percent > 0)
        set_crop(hint,
                 g_strcmp0(mode, "squash") == 0   ? GPUDL_RESIZE_SQUASH
                 : g_strcmp0(mode, "border") == 0 ? GPUDL_RESIZE_BORDER
                                                  : GPUDL_RESIZE_CENTER_CROP,
                 percent);
    if (percent > 0 && hint->preproc.resize_mode == GPUDL_RESIZE_BORDER) {
        preproc->pad_color = (hint->set & GPUDL_SET_MEAN) != 0 ? colour_of(preproc->mean) : 0;
        hint->set |= GPUDL_SET_PAD_COLOR;
    }
    if (three_of(cfg, "input_size", size) && size[1] >= 1 && size[1] <= GPUDL_LIMIT_INPUT_SIDE && size[2] >= 1 &&
        size[2] <= GPUDL_LIMIT_INPUT_SIDE) {
        hint->height = (gint)size[1];
        hint->width = (gint)size[2];
    }
    if (three_of(cfg, "test_input_size", size) && size[1] >= 1 && size[1] <= GPUDL_LIMIT_INPUT_SIDE &&
        (gint)size[1] != hint->height) {
        hint->other_height = (gint)size[1];
        hint->other_fraction = (float)CLAMP(gpudl_json_number(cfg, "test_crop_pct", percent), 0, 1);
    }
}

/* A side, or height and width. */
static void read_image_size(JsonObject *root, GpudlHint *hint)
{
    JsonArray *array = gpudl_json_array(root, "image_size");
    gdouble sides[2] = {side_of(root, "image_size"), side_of(root, "image_size")};

    for (guint i = 0; i < 2 && array != NULL && json_array_get_length(array) == 2; i++)
        if (!gpudl_json_node_number(json_array_get_element(array, i), &sides[i]) || !(sides[i] >= 1) ||
            sides[i] > GPUDL_LIMIT_INPUT_SIDE)
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
    cfg = gpudl_json_object(root, "pretrained_cfg");
    if (cfg != NULL || gpudl_json_member(root, "crop_pct") != NULL)
        read_timm(cfg != NULL ? cfg : root, hint);
    if (hint->height == 0)
        read_image_size(root, hint);
    hint->labels = labels_of(gpudl_json_member(root, "id2label"));
    if (hint->labels == NULL)
        hint->labels = labels_of(gpudl_json_member(root, "label_names"));
    return TRUE;
}
