/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which part of a picture goes where, by resize mode: cases worked by hand. */
#include <glib.h>

#include "kernels/preproc.h"

static GpudlFrame gray(int width, int height)
{
    return (GpudlFrame){.format = GPUDL_PIXEL_GRAY8, .width = width, .height = height};
}

static GpudlPreproc square(int side, GpudlResizeMode mode, float crop_fraction)
{
    return (GpudlPreproc){.width = side, .height = side, .resize_mode = mode, .crop_fraction = crop_fraction};
}

static void assert_geometry(const GpudlFrame *frame, const GpudlPreproc *pp, const double src[4], const int dst[4])
{
    GpudlPreprocGeometry g;

    g_assert_cmpint(gpudl_preproc_geometry(frame, pp, &g), ==, 0);
    g_assert_cmpfloat_with_epsilon(g.src_x, src[0], 1e-6);
    g_assert_cmpfloat_with_epsilon(g.src_y, src[1], 1e-6);
    g_assert_cmpfloat_with_epsilon(g.src_width, src[2], 1e-6);
    g_assert_cmpfloat_with_epsilon(g.src_height, src[3], 1e-6);
    g_assert_cmpint(g.dst_x, ==, dst[0]);
    g_assert_cmpint(g.dst_y, ==, dst[1]);
    g_assert_cmpint(g.dst_width, ==, dst[2]);
    g_assert_cmpint(g.dst_height, ==, dst[3]);
}

static void test_modes(void)
{
    GpudlFrame frame = gray(640, 480);
    GpudlPreproc pp = square(224, GPUDL_RESIZE_STRETCH, 1);

    assert_geometry(&frame, &pp, (double[]){0, 0, 640, 480}, (int[]){0, 0, 224, 224});
    pp.resize_mode = GPUDL_RESIZE_LETTERBOX; /* scale .35: 224 x 168, 28 rows above and below */
    assert_geometry(&frame, &pp, (double[]){0, 0, 640, 480}, (int[]){0, 28, 224, 168});
    pp.resize_mode = GPUDL_RESIZE_CENTER_CROP; /* 341 x 256; the middle begins at 58.5, of which 58 is even, and 16 */
    pp.crop_fraction = 0.875f;
    assert_geometry(&frame, &pp, (double[]){58 * 640 / 341., 30, 224 * 640 / 341., 420}, (int[]){0, 0, 224, 224});
    pp.crop_fraction = 0.9f; /* 224 / .9 = 248.9, down; 330 x 248: 53 and 12 */
    assert_geometry(&frame, &pp, (double[]){53 * 640 / 330., 12 * 480 / 248., 224 * 640 / 330., 224 * 480 / 248.},
                    (int[]){0, 0, 224, 224});
    pp.crop_fraction = 224.f / 225; /* in float32 a little above that: 300 x 225, 38 and 0.5, of which 0 is even */
    assert_geometry(&frame, &pp, (double[]){38 * 640 / 300., 0, 224 * 640 / 300., 224 * 480 / 225.},
                    (int[]){0, 0, 224, 224});
    pp.resize_mode = GPUDL_RESIZE_BORDER; /* 256 x 192: 16, and 32 rows around */
    pp.crop_fraction = 0.875f;
    assert_geometry(&frame, &pp, (double[]){40, 0, 560, 480}, (int[]){0, 16, 224, 192});
    pp.crop_fraction = 1; /* as letterbox */
    assert_geometry(&frame, &pp, (double[]){0, 0, 640, 480}, (int[]){0, 28, 224, 168});
    pp.resize_mode = GPUDL_RESIZE_CENTER_CROP;
    pp.width = 192; /* no square: goals 219 x 256, 341.33 x 256 to the nearest; 74.5 and 16 */
    pp.crop_fraction = 0.875f;
    assert_geometry(&frame, &pp, (double[]){74 * 640 / 341., 30, 192 * 640 / 341., 420}, (int[]){0, 0, 192, 224});
    pp.width = 224;
    pp.resize_mode = GPUDL_RESIZE_SQUASH; /* 256 x 256, the middle 224 of both */
    assert_geometry(&frame, &pp, (double[]){40, 30, 560, 420}, (int[]){0, 0, 224, 224});
}

/* Pixels that are no squares, and crop rectangles. */
static void test_frames(void)
{
    GpudlFrame frame = gray(720, 576);
    GpudlPreproc pp = square(224, GPUDL_RESIZE_CENTER_CROP, 0.875f);
    GpudlPreprocGeometry g;

    /* anamorphic 16:9 in 720 x 576: shown 1024 x 576 */
    frame.par_n = 64;
    frame.par_d = 45;
    /* 455 x 256; 115.5 and 16 */
    assert_geometry(&frame, &pp, (double[]){116 * 720 / 455., 36, 224 * 720 / 455., 504}, (int[]){0, 0, 224, 224});
    /* shown 853.3 x 480: in floating point 288 lines are a little less than 512 wide */
    frame.height = 480;
    frame.par_n = 32;
    frame.par_d = 27;
    pp.width = pp.height = 288;
    pp.crop_fraction = 1;
    assert_geometry(&frame, &pp, (double[]){157.5, 0, 405, 480}, (int[]){0, 0, 288, 288});
    frame.height = 576;
    frame.par_n = 64;
    frame.par_d = 45;
    pp.width = pp.height = 224;
    pp.resize_mode = GPUDL_RESIZE_LETTERBOX;
    assert_geometry(&frame, &pp, (double[]){0, 0, 720, 576}, (int[]){0, 49, 224, 126});
    /* the crop rectangle takes the frame's place */
    frame.crop_x = 100;
    frame.crop_y = 50;
    frame.crop_width = 90;
    frame.crop_height = 128;
    assert_geometry(&frame, &pp, (double[]){100, 50, 90, 128}, (int[]){0, 0, 224, 224});
    /* a line stays visible */
    frame.crop_width = 720;
    frame.crop_height = 1;
    frame.crop_x = 0;
    for (int border = 0; border < 2; border++) {
        pp.resize_mode = border ? GPUDL_RESIZE_BORDER : GPUDL_RESIZE_LETTERBOX;
        assert_geometry(&frame, &pp, (double[]){0, 50, 720, 1}, (int[]){0, 111, 224, 1});
    }
    pp.width = 0;
    g_assert_cmpint(gpudl_preproc_geometry(&frame, &pp, &g), ==, -1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kernels/geometry/modes", test_modes);
    g_test_add_func("/kernels/geometry/frames", test_frames);
    return g_test_run();
}
