/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Multiply-accumulates of one operation, by its shapes. Plain C, for graphs and for plans. */
#ifndef GPUDL_ENGINE_MACS_H
#define GPUDL_ENGINE_MACS_H

#include "engine/graph/attrs.h"

/** a, w, y: shapes of the first two inputs and the output; not read for operators that are no sums of products (0). */
static inline uint64_t gpudl_macs(int op, const GpudlAttrs *attrs, const GpudlShape *a, const GpudlShape *w,
                                  const GpudlShape *y)
{
    switch (op) {
    case GPUDL_OP_CONV:
        return (uint64_t)gpudl_shape_elements(y) * (uint64_t)(gpudl_shape_elements(w) / w->dims[0]);
    case GPUDL_OP_GEMM:
        return (uint64_t)gpudl_shape_elements(y) * (uint64_t)a->dims[attrs->gemm.trans_a ? 0 : 1];
    case GPUDL_OP_MATMUL:
        return (uint64_t)gpudl_shape_elements(y) * (uint64_t)a->dims[a->rank - 1];
    default:
        return 0;
    }
}

#endif
