/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches of frames that are made of 2 x 2 samples each, all ways to fetch them, against the reference frame by frame.
 */
#include <math.h>
#include <string.h>

#include "kernels/preproc_points_cuda.h"
#include "tests/kernels/device.h"

#define MOST_JOBS (GPUDL_PREPROC_CARRIED_JOBS + 6)

typedef struct {
    GpudlFrame frame; /* in host memory */
    GpudlPreproc pp;
    int idle, points; /* points: how it was fetched at last */
} Slot;

typedef struct {
    int count, width, height, channels;
    GpudlPreprocLayout layout;
    Slot slots[MOST_JOBS];
} Batch;

static int seen[GPUDL_POINTS_ODD_WORDS + 1]; /* jobs by points */

/* ---- random batches ---------------------------------------------------------------------------------------------- */

static int32_t random_side(int most)
{
    switch (device_int(0, 9)) {
    case 0:
        return 1;
    case 1:
        return (int32_t)device_int(2, 5);
    default:
        return (int32_t)device_int(1, most);
    }
}

static void random_frame(GpudlFrame *f, GpudlPixelFormat format, int most_width, int most_height)
{
    *f = (GpudlFrame){.memory = GPUDL_MEMORY_HOST, .format = format};
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
    pp->scale_method = GPUDL_SCALE_BILINEAR_ALIASED;
    pp->crop_fraction = (float)device_real(0.3, 1);
    pp->pad_color = (uint32_t)device_int(0, 0xffffff);
    pp->pixel_scale = device_int(0, 1) ? 255.f : 1.f;
    for (int i = 0; i < 3; i++) {
        pp->mean[i] = (float)device_real(-1, 1) * 255.f / pp->pixel_scale;
        pp->std[i] = (float)device_real(0.2, 1) * 255.f / pp->pixel_scale;
    }
}

/* Noise, extremes by chance, all white; strides that are multiples of alignment. */
static void make_pixels(GpudlFrame *f, int alignment)
{
    const int pattern = (int)device_int(0, 3);
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f->format, f->width, f->height, row_bytes, rows);

    for (int p = 0; p < n; p++) {
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

static void begin_batch(Batch *batch, int number, int most_input)
{
    memset(batch, 0, sizeof(*batch));
    device_case(number, "batch");
    batch->width = (int)device_int(1, most_input);
    batch->height = (int)device_int(1, most_input);
    batch->channels = device_int(0, 3) ? 3 : 1;
    batch->layout = (GpudlPreprocLayout)device_int(0, GPUDL_PREPROC_LAYOUT_LAST);
    batch->count = device_int(0, 1) ? 1 : (int)device_int(2, MOST_JOBS);
    device_note(" of %d to %dx%dx%d layout %d", batch->count, batch->channels, batch->height, batch->width,
                batch->layout);
}

/* format UNKNOWN: any */
static void fill_slot(Batch *batch, Slot *slot, GpudlPixelFormat format, int most_side)
{
    static const int alignments[] = {1, 2, 4, 4, 16};

    if (format == GPUDL_PIXEL_UNKNOWN)
        format = (GpudlPixelFormat)device_int(1, GPUDL_PIXEL_LAST);
    random_preproc(&slot->pp, batch);
    random_frame(&slot->frame, format, most_side, most_side);
    make_pixels(&slot->frame, alignments[device_int(0, 4)]);
}

/* ---- against the reference --------------------------------------------------------------------------------------- */

static const char *fill_job(GpudlPreprocJob *job, Slot *slot)
{
    GpudlFrame f = slot->frame;
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f.format, f.width, f.height, row_bytes, rows);
    const char *fault;

    f.memory = GPUDL_MEMORY_CUDA;
    for (int p = 0; p < n; p++) {
        static const size_t offsets[] = {0, 0, 0, 1, 2, 4, 6, 7};

        f.planes[p] = device_input(f.planes[p], (size_t)f.strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p],
                                   offsets[device_int(0, 7)]);
    }
    fault = gpudl_preproc_job_fill(job, &f, &slot->pp);
    slot->points = job->points;
    seen[slot->points]++;
    return fault;
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

static void fail_value(const Batch *batch, int number, int c, size_t pixel, double got, double wanted, double bound)
{
    const Slot *slot = &batch->slots[number];
    const GpudlFrame *f = &slot->frame;
    const GpudlPreproc *pp = &slot->pp;

    device_fail("slot %d channel %d at %d,%d: found %.7g, expected %.7g (bound %.4g of 255): points %d %s %dx%d "
                "strides %d %d %d crop %d,%d %dx%d matrix %d range %d site %d par %d/%d order %d mode %d method %d "
                "fraction %g",
                number, c, (int)(pixel % (size_t)batch->width), (int)(pixel / (size_t)batch->width), got, wanted, bound,
                slot->points, gpudl_pixel_format_name(f->format), f->width, f->height, f->strides[0], f->strides[1],
                f->strides[2], f->crop_x, f->crop_y, f->crop_width, f->crop_height, f->matrix, f->range, f->chroma_site,
                f->par_n, f->par_d, pp->channel_order, pp->resize_mode, pp->scale_method, (double)pp->crop_fraction);
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

            /* half a step of the type, or of its smallest numbers */
            if (batch->layout == GPUDL_PREPROC_NHWC4_F16)
                bound += fabs(wanted * unit) * 0x1p-11 + 0x1p-24 * unit;
            if (batch->layout == GPUDL_PREPROC_NHWC4_BF16)
                bound += fabs(wanted * unit) * 0x1p-8 + 0x1p-133 * unit;
            if (!(fabs(got - wanted) * unit <= bound))
                fail_value(batch, number, c, i, got, wanted, bound);
        }
}

