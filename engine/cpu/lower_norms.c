/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layer and group norms, by kernels of our own (kernels/norm.h). */
#include <stdlib.h>

#include "kernels/norm.h"
#include "lower.h"

/* The widest vectors that oneDNN may use here, too. */
static const GpudlNormKernels *choose_kernels(void)
{
    const GpudlNormKernels *kernels = NULL;
    const int isa = (int)dnnl_get_effective_cpu_isa();

    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core)
        kernels = gpudl_norm_kernels(GPUDL_NORM_AVX512);
    if (kernels == NULL && (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2)
        kernels = gpudl_norm_kernels(GPUDL_NORM_AVX2);
    return kernels != NULL ? kernels : gpudl_norm_kernels(GPUDL_NORM_GENERIC);
}

/* Which of GpudlNormKernels, and its extents; n: rows or frames. Its uses are x, y, and scale and bias if there. */
typedef enum { NORM_ROWS = 0, NORM_PLANAR, NORM_INTERLEAVED } Kind;
typedef struct {
    const GpudlNormKernels *kernels;
    Kind kind;
    int64_t n, c, plane, groups;
    float epsilon;
    int has_scale, has_bias;
} Norm;

static void run(const void *problem, void *const *data)
{
    const Norm *norm = problem;
    const float *x = data[0], *scale = norm->has_scale ? data[2] : NULL;
    const float *bias = norm->has_bias ? data[2 + norm->has_scale] : NULL;
    float *y = data[1];

    if (norm->kind == NORM_ROWS)
        norm->kernels->rows(x, scale, bias, norm->n, norm->c, norm->epsilon, y);
    else
        (norm->kind == NORM_PLANAR ? norm->kernels->planar : norm->kernels->interleaved)(
            x, scale, bias, norm->n, norm->c, norm->plane, norm->groups, norm->epsilon, y);
}

/* Adds the step; md is the layout of both, taken over; kernels, epsilon and what is there are filled in here. */
static void add_norm(CpuCompiler *c, const GpudlPlanNode *node, DnnMd md, int32_t x, Norm norm)
{
    CpuUse uses[4] = {{x, 1}};
    uint32_t n = 2;

    norm.kernels = choose_kernels();
    norm.epsilon = ((const GpudlAttrs *)node->attrs)->norm.epsilon;
    norm.has_scale = node->n_inputs > 1 && node->inputs[1] >= 0;
    norm.has_bias = node->n_inputs > 2 && node->inputs[2] >= 0;
    if (norm.has_scale)
        uses[n++] = (CpuUse){cpu_use_plain(c, node->inputs[1]), 1};
    if (norm.has_bias)
        uses[n++] = (CpuUse){cpu_use_plain(c, node->inputs[2]), 1};
    uses[1].moves = 1;
    uses[1].value =
        cpu_may_overwrite(c, x) ? cpu_define_alias(c, node->outputs[0], md, x) : cpu_define(c, node->outputs[0], md);
    cpu_own(c, norm.kernels->name, run, &norm, sizeof norm, n, uses);
}

/* Channels last, as the convolutions beside are. */
static DnnMd interleaved_md(const GpudlShape *x)
{
    return x->rank == 3   ? dnn_md_tag(3, x->dims, dnnl_acb)
           : x->rank == 4 ? dnn_md_tag(4, x->dims, dnnl_acdb)
           : x->rank == 5 ? dnn_md_tag(5, x->dims, dnnl_acdeb)
                          : NULL;
}

static int64_t product(const GpudlShape *shape, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= shape->dims[i];
    return n;
}

int cpu_lower_layer_norm(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlNormAttrs *attrs = &((const GpudlAttrs *)node->attrs)->norm;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape;
    int end = attrs->axis + attrs->n_axes, behind_one = product(x, end, x->rank) == 1;
    DnnMd md = NULL;

    if (behind_one)
        md = dnn_md_plain(x->rank, x->dims);
    else if (attrs->axis == 1 && attrs->n_axes == 1)
        md = interleaved_md(x);
    if (md == NULL)
        return 0;
    add_norm(c, node, md, cpu_use(c, node->inputs[0], md),
             (Norm){.kind = NORM_ROWS,
                    .c = product(x, attrs->axis, end),
                    .n = product(x, 0, attrs->axis) * product(x, end, x->rank)});
    return 1;
}

/* Vectors run along channels or along the plane, whichever the layout has and is long enough. */
int cpu_lower_group_norm(CpuCompiler *c, const GpudlPlanNode *node)
{
    const int32_t groups = ((const GpudlAttrs *)node->attrs)->norm.groups;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape;
    int32_t src = cpu_use_lying(c, node->inputs[0]); /* to see how it lies */
    int planar = src >= 0 && dnn_md_is_plain(cpu_value_md(c, src));
    DnnMd md = NULL;

    if (src < 0)
        return 0;
    if (!planar && (groups == 1 || x->dims[1] / groups >= 8))
        md = interleaved_md(x);
    planar = md == NULL;
    if (planar)
        md = dnn_md_plain(x->rank, x->dims);
    if (md == NULL)
        return 0;
    add_norm(c, node, md, cpu_use(c, node->inputs[0], md),
             (Norm){.kind = planar ? NORM_PLANAR : NORM_INTERLEAVED,
                    .n = x->dims[0],
                    .c = x->dims[1],
                    .plane = product(x, 2, x->rank),
                    .groups = groups});
    return 1;
}
