/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Norms, and products of matrices. */
#include <math.h>
#include <string.h>

#include "aten-internal.h"

static gboolean in_training(AtenNode *node, GError **error)
{
    return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                   "it was exported in training mode. model.eval() before torch.export.export() says that it is to "
                   "classify");
}

/* n times the same value */
static GpudlTensor *filled(AtenNode *node, GpudlDType dtype, gint64 n, double value, GError **error)
{
    GpudlTensor *scalar = tf_scalar(node->build, dtype, value, error);

    return scalar != NULL ? tf_broadcast(node->build, scalar, &n, 1, error) : NULL;
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

/* An optional vector of n in x's type; fallback where it is absent. */
static GpudlTensor *per_channel(AtenNode *node, const gchar *name, GpudlDType dtype, gint64 n, double fallback,
                                GError **error)
{
    GpudlTensor *x;

    if (!aten_optional(node, name, &x, error))
        return NULL;
    return x != NULL ? tf_cast(node->build, x, dtype, error) : filled(node, dtype, n, fallback, error);
}

/* Mean and variance by channel of what depends on weights alone, as standardised weights do: they are constants. */
static gboolean own_statistics(AtenNode *node, GpudlTensor *x, GpudlTensor **mean, GpudlTensor **variance,
                               GError **error)
{
    gint64 axes[GPUDL_MAX_RANK], column[GPUDL_MAX_RANK] = {1, -1};
    GpudlTensor *t;
    gsize n = 0;

    for (gint i = 0; i < x->shape.rank; i++) {
        if (i != 1)
            axes[n++] = i;
        if (i > 1)
            column[i] = 1;
    }
    return (*mean = tf_reduce(node->build, GPUDL_OP_REDUCE_MEAN, x, axes, n, FALSE, error)) != NULL &&
           (t = aten_reshape(node, *mean, column, (guint)x->shape.rank, error)) != NULL &&
           (t = tf_binary(node->build, GPUDL_OP_SUB, x, t, error)) != NULL &&
           (t = tf_binary(node->build, GPUDL_OP_MUL, t, t, error)) != NULL &&
           (*variance = tf_reduce(node->build, GPUDL_OP_REDUCE_MEAN, t, axes, n, FALSE, error)) != NULL;
}

/* batch_norm, and what it is decomposed into, which has three results. */
gboolean aten_map_batch_norm(AtenNode *node, GError **error)
{
    GpudlTensor *inputs[5], *ys[3] = {NULL};
    GpudlAttrs attrs = {0};
    gint64 channels;
    double epsilon;
    gboolean own, known;

    if ((inputs[0] = aten_tensor(node, "input", error)) == NULL || !aten_flag(node, "training", FALSE, &own, error) ||
        !aten_number(node, "eps", 1e-5, &epsilon, error))
        return FALSE;
    known = aten_arg(node, "running_mean") != NULL; /* all are looked at, else they would be arguments not taken */
    known = aten_arg(node, "running_var") != NULL && known;
    own = own || !known;
    if (own && inputs[0]->data == NULL)
        return in_training(node, error);
    if (inputs[0]->shape.rank < 2)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected at least 2",
                       inputs[0]->shape.rank);
    channels = inputs[0]->shape.dims[1];
    attrs.batch_norm.epsilon = (float)epsilon;
    if ((inputs[1] = per_channel(node, "weight", inputs[0]->dtype, channels, 1, error)) == NULL ||
        (inputs[2] = per_channel(node, "bias", inputs[0]->dtype, channels, 0, error)) == NULL)
        return FALSE;
    if (own && !own_statistics(node, inputs[0], &inputs[3], &inputs[4], error))
        return FALSE;
    if (!own && ((inputs[3] = per_channel(node, "running_mean", inputs[0]->dtype, channels, 0, error)) == NULL ||
                 (inputs[4] = per_channel(node, "running_var", inputs[0]->dtype, channels, 1, error)) == NULL))
        return FALSE;
    if ((ys[0] = tf_emit(node->build, GPUDL_OP_BATCH_NORM, &attrs, inputs, 5, error)) == NULL)
        return FALSE;
    return node->row->name[0] == '_' ? aten_done_list(node, ys, 3) : aten_done(node, ys[0]);
}

