/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GELU, Mish, sigmoid and SiLU written out in sums, products and one function. What is read elsewhere, too, stays as it
 * is.
 *
 * GELU has many writings, all of them polynomials of x and of f(polynomial of x): both are multiplied out and the
 * coefficients compared, so that the order of operands, the place of constants and the way powers are made do not
 * matter.
 */
#include <math.h>
#include <string.h>

#include "rewrite.h"

#define MOST_DEGREE 3
#define MOST_PARTS 16

/* Coefficients by power of the function's value and of x. */
typedef struct {
    double at[2][MOST_DEGREE + 1];
} Polynomial;

typedef struct {
    GpudlTensor *tensor;
    Polynomial value;
    guint reads;
} Part;

typedef struct {
    const GpudlRewrite *rw;
    GpudlTensor *x, *function; /* function NULL: none known */
    guint function_reads, n_parts;
    Part parts[MOST_PARTS];
} Reader;

static gboolean nearly(double value, double expected)
{
    return fabs(value - expected) <= 1e-6 * MAX(fabs(expected), .04);
}

static gboolean multiply(const Polynomial *a, const Polynomial *b, Polynomial *product)
{
    memset(product, 0, sizeof(*product));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j <= MOST_DEGREE; j++)
            for (int k = 0; k <= MOST_DEGREE; k++) {
                const int f = i / 2 + i % 2;
                const double value = a->at[i / 2][j] * b->at[i % 2][k];

                if (value == 0)
                    continue;
                if (f > 1 || j + k > MOST_DEGREE)
                    return FALSE;
                product->at[f][j + k] += value;
            }
    return TRUE;
}

static gboolean is_number(const Polynomial *p, double *number)
{
    Polynomial rest = *p;

    *number = p->at[0][0];
    rest.at[0][0] = 0;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k <= MOST_DEGREE; k++)
            if (rest.at[i][k] != 0)
                return FALSE;
    return TRUE;
}

static gboolean read_tensor(Reader *r, GpudlTensor *tensor, Polynomial *value, guint depth);

static gboolean combine(GpudlOp op, const Polynomial *a, const Polynomial *b, Polynomial *value)
{
    const double sign = op == GPUDL_OP_SUB ? -1 : 1;
    Polynomial square;
    double number;

    switch (op) {
    case GPUDL_OP_ADD:
    case GPUDL_OP_SUB:
        for (int i = 0; i < 2; i++)
            for (int k = 0; k <= MOST_DEGREE; k++)
                value->at[i][k] = a->at[i][k] + sign * b->at[i][k];
        return TRUE;
    case GPUDL_OP_MUL:
        return multiply(a, b, value);
    case GPUDL_OP_DIV:
        if (!is_number(b, &number) || number == 0)
            return FALSE;
        for (int i = 0; i < 2; i++)
            for (int k = 0; k <= MOST_DEGREE; k++)
                value->at[i][k] = a->at[i][k] / number;
        return TRUE;
    case GPUDL_OP_POW:
        if (!is_number(b, &number) || (number != 2 && number != 3) || !multiply(a, a, &square))
            return FALSE;
        *value = square;
        return number == 2 || multiply(&square, a, value);
    default:
        return FALSE;
    }
}

/* The node's value; its inputs count as read. */
static gboolean read_node(Reader *r, const GpudlNode *node, Polynomial *value, guint depth)
{
    Polynomial a, b;

    if (node->op == GPUDL_OP_NEG) {
        const Polynomial zero = {{{0}}};

        return read_tensor(r, node->inputs[0], &a, depth) && combine(GPUDL_OP_SUB, &zero, &a, value);
    }
    if (node->op != GPUDL_OP_ADD && node->op != GPUDL_OP_SUB && node->op != GPUDL_OP_MUL && node->op != GPUDL_OP_DIV &&
        node->op != GPUDL_OP_POW)
        return FALSE;
    if (node->op != GPUDL_OP_DIV && node->op != GPUDL_OP_POW && node->attrs.binary.act.kind != GPUDL_ACT_NONE)
        return FALSE;
    return read_tensor(r, node->inputs[0], &a, depth) && read_tensor(r, node->inputs[1], &b, depth) &&
           combine(node->op, &a, &b, value);
}

static gboolean read_tensor(Reader *r, GpudlTensor *tensor, Polynomial *value, guint depth)
{
    double number;

    memset(value, 0, sizeof(*value));
    if (tensor == r->x) {
        value->at[0][1] = 1;
        return TRUE;
    }
    if (tensor == r->function) {
        value->at[1][0] = 1;
        r->function_reads++;
        return TRUE;
    }
    if (gpudl_constant_scalar(tensor, &number) && tensor->shape.rank <= r->x->shape.rank) {
        value->at[0][0] = number;
        return TRUE;
    }
    for (guint i = 0; i < r->n_parts; i++) {
        if (r->parts[i].tensor == tensor) {
            r->parts[i].reads++;
            *value = r->parts[i].value;
            return TRUE;
        }
    }
    if (depth == 0 || r->n_parts == MOST_PARTS || tensor->producer == NULL ||
        !gpudl_shape_equal(&tensor->shape, &r->x->shape) || !read_node(r, tensor->producer, value, depth - 1) ||
        r->n_parts == MOST_PARTS)
        return FALSE;
    r->parts[r->n_parts++] = (Part){tensor, *value, 1};
    return TRUE;
}

