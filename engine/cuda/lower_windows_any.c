/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows that the kernels of pictures do not take: one or three dimensions, weights that are not constant, integers,
 * and where the maxima lie. */
#include "kernels/window_cuda.h"
#include "lower_windows.h"

static const GpudlAttrs *attrs_of(const CudaStep *s, const CudaRun *run)
{
    return run->program->plan->nodes[s->node].attrs;
}

static const GpudlShape *shape_of(const CudaRun *run, int32_t value)
{
    return &run->program->values[value].shape;
}

static int launch_conv(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), w = cuda_value_strided(run, s->w),
                       y = cuda_value_strided(run, s->y);
    GpudlStrided bias, z;

    if (s->bias >= 0)
        bias = cuda_value_strided(run, s->bias);
    if (s->z >= 0)
        z = cuda_value_strided(run, s->z);
    return gpudl_window_conv_cuda(shape_of(run, s->x), &x, shape_of(run, s->w), &w, s->bias >= 0 ? &bias : NULL,
                                  s->z >= 0 ? &z : NULL, &s->window, attrs_of(s, run)->window.group, &s->act,
                                  shape_of(run, s->y), &y, run->stream);
}

static int launch_pool(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_window_pool_cuda((GpudlPoolKind)s->op, shape_of(run, s->x), &x, &s->window, shape_of(run, s->y), &y,
                                  run->stream);
}

static int launch_indices(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_window_indices_cuda(shape_of(run, s->x), &x, &s->window, attrs_of(s, run)->window.column_major,
                                     shape_of(run, s->y), &y, run->stream);
}

GpudlWindow cuda_window(const GpudlWindowAttrs *attrs)
{
    GpudlWindow window = {.n_spatial = attrs->n_spatial};

    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        window.kernel[i] = attrs->kernel[i];
        window.stride[i] = attrs->stride[i];
        window.pad_begin[i] = attrs->pad_begin[i];
        window.pad_end[i] = attrs->pad_end[i];
        window.dilation[i] = attrs->dilation[i];
    }
    return window;
}

int cuda_lower_any_conv(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const int has_bias = node->n_inputs > 2 && node->inputs[2] >= 0,
              has_residual = node->n_inputs > 3 && node->inputs[3] >= 0;
    const int32_t x = cuda_use(c, node->inputs[0]), w = cuda_use(c, node->inputs[1]),
                  bias = has_bias ? cuda_use(c, node->inputs[2]) : -1,
                  z = has_residual ? cuda_use(c, node->inputs[3]) : -1, y = cuda_define(c, node->outputs[0]);
    CudaStep *s = c->status == GPUDL_STATUS_OK ? cuda_step(c, launch_conv, "convolution kernel") : NULL;

    if (s == NULL)
        return 0;
    s->x = x;
    s->w = w;
    s->bias = bias;
    s->z = z;
    s->y = y;
    s->window = cuda_window(attrs);
    s->act = attrs->act;
    cuda_touch(c, s);
    return 1;
}

int cuda_lower_any_pool(CudaCompiler *c, const GpudlPlanNode *node, GpudlPoolKind kind)
{
    const GpudlWindow window = cuda_window(&((const GpudlAttrs *)node->attrs)->window);
    const int32_t x = cuda_use(c, node->inputs[0]);

    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const int32_t y = node->outputs[i] >= 0 ? cuda_define(c, node->outputs[i]) : -1;
        CudaStep *s = x >= 0 && y >= 0
                          ? cuda_step(c, i == 0 ? launch_pool : launch_indices, i == 0 ? "pooling kernel" : "maxima")
                          : NULL;

        if (s == NULL)
            continue;
        s->op = (int)kind;
        s->x = x;
        s->y = y;
        s->window = window;
        cuda_touch(c, s);
    }
    return c->status == GPUDL_STATUS_OK;
}
