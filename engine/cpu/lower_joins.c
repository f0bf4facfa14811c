/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Concatenation. One that only others of its kind and batch normalisations read is not made: it waits, as a list of
 * pieces, for its readers. Those take the pieces from where they lie: DenseNet's growing lists are copied once per
 * layer, by the pass that normalises them, instead of twice. Convolutions can't do so: of oneDNN's generated code for
 * channels last none reads or writes a slice of the channels. In blocks of channels a slice of one frame is a piece of
 * memory: there, as in any layout whose pieces lie one behind the other, a list's pieces are computed where they
 * belong.
 */
#include <math.h>
#include <stdlib.h>

#include "kernels/join.h"
#include "lower.h"

/* Longer lists are made at once: whoever reads one looks at all of it. */
#define MOST_PIECES 256

/* ---- lists that wait --------------------------------------------------------------------------------------------- */

/* The node whose result is not made, -1: it is, or is no such thing. */
static int32_t waiting_node(const CpuCompiler *c, int32_t tensor)
{
    return c->waiting != NULL ? c->waiting[tensor].node : -1;
}

int cpu_is_waiting(const CpuCompiler *c, int32_t tensor)
{
    return waiting_node(c, tensor) >= 0 && c->tensor_values[tensor] < 0;
}

void cpu_hold(CpuCompiler *c, int32_t tensor, int32_t uses)
{
    int32_t made_by = waiting_node(c, tensor);
    const GpudlPlanNode *node = made_by >= 0 ? &c->plan->nodes[made_by] : NULL;

    c->remaining[tensor] += uses;
    for (int32_t v = c->tensor_values[tensor]; v >= 0; v = c->next_value[v])
        cpu_expect(c, v, uses);
    for (uint32_t i = 0; node != NULL && i < node->n_inputs; i++)
        cpu_hold(c, node->inputs[i], uses);
}

/* Scale, bias, mean and variance are known now. */
static int is_affine(const CpuCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 1; i < 5; i++)
        if (node->n_inputs != 5 || node->inputs[i] < 0 || !cpu_is_constant(c, node->inputs[i]))
            return 0;
    return node->n_outputs == 1 && cpu_tensor(c, node->inputs[0])->shape.rank >= 3;
}

static int joins_channels(const GpudlPlanNode *node)
{
    return node->op == GPUDL_OP_CONCAT && ((const GpudlAttrs *)node->attrs)->axis.axis == 1;
}

/* Counts, of each tensor, the uses that can take it in pieces. */
static int begin_waiting(CpuCompiler *c)
{
    if (c->waiting != NULL)
        return 1;
    c->waiting = calloc(c->plan->n_tensors + 1, sizeof *c->waiting);
    if (c->waiting == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 0;
    }
    for (uint32_t i = 0; i < c->plan->n_tensors; i++)
        c->waiting[i].node = -1;
    for (uint32_t i = 0; i < c->plan->n_nodes; i++) {
        const GpudlPlanNode *node = &c->plan->nodes[i];

        if (node->op == GPUDL_OP_BATCH_NORM && is_affine(c, node))
            c->waiting[node->inputs[0]].uses++;
        for (uint32_t k = 0; k < node->n_inputs && joins_channels(node); k++)
            if (node->inputs[k] >= 0)
                c->waiting[node->inputs[k]].uses++;
    }
    return 1;
}

/* The tensors that a concatenation joins, those of waiting ones in their place; only counted where pieces is NULL. */
static uint32_t gather(const CpuCompiler *c, const GpudlPlanNode *node, int32_t *pieces, uint32_t n)
{
    for (uint32_t i = 0; i < node->n_inputs && n <= MOST_PIECES; i++) {
        if (joins_channels(node) && cpu_is_waiting(c, node->inputs[i])) {
            n = gather(c, &c->plan->nodes[waiting_node(c, node->inputs[i])], pieces, n);
            continue;
        }
        if (pieces != NULL && n < MOST_PIECES)
            pieces[n] = node->inputs[i];
        n++;
    }
    return n;
}

static int may_wait(CpuCompiler *c, const GpudlPlanNode *node)
{
    int32_t y = node->outputs[0];

    return joins_channels(node) && node->n_inputs > 1 && cpu_tensor(c, y)->shape.rank >= 3 &&
           cpu_tensor(c, y)->n_uses > 0 && begin_waiting(c) && c->waiting[y].uses == cpu_tensor(c, y)->n_uses &&
           gather(c, node, NULL, 0) <= MOST_PIECES;
}

