/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "squeeze.h"

#include <stdlib.h>

#include "isa.h"

/* Of a node's constants. */
enum { PART_SQUEEZE = 3 };

int cpu_squeeze_find(const CpuCompiler *c, int32_t index, CpuSqueezeFound *found)
{
    const int64_t *x;
    dnnl_data_type_t type;
    GpudlSqueeze *s = &found->s;

    *found = (CpuSqueezeFound){.kernels = gpudl_squeeze_kernels(cpu_isa_simd())};
    if (found->kernels == NULL || !gpudl_squeeze_find(c->plan, index, &found->nodes))
        return 0;
    x = cpu_tensor(c, found->nodes.x)->shape.dims;
    type = cpu_result_type(c, found->nodes.y, c->type);
    s->type = type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;
    s->n = (int32_t)x[0];
    s->pixels = (int32_t)(x[2] * x[3]);
    s->c = found->nodes.c;
    s->r = found->nodes.r;
    s->x_pixel = s->y_pixel = s->c;
    s->x_frame = s->y_frame = (int64_t)s->c * s->pixels;
    s->inner = found->nodes.products[0].act;
    s->gate = found->nodes.products[1].act;
    return type == cpu_result_type(c, found->nodes.x, c->type) && gpudl_squeeze_supported(s);
}

/* ---- lowering ---------------------------------------------------------------------------------------------------- */

static float *dense_weights(const CpuCompiler *c, const GpudlSqueezeProduct *p, int64_t results, int64_t operands)
{
    const GpudlPlanTensor *bias = p->bias >= 0 ? cpu_tensor(c, p->bias) : NULL;

    return gpudl_squeeze_dense(p, cpu_tensor(c, p->weights)->data, bias != NULL ? bias->data : NULL,
                               bias != NULL ? gpudl_shape_elements(&bias->shape) : 0, results, operands);
}

static int32_t packed_weights(CpuCompiler *c, const CpuSqueezeFound *found)
{
    const GpudlSqueeze *s = &found->s;
    const size_t bytes = gpudl_squeeze_weights_size(s);
    int32_t value = cpu_find_constant(c, PART_SQUEEZE, NULL);
    float *packed, *first = NULL, *second = NULL;

    if (value >= 0)
        return value;
    packed = cpu_aligned_bytes(c->shared->dry ? 0 : bytes);
    if (packed != NULL && !c->shared->dry) {
        first = dense_weights(c, &found->nodes.products[0], s->r, s->c);
        second = dense_weights(c, &found->nodes.products[1], s->c, s->r);
        if (first != NULL && second != NULL) {
            gpudl_squeeze_pack(s, first, first + (int64_t)s->r * s->c, second, second + (int64_t)s->r * s->c, packed);
        } else {
            free(packed);
            packed = NULL;
        }
        free(first);
        free(second);
    }
    return cpu_constant(c, PART_SQUEEZE, NULL, packed, bytes);
}

typedef struct {
    const GpudlSqueezeKernels *kernels;
    GpudlSqueeze s;
} Own;

static void run(const void *problem, void *const *data)
{
    const Own *own = problem;

    own->kernels->run(&own->s, data[0], data[1], data[2], data[3]);
}

int cpu_lower_squeeze(CpuCompiler *c, const GpudlPlanNode *node)
{
    int32_t src, packed, room, dst;
    CpuSqueezeFound found;
    CpuOwn *step;
    int64_t scratch;
    Own own;
    DnnMd md;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_OWN || !cpu_squeeze_find(c, c->node, &found))
        return 0;
    md = dnn_md_typed(found.s.type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32, 4,
                      cpu_tensor(c, node->inputs[0])->shape.dims, dnnl_acdb);
    if (md == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 1;
    }
    for (int i = 0; i < found.nodes.n_nodes; i++)
        cpu_cover(c, found.nodes.nodes[i]);
    scratch = (int64_t)(gpudl_squeeze_scratch_size(&found.s) / sizeof(float));
    own = (Own){found.kernels, found.s};
    src = cpu_use(c, found.nodes.x, md);
    packed = packed_weights(c, &found);
    room = cpu_temporary(c, dnn_md_plain(1, &scratch));
    /* the product's use of x is this step's */
    cpu_hold(c, found.nodes.x, -1);
    dst = cpu_may_overwrite(c, src) ? cpu_define_alias(c, found.nodes.y, md, src) : cpu_define(c, found.nodes.y, md);
    cpu_hold(c, found.nodes.x, 1);
    /* the input is read twice */
    step = cpu_own(c, own.kernels->name, run, &own, sizeof own, 4,
                   (const CpuUse[]){{src, 2}, {packed, 1}, {room, 0}, {dst, 1}});
    if (step != NULL)
        step->flops = (uint64_t)own.s.n * (uint64_t)own.s.c * (2 * (uint64_t)own.s.pixels + 4 * (uint64_t)own.s.r);
    return 1;
}

uint64_t cpu_squeeze_trial(CpuTrial *trial, const CpuSqueezeFound *found)
{
    const GpudlSqueeze *s = &found->s;
    const Own own = {found->kernels, *s};
    const uint64_t size = gpudl_dtype_size(s->type);
    const uint64_t sizes[] = {(uint64_t)s->x_frame * (uint64_t)s->n * size, gpudl_squeeze_weights_size(s),
                              gpudl_squeeze_scratch_size(s), (uint64_t)s->y_frame * (uint64_t)s->n * size};

    return cpu_trial_own(trial, run, &own, 4, sizes, 0);
}
