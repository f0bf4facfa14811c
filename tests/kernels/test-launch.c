/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kernels are launched with, without a device: the runtime's launch is a double that writes down the attributes.
 * Of a kernel's code what the runtime would say of it is made up. */
#include <cuda_runtime_api.h>
#include <stdio.h>

#include "kernels/kernel.h"
#include "kernels/launch.h"
#include "kernels/mbconv_cuda.h"
#include "kernels/movement_cuda.h"

static unsigned launches, overlapping, cluster; /* cluster: blocks of the last one, 0: not said */
static int ptx_version = 90;

cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel, void **arguments);
cudaError_t __wrap_cudaGetDevice(int *device);
cudaError_t __wrap_cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel);
cudaError_t __wrap_cudaGetLastError(void);
cudaError_t __wrap_cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value);

cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel, void **arguments)
{
    (void)kernel;
    (void)arguments;
    launches++;
    for (unsigned i = 0; i < config->numAttrs; i++)
        if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
            cluster = config->attrs[i].val.clusterDim.x;
    for (unsigned i = 0; i < config->numAttrs; i++)
        overlapping += config->attrs[i].id == cudaLaunchAttributeProgrammaticStreamSerialization &&
                       config->attrs[i].val.programmaticStreamSerializationAllowed != 0;
    return cudaSuccess;
}

static int device_asked; /* what is known of a device is kept */

cudaError_t __wrap_cudaGetDevice(int *device)
{
    *device = device_asked;
    return cudaSuccess;
}

cudaError_t __wrap_cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel)
{
    (void)kernel;
    attributes->ptxVersion = ptx_version;
    return cudaSuccess;
}

cudaError_t __wrap_cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t __wrap_cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    (void)kernel;
    (void)attribute;
    (void)value;
    return cudaSuccess;
}

/* How many of one kernel's launches overlap: 0 or 1. */
static int launch(void)
{
    static float x[8], y[8];
    const GpudlShape shape = {1, {8}};
    const GpudlStrided from = {GPUDL_DTYPE_F32, x, {1}}, to = {GPUDL_DTYPE_F32, y, {1}};

    launches = overlapping = 0;
    if (gpudl_copy_cuda(&shape, &from, &to, NULL) != GPUDL_KERNEL_OK || launches != 1)
        return -1;
    return (int)overlapping;
}

/* The same of a block in a cluster of two. */
static int launch_cluster(void)
{
    static float x[8]; /* nothing is read */
    const GpudlNhwc picture = {1, 4, 4, 8, 8};
    const GpudlMbconv block = {.dtype = GPUDL_DTYPE_F16,
                               .xs = picture,
                               .ys = picture,
                               .hidden = 64,
                               .expands = 1,
                               .taps = 3,
                               .stride = 1,
                               .pad = {1, 1}};
    const GpudlMbconvPlan plan = {2, 2};
    void *const place = (void *)((uintptr_t)x / 16 * 16);

    launches = overlapping = cluster = 0;
    if (gpudl_mbconv_cuda(&block, place, place, NULL, NULL, place, &plan, NULL) != GPUDL_KERNEL_OK || launches != 1 ||
        cluster != 2)
        return -1;
    return (int)overlapping;
}

static int check(const char *what, int got, int expected)
{
    static int n;

    printf("%sok %d - %s\n", got == expected ? "" : "not ", ++n, what);
    if (got != expected)
        printf("# found %d overlapping launches, expected %d\n", got, expected);
    return got != expected;
}

int main(void)
{
    int failed = check("kernels overlap unless it is said otherwise", launch(), 1);

    failed |= check("those of clusters too", launch_cluster(), 1);
    gpudl_launches_overlap(0);
    failed |= check("none overlaps where it must not", launch(), 0);
    failed |= check("nor does one of a cluster, which stays one", launch_cluster(), 0);
    gpudl_launches_overlap(1);
    failed |= check("they overlap again", launch(), 1);
    device_asked = 1;
    ptx_version = 75;
    failed |= check("code that can't wait never overlaps", launch(), 0);
    printf("1..6\n");
    return failed;
}
