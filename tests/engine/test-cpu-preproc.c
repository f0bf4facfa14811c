/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every instruction set's pre-processing against the reference, on frames that end where readable memory ends. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <glib.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/cpu/preproc.h"
#include "kernels/half.h"

/* Of 255. Weights carry at least 14 bits, sums are exact, columns are float32: far below the 1 that is promised. */
#define BOUND 0.1
#define GUARD 64
#define GUARD_VALUE 12345.f

/* A plane whose last byte lies before a page that can't be touched. */
typedef struct {
    guint8 *map, *data;
    gsize map_size;
} Plane;

typedef struct {
    GpudlFrame frame;
    GpudlPreproc pp;
    Plane planes[3];
} Case;

static void plane_init(Plane *plane, gsize bytes, GRand *rand, int pattern)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE);

    plane->map_size = (bytes + page - 1) / page * page + page;
    plane->map = mmap(NULL, plane->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(plane->map != MAP_FAILED);
    plane->data = plane->map + plane->map_size - page - bytes;
    for (gsize i = 0; i < bytes; i++) /* noise, extremes alternating by chance, and all white */
        plane->data[i] = pattern == 0 ? g_rand_int(rand) : pattern == 1 ? (g_rand_boolean(rand) ? 255 : 0) : 255;
    g_assert_cmpint(mprotect(plane->map + plane->map_size - page, page, PROT_NONE), ==, 0);
}

static int random_side(GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 10)) {
    case 0:
        return 1;
    case 1:
        return g_rand_int_range(rand, 2, 5);
    case 2:
        return g_rand_int_range(rand, 100, 400);
    default:
        return g_rand_int_range(rand, 1, 90);
    }
}

static void make_planes(Case *c, GRand *rand, int pattern)
{
    GpudlFrame *f = &c->frame;
    gint32 row_bytes[4], rows[4];
    int n = gpudl_pixel_format_layout(f->format, f->width, f->height, row_bytes, rows);

    for (int p = 0; p < n; p++) {
        f->strides[p] = row_bytes[p] + (g_rand_boolean(rand) ? g_rand_int_range(rand, 0, 70) : 0);
        plane_init(&c->planes[p], (gsize)f->strides[p] * (rows[p] - 1) + row_bytes[p], rand, pattern);
        f->planes[p] = c->planes[p].data;
    }
}

static void case_init(Case *c, GRand *rand)
{
    GpudlFrame *f = &c->frame;
    GpudlPreproc *pp = &c->pp;
    int pattern = g_rand_int_range(rand, 0, 10) / 4;

    memset(c, 0, sizeof *c);
    f->format = g_rand_int_range(rand, 1, GPUDL_PIXEL_LAST + 1);
    f->width = g_rand_int_range(rand, 0, 40) == 0 ? g_rand_int_range(rand, 1000, 4097) : random_side(rand);
    f->height = random_side(rand);
    f->matrix = g_rand_int_range(rand, 0, GPUDL_MATRIX_LAST + 1);
    f->range = g_rand_int_range(rand, 0, 2);
    f->chroma_site = g_rand_int_range(rand, 0, 4);
    if (g_rand_boolean(rand)) {
        f->par_n = g_rand_int_range(rand, 1, 5);
        f->par_d = g_rand_int_range(rand, 1, 5);
    }
    if (g_rand_boolean(rand)) {
        f->crop_width = g_rand_int_range(rand, 1, f->width + 1);
        f->crop_height = g_rand_int_range(rand, 1, f->height + 1);
        f->crop_x = g_rand_int_range(rand, 0, f->width - f->crop_width + 1);
        f->crop_y = g_rand_int_range(rand, 0, f->height - f->crop_height + 1);
    }
    make_planes(c, rand, pattern);
    pp->width = g_rand_int_range(rand, 1, 70);
    pp->height = g_rand_int_range(rand, 1, 40);
    pp->channel_order = g_rand_int_range(rand, GPUDL_CHANNELS_RGB, GPUDL_CHANNELS_GRAY + 1);
    pp->channels = pp->channel_order == GPUDL_CHANNELS_GRAY ? 1 : 3;
    pp->resize_mode = g_rand_int_range(rand, GPUDL_RESIZE_STRETCH, GPUDL_RESIZE_LAST + 1);
    pp->scale_method = g_rand_int_range(rand, GPUDL_SCALE_NEAREST, GPUDL_SCALE_LAST + 1);
    pp->crop_fraction = (float)g_rand_double_range(rand, 0.3, 1.0);
    pp->pad_color = g_rand_int(rand) & 0xffffff;
    pp->pixel_scale = g_rand_boolean(rand) ? 255.f : 1.f;
    for (int i = 0; i < 3; i++) {
        pp->mean[i] = (float)g_rand_double_range(rand, -1, 1) * 255.f / pp->pixel_scale;
        pp->std[i] = (float)g_rand_double_range(rand, 0.2, 1) * 255.f / pp->pixel_scale;
    }
}

