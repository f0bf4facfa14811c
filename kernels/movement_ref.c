/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "movement.h"

#include <string.h>

#include "ref_common.h"

/** Checks a pair of tensors; returns the element size through *size. */
static int check_types(const GpudlTensorView *x, const GpudlTensorView *y, size_t *size)
{
    *size = gpudl_dtype_size(x->dtype);
    if (x->dtype != y->dtype || *size == 0)
        return GPUDL_KERNEL_DTYPE;
    if (x->shape.rank < 0 || x->shape.rank > GPUDL_MAX_RANK || gpudl_shape_elements(&x->shape) < 0 ||
        y->shape.rank < 0 || y->shape.rank > GPUDL_MAX_RANK || gpudl_shape_elements(&y->shape) < 0)
        return GPUDL_KERNEL_SHAPE;
    return GPUDL_KERNEL_OK;
}

static const char *at(const GpudlTensorView *view, int64_t index, size_t size)
{
    return (const char *)view->data + index * (int64_t)size;
}

int gpudl_reshape_ref(const GpudlTensorView *x, const GpudlTensorView *y, GpudlKernelStream stream)
{
    int64_t n = gpudl_shape_elements(&x->shape);
    size_t size;
    int status = check_types(x, y, &size);

    (void)stream;
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (gpudl_shape_elements(&y->shape) != n)
        return GPUDL_KERNEL_SHAPE;
    if (n > 0)
        memcpy(y->data, x->data, (size_t)n * size);
    return GPUDL_KERNEL_OK;
}

int gpudl_transpose_ref(const GpudlTensorView *x, const int32_t *perm, const GpudlTensorView *y,
                        GpudlKernelStream stream)
{
    int64_t x_strides[GPUDL_MAX_RANK], y_strides[GPUDL_MAX_RANK], from[GPUDL_MAX_RANK];
    unsigned seen = 0;
    size_t size;
    int status = check_types(x, y, &size);

    (void)stream;
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (x->shape.rank != y->shape.rank)
        return GPUDL_KERNEL_SHAPE;
    gpudl_ref_strides(&x->shape, x_strides);
    gpudl_ref_strides(&y->shape, y_strides);
    for (int i = 0; i < x->shape.rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->shape.rank || (seen & 1u << perm[i]) ||
            y->shape.dims[i] != x->shape.dims[perm[i]])
            return GPUDL_KERNEL_SHAPE;
        seen |= 1u << perm[i];
        from[i] = x_strides[perm[i]];
    }
    gpudl_ref_copy(size, x->shape.rank, y->shape.dims, y->data, y_strides, x->data, from);
    return GPUDL_KERNEL_OK;
}

/** Whether part and whole agree in all dimensions but axis. */
static int is_part(const GpudlShape *part, const GpudlShape *whole, int32_t axis)
{
    if (part->rank != whole->rank || axis < 0 || axis >= whole->rank)
        return 0;
    for (int i = 0; i < whole->rank; i++)
        if (i != axis && part->dims[i] != whole->dims[i])
            return 0;
    return 1;
}

/** Copies part from or to its place in whole, first elements behind whole's start along axis. */
static void copy_part(const GpudlTensorView *whole, const GpudlTensorView *part, int32_t axis, int64_t first,
                      size_t size, int to_whole)
{
    const int64_t inner = gpudl_ref_product(&whole->shape, axis + 1, whole->shape.rank) * (int64_t)size;
    const int64_t outer = gpudl_ref_product(&whole->shape, 0, axis);
    const int64_t whole_step = whole->shape.dims[axis] * inner, part_step = part->shape.dims[axis] * inner;
    char *w = whole->data, *p = part->data;

    if (part_step == 0)
        return;
    for (int64_t o = 0; o < outer; o++) {
        if (to_whole)
            memcpy(w + o * whole_step + first * inner, p + o * part_step, (size_t)part_step);
        else
            memcpy(p + o * part_step, w + o * whole_step + first * inner, (size_t)part_step);
    }
}

int gpudl_concat_ref(const GpudlTensorView *const *inputs, int64_t n, int32_t axis, const GpudlTensorView *y,
                     GpudlKernelStream stream)
{
    int64_t first = 0;
    size_t size = 0;

    (void)stream;
    for (int64_t i = 0; i < n; i++) {
        int status = check_types(inputs[i], y, &size);

        if (status != GPUDL_KERNEL_OK)
            return status;
        if (!is_part(&inputs[i]->shape, &y->shape, axis) || inputs[i]->shape.dims[axis] > y->shape.dims[axis] - first)
            return GPUDL_KERNEL_SHAPE;
        first += inputs[i]->shape.dims[axis];
    }
    if (n < 1 || first != y->shape.dims[axis])
        return GPUDL_KERNEL_SHAPE;
    first = 0;
    for (int64_t i = 0; i < n; i++) {
        copy_part(y, inputs[i], axis, first, size, 1);
        first += inputs[i]->shape.dims[axis];
    }
    return GPUDL_KERNEL_OK;
}

