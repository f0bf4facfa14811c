/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eight neighbouring channels as float32, of any type that pictures have. */
#ifndef GPUDL_KERNELS_VECTORS_CUH
#define GPUDL_KERNELS_VECTORS_CUH

#include <math.h>

#include "cuda_common.cuh"

namespace
{

struct Eight {
    float v[8];
};

/* Out of line, since it is long and stands in kernels many times; of 8 at a time, for one decision. */
__device__ __noinline__ Eight activate(const GpudlAct &act, Eight all)
{
    gpudl_activate_all<8>(act, all.v);
    return all;
}

/* 8 neighbours */
template <class T> __device__ __forceinline__ void get_vector(const T *from, float (&v)[8])
{
    alignas(16) T all[8];

#pragma unroll
    for (int i = 0; i < (int)sizeof(all) / 16; i++)
        reinterpret_cast<uint4 *>(all)[i] = reinterpret_cast<const uint4 *>(from)[i];
#pragma unroll
    for (int i = 0; i < 8; i++)
        v[i] = gpudl_to_float(all[i]);
}

template <class T> __device__ __forceinline__ void put_vector(T *to, const float (&v)[8])
{
    alignas(16) T all[8];

#pragma unroll
    for (int i = 0; i < 8; i++)
        gpudl_store(&all[i], v[i]);
#pragma unroll
    for (int i = 0; i < (int)sizeof(all) / 16; i++)
        reinterpret_cast<uint4 *>(to)[i] = reinterpret_cast<const uint4 *>(all)[i];
}

/* An activation that is ready for each value: most are no more than a lower and an upper limit. */
struct Ending {
    GpudlAct act;
    bool clamp;
    float low, high;

    void set(const GpudlAct *of)
    {
        act = *of;
        clamp = of->kind == GPUDL_ACT_NONE || of->kind == GPUDL_ACT_RELU || of->kind == GPUDL_ACT_CLIP;
        low = of->kind == GPUDL_ACT_RELU ? 0.f : of->kind == GPUDL_ACT_CLIP ? of->alpha : -INFINITY;
        high = of->kind == GPUDL_ACT_CLIP ? of->beta : INFINITY;
    }
    __device__ __forceinline__ void operator()(float (&v)[8]) const
    {
        if (clamp) {
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = gpudl_clamp(v[i], low, high);
        } else {
            Eight all;

#pragma unroll
            for (int i = 0; i < 8; i++)
                all.v[i] = v[i];
            all = activate(act, all);
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = all.v[i];
        }
    }
};

} // namespace

#endif
