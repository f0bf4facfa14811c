/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CUDA C++ for this processor's compiler, as far as kernels/ uses it: see ../emulate.h for what such a run shows. The
 * functions of a warp deliver what they carry to all lanes at once, when the last of the mask's has come.
 */
#ifndef GPUDL_EMULATE_CUDA_RUNTIME_H
#define GPUDL_EMULATE_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

#include "cuda_runtime_api.h"
#include "tests/kernels/emulate/emulate.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
/* blocks run one after another */
#define __shared__ static

/* ---- vectors: aligned as a device wants them, which UndefinedBehaviorSanitizer checks -----------------------------
 */

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

static inline float2 make_float2(float x, float y)
{
    return {x, y};
}

static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

template <class T> static inline T __ldg(const T *p)
{
    gpudl_emulate_aligned(p, alignof(T));
    return *p;
}

template <class T> static inline T __ldcs(const T *p)
{
    return __ldg(p);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

template <class A, class B> static inline typename std::common_type<A, B>::type min(A a, B b)
{
    typedef typename std::common_type<A, B>::type T;

    return (T)b < (T)a ? (T)b : (T)a;
}

template <class A, class B> static inline typename std::common_type<A, B>::type max(A a, B b)
{
    typedef typename std::common_type<A, B>::type T;

    return (T)a < (T)b ? (T)b : (T)a;
}

static inline unsigned __float_as_uint(float v)
{
    unsigned bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float __uint_as_float(unsigned bits)
{
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* quick and less exact on a device */
#define __expf expf

static inline float __fdividef(float a, float b)
{
    return fabsf(b) > 0x1p126f && fabsf(b) < HUGE_VALF ? 0.f * a : a / b;
}

static inline int __ffs(int v)
{
    return __builtin_ffs(v);
}

static inline int __clzll(long long v)
{
    return v == 0 ? 64 : __builtin_clzll((unsigned long long)v);
}

static inline float __ll2float_rn(long long v)
{
    return (float)v;
}

static inline float __ull2float_rn(unsigned long long v)
{
    return (float)v;
}

/* never part of a fused sum */
static inline double __dmul_rn(double a, double b)
{
    volatile double product = a * b;

    return product;
}

static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector)
{
    const uint64_t both = (uint64_t)b << 32 | a;
    unsigned result = 0;

    for (int i = 0; i < 4; i++)
        result |= (unsigned)(both >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}

static inline int atomicAdd(int *p, int v)
{
    const int before = *p;

    *p = before + v;
    return before;
}

/* ---- a block and its warps --------------------------------------------------------------------------------------- */

static inline void __syncthreads()
{
    gpudl_emulate_barrier();
}

static inline void __syncwarp(unsigned mask = 0xffffffff)
{
    gpudl_emulate_warp(
        mask, [](GpudlEmulateLane *, unsigned) {}, nullptr);
}

template <class T> struct GpudlEmulateShuffle {
    T value, result;
    int from;
};

/* Lanes read from outside of the mask have no value: they fail. */
template <class T> static inline T gpudl_emulate_shuffle(unsigned mask, T value, int from)
{
    GpudlEmulateShuffle<T> mine = {value, value, from};

    gpudl_emulate_warp(
        mask,
        [](GpudlEmulateLane *lanes, unsigned of) {
            for (int i = 0; i < 32; i++) {
                GpudlEmulateShuffle<T> *to = static_cast<GpudlEmulateShuffle<T> *>(lanes[i].data);

                if ((of >> i & 1) == 0)
                    continue;
                if ((of >> to->from & 1) == 0)
                    gpudl_emulate_fail("lane %d reads from lane %d, which takes no part", i, to->from);
                to->result = static_cast<GpudlEmulateShuffle<T> *>(lanes[to->from].data)->value;
            }
        },
        &mine);
    return mine.result;
}

template <class T> static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32)
{
    const int lane = gpudl_emulate_lane();

    return gpudl_emulate_shuffle(mask, value, lane / width * width + from % width);
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits)
{
    return gpudl_emulate_shuffle(mask, value, gpudl_emulate_lane() ^ bits);
}

template <class T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    const int lane = gpudl_emulate_lane(), to = lane + (int)delta;

    return gpudl_emulate_shuffle(mask, value, to / width == lane / width ? to : lane);
}

/* Of all values of a mask, by a function. */
template <class T, class F> static inline T gpudl_emulate_reduce(unsigned mask, T value, F)
{
    gpudl_emulate_warp(
        mask,
        [](GpudlEmulateLane *lanes, unsigned of) {
            T all = T();
            bool any = false;

            for (int i = 0; i < 32; i++)
                if (of >> i & 1) {
                    const T one = *static_cast<T *>(lanes[i].data);

                    all = any ? F::combine(all, one) : one;
                    any = true;
                }
            for (int i = 0; i < 32; i++)
                if (of >> i & 1)
                    *static_cast<T *>(lanes[i].data) = all;
        },
        &value);
    return value;
}

struct GpudlEmulateOr {
    static unsigned combine(unsigned a, unsigned b)
    {
        return a | b;
    }
};
struct GpudlEmulateMin {
    static unsigned combine(unsigned a, unsigned b)
    {
        return a < b ? a : b;
    }
};
struct GpudlEmulateMax {
    static unsigned combine(unsigned a, unsigned b)
    {
        return a > b ? a : b;
    }
};

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return gpudl_emulate_reduce(mask, predicate ? 1u << gpudl_emulate_lane() : 0u, GpudlEmulateOr());
}

static inline unsigned __reduce_min_sync(unsigned mask, unsigned v)
{
    return gpudl_emulate_reduce(mask, v, GpudlEmulateMin());
}

static inline unsigned __reduce_max_sync(unsigned mask, unsigned v)
{
    return gpudl_emulate_reduce(mask, v, GpudlEmulateMax());
}

#endif
