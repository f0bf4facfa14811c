/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small parts ------------------------------------------------------------------------------------------------- */

void cpu_fail(CpuCompiler *c, GpudlStatus status, const char *format, ...)
{
    va_list args;

    if (c->status != GPUDL_STATUS_OK)
        return;
    c->status = status;
    va_start(args, format);
    vsnprintf(c->fault->message, sizeof c->fault->message, format, args);
    va_end(args);
}

/* Room for one more in an array of n; room is doubled. */
static int grow(CpuCompiler *c, void *array, uint32_t n, uint32_t *room, size_t size)
{
    void **where = array;
    uint32_t wanted = *room != 0 ? *room * 2 : 64;
    void *larger;

    if (n < *room)
        return 1;
    larger = realloc(*where, wanted * size);
    if (larger == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 0;
    }
    *where = larger;
    *room = wanted;
    return 1;
}

const GpudlPlanTensor *cpu_tensor(const CpuCompiler *c, int32_t tensor)
{
    return &c->plan->tensors[tensor];
}

int cpu_is_f32(const CpuCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);

    return t->dtype == GPUDL_DTYPE_F32 && t->shape.rank >= 1 && t->bytes > 0;
}

int cpu_is_constant(const CpuCompiler *c, int32_t tensor)
{
    return cpu_tensor(c, tensor)->kind == GPUDL_PLAN_CONSTANT && cpu_is_f32(c, tensor);
}

DnnMdRef cpu_value_md(const CpuCompiler *c, int32_t value)
{
    return c->program->values[value].md;
}

static int32_t add_block(CpuCompiler *c, void *constant, uint64_t bytes, int32_t pending)
{
    CpuProgram *p = c->program;

    if (c->status != GPUDL_STATUS_OK || !grow(c, &p->blocks, p->n_blocks, &c->block_room, sizeof *p->blocks))
        return -1;
    p->blocks[p->n_blocks] = (CpuBlock){constant, bytes, 0, (int32_t)p->n_steps, (int32_t)p->n_steps, pending, 0};
    return (int32_t)p->n_blocks++;
}

/* Takes md over. tensor -1: belongs to none. */
static int32_t add_value(CpuCompiler *c, DnnMd md, int32_t block, int32_t tensor)
{
    CpuProgram *p = c->program;
    uint32_t room = c->value_room;
    int32_t *last;

    if (c->status == GPUDL_STATUS_OK && block >= 0 &&
        grow(c, &p->values, p->n_values, &c->value_room, sizeof *p->values)) {
        if (c->value_room != room) {
            int32_t *next = realloc(c->next_value, c->value_room * sizeof *next);
            int32_t *owner = next != NULL ? realloc(c->value_tensor, c->value_room * sizeof *owner) : NULL;

            c->next_value = next != NULL ? next : c->next_value;
            c->value_tensor = owner != NULL ? owner : c->value_tensor;
            if (owner == NULL)
                cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        }
    }
    if (c->status != GPUDL_STATUS_OK || block < 0) {
        dnn_md_free(md);
        return -1;
    }
    p->values[p->n_values] = (CpuValue){md, block};
    c->next_value[p->n_values] = -1;
    c->value_tensor[p->n_values] = tensor;
    if (tensor >= 0) {
        last = &c->tensor_values[tensor];
        while (*last >= 0)
            last = &c->next_value[*last];
        *last = (int32_t)p->n_values;
    }
    return (int32_t)p->n_values++;
}

