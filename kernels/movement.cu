/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cast.h"
#include "movement_cuda.h"
#include "strided.cuh"

namespace
{

/* ---- units ------------------------------------------------------------------------------------------------------- */

bool is_known(GpudlDType dtype)
{
    return gpudl_dtype_size(dtype) != 0;
}

/* Elements of size bytes, or so many of them that lie together in all operands, as units of at most 16 bytes: each
 * place and stride but the last is a multiple. rows: extents of the fastest dimension. */
template <int N>
int units_of(const GpudlPlaces<N> &p, const void *const *data, int moved, int size, int64_t extra_stride)
{
    const int last = p.rank - 1;

    for (int unit = 16; unit > size; unit /= 2) {
        const int n = unit / size;
        bool fits = p.dims[last] % (uint32_t)n == 0 && extra_stride % n == 0;

        for (int o = 0; o < N && fits; o++) {
            const bool is_moved = (moved >> o & 1) != 0;

            fits = is_moved ? p.strides[o][last] == 1 && (uintptr_t)data[o] % (unsigned)unit == 0
                            : p.strides[o][last] == 0;
            for (int d = 0; d < last && fits; d++)
                fits = !is_moved || p.strides[o][d] % n == 0;
        }
        if (fits)
            return n;
    }
    return 1;
}

/* Strides and extents in units of n elements. */
template <int N> void count_units(GpudlPlaces<N> *p, int moved, int n)
{
    const int last = p->rank - 1;

    p->dims[last] /= (uint32_t)n;
    p->elements /= (uint32_t)n;
    for (int o = 0; o < N; o++)
        for (int d = 0; d < last; d++)
            if (moved >> o & 1)
                p->strides[o][d] /= n;
}

/* ---- copy -------------------------------------------------------------------------------------------------------- */

struct Copy {
    GpudlPlaces<2> places;
    const void *x;
    void *y;
};

template <typename T> __global__ void __launch_bounds__(256) copy(const __grid_constant__ Copy p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[2];

        p.places.locate(i, at);
        static_cast<T *>(p.y)[at[0]] = static_cast<const T *>(p.x)[at[1]];
    }
}

/* ---- padding ----------------------------------------------------------------------------------------------------- */

struct Pad {
    GpudlPlaces<2> places; /* of y, and x's strides */
    int64_t begin[GPUDL_MAX_RANK], extents[GPUDL_MAX_RANK];
    GpudlPadding padding;
    const void *x;
    void *y;
    uint4 constant; /* repeated over 16 bytes */
};

/* Where position i of the padded dimension comes from, -1: from the constant. */
__device__ __forceinline__ int64_t pad_source(GpudlPadding padding, int64_t i, int64_t extent)
{
    if (i >= 0 && i < extent)
        return i;
    if (padding == GPUDL_PADDING_EDGE)
        return i < 0 ? 0 : extent - 1;
    if (padding == GPUDL_PADDING_WRAP) {
        i %= extent;
        return i < 0 ? i + extent : i;
    }
    if (padding == GPUDL_PADDING_REFLECT) {
        const int64_t period = 2 * (extent - 1);

        if (extent == 1)
            return 0;
        i %= period;
        i = i < 0 ? i + period : i;
        return i < extent ? i : period - i;
    }
    return -1;
}

template <typename T> __global__ void __launch_bounds__(256) pad(const __grid_constant__ Pad p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t from = 0, to = 0;
        uint32_t rest = i;
        bool outside = false;

#pragma unroll
        for (int d = GPUDL_MAX_RANK - 1; d >= 0; d--) {
            if (d < p.places.rank) {
                const uint32_t q = d == 0 ? 0 : rest / p.places.dims[d], here = rest - q * p.places.dims[d];
                const int64_t source = pad_source(p.padding, (int64_t)here - p.begin[d], p.extents[d]);

                rest = q;
                to += here * p.places.strides[0][d];
                from += source * p.places.strides[1][d];
                outside |= source < 0;
            }
        }
        static_cast<T *>(p.y)[to] =
            outside ? *reinterpret_cast<const T *>(&p.constant) : static_cast<const T *>(p.x)[from];
    }
}

void swap_long(int64_t *a, int64_t *b)
{
    const int64_t keep = *a;

    *a = *b;
    *b = keep;
}

