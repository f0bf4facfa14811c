/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs of the device's pre-processing: what the host fills in, and the device's arithmetic, evaluated here pixel by
 * pixel, against the reference. */
#include <math.h>
#include <string.h>

#include "kernels/preproc_job.h"
#include "kernels/preproc_parts.h"
#include "tests/kernels/check.h"

/* ---- the device's arithmetic ------------------------------------------------------------------------------------- */

/* Sum over the rows of output row j's window, of byte number half of each row's sample at offset, in units of 2^-26;
 * and of the weights. */
static float sum_bytes(const GpudlPreprocJob *job, int plane, int offset, int half, int j, float *weight_sum)
{
    const GpudlPreprocJobAxis *axis = &job->y[job->plane_half_y[plane]];
    const GpudlPreprocTaps taps = gpudl_job_taps(axis, job->method, j);
    float sum = 0;

    *weight_sum = 0;
    for (int slab = taps.begin; slab < taps.end; slab += GPUDL_JOB_SLAB_ROWS) {
        gint32 high = 0, low = 0, high_weights = 0, low_weights = 0;

        for (int s = slab; s < MIN(taps.end, slab + GPUDL_JOB_SLAB_ROWS); s++) {
            const gint32 w = gpudl_job_row_weight(axis, &taps, job->method, s);
            const gint32 h = w >> GPUDL_JOB_LOW_BITS, l = w & ((1 << GPUDL_JOB_LOW_BITS) - 1);
            const guint8 *sample = job->planes[plane] + (gssize)s * job->strides[plane] + offset;
            const int byte =
                job->word_mask == 0 ? *sample : gpudl_job_word(job, sample[0], sample[1]) >> 8 * half & 255;

            g_assert_cmpint(h, >=, G_MININT16);
            g_assert_cmpint(h, <=, G_MAXINT16);
            high += h * byte;
            low += l * byte;
            high_weights += h;
            low_weights += l;
        }
        sum += (float)high * (1 << GPUDL_JOB_LOW_BITS) + (float)low;
        *weight_sum += (float)high_weights * (1 << GPUDL_JOB_LOW_BITS) + (float)low_weights;
    }
    return sum;
}

/* The same of samples: a word's bytes are summed each, then put together. */
static float sum_rows(const GpudlPreprocJob *job, int plane, int offset, int j, float *weight_sum)
{
    const float low = sum_bytes(job, plane, offset, 0, j, weight_sum);

    return job->word_mask == 0 ? low : low + 256 * sum_bytes(job, plane, offset, 1, j, weight_sum);
}

static float component(const GpudlPreprocJob *job, int k, int i, int j)
{
    const int half = job->component_half_x[k], plane = job->component_plane[k];
    const GpudlPreprocTaps taps = gpudl_job_taps(&job->x[half], job->method, i);
    float sum = 0, weight = 0, row_weight = 1;

    for (int s = taps.begin; s < taps.end; s++) {
        const float w = gpudl_job_weight(&job->x[half], &taps, job->method, s);
        const int offset = s * job->component_step[k] + job->component_offset[k];

        g_assert_cmpint(offset, >=, 0);
        g_assert_cmpint(offset + (job->word_mask != 0), <, job->row_bytes[plane]);
        sum += w * sum_rows(job, plane, offset, j, &row_weight);
        weight += w;
    }
    return sum / (weight * row_weight);
}

/* bicubic-bytes: along the rows, bytes, along the column */
static float cubic_component(const GpudlPreprocJob *job, int k, int i, int j)
{
    const int plane = job->component_plane[k];
    const GpudlPreprocCubic x = gpudl_job_cubic(&job->x[0], i), y = gpudl_job_cubic(&job->y[0], j);
    gint32 down = 0;

    for (int row = y.begin; row < y.end; row++) {
        gint32 across = 0;

        for (int s = x.begin; s < x.end; s++)
            across += gpudl_job_cubic_weight(&x, s) *
                      job->planes[plane][(gssize)row * job->strides[plane] + s * job->component_step[k] +
                                         job->component_offset[k]];
        down += gpudl_job_cubic_weight(&y, row) * gpudl_job_cubic_byte(across);
    }
    return (float)gpudl_job_cubic_byte(down);
}