static DnnMd plain_md(CpuCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    DnnMd md;

    if (!cpu_is_f32(c, tensor))
        return NULL;
    md = dnn_md_plain(t->shape.rank, t->shape.dims);
    if (md == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "tensor '%s': oneDNN has no layout for it", t->name);
    return md;
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static CpuPacked *find_packed(const CpuShared *shared, int32_t owner, int32_t part, DnnMdRef md)
{
    for (CpuPacked *p = shared->packed; p != NULL; p = p->next)
        if (p->owner == owner && p->part == part &&
            (md == NULL ? p->md == NULL : p->md != NULL && dnn_md_equal(p->md, md)))
            return p;
    return NULL;
}

/* Takes data over also on failure. */
static CpuPacked *add_packed(CpuCompiler *c, int32_t owner, int32_t part, DnnMdRef md, void *data, uint64_t bytes)
{
    CpuPacked *packed = calloc(1, sizeof *packed);
    DnnMd copy = md != NULL ? dnn_md_copy(md) : NULL;

    if (packed == NULL || (md != NULL && copy == NULL)) {
        free(packed);
        free(data);
        dnn_md_free(copy);
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for packed weights");
        return NULL;
    }
    *packed = (CpuPacked){c->shared->packed, owner, part, copy, bytes, data};
    c->shared->packed = packed;
    c->shared->packed_bytes += bytes;
    return packed;
}

void cpu_packed_free(CpuPacked *packed)
{
    while (packed != NULL) {
        CpuPacked *next = packed->next;

        dnn_md_free(packed->md);
        free(packed->data);
        free(packed);
        packed = next;
    }
}

static void *aligned_bytes(uint64_t bytes)
{
    uint64_t rounded = (bytes + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    void *data = aligned_alloc(CPU_ALIGNMENT, rounded != 0 ? rounded : CPU_ALIGNMENT);

    if (data != NULL)
        memset(data, 0, rounded);
    return data;
}

/* Reorders at compile time. */
static int reorder_now(const CpuShared *shared, DnnMdRef from_md, const void *from, DnnMdRef to_md, void *to)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_memory_t a = dnn_memory(shared->dnn, from_md, (void *)from), b = dnn_memory(shared->dnn, to_md, to);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    int ok = a != NULL && b != NULL && dnnl_primitive_attr_create(&attr) == dnnl_success;

    if (ok) /* library's scratchpad: this happens once */
        pd = dnn_reorder(shared->dnn, attr, from_md, to_md);
    ok = pd != NULL && dnnl_primitive_create(&primitive, pd) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};

        ok = dnnl_primitive_execute(primitive, shared->stream, 2, args) == dnnl_success &&
             dnnl_stream_wait(shared->stream) == dnnl_success;
    }
    if (primitive != NULL)
        dnnl_primitive_destroy(primitive);
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    if (a != NULL)
        dnnl_memory_destroy(a);
    if (b != NULL)
        dnnl_memory_destroy(b);
    return ok;
}

/* The packed form of a constant: found, or made now. */
static CpuPacked *pack(CpuCompiler *c, int32_t tensor, int32_t part, DnnMdRef stored, DnnMdRef want)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    CpuPacked *packed = find_packed(c->shared, tensor, part, want);
    uint64_t bytes = dnn_md_bytes(want);
    void *data;

    if (packed != NULL || c->status != GPUDL_STATUS_OK)
        return packed;
    data = aligned_bytes(bytes);
    if (data == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for %llu bytes of packed weights '%s'",
                 (unsigned long long)bytes, t->name);
        return NULL;
    }
    if (!reorder_now(c->shared, stored, t->data, want, data)) {
        free(data);
        cpu_fail(c, GPUDL_STATUS_BACKEND, "oneDNN can't reorder constant '%s'", t->name);
        return NULL;
    }
    return add_packed(c, tensor, part, want, data, bytes);
}

int32_t cpu_use_packed_as(CpuCompiler *c, int32_t tensor, int32_t part, DnnMdRef stored, DnnMdRef want)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    CpuPacked *packed;

    if (c->status != GPUDL_STATUS_OK)
        return -1;
    if (dnn_md_equal(stored, want)) /* the model's own bytes will do */
        return add_value(c, dnn_md_copy(want), add_block(c, (void *)t->data, t->bytes, 1), -1);
    packed = pack(c, tensor, part, stored, want);
    if (packed == NULL)
        return -1;
    return add_value(c, dnn_md_copy(want), add_block(c, packed->data, packed->bytes, 1), -1);
}

static int32_t use_packed(CpuCompiler *c, int32_t tensor, DnnMdRef want)
{
    CpuPacked *packed = pack(c, tensor, -1, cpu_value_md(c, c->tensor_values[tensor]), want);

    if (packed == NULL)
        return -1;
    return add_value(c, dnn_md_copy(want), add_block(c, packed->data, packed->bytes, 1), tensor);
}

