/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Norms that exporters write out in parts, put together again: (x - mean) / sqrt(variance + epsilon), scale and bias
 * behind it, and reshapes round it that make groups. What is read elsewhere, too, stays as it is.
 */
#include <math.h>

#include "rewrite.h"

/* ---- one value divided by its deviation ----------------------------------------------------------------------------
 */

typedef struct {
    GpudlTensor *x;
    guint axes; /* one bit each */
    double epsilon;
} Norm;

static guint axes_of(const GpudlNode *reduce)
{
    guint axes = 0;

    for (int i = 0; i < reduce->attrs.reduce.n_axes; i++)
        axes |= 1u << reduce->attrs.reduce.axes[i];
    return axes;
}

static GpudlNode *producer(const GpudlTensor *tensor, GpudlOp op)
{
    return tensor->producer != NULL && tensor->producer->op == op ? tensor->producer : NULL;
}

/* A mean that keeps its dimensions. */
static GpudlNode *mean_node(GpudlTensor *tensor)
{
    GpudlNode *mean = producer(tensor, GPUDL_OP_REDUCE_MEAN);

    return mean != NULL && mean->attrs.reduce.keepdims ? mean : NULL;
}

/* The tensor is x - mean(x): x and the mean's axes. */
static GpudlNode *centred(GpudlTensor *tensor, Norm *norm)
{
    GpudlNode *sub = producer(tensor, GPUDL_OP_SUB);
    GpudlNode *mean = sub != NULL && sub->attrs.binary.act.kind == GPUDL_ACT_NONE ? mean_node(sub->inputs[1]) : NULL;

    if (mean == NULL || mean->inputs[0] != sub->inputs[0])
        return NULL;
    norm->x = sub->inputs[0];
    norm->axes = axes_of(mean);
    return sub;
}

static gboolean is_scalar(const GpudlTensor *tensor, double expected)
{
    double value;

    return gpudl_constant_scalar(tensor, &value) && fabs(value - expected) <= 1e-6 * fabs(expected);
}

/* The tensor, read once, is square(y): y and how often the square reads it. */
static GpudlTensor *square_of(const GpudlRewrite *rw, GpudlTensor *tensor, guint *reads)
{
    GpudlNode *pow = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_POW), *mul = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_MUL);

    if (pow != NULL && is_scalar(pow->inputs[1], 2)) {
        *reads = 1;
        return pow->inputs[0];
    }
    if (mul != NULL && mul->inputs[0] == mul->inputs[1] && mul->attrs.binary.act.kind == GPUDL_ACT_NONE) {
        *reads = 2;
        return mul->inputs[0];
    }
    return NULL;
}

/* root is variance + epsilon, read once, to a power: the variance. */
static GpudlTensor *variance_below(const GpudlRewrite *rw, const GpudlNode *root, double *epsilon)
{
    GpudlNode *add = gpudl_rewrite_sole(rw, root->inputs[0], GPUDL_OP_ADD);
    GpudlTensor *variance;
    guint index;

    if (add == NULL || add->attrs.binary.act.kind != GPUDL_ACT_NONE ||
        !gpudl_match_scalar(add, &variance, epsilon, &index) || !(*epsilon >= 0) || !isfinite(*epsilon))
        return NULL;
    return variance;
}

static GpudlTensor *variance_of_power(const GpudlRewrite *rw, const GpudlNode *pow, double exponent, double *epsilon)
{
    return pow != NULL && is_scalar(pow->inputs[1], exponent) ? variance_below(rw, pow, epsilon) : NULL;
}

/* sqrt(variance + epsilon), read once: the variance. */
static GpudlTensor *variance_of_root(const GpudlRewrite *rw, GpudlTensor *tensor, double *epsilon)
{
    GpudlNode *root = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_SQRT);

    if (root != NULL)
        return variance_below(rw, root, epsilon);
    return variance_of_power(rw, gpudl_rewrite_sole(rw, tensor, GPUDL_OP_POW), .5, epsilon);
}