int gpudl_split_ref(const GpudlTensorView *x, int32_t axis, const GpudlTensorView *outputs, int64_t n,
                    GpudlKernelStream stream)
{
    int64_t first = 0;
    size_t size = 0;

    (void)stream;
    for (int64_t i = 0; i < n; i++) {
        int status = check_types(x, &outputs[i], &size);

        if (status != GPUDL_KERNEL_OK)
            return status;
        if (!is_part(&outputs[i].shape, &x->shape, axis) || outputs[i].shape.dims[axis] > x->shape.dims[axis] - first)
            return GPUDL_KERNEL_SHAPE;
        first += outputs[i].shape.dims[axis];
    }
    if (n < 1 || first != x->shape.dims[axis])
        return GPUDL_KERNEL_SHAPE;
    first = 0;
    for (int64_t i = 0; i < n; i++) {
        copy_part(x, &outputs[i], axis, first, size, 0);
        first += outputs[i].shape.dims[axis];
    }
    return GPUDL_KERNEL_OK;
}

/** First element and number of elements that a slice takes of a dimension. */
static void slice_range(int64_t extent, int64_t start, int64_t end, int64_t step, int64_t *first, int64_t *count)
{
    /* walking down may start on the last element and end before the first */
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1;

    if (start < 0)
        start += extent;
    if (end < 0)
        end += extent;
    start = gpudl_ref_min(gpudl_ref_max(start, low), high);
    end = gpudl_ref_min(gpudl_ref_max(end, low), high);
    *first = start;
    *count = 0;
    if (step > 0 && end > start)
        *count = (end - start - 1) / step + 1;
    else if (step < 0 && start > end)
        *count = (int64_t)((uint64_t)(start - end - 1) / (0 - (uint64_t)step)) + 1;
}

int gpudl_slice_ref(const GpudlTensorView *x, const int64_t *start, const int64_t *end, const int64_t *step,
                    const GpudlTensorView *y, GpudlKernelStream stream)
{
    int64_t x_strides[GPUDL_MAX_RANK], y_strides[GPUDL_MAX_RANK], from[GPUDL_MAX_RANK], origin = 0;
    size_t size;
    int status = check_types(x, y, &size);

    (void)stream;
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (x->shape.rank != y->shape.rank)
        return GPUDL_KERNEL_SHAPE;
    gpudl_ref_strides(&x->shape, x_strides);
    gpudl_ref_strides(&y->shape, y_strides);
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t first, count;

        if (step[i] == 0)
            return GPUDL_KERNEL_SHAPE;
        slice_range(x->shape.dims[i], start[i], end[i], step[i], &first, &count);
        if (count != y->shape.dims[i])
            return GPUDL_KERNEL_SHAPE;
        /* a huge step is never taken where one element is left; do not multiply with it */
        from[i] = count > 1 ? x_strides[i] * step[i] : 0;
        origin += count > 0 ? first * x_strides[i] : 0;
    }
    if (gpudl_shape_elements(&y->shape) == 0)
        return GPUDL_KERNEL_OK;
    gpudl_ref_copy(size, x->shape.rank, y->shape.dims, y->data, y_strides, at(x, origin, size), from);
    return GPUDL_KERNEL_OK;
}

/** Where position i of the padded dimension comes from, -1: from the constant. extent > 0. */
static int64_t pad_source(GpudlPadding padding, int64_t i, int64_t extent)
{
    int64_t period;

    if (i >= 0 && i < extent)
        return i;
    switch (padding) {
    case GPUDL_PADDING_CONSTANT:
        break;
    case GPUDL_PADDING_EDGE:
        return i < 0 ? 0 : extent - 1;
    case GPUDL_PADDING_WRAP:
        i %= extent;
        return i < 0 ? i + extent : i;
    case GPUDL_PADDING_REFLECT:
        if (extent == 1)
            return 0;
        period = 2 * (extent - 1);
        i %= period;
        i = i < 0 ? i + period : i;
        return i < extent ? i : period - i;
    }
    return -1;
}

typedef struct {
    GpudlPadding padding;
    size_t size;
    char constant[8];
    const char *x;
    int64_t extent, begin; /* of the last dimension */
} Pad;

/** Writes positions from .. to - 1 of a row element by element; row -1: nothing but the constant. */
static void pad_elements(const Pad *p, char *out, int64_t row, int64_t from, int64_t to)
{
    for (int64_t j = from; j < to; j++) {
        int64_t source = row < 0 ? -1 : pad_source(p->padding, j - p->begin, p->extent);

        memcpy(out + j * (int64_t)p->size, source < 0 ? p->constant : p->x + (row + source) * (int64_t)p->size,
               p->size);
    }
}

static void pad_row(const Pad *p, char *out, int64_t row, int64_t length)
{
    int64_t first = gpudl_ref_min(gpudl_ref_max(p->begin, 0), length);
    int64_t last = gpudl_ref_max(gpudl_ref_min(p->begin + p->extent, length), first);

    if (row < 0)
        first = last = length;
    pad_elements(p, out, row, 0, first);
    if (last > first)
        memcpy(out + first * (int64_t)p->size, p->x + (row + first - p->begin) * (int64_t)p->size,
               (size_t)(last - first) * p->size);
    pad_elements(p, out, row, last, length);
}

