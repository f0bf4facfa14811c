/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sets that lie in one piece, as the channels of a pixel do, are rows: a few threads keep one in registers between its
 * only reading and its writing. Others are read three times, by a block each or, where there are many of them, a warp;
 * large ones by large blocks, in vectors where their fastest dimension has these.
 */
#include "norm_cuda.h"
#include "strided.cuh"

namespace
{

constexpr int THREADS = 256, MOST_THREADS = 1024;
constexpr uint32_t MANY = 2048; /* elements of a set that are worth a block */

struct Problem {
    GpudlPlaces<4> sets, within; /* y, x, scale, bias: the first element of each set; the others from there */
    const void *x, *scale, *bias;
    void *y;
    GpudlDType x_type, y_type, scale_type, bias_type;
    float epsilon;
};

/* ---- rows -------------------------------------------------------------------------------------------------------- */

template <int LANES> __device__ __forceinline__ float sum_of_lanes(float sum)
{
#pragma unroll
    for (int d = LANES / 2; d > 0; d /= 2)
        sum += __shfl_xor_sync(0xffffffff, sum, d);
    return sum;
}

template <int V> __device__ __forceinline__ void load_floats(const float *p, float *values)
{
#pragma unroll
    for (int j = 0; j < V; j += 4) {
        const float4 four = gpudl_load_written(reinterpret_cast<const float4 *>(p + j));

        values[j] = four.x;
        values[j + 1] = four.y;
        values[j + 2] = four.z;
        values[j + 3] = four.w;
    }
}

/* LANES threads have a row of at most LANES * K vectors. */
template <typename Values, int LANES, int K>
__global__ void __launch_bounds__(THREADS) rows(const __grid_constant__ Problem p)
{
    gpudl_begin();

    typedef typename Values::Element T;
    constexpr int V = Values::N, ROWS = 32 / LANES; /* of a warp */
    const uint32_t n = p.within.elements, step = gridDim.x * (THREADS / LANES);
    const uint32_t lane = threadIdx.x % LANES, row = threadIdx.x % 32 / LANES;

    /* the same for a warp, whose threads need one another */
    for (uint32_t i = (blockIdx.x * THREADS + threadIdx.x) / 32 * ROWS; i < p.sets.elements; i += step) {
        const bool is_there = i + row < p.sets.elements;
        int64_t first[4] = {};
        float values[K][V], sum = 0, squares = 0;

        if (is_there)
            p.sets.locate(i + row, first);
        const T *x = static_cast<const T *>(p.x) + first[1];
#pragma unroll
        for (int k = 0; k < K; k++) {
            const uint32_t at = (k * LANES + lane) * V;
            Values vector;

            vector.fill(0.f);
            if (is_there && at < n)
                vector.load(x + at);
            vector.get(values[k]);
#pragma unroll
            for (int j = 0; j < V; j++)
                sum += values[k][j];
        }
        const float mean = sum_of_lanes<LANES>(sum) / (float)n;

#pragma unroll
        for (int k = 0; k < K; k++)
#pragma unroll
            for (int j = 0; j < V; j++) {
                values[k][j] -= mean;
                squares += (k * LANES + lane) * V < n ? values[k][j] * values[k][j] : 0.f;
            }
        const float factor = 1.f / sqrtf(sum_of_lanes<LANES>(squares) / (float)n + p.epsilon);

#pragma unroll
        for (int k = 0; k < K; k++) {
            const uint32_t at = (k * LANES + lane) * V;
            float scale[V], bias[V];
            Values vector;

            if (!is_there || at >= n)
                continue;
#pragma unroll
            for (int j = 0; j < V; j++) {
                scale[j] = 1.f;
                bias[j] = 0.f;
            }
            if (p.scale != nullptr)
                load_floats<V>(static_cast<const float *>(p.scale) + at, scale);
            if (p.bias != nullptr)
                load_floats<V>(static_cast<const float *>(p.bias) + at, bias);
#pragma unroll
            for (int j = 0; j < V; j++)
                values[k][j] = values[k][j] * factor * scale[j] + bias[j];
            vector.set(values[k]);
            vector.store(static_cast<T *>(p.y) + first[0] + at);
        }
    }
}

/* ---- sets of any kind -------------------------------------------------------------------------------------------- */

/* Of the LANES threads that have a set: a warp's or a block's. */
template <int LANES> __device__ __forceinline__ float sum_of(float sum)
{
    __shared__ float sums[LANES / 32];

    sum = sum_of_lanes<32>(sum);
    if (LANES == 32)
        return sum;
    __syncthreads(); /* the last sum has been read */
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < LANES / 32; i++)
        sum += sums[i];
    return sum;
}

/* Of an element in the fastest dimension behind the vector's first. */
__device__ __forceinline__ float parameter(const void *data, GpudlDType type, int64_t at, float none)
{
    return data != nullptr ? gpudl_get_float(data, type, at) : none;
}

