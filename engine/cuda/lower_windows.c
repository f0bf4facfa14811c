/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools and depthwise convolutions by our own kernels. */
#include "lower_windows.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/depthwise_cuda.h"
#include "kernels/pool_cuda.h"
#include "kernels/reduce_cuda.h"
#include "kernels/typed_cuda.h"
#include "own.h"

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static void *data_of(const CudaRun *run, int32_t value, GpudlNhwc *nhwc)
{
    if (nhwc != NULL)
        cuda_value_nhwc(&run->program->values[value], nhwc);
    return cuda_value_data(run, value);
}

static GpudlDType dtype_of(const CudaRun *run, int32_t value)
{
    return run->program->values[value].dtype;
}

static int launch_pool(const CudaStep *s, const CudaRun *run)
{
    GpudlNhwc xs, ys;
    const void *x = data_of(run, s->x, &xs);
    void *y = data_of(run, s->y, &ys);

    return gpudl_pool_cuda((GpudlPoolKind)s->op, dtype_of(run, s->x), x, &xs, &s->window, y, &ys, run->stream);
}

static int launch_global_pool(const CudaStep *s, const CudaRun *run)
{
    GpudlNhwc xs, ys;
    const void *x = data_of(run, s->x, &xs);
    void *y = data_of(run, s->y, &ys);

    return gpudl_global_pool_cuda((GpudlPoolKind)s->op, dtype_of(run, s->x), x, &xs, y, ys.pitch, run->stream);
}

int cuda_gives_means(const CudaStep *step)
{
    return step->launch == launch_global_pool && step->op == GPUDL_POOL_AVERAGE;
}

int cuda_gives_maxima(const CudaStep *step)
{
    return step->launch == launch_pool && step->op == GPUDL_POOL_MAX;
}

static int launch_depthwise(const CudaStep *s, const CudaRun *run)
{
    const CudaConvData data = {.x = data_of(run, s->x, NULL),
                               .w = data_of(run, s->w, NULL),
                               .bias = s->bias >= 0 ? data_of(run, s->bias, NULL) : NULL,
                               .y = data_of(run, s->y, NULL)};

    return cuda_depthwise_run(&s->conv->key, &s->conv->depthwise, &s->act, &data, run->stream);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

int cuda_lower_pool(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const GpudlPoolKind kind = node->op == GPUDL_OP_MAX_POOL   ? GPUDL_POOL_MAX
                               : attrs->count_include_pad != 0 ? GPUDL_POOL_AVERAGE_PAD
                                                               : GPUDL_POOL_AVERAGE;
    GpudlNhwc xs, ys;
    CudaStep *s;
    int32_t x, y;

    if (attrs->n_spatial != 2 || node->n_outputs > 1 || !cuda_is_float(cuda_tensor(c, node->inputs[0])->dtype))
        return cuda_lower_any_pool(c, node, kind);
    x = cuda_use_nhwc(c, node->inputs[0], 0, &xs);
    y = cuda_begin_picture(c, node->outputs[0], &ys);
    s = x >= 0 && y >= 0 ? cuda_step(c, launch_pool, "pooling kernel") : NULL;
    if (s == NULL)
        return 0;
    s->op = (int)kind;
    s->window = cuda_window(attrs);
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return cuda_end_picture(c, node->outputs[0], y);
}

static int reduce(CudaCompiler *c, const GpudlPlanNode *node, GpudlReduceKind kind);

static int global_pool(CudaCompiler *c, const GpudlPlanNode *node, GpudlPoolKind kind)
{
    GpudlNhwc xs, ys;
    int32_t x = cuda_use_nhwc(c, node->inputs[0], 0, &xs), y = cuda_begin_picture(c, node->outputs[0], &ys);
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch_global_pool, "global pooling kernel") : NULL;

    if (s == NULL)
        return 0;
    s->op = (int)kind;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return cuda_end_picture(c, node->outputs[0], y);
}

int cuda_lower_global_pool(CudaCompiler *c, const GpudlPlanNode *node)
{
    if (cuda_lower_squeeze(c, node))
        return 1;
    if (c->status != GPUDL_STATUS_OK)
        return 0;
    if (cuda_tensor(c, node->inputs[0])->shape.rank != 4)
        return reduce(c, node, node->op == GPUDL_OP_GLOBAL_MAX_POOL ? GPUDL_REDUCE_MAX : GPUDL_REDUCE_MEAN);
    return global_pool(c, node, node->op == GPUDL_OP_GLOBAL_MAX_POOL ? GPUDL_POOL_MAX : GPUDL_POOL_AVERAGE);
}

