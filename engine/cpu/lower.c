/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lower.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which of a tensor's packed forms; operators have others for tensors seen in another shape, and for constants of
 * nodes. */
enum { PART_RAW = 0, PART_LAYOUT = -1 };

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

int32_t cpu_only_reader(const CpuCompiler *c, int32_t tensor)
{
    return cpu_tensor(c, tensor)->n_uses == 1 ? c->readers[tensor] : -1;
}

void cpu_cover(CpuCompiler *c, int32_t node)
{
    c->done[node] = 1;
    if (c->last_node < node)
        c->last_node = node;
}

DnnMdRef cpu_value_md(const CpuCompiler *c, int32_t value)
{
    return c->program->values[value].md;
}

CpuForm cpu_chosen_form(const CpuCompiler *c, int32_t node)
{
    return c->shared->forms != NULL && !c->exact ? (CpuForm)c->shared->forms[node] : CPU_FORM_FIRST;
}

CpuQuality cpu_quality(dnnl_primitive_desc_t pd)
{
    const char *name = pd != NULL ? dnn_pd_name(pd) : "";

    if (pd == NULL)
        return CPU_NOTHING;
    if (strncmp(name, "jit", 3) != 0 && strncmp(name, "brg", 3) != 0)
        return strstr(name, "gemm:jit") != NULL ? CPU_MATRICES : CPU_GENERAL;
    return strstr(name, "avx512") != NULL ? CPU_WIDE_LOOPS : CPU_LOOPS;
}

static int32_t add_block(CpuCompiler *c, void *constant, uint64_t bytes, int32_t pending)
{
    CpuProgram *p = c->program;

    if (c->status != GPUDL_STATUS_OK || !grow(c, &p->blocks, p->n_blocks, &c->block_room, sizeof *p->blocks))
        return -1;
    p->blocks[p->n_blocks] = (CpuBlock){.constant = constant,
                                        .bytes = bytes,
                                        .within = -1,
                                        .first = (int32_t)p->n_steps,
                                        .last = (int32_t)p->n_steps,
                                        .pending = pending};
    return (int32_t)p->n_blocks++;
}

/* Takes md over. tensor -1: belongs to none. A tensor's values are a short list: each has another of the few layouts
 * that oneDNN knows for a shape. */
static int32_t add_value(CpuCompiler *c, DnnMd md, int32_t block, int32_t tensor)
{
    CpuProgram *p = c->program;
    uint32_t room = c->value_room;
    int32_t *last;

    if (c->status == GPUDL_STATUS_OK && block >= 0 &&
        grow(c, &p->values, p->n_values, &c->value_room, sizeof *p->values)) {
        if (c->value_room != room) {
            int32_t *next = realloc(c->next_value, c->value_room * sizeof *next);

            c->next_value = next != NULL ? next : c->next_value;
            if (next == NULL)
                cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        }
    }
    if (c->status != GPUDL_STATUS_OK || block < 0) {
        dnn_md_free(md);
        return -1;
    }
    p->values[p->n_values] = (CpuValue){md, block};
    c->next_value[p->n_values] = -1;
    if (tensor >= 0) {
        last = &c->tensor_values[tensor];
        while (*last >= 0)
            last = &c->next_value[*last];
        *last = (int32_t)p->n_values;
    }
    return (int32_t)p->n_values++;
}

DnnMd cpu_plain_md(CpuCompiler *c, int32_t tensor)
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

/* Memory of a constant. A dry compilation, which writes none, has something in its place. */
static void *room_for(const CpuCompiler *c, uint64_t bytes)
{
    return cpu_aligned_bytes(c->shared->dry ? 0 : bytes);
}

