/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dense 1x1 convolutions by a kernel of our own (kernels/pointwise.h), where that measures better. */
#include <string.h>

#include "conv.h"
#include "isa.h"
#include "kernels/pointwise.h"

/* Of a node's constants. */
enum { PART_POINTWISE = 5 };

typedef struct {
    const GpudlPointwiseKernels *kernels;
    GpudlPointwise d;
} Own;
_Static_assert(sizeof(Own) <= sizeof(uint64_t[CPU_OWN_PROBLEM]), "it is kept in that");

/* The window that the kernel is for. */
static int fits(const CpuConv *conv)
{
    if (conv->strides[0] != conv->strides[1] || conv->strides[0] > 2)
        return 0;
    for (int i = 0; i < 2; i++)
        if (conv->weights[2 + i] != 1 || conv->pad_l[i] != 0)
            return 0;
    return 1;
}

int cpu_conv_pointwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, GpudlPointwise *d)
{
    const GpudlDType type = conv->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;

    if (gpudl_pointwise_kernels(cpu_isa_simd(), type) == NULL || !cpu_conv_is_dense(c, node, conv) || !fits(conv))
        return 0;
    *d = (GpudlPointwise){CPU_CONV_LAST(conv), .k = (int32_t)conv->y[1], .stride = (int32_t)conv->strides[0],
                          .x_pixel = conv->x[1], .onto = conv->post.sum};
    return gpudl_pointwise_supported(d) && cpu_weights_fit(cpu_tensor(c, node->inputs[1]));
}

static void pack(const void *problem, const float *const *constants, void *packed)
{
    gpudl_pointwise_pack(&((const Own *)problem)->d, constants[0], constants[1], packed);
}

static void run(const void *problem, void *const *data)
{
    const Own *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_own_pointwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuOwnConv *own)
{
    Own o;

    if (!cpu_conv_pointwise(c, node, conv, &o.d))
        return 0;
    o.kernels = gpudl_pointwise_kernels(cpu_isa_simd(), o.d.type);
    *own = (CpuOwnConv){.name = o.kernels->name,
                        .run = run,
                        .pack = pack,
                        .part = PART_POINTWISE,
                        .packed_bytes = gpudl_pointwise_weights_size(&o.d),
                        .size = sizeof o};
    memcpy(own->problem, &o, sizeof o);
    return 1;
}