/* ---- one pass over all pieces ------------------------------------------------------------------------------------ */

static int64_t product(const int64_t *dims, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= dims[i];
    return n;
}

/* The widest vectors that oneDNN may use here, too. */
static const GpudlJoinKernels *choose_kernels(dnnl_data_type_t type)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        GpudlJoinIsa kernels;
    } all[] = {{dnnl_cpu_isa_avx512_core_bf16, GPUDL_JOIN_AVX512_BF16},
               {dnnl_cpu_isa_avx512_core, GPUDL_JOIN_AVX512},
               {dnnl_cpu_isa_avx2, GPUDL_JOIN_AVX2}};
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    const GpudlJoinKernels *kernels = NULL;

    for (size_t i = type == dnnl_bf16 ? 0 : 1; kernels == NULL && i < sizeof all / sizeof all[0]; i++)
        if ((isa & (unsigned)all[i].isa) == (unsigned)all[i].isa)
            kernels = gpudl_join_kernels(all[i].kernels);
    return kernels != NULL ? kernels : gpudl_join_kernels(GPUDL_JOIN_GENERIC);
}

/* The layout that most of the bytes have already, for the tensor y; NULL if it is none that pieces can be put into. */
static DnnMd joined_md(CpuCompiler *c, const int32_t *pieces, uint32_t n, int32_t y, int axis, int scaled)
{
    int32_t leading = pieces[0], value;
    DnnMd own, md;
    int kind;

    for (uint32_t i = 1; i < n; i++)
        if (cpu_tensor(c, pieces[i])->bytes > cpu_tensor(c, leading)->bytes)
            leading = pieces[i];
    value = cpu_use_lying(c, leading);
    own = value >= 0 ? dnn_md_like(cpu_value_md(c, value), cpu_tensor(c, y)->shape.dims) : NULL;
    md = own != NULL && c->wide[y] ? dnn_md_as(own, dnnl_f32) : own != NULL ? dnn_md_copy(own) : NULL;
    dnn_md_free(own);
    kind = md != NULL ? dnn_md_kind(md) : -1;
    for (uint32_t i = 0; i < n && kind > 1; i++) /* a block has channels of one piece alone */
        kind = axis == 1 && cpu_tensor(c, pieces[i])->shape.dims[1] % kind == 0 ? kind : -1;
    if (kind < 0 || (kind == 0 && scaled) || (kind == 1 && axis != 1)) {
        dnn_md_free(md);
        return NULL;
    }
    return md;
}

/* Pieces beside one another: rows of each into columns of y, all float32 or all bfloat16 (narrow). Scaled, and ReLU
 * then: in rows of channels (block 0), or in frames of blocks of so many channels, each of which has plane rows. Its
 * uses are y, scale and shift (of one number a channel) if scaled, then the pieces. */
typedef struct {
    const GpudlJoinKernels *kernels;
    int64_t rows, pitch; /* of y, in elements; with blocks: frames, and elements of one */
    int64_t block, plane;
    int scaled, relu, narrow;
    uint32_t n;
    int64_t columns[]; /* of each piece */
} Join;

static const void *piece_data(const Join *join, void *const *data, uint32_t i)
{
    return data[(join->scaled ? 3 : 1) + i];
}

#define JOIN_BYTES 32768 /* of y that are written at a time, by all pieces: they stay in the first cache */

static void join_rows(const Join *join, void *const *data, int64_t first, int64_t rows)
{
    const int64_t size = join->narrow ? sizeof(uint16_t) : sizeof(float);
    const float *scale = join->scaled ? data[1] : NULL, *shift = join->scaled ? data[2] : NULL;
    char *y = (char *)data[0] + first * join->pitch * size;

    for (uint32_t i = 0; i < join->n; i++) {
        const int64_t n = join->columns[i];
        const char *x = (const char *)piece_data(join, data, i) + first * n * size;

        if (scale == NULL)
            join->kernels->copy(x, n * size, rows, n * size, y, join->pitch * size);
        else if (join->narrow)
            join->kernels->bf16((const uint16_t *)x, n, rows, n, scale, shift, join->relu, (uint16_t *)y, join->pitch);
        else
            join->kernels->f32((const float *)x, n, rows, n, scale, shift, join->relu, (float *)y, join->pitch);
        y += n * size;
        if (scale != NULL) {
            scale += n;
            shift += n;
        }
    }
}