/* Over the last dimensions, from the first of them that the weights have. */
gboolean aten_map_layer_norm(AtenNode *node, GError **error)
{
    GpudlTensor *inputs[3], *ys[3] = {NULL};
    gint64 dims[GPUDL_MAX_RANK];
    GpudlAttrs attrs = {0};
    double epsilon;
    guint n;

    if ((inputs[0] = aten_tensor(node, "input", error)) == NULL ||
        !aten_ints(node, "normalized_shape", dims, GPUDL_MAX_RANK, &n, error) ||
        !aten_optional(node, "weight", &inputs[1], error) || !aten_optional(node, "bias", &inputs[2], error) ||
        !aten_number(node, "eps", 1e-5, &epsilon, error))
        return FALSE;
    if (n < 1 || (gint)n >= inputs[0]->shape.rank)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "over %u dimensions of a tensor of rank %d", n,
                       inputs[0]->shape.rank);
    for (guint i = 0; i < n; i++)
        if (dims[i] != inputs[0]->shape.dims[inputs[0]->shape.rank - (gint)(n - i)])
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its normalized_shape is not its input's");
    attrs.norm.axis = inputs[0]->shape.rank - (gint)n;
    attrs.norm.n_axes = (gint)n;
    attrs.norm.epsilon = (float)epsilon;
    if (inputs[1] == NULL && inputs[2] != NULL) {
        GpudlTensor *one = tf_scalar(node->build, inputs[0]->dtype, 1, error);

        if (one == NULL || (inputs[1] = tf_broadcast(node->build, one, dims, n, error)) == NULL)
            return FALSE;
    }
    ys[0] = tf_emit(node->build, GPUDL_OP_LAYER_NORM, &attrs, inputs,
                    inputs[2] != NULL   ? 3
                    : inputs[1] != NULL ? 2
                                        : 1,
                    error);
    if (ys[0] == NULL)
        return FALSE;
    return node->row->name[0] == 'n' ? aten_done_list(node, ys, 3) : aten_done(node, ys[0]);
}

/* x / sqrt(mean of x x + eps) over the last dimensions; eps that is not said is float32's epsilon. */
gboolean aten_map_rms_norm(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "input", error), *weight, *t, *constant;
    gint64 dims[GPUDL_MAX_RANK], axes[GPUDL_MAX_RANK];
    double epsilon;
    guint n;

    if (x == NULL || !aten_ints(node, "normalized_shape", dims, GPUDL_MAX_RANK, &n, error) ||
        !aten_optional(node, "weight", &weight, error) || !aten_number(node, "eps", 0x1p-23, &epsilon, error))
        return FALSE;
    if (n < 1 || (gint)n > x->shape.rank || x->dtype != GPUDL_DTYPE_F32)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "over %u dimensions of a tensor of rank %d, %s", n,
                       x->shape.rank, gpudl_dtype_name(x->dtype));
    for (guint i = 0; i < n; i++) {
        axes[i] = x->shape.rank - (gint)(n - i);
        if (dims[i] != x->shape.dims[axes[i]])
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its normalized_shape is not its input's");
    }
    if ((t = tf_binary(node->build, GPUDL_OP_MUL, x, x, error)) == NULL ||
        (t = tf_reduce(node->build, GPUDL_OP_REDUCE_MEAN, t, axes, n, TRUE, error)) == NULL ||
        (constant = tf_scalar(node->build, x->dtype, epsilon, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_ADD, t, constant, error)) == NULL ||
        (t = tf_unary(node->build, GPUDL_OP_SQRT, t, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_DIV, x, t, error)) == NULL ||
        (weight != NULL && (t = tf_binary(node->build, GPUDL_OP_MUL, t, weight, error)) == NULL))
        return FALSE;
    return aten_done(node, t);
}