int32_t cpu_constant(CpuCompiler *c, int32_t part, DnnMd md, void *data, uint64_t bytes)
{
    CpuPacked *packed;

    if (data == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for a constant of node '%s'", c->plan->nodes[c->node].name);
    if (c->status != GPUDL_STATUS_OK) {
        free(data);
        dnn_md_free(md);
        return -1;
    }
    packed = add_packed(c, (int32_t)c->plan->n_tensors + c->node, part, md, data, bytes);
    if (packed == NULL) {
        dnn_md_free(md);
        return -1;
    }
    return add_value(c, md, add_block(c, packed->data, bytes, 1), -1);
}

int32_t cpu_find_constant(CpuCompiler *c, int32_t part, DnnMdRef md)
{
    CpuPacked *packed = find_packed(c->shared, (int32_t)c->plan->n_tensors + c->node, part, md);

    if (packed == NULL)
        return -1;
    return add_value(c, md != NULL ? dnn_md_copy(md) : NULL, add_block(c, packed->data, packed->bytes, 1), -1);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

int32_t cpu_use(CpuCompiler *c, int32_t tensor, DnnMdRef want)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    int32_t value, copy;

    if (c->status != GPUDL_STATUS_OK)
        return -1;
    if (c->tensor_values[tensor] < 0) {
        if (t->kind != GPUDL_PLAN_CONSTANT) {
            cpu_fail(c, GPUDL_STATUS_FAILED, "plan: tensor '%s' is read before it is written", t->name);
            return -1;
        }
        add_value(c, plain_md(c, tensor), add_block(c, (void *)t->data, t->bytes, 1), tensor);
    }
    value = c->tensor_values[tensor];
    if (want == NULL || value < 0)
        return value;
    for (int32_t v = value; v >= 0; v = c->next_value[v])
        if (cpu_value_md(c, v) != NULL && dnn_md_equal(cpu_value_md(c, v), want))
            return v;
    if (t->kind == GPUDL_PLAN_CONSTANT)
        return use_packed(c, tensor, want);
    copy = add_value(c, dnn_md_copy(want), add_block(c, NULL, dnn_md_bytes(want), c->remaining[tensor]), tensor);
    cpu_copy(c, value, copy);
    return copy;
}

int32_t cpu_use_plain(CpuCompiler *c, int32_t tensor)
{
    DnnMd want = plain_md(c, tensor);
    int32_t value = cpu_use(c, tensor, want);

    dnn_md_free(want);
    return value;
}

int32_t cpu_define(CpuCompiler *c, int32_t tensor, DnnMd md)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    uint64_t bytes = md != NULL ? dnn_md_bytes(md) : t->bytes;

    return add_value(c, md, add_block(c, NULL, bytes, t->n_uses), tensor);
}

int32_t cpu_define_alias(CpuCompiler *c, int32_t tensor, DnnMd md, int32_t value)
{
    if (c->status != GPUDL_STATUS_OK || value < 0) {
        dnn_md_free(md);
        return -1;
    }
    c->program->blocks[c->program->values[value].block].pending += cpu_tensor(c, tensor)->n_uses;
    return add_value(c, md, c->program->values[value].block, tensor);
}

int32_t cpu_view(CpuCompiler *c, DnnMd md, int32_t value)
{
    if (c->status != GPUDL_STATUS_OK || value < 0) {
        dnn_md_free(md);
        return -1;
    }
    return add_value(c, md, c->program->values[value].block, -1);
}

int32_t cpu_temporary(CpuCompiler *c, DnnMd md)
{
    return add_value(c, md, md != NULL ? add_block(c, NULL, dnn_md_bytes(md), 0) : -1, -1);
}

int cpu_same_memory(const CpuCompiler *c, int32_t a, int32_t b)
{
    return a >= 0 && b >= 0 && c->program->values[a].block == c->program->values[b].block;
}

int cpu_may_overwrite(const CpuCompiler *c, int32_t value)
{
    const GpudlPlanNode *node = &c->plan->nodes[c->node];
    const CpuBlock *block;
    int32_t own = 0;

    if (c->status != GPUDL_STATUS_OK || value < 0)
        return 0;
    block = &c->program->blocks[c->program->values[value].block];
    if (block->constant != NULL)
        return 0;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] >= 0)
            for (int32_t v = c->tensor_values[node->inputs[i]]; v >= 0; v = c->next_value[v])
                own += c->program->values[v].block == c->program->values[value].block;
    return block->pending <= own;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static CpuStep *add_step(CpuCompiler *c)
{
    CpuProgram *p = c->program;

    if (c->status != GPUDL_STATUS_OK || !grow(c, &p->steps, p->n_steps, &c->step_room, sizeof *p->steps))
        return NULL;
    p->steps[p->n_steps] = (CpuStep){.node = c->node};
    return &p->steps[p->n_steps++];
}

