/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches of random frames, formats and sizes mixed, against the reference frame by frame. */
#include "kernels/preproc_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/preproc_batch.h"

static void check_batch(const PreprocBatch *batch)
{
    const size_t bytes = preproc_batch_bytes(batch);
    GpudlPreprocJob jobs[PREPROC_BATCH_JOBS];
    void *out = device_output(bytes, 0);

    preproc_batch_fill(batch, jobs);
    device_done(
        gpudl_preproc_cuda(device_input(jobs, (size_t)batch->count * sizeof(*jobs), 8 * (size_t)device_int(0, 1)),
                           batch->count, batch->width, batch->height, batch->channels, batch->layout, out, NULL));
    preproc_batch_compare(batch, device_fetch(out, bytes));
}

static void fill_batch(PreprocBatch *batch, int most_width, int most_height)
{
    for (int i = 0; i < batch->count; i++) {
        PreprocSlot *slot = &batch->slots[i];

        slot->idle = device_int(0, 15) == 0;
        preproc_random_params(&slot->pp, batch, (GpudlScaleMethod)device_int(GPUDL_SCALE_NEAREST, GPUDL_SCALE_LAST));
        preproc_random_frame(&slot->frame, (GpudlPixelFormat)device_int(1, GPUDL_PIXEL_LAST), most_width, most_height);
        preproc_make_pixels(&slot->frame, 0);
    }
}

static void test_random(void)
{
    PreprocBatch batch;

    for (int number = 0; number < device_cases(200); number++) {
        preproc_batch_begin(&batch, number, 90, 5);
        fill_batch(&batch, 300, 300);
        check_batch(&batch);
    }
}

/* Every format with every method, in one launch each. */
static void test_formats(void)
{
    PreprocBatch batch;

    for (int method = GPUDL_SCALE_NEAREST; method <= GPUDL_SCALE_LAST; method++) {
        preproc_batch_begin(&batch, method, 60, 5);
        batch.count = GPUDL_PIXEL_LAST;
        fill_batch(&batch, 150, 100);
        for (int i = 0; i < batch.count; i++) {
            batch.slots[i].idle = 0;
            batch.slots[i].frame.format = (GpudlPixelFormat)(i + 1);
            batch.slots[i].pp.scale_method = (GpudlScaleMethod)method;
            preproc_make_pixels(&batch.slots[i].frame, 0);
        }
        check_batch(&batch);
    }
}

/* Ten bits with every method between frames of eight: windows that threads read themselves, whole and in pieces, and
 * words at odd addresses. */
static void test_words(void)
{
    PreprocBatch batch;

    for (int number = 0; number < device_cases(60); number++) {
        const int method = GPUDL_SCALE_NEAREST + number % GPUDL_SCALE_LAST, size = number / GPUDL_SCALE_LAST % 3;

        preproc_batch_begin(&batch, number, size == 0 ? 300 : 40, 5);
        batch.count = 6;
        fill_batch(&batch, 400, 200);
        for (int i = 0; i < batch.count; i++) {
            static const GpudlPixelFormat formats[] = {GPUDL_PIXEL_P010_10LE, GPUDL_PIXEL_NV12, GPUDL_PIXEL_I420_10LE};

            batch.slots[i].idle = 0;
            batch.slots[i].frame.format = formats[i % 3];
            batch.slots[i].pp.scale_method = (GpudlScaleMethod)method;
            if (size == 2 && i < 3) {
                batch.slots[i].frame.width = (int32_t)device_int(2100, 5000);
                batch.slots[i].frame.height = (int32_t)device_int(1, 30);
                batch.slots[i].frame.crop_width = 0;
            }
            preproc_make_pixels(&batch.slots[i].frame, 0);
        }
        check_batch(&batch);
    }
}

