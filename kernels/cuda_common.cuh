/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the CUDA kernels share: elements and vectors of them, activations, launches. */
#ifndef GPUDL_KERNELS_CUDA_COMMON_CUH
#define GPUDL_KERNELS_CUDA_COMMON_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "kernels/device.cuh"
#include "types.h"

/** Largest extent of a grid in y and z; kernels step through what is beyond. */
#define GPUDL_GRID_YZ 65535

static inline unsigned gpudl_grid(int64_t blocks)
{
    return (unsigned)(blocks > GPUDL_GRID_YZ ? GPUDL_GRID_YZ : blocks);
}

static inline int64_t gpudl_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/** A bfloat16, which is converted and nothing else: its arithmetic is float32's. */
struct GpudlBf16 {
    uint16_t bits;
};

__device__ __forceinline__ float gpudl_to_float(__half x)
{
    return __half2float(x);
}

__device__ __forceinline__ float gpudl_to_float(GpudlBf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}

__device__ __forceinline__ float gpudl_to_float(float x)
{
    return x;
}

__device__ __forceinline__ void gpudl_store(__half *p, float value)
{
    *p = __float2half_rn(value);
}

__device__ __forceinline__ void gpudl_store(GpudlBf16 *p, float value)
{
    p->bits = (uint16_t)gpudl_pack_bf16(value, 0.f);
}

__device__ __forceinline__ void gpudl_store(float *p, float value)
{
    *p = value;
}

/** Two neighbours in a word, the first in its lower half: by type. NaN goes through extremes. */
template <class T> struct GpudlPair;
template <> struct GpudlPair<__half> {
    static __device__ __forceinline__ __half2 halves(unsigned word)
    {
        return *reinterpret_cast<const __half2 *>(&word);
    }
    static __device__ __forceinline__ unsigned word(__half2 halves)
    {
        return *reinterpret_cast<const unsigned *>(&halves);
    }
    static __device__ __forceinline__ float2 get(unsigned pair)
    {
        return __half22float2(halves(pair));
    }
    static __device__ __forceinline__ unsigned set(float first, float second)
    {
        return word(__floats2half2_rn(first, second));
    }
    /** The same, but that what is negative is 0. */
    static __device__ __forceinline__ unsigned set_from_zero(float first, float second)
    {
        return gpudl_pack_positive_half(first, second);
    }
    static __device__ __forceinline__ unsigned maximum(unsigned a, unsigned b)
    {
        return word(__hmax2_nan(halves(a), halves(b)));
    }
    static __device__ __forceinline__ unsigned minimum(unsigned a, unsigned b)
    {
        return word(__hmin2_nan(halves(a), halves(b)));
    }
    static __device__ __forceinline__ bool has_nan(unsigned pair)
    {
        return !__hbeq2(halves(pair), halves(pair));
    }
    static __device__ constexpr bool has_products()
    {
        return true;
    }
    static __device__ __forceinline__ void multiply_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned b0)
    {
        gpudl_mma_k8(sum, a0, a1, b0);
    }
    static __device__ __forceinline__ void multiply_k16(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2,
                                                        unsigned a3, unsigned b0, unsigned b1)
    {
        gpudl_mma_k16(sum, a0, a1, a2, a3, b0, b1);
    }
};
template <> struct GpudlPair<GpudlBf16> {
    static __device__ __forceinline__ float2 get(unsigned pair)
    {
        return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
    }
    static __device__ __forceinline__ unsigned set(float first, float second)
    {
        return gpudl_pack_bf16(first, second);
    }
    static __device__ __forceinline__ unsigned set_from_zero(float first, float second)
    {
        return gpudl_pack_positive_bf16(first, second);
    }
    static __device__ __forceinline__ unsigned maximum(unsigned a, unsigned b)
    {
        return gpudl_max_bf16(a, b);
    }
    static __device__ __forceinline__ unsigned minimum(unsigned a, unsigned b)
    {
        return gpudl_max_bf16(a ^ 0x80008000u, b ^ 0x80008000u) ^ 0x80008000u;
    }
    static __device__ __forceinline__ bool has_nan(unsigned pair)
    {
        return (pair & 0x7fffu) > 0x7f80u || (pair & 0x7fff0000u) > 0x7f800000u;
    }
    static __device__ constexpr bool has_products()
    {
        return gpudl_has_bf16_products();
    }
    static __device__ __forceinline__ void multiply_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned b0)
    {
        gpudl_mma_bf16_k8(sum, a0, a1, b0);
    }
    static __device__ __forceinline__ void multiply_k16(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2,
                                                        unsigned a3, unsigned b0, unsigned b1)
    {
        gpudl_mma_bf16_k16(sum, a0, a1, a2, a3, b0, b1);
    }
};

