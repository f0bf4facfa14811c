/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which jobs of the device's pre-processing the kernel for large windows takes. */
#include "kernels/preproc_job.h"
#include "tests/kernels/check.h"

static const _Alignas(16) guint8 pixels[16] = {0}; /* never read */
static const GpudlPreproc square = {.width = 2,
                                    .height = 2,
                                    .channels = 3,
                                    .channel_order = GPUDL_CHANNELS_RGB,
                                    .resize_mode = GPUDL_RESIZE_STRETCH,
                                    .pixel_scale = 1,
                                    .std = {1, 1, 1}};

static int shrink_of(const GpudlFrame *frame, const GpudlPreproc *pp)
{
    GpudlPreprocJob job;
    gint32 steps;

    g_assert_null(gpudl_preproc_job_fill(&job, frame, pp));
    if (job.shrink != GPUDL_SHRINK_NONE) {
        g_assert_cmpint(gpudl_preproc_jobs_shrink(&job, 1, &steps), ==, job.shrink);
        g_assert_cmpint(steps, ==, job.shrink_steps);
    }
    return job.shrink;
}

/* Which jobs shrink by how many steps. */
static void test_shrink(void)
{
    static const GpudlPixelFormat words[] = {GPUDL_PIXEL_P010_10LE, GPUDL_PIXEL_RGB, GPUDL_PIXEL_Y444};
    GpudlFrame frame = {.width = 64, .height = 64, .strides = {64, 64, 64}};
    GpudlPreproc pp = square;
    GpudlPreprocJob jobs[3];
    gint32 steps;

    for (int p = 0; p < 3; p++)
        frame.planes[p] = pixels;
    pp.width = pp.height = 16;
    for (int method = GPUDL_SCALE_NEAREST; method <= GPUDL_SCALE_LAST; method++) {
        const gboolean sums = method != GPUDL_SCALE_NEAREST && method != GPUDL_SCALE_BILINEAR_ALIASED;

        pp.scale_method = (GpudlScaleMethod)method;
        frame.format = GPUDL_PIXEL_NV12;
        g_assert_cmpint(shrink_of(&frame, &pp), ==, sums ? GPUDL_SHRINK_PAIRS : GPUDL_SHRINK_NONE);
    }
    pp.scale_method = GPUDL_SCALE_BILINEAR;
    frame.format = GPUDL_PIXEL_YV12;
    g_assert_cmpint(shrink_of(&frame, &pp), ==, GPUDL_SHRINK_PLANES);
    frame.format = GPUDL_PIXEL_GRAY8;
    g_assert_cmpint(shrink_of(&frame, &pp), ==, GPUDL_SHRINK_LUMA);
    frame.strides[0] = 72;
    g_assert_cmpint(shrink_of(&frame, &pp), ==, GPUDL_SHRINK_NONE);
    frame.strides[0] = 64;
    frame.planes[0] = pixels + 8;
    g_assert_cmpint(shrink_of(&frame, &pp), ==, GPUDL_SHRINK_NONE);
    frame.planes[0] = pixels;
    pp.width = pp.height = 32; /* windows of 4 samples are read one by one */
    g_assert_cmpint(shrink_of(&frame, &pp), ==, GPUDL_SHRINK_NONE);
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        frame.format = words[i];
        frame.strides[0] = frame.strides[1] = 256;
        pp.width = pp.height = 8;
        g_assert_cmpint(shrink_of(&frame, &pp), ==, GPUDL_SHRINK_NONE);
    }
    /* slots without a frame are anything; kinds do not mix */
    frame.format = GPUDL_PIXEL_GRAY8;
    gpudl_preproc_job_idle(&jobs[0]);
    g_assert_cmpint(gpudl_preproc_jobs_shrink(jobs, 1, &steps), ==, GPUDL_SHRINK_LUMA);
    g_assert_null(gpudl_preproc_job_fill(&jobs[1], &frame, &pp));
    frame.format = GPUDL_PIXEL_NV12;
    pp.width = 4;
    g_assert_null(gpudl_preproc_job_fill(&jobs[2], &frame, &pp));
    g_assert_cmpint(jobs[1].shrink_steps, <, jobs[2].shrink_steps);
    g_assert_cmpint(gpudl_preproc_jobs_shrink(jobs, 2, &steps), ==, GPUDL_SHRINK_LUMA);
    g_assert_cmpint(gpudl_preproc_jobs_shrink(jobs, 3, &steps), ==, GPUDL_SHRINK_NONE);
    jobs[1] = jobs[2];
    jobs[1].shrink_steps = 1;
    g_assert_cmpint(gpudl_preproc_jobs_shrink(jobs, 3, &steps), ==, GPUDL_SHRINK_PAIRS);
    g_assert_cmpint(steps, ==, jobs[2].shrink_steps);
}

/* Windows of 8 columns, wherever these begin, lie within as many steps as a job says. */
static void check_span(const GpudlPreprocJob *job, int half, int multiple, int steps, int first)
{
    const int end = MIN(first + GPUDL_SHRINK_COLUMNS, job->dst_width);
    const int start = gpudl_job_taps(&job->x[half], job->method, first).begin / multiple * multiple;

    for (int i = first; i < end; i++) {
        const GpudlPreprocTaps taps = gpudl_job_taps(&job->x[half], job->method, i);

        g_assert_cmpint(taps.begin, >=, start);
        g_assert_cmpint(taps.end, <=, start + steps * GPUDL_SHRINK_STEP);
    }
}

static void test_steps(void)
{
    static const GpudlPixelFormat formats[] = {GPUDL_PIXEL_NV12, GPUDL_PIXEL_I420, GPUDL_PIXEL_GRAY8};
    static const GpudlScaleMethod methods[] = {GPUDL_SCALE_BILINEAR, GPUDL_SCALE_BICUBIC, GPUDL_SCALE_AREA};
    int seen = 0;

    for (int number = 0; number < 20000; number++) {
        const int side = g_test_rand_int_range(1, 400);
        GpudlFrame frame = {.format = formats[number % 3], .strides = {16384, 16384, 16384}};
        GpudlPreproc pp = square;
        GpudlPreprocJob job;

        for (int p = 0; p < 3; p++)
            frame.planes[p] = pixels;
        pp.width = side;
        pp.height = 1;
        pp.scale_method = methods[number / 3 % 3];
        frame.width = (gint32)(side * g_test_rand_double_range(1, 24)) + 1;
        frame.height = 5; /* never read */
        frame.crop_width = g_test_rand_int_range(frame.width / 2 + 1, frame.width + 1);
        frame.crop_height = 5;
        frame.crop_x = g_test_rand_int_range(0, frame.width - frame.crop_width + 1);
        frame.chroma_site = (GpudlChromaSite)g_test_rand_int_range(0, 4);
        g_assert_null(gpudl_preproc_job_fill(&job, &frame, &pp));
        if (job.shrink == GPUDL_SHRINK_NONE)
            continue;
        seen++;
        for (int first = 0; first < job.dst_width; first++) {
            check_span(&job, 0, 16, job.shrink_steps, first);
            if (job.shrink != GPUDL_SHRINK_LUMA)
                check_span(&job, 1, job.shrink == GPUDL_SHRINK_PAIRS ? 8 : 16,
                           GPUDL_SHRINK_CHROMA_STEPS(job.shrink_steps), first);
        }
    }
    g_assert_cmpint(seen, >, 5000);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/preproc-shrink/kinds", test_shrink);
    g_test_add_func("/preproc-shrink/steps", test_steps);
    return g_test_run();
}