/* 1 / sqrt(variance + epsilon), whose own readers are not looked at. */
static GpudlTensor *variance_of_inverse(const GpudlRewrite *rw, GpudlTensor *tensor, double *epsilon)
{
    GpudlNode *reciprocal = producer(tensor, GPUDL_OP_RECIPROCAL), *div = producer(tensor, GPUDL_OP_DIV);

    if (reciprocal != NULL)
        return variance_of_root(rw, reciprocal->inputs[0], epsilon);
    if (div != NULL && is_scalar(div->inputs[0], 1))
        return variance_of_root(rw, div->inputs[1], epsilon);
    return variance_of_power(rw, producer(tensor, GPUDL_OP_POW), -.5, epsilon);
}

/* The numerator (read once by the node) and the variance belong together, and nobody else reads what is between. */
static gboolean match_moments(const GpudlRewrite *rw, GpudlTensor *numerator, GpudlTensor *variance, Norm *norm)
{
    GpudlNode *mean = gpudl_rewrite_sole(rw, variance, GPUDL_OP_REDUCE_MEAN), *sub = centred(numerator, norm), *other;
    Norm second;
    GpudlTensor *difference;
    guint reads;

    if (sub == NULL || mean == NULL || mean_node(variance) == NULL || axes_of(mean) != norm->axes)
        return FALSE;
    difference = square_of(rw, mean->inputs[0], &reads);
    other = difference != NULL ? centred(difference, &second) : NULL;
    if (other == NULL || second.x != norm->x || second.axes != norm->axes)
        return FALSE;
    if (other == sub)
        return gpudl_rewrite_uses(rw, numerator) == 1 + reads && gpudl_rewrite_uses(rw, sub->inputs[1]) == 1;
    return gpudl_rewrite_uses(rw, numerator) == 1 && gpudl_rewrite_uses(rw, difference) == reads &&
           gpudl_rewrite_uses(rw, sub->inputs[1]) == (other->inputs[1] == sub->inputs[1] ? 2 : 1) &&
           gpudl_rewrite_uses(rw, other->inputs[1]) == (other->inputs[1] == sub->inputs[1] ? 2 : 1);
}

/* Neighbouring dimensions, the frames' not among them. */
static gboolean as_attrs(const Norm *norm, GpudlNormAttrs *attrs)
{
    guint axes = norm->axes;

    if (norm->x->dtype != GPUDL_DTYPE_F32 || axes == 0 || (axes & 1) != 0)
        return FALSE;
    attrs->epsilon = (float)norm->epsilon;
    while ((axes & 1) == 0) {
        axes >>= 1;
        attrs->axis++;
    }
    while ((axes & 1) != 0) {
        axes >>= 1;
        attrs->n_axes++;
    }
    return axes == 0;
}

static gboolean find_norm(GpudlRewrite *rw, GpudlNode *node)
{
    Norm norm = {0};

    if (node->op == GPUDL_OP_MUL && node->attrs.binary.act.kind != GPUDL_ACT_NONE)
        return FALSE;
    for (guint i = 0; i < (node->op == GPUDL_OP_MUL ? 2 : 1); i++) {
        GpudlTensor *numerator = node->inputs[i], *variance;
        GpudlAttrs attrs = {.norm = {0}};

        variance = node->op == GPUDL_OP_MUL ? variance_of_inverse(rw, node->inputs[1 - i], &norm.epsilon)
                                            : variance_of_root(rw, node->inputs[1], &norm.epsilon);
        if (variance == NULL || (node->op == GPUDL_OP_MUL && gpudl_rewrite_uses(rw, node->inputs[1 - i]) != 1) ||
            !match_moments(rw, numerator, variance, &norm) || !as_attrs(&norm, &attrs.norm))
            continue;
        gpudl_rewrite_become(rw, node, GPUDL_OP_LAYER_NORM, NULL, &attrs, &norm.x, 1);
        return TRUE;
    }
    return FALSE;
}

/* ---- scale and bias ------------------------------------------------------------------------------------------------
 */

/* A constant that broadcasts onto x along no other dimensions than axis .. axis + n - 1, as one value for each of
 * those. */
