/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Einsum as transposes, products of matrices and sums. Operands are taken from the left, two at a time; a letter that
 * no later operand nor the result has is summed up as soon as it can be.
 */
#include <string.h>

#include "onnx-internal.h"

/* A tensor and what its dimensions are called. */
typedef struct {
    GpudlTensor *tensor;
    gchar names[GPUDL_MAX_RANK + 1];
} Term;

static gboolean fail_equation(const OnnxNode *node, const gchar *equation, const gchar *why, GError **error)
{
    return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "equation '%s': %s", equation, why);
}

/* The letters of one term; the `hidden` dimensions that "..." stands for get names that no equation has, '0' the last.
 * FALSE if they are too many or no letters. */
static gboolean spell(const gchar *text, gint hidden, gboolean once, gchar *names)
{
    gsize n = 0;

    for (const gchar *p = text; *p != '\0'; p++) {
        if (g_str_has_prefix(p, "...")) {
            for (gint i = hidden; i-- > 0 && n < GPUDL_MAX_RANK;)
                names[n++] = (gchar)('0' + i);
            p += 2;
        } else if (g_ascii_isalpha(*p) && n < GPUDL_MAX_RANK) {
            if (once && memchr(names, *p, n) != NULL)
                return FALSE;
            names[n++] = *p;
        } else if (*p != ' ') {
            return FALSE;
        }
    }
    names[n] = '\0';
    return TRUE;
}

/* How many letters a text has besides "...". */
static gint count_letters(const gchar *text)
{
    gint n = 0;

    for (; *text != '\0'; text++)
        n += g_ascii_isalpha(*text);
    return n;
}

static gint64 extent(const Term *term, gchar name)
{
    const gchar *at = strchr(term->names, name);

    return at != NULL ? term->tensor->shape.dims[at - term->names] : 1;
}

/* The term with its dimensions in this order; all of its names are in it. */
static gboolean reorder(OnnxNode *node, Term *term, const gchar *order, GError **error)
{
    GpudlAttrs attrs = {.transpose.rank = (gint32)strlen(order)};

    if (strcmp(term->names, order) == 0)
        return TRUE;
    for (gint i = 0; order[i] != '\0'; i++)
        attrs.transpose.perm[i] = (gint32)(strchr(term->names, order[i]) - term->names);
    term->tensor = onnx_emit(node, GPUDL_OP_TRANSPOSE, &attrs, &term->tensor, 1, NULL, error);
    g_strlcpy(term->names, order, sizeof term->names);
    return term->tensor != NULL;
}

/* Sums up what is not in `kept`. */
static gboolean sum_up(OnnxNode *node, Term *term, const gchar *kept, GError **error)
{
    GpudlAttrs attrs = {0};
    gchar left[GPUDL_MAX_RANK + 1] = "";
    gsize n = 0;

    for (gint i = 0; term->names[i] != '\0'; i++) {
        if (strchr(kept, term->names[i]) == NULL)
            attrs.reduce.axes[attrs.reduce.n_axes++] = i;
        else
            left[n++] = term->names[i];
    }
    if (attrs.reduce.n_axes == 0)
        return TRUE;
    term->tensor = onnx_emit(node, GPUDL_OP_REDUCE_SUM, &attrs, &term->tensor, 1, NULL, error);
    memcpy(term->names, left, sizeof left);
    return term->tensor != NULL;
}

/* A letter that stands for two dimensions means their diagonal: all else becomes 0, and the second is summed up. */
static gboolean take_diagonals(OnnxNode *node, Term *term, GError **error)
{
    for (gint i = 0; term->names[i] != '\0'; i++) {
        const gchar *again = strchr(term->names + i + 1, term->names[i]);
        const gint k = again != NULL ? (gint)(again - term->names) : 0, rank = term->tensor->shape.rank;
        const gint64 n = term->tensor->shape.dims[i];
        GpudlAttrs reduce = {.reduce = {.n_axes = 1, .axes = {k}}};
        GpudlTensor *inputs[3] = {NULL, term->tensor, NULL};
        GpudlShape shape = {.rank = rank};
        guint8 *mask;

        if (again == NULL)
            continue;
        if (term->tensor->shape.dims[k] != n || n > 4096)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                             "the diagonal of %" G_GINT64_FORMAT " by %" G_GINT64_FORMAT, n,
                             (gint64)term->tensor->shape.dims[k]);
        for (gint d = 0; d < rank; d++)
            shape.dims[d] = d == i || d == k ? n : 1;
        mask = g_malloc0((gsize)(n * n) + 1);
        for (gint64 d = 0; d < n; d++)
            mask[d * n + d] = 1;
        inputs[0] = onnx_constant(node, NULL, GPUDL_DTYPE_BOOL, &shape, g_bytes_new_take(mask, (gsize)(n * n)), error);
        if (inputs[0] == NULL || (inputs[2] = onnx_constant_scalar(node, term->tensor->dtype, 0, error)) == NULL ||
            (term->tensor = onnx_emit(node, GPUDL_OP_WHERE, NULL, inputs, 3, NULL, error)) == NULL ||
            (term->tensor = onnx_emit(node, GPUDL_OP_REDUCE_SUM, &reduce, &term->tensor, 1, NULL, error)) == NULL)
            return FALSE;
        memmove(term->names + k, term->names + k + 1, strlen(term->names + k));
        i--;
    }
    return TRUE;
}

