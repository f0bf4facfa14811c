/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolutions of few channels by a kernel of our own (kernels/stem.h), where that measures better. */
#include <string.h>

#include "conv.h"
#include "isa.h"
#include "kernels/stem.h"

/* Of a node's constants. */
enum { PART_STEM = 6 };

typedef struct {
    const GpudlStemKernels *kernels;
    GpudlStem d;
} Own;
_Static_assert(sizeof(Own) <= sizeof(uint64_t[CPU_OWN_PROBLEM]), "it is kept in that");

/* The window that the kernel is for. */
static int fits(const CpuConv *conv)
{
    if (conv->post.sum || conv->weights[2] != conv->weights[3] || conv->weights[2] > INT32_MAX ||
        conv->strides[0] != conv->strides[1] || conv->strides[0] > INT32_MAX)
        return 0;
    for (int i = 0; i < 2; i++)
        if (conv->dilates[i] != 0 || conv->pad_l[i] > INT32_MAX)
            return 0;
    return 1;
}

static void pack(const void *problem, const float *const *constants, void *packed)
{
    gpudl_stem_pack(&((const Own *)problem)->d, constants[0], constants[1], packed);
}

static void run(const void *problem, void *const *data)
{
    const Own *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_own_stem(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuOwnConv *own)
{
    const GpudlDType type = conv->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;
    Own o;

    o.kernels = gpudl_stem_kernels(cpu_isa_simd(), type);
    if (o.kernels == NULL || !cpu_conv_is_dense(c, node, conv) || !fits(conv))
        return 0;
    o.d = (GpudlStem){CPU_CONV_LAST(conv),
                      .k = (int32_t)conv->y[1],
                      .kernel = (int32_t)conv->weights[2],
                      .stride = (int32_t)conv->strides[0],
                      .pad_top = (int32_t)conv->pad_l[0],
                      .pad_left = (int32_t)conv->pad_l[1]};
    if (!gpudl_stem_supported(&o.d) || !cpu_weights_fit(cpu_tensor(c, node->inputs[1])))
        return 0;
    *own = (CpuOwnConv){.name = o.kernels->name,
                        .run = run,
                        .pack = pack,
                        .part = PART_STEM,
                        .packed_bytes = gpudl_stem_weights_size(&o.d),
                        .size = sizeof o};
    memcpy(own->problem, &o, sizeof o);
    return 1;
}
