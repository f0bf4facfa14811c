/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "resize.h"

#include <math.h>
#include <string.h>

#include "ref_common.h"

/* One dimension: output index to input elements and their weights. */
typedef struct {
    const GpudlResize *params;
    int same; /* left alone */
    int64_t in, out, stride;
    double scale;
    double shrink;  /* of the filter's argument: below 1, the filter is wider */
    double support; /* elements nearer than this count */
    int64_t taps;   /* most elements that count */
} Axis;

/* ---- one dimension ----------------------------------------------------------------------------------------------- */

static double coordinate(const Axis *a, int64_t o)
{
    const double half = ((double)o + .5) / a->scale - .5;

    switch (a->params->coordinate) {
    case GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC:
        return half + (double)a->in / 2 * (1 - (double)a->out / (a->scale * (double)a->in));
    case GPUDL_SAMPLE_PYTORCH_HALF_PIXEL:
        return a->out > 1 ? half : 0;
    case GPUDL_SAMPLE_ALIGN_CORNERS:
        return a->out > 1 ? (double)o * (double)(a->in - 1) / (double)(a->out - 1) : 0;
    case GPUDL_SAMPLE_ASYMMETRIC:
        return (double)o / a->scale;
    case GPUDL_SAMPLE_TF_HALF_PIXEL:
        return half + .5;
    default:
        return half;
    }
}

static int64_t clamp(double v, int64_t extent)
{
    return v <= 0 ? 0 : v >= (double)(extent - 1) ? extent - 1 : (int64_t)v;
}

static int64_t nearest(const Axis *a, int64_t o)
{
    double x;

    if (a->same)
        return o;
    x = coordinate(a, o);
    switch (a->params->nearest) {
    case GPUDL_SAMPLE_PREFER_CEIL:
        return clamp(floor(x + .5), a->in);
    case GPUDL_SAMPLE_FLOOR:
        return clamp(floor(x), a->in);
    case GPUDL_SAMPLE_CEIL:
        return clamp(ceil(x), a->in);
    default:
        return clamp(ceil(x - .5), a->in);
    }
}

