/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "softmax_cuda.h"
#include "strided.cuh"

namespace
{

struct Problem {
    GpudlPlaces<2> groups, within; /* y, x: the first element of each group; the others from there */
    const void *x;
    void *y;
    GpudlDType x_type, y_type;
    bool logarithm;
};

__device__ __forceinline__ float larger(float a, float b)
{
    return b > a || b != b ? b : a;
}

/* LANES threads for each group: 32 where its elements lie next to one another, 1 where groups do. */
template <int LANES> __global__ void __launch_bounds__(256) softmax(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t lane = threadIdx.x % LANES, step = gridDim.x * blockDim.x / LANES;

    for (uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) / LANES; i < p.groups.elements; i += step) {
        int64_t first[2], at[2];
        float most = -INFINITY, sum = 0;

        p.groups.locate(i, first);
        for (uint32_t k = lane; k < p.within.elements; k += LANES) {
            p.within.locate(k, at);
            most = larger(most, gpudl_get_float(p.x, p.x_type, first[1] + at[1]));
        }
#pragma unroll
        for (int d = LANES / 2; d > 0; d /= 2)
            most = larger(most, __shfl_xor_sync(0xffffffff, most, d));
        for (uint32_t k = lane; k < p.within.elements; k += LANES) {
            p.within.locate(k, at);
            sum += expf(gpudl_get_float(p.x, p.x_type, first[1] + at[1]) - most);
        }
#pragma unroll
        for (int d = LANES / 2; d > 0; d /= 2)
            sum += __shfl_xor_sync(0xffffffff, sum, d);
        const float scale = p.logarithm ? logf(sum) : 1.f / sum;

        for (uint32_t k = lane; k < p.within.elements; k += LANES) {
            p.within.locate(k, at);
            const float above = gpudl_get_float(p.x, p.x_type, first[1] + at[1]) - most;

            gpudl_put_float(p.y, p.y_type, first[0] + at[0], p.logarithm ? above - scale : expf(above) * scale);
        }
    }
}

} // namespace

extern "C" int gpudl_softmax_cuda(GpudlSoftmaxKind kind, const GpudlShape *shape, const GpudlStrided *x, int32_t axis,
                                  int flatten, const GpudlStrided *y, GpudlKernelStream stream)
{
    GpudlShape groups = {}, within = {};
    GpudlStrided group_strides[2] = {*y, *x}, within_strides[2] = {*y, *x};
    const GpudlStrided *const group_operands[] = {&group_strides[0], &group_strides[1]}, *const within_operands[] = {
                                                                                             &within_strides[0],
                                                                                             &within_strides[1]};
    Problem p = {{}, {}, x->data, y->data, x->dtype, y->dtype, kind == GPUDL_LOG_SOFTMAX};
    const int64_t elements = gpudl_shape_elements(shape);
    int status;

    if (!gpudl_is_picture_type(x->dtype) || !gpudl_is_picture_type(y->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (axis < 0 || (flatten ? axis > shape->rank : axis >= shape->rank) || elements < 0 || elements > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < shape->rank; d++) {
        const bool inside = flatten ? d >= axis : d == axis;
        GpudlShape *to = inside ? &within : &groups;
        GpudlStrided *strides = inside ? within_strides : group_strides;

        strides[0].strides[to->rank] = y->strides[d];
        strides[1].strides[to->rank] = x->strides[d];
        to->dims[to->rank++] = shape->dims[d];
    }
    status = gpudl_places_begin(&p.groups, &groups, group_operands);
    if (status == GPUDL_KERNEL_OK)
        status = gpudl_places_begin(&p.within, &within, within_operands);
    if (status != GPUDL_KERNEL_OK || elements == 0)
        return status;
    p.groups.simplify();
    p.within.simplify();
    const int64_t inner = p.within.strides[0][p.within.rank - 1], outer = p.groups.strides[0][p.groups.rank - 1];

    if (p.within.elements >= 32 && (p.groups.elements < 4096 || p.groups.elements == 1 || inner <= outer))
        gpudl_launch(softmax<32>, gpudl_blocks((int64_t)p.groups.elements * 32), 256, 0, stream, p);
    else
        gpudl_launch(softmax<1>, gpudl_blocks(p.groups.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}
