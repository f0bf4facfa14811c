/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference of pre-processing against cases worked by hand and against Pillow's filters. */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "kernels/preproc_parts.h"
#include "tests/kernels/data/preproc_golden.h"
#include "tests/kernels/preproc_hand.h"

static GpudlPreproc plain(int width, int height, GpudlScaleMethod method)
{
    return (GpudlPreproc){.width = width,
                          .height = height,
                          .channels = 3,
                          .channel_order = GPUDL_CHANNELS_RGB,
                          .resize_mode = GPUDL_RESIZE_STRETCH,
                          .scale_method = method,
                          .crop_fraction = 1.f,
                          .pixel_scale = 1.f,
                          .std = {1.f, 1.f, 1.f}};
}

static void test_layout(void)
{
    static const struct {
        GpudlPixelFormat format;
        const char *name;
        int planes, bytes[3], rows[3];
    } cases[] = {
        {GPUDL_PIXEL_NV12, "NV12", 2, {5, 6}, {3, 2}},
        {GPUDL_PIXEL_NV21, "NV21", 2, {5, 6}, {3, 2}},
        {GPUDL_PIXEL_I420, "I420", 3, {5, 3, 3}, {3, 2, 2}},
        {GPUDL_PIXEL_YV12, "YV12", 3, {5, 3, 3}, {3, 2, 2}},
        {GPUDL_PIXEL_Y42B, "Y42B", 3, {5, 3, 3}, {3, 3, 3}},
        {GPUDL_PIXEL_Y444, "Y444", 3, {5, 5, 5}, {3, 3, 3}},
        {GPUDL_PIXEL_YUY2, "YUY2", 1, {12}, {3}},
        {GPUDL_PIXEL_UYVY, "UYVY", 1, {12}, {3}},
        {GPUDL_PIXEL_RGB, "RGB", 1, {15}, {3}},
        {GPUDL_PIXEL_XBGR, "xBGR", 1, {20}, {3}},
        {GPUDL_PIXEL_RGBX, "RGBx", 1, {20}, {3}},
        {GPUDL_PIXEL_RGBP, "RGBP", 3, {5, 5, 5}, {3, 3, 3}},
        {GPUDL_PIXEL_GBR, "GBR", 3, {5, 5, 5}, {3, 3, 3}},
        {GPUDL_PIXEL_GRAY8, "GRAY8", 1, {5}, {3}},
        {GPUDL_PIXEL_P010_10LE, "P010_10LE", 2, {10, 12}, {3, 2}},
        {GPUDL_PIXEL_I420_10LE, "I420_10LE", 3, {10, 6, 6}, {3, 2, 2}},
    };
    int32_t bytes[4], rows[4];

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpstr(gpudl_pixel_format_name(cases[i].format), ==, cases[i].name);
        g_assert_cmpint(gpudl_pixel_format_layout(cases[i].format, 5, 3, bytes, rows), ==, cases[i].planes);
        for (int p = 0; p < cases[i].planes; p++) {
            g_assert_cmpint(bytes[p], ==, cases[i].bytes[p]);
            g_assert_cmpint(rows[p], ==, cases[i].rows[p]);
        }
    }
    g_assert_null(gpudl_pixel_format_name(GPUDL_PIXEL_UNKNOWN));
    g_assert_null(gpudl_pixel_format_name(GPUDL_PIXEL_LAST + 1));
    g_assert_cmpint(gpudl_pixel_format_layout(GPUDL_PIXEL_UNKNOWN, 5, 3, bytes, rows), ==, 0);
    g_assert_cmpint(gpudl_pixel_format_layout(GPUDL_PIXEL_RGB, 0, 3, bytes, rows), ==, 0);
}