template <typename Values> __global__ void __launch_bounds__(MOST_THREADS) vectors(const __grid_constant__ Problem p)
{
    gpudl_begin();

    typedef typename Values::Element T;
    constexpr int V = Values::N;
    const uint32_t n = p.within.elements;
    const int last = p.within.rank - 1;

    for (uint32_t i = blockIdx.x; i < p.sets.elements; i += gridDim.x) {
        int64_t first[4], at[4];
        float values[V], sum = 0, squares = 0;
        Values vector;

        p.sets.locate(i, first);
        const T *x = static_cast<const T *>(p.x) + first[1];

        for (uint32_t k = threadIdx.x * V; k < n; k += MOST_THREADS * V) {
            p.within.locate(k, at);
            vector.load(x + at[1]);
            vector.get(values);
#pragma unroll
            for (int j = 0; j < V; j++)
                sum += values[j];
        }
        const float mean = sum_of<MOST_THREADS>(sum) / (float)n;

        for (uint32_t k = threadIdx.x * V; k < n; k += MOST_THREADS * V) {
            p.within.locate(k, at);
            vector.load(x + at[1]);
            vector.get(values);
#pragma unroll
            for (int j = 0; j < V; j++)
                squares += (values[j] - mean) * (values[j] - mean);
        }
        const float factor = 1.f / sqrtf(sum_of<MOST_THREADS>(squares) / (float)n + p.epsilon);

        for (uint32_t k = threadIdx.x * V; k < n; k += MOST_THREADS * V) {
            p.within.locate(k, at);
            vector.load(x + at[1]);
            vector.get(values);
#pragma unroll
            for (int j = 0; j < V; j++)
                values[j] =
                    (values[j] - mean) * factor *
                        parameter(p.scale, p.scale_type, first[2] + at[2] + j * p.within.strides[2][last], 1.f) +
                    parameter(p.bias, p.bias_type, first[3] + at[3] + j * p.within.strides[3][last], 0.f);
            vector.set(values);
            vector.store(static_cast<T *>(p.y) + first[0] + at[0]);
        }
    }
}

