/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What HuggingFace's image processors do where a preprocessor_config.json does not say it: each class has defaults of
 * its own. transformers 4.46 writes all of them down, older versions and people do not. */
#include "models/known-processors.h"

#include <string.h>

#include "engine/limits.h"
#include "models/json.h"

#define IMAGENET "\"image_mean\":[0.485,0.456,0.406],\"image_std\":[0.229,0.224,0.225],"
#define HALVES "\"image_mean\":[0.5,0.5,0.5],\"image_std\":[0.5,0.5,0.5],"
#define CLIP "\"image_mean\":[0.48145466,0.4578275,0.40821073],\"image_std\":[0.26862954,0.26130258,0.27577711],"
#define SQUARE(side) "\"size\":{\"height\":" #side ",\"width\":" #side "},"
#define SHORTEST(side) "\"size\":{\"shortest_edge\":" #side "},"
#define CROP(side) "\"do_center_crop\":true,\"crop_size\":{\"height\":" #side ",\"width\":" #side "},"
#define WHOLE "\"do_center_crop\":false,"
#define RESAMPLE(code) "\"resample\":" #code

/* Of transformers 4.46.3, where a later version has others: files without a key are older. PPLCNet is of 5.24. */
static const struct {
    const gchar *name, *defaults;
} processors[] = {
    {"Beit", SQUARE(256) CROP(224) HALVES RESAMPLE(3)},
    {"Bit", SHORTEST(224) CROP(224) CLIP RESAMPLE(3)},
    {"CLIP", SHORTEST(224) CROP(224) CLIP RESAMPLE(3)},
    {"ConvNext", SHORTEST(384) "\"crop_pct\":0.875," HALVES RESAMPLE(2)},
    {"DeiT", SQUARE(256) CROP(224) HALVES RESAMPLE(3)},
    {"EfficientFormer", SQUARE(224) CROP(224) IMAGENET RESAMPLE(3)},
    {"EfficientNet", SQUARE(346) WHOLE "\"crop_size\":289,\"include_top\":true," HALVES RESAMPLE(0)},
    {"Levit", SHORTEST(224) CROP(224) IMAGENET RESAMPLE(3)},
    {"MobileNetV1", SHORTEST(256) CROP(224) HALVES RESAMPLE(2)},
    {"MobileNetV2", SHORTEST(256) CROP(224) HALVES RESAMPLE(2)},
    {"MobileViT", SHORTEST(224) CROP(256) "\"do_flip_channel_order\":true," RESAMPLE(2)},
    {"Perceiver", SQUARE(224) CROP(256) IMAGENET RESAMPLE(3)},
    {"PoolFormer", SHORTEST(224) CROP(224) "\"crop_pct\":0.9," IMAGENET RESAMPLE(3)},
    {"PPLCNet",
     SQUARE(256) CROP(224) "\"resize_short\":256,\"do_flip_channel_order\":true,"
                           "\"image_mean\":[0.406,0.456,0.485],\"image_std\":[0.225,0.224,0.229]," RESAMPLE(2)},
    {"Pvt", SQUARE(224) WHOLE IMAGENET RESAMPLE(2)},
    {"Segformer", SQUARE(512) WHOLE IMAGENET RESAMPLE(2)},
    {"Siglip", SQUARE(224) WHOLE HALVES RESAMPLE(3)},
    {"ViT", SQUARE(224) WHOLE HALVES RESAMPLE(2)},
    {"ViTHybrid", SHORTEST(224) CROP(224) CLIP RESAMPLE(3)},
};

gboolean gpudl_processor_is(const gchar *type, const gchar *name)
{
    const gsize length = strlen(name);

    return strncmp(type, name, length) == 0 &&
           (g_str_has_prefix(type + length, "ImageProcessor") || g_str_has_prefix(type + length, "FeatureExtractor"));
}

static JsonNode *parse_defaults(const gchar *members)
{
    g_autofree gchar *text = g_strdup_printf("{%s}", members);

    return gpudl_json_parse(text, strlen(text), NULL);
}

/* null stands for the default but where it leaves out a step: PoolFormer's fraction, PPLCNet's short side. */
static gboolean is_there(JsonObject *root, const gchar *type, const gchar *name)
{
    JsonNode *node = gpudl_json_member(root, name);

    return node != NULL && (!JSON_NODE_HOLDS_NULL(node) || strcmp(name, "resize_short") == 0 ||
                            (strcmp(name, "crop_pct") == 0 && gpudl_processor_is(type, "PoolFormer")));
}

static gboolean read_side(JsonObject *root, const gchar *name, gdouble *side)
{
    return gpudl_json_node_number(gpudl_json_member(root, name), side) && *side >= 1 && *side <= GPUDL_LIMIT_INPUT_SIDE;
}

/* A size as a number, which is what older files have, in the form that the class has it in. */
static void spell_size(JsonObject *root, JsonObject *defaults)
{
    JsonObject *size, *form = gpudl_json_object(defaults, "size");
    gdouble side;

    if (!read_side(root, "size", &side))
        return;
    size = json_object_new();
    if (gpudl_json_member(form, "shortest_edge") != NULL) {
        json_object_set_double_member(size, "shortest_edge", side);
    } else {
        json_object_set_double_member(size, "height", side);
        json_object_set_double_member(size, "width", side);
    }
    json_object_set_object_member(root, "size", size);
}

/* Its short side is in a key of its own. */
static void spell_pplcnet(JsonObject *root)
{
    JsonObject *size;
    gdouble side;

    if (!read_side(root, "resize_short", &side))
        return;
    size = json_object_new();
    json_object_set_double_member(size, "shortest_edge", side);
    json_object_set_object_member(root, "size", size);
}

void gpudl_processor_complete(JsonObject *root, const gchar *type)
{
    for (guint i = 0; i < G_N_ELEMENTS(processors); i++) {
        g_autoptr(JsonNode) node =
            gpudl_processor_is(type, processors[i].name) ? parse_defaults(processors[i].defaults) : NULL;
        JsonObject *defaults = node != NULL ? json_node_get_object(node) : NULL;
        g_autoptr(GList) names = defaults != NULL ? json_object_get_members(defaults) : NULL;

        if (defaults == NULL)
            continue;
        for (GList *name = names; name != NULL; name = name->next)
            if (!is_there(root, type, name->data))
                json_object_set_member(root, name->data, json_object_dup_member(defaults, name->data));
        spell_size(root, defaults);
        if (gpudl_processor_is(type, "PPLCNet"))
            spell_pplcnet(root);
        if (gpudl_processor_is(type, "MobileViT")) /* which has no such step, whatever is said */
            json_object_set_boolean_member(root, "do_normalize", FALSE);
        return;
    }
}