static void join_blocks(const Join *join, void *const *data)
{
    const int64_t size = join->narrow ? sizeof(uint16_t) : sizeof(float), b = join->block;
    char *y = data[0];

    for (int64_t frame = 0; frame < join->rows; frame++) {
        const float *scale = data[1], *shift = data[2];

        for (uint32_t i = 0; i < join->n; i++) {
            const int64_t n = join->columns[i];
            const char *x = (const char *)piece_data(join, data, i) + frame * n * size;

            for (int64_t at = 0; at < n; at += b * join->plane, scale += b, shift += b) {
                if (join->narrow)
                    join->kernels->bf16((const uint16_t *)x, b, join->plane, b, scale, shift, join->relu, (uint16_t *)y,
                                        b);
                else
                    join->kernels->f32((const float *)x, b, join->plane, b, scale, shift, join->relu, (float *)y, b);
                x += b * join->plane * size;
                y += b * join->plane * size;
            }
        }
    }
}

static void run(const void *problem, void *const *data)
{
    const Join *join = problem;
    const int64_t size = join->narrow ? sizeof(uint16_t) : sizeof(float);
    const int64_t few = JOIN_BYTES / (join->pitch * size), at_once = few > 1 ? few : 1;

    if (join->block > 0) {
        join_blocks(join, data);
        return;
    }
    for (int64_t first = 0; first < join->rows; first += at_once)
        join_rows(join, data, first, join->rows - first < at_once ? join->rows - first : at_once);
}

/* Fills in what the layout says: rows and the columns of each piece. */
static void shape_join(const CpuCompiler *c, Join *join, const int32_t *pieces, int32_t y, int axis, DnnMdRef md)
{
    const GpudlShape *shape = &cpu_tensor(c, y)->shape;
    const int kind = dnn_md_kind(md);
    const int64_t plane = product(shape->dims, axis + 1, shape->rank), frames = product(shape->dims, 0, axis);
    const int64_t each = kind == 1 ? 1 : plane;

    join->narrow = dnn_md_type(md) == dnnl_bf16;
    join->rows = kind == 1 ? frames * plane : frames;
    join->pitch = shape->dims[axis] * each;
    join->block = join->scaled && kind > 1 ? kind : 0;
    join->plane = plane;
    for (uint32_t i = 0; i < join->n; i++)
        join->columns[i] = cpu_tensor(c, pieces[i])->shape.dims[axis] * each;
}

/* y's pieces lie one behind the other: they are computed where they belong, but for those that can't be, which are
 * copied there. md is taken over. */
static void lay_side_by_side(CpuCompiler *c, const int32_t *pieces, uint32_t n, int32_t y, DnnMd md)
{
    const int32_t whole = cpu_define(c, y, md);
    uint64_t at = 0;

    for (uint32_t i = 0; i < n && whole >= 0; i++) {
        DnnMd like = dnn_md_like(md, cpu_tensor(c, pieces[i])->shape.dims);
        const int32_t value = like != NULL ? cpu_use(c, pieces[i], like) : -1;
        const uint64_t bytes = like != NULL ? dnn_md_bytes(like) : 0;

        if (like == NULL)
            cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        if (value >= 0 && !cpu_put_into(c, value, whole, at))
            cpu_copy(c, value, cpu_part(c, dnn_md_copy(like), whole, at));
        at += bytes;
        dnn_md_free(like);
    }
}