/* Another size; a crop that no longer lies in it goes. */
static void resize_frame(GpudlFrame *f, int32_t width, int32_t height)
{
    f->width = width;
    f->height = height;
    if (f->crop_x + f->crop_width > width || f->crop_y + f->crop_height > height)
        f->crop_x = f->crop_y = f->crop_width = f->crop_height = 0;
}

/* Frames whose windows are taken in pieces: wide ones, tall ones, both; inputs of several tiles; many rows at once. */
static void test_large(void)
{
    PreprocBatch batch;

    for (int number = 0; number < device_cases(30); number++) {
        preproc_batch_begin(&batch, number, 8, 5);
        batch.count = 1;
        if (number % 4 == 0) {
            fill_batch(&batch, 9000, 40);
            resize_frame(&batch.slots[0].frame, (int32_t)device_int(3000, 9000), batch.slots[0].frame.height);
        } else if (number % 4 == 1) {
            fill_batch(&batch, 20, 4000);
            resize_frame(&batch.slots[0].frame, batch.slots[0].frame.width, (int32_t)device_int(1000, 4000));
        } else if (number % 4 == 2) {
            batch.width = batch.height = 1;
            fill_batch(&batch, 20, 20);
            batch.slots[0].frame.width = (int32_t)device_int(4000, 5000);
            batch.slots[0].frame.height = (int32_t)device_int(600, 700);
            batch.slots[0].frame.crop_width = 0;
            batch.slots[0].pp.resize_mode = GPUDL_RESIZE_STRETCH;
            batch.slots[0].pp.scale_method = (GpudlScaleMethod)device_int(GPUDL_SCALE_BILINEAR, GPUDL_SCALE_LAST);
        } else {
            batch.width = (int)device_int(250, 600);
            batch.height = (int)device_int(350, 530);
            batch.count = 3;
            fill_batch(&batch, 500, 500);
        }
        for (int i = 0; i < batch.count; i++)
            preproc_make_pixels(&batch.slots[i].frame, 0);
        check_batch(&batch);
    }
}

