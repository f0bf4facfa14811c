/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_bench.h"

#include "device.h"

enum { FRAMES = 64 }; /* 64 of 1080p do not fit into the second-level cache */

typedef struct {
    PreprocBenchLaunch *launch;
    GpudlPreprocJob jobs[FRAMES]; /* several batches, one behind the other */
    const GpudlPreprocJob *device_jobs;
    int count, side;
    void *out;
} Bench;

static int launch_one(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const int at = i % (FRAMES / b->count) * b->count;

    return b->launch(b->jobs + at, b->device_jobs + at, b->count, b->side, b->side, 3, GPUDL_PREPROC_NHWC4_F16, b->out,
                     stream);
}

/* Returns the frame's bytes. */
static double make_job(const PreprocBenchCase *c, GpudlPreprocJob *job)
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
    GpudlFrame f = {.memory = GPUDL_MEMORY_CUDA,
                    .format = c->format,
                    .width = c->width,
                    .height = c->height,
                    .matrix = GPUDL_MATRIX_BT709,
                    .chroma_site = GPUDL_CHROMA_H_COSITED};
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(c->format, c->width, c->height, row_bytes, rows);
    const char *fault;
    double bytes = 0;

    for (int p = 0; p < n; p++) {
        f.strides[p] = (row_bytes[p] + 255) / 256 * 256;
        f.planes[p] = device_noise((size_t)f.strides[p] * (size_t)rows[p]);
        bytes += (double)row_bytes[p] * rows[p];
    }
    fault = gpudl_preproc_job_fill(job, &f, &pp);
    if (fault != NULL)
        device_fail("%s", fault);
    return bytes;
}

void preproc_bench(PreprocBenchLaunch *launch, const PreprocBenchCase *cases, int n, int counts_input)
{
    for (int i = 0; i < n; i++) {
        const PreprocBenchCase *c = &cases[i];
        const size_t out_bytes = (size_t)c->count * (size_t)c->side * (size_t)c->side * 8;
        Bench b = {.launch = launch, .count = c->count, .side = c->side};
        double bytes = 0;

        device_case(i, "%s", c->name);
        for (int k = 0; k < FRAMES; k++)
            bytes = make_job(c, &b.jobs[k]) * c->count;
        b.device_jobs = device_input(b.jobs, sizeof(b.jobs), 0);
        b.out = device_output(out_bytes, 0);
        device_bench(c->name, launch_one, &b, FRAMES / c->count * (c->count > 8 ? 4 : 1),
                     bytes + (counts_input ? (double)out_bytes : 0));
    }
}