/* samples behind the first direct_taps of a window weigh nothing but a rounding */
static void check_direct(const GpudlPreprocJob *job)
{
    for (int axis = 0; axis < 4 && job->direct_taps != 0; axis++) {
        const GpudlPreprocJobAxis *a = axis < 2 ? &job->x[axis] : &job->y[axis - 2];

        for (int i = 0; i < (axis < 2 ? job->dst_width : job->dst_height); i++) {
            const GpudlPreprocTaps taps = gpudl_job_taps(a, job->method, i);

            for (int s = taps.begin + job->direct_taps; s < taps.end; s++)
                if (!(fabsf(gpudl_job_weight(a, &taps, job->method, s)) <= 1e-6f))
                    check_fail("axis %d sample %d method %d scale %g: window %d .. %d, direct taps %d", axis, i,
                               job->method, a->scale, taps.begin, taps.end, job->direct_taps);
        }
    }
}

/* beside the destination rectangle: anything that can be read */
static void check_points_beside(const GpudlPreprocJobAxis *a, int size)
{
    const int two = a->hi - a->lo > 1, beside[] = {-65535, -(int)check_int(2, 5000), -1, size, 2 * size, 65535};

    for (int i = 0; i < (int)G_N_ELEMENTS(beside); i++) {
        const GpudlPreprocPoint point = gpudl_job_point(a, beside[i]);

        if (point.first < a->lo || point.first + two >= a->hi || !(point.weight >= 0 && point.weight <= 1))
            check_fail("sample %d of %d, scale %g: found %d and %g of %d .. %d", beside[i], size, a->scale, point.first,
                       (double)point.weight, a->lo, a->hi);
    }
}

/* where points lie: the reference's two samples, weighted by distance, within float32's rounding of the weight */
static void check_points(const GpudlPreprocJob *job)
{
    for (int axis = 0; axis < 4 && job->points != GPUDL_POINTS_NONE; axis++) {
        const GpudlPreprocJobAxis *a = axis < 2 ? &job->x[axis] : &job->y[axis - 2];
        const int two = a->hi - a->lo > 1, size = axis < 2 ? job->dst_width : job->dst_height;

        check_points_beside(a, size);
        for (int i = 0; i < size; i++) {
            const GpudlPreprocPoint point = gpudl_job_point(a, i);
            const double expected = CLAMP(a->first_centre + i * a->scale - 0.5, a->lo, a->hi - 1);
            const double got = point.first + (two ? (double)point.weight : 0);

            if (point.first < a->lo || point.first + two >= a->hi || !(point.weight >= 0 && point.weight <= 1) ||
                !(fabs(got - expected) <= 1e-7))
                check_fail("axis %d sample %d scale %g: found %d and %g, expected %.9g of %d .. %d", axis, i, a->scale,
                           point.first, (double)point.weight, expected, a->lo, a->hi);
        }
    }
}

static void emulate(const GpudlPreprocJob *job, const GpudlPreproc *pp, float *out)
{
    check_direct(job);
    check_points(job);
    for (int y = 0; y < pp->height; y++)
        for (int x = 0; x < pp->width; x++) {
            const int i = x - job->dst_x, j = y - job->dst_y;
            const gboolean inside = i >= 0 && i < job->dst_width && j >= 0 && j < job->dst_height;
            float components[3] = {0};

            for (int k = 0; k < job->n_components && inside; k++)
                components[k] =
                    job->method == GPUDL_SCALE_BICUBIC_BYTES ? cubic_component(job, k, i, j) : component(job, k, i, j);
            for (int c = 0; c < pp->channels; c++)
                out[((gsize)c * pp->height + y) * pp->width + x] =
                    inside ? gpudl_job_channel(job, c, components) : job->pad[c];
        }
}

