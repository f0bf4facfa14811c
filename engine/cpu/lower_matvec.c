/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fully connected layers of one frame by a kernel of our own (kernels/matvec.h), where that measures better. They take
 * as long as their weights take to come from memory.
 */
#include "isa.h"
#include "product.h"

/* Of a node's constants: its weights in float32, in bfloat16. */
enum { PART_MATVEC_F32 = 2, PART_MATVEC_BF16 };

int cpu_product_own(const CpuProduct *product, CpuMatvec *own)
{
    if (product->m != 1 || product->k > INT32_MAX || product->n > INT32_MAX)
        return 0;
    own->d = (GpudlMatvec){.type = product->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32,
                           .y_type = product->y_type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32,
                           .n = (int32_t)product->n,
                           .k = (int32_t)product->k,
                           .act = product->fused};
    own->kernels = gpudl_matvec_kernels(cpu_isa_simd(), own->d.type);
    return own->kernels != NULL && gpudl_matvec_supported(&own->d);
}

/* Biases at once, weights at the end of the compilation. */
static int32_t packed_weights(CpuCompiler *c, const GpudlMatvec *d, const CpuProduct *product, const float *bias)
{
    const int part = d->type == GPUDL_DTYPE_BF16 ? PART_MATVEC_BF16 : PART_MATVEC_F32;
    const uint64_t bytes = gpudl_matvec_weights_size(d);
    int32_t value = cpu_find_constant(c, part, NULL);
    void *room;

    if (value >= 0)
        return value;
    room = cpu_aligned_room(c->shared->dry ? 0 : bytes);
    if (room != NULL && !c->shared->dry)
        gpudl_matvec_pack_biases(d, bias, room);
    value = cpu_constant(c, part, NULL, room, bytes);
    if (value >= 0 && !c->shared->dry)
        cpu_pack_product(c, part, d, product->w, product->by_rows, product->factor);
    return value;
}

static void run(const void *problem, void *const *data)
{
    const CpuMatvec *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

void cpu_lower_matvec(CpuCompiler *c, const GpudlPlanNode *node, const CpuProduct *product, const CpuMatvec *own,
                      const float *bias)
{
    DnnMd x = dnn_md_dense(product->type, 2, (const int64_t[]){1, product->k});
    DnnMd y = dnn_md_dense(product->y_type, 2, (const int64_t[]){1, product->n});

    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        dnn_md_free(y);
    } else {
        const int32_t src = cpu_use(c, node->inputs[0], x);
        const int32_t packed = packed_weights(c, &own->d, product, bias);
        const int32_t dst = cpu_define(c, node->outputs[0], y);

        cpu_own(c, own->kernels->name, run, own, sizeof *own, 3, (const CpuUse[]){{src, 1}, {packed, 1}, {dst, 1}});
        cpu_apply_exact(c, product->act, dst);
    }
    dnn_md_free(x);
}

uint64_t cpu_matvec_trial(CpuTrial *trial, const CpuMatvec *own, uint64_t best)
{
    const uint64_t sizes[] = {(uint64_t)own->d.k * gpudl_dtype_size(own->d.type), gpudl_matvec_weights_size(&own->d),
                              (uint64_t)own->d.n * gpudl_dtype_size(own->d.y_type)};

    return cpu_trial_own(trial, run, own, 3, sizes, best);
}