/* Takes data over also on failure. */
static CpuPacked *keep(CpuCompiler *c, int32_t owner, int32_t part, DnnMdRef md, void *data, uint64_t bytes)
{
    CpuPacked *packed = cpu_packed_add(&c->shared->packed, owner, part, md, data, bytes);

    if (packed == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for packed weights");
    return packed;
}

/* A constant has one block in a program, however many values lie on it. */
static int32_t packed_block(CpuCompiler *c, CpuPacked *packed)
{
    if (packed != NULL && packed->compilation != c->shared->compilations) {
        packed->block = add_block(c, packed->data, packed->bytes, 1);
        packed->compilation = c->shared->compilations;
    }
    return packed != NULL ? packed->block : -1;
}

/* The same for the model's own bytes, which cpu_keep_raw() copies at last, if it is them that steps read. */
static int32_t raw_block(CpuCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);

    if (c->raw_blocks[tensor] < 0)
        c->raw_blocks[tensor] = add_block(c, (void *)t->data, t->bytes, 1);
    return c->raw_blocks[tensor];
}

void cpu_keep_raw(CpuCompiler *c, int32_t tensor)
{
    CpuBlock *block = c->raw_blocks[tensor] >= 0 ? &c->program->blocks[c->raw_blocks[tensor]] : NULL;
    CpuPacked *packed;

    if (block == NULL || !block->used || c->status != GPUDL_STATUS_OK)
        return;
    packed = cpu_packed_find(&c->shared->packed, tensor, PART_RAW, NULL);
    if (packed == NULL) {
        void *data = room_for(c, block->bytes);

        if (data != NULL && block->bytes > 0 && !c->shared->dry)
            memcpy(data, block->constant, block->bytes);
        packed = data != NULL ? cpu_packed_add(&c->shared->packed, tensor, PART_RAW, NULL, data, block->bytes) : NULL;
    }
    if (packed == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for %llu bytes of weights '%s'",
                 (unsigned long long)block->bytes, cpu_tensor(c, tensor)->name);
    else
        block->constant = packed->data;
}

/* The packed form of a constant: found, or made by cpu_pack_weights(). */
static CpuPacked *pack(CpuCompiler *c, int32_t tensor, int32_t part, DnnMdRef stored, DnnMdRef want)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    CpuPacked *packed = cpu_packed_find(&c->shared->packed, tensor, part, want);
    uint64_t bytes = dnn_md_bytes(want);
    int padded;
    void *data;

    if (packed != NULL || c->status != GPUDL_STATUS_OK)
        return packed;
    padded = bytes != t->bytes / sizeof(float) * (dnn_md_type(want) == dnnl_bf16 ? sizeof(uint16_t) : sizeof(float));
    data = cpu_aligned_room(c->shared->dry ? 0 : bytes);
    if (data == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for %llu bytes of packed weights '%s'",
                 (unsigned long long)bytes, t->name);
        return NULL;
    }
    packed = keep(c, tensor, part, want, data, bytes);
    if (packed != NULL && !c->shared->dry &&
        !cpu_packing_add(&c->packing, packed, tensor, stored, &(CpuSource){t->data, t->bytes}, padded)) {
        packed->owner = -1; /* it is never filled */
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory to pack weights '%s'", t->name);
    }
    return packed;
}

void cpu_pack_weights(CpuCompiler *c)
{
    int32_t failed;

    if (c->status != GPUDL_STATUS_OK || cpu_packing_run(&c->packing, c->shared, &failed))
        return;
    if (failed >= 0)
        cpu_fail(c, GPUDL_STATUS_BACKEND, "oneDNN can't reorder constant '%s'", cpu_tensor(c, failed)->name);
    else
        cpu_fail(c, GPUDL_STATUS_FAILED, "cancelled");
}

int32_t cpu_use_packed_as(CpuCompiler *c, int32_t tensor, int32_t part, DnnMdRef stored, DnnMdRef want)
{
    if (c->status != GPUDL_STATUS_OK)
        return -1;
    if (dnn_md_equal(stored, want)) /* the model's own bytes will do */
        return add_value(c, dnn_md_copy(want), raw_block(c, tensor), -1);
    return add_value(c, dnn_md_copy(want), packed_block(c, pack(c, tensor, part, stored, want)), -1);
}

