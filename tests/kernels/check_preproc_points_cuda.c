/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches of frames that are made of 2 x 2 samples each, all ways to fetch them, against the reference frame by frame.
 */
#include <string.h>

#include "kernels/preproc_points_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/preproc_batch.h"
#include "tests/kernels/preproc_bench.h"

#define MOST_JOBS 14

static int seen[GPUDL_POINTS_ODD_WORDS + 1]; /* jobs by points */

/* format UNKNOWN: any */
static void fill_slot(const PreprocBatch *batch, PreprocSlot *slot, GpudlPixelFormat format, int most_side)
{
    static const int alignments[] = {1, 2, 4, 4, 16};

    if (format == GPUDL_PIXEL_UNKNOWN)
        format = (GpudlPixelFormat)device_int(1, GPUDL_PIXEL_LAST);
    preproc_random_params(&slot->pp, batch, GPUDL_SCALE_BILINEAR_ALIASED);
    preproc_random_frame(&slot->frame, format, most_side, most_side);
    preproc_make_pixels(&slot->frame, alignments[device_int(0, 4)]);
}

/* jobs of the batch, on the device where they do not travel with the launch */
static void check_jobs(const PreprocBatch *batch, const GpudlPreprocJob *jobs)
{
    const size_t bytes = preproc_batch_bytes(batch);
    const GpudlPreprocJob *device_jobs = NULL;
    void *out = device_output(bytes, 0);

    if (!gpudl_preproc_points_carried(jobs, batch->count))
        device_jobs = device_input(jobs, (size_t)batch->count * sizeof(*jobs), 8 * (size_t)device_int(0, 1));
    device_done(gpudl_preproc_points_cuda(jobs, device_jobs, batch->count, batch->width, batch->height, batch->channels,
                                          batch->layout, out, NULL));
    preproc_batch_compare(batch, device_fetch(out, bytes));
}

static void check_batch(const PreprocBatch *batch)
{
    GpudlPreprocJob jobs[MOST_JOBS];

    preproc_batch_fill(batch, jobs);
    for (int i = 0; i < batch->count; i++)
        seen[jobs[i].points] += !batch->slots[i].idle;
    check_jobs(batch, jobs);
}

