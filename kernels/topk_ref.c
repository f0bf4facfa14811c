/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "topk.h"

#include <math.h>

/** Whether column a comes before column b. */
static int before(const float *x, uint32_t a, uint32_t b)
{
    int a_nan = isnan(x[a]), b_nan = isnan(x[b]);

    if (a_nan || b_nan)
        return a_nan == b_nan ? a < b : b_nan;
    return x[a] == x[b] ? a < b : x[a] > x[b];
}

/** Lets heap[i] sink to its place in a heap whose root is the last in order. */
static void sink(const float *x, uint32_t *heap, int64_t n, int64_t i)
{
    const uint32_t column = heap[i];

    for (;;) {
        int64_t child = 2 * i + 1;

        if (child >= n)
            break;
        if (child + 1 < n && before(x, heap[child], heap[child + 1]))
            child++;
        if (!before(x, column, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = column;
}

static void one_row(const float *x, int64_t columns, int64_t k, uint32_t *heap)
{
    for (int64_t i = 0; i < k; i++)
        heap[i] = (uint32_t)i;
    for (int64_t i = k / 2; i-- > 0;)
        sink(x, heap, k, i);
    /* the root is the worst that was kept: whatever comes before it takes its place */
    for (int64_t i = k; i < columns; i++) {
        if (before(x, (uint32_t)i, heap[0])) {
            heap[0] = (uint32_t)i;
            sink(x, heap, k, 0);
        }
    }
    for (int64_t n = k - 1; n > 0; n--) {
        uint32_t worst = heap[0];

        heap[0] = heap[n];
        heap[n] = worst;
        sink(x, heap, n, 0);
    }
}

int gpudl_topk_ref(const float *x, int64_t rows, int64_t columns, int64_t k, float *values, uint32_t *indices,
                   GpudlKernelStream stream)
{
    (void)stream;
    if (rows < 0 || columns < 0 || k < 0 || k > columns || columns > INT64_C(1) << 32)
        return GPUDL_KERNEL_SHAPE;
    if (k == 0)
        return GPUDL_KERNEL_OK;
    for (int64_t row = 0; row < rows; row++) {
        const float *in = x + row * columns;
        uint32_t *out = indices + row * k;

        one_row(in, columns, k, out);
        for (int64_t i = 0; i < k && values; i++)
            values[row * k + i] = in[out[i]];
    }
    return GPUDL_KERNEL_OK;
}