/* Letters of a that are (or are not) in b and are (or are not) in c. */
static void pick(const gchar *a, const gchar *b, gboolean in_b, const gchar *c, gboolean in_c, gchar *out)
{
    gsize n = 0;

    for (; *a != '\0'; a++)
        if ((strchr(b, *a) != NULL) == in_b && (strchr(c, *a) != NULL) == in_c)
            out[n++] = *a;
    out[n] = '\0';
}

static gint64 product(const Term *term, const gchar *names)
{
    gint64 n = 1;

    for (; *names != '\0'; names++)
        n *= extent(term, *names);
    return n;
}

/* The term as a stack of matrices: shared dimensions as they are, then rows, then columns, each written as one. */
static GpudlTensor *as_matrices(OnnxNode *node, Term *term, const gchar *shared, const gchar *rows,
                                const gchar *columns, GError **error)
{
    g_autofree gchar *order = g_strconcat(shared, rows, columns, NULL);
    const gint n = (gint)strlen(shared);
    gint64 dims[GPUDL_MAX_RANK + 2];

    if (n + 2 > GPUDL_MAX_RANK) {
        onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "%d shared dimensions, at most %d are taken", n,
                  GPUDL_MAX_RANK - 2);
        return NULL;
    }
    if (!reorder(node, term, order, error))
        return NULL;
    if (strlen(rows) == 1 && strlen(columns) == 1)
        return term->tensor;
    for (gint i = 0; i < n; i++)
        dims[i] = 0;
    dims[n] = product(term, rows);
    dims[n + 1] = product(term, columns);
    return onnx_reshape(node, term->tensor, dims, n + 2, NULL, error);
}

/* a becomes the product of both, with the letters that are `wanted`. */
static gboolean multiply(OnnxNode *node, Term *a, Term *b, const gchar *wanted, GError **error)
{
    g_autofree gchar *all = g_strconcat(b->names, wanted, NULL);
    gchar shared[GPUDL_MAX_RANK + 1], summed[GPUDL_MAX_RANK + 1], rows[GPUDL_MAX_RANK + 1], columns[GPUDL_MAX_RANK + 1];
    gint64 dims[3 * GPUDL_MAX_RANK];
    GpudlTensor *left, *right;
    Term out;
    gint rank = 0;

    /* what one alone has, and nobody wants */
    if (!sum_up(node, a, all, error))
        return FALSE;
    g_free(all);
    all = g_strconcat(a->names, wanted, NULL);
    if (!sum_up(node, b, all, error))
        return FALSE;
    pick(a->names, b->names, TRUE, wanted, TRUE, shared);
    pick(a->names, b->names, TRUE, wanted, FALSE, summed);
    pick(a->names, b->names, FALSE, "", FALSE, rows);
    pick(b->names, a->names, FALSE, "", FALSE, columns);
    for (const gchar *p = summed; *p != '\0'; p++)
        if (extent(a, *p) != extent(b, *p))
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "'%c' is %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT, *p,
                             extent(a, *p), extent(b, *p));
    if ((gsize)(strlen(shared) + strlen(rows) + strlen(columns)) > GPUDL_MAX_RANK)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "a product of more than %d dimensions", GPUDL_MAX_RANK);
    out = *a; /* extents of the result: of a shared letter, the one that is not broadcast */
    for (const gchar *p = shared; *p != '\0'; p++)
        dims[rank++] = MAX(extent(a, *p), extent(b, *p));
    for (const gchar *p = rows; *p != '\0'; p++)
        dims[rank++] = extent(a, *p);
    for (const gchar *p = columns; *p != '\0'; p++)
        dims[rank++] = extent(b, *p);
    /* a's own first dimensions may stay as they are where b has nothing like them: the batch is among them */
    if (shared[0] == '\0' && strlen(rows) >= 1 && strlen(rows) + 1 <= GPUDL_MAX_RANK && strlen(summed) == 1) {
        g_autofree gchar *order = g_strconcat(rows, summed, NULL);

        left = reorder(node, a, order, error) ? a->tensor : NULL;
        if (left != NULL && rank > 0 && strlen(rows) > 1)
            dims[0] = 0;
    } else {
        left = as_matrices(node, a, shared, rows, summed, error);
        if (shared[0] != '\0' && extent(a, shared[0]) == dims[0])
            dims[0] = 0;
    }
    if (left == NULL || (right = as_matrices(node, b, shared, summed, columns, error)) == NULL ||
        (out.tensor = onnx_binary(node, GPUDL_OP_MATMUL, left, right, NULL, error)) == NULL)
        return FALSE;
    g_snprintf(out.names, sizeof out.names, "%s%s%s", shared, rows, columns);
    if (out.tensor->shape.rank != rank || strlen(columns) != 1 || strlen(rows) == 0)
        out.tensor = onnx_reshape(node, out.tensor, dims, rank, NULL, error);
    *a = out;
    return out.tensor != NULL;
}

