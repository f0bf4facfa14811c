/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolutions of few channels by a kernel of our own (kernels/stem.h), where that measures better. */
#include "conv.h"
#include "isa.h"

/* Of a node's constants. */
enum { PART_STEM = 6 };

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

int cpu_conv_stem(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuStem *own)
{
    const int64_t row = conv->x[3] * conv->x[1], y_row = conv->y[3] * conv->y[1];
    const GpudlDType type = conv->type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;
    GpudlStem *d = &own->d;

    *own = (CpuStem){.kernels = gpudl_stem_kernels(cpu_isa_simd(), type)};
    if (own->kernels == NULL || !cpu_conv_is_dense(c, node, conv) || !fits(conv))
        return 0;
    *d = (GpudlStem){.type = type,
                     .n = (int32_t)conv->x[0],
                     .h = (int32_t)conv->x[2],
                     .w = (int32_t)conv->x[3],
                     .c = (int32_t)conv->x[1],
                     .k = (int32_t)conv->y[1],
                     .p = (int32_t)conv->y[2],
                     .q = (int32_t)conv->y[3],
                     .x_row = row,
                     .x_frame = row * conv->x[2],
                     .y_pixel = conv->y[1],
                     .y_row = y_row,
                     .y_frame = y_row * conv->y[2],
                     .kernel = (int32_t)conv->weights[2],
                     .stride = (int32_t)conv->strides[0],
                     .pad_top = (int32_t)conv->pad_l[0],
                     .pad_left = (int32_t)conv->pad_l[1],
                     .act = conv->post.act};
    return gpudl_stem_supported(d) && cpu_weights_fit(cpu_tensor(c, node->inputs[1]));
}

static void pack(const void *problem, const float *w, const float *bias, void *packed)
{
    gpudl_stem_pack(problem, w, bias, packed);
}

static void run(const void *problem, void *const *data)
{
    const CpuStem *own = problem;

    own->kernels->run(&own->d, data[0], data[1], data[2]);
}

int cpu_lower_stem(CpuCompiler *c, const GpudlPlanNode *node)
{
    CpuStem own;
    CpuConv conv;
    DnnMd x, y;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_OWN || !cpu_conv_of(c, node, c->type, &conv) ||
        !cpu_conv_stem(c, node, &conv, &own))
        return 0;
    x = dnn_md_typed(conv.type, 4, conv.x, dnnl_acdb);
    y = dnn_md_typed(conv.type, 4, conv.y, dnnl_acdb);
    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        dnn_md_free(y);
    } else {
        const int32_t src = cpu_use(c, node->inputs[0], x);
        const int32_t packed = cpu_conv_packed(c, node, PART_STEM, gpudl_stem_weights_size(&own.d), pack, &own.d);
        const int32_t dst = cpu_define(c, node->outputs[0], y);
        cpu_own(c, own.kernels->name, run, &own, sizeof own, 3, (const CpuUse[]){{src, 1}, {packed, 1}, {dst, 1}});
    }
    dnn_md_free(x);
    return 1;
}
