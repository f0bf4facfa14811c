/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operators that move data: views where strides can say it, else one copy. */
#include <stdlib.h>
#include <string.h>

#include "lower_windows.h"

/* ---- concatenation ----------------------------------------------------------------------------------------------- */

/* Whether a slice of a tensor in its default layout has whole pixels, which cuDNN and the vectors of kernels want. */
static int is_whole_slice(const GpudlShape *whole, const GpudlShape *slice, int32_t axis, int64_t start)
{
    if (axis != 1 || (whole->rank != 4 && whole->rank != 2))
        return whole->rank == 4 || whole->rank == 2;
    return start % CUDA_CHANNELS == 0 && slice->dims[1] % CUDA_CHANNELS == 0;
}

static int32_t axis_of(const GpudlPlanNode *concat)
{
    return ((const GpudlAttrs *)concat->attrs)->axis.axis;
}

static int is_concat(const CudaCompiler *c, uint32_t n)
{
    return c->plan->nodes[n].op == GPUDL_OP_CONCAT && !cuda_is_shuffle(c, (int32_t)n);
}

/* Concatenations by the first tensor that they read: heads per tensor, next per node, -1: no more. */
typedef struct {
    int32_t *heads, *next;
} Concats;

static int list_concats(CudaCompiler *c, Concats *concats)
{
    const uint32_t n_tensors = c->plan->n_tensors, n_nodes = c->plan->n_nodes;

    concats->heads = malloc(((size_t)n_tensors + n_nodes + 1) * sizeof *concats->heads);
    if (concats->heads == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 0;
    }
    concats->next = concats->heads + n_tensors;
    for (uint32_t i = 0; i < n_tensors; i++)
        concats->heads[i] = -1;
    for (uint32_t n = 0; n < n_nodes; n++)
        if (is_concat(c, n)) {
            int32_t *head = &concats->heads[c->plan->nodes[n].inputs[0]];

            concats->next[n] = *head;
            *head = (int32_t)n;
        }
    return 1;
}

/* The largest concatenation that begins with all inputs of this one, as DenseNet's do layer by layer: this is a slice
 * of it. NULL: there is none. */
static const GpudlPlanNode *find_longer(const CudaCompiler *c, const Concats *concats, const GpudlPlanNode *node)
{
    const GpudlPlanNode *longest = NULL;

    for (int32_t n = concats->heads[node->inputs[0]]; n >= 0; n = concats->next[n]) {
        const GpudlPlanNode *other = &c->plan->nodes[n];

        if (other->n_inputs > node->n_inputs && axis_of(other) == axis_of(node) &&
            (longest == NULL || other->n_inputs > longest->n_inputs) &&
            memcmp(other->inputs, node->inputs, node->n_inputs * sizeof *node->inputs) == 0)
            longest = other;
    }
    return longest;
}

static void target(CudaCompiler *c, int32_t tensor, const GpudlPlanNode *concat, int64_t start)
{
    const int32_t to = concat->outputs[0];

    if (cuda_tensor(c, tensor)->kind == GPUDL_PLAN_VALUE && c->targets[tensor].concat < 0 && tensor != to &&
        is_whole_slice(&cuda_tensor(c, to)->shape, &cuda_tensor(c, tensor)->shape, axis_of(concat), start))
        c->targets[tensor] = (CudaTarget){to, axis_of(concat), start};
}

void cuda_plan_targets(CudaCompiler *c)
{
    Concats concats;

    if (!list_concats(c, &concats))
        return;
    for (uint32_t n = 0; n < c->plan->n_nodes; n++) {
        const GpudlPlanNode *node = &c->plan->nodes[n], *longer;
        int64_t start = 0;

        if (!is_concat(c, n))
            continue;
        longer = find_longer(c, &concats, node);
        if (longer != NULL)
            target(c, node->outputs[0], longer, 0);
        for (uint32_t i = 0; i < node->n_inputs && longer == NULL; i++) {
            target(c, node->inputs[i], node, start);
            start += cuda_tensor(c, node->inputs[i])->shape.dims[axis_of(node)];
        }
    }
    free(concats.heads);
}

