/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches of frames that shrink, against the reference frame by frame. */
#include <string.h>

#include "kernels/preproc_shrink_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/preproc_batch.h"
#include "tests/kernels/preproc_bench.h"

#define MOST_JOBS 14

static const GpudlScaleMethod methods[] = {GPUDL_SCALE_BILINEAR, GPUDL_SCALE_BICUBIC, GPUDL_SCALE_AREA};

enum { N_FORMATS = 6 };
static const GpudlPixelFormat formats[N_FORMATS] = {GPUDL_PIXEL_NV12, GPUDL_PIXEL_NV21, GPUDL_PIXEL_I420,
                                                    GPUDL_PIXEL_YV12, GPUDL_PIXEL_Y42B, GPUDL_PIXEL_GRAY8};

static int32_t batch_steps; /* of the last batch */

/* A frame so much larger than the input that windows are summed; format UNKNOWN: any of the kernel's. */
static void fill_slot(const PreprocBatch *batch, PreprocSlot *slot, GpudlPixelFormat format, GpudlScaleMethod method)
{
    GpudlFrame *f = &slot->frame;

    if (format == GPUDL_PIXEL_UNKNOWN)
        format = formats[device_int(0, N_FORMATS - 1)];
    preproc_random_params(&slot->pp, batch, method);
    preproc_random_frame(f, format, 100, 100);
    f->width = (int32_t)(batch->width * device_real(1, 10)) + 1;
    f->height = (int32_t)(batch->height * device_real(.7, 10)) + 1;
    if (device_int(0, 1)) {
        f->crop_width = (int32_t)device_int(f->width / 2 + 1, f->width);
        f->crop_height = (int32_t)device_int(f->height / 2 + 1, f->height);
        f->crop_x = (int32_t)device_int(0, f->width - f->crop_width);
        f->crop_y = (int32_t)device_int(0, f->height - f->crop_height);
    } else {
        f->crop_width = f->crop_height = f->crop_x = f->crop_y = 0;
    }
    slot->aligned = device_int(0, 15) != 0;
    preproc_make_pixels(f, 16);
}

/* Idle where a frame is none of the kernel's, or not of the same kind as the first one that is; how many are. */
static int choose_jobs(PreprocBatch *batch, GpudlPreprocJob *jobs)
{
    int kind = GPUDL_SHRINK_NONE, n = 0;

    preproc_batch_fill(batch, jobs);
    for (int i = 0; i < batch->count; i++) {
        const int mine = jobs[i].shrink;

        if (batch->slots[i].idle)
            continue;
        if (kind == GPUDL_SHRINK_NONE)
            kind = mine;
        if (mine == GPUDL_SHRINK_NONE || mine != kind) {
            batch->slots[i].idle = 1;
            gpudl_preproc_job_idle(&jobs[i]);
        } else {
            n++;
        }
    }
    return n;
}

static int check_batch_within(PreprocBatch *batch, double bound)
{
    const size_t bytes = preproc_batch_bytes(batch);
    GpudlPreprocJob jobs[MOST_JOBS];
    const GpudlPreprocJob *device_jobs;
    void *out = device_output(bytes, 0);
    const int n = choose_jobs(batch, jobs);

    if (gpudl_preproc_jobs_shrink(jobs, batch->count, &batch_steps) == GPUDL_SHRINK_NONE)
        device_fail("jobs are not the kernel's");
    device_jobs = device_input(jobs, (size_t)batch->count * sizeof(*jobs), 8 * (size_t)device_int(0, 1));
    device_done(gpudl_preproc_shrink_cuda(jobs, device_jobs, batch->count, batch->width, batch->height, batch->channels,
                                          batch->layout, out, NULL));
    preproc_batch_compare_within(batch, device_fetch(out, bytes), bound);
    return n;
}

static int check_batch(PreprocBatch *batch)
{
    return check_batch_within(batch, GPUDL_PREPROC_SHRINK_BOUND);
}

/* All of a frame's bytes are one value. */
static void memset_pixels(GpudlFrame *f, int value)
{
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f->format, f->width, f->height, row_bytes, rows);

    for (int p = 0; p < n; p++) {
        const size_t bytes = (size_t)f->strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p];
        uint8_t *pixels = device_host(bytes);

        memset(pixels, value, bytes);
        f->planes[p] = pixels;
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static void test_random(void)
{
    PreprocBatch batch;
    int seen = 0;
    const int cases = device_cases(200);

    for (int number = 0; number < cases; number++) {
        preproc_batch_begin(&batch, number, 60, MOST_JOBS);
        for (int i = 0; i < batch.count; i++) {
            fill_slot(&batch, &batch.slots[i], GPUDL_PIXEL_UNKNOWN, methods[device_int(0, 2)]);
            batch.slots[i].idle = device_int(0, 15) == 0;
        }
        seen += check_batch(&batch);
    }
    if (2 * seen < cases)
        device_fail("only %d frames in %d batches were the kernel's", seen, cases);
}

