/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block.h"

#include <stdio.h>

static GpudlAct inner_act(const CudaConvKey *key, int i)
{
    const GpudlAct act = {(GpudlActKind)key->inner_act[i], key->inner_alpha[i], key->inner_beta[i]};

    return act;
}

GpudlMbconv cuda_block_of(const CudaConvKey *key)
{
    const GpudlMbconv block = {.dtype = (GpudlDType)key->dtype,
                               .xs = {key->n, key->h, key->w, key->c, key->x_pitch},
                               .ys = {key->n, key->p, key->q, key->k, key->y_pitch},
                               .z_pitch = key->z_pitch,
                               .hidden = key->hidden,
                               .expands = key->expands,
                               .taps = key->r,
                               .stride = key->stride[0],
                               .pad = {key->pad_begin[0], key->pad_begin[1]},
                               .expand = inner_act(key, 0),
                               .depthwise = inner_act(key, 1),
                               .project = cuda_conv_act(key)};

    return block;
}

int cuda_block_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    const GpudlMbconv block = cuda_block_of(key);
    GpudlMbconvPlan found[GPUDL_MBCONV_PLANS];
    const int n =
        gpudl_mbconv_plans(&block, device->properties.multiProcessorCount,
                           (int32_t)device->properties.sharedMemPerBlockOptin, gpudl_mbconv_has_clusters(), found);

    for (int i = 0; i < n && i < room; i++) {
        plans[i] = (CudaConvPlan){.form = CUDA_CONV_BLOCK, .block = found[i]};
        snprintf(plans[i].name, sizeof plans[i].name, "block, tile %d, %d parts", (int)found[i].tile,
                 (int)found[i].parts);
    }
    return n < room ? n : room;
}

int cuda_block_run(const CudaConvKey *key, const GpudlMbconvPlan *plan, const CudaConvData *data, cudaStream_t stream)
{
    const GpudlMbconv block = cuda_block_of(key);

    return gpudl_mbconv_cuda(&block, data->x, data->w, key->bias ? (const float *)data->bias : NULL, data->z, data->y,
                             plan, stream);
}