/* Without "->": the letters that occur once, in alphabetical order, behind the hidden ones. */
static void implied_result(gchar **terms, gint hidden, gchar *names)
{
    gsize n = 0;

    for (gint i = hidden; i-- > 0;)
        names[n++] = (gchar)('0' + i);
    for (gchar c = 'A'; c <= 'z' && n < GPUDL_MAX_RANK; c++) {
        gint count = 0;

        for (guint i = 0; terms[i] != NULL && g_ascii_isalpha(c); i++)
            for (const gchar *p = terms[i]; *p != '\0'; p++)
                count += *p == c;
        if (count == 1)
            names[n++] = c;
    }
    names[n] = '\0';
}

gboolean onnx_map_einsum(OnnxNode *node, GError **error)
{
    g_autofree gchar *equation = onnx_attr_string(node, "equation");
    g_auto(GStrv) sides = equation != NULL ? g_strsplit(equation, "->", 3) : NULL;
    g_auto(GStrv) words =
        sides != NULL && sides[0] != NULL ? g_strsplit(sides[0][0] != '\0' ? sides[0] : " ", ",", -1) : NULL;
    g_autofree Term *terms = g_new0(Term, node->n_inputs + 1);
    gchar wanted[GPUDL_MAX_RANK + 1];
    gint hidden = 0;

    if (words == NULL || g_strv_length(words) != node->n_inputs || g_strv_length(sides) > 2)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "equation '%s' for %u inputs",
                         equation != NULL ? equation : "", node->n_inputs);
    for (guint i = 0; i < node->n_inputs; i++) {
        const gint rank = node->inputs[i]->shape.rank;
        const gint own = strstr(words[i], "...") != NULL ? rank - count_letters(words[i]) : 0;

        if (own < 0 || !spell(words[i], own, FALSE, terms[i].names))
            return fail_equation(node, equation, "what is no letter, or too many of them, in an operand", error);
        if ((gint)strlen(terms[i].names) != rank)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "equation '%s': operand %u has rank %d", equation, i,
                             rank);
        terms[i].tensor = node->inputs[i];
        if (!take_diagonals(node, &terms[i], error))
            return FALSE;
        hidden = MAX(hidden, own);
    }
    if (sides[1] == NULL)
        implied_result(words, hidden, wanted);
    else if (!spell(sides[1], hidden, TRUE, wanted))
        return fail_equation(node, equation, "a letter twice in the result, or too many", error);
    for (guint i = 1; i < node->n_inputs; i++) {
        g_autoptr(GString) later = g_string_new(wanted);

        for (guint k = i + 1; k < node->n_inputs; k++)
            g_string_append(later, terms[k].names);
        if (!multiply(node, &terms[0], &terms[i], later->str, error))
            return FALSE;
    }
    if (!sum_up(node, &terms[0], wanted, error))
        return FALSE;
    if (strlen(terms[0].names) != strlen(wanted))
        return fail_equation(node, equation, "a letter of the result that no operand has", error);
    for (const gchar *p = wanted; *p != '\0'; p++)
        if (strchr(terms[0].names, *p) == NULL)
            return fail_equation(node, equation, "a letter of the result that no operand has", error);
    return reorder(node, &terms[0], wanted, error) &&
           onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &terms[0].tensor, 1, error);
}
