/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches of random frames, formats and sizes mixed, against the reference frame by frame. */
#include <math.h>
#include <string.h>

#include "kernels/preproc_cuda.h"
#include "tests/kernels/device.h"

#define MOST_JOBS 64

typedef struct {
    GpudlFrame frame; /* in host memory */
    GpudlPreproc pp;
    int idle;
} Slot;

typedef struct {
    int count, width, height, channels;
    GpudlPreprocLayout layout;
    Slot slots[MOST_JOBS];
} Batch;

static int32_t random_side(int most)
{
    switch (device_int(0, 9)) {
    case 0:
        return 1;
    case 1:
        return (int32_t)device_int(2, 5);
    case 2:
        return (int32_t)device_int(1, most);
    default:
        return (int32_t)device_int(1, most / 4 + 1);
    }
}

static void random_frame(GpudlFrame *f, int most_width, int most_height)
{
    *f = (GpudlFrame){GPUDL_MEMORY_HOST};
    f->format = (GpudlPixelFormat)device_int(1, GPUDL_PIXEL_LAST);
    f->width = random_side(most_width);
    f->height = random_side(most_height);
    f->matrix = (GpudlMatrix)device_int(0, GPUDL_MATRIX_LAST);
    f->range = (GpudlRange)device_int(0, 1);
    f->chroma_site = (GpudlChromaSite)device_int(0, 3);
    f->par_n = (int32_t)device_int(0, 4);
    f->par_d = (int32_t)device_int(0, 4);
    if (device_int(0, 1)) {
        f->crop_width = (int32_t)device_int(1, f->width);
        f->crop_height = (int32_t)device_int(1, f->height);
        f->crop_x = (int32_t)device_int(0, f->width - f->crop_width);
        f->crop_y = (int32_t)device_int(0, f->height - f->crop_height);
    }
}

static void random_preproc(GpudlPreproc *pp, const Batch *batch)
{
    *pp = (GpudlPreproc){.width = batch->width, .height = batch->height, .channels = batch->channels};
    pp->channel_order = batch->channels == 1 ? GPUDL_CHANNELS_GRAY
                                             : (GpudlChannelOrder)device_int(GPUDL_CHANNELS_RGB, GPUDL_CHANNELS_BGR);
    pp->resize_mode = (GpudlResizeMode)device_int(GPUDL_RESIZE_STRETCH, GPUDL_RESIZE_LAST);
    pp->scale_method = (GpudlScaleMethod)device_int(GPUDL_SCALE_NEAREST, GPUDL_SCALE_LAST);
    pp->crop_fraction = (float)device_real(0.3, 1);
    pp->pad_color = (uint32_t)device_int(0, 0xffffff);
    pp->pixel_scale = device_int(0, 1) ? 255.f : 1.f;
    for (int i = 0; i < 3; i++) {
        pp->mean[i] = (float)device_real(-1, 1) * 255.f / pp->pixel_scale;
        pp->std[i] = (float)device_real(0.2, 1) * 255.f / pp->pixel_scale;
    }
}

/* Pixels: noise, extremes by chance, all white. Strides of every alignment. */
static void make_pixels(GpudlFrame *f)
{
    const int pattern = (int)device_int(0, 3);
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f->format, f->width, f->height, row_bytes, rows);

    for (int p = 0; p < n; p++) {
        static const int alignments[] = {1, 1, 4, 8, 8, 16};
        const int alignment = alignments[device_int(0, 5)];
        uint8_t *pixels;
        size_t bytes;

        f->strides[p] = row_bytes[p] + (int32_t)(device_int(0, 1) * device_int(0, 70));
        f->strides[p] = (f->strides[p] + alignment - 1) / alignment * alignment;
        bytes = (size_t)f->strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p];
        f->planes[p] = pixels = device_host(bytes);
        for (size_t i = 0; i < bytes; i++) {
            const uint64_t bits = device_bits();

            pixels[i] = (uint8_t)(pattern == 0 ? 255 : pattern == 1 ? (bits & 1) * 255 : bits);
        }
    }
}

