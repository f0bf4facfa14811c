/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a preprocessor_config.json of HuggingFace's says against what transformers does with a picture by it, measured.
 */
#include <math.h>
#include <string.h>

#include "kernels/preproc.h"
#include "tests/models/known-files.h"

#define FRAME_WIDTH 640
#define FRAME_HEIGHT 480

typedef struct {
    const gchar *json;
    gint height, width;
    GpudlChannelOrder order;
    gint filter; /* Pillow's number */
    double gains[3], offsets[3];
    double part[4]; /* of the frame: x, y, width, height */
} Row;

static const Row rows[] = {
#include "tests/models/huggingface/rows.inc"
};

static GpudlModel *load_with(KnownFixture *self, const gchar *json, gint height, gint width)
{
    g_autofree gchar *input = g_strdup_printf("x:f32:Nx3x%dx%d", height, width);
    const OnnxText text = {13, input, NULL, KNOWN_TAIL, "y"};

    known_put_net(self, "net.onnx", &text, NULL);
    known_put(self, "preprocessor_config.json", json);
    return known_load(self);
}

/* Where what is left over is odd they begin half a pixel of the scaled picture before the middle, torchvision and ours
 * at an even one. */
static void check_part(const gchar *json, const GpudlPreproc *pp, const double expected[4])
{
    const GpudlFrame frame = {.format = GPUDL_PIXEL_RGB, .width = FRAME_WIDTH, .height = FRAME_HEIGHT};
    GpudlPreprocGeometry g;
    const double *found[] = {&g.src_x, &g.src_y, &g.src_width, &g.src_height};
    const double bounds[] = {0.8 + expected[2] / pp->width, 0.8 + expected[3] / pp->height, 2.5, 2.5};

    g_assert_cmpint(gpudl_preproc_geometry(&frame, pp, &g), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(found); i++)
        if (!(fabs(*found[i] - expected[i]) <= bounds[i]))
            g_error("%s: part %u is %g, expected %g", json, i, *found[i], expected[i]);
}

static void test_as_measured(KnownFixture *self, gconstpointer data)
{
    static const GpudlScaleMethod methods[] = {GPUDL_SCALE_NEAREST, GPUDL_SCALE_AUTO, GPUDL_SCALE_BILINEAR,
                                               GPUDL_SCALE_BICUBIC_BYTES};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Row *row = &rows[i];
        g_autoptr(GpudlModel) model = load_with(self, row->json, row->height, row->width);
        g_autofree gchar *assumed = gpudl_model_describe_assumed(model, 0, FALSE);
        const GpudlPreproc *pp = gpudl_model_get_preproc(model);

        g_test_message("%s", row->json);
        g_assert_null(assumed);
        g_assert_cmpint(pp->channel_order, ==, row->order);
        g_assert_cmpint(pp->scale_method, ==, methods[row->filter]);
        for (guint c = 0; c < 3; c++) {
            const double gain = 1 / ((double)pp->pixel_scale * (double)pp->std[c]);
            const double offset = (double)-pp->mean[c] / (double)pp->std[c];

            /* their arithmetic is float32, one rounding a step */
            if (!(fabs(gain - row->gains[c]) <= 2e-6 * row->gains[c]) ||
                !(fabs(offset - row->offsets[c]) <= 1e-5 + 1e-5 * fabs(row->offsets[c])))
                g_error("%s: channel %u is %.9g * pixel + %.9g, expected %.9g and %.9g", row->json, c, gain, offset,
                        row->gains[c], row->offsets[c]);
        }
        check_part(row->json, pp, row->part);
    }
}

/* PP-LCNet's processor needs PyTorch, and is of transformers 5.24: its means are of RGB, which it turns round at last.
 */
static void test_pplcnet(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *json, *says;
    } cases[] = {
        {"{\"image_processor_type\":\"PPLCNetImageProcessor\"}",
         "bgr 255 mean 0.485,0.456,0.406 std 0.229,0.224,0.225 crop 0.875 bilinear"},
        {"{\"image_processor_type\":\"PPLCNetImageProcessorFast\",\"resize_short\":448,\"size\":300,\"crop_size\":224,"
         "\"image_mean\":[1,2,3],\"image_std\":[4,5,6],\"resample\":3}",
         "bgr 255 mean 3,2,1 std 6,5,4 crop 0.5 bicubic-bytes"},
        {"{\"image_processor_type\":\"PPLCNetImageProcessor\",\"resize_short\":null,\"do_center_crop\":false}",
         "bgr 255 mean 0.485,0.456,0.406 std 0.229,0.224,0.225 stretch 1 bilinear"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GpudlModel) model = load_with(self, cases[i].json, 224, 224);
        g_autofree gchar *found = known_said(model);
        g_autofree gchar *says = g_strconcat(cases[i].says, "; from preprocessor_config.json; assumed nothing", NULL);

        if (strcmp(found, says) != 0)
            g_error("%s: found %s", cases[i].json, found);
    }
}