static gboolean emit_group_norm(AtenNode *node, GpudlTensor *x, gint64 groups, GError **error)
{
    GpudlTensor *inputs[3] = {x}, *ys[3] = {NULL};
    GpudlAttrs attrs = {0};
    double epsilon;

    if (!aten_number(node, "eps", 1e-5, &epsilon, error))
        return FALSE;
    if (x->shape.rank < 2 || groups < 1 || x->shape.dims[1] % groups != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " groups of the channels of a tensor of rank %d", groups, x->shape.rank);
    attrs.norm.groups = (gint32)MIN(groups, G_MAXINT32);
    attrs.norm.epsilon = (float)epsilon;
    if ((inputs[1] = per_channel(node, "weight", x->dtype, x->shape.dims[1], 1, error)) == NULL ||
        (inputs[2] = per_channel(node, "bias", x->dtype, x->shape.dims[1], 0, error)) == NULL ||
        (ys[0] = tf_emit(node->build, GPUDL_OP_GROUP_NORM, &attrs, inputs, 3, error)) == NULL)
        return FALSE;
    return node->row->name[0] == 'n' ? aten_done_list(node, ys, 3) : aten_done(node, ys[0]);
}

gboolean aten_map_group_norm(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "input", error);
    gint64 groups;

    return x != NULL && aten_int(node, node->row->name[0] == 'n' ? "group" : "num_groups", 1, &groups, error) &&
           emit_group_norm(node, x, groups, error);
}

gboolean aten_map_instance_norm(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "input", error);
    gboolean own;

    if (x == NULL || !aten_flag(node, "use_input_stats", TRUE, &own, error))
        return FALSE;
    if (!own)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "an instance norm by running statistics");
    return emit_group_norm(node, x, x->shape.rank > 1 ? x->shape.dims[1] : 1, error);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static gboolean emit_gemm(AtenNode *node, GpudlTensor **inputs, gboolean trans_b, double alpha, double beta,
                          GError **error)
{
    GpudlAttrs attrs = {.gemm = {.trans_b = trans_b, .alpha = (float)alpha, .beta = (float)beta}};

    return aten_done(node, tf_emit(node->build, GPUDL_OP_GEMM, &attrs, inputs, inputs[2] != NULL ? 3 : 2, error));
}

gboolean aten_map_linear(AtenNode *node, GError **error)
{
    static const gint64 swap[] = {1, 0};
    GpudlTensor *inputs[3], *y;

    if ((inputs[0] = aten_tensor(node, "input", error)) == NULL ||
        (inputs[1] = aten_tensor(node, "weight", error)) == NULL || !aten_optional(node, "bias", &inputs[2], error))
        return FALSE;
    if (inputs[0]->shape.rank == 2 && inputs[1]->shape.rank == 2)
        return emit_gemm(node, inputs, TRUE, 1, 1, error);
    if (inputs[1]->shape.rank != 2)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "weights of rank %d, expected 2",
                       inputs[1]->shape.rank);
    if ((inputs[1] = tf_transpose(node->build, inputs[1], swap, 2, error)) == NULL ||
        (y = tf_binary(node->build, GPUDL_OP_MATMUL, inputs[0], inputs[1], error)) == NULL)
        return FALSE;
    return aten_done(node, inputs[2] != NULL ? tf_binary(node->build, GPUDL_OP_ADD, y, inputs[2], error) : y);
}

/* beta self + alpha mat1 mat2 */
gboolean aten_map_addmm(AtenNode *node, GError **error)
{
    GpudlTensor *inputs[3];
    double alpha, beta;

    return (inputs[0] = aten_tensor(node, "mat1", error)) != NULL &&
           (inputs[1] = aten_tensor(node, "mat2", error)) != NULL &&
           (inputs[2] = aten_tensor(node, "self", error)) != NULL && aten_number(node, "alpha", 1, &alpha, error) &&
           aten_number(node, "beta", 1, &beta, error) && emit_gemm(node, inputs, FALSE, alpha, beta, error);
}