/* Whether a tensor has been made where it belongs. */
static int is_in_place(const CudaCompiler *c, int32_t tensor, const CudaValue *slice)
{
    const CudaValue *v = cuda_value(c, c->tensor_values[tensor]);

    return c->targets[tensor].concat >= 0 && v->block == slice->block && v->offset == slice->offset &&
           memcmp(v->strides, slice->strides, (size_t)slice->shape.rank * sizeof *v->strides) == 0;
}

int cuda_lower_concat(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t axis = ((const GpudlAttrs *)node->attrs)->axis.axis, concat = node->outputs[0];
    int64_t start = 0;

    if (c->tensor_values[concat] < 0)
        cuda_define(c, concat);
    for (uint32_t i = 0; i < node->n_inputs && c->status == GPUDL_STATUS_OK; i++) {
        const int empty = gpudl_shape_elements(&cuda_tensor(c, node->inputs[i])->shape) == 0;
        const int32_t x = empty ? -1 : cuda_use(c, node->inputs[i]);
        CudaValue slice;

        if (empty)
            continue;
        slice = *cuda_value(c, c->tensor_values[concat]);

        if (x < 0)
            return 0;
        slice.offset += start * slice.strides[axis];
        slice.shape = cuda_tensor(c, node->inputs[i])->shape;
        slice.finite = 0;
        if (!is_in_place(c, node->inputs[i], &slice))
            cuda_copy(c, x, cuda_add_value(c, &slice));
        start += slice.shape.dims[axis];
    }
    return c->status == GPUDL_STATUS_OK;
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

/* The tensor is this view; where it has a target, a copy of it. */
static int define_as(CudaCompiler *c, int32_t tensor, const CudaValue *view)
{
    if (c->targets[tensor].concat < 0)
        return cuda_define_view(c, tensor, view) >= 0;
    cuda_copy(c, cuda_add_value(c, view), cuda_define(c, tensor));
    return c->status == GPUDL_STATUS_OK;
}

int cuda_lower_identity(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t x = cuda_use(c, node->inputs[0]);
    CudaValue view;

    if (x < 0)
        return 0;
    view = *cuda_value(c, x);
    return define_as(c, node->outputs[0], &view);
}

/* Pictures as rows for a product with a constant matrix: as they lie, since the matrix's columns can be packed in that
 * order. Batches that are compiled later have those of the first one. FALSE if nothing was made of them. */
static int turn_rows(CudaCompiler *c, const GpudlPlanNode *node, int32_t x)
{
    const int32_t rows = node->outputs[0], reader = cuda_only_reader(c, rows, GPUDL_OP_GEMM);
    const int32_t weights = (int32_t)c->plan->n_tensors + reader;
    const GpudlShape *shape = &cuda_tensor(c, rows)->shape;
    CudaValue view = *cuda_value(c, x);
    const GpudlShape pictures = view.shape;
    GpudlNhwc xs;

    if (reader < 0 || c->plan->nodes[reader].inputs[0] != rows || c->targets[rows].concat >= 0 || pictures.rank != 4 ||
        shape->rank != 2 || shape->dims[0] != pictures.dims[0] || pictures.dims[1] % CUDA_CHANNELS != 0 ||
        view.dtype != c->dtype || !cuda_is_product_of_rows(c, &c->plan->nodes[reader]) ||
        cuda_weights_find(c->weights, weights, CUDA_PART_WEIGHTS) != NULL)
        return 0;
    if (!cuda_value_nhwc(&view, &xs) || xs.pitch != xs.c || view.offset % CUDA_CHANNELS != 0) {
        const int32_t dense = cuda_weights_find(c->weights, weights, CUDA_PART_TURNED) != NULL
                                  ? cuda_temporary(c, c->dtype, &pictures, 1)
                                  : -1;

        if (dense < 0)
            return 0;
        cuda_copy(c, x, dense);
        view = *cuda_value(c, dense);
    }
    view.shape = *shape;
    view.strides[0] = shape->dims[1];
    view.strides[1] = 1;
    view.finite = 0;
    c->turned[rows] = (int32_t)(pictures.dims[2] * pictures.dims[3]);
    return cuda_define_view(c, rows, &view) >= 0;
}

int cuda_lower_reshape(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlShape *shape = &cuda_tensor(c, node->outputs[0])->shape;
    const int32_t x = cuda_use(c, node->inputs[0]);
    CudaValue view, from;
    int32_t y;

    if (x < 0)
        return 0;
    from = *cuda_value(c, x);
    if (cuda_reshape_view(&from, shape, &view))
        return define_as(c, node->outputs[0], &view);
    if (turn_rows(c, node, x))
        return 1;
    /* written as the source has it into memory that the result's layout can be read from */
    y = cuda_define(c, node->outputs[0]);
    if (y < 0)
        return 0;
    if (cuda_reshape_view(cuda_value(c, y), &from.shape, &view)) {
        view.dtype = cuda_value(c, y)->dtype;
        cuda_copy(c, x, cuda_add_value(c, &view));
    } else { /* row by row in between */
        const int32_t dense = cuda_temporary(c, from.dtype, &from.shape, 0);

        cuda_copy(c, x, dense);
        if (dense < 0 || !cuda_reshape_view(cuda_value(c, dense), shape, &view))
            return 0;
        cuda_copy(c, cuda_add_value(c, &view), y);
    }
    return c->status == GPUDL_STATUS_OK;
}

int cuda_lower_transpose(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t *perm = ((const GpudlAttrs *)node->attrs)->transpose.perm;
    const int32_t x = cuda_use(c, node->inputs[0]);
    CudaValue view, from;

    if (x < 0)
        return 0;
    view = from = *cuda_value(c, x);
    view.finite = 0;
    view.shape = cuda_tensor(c, node->outputs[0])->shape;
    for (int i = 0; i < view.shape.rank; i++)
        view.strides[i] = from.strides[perm[i]];
    return define_as(c, node->outputs[0], &view);
}

int cuda_lower_expand(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlShape *shape = &cuda_tensor(c, node->outputs[0])->shape;
    const int32_t x = cuda_use(c, node->inputs[0]);
    CudaValue view, from;
    int ahead;

    if (x < 0)
        return 0;
    view = from = *cuda_value(c, x);
    view.finite = 0;
    view.shape = *shape;
    ahead = shape->rank - from.shape.rank;
    for (int i = 0; i < shape->rank; i++)
        view.strides[i] = i < ahead || from.shape.dims[i - ahead] == 1 ? 0 : from.strides[i - ahead];
    return define_as(c, node->outputs[0], &view);
}

int cuda_lower_split(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t axis = ((const GpudlAttrs *)node->attrs)->axis.axis, x = cuda_use(c, node->inputs[0]);
    int64_t start = 0;

    for (uint32_t i = 0; i < node->n_outputs && x >= 0 && c->status == GPUDL_STATUS_OK; i++) {
        CudaValue view = *cuda_value(c, x);

        view.finite = 0;
        view.shape = cuda_tensor(c, node->outputs[i])->shape;
        view.offset += start * view.strides[axis];
        start += view.shape.dims[axis];
        define_as(c, node->outputs[i], &view);
    }
    return c->status == GPUDL_STATUS_OK;
}

int cuda_lower_slice(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlSliceAttrs *attrs = &((const GpudlAttrs *)node->attrs)->slice;
    const int32_t x = cuda_use(c, node->inputs[0]);
    int backwards = 0;
    CudaValue view, from;

    if (x < 0)
        return 0;
    view = from = *cuda_value(c, x);
    view.finite = 0;
    view.shape = cuda_tensor(c, node->outputs[0])->shape;
    for (int i = 0; i < view.shape.rank; i++) {
        const int64_t extent = from.shape.dims[i];
        int64_t start = attrs->start[i] < 0 ? attrs->start[i] + extent : attrs->start[i];

        /* walking down begins at the last element at most */
        start = start < 0 ? 0 : start > extent ? extent : start;
        if (attrs->step[i] < 0 && start == extent)
            start--;
        backwards |= attrs->step[i] < 0 && view.shape.dims[i] > 1;
        view.offset += start * from.strides[i];
        view.strides[i] = view.shape.dims[i] > 1 ? from.strides[i] * attrs->step[i] : 0;
    }
    if (!backwards)
        return define_as(c, node->outputs[0], &view);
    cuda_copy(c, cuda_add_value(c, &view), cuda_define(c, node->outputs[0])); /* kernels take no strides below 0 */
    return c->status == GPUDL_STATUS_OK;
}
