/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a compilation: values, blocks, steps. */
#include "lower.h"

#include <stdlib.h>

#include "engine/module.h"

void cuda_compiler_fail(CudaCompiler *c, GpudlStatus status, const char *format, ...)
{
    va_list args;

    if (c->status != GPUDL_STATUS_OK)
        return;
    c->status = status;
    va_start(args, format);
    vsnprintf(c->fault->message, sizeof c->fault->message, format, args);
    va_end(args);
}

int cuda_refuse(CudaCompiler *c, const char *format, ...)
{
    char why[256];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED, "backend cuda can't run node '%s' (%s): %s; use backend cpu",
                       c->plan->nodes[c->node].name, c->op_name, why);
    return 0;
}

/* Entry room of a growing array; 0 after a failure. */
static int grow(CudaCompiler *c, void *array, uint32_t n, uint32_t *room, size_t size)
{
    void *larger;

    if (n < *room || c->status != GPUDL_STATUS_OK)
        return c->status == GPUDL_STATUS_OK;
    larger = realloc(*(void **)array, ((size_t)*room * 2 + 64) * size);
    if (larger == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 0;
    }
    *(void **)array = larger;
    *room = *room * 2 + 64;
    return 1;
}

const GpudlPlanTensor *cuda_tensor(const CudaCompiler *c, int32_t tensor)
{
    return &c->plan->tensors[tensor];
}

int cuda_is_constant(const CudaCompiler *c, int32_t tensor)
{
    return cuda_tensor(c, tensor)->kind == GPUDL_PLAN_CONSTANT;
}

CudaValue *cuda_value(const CudaCompiler *c, int32_t value)
{
    return &c->program->values[value];
}

/* ---- blocks and values ------------------------------------------------------------------------------------------- */

int32_t cuda_add_block(CudaCompiler *c, void *constant, uint64_t bytes)
{
    CudaProgram *p = c->program;

    if (!grow(c, &p->blocks, p->n_blocks, &c->block_room, sizeof *p->blocks))
        return -1;
    p->blocks[p->n_blocks] = (CudaBlock){.constant = constant, .bytes = bytes, .first = INT32_MAX, .last = -1};
    return (int32_t)p->n_blocks++;
}

int32_t cuda_add_value(CudaCompiler *c, const CudaValue *value)
{
    CudaProgram *p = c->program;
    const CudaValue copy = *value; /* it may be one of those that move */

    if (copy.block < 0 || !grow(c, &p->values, p->n_values, &c->value_room, sizeof *p->values))
        return -1;
    p->values[p->n_values] = copy;
    return (int32_t)p->n_values++;
}

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

int64_t cuda_lay_out(CudaValue *v, int padded)
{
    const int64_t *d = v->shape.dims;
    int64_t n = 1;

    if (padded && v->shape.rank == 4) {
        const int64_t pitch = round_up(d[1], CUDA_CHANNELS);
        const int64_t strides[4] = {d[2] * d[3] * pitch, 1, d[3] * pitch, pitch};

        memcpy(v->strides, strides, sizeof strides);
        return d[0] * strides[0];
    }
    for (int i = v->shape.rank - 1; i >= 0; i--) {
        v->strides[i] = n;
        n *= d[i];
        if (padded && v->shape.rank == 2 && i == 1)
            n = round_up(n, CUDA_CHANNELS);
    }
    return n;
}

int cuda_is_float(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_F32 && dtype <= GPUDL_DTYPE_F64;
}

int cuda_is_integer(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_I8 && dtype <= GPUDL_DTYPE_BOOL;
}

GpudlDType cuda_storage(const CudaCompiler *c, int32_t tensor)
{
    const GpudlDType dtype = cuda_tensor(c, tensor)->dtype;

    return cuda_is_float(dtype) ? c->dtype : dtype;
}

static int32_t new_value(CudaCompiler *c, GpudlDType dtype, const GpudlShape *shape, int padded)
{
    CudaValue v = {.dtype = dtype, .shape = *shape};

    v.block = cuda_add_block(c, NULL, (uint64_t)cuda_lay_out(&v, padded) * gpudl_dtype_size(dtype));
    return cuda_add_value(c, &v);
}

static void touch_block(CudaCompiler *c, int32_t block, int32_t at)
{
    CudaBlock *b = block >= 0 ? &c->program->blocks[block] : NULL;

    if (b == NULL)
        return;
    b->first = at < b->first ? at : b->first;
    b->last = at > b->last ? at : b->last;
}

int32_t cuda_temporary(CudaCompiler *c, GpudlDType dtype, const GpudlShape *shape, int padded)
{
    return new_value(c, dtype, shape, padded);
}

int32_t cuda_scratch(CudaCompiler *c, uint64_t bytes)
{
    return cuda_add_block(c, NULL, bytes);
}

int32_t cuda_pinned(CudaCompiler *c, const GpudlShape *shape, uint64_t offset)
{
    const int32_t value = new_value(c, GPUDL_DTYPE_F32, shape, 0);

    if (value >= 0) {
        CudaBlock *block = &c->program->blocks[cuda_value(c, value)->block];

        block->pinned = 1;
        block->offset = offset;
    }
    return value;
}

void cuda_keep(CudaCompiler *c, int32_t value)
{
    if (value >= 0 && c->status == GPUDL_STATUS_OK)
        touch_block(c, cuda_value(c, value)->block, (int32_t)c->program->n_steps);
}