/* mm, bmm, matmul: the second argument's name differs. */
gboolean aten_map_matmul(AtenNode *node, GError **error)
{
    GpudlTensor *inputs[3] = {aten_tensor(node, "self", error)};

    inputs[1] = inputs[0] != NULL ? aten_tensor(node, node->names[1], error) : NULL;
    if (inputs[1] == NULL)
        return FALSE;
    if (inputs[0]->shape.rank == 2 && inputs[1]->shape.rank == 2)
        return emit_gemm(node, inputs, FALSE, 1, 0, error);
    return aten_done(node, tf_binary(node->build, GPUDL_OP_MATMUL, inputs[0], inputs[1], error));
}

/* softmax(q k' factor + mask) v, written out; mask may be NULL. */
static GpudlTensor *attend(AtenNode *node, GpudlTensor *q, GpudlTensor *k, GpudlTensor *v, GpudlTensor *mask,
                           double factor, GError **error)
{
    const gint rank = k->shape.rank;
    gint64 perm[GPUDL_MAX_RANK];
    GpudlTensor *scale, *t;

    for (gint i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    if ((k = tf_transpose(node->build, k, perm, (gsize)rank, error)) == NULL ||
        (scale = tf_scalar(node->build, q->dtype, factor, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_MATMUL, q, k, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_MUL, t, scale, error)) == NULL ||
        (mask != NULL && (t = tf_binary(node->build, GPUDL_OP_ADD, t, mask, error)) == NULL) ||
        (t = tf_softmax(node->build, GPUDL_OP_SOFTMAX, t, 1, error)) == NULL)
        return NULL;
    return tf_binary(node->build, GPUDL_OP_MATMUL, t, v, error);
}

gboolean aten_map_attention(AtenNode *node, GError **error)
{
    GpudlTensor *q, *k, *v, *mask;
    gboolean causal, grouped;
    double factor, dropout;

    if ((q = aten_tensor(node, "query", error)) == NULL || (k = aten_tensor(node, "key", error)) == NULL ||
        (v = aten_tensor(node, "value", error)) == NULL || !aten_optional(node, "attn_mask", &mask, error) ||
        !aten_flag(node, "is_causal", FALSE, &causal, error) ||
        !aten_flag(node, "enable_gqa", FALSE, &grouped, error) || !aten_number(node, "dropout_p", 0, &dropout, error))
        return FALSE;
    if (k->shape.rank < 2 || q->shape.rank < 2 || q->shape.dims[q->shape.rank - 1] < 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "queries of rank %d and keys of rank %d", q->shape.rank,
                       k->shape.rank);
    if (!aten_number(node, "scale", 1 / sqrt((double)q->shape.dims[q->shape.rank - 1]), &factor, error))
        return FALSE;
    if (dropout != 0)
        return in_training(node, error);
    if (causal || grouped || (mask != NULL && mask->dtype != q->dtype))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "attention that is causal, of groups, or with a mask of flags");
    return aten_done(node, attend(node, q, k, v, mask, factor, error));
}

/* x weights' + bias, of any rank */
static GpudlTensor *project(AtenNode *node, GpudlTensor *x, const gchar *weight, const gchar *bias, GError **error)
{
    static const gint64 swap[] = {1, 0};
    GpudlTensor *w = aten_tensor(node, weight, error), *b = w != NULL ? aten_tensor(node, bias, error) : NULL;

    if (b == NULL || (w = tf_transpose(node->build, w, swap, 2, error)) == NULL ||
        (x = tf_binary(node->build, GPUDL_OP_MATMUL, x, w, error)) == NULL)
        return NULL;
    return tf_binary(node->build, GPUDL_OP_ADD, x, b, error);
}

/* What a trace has of nn.MultiheadAttention of one tensor with itself: all of it in one operator. The weights of its
 * second result are not computed. */
