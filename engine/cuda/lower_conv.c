/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of products by NVIDIA's libraries or our own kernels: convolutions, and products with constant matrices as
 * convolutions of one tap. */
#include <stdlib.h>
#include <string.h>

#include "engine/module.h"
#include "lower_windows.h"
#include "lt.h"
#include "own.h"

int cuda_conv_queue(const CudaConv *conv, const CudaConvData *data, const CudaRun *run)
{
    const CudaConvKey *key = &conv->key;
    cudnnStatus_t status;

    if (conv->form == CUDA_CONV_LT) {
        const int failed = cuda_lt_run(run->device, key, &conv->lt, conv->workspace, data, run->stream);

        return failed != 0 ? CUDA_STEP_LT + failed : cuda_conv_finish(key, conv->form, data, run->stream);
    }
    if (conv->form == CUDA_CONV_GEMM)
        return cuda_gemm_run(key, &conv->gemm, data, run->stream);
    if (conv->form == CUDA_CONV_ONCE)
        return cuda_once_run(key, &conv->once, data, run->stream);
    if (conv->form == CUDA_CONV_GEMV)
        return cuda_gemv_run(key, &conv->gemv, data, run->stream);
    if (conv->form == CUDA_CONV_OWN)
        return cuda_conv_own(key, data, 0, key->n, run->stream);
    status = cuda_conv_run(run->device, run->handle, key, conv->form, conv->plan, data, run->stream);
    if (status != CUDNN_STATUS_SUCCESS)
        return CUDA_STEP_CUDNN + (int)status;
    return cuda_conv_finish(key, conv->form, data, run->stream);
}

static int launch_conv(const CudaStep *s, const CudaRun *run)
{
    const CudaConvData data = {
        .x = cuda_value_data(run, s->x),
        .w = cuda_value_data(run, s->w),
        .z = s->z >= 0 ? cuda_value_data(run, s->z) : NULL,
        .bias = s->bias >= 0 ? cuda_value_data(run, s->bias) : NULL,
        .half_bias = s->half_bias >= 0 ? cuda_value_data(run, s->half_bias) : NULL,
        .y = cuda_value_data(run, s->y),
        .workspace = run->workspace + run->program->blocks[s->scratch].offset,
    };

    return cuda_conv_queue(s->conv, &data, run);
}

/* What a product needs beside its key. n_bias values of bias and weights by (k, r, s, c) come from functions of the
 * caller. */
typedef struct {
    CudaConvKey key;
    int32_t x, z, y;
    int32_t channels, kernels; /* of the plan, without padding; per group: channels */
    GpudlAct act;
} Product;

static int32_t round_up(int32_t n)
{
    return (n + CUDA_CHANNELS - 1) / CUDA_CHANNELS * CUDA_CHANNELS;
}

/* Channels that a product computes with: whole vectors of 16 bits each, so that tensor cores take it. */
static int32_t padded(const CudaCompiler *c, int32_t channels)
{
    return c->dtype != GPUDL_DTYPE_F32 ? round_up(channels) : channels;
}

/* Float bias, and where pictures have 16 bits one of their type, with zeros behind; values NULL: packed already. */
static void add_bias(CudaCompiler *c, CudaStep *s, const Product *p, float *values)
{
    for (int part = CUDA_PART_BIAS; part <= CUDA_PART_HALF_BIAS && c->status == GPUDL_STATUS_OK; part++) {
        const GpudlDType dtype = part == CUDA_PART_BIAS ? GPUDL_DTYPE_F32 : c->dtype;
        int32_t packed;

        if (part == CUDA_PART_HALF_BIAS && c->dtype == GPUDL_DTYPE_F32)
            break;
        packed = cuda_find_constant(c, part, dtype, p->key.k);
        if (packed < 0 && c->status == GPUDL_STATUS_OK) {
            float *copy = values != NULL ? calloc((size_t)p->key.k, sizeof *copy) : NULL;

            if (copy != NULL)
                memcpy(copy, values, (size_t)p->kernels * sizeof *copy);
            packed = cuda_add_constant(c, part, dtype, p->key.k, copy);
        }
        *(part == CUDA_PART_BIAS ? &s->bias : &s->half_bias) = packed;
    }
}

