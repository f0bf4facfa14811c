/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usage: preproc-run: pictures through the reference's pre-processing and the CPU backend's, for scripts.
 *
 * Of each picture the standard input has 7 int32 (width, height, width and height of the network's input,
 * GpudlResizeMode, GpudlScaleMethod, crop fraction as float32) and its pixels, R, G, B; the standard output gets the
 * input's values of the reference, then those of the CPU, float32 [3][height][width], a pixel's 0..255. */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "engine/cpu/preproc.h"

typedef struct {
    gint32 width, height, to_width, to_height, mode, method;
    float fraction;
} Job;

int main(void)
{
    CpuPreproc *cpu = cpu_preproc_new(cpu_preproc_best());
    Job job;

    while (fread(&job, sizeof job, 1, stdin) == 1) {
        const gsize size = (gsize)job.width * (gsize)job.height * 3, n = (gsize)job.to_width * (gsize)job.to_height * 3;
        g_autofree guint8 *pixels = g_malloc(size);
        g_autofree float *values = g_new(float, 2 * n);
        const GpudlFrame frame = {.format = GPUDL_PIXEL_RGB,
                                  .width = job.width,
                                  .height = job.height,
                                  .planes = {pixels},
                                  .strides = {3 * job.width},
                                  .range = GPUDL_RANGE_FULL};
        const GpudlPreproc pp = {.width = job.to_width,
                                 .height = job.to_height,
                                 .channels = 3,
                                 .channel_order = GPUDL_CHANNELS_RGB,
                                 .resize_mode = (GpudlResizeMode)job.mode,
                                 .scale_method = (GpudlScaleMethod)job.method,
                                 .crop_fraction = job.fraction,
                                 .pixel_scale = 1.f,
                                 .std = {1.f, 1.f, 1.f}};
        const char *fault = NULL;

        if (fread(pixels, 1, size, stdin) != size || gpudl_preproc_ref(&frame, &pp, values) != 0 ||
            (fault = cpu_preproc_run(cpu, &frame, &pp, CPU_PREPROC_PLANAR, values + n)) != NULL) {
            fprintf(stderr, "preproc-run: %s\n", fault != NULL ? fault : "half a picture, or refused by the reference");
            return 1;
        }
        if (fwrite(values, sizeof(float), 2 * n, stdout) != 2 * n || fflush(stdout) != 0)
            return 1;
    }
    cpu_preproc_free(cpu);
    return 0;
}