static void test_filters(void)
{
    static const guint8 row[4] = {10, 50, 90, 250};
    GpudlFrame frame = packed(GPUDL_PIXEL_GRAY8, row, 4, 1, 4);
    GpudlPreproc pp = plain(2, 1, GPUDL_SCALE_NEAREST);

    pp.channels = 1;
    pp.channel_order = GPUDL_CHANNELS_GRAY;
    /* centres 1 and 3 fall into pixels 1 and 3 */
    assert_values(&frame, &pp, (double[]){50, 250}, 2);
    pp.scale_method = GPUDL_SCALE_AREA;
    assert_values(&frame, &pp, (double[]){30, 170}, 2);
    /* triangle of support 2 round 1: pixels at distance .5 .5 1.5 weigh .75 .75 .25, the one before is not there */
    pp.scale_method = GPUDL_SCALE_BILINEAR;
    assert_values(&frame, &pp, (double[]){(.75 * 60 + .25 * 90) / 1.75, (.25 * 50 + .75 * 340) / 1.75}, 2);
    /* growing: destination 1 of 8 lies at .75, between the centres .5 and 1.5 */
    pp.width = 8;
    assert_values(&frame, &pp, (double[]){10, 20, 40, 60, 80, 130, 210, 250}, 8);
    pp.scale_method = GPUDL_SCALE_NEAREST;
    assert_values(&frame, &pp, (double[]){10, 10, 50, 50, 90, 90, 250, 250}, 8);
    /* Keys at distances 1.25 .25 .75 1.75: -.0703125 .8671875 .2265625 -.0234375 */
    pp.scale_method = GPUDL_SCALE_BICUBIC;
    pp.width = 8;
    {
        float got[8];

        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        g_assert_cmpfloat_with_epsilon(got[3], .2265625 * 90 + .8671875 * 50 - .0703125 * 10 - .0234375 * 250, 1e-4);
    }
}

static void test_crop_hides_the_rest(void)
{
    static const guint8 row[6] = {255, 255, 40, 60, 255, 255};
    GpudlFrame frame = packed(GPUDL_PIXEL_GRAY8, row, 6, 1, 6);
    GpudlPreproc pp = plain(4, 1, GPUDL_SCALE_BILINEAR);

    pp.channels = 1;
    pp.channel_order = GPUDL_CHANNELS_GRAY;
    frame.crop_x = 2;
    frame.crop_width = 2;
    frame.crop_height = 1;
    assert_values(&frame, &pp, (double[]){40, 45, 55, 60}, 4);
}

static void test_chroma_site(void)
{
    static const guint8 y[8] = {100, 100, 100, 100, 100, 100, 100, 100}, cb[2] = {128, 128}, cr[2] = {128, 168};
    GpudlFrame frame = {.format = GPUDL_PIXEL_I420,
                        .width = 4,
                        .height = 2,
                        .planes = {y, cb, cr},
                        .strides = {4, 2, 2},
                        .range = GPUDL_RANGE_FULL,
                        .chroma_site = GPUDL_CHROMA_H_COSITED};
    GpudlPreproc pp = plain(4, 1, GPUDL_SCALE_BILINEAR);
    float got[12];

    /* on the first of the pair: Cr 0 at pixel 0, half at 1, 40 at 2 and, nothing being beyond, at 3 */
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
    for (int i = 0; i < 4; i++)
        g_assert_cmpfloat_with_epsilon(got[i], 100 + 1.402 * ((double[]){0, 20, 40, 40})[i], 1e-3);
    frame.chroma_site = GPUDL_CHROMA_CENTERED;
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
    for (int i = 0; i < 4; i++)
        g_assert_cmpfloat_with_epsilon(got[i], 100 + 1.402 * ((double[]){0, 10, 30, 40})[i], 1e-3);
    /* pixels 1 and 2: both chroma samples cover them */
    frame.crop_x = 1;
    frame.crop_width = 2;
    frame.crop_height = 2;
    pp.width = 2;
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
    g_assert_cmpfloat_with_epsilon(got[0], 100 + 1.402 * 10, 1e-3);
    g_assert_cmpfloat_with_epsilon(got[1], 100 + 1.402 * 30, 1e-3);
    /* pixels 2 and 3: only the second does */
    frame.crop_x = 2;
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
    g_assert_cmpfloat_with_epsilon(got[0], 100 + 1.402 * 40, 1e-3);
}

