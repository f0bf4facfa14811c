/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is assumed of how a network wants its pixels: what somebody has said, and that alone, leaves it. */
#include "tests/models/known-files.h"

static void check_assumed(GpudlModel *model, guint said, const gchar *expected, gboolean all)
{
    g_autofree gchar *assumed = gpudl_model_describe_assumed(model, said, FALSE);

    g_assert_cmpstr(assumed != NULL ? assumed : "nothing", ==, expected);
    g_assert_cmpint(gpudl_model_is_all_assumed(model, said), ==, all);
}

/* What options say leaves what is assumed, and nothing else does: at once, of a model that is open, and in a net.bin,
 * whether it was made with them or is read with them. */
static void test_beside_options(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const OnnxText *text;
        guint set;
        gboolean all;
        const gchar *assumed;
    } rows[] = {
        {&known_plain, 0, TRUE, KNOWN_ORDER ", " KNOWN_VALUES ", " KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_MEAN, FALSE, KNOWN_ORDER ", " KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_STD, FALSE, KNOWN_ORDER ", " KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_PIXEL_SCALE, FALSE, KNOWN_ORDER ", " KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_CHANNEL_ORDER, FALSE, KNOWN_VALUES ", " KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_RESIZE_MODE, FALSE, KNOWN_ORDER ", " KNOWN_VALUES},
        {&known_plain, GPUDL_SET_CROP_FRACTION | GPUDL_SET_SCALE_METHOD, TRUE,
         KNOWN_ORDER ", " KNOWN_VALUES ", " KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_MEAN | GPUDL_SET_CHANNEL_ORDER, FALSE, KNOWN_WHOLE},
        {&known_plain, GPUDL_SET_STD | GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_RESIZE_MODE, FALSE, "nothing"},
        {&known_gray, 0, TRUE, KNOWN_VALUES ", " KNOWN_WHOLE},
        {&known_gray, GPUDL_SET_PIXEL_SCALE, FALSE, KNOWN_WHOLE},
        {&known_gray, GPUDL_SET_MEAN | GPUDL_SET_RESIZE_MODE, FALSE, "nothing"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const GpudlPreproc preproc = {.std = {1, 1, 1},
                                      .pixel_scale = 255,
                                      .channel_order = GPUDL_CHANNELS_RGB,
                                      .resize_mode = GPUDL_RESIZE_STRETCH,
                                      .crop_fraction = 1,
                                      .scale_method = GPUDL_SCALE_BILINEAR};
        const GpudlImportOptions options = {
            .struct_size = sizeof options, .preproc = &preproc, .preproc_set = rows[i].set};
        g_autoptr(GpudlModel) silent = NULL, told = NULL, kept = NULL, bare = NULL, again = NULL;
        g_autoptr(GError) error = NULL;

        known_put_net(self, "net.onnx", rows[i].text, NULL);
        silent = known_load(self);
        check_assumed(silent, rows[i].set, rows[i].assumed, rows[i].all);
        told = gpudl_model_load(self->path, &options, NULL, &error);
        g_assert_no_error(error);
        check_assumed(told, 0, rows[i].assumed, rows[i].all);

        g_free(self->path);
        self->path = g_build_filename(self->directory, "net.bin", NULL);
        g_assert_true(gpudl_model_save(told, self->path, &error));
        kept = known_load(self);
        check_assumed(kept, 0, rows[i].assumed, rows[i].all);
        g_assert_true(gpudl_model_save(silent, self->path, &error));
        bare = known_load(self);
        check_assumed(bare, rows[i].set, rows[i].assumed, rows[i].all);
        again = gpudl_model_load(self->path, &options, NULL, &error);
        g_assert_no_error(error);
        check_assumed(again, 0, rows[i].assumed, rows[i].all);
    }
}

/* Of a net.bin that says "not known" and no more, as they were at first, all is assumed; of a grey one not the order of
 * its channels. */
static void test_of_old(KnownFixture *self, gconstpointer data)
{
    static const OnnxText *const texts[] = {&known_plain, &known_gray};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GpudlModel) model = NULL, old = NULL;
        g_autoptr(GError) error = NULL;

        known_put_net(self, "net.onnx", texts[i], NULL);
        model = known_load(self);
        model->preproc_known = FALSE;
        model->assumed = 0;
        g_free(self->path);
        self->path = g_build_filename(self->directory, "old.bin", NULL);
        g_assert_true(gpudl_model_save(model, self->path, &error));
        old = known_load(self);
        check_assumed(old, 0, i == 0 ? KNOWN_ORDER ", " KNOWN_VALUES ", " KNOWN_WHOLE : KNOWN_VALUES ", " KNOWN_WHOLE,
                      TRUE);
    }
}

/* A place that says how much of a picture is taken does not say how it is fitted: a later one does, or nobody. */
static void test_fraction_alone(KnownFixture *self, gconstpointer data)
{
    static const gchar *const metadata[] = {"gpudl.crop_fraction", "0.5", NULL};

    known_put_net(self, "net.onnx", &known_plain, metadata);
    known_check(self,
                "rgb 255 mean 0,0,0 std 1,1,1 stretch 0.5 bilinear; from the file's metadata; assumed " KNOWN_ORDER
                ", " KNOWN_VALUES ", " KNOWN_WHOLE);
    known_put(self, "config.json", "{\"pretrained_cfg\": {\"interpolation\": \"bilinear\", \"crop_pct\": 0.75}}");
    known_check(
        self,
        "rgb 255 mean 0,0,0 std 1,1,1 crop 0.5 bilinear; from the file's metadata, config.json; assumed " KNOWN_ORDER
        ", " KNOWN_VALUES);
}

/* Who says that three channels are grey has not said in which order they are. */
static void test_gray_of_three(KnownFixture *self, gconstpointer data)
{
    static const gchar *const metadata[] = {"Image.BitmapPixelFormat", "Gray8", NULL};

    known_put_net(self, "net.onnx", &known_plain, metadata);
    known_check(self, "rgb 255 mean 0,0,0 std 1,1,1 stretch 1 bilinear; from the file's metadata; assumed " KNOWN_ORDER
                      ", " KNOWN_VALUES ", " KNOWN_WHOLE);
}

#define ADD(name, function) g_test_add("/assumed/" name, KnownFixture, NULL, known_set_up, function, known_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("beside-options", test_beside_options);
    ADD("old-files", test_of_old);
    ADD("fraction-alone", test_fraction_alone);
    ADD("gray-of-three", test_gray_of_three);
    return g_test_run();
}
