/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cache.h"
#include "fence.h"
#include "kernels/elementwise_cuda.h"

/* Names of tensors in a graph. */
enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_Z, UID_SHIFT, UID_SCALE, UID_VIRTUAL = 100 };

#define MOST_DESCRIPTORS 40
#define MOST_CONFIGS 24

/* A graph under construction: its descriptors, and the first thing that went wrong. */
typedef struct {
    const CudaCudnn *cudnn;
    cudnnBackendDescriptor_t all[MOST_DESCRIPTORS], ops[8];
    int n, n_ops, left; /* left: operations to come, the last of which writes y */
    int64_t next_uid;
    cudnnStatus_t status;
} Graph;

static cudnnBackendDescriptor_t create(Graph *g, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;

    if (g->status == CUDNN_STATUS_SUCCESS)
        g->status =
            g->n < MOST_DESCRIPTORS ? g->cudnn->create_descriptor(type, &descriptor) : CUDNN_STATUS_INTERNAL_ERROR;
    if (descriptor != NULL)
        g->all[g->n++] = descriptor;
    return descriptor;
}

static void set(Graph *g, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (g->status == CUDNN_STATUS_SUCCESS)
        g->status = g->cudnn->set_attribute(descriptor, name, type, count, values);
}

static void finalize(Graph *g, cudnnBackendDescriptor_t descriptor)
{
    if (g->status == CUDNN_STATUS_SUCCESS)
        g->status = g->cudnn->finalize(descriptor);
}