static const char *fill_job(GpudlPreprocJob *job, const Slot *slot)
{
    GpudlFrame f = slot->frame;
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f.format, f.width, f.height, row_bytes, rows);

    f.memory = GPUDL_MEMORY_CUDA;
    for (int p = 0; p < n; p++) {
        /* half of the planes begin where an allocation does */
        const size_t offset = (size_t)(device_int(0, 1) * device_int(0, 15));

        f.planes[p] =
            device_input(f.planes[p], (size_t)f.strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p], offset);
    }
    return gpudl_preproc_job_fill(job, &f, &slot->pp);
}

static double output_at(const Batch *batch, const void *out, int slot, int c, size_t pixel)
{
    const size_t plane = (size_t)batch->width * (size_t)batch->height;

    if (batch->layout == GPUDL_PREPROC_NCHW_F32)
        return ((const float *)out)[((size_t)slot * (size_t)batch->channels + (size_t)c) * plane + pixel];
    if (batch->layout == GPUDL_PREPROC_NHWC4_F32)
        return ((const float *)out)[((size_t)slot * plane + pixel) * 4 + (size_t)c];
    return device_get(batch->layout == GPUDL_PREPROC_NHWC4_F16 ? GPUDL_DTYPE_F16 : GPUDL_DTYPE_BF16, out,
                      (int64_t)((size_t)slot * plane + pixel) * 4 + c);
}

static void compare_slot(const Batch *batch, int number, const void *out)
{
    const Slot *slot = &batch->slots[number];
    const GpudlPreproc *pp = &slot->pp;
    const size_t plane = (size_t)batch->width * (size_t)batch->height;
    const int stored = batch->layout == GPUDL_PREPROC_NCHW_F32 ? batch->channels : 4;
    float *expected = device_host(plane * 3 * sizeof(*expected));

    if (!slot->idle && gpudl_preproc_ref(&slot->frame, pp, expected) != 0)
        device_fail("the reference refuses slot %d", number);
    for (int c = 0; c < stored; c++)
        for (size_t i = 0; i < plane; i++) {
            const double got = output_at(batch, out, number, c, i);
            const double wanted = c < batch->channels ? expected[(size_t)c * plane + i] : 0;
            const double unit = c < batch->channels ? (double)pp->pixel_scale * pp->std[c] : 1;
            double bound = c < batch->channels && !slot->idle ? GPUDL_PREPROC_JOB_BOUND : 0;

            if (batch->layout == GPUDL_PREPROC_NHWC4_F16)
                bound += fabs(wanted * unit) * 0x1p-11 + 0x1p-24 * unit;
            if (batch->layout == GPUDL_PREPROC_NHWC4_BF16)
                bound += fabs(wanted * unit) * 0x1p-8 + 0x1p-133 * unit;
            if (!(fabs(got - wanted) * unit <= bound)) {
                const GpudlFrame *f = &slot->frame;

                device_fail(
                    "slot %d channel %d at %d,%d: found %.7g, expected %.7g (%.4g of 255, bound %.4g): %s %dx%d "
                    "strides %d %d %d crop %d,%d %dx%d matrix %d range %d site %d par %d/%d order %d mode %d "
                    "method %d fraction %g",
                    number, c, (int)(i % (size_t)batch->width), (int)(i / (size_t)batch->width), got, wanted,
                    fabs(got - wanted) * unit, bound, gpudl_pixel_format_name(f->format), f->width, f->height,
                    f->strides[0], f->strides[1], f->strides[2], f->crop_x, f->crop_y, f->crop_width, f->crop_height,
                    f->matrix, f->range, f->chroma_site, f->par_n, f->par_d, pp->channel_order, pp->resize_mode,
                    pp->scale_method, (double)pp->crop_fraction);
            }
        }
}