static int32_t use_packed(CpuCompiler *c, int32_t tensor, DnnMdRef want)
{
    CpuPacked *packed = pack(c, tensor, PART_LAYOUT, cpu_value_md(c, c->tensor_values[tensor]), want);

    return add_value(c, dnn_md_copy(want), packed_block(c, packed), tensor);
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
    packed = keep(c, (int32_t)c->plan->n_tensors + c->node, part, md, data, bytes);
    return add_value(c, md, packed_block(c, packed), -1);
}

int32_t cpu_find_constant(CpuCompiler *c, int32_t part, DnnMdRef md)
{
    CpuPacked *packed = cpu_packed_find(&c->shared->packed, (int32_t)c->plan->n_tensors + c->node, part, md);

    if (packed == NULL)
        return -1;
    return add_value(c, md != NULL ? dnn_md_copy(md) : NULL, packed_block(c, packed), -1);
}

int32_t cpu_own_constant(CpuCompiler *c, int32_t part, uint64_t bytes, CpuPackFunc *pack, const void *problem,
                         size_t size, uint32_t n, const int32_t *tensors)
{
    int32_t value = cpu_find_constant(c, part, NULL);
    CpuSource from[CPU_SOURCES];
    CpuPacked *packed;

    if (value >= 0)
        return value;
    value = cpu_constant(c, part, NULL, cpu_aligned_room(c->shared->dry ? 0 : bytes), bytes);
    if (value < 0 || c->shared->dry)
        return value;
    for (uint32_t i = 0; i < n; i++) {
        const GpudlPlanTensor *t = tensors[i] >= 0 ? cpu_tensor(c, tensors[i]) : NULL;

        from[i] = t != NULL ? (CpuSource){t->data, t->bytes} : (CpuSource){NULL, 0};
    }
    packed = cpu_packed_find(&c->shared->packed, (int32_t)c->plan->n_tensors + c->node, part, NULL);
    if (!cpu_packing_add_own(&c->packing, packed, pack, problem, size, n, from)) {
        packed->owner = -1; /* it is never filled */
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory to pack weights of node '%s'", c->plan->nodes[c->node].name);
        return -1;
    }
    return value;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

int32_t cpu_use_lying(CpuCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);

    if (c->status != GPUDL_STATUS_OK)
        return -1;
    if (c->tensor_values[tensor] < 0) {
        if (cpu_is_waiting(c, tensor)) {
            cpu_make_waiting(c, tensor);
            return c->tensor_values[tensor];
        }
        if (t->kind != GPUDL_PLAN_CONSTANT) {
            cpu_fail(c, GPUDL_STATUS_FAILED, "plan: tensor '%s' is read before it is written", t->name);
            return -1;
        }
        add_value(c, cpu_plain_md(c, tensor), raw_block(c, tensor), tensor);
    }
    return c->tensor_values[tensor];
}

int32_t cpu_use_lying_as(CpuCompiler *c, int32_t tensor, dnnl_data_type_t type)
{
    int32_t value = cpu_use_lying(c, tensor);
    DnnMdRef md = value >= 0 ? cpu_value_md(c, value) : NULL;
    DnnMd as;

    if (md == NULL || dnn_md_type(md) == type)
        return value;
    as = dnn_md_as(md, type);
    if (as == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "tensor '%s': oneDNN has no layout for it", cpu_tensor(c, tensor)->name);
    value = as != NULL ? cpu_use(c, tensor, as) : -1;
    dnn_md_free(as);
    return value;
}

