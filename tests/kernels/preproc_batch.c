/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_batch.h"

#include <math.h>
#include <string.h>

#include "device.h"

/* ---- random batches ---------------------------------------------------------------------------------------------- */

void preproc_batch_begin(PreprocBatch *batch, int number, int most_input, int most_count)
{
    memset(batch, 0, sizeof(*batch));
    device_case(number, "batch");
    batch->width = (int)device_int(1, most_input);
    batch->height = (int)device_int(1, most_input);
    batch->channels = device_int(0, 3) ? 3 : 1;
    batch->layout = (GpudlPreprocLayout)device_int(0, GPUDL_PREPROC_LAYOUT_LAST);
    batch->count = device_int(0, 1) ? 1 : (int)device_int(2, most_count);
    device_note(" of %d to %dx%dx%d layout %d", batch->count, batch->channels, batch->height, batch->width,
                batch->layout);
}

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

void preproc_random_frame(GpudlFrame *f, GpudlPixelFormat format, int most_width, int most_height)
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

void preproc_random_params(GpudlPreproc *pp, const PreprocBatch *batch, GpudlScaleMethod method)
{
    *pp = (GpudlPreproc){.width = batch->width, .height = batch->height, .channels = batch->channels};
    pp->channel_order = batch->channels == 1 ? GPUDL_CHANNELS_GRAY
                                             : (GpudlChannelOrder)device_int(GPUDL_CHANNELS_RGB, GPUDL_CHANNELS_BGR);
    pp->resize_mode = (GpudlResizeMode)device_int(GPUDL_RESIZE_STRETCH, GPUDL_RESIZE_LAST);
    pp->scale_method = method;
    pp->crop_fraction = (float)device_real(0.3, 1);
    pp->pad_color = (uint32_t)device_int(0, 0xffffff);
    pp->pixel_scale = device_int(0, 1) ? 255.f : 1.f;
    for (int i = 0; i < 3; i++) {
        pp->mean[i] = (float)device_real(-1, 1) * 255.f / pp->pixel_scale;
        pp->std[i] = (float)device_real(0.2, 1) * 255.f / pp->pixel_scale;
    }
}

void preproc_make_pixels(GpudlFrame *f, int alignment)
{
    const int pattern = (int)device_int(0, 3);
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f->format, f->width, f->height, row_bytes, rows);

    for (int p = 0; p < n; p++) {
        static const int alignments[] = {1, 1, 4, 8, 8, 16};
        const int multiple = alignment > 0 ? alignment : alignments[device_int(0, 5)];
        uint8_t *pixels;
        size_t bytes;

        f->strides[p] = row_bytes[p] + (int32_t)(device_int(0, 1) * device_int(0, 70));
        f->strides[p] = (f->strides[p] + multiple - 1) / multiple * multiple;
        bytes = (size_t)f->strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p];
        f->planes[p] = pixels = device_host(bytes);
        for (size_t i = 0; i < bytes; i++) {
            const uint64_t bits = device_bits();

            pixels[i] = (uint8_t)(pattern == 0 ? 255 : pattern == 1 ? (bits & 1) * 255 : bits);
        }
    }
}

/* ---- against the reference --------------------------------------------------------------------------------------- */

static const char *fill_job(GpudlPreprocJob *job, const PreprocSlot *slot)
{
    GpudlFrame f = slot->frame;
    int32_t row_bytes[4], rows[4];
    const int n = gpudl_pixel_format_layout(f.format, f.width, f.height, row_bytes, rows);

    f.memory = GPUDL_MEMORY_CUDA;
    for (int p = 0; p < n; p++) {
        /* half of the planes begin where an allocation does */
        const size_t offset = slot->aligned ? 0 : (size_t)(device_int(0, 1) * device_int(0, 15));

        f.planes[p] =
            device_input(f.planes[p], (size_t)f.strides[p] * (size_t)(rows[p] - 1) + (size_t)row_bytes[p], offset);
    }
    return gpudl_preproc_job_fill(job, &f, &slot->pp);
}