static void set_descriptor(Graph *g, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                           cudnnBackendDescriptor_t value)
{
    set(g, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void clear(Graph *g)
{
    while (g->n > 0)
        g->cudnn->destroy_descriptor(g->all[--g->n]);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* dims are n, c, h, w; uid 0: a virtual one. */
static cudnnBackendDescriptor_t tensor(Graph *g, int64_t uid, cudnnDataType_t type, const int64_t dims[4],
                                       int64_t pitch)
{
    const int64_t strides[4] = {dims[2] * dims[3] * pitch, 1, dims[3] * pitch, pitch};
    const int64_t alignment = 16; /* of the first pixel */
    const bool is_virtual = uid == 0;
    cudnnBackendDescriptor_t t = create(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    if (is_virtual)
        uid = g->next_uid++;
    set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finalize(g, t);
    return t;
}

/* One float that comes with each run. */
static cudnnBackendDescriptor_t scalar(Graph *g, int64_t uid)
{
    const int64_t ones[4] = {1, 1, 1, 1}, alignment = 4;
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const bool by_value = true;
    cudnnBackendDescriptor_t t = create(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, ones);
    set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, ones);
    set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    finalize(g, t);
    return t;
}

static cudnnDataType_t picture_type(const CudaConvKey *key)
{
    return key->dtype == GPUDL_DTYPE_F16    ? CUDNN_DATA_HALF
           : key->dtype == GPUDL_DTYPE_BF16 ? CUDNN_DATA_BFLOAT16
                                            : CUDNN_DATA_FLOAT;
}

/* What the next operation writes: a virtual tensor, or y if it is the last. */
static cudnnBackendDescriptor_t result(Graph *g, const CudaConvKey *key)
{
    const int64_t dims[4] = {key->n, key->k, key->p, key->q};

    return --g->left > 0 ? tensor(g, 0, CUDNN_DATA_FLOAT, dims, key->y_pitch)
                         : tensor(g, UID_Y, picture_type(key), dims, key->y_pitch);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t convolution(Graph *g, const CudaConvKey *key)
{
    const int64_t x_dims[4] = {key->n, key->c, key->h, key->w};
    const int64_t w_dims[4] = {key->k, key->c / key->groups, key->r, key->s};
    const int64_t spatial = 2, stride[2] = {key->stride[0], key->stride[1]},
                  dilation[2] = {key->dilation[0], key->dilation[1]},
                  before[2] = {key->pad_begin[0], key->pad_begin[1]}, after[2] = {key->pad_end[0], key->pad_end[1]};
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t x = tensor(g, UID_X, picture_type(key), x_dims, key->x_pitch);
    cudnnBackendDescriptor_t w = tensor(g, UID_W, picture_type(key), w_dims, w_dims[1]);
    cudnnBackendDescriptor_t y = result(g, key), d = create(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), op;

    set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
    set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    finalize(g, d);
    op = create(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, d);
    set(g, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    set(g, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    finalize(g, op);
    g->ops[g->n_ops++] = op;
    return y;
}

/* result = mode(x, b), b NULL for one operand; clip 0: none. */
static cudnnBackendDescriptor_t pointwise(Graph *g, const CudaConvKey *key, cudnnPointwiseMode_t mode,
                                          cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b, double clip)
{
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
    const double zero = 0;
    cudnnBackendDescriptor_t d = create(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op, y;

    set(g, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(g, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    if (clip > 0) {
        set(g, d, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1, &zero);
        set(g, d, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &clip);
    }
    if (mode == CUDNN_POINTWISE_RELU_FWD && g->status == CUDNN_STATUS_SUCCESS)
        /* its default is not to carry NaN on; what a plan makes of it is tried in any case (trial.h) */
        g->cudnn->set_attribute(d, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan);
    finalize(g, d);
    y = result(g, key);
    op = create(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, d);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != NULL)
        set_descriptor(g, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_descriptor(g, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finalize(g, op);
    g->ops[g->n_ops++] = op;
    return y;
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

void cuda_conv_set_act(CudaConvKey *key, const GpudlAct *act)
{
    const int has_alpha =
        act->kind == GPUDL_ACT_CLIP || act->kind == GPUDL_ACT_LEAKY_RELU || act->kind == GPUDL_ACT_HARD_SIGMOID;

    key->act = (int32_t)act->kind;
    key->alpha = has_alpha ? act->alpha : 0;
    key->beta = has_alpha && act->kind != GPUDL_ACT_LEAKY_RELU ? act->beta : 0;
}

GpudlAct cuda_conv_act(const CudaConvKey *key)
{
    return (GpudlAct){(GpudlActKind)key->act, key->alpha, key->beta};
}

/* Further ones, in several operations or of few engines: beside them the convolution without it is tried. */
static int is_composed(const CudaConvKey *key)
{
    return key->act == GPUDL_ACT_HARD_SWISH || key->act == GPUDL_ACT_HARD_SIGMOID || key->act == GPUDL_ACT_GELU ||
           key->act == GPUDL_ACT_GELU_TANH;
}

int cuda_conv_leaves_act(const CudaConvKey *key, CudaConvForm form)
{
    if (key->act == GPUDL_ACT_NONE || form == CUDA_CONV_BARE)
        return 0;
    if (form == CUDA_CONV_RESIDUAL_FIRST || form == CUDA_CONV_LT)
        return key->act != GPUDL_ACT_RELU;
    return form == CUDA_CONV_BIAS_FIRST && !cuda_conv_fuses(key) && !is_composed(key);
}

static cudnnPointwiseMode_t act_mode(int32_t act)
{
    switch (act) {
    case GPUDL_ACT_SIGMOID:
        return CUDNN_POINTWISE_SIGMOID_FWD;
    case GPUDL_ACT_SILU:
        return CUDNN_POINTWISE_SWISH_FWD;
    case GPUDL_ACT_GELU:
        return CUDNN_POINTWISE_GELU_FWD;
    case GPUDL_ACT_GELU_TANH:
        return CUDNN_POINTWISE_GELU_APPROX_TANH_FWD;
    case GPUDL_ACT_NONE:
        return CUDNN_POINTWISE_IDENTITY;
    default:
        return CUDNN_POINTWISE_RELU_FWD;
    }
}

/* What the operations of one that has constants are given for them. */
static float shift_of(const CudaConvKey *key)
{
    return key->act == GPUDL_ACT_HARD_SWISH ? 3.f : key->beta;
}

static float scale_of(const CudaConvKey *key)
{
    return key->act == GPUDL_ACT_HARD_SWISH ? 1.f / 6.f : key->alpha;
}

static int has_constants(const CudaConvKey *key)
{
    return key->act == GPUDL_ACT_HARD_SWISH || key->act == GPUDL_ACT_HARD_SIGMOID;
}

static int operations_of(int32_t act)
{
    return act == GPUDL_ACT_NONE ? 0 : act == GPUDL_ACT_HARD_SWISH ? 4 : act == GPUDL_ACT_HARD_SIGMOID ? 3 : 1;
}

static void activation(Graph *g, const CudaConvKey *key, cudnnBackendDescriptor_t x)
{
    cudnnBackendDescriptor_t at = x, shift, scale;

    if (!has_constants(key)) {
        pointwise(g, key, act_mode(key->act), x, NULL, key->act == GPUDL_ACT_CLIP ? (double)key->beta : 0);
        return;
    }
    shift = scalar(g, UID_SHIFT);
    scale = scalar(g, UID_SCALE);
    if (key->act == GPUDL_ACT_HARD_SIGMOID) {
        at = pointwise(g, key, CUDNN_POINTWISE_MUL, at, scale, 0);
        at = pointwise(g, key, CUDNN_POINTWISE_ADD, at, shift, 0);
        pointwise(g, key, CUDNN_POINTWISE_RELU_FWD, at, NULL, 1);
        return;
    }
    at = pointwise(g, key, CUDNN_POINTWISE_ADD, at, shift, 0);
    at = pointwise(g, key, CUDNN_POINTWISE_RELU_FWD, at, NULL, 6);
    at = pointwise(g, key, CUDNN_POINTWISE_MUL, at, scale, 0);
    pointwise(g, key, CUDNN_POINTWISE_MUL, at, x, 0);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* The precompiled kernels take a bias of the pictures' type behind the residual, and relu or nothing. */
int cuda_conv_has_form(const CudaConvKey *key, CudaConvForm form)
{
    if (key->depthwise != 0 || cuda_conv_is_fused(key)) /* weights lie otherwise, or it is more than a convolution */
        return 0;
    return form != CUDA_CONV_RESIDUAL_FIRST ||
           (key->bias && cuda_conv_rounds_bias_well(key) &&
            (key->act == GPUDL_ACT_NONE || key->act == GPUDL_ACT_RELU || !cuda_conv_fuses(key)));
}

/* The operation graph, or NULL. */
static cudnnBackendDescriptor_t build(Graph *g, cudnnHandle_t handle, const CudaConvKey *key, CudaConvForm form)
{
    const int64_t y_dims[4] = {key->n, key->k, key->p, key->q}, bias_dims[4] = {1, key->k, 1, 1};
    const int bias = form != CUDA_CONV_BARE && key->bias, residual = form != CUDA_CONV_BARE && key->z_pitch > 0;
    const int act = form != CUDA_CONV_BARE && key->act != GPUDL_ACT_NONE && !cuda_conv_leaves_act(key, form);
    const int first = form == CUDA_CONV_RESIDUAL_FIRST;
    cudnnBackendDescriptor_t at, graph;

    g->left = 1 + bias + residual + (act ? operations_of(key->act) : 0);
    g->next_uid = UID_VIRTUAL;
    at = convolution(g, key);
    for (int turn = 0; turn < 2; turn++) {
        if (residual && turn == !first)
            at = pointwise(g, key, CUDNN_POINTWISE_ADD, at, tensor(g, UID_Z, picture_type(key), y_dims, key->z_pitch),
                           0);
        else if (bias && turn == first)
            at = pointwise(g, key, CUDNN_POINTWISE_ADD, at,
                           tensor(g, UID_BIAS, first ? picture_type(key) : CUDNN_DATA_FLOAT, bias_dims, key->k), 0);
    }
    if (act)
        activation(g, key, at);
    graph = create(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_ops, g->ops);
    set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    finalize(g, graph);
    return g->status == CUDNN_STATUS_SUCCESS ? graph : NULL;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* The engine's number; FALSE if it computes less exactly than the problem wants. */
static int is_exact(const CudaCudnn *cudnn, cudnnBackendDescriptor_t config, const CudaConvKey *key, int64_t *engine)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0;
    int exact = 1;

    *engine = -1;
    if (cudnn->create_descriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &descriptor) != CUDNN_STATUS_SUCCESS)
        return 0;
    if (cudnn->get_attribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &descriptor) ==
        CUDNN_STATUS_SUCCESS) {
        cudnn->get_attribute(descriptor, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, engine);
        n = 0;
        cudnn->get_attribute(descriptor, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                             CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes);
    }
    cudnn->destroy_descriptor(descriptor);
    for (int64_t i = 0; i < n && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
        if (notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
            notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13 ||
            (!cuda_conv_is_narrow(key) && !key->tf32 &&
             (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)))
            exact = 0;
    return exact;
}

static int add_plan(const CudaCudnn *cudnn, cudnnHandle_t handle, cudnnBackendDescriptor_t config, CudaConvPlan *out)
{
    cudnnBackendDescriptor_t plan = NULL;
    int64_t n = 0;

    if (cudnn->create_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) != CUDNN_STATUS_SUCCESS)
        return 0;
    if (cudnn->set_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                             &config) != CUDNN_STATUS_SUCCESS ||
        cudnn->set_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) !=
            CUDNN_STATUS_SUCCESS ||
        cudnn->finalize(plan) != CUDNN_STATUS_SUCCESS ||
        cudnn->get_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                             &out->workspace) != CUDNN_STATUS_SUCCESS) {
        cudnn->destroy_descriptor(plan);
        return 0;
    }
    out->plan = plan;
    return 1;
}

/* What cuDNN recommends for a graph in one mode. */
static int recommended(const CudaCudnn *cudnn, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode,
                       cudnnBackendDescriptor_t *configs)
{
    cudnnBackendDescriptor_t heuristic = NULL;
    int64_t n = 0;
    int made = 0;

    if (cudnn->create_descriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic) != CUDNN_STATUS_SUCCESS)
        return 0;
    if (cudnn->set_attribute(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                             &graph) == CUDNN_STATUS_SUCCESS &&
        cudnn->set_attribute(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) ==
            CUDNN_STATUS_SUCCESS &&
        cudnn->finalize(heuristic) == CUDNN_STATUS_SUCCESS) {
        while (made < MOST_CONFIGS &&
               cudnn->create_descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]) == CUDNN_STATUS_SUCCESS)
            made++;
        if (cudnn->get_attribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &n,
                                 configs) != CUDNN_STATUS_SUCCESS)
            n = 0;
        if (n > made)
            n = made;
        while (made > n)
            cudnn->destroy_descriptor(configs[--made]);
    }
    cudnn->destroy_descriptor(heuristic);
    return made;
}

int cuda_conv_plans(const CudaDevice *device, cudnnHandle_t handle, const CudaConvKey *key, CudaConvForm form, int slow,
                    CudaConvPlan *plans, int room)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    static const char *const letters[] = {"half", "float", "bare"};
    const CudaCudnn *cudnn = device->cudnn;
    Graph g = {.cudnn = cudnn};
    cudnnBackendDescriptor_t graph = cuda_conv_has_form(key, form) ? build(&g, handle, key, form) : NULL;
    int n = 0;

    for (int m = 0; m < (slow ? 2 : 1) && graph != NULL; m++) {
        cudnnBackendDescriptor_t configs[MOST_CONFIGS];
        int n_configs = recommended(cudnn, graph, modes[m], configs);

        for (int i = 0; i < n_configs; i++) {
            int64_t engine = -1;

            if (n < room && is_exact(cudnn, configs[i], key, &engine) &&
                add_plan(cudnn, handle, configs[i], &plans[n])) {
                plans[n].form = form;
                snprintf(plans[n].name, sizeof plans[n].name, "cuDNN engine %d, %s%s", (int)engine, letters[form],
                         cuda_conv_leaves_act(key, form) ? ", own act" : " bias");
                n++;
            }
            cudnn->destroy_descriptor(configs[i]);
        }
    }
    clear(&g);
    return n;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

char *cuda_conv_plan_save(const CudaDevice *device, cudnnBackendDescriptor_t plan, size_t *bytes)
{
    const CudaCudnn *cudnn = device->cudnn;
    int64_t n = 0, got = 0;
    char *text;

    if (cudnn->get_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &n, NULL) !=
            CUDNN_STATUS_SUCCESS ||
        n <= 0)
        return NULL;
    text = malloc((size_t)n);
    if (text != NULL && cudnn->get_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n,
                                             &got, text) != CUDNN_STATUS_SUCCESS) {
        free(text);
        text = NULL;
    }
    *bytes = (size_t)(got > 0 && got < n ? got : n);
    return text;
}

int cuda_conv_plan_load(const CudaDevice *device, cudnnHandle_t handle, const char *text, size_t bytes,
                        CudaConvPlan *out)
{
    const CudaCudnn *cudnn = device->cudnn;
    cudnnBackendDescriptor_t plan = NULL;
    int64_t n = 0;

    if (cudnn->create_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) != CUDNN_STATUS_SUCCESS)
        return 0;
    if (cudnn->set_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) !=
            CUDNN_STATUS_SUCCESS ||
        cudnn->set_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)bytes,
                             text) != CUDNN_STATUS_SUCCESS ||
        cudnn->finalize(plan) != CUDNN_STATUS_SUCCESS ||
        cudnn->get_attribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                             &out->workspace) != CUDNN_STATUS_SUCCESS ||
        out->workspace < 0) {
        cudnn->destroy_descriptor(plan);
        return 0;
    }
    out->plan = plan;
    return 1;
}