static double *expanded(const GpudlTensor *constant, const GpudlShape *x, int axis, int n)
{
    const GpudlShape *c = &constant->shape;
    g_autofree double *values = gpudl_constant_doubles(constant);
    gint64 total = 1;
    double *all;

    if (values == NULL || c->rank > x->rank)
        return NULL;
    for (int i = 0; i < c->rank; i++) {
        int at = x->rank - c->rank + i;

        if (c->dims[i] != 1 && (at < axis || at >= axis + n || c->dims[i] != x->dims[at]))
            return NULL;
    }
    for (int i = axis; i < axis + n; i++)
        total *= x->dims[i];
    all = g_new(double, total + 1);
    for (gint64 k = 0; k < total; k++) {
        gint64 rest = k, from = 0, stride = 1;

        for (int at = axis + n - 1; at >= axis; at--) {
            int i = at - (x->rank - c->rank);
            gint64 extent = i >= 0 ? c->dims[i] : 1;

            from += extent > 1 ? rest % x->dims[at] * stride : 0;
            stride *= extent;
            rest /= x->dims[at];
        }
        all[k] = values[from];
    }
    return all;
}

/* y = x * scale + shift for each value normalised over, or each channel. */
typedef struct {
    double *scale, *shift;
    gint64 n;
} Line;

static void line_clear(Line *line)
{
    g_free(line->scale);
    g_free(line->shift);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Line, line_clear)

/* node is norm (op) constant: as a line over the norm's dimensions. */
static gboolean read_line(const GpudlNode *node, guint norm_index, const GpudlShape *x, int axis, int n, Line *line)
{
    double *values = NULL;

    if (node->n_inputs != 2 || !gpudl_shape_equal(x, &node->outputs[0]->shape) ||
        (node->op != GPUDL_OP_DIV && node->attrs.binary.act.kind != GPUDL_ACT_NONE) ||
        (node->op == GPUDL_OP_DIV && norm_index != 0))
        return FALSE;
    values = expanded(node->inputs[1 - norm_index], x, axis, n);
    if (values == NULL)
        return FALSE;
    line->n = 1;
    for (int i = axis; i < axis + n; i++)
        line->n *= x->dims[i];
    line->scale = g_new(double, line->n + 1);
    line->shift = g_new(double, line->n + 1);
    for (gint64 i = 0; i < line->n; i++) {
        const double v = values[i];

        line->scale[i] = node->op == GPUDL_OP_MUL                      ? v
                         : node->op == GPUDL_OP_DIV                    ? 1 / v
                         : node->op == GPUDL_OP_SUB && norm_index == 1 ? -1
                                                                       : 1;
        line->shift[i] = node->op == GPUDL_OP_ADD ? v : node->op == GPUDL_OP_SUB ? (norm_index == 1 ? v : -v) : 0;
    }
    g_free(values);
    return TRUE;
}

/* node becomes norm with the line behind its own scale and bias, both of shape each. */
static gboolean become_norm(GpudlRewrite *rw, GpudlNode *node, const GpudlNode *norm, GpudlOp op,
                            const GpudlAttrs *attrs, const GpudlShape *each, const Line *line)
{
    g_autofree double *scale = NULL, *bias = NULL;
    GpudlTensor *inputs[3] = {norm->inputs[0]};

    if (norm->n_inputs > 1 && norm->inputs[1] != NULL && (scale = gpudl_constant_doubles(norm->inputs[1])) == NULL)
        return FALSE;
    if (norm->n_inputs > 2 && norm->inputs[2] != NULL && (bias = gpudl_constant_doubles(norm->inputs[2])) == NULL)
        return FALSE;
    if (gpudl_shape_elements(each) != line->n)
        return FALSE;
    for (gint64 i = 0; i < line->n; i++) {
        line->shift[i] += (bias != NULL ? bias[i] : 0) * line->scale[i];
        line->scale[i] *= scale != NULL ? scale[i] : 1;
    }
    inputs[1] = gpudl_constant_from_doubles(rw->graph, "scale", line->scale, each);
    inputs[2] = gpudl_constant_from_doubles(rw->graph, "bias", line->shift, each);
    if (inputs[1] == NULL || inputs[2] == NULL)
        return FALSE;
    gpudl_rewrite_become(rw, node, op, norm->name, attrs, inputs, 3);
    return TRUE;
}

/* The parameters of a norm over all of each frame's, or each channel's, values are those of channels where exporters
 * write them so: then it is a group norm. */