static void test_matrices(void)
{
    /* YCbCr of red, green, blue, white, black by the definition of each standard, in limited range, and back */
    static const double weights[][2] = {{.299, .114}, {.2126, .0722}, {.2627, .0593}, {.30, .11}, {.212, .087}};
    static const double colors[][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}, {0, 0, 0}, {.2, .6, .4}};

    for (int m = 0; m <= GPUDL_MATRIX_LAST; m++) {
        for (int range = 0; range < 2; range++) {
            for (gsize i = 0; i < G_N_ELEMENTS(colors); i++) {
                double r = colors[i][0], g = colors[i][1], b = colors[i][2];
                double luma = weights[m][0] * r + (1 - weights[m][0] - weights[m][1]) * g + weights[m][1] * b;
                double cb = (b - luma) / (2 - 2 * weights[m][1]), cr = (r - luma) / (2 - 2 * weights[m][0]);
                guint8 yuv[3] = {(guint8)lround(range ? 255 * luma : 16 + 219 * luma),
                                 (guint8)lround(fmin(128 + (range ? 255 : 224) * cb, 255)),
                                 (guint8)lround(fmin(128 + (range ? 255 : 224) * cr, 255))};
                GpudlFrame frame = {.format = GPUDL_PIXEL_Y444,
                                    .width = 1,
                                    .height = 1,
                                    .planes = {&yuv[0], &yuv[1], &yuv[2]},
                                    .strides = {1, 1, 1},
                                    .matrix = m,
                                    .range = range};
                GpudlPreproc pp = plain(1, 1, GPUDL_SCALE_BILINEAR);
                float got[3];

                g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
                for (int c = 0; c < 3; c++) /* three roundings to bytes, times 255/219 and 2 (1 - Kb) */
                    g_assert_cmpfloat_with_epsilon(got[c], 255 * colors[i][c], 2.0);
                pp.channels = 1;
                pp.channel_order = GPUDL_CHANNELS_GRAY;
                g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
                g_assert_cmpfloat_with_epsilon(got[0], 255 * luma, 0.6);
            }
        }
    }
}

static void test_every_packing_gives_the_same_color(void)
{
    static const struct {
        GpudlPixelFormat format;
        guint8 bytes[4];
    } cases[] = {
        {GPUDL_PIXEL_RGB, {10, 20, 30}},     {GPUDL_PIXEL_BGR, {30, 20, 10}},     {GPUDL_PIXEL_RGBA, {10, 20, 30, 9}},
        {GPUDL_PIXEL_BGRA, {30, 20, 10, 9}}, {GPUDL_PIXEL_ARGB, {9, 10, 20, 30}}, {GPUDL_PIXEL_ABGR, {9, 30, 20, 10}},
        {GPUDL_PIXEL_RGBX, {10, 20, 30, 9}}, {GPUDL_PIXEL_BGRX, {30, 20, 10, 9}}, {GPUDL_PIXEL_XRGB, {9, 10, 20, 30}},
        {GPUDL_PIXEL_XBGR, {9, 30, 20, 10}}, {GPUDL_PIXEL_RGBP, {10, 20, 30}},    {GPUDL_PIXEL_BGRP, {30, 20, 10}},
        {GPUDL_PIXEL_GBR, {20, 30, 10}},
    };
    GpudlPreproc pp = plain(1, 1, GPUDL_SCALE_BILINEAR);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        GpudlFrame frame = packed(cases[i].format, cases[i].bytes, 1, 1, 4);

        for (int p = 1; p < 3; p++)
            frame.planes[p] = cases[i].bytes + p;
        assert_values(&frame, &pp, (double[]){10, 20, 30}, 3);
        pp.channel_order = GPUDL_CHANNELS_BGR;
        assert_values(&frame, &pp, (double[]){30, 20, 10}, 3);
        pp.channels = 1;
        pp.channel_order = GPUDL_CHANNELS_GRAY;
        assert_values(&frame, &pp, (double[]){.299 * 10 + .587 * 20 + .114 * 30}, 1);
        pp = plain(1, 1, GPUDL_SCALE_BILINEAR);
    }
    {
        /* two pixels of one chroma pair each, in limited range: luma 126 and 235, colourless */
        static const guint8 yuy2[4] = {126, 128, 235, 128}, uyvy[4] = {128, 126, 128, 235};
        static const guint8 y[2] = {126, 235}, c[2] = {128, 128};
        double a = (126 - 16) * 255.0 / 219;
        const double expected[6] = {a, 255, a, 255, a, 255};
        GpudlFrame frame = packed(GPUDL_PIXEL_YUY2, yuy2, 2, 1, 4);

        pp.width = 2;
        frame.range = GPUDL_RANGE_LIMITED;
        assert_values(&frame, &pp, expected, 6);
        frame.format = GPUDL_PIXEL_UYVY;
        frame.planes[0] = uyvy;
        assert_values(&frame, &pp, expected, 6);
        frame.planes[0] = y;
        frame.planes[1] = frame.planes[2] = c;
        for (GpudlPixelFormat f = GPUDL_PIXEL_NV12; f <= GPUDL_PIXEL_Y444; f++) {
            frame.format = f;
            frame.strides[1] = frame.strides[2] = 2;
            assert_values(&frame, &pp, expected, 6);
        }
    }
}

