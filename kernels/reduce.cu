/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda_common.cuh"
#include "reduce_cuda.h"

namespace
{

struct Problem {
    const void *x;
    void *y;
    GpudlDType x_type, y_type;
    /* kept dimensions, then reduced ones; outermost first */
    uint32_t kept_dims[GPUDL_MAX_RANK], dims[GPUDL_MAX_RANK];
    int64_t kept_x[GPUDL_MAX_RANK], kept_y[GPUDL_MAX_RANK], strides[GPUDL_MAX_RANK];
    int n_kept, n_reduced;
    uint32_t outputs, terms;
};

template <GpudlReduceKind KIND> __device__ __forceinline__ float neutral()
{
    return KIND == GPUDL_REDUCE_MAX    ? -INFINITY
           : KIND == GPUDL_REDUCE_MIN  ? INFINITY
           : KIND == GPUDL_REDUCE_PROD ? 1.f
                                       : 0.f;
}

template <GpudlReduceKind KIND> __device__ __forceinline__ float combine(float a, float b)
{
    if (KIND == GPUDL_REDUCE_MAX)
        return b > a || b != b ? b : a;
    if (KIND == GPUDL_REDUCE_MIN)
        return b < a || b != b ? b : a;
    return KIND == GPUDL_REDUCE_PROD ? a * b : a + b;
}

__device__ __forceinline__ int64_t place(uint32_t i, const uint32_t *dims, const int64_t *strides, int n)
{
    int64_t at = 0;

    for (int d = n - 1; d >= 0; d--) {
        const uint32_t q = i / dims[d];

        at += (i - q * dims[d]) * strides[d];
        i = q;
    }
    return at;
}

/* LANES threads for each output: 32 where what is reduced lies next to one another, 1 where outputs do. */
template <GpudlReduceKind KIND, int LANES>
__global__ void __launch_bounds__(256) reduce(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t lane = threadIdx.x % LANES, step = gridDim.x * blockDim.x / LANES;

    for (uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) / LANES; i < p.outputs; i += step) {
        const int64_t from = place(i, p.kept_dims, p.kept_x, p.n_kept);
        float value = neutral<KIND>();

        for (uint32_t k = lane; k < p.terms; k += LANES) {
            const int64_t at = from + place(k, p.dims, p.strides, p.n_reduced);

            value = combine<KIND>(value, gpudl_get_float(p.x, p.x_type, at));
        }
#pragma unroll
        for (int d = LANES / 2; d > 0; d /= 2)
            value = combine<KIND>(value, __shfl_xor_sync(0xffffffff, value, d));
        if (lane == 0) {
            const int64_t at = place(i, p.kept_dims, p.kept_y, p.n_kept);

            if (KIND == GPUDL_REDUCE_MEAN)
                value /= (float)p.terms;
            gpudl_put_float(p.y, p.y_type, at, value);
        }
    }
}

/* Dimensions by descending stride, so that the last is the fastest. */
void sort(uint32_t *dims, int64_t *strides, int64_t *others, int n)
{
    for (int d = 1; d < n; d++)
        for (int e = d; e > 0 && strides[e - 1] < strides[e]; e--) {
            const uint32_t dim = dims[e];
            const int64_t stride = strides[e];

            dims[e] = dims[e - 1];
            dims[e - 1] = dim;
            strides[e] = strides[e - 1];
            strides[e - 1] = stride;
            if (others) {
                const int64_t other = others[e];

                others[e] = others[e - 1];
                others[e - 1] = other;
            }
        }
}

template <GpudlReduceKind KIND> int launch(const Problem &p, cudaStream_t stream)
{
    const int64_t reduced = p.n_reduced > 0 ? p.strides[p.n_reduced - 1] : INT64_MAX,
                  kept = p.n_kept > 0 ? p.kept_x[p.n_kept - 1] : INT64_MAX;
    const bool warps = p.terms >= 32 && (reduced <= kept || p.outputs < 4096);
    const int64_t blocks = gpudl_divide_up(p.outputs, warps ? 8 : 256);
    const unsigned grid = (unsigned)(blocks < 1 << 16 ? blocks : 1 << 16);

    if (warps)
        gpudl_launch(reduce<KIND, 32>, grid, 256, 0, stream, p);
    else
        gpudl_launch(reduce<KIND, 1>, grid, 256, 0, stream, p);
    return (int)cudaGetLastError();
}

} // namespace

extern "C" int gpudl_reduce_cuda(GpudlReduceKind kind, const GpudlShape *shape, const GpudlStrided *x,
                                 const int32_t *axes, int32_t n_axes, const GpudlStrided *y, GpudlKernelStream stream)
{
    const int64_t elements = gpudl_shape_elements(shape);
    Problem p = {};
    bool reduced[GPUDL_MAX_RANK] = {};

    if (!gpudl_is_picture_type(x->dtype) || !gpudl_is_picture_type(y->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (elements < 1 || elements > INT32_MAX || n_axes < 0)
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < n_axes; i++) {
        if (axes[i] < 0 || axes[i] >= shape->rank)
            return GPUDL_KERNEL_SHAPE;
        reduced[axes[i]] = true;
    }
    p.x = x->data;
    p.y = y->data;
    p.x_type = x->dtype;
    p.y_type = y->dtype;
    p.outputs = p.terms = 1;
    for (int d = 0; d < shape->rank; d++) {
        if (reduced[d] || n_axes == 0) {
            p.dims[p.n_reduced] = (uint32_t)shape->dims[d];
            p.strides[p.n_reduced++] = x->strides[d];
            p.terms *= (uint32_t)shape->dims[d];
        } else {
            p.kept_dims[p.n_kept] = (uint32_t)shape->dims[d];
            p.kept_x[p.n_kept] = x->strides[d];
            p.kept_y[p.n_kept++] = y->strides[d];
            p.outputs *= (uint32_t)shape->dims[d];
        }
    }
    sort(p.dims, p.strides, nullptr, p.n_reduced);
    sort(p.kept_dims, p.kept_x, p.kept_y, p.n_kept);
    switch (kind) {
    case GPUDL_REDUCE_MEAN:
        return launch<GPUDL_REDUCE_MEAN>(p, stream);
    case GPUDL_REDUCE_SUM:
        return launch<GPUDL_REDUCE_SUM>(p, stream);
    case GPUDL_REDUCE_MAX:
        return launch<GPUDL_REDUCE_MAX>(p, stream);
    case GPUDL_REDUCE_MIN:
        return launch<GPUDL_REDUCE_MIN>(p, stream);
    case GPUDL_REDUCE_PROD:
        return launch<GPUDL_REDUCE_PROD>(p, stream);
    default:
        return GPUDL_KERNEL_SHAPE;
    }
}