static gboolean absorb_as_groups(GpudlRewrite *rw, GpudlNode *node, const GpudlNode *norm, guint index)
{
    const GpudlShape *x = &norm->inputs[0]->shape;
    const GpudlNormAttrs *attrs = &norm->attrs.norm;
    GpudlAttrs groups = {.norm = {.epsilon = attrs->epsilon}};
    GpudlShape each = {.rank = 1};
    g_auto(Line) line = {0};

    if (norm->n_inputs > 1 || x->rank < 3 || attrs->axis > 2 || attrs->axis + attrs->n_axes != x->rank)
        return FALSE;
    each.dims[0] = x->dims[1];
    groups.norm.groups = attrs->axis == 1 ? 1 : (gint32)x->dims[1];
    return x->dims[1] > 0 && x->dims[1] <= G_MAXINT32 && read_line(node, index, x, 1, 1, &line) &&
           become_norm(rw, node, norm, GPUDL_OP_GROUP_NORM, &groups, &each, &line);
}

/* node is a norm, read by nobody else, times or plus a constant. */
static gboolean absorb(GpudlRewrite *rw, GpudlNode *node)
{
    for (guint i = 0; i < MIN(node->n_inputs, 2); i++) {
        GpudlNode *layer = gpudl_rewrite_sole(rw, node->inputs[i], GPUDL_OP_LAYER_NORM);
        GpudlNode *group = gpudl_rewrite_sole(rw, node->inputs[i], GPUDL_OP_GROUP_NORM);
        GpudlNode *norm = layer != NULL ? layer : group;
        const GpudlShape *x = norm != NULL ? &norm->inputs[0]->shape : NULL;
        const int axis = layer != NULL ? layer->attrs.norm.axis : 1, n = layer != NULL ? layer->attrs.norm.n_axes : 1;
        GpudlShape each = {.rank = n};
        g_auto(Line) line = {0};

        if (norm == NULL || norm->inputs[0]->dtype != GPUDL_DTYPE_F32 || node->inputs[0] == node->inputs[1])
            continue;
        for (int k = 0; k < n; k++)
            each.dims[k] = x->dims[axis + k];
        if (layer != NULL && absorb_as_groups(rw, node, norm, i))
            return TRUE;
        if (read_line(node, i, x, axis, n, &line) && become_norm(rw, node, norm, norm->op, &norm->attrs, &each, &line))
            return TRUE;
    }
    return FALSE;
}

/* ---- scale and shift that hold the norm ----------------------------------------------------------------------------
 */

/* x k + (bias - mean k), k = scale / sqrt(variance + epsilon): so TensorFlow writes it. */
typedef struct {
    GpudlTensor *x, *k, *mean, *bias, *scale; /* bias, scale: constants, or NULL */
} Folded;

/* The tensor, read once, is the product of k and another one, which is returned. */
static GpudlTensor *times_k(const GpudlRewrite *rw, GpudlTensor *tensor, const GpudlTensor *k)
{
    GpudlNode *mul = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_MUL);

    if (mul == NULL || mul->attrs.binary.act.kind != GPUDL_ACT_NONE)
        return NULL;
    return mul->inputs[1] == k ? mul->inputs[0] : mul->inputs[0] == k ? mul->inputs[1] : NULL;
}

/* -mean k */
static GpudlTensor *minus_mean(const GpudlRewrite *rw, GpudlTensor *tensor, const GpudlTensor *k)
{
    GpudlNode *neg = gpudl_rewrite_sole(rw, times_k(rw, tensor, k), GPUDL_OP_NEG);

    return neg != NULL ? neg->inputs[0] : NULL;
}

/* The mean in bias - mean k, and the bias. */
static gboolean match_shift(const GpudlRewrite *rw, GpudlTensor *tensor, Folded *f)
{
    GpudlNode *add = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_ADD), *sub = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_SUB);

    f->bias = NULL;
    f->mean = minus_mean(rw, tensor, f->k);
    for (guint i = 0; f->mean == NULL && add != NULL && i < 2; i++) {
        if (add->attrs.binary.act.kind != GPUDL_ACT_NONE || !gpudl_tensor_is_constant(add->inputs[i]))
            continue;
        f->bias = add->inputs[i];
        f->mean = minus_mean(rw, add->inputs[1 - i], f->k);
    }
    if (f->mean == NULL && sub != NULL && sub->attrs.binary.act.kind == GPUDL_ACT_NONE &&
        gpudl_tensor_is_constant(sub->inputs[0])) {
        f->bias = sub->inputs[0];
        f->mean = times_k(rw, sub->inputs[1], f->k);
    }
    return f->mean != NULL;
}

