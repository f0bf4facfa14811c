/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is computed of shapes, which are known here, and tensors that are made of nothing else. */
#include <math.h>
#include <string.h>

#include "aten-internal.h"
#include "engine/limits.h"

/* What guards the network's shapes: it held where the file was made, and here shapes are checked anyway. */
gboolean aten_map_nothing(AtenNode *node, GError **error)
{
    return TRUE;
}

gboolean aten_map_size(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dim;
    gint axis;

    if (x == NULL)
        return FALSE;
    if (aten_arg(node, "dim") != NULL) {
        if (!aten_int(node, "dim", 0, &dim, error) || !aten_axis(node, dim, x->shape.rank, &axis, error))
            return FALSE;
        if (x->shape.rank == 0)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "an extent of a scalar");
        node->result = aten_of_int(x->shape.dims[axis]);
        return TRUE;
    }
    node->result = (AtenValue){.kind = ATEN_LIST, .n_items = (guint)x->shape.rank};
    node->result.items = aten_alloc(node->context, node->result.n_items, sizeof(AtenValue));
    for (gint i = 0; i < x->shape.rank; i++)
        node->result.items[i] = aten_of_int(x->shape.dims[i]);
    return TRUE;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Quotient and remainder as Python rounds them: down. */
static gint64 floor_divide(gint64 a, gint64 b)
{
    const gint64 quotient = a / b;

    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static gint64 floor_modulo(gint64 a, gint64 b)
{
    const gint64 rest = a % b;

    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static gboolean of_ints(AtenNode *node, const gchar *what, gint64 a, gint64 b, GError **error)
{
    gboolean overflow = FALSE;
    gint64 y = 0;

    if (strcmp(what, "add") == 0)
        overflow = __builtin_add_overflow(a, b, &y);
    else if (strcmp(what, "sub") == 0)
        overflow = __builtin_sub_overflow(a, b, &y);
    else if (strcmp(what, "mul") == 0)
        overflow = __builtin_mul_overflow(a, b, &y);
    else if (b == 0 || (a == G_MININT64 && b == -1))
        overflow = TRUE;
    else
        y = strcmp(what, "mod") == 0 ? floor_modulo(a, b) : floor_divide(a, b);
    if (overflow)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " and %" G_GINT64_FORMAT " have no result that fits", a, b);
    node->result = aten_of_int(y);
    return TRUE;
}

static gboolean of_numbers(AtenNode *node, const gchar *what, double a, double b)
{
    const gchar *const names[] = {"add", "sub", "mul", "truediv", "div", "floordiv", "mod"};
    const double results[] = {a + b, a - b, a * b, a / b, a / b, floor(a / b), a - b * floor(a / b)};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(what, names[i]) == 0) {
            node->result = aten_of_number(results[i]);
            return TRUE;
        }
    return FALSE;
}

static gboolean compared(AtenNode *node, const gchar *what, double a, double b)
{
    const gchar *const names[] = {"eq", "ne", "lt", "le", "gt", "ge"};
    const gboolean results[] = {a == b, a != b, a<b, a <= b, a> b, a >= b};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(what, names[i]) == 0) {
            node->result = aten_of_flag(results[i]);
            return TRUE;
        }
    return FALSE;
}

/* Rows whose operands are numbers, by the operator's name. */
gboolean aten_map_number(AtenNode *node, GError **error)
{
    const gchar *dot = strchr(node->row->name, '.'), *what = dot != NULL ? dot + 1 : node->row->name;
    const AtenValue *first = aten_arg(node, node->names[0]), *second = aten_arg(node, node->names[1]);
    double a, b;

    if (strcmp(what, "floor_divide") == 0)
        what = "floordiv";
    else if (strcmp(what, "remainder") == 0)
        what = "mod";
    if (!aten_number(node, node->names[0], 0, &a, error) || !aten_number(node, node->names[1], 0, &b, error))
        return FALSE;
    if (first == NULL || second == NULL)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "two numbers are expected");
    if (strcmp(what, "rsub") == 0) {
        const AtenValue *other = first;
        const double turned = a;

        first = second;
        second = other;
        a = b;
        b = turned;
        what = "sub";
    }
    if (compared(node, what, a, b))
        return TRUE;
    if (first->kind != ATEN_NUMBER && second->kind != ATEN_NUMBER &&
        (strcmp(what, "add") == 0 || strcmp(what, "sub") == 0 || strcmp(what, "mul") == 0 ||
         strcmp(what, "floordiv") == 0 || strcmp(what, "mod") == 0))
        return of_ints(node, what, first->integer, second->integer, error);
    return of_numbers(node, what, a, b) ||
           tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "of numbers; of tensors it is taken");
}

gboolean aten_map_quotient(AtenNode *node, const gchar *mode, GError **error)
{
    const AtenValue *a = aten_arg(node, "self"), *b = aten_arg(node, "other");

    if (mode == NULL)
        return aten_map_number(node, error);
    if (a == NULL || b == NULL || a->kind != ATEN_INT || b->kind != ATEN_INT ||
        (strcmp(mode, "trunc") == 0 && (a->integer < 0 || b->integer < 0)))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a quotient of such numbers rounded by '%s'", mode);
    return of_ints(node, "floordiv", a->integer, b->integer, error);
}

