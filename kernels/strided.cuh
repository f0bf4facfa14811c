/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernels on operands in any layout share: dimensions, places, elements of any type. */
#ifndef GPUDL_KERNELS_STRIDED_CUH
#define GPUDL_KERNELS_STRIDED_CUH

#include "cuda_common.cuh"
#include "elementwise_cuda.h"

/** A walk over all elements of a shape by N operands, the first of which is the result. */
template <int N> struct GpudlPlaces {
    int rank; /* at least 1 */
    uint32_t elements;
    uint32_t dims[GPUDL_MAX_RANK];
    int64_t strides[N][GPUDL_MAX_RANK];

    /** Places of element i. */
    __device__ __forceinline__ void locate(uint32_t i, int64_t *at) const
    {
        for (int o = 0; o < N; o++)
            at[o] = 0;
#pragma unroll
        for (int d = GPUDL_MAX_RANK - 1; d >= 0; d--) {
            if (d < rank) {
                const uint32_t q = d == 0 ? 0 : i / dims[d], here = i - q * dims[d];

                i = q;
#pragma unroll
                for (int o = 0; o < N; o++)
                    at[o] += here * strides[o][d];
            }
        }
    }
    void move(int from, int to)
    {
        dims[to] = dims[from];
        for (int o = 0; o < N; o++)
            strides[o][to] = strides[o][from];
    }
    void swap(int a, int b)
    {
        const uint32_t dim = dims[a];

        dims[a] = dims[b];
        dims[b] = dim;
        for (int o = 0; o < N; o++) {
            const int64_t stride = strides[o][a];

            strides[o][a] = strides[o][b];
            strides[o][b] = stride;
        }
    }
    bool joins(int outer, int inner) const
    {
        for (int o = 0; o < N; o++)
            if (strides[o][outer] != strides[o][inner] * dims[inner])
                return false;
        return true;
    }
    /** The result's fastest dimension last, so that neighbouring threads write neighbours; then as few dimensions as
     * there can be. */
    void simplify()
    {
        int kept = 0;

        for (int d = 0; d < rank; d++)
            if (dims[d] != 1)
                move(d, kept++);
        rank = kept;
        for (int d = 1; d < rank; d++)
            for (int e = d; e > 0 && strides[0][e - 1] < strides[0][e]; e--)
                swap(e - 1, e);
        kept = 0;
        for (int d = 1; d < rank; d++) {
            if (joins(kept, d)) {
                const uint32_t dim = dims[kept] * dims[d];

                move(d, kept);
                dims[kept] = dim;
            } else {
                move(d, ++kept);
            }
        }
        if (rank == 0) { /* one element */
            dims[0] = 1;
            for (int o = 0; o < N; o++)
                strides[o][0] = 0;
        }
        rank = kept + 1;
    }
};

/** Sets up the walk; a status. Where it is GPUDL_KERNEL_OK and elements is 0 there is nothing to do. The result's
 * strides are positive where it has several elements. */
template <int N>
static inline int gpudl_places_begin(GpudlPlaces<N> *p, const GpudlShape *shape, const GpudlStrided *const *operands)
{
    const int64_t elements = gpudl_shape_elements(shape);

    if (shape->rank < 0 || shape->rank > GPUDL_MAX_RANK || elements < 0 || elements > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    p->rank = shape->rank;
    p->elements = (uint32_t)elements;
    for (int d = 0; d < shape->rank; d++) {
        p->dims[d] = (uint32_t)shape->dims[d];
        for (int o = 0; o < N; o++)
            p->strides[o][d] = operands[o]->strides[d];
        if (elements > 0 && shape->dims[d] > 1 && operands[0]->strides[d] < 1)
            return GPUDL_KERNEL_SHAPE;
    }
    return GPUDL_KERNEL_OK;
}

/** Blocks of 256 threads for so many elements; threads step through what is beyond. */
static inline unsigned gpudl_blocks(int64_t elements)
{
    const int64_t blocks = gpudl_divide_up(elements, 256);

    return (unsigned)(blocks < 132 * 64 ? blocks : 132 * 64);
}

/** Integers that are computed with, and bool. */
static inline bool gpudl_is_computed_integer(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_I8 && dtype <= GPUDL_DTYPE_BOOL;
}

/** An integer in 64 bits, uint64 as its bits. */
__device__ __forceinline__ int64_t gpudl_get_integer(const void *data, GpudlDType dtype, int64_t at)
{
    switch (dtype) {
    case GPUDL_DTYPE_I8:
        return static_cast<const int8_t *>(data)[at];
    case GPUDL_DTYPE_U8:
    case GPUDL_DTYPE_BOOL:
        return static_cast<const uint8_t *>(data)[at];
    case GPUDL_DTYPE_I16:
        return static_cast<const int16_t *>(data)[at];
    case GPUDL_DTYPE_U16:
        return static_cast<const uint16_t *>(data)[at];
    case GPUDL_DTYPE_I32:
        return static_cast<const int32_t *>(data)[at];
    case GPUDL_DTYPE_U32:
        return static_cast<const uint32_t *>(data)[at];
    default:
        return static_cast<const int64_t *>(data)[at];
    }
}

/** Wraps around to the type; bool: not 0. */
__device__ __forceinline__ void gpudl_put_integer(void *data, GpudlDType dtype, int64_t at, int64_t value)
{
    switch (dtype) {
    case GPUDL_DTYPE_I8:
    case GPUDL_DTYPE_U8:
        static_cast<uint8_t *>(data)[at] = (uint8_t)value;
        break;
    case GPUDL_DTYPE_BOOL:
        static_cast<uint8_t *>(data)[at] = value != 0;
        break;
    case GPUDL_DTYPE_I16:
    case GPUDL_DTYPE_U16:
        static_cast<uint16_t *>(data)[at] = (uint16_t)value;
        break;
    case GPUDL_DTYPE_I32:
    case GPUDL_DTYPE_U32:
        static_cast<uint32_t *>(data)[at] = (uint32_t)value;
        break;
    default:
        static_cast<int64_t *>(data)[at] = value;
        break;
    }
}

#endif