static void test_chroma_planes_have_their_names(void)
{
    /* Cb 128, Cr 228 at full range: red far above, blue not */
    static const guint8 y = 100, cb = 128, cr = 228, uv[2] = {128, 228}, vu[2] = {228, 128};
    GpudlPreproc pp = plain(1, 1, GPUDL_SCALE_BILINEAR);
    const double expected[3] = {100 + 140.2, 100 - 100 * 2 * .299 * .701 / .587, 100};
    GpudlFrame frame = {.width = 1,
                        .height = 1,
                        .planes = {&y, &cb, &cr},
                        .strides = {1, 2, 2},
                        .range = GPUDL_RANGE_FULL,
                        .format = GPUDL_PIXEL_I420};

    assert_values(&frame, &pp, expected, 3);
    frame.format = GPUDL_PIXEL_YV12;
    frame.planes[1] = &cr;
    frame.planes[2] = &cb;
    assert_values(&frame, &pp, expected, 3);
    frame.format = GPUDL_PIXEL_NV12;
    frame.planes[1] = uv;
    assert_values(&frame, &pp, expected, 3);
    frame.format = GPUDL_PIXEL_NV21;
    frame.planes[1] = vu;
    assert_values(&frame, &pp, expected, 3);
}

/* ---- ten bits ---------------------------------------------------------------------------------------------------- */

/* A frame of ten bits and its twin of eight, 4:2:0, with addresses and strides that words are not aligned to. */
typedef struct {
    guint16 samples[3][12 * 8]; /* of ten bits; chroma uses 6 x 4 of each plane */
    guint8 words[3][4096], bytes[3][256];
    GpudlFrame deep, twin;
} TenBits;

static void ten_bits_init(TenBits *t, GpudlPixelFormat format, int junk)
{
    const gboolean p010 = format == GPUDL_PIXEL_P010_10LE;

    t->deep = (GpudlFrame){.format = format, .width = 12, .height = 8};
    t->twin = (GpudlFrame){.format = GPUDL_PIXEL_I420, .width = 12, .height = 8, .strides = {12, 6, 6}};
    for (int c = 0; c < 3; c++) {
        const int width = c == 0 ? 12 : 6, height = c == 0 ? 8 : 4, plane = p010 && c > 0 ? 1 : c;
        const int step = p010 && c > 0 ? 4 : 2, stride = 2 * 12 + 3;

        t->deep.planes[plane] = t->words[plane] + 1;
        t->deep.strides[plane] = stride;
        t->twin.planes[c] = t->bytes[c];
        for (int i = 0; i < width * height; i++) {
            const int sample = t->samples[c][i];
            const int word = p010 ? sample << 6 | (junk & 0x3f) : sample | (junk & 0x3f) << 10;
            guint8 *at = t->words[plane] + 1 + i / width * stride + i % width * step + (p010 && c == 2 ? 2 : 0);

            at[0] = (guint8)(word & 0xff);
            at[1] = (guint8)(word >> 8);
            t->bytes[c][i] = (guint8)MIN((sample + 2) / 4, 255);
        }
    }
}