static void check_batch(Batch *batch)
{
    const size_t pixels = (size_t)batch->count * (size_t)batch->width * (size_t)batch->height;
    const size_t bytes = batch->layout == GPUDL_PREPROC_NCHW_F32    ? pixels * (size_t)batch->channels * 4
                         : batch->layout == GPUDL_PREPROC_NHWC4_F32 ? pixels * 16
                                                                    : pixels * 8;
    const int carried = batch->count <= GPUDL_PREPROC_CARRIED_JOBS;
    GpudlPreprocJob jobs[MOST_JOBS];
    const GpudlPreprocJob *device_jobs = NULL;
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
    if (!carried)
        device_jobs = device_input(jobs, (size_t)batch->count * sizeof(*jobs), 8 * (size_t)device_int(0, 1));
    device_done(gpudl_preproc_points_cuda(jobs, device_jobs, batch->count, batch->width, batch->height, batch->channels,
                                          batch->layout, out, NULL));
    got = device_fetch(out, bytes);
    for (int i = 0; i < batch->count; i++)
        compare_slot(batch, i, got);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static void test_random(void)
{
    Batch batch;

    for (int number = 0; number < device_cases(200); number++) {
        begin_batch(&batch, number, 60);
        for (int i = 0; i < batch.count; i++) {
            fill_slot(&batch, &batch.slots[i], GPUDL_PIXEL_UNKNOWN, 200);
            batch.slots[i].idle = device_int(0, 15) == 0;
        }
        check_batch(&batch);
    }
}

/* Every format, alone and in one launch of all; each way to fetch samples is met. */
static void test_formats(void)
{
    Batch batch;
    int number = 0;

    memset(seen, 0, sizeof(seen));
    for (int format = 1; format <= GPUDL_PIXEL_LAST; format++)
        for (int again = 0; again < 8; again++) {
            begin_batch(&batch, number++, 30);
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
    Batch batch;

    for (int number = 0; number < device_cases(40); number++) {
        begin_batch(&batch, number, 8);
        if (number % 4 == 0) {
            batch.width = (int)device_int(250, 600);
            batch.height = (int)device_int(1, 9);
        }
        if (number % 4 == 1)
            batch.width = batch.height = (int)device_int(80, 120);
        for (int i = 0; i < batch.count; i++) {
            Slot *slot = &batch.slots[i];

            fill_slot(&batch, slot, GPUDL_PIXEL_UNKNOWN, number % 4 == 1 ? 80 : 40);
            if (number % 4 == 1) {
                slot->pp.scale_method = GPUDL_SCALE_BILINEAR;
                slot->pp.resize_mode = GPUDL_RESIZE_STRETCH;
            } else if (number % 4 > 1) {
                slot->frame.crop_width = 0;
                slot->frame.width = number % 4 == 2 ? 1 : (int32_t)device_int(1000, 3000);
                slot->frame.height = number % 4 == 2 ? (int32_t)device_int(1000, 3000) : 1;
            }
            make_pixels(&slot->frame, 4);
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
        count = (int32_t)device_int(0, 5 * GPUDL_PREPROC_CARRIED_JOBS);
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

enum { FRAMES = 64 }; /* 64 of 1080p do not fit into the second-level cache */

typedef struct {
    GpudlPreprocJob jobs[FRAMES]; /* several batches, one behind the other */
    const GpudlPreprocJob *device_jobs;
    int count, side;
    void *out;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const int at = i % (FRAMES / b->count) * b->count;

    return gpudl_preproc_points_cuda(b->jobs + at, b->device_jobs + at, b->count, b->side, b->side, 3,
                                     GPUDL_PREPROC_NHWC4_F16, b->out, stream);
}

typedef struct {
    const char *name;
    GpudlPixelFormat format;
    int width, height;
    GpudlScaleMethod method;
    int count, side;
} BenchCase;

/* bytes: of the frames, all of them, though less is read */
static void bench_one(const BenchCase *c)
{
    const GpudlPreproc pp = {.width = c->side,
                             .height = c->side,
                             .channels = 3,
                             .channel_order = GPUDL_CHANNELS_RGB,
                             .resize_mode = GPUDL_RESIZE_STRETCH,
                             .scale_method = c->method,
                             .pixel_scale = 255,
                             .mean = {.485f, .456f, .406f},
                             .std = {.229f, .224f, .225f}};
    Bench b = {.count = c->count, .side = c->side};
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(c->format, c->width, c->height, row_bytes, rows);
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
        fault = gpudl_preproc_job_fill(&b.jobs[i], &f, &pp);
        if (fault != NULL)
            device_fail("%s", fault);
    }
    b.device_jobs = device_input(b.jobs, sizeof(b.jobs), 0);
    b.out = device_output((size_t)c->count * (size_t)c->side * (size_t)c->side * 8, 0);
    device_bench(c->name, launch, &b, FRAMES / c->count * (c->count > 8 ? 4 : 1), bytes * c->count);
}

static void bench(void)
{
    static const BenchCase cases[] = {
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

    for (int i = 0; i < (int)(sizeof(cases) / sizeof(*cases)); i++) {
        device_case(i, "%s", cases[i].name);
        bench_one(&cases[i]);
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random}, {"formats", test_formats}, {"sizes", test_sizes},
                                         {"put", test_put},       {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"preproc-points", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