int32_t cpu_use(CpuCompiler *c, int32_t tensor, DnnMdRef want)
{
    int32_t value = want != NULL ? cpu_use_lying(c, tensor) : cpu_use_lying_as(c, tensor, dnnl_f32), copy;

    if (want == NULL || value < 0)
        return value;
    for (int32_t v = value; v >= 0; v = c->next_value[v])
        if (cpu_value_md(c, v) != NULL && dnn_md_equal(cpu_value_md(c, v), want))
            return v;
    if (cpu_tensor(c, tensor)->kind == GPUDL_PLAN_CONSTANT)
        return use_packed(c, tensor, want);
    copy = add_value(c, dnn_md_copy(want), add_block(c, NULL, dnn_md_bytes(want), c->remaining[tensor]), tensor);
    cpu_copy(c, value, copy);
    return copy;
}

int32_t cpu_use_dense(CpuCompiler *c, int32_t tensor, dnnl_data_type_t type)
{
    const GpudlPlanTensor *t = cpu_tensor(c, tensor);
    DnnMd want = cpu_is_f32(c, tensor) ? dnn_md_dense(type, t->shape.rank, t->shape.dims) : NULL;
    int32_t value;

    if (want == NULL && cpu_is_f32(c, tensor))
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "tensor '%s': oneDNN has no layout for it", t->name);
    value = cpu_use(c, tensor, want);
    dnn_md_free(want);
    return value;
}

int32_t cpu_use_plain(CpuCompiler *c, int32_t tensor)
{
    return cpu_use_dense(c, tensor, dnnl_f32);
}

dnnl_data_type_t cpu_lying_type(CpuCompiler *c, int32_t tensor)
{
    int32_t value = cpu_use_lying(c, tensor);
    DnnMdRef md = value >= 0 ? cpu_value_md(c, value) : NULL;

    return md != NULL ? dnn_md_type(md) : dnnl_data_type_undef;
}

dnnl_data_type_t cpu_result_type(const CpuCompiler *c, int32_t tensor, dnnl_data_type_t type)
{
    return c->wide[tensor] ? dnnl_f32 : type;
}

int32_t cpu_define(CpuCompiler *c, int32_t tensor, DnnMd md)
{
    uint64_t bytes = md != NULL ? dnn_md_bytes(md) : cpu_tensor(c, tensor)->bytes;

    return add_value(c, md, add_block(c, NULL, bytes, c->remaining[tensor]), tensor);
}

void cpu_expect(CpuCompiler *c, int32_t value, int32_t uses)
{
    CpuBlock *blocks = c->program->blocks, *block = &blocks[c->program->values[value].block];

    block->pending += uses;
    for (; block->within >= 0; block = &blocks[block->within])
        blocks[block->within].held += uses;
}

