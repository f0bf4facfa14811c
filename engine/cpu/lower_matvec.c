/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fully connected layers of one frame by a kernel of our own (kernels/matvec.h). They take as long as their weights
 * take to come from memory, which oneDNN's blocks do at two thirds of its speed.
 */
#include "isa.h"
#include "kernels/matvec.h"
#include "lower.h"

typedef struct {
    const GpudlMatvecKernels *kernels;
    GpudlMatvec d;
} Own;

/* Of a node's constants: its weights in float32, in bfloat16. */
enum { PART_MATVEC_F32 = 2, PART_MATVEC_BF16 };

static int problem_of(const CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, const GpudlAct *act,
                      GpudlMatvec *d)
{
    const int64_t *x = cpu_tensor(c, node->inputs[0])->shape.dims, *y = cpu_tensor(c, node->outputs[0])->shape.dims;
    const dnnl_data_type_t y_type = cpu_result_type(c, node->outputs[0], type);

    if (x[0] != 1 || x[1] > INT32_MAX || y[1] > INT32_MAX)
        return 0;
    *d = (GpudlMatvec){.type = type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32,
                       .y_type = y_type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32,
                       .n = (int32_t)y[1],
                       .k = (int32_t)x[1],
                       .act = cpu_fused(c, act)};
    return gpudl_matvec_supported(d);
}

/* Biases at once, weights at the end of the compilation. */
static int32_t packed_weights(CpuCompiler *c, const GpudlMatvec *d, const CpuProduct *product)
{
    const int part = d->type == GPUDL_DTYPE_BF16 ? PART_MATVEC_BF16 : PART_MATVEC_F32;
    const uint64_t bytes = gpudl_matvec_weights_size(d);
    int32_t value = cpu_find_constant(c, part, NULL);
    void *room;

    if (value >= 0)
        return value;
    room = cpu_aligned_room(c->shared->dry ? 0 : bytes);
    if (room != NULL && !c->shared->dry)
        gpudl_matvec_pack_biases(d, product->bias, room);
    value = cpu_constant(c, part, NULL, room, bytes);
    if (value >= 0 && !c->shared->dry)
        cpu_pack_product(c, part, d, product);
    return value;
}

static void run(const void *problem, void *const *data)
{
    const Own *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_lower_matvec(CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, const CpuProduct *product)
{
    Own own;
    DnnMd x, y;

    if (!problem_of(c, node, type, product->act, &own.d))
        return 0;
    own.kernels = gpudl_matvec_kernels(cpu_isa_simd(), own.d.type);
    if (own.kernels == NULL)
        return 0;
    x = dnn_md_dense(type, 2, cpu_tensor(c, node->inputs[0])->shape.dims);
    y = dnn_md_dense(own.d.y_type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32, 2,
                     cpu_tensor(c, node->outputs[0])->shape.dims);
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