static void touch(CpuCompiler *c, int32_t value)
{
    CpuBlock *block = &c->program->blocks[c->program->values[value].block];
    int32_t step = (int32_t)c->program->n_steps - 1;

    block->used = 1;
    if (block->last < step)
        block->last = step;
}

void cpu_step(CpuCompiler *c, dnnl_primitive_desc_t pd, uint32_t n, const CpuArg *args)
{
    DnnMdRef scratch = pd != NULL ? dnn_pd_md(pd, dnnl_query_scratchpad_md, 0) : NULL;
    size_t scratch_bytes = scratch != NULL ? dnn_md_bytes(scratch) : 0;
    int32_t scratch_value = -1;
    CpuStep *step = NULL;

    if (c->status == GPUDL_STATUS_OK && pd == NULL)
        cpu_fail(c, GPUDL_STATUS_BACKEND, "node '%s': oneDNN has no implementation", c->plan->nodes[c->node].name);
    for (uint32_t i = 0; i < n; i++)
        if (args[i].value < 0)
            cpu_fail(c, GPUDL_STATUS_FAILED, "node '%s': an operand is missing", c->plan->nodes[c->node].name);
    if (scratch_bytes > 0)
        scratch_value = cpu_temporary(c, dnn_md_copy(scratch));
    step = add_step(c);
    if (step != NULL) {
        step->args = calloc(n + 1, sizeof *step->args);
        if (step->args == NULL || dnnl_primitive_create(&step->primitive, pd) != dnnl_success) {
            cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "node '%s': oneDNN could not make %s", c->plan->nodes[c->node].name,
                     dnn_pd_name(pd));
        } else {
            const_dnnl_primitive_desc_t kept = NULL;

            memcpy(step->args, args, n * sizeof *args);
            step->n_args = n;
            if (scratch_value >= 0)
                step->args[step->n_args++] = (CpuArg){DNNL_ARG_SCRATCHPAD, scratch_value};
            for (uint32_t i = 0; i < step->n_args; i++)
                touch(c, step->args[i].value);
            if (dnnl_primitive_get_primitive_desc(step->primitive, &kept) == dnnl_success)
                step->what = dnn_pd_name((dnnl_primitive_desc_t)kept);
        }
    }
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
}

void cpu_copy(CpuCompiler *c, int32_t from, int32_t to)
{
    const CpuArg args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    dnnl_primitive_attr_t attr = from >= 0 && to >= 0 ? dnn_attr(NULL) : NULL;

    if (attr == NULL)
        return;
    cpu_step(c, dnn_reorder(c->shared->dnn, attr, cpu_value_md(c, from), cpu_value_md(c, to)), 2, args);
    dnnl_primitive_attr_destroy(attr);
}

void cpu_apply_activation(CpuCompiler *c, const GpudlAct *act, int32_t value)
{
    DnnEltwise ops[2];
    int n = dnn_activation(act, ops);

    for (int i = 0; i < n && value >= 0; i++) {
        const CpuArg args[] = {{DNNL_ARG_SRC, value}, {DNNL_ARG_DST, value}};
        dnnl_primitive_attr_t attr = dnn_attr(NULL);

        cpu_step(c, dnn_eltwise(c->shared->dnn, attr, &ops[i], cpu_value_md(c, value)), 2, args);
        dnnl_primitive_attr_destroy(attr);
    }
}

static void fill_view(CpuCompiler *c, CpuCall *call, uint32_t i, int32_t tensor, int32_t value)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);

    call->views[i] = (GpudlTensorView){t->dtype, t->shape, NULL};
    call->values[i] = value;
}

