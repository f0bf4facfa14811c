/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which kernel batches of frames go by, and where their jobs are then. */
#include <glib.h>

#include "engine/cuda/engine.h"

enum { NONE, GENERAL, POINTS, SHRINK };

static int kernel;        /* that was launched */
static gboolean jobs_put; /* on the device, before that */
static gboolean alike;    /* what points are said to be */

/* ---- launchers --------------------------------------------------------------------------------------------------- */

int gpudl_preproc_put_jobs_cuda(const GpudlPreprocJob *jobs, int32_t count, GpudlPreprocJob *device_jobs,
                                GpudlKernelStream stream)
{
    (void)stream;
    for (int32_t i = 0; i < count; i++)
        device_jobs[i] = jobs[i];
    jobs_put = TRUE;
    return GPUDL_KERNEL_OK;
}

int gpudl_preproc_cuda(const GpudlPreprocJob *jobs, int32_t count, int32_t width, int32_t height, int32_t channels,
                       GpudlPreprocLayout layout, void *out, GpudlKernelStream stream)
{
    (void)jobs, (void)count, (void)width, (void)height, (void)channels, (void)layout, (void)out, (void)stream;
    kernel = GENERAL;
    return GPUDL_KERNEL_OK;
}

int gpudl_preproc_points_carried(const GpudlPreprocJob *of, int32_t count)
{
    (void)of, (void)count;
    return alike;
}

int gpudl_preproc_points_cuda(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                              int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout, void *out,
                              GpudlKernelStream stream)
{
    (void)jobs, (void)device_jobs, (void)count, (void)width, (void)height, (void)channels, (void)layout, (void)out,
        (void)stream;
    kernel = POINTS;
    return GPUDL_KERNEL_OK;
}

int gpudl_preproc_shrink_cuda(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                              int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout, void *out,
                              GpudlKernelStream stream)
{
    (void)jobs, (void)device_jobs, (void)count, (void)width, (void)height, (void)channels, (void)layout, (void)out,
        (void)stream;
    kernel = SHRINK;
    return GPUDL_KERNEL_OK;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

#define MOST (GPUDL_PREPROC_SHRINK_CARRIED_JOBS + 1)

static CudaDevice device;
static CudaEngine engine;
static GpudlPreprocJob jobs[MOST], device_jobs[MOST];
static CudaSlot slot = {.jobs = jobs, .device_jobs = device_jobs};

static void fill(int i, GpudlPixelFormat format, GpudlScaleMethod method)
{
    static const _Alignas(16) guint8 pixels[16] = {0}; /* never read */
    const GpudlFrame frame = {
        .format = format, .width = 64, .height = 64, .planes = {pixels, pixels, pixels}, .strides = {256, 256, 256}};
    const GpudlPreproc pp = {.width = 8,
                             .height = 8,
                             .channels = 3,
                             .channel_order = GPUDL_CHANNELS_RGB,
                             .resize_mode = GPUDL_RESIZE_STRETCH,
                             .scale_method = method,
                             .pixel_scale = 1,
                             .std = {1, 1, 1}};

    g_assert_null(gpudl_preproc_job_fill(&jobs[i], &frame, &pp));
}

static int kernel_of(int count, GpudlPreprocLayout layout)
{
    static guint8 out[16];

    kernel = NONE;
    jobs_put = FALSE;
    g_assert_cmpint(cuda_queue_frames(&engine, &slot, count, (const int32_t[]){3, 8, 8}, layout, out, NULL), ==,
                    GPUDL_KERNEL_OK);
    /* the general kernel reads all from the device, the others what does not travel with the launch */
    g_assert_cmpint(jobs_put, ==,
                    kernel == GENERAL  ? TRUE
                    : kernel == SHRINK ? count > GPUDL_PREPROC_SHRINK_CARRIED_JOBS
                                       : !alike);
    return kernel;
}

static void test_kernels(void)
{
    engine.shared.device = &device;
    device.properties.major = 8;
    for (int count = 1; count <= MOST; count++) {
        for (int i = 0; i < count; i++)
            fill(i, GPUDL_PIXEL_NV12, GPUDL_SCALE_BILINEAR_ALIASED);
        alike = count % 2 == 0;
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NHWC4_F16), ==, POINTS);
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NHWC4_F32), ==, POINTS);
        for (int i = 0; i < count; i++)
            fill(i, GPUDL_PIXEL_NV12, GPUDL_SCALE_BILINEAR);
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NHWC4_F16), ==, SHRINK);
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NHWC4_BF16), ==, SHRINK);
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NHWC4_F32), ==, GENERAL);
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NCHW_F32), ==, GENERAL);
        fill(count - 1, GPUDL_PIXEL_RGB, GPUDL_SCALE_BILINEAR);
        g_assert_cmpint(kernel_of(count, GPUDL_PREPROC_NHWC4_F16), ==, GENERAL);
    }
    fill(0, GPUDL_PIXEL_NV12, GPUDL_SCALE_BILINEAR);
    fill(1, GPUDL_PIXEL_I420, GPUDL_SCALE_BILINEAR);
    g_assert_cmpint(kernel_of(2, GPUDL_PREPROC_NHWC4_F16), ==, GENERAL);
    gpudl_preproc_job_idle(&jobs[1]);
    g_assert_cmpint(kernel_of(2, GPUDL_PREPROC_NHWC4_F16), ==, SHRINK);
    device.properties.major = 7;
    g_assert_cmpint(kernel_of(2, GPUDL_PREPROC_NHWC4_F16), ==, GENERAL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-frames/kernels", test_kernels);
    return g_test_run();
}