static void check_batch(const Batch *batch)
{
    const size_t pixels = (size_t)batch->count * (size_t)batch->width * (size_t)batch->height;
    const size_t bytes = batch->layout == GPUDL_PREPROC_NCHW_F32    ? pixels * (size_t)batch->channels * 4
                         : batch->layout == GPUDL_PREPROC_NHWC4_F32 ? pixels * 16
                                                                    : pixels * 8;
    GpudlPreprocJob jobs[MOST_JOBS];
    void *out = device_output(bytes, 0);
    const void *got;

    for (int i = 0; i < batch->count; i++) {
        const char *fault = NULL;

        if (batch->slots[i].idle)
            gpudl_preproc_job_idle(&jobs[i]);
        else
            fault = fill_job(&jobs[i], &batch->slots[i]);
        if (fault != NULL)
            device_fail("slot %d: %s", i, fault);
    }
    device_done(
        gpudl_preproc_cuda(device_input(jobs, (size_t)batch->count * sizeof(*jobs), 8 * (size_t)device_int(0, 1)),
                           batch->count, batch->width, batch->height, batch->channels, batch->layout, out, NULL));
    got = device_fetch(out, bytes);
    for (int i = 0; i < batch->count; i++)
        compare_slot(batch, i, got);
}

static void begin_batch(Batch *batch, int number, int most_input)
{
    memset(batch, 0, sizeof(*batch));
    device_case(number, "batch");
    batch->width = (int)device_int(1, most_input);
    batch->height = (int)device_int(1, most_input);
    batch->channels = device_int(0, 3) ? 3 : 1;
    batch->layout = (GpudlPreprocLayout)device_int(0, GPUDL_PREPROC_LAYOUT_LAST);
    batch->count = (int)device_int(1, 5);
    device_note(" of %d to %dx%dx%d layout %d", batch->count, batch->channels, batch->height, batch->width,
                batch->layout);
}

static void fill_batch(Batch *batch, int most_width, int most_height)
{
    for (int i = 0; i < batch->count; i++) {
        Slot *slot = &batch->slots[i];

        slot->idle = device_int(0, 15) == 0;
        random_preproc(&slot->pp, batch);
        random_frame(&slot->frame, most_width, most_height);
        make_pixels(&slot->frame);
    }
}

static void test_random(void)
{
    Batch batch;

    for (int number = 0; number < device_cases(200); number++) {
        begin_batch(&batch, number, 90);
        fill_batch(&batch, 300, 300);
        check_batch(&batch);
    }
}

/* Every format with every method, in one launch each. */
static void test_formats(void)
{
    Batch batch;

    for (int method = GPUDL_SCALE_NEAREST; method <= GPUDL_SCALE_LAST; method++) {
        begin_batch(&batch, method, 60);
        batch.count = GPUDL_PIXEL_LAST;
        fill_batch(&batch, 150, 100);
        for (int i = 0; i < batch.count; i++) {
            batch.slots[i].idle = 0;
            batch.slots[i].frame.format = (GpudlPixelFormat)(i + 1);
            batch.slots[i].pp.scale_method = (GpudlScaleMethod)method;
            make_pixels(&batch.slots[i].frame);
        }
        check_batch(&batch);
    }
}

/* Ten bits with every method between frames of eight: windows that threads read themselves, whole and in pieces, and
 * words at odd addresses. */
static void test_words(void)
{
    Batch batch;

    for (int number = 0; number < device_cases(60); number++) {
        const int method = GPUDL_SCALE_NEAREST + number % GPUDL_SCALE_LAST, size = number / GPUDL_SCALE_LAST % 3;

        begin_batch(&batch, number, size == 0 ? 300 : 40);
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
            make_pixels(&batch.slots[i].frame);
        }
        check_batch(&batch);
    }
}

/* Frames whose windows are taken in pieces: wide ones, tall ones, both; inputs of several tiles; many rows at once. */
/* Another size; a crop that no longer lies in it goes. */
static void resize_frame(GpudlFrame *f, int32_t width, int32_t height)
{
    f->width = width;
    f->height = height;
    if (f->crop_x + f->crop_width > width || f->crop_y + f->crop_height > height)
        f->crop_x = f->crop_y = f->crop_width = f->crop_height = 0;
}

static void test_large(void)
{
    Batch batch;

    for (int number = 0; number < device_cases(30); number++) {
        begin_batch(&batch, number, 8);
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
            make_pixels(&batch.slots[i].frame);
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
