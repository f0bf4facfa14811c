/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "double-device.h"

#include <glib/gstdio.h>

static gint entered;

static CUresult push(CUcontext context)
{
    (void)context;
    g_atomic_int_inc(&entered);
    return CUDA_SUCCESS;
}

static CUresult pop(CUcontext *context)
{
    *context = NULL;
    g_atomic_int_add(&entered, -1);
    return CUDA_SUCCESS;
}

static CUresult get_version(int *version)
{
    *version = 13000;
    return CUDA_SUCCESS;
}

void double_device_begin(CudaDevice *device)
{
    static const CudaDriver driver = {.ctx_push = push, .ctx_pop = pop, .get_version = get_version};

    *device = (CudaDevice){.driver = &driver};
    g_strlcpy(device->properties.name, "NVIDIA Test", sizeof device->properties.name);
    device->properties.multiProcessorCount = 132;
    device->properties.sharedMemPerBlockOptin = 227 << 10;
    pthread_mutex_init(&device->lock, NULL);
    pthread_mutex_init(&device->building, NULL);
}

gint double_device_entered(void)
{
    return g_atomic_int_get(&entered);
}

CudaConvKey double_device_problem(gint32 c, gint32 k)
{
    const CudaConvKey key = {.dtype = GPUDL_DTYPE_F16,
                             .n = 2,
                             .c = c,
                             .h = 5,
                             .w = 5,
                             .k = k,
                             .r = 3,
                             .s = 3,
                             .p = 5,
                             .q = 5,
                             .groups = 1,
                             .stride = {1, 1},
                             .dilation = {1, 1},
                             .pad_begin = {1, 1},
                             .pad_end = {1, 1},
                             .x_pitch = c,
                             .y_pitch = k + 8,
                             .z_pitch = k,
                             .bias = 1,
                             .act = GPUDL_ACT_RELU};

    return key;
}

void double_device_remove(const gchar *path)
{
    GDir *folder = g_dir_open(path, 0, NULL);
    const gchar *name;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree gchar *inside = g_build_filename(path, name, NULL);

        double_device_remove(inside);
    }
    g_clear_pointer(&folder, g_dir_close);
    g_assert_cmpint(g_remove(path), ==, 0);
}