/* As GpudlPlaces::simplify(); dimensions that are padded stay alone. */
void simplify_pad(Pad *p)
{
    GpudlPlaces<2> &w = p->places;
    int kept = 0;

    for (int d = 0; d < w.rank; d++) {
        if (w.dims[d] == 1 && p->extents[d] == 1 && p->begin[d] == 0)
            continue;
        w.move(d, kept);
        p->begin[kept] = p->begin[d];
        p->extents[kept++] = p->extents[d];
    }
    w.rank = kept;
    for (int d = 1; d < w.rank; d++)
        for (int e = d; e > 0 && w.strides[0][e - 1] < w.strides[0][e]; e--) {
            w.swap(e - 1, e);
            swap_long(&p->begin[e - 1], &p->begin[e]);
            swap_long(&p->extents[e - 1], &p->extents[e]);
        }
    kept = 0;
    for (int d = 1; d < w.rank; d++) {
        const bool plain =
            p->begin[d] == 0 && p->begin[kept] == 0 && p->extents[d] == w.dims[d] && p->extents[kept] == w.dims[kept];

        if (plain && w.joins(kept, d)) {
            const uint32_t dim = w.dims[kept] * w.dims[d];

            w.move(d, kept);
            p->extents[kept] = w.dims[kept] = dim;
        } else {
            w.move(d, ++kept);
            p->begin[kept] = p->begin[d];
            p->extents[kept] = p->extents[d];
        }
    }
    if (w.rank == 0) {
        w.dims[0] = 1;
        w.strides[0][0] = w.strides[1][0] = 0;
        p->begin[0] = 0;
        p->extents[0] = 1;
    }
    w.rank = kept + 1;
}

/* ---- gathering --------------------------------------------------------------------------------------------------- */

struct Gather {
    GpudlPlaces<3> places; /* y, x but for the axis, indices */
    const void *x, *indices;
    void *y;
    GpudlDType index_type;
    int64_t extent, stride; /* along the axis */
};

template <typename T> __device__ __forceinline__ T all_bits()
{
    return (T)-1;
}
template <> __device__ __forceinline__ uint4 all_bits<uint4>()
{
    return make_uint4(~0u, ~0u, ~0u, ~0u);
}

template <typename T> __global__ void __launch_bounds__(256) gather(const __grid_constant__ Gather p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[3], index;

        p.places.locate(i, at);
        index = gpudl_get_integer(p.indices, p.index_type, at[2]);
        index += index < 0 ? p.extent : 0;
        static_cast<T *>(p.y)[at[0]] =
            index < 0 || index >= p.extent ? all_bits<T>() : static_cast<const T *>(p.x)[at[1] + index * p.stride];
    }
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

#define LAUNCH(kernel_, type_)                                                                                         \
    do {                                                                                                               \
        gpudl_launch(kernel_<type_>, gpudl_blocks(p.places.elements), 256, 0, stream, p);                              \
        return (int)cudaGetLastError();                                                                                \
    } while (0)
#define LAUNCH_UNITS(kernel_, bytes_)                                                                                  \
    switch (bytes_) {                                                                                                  \
    case 1:                                                                                                            \
        LAUNCH(kernel_, uint8_t);                                                                                      \
    case 2:                                                                                                            \
        LAUNCH(kernel_, uint16_t);                                                                                     \
    case 4:                                                                                                            \
        LAUNCH(kernel_, uint32_t);                                                                                     \
    case 8:                                                                                                            \
        LAUNCH(kernel_, uint64_t);                                                                                     \
    default:                                                                                                           \
        LAUNCH(kernel_, uint4);                                                                                        \
    }

} // namespace

