/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda_common.cuh"
#include "elementwise_cuda.h"

namespace
{

enum { Y = 0, A, B, C, D, OPERANDS };
enum Form { UNARY, BINARY, AFFINE };

struct Operand {
    void *data; /* NULL: there is none */
    int64_t strides[GPUDL_MAX_RANK];
    GpudlDType dtype;
};

/* Dimensions outermost first, none of 1, neighbours joined where every operand lets them be. */
struct Problem {
    Operand operands[OPERANDS];
    uint32_t dims[GPUDL_MAX_RANK];
    int rank, op;
    uint32_t vectors;
    GpudlAct act;
};

/* V neighbours of 16 bits each */
template <class T, int V> __device__ __forceinline__ void load_vector(const Operand &o, int64_t at, float *v)
{
    GpudlVector<T, V> in;

    in.all = *reinterpret_cast<const uint4 *>(static_cast<const T *>(o.data) + at);
    in.get(v);
}

template <class T, int V> __device__ __forceinline__ void store_vector(const Operand &o, int64_t at, const float *v)
{
    GpudlVector<T, V> out;

    out.set(v);
    out.store(static_cast<T *>(o.data) + at);
}

template <int V> __device__ __forceinline__ void load(const Operand &o, int64_t at, bool repeated, float *v)
{
    if (V == 1 || repeated) {
        const float one = gpudl_get_float(o.data, o.dtype, at);

#pragma unroll
        for (int i = 0; i < V; i++)
            v[i] = one;
    } else if constexpr (V > 1) {
        if (o.dtype == GPUDL_DTYPE_F16) {
            load_vector<__half, V>(o, at, v);
        } else if (o.dtype == GPUDL_DTYPE_BF16) {
            load_vector<GpudlBf16, V>(o, at, v);
        } else {
            const float4 *in = reinterpret_cast<const float4 *>(static_cast<const float *>(o.data) + at);

#pragma unroll
            for (int i = 0; i < V / 4; i++) {
                const float4 four = in[i];

                v[4 * i] = four.x;
                v[4 * i + 1] = four.y;
                v[4 * i + 2] = four.z;
                v[4 * i + 3] = four.w;
            }
        }
    }
}

template <int V> __device__ __forceinline__ void store(const Operand &o, int64_t at, const float *v)
{
    if constexpr (V == 1) {
        gpudl_put_float(o.data, o.dtype, at, v[0]);
    } else if (o.dtype == GPUDL_DTYPE_F16) {
        store_vector<__half, V>(o, at, v);
    } else if (o.dtype == GPUDL_DTYPE_BF16) {
        store_vector<GpudlBf16, V>(o, at, v);
    } else {
        float4 *out = reinterpret_cast<float4 *>(static_cast<float *>(o.data) + at);

#pragma unroll
        for (int i = 0; i < V / 4; i++)
            out[i] = make_float4(v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]);
    }
}

__device__ float unary(int op, const GpudlAct &act, float x)
{
    switch (op) {
    case GPUDL_UNARY_ELU:
        return x < 0.f ? act.alpha * expm1f(x) : x;
    case GPUDL_UNARY_ABS:
        return fabsf(x);
    case GPUDL_UNARY_NEG:
        return -x;
    case GPUDL_UNARY_EXP:
        return expf(x);
    case GPUDL_UNARY_LOG:
        return logf(x);
    case GPUDL_UNARY_SQRT:
        return sqrtf(x);
    case GPUDL_UNARY_RECIPROCAL:
        return 1.f / x;
    case GPUDL_UNARY_FLOOR:
        return floorf(x);
    case GPUDL_UNARY_CEIL:
        return ceilf(x);
    case GPUDL_UNARY_ROUND:
        return rintf(x);
    default:
        return erff(x);
    }
}

