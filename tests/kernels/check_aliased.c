/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference's bilinear-aliased against cases worked by hand and against OpenCV's INTER_LINEAR. */
#include <glib.h>
#include <math.h>

#include "kernels/preproc_parts.h"
#include "tests/kernels/data/aliased_golden.h"
#include "tests/kernels/preproc_hand.h"

static GpudlPreproc aliased(int width, int height, int channels)
{
    return (GpudlPreproc){.width = width,
                          .height = height,
                          .channels = channels,
                          .channel_order = channels == 1 ? GPUDL_CHANNELS_GRAY : GPUDL_CHANNELS_RGB,
                          .resize_mode = GPUDL_RESIZE_STRETCH,
                          .scale_method = GPUDL_SCALE_BILINEAR_ALIASED,
                          .crop_fraction = 1.f,
                          .pixel_scale = 1.f,
                          .std = {1.f, 1.f, 1.f}};
}

static void test_by_hand(void)
{
    static const guint8 row[10] = {10, 255, 255, 40, 60, 255, 255, 255, 30, 90};
    static const guint8 column[6] = {0, 100, 7, 7, 50, 200};
    GpudlFrame frame = packed(GPUDL_PIXEL_GRAY8, row, 10, 1, 10);
    GpudlPreproc pp = aliased(2, 1, 1);

    /* centres 2.5 and 7.5 are pixels 2 and 7: their neighbours weigh nothing */
    assert_values(&frame, &pp, (double[]){255, 255}, 2);
    /* centre 5 lies between pixels 4 and 5 */
    pp.width = 1;
    assert_values(&frame, &pp, (double[]){(60 + 255) / 2.}, 1);
    /* centres 5/3, 5, 25/3: 1/6 past the middle of pixel 1, between 4 and 5, 5/6 from 7 to 8 */
    pp.width = 3;
    assert_values(&frame, &pp, (double[]){255, (60 + 255) / 2., 255 / 6. + 30 * 5 / 6.}, 3);
    /* the crop hides the rest, and its edges count for what lies beyond: 8 of pixels 3 and 4 */
    pp.width = 8;
    frame.crop_x = 3;
    frame.crop_width = 2;
    frame.crop_height = 1;
    assert_values(&frame, &pp, (double[]){40, 40, 42.5, 47.5, 52.5, 57.5, 60, 60}, 8);
    /* what center-crop takes is a part of the whole picture scaled: pixels beside it are there. 10 x 2 become 5 x 1,
     * of which the middle one is pixel 4 and 5 */
    frame = packed(GPUDL_PIXEL_GRAY8, row, 10, 1, 10);
    pp.width = 1;
    pp.resize_mode = GPUDL_RESIZE_CENTER_CROP;
    frame.par_n = 1;
    frame.par_d = 2; /* shown as 5 x 1 */
    assert_values(&frame, &pp, (double[]){(60 + 255) / 2.}, 1);
    /* rows as columns; both at once are tried below */
    frame = packed(GPUDL_PIXEL_GRAY8, column, 1, 6, 1);
    pp = aliased(1, 2, 1);
    assert_values(&frame, &pp, (double[]){100, 50}, 2);
}

/* Each component has its own 2 x 2 samples; chroma lies where its site says. */
static void test_chroma(void)
{
    static const guint8 y[16] = {0, 0, 0, 0, 100, 100, 100, 100, 60, 60, 60, 60, 0, 0, 0, 0};
    static const guint8 cb[8] = {128, 128, 128, 128, 128, 128, 128, 128};
    static const guint8 cr[8] = {128, 128, 128, 138, 148, 128, 128, 128};
    GpudlFrame frame = {.format = GPUDL_PIXEL_I420,
                        .width = 16,
                        .height = 1,
                        .planes = {y, cb, cr},
                        .strides = {16, 8, 8},
                        .range = GPUDL_RANGE_FULL};
    GpudlPreproc pp = aliased(1, 1, 3);
    float got[3];

    /* centre 8 of luma: pixels 7 and 8, 80. Of chroma 4, its samples 3 and 4: 15 */
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
    g_assert_cmpfloat_with_epsilon(got[0], 80 + 1.402 * 15, 1e-3);
    g_assert_cmpfloat_with_epsilon(got[2], 80, 1e-3);
    /* on the first of their pairs: 4.25, so sample 4 weighs .75 */
    frame.chroma_site = GPUDL_CHROMA_H_COSITED;
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
    g_assert_cmpfloat_with_epsilon(got[0], 80 + 1.402 * 17.5, 1e-3);
    /* the same where both share a plane */
    frame.format = GPUDL_PIXEL_NV12;
    {
        guint8 uv[16];

        for (int i = 0; i < 8; i++) {
            uv[2 * i] = cb[i];
            uv[2 * i + 1] = cr[i];
        }
        frame.planes[1] = uv;
        frame.strides[1] = 16;
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        g_assert_cmpfloat_with_epsilon(got[0], 80 + 1.402 * 17.5, 1e-3);
    }
}