/* ---- random frames ----------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlFrame frame;
    GpudlPreproc pp;
    guint8 *planes[3];
} Case;

static void case_clear(Case *c)
{
    for (int p = 0; p < 3; p++)
        g_free(c->planes[p]);
}

static void case_init(Case *c, gint64 most_side, gint64 most_input)
{
    GpudlFrame *f = &c->frame;
    GpudlPreproc *pp = &c->pp;
    gint32 row_bytes[4], rows[4];
    int n, pattern;

    *c = (Case){{GPUDL_MEMORY_HOST}};
    f->format = (GpudlPixelFormat)check_int(1, GPUDL_PIXEL_LAST);
    f->width = (gint32)check_int(1, check_int(1, most_side));
    f->height = (gint32)check_int(1, check_int(1, most_side));
    f->matrix = (GpudlMatrix)check_int(0, GPUDL_MATRIX_LAST);
    f->range = (GpudlRange)check_int(0, 1);
    f->chroma_site = (GpudlChromaSite)check_int(0, 3);
    f->par_n = (gint32)check_int(0, 4);
    f->par_d = (gint32)check_int(0, 4);
    if (check_int(0, 1)) {
        f->crop_width = (gint32)check_int(1, f->width);
        f->crop_height = (gint32)check_int(1, f->height);
        f->crop_x = (gint32)check_int(0, f->width - f->crop_width);
        f->crop_y = (gint32)check_int(0, f->height - f->crop_height);
    }
    pattern = (int)check_int(0, 3);
    n = gpudl_pixel_format_layout(f->format, f->width, f->height, row_bytes, rows);
    for (int p = 0; p < n; p++) {
        gsize bytes;

        f->strides[p] = row_bytes[p] + (gint32)check_int(0, 20);
        bytes = (gsize)f->strides[p] * (rows[p] - 1) + row_bytes[p];
        f->planes[p] = c->planes[p] = g_malloc(bytes);
        for (gsize i = 0; i < bytes; i++)
            c->planes[p][i] = pattern == 0 ? 255 : (guint8)(pattern == 1 ? check_int(0, 1) * 255 : check_int(0, 255));
    }
    pp->width = (gint32)check_int(1, most_input);
    pp->height = (gint32)check_int(1, most_input);
    pp->channel_order = (GpudlChannelOrder)check_int(GPUDL_CHANNELS_RGB, GPUDL_CHANNELS_GRAY);
    pp->channels = pp->channel_order == GPUDL_CHANNELS_GRAY ? 1 : 3;
    pp->resize_mode = (GpudlResizeMode)check_int(GPUDL_RESIZE_STRETCH, GPUDL_RESIZE_LAST);
    pp->scale_method = (GpudlScaleMethod)check_int(GPUDL_SCALE_NEAREST, GPUDL_SCALE_LAST);
    pp->crop_fraction = (float)check_real(0.3, 1);
    pp->pad_color = (guint32)check_int(0, 0xffffff);
    pp->pixel_scale = check_int(0, 1) ? 255.f : 1.f;
    for (int i = 0; i < 3; i++) {
        pp->mean[i] = (float)check_real(-1, 1) * 255.f / pp->pixel_scale;
        pp->std[i] = (float)check_real(0.2, 1) * 255.f / pp->pixel_scale;
    }
    check_note(", %s %dx%d crop %d,%d %dx%d matrix %d range %d site %d par %d/%d -> %dx%dx%d mode %d method %d",
               gpudl_pixel_format_name(f->format), f->width, f->height, f->crop_x, f->crop_y, f->crop_width,
               f->crop_height, f->matrix, f->range, f->chroma_site, f->par_n, f->par_d, pp->channels, pp->height,
               pp->width, pp->resize_mode, pp->scale_method);
}

/* Largest difference before normalisation, of 255. */
static double compare(const Case *c)
{
    const gsize plane = (gsize)c->pp.width * c->pp.height, n = plane * c->pp.channels;
    g_autofree float *expected = g_new(float, n), *got = g_new(float, n);
    GpudlPreprocJob job;
    double worst = 0;

    g_assert_null(gpudl_preproc_job_fill(&job, &c->frame, &c->pp));
    g_assert_cmpint(gpudl_preproc_ref(&c->frame, &c->pp, expected), ==, 0);
    emulate(&job, &c->pp, got);
    for (gsize i = 0; i < n; i++) {
        const double unit = (double)c->pp.pixel_scale * c->pp.std[i / plane];
        /* the mean is at most 255 too, its rounding one more of the same size */
        const double difference = fabs((double)got[i] - expected[i]) * unit;

        if (!(difference <= GPUDL_PREPROC_JOB_BOUND))
            check_fail("value %d: found %.7g, expected %.7g, %.3g of 255 apart", (int)i, got[i], expected[i],
                       difference);
        worst = MAX(worst, difference);
    }
    return worst;
}