gboolean aten_map_getitem(AtenNode *node, GError **error)
{
    const AtenValue *list = aten_arg(node, "a");
    gint64 i;

    if (list == NULL || list->kind != ATEN_LIST || !aten_int(node, "b", 0, &i, error))
        return error != NULL && *error != NULL
                   ? FALSE
                   : tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a part of something that is no list");
    i = i < 0 ? i + list->n_items : i;
    if (i < 0 || i >= list->n_items)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "part %" G_GINT64_FORMAT " of %u", i, list->n_items);
    node->result = list->items[i];
    return TRUE;
}

/* ---- tensors of numbers ------------------------------------------------------------------------------------------ */

/* Integers, unless a number or the type says otherwise. */
gboolean aten_map_arange(AtenNode *node, GError **error)
{
    const AtenValue *start = aten_arg(node, "start"), *end = aten_arg(node, "end"), *step = aten_arg(node, "step");
    const gboolean real = (start != NULL && start->kind == ATEN_NUMBER) || (end != NULL && end->kind == ATEN_NUMBER) ||
                          (step != NULL && step->kind == ATEN_NUMBER);
    g_autofree double *values = NULL;
    double first, last, by, n;
    GpudlTensor *made;
    GpudlShape shape = {.rank = 1};
    GpudlDType dtype;

    if (!aten_number(node, "start", 0, &first, error) || !aten_number(node, "end", 0, &last, error) ||
        !aten_number(node, "step", 1, &by, error) || !aten_dtype(node, "dtype", &dtype, error))
        return FALSE;
    n = ceil((last - first) / by);
    if (!(n >= 0 && n <= 1 << 24))
        return tf_fail(node->build, GPUDL_ERROR_LIMIT, error, "numbers from %g to %g by %g", first, last, by);
    if (!aten_spend(node, (guint64)n * sizeof *values, error))
        return FALSE;
    values = g_new(double, (gsize)n + 1);
    for (gsize i = 0; i < (gsize)n; i++)
        values[i] = first + by * (double)i;
    shape.dims[0] = (gint64)n;
    made = tf_constant(node->build, GPUDL_DTYPE_F64, &shape, g_bytes_new(values, (gsize)n * sizeof *values), error);
    if (dtype == GPUDL_DTYPE_NONE)
        dtype = real ? GPUDL_DTYPE_F32 : GPUDL_DTYPE_I64;
    return made != NULL && aten_done(node, tf_cast(node->build, made, dtype, error));
}

/* full, zeros, ones, scalar_tensor, and the likes of a tensor. */
gboolean aten_map_full(AtenNode *node, GError **error)
{
    const gboolean of_other = g_str_has_prefix(node->row->name, "new_"); /* its type is the other's */
    const gboolean like = g_str_has_suffix(node->row->name, "_like");
    const gboolean scalar_alone = strcmp(node->row->name, "scalar_tensor") == 0;
    const gchar *fill = scalar_alone ? "s" : "fill_value";
    const AtenValue *given = aten_arg(node, fill);
    double value = strstr(node->row->name, "ones") != NULL ? 1 : 0, elements = 1;
    gint64 dims[GPUDL_MAX_RANK];
    GpudlTensor *x = NULL, *scalar;
    GpudlDType dtype;
    guint n = 0;

    if (((like || of_other) && (x = aten_tensor(node, "self", error)) == NULL) ||
        !aten_dtype(node, "dtype", &dtype, error) || !aten_number(node, fill, value, &value, error) ||
        (!like && !aten_ints(node, "size", dims, GPUDL_MAX_RANK, &n, error)))
        return FALSE;
    if (like) {
        n = (guint)x->shape.rank;
        memcpy(dims, x->shape.dims, sizeof dims);
    }
    for (guint i = 0; i < n; i++)
        elements *= (double)MAX(dims[i], 0);
    if (elements > GPUDL_LIMIT_TENSOR_BYTES / 8)
        return tf_fail(node->build, GPUDL_ERROR_LIMIT, error, "a tensor of %g elements", elements);
    if (dtype == GPUDL_DTYPE_NONE)
        dtype = like || of_other                            ? x->dtype
                : given != NULL && given->kind == ATEN_INT  ? GPUDL_DTYPE_I64
                : given != NULL && given->kind == ATEN_FLAG ? GPUDL_DTYPE_BOOL
                                                            : GPUDL_DTYPE_F32;
    scalar = tf_scalar(node->build, dtype, value, error);
    if (scalar == NULL || n == 0)
        return aten_done(node, scalar);
    return aten_done(node, tf_broadcast(node->build, scalar, dims, n, error));
}

/* fill, zero: all of a tensor is one number. */
gboolean aten_map_fill(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *scalar;
    double value;

    if (x == NULL || !aten_number(node, "value", 0, &value, error) ||
        (scalar = tf_scalar(node->build, x->dtype, value, error)) == NULL)
        return FALSE;
    return aten_done(node, x->shape.rank == 0
                               ? scalar
                               : tf_broadcast(node->build, scalar, x->shape.dims, (gsize)x->shape.rank, error));
}