void cpu_call(CpuCompiler *c)
{
    const GpudlPlanNode *node = &c->plan->nodes[c->node];
    uint32_t n = node->n_inputs + node->n_outputs;
    CpuCall *call = calloc(1, sizeof *call);
    CpuStep *step;

    if (call != NULL) {
        call->views = calloc(n, sizeof *call->views);
        call->values = calloc(n, sizeof *call->values);
    }
    if (call == NULL || call->views == NULL || call->values == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    for (uint32_t i = 0; i < node->n_inputs && c->status == GPUDL_STATUS_OK; i++) {
        call->values[i] = -1;
        if (node->inputs[i] >= 0)
            fill_view(c, call, i, node->inputs[i], cpu_use_plain(c, node->inputs[i]));
    }
    for (uint32_t i = 0; i < node->n_outputs && c->status == GPUDL_STATUS_OK; i++)
        fill_view(c, call, node->n_inputs + i, node->outputs[i],
                  cpu_define(c, node->outputs[i], plain_md(c, node->outputs[i])));
    step = add_step(c);
    if (step == NULL) {
        if (call != NULL) {
            free(call->views);
            free(call->values);
        }
        free(call);
        return;
    }
    call->node = node;
    call->n_inputs = node->n_inputs;
    call->n_outputs = node->n_outputs;
    step->call = call;
    step->what = "reference kernel";
    for (uint32_t i = 0; i < n; i++)
        if (call->values[i] >= 0)
            touch(c, call->values[i]);
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

static CpuLower *const lowering[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_CONV] = cpu_lower_conv,
    [GPUDL_OP_GEMM] = cpu_lower_gemm,
    [GPUDL_OP_MATMUL] = cpu_lower_matmul,
    [GPUDL_OP_MAX_POOL] = cpu_lower_pool,
    [GPUDL_OP_AVERAGE_POOL] = cpu_lower_pool,
    [GPUDL_OP_GLOBAL_MAX_POOL] = cpu_lower_global_pool,
    [GPUDL_OP_GLOBAL_AVERAGE_POOL] = cpu_lower_global_pool,
    [GPUDL_OP_LRN] = cpu_lower_lrn,
    [GPUDL_OP_BATCH_NORM] = cpu_lower_batch_norm,
    [GPUDL_OP_ACTIVATION] = cpu_lower_activation,
    [GPUDL_OP_ELU] = cpu_lower_unary,
    [GPUDL_OP_ABS] = cpu_lower_unary,
    [GPUDL_OP_NEG] = cpu_lower_unary,
    [GPUDL_OP_EXP] = cpu_lower_unary,
    [GPUDL_OP_LOG] = cpu_lower_unary,
    [GPUDL_OP_SQRT] = cpu_lower_unary,
    [GPUDL_OP_ADD] = cpu_lower_binary,
    [GPUDL_OP_SUB] = cpu_lower_binary,
    [GPUDL_OP_MUL] = cpu_lower_binary,
    [GPUDL_OP_DIV] = cpu_lower_binary,
    [GPUDL_OP_SOFTMAX] = cpu_lower_softmax,
    [GPUDL_OP_LOG_SOFTMAX] = cpu_lower_softmax,
    [GPUDL_OP_REDUCE_MEAN] = cpu_lower_reduce_mean,
    [GPUDL_OP_RESHAPE] = cpu_lower_reshape,
    [GPUDL_OP_IDENTITY] = cpu_lower_identity,
    [GPUDL_OP_TRANSPOSE] = cpu_lower_transpose,
    [GPUDL_OP_CONCAT] = cpu_lower_concat,
    [GPUDL_OP_SPLIT] = cpu_lower_split,
    [GPUDL_OP_SLICE] = cpu_lower_slice,
};

static int all_f32(const CpuCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] >= 0 && !cpu_is_f32(c, node->inputs[i]))
            return 0;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (!cpu_is_f32(c, node->outputs[i]))
            return 0;
    return 1;
}

static void lower_node(CpuCompiler *c, const GpudlPlanNode *node)
{
    int any_dtype = node->op == GPUDL_OP_RESHAPE || node->op == GPUDL_OP_IDENTITY;
    CpuLower *lower = node->op >= 0 && node->op <= GPUDL_OP_LAST ? lowering[node->op] : NULL;

    if (c->done[c->node])
        return;
    if (lower != NULL && (any_dtype || all_f32(c, node)) && lower(c, node))
        return;
    if (cpu_call_supported(node))
        cpu_call(c);
    else
        cpu_fail(c, GPUDL_STATUS_UNSUPPORTED, "node '%s': the CPU backend does not know operator %d", node->name,
                 node->op);
}

