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

typedef struct {
    GpudlMatvec d;
    int by_rows, bias_way;
    float factor, beta;
} Packing;

static void pack(const void *problem, const float *const *constants, void *packed)
{
    const Packing *p = problem;

    gpudl_matvec_pack_biases(&p->d, constants[1], p->bias_way, p->beta, packed);
    gpudl_matvec_pack_weights(&p->d, constants[0], p->by_rows, p->factor, packed);
}

static int32_t packed_weights(CpuCompiler *c, const GpudlMatvec *d, const CpuProduct *product)
{
    const int way = product->bias >= 0 && gpudl_shape_elements(&cpu_tensor(c, product->bias)->shape) > 1;
    const Packing problem = {*d, product->by_rows, way, product->factor, product->beta};

    return cpu_own_constant(c, d->type == GPUDL_DTYPE_BF16 ? PART_MATVEC_BF16 : PART_MATVEC_F32,
                            gpudl_matvec_weights_size(d), pack, &problem, sizeof problem, 2,
                            (const int32_t[]){product->w, product->bias});
}

static void run(const void *problem, void *const *data)
{
    const CpuMatvec *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_lower_matvec(CpuCompiler *c, const GpudlPlanNode *node, const CpuProduct *product)
{
    CpuMatvec own;
    DnnMd x, y;

    if (!cpu_product_own(product, &own))
        return 0;
    x = dnn_md_dense(product->type, 2, (const int64_t[]){1, product->k});
    y = dnn_md_dense(product->y_type, 2, (const int64_t[]){1, product->n});
    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        dnn_md_free(y);
    } else {
        const int32_t src = cpu_use(c, node->inputs[0], x);
        const int32_t packed = packed_weights(c, &own.d, product);
        const int32_t dst = cpu_define(c, node->outputs[0], y);

        cpu_own(c, own.kernels->name, run, &own, sizeof own, 3, (const CpuUse[]){{src, 1}, {packed, 1}, {dst, 1}});
        cpu_apply_exact(c, product->act, dst);
    }
    dnn_md_free(x);
    return 1;
}

uint64_t cpu_matvec_trial(CpuTrial *trial, const CpuMatvec *own, uint64_t best)
{
    const uint64_t sizes[] = {(uint64_t)own->d.k * gpudl_dtype_size(own->d.type), gpudl_matvec_weights_size(&own->d),
                              (uint64_t)own->d.n * gpudl_dtype_size(own->d.y_type)};

    return cpu_trial_own(trial, run, own, 3, sizes, best);
}