static void test_random(void)
{
    double worst = 0;

    for (guint number = 0; number < 400; number++) {
        Case c;
        double difference;

        check_case(number, "frame");
        case_init(&c, 70, 24);
        difference = compare(&c);
        worst = MAX(worst, difference);
        case_clear(&c);
    }
    g_test_message("largest difference: %.3g of 255", worst);
}

static void test_tall_windows(void)
{
    /* more rows than one sum holds */
    for (guint number = 0; number < 8; number++) {
        Case c;

        check_case(number, "tall frame");
        case_init(&c, 1, 1);
        case_clear(&c);
        c.frame.format = GPUDL_PIXEL_GRAY8;
        c.frame.width = c.frame.crop_width = 1;
        c.frame.height = c.frame.crop_height = (gint32)check_int(1100, 5000);
        c.frame.crop_x = c.frame.crop_y = 0;
        c.frame.strides[0] = 1;
        c.planes[1] = c.planes[2] = NULL;
        c.frame.planes[0] = c.planes[0] = g_malloc((gsize)c.frame.height);
        for (int i = 0; i < c.frame.height; i++)
            c.planes[0][i] = number % 2 ? 255 : (guint8)check_int(0, 255);
        c.pp.resize_mode = GPUDL_RESIZE_STRETCH;
        c.pp.height = (gint32)check_int(1, 2);
        compare(&c);
        case_clear(&c);
    }
}

/* Windows that jump (nearest, area) are the reference's to the sample, also where centres and edges fall on borders. */
static void test_windows_are_the_references(void)
{
    for (int from = 1; from <= 64; from++)
        for (int to = 1; to <= 64; to++)
            for (int m = 0; m < 5; m++) {
                static const GpudlScaleMethod methods[] = {GPUDL_SCALE_NEAREST, GPUDL_SCALE_AREA, GPUDL_SCALE_BILINEAR,
                                                           GPUDL_SCALE_BICUBIC, GPUDL_SCALE_BILINEAR_ALIASED};
                const double scale = (double)from / to;
                const GpudlAxis axis = {0.5 * scale, scale, 0, from, to, methods[m]};
                const GpudlPreprocJobAxis mine = {axis.first_centre,
                                                  axis.scale,
                                                  axis.lo,
                                                  axis.hi,
                                                  scale > 1 && m < 4 ? (float)(1 / scale) : 1.f,
                                                  0,
                                                  0};
                g_autofree double *weights = g_new(double, gpudl_axis_max_taps(&axis));

                check_case(0, "from %d to %d method %d", from, to, methods[m]);
                for (int i = 0; i < to; i++) {
                    const GpudlPreprocTaps taps = gpudl_job_taps(&mine, methods[m], i);
                    int first, count = gpudl_axis_taps(&axis, i, &first, weights), skipped = 0;
                    float sum = 0;

                    if (m < 2) {
                        while (weights[skipped] == 0)
                            skipped++;
                        while (weights[count - 1] == 0)
                            count--;
                        if (taps.begin != first + skipped || taps.end != first + count)
                            check_fail("sample %d: found %d .. %d, expected %d .. %d", i, taps.begin, taps.end,
                                       first + skipped, first + count);
                        continue;
                    }
                    for (int s = taps.begin; s < taps.end; s++)
                        sum += gpudl_job_weight(&mine, &taps, methods[m], s);
                    for (int s = 0; s < from; s++) {
                        const double expected = s >= first && s < first + count ? weights[s - first] : 0;
                        double got = 0;

                        if (s >= taps.begin && s < taps.end)
                            got = (double)(gpudl_job_weight(&mine, &taps, methods[m], s) / sum);
                        if (!(fabs(got - expected) <= 2e-6)) /* several roundings of float32, in units of 1 */
                            check_fail("sample %d, source %d: found %.8f, expected %.8f", i, s, got, expected);
                    }
                }
            }
}