__device__ float binary(int op, float a, float b)
{
    switch (op) {
    case GPUDL_BINARY_ADD:
        return a + b;
    case GPUDL_BINARY_SUB:
        return a - b;
    case GPUDL_BINARY_MUL:
        return a * b;
    case GPUDL_BINARY_DIV:
        return a / b;
    case GPUDL_BINARY_POW:
        return powf(a, b);
    case GPUDL_BINARY_MIN: /* NaN if either is */
        return a != a ? a : b != b ? b : fminf(a, b);
    case GPUDL_BINARY_MAX:
        return a != a ? a : b != b ? b : fmaxf(a, b);
    default: /* PRELU */
        return a < 0.f ? a * b : a;
    }
}

template <Form FORM, int V> __device__ __forceinline__ void compute(const Problem &p, const int64_t *at)
{
    const int last = p.rank - 1;
    float a[V], b[V];

    load<V>(p.operands[A], at[A], p.operands[A].strides[last] == 0, a);
    if (FORM == UNARY) {
        if (p.op != GPUDL_UNARY_ACTIVATION)
#pragma unroll
            for (int i = 0; i < V; i++)
                a[i] = unary(p.op, p.act, a[i]);
        else
            gpudl_activate_all<V>(p.act, a);
    } else if (FORM == BINARY) {
        load<V>(p.operands[B], at[B], p.operands[B].strides[last] == 0, b);
#pragma unroll
        for (int i = 0; i < V; i++)
            a[i] = binary(p.op, a[i], b[i]);
        gpudl_activate_all<V>(p.act, a);
    } else {
        if (p.operands[B].data) {
            load<V>(p.operands[B], at[B], p.operands[B].strides[last] == 0, b);
#pragma unroll
            for (int i = 0; i < V; i++)
                a[i] *= b[i];
        }
#pragma unroll
        for (int o = C; o <= D; o++)
            if (p.operands[o].data) {
                load<V>(p.operands[o], at[o], p.operands[o].strides[last] == 0, b);
#pragma unroll
                for (int i = 0; i < V; i++)
                    a[i] += b[i];
            }
        gpudl_activate_all<V>(p.act, a);
    }
    store<V>(p.operands[Y], at[Y], a);
}

template <Form FORM, int V> __global__ void __launch_bounds__(256) elementwise(const __grid_constant__ Problem p)
{
    gpudl_begin();

    constexpr int N = FORM == UNARY ? 2 : FORM == BINARY ? 3 : 5;
    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.vectors; i += step) {
        int64_t at[OPERANDS] = {};
        uint32_t rest = i;

#pragma unroll
        for (int d = GPUDL_MAX_RANK - 1; d >= 0; d--) {
            if (d < p.rank) {
                const uint32_t extent = d == p.rank - 1 ? p.dims[d] / V : p.dims[d];
                const uint32_t q = d == 0 ? 0 : rest / extent;
                const uint32_t here = (rest - q * extent) * (d == p.rank - 1 ? V : 1);

                rest = q;
#pragma unroll
                for (int o = 0; o < N; o++)
                    at[o] += here * p.operands[o].strides[d];
            }
        }
        compute<FORM, V>(p, at);
    }
}

bool joins(const Problem &p, int outer, int inner)
{
    for (const Operand &o : p.operands)
        if (o.data && o.strides[outer] != o.strides[inner] * p.dims[inner])
            return false;
    return true;
}

void move_dimension(Problem &p, int from, int to)
{
    p.dims[to] = p.dims[from];
    for (Operand &o : p.operands)
        o.strides[to] = o.strides[from];
}

void swap_dimensions(Problem &p, int a, int b)
{
    const uint32_t dim = p.dims[a];

    p.dims[a] = p.dims[b];
    p.dims[b] = dim;
    for (Operand &o : p.operands) {
        const int64_t stride = o.strides[a];

        o.strides[a] = o.strides[b];
        o.strides[b] = stride;
    }
}

/* The result's fastest dimension last, so that neighbouring threads write neighbours; then as few as there can be. */
void simplify(Problem &p)
{
    int rank = 0;

    for (int d = 0; d < p.rank; d++)
        if (p.dims[d] != 1)
            move_dimension(p, d, rank++);
    p.rank = rank;
    for (int d = 1; d < p.rank; d++)
        for (int e = d; e > 0 && p.operands[Y].strides[e - 1] < p.operands[Y].strides[e]; e--)
            swap_dimensions(p, e - 1, e);
    rank = 0;
    for (int d = 1; d < p.rank; d++) {
        if (joins(p, rank, d)) {
            const uint32_t dim = p.dims[rank] * p.dims[d];

            move_dimension(p, d, rank);
            p.dims[rank] = dim;
        } else {
            move_dimension(p, d, ++rank);
        }
    }
    if (p.rank == 0) /* one element */
        p.dims[0] = 1;
    p.rank = rank + 1;
}