int32_t cpu_define_alias(CpuCompiler *c, int32_t tensor, DnnMd md, int32_t value)
{
    if (c->status != GPUDL_STATUS_OK || value < 0) {
        dnn_md_free(md);
        return -1;
    }
    cpu_expect(c, value, c->remaining[tensor]);
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

/* Chains of parts are walked for each use: what is nested deeper is copied. */
#define MOST_LEVELS 64

static void make_part(CpuProgram *p, int32_t block, int32_t whole, uint64_t at)
{
    CpuBlock *part = &p->blocks[block];

    part->within = whole;
    part->at = at;
    if (p->blocks[whole].levels <= part->levels)
        p->blocks[whole].levels = part->levels + 1;
    for (; whole >= 0; whole = p->blocks[whole].within)
        p->blocks[whole].held += part->pending + part->held;
}

int cpu_put_into(CpuCompiler *c, int32_t value, int32_t whole, uint64_t at)
{
    const CpuProgram *p = c->program;
    const CpuBlock *block;

    if (c->status != GPUDL_STATUS_OK || value < 0 || whole < 0 || at % CPU_ALIGNMENT != 0)
        return 0;
    block = &p->blocks[p->values[value].block];
    if (block->constant != NULL || block->fixed || block->within >= 0 || block->levels >= MOST_LEVELS ||
        p->values[value].md == NULL || block->bytes != dnn_md_bytes(p->values[value].md))
        return 0;
    make_part(c->program, p->values[value].block, p->values[whole].block, at);
    return 1;
}

int32_t cpu_part(CpuCompiler *c, DnnMd md, int32_t whole, uint64_t at)
{
    int32_t value;

    if (md == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    value = cpu_temporary(c, md);
    if (value >= 0 && whole >= 0)
        make_part(c->program, c->program->values[value].block, c->program->values[whole].block, at);
    return whole >= 0 ? value : -1;
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
    if (block->constant != NULL || block->within >= 0 || block->held > 0) /* a part's whole may be read yet */
        return 0;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] >= 0)
            for (int32_t v = c->tensor_values[node->inputs[i]]; v >= 0; v = c->next_value[v])
                own += c->program->values[v].block == c->program->values[value].block;
    return block->pending <= own;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

CpuStep *cpu_add_step(CpuCompiler *c)
{
    CpuProgram *p = c->program;

    if (c->status != GPUDL_STATUS_OK || !grow(c, &p->steps, p->n_steps, &c->step_room, sizeof *p->steps))
        return NULL;
    p->steps[p->n_steps] = (CpuStep){.node = c->node, .last_node = c->last_node, .what = ""};
    return &p->steps[p->n_steps++];
}

void cpu_touch(CpuCompiler *c, int32_t value)
{
    CpuBlock *block = &c->program->blocks[c->program->values[value].block];
    int32_t step = (int32_t)c->program->n_steps - 1;

    block->used = 1;
    if (block->last < step)
        block->last = step;
}

/* A node may have reorders besides its own step: their names say what they are. */
static void name_reorder(CpuCompiler *c, CpuStep *step)
{
    const char format[] = "reorder %s";
    size_t size = sizeof format + strlen(step->what);

    step->label = malloc(size);
    if (step->label == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return;
    }
    snprintf(step->label, size, format, step->what);
    step->what = step->label;
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
    step = cpu_add_step(c);
    if (step != NULL) {
        step->args = calloc(n + 1, sizeof *step->args);
        if (step->args == NULL || (!c->shared->dry && dnnl_primitive_create(&step->primitive, pd) != dnnl_success)) {
            cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "node '%s': oneDNN could not make %s", c->plan->nodes[c->node].name,
                     dnn_pd_name(pd));
        } else {
            const_dnnl_primitive_desc_t kept = NULL;

            memcpy(step->args, args, n * sizeof *args);
            step->n_args = n;
            if (scratch_value >= 0)
                step->args[step->n_args++] = (CpuArg){DNNL_ARG_SCRATCHPAD, scratch_value};
            for (uint32_t i = 0; i < step->n_args; i++)
                cpu_touch(c, step->args[i].value);
            if (step->primitive != NULL && dnnl_primitive_get_primitive_desc(step->primitive, &kept) == dnnl_success)
                step->what = dnn_pd_name((dnnl_primitive_desc_t)kept);
            if (dnn_primitive_kind(step->primitive) == dnnl_reorder)
                name_reorder(c, step);
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
                  cpu_define(c, node->outputs[i], cpu_plain_md(c, node->outputs[i])));
    step = cpu_add_step(c);
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
            cpu_touch(c, call->values[i]);
}

int cpu_act_drops_nan(const GpudlAct *act)
{
    return act->kind != GPUDL_ACT_NONE; /* which ones do depends on processor and layout */
}

GpudlAct cpu_fused(const CpuCompiler *c, const GpudlAct *act)
{
    return c->exact && cpu_act_drops_nan(act) ? (GpudlAct){GPUDL_ACT_NONE, 0.f, 0.f} : *act;
}

void cpu_apply_exact(CpuCompiler *c, const GpudlAct *act, int32_t value)
{
    CpuStep *step;

    if (!c->exact || !cpu_act_drops_nan(act) || value < 0)
        return;
    step = cpu_add_step(c);
    if (step == NULL)
        return;
    step->act = act;
    step->act_value = value;
    step->what = "reference kernel";
    cpu_touch(c, value);
}