int gpudl_pad_ref(GpudlPadding padding, const GpudlTensorView *x, const int64_t *begin, const int64_t *end,
                  double value, const GpudlTensorView *y, GpudlKernelStream stream)
{
    const int rank = x->shape.rank, last = rank - 1;
    int64_t strides[GPUDL_MAX_RANK], rows, length;
    Pad p = {.padding = padding, .x = x->data, .extent = 1};
    int status = check_types(x, y, &p.size);

    (void)stream;
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (y->shape.rank != rank || (unsigned)padding > GPUDL_PADDING_WRAP)
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < rank; i++) {
        int64_t extent;

        if (__builtin_add_overflow(x->shape.dims[i], begin[i], &extent) ||
            __builtin_add_overflow(extent, end[i], &extent) || extent != y->shape.dims[i] ||
            (padding != GPUDL_PADDING_CONSTANT && x->shape.dims[i] == 0 && extent > 0))
            return GPUDL_KERNEL_SHAPE;
    }
    if (gpudl_shape_elements(&y->shape) == 0)
        return GPUDL_KERNEL_OK;
    if (rank == 0) {
        memcpy(y->data, x->data, p.size);
        return GPUDL_KERNEL_OK;
    }
    gpudl_ref_store_f64(y->dtype, p.constant, 0, 1, 1, &value);
    gpudl_ref_strides(&x->shape, strides);
    p.extent = x->shape.dims[last];
    p.begin = begin[last];
    length = y->shape.dims[last];
    rows = gpudl_shape_elements(&y->shape) / length;
    for (int64_t r = 0; r < rows; r++) {
        int64_t rest = r, row = 0;

        for (int i = last - 1; i >= 0; i--) {
            int64_t source = pad_source(padding, rest % y->shape.dims[i] - begin[i], x->shape.dims[i]);

            rest /= y->shape.dims[i];
            row = row < 0 || source < 0 ? -1 : row + source * strides[i];
        }
        pad_row(&p, (char *)y->data + r * length * (int64_t)p.size, row, length);
    }
    return GPUDL_KERNEL_OK;
}

int gpudl_expand_ref(const GpudlTensorView *x, const GpudlTensorView *y, GpudlKernelStream stream)
{
    GpudlWalk w;
    int64_t y_strides[GPUDL_MAX_RANK];
    size_t size;
    int status = check_types(x, y, &size);

    (void)stream;
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (gpudl_walk_begin(&w, &y->shape, 1) < 0 || x->shape.rank > y->shape.rank ||
        gpudl_walk_broadcast(&w, 0, &x->shape) < 0)
        return GPUDL_KERNEL_SHAPE;
    gpudl_ref_strides(&y->shape, y_strides);
    gpudl_ref_copy(size, y->shape.rank, y->shape.dims, y->data, y_strides, x->data, w.strides[0]);
    return GPUDL_KERNEL_OK;
}

static int gather_shape_fits(const GpudlShape *x, const GpudlShape *indices, int32_t axis, const GpudlShape *y)
{
    if (axis < 0 || axis >= x->rank || y->rank != x->rank - 1 + indices->rank)
        return 0;
    for (int i = 0; i < y->rank; i++) {
        int64_t expected = i < axis                   ? x->dims[i]
                           : i < axis + indices->rank ? indices->dims[i - axis]
                                                      : x->dims[i - indices->rank + 1];

        if (y->dims[i] != expected)
            return 0;
    }
    return 1;
}

int gpudl_gather_ref(const GpudlTensorView *x, const GpudlTensorView *indices, int32_t axis, const GpudlTensorView *y,
                     GpudlKernelStream stream)
{
    int64_t outer, inner, extent, n;
    size_t size;
    int status = check_types(x, y, &size);

    (void)stream;
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (indices->dtype != GPUDL_DTYPE_I32 && indices->dtype != GPUDL_DTYPE_I64)
        return GPUDL_KERNEL_DTYPE;
    if (!gather_shape_fits(&x->shape, &indices->shape, axis, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    extent = x->shape.dims[axis];
    outer = gpudl_ref_product(&x->shape, 0, axis);
    inner = gpudl_ref_product(&x->shape, axis + 1, x->shape.rank) * (int64_t)size;
    n = gpudl_shape_elements(&indices->shape);
    for (int64_t i = 0; i < n; i++) {
        int64_t index;

        gpudl_ref_load_i64(indices->dtype, indices->data, i, 1, 1, &index);
        index += index < 0 ? extent : 0;
        if (index < 0 || index >= extent)
            return GPUDL_KERNEL_INDEX;
        for (int64_t o = 0; o < outer && inner > 0; o++)
            memcpy((char *)y->data + (o * n + i) * inner, (const char *)x->data + (o * extent + index) * inner,
                   (size_t)inner);
    }
    return GPUDL_KERNEL_OK;
}
