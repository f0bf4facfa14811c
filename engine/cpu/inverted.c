/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inverted.h"

#include "conv.h"
#include "engine/module.h"
#include "isa.h"

/* Of a node's constants. */
enum { PART_INVERTED = 7 };

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* A convolution of float32 tensors, not yet looked at otherwise. */
static int is_conv(const CpuCompiler *c, int32_t index, CpuConv *conv)
{
    const GpudlPlanNode *node = index >= 0 ? &c->plan->nodes[index] : NULL;

    return node != NULL && node->op == GPUDL_OP_CONV && node->n_outputs == 1 && cpu_is_f32(c, node->inputs[0]) &&
           cpu_is_f32(c, node->outputs[0]) && cpu_is_constant(c, node->inputs[1]) &&
           cpu_tensor(c, node->inputs[0])->shape.rank == 4 && cpu_conv_of(c, node, c->type, conv);
}

static int is_product(const CpuCompiler *c, int32_t index, CpuConv *conv, GpudlPointwise *d)
{
    return is_conv(c, index, conv) && cpu_conv_pointwise(c, &c->plan->nodes[index], conv, d) && d->stride == 1 &&
           d->p == d->h && d->q == d->w;
}

static int is_filter(const CpuCompiler *c, int32_t index, CpuConv *conv, GpudlDepthwise *d)
{
    return is_conv(c, index, conv) && cpu_conv_depthwise(c, &c->plan->nodes[index], conv, d);
}

/* The node that alone reads what this one gives, as its picture. */
static int32_t next_of(const CpuCompiler *c, int32_t index)
{
    const int32_t y = c->plan->nodes[index].outputs[0], reader = cpu_only_reader(c, y);

    return reader >= 0 && c->plan->nodes[reader].inputs[0] == y ? reader : -1;
}

int cpu_inverted_find(const CpuCompiler *c, int32_t index, CpuInvertedFound *found)
{
    const GpudlPlanNode *first = &c->plan->nodes[index];
    const GpudlDType type = c->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;
    GpudlInverted *d = &found->own.d;
    GpudlPointwise expand = {0}, project = {0};
    GpudlDepthwise filter;
    CpuConv conv;

    *found = (CpuInvertedFound){
        .expand = -1, .filter = index, .own = {.kernels = gpudl_inverted_kernels(cpu_isa_simd(), type)}};
    if (found->own.kernels == NULL)
        return 0;
    if (is_product(c, index, &conv, &expand)) {
        if (conv.post.sum)
            return 0;
        found->expand = index;
        found->filter = next_of(c, index);
    }
    if (!is_filter(c, found->filter, &conv, &filter))
        return 0;
    found->project = next_of(c, found->filter);
    if (!is_product(c, found->project, &conv, &project) ||
        (conv.post.sum && c->plan->nodes[found->project].inputs[3] != first->inputs[0])) {
        if (found->expand < 0)
            return 0;
        found->project = -1;
    }
    *d = (GpudlInverted){.type = type,
                         .n = filter.n,
                         .h = filter.h,
                         .w = filter.w,
                         .c = found->expand >= 0 ? expand.c : filter.c,
                         .hidden = filter.c,
                         .p = filter.p,
                         .q = filter.q,
                         .k = found->project >= 0 ? project.k : filter.c,
                         .y_pixel = found->project >= 0 ? project.y_pixel : filter.y_pixel,
                         .y_row = found->project >= 0 ? project.y_row : filter.y_row,
                         .y_frame = found->project >= 0 ? project.y_frame : filter.y_frame,
                         .expands = found->expand >= 0,
                         .projects = found->project >= 0,
                         .kernel = filter.kernel,
                         .stride = filter.stride,
                         .pad_top = filter.pad_top,
                         .pad_left = filter.pad_left,
                         .shortcut = found->project >= 0 && conv.post.sum,
                         .expand = expand.act,
                         .depthwise = filter.act,
                         .project = project.act};
    d->x_pixel = d->expands ? expand.x_pixel : filter.x_pixel;
    d->x_row = d->expands ? expand.x_row : filter.x_row;
    d->x_frame = d->expands ? expand.x_frame : filter.x_frame;
    found->own.nodes[0] = found->expand;
    found->own.nodes[1] = found->filter;
    found->own.nodes[2] = found->project;
    return gpudl_inverted_supported(d);
}

/* ---- lowering ---------------------------------------------------------------------------------------------------- */