/** V neighbouring channels of float16 or bfloat16: 8 in one 16-byte access, or one. load() is for what kernels before
 * write, load_constant() for weights and the like, see device.cuh. */
template <class T, int V> struct GpudlVector;
template <class T> struct GpudlVector<T, 8> {
    typedef T Element;
    static constexpr int N = 8;
    union {
        uint4 all;
        unsigned pairs[4];
    };
    __device__ __forceinline__ void load(const T *p)
    {
        all = gpudl_load_written(reinterpret_cast<const uint4 *>(p));
    }
    __device__ __forceinline__ void load_constant(const T *p)
    {
        all = gpudl_load_constant(reinterpret_cast<const uint4 *>(p));
    }
    __device__ __forceinline__ void store(T *p) const
    {
        *reinterpret_cast<uint4 *>(p) = all;
    }
    __device__ __forceinline__ void fill(float value)
    {
        const unsigned both = GpudlPair<T>::set(value, value);

        all = make_uint4(both, both, both, both);
    }
    __device__ __forceinline__ void get(float *f) const
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float2 pair = GpudlPair<T>::get(pairs[i]);

            f[2 * i] = pair.x;
            f[2 * i + 1] = pair.y;
        }
    }
    __device__ __forceinline__ void set(const float *f)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            pairs[i] = GpudlPair<T>::set(f[2 * i], f[2 * i + 1]);
    }
    /** NaN goes through. */
    __device__ __forceinline__ void maximum(const GpudlVector &other)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            pairs[i] = GpudlPair<T>::maximum(pairs[i], other.pairs[i]);
    }
};
template <class T> struct GpudlVector<T, 1> {
    typedef T Element;
    static constexpr int N = 1;
    uint16_t bits;
    __device__ __forceinline__ void load(const T *p)
    {
        bits = gpudl_load_written(reinterpret_cast<const uint16_t *>(p));
    }
    __device__ __forceinline__ void load_constant(const T *p)
    {
        bits = gpudl_load_constant(reinterpret_cast<const uint16_t *>(p));
    }
    __device__ __forceinline__ void store(T *p) const
    {
        *reinterpret_cast<uint16_t *>(p) = bits;
    }
    __device__ __forceinline__ void fill(float value)
    {
        bits = (uint16_t)GpudlPair<T>::set(value, 0.f);
    }
    __device__ __forceinline__ void get(float *f) const
    {
        f[0] = GpudlPair<T>::get(bits).x;
    }
    __device__ __forceinline__ void set(const float *f)
    {
        bits = (uint16_t)GpudlPair<T>::set(f[0], 0.f);
    }
    __device__ __forceinline__ void maximum(const GpudlVector &other)
    {
        bits = (uint16_t)GpudlPair<T>::maximum(bits, other.bits);
    }
};

/** The same of float32: 4 in one access, or one. */
template <int V> struct GpudlFloats {
    typedef float Element;
    static constexpr int N = V;
    float values[V];

    __device__ __forceinline__ void load(const float *p)
    {
        if constexpr (V == 4)
            put(gpudl_load_written(reinterpret_cast<const float4 *>(p)));
        else
            values[0] = gpudl_load_written(p);
    }
    __device__ __forceinline__ void load_constant(const float *p)
    {
        if constexpr (V == 4)
            put(gpudl_load_constant(reinterpret_cast<const float4 *>(p)));
        else
            values[0] = gpudl_load_constant(p);
    }
    __device__ __forceinline__ void store(float *p) const
    {
        if constexpr (V == 4)
            *reinterpret_cast<float4 *>(p) = make_float4(values[0], values[1], values[2], values[3]);
        else
            *p = values[0];
    }
    __device__ __forceinline__ void fill(float value)
    {
        for (int i = 0; i < V; i++)
            values[i] = value;
    }
    __device__ __forceinline__ void get(float *f) const
    {
        for (int i = 0; i < V; i++)
            f[i] = values[i];
    }
    __device__ __forceinline__ void set(const float *f)
    {
        for (int i = 0; i < V; i++)
            values[i] = f[i];
    }
    /** NaN goes through. */
    __device__ __forceinline__ void maximum(const GpudlFloats<V> &other)
    {
        for (int i = 0; i < V; i++)
            values[i] = other.values[i] > values[i] || other.values[i] != other.values[i] ? other.values[i] : values[i];
    }
    __device__ __forceinline__ void put(float4 four)
    {
        values[0] = four.x;
        values[1] = four.y;
        values[2] = four.z;
        values[3] = four.w;
    }
};

