/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dense 3x3 convolutions in bfloat16 by a kernel of our own (kernels/winograd.h), where that measures better. */
#include <string.h>

#include "conv.h"
#include "isa.h"
#include "kernels/winograd.h"

/* Of a node's constants. */
enum { PART_TILES = 4 };

typedef struct {
    const GpudlWinogradKernels *kernels;
    GpudlWinograd d;
} Own;
_Static_assert(sizeof(Own) <= sizeof(uint64_t[CPU_OWN_PROBLEM]), "it is kept in that");

/* The window that the kernel is for. */
static int fits(const CpuConv *conv)
{
    for (int i = 0; i < 2; i++)
        if (conv->weights[2 + i] != 3 || conv->strides[i] != 1 || conv->dilates[i] != 0 || conv->pad_l[i] > 2)
            return 0;
    return 1;
}

static void pack(const void *problem, const float *const *constants, void *packed)
{
    gpudl_winograd_pack(&((const Own *)problem)->d, constants[0], constants[1], packed);
}

static void run(const void *problem, void *const *data)
{
    const Own *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2], data[3]);
}

int cpu_own_tiles(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuOwnConv *own)
{
    Own o;

    o.kernels = gpudl_winograd_kernels(cpu_isa_simd());
    /* direct programs are there for weights that are not larger */
    if (o.kernels == NULL || c->shared->direct || !cpu_conv_is_dense_bf16(c, node, conv) || !fits(conv))
        return 0;
    o.d = (GpudlWinograd){CPU_CONV_LAST(conv),
                          .k = (int32_t)conv->y[1],
                          .x_pixel = conv->x[1],
                          .pad_top = (int32_t)conv->pad_l[0],
                          .pad_left = (int32_t)conv->pad_l[1],
                          .onto = conv->post.sum};
    if (!gpudl_winograd_supported(&o.d) || !cpu_weights_fit(cpu_tensor(c, node->inputs[1])))
        return 0;
    *own = (CpuOwnConv){.name = o.kernels->name,
                        .run = run,
                        .pack = pack,
                        .part = PART_TILES,
                        .packed_bytes = gpudl_winograd_weights_size(&o.d),
                        .scratch_bytes = gpudl_winograd_scratch_size(&o.d),
                        .size = sizeof o};
    memcpy(own->problem, &o, sizeof o);
    return 1;
}