/* The node has read its inputs: what is read by nobody else may be overwritten from the next node on. */
static void release_inputs(CpuCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        int32_t tensor = node->inputs[i];

        if (tensor < 0)
            continue;
        c->remaining[tensor]--;
        for (int32_t v = c->tensor_values[tensor]; v >= 0; v = c->next_value[v])
            c->program->blocks[c->program->values[v].block].pending--;
    }
}

/* Where the network's input is only ever read by the reorder to channels last that the stem wants, the reorder goes:
 * the input is written that way at once. */
static void interleave_input(CpuCompiler *c)
{
    CpuProgram *p = c->program;
    const GpudlPlanTensor *t = c->plan->n_inputs > 0 ? cpu_tensor(c, c->plan->inputs[0]) : NULL;
    int32_t planar = t != NULL ? p->input_values[0] : -1, other = planar >= 0 ? c->next_value[planar] : -1;
    CpuStep *reorder = NULL;
    DnnMd last;
    int wanted;

    if (other < 0 || !cpu_is_f32(c, c->plan->inputs[0]) || t->shape.rank != 4 || t->shape.dims[1] != 3)
        return;
    last = dnn_md_tag(4, t->shape.dims, dnnl_acdb);
    wanted = last != NULL && dnn_md_equal(last, cpu_value_md(c, other));
    dnn_md_free(last);
    for (uint32_t i = 0; i < p->n_steps && wanted; i++) {
        CpuStep *step = &p->steps[i];

        for (uint32_t k = 0; k < step->n_args && wanted; k++) {
            if (!cpu_same_memory(c, step->args[k].value, planar))
                continue;
            wanted =
                reorder == NULL && step->n_args == 2 && step->args[0].value == planar && step->args[1].value == other;
            reorder = step;
        }
        for (uint32_t k = 0; step->call != NULL && k < step->call->n_inputs; k++)
            wanted = wanted && !cpu_same_memory(c, step->call->values[k], planar);
    }
    for (uint32_t i = 0; i < c->plan->n_outputs; i++)
        wanted = wanted && !cpu_same_memory(c, p->output_values[i], planar);
    if (!wanted || reorder == NULL)
        return;
    dnnl_primitive_destroy(reorder->primitive);
    reorder->primitive = NULL;
    reorder->n_args = 0;
    reorder->what = "nothing: the input is written so";
    p->input_values[0] = other;
    p->input_interleaved = 1;
    p->blocks[p->values[other].block].first = 0;
    p->blocks[p->values[planar].block].bytes = 0;
}

static void place_blocks(CpuCompiler *c)
{
    CpuProgram *p = c->program;
    uint64_t *sizes = calloc(p->n_blocks + 1, sizeof *sizes), *offsets = calloc(p->n_blocks + 1, sizeof *offsets);
    int32_t *first = calloc(p->n_blocks + 1, sizeof *first), *last = calloc(p->n_blocks + 1, sizeof *last);

    if (sizes == NULL || offsets == NULL || first == NULL || last == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    } else {
        for (uint32_t i = 0; i < p->n_blocks; i++) {
            sizes[i] = p->blocks[i].constant != NULL ? 0 : p->blocks[i].bytes;
            first[i] = p->blocks[i].first;
            last[i] = p->blocks[i].last;
        }
        p->work_bytes =
            c->shared->host->place(c->shared->host->host, p->n_blocks, sizes, first, last, CPU_ALIGNMENT, offsets);
        if (p->work_bytes > SIZE_MAX / 2)
            cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "the network's work memory is larger than memory can be");
        for (uint32_t i = 0; i < p->n_blocks; i++)
            p->blocks[i].offset = offsets[i];
    }
    free(sizes);
    free(offsets);
    free(first);
    free(last);
}