template <int LANES> __global__ void __launch_bounds__(THREADS) any(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t lane = threadIdx.x % LANES, step = gridDim.x * (THREADS / LANES), n = p.within.elements;

    for (uint32_t i = (blockIdx.x * THREADS + threadIdx.x) / LANES; i < p.sets.elements; i += step) {
        int64_t first[4], at[4];
        float sum = 0, squares = 0;

        p.sets.locate(i, first);
        for (uint32_t k = lane; k < n; k += LANES) {
            p.within.locate(k, at);
            sum += gpudl_get_float(p.x, p.x_type, first[1] + at[1]);
        }
        const float mean = sum_of<LANES>(sum) / (float)n;

        for (uint32_t k = lane; k < n; k += LANES) {
            p.within.locate(k, at);
            const float value = gpudl_get_float(p.x, p.x_type, first[1] + at[1]) - mean;

            squares += value * value;
        }
        const float factor = 1.f / sqrtf(sum_of<LANES>(squares) / (float)n + p.epsilon);

        for (uint32_t k = lane; k < n; k += LANES) {
            p.within.locate(k, at);
            const float value = (gpudl_get_float(p.x, p.x_type, first[1] + at[1]) - mean) * factor;
            const float scale = p.scale != nullptr ? gpudl_get_float(p.scale, p.scale_type, first[2] + at[2]) : 1.f;
            const float bias = p.bias != nullptr ? gpudl_get_float(p.bias, p.bias_type, first[3] + at[3]) : 0.f;

            gpudl_put_float(p.y, p.y_type, first[0] + at[0], value * scale + bias);
        }
    }
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

/* Whether a parameter is the same for all sets, and dense float32 within them. */
bool is_row(const Problem &p, int operand, const void *data, GpudlDType type)
{
    bool is_same = data == nullptr || (type == GPUDL_DTYPE_F32 && (uintptr_t)data % 16 == 0);

    if (data == nullptr)
        return true;
    for (int d = 0; d < p.sets.rank; d++)
        is_same = is_same && (p.sets.strides[operand][d] == 0 || p.sets.dims[d] == 1);
    return is_same && p.within.strides[operand][0] == 1;
}

/* Whether each begins at a whole vector of v elements, in y and x. */
bool begin_whole(const GpudlPlaces<4> &places, int rank, int v)
{
    bool whole = true;

    for (int d = 0; d < rank; d++)
        whole = whole && ((places.strides[0][d] % v == 0 && places.strides[1][d] % v == 0) || places.dims[d] == 1);
    return whole;
}

/* Whether the fastest dimension of sets has whole vectors of v elements. */
bool has_vectors(const Problem &p, int v)
{
    const int last = p.within.rank - 1;

    return p.within.dims[last] % (uint32_t)v == 0 && p.x_type == p.y_type && (uintptr_t)p.x % 16 == 0 &&
           (uintptr_t)p.y % 16 == 0 && p.within.strides[0][last] == 1 && p.within.strides[1][last] == 1 &&
           begin_whole(p.sets, p.sets.rank, v) && begin_whole(p.within, last, v);
}

/* Whether sets are rows of these, and parameters as well. */
bool has_rows(const Problem &p, int v)
{
    return p.within.rank == 1 && has_vectors(p, v) && is_row(p, 2, p.scale, p.scale_type) &&
           is_row(p, 3, p.bias, p.bias_type);
}

template <typename Values, int LANES, int K> int launch_rows(const Problem &p, cudaStream_t stream)
{
    gpudl_launch(rows<Values, LANES, K>, gpudl_blocks((int64_t)p.sets.elements * LANES), THREADS, 0, stream, p);
    return (int)cudaGetLastError();
}

/* rows: of at most 256 vectors */
template <typename Values> int launch_whole(const Problem &p, bool are_rows, cudaStream_t stream)
{
    const uint32_t n = p.within.elements / Values::N;

    if (!are_rows) {
        gpudl_launch(vectors<Values>, gpudl_blocks((int64_t)p.sets.elements * THREADS), MOST_THREADS, 0, stream, p);
        return (int)cudaGetLastError();
    }
    return n <= 8     ? launch_rows<Values, 8, 1>(p, stream)
           : n <= 16  ? launch_rows<Values, 16, 1>(p, stream)
           : n <= 32  ? launch_rows<Values, 32, 1>(p, stream)
           : n <= 64  ? launch_rows<Values, 32, 2>(p, stream)
           : n <= 128 ? launch_rows<Values, 32, 4>(p, stream)
                      : launch_rows<Values, 32, 8>(p, stream);
}

int launch(const Problem &p, cudaStream_t stream)
{
    const uint32_t n = p.within.elements, v = p.x_type == GPUDL_DTYPE_F32 ? 4 : 8;

    const bool are_rows = has_rows(p, (int)v) && n <= 256 * v;

    if (are_rows || (n >= MANY && has_vectors(p, (int)v)))
        return p.x_type == GPUDL_DTYPE_F16    ? launch_whole<GpudlVector<__half, 8>>(p, are_rows, stream)
               : p.x_type == GPUDL_DTYPE_BF16 ? launch_whole<GpudlVector<GpudlBf16, 8>>(p, are_rows, stream)
                                              : launch_whole<GpudlFloats<4>>(p, are_rows, stream);
    if (n >= MANY || (int64_t)n > (int64_t)p.sets.elements * 32)
        gpudl_launch(any<THREADS>, gpudl_blocks((int64_t)p.sets.elements * THREADS), THREADS, 0, stream, p);
    else
        gpudl_launch(any<32>, gpudl_blocks((int64_t)p.sets.elements * 32), THREADS, 0, stream, p);
    return (int)cudaGetLastError();
}

} // namespace

extern "C" int gpudl_norm_cuda(const GpudlShape *shape, uint32_t within, const GpudlStrided *x,
                               const GpudlStrided *scale, const GpudlStrided *bias, float epsilon,
                               const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided none = {GPUDL_DTYPE_F32, nullptr, {}};
    const GpudlStrided *const operands[4] = {y, x, scale != nullptr ? scale : &none, bias != nullptr ? bias : &none};
    const GpudlStrided *set_operands[4], *within_operands[4];
    GpudlStrided set_strides[4], within_strides[4];
    GpudlShape sets = {}, inner = {};
    const int64_t elements = gpudl_shape_elements(shape);
    Problem p = {{},      {},       x->data,  operands[2]->data,  operands[3]->data,
                 y->data, x->dtype, y->dtype, operands[2]->dtype, operands[3]->dtype,
                 epsilon};
    int status;

    for (int o = 0; o < 4; o++) {
        if (!gpudl_is_picture_type(operands[o]->dtype))
            return GPUDL_KERNEL_DTYPE;
        set_strides[o] = within_strides[o] = *operands[o];
        set_operands[o] = &set_strides[o];
        within_operands[o] = &within_strides[o];
    }
    if (shape->rank < 1 || within >> shape->rank != 0 || elements < 0 || elements > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < shape->rank; d++) {
        const bool is_inner = (within >> d & 1) != 0;
        GpudlShape *to = is_inner ? &inner : &sets;

        for (int o = 0; o < 4; o++)
            (is_inner ? within_strides : set_strides)[o].strides[to->rank] = operands[o]->strides[d];
        to->dims[to->rank++] = shape->dims[d];
    }
    status = gpudl_places_begin(&p.sets, &sets, set_operands);
    if (status == GPUDL_KERNEL_OK)
        status = gpudl_places_begin(&p.within, &inner, within_operands);
    if (status != GPUDL_KERNEL_OK || elements == 0)
        return status;
    p.sets.simplify();
    p.within.simplify();
    return launch(p, (cudaStream_t)stream);
}