/* The slice of the target's tensor, which is defined now if it is not yet. */
static int32_t define_slice(CudaCompiler *c, int32_t tensor)
{
    const CudaTarget target = c->targets[tensor];
    CudaValue v;

    if (c->tensor_values[target.concat] < 0)
        cuda_define(c, target.concat);
    if (c->status != GPUDL_STATUS_OK)
        return -1;
    v = *cuda_value(c, c->tensor_values[target.concat]);
    v.offset += target.start * v.strides[target.axis];
    v.shape = cuda_tensor(c, tensor)->shape;
    v.finite = 0;
    return cuda_add_value(c, &v);
}

int32_t cuda_define(CudaCompiler *c, int32_t tensor)
{
    int32_t value;

    if (c->status != GPUDL_STATUS_OK)
        return -1;
    value = c->targets[tensor].concat >= 0 ? define_slice(c, tensor)
                                           : new_value(c, cuda_storage(c, tensor), &cuda_tensor(c, tensor)->shape, 1);
    c->tensor_values[tensor] = value;
    return value;
}

/* Elements that a layout takes, gaps and all; 0 if places are shared or half of it is gaps. */
static int64_t span_of(const CudaValue *v)
{
    int64_t span = 1, elements = 1, stride = 0;
    int left = 0;

    for (int i = 0; i < v->shape.rank; i++)
        left |= (v->shape.dims[i] > 1) << i;
    while (left != 0) { /* the fastest first: each begins beyond all before it */
        int fastest = -1;

        for (int i = 0; i < v->shape.rank; i++)
            if ((left & 1 << i) != 0 && (fastest < 0 || v->strides[i] < v->strides[fastest]))
                fastest = i;
        stride = v->strides[fastest];
        if (stride < span)
            return 0;
        span += (v->shape.dims[fastest] - 1) * stride;
        elements *= v->shape.dims[fastest];
        left &= ~(1 << fastest);
    }
    return span <= 2 * elements ? span : 0;
}

int32_t cuda_define_like(CudaCompiler *c, int32_t tensor, int32_t value)
{
    CudaValue v;
    GpudlNhwc nhwc;
    int64_t span;

    if (c->status != GPUDL_STATUS_OK || value < 0)
        return -1;
    v = *cuda_value(c, value);
    if (v.shape.rank == 4 && cuda_value_nhwc(&v, &nhwc) && nhwc.pitch > round_up(nhwc.c, CUDA_CHANNELS))
        return cuda_define(c, tensor); /* a slice has its whole's gaps; what is dense, as one channel is, stays so */
    span =
        gpudl_shape_equal(&v.shape, &cuda_tensor(c, tensor)->shape) && c->targets[tensor].concat < 0 ? span_of(&v) : 0;
    if (span == 0)
        return cuda_define(c, tensor);
    v.dtype = cuda_storage(c, tensor);
    v.offset = 0;
    v.finite = 0;
    v.block = cuda_add_block(c, NULL, (uint64_t)round_up(span, CUDA_CHANNELS) * gpudl_dtype_size(v.dtype));
    return c->tensor_values[tensor] = cuda_add_value(c, &v);
}

int32_t cuda_define_plain(CudaCompiler *c, int32_t tensor)
{
    if (c->status != GPUDL_STATUS_OK || c->targets[tensor].concat >= 0)
        return cuda_define(c, tensor);
    return c->tensor_values[tensor] = new_value(c, cuda_storage(c, tensor), &cuda_tensor(c, tensor)->shape, 0);
}

int32_t cuda_define_dense(CudaCompiler *c, int32_t tensor)
{
    return c->tensor_values[tensor] = new_value(c, GPUDL_DTYPE_F32, &cuda_tensor(c, tensor)->shape, 0);
}

void cuda_define_input(CudaCompiler *c)
{
    const int32_t tensor = c->plan->inputs[0];
    CudaValue v = {.dtype = c->dtype, .shape = cuda_tensor(c, tensor)->shape, .finite = 1};
    const int64_t *d = v.shape.dims, pitch = d[1] <= 4 ? 4 : round_up(d[1], CUDA_CHANNELS);
    const int64_t strides[4] = {d[2] * d[3] * pitch, 1, d[3] * pitch, pitch};

    memcpy(v.strides, strides, sizeof strides);
    v.block = cuda_add_block(c, NULL, (uint64_t)(d[0] * strides[0]) * gpudl_dtype_size(c->dtype));
    c->program->input = c->tensor_values[tensor] = cuda_add_value(c, &v);
    if (c->status == GPUDL_STATUS_OK)
        touch_block(c, v.block, -1);
}

int32_t cuda_define_view(CudaCompiler *c, int32_t tensor, const CudaValue *view)
{
    return c->tensor_values[tensor] = cuda_add_value(c, view);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

CudaStep *cuda_step(CudaCompiler *c, CudaLaunch *launch, const char *what)
{
    CudaProgram *p = c->program;
    CudaStep *step;

    if (c->status != GPUDL_STATUS_OK || !grow(c, &p->steps, p->n_steps, &c->step_room, sizeof *p->steps))
        return NULL;
    step = &p->steps[p->n_steps++];
    *step = (CudaStep){.launch = launch,
                       .node = c->node,
                       .last_node = c->node,
                       .x = -1,
                       .y = -1,
                       .w = -1,
                       .bias = -1,
                       .half_bias = -1,
                       .z = -1,
                       .scratch = -1};
    snprintf(step->what, sizeof step->what, "%s", what);
    return step;
}

void cuda_touch(CudaCompiler *c, const CudaStep *step)
{
    const int32_t at = (int32_t)(step - c->program->steps);
    int32_t values[CUDA_STEP_READS];
    const int n = cuda_step_reads(step, values);

    for (int i = 0; i < n; i++)
        touch_block(c, cuda_value(c, values[i])->block, at);
    if (step->y >= 0)
        touch_block(c, cuda_value(c, step->y)->block, at);
    touch_block(c, step->scratch, at);
}