/* Along any dimensions: those that y, seen with x's rank, has 1 of. */
static int launch_reduce(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);
    const GpudlShape *xs = &run->program->values[s->x].shape, *ys = &run->program->values[s->y].shape;
    int32_t axes[GPUDL_MAX_RANK], n = 0;

    for (int32_t d = 0; d < xs->rank; d++)
        if (xs->dims[d] > 1 && ys->dims[d] == 1)
            axes[n++] = d;
    if (cuda_is_integer(x.dtype)) {
        for (int32_t d = 0; d < xs->rank && n == 0; d++) /* of one element each: any of them */
            if (xs->dims[d] == 1)
                axes[n++] = d;
        return gpudl_typed_reduce_cuda(s->op, xs, &x, axes, n, &y, run->stream);
    }
    /* none: of one element each, which is a copy */
    return n > 0 ? gpudl_reduce_cuda((GpudlReduceKind)s->op, xs, &x, axes, n, &y, run->stream)
                 : gpudl_unary_cuda(GPUDL_UNARY_ACTIVATION, NULL, xs, &x, &y, run->stream);
}

static int reduce(CudaCompiler *c, const GpudlPlanNode *node, GpudlReduceKind kind)
{
    const GpudlReduceAttrs *attrs = &((const GpudlAttrs *)node->attrs)->reduce;
    const int32_t x = cuda_use(c, node->inputs[0]), y = cuda_define(c, node->outputs[0]);
    GpudlShape shape = cuda_tensor(c, node->inputs[0])->shape;
    CudaValue view;
    CudaStep *s;

    if (node->op == GPUDL_OP_GLOBAL_MAX_POOL || node->op == GPUDL_OP_GLOBAL_AVERAGE_POOL) {
        shape = cuda_tensor(c, node->outputs[0])->shape;
    } else {
        for (int i = 0; i < attrs->n_axes; i++)
            shape.dims[attrs->axes[i]] = 1;
        for (int i = 0; i < shape.rank && attrs->n_axes == 0; i++)
            shape.dims[i] = 1;
    }
    if (x < 0 || y < 0)
        return 0;
    if (!cuda_reshape_view(cuda_value(c, y), &shape, &view))
        return cuda_refuse(c, "its result lies where the kernel can't write it");
    s = cuda_step(c, launch_reduce, "reduction kernel");
    if (s == NULL)
        return 0;
    s->op = (int)kind;
    s->x = x;
    s->y = cuda_add_value(c, &view);
    if (c->status == GPUDL_STATUS_OK)
        cuda_touch(c, s);
    return c->status == GPUDL_STATUS_OK;
}

/* Over height and width: the kernel of whole planes. */
int cuda_lower_reduce(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const GpudlReduceKind kinds[GPUDL_OP_LAST + 1] = {[GPUDL_OP_REDUCE_MEAN] = GPUDL_REDUCE_MEAN,
                                                             [GPUDL_OP_REDUCE_SUM] = GPUDL_REDUCE_SUM,
                                                             [GPUDL_OP_REDUCE_MAX] = GPUDL_REDUCE_MAX,
                                                             [GPUDL_OP_REDUCE_MIN] = GPUDL_REDUCE_MIN,
                                                             [GPUDL_OP_REDUCE_PROD] = GPUDL_REDUCE_PROD};
    const GpudlReduceAttrs *attrs = &((const GpudlAttrs *)node->attrs)->reduce;
    const int spatial =
        attrs->n_axes == 2 && attrs->axes[0] + attrs->axes[1] == 5 && (attrs->axes[0] == 2 || attrs->axes[0] == 3);

    if (cuda_tensor(c, node->inputs[0])->shape.rank == 4 && spatial && node->op == GPUDL_OP_REDUCE_MEAN)
        return global_pool(c, node, GPUDL_POOL_AVERAGE);
    return reduce(c, node, kinds[node->op]);
}

static int is_packed(const CudaCompiler *c, int32_t part)
{
    return cuda_weights_find(c->weights, (int32_t)c->plan->n_tensors + c->node, part) != NULL;
}

/* [r][s][wide] of [c][1][r][s], zeros behind the channels. */
static int32_t pack_depthwise(CudaCompiler *c, int32_t tensor, int32_t channels, int32_t wide, int64_t taps)
{
    const int32_t part = wide > channels ? CUDA_PART_WIDE : CUDA_PART_WEIGHTS;
    int32_t packed = cuda_find_constant(c, part, c->dtype, wide * taps);
    const float *from;
    float *to;

    if (packed < 0 && c->status == GPUDL_STATUS_OK) {
        from = cuda_constant_data(c, tensor);
        to = from != NULL ? calloc((size_t)(wide * taps), sizeof *to) : NULL;
        for (int32_t k = 0; k < channels && to != NULL; k++)
            for (int64_t i = 0; i < taps; i++)
                to[i * wide + k] = from[k * taps + i];
        packed = cuda_add_constant(c, part, c->dtype, wide * taps, to);
    }
    if (packed >= 0)
        cuda_value(c, packed)->shape = (GpudlShape){2, {taps, wide}};
    return packed;
}

static int32_t widen_bias(CudaCompiler *c, int32_t tensor, int32_t channels, int32_t wide)
{
    const int32_t packed = cuda_find_constant(c, CUDA_PART_BIAS, GPUDL_DTYPE_F32, wide);
    const float *from;
    float *to;

    if (channels == wide)
        return cuda_use(c, tensor);
    if (packed >= 0 || c->status != GPUDL_STATUS_OK)
        return packed;
    from = cuda_constant_data(c, tensor);
    to = from != NULL ? calloc((size_t)wide, sizeof *to) : NULL;
    if (to != NULL)
        memcpy(to, from, (size_t)channels * sizeof *to);
    return cuda_add_constant(c, CUDA_PART_BIAS, GPUDL_DTYPE_F32, wide, to);
}