static void case_clear(Case *c)
{
    for (int p = 0; p < 3; p++)
        if (c->planes[p].map != NULL)
            munmap(c->planes[p].map, c->planes[p].map_size);
}

static gchar *case_text(const Case *c)
{
    const GpudlFrame *f = &c->frame;
    const GpudlPreproc *pp = &c->pp;

    return g_strdup_printf(
        "%s %dx%d strides %d %d %d crop %d,%d %dx%d matrix %d range %d site %d par %d/%d -> %dx%dx%d "
        "order %d mode %d method %d fraction %g",
        gpudl_pixel_format_name(f->format), f->width, f->height, f->strides[0], f->strides[1], f->strides[2], f->crop_x,
        f->crop_y, f->crop_width, f->crop_height, f->matrix, f->range, f->chroma_site, f->par_n, f->par_d, pp->channels,
        pp->height, pp->width, pp->channel_order, pp->resize_mode, pp->scale_method, pp->crop_fraction);
}

/* Returns the largest difference in units of a pixel's 255. */
static double compare(const Case *c, const float *got, const float *expected)
{
    gsize plane = (gsize)c->pp.width * c->pp.height, n = plane * c->pp.channels;
    double worst = 0;

    for (gsize i = 0; i < n; i++) {
        double difference = fabs(got[i] - expected[i]) * c->pp.pixel_scale * c->pp.std[i / plane];

        if (!(difference <= BOUND)) {
            g_autofree gchar *text = case_text(c);

            g_test_message("value %zu: found %.6f, reference %.6f (%.3f of 255): %s", i, got[i], expected[i],
                           difference, text);
            return INFINITY;
        }
        worst = MAX(worst, difference);
    }
    for (gsize i = 1; i <= GUARD; i++) {
        if (got[-(gssize)i] != GUARD_VALUE || got[n + i - 1] != GUARD_VALUE) {
            g_autofree gchar *text = case_text(c);

            g_test_message("wrote outside the destination: %s", text);
            return INFINITY;
        }
    }
    return worst;
}

/* The same rounded to bfloat16, of three channels. */
static gboolean narrow_equals(CpuPreproc *preproc, const Case *c, const float *interleaved)
{
    const gsize n = (gsize)c->pp.width * c->pp.height * 3;
    g_autofree guint16 *got = g_new(guint16, n + 1);

    got[n] = 0x5a5a;
    g_assert_null(cpu_preproc_run(preproc, &c->frame, &c->pp, CPU_PREPROC_INTERLEAVED_BF16, got));
    for (gsize i = 0; i < n; i++) {
        if (got[i] != gpudl_f32_to_bf16(interleaved[i])) {
            g_autofree gchar *text = case_text(c);

            g_test_message("value %zu of bfloat16: found %04x, expected %.6f rounded: %s", i, got[i], interleaved[i],
                           text);
            return FALSE;
        }
    }
    return got[n] == 0x5a5a;
}

/* The same bits with the channels interleaved, and nothing beside them. */
static gboolean interleaved_equals(CpuPreproc *preproc, const Case *c, const float *planar)
{
    gsize plane = (gsize)c->pp.width * c->pp.height, channels = (gsize)c->pp.channels;
    g_autofree float *got = g_new(float, plane *channels + 1);

    got[plane * channels] = GUARD_VALUE;
    g_assert_null(cpu_preproc_run(preproc, &c->frame, &c->pp, CPU_PREPROC_INTERLEAVED, got));
    for (gsize i = 0; i < plane * channels; i++) {
        if (got[i] != planar[i % channels * plane + i / channels]) {
            g_autofree gchar *text = case_text(c);

            g_test_message("interleaved value %zu: found %.6f, planar %.6f: %s", i, got[i],
                           planar[i % channels * plane + i / channels], text);
            return FALSE;
        }
    }
    return got[plane * channels] == GUARD_VALUE && (channels != 3 || narrow_equals(preproc, c, got));
}

