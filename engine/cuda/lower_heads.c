/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Softmax, and the network's ends: outputs as dense float32, and after the activation. */
#include "kernels/classify_cuda.h"
#include "kernels/softmax_cuda.h"
#include "lower.h"

/* Rows of x become rows of y, dense float32. */
static int launch_classify(const CudaStep *s, const CudaRun *run)
{
    const CudaProgram *p = run->program;
    const CudaValue *x = &p->values[s->x];

    return gpudl_classify_cuda((GpudlClassifyKind)s->op, x->dtype, cuda_value_data(run, s->x), x->strides[0],
                               (int32_t)x->shape.dims[0], (int32_t)x->shape.dims[1], cuda_value_data(run, s->y),
                               (GpudlClassifyPair *)(run->workspace + p->blocks[s->scratch].offset), run->stream);
}

/* x is [rows][classes], classes next to one another. */
static void classify(CudaCompiler *c, GpudlClassifyKind kind, int32_t x, int32_t y)
{
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch_classify, "classification kernel") : NULL;

    if (s == NULL)
        return;
    s->op = (int)kind;
    s->x = x;
    s->y = y;
    s->scratch =
        cuda_scratch(c, (uint64_t)cuda_value(c, x)->shape.dims[0] * GPUDL_CLASSIFY_BEST * sizeof(GpudlClassifyPair));
    if (c->status == GPUDL_STATUS_OK)
        cuda_touch(c, s);
}

/* A value as rows, or -1 where its strides are no rows. */
static int32_t as_rows(CudaCompiler *c, int32_t value, int64_t rows, int64_t classes)
{
    const GpudlShape shape = {2, {rows, classes}};
    CudaValue view;

    if (value < 0 || !cuda_reshape_view(cuda_value(c, value), &shape, &view) || (classes > 1 && view.strides[1] != 1) ||
        (rows > 1 && view.strides[0] < classes))
        return -1;
    if (rows == 1)
        view.strides[0] = classes;
    return cuda_add_value(c, &view);
}

/* Along any dimensions. */
static int launch_softmax(const CudaStep *s, const CudaRun *run)
{
    const GpudlAxisAttrs *attrs = &((const GpudlAttrs *)run->program->plan->nodes[s->node].attrs)->axis;
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_softmax_cuda((GpudlSoftmaxKind)s->op, &run->program->values[s->y].shape, &x, attrs->axis,
                              attrs->flatten, &y, run->stream);
}

static int lower_any_softmax(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t x = cuda_use(c, node->inputs[0]), y = cuda_define_like(c, node->outputs[0], x);
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch_softmax, "softmax kernel") : NULL;

    if (s == NULL)
        return 0;
    s->op = node->op == GPUDL_OP_LOG_SOFTMAX ? (int)GPUDL_LOG_SOFTMAX : (int)GPUDL_SOFTMAX;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

/* The frames' classes by the kernel of heads, in float32; all else by one that takes any layout. */
int cuda_lower_softmax(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlAxisAttrs *attrs = &((const GpudlAttrs *)node->attrs)->axis;
    const GpudlShape *shape = &cuda_tensor(c, node->inputs[0])->shape;
    const int end = attrs->flatten ? shape->rank : attrs->axis + 1;
    int64_t rows = 1, classes = 1, behind = 1;
    int32_t x, view, y;

    for (int i = 0; i < shape->rank; i++)
        *(i >= end ? &behind : i < attrs->axis ? &rows : &classes) *= shape->dims[i];
    if (node->op == GPUDL_OP_LOG_SOFTMAX || behind != 1 || rows != c->plan->batch || classes > GPUDL_CLASSIFY_CLASSES)
        return lower_any_softmax(c, node);
    x = cuda_use(c, node->inputs[0]);
    view = as_rows(c, x, rows, classes);
    if (view < 0 && x >= 0) {
        const int32_t dense = cuda_temporary(c, GPUDL_DTYPE_F32, shape, 0);

        cuda_copy(c, x, dense);
        view = as_rows(c, dense, rows, classes);
    }
    y = cuda_define_dense(c, node->outputs[0]);
    classify(c, GPUDL_CLASSIFY_SOFTMAX, view, y);
    return c->status == GPUDL_STATUS_OK;
}

/* ---- heads ------------------------------------------------------------------------------------------------------- */

static int is_dense(const CudaValue *v)
{
    int64_t n = 1;

    for (int i = v->shape.rank - 1; i >= 0; n *= v->shape.dims[i--])
        if (v->shape.dims[i] != 1 && v->strides[i] != n)
            return 0;
    return v->dtype == GPUDL_DTYPE_F32 && v->offset == 0;
}

/* Scores of one head, from the tensor as it lies. */
static void lower_scores(CudaCompiler *c, int32_t tensor, int32_t x, uint64_t offset)
{
    const GpudlShape *shape = &cuda_tensor(c, tensor)->shape;
    const int64_t all = gpudl_shape_elements(shape), frames = c->plan->batch, classes = all / frames;
    const int32_t y = cuda_pinned(c, shape, offset);
    int32_t rows;

    if (c->activation == GPUDL_ACTIVATION_NONE || x < 0) {
        cuda_copy(c, x, y);
        return;
    }
    if (classes > GPUDL_CLASSIFY_CLASSES || classes * frames != all) {
        cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED,
                           "output '%s' has %lld values, expected at most %d for an activation",
                           cuda_tensor(c, tensor)->name, (long long)classes, GPUDL_CLASSIFY_CLASSES);
        return;
    }
    rows = as_rows(c, x, frames, classes);
    if (rows < 0) {
        const int32_t dense = cuda_temporary(c, GPUDL_DTYPE_F32, shape, 0);

        cuda_copy(c, x, dense);
        rows = as_rows(c, dense, frames, classes);
    }
    classify(c, c->activation == GPUDL_ACTIVATION_SOFTMAX ? GPUDL_CLASSIFY_SOFTMAX : GPUDL_CLASSIFY_SIGMOID, rows, y);
}

void cuda_lower_heads(CudaCompiler *c)
{
    uint64_t offset = 0;

    for (uint32_t i = 0; i < c->plan->n_outputs && c->status == GPUDL_STATUS_OK; i++) {
        const GpudlPlanTensor *t = cuda_tensor(c, c->plan->outputs[i]);

        if (t->dtype != GPUDL_DTYPE_F32) {
            cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED,
                               "backend cuda can't give output '%s': it is %s, expected float32; use backend cpu",
                               t->name, gpudl_dtype_name(t->dtype));
            return;
        }
        lower_scores(c, c->plan->outputs[i], cuda_use(c, c->plan->outputs[i]), offset);
        offset += t->bytes;
    }
    c->program->n_frame_steps = c->program->n_steps;
    for (uint32_t i = 0; i < c->plan->n_outputs && c->status == GPUDL_STATUS_OK; i++) {
        const int32_t x = cuda_use(c, c->plan->outputs[i]);
        int32_t dense = x;

        if (x >= 0 && !is_dense(cuda_value(c, x))) {
            dense = cuda_temporary(c, GPUDL_DTYPE_F32, &cuda_tensor(c, c->plan->outputs[i])->shape, 0);
            cuda_copy(c, x, dense);
        }
        c->program->heads[i] = dense;
        cuda_keep(c, dense);
    }
}