static void test_refuses(void)
{
    void *out = device_output(64, 0);

    if (gpudl_preproc_cuda(NULL, 1, 0, 1, 3, GPUDL_PREPROC_NCHW_F32, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_cuda(NULL, 1, 1, 1, 2, GPUDL_PREPROC_NCHW_F32, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_cuda(NULL, 65536, 1, 1, 3, GPUDL_PREPROC_NCHW_F32, out, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_preproc_cuda(NULL, 1, 1, 1, 3, (GpudlPreprocLayout)(GPUDL_PREPROC_LAYOUT_LAST + 1), out, NULL) !=
            GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    device_done(gpudl_preproc_cuda(NULL, 0, 1, 1, 3, GPUDL_PREPROC_NCHW_F32, out, NULL));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

typedef struct {
    const GpudlPreprocJob *jobs; /* several batches, one behind the other */
    int count, width, height, batches;
    void *out;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_preproc_cuda(b->jobs + i % b->batches * b->count, b->count, b->width, b->height, 3,
                              GPUDL_PREPROC_NHWC4_F16, b->out, stream);
}

typedef struct {
    const char *name;
    GpudlPixelFormat format;
    int width, height;
    GpudlScaleMethod method;
    int count, input;
} BenchCase;

static void bench_one(const BenchCase *c)
{
    enum { FRAMES = 64 }; /* 64 of 1080p do not fit into the second-level cache */
    const GpudlPreproc pp = {.width = c->input,
                             .height = c->input,
                             .channels = 3,
                             .channel_order = GPUDL_CHANNELS_RGB,
                             .resize_mode = GPUDL_RESIZE_STRETCH,
                             .scale_method = c->method,
                             .pixel_scale = 255,
                             .mean = {.485f, .456f, .406f},
                             .std = {.229f, .224f, .225f}};
    GpudlPreprocJob jobs[FRAMES];
    Bench b = {.count = c->count, .width = c->input, .height = c->input, .batches = FRAMES / c->count};
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(c->format, c->width, c->height, row_bytes, rows);
    const size_t out_bytes = (size_t)c->count * (size_t)c->input * (size_t)c->input * 8;
    double bytes = 0;

    for (int i = 0; i < FRAMES; i++) {
        GpudlFrame f = {.memory = GPUDL_MEMORY_CUDA,
                        .format = c->format,
                        .width = c->width,
                        .height = c->height,
                        .matrix = GPUDL_MATRIX_BT709,
                        .chroma_site = GPUDL_CHROMA_H_COSITED};
        const char *fault;

        bytes = 0;
        for (int p = 0; p < n; p++) {
            f.strides[p] = (row_bytes[p] + 255) / 256 * 256;
            f.planes[p] = device_noise((size_t)f.strides[p] * (size_t)rows[p]);
            bytes += (double)row_bytes[p] * rows[p];
        }
        fault = gpudl_preproc_job_fill(&jobs[i], &f, &pp);
        if (fault != NULL)
            device_fail("%s", fault);
    }
    b.jobs = device_input(jobs, sizeof(jobs), 0);
    b.out = device_output(out_bytes, 0);
    device_bench(c->name, launch, &b, FRAMES / c->count * (c->count > 8 ? 4 : 1), bytes * c->count + (double)out_bytes);
}

static void bench(void)
{
    static const BenchCase cases[] = {
        {"NV12 1080p -> 224 bilinear, 1 frame", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR, 1, 224},
        {"NV12 1080p -> 224 bilinear, 8 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR, 8, 224},
        {"NV12 1080p -> 224 bilinear, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR, 32, 224},
        {"NV12 1080p -> 224 bicubic, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BICUBIC, 32, 224},
        {"NV12 1080p -> 224 area, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_AREA, 32, 224},
        {"NV12 1080p -> 224 nearest, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_NEAREST, 32, 224},
        {"I420 1080p -> 224 bilinear, 32 frames", GPUDL_PIXEL_I420, 1920, 1080, GPUDL_SCALE_BILINEAR, 32, 224},
        {"P010 1080p -> 224 bilinear, 1 frame", GPUDL_PIXEL_P010_10LE, 1920, 1080, GPUDL_SCALE_BILINEAR, 1, 224},
        {"P010 1080p -> 224 bilinear, 32 frames", GPUDL_PIXEL_P010_10LE, 1920, 1080, GPUDL_SCALE_BILINEAR, 32, 224},
        {"RGBA 1080p -> 224 bilinear, 32 frames", GPUDL_PIXEL_RGBA, 1920, 1080, GPUDL_SCALE_BILINEAR, 32, 224},
        {"RGB 640x480 -> 224 bilinear, 1 frame", GPUDL_PIXEL_RGB, 640, 480, GPUDL_SCALE_BILINEAR, 1, 224},
        {"RGB 640x480 -> 224 bilinear, 32 frames", GPUDL_PIXEL_RGB, 640, 480, GPUDL_SCALE_BILINEAR, 32, 224},
        {"NV12 1080p -> 224 aliased, 1 frame", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 1, 224},
        {"NV12 1080p -> 224 aliased, 32 frames", GPUDL_PIXEL_NV12, 1920, 1080, GPUDL_SCALE_BILINEAR_ALIASED, 32, 224},
        {"RGB 64x64 -> 224 bilinear, 32 frames", GPUDL_PIXEL_RGB, 64, 64, GPUDL_SCALE_BILINEAR, 32, 224},
        {"NV12 2160p -> 448 bilinear, 8 frames", GPUDL_PIXEL_NV12, 3840, 2160, GPUDL_SCALE_BILINEAR, 8, 448},
    };

    for (int i = 0; i < (int)(sizeof(cases) / sizeof(*cases)); i++) {
        device_case(i, "%s", cases[i].name);
        bench_one(&cases[i]);
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random}, {"formats", test_formats}, {"words", test_words},
                                         {"large", test_large},   {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"preproc", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
