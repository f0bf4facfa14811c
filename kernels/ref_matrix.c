/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "ref_common.h"

/* Partial sums of a dot product: a compiler may not reorder a floating-point sum, but it may keep eight. */
#define LANES 8

static double dot(const double *a, const double *b, int n)
{
    double lanes[LANES] = {0}, sum = 0;
    int i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

void gpudl_ref_matrix_row_f64(const GpudlRefMatrices *m, int64_t row, int64_t col, int n, double *out)
{
    double a[GPUDL_REF_BLOCK], b[GPUDL_REF_BLOCK];

    memset(out, 0, (size_t)n * sizeof(*out));
    for (int64_t k = 0; k < m->k; k += GPUDL_REF_BLOCK) {
        int count = (int)gpudl_ref_min(GPUDL_REF_BLOCK, m->k - k);

        gpudl_ref_load_f64(m->dtype, m->a, m->a_first + row * m->a_row + k * m->a_col, m->a_col, count, a);
        if (m->b_row == 1) {
            /* b lies transposed: its memory runs along k */
            for (int j = 0; j < n; j++) {
                gpudl_ref_load_f64(m->dtype, m->b, m->b_first + k + (col + j) * m->b_col, 1, count, b);
                out[j] += dot(a, b, count);
            }
            continue;
        }
        for (int i = 0; i < count; i++) {
            gpudl_ref_load_f64(m->dtype, m->b, m->b_first + (k + i) * m->b_row + col * m->b_col, m->b_col, n, b);
            for (int j = 0; j < n; j++)
                out[j] += a[i] * b[j];
        }
    }
}

void gpudl_ref_matrix_row_i64(const GpudlRefMatrices *m, int64_t row, int64_t col, int n, int64_t *out)
{
    int64_t b[GPUDL_REF_COLUMNS];

    memset(out, 0, (size_t)n * sizeof(*out));
    for (int64_t k = 0; k < m->k; k++) {
        int64_t a;

        gpudl_ref_load_i64(m->dtype, m->a, m->a_first + row * m->a_row + k * m->a_col, 1, 1, &a);
        gpudl_ref_load_i64(m->dtype, m->b, m->b_first + k * m->b_row + col * m->b_col, m->b_col, n, b);
        for (int j = 0; j < n; j++)
            out[j] = gpudl_ref_wrap_add(out[j], gpudl_ref_wrap_mul(a, b[j]));
    }
}