gboolean aten_map_multi_head(AtenNode *node, GError **error)
{
    static const gint64 perm[] = {0, 2, 1, 3};
    GpudlTensor *x = aten_tensor(node, "query", error), *parts[3], *ys[2] = {NULL}, *t;
    gint64 heads, width;

    if (x == NULL || aten_tensor(node, "key", error) != x || aten_tensor(node, "value", error) != x)
        return error != NULL && *error != NULL
                   ? FALSE
                   : tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                             "attention of several tensors; of one with itself it is taken");
    if (!aten_int(node, "num_head", 1, &heads, error) || !aten_int(node, "embed_dim", 0, &width, error) ||
        !aten_absent(node, "mask", error) || !aten_absent(node, "mask_type", error))
        return FALSE;
    if (x->shape.rank != 3 || heads < 1 || width < 1 || width % heads != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " heads of %" G_GINT64_FORMAT " numbers, of a tensor of rank %d", heads,
                       width, x->shape.rank);
    if ((t = project(node, x, "qkv_weight", "qkv_bias", error)) == NULL ||
        !tf_split(node->build, t, 2, NULL, 3, parts, error))
        return FALSE;
    for (guint i = 0; i < 3; i++) {
        const gint64 apart[] = {0, 0, heads, width / heads};

        if ((parts[i] = aten_reshape(node, parts[i], apart, 4, error)) == NULL ||
            (parts[i] = tf_transpose(node->build, parts[i], perm, 4, error)) == NULL)
            return FALSE;
    }
    t = attend(node, parts[0], parts[1], parts[2], NULL, 1 / sqrt((double)width / (double)heads), error);
    if (t != NULL && (t = tf_transpose(node->build, t, perm, 4, error)) != NULL) {
        const gint64 together[] = {0, 0, width};

        t = aten_reshape(node, t, together, 3, error);
    }
    ys[0] = t != NULL ? project(node, t, "proj_weight", "proj_bias", error) : NULL;
    return ys[0] != NULL && aten_done_list(node, ys, 2);
}

/* ---- einsum ------------------------------------------------------------------------------------------------------ */

/* "bid,bjd->bij", without spaces, into its three parts; letters, none of them twice in a part. */
static gboolean read_equation(AtenNode *node, gchar parts[3][GPUDL_MAX_RANK + 1], GError **error)
{
    const gchar *text;
    guint part = 0, n = 0;

    if (!aten_text(node, "equation", "", &text, error))
        return FALSE;
    for (; *text != '\0'; text++) {
        if (*text == ' ')
            continue;
        if (part == 0 ? *text == ',' : part == 1 && g_str_has_prefix(text, "->")) {
            text += part;
            part++;
            n = 0;
            continue;
        }
        if (!g_ascii_isalpha(*text) || n >= GPUDL_MAX_RANK || strchr(parts[part], *text) != NULL)
            break;
        parts[part][n++] = *text;
        parts[part][n] = '\0';
    }
    if (*text == '\0' && part == 2)
        return TRUE;
    return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                   "an equation of other than two tensors and a result, or with '...' or a letter twice");
}

/* Turns x, whose dimensions are called so, to the order of other letters. */
static GpudlTensor *turn(AtenNode *node, GpudlTensor *x, const gchar *from, const gchar *to, GError **error)
{
    gint64 perm[GPUDL_MAX_RANK];
    const gsize n = strlen(to);

    if (strlen(from) != n || (gint)n != x->shape.rank) {
        tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "'%s' of a tensor of rank %d", from, x->shape.rank);
        return NULL;
    }
    for (gsize i = 0; i < n; i++)
        perm[i] = strchr(from, to[i]) - from;
    return tf_transpose(node->build, x, perm, n, error);
}

/* Which letters of a product's first and second operand are of both and the result, of one and the result, of both
 * alone. */
typedef struct {
    gchar shared[GPUDL_MAX_RANK + 1], rows[GPUDL_MAX_RANK + 1], columns[GPUDL_MAX_RANK + 1], summed[GPUDL_MAX_RANK + 1];
} Letters;