/* Values of one constant may have several blocks; the last one that was added counts. */
static uint64_t count_weights(const CpuProgram *p)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < p->n_blocks; i++) {
        const CpuBlock *block = &p->blocks[i];
        int again = block->constant == NULL || !block->used;

        for (uint32_t k = i + 1; k < p->n_blocks && !again; k++)
            again = p->blocks[k].constant == block->constant && p->blocks[k].used;
        bytes += again ? 0 : block->bytes;
    }
    return bytes;
}

static void log_program(const CpuCompiler *c)
{
    const GpudlHost *host = c->shared->host;
    char line[512];

    for (uint32_t i = 0; i < c->program->n_steps; i++) {
        const CpuStep *step = &c->program->steps[i];

        snprintf(line, sizeof line, "step %u: %s by %s", i, c->plan->nodes[step->node].name, step->what);
        host->log(host->host, GPUDL_LOG_DEBUG, line);
    }
}

static void compile(CpuCompiler *c)
{
    const GpudlPlan *plan = c->plan;
    CpuProgram *p = c->program;

    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        c->tensor_values[i] = -1;
        c->remaining[i] = plan->tensors[i].n_uses;
    }
    for (uint32_t i = 0; i < plan->n_inputs; i++)
        p->input_values[i] = cpu_define(c, plan->inputs[i], plain_md(c, plan->inputs[i]));
    for (uint32_t i = 0; i < plan->n_nodes && c->status == GPUDL_STATUS_OK; i++) {
        c->node = (int32_t)i;
        lower_node(c, &plan->nodes[i]);
        release_inputs(c, &plan->nodes[i]);
        if (c->shared->host->cancelled(c->shared->host->host))
            cpu_fail(c, GPUDL_STATUS_FAILED, "cancelled");
    }
    for (uint32_t i = 0; i < plan->n_outputs && c->status == GPUDL_STATUS_OK; i++) {
        p->output_values[i] = cpu_use_plain(c, plan->outputs[i]);
        if (p->output_values[i] >= 0)
            p->blocks[p->values[p->output_values[i]].block].last = INT32_MAX;
    }
    if (c->status == GPUDL_STATUS_OK)
        interleave_input(c);
    for (uint32_t i = 0; i < p->n_blocks; i++)
        if (p->blocks[i].last > (int32_t)p->n_steps)
            p->blocks[i].last = (int32_t)p->n_steps;
    if (c->status == GPUDL_STATUS_OK)
        place_blocks(c);
    p->weight_bytes = count_weights(p);
    if (c->status == GPUDL_STATUS_OK)
        log_program(c);
}

CpuProgram *cpu_program_new(CpuShared *shared, const GpudlPlan *plan, GpudlStatus *status, GpudlFault *fault)
{
    CpuCompiler c = {.shared = shared, .plan = plan, .status = GPUDL_STATUS_OK, .fault = fault};
    CpuProgram *p = calloc(1, sizeof *p);

    c.program = p;
    c.tensor_values = calloc(plan->n_tensors + 1, sizeof(int32_t));
    c.remaining = calloc(plan->n_tensors + 1, sizeof(int32_t));
    c.done = calloc(plan->n_nodes + 1, 1);
    if (p != NULL) {
        p->plan = plan;
        p->input_values = calloc(plan->n_inputs + 1, sizeof(int32_t));
        p->output_values = calloc(plan->n_outputs + 1, sizeof(int32_t));
    }
    if (p == NULL || c.tensor_values == NULL || c.remaining == NULL || c.done == NULL || p->input_values == NULL ||
        p->output_values == NULL)
        cpu_fail(&c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    else
        compile(&c);
    free(c.tensor_values);
    free(c.remaining);
    free(c.done);
    free(c.next_value);
    free(c.value_tensor);
    *status = c.status;
    if (c.status != GPUDL_STATUS_OK) {
        cpu_program_free(p);
        return NULL;
    }
    return p;
}

void cpu_program_free(CpuProgram *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        CpuStep *step = &p->steps[i];

        if (step->primitive != NULL)
            dnnl_primitive_destroy(step->primitive);
        if (step->call != NULL) {
            free(step->call->views);
            free(step->call->values);
            free(step->call);
        }
        free(step->args);
    }
    for (uint32_t i = 0; i < p->n_values; i++)
        dnn_md_free(p->values[i].md);
    free(p->steps);
    free(p->blocks);
    free(p->values);
    free(p->input_values);
    free(p->output_values);
    free(p);
}