static void test_fill(void)
{
    static const guint8 pixels[64] = {0};
    GpudlFrame frame = {.format = GPUDL_PIXEL_NV12,
                        .width = 4,
                        .height = 4,
                        .planes = {pixels, pixels + 16},
                        .strides = {4, 4},
                        .chroma_site = GPUDL_CHROMA_H_COSITED};
    GpudlPreproc pp = {.width = 8,
                       .height = 4,
                       .channels = 3,
                       .channel_order = GPUDL_CHANNELS_RGB,
                       .resize_mode = GPUDL_RESIZE_LETTERBOX,
                       .scale_method = GPUDL_SCALE_BILINEAR,
                       .pad_color = 0xff0000,
                       .pixel_scale = 255,
                       .std = {1, 1, 1}};
    GpudlPreprocJob job, idle;

    gpudl_preproc_job_idle(&idle);
    g_assert_cmpint(idle.n_planes, ==, 0);
    frame.memory = GPUDL_MEMORY_CUDA; /* whoever runs the job knows whether the device can read it */
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.n_planes, ==, 2);
    g_assert_cmpint(job.pair_bytes, ==, 4);
    g_assert_cmpint(job.dst_x, ==, 2);
    g_assert_cmpint(job.dst_width, ==, 4);
    g_assert_cmpfloat(job.pad[0], ==, 1);
    g_assert_cmpfloat(job.pad[1], ==, 0);
    g_assert_cmpint(job.x[1].hi, ==, 2);
    g_assert_cmpfloat(job.x[1].first_centre, ==, 0.5);
    g_assert_cmpfloat(job.y[1].first_centre, ==, 0.25);
    g_assert_true(job.planes[1] == pixels + 16);
    /* windows small enough to be read directly */
    g_assert_cmpint(job.direct_taps, ==, 2);
    pp.scale_method = GPUDL_SCALE_BICUBIC;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.direct_taps, ==, GPUDL_JOB_DIRECT_TAPS);
    pp.scale_method = GPUDL_SCALE_BILINEAR;
    pp.height = 2;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.direct_taps, ==, GPUDL_JOB_DIRECT_TAPS);
    pp.height = 1;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.direct_taps, ==, 0);
    pp.scale_method = GPUDL_SCALE_NEAREST;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.direct_taps, ==, 2);
    pp.scale_method = GPUDL_SCALE_BILINEAR_ALIASED;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.direct_taps, ==, 2);
    g_assert_cmpfloat(job.y[0].narrow, ==, 1);
    pp.scale_method = GPUDL_SCALE_BILINEAR;
    pp.height = 4;
    /* luma and chroma in one plane: positions are pixels */
    frame.format = GPUDL_PIXEL_UYVY;
    frame.strides[0] = 8;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.plane_step[0], ==, 2);
    g_assert_cmpint(job.plane_half_x[0], ==, 0);
    g_assert_cmpint(job.pair_bytes, ==, 4);
    g_assert_cmpint(job.component_half_x[2], ==, 1);
    frame.format = GPUDL_PIXEL_I420;
    frame.strides[2] = 4;
    frame.planes[2] = pixels + 32;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.pair_bytes, ==, 4);
    g_assert_cmpint(job.plane_half_x[2] + job.plane_half_y[2], ==, 2);
    g_assert_cmpint(job.word_mask, ==, 0);
    /* words: two bytes of each, of which ten bits count; the matrix is in units of the word */
    frame.format = GPUDL_PIXEL_I420_10LE;
    frame.strides[0] = 8;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.word_mask, ==, 0x3ff);
    g_assert_cmpint(job.pair_bytes, ==, 8);
    g_assert_cmpint(job.component_step[2], ==, 2);
    g_assert_cmpint(job.row_bytes[1], ==, 4);
    g_assert_cmpfloat_with_epsilon(job.matrix[0][0] * (940 - 64), 255, 1e-4);
    frame.format = GPUDL_PIXEL_P010_10LE;
    frame.strides[1] = 8;
    g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
    g_assert_cmpint(job.word_mask, ==, 0xffc0);
    g_assert_cmpint(job.pair_bytes, ==, 8);
    g_assert_cmpint(job.component_step[2], ==, 4);
    g_assert_cmpint(job.component_offset[2], ==, 2);
    g_assert_cmpfloat_with_epsilon(job.matrix[0][0] * (940 - 64) * 64, 255, 1e-4);
    g_assert_cmpint(gpudl_job_word(&job, 0x7f, 0x12), ==, 0x1240);
    /* what the reference refuses leaves an idle slot */
    pp.std[1] = 0;
    g_assert_cmpstr(gpudl_preproc_job_fill(&job, &frame, &pp), ==, "mean or std not finite, or std 0");
    g_assert_cmpmem(&job, sizeof(job), &idle, sizeof(idle));
    pp.std[1] = 1;
    frame.planes[1] = NULL;
    g_assert_nonnull(gpudl_preproc_job_fill(&job, &frame, &pp));
    frame.format = GPUDL_PIXEL_UNKNOWN;
    g_assert_nonnull(gpudl_preproc_job_fill(&job, &frame, &pp));
}