/* Every format with every method, alone and among others. */
static void test_formats(void)
{
    PreprocBatch batch;
    int number = 0;

    for (int format = 0; format < N_FORMATS; format++)
        for (int method = 0; method < 3; method++) {
            int seen = 0;

            for (int again = 0; again < 4; again++) {
                preproc_batch_begin(&batch, number++, 40, MOST_JOBS);
                batch.count = again % 2 == 0 ? 1 : MOST_JOBS;
                for (int i = 0; i < batch.count; i++) {
                    fill_slot(&batch, &batch.slots[i], formats[format], methods[method]);
                    batch.slots[i].pp.resize_mode = GPUDL_RESIZE_STRETCH;
                }
                seen += check_batch(&batch);
            }
            if (seen == 0)
                device_fail("no frame was the kernel's: %s", gpudl_pixel_format_name(formats[format]));
        }
}

/* Inputs of many tiles, of one row, of one column; blocks of several tiles; windows of as many steps as there are. */
static void test_sizes(void)
{
    static int steps[GPUDL_SHRINK_MOST_STEPS + 1];
    PreprocBatch batch;

    for (int number = 0; number < device_cases(60); number++) {
        preproc_batch_begin(&batch, number, 8, MOST_JOBS);
        batch.count = number % 4 == 0 ? 1 : number % 4 == 1 ? 9 : (int)device_int(2, 8);
        batch.width = number % 3 == 0 ? 1 : (int)device_int(1, 90);
        batch.height = number % 3 == 1 ? 1 : (int)device_int(1, 150);
        for (int i = 0; i < batch.count; i++) {
            PreprocSlot *slot = &batch.slots[i];

            fill_slot(&batch, slot, GPUDL_PIXEL_NV12, methods[device_int(0, 2)]);
            slot->pp.resize_mode = GPUDL_RESIZE_STRETCH;
            slot->frame.crop_width = 0;
            slot->frame.width = (int32_t)(batch.width * device_real(2, 20)) + 1;
            slot->frame.height = (int32_t)(batch.height * device_real(2, 6)) + 1;
            preproc_make_pixels(&slot->frame, 16);
        }
        check_batch(&batch);
        steps[batch_steps]++;
    }
    for (int n = 2; n <= GPUDL_SHRINK_MOST_STEPS; n++)
        if (device_cases(60) >= 60 && steps[n] == 0)
            device_fail("no batch took %d steps", n);
}

/* A constant picture stays what it is to what the general kernel is off by, wherever windows are cut off. */
static void test_constant(void)
{
    PreprocBatch batch;

    for (int number = 0; number < device_cases(30); number++) {
        preproc_batch_begin(&batch, number, 40, MOST_JOBS);
        batch.layout = GPUDL_PREPROC_NCHW_F32;
        batch.count = 1;
        fill_slot(&batch, &batch.slots[0], GPUDL_PIXEL_UNKNOWN, methods[number % 3]);
        memset_pixels(&batch.slots[0].frame, (int)device_int(0, 255));
        check_batch_within(&batch, GPUDL_PREPROC_JOB_BOUND);
    }
}

static void test_refuses(void)
{
    static const uint8_t pixels[16] = {0};
    GpudlFrame frame = {.memory = GPUDL_MEMORY_CUDA,
                        .format = GPUDL_PIXEL_GRAY8,
                        .width = 64,
                        .height = 64,
                        .planes = {device_input(pixels, sizeof(pixels), 0)},
                        .strides = {64}};
    GpudlPreproc pp = {.width = 2,
                       .height = 2,
                       .channels = 1,
                       .channel_order = GPUDL_CHANNELS_GRAY,
                       .resize_mode = GPUDL_RESIZE_STRETCH,
                       .scale_method = GPUDL_SCALE_BILINEAR_ALIASED,
                       .pixel_scale = 1,
                       .std = {1, 1, 1}};
    const GpudlPreprocLayout layout = GPUDL_PREPROC_NHWC4_F16;
    void *out = device_output(64, 0);
    GpudlPreprocJob job;

    gpudl_preproc_job_idle(&job);
    if (gpudl_preproc_shrink_cuda(&job, NULL, 1, 0, 1, 3, layout, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_shrink_cuda(&job, NULL, 1, 1, 1, 2, layout, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_shrink_cuda(&job, NULL, 65536, 1, 1, 3, layout, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_shrink_cuda(&job, NULL, 1, 1, 1, 3, (GpudlPreprocLayout)(GPUDL_PREPROC_LAYOUT_LAST + 1), out,
                                  NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    if (gpudl_preproc_job_fill(&job, &frame, &pp) != NULL)
        device_fail("the frame is refused");
    if (gpudl_preproc_shrink_cuda(&job, NULL, 1, 2, 2, 1, layout, out, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a job of points was not refused");
    device_done(gpudl_preproc_shrink_cuda(NULL, NULL, 0, 1, 1, 3, layout, out, NULL));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

static void bench(void)
{
    static const PreprocBenchCase cases[] = {
        {"NV12 1080p -> 224 bilinear, 1 frame", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR, 1, 224},
        {"NV12 1080p -> 224 bilinear, 8 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR, 8, 224},
        {"NV12 1080p -> 224 bilinear, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR, 32, 224},
        {"NV12 1080p -> 224 bicubic, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BICUBIC, 32, 224},
        {"I420 1080p -> 224 bilinear, 32 frames", GPUDL_PIXEL_I420, 1920, 1080, GPUDL_SCALE_BILINEAR, 32, 224},
    };

    preproc_bench(gpudl_preproc_shrink_cuda, cases, (int)(sizeof(cases) / sizeof(*cases)), 1);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},     {"formats", test_formats}, {"sizes", test_sizes},
                                         {"constant", test_constant}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"preproc-shrink", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
