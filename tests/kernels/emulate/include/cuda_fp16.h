/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Halfs and the functions on them that kernels use; each rounds once, as a device does. */
#ifndef GPUDL_EMULATE_CUDA_FP16_H
#define GPUDL_EMULATE_CUDA_FP16_H

#include "cuda_runtime.h"
#include "kernels/half.h"

struct __half {
    unsigned short bits;
    operator float() const
    {
        return gpudl_f16_to_f32(bits);
    }
};
struct alignas(4) __half2 {
    __half x, y;
};

static inline float __half2float(__half v)
{
    return gpudl_f16_to_f32(v.bits);
}

static inline __half __float2half_rn(float v)
{
    return {gpudl_f32_to_f16(v)};
}

static inline __half __ushort_as_half(unsigned short bits)
{
    return {bits};
}

static inline float2 __half22float2(__half2 v)
{
    return {__half2float(v.x), __half2float(v.y)};
}

static inline __half2 __floats2half2_rn(float x, float y)
{
    return {__float2half_rn(x), __float2half_rn(y)};
}

/* NaN goes through; +0 is more than -0 */
static inline __half __hmax_nan(__half a, __half b)
{
    const float x = __half2float(a), y = __half2float(b);

    if (x != x || y != y)
        return {0x7fff};
    return x == y ? __half{(unsigned short)(a.bits & b.bits)} : x > y ? a : b;
}

static inline __half __hmin_nan(__half a, __half b)
{
    const float x = __half2float(a), y = __half2float(b);

    if (x != x || y != y)
        return {0x7fff};
    return x == y ? __half{(unsigned short)(a.bits | b.bits)} : x < y ? a : b;
}

static inline __half2 __hmax2_nan(__half2 a, __half2 b)
{
    return {__hmax_nan(a.x, b.x), __hmax_nan(a.y, b.y)};
}

static inline __half2 __hmin2_nan(__half2 a, __half2 b)
{
    return {__hmin_nan(a.x, b.x), __hmin_nan(a.y, b.y)};
}

static inline bool __hbeq2(__half2 a, __half2 b)
{
    return __half2float(a.x) == __half2float(b.x) && __half2float(a.y) == __half2float(b.y);
}

/* the product is exact in double, and so is the sum but for what is far below a half's last place */
static inline __half2 __hfma2(__half2 a, __half2 b, __half2 c)
{
    return {{gpudl_f64_to_f16((double)__half2float(a.x) * __half2float(b.x) + __half2float(c.x))},
            {gpudl_f64_to_f16((double)__half2float(a.y) * __half2float(b.y) + __half2float(c.y))}};
}

static inline __half2 __hadd2(__half2 a, __half2 b)
{
    return {__float2half_rn(__half2float(a.x) + __half2float(b.x)),
            __float2half_rn(__half2float(a.y) + __half2float(b.y))};
}

#endif