/* A node's weights, or its bias, -1: it has none. */
static int32_t constant_of(const CpuCompiler *c, int32_t index, uint32_t input)
{
    const GpudlPlanNode *node = index >= 0 ? &c->plan->nodes[index] : NULL;

    return node != NULL && node->n_inputs > input ? node->inputs[input] : -1;
}

/* What the last node gives. */
static int32_t output_of(const CpuCompiler *c, const CpuInvertedFound *found)
{
    return c->plan->nodes[found->project >= 0 ? found->project : found->filter].outputs[0];
}

static void pack(const void *problem, const float *const *constants, void *packed)
{
    const GpudlInvertedWeights weights = {constants[0], constants[1], constants[2],
                                          constants[3], constants[4], constants[5]};

    gpudl_inverted_pack(problem, &weights, packed);
}

static int32_t packed_weights(CpuCompiler *c, const CpuInvertedFound *found)
{
    const GpudlInverted *d = &found->own.d;
    int32_t constants[CPU_SOURCES];

    for (int i = 0; i < CPU_SOURCES; i++)
        constants[i] = constant_of(c, found->own.nodes[i / 2], 1 + (uint32_t)i % 2);
    return cpu_own_constant(c, PART_INVERTED, gpudl_inverted_weights_size(d), pack, d, sizeof *d, CPU_SOURCES,
                            constants);
}

/* Onto x, where nobody else reads it from now on and it is the shortcut: what is expanded of it stays. */
static int32_t place_output(CpuCompiler *c, const CpuInvertedFound *found, int32_t x, DnnMd md)
{
    const int32_t from = c->plan->nodes[c->node].inputs[0], to = output_of(c, found);
    int may = 0;

    if (found->own.d.shortcut && found->own.d.expands) {
        /* the last node's use of x is this step's */
        cpu_hold(c, from, -1);
        may = cpu_may_overwrite(c, x);
        cpu_hold(c, from, 1);
    }
    return may ? cpu_define_alias(c, to, md, x) : cpu_define(c, to, md);
}

static void run(const void *problem, void *const *data)
{
    const CpuInverted *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2], data[3]);
}

static uint64_t flops_of(const CpuCompiler *c, const CpuInverted *own)
{
    uint64_t flops = 0;

    for (int i = 0; i < 3; i++)
        flops += own->nodes[i] >= 0 ? gpudl_module_flops(c->plan, own->nodes[i]) : 0;
    return flops;
}

int cpu_lower_inverted(CpuCompiler *c, const GpudlPlanNode *node)
{
    CpuInvertedFound found;
    int64_t scratch;
    DnnMd x, y;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_STRIPS || !cpu_inverted_find(c, c->node, &found))
        return 0;
    x = dnn_md_typed(c->type, 4, cpu_tensor(c, node->inputs[0])->shape.dims, dnnl_acdb);
    y = dnn_md_typed(c->type, 4, cpu_tensor(c, output_of(c, &found))->shape.dims, dnnl_acdb);
    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        dnn_md_free(y);
    } else {
        if (found.expand >= 0)
            cpu_cover(c, found.filter);
        if (found.project >= 0)
            cpu_cover(c, found.project);
        scratch = (int64_t)(gpudl_inverted_scratch_size(&found.own.d) / sizeof(float));
        const int32_t src = cpu_use(c, node->inputs[0], x);
        const int32_t packed = packed_weights(c, &found);
        const int32_t room = cpu_temporary(c, dnn_md_plain(1, &scratch));
        const int32_t dst = place_output(c, &found, src, y);
        CpuOwn *own = cpu_own(c, found.own.kernels->name, run, &found.own, sizeof found.own, 4,
                              (const CpuUse[]){{src, found.own.d.shortcut ? 2 : 1}, {packed, 1}, {room, 0}, {dst, 1}});

        if (own != NULL)
            own->flops = flops_of(c, &found.own);
    }
    dnn_md_free(x);
    return 1;
}

uint64_t cpu_inverted_trial(CpuTrial *trial, const CpuInverted *own)
{
    const GpudlInverted *d = &own->d;
    const uint64_t size = gpudl_dtype_size(d->type);
    const uint64_t sizes[] = {(uint64_t)d->x_frame * (uint64_t)d->n * size, gpudl_inverted_weights_size(d),
                              gpudl_inverted_scratch_size(d), (uint64_t)d->y_frame * (uint64_t)d->n * size};

    return cpu_trial_own(trial, run, own, 4, sizes, 0);
}