/* The standards' own words: quantisation undone, then the matrix. */
static void by_the_standard(const double ycc[3], int matrix, int full, double rgb[3])
{
    static const double weights[][2] = {{.299, .114}, {.2126, .0722}, {.2627, .0593}, {.30, .11}, {.212, .087}};
    const double kr = weights[matrix][0], kb = weights[matrix][1];
    const double y = full ? ycc[0] / 1023 : (ycc[0] - 64) / 876;
    const double cb = (ycc[1] - 512) / (full ? 1023 : 896), cr = (ycc[2] - 512) / (full ? 1023 : 896);

    rgb[0] = y + 2 * (1 - kr) * cr;
    rgb[2] = y + 2 * (1 - kb) * cb;
    rgb[1] = (y - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
    for (int c = 0; c < 3; c++)
        rgb[c] = 255 * CLAMP(rgb[c], 0, 1);
}

/* Every code of luma and chroma, in pixels of their own, whatever the bits beside them are. */
static void test_ten_bits_are_the_standards(void)
{
    enum { KINDS = 2 * 2 * (GPUDL_MATRIX_LAST + 1) };
    GpudlPreproc pp = plain(12, 8, GPUDL_SCALE_NEAREST);
    guint8 seen[KINDS][3][1024] = {{{0}}};

    for (int round = 0; round < KINDS * 48; round++) {
        const GpudlPixelFormat format = round % 2 ? GPUDL_PIXEL_P010_10LE : GPUDL_PIXEL_I420_10LE;
        const int full = round / 2 % 2, matrix = round / 4 % (GPUDL_MATRIX_LAST + 1), from = round / KINDS;
        float got[3 * 12 * 8];
        TenBits t;

        for (int i = 0; i < 12 * 8; i++)
            t.samples[0][i] = (guint16)((from * 64 + 11 * i) % 1024);
        for (int i = 0; i < 6 * 4; i++) {
            const int k = i + from / 16 * 6 * 4; /* 16 rounds of each code's upper bits, 3 for all lower ones */

            t.samples[1][i] = (guint16)((from * 64 + 43 * k + 7) % 1024);
            t.samples[2][i] = (guint16)((from * 64 + 101 * k + 500) % 1024);
        }
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < (c == 0 ? 12 * 8 : 6 * 4); i++)
                seen[round % KINDS][c][t.samples[c][i]] = 1;
        ten_bits_init(&t, format, 0x15 * round);
        t.deep.matrix = matrix;
        t.deep.range = full;
        g_assert_cmpint(gpudl_preproc_ref(&t.deep, &pp, got), ==, 0);
        for (int i = 0; i < 12 * 8; i++) {
            const int chroma = i / 24 * 6 + i % 12 / 2;
            double rgb[3];

            by_the_standard((double[]){t.samples[0][i], t.samples[1][chroma], t.samples[2][chroma]}, matrix, full, rgb);
            for (int c = 0; c < 3; c++) /* one rounding to float32 */
                g_assert_cmpfloat_with_epsilon(got[c * 96 + i], rgb[c], 2e-5);
        }
    }
    g_assert_null(memchr(seen, 0, sizeof seen));
    pp.channels = 1;
    pp.channel_order = GPUDL_CHANNELS_GRAY;
    for (int full = 0; full < 2; full++) {
        float got[12 * 8];
        TenBits t = {0};

        for (int i = 0; i < 12 * 8; i++)
            t.samples[0][i] = (guint16)(i * 1023 / 95);
        ten_bits_init(&t, GPUDL_PIXEL_P010_10LE, 0);
        t.deep.range = full;
        g_assert_cmpint(gpudl_preproc_ref(&t.deep, &pp, got), ==, 0);
        for (int i = 0; i < 12 * 8; i++)
            g_assert_cmpfloat_with_epsilon(
                got[i], CLAMP(full ? 255 * t.samples[0][i] / 1023. : 255 * (t.samples[0][i] - 64) / 876., 0, 255),
                2e-5);
    }
}