/* All pieces into y; scale and shift are values, -1: none. FALSE, having added nothing, where that can't be. */
static int join(CpuCompiler *c, const GpudlPlanNode *concat, int32_t y, int32_t scale, int32_t shift, int relu)
{
    const int axis = ((const GpudlAttrs *)concat->attrs)->axis.axis;
    int32_t pieces[MOST_PIECES];
    uint32_t n = gather(c, concat, pieces, 0);
    DnnMd md = n <= MOST_PIECES ? joined_md(c, pieces, n, y, axis, scale >= 0) : NULL;
    const uint32_t first = scale >= 0 ? 3 : 1;
    const size_t size = sizeof(Join) + n * sizeof(int64_t);
    CpuUse uses[3 + MOST_PIECES] = {{-1, 1}, {scale, 1}, {shift, 1}};
    Join *made = NULL;

    if (md != NULL) {
        const GpudlJoinKernels *kernels = choose_kernels(dnn_md_type(md));

        if (scale < 0 || dnn_md_type(md) != dnnl_bf16 || kernels->bf16 != NULL)
            made = calloc(1, size);
        if (made != NULL)
            *made = (Join){.kernels = kernels, .n = n, .scaled = scale >= 0, .relu = relu};
    }
    if (made == NULL) {
        dnn_md_free(md);
        return 0;
    }
    shape_join(c, made, pieces, y, axis, md);
    if (scale < 0 && made->rows == 1) {
        lay_side_by_side(c, pieces, n, y, md);
        free(made);
        return 1;
    }
    for (uint32_t i = 0; i < n; i++) {
        DnnMd like = dnn_md_like(md, cpu_tensor(c, pieces[i])->shape.dims);

        uses[first + i] = (CpuUse){like != NULL ? cpu_use(c, pieces[i], like) : -1, 1};
        dnn_md_free(like);
    }
    uses[0].value = cpu_define(c, y, md);
    cpu_own(c, made->kernels->name, run, made, size, first + n, uses);
    free(made);
    return 1;
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static int lower_now(CpuCompiler *c, const GpudlPlanNode *node)
{
    return join(c, node, node->outputs[0], -1, -1, 0) || cpu_lower_concat_copy(c, node);
}

int cpu_lower_concat(CpuCompiler *c, const GpudlPlanNode *node)
{
    int32_t y = node->outputs[0];

    if (!may_wait(c, node))
        return c->status == GPUDL_STATUS_OK && lower_now(c, node);
    for (uint32_t i = 0; i < node->n_inputs; i++)
        cpu_hold(c, node->inputs[i], cpu_tensor(c, y)->n_uses);
    c->waiting[y].node = c->node;
    return 1;
}

void cpu_make_waiting(CpuCompiler *c, int32_t tensor)
{
    int32_t node = c->node, last_node = c->last_node;

    c->node = c->last_node = waiting_node(c, tensor);
    if (!lower_now(c, &c->plan->nodes[c->node]))
        cpu_call(c);
    c->node = node;
    c->last_node = last_node;
}

/* factors[0] = scale / sqrt(variance + epsilon), factors[1] = bias - mean * that. Values of theirs, -1 on failure. */
static void affine_values(CpuCompiler *c, const GpudlPlanNode *node, int32_t values[2])
{
    const float epsilon = ((const GpudlAttrs *)node->attrs)->batch_norm.epsilon;
    const float *parameters[4];
    const int64_t n = cpu_tensor(c, node->inputs[1])->shape.dims[0];
    const uint64_t bytes = (uint64_t)n * sizeof(float);
    DnnMd md = dnn_md_plain(1, &n);

    for (int i = 0; i < 4; i++)
        parameters[i] = cpu_tensor(c, node->inputs[1 + i])->data;
    for (int part = 0; part < 2; part++) {
        float *factors;

        values[part] = md != NULL ? cpu_find_constant(c, part, md) : -1;
        if (values[part] >= 0 || md == NULL)
            continue;
        factors = cpu_aligned_bytes(bytes);
        for (int64_t i = 0; factors != NULL && i < n; i++) {
            double factor = parameters[0][i] / sqrt((double)parameters[3][i] + epsilon);

            factors[i] = (float)(part == 0 ? factor : parameters[1][i] - parameters[2][i] * factor);
        }
        values[part] = cpu_constant(c, part, dnn_md_copy(md), factors, bytes);
    }
    dnn_md_free(md);
}

int cpu_lower_joined_norm(CpuCompiler *c, const GpudlPlanNode *node, int32_t relu)
{
    int32_t y = relu >= 0 ? c->plan->nodes[relu].outputs[0] : node->outputs[0], factors[2];
    int32_t last_node = c->last_node;

    if (!cpu_is_waiting(c, node->inputs[0]) || !is_affine(c, node))
        return 0;
    affine_values(c, node, factors);
    if (factors[0] < 0 || factors[1] < 0)
        return 0;
    if (relu >= 0 && c->last_node < relu)
        c->last_node = relu;
    if (!join(c, &c->plan->nodes[waiting_node(c, node->inputs[0])], y, factors[0], factors[1], relu >= 0)) {
        c->last_node = last_node;
        return 0;
    }
    if (relu >= 0)
        cpu_cover(c, relu);
    return 1;
}