/** An element of a type that pictures have. */
__device__ __forceinline__ float gpudl_get_float(const void *data, GpudlDType dtype, int64_t at)
{
    return dtype == GPUDL_DTYPE_F16    ? gpudl_to_float(static_cast<const __half *>(data)[at])
           : dtype == GPUDL_DTYPE_BF16 ? gpudl_to_float(static_cast<const GpudlBf16 *>(data)[at])
                                       : static_cast<const float *>(data)[at];
}

__device__ __forceinline__ void gpudl_put_float(void *data, GpudlDType dtype, int64_t at, float value)
{
    if (dtype == GPUDL_DTYPE_F16)
        gpudl_store(static_cast<__half *>(data) + at, value);
    else if (dtype == GPUDL_DTYPE_BF16)
        gpudl_store(static_cast<GpudlBf16 *>(data) + at, value);
    else
        static_cast<float *>(data)[at] = value;
}

/** Types that pictures have. */
static inline bool gpudl_is_picture_type(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16 || dtype == GPUDL_DTYPE_F32;
}

/** Whether 8 channels at a time can be moved: every pixel begins at a multiple of 16 bytes and has whole vectors. */
static inline bool gpudl_whole_vectors(const void *p, int32_t channels, int64_t pitch)
{
    return (uintptr_t)p % 16 == 0 && channels % 8 == 0 && pitch % 8 == 0;
}

/** The same of 4 channels of float32. */
static inline bool gpudl_whole_float_vectors(const void *p, int32_t channels, int64_t pitch)
{
    return (uintptr_t)p % 16 == 0 && channels % 4 == 0 && pitch % 4 == 0;
}

__device__ __forceinline__ float gpudl_clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/** gpudl_activate() in float32. Divisions are by __fdividef(), off by 2 in the last place: the exact one has a path
 * that zeros and small numbers take, one value after the other. */
__device__ __forceinline__ float gpudl_activate_f32(const GpudlAct &act, float x)
{
    switch (act.kind) {
    case GPUDL_ACT_RELU:
        return x < 0.f ? 0.f : x;
    case GPUDL_ACT_CLIP:
        return gpudl_clamp(x, act.alpha, act.beta);
    case GPUDL_ACT_LEAKY_RELU:
        return x < 0.f ? act.alpha * x : x;
    case GPUDL_ACT_SIGMOID:
        return __fdividef(1.f, 1.f + expf(-x));
    case GPUDL_ACT_SILU:
        return __fdividef(x, 1.f + expf(-x));
    case GPUDL_ACT_HARD_SIGMOID:
        return gpudl_clamp(act.alpha * x + act.beta, 0.f, 1.f);
    case GPUDL_ACT_HARD_SWISH:
        return x * gpudl_clamp(x * (1.f / 6.f) + 0.5f, 0.f, 1.f);
    case GPUDL_ACT_TANH:
        return tanhf(x);
    case GPUDL_ACT_GELU:
        return 0.5f * x * (1.f + erff(x * 0.70710678f));
    case GPUDL_ACT_GELU_TANH:
        return 0.5f * x * (1.f + tanhf(0.79788456f * x * (1.f + 0.044715f * x * x)));
    case GPUDL_ACT_MISH:
        return x * tanhf(x > 20.f ? x : log1pf(expf(x)));
    default:
        return x;
    }
}

/** The same of N values: one decision for all. */
template <int N> __device__ __forceinline__ void gpudl_activate_all(const GpudlAct &act, float *x)
{
    switch (act.kind) {
#define GPUDL_ACTIVATE(kind_)                                                                                          \
    case kind_: {                                                                                                      \
        const GpudlAct one = {kind_, act.alpha, act.beta};                                                             \
        _Pragma("unroll") for (int i = 0; i < N; i++) x[i] = gpudl_activate_f32(one, x[i]);                            \
        return;                                                                                                        \
    }
        GPUDL_ACTIVATE(GPUDL_ACT_RELU)
        GPUDL_ACTIVATE(GPUDL_ACT_CLIP)
        GPUDL_ACTIVATE(GPUDL_ACT_LEAKY_RELU)
        GPUDL_ACTIVATE(GPUDL_ACT_SIGMOID)
        GPUDL_ACTIVATE(GPUDL_ACT_SILU)
        GPUDL_ACTIVATE(GPUDL_ACT_HARD_SIGMOID)
        GPUDL_ACTIVATE(GPUDL_ACT_HARD_SWISH)
        GPUDL_ACTIVATE(GPUDL_ACT_TANH)
        GPUDL_ACTIVATE(GPUDL_ACT_GELU)
        GPUDL_ACTIVATE(GPUDL_ACT_GELU_TANH)
        GPUDL_ACTIVATE(GPUDL_ACT_MISH)
#undef GPUDL_ACTIVATE
    default:
        return;
    }
}

#endif