/* What is rounded to eight bits differs by half a step of each component, and not at all where nothing was rounded. */
static void test_ten_bits_and_their_twin_of_eight(void)
{
    for (int round = 0; round < 2 * 2 * 2 * 4; round++) {
        const GpudlPixelFormat format = round % 2 ? GPUDL_PIXEL_P010_10LE : GPUDL_PIXEL_I420_10LE;
        const gboolean rounded = round / 2 % 2, full = round / 4 % 2;
        GpudlPreproc pp = plain(5, 7,
                                (GpudlScaleMethod[]){GPUDL_SCALE_NEAREST, GPUDL_SCALE_BILINEAR, GPUDL_SCALE_AREA,
                                                     GPUDL_SCALE_BILINEAR}[round / 8]);
        const double gain = full ? 1 : 255. / 219, chroma_gain = full ? 1 : 255. / 224;
        float deep[3 * 5 * 7], twin[3 * 5 * 7];
        guint32 state = 99;
        TenBits t;

        for (int c = 0; c < 3; c++)
            for (int i = 0; i < 12 * 8; i++) {
                state = state * 1664525u + 1013904223u;
                t.samples[c][i] = (guint16)(c == 0 ? 200 + (state >> 23) % 600 : 462 + (state >> 23) % 100);
                if (!rounded)
                    t.samples[c][i] &= ~3;
            }
        ten_bits_init(&t, format, 0);
        t.deep.range = t.twin.range = full;
        t.deep.chroma_site = t.twin.chroma_site = GPUDL_CHROMA_H_COSITED;
        g_assert_cmpint(gpudl_preproc_ref(&t.deep, &pp, deep), ==, 0);
        g_assert_cmpint(gpudl_preproc_ref(&t.twin, &pp, twin), ==, 0);
        for (int i = 0; i < 5 * 7; i++) {
            static const double by_chroma[3] = {1.402, 0.344136 + 0.714136, 1.772};

            for (int c = 0; c < 3; c++) {
                double bound = 1e-4;

                if (rounded)
                    bound += .5 * gain + .5 * chroma_gain * by_chroma[c];
                if (full) /* 4 x 255 is not 1023: luma up to 800, chroma up to 50 from its zero */
                    bound += (800 + 50 * by_chroma[c]) * (1. / 4 - 255. / 1023);
                g_assert_cmpfloat(fabs(deep[c * 35 + i] - twin[c * 35 + i]), <=, bound);
            }
        }
    }
}

static void test_normalisation_and_padding(void)
{
    static const guint8 pixels[6] = {51, 102, 153, 51, 102, 153};
    GpudlFrame frame = packed(GPUDL_PIXEL_RGB, pixels, 2, 1, 6);
    GpudlPreproc pp = plain(2, 3, GPUDL_SCALE_BILINEAR);

    pp.resize_mode = GPUDL_RESIZE_LETTERBOX;
    pp.pad_color = 0xff8000;
    pp.channel_order = GPUDL_CHANNELS_BGR;
    pp.pixel_scale = 255.f;
    pp.mean[0] = .1f; /* of blue */
    pp.mean[1] = .2f;
    pp.mean[2] = .3f;
    pp.std[0] = .5f;
    pp.std[1] = .25f;
    pp.std[2] = 2.f;
    {
        double b = (.6 - .1) / .5, g = (.4 - .2) / .25, r = (.2 - .3) / 2;
        double pb = -.1 / .5, pg = (128 / 255. - .2) / .25, pr = (1 - .3) / 2;

        assert_values(&frame, &pp, (double[]){pb, pb, b, b, pb, pb, pg, pg, g, g, pg, pg, pr, pr, r, r, pr, pr}, 18);
    }
}

