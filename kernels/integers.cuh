/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic of integers in 64 bits on a device, as the references' (ref_common.h). */
#ifndef GPUDL_KERNELS_INTEGERS_CUH
#define GPUDL_KERNELS_INTEGERS_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#include "elementwise.h"

/* The order of unsigned numbers is that of signed ones with the sign bit flipped. */
__device__ __forceinline__ int64_t gpudl_ordered(int64_t x, bool is_unsigned)
{
    return is_unsigned ? (int64_t)((uint64_t)x ^ (uint64_t)1 << 63) : x;
}

__device__ inline int64_t gpudl_power(int64_t a, int64_t b, bool is_unsigned)
{
    uint64_t base = (uint64_t)a, exponent = (uint64_t)b, result = 1;

    if (b < 0 && !is_unsigned)
        return a == 1 || (a == -1 && b % 2 == 0) ? 1 : a == -1 ? -1 : 0;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1)
            result *= base;
    return (int64_t)result;
}

__device__ inline int64_t gpudl_divide(int64_t a, int64_t b, bool is_unsigned)
{
    if (b == 0)
        return 0;
    if (is_unsigned)
        return (int64_t)((uint64_t)a / (uint64_t)b);
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

__device__ inline int64_t gpudl_remainder_of(int64_t a, int64_t b, bool is_unsigned, bool of_divisor)
{
    int64_t rest;

    if (b == 0 || (b == -1 && !is_unsigned))
        return 0;
    if (is_unsigned)
        return (int64_t)((uint64_t)a % (uint64_t)b);
    rest = a % b;
    return of_divisor && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

__device__ inline int64_t gpudl_binary_integer(int op, int64_t a, int64_t b, bool is_unsigned)
{
    const int64_t oa = gpudl_ordered(a, is_unsigned), ob = gpudl_ordered(b, is_unsigned);

    switch (op) {
    case GPUDL_BINARY_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case GPUDL_BINARY_SUB:
        return (int64_t)((uint64_t)a - (uint64_t)b);
    case GPUDL_BINARY_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case GPUDL_BINARY_DIV:
        return gpudl_divide(a, b, is_unsigned);
    case GPUDL_BINARY_POW:
        return gpudl_power(a, b, is_unsigned);
    case GPUDL_BINARY_MIN:
        return ob < oa ? b : a;
    case GPUDL_BINARY_MAX:
        return ob > oa ? b : a;
    case GPUDL_BINARY_PRELU:
        return a < 0 && !is_unsigned ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
    case GPUDL_BINARY_MOD:
        return gpudl_remainder_of(a, b, is_unsigned, true);
    case GPUDL_BINARY_FMOD:
        return gpudl_remainder_of(a, b, is_unsigned, false);
    case GPUDL_BINARY_EQUAL:
        return a == b;
    case GPUDL_BINARY_LESS:
        return oa < ob;
    case GPUDL_BINARY_LESS_OR_EQUAL:
        return oa <= ob;
    case GPUDL_BINARY_GREATER:
        return oa > ob;
    case GPUDL_BINARY_GREATER_OR_EQUAL:
        return oa >= ob;
    case GPUDL_BINARY_AND:
        return a & b;
    case GPUDL_BINARY_OR:
        return a | b;
    default: /* XOR */
        return a ^ b;
    }
}

#endif
