/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dense 3x3 convolutions in bfloat16 by a kernel of our own (kernels/winograd.h), where that measures better. */
#include "conv.h"
#include "isa.h"

/* Of a node's constants. */
enum { PART_TILES = 4 };

/* The window that the kernel is for. */
static int fits(const CpuConv *conv)
{
    for (int i = 0; i < 2; i++)
        if (conv->weights[2 + i] != 3 || conv->strides[i] != 1 || conv->dilates[i] != 0 || conv->pad_l[i] > 2)
            return 0;
    return 1;
}

int cpu_conv_tiles(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuTiles *own)
{
    const int64_t row = conv->x[3] * conv->x[1], y_row = conv->y[3] * conv->y[1];
    GpudlWinograd *d = &own->d;

    *own = (CpuTiles){.kernels = gpudl_winograd_kernels(cpu_isa_simd())};
    /* direct programs are there for weights that are not larger */
    if (own->kernels == NULL || c->shared->direct || !cpu_conv_is_dense_bf16(c, node, conv) || !fits(conv))
        return 0;
    *d = (GpudlWinograd){.type = GPUDL_DTYPE_BF16,
                         .n = (int32_t)conv->x[0],
                         .h = (int32_t)conv->x[2],
                         .w = (int32_t)conv->x[3],
                         .c = (int32_t)conv->x[1],
                         .k = (int32_t)conv->y[1],
                         .p = (int32_t)conv->y[2],
                         .q = (int32_t)conv->y[3],
                         .x_pixel = conv->x[1],
                         .x_row = row,
                         .x_frame = row * conv->x[2],
                         .y_pixel = conv->y[1],
                         .y_row = y_row,
                         .y_frame = y_row * conv->y[2],
                         .pad_top = (int32_t)conv->pad_l[0],
                         .pad_left = (int32_t)conv->pad_l[1],
                         .onto = conv->post.sum,
                         .act = conv->post.act};
    return gpudl_winograd_supported(d) && cpu_weights_fit(cpu_tensor(c, node->inputs[1]));
}

static void pack(const void *problem, const float *w, const float *bias, void *packed)
{
    gpudl_winograd_pack(problem, w, bias, packed);
}

static void run(const void *problem, void *const *data)
{
    const CpuTiles *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2], data[3]);
}

int cpu_lower_tiles(CpuCompiler *c, const GpudlPlanNode *node)
{
    int64_t scratch;
    CpuTiles own;
    CpuConv conv;
    DnnMd x, y;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_OWN || !cpu_conv_of(c, node, c->type, &conv) ||
        !cpu_conv_tiles(c, node, &conv, &own))
        return 0;
    x = dnn_md_typed(dnnl_bf16, 4, conv.x, dnnl_acdb);
    y = dnn_md_typed(dnnl_bf16, 4, conv.y, dnnl_acdb);
    scratch = (int64_t)(gpudl_winograd_scratch_size(&own.d) / sizeof(float));
    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    } else {
        const int32_t src = cpu_use(c, node->inputs[0], x);
        const int32_t packed = cpu_conv_packed(c, node, PART_TILES, gpudl_winograd_weights_size(&own.d), pack, &own.d);
        const int32_t room = cpu_temporary(c, dnn_md_plain(1, &scratch));
        const int32_t dst = cpu_conv_output(c, node, src, conv.post.sum ? node->inputs[3] : -1, y);
        cpu_own(c, own.kernels->name, run, &own, sizeof own, 4,
                (const CpuUse[]){{src, 1}, {packed, 1}, {room, 0}, {dst, own.d.onto ? 2 : 1}});
    }
    dnn_md_free(x);
    dnn_md_free(y);
    return 1;
}
