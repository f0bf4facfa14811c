/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a compilation: values, blocks, steps. */
#include "lower.h"

#include <math.h>
#include <stdlib.h>

#include "engine/module.h"
#include "kernels/half.h"

#define PART_RAW 0 /* a constant as it lies in the plan */

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

static int32_t add_block(CudaCompiler *c, void *constant, uint64_t bytes)
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

/* Dense, but pictures and rows with padded channels if wanted. Returns the elements that have to be there. */
static int64_t lay_out(CudaValue *v, int padded)
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

static int32_t new_value(CudaCompiler *c, GpudlDType dtype, const GpudlShape *shape, int padded)
{
    CudaValue v = {.dtype = dtype, .shape = *shape};

    v.block = add_block(c, NULL, (uint64_t)lay_out(&v, padded) * gpudl_dtype_size(dtype));
    return cuda_add_value(c, &v);
}

int32_t cuda_temporary(CudaCompiler *c, GpudlDType dtype, const GpudlShape *shape, int padded)
{
    return new_value(c, dtype, shape, padded);
}

int32_t cuda_scratch(CudaCompiler *c, uint64_t bytes)
{
    return add_block(c, NULL, bytes);
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
                                           : new_value(c, c->dtype, &cuda_tensor(c, tensor)->shape, 1);
    c->tensor_values[tensor] = value;
    return value;
}

int32_t cuda_define_dense(CudaCompiler *c, int32_t tensor)
{
    return c->tensor_values[tensor] = new_value(c, GPUDL_DTYPE_F32, &cuda_tensor(c, tensor)->shape, 0);
}

int32_t cuda_define_view(CudaCompiler *c, int32_t tensor, const CudaValue *view)
{
    return c->tensor_values[tensor] = cuda_add_value(c, view);
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

/* A value on a constant's memory, dense. */
static int32_t constant_value(CudaCompiler *c, CudaConstant *constant, GpudlDType dtype, const GpudlShape *shape)
{
    CudaValue v = {.dtype = dtype, .shape = *shape};

    if (constant->block < 0)
        constant->block = add_block(c, constant->data, constant->bytes);
    lay_out(&v, 0);
    v.block = constant->block;
    return cuda_add_value(c, &v);
}

static CudaConstant *upload(CudaCompiler *c, int32_t owner, int32_t part, const void *data, uint64_t bytes)
{
    CudaConstant *constant =
        c->status == GPUDL_STATUS_OK ? cuda_weights_add(c->weights, owner, part, data, bytes, c->fault) : NULL;

    if (constant == NULL && c->status == GPUDL_STATUS_OK)
        c->status = GPUDL_STATUS_NO_MEMORY;
    return constant;
}

const float *cuda_constant_data(CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);

    if (t->kind != GPUDL_PLAN_CONSTANT || t->dtype != GPUDL_DTYPE_F32) {
        cuda_refuse(c, "'%s' is %s%s, expected constant float32", t->name,
                    t->kind == GPUDL_PLAN_CONSTANT ? "" : "not constant ", gpudl_dtype_name(t->dtype));
        return NULL;
    }
    if (t->data == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_FAILED, "constant '%s' can't be read any more", t->name);
    return t->data;
}

static int32_t use_constant(CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);
    CudaConstant *constant = cuda_weights_find(c->weights, tensor, PART_RAW);

    if (constant == NULL) {
        const float *data = cuda_constant_data(c, tensor);

        constant = data != NULL ? upload(c, tensor, PART_RAW, data, t->bytes) : NULL;
    }
    if (constant == NULL)
        return -1;
    return c->tensor_values[tensor] = constant_value(c, constant, t->dtype, &t->shape);
}

int32_t cuda_find_constant(CudaCompiler *c, int32_t part, GpudlDType dtype, int64_t n)
{
    CudaConstant *constant = cuda_weights_find(c->weights, (int32_t)c->plan->n_tensors + c->node, part);

    return constant != NULL ? constant_value(c, constant, dtype, &(GpudlShape){1, {n}}) : -1;
}

int32_t cuda_add_constant(CudaCompiler *c, int32_t part, GpudlDType dtype, int64_t n, float *values)
{
    CudaConstant *constant = NULL;
    uint16_t *halves = dtype == GPUDL_DTYPE_F16 && values != NULL ? malloc((size_t)n * sizeof *halves + 1) : NULL;

    if (values == NULL || (dtype == GPUDL_DTYPE_F16 && halves == NULL)) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory to pack the weights of node '%s'",
                           c->plan->nodes[c->node].name);
    } else {
        for (int64_t i = 0; i < n && halves != NULL; i++) {
            halves[i] = gpudl_f32_to_f16(values[i]);
            if (fabsf(values[i]) > 65519 && isfinite(values[i]))
                cuda_refuse(c, "a weight is %g, more than float16 holds", (double)values[i]);
        }
        constant = upload(c, (int32_t)c->plan->n_tensors + c->node, part,
                          halves != NULL ? (const void *)halves : values, (uint64_t)n * gpudl_dtype_size(dtype));
    }
    free(halves);
    free(values);
    return constant != NULL ? constant_value(c, constant, dtype, &(GpudlShape){1, {n}}) : -1;
}

