/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A convolution of a plan as oneDNN sees it, and the forms that it may take. */
#ifndef GPUDL_ENGINE_CPU_CONV_H
#define GPUDL_ENGINE_CPU_CONV_H

#include "kernels/depthwise.h"
#include "kernels/pointwise.h"
#include "lower.h"

typedef struct {
    dnnl_data_type_t type, dst_type; /* that is multiplied; of the result */
    int rank, weight_rank;           /* with groups, weights have one more in front */
    int64_t x[GPUDL_MAX_RANK], y[GPUDL_MAX_RANK], weights[GPUDL_MAX_RANK + 1];
    int64_t strides[GPUDL_MAX_SPATIAL], dilates[GPUDL_MAX_SPATIAL]; /* dilates: 0 is dense */
    int64_t pad_l[GPUDL_MAX_SPATIAL], pad_r[GPUDL_MAX_SPATIAL];
    int has_bias;
    DnnPost post;
} CpuConv;

/** The node's in one type; FALSE where oneDNN's generated code goes wrong: pads that crop, windows that see nothing but
 * padding. */
int cpu_conv_of(const CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, CpuConv *conv);

/** src and dst: layouts in the conv's types, NULL: whichever oneDNN would rather have. NULL if it has none. */
dnnl_primitive_desc_t cpu_conv_describe(const CpuShared *shared, const CpuConv *conv, DnnMdRef src, DnnMdRef dst);

/** The same by Winograd's transforms of 4x4 results (large) or 2x2; NULL if oneDNN has none. */
dnnl_primitive_desc_t cpu_conv_describe_winograd(const CpuShared *shared, const CpuConv *conv, DnnMdRef src,
                                                 DnnMdRef dst, int large);

/**
 * In a form other than CPU_FORM_FIRST, of 2-D convolutions; NULL if there is none. Blocks of channels are what oneDNN
 * would rather have, unless that is channels last as well.
 */
dnnl_primitive_desc_t cpu_conv_describe_form(const CpuShared *shared, const CpuConv *conv, CpuForm form);

/** Words of a kernel and its problem, at most. */
#define CPU_OWN_PROBLEM 24

/** A convolution by a kernel of our own, on channels last. */
typedef struct {
    const char *name;
    CpuOwnFunc *run;                      /* x, weights, scratch memory if there is any, y; a residual is in y */
    CpuPackFunc *pack;                    /* of weights and bias */
    int32_t part;                         /* of the node's constants */
    uint64_t packed_bytes, scratch_bytes; /* scratch 0: there is none */
    size_t size;                          /* bytes of the problem: whatever run and pack know */
    uint64_t problem[CPU_OWN_PROBLEM];
} CpuOwnConv;

/** Of CPU_FORM_OWN: FALSE where there is none. The weights are the node's, constant, and have to be finite. */
typedef int CpuFindOwn(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuOwnConv *own);
/** The first of all. */
CpuFindOwn cpu_conv_own;
CpuFindOwn cpu_own_depthwise, cpu_own_stem, cpu_own_tiles, cpu_own_pointwise;

/** Initialisers of what the problems of all of these kernels have, of a convolution that fits int32: types, extents of
 * x and y, and ways of channels last. */
#define CPU_CONV_LAST(conv)                                                                                            \
    .type = (conv)->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32, .n = (int32_t)(conv)->x[0],                \
    .h = (int32_t)(conv)->x[2], .w = (int32_t)(conv)->x[3], .c = (int32_t)(conv)->x[1], .p = (int32_t)(conv)->y[2],    \
    .q = (int32_t)(conv)->y[3], .x_row = (conv)->x[3] * (conv)->x[1],                                                  \
    .x_frame = (conv)->x[2] * (conv)->x[3] * (conv)->x[1], .y_pixel = (conv)->y[1],                                    \
    .y_row = (conv)->y[3] * (conv)->y[1], .y_frame = (conv)->y[2] * (conv)->y[3] * (conv)->y[1],                       \
    .act = (conv)->post.act

/** What two of them compute, for those that compute more at once. */
int cpu_conv_depthwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, GpudlDepthwise *d);
int cpu_conv_pointwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, GpudlPointwise *d);

/** Where a convolution's result in layout md goes: onto the residual (a tensor, -1: none), in place if nobody else
 * reads it, else onto a copy of it. src: what the convolution reads. */
int32_t cpu_conv_output(CpuCompiler *c, const GpudlPlanNode *node, int32_t src, int32_t residual, DnnMdRef md);

/** What own kernels ask of weights: an infinite one times the zeros of padding is NaN, but not in a sum without it; and
 * rounded to bfloat16, or summed by nine, they become none. */
int cpu_weights_fit(const GpudlPlanTensor *t);

/** What own kernels for dense convolutions have in common: pictures of one type, whose extents fit int32, constant
 * weights and bias; and those for bfloat16. */
int cpu_conv_is_dense(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv);
int cpu_conv_is_dense_bf16(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv);

/** The layout that oneDNN's blocks have here, of four dimensions. */
dnnl_format_tag_t cpu_conv_block_tag(void);

#endif