/* One bit per pair of values of two dimensions; all must have been met. */
enum { D_FORMAT, D_MATRIX, D_RANGE, D_SITE, D_CROP, D_ORDER, D_MODE, D_METHOD, D_N };
static const int dimension_sizes[D_N] = {GPUDL_PIXEL_LAST, 5, 2, 4, 2, 3, 4, GPUDL_SCALE_LAST};

static void cover(GHashTable *seen, const Case *c)
{
    const int at[D_N] = {c->frame.format - 1,   c->frame.matrix,          c->frame.range,
                         c->frame.chroma_site,  c->frame.crop_width != 0, c->pp.channel_order - 1,
                         c->pp.resize_mode - 1, c->pp.scale_method - 1};

    for (int a = 0; a < D_N; a++)
        for (int b = a + 1; b < D_N; b++)
            g_hash_table_add(seen, GINT_TO_POINTER(1 + ((a * D_N + b) * 32 + at[a]) * 32 + at[b]));
}

static void test_against_reference(gconstpointer data)
{
    CpuPreprocIsa isa = GPOINTER_TO_INT(data);
    CpuPreproc *preproc = cpu_preproc_new(isa);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    guint pairs = 0;
    double worst = 0;

    if (preproc == NULL) {
        g_test_skip("this processor does not have it");
        g_rand_free(rand);
        return;
    }
    for (int a = 0; a < D_N; a++)
        for (int b = a + 1; b < D_N; b++)
            pairs += dimension_sizes[a] * dimension_sizes[b];
    for (int i = 0; i < 600 || g_hash_table_size(seen) < pairs; i++) {
        g_autofree float *got = NULL, *expected = NULL;
        double difference;
        const char *fault;
        gsize n;
        Case c;

        case_init(&c, rand);
        cover(seen, &c);
        n = (gsize)c.pp.channels * c.pp.width * c.pp.height;
        expected = g_new(float, n);
        got = g_new(float, n + 2 * GUARD);
        for (gsize k = 0; k < n + 2 * GUARD; k++)
            got[k] = GUARD_VALUE;
        g_assert_cmpint(gpudl_preproc_ref(&c.frame, &c.pp, expected), ==, 0);
        fault = cpu_preproc_run(preproc, &c.frame, &c.pp, CPU_PREPROC_PLANAR, got + GUARD);
        g_assert_cmpstr(fault, ==, NULL);
        difference = compare(&c, got + GUARD, expected);
        if (!interleaved_equals(preproc, &c, got + GUARD))
            difference = INFINITY;
        case_clear(&c);
        if (isinf(difference)) {
            g_test_fail();
            break;
        }
        worst = MAX(worst, difference);
    }
    g_test_message("largest difference %.4f of 255", worst);
    g_rand_free(rand);
    cpu_preproc_free(preproc);
}

/* The largest samples over windows of thousands of rows, whose fixed-point weights have the most bits. */
static void test_tall_windows(gconstpointer data)
{
    CpuPreproc *preproc = cpu_preproc_new(GPOINTER_TO_INT(data));
    GRand *rand = g_rand_new_with_seed(3);

    if (preproc == NULL)
        g_test_skip("this processor does not have it");
    for (int i = 0; preproc != NULL && i < GPUDL_PIXEL_LAST * 4; i++) {
        Case c = {.frame = {.format = (GpudlPixelFormat)(i / 4 + 1), .width = 70, .height = 3000 + i}};
        float got[GUARD + 3 * 4 * 2 + GUARD], expected[3 * 4 * 2];

        c.frame.range = GPUDL_RANGE_FULL;
        c.pp = (GpudlPreproc){.width = 4,
                              .height = 2,
                              .channels = 3,
                              .channel_order = GPUDL_CHANNELS_RGB,
                              .resize_mode = GPUDL_RESIZE_STRETCH,
                              .scale_method = (GpudlScaleMethod)(GPUDL_SCALE_BILINEAR + i % 4),
                              .pixel_scale = 1,
                              .std = {1, 1, 1}};
        make_planes(&c, rand, 2);
        for (guint k = 0; k < G_N_ELEMENTS(got); k++)
            got[k] = GUARD_VALUE;
        g_assert_cmpint(gpudl_preproc_ref(&c.frame, &c.pp, expected), ==, 0);
        g_assert_cmpstr(cpu_preproc_run(preproc, &c.frame, &c.pp, CPU_PREPROC_PLANAR, got + GUARD), ==, NULL);
        g_assert_cmpfloat(compare(&c, got + GUARD, expected), <, 1.0);
        case_clear(&c);
    }
    g_rand_free(rand);
    cpu_preproc_free(preproc);
}