/* At most two samples whatever the scale; bilinear's own where nothing shrinks. */
static void test_windows(void)
{
    for (int from = 1; from <= 40; from++)
        for (int to = 1; to <= 40; to++) {
            const double scale = (double)from / to;
            GpudlAxis axis = {0.5 * scale, scale, 0, from, to, GPUDL_SCALE_BILINEAR_ALIASED}, smooth = axis;
            g_autofree double *weights = NULL, *others = NULL;

            smooth.method = GPUDL_SCALE_BILINEAR;
            weights = g_new(double, gpudl_axis_max_taps(&axis));
            others = g_new(double, gpudl_axis_max_taps(&smooth));
            g_assert_cmpint(gpudl_axis_max_taps(&axis), <=, 3);
            for (int i = 0; i < to; i++) {
                const double centre = (i + 0.5) * scale - 0.5;
                int first, count = gpudl_axis_taps(&axis, i, &first, weights), other, weighty = 0;
                double sum = 0, at = 0;

                for (int k = 0; k < count; k++) {
                    g_assert_cmpfloat(weights[k], >=, 0);
                    weighty += weights[k] > 0;
                    sum += weights[k];
                    at += weights[k] * (first + k);
                }
                g_assert_cmpint(weighty, <=, 2);
                g_assert_cmpfloat_with_epsilon(sum, 1, 1e-12);
                g_assert_cmpfloat_with_epsilon(at, CLAMP(centre, 0, from - 1), 1e-12);
                if (from > to)
                    continue;
                g_assert_cmpint(gpudl_axis_taps(&smooth, i, &other, others), ==, count);
                g_assert_cmpint(other, ==, first);
                g_assert_cmpmem(weights, sizeof(double) * (gsize)count, others, sizeof(double) * (gsize)count);
            }
        }
}

static void test_opencv(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(aliased_cases); i++) {
        const AliasedCase *c = &aliased_cases[i];
        const int width = c->crop_width != 0 ? c->crop_width : c->width;
        const int height = c->crop_width != 0 ? c->crop_height : c->height;
        g_autofree guint8 *pixels = g_malloc((gsize)c->width * c->height * 3);
        g_autofree float *got = g_new(float, (gsize)c->dst_width * c->dst_height * 3);
        GpudlFrame frame = packed(GPUDL_PIXEL_RGB, pixels, c->width, c->height, 3 * c->width);
        GpudlPreproc pp = aliased(c->dst_width, c->dst_height, 3);
        guint32 state = 12345;

        for (int k = 0; k < c->width * c->height * 3; k++) {
            state = state * 1664525u + 1013904223u;
            pixels[k] = (guint8)(state >> 24);
        }
        frame.crop_x = c->crop_x;
        frame.crop_y = c->crop_y;
        frame.crop_width = c->crop_width;
        frame.crop_height = c->crop_height;
        if (c->scaled_width != c->dst_width) {
            pp.resize_mode = GPUDL_RESIZE_CENTER_CROP;
            pp.crop_fraction =
                (float)(fmax((double)c->dst_width / width, (double)c->dst_height / height) * width / c->scaled_width);
        }
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        for (int k = 0; k < c->dst_width * c->dst_height * 3; k++) {
            /* OpenCV's weights are float32; the crop fraction is, too */
            if (!(fabs(got[k] - aliased_exact[c->first + k]) <= 1e-3))
                g_error("case %zu, value %d: found %.5f, OpenCV %.5f", i, k, got[k], aliased_exact[c->first + k]);
            /* of bytes OpenCV rounds weights to 2^-11, and cuts sums off between its two passes */
            if (!(fabs(got[k] - aliased_integer[c->first + k]) <= 1.0))
                g_error("case %zu, value %d: found %.5f, OpenCV in bytes %d", i, k, got[k],
                        aliased_integer[c->first + k]);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kernels/aliased/by-hand", test_by_hand);
    g_test_add_func("/kernels/aliased/chroma", test_chroma);
    g_test_add_func("/kernels/aliased/windows", test_windows);
    g_test_add_func("/kernels/aliased/opencv", test_opencv);
    return g_test_run();
}