void cuda_conv_key_text(const CudaConvKey *key, char *text, size_t room)
{
    char clip[GPUDL_CACHE_NUMBER], numbers[4][GPUDL_CACHE_NUMBER];
    int n;

    n = snprintf(
        text, room,
        "conv %s%s x %dx%dx%dx%d:%lld w %dx%dx%d groups %d y %dx%d:%lld z %lld stride %d %d dilation %d %d pads %d "
        "%d %d %d bias %d act %d clip %s%s%s",
        key->dtype == GPUDL_DTYPE_F16    ? "fp16"
        : key->dtype == GPUDL_DTYPE_BF16 ? "bf16"
                                         : "fp32",
        key->tf32 ? " tf32" : "", key->n, key->h, key->w, key->c, (long long)key->x_pitch, key->k, key->r, key->s,
        key->groups, key->p, key->q, (long long)key->y_pitch, (long long)key->z_pitch, key->stride[0], key->stride[1],
        key->dilation[0], key->dilation[1], key->pad_begin[0], key->pad_begin[1], key->pad_end[0], key->pad_end[1],
        key->bias, key->act, gpudl_cache_number(key->beta, clip), key->alpha != 0 ? " alpha " : "",
        key->alpha != 0 ? gpudl_cache_number(key->alpha, numbers[0]) : "");
    if (key->depthwise != 0 && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, " depthwise at %d bytes", key->depthwise);
    if (key->hidden != 0 && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, " block of %d%s acts %d %s %s %d %s %s", key->hidden,
                 key->expands ? "" : " given", key->inner_act[0], gpudl_cache_number(key->inner_alpha[0], numbers[0]),
                 gpudl_cache_number(key->inner_beta[0], numbers[1]), key->inner_act[1],
                 gpudl_cache_number(key->inner_alpha[1], numbers[2]),
                 gpudl_cache_number(key->inner_beta[1], numbers[3]));
    if (key->means != 0 && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, " of means");
    if (key->pooled != 0 && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, " pooled %d %d", key->pool_pad[0], key->pool_pad[1]);
    if (key->siblings != 0 && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, " siblings");
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

cudnnStatus_t cuda_conv_run(const CudaDevice *device, cudnnHandle_t handle, const CudaConvKey *key, CudaConvForm form,
                            cudnnBackendDescriptor_t plan, const CudaConvData *data, cudaStream_t stream)
{
    const float shift = shift_of(key), scale = scale_of(key); /* read while the plan is queued */
    int64_t ids[7] = {UID_X, UID_W, UID_Y};
    const void *addresses[7] = {data->x, data->w, data->y};
    int64_t n = 3;
    Graph g = {.cudnn = device->cudnn};
    cudnnBackendDescriptor_t variant = create(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

    if (form != CUDA_CONV_BARE && key->bias) {
        ids[n] = UID_BIAS;
        addresses[n++] = form == CUDA_CONV_RESIDUAL_FIRST && cuda_conv_is_narrow(key) ? data->half_bias : data->bias;
    }
    if (form != CUDA_CONV_BARE && key->z_pitch > 0) {
        ids[n] = UID_Z;
        addresses[n++] = data->z;
    }
    if (form == CUDA_CONV_BIAS_FIRST && has_constants(key)) {
        ids[n] = UID_SHIFT;
        addresses[n++] = &shift;
        ids[n] = UID_SCALE;
        addresses[n++] = &scale;
    }
    set(&g, variant, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids);
    set(&g, variant, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, addresses);
    set(&g, variant, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &data->workspace);
    finalize(&g, variant);
    if (g.status == CUDNN_STATUS_SUCCESS && cuda_fence(device, stream) != cudaSuccess)
        g.status = CUDNN_STATUS_EXECUTION_FAILED;
    if (g.status == CUDNN_STATUS_SUCCESS)
        g.status = g.cudnn->execute(handle, plan, variant);
    clear(&g);
    return g.status;
}

int cuda_conv_finish(const CudaConvKey *key, CudaConvForm form, const CudaConvData *data, cudaStream_t stream)
{
    const GpudlDType dtype = (GpudlDType)key->dtype;
    const int64_t pixels = (int64_t)key->n * key->p * key->q;
    const GpudlShape shape = {2, {pixels, key->k}};
    const GpudlAct act = cuda_conv_act(key);
    const GpudlStrided y = {dtype, data->y, {key->y_pitch, 1}};
    const GpudlStrided z = {dtype, (void *)data->z, {key->z_pitch, 1}};
    const GpudlStrided bias = {GPUDL_DTYPE_F32, (void *)data->bias, {0, 1}};
    const int bare = form == CUDA_CONV_BARE, has_bias = bare && key->bias, has_z = bare && key->z_pitch > 0;

    if (!has_bias && !has_z && !cuda_conv_leaves_act(key, form) && (!bare || key->act == GPUDL_ACT_NONE))
        return GPUDL_KERNEL_OK;
    return gpudl_affine_cuda(&act, &shape, &y, NULL, has_bias ? &bias : NULL, has_z ? &z : NULL, &y, stream);
}