static void test_refuses(void)
{
    static const guint8 pixels[64] = {0};
    GpudlFrame good = packed(GPUDL_PIXEL_RGB, pixels, 4, 4, 12), frame;
    GpudlPreproc fine = plain(2, 2, GPUDL_SCALE_BILINEAR), pp;
    float dst[12] = {7};

    g_assert_null(gpudl_preproc_fault(&good, &fine));
#define REFUSED(what, field, value)                                                                                    \
    frame = good;                                                                                                      \
    pp = fine;                                                                                                         \
    what.field = value;                                                                                                \
    g_assert_nonnull(gpudl_preproc_fault(&frame, &pp));                                                                \
    g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, dst), ==, -1);
    REFUSED(frame, format, GPUDL_PIXEL_UNKNOWN)
    REFUSED(frame, format, GPUDL_PIXEL_LAST + 1)
    REFUSED(frame, memory, GPUDL_MEMORY_CUDA)
    REFUSED(frame, width, 0)
    REFUSED(frame, height, -1)
    REFUSED(frame, planes[0], NULL)
    REFUSED(frame, strides[0], 11)
    REFUSED(frame, matrix, GPUDL_MATRIX_LAST + 1)
    REFUSED(frame, crop_width, 5)
    REFUSED(frame, par_n, -1)
    REFUSED(pp, channels, 2)
    REFUSED(pp, channel_order, GPUDL_CHANNELS_GRAY)
    REFUSED(pp, resize_mode, GPUDL_RESIZE_AUTO)
    REFUSED(pp, scale_method, GPUDL_SCALE_AUTO)
    REFUSED(pp, scale_method, GPUDL_SCALE_LAST + 1)
    REFUSED(pp, std[2], 0.f)
    REFUSED(pp, pixel_scale, 0.f)
    REFUSED(pp, mean[1], NAN)
    g_assert_cmpfloat(dst[0], ==, 7.f);
}

static void test_pillow(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(golden_cases); i++) {
        const GoldenCase *c = &golden_cases[i];
        g_autofree guint8 *pixels = g_malloc((gsize)c->width * c->height * 3);
        g_autofree float *got = g_new(float, (gsize)c->dst_width * c->dst_height * 3);
        GpudlFrame frame = packed(GPUDL_PIXEL_RGB, pixels, c->width, c->height, 3 * c->width);
        GpudlPreproc pp = plain(c->dst_width, c->dst_height, c->method);
        guint32 state = 12345;

        for (int k = 0; k < c->width * c->height * 3; k++) {
            state = state * 1664525u + 1013904223u;
            pixels[k] = 64 + (state >> 25);
        }
        frame.crop_x = c->crop_x;
        frame.crop_y = c->crop_y;
        frame.crop_width = c->crop_width;
        frame.crop_height = c->crop_height;
        pp.resize_mode = c->mode;
        pp.crop_fraction = c->crop_fraction;
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        for (int k = 0; k < c->dst_width * c->dst_height * 3; k++) {
            double exact = CLAMP(golden_exact[c->first + k], 0.f, 255.f);

            if (!(fabs(got[k] - exact) <= 1e-3)) /* Pillow's mode F keeps float32 between its two passes */
                g_error("case %zu, value %d: found %.5f, Pillow %.5f", i, k, got[k], exact);
            /* Pillow rounds to bytes after each of its two passes; the picture keeps clear of its clamping there */
            if (!(fabs(got[k] - golden_integer[c->first + k]) <= 1.5))
                g_error("case %zu, value %d: found %.5f, Pillow in bytes %d", i, k, got[k],
                        golden_integer[c->first + k]);
        }
    }
}