/* The step; weights and bias are filled in by the caller through s, then finish_product(). */
static CudaStep *begin_product(CudaCompiler *c, Product *p)
{
    CudaStep *s = cuda_step(c, launch_conv, "cuDNN");

    if (s == NULL)
        return NULL;
    p->key.dtype = (int32_t)c->dtype;
    p->key.tf32 = c->tf32;
    cuda_conv_set_act(&p->key, &p->act);
    s->x = p->x;
    s->y = p->y;
    s->z = p->z;
    s->scratch = cuda_scratch(c, 0);
    s->conv = cuda_convs_add(c->convs, &p->key);
    if (s->conv == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    return c->status == GPUDL_STATUS_OK ? s : NULL;
}

static int finish_product(CudaCompiler *c, CudaStep *s, const Product *p)
{
    if (c->status != GPUDL_STATUS_OK)
        return 0;
    cuda_value(c, p->y)->finite = p->key.k > p->kernels && (p->z < 0 || cuda_value(c, p->z)->finite);
    cuda_touch(c, s);
    return c->status == GPUDL_STATUS_OK;
}

/* ---- convolution ------------------------------------------------------------------------------------------------- */

/* [k][r][s][c] of [k][c][r][s], zeros where the plan has nothing. */
static int32_t pack_conv(CudaCompiler *c, const Product *p, int32_t tensor)
{
    const int64_t taps = (int64_t)p->key.r * p->key.s;
    CudaPacking packing = {.kernels = p->kernels,
                           .taps = taps,
                           .channels = p->channels,
                           .strides = {p->channels * taps, 1, taps},
                           .rows = p->key.k,
                           .pitch = p->key.c / p->key.groups,
                           .dtype = c->dtype,
                           .tf32 = c->tf32,
                           .scale = 1};
    const int32_t packed =
        cuda_find_constant(c, CUDA_PART_WEIGHTS, c->dtype, packing.rows * packing.taps * packing.pitch);

    if (packed >= 0 || c->status != GPUDL_STATUS_OK)
        return packed;
    packing.from = cuda_constant_data(c, tensor);
    return packing.from != NULL ? cuda_add_packed(c, CUDA_PART_WEIGHTS, &packing) : -1;
}

static void fill_window(CudaConvKey *key, const GpudlWindowAttrs *attrs)
{
    key->r = attrs->kernel[1];
    key->s = attrs->kernel[2];
    for (int d = 0; d < 2; d++) {
        key->stride[d] = attrs->stride[1 + d];
        key->dilation[d] = attrs->dilation[1 + d];
        key->pad_begin[d] = attrs->pad_begin[1 + d];
        key->pad_end[d] = attrs->pad_end[1 + d];
    }
}

/* The residual: of the result's shape, whole pixels. */
static int use_residual(CudaCompiler *c, Product *p, int32_t tensor, int32_t output)
{
    GpudlNhwc zs;

    if (!gpudl_shape_equal(&cuda_tensor(c, tensor)->shape, &cuda_tensor(c, output)->shape))
        return cuda_refuse(c, "its residual has another shape than its result");
    p->z = cuda_use_nhwc(c, tensor, 1, &zs);
    p->key.z_pitch = zs.pitch;
    return p->z >= 0;
}

static int lower_dense(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const GpudlShape *ws = &cuda_tensor(c, node->inputs[1])->shape;
    const int has_bias = node->n_inputs > 2 && node->inputs[2] >= 0;
    Product p = {.z = -1, .channels = (int32_t)ws->dims[1], .kernels = (int32_t)ws->dims[0], .act = attrs->act};
    GpudlNhwc xs, ys;
    CudaStep *s;

    memset(&p.key, 0, sizeof p.key);
    fill_window(&p.key, attrs);
    p.x = cuda_use_nhwc(c, node->inputs[0], 1, &xs);
    if (p.x < 0)
        return 0;
    if (attrs->group == 1) { /* channels of nothing cost nothing: tensor cores take 8 at a time */
        const int32_t wanted = xs.pitch == 4 && xs.c <= 4 && cuda_value(c, p.x)->finite ? 4 : padded(c, xs.c);

        if (wanted == 4)
            xs.c = 4;
        else
            p.x = cuda_use_padded(c, node->inputs[0], wanted, &xs);
    }
    p.y = cuda_begin_picture(c, node->outputs[0], &ys);
    if (p.x < 0 || p.y < 0)
        return 0;
    if (node->n_inputs > 3 && node->inputs[3] >= 0 && !use_residual(c, &p, node->inputs[3], node->outputs[0]))
        return 0;
    p.key.groups = attrs->group;
    p.key.n = xs.n;
    p.key.c = xs.c;
    p.key.h = xs.h;
    p.key.w = xs.w;
    p.key.k = attrs->group == 1 ? padded(c, p.kernels) : p.kernels;
    p.key.p = ys.h;
    p.key.q = ys.w;
    p.key.x_pitch = xs.pitch;
    p.key.y_pitch = ys.pitch;
    p.key.bias = has_bias;
    s = begin_product(c, &p);
    if (s == NULL)
        return 0;
    s->w = pack_conv(c, &p, node->inputs[1]);
    if (has_bias) {
        const float *values = cuda_find_constant(c, CUDA_PART_BIAS, GPUDL_DTYPE_F32, p.key.k) < 0
                                  ? cuda_constant_data(c, node->inputs[2])
                                  : NULL;

        add_bias(c, s, &p, (float *)values);
    }
    return finish_product(c, s, &p) && cuda_end_picture(c, node->outputs[0], p.y);
}

static int is_f32_constant(const CudaCompiler *c, int32_t tensor)
{
    return cuda_is_constant(c, tensor) && cuda_tensor(c, tensor)->dtype == GPUDL_DTYPE_F32;
}

int cuda_lower_conv(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const GpudlShape *ws = &cuda_tensor(c, node->inputs[1])->shape, *xs = &cuda_tensor(c, node->inputs[0])->shape;

    if (attrs->n_spatial != 2 || !is_f32_constant(c, node->inputs[1]) ||
        (node->n_inputs > 2 && node->inputs[2] >= 0 && !is_f32_constant(c, node->inputs[2])))
        return cuda_lower_any_conv(c, node);
    if (attrs->group > 1 && attrs->group == xs->dims[1] && attrs->group == ws->dims[0] && c->dtype != GPUDL_DTYPE_F32)
        return cuda_lower_depthwise(c, node);
    return lower_dense(c, node);
}

/* ---- products of matrices ---------------------------------------------------------------------------------------- */

/* [k][c] of b, which is [c][k] or, transposed, [k][c]; times alpha. turned: pixels that columns lie by, then by
 * channels; 0: as they are. */
static int32_t pack_matrix(CudaCompiler *c, const Product *p, int32_t tensor, int transposed, float alpha,
                           int32_t turned)
{
    const int64_t column = transposed ? 1 : p->kernels, pixels = turned > 0 ? turned : 1;
    const int32_t part = turned > 0 ? CUDA_PART_TURNED : CUDA_PART_WEIGHTS;
    CudaPacking packing = {.kernels = p->kernels,
                           .taps = pixels,
                           .channels = p->channels / pixels,
                           .strides = {transposed ? p->channels : 1, column, pixels * column},
                           .rows = p->key.k,
                           .pitch = p->key.c / pixels,
                           .dtype = c->dtype,
                           .tf32 = c->tf32,
                           .scale = alpha};
    const int32_t packed = cuda_find_constant(c, part, c->dtype, packing.rows * pixels * packing.pitch);

    if (packed >= 0 || c->status != GPUDL_STATUS_OK)
        return packed;
    packing.from = cuda_constant_data(c, tensor);
    return packing.from != NULL ? cuda_add_packed(c, part, &packing) : -1;
}

/* beta * c as [kernels] on the host; c has one row. NULL after a failure. */
static float *make_bias(CudaCompiler *c, const Product *p, int32_t tensor, float beta)
{
    const int64_t n = gpudl_shape_elements(&cuda_tensor(c, tensor)->shape);
    const float *from = cuda_constant_data(c, tensor);
    float *to;

    if (from == NULL)
        return NULL;
    to = malloc((size_t)p->kernels * sizeof *to);
    if (to == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    for (int32_t k = 0; k < p->kernels && to != NULL; k++)
        to[k] = beta * from[n == 1 ? 0 : k];
    return to;
}

/* A tensor of any rank as rows of whole vectors, zeros behind; copied where it does not lie so. */
static int32_t use_rows(CudaCompiler *c, int32_t tensor, const GpudlShape *rows, int32_t channels, GpudlNhwc *xs)
{
    int32_t value = cuda_use(c, tensor), copy;
    CudaValue view;

    if (value < 0)
        return -1;
    if (!cuda_reshape_view(cuda_value(c, value), rows, &view)) {
        copy = cuda_temporary(c, c->dtype, &cuda_tensor(c, tensor)->shape, 0);
        cuda_copy(c, value, copy);
        if (copy < 0 || !cuda_reshape_view(cuda_value(c, copy), rows, &view))
            return -1;
    }
    value = cuda_add_value(c, &view);
    if (value < 0)
        return -1;
    if (cuda_value_nhwc(&view, xs) && view.dtype == c->dtype && xs->c == channels && xs->pitch % CUDA_CHANNELS == 0 &&
        view.offset % CUDA_CHANNELS == 0)
        return value;
    copy = cuda_temporary(c, c->dtype, rows, 1);
    if (copy < 0)
        return -1;
    if (rows->dims[1] != channels)
        cuda_clear(c, copy);
    cuda_copy(c, value, copy);
    cuda_value_nhwc(cuda_value(c, copy), xs);
    xs->c = channels;
    return copy;
}

/* The result's rows: its own memory where it has rank 2, else rows that it is a view of. */
static int32_t define_rows(CudaCompiler *c, int32_t tensor, const GpudlShape *rows)
{
    const int32_t y = cuda_temporary(c, c->dtype, rows, 1);
    CudaValue view;

    if (y < 0)
        return -1;
    if (!cuda_reshape_view(cuda_value(c, y), &cuda_tensor(c, tensor)->shape, &view)) {
        cuda_refuse(c, "its result has a shape that rows can't be seen in");
        return -1;
    }
    cuda_define_view(c, tensor, &view);
    return y;
}

/* Whether a constant matrix, as the kernels of a convolution, does it: to rows of the first operand, which are its
 * pixels, one constant row being added. */
static int is_product_of_rows(const CudaCompiler *c, const GpudlPlanNode *node, const GpudlGemmAttrs *attrs,
                              int32_t bias)
{
    const GpudlShape *as = &cuda_tensor(c, node->inputs[0])->shape, *bs = &cuda_tensor(c, node->inputs[1])->shape;
    const GpudlShape *cs = bias >= 0 ? &cuda_tensor(c, bias)->shape : NULL;
    const int64_t n = cs != NULL ? gpudl_shape_elements(cs) : 1;

    if (as->rank < 2 || bs->rank != 2 || attrs->trans_a || !is_f32_constant(c, node->inputs[1]) ||
        !cuda_is_float(cuda_tensor(c, node->inputs[0])->dtype) ||
        (as->rank > 2 && c->targets[node->outputs[0]].concat >= 0))
        return 0;
    return cs == NULL || (is_f32_constant(c, bias) &&
                          (n == 1 || (n == bs->dims[attrs->trans_b ? 0 : 1] && cs->dims[cs->rank - 1] == n)));
}

int cuda_is_product_of_rows(const CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlGemmAttrs *attrs = &((const GpudlAttrs *)node->attrs)->gemm;

    return is_product_of_rows(c, node, attrs, node->n_inputs > 2 && attrs->beta != 0 ? node->inputs[2] : -1);
}

static int lower_product(CudaCompiler *c, const GpudlPlanNode *node, const GpudlGemmAttrs *attrs)
{
    const GpudlShape *bs = &cuda_tensor(c, node->inputs[1])->shape, *as = &cuda_tensor(c, node->inputs[0])->shape;
    const int32_t bias = node->n_inputs > 2 && attrs->beta != 0 ? node->inputs[2] : -1;
    Product p = {.z = -1, .act = attrs->act};
    GpudlShape rows = {2, {0}};
    GpudlNhwc xs, ys;
    CudaStep *s;

    if (!is_product_of_rows(c, node, attrs, bias))
        return cuda_lower_any_product(c, node, attrs);
    p.channels = (int32_t)as->dims[as->rank - 1];
    rows.dims[0] = gpudl_shape_elements(as) / p.channels;
    rows.dims[1] = p.channels;
    p.kernels = (int32_t)(attrs->trans_b ? bs->dims[0] : bs->dims[1]);
    memset(&p.key, 0, sizeof p.key);
    if (as->rank == 2) {
        p.x = cuda_use_padded(c, node->inputs[0], padded(c, p.channels), &xs);
        p.y = cuda_define(c, node->outputs[0]);
    } else {
        p.x = use_rows(c, node->inputs[0], &rows, padded(c, p.channels), &xs);
        rows.dims[1] = p.kernels;
        p.y = define_rows(c, node->outputs[0], &rows);
    }
    if (p.x < 0 || p.y < 0)
        return 0;
    if (!cuda_value_nhwc(cuda_value(c, p.y), &ys))
        return cuda_refuse(c, "its result lies where cuDNN can't write it");
    p.key = (CudaConvKey){.n = xs.n,
                          .c = xs.c,
                          .h = 1,
                          .w = 1,
                          .k = padded(c, p.kernels),
                          .r = 1,
                          .s = 1,
                          .p = 1,
                          .q = 1,
                          .groups = 1,
                          .stride = {1, 1},
                          .dilation = {1, 1},
                          .x_pitch = xs.pitch,
                          .y_pitch = ys.pitch,
                          .bias = bias >= 0};
    s = begin_product(c, &p);
    if (s == NULL)
        return 0;
    s->w = pack_matrix(c, &p, node->inputs[1], attrs->trans_b, attrs->alpha, c->turned[node->inputs[0]]);
    if (bias >= 0) {
        const int known = cuda_find_constant(c, CUDA_PART_BIAS, GPUDL_DTYPE_F32, p.key.k) >= 0;
        float *values = known ? NULL : make_bias(c, &p, bias, attrs->beta);

        add_bias(c, s, &p, values);
        free(values);
    }
    return finish_product(c, s, &p);
}

int cuda_lower_gemm(CudaCompiler *c, const GpudlPlanNode *node)
{
    return lower_product(c, node, &((const GpudlAttrs *)node->attrs)->gemm);
}

int cuda_lower_matmul(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const GpudlGemmAttrs attrs = {.alpha = 1, .beta = 0};

    return lower_product(c, node, &attrs);
}