int32_t cuda_use(CudaCompiler *c, int32_t tensor)
{
    if (c->status != GPUDL_STATUS_OK)
        return -1;
    if (c->tensor_values[tensor] >= 0)
        return c->tensor_values[tensor];
    if (cuda_is_constant(c, tensor))
        return use_constant(c, tensor);
    cuda_compiler_fail(c, GPUDL_STATUS_FAILED, "plan: tensor '%s' is read before it is written",
                       cuda_tensor(c, tensor)->name);
    return -1;
}

/* Whether each pixel begins at a vector; the network's input has 4 channels a pixel where it has at most 4. */
static int has_whole_pixels(const CudaValue *v, const GpudlNhwc *nhwc)
{
    return v->offset % CUDA_CHANNELS == 0 && (nhwc->pitch % CUDA_CHANNELS == 0 || (nhwc->pitch == 4 && nhwc->c <= 4));
}

int32_t cuda_use_nhwc(CudaCompiler *c, int32_t tensor, int whole, GpudlNhwc *nhwc)
{
    int32_t value = cuda_use(c, tensor), copy;

    if (value < 0)
        return -1;
    if (cuda_value_nhwc(cuda_value(c, value), nhwc) && cuda_value(c, value)->dtype == c->dtype &&
        (!whole || has_whole_pixels(cuda_value(c, value), nhwc)))
        return value;
    copy = cuda_temporary(c, c->dtype, &cuda_tensor(c, tensor)->shape, 1);
    cuda_copy(c, value, copy);
    if (copy >= 0)
        cuda_value_nhwc(cuda_value(c, copy), nhwc);
    return copy;
}

int32_t cuda_use_padded(CudaCompiler *c, int32_t tensor, int32_t channels, GpudlNhwc *nhwc)
{
    int32_t value = cuda_use_nhwc(c, tensor, 1, nhwc), copy, inside;
    CudaValue v;

    if (value < 0 || nhwc->c == channels)
        return value;
    if (!cuda_value(c, value)->finite || nhwc->pitch < channels) {
        v = *cuda_value(c, value);
        v.shape.dims[1] = channels;
        copy = cuda_temporary(c, c->dtype, &v.shape, 1);
        if (copy < 0)
            return -1;
        cuda_clear(c, copy);
        v = *cuda_value(c, copy);
        v.shape.dims[1] = nhwc->c;
        inside = cuda_add_value(c, &v);
        cuda_copy(c, value, inside);
        value = copy;
        if (c->status != GPUDL_STATUS_OK)
            return -1;
        cuda_value_nhwc(cuda_value(c, copy), nhwc);
    }
    nhwc->c = channels;
    return value;
}

int cuda_reshape_view(const CudaValue *from, const GpudlShape *shape, CudaValue *to)
{
    int old = 0, rank = from->shape.rank;
    const int64_t *d = from->shape.dims, *s = from->strides;

    *to = *from;
    to->shape = *shape;
    to->finite = 0;
    memset(to->strides, 0, sizeof to->strides);
    for (int new = 0; new < shape->rank;) {
        int64_t have = 1, want = shape->dims[new];
        int first = old, end = new + 1, last = -1;

        while (old < rank && d[old] == 1)
            old++;
        first = old;
        if (old < rank)
            have = d[old++];
        while (have != want) { /* the fewest dimensions on either side with as many elements */
            if (have < want) {
                if (old >= rank)
                    return 0;
                have *= d[old++];
            } else {
                if (end >= shape->rank)
                    return 0;
                want *= shape->dims[end++];
            }
        }
        for (int i = first; i < old; i++) { /* they have to be one */
            if (d[i] == 1)
                continue;
            if (last >= 0 && s[last] != s[i] * d[i])
                return 0;
            last = i;
        }
        for (int64_t i = end - 1, stride = last >= 0 ? s[last] : 0; i >= new; i--) {
            to->strides[i] = stride;
            stride *= shape->dims[i];
        }
        new = end;
    }
    return 1;
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

static void touch_block(CudaCompiler *c, int32_t block, int32_t at)
{
    CudaBlock *b = block >= 0 ? &c->program->blocks[block] : NULL;

    if (b == NULL)
        return;
    b->first = at < b->first ? at : b->first;
    b->last = at > b->last ? at : b->last;
}

void cuda_touch(CudaCompiler *c, const CudaStep *step)
{
    const int32_t values[] = {step->x, step->y, step->w, step->bias, step->half_bias, step->z};
    const int32_t at = (int32_t)(step - c->program->steps);

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i] >= 0)
            touch_block(c, cuda_value(c, values[i])->block, at);
    touch_block(c, step->scratch, at);
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