extern "C" int gpudl_copy_cuda(const GpudlShape *shape, const GpudlStrided *x, const GpudlStrided *y,
                               GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {y, x};
    const int size = (int)gpudl_dtype_size(x->dtype);
    Copy p = {{}, x->data, y->data};
    int status, n;

    if (x->dtype != y->dtype || !is_known(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    status = gpudl_places_begin(&p.places, shape, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    p.places.simplify();
    const void *const data[] = {y->data, x->data};

    n = units_of(p.places, data, 3, size, 0);
    count_units(&p.places, 3, n);
    LAUNCH_UNITS(copy, n * size)
}

extern "C" int gpudl_pad_cuda(GpudlPadding padding, const GpudlShape *x_shape, const GpudlStrided *x,
                              const int64_t *begin, double value, const GpudlShape *y_shape, const GpudlStrided *y,
                              GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {y, x};
    const int size = (int)gpudl_dtype_size(x->dtype);
    uint8_t pattern[16];
    Pad p = {{}, {}, {}, padding, x->data, y->data, {}};
    int status, n = 1;

    if (x->dtype != y->dtype || !is_known(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (x_shape->rank != y_shape->rank || (unsigned)padding > GPUDL_PADDING_WRAP)
        return GPUDL_KERNEL_SHAPE;
    status = gpudl_places_begin(&p.places, y_shape, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    for (int d = 0; d < x_shape->rank; d++) {
        if (x_shape->dims[d] == 0 && padding != GPUDL_PADDING_CONSTANT)
            return GPUDL_KERNEL_SHAPE;
        p.begin[d] = begin[d];
        p.extents[d] = x_shape->dims[d];
    }
    {
        const GpudlTensorView from = {GPUDL_DTYPE_F64, {}, &value}, to = {y->dtype, {}, pattern};

        status = gpudl_cast_ref(&from, &to, NULL, NULL);
    }
    if (status != GPUDL_KERNEL_OK)
        return status;
    for (int i = size; i < 16; i++)
        pattern[i] = pattern[i - size];
    memcpy(&p.constant, pattern, sizeof pattern);
    simplify_pad(&p);
    if (p.begin[p.places.rank - 1] == 0 && p.extents[p.places.rank - 1] == p.places.dims[p.places.rank - 1]) {
        const void *const data[] = {y->data, x->data};

        n = units_of(p.places, data, 3, size, 0);
        count_units(&p.places, 3, n);
        p.extents[p.places.rank - 1] /= n;
    }
    LAUNCH_UNITS(pad, n * size)
}

/* y's shape, and the others' strides along its dimensions. */
static int lay_gather(const GpudlShape *xs, const GpudlStrided *x, const GpudlShape *is, const GpudlStrided *indices,
                      int32_t axis, GpudlShape *ys, GpudlStrided *x_along, GpudlStrided *i_along)
{
    if (axis < 0 || axis >= xs->rank || is->rank < 0 || xs->rank - 1 + is->rank > GPUDL_MAX_RANK)
        return GPUDL_KERNEL_SHAPE;
    ys->rank = xs->rank - 1 + is->rank;
    for (int d = 0; d < ys->rank; d++) {
        const bool index = d >= axis && d < axis + is->rank;
        const int from = index ? d - axis : d < axis ? d : d - is->rank + 1;

        ys->dims[d] = index ? is->dims[from] : xs->dims[from];
        x_along->strides[d] = index ? 0 : x->strides[from];
        i_along->strides[d] = index ? indices->strides[from] : 0;
    }
    return GPUDL_KERNEL_OK;
}

extern "C" int gpudl_gather_cuda(const GpudlShape *x_shape, const GpudlStrided *x, const GpudlShape *indices_shape,
                                 const GpudlStrided *indices, int32_t axis, const GpudlStrided *y,
                                 GpudlKernelStream stream)
{
    GpudlStrided x_along = *x, i_along = *indices;
    const GpudlStrided *const operands[] = {y, &x_along, &i_along};
    const void *const data[] = {y->data, x->data, indices->data};
    const int size = (int)gpudl_dtype_size(x->dtype);
    Gather p = {{}, x->data, indices->data, y->data, indices->dtype, 0, 0};
    GpudlShape ys = {};
    int status, n;

    if (x->dtype != y->dtype || !is_known(x->dtype) ||
        (indices->dtype != GPUDL_DTYPE_I32 && indices->dtype != GPUDL_DTYPE_I64))
        return GPUDL_KERNEL_DTYPE;
    status = lay_gather(x_shape, x, indices_shape, indices, axis, &ys, &x_along, &i_along);
    if (status == GPUDL_KERNEL_OK)
        status = gpudl_places_begin(&p.places, &ys, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    p.extent = x_shape->dims[axis];
    p.places.simplify();
    n = units_of(p.places, data, 3, size, x->strides[axis]);
    count_units(&p.places, 3, n);
    p.stride = x->strides[axis] / n;
    LAUNCH_UNITS(gather, n * size)
}