void preproc_batch_fill(const PreprocBatch *batch, GpudlPreprocJob *jobs)
{
    for (int i = 0; i < batch->count; i++) {
        const char *fault = NULL;

        if (batch->slots[i].idle)
            gpudl_preproc_job_idle(&jobs[i]);
        else
            fault = fill_job(&jobs[i], &batch->slots[i]);
        if (fault != NULL)
            device_fail("slot %d: %s", i, fault);
    }
}

size_t preproc_batch_bytes(const PreprocBatch *batch)
{
    const size_t pixels = (size_t)batch->count * (size_t)batch->width * (size_t)batch->height;

    return batch->layout == GPUDL_PREPROC_NCHW_F32    ? pixels * (size_t)batch->channels * 4
           : batch->layout == GPUDL_PREPROC_NHWC4_F32 ? pixels * 16
                                                      : pixels * 8;
}

static double output_at(const PreprocBatch *batch, const void *out, int slot, int c, size_t pixel)
{
    const size_t plane = (size_t)batch->width * (size_t)batch->height;

    if (batch->layout == GPUDL_PREPROC_NCHW_F32)
        return ((const float *)out)[((size_t)slot * (size_t)batch->channels + (size_t)c) * plane + pixel];
    if (batch->layout == GPUDL_PREPROC_NHWC4_F32)
        return ((const float *)out)[((size_t)slot * plane + pixel) * 4 + (size_t)c];
    return device_get(batch->layout == GPUDL_PREPROC_NHWC4_F16 ? GPUDL_DTYPE_F16 : GPUDL_DTYPE_BF16, out,
                      (int64_t)((size_t)slot * plane + pixel) * 4 + c);
}

static void fail_value(const PreprocBatch *batch, int number, int c, size_t pixel, double got, double wanted,
                       double bound)
{
    const PreprocSlot *slot = &batch->slots[number];
    const GpudlFrame *f = &slot->frame;
    const GpudlPreproc *pp = &slot->pp;

    device_fail("slot %d channel %d at %d,%d: found %.7g, expected %.7g (bound %.4g of 255): %s %dx%d "
                "strides %d %d %d crop %d,%d %dx%d matrix %d range %d site %d par %d/%d order %d mode %d method %d "
                "fraction %g",
                number, c, (int)(pixel % (size_t)batch->width), (int)(pixel / (size_t)batch->width), got, wanted, bound,
                gpudl_pixel_format_name(f->format), f->width, f->height, f->strides[0], f->strides[1], f->strides[2],
                f->crop_x, f->crop_y, f->crop_width, f->crop_height, f->matrix, f->range, f->chroma_site, f->par_n,
                f->par_d, pp->channel_order, pp->resize_mode, pp->scale_method, (double)pp->crop_fraction);
}

static void compare_slot(const PreprocBatch *batch, int number, const void *out, double most)
{
    const PreprocSlot *slot = &batch->slots[number];
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
            double bound = c < batch->channels && !slot->idle ? most : 0;

            /* half a step of the type, or of its smallest numbers */
            if (batch->layout == GPUDL_PREPROC_NHWC4_F16)
                bound += fabs(wanted * unit) * 0x1p-11 + 0x1p-24 * unit;
            if (batch->layout == GPUDL_PREPROC_NHWC4_BF16)
                bound += fabs(wanted * unit) * 0x1p-8 + 0x1p-133 * unit;
            if (!(fabs(got - wanted) * unit <= bound))
                fail_value(batch, number, c, i, got, wanted, bound);
        }
}

void preproc_batch_compare_within(const PreprocBatch *batch, const void *got, double bound)
{
    for (int i = 0; i < batch->count; i++)
        compare_slot(batch, i, got, bound);
}

void preproc_batch_compare(const PreprocBatch *batch, const void *got)
{
    preproc_batch_compare_within(batch, got, GPUDL_PREPROC_JOB_BOUND);
}