/* Nobody else reads what is between x and the result. */
static gboolean is_closed(const Reader *r)
{
    if (r->function != NULL && gpudl_rewrite_uses(r->rw, r->function) != r->function_reads)
        return FALSE;
    for (guint i = 0; i < r->n_parts; i++)
        if (gpudl_rewrite_uses(r->rw, r->parts[i].tensor) != r->parts[i].reads)
            return FALSE;
    return TRUE;
}

/* a x + b x^3, nothing else; with f: the same times f. */
static gboolean is_odd(const Polynomial *p, double a, double b, double f)
{
    return p->at[0][0] == 0 && p->at[0][2] == 0 && nearly(p->at[0][1], a) && nearly(p->at[0][3], b) &&
           p->at[1][0] == 0 && p->at[1][2] == 0 && p->at[1][3] == 0 && nearly(p->at[1][1], f);
}

static gboolean is_function(const GpudlNode *node)
{
    return node->op == GPUDL_OP_ERF ||
           (node->op == GPUDL_OP_ACTIVATION && node->attrs.unary.act.kind == GPUDL_ACT_TANH);
}

/* Tensors that arithmetic makes the tensor of, itself first; budget bounds them. */
static void collect(GpudlTensor *tensor, GPtrArray *all, guint budget)
{
    const GpudlNode *node = tensor->producer;

    if (all->len >= budget || gpudl_tensor_is_constant(tensor) || g_ptr_array_find(all, tensor, NULL))
        return;
    g_ptr_array_add(all, tensor);
    if (node == NULL || (node->op != GPUDL_OP_ADD && node->op != GPUDL_OP_SUB && node->op != GPUDL_OP_MUL &&
                         node->op != GPUDL_OP_DIV && node->op != GPUDL_OP_POW && node->op != GPUDL_OP_NEG))
        return;
    for (guint i = 0; i < node->n_inputs; i++)
        collect(node->inputs[i], all, budget);
}

static gboolean match_gelu(GpudlRewrite *rw, GpudlNode *node, GpudlNode *function, GpudlTensor *x)
{
    const gboolean exact = function->op == GPUDL_OP_ERF;
    const double inner = exact ? sqrt(.5) : sqrt(2 / G_PI), cube = exact ? 0 : inner * .044715;
    Reader r = {.rw = rw, .x = x};
    Polynomial argument, result;
    GpudlAttrs attrs = {.unary = {.act = {exact ? GPUDL_ACT_GELU : GPUDL_ACT_GELU_TANH, 0, 0}}};

    if (!gpudl_shape_equal(&x->shape, &node->outputs[0]->shape) ||
        !read_tensor(&r, function->inputs[0], &argument, MOST_PARTS) || !is_odd(&argument, inner, cube, 0))
        return FALSE;
    r.function = function->outputs[0];
    if (!read_node(&r, node, &result, MOST_PARTS) || !is_odd(&result, .5, 0, .5) || !is_closed(&r))
        return FALSE;
    gpudl_rewrite_become(rw, node, GPUDL_OP_ACTIVATION, NULL, &attrs, &x, 1);
    return TRUE;
}

/* node is the last sum or product. */
static gboolean find_gelu(GpudlRewrite *rw, GpudlNode *node)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new(), candidates = g_ptr_array_new();
    GpudlNode *function = NULL;

    for (guint i = 0; i < node->n_inputs; i++)
        collect(node->inputs[i], parts, 8);
    for (guint i = 0; i < parts->len && function == NULL; i++) {
        function = ((GpudlTensor *)parts->pdata[i])->producer;
        function = function != NULL && is_function(function) ? function : NULL;
    }
    if (function == NULL)
        return FALSE;
    collect(function->inputs[0], candidates, 8);
    for (guint i = 0; i < candidates->len; i++)
        if (match_gelu(rw, node, function, candidates->pdata[i]))
            return TRUE;
    return FALSE;
}

/* ---- exponentials --------------------------------------------------------------------------------------------------
 */

static gboolean plain(const GpudlNode *node)
{
    return node->attrs.binary.act.kind == GPUDL_ACT_NONE;
}

/* The tensor, read once, is 1 + y. */
static GpudlTensor *one_plus(const GpudlRewrite *rw, const GpudlTensor *tensor)
{
    GpudlNode *add = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_ADD);
    GpudlTensor *y;
    double one;
    guint index;

    return add != NULL && plain(add) && gpudl_match_scalar(add, &y, &one, &index) && one == 1 ? y : NULL;
}

