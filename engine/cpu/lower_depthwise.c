/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Depthwise convolutions by a kernel of our own (kernels/depthwise.h), where that measures better. */
#include <string.h>

#include "conv.h"
#include "isa.h"
#include "kernels/depthwise.h"

/* Of a node's constants. */
enum { PART_DEPTHWISE = 2 };

typedef struct {
    const GpudlDepthwiseKernels *kernels;
    GpudlDepthwise d;
} Own;
_Static_assert(sizeof(Own) <= sizeof(uint64_t[CPU_OWN_PROBLEM]), "it is kept in that");

int cpu_conv_depthwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, GpudlDepthwise *d)
{
    const int64_t *w = conv->weights;

    /* weights: groups, channels of each twice, taps */
    if (gpudl_depthwise_kernels(cpu_isa_simd()) == NULL || conv->rank != 4 || conv->weight_rank != 5 ||
        w[0] != conv->x[1] || w[1] != 1 || w[2] != 1 || w[3] != w[4] || conv->strides[0] != conv->strides[1] ||
        conv->dilates[0] != 0 || conv->dilates[1] != 0 || conv->type != conv->dst_type || conv->post.sum ||
        w[3] > INT32_MAX || conv->x[0] > INT32_MAX || conv->x[1] > INT32_MAX || conv->x[2] > INT32_MAX ||
        conv->x[3] > INT32_MAX || conv->strides[0] > INT32_MAX || !cpu_is_constant(c, node->inputs[1]) ||
        (conv->has_bias && !cpu_is_constant(c, node->inputs[2])))
        return 0;
    *d = (GpudlDepthwise){CPU_CONV_LAST(conv),
                          .x_pixel = conv->x[1],
                          .kernel = (int32_t)w[3],
                          .stride = (int32_t)conv->strides[0],
                          .pad_top = (int32_t)conv->pad_l[0],
                          .pad_left = (int32_t)conv->pad_l[1]};
    return gpudl_depthwise_supported(d) && cpu_weights_fit(cpu_tensor(c, node->inputs[1]));
}

static void pack(const void *problem, const float *const *constants, void *packed)
{
    gpudl_depthwise_pack(&((const Own *)problem)->d, constants[0], constants[1], packed);
}

static void run(const void *problem, void *const *data)
{
    const Own *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_own_depthwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuOwnConv *own)
{
    Own o;

    if (!cpu_conv_depthwise(c, node, conv, &o.d))
        return 0;
    o.kernels = gpudl_depthwise_kernels(cpu_isa_simd());
    *own = (CpuOwnConv){.name = o.kernels->name,
                        .run = run,
                        .pack = pack,
                        .part = PART_DEPTHWISE,
                        .packed_bytes = gpudl_depthwise_weights_size(&o.d),
                        .size = sizeof o};
    memcpy(own->problem, &o, sizeof o);
    return 1;
}