/* Pictures of at most 4 channels have 4 a pixel, as pre-processing writes them. */
static void define_input(CudaCompiler *c)
{
    const int32_t tensor = c->plan->inputs[0];
    CudaValue v = {.dtype = c->dtype, .shape = cuda_tensor(c, tensor)->shape, .finite = 1};
    const int64_t *d = v.shape.dims, pitch = d[1] <= 4 ? 4 : round_up(d[1], CUDA_CHANNELS);
    const int64_t strides[4] = {d[2] * d[3] * pitch, 1, d[3] * pitch, pitch};

    memcpy(v.strides, strides, sizeof strides);
    v.block = add_block(c, NULL, (uint64_t)(d[0] * strides[0]) * gpudl_dtype_size(c->dtype));
    c->program->input = c->tensor_values[tensor] = cuda_add_value(c, &v);
    if (c->status == GPUDL_STATUS_OK)
        touch_block(c, v.block, -1);
}

/* Choices are made, so scratch is known; then everything gets its place. */
static void place(CudaCompiler *c)
{
    CudaProgram *p = c->program;
    uint64_t *sizes = calloc(p->n_blocks + 1u, 2 * sizeof *sizes), *offsets = sizes + p->n_blocks + 1;
    int32_t *first = calloc(p->n_blocks + 1u, 2 * sizeof *first), *last = first + p->n_blocks + 1;

    if (sizes == NULL || first == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        free(sizes);
        free(first);
        return;
    }
    for (uint32_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].conv != NULL && p->steps[i].scratch >= 0) {
            p->blocks[p->steps[i].scratch].bytes = (uint64_t)p->steps[i].conv->workspace;
            snprintf(p->steps[i].what, sizeof p->steps[i].what, "%s", p->steps[i].conv->name);
        }
    for (uint32_t i = 0; i < p->n_blocks; i++) {
        const int used = p->blocks[i].first != INT32_MAX && p->blocks[i].constant == NULL;

        sizes[i] = used ? p->blocks[i].bytes : 0;
        first[i] = used ? p->blocks[i].first : 0;
        last[i] = used ? p->blocks[i].last : 0;
    }
    p->work_bytes = c->host->place(c->host->host, p->n_blocks, sizes, first, last, CUDA_ALIGNMENT, offsets);
    if (p->work_bytes == UINT64_MAX)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "the network's work memory at batch %lld has no size",
                           (long long)c->plan->batch);
    for (uint32_t i = 0; i < p->n_blocks; i++)
        p->blocks[i].offset = offsets[i];
    free(sizes);
    free(first);
}

static void keep_heads(CudaCompiler *c)
{
    for (uint32_t i = 0; i < c->plan->n_outputs && c->status == GPUDL_STATUS_OK; i++) {
        touch_block(c, cuda_value(c, c->program->heads[i])->block, (int32_t)c->program->n_steps);
        touch_block(c, cuda_value(c, c->program->scores[i])->block, (int32_t)c->program->n_steps);
    }
}

static void compile(CudaCompiler *c)
{
    cuda_plan_targets(c);
    define_input(c);
    for (c->node = 0; c->node < (int32_t)c->plan->n_nodes && c->status == GPUDL_STATUS_OK; c->node++)
        cuda_lower_node(c, &c->plan->nodes[c->node]);
    c->node = (int32_t)c->plan->n_nodes - 1;
    cuda_lower_heads(c);
    keep_heads(c);
    if (c->status == GPUDL_STATUS_OK)
        c->status = cuda_convs_choose(c->convs, c->fault);
    if (c->status == GPUDL_STATUS_OK)
        place(c);
}

CudaProgram *cuda_compile(CudaShared *shared, const GpudlPlan *plan, GpudlStatus *status, GpudlFault *fault)
{
    CudaCompiler c = {.device = shared->device,
                      .host = shared->host,
                      .convs = &shared->convs,
                      .weights = &shared->weights,
                      .plan = plan,
                      .dtype = shared->dtype,
                      .tf32 = shared->tf32,
                      .activation = shared->activation,
                      .fault = fault};

    c.program = calloc(1, sizeof *c.program);
    c.tensor_values = malloc((plan->n_tensors + 1u) * sizeof *c.tensor_values);
    c.targets = malloc((plan->n_tensors + 1u) * sizeof *c.targets);
    if (c.program == NULL || c.tensor_values == NULL || c.targets == NULL) {
        cuda_compiler_fail(&c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    } else if (plan->n_outputs > GPUDL_MAX_OUTPUTS || plan->n_nodes == 0) {
        cuda_compiler_fail(&c, GPUDL_STATUS_UNSUPPORTED,
                           "%u nodes and %u outputs, expected at least one node and at most %d outputs", plan->n_nodes,
                           plan->n_outputs, GPUDL_MAX_OUTPUTS);
    } else {
        for (uint32_t i = 0; i < plan->n_tensors; i++) {
            c.tensor_values[i] = -1;
            c.targets[i].concat = -1;
        }
        c.program->plan = plan;
        cuda_weights_begin(c.weights);
        compile(&c);
    }
    free(c.tensor_values);
    free(c.targets);
    *status = c.status;
    if (c.status == GPUDL_STATUS_OK)
        return c.program;
    cuda_program_free(c.program);
    return NULL;
}