static int points_of(const GpudlFrame *frame, const GpudlPreproc *pp)
{
    GpudlPreprocJob job;

    g_assert_null(gpudl_preproc_job_fill(&job, frame, pp));
    g_assert_cmpint(gpudl_preproc_jobs_are_points(&job, 1), ==, job.points != GPUDL_POINTS_NONE);
    return job.points;
}

static const _Alignas(16) guint8 point_pixels[512] = {0};
static const GpudlFrame point_frame = {.format = GPUDL_PIXEL_NV12,
                                       .width = 8,
                                       .height = 8,
                                       .planes = {point_pixels, point_pixels + 256, point_pixels + 256},
                                       .strides = {32, 32, 32}};
static const GpudlPreproc point_preproc = {.width = 2,
                                           .height = 2,
                                           .channels = 3,
                                           .channel_order = GPUDL_CHANNELS_RGB,
                                           .resize_mode = GPUDL_RESIZE_STRETCH,
                                           .scale_method = GPUDL_SCALE_BILINEAR_ALIASED,
                                           .pixel_scale = 1,
                                           .std = {1, 1, 1}};

/* Which jobs are points. */
static void test_points(void)
{
    GpudlFrame frame = point_frame;
    GpudlPreproc pp = point_preproc;
    GpudlPreprocJob jobs[3];

    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_PAIRS);
    for (int side = 1; side <= 16; side++) { /* bilinear is as good where nothing shrinks */
        pp.width = pp.height = side;
        pp.scale_method = GPUDL_SCALE_BILINEAR;
        g_assert_cmpint(points_of(&frame, &pp), ==, side < 8 ? GPUDL_POINTS_NONE : GPUDL_POINTS_PAIRS);
        pp.scale_method = GPUDL_SCALE_NEAREST;
        g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_NONE);
        pp.scale_method = GPUDL_SCALE_AREA;
        g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_NONE);
    }
    pp = point_preproc;
    /* positions have room for so many samples */
    frame.format = GPUDL_PIXEL_GRAY8;
    frame.width = frame.strides[0] = GPUDL_JOB_POINT_SAMPLES;
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_PLANES);
    frame.width = frame.strides[0] = GPUDL_JOB_POINT_SAMPLES + 1;
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_NONE);
    /* slots without a frame are anything; one that is none is enough */
    frame.width = frame.strides[0] = 8;
    gpudl_preproc_job_idle(&jobs[0]);
    g_assert_null(gpudl_preproc_job_fill(&jobs[1], &frame, &pp));
    pp.scale_method = GPUDL_SCALE_AREA;
    g_assert_null(gpudl_preproc_job_fill(&jobs[2], &frame, &pp));
    g_assert_true(gpudl_preproc_jobs_are_points(jobs, 2));
    g_assert_false(gpudl_preproc_jobs_are_points(jobs, 3));
}