static double filter(const GpudlResize *params, double distance)
{
    const double d = fabs(distance), a = params->cubic_a;

    if (params->mode == GPUDL_SAMPLE_LINEAR)
        return d < 1 ? 1 - d : 0;
    if (d < 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* Weight of the element that is number t of those that may count for output o, not yet divided; *index: where it lies,
 * the border's for one outside. */
static double raw_weight(const Axis *a, int64_t o, int64_t t, int64_t *index)
{
    double x, i, weight;

    if (a->same) {
        *index = o;
        return 1;
    }
    x = coordinate(a, o);
    i = floor(x - a->support) + 1 + (double)t;
    weight = filter(a->params, (i - x) * a->shrink);
    if (a->params->exclude_outside && (i < 0 || i > (double)(a->in - 1)))
        weight = 0;
    *index = clamp(i, a->in);
    return weight;
}

/* What the weights of output o are divided by. */
static double weight_sum(const Axis *a, int64_t o)
{
    double sum = 0;
    int64_t index;

    if (a->same || (!a->params->exclude_outside && !a->params->antialias))
        return 1;
    for (int64_t t = 0; t < a->taps; t++)
        sum += raw_weight(a, o, t, &index);
    return sum != 0 ? sum : 1;
}

static int axis_begin(Axis *a, const GpudlResize *params, double scale, int64_t in, int64_t out, int64_t stride)
{
    const double width = params->mode == GPUDL_SAMPLE_CUBIC ? 2 : 1;

    if (!(scale >= 0) || !isfinite(scale) || (in == 0 && out > 0))
        return GPUDL_KERNEL_SHAPE;
    *a = (Axis){params, in == out && (scale == 0 || scale == 1), in, out, stride, scale, 1, width, 1};
    if (scale == 0)
        a->scale = (double)out / (double)in;
    if (a->same || out == 0 || params->mode == GPUDL_SAMPLE_NEAREST)
        return GPUDL_KERNEL_OK;
    if (params->antialias && a->scale < 1)
        a->shrink = a->scale;
    a->support = width / a->shrink;
    if (!(a->support < 1e9))
        return GPUDL_KERNEL_SHAPE;
    a->taps = (int64_t)ceil(2 * a->support) + (a->shrink < 1);
    return GPUDL_KERNEL_OK;
}

/* ---- nearest ----------------------------------------------------------------------------------------------------- */

#define NEAREST_ROW(type)                                                                                              \
    for (int64_t i = 0; i < n; i++)                                                                                    \
        memcpy((type *)to + i, (const type *)from + index[i], sizeof(type));

/* n elements of a row, by size. */
static void copy_row(size_t size, const char *from, const int64_t *index, char *to, int64_t n)
{
    switch (size) {
    case 1:
        NEAREST_ROW(uint8_t)
        break;
    case 2:
        NEAREST_ROW(uint16_t)
        break;
    case 4:
        NEAREST_ROW(uint32_t)
        break;
    default:
        NEAREST_ROW(uint64_t)
        break;
    }
}

/* Block by block of the last dimension, so that its indices are computed once for all rows. */
static void resize_nearest(const GpudlTensorView *x, const Axis *axes, const GpudlTensorView *y)
{
    const int last = x->shape.rank - 1;
    const size_t size = gpudl_dtype_size(x->dtype);
    const int64_t length = y->shape.dims[last], rows = gpudl_shape_elements(&y->shape) / length;
    int64_t index[GPUDL_REF_BLOCK];

    for (int64_t begin = 0; begin < length; begin += GPUDL_REF_BLOCK) {
        const int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, length - begin);

        for (int64_t i = 0; i < n; i++)
            index[i] = nearest(&axes[last], begin + i);
        for (int64_t r = 0; r < rows; r++) {
            int64_t rest = r, offset = 0;

            for (int d = last - 1; d >= 0; d--) {
                offset += nearest(&axes[d], rest % y->shape.dims[d]) * axes[d].stride;
                rest /= y->shape.dims[d];
            }
            copy_row(size, (const char *)x->data + offset * (int64_t)size, index,
                     (char *)y->data + (r * length + begin) * (int64_t)size, n);
        }
    }
}

/* ---- weighted sums ----------------------------------------------------------------------------------------------- */

/* A block of a row: the last dimension's elements and weights for tap t, over all taps of the dimensions before it. */
static void add_rows(const GpudlTensorView *x, const Axis *axes, const int64_t *o, const double *divisor,
                     const int64_t *index, const double *weight, int64_t n, double *sum)
{
    const int last = x->shape.rank - 1;
    int64_t tap[GPUDL_MAX_RANK] = {0};
    double value[GPUDL_REF_BLOCK];

    for (;;) {
        int64_t offset = 0;
        double w = 1;
        int d;

        for (d = 0; d < last; d++) {
            int64_t at;

            w *= raw_weight(&axes[d], o[d], tap[d], &at) / divisor[d];
            offset += at * axes[d].stride;
        }
        if (w != 0) {
            gpudl_ref_gather_f64(x->dtype, x->data, offset, index, n, value);
            for (int64_t i = 0; i < n; i++)
                if (weight[i] != 0)
                    sum[i] += w * weight[i] * value[i];
        }
        for (d = last - 1; d >= 0 && ++tap[d] == axes[d].taps; d--)
            tap[d] = 0;
        if (d < 0)
            return;
    }
}

static void resize_sums(const GpudlTensorView *x, const Axis *axes, const GpudlTensorView *y)
{
    const int last = x->shape.rank - 1;
    const int64_t length = y->shape.dims[last], rows = gpudl_shape_elements(&y->shape) / length;
    int64_t index[GPUDL_REF_BLOCK], o[GPUDL_MAX_RANK];
    double weight[GPUDL_REF_BLOCK], sums[GPUDL_REF_BLOCK], sum[GPUDL_REF_BLOCK], divisor[GPUDL_MAX_RANK];

    for (int64_t begin = 0; begin < length; begin += GPUDL_REF_BLOCK) {
        const int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, length - begin);

        for (int64_t i = 0; i < n; i++)
            sums[i] = weight_sum(&axes[last], begin + i);
        for (int64_t r = 0; r < rows; r++) {
            int64_t rest = r;

            for (int d = last - 1; d >= 0; d--) {
                o[d] = rest % y->shape.dims[d];
                divisor[d] = weight_sum(&axes[d], o[d]);
                rest /= y->shape.dims[d];
            }
            memset(sum, 0, sizeof sum);
            for (int64_t t = 0; t < axes[last].taps; t++) {
                for (int64_t i = 0; i < n; i++)
                    weight[i] = raw_weight(&axes[last], begin + i, t, &index[i]) / sums[i];
                add_rows(x, axes, o, divisor, index, weight, n, sum);
            }
            gpudl_ref_store_f64(y->dtype, y->data, r * length + begin, 1, n, sum);
        }
    }
}

int gpudl_resize_ref(const GpudlTensorView *x, const double *scale, const GpudlResize *params, const GpudlTensorView *y,
                     GpudlKernelStream stream)
{
    const int rank = x->shape.rank;
    int64_t strides[GPUDL_MAX_RANK];
    Axis axes[GPUDL_MAX_RANK];

    (void)stream;
    if (x->dtype != y->dtype || gpudl_dtype_size(x->dtype) == 0 ||
        (params->mode != GPUDL_SAMPLE_NEAREST && !gpudl_ref_is_float(x->dtype)))
        return GPUDL_KERNEL_DTYPE;
    if (y->shape.rank != rank || (unsigned)params->mode > GPUDL_SAMPLE_CUBIC ||
        (unsigned)params->coordinate > GPUDL_SAMPLE_TF_HALF_PIXEL || (unsigned)params->nearest > GPUDL_SAMPLE_CEIL)
        return GPUDL_KERNEL_SHAPE;
    gpudl_ref_strides(&x->shape, strides);
    for (int d = 0; d < rank; d++) {
        int status = axis_begin(&axes[d], params, scale[d], x->shape.dims[d], y->shape.dims[d], strides[d]);

        if (status != GPUDL_KERNEL_OK)
            return status;
    }
    if (gpudl_shape_elements(&y->shape) == 0)
        return GPUDL_KERNEL_OK;
    if (rank == 0)
        memcpy(y->data, x->data, gpudl_dtype_size(x->dtype));
    else if (params->mode == GPUDL_SAMPLE_NEAREST)
        resize_nearest(x, axes, y);
    else
        resize_sums(x, axes, y);
    return GPUDL_KERNEL_OK;
}