/* k = scale / sqrt(variance + epsilon), read twice: the variance. */
static GpudlTensor *variance_of_k(const GpudlRewrite *rw, Folded *f, double *epsilon)
{
    GpudlNode *mul = producer(f->k, GPUDL_OP_MUL);

    f->scale = NULL;
    for (guint i = 0; mul != NULL && i < 2; i++) {
        if (mul->attrs.binary.act.kind != GPUDL_ACT_NONE || !gpudl_tensor_is_constant(mul->inputs[i]) ||
            gpudl_rewrite_uses(rw, mul->inputs[1 - i]) != 1)
            continue;
        f->scale = mul->inputs[i];
        return variance_of_inverse(rw, mul->inputs[1 - i], epsilon);
    }
    return variance_of_inverse(rw, f->k, epsilon);
}

/* The variance's own x - mean, where the mean is the folded one, and nobody else reads what is between. */
static gboolean match_folded(const GpudlRewrite *rw, Folded *f, Norm *norm)
{
    GpudlTensor *variance = variance_of_k(rw, f, &norm->epsilon), *difference;
    GpudlNode *mean = variance != NULL ? gpudl_rewrite_sole(rw, variance, GPUDL_OP_REDUCE_MEAN) : NULL, *sub;
    guint reads;

    if (mean == NULL || mean_node(variance) == NULL)
        return FALSE;
    difference = square_of(rw, mean->inputs[0], &reads);
    sub = difference != NULL ? centred(difference, norm) : NULL;
    return sub != NULL && norm->x == f->x && norm->axes == axes_of(mean) && sub->inputs[1] == f->mean &&
           gpudl_rewrite_uses(rw, difference) == reads && gpudl_rewrite_uses(rw, f->mean) == 2;
}

static gboolean become_folded(GpudlRewrite *rw, GpudlNode *node, const Folded *f, const Norm *norm)
{
    GpudlAttrs attrs = {.norm = {0}};
    GpudlShape each = {0};
    GpudlTensor *inputs[3] = {f->x}, *const parameters[] = {f->scale, f->bias};

    if (!as_attrs(norm, &attrs.norm))
        return FALSE;
    each.rank = attrs.norm.n_axes;
    for (int i = 0; i < each.rank; i++)
        each.dims[i] = f->x->shape.dims[attrs.norm.axis + i];
    for (guint i = 0; i < 2; i++) {
        g_autofree double *values =
            parameters[i] != NULL ? expanded(parameters[i], &f->x->shape, attrs.norm.axis, attrs.norm.n_axes) : NULL;

        if (parameters[i] == NULL)
            continue;
        if (values == NULL ||
            (inputs[1 + i] = gpudl_constant_from_doubles(rw->graph, i == 0 ? "scale" : "bias", values, &each)) == NULL)
            return FALSE;
    }
    gpudl_rewrite_become(rw, node, GPUDL_OP_LAYER_NORM, NULL, &attrs, inputs,
                         f->bias != NULL    ? 3
                         : f->scale != NULL ? 2
                                            : 1);
    return TRUE;
}

static gboolean find_folded(GpudlRewrite *rw, GpudlNode *node)
{
    for (guint i = 0; i < 4; i++) {
        GpudlNode *mul = gpudl_rewrite_sole(rw, node->inputs[i % 2], GPUDL_OP_MUL);
        Folded f = {NULL};
        Norm norm = {0};

        if (mul == NULL || mul->attrs.binary.act.kind != GPUDL_ACT_NONE)
            continue;
        f.x = mul->inputs[i / 2];
        f.k = mul->inputs[1 - i / 2];
        if (gpudl_shape_equal(&f.x->shape, &node->outputs[0]->shape) && gpudl_rewrite_uses(rw, f.k) == 2 &&
            match_shift(rw, node->inputs[1 - i % 2], &f) && match_folded(rw, &f, &norm) &&
            become_folded(rw, node, &f, &norm))
            return TRUE;
    }
    return FALSE;
}