/* FALSE: a letter of one operand alone, or of the result alone. */
static gboolean sort_letters(gchar parts[3][GPUDL_MAX_RANK + 1], Letters *letters)
{
    for (guint k = 0; k < 2; k++)
        for (const gchar *c = parts[k]; *c != '\0'; c++) {
            const gboolean other = strchr(parts[1 - k], *c) != NULL, out = strchr(parts[2], *c) != NULL;
            gchar *list = !other ? (k == 0 ? letters->rows : letters->columns)
                          : out  ? letters->shared
                                 : letters->summed;

            if (!other && !out)
                return FALSE;
            if (!other || k == 0)
                list[strlen(list)] = *c;
        }
    return strlen(letters->shared) + strlen(letters->rows) + strlen(letters->columns) == strlen(parts[2]);
}

/* x as a stack of matrices, dimensions that make up one written as one; those of the side that may hold a batch are
 * what is left. */
static GpudlTensor *as_matrices(AtenNode *node, GpudlTensor *x, const gchar *names, const gchar *shared,
                                const gchar *sides[2], guint free_side, GError **error)
{
    g_autofree gchar *order = g_strconcat(shared, sides[0], sides[1], NULL);
    const guint n = (guint)strlen(shared);
    gint64 dims[GPUDL_MAX_RANK + 2] = {0}, together = 1;

    for (const gchar *c = sides[1 - free_side]; *c != '\0'; c++)
        together *= (gint64)(strlen(names) == (gsize)x->shape.rank ? x->shape.dims[strchr(names, *c) - names] : 1);
    x = turn(node, x, names, order, error);
    if (x == NULL || (strlen(sides[0]) == 1 && strlen(sides[1]) == 1))
        return x;
    dims[n + free_side] = -1;
    dims[n + 1 - free_side] = together;
    return aten_reshape(node, x, dims, n + 2, error);
}

/* The product with its rows and columns taken apart: the first of them that there is, which may be the batch, takes
 * what is left. */
static GpudlTensor *take_apart(AtenNode *node, GpudlTensor *y, const Letters *letters, GpudlTensor *const xs[2],
                               gchar parts[3][GPUDL_MAX_RANK + 1], GError **error)
{
    guint n = (guint)strlen(letters->shared);
    gint64 dims[GPUDL_MAX_RANK + 1] = {0};
    gboolean rest = TRUE;

    if (strlen(letters->rows) == 1 && strlen(letters->columns) == 1)
        return y;
    for (guint k = 0; k < 2; k++)
        for (const gchar *c = k == 0 ? letters->rows : letters->columns; *c != '\0'; c++, rest = FALSE)
            dims[n++] = rest ? -1 : xs[k]->shape.dims[strchr(parts[k], *c) - parts[k]];
    return aten_reshape(node, y, dims, n, error);
}

gboolean aten_map_einsum(AtenNode *node, GError **error)
{
    gchar parts[3][GPUDL_MAX_RANK + 1] = {{0}};
    Letters l = {{0}, {0}, {0}, {0}};
    guint n;
    g_autofree GpudlTensor **xs = aten_tensors(node, "tensors", &n, error);
    g_autofree gchar *order = NULL;
    GpudlTensor *a, *b;

    if (xs == NULL || !read_equation(node, parts, error))
        return FALSE;
    if (n != 2 || !sort_letters(parts, &l) || strlen(l.shared) + 2 > GPUDL_MAX_RANK)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "an equation that is no product of two tensors");
    order = g_strconcat(l.shared, l.rows, l.columns, NULL);
    if ((a = as_matrices(node, xs[0], parts[0], l.shared, (const gchar *[]){l.rows, l.summed}, 0, error)) == NULL ||
        (b = as_matrices(node, xs[1], parts[1], l.shared, (const gchar *[]){l.summed, l.columns}, 1, error)) == NULL ||
        (a = tf_binary(node->build, GPUDL_OP_MATMUL, a, b, error)) == NULL ||
        (a = take_apart(node, a, &l, xs, parts, error)) == NULL)
        return FALSE;
    return aten_done(node, turn(node, a, order, parts[2], error));
}
