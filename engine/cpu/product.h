/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A fully connected layer of a plan, and what may compute it. */
#ifndef GPUDL_ENGINE_CPU_PRODUCT_H
#define GPUDL_ENGINE_CPU_PRODUCT_H

#include "kernels/matvec.h"
#include "lower.h"
#include "trial.h"

/** y[m][n] = act(x[m][k] w + bias). The tensor w is constant, [n][k] if by_rows, else [k][n], and counts times factor;
 * bias is a constant of n values or of one for all, -1: there is none, and counts times beta. */
typedef struct {
    dnnl_data_type_t type, y_type; /* that is multiplied; of y */
    int64_t m, n, k;
    int32_t w, bias;
    int by_rows;
    float factor, beta;
    const GpudlAct *act; /* the node's */
    GpudlAct fused;      /* what of it is computed with the sums */
} CpuProduct;

/** The node's, Gemm or MatMul, in one type; FALSE if it is none. */
int cpu_product_of(const CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, CpuProduct *product);

/** oneDNN's; NULL if it has none. Weights are its in the layout that it would rather have. */
dnnl_primitive_desc_t cpu_product_describe(const CpuShared *shared, const CpuProduct *product);

/** A product of one vector by a kernel of our own. */
typedef struct {
    const GpudlMatvecKernels *kernels;
    GpudlMatvec d;
} CpuMatvec;

/** FALSE where there is none. */
int cpu_product_own(const CpuProduct *product, CpuMatvec *own);

/** Adds it by that kernel; FALSE, having added nothing, where there is none. */
int cpu_lower_matvec(CpuCompiler *c, const GpudlPlanNode *node, const CpuProduct *product);

/** ns of one run, 0: it can't be made; see cpu_measure() for best. */
uint64_t cpu_matvec_trial(CpuTrial *trial, const CpuMatvec *own, uint64_t best);

#endif