/* Where Pillow clamps between its passes, with the frames that Pillow has: packed and planar, R, G, B and grey. */
static void test_pillow_in_bytes(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(golden_bytes_cases); i++) {
        const GoldenCase *c = &golden_bytes_cases[i];
        const gsize size = (gsize)c->width * c->height, n = (gsize)c->dst_width * c->dst_height;
        g_autofree guint8 *pixels = g_malloc(size * 3), *planes = g_malloc(size * 3);
        g_autofree float *got = g_new(float, n * 3);
        GpudlFrame frame = packed(GPUDL_PIXEL_RGB, pixels, c->width, c->height, 3 * c->width);
        GpudlPreproc pp = plain(c->dst_width, c->dst_height, c->method);
        guint32 state = 12345;

        for (gsize k = 0; k < size * 3; k++) {
            guint32 raw;

            state = state * 1664525u + 1013904223u;
            raw = state >> 25;
            pixels[k] = (guint8)(raw < 16 ? 8 * raw : raw % 2 ? 255 : 0);
            planes[k % 3 * size + k / 3] = pixels[k];
        }
        frame.crop_x = c->crop_x;
        frame.crop_y = c->crop_y;
        frame.crop_width = c->crop_width;
        frame.crop_height = c->crop_height;
        pp.resize_mode = c->mode;
        pp.crop_fraction = c->crop_fraction;
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        for (gsize k = 0; k < 3 * n; k++)
            if (got[k] != golden_bytes[c->first + k])
                g_error("case %zu, value %zu: found %.5f, Pillow %d", i, k, got[k], golden_bytes[c->first + k]);
        for (int k = 0; k < 3; k++) {
            frame.planes[k] = planes + k * size;
            frame.strides[k] = c->width;
        }
        frame.format = GPUDL_PIXEL_RGBP;
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        for (gsize k = 0; k < 3 * n; k++)
            g_assert_cmpfloat(got[k], ==, golden_bytes[c->first + k]);
        frame.format = GPUDL_PIXEL_GRAY8;
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, got), ==, 0);
        for (gsize k = 0; k < 3 * n; k++)
            g_assert_cmpfloat(got[k], ==, golden_bytes[c->first + k % n]);
    }
}

/* Of YCbCr it is bicubic. */
static void test_bytes_of_ycbcr(void)
{
    for (GpudlPixelFormat format = GPUDL_PIXEL_NV12; format <= GPUDL_PIXEL_LAST; format++) {
        const GpudlPixelLayout *layout = gpudl_pixel_layout(format);
        guint8 pixels[3][12 * 4 * 8];
        GpudlFrame frame = {.format = format, .width = 12, .height = 8};
        GpudlPreproc pp = plain(5, 11, GPUDL_SCALE_BICUBIC_BYTES);
        float bytes[3 * 5 * 11], exact[3 * 5 * 11];

        for (int p = 0; p < 3; p++) {
            for (gsize k = 0; k < sizeof pixels[p]; k++)
                pixels[p][k] = (guint8)(k * k % 7 > 3 ? 255 : 0);
            frame.planes[p] = pixels[p];
            frame.strides[p] = 12 * 4;
        }
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, bytes), ==, 0);
        pp.scale_method = GPUDL_SCALE_BICUBIC;
        g_assert_cmpint(gpudl_preproc_ref(&frame, &pp, exact), ==, 0);
        g_assert_cmpint(memcmp(bytes, exact, sizeof bytes) == 0, ==, layout->model == GPUDL_MODEL_YCBCR);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kernels/preproc/layout", test_layout);
    g_test_add_func("/kernels/preproc/filters", test_filters);
    g_test_add_func("/kernels/preproc/crop-hides-the-rest", test_crop_hides_the_rest);
    g_test_add_func("/kernels/preproc/chroma-site", test_chroma_site);
    g_test_add_func("/kernels/preproc/matrices", test_matrices);
    g_test_add_func("/kernels/preproc/every-packing-gives-the-same-color", test_every_packing_gives_the_same_color);
    g_test_add_func("/kernels/preproc/chroma-planes-have-their-names", test_chroma_planes_have_their_names);
    g_test_add_func("/kernels/preproc/ten-bits-are-the-standards", test_ten_bits_are_the_standards);
    g_test_add_func("/kernels/preproc/ten-bits-and-their-twin-of-eight", test_ten_bits_and_their_twin_of_eight);
    g_test_add_func("/kernels/preproc/normalisation-and-padding", test_normalisation_and_padding);
    g_test_add_func("/kernels/preproc/refuses", test_refuses);
    g_test_add_func("/kernels/preproc/pillow", test_pillow);
    g_test_add_func("/kernels/preproc/pillow-in-bytes", test_pillow_in_bytes);
    g_test_add_func("/kernels/preproc/bytes-of-ycbcr", test_bytes_of_ycbcr);
    return g_test_run();
}