/* More geometries in turn than tables are kept for, then a change of each part of the key alone. */
static void test_tables_follow_the_frame(void)
{
    CpuPreproc *preproc = cpu_preproc_new(cpu_preproc_best());
    GRand *rand = g_rand_new_with_seed(7);
    Case cases[11];
    float got[GUARD + 3 * 70 * 40 + GUARD], expected[3 * 70 * 40];

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        case_init(&cases[i], rand);
    for (guint i = 0; i < 200; i++) {
        Case *c = &cases[g_rand_int_range(rand, 0, G_N_ELEMENTS(cases))];

        switch (i % 5) {
        case 0:
            c->pp.mean[0] += 0.25f * 255.f / c->pp.pixel_scale;
            break;
        case 1:
            c->frame.matrix = (c->frame.matrix + 1) % 5;
            break;
        case 2:
            c->pp.pad_color ^= 0x0f0f0f;
            break;
        case 3:
            c->frame.range = 1 - c->frame.range;
            break;
        default:
            break;
        }
        for (guint k = 0; k < G_N_ELEMENTS(got); k++)
            got[k] = GUARD_VALUE;
        g_assert_cmpint(gpudl_preproc_ref(&c->frame, &c->pp, expected), ==, 0);
        g_assert_cmpstr(cpu_preproc_run(preproc, &c->frame, &c->pp, CPU_PREPROC_PLANAR, got + GUARD), ==, NULL);
        g_assert_cmpfloat(compare(c, got + GUARD, expected), <, 1.0);
    }
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        case_clear(&cases[i]);
    g_rand_free(rand);
    cpu_preproc_free(preproc);
}

static void test_refuses_what_the_reference_refuses(void)
{
    CpuPreproc *preproc = cpu_preproc_new(cpu_preproc_best());
    guint8 pixel[3] = {1, 2, 3};
    float dst[3] = {7, 7, 7};
    GpudlFrame frame = {.format = GPUDL_PIXEL_RGB, .width = 1, .height = 1, .planes = {pixel}, .strides = {3}};
    GpudlPreproc pp = {sizeof pp, 1, 1, 3,   GPUDL_CHANNELS_RGB, GPUDL_RESIZE_AUTO, GPUDL_SCALE_AREA,
                       1,         0, 1, {0}, {1, 1, 1}};

    g_assert_nonnull(cpu_preproc_run(preproc, &frame, &pp, CPU_PREPROC_PLANAR, dst));
    pp.resize_mode = GPUDL_RESIZE_STRETCH;
    frame.memory = GPUDL_MEMORY_CUDA;
    g_assert_nonnull(cpu_preproc_run(preproc, &frame, &pp, CPU_PREPROC_PLANAR, dst));
    g_assert_cmpfloat(dst[0], ==, 7.f);
    frame.memory = GPUDL_MEMORY_HOST;
    g_assert_null(cpu_preproc_run(preproc, &frame, &pp, CPU_PREPROC_PLANAR, dst));
    cpu_preproc_free(preproc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int isa = 0; isa < CPU_PREPROC_N_ISAS; isa++) {
        g_autofree gchar *path = g_strdup_printf("/cpu/preproc/reference/%s", cpu_preproc_isa_name(isa));

        g_autofree gchar *tall = g_strdup_printf("/cpu/preproc/tall-windows/%s", cpu_preproc_isa_name(isa));

        g_test_add_data_func(path, GINT_TO_POINTER(isa), test_against_reference);
        g_test_add_data_func(tall, GINT_TO_POINTER(isa), test_tall_windows);
    }
    g_test_add_func("/cpu/preproc/tables-follow-the-frame", test_tables_follow_the_frame);
    g_test_add_func("/cpu/preproc/refuses-what-the-reference-refuses", test_refuses_what_the_reference_refuses);
    return g_test_run();
}