#define FIT "the fit in preprocessor_config.json is "

/* What is none of our modes is not said, but told, nor is what goes with a fraction that can't be used. Of other
 * classes nothing is known beyond what stands there. */
static void test_left_open(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *json, *assumed, *note;
    } cases[] = {
        {"{\"image_processor_type\":\"MobileViTImageProcessor\"}", KNOWN_WHOLE,
         FIT "the middle 256 of 224 pixels, expected a middle that is within the picture: not used"},
        {"{\"image_processor_type\":\"DeiTImageProcessor\",\"size\":200}", KNOWN_WHOLE,
         FIT "the middle 224 of 200 pixels, expected a middle that is within the picture: not used"},
        {"{\"image_processor_type\":\"DeiTImageProcessor\",\"size\":{\"height\":256,\"width\":512}}", KNOWN_WHOLE,
         FIT "the middle 224x224 of 256x512, expected a middle of the same shape: not used"},
        {"{\"image_processor_type\":\"PerceiverImageProcessor\",\"size\":300}", KNOWN_WHOLE,
         FIT "the middle 300 of 256 pixels, expected a middle that is within the picture: not used"},
        {"{\"image_processor_type\":\"PoolFormerImageProcessor\",\"crop_pct\":0.01}", "nothing", NULL},
        {"{\"image_processor_type\":\"PoolFormerImageProcessor\",\"crop_pct\":1e-300}", KNOWN_WHOLE,
         "crop_pct in preprocessor_config.json is 1e-300, expected a number of 0.001 to 10: not used"},
        {"{\"image_processor_type\":\"PoolFormerImageProcessor\",\"crop_pct\":1e300}", KNOWN_WHOLE,
         "crop_pct in preprocessor_config.json is 1e+300, expected a number of 0.001 to 10: not used"},
        {"{\"image_processor_type\":\"PoolFormerImageProcessor\",\"size\":{\"height\":256,\"width\":300}}", KNOWN_WHOLE,
         FIT "a size of 256x300, expected height and width alike where there is a crop_pct: not used"},
        {"{\"image_processor_type\":\"ViTImageProcessor\",\"do_resize\":false}", KNOWN_WHOLE,
         "do_resize in preprocessor_config.json is false, expected true: every picture is fitted to the input: not "
         "used"},
        {"{\"image_processor_type\":\"CLIPImageProcessor\",\"do_center_crop\":false}", KNOWN_WHOLE,
         FIT "the short side scaled to 224, expected a middle of it, or height and width: not used"},
        {"{\"image_processor_type\":\"OtherImageProcessor\",\"crop_size\":224}", KNOWN_VALUES ", " KNOWN_WHOLE,
         FIT "the middle 224x224, expected a size as well: not used"},
        {"{\"image_processor_type\":\"OtherImageProcessor\"}", KNOWN_VALUES ", " KNOWN_WHOLE, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GpudlModel) model = load_with(self, cases[i].json, 224, 224);
        g_autofree gchar *assumed = gpudl_model_describe_assumed(model, 0, FALSE);
        const gchar *const *notes = gpudl_model_get_notes(model);

        if (g_strcmp0(assumed != NULL ? assumed : "nothing", cases[i].assumed) != 0)
            g_error("%s: assumed is %s", cases[i].json, assumed);
        if (cases[i].note == NULL ? notes[0] != NULL
                                  : notes[0] == NULL || !g_str_has_prefix(notes[0], cases[i].note) || notes[1] != NULL)
            g_error("%s: the note is %s", cases[i].json, notes[0]);
    }
}

/* An input whose size is free is as large as what they give. */
static void test_size(KnownFixture *self, gconstpointer data)
{
    static const OnnxText text = {13, "x:f32:Nx3xhxw", NULL, KNOWN_TAIL, "y"};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL;

        known_put_net(self, "net.onnx", &text, NULL);
        known_put(self, "preprocessor_config.json", rows[i].json);
        model = known_load(self);
        g_test_message("%s", rows[i].json);
        g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, rows[i].height);
        g_assert_cmpint(gpudl_model_get_preproc(model)->width, ==, rows[i].width);
    }
}

#define ADD(name, function) g_test_add("/processors/" name, KnownFixture, NULL, known_set_up, function, known_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("as-measured", test_as_measured);
    ADD("size", test_size);
    ADD("pplcnet", test_pplcnet);
    ADD("left-open", test_left_open);
    return g_test_run();
}
