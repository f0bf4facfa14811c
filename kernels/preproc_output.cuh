/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernels of pre-processing share: from a pixel's components to the network's input. */
#ifndef GPUDL_KERNELS_PREPROC_OUTPUT_CUH
#define GPUDL_KERNELS_PREPROC_OUTPUT_CUH

#include "cuda_common.cuh"
#include "preproc_cuda.h"

/** The launch's output, see preproc_cuda.h. */
struct GpudlPreprocOutput {
    void *data;
    int32_t width, height, channels;
    GpudlPreprocLayout layout;
};

/** Pixel y, x of input n. */
__device__ __forceinline__ void gpudl_preproc_store(const GpudlPreprocOutput &out, int n, int y, int x,
                                                    const float v[3])
{
    const int64_t pixel = ((int64_t)n * out.height + y) * out.width + x;

    if (out.layout == GPUDL_PREPROC_NHWC4_F16) {
        const __half2 a = __floats2half2_rn(v[0], v[1]), b = __floats2half2_rn(v[2], 0.f);

        reinterpret_cast<uint2 *>(out.data)[pixel] =
            make_uint2(*reinterpret_cast<const unsigned *>(&a), *reinterpret_cast<const unsigned *>(&b));
    } else if (out.layout == GPUDL_PREPROC_NHWC4_BF16) {
        reinterpret_cast<uint2 *>(out.data)[pixel] =
            make_uint2(gpudl_pack_bf16(v[0], v[1]), gpudl_pack_bf16(v[2], 0.f));
    } else if (out.layout == GPUDL_PREPROC_NHWC4_F32) {
        reinterpret_cast<float4 *>(out.data)[pixel] = make_float4(v[0], v[1], v[2], 0.f);
    } else {
        const int64_t plane = (int64_t)out.height * out.width;
        float *to = static_cast<float *>(out.data) + n * out.channels * plane + (int64_t)y * out.width + x;

#pragma unroll
        for (int c = 0; c < 3; c++)
            if (c < out.channels)
                to[c * plane] = v[c];
    }
}

/** Pixel y, x of input n from its components; outside of the destination rectangle the pad's colour, in an idle slot
 * zeros. */
__device__ __forceinline__ void gpudl_preproc_write(const GpudlPreprocJob &job, const GpudlPreprocOutput &out, int n,
                                                    int y, int x, bool inside, const float component[3])
{
    float v[3] = {0.f, 0.f, 0.f};

#pragma unroll
    for (int c = 0; c < 3; c++)
        if (job.n_planes != 0 && c < out.channels)
            v[c] = inside ? gpudl_job_channel(&job, c, component) : job.pad[c];
    gpudl_preproc_store(out, n, y, x, v);
}

#endif