/* How samples of points can be fetched. */
static void test_ways_to_fetch_points(void)
{
    const guint8 *pixels = point_pixels;
    GpudlFrame frame = point_frame;
    const GpudlPreproc pp = point_preproc;

    frame.planes[0] = pixels + 1; /* luma is read by the byte */
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_PAIRS);
    frame.planes[1] = pixels + 255;
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_PLANES);
    frame.planes[1] = pixels + 256;
    frame.strides[1] = 31;
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_PLANES);
    frame.strides[1] = 32;
    frame.crop_width = 2; /* one chroma sample in a row */
    frame.crop_height = 8;
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_PLANES);
    frame.crop_width = 0;
    for (int format = 1; format <= GPUDL_PIXEL_LAST; format++) {
        const gboolean quads = format >= GPUDL_PIXEL_RGBA && format <= GPUDL_PIXEL_XBGR;

        frame.format = (GpudlPixelFormat)format;
        frame.planes[0] = pixels;
        g_assert_cmpint(points_of(&frame, &pp), ==,
                        format == GPUDL_PIXEL_NV12 || format == GPUDL_PIXEL_NV21 ? GPUDL_POINTS_PAIRS
                        : format == GPUDL_PIXEL_P010_10LE                        ? GPUDL_POINTS_WORD_PAIRS
                        : format == GPUDL_PIXEL_I420_10LE                        ? GPUDL_POINTS_WORDS
                        : quads                                                  ? GPUDL_POINTS_QUADS
                                                                                 : GPUDL_POINTS_PLANES);
        frame.planes[0] = pixels + (quads ? 2 : 1);
        g_assert_cmpint(points_of(&frame, &pp), ==,
                        format == GPUDL_PIXEL_NV12 || format == GPUDL_PIXEL_NV21 ? GPUDL_POINTS_PAIRS
                        : format >= GPUDL_PIXEL_P010_10LE                        ? GPUDL_POINTS_ODD_WORDS
                                                                                 : GPUDL_POINTS_PLANES);
    }
    frame.planes[0] = pixels;
    frame.format = GPUDL_PIXEL_P010_10LE;
    frame.planes[1] = pixels + 258;
    g_assert_cmpint(points_of(&frame, &pp), ==, GPUDL_POINTS_WORDS);
}

/* also between its fields: jobs are compared as bytes */
static void test_bytes_are_the_frames(void)
{
    static const guint8 pixels[2 * 64 * 64];
    const GpudlFrame frame = {.format = GPUDL_PIXEL_NV12,
                              .width = 64,
                              .height = 48,
                              .planes = {pixels, pixels + 64 * 64},
                              .strides = {64, 64}};
    const GpudlPreproc pp = {.width = 9,
                             .height = 7,
                             .channels = 3,
                             .channel_order = GPUDL_CHANNELS_RGB,
                             .resize_mode = GPUDL_RESIZE_STRETCH,
                             .scale_method = GPUDL_SCALE_BILINEAR_ALIASED,
                             .pixel_scale = 1,
                             .std = {1, 1, 1}};
    GpudlPreprocJob jobs[2];

    memset(&jobs[0], 0, sizeof(*jobs));
    memset(&jobs[1], 255, sizeof(*jobs));
    for (int i = 0; i < 2; i++)
        g_assert_null(gpudl_preproc_job_fill(&jobs[i], &frame, &pp));
    g_assert_cmpmem(&jobs[0], sizeof(*jobs), &jobs[1], sizeof(*jobs));
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/preproc-job/fill", test_fill);
    g_test_add_func("/preproc-job/bytes-are-the-frames", test_bytes_are_the_frames);
    g_test_add_func("/preproc-job/points", test_points);
    g_test_add_func("/preproc-job/ways-to-fetch-points", test_ways_to_fetch_points);
    g_test_add_func("/preproc-job/windows-are-the-references", test_windows_are_the_references);
    g_test_add_func("/preproc-job/random", test_random);
    g_test_add_func("/preproc-job/tall-windows", test_tall_windows);
    return g_test_run();
}