/* All slots become like the first, with pixels of their own at addresses of the same alignment. */
static void fill_alike(PreprocBatch *batch, GpudlPreprocJob *jobs)
{
    const PreprocSlot like = batch->slots[0];
    const size_t shift = (size_t)(device_int(0, 1) * device_int(0, 3));
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(like.frame.format, like.frame.width, like.frame.height, row_bytes, rows);

    for (int i = 0; i < batch->count; i++) {
        PreprocSlot *slot = &batch->slots[i];
        GpudlFrame f = like.frame;

        *slot = like;
        slot->idle = device_int(0, 15) == 0;
        gpudl_preproc_job_idle(&jobs[i]);
        if (slot->idle)
            continue;
        f.memory = GPUDL_MEMORY_CUDA;
        for (int p = 0; p < n; p++) {
            const size_t bytes = (size_t)f.strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p];
            uint8_t *pixels = device_host(bytes);

            for (size_t k = 0; k < bytes; k++)
                pixels[k] = (uint8_t)device_bits();
            slot->frame.planes[p] = pixels;
            f.planes[p] = device_input(pixels, bytes, shift);
        }
        if (gpudl_preproc_job_fill(&jobs[i], &f, &slot->pp) != NULL)
            device_fail("slot %d has no job", i);
        seen[jobs[i].points]++;
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static void test_random(void)
{
    PreprocBatch batch;

    for (int number = 0; number < device_cases(200); number++) {
        preproc_batch_begin(&batch, number, 60, MOST_JOBS);
        for (int i = 0; i < batch.count; i++) {
            fill_slot(&batch, &batch.slots[i], GPUDL_PIXEL_UNKNOWN, 200);
            batch.slots[i].idle = device_int(0, 15) == 0;
        }
        check_batch(&batch);
    }
}

/* Batches of one stream travel with their launch, whichever slots have no frame, unless they are too many. */
static void test_alike(void)
{
    static PreprocBatch batch;
    static GpudlPreprocJob jobs[PREPROC_BATCH_JOBS];

    memset(seen, 0, sizeof(seen));
    for (int number = 0; number < device_cases(200); number++) {
        const int many = number % 20 == 0, wide = number % 20 == 1;

        preproc_batch_begin(&batch, number, many ? 5 : 60, MOST_JOBS);
        if (many)
            batch.count = GPUDL_PREPROC_ALIKE_JOBS + (int)device_int(0, 1);
        if (wide)
            batch.width = (int)device_int(250, 600);
        fill_slot(&batch, &batch.slots[0], (GpudlPixelFormat)(1 + number % GPUDL_PIXEL_LAST), many ? 10 : 200);
        fill_alike(&batch, jobs);
        if (gpudl_preproc_points_carried(jobs, batch.count) != (batch.count <= GPUDL_PREPROC_ALIKE_JOBS))
            device_fail("%d jobs that are alike are taken for others", batch.count);
        check_jobs(&batch, jobs);
    }
    for (int points = GPUDL_POINTS_PLANES; points <= GPUDL_POINTS_ODD_WORDS; points++)
        if (device_cases(200) >= 200 && seen[points] == 0)
            device_fail("nothing was fetched by way %d", points);
}

/* One that differs by a single field makes all of them others. */
static void test_carried(void)
{
    GpudlPreprocJob jobs[3];

    memset(jobs, 0, sizeof(jobs));
    jobs[0].n_planes = jobs[2].n_planes = 1;
    if (!gpudl_preproc_points_carried(jobs, 3) || !gpudl_preproc_points_carried(jobs, 0))
        device_fail("jobs that are alike are taken for others");
    for (size_t at = 0; at < sizeof(*jobs); at++) {
        const int carried = at < sizeof(jobs->planes);

        device_case((int)at, "a byte that differs");
        ((uint8_t *)&jobs[2])[at] ^= 64;
        if (gpudl_preproc_points_carried(jobs, 3) != carried)
            device_fail("byte %d of a job is%s compared", (int)at, carried ? "" : " not");
        ((uint8_t *)&jobs[2])[at] ^= 64;
    }
}

/* Every format, alone and in one launch of all; each way to fetch samples is met. */
static void test_formats(void)
{
    PreprocBatch batch;
    int number = 0;

    memset(seen, 0, sizeof(seen));
    for (int format = 1; format <= GPUDL_PIXEL_LAST; format++)
        for (int again = 0; again < 8; again++) {
            preproc_batch_begin(&batch, number++, 30, MOST_JOBS);
            batch.count = again < 4 ? 1 : MOST_JOBS;
            for (int i = 0; i < batch.count; i++)
                fill_slot(&batch, &batch.slots[i], (GpudlPixelFormat)(1 + (format + i - 1) % GPUDL_PIXEL_LAST), 70);
            check_batch(&batch);
        }
    for (int points = GPUDL_POINTS_PLANES; points <= GPUDL_POINTS_ODD_WORDS; points++)
        if (seen[points] == 0)
            device_fail("nothing was fetched by way %d", points);
    if (seen[GPUDL_POINTS_NONE] != 0)
        device_fail("%d jobs were none of the kernel's", seen[GPUDL_POINTS_NONE]);
}

/* Bilinear where nothing shrinks; inputs of several tiles; frames of one row or column. */
static void test_sizes(void)
{
    PreprocBatch batch;

    for (int number = 0; number < device_cases(40); number++) {
        preproc_batch_begin(&batch, number, 8, MOST_JOBS);
        if (number % 4 == 0) {
            batch.width = (int)device_int(250, 600);
            batch.height = (int)device_int(1, 9);
        }
        if (number % 4 == 1)
            batch.width = batch.height = (int)device_int(80, 120);
        for (int i = 0; i < batch.count; i++) {
            PreprocSlot *slot = &batch.slots[i];

            fill_slot(&batch, slot, GPUDL_PIXEL_UNKNOWN, number % 4 == 1 ? 80 : 40);
            if (number % 4 == 1) {
                slot->pp.scale_method = GPUDL_SCALE_BILINEAR;
                slot->pp.resize_mode = GPUDL_RESIZE_STRETCH;
            } else if (number % 4 > 1) {
                slot->frame.crop_width = 0;
                slot->frame.width = number % 4 == 2 ? 1 : (int32_t)device_int(1000, 3000);
                slot->frame.height = number % 4 == 2 ? (int32_t)device_int(1000, 3000) : 1;
            }
            preproc_make_pixels(&slot->frame, 4);
        }
        check_batch(&batch);
    }
}

/* Whatever is in them, and nothing behind the last. */
static void test_put(void)
{
    for (int number = 0; number < device_cases(40); number++) {
        int32_t count;
        size_t bytes;
        uint8_t *jobs;
        void *to;

        device_case(number, "jobs that are put");
        count = (int32_t)device_int(0, 40);
        bytes = (size_t)count * sizeof(GpudlPreprocJob);
        jobs = device_host(bytes + 1);
        to = device_output(bytes, 8 * (size_t)device_int(0, 1));
        for (size_t i = 0; i < bytes; i++)
            jobs[i] = (uint8_t)device_bits();
        device_done(gpudl_preproc_put_jobs_cuda((const GpudlPreprocJob *)(const void *)jobs, count, to, NULL));
        if (memcmp(device_fetch(to, bytes), jobs, bytes) != 0)
            device_fail("of %d jobs one is not what it was", (int)count);
    }
    if (gpudl_preproc_put_jobs_cuda(NULL, -1, NULL, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

static void test_refuses(void)
{
    static const uint8_t pixels[48] = {0};
    GpudlFrame frame = {.memory = GPUDL_MEMORY_CUDA,
                        .format = GPUDL_PIXEL_RGB,
                        .width = 4,
                        .height = 4,
                        .planes = {pixels},
                        .strides = {12}};
    GpudlPreproc pp = {.width = 2,
                       .height = 2,
                       .channels = 3,
                       .channel_order = GPUDL_CHANNELS_RGB,
                       .resize_mode = GPUDL_RESIZE_STRETCH,
                       .pixel_scale = 1,
                       .std = {1, 1, 1}};
    const GpudlPreprocLayout layout = GPUDL_PREPROC_NCHW_F32;
    void *out = device_output(64, 0);
    GpudlPreprocJob job;

    gpudl_preproc_job_idle(&job);
    if (gpudl_preproc_points_cuda(&job, NULL, 1, 0, 1, 3, layout, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_points_cuda(&job, NULL, 1, 1, 1, 2, layout, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_points_cuda(&job, NULL, 65536, 1, 1, 3, layout, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_points_cuda(&job, NULL, 1, 1, 1, 3, (GpudlPreprocLayout)(GPUDL_PREPROC_LAYOUT_LAST + 1), out,
                                  NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    for (int method = GPUDL_SCALE_NEAREST; method <= GPUDL_SCALE_AREA; method++) {
        pp.scale_method = (GpudlScaleMethod)method;
        if (gpudl_preproc_job_fill(&job, &frame, &pp) != NULL)
            device_fail("method %d is refused", method);
        if (gpudl_preproc_jobs_are_points(&job, 1) ||
            gpudl_preproc_points_cuda(&job, NULL, 1, 2, 2, 3, layout, out, NULL) != GPUDL_KERNEL_SHAPE)
            device_fail("method %d was not refused", method);
    }
    device_done(gpudl_preproc_points_cuda(NULL, NULL, 0, 1, 1, 3, layout, out, NULL));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

static void bench(void)
{
    static const PreprocBenchCase cases[] = {
        {"NV12 1080p -> 224, 1 frame", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 1, 224},
        {"NV12 1080p -> 224, 8 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 8, 224},
        {"NV12 1080p -> 224, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"NV12 1080p -> 224, 64 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 64, 224},
        {"I420 1080p -> 224, 1 frame", GPUDL_PIXEL_I420, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 1, 224},
        {"I420 1080p -> 224, 32 frames", GPUDL_PIXEL_I420, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"P010 1080p -> 224, 1 frame", GPUDL_PIXEL_P010_10LE, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 1, 224},
        {"P010 1080p -> 224, 32 frames", GPUDL_PIXEL_P010_10LE, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"I420_10LE 1080p -> 224, 32 frames", GPUDL_PIXEL_I420_10LE, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"RGBA 1080p -> 224, 1 frame", GPUDL_PIXEL_RGBA, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 1, 224},
        {"RGBA 1080p -> 224, 32 frames", GPUDL_PIXEL_RGBA, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"RGB 1080p -> 224, 32 frames", GPUDL_PIXEL_RGB, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"RGB 640x480 -> 224, 32 frames", GPUDL_PIXEL_RGB, 640, 480, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"RGB 64x64 -> 224 bilinear, 32 frames", GPUDL_PIXEL_RGB, 64, 64, GPUDL_SCALE_BILINEAR, 32, 224},
        {"NV12 2160p -> 448, 8 frames", GPUDL_PIXEL_NV12, 3840, 2160, GPUDL_SCALE_BILINEAR_ALIASED, 8, 448},
    };

    preproc_bench(gpudl_preproc_points_cuda, cases, (int)(sizeof(cases) / sizeof(*cases)), 0);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},   {"alike", test_alike}, {"carried", test_carried},
                                         {"formats", test_formats}, {"sizes", test_sizes}, {"put", test_put},
                                         {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"preproc-points", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
