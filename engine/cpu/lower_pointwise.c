/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dense 1x1 convolutions by a kernel of our own (kernels/pointwise.h), where that measures better. */
#include "conv.h"
#include "isa.h"

/* Of a node's constants. */
enum { PART_POINTWISE = 5 };

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

int cpu_conv_pointwise(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuPointwise *own)
{
    const int64_t row = conv->x[3] * conv->x[1], y_row = conv->y[3] * conv->y[1];
    const GpudlDType type = conv->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;
    GpudlPointwise *d = &own->d;

    *own = (CpuPointwise){.kernels = gpudl_pointwise_kernels(cpu_isa_simd(), type)};
    if (own->kernels == NULL || !cpu_conv_is_dense(c, node, conv) || !fits(conv))
        return 0;
    *d = (GpudlPointwise){.type = type,
                          .n = (int32_t)conv->x[0],
                          .h = (int32_t)conv->x[2],
                          .w = (int32_t)conv->x[3],
                          .c = (int32_t)conv->x[1],
                          .k = (int32_t)conv->y[1],
                          .p = (int32_t)conv->y[2],
                          .q = (int32_t)conv->y[3],
                          .stride = (int32_t)conv->strides[0],
                          .x_pixel = conv->x[1],
                          .x_row = row,
                          .x_frame = row * conv->x[2],
                          .y_pixel = conv->y[1],
                          .y_row = y_row,
                          .y_frame = y_row * conv->y[2],
                          .onto = conv->post.sum,
                          .act = conv->post.act};
    return gpudl_pointwise_supported(d) && cpu_weights_fit(cpu_tensor(c, node->inputs[1]));
}

static void pack(const void *problem, const float *w, const float *bias, void *packed)
{
    gpudl_pointwise_pack(problem, w, bias, packed);
}

static void run(const void *problem, void *const *data)
{
    const CpuPointwise *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_lower_pointwise(CpuCompiler *c, const GpudlPlanNode *node)
{
    CpuPointwise own;
    CpuConv conv;
    DnnMd x, y;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_OWN || !cpu_conv_of(c, node, c->type, &conv) ||
        !cpu_conv_pointwise(c, node, &conv, &own))
        return 0;
    x = dnn_md_typed(conv.type, 4, conv.x, dnnl_acdb);
    y = dnn_md_typed(conv.type, 4, conv.y, dnnl_acdb);
    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    } else {
        const int32_t src = cpu_use(c, node->inputs[0], x);
        const int32_t packed =
            cpu_conv_packed(c, node, PART_POINTWISE, gpudl_pointwise_weights_size(&own.d), pack, &own.d);
        const int32_t dst = cpu_conv_output(c, node, src, conv.post.sum ? node->inputs[3] : -1, y);
        cpu_own(c, own.kernels->name, run, &own, sizeof own, 3,
                (const CpuUse[]){{src, 1}, {packed, 1}, {dst, own.d.onto ? 2 : 1}});
    }
    dnn_md_free(x);
    dnn_md_free(y);
    return 1;
}