bool has_vectors(const Problem &p)
{
    const int last = p.rank - 1;

    if (p.dims[last] % 8 != 0)
        return false;
    for (int i = 0; i < OPERANDS; i++) {
        const Operand &o = p.operands[i];
        const int64_t words = o.dtype == GPUDL_DTYPE_F32 ? 4 : 8; /* elements of 16 bytes */

        if (!o.data || (o.strides[last] == 0 && i != Y))
            continue;
        if (o.strides[last] != 1 || (uintptr_t)o.data % 16 != 0)
            return false;
        for (int d = 0; d < last; d++)
            if (o.strides[d] % words != 0)
                return false;
    }
    return true;
}

template <Form FORM, int V> int launch(Problem &p, uint32_t elements, cudaStream_t stream)
{
    p.vectors = elements / V;
    const int64_t blocks = gpudl_divide_up(p.vectors, 256);

    gpudl_launch(elementwise<FORM, V>, (unsigned)(blocks < 132 * 64 ? blocks : 132 * 64), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

template <Form FORM>
int run(int op, const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *const *operands, cudaStream_t stream)
{
    const int64_t elements = gpudl_shape_elements(shape);
    Problem p = {};

    if (elements < 0 || elements > INT32_MAX || shape->rank < 0 || shape->rank > GPUDL_MAX_RANK)
        return GPUDL_KERNEL_SHAPE;
    p.rank = shape->rank;
    p.op = op;
    if (act)
        p.act = *act;
    for (int d = 0; d < shape->rank; d++)
        p.dims[d] = (uint32_t)shape->dims[d];
    for (int i = 0; i < OPERANDS; i++) {
        const GpudlStrided *o = operands[i];

        if (!o)
            continue;
        if (!gpudl_is_picture_type(o->dtype))
            return GPUDL_KERNEL_DTYPE;
        p.operands[i].data = o->data;
        p.operands[i].dtype = o->dtype;
        for (int d = 0; d < shape->rank; d++) {
            if (o->strides[d] < 0 || (i == Y && o->strides[d] == 0 && shape->dims[d] > 1))
                return GPUDL_KERNEL_SHAPE;
            p.operands[i].strides[d] = o->strides[d];
        }
    }
    if (elements == 0)
        return GPUDL_KERNEL_OK;
    simplify(p);
    return has_vectors(p) ? launch<FORM, 8>(p, (uint32_t)elements, stream)
                          : launch<FORM, 1>(p, (uint32_t)elements, stream);
}

} // namespace

extern "C" int gpudl_unary_cuda(GpudlUnaryOp op, const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *x,
                                const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided *const operands[OPERANDS] = {y, x, nullptr, nullptr, nullptr};

    if (op < GPUDL_UNARY_ACTIVATION || op >= GPUDL_UNARY_NOT)
        return GPUDL_KERNEL_DTYPE;
    return run<UNARY>(op, act, shape, operands, stream);
}

extern "C" int gpudl_binary_cuda(GpudlBinaryOp op, const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *a,
                                 const GpudlStrided *b, const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided *const operands[OPERANDS] = {y, a, b, nullptr, nullptr};

    if (op < GPUDL_BINARY_ADD || op > GPUDL_BINARY_PRELU)
        return GPUDL_KERNEL_DTYPE;
    return run<BINARY>(op, act, shape, operands, stream);
}

extern "C" int gpudl_affine_cuda(const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *x,
                                 const GpudlStrided *scale, const GpudlStrided *shift, const GpudlStrided *z,
                                 const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided *const operands[OPERANDS] = {y, x, scale, shift, z};

    return run<AFFINE>(0, act, shape, operands, stream);
}