/* The tensor, read once, is -y. */
static GpudlTensor *minus(const GpudlRewrite *rw, const GpudlTensor *tensor)
{
    GpudlNode *neg = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_NEG), *mul = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_MUL);
    GpudlTensor *y;
    double factor;
    guint index;

    if (neg != NULL)
        return neg->inputs[0];
    return mul != NULL && plain(mul) && gpudl_match_scalar(mul, &y, &factor, &index) && factor == -1 ? y : NULL;
}

/* The input of the tensor's producer, which is of this operator and read once. */
static GpudlTensor *before(const GpudlRewrite *rw, const GpudlTensor *tensor, GpudlOp op)
{
    GpudlNode *node = gpudl_rewrite_sole(rw, tensor, op);

    return node != NULL ? node->inputs[0] : NULL;
}

/* 1 + exp(-x): x */
static GpudlTensor *match_logistic(const GpudlRewrite *rw, const GpudlTensor *tensor)
{
    return minus(rw, before(rw, one_plus(rw, tensor), GPUDL_OP_EXP));
}

static void become_act(GpudlRewrite *rw, GpudlNode *node, GpudlTensor *x, GpudlActKind kind)
{
    GpudlAttrs attrs = {.unary = {.act = {kind, 0, 0}}};

    gpudl_rewrite_become(rw, node, GPUDL_OP_ACTIVATION, NULL, &attrs, &x, 1);
}

/* 1 / (1 + exp(-x)), x / (1 + exp(-x)) */
static gboolean find_logistic(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlTensor *x = match_logistic(rw, node->inputs[node->op == GPUDL_OP_DIV ? 1 : 0]);
    double one;

    if (x == NULL || !gpudl_shape_equal(&x->shape, &node->outputs[0]->shape))
        return FALSE;
    if (node->op == GPUDL_OP_RECIPROCAL || (gpudl_constant_scalar(node->inputs[0], &one) && one == 1))
        become_act(rw, node, x, GPUDL_ACT_SIGMOID);
    else if (node->inputs[0] == x)
        become_act(rw, node, x, GPUDL_ACT_SILU);
    else
        return FALSE;
    return TRUE;
}

/* log(1 + exp(x)), or the same that does not overflow: max(x, 0) + log(1 + exp(-|x|)) */
static gboolean is_softplus(const GpudlRewrite *rw, const GpudlTensor *tensor, const GpudlTensor *x)
{
    GpudlNode *add = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_ADD);
    GpudlTensor *power = before(rw, one_plus(rw, before(rw, tensor, GPUDL_OP_LOG)), GPUDL_OP_EXP);

    if (power != NULL)
        return power == x;
    for (guint i = 0; i < 2 && add != NULL && plain(add); i++) {
        GpudlNode *relu = gpudl_rewrite_sole(rw, add->inputs[i], GPUDL_OP_ACTIVATION);

        power = before(rw, one_plus(rw, before(rw, add->inputs[1 - i], GPUDL_OP_LOG)), GPUDL_OP_EXP);
        if (relu != NULL && relu->attrs.unary.act.kind == GPUDL_ACT_RELU && relu->inputs[0] == x &&
            before(rw, minus(rw, power), GPUDL_OP_ABS) == x)
            return TRUE;
    }
    return FALSE;
}

/* x tanh(softplus(x)) */
static gboolean find_mish(GpudlRewrite *rw, GpudlNode *node)
{
    for (guint i = 0; i < 2; i++) {
        GpudlNode *tanh = gpudl_rewrite_sole(rw, node->inputs[1 - i], GPUDL_OP_ACTIVATION);

        if (tanh != NULL && tanh->attrs.unary.act.kind == GPUDL_ACT_TANH && plain(node) &&
            gpudl_shape_equal(&node->inputs[i]->shape, &node->outputs[0]->shape) &&
            is_softplus(rw, tanh->inputs[0], node->inputs[i])) {
            become_act(rw, node, node->inputs[i], GPUDL_ACT_MISH);
            return TRUE;
        }
    }
    return FALSE;
}

static void rewrite(GpudlRewrite *rw, GpudlNode *node)
{
    if (node->outputs[0]->dtype != GPUDL_DTYPE_F32)
        return;
    switch (node->op) {
    case GPUDL_OP_MUL:
        if (!find_mish(rw, node))
            find_gelu(rw, node);
        return;
    case GPUDL_OP_ADD:
        find_gelu(rw, node);
        return;
    case GPUDL_OP_DIV:
        if (!find_logistic(rw, node))
            find_gelu(rw, node);
        return;
    case GPUDL_OP_RECIPROCAL:
        find_logistic(rw, node);
        return;
    default:
        return;
    }
}

gboolean gpudl_pass_compositions(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++)
        rewrite(&rw, graph->nodes->pdata[i]);
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