/* Channels of nothing cost nothing, and the kernel takes whole vectors: as many as both pictures have room for. What
 * they become is a number again. A picture may lie in another for one batch and not for the next, but weights are
 * packed once: all batches are as wide as the first one, and *x is copied where it is not. */
static int32_t widen_channels(CudaCompiler *c, int32_t tensor, int32_t *x, GpudlNhwc *xs, int32_t y,
                              const GpudlNhwc *ys)
{
    const int32_t channels = xs->c, wide = (channels + CUDA_CHANNELS - 1) / CUDA_CHANNELS * CUDA_CHANNELS;
    const int has_room = ys->pitch == wide && cuda_value(c, y)->offset % wide == 0;

    if (wide == channels || !has_room || is_packed(c, CUDA_PART_WEIGHTS))
        return channels;
    if (!is_packed(c, CUDA_PART_WIDE) && (!cuda_value(c, *x)->finite || xs->pitch < wide))
        return channels;
    *x = cuda_use_padded(c, tensor, wide, xs);
    return wide;
}

/* Bytes that a value lies at a multiple of, as far as vectors want to know. */
static int32_t alignment_of(CudaCompiler *c, int32_t value)
{
    const CudaValue *v = cuda_value(c, value);
    const uint64_t at = (uint64_t)v->offset * gpudl_dtype_size(v->dtype);
    int32_t bytes = 16;

    while (at % (uint64_t)bytes != 0)
        bytes /= 2;
    return bytes;
}

static CudaConv *add_depthwise(CudaCompiler *c, const CudaStep *s, const GpudlWindowAttrs *attrs)
{
    const int32_t x_at = alignment_of(c, s->x), y_at = alignment_of(c, s->y);
    GpudlNhwc xs, ys;
    CudaConvKey key;
    CudaConv *conv;

    cuda_value_nhwc(cuda_value(c, s->x), &xs);
    cuda_value_nhwc(cuda_value(c, s->y), &ys);
    memset(&key, 0, sizeof key);
    key.dtype = (int32_t)c->dtype;
    key.n = xs.n;
    key.c = key.k = key.groups = (int32_t)cuda_value(c, s->w)->shape.dims[1];
    key.h = xs.h;
    key.w = xs.w;
    key.r = attrs->kernel[1];
    key.s = attrs->kernel[2];
    key.p = ys.h;
    key.q = ys.w;
    for (int d = 0; d < 2; d++) {
        key.stride[d] = attrs->stride[1 + d];
        key.dilation[d] = attrs->dilation[1 + d];
        key.pad_begin[d] = attrs->pad_begin[1 + d];
        key.pad_end[d] = attrs->pad_end[1 + d];
    }
    key.x_pitch = xs.pitch;
    key.y_pitch = ys.pitch;
    key.bias = s->bias >= 0;
    cuda_conv_set_act(&key, &s->act);
    key.depthwise = x_at < y_at ? x_at : y_at;
    conv = cuda_convs_add(c->convs, &key);
    if (conv == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    return conv;
}

int cuda_lower_depthwise(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const int64_t taps = (int64_t)attrs->kernel[1] * attrs->kernel[2];
    const int has_bias = node->n_inputs > 2 && node->inputs[2] >= 0;
    const int residual = node->n_inputs > 3 && node->inputs[3] >= 0;
    GpudlNhwc xs, ys;
    const int32_t y = cuda_begin_picture(c, node->outputs[0], &ys);
    int32_t x = cuda_use_nhwc(c, node->inputs[0], 0, &xs), channels, wide, w, bias;
    CudaStep *s;

    if (x < 0 || y < 0)
        return 0;
    channels = xs.c;
    wide = widen_channels(c, node->inputs[0], &x, &xs, y, &ys);
    w = pack_depthwise(c, node->inputs[1], channels, wide, taps);
    bias = has_bias ? widen_bias(c, node->inputs[2], channels, wide) : -1;
    s = x >= 0 && w >= 0 && (!has_bias || bias >= 0) ? cuda_step(c, launch_depthwise, "depthwise kernel") : NULL;
    if (s == NULL)
        return 0;
    cuda_value(c, y)->finite = wide > channels;
    s->x = x;
    s->w = w;
    s->bias = bias;
    s->y = y;
    s->window = cuda_window(attrs);
    s->act = residual ? none : attrs->act;
    s->scratch = cuda_scratch(c, 0);
    s->conv = add_depthwise(c, s, attrs);
    if (c->status != GPUDL_STATUS_OK)
        return 0;
    cuda_touch(c, s);
    if (residual)
        cuda_finish(c, y, cuda_use(c, node->inputs[3]), &attrs->act);
    return cuda_end_picture(c, node->outputs[0], y);
}