/* ---- groups --------------------------------------------------------------------------------------------------------
 */

/* Each channel of n, groups, all the rest, normalised for itself, and seen as before again: a group norm. node is the
 * second reshape. */
static gboolean find_groups(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlNode *group = gpudl_rewrite_sole(rw, node->inputs[0], GPUDL_OP_GROUP_NORM);
    GpudlNode *layer = gpudl_rewrite_sole(rw, node->inputs[0], GPUDL_OP_LAYER_NORM);
    GpudlNode *norm = group != NULL ? group : layer;
    GpudlNode *reshape = norm != NULL ? gpudl_rewrite_sole(rw, norm->inputs[0], GPUDL_OP_RESHAPE) : NULL;
    const GpudlShape *x = reshape != NULL ? &reshape->inputs[0]->shape : NULL, *parts;
    g_autofree double *scale = NULL, *bias = NULL, *scales = NULL, *biases = NULL;
    GpudlTensor *inputs[3] = {NULL};
    GpudlAttrs attrs = {.norm = {0}};
    GpudlShape each = {.rank = 1};
    gint64 size;

    if (x == NULL || x->rank < 2 || !gpudl_shape_equal(x, &node->outputs[0]->shape))
        return FALSE;
    parts = &norm->inputs[0]->shape;
    if (parts->rank < 3 || parts->dims[0] != x->dims[0] || parts->dims[1] < 1 || x->dims[1] % parts->dims[1] != 0 ||
        parts->dims[1] > G_MAXINT32)
        return FALSE;
    if (group != NULL ? group->attrs.norm.groups != parts->dims[1]
                      : norm->n_inputs > 1 || norm->attrs.norm.axis != 2 || norm->attrs.norm.n_axes != parts->rank - 2)
        return FALSE;
    if (norm->n_inputs > 1 && norm->inputs[1] != NULL && (scale = gpudl_constant_doubles(norm->inputs[1])) == NULL)
        return FALSE;
    if (norm->n_inputs > 2 && norm->inputs[2] != NULL && (bias = gpudl_constant_doubles(norm->inputs[2])) == NULL)
        return FALSE;
    attrs.norm.epsilon = norm->attrs.norm.epsilon;
    attrs.norm.groups = (gint32)parts->dims[1];
    each.dims[0] = x->dims[1];
    size = x->dims[1] / parts->dims[1];
    scales = g_new(double, x->dims[1] + 1);
    biases = g_new(double, x->dims[1] + 1);
    for (gint64 c = 0; c < x->dims[1]; c++) {
        scales[c] = scale != NULL ? scale[c / size] : 1;
        biases[c] = bias != NULL ? bias[c / size] : 0;
    }
    inputs[0] = reshape->inputs[0];
    inputs[1] = gpudl_constant_from_doubles(rw->graph, "scale", scales, &each);
    inputs[2] = gpudl_constant_from_doubles(rw->graph, "bias", biases, &each);
    if (inputs[1] == NULL || inputs[2] == NULL)
        return FALSE;
    gpudl_rewrite_become(rw, node, GPUDL_OP_GROUP_NORM, norm->name, &attrs, inputs, 3);
    return TRUE;
}

static void rewrite(GpudlRewrite *rw, GpudlNode *node)
{
    if (node->outputs[0]->dtype != GPUDL_DTYPE_F32)
        return;
    switch (node->op) {
    case GPUDL_OP_MUL:
    case GPUDL_OP_DIV:
        if (find_norm(rw, node))
            return;
        absorb(rw, node);
        return;
    case GPUDL_OP_ADD:
        if (node->attrs.binary.act.kind == GPUDL_ACT_NONE && find_folded(rw, node))
            return;
        G_GNUC_FALLTHROUGH;
    case GPUDL_OP_SUB:
        absorb(rw, node);
        return;
    case GPUDL_OP_RESHAPE:
        find_groups(rw, node);
        return;
    default:
        return;
    }
}

gboolean gpudl_pass_norms(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++)
        rewrite(&rw, graph->nodes->pdata[i]);
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
