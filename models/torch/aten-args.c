/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a mapping asks of its operator's arguments, and what it gives back. */
#include <string.h>

#include "aten-internal.h"

static const gchar *kind_name(const AtenValue *value)
{
    static const gchar *const names[] = {"None",   "a tensor", "an integer", "a number", "a flag",
                                         "a text", "a type",   "a list",     "a place",  "an object"};

    return names[value->kind];
}

static gboolean wrong(AtenNode *node, const gchar *name, const AtenValue *value, const gchar *expected, GError **error)
{
    return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its %s is %s, expected %s", name,
                   value != NULL ? kind_name(value) : "absent", expected);
}

const AtenValue *aten_arg(AtenNode *node, const gchar *name)
{
    for (guint i = 0; i < node->n_names; i++)
        if (strcmp(node->names[i], name) == 0) {
            node->used |= 1u << i;
            return node->args[i] != NULL && node->args[i]->kind != ATEN_NONE ? node->args[i] : NULL;
        }
    return NULL;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* FALSE if the value was changed through another one that shares its memory. */
static gboolean is_current(AtenNode *node, const AtenValue *value, GError **error)
{
    if (aten_is_current(value))
        return TRUE;
    return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                   "it reads a tensor that node '%s' changes in place through another view of it. In Python: "
                   "torch.export.save(torch.export.export(model, inputs).run_decompositions(), 'net.pt2')",
                   value->storage->writer);
}

static gboolean tensor_of(AtenNode *node, const gchar *name, const AtenValue *value, GpudlTensor **x, GError **error)
{
    if (value == NULL || value->kind != ATEN_TENSOR)
        return wrong(node, name, value, "a tensor", error);
    if (value->tensor == NULL)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "its %s is a result that is not computed here: indices, statistics", name);
    *x = value->tensor;
    return is_current(node, value, error);
}

gboolean aten_optional(AtenNode *node, const gchar *name, GpudlTensor **x, GError **error)
{
    const AtenValue *value = aten_arg(node, name);

    *x = NULL;
    return value == NULL || tensor_of(node, name, value, x, error);
}

GpudlTensor *aten_tensor(AtenNode *node, const gchar *name, GError **error)
{
    GpudlTensor *x = NULL;

    return tensor_of(node, name, aten_arg(node, name), &x, error) ? x : NULL;
}

GpudlTensor **aten_tensors(AtenNode *node, const gchar *name, guint *n, GError **error)
{
    const AtenValue *list = aten_arg(node, name);
    g_autofree GpudlTensor **xs = NULL;

    if (list == NULL || list->kind != ATEN_LIST || list->n_items == 0)
        return wrong(node, name, list, "a list of tensors", error), NULL;
    xs = g_new0(GpudlTensor *, list->n_items);
    for (guint i = 0; i < list->n_items; i++)
        if (!tensor_of(node, name, &list->items[i], &xs[i], error))
            return NULL;
    *n = list->n_items;
    return g_steal_pointer(&xs);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static gboolean int_of(AtenNode *node, const gchar *name, const AtenValue *value, gint64 *out, GError **error)
{
    if (value->kind == ATEN_TENSOR && value->tensor != NULL && gpudl_tensor_is_constant(value->tensor))
        return tf_int(node->build, value->tensor, name, out, error);
    if (value->kind != ATEN_INT && value->kind != ATEN_FLAG)
        return wrong(node, name, value, "an integer", error);
    *out = value->integer;
    return TRUE;
}

gboolean aten_int(AtenNode *node, const gchar *name, gint64 fallback, gint64 *value, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);

    *value = fallback;
    return arg == NULL || int_of(node, name, arg, value, error);
}

gboolean aten_number(AtenNode *node, const gchar *name, double fallback, double *value, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);

    *value = fallback;
    if (arg == NULL)
        return TRUE;
    if (arg->kind == ATEN_INT || arg->kind == ATEN_FLAG)
        *value = (double)arg->integer;
    else if (arg->kind == ATEN_NUMBER)
        *value = arg->number;
    else
        return wrong(node, name, arg, "a number", error);
    return TRUE;
}

gboolean aten_flag(AtenNode *node, const gchar *name, gboolean fallback, gboolean *value, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);

    *value = fallback;
    if (arg == NULL)
        return TRUE;
    if (arg->kind != ATEN_FLAG && arg->kind != ATEN_INT)
        return wrong(node, name, arg, "True or False", error);
    *value = arg->integer != 0;
    return TRUE;
}

gboolean aten_text(AtenNode *node, const gchar *name, const gchar *fallback, const gchar **text, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);

    *text = fallback;
    if (arg == NULL)
        return TRUE;
    if (arg->kind != ATEN_TEXT)
        return wrong(node, name, arg, "a text", error);
    *text = arg->text;
    return TRUE;
}

gboolean aten_ints(AtenNode *node, const gchar *name, gint64 *values, guint most, guint *n, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);

    *n = 0;
    if (arg == NULL)
        return TRUE;
    if (arg->kind == ATEN_FLAG)
        return wrong(node, name, arg, "integers", error);
    if (arg->kind != ATEN_LIST) {
        *n = 1;
        return most < 1 ? wrong(node, name, arg, "a list", error) : int_of(node, name, arg, &values[0], error);
    }
    if (arg->n_items > most)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its %s has %u values, expected at most %u", name,
                       arg->n_items, most);
    for (guint i = 0; i < arg->n_items; i++)
        if (!int_of(node, name, &arg->items[i], &values[i], error))
            return FALSE;
    *n = arg->n_items;
    return TRUE;
}

gboolean aten_each(AtenNode *node, const gchar *name, gint64 fallback, gint64 *values, guint n, GError **error)
{
    guint given;

    if (!aten_ints(node, name, values, n, &given, error))
        return FALSE;
    if (given > 1 && given != n)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its %s has %u values, expected %u", name, given, n);
    for (guint i = given; i < n; i++)
        values[i] = given == 0 ? fallback : values[0];
    return TRUE;
}

gboolean aten_dtype(AtenNode *node, const gchar *name, GpudlDType *dtype, GError **error)
{
    /* c10::ScalarType, as TorchScript writes it */
    static const GpudlDType types[] = {GPUDL_DTYPE_U8,   GPUDL_DTYPE_I8,   GPUDL_DTYPE_I16,  GPUDL_DTYPE_I32,
                                       GPUDL_DTYPE_I64,  GPUDL_DTYPE_F16,  GPUDL_DTYPE_F32,  GPUDL_DTYPE_F64,
                                       GPUDL_DTYPE_NONE, GPUDL_DTYPE_NONE, GPUDL_DTYPE_NONE, GPUDL_DTYPE_BOOL,
                                       GPUDL_DTYPE_NONE, GPUDL_DTYPE_NONE, GPUDL_DTYPE_NONE, GPUDL_DTYPE_BF16};
    const AtenValue *arg = aten_arg(node, name);

    *dtype = GPUDL_DTYPE_NONE;
    if (arg == NULL)
        return TRUE;
    if (arg->kind == ATEN_DTYPE)
        *dtype = (GpudlDType)arg->integer;
    else if (arg->kind == ATEN_INT && arg->integer >= 0 && arg->integer < (gint64)G_N_ELEMENTS(types))
        *dtype = types[arg->integer];
    if (*dtype == GPUDL_DTYPE_NONE)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its %s is an element type that is not taken",
                       name);
    return TRUE;
}

gboolean aten_spend(AtenNode *node, guint64 bytes, GError **error)
{
    if (bytes > node->build->fold_left)
        return tf_fail(node->build, GPUDL_ERROR_LIMIT, error, "more numbers of nothing than a network has use for");
    node->build->fold_left -= bytes;
    return TRUE;
}

gboolean aten_absent(AtenNode *node, const gchar *name, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);

    if (arg == NULL)
        return TRUE;
    return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its %s is %s; only None is taken", name,
                   kind_name(arg));
}

gboolean aten_axis(AtenNode *node, gint64 value, gint rank, gint *axis, GError **error)
{
    gint32 at;

    if (!tf_axis(node->build, value, MAX(rank, 1), &at, error))
        return FALSE;
    *axis = at;
    return TRUE;
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

gboolean aten_is_float(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_F32 || dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16 ||
           dtype == GPUDL_DTYPE_F64;
}

/* bool < integers < floats */
static guint category(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_BOOL ? 0 : aten_is_float(dtype) ? 2 : 1;
}

/* What two tensors are computed in: the higher category's; in the same one, a scalar's type gives way. */
static GpudlDType common_type(const GpudlTensor *a, const GpudlTensor *b)
{
    const guint ca = category(a->dtype), cb = category(b->dtype);

    if (ca != cb)
        return ca > cb ? a->dtype : b->dtype;
    if ((a->shape.rank == 0) != (b->shape.rank == 0))
        return a->shape.rank == 0 ? b->dtype : a->dtype;
    if (a->dtype != b->dtype && ca == 2 && gpudl_dtype_size(a->dtype) == gpudl_dtype_size(b->dtype))
        return GPUDL_DTYPE_F32; /* float16 with bfloat16 */
    return gpudl_dtype_size(a->dtype) >= gpudl_dtype_size(b->dtype) ? a->dtype : b->dtype;
}

static gboolean is_tensor(const AtenValue *value)
{
    return value != NULL && value->kind == ATEN_TENSOR;
}

GpudlTensor *aten_operand(AtenNode *node, const gchar *name, const GpudlTensor *with, GError **error)
{
    const AtenValue *arg = aten_arg(node, name);
    GpudlDType dtype = with->dtype;
    double value;

    if (is_tensor(arg))
        return aten_tensor(node, name, error);
    if (arg == NULL)
        return wrong(node, name, arg, "a tensor or a number", error), NULL;
    if (!aten_number(node, name, 0, &value, error))
        return NULL;
    if (arg->kind == ATEN_NUMBER && !aten_is_float(dtype))
        dtype = GPUDL_DTYPE_F32;
    else if (arg->kind == ATEN_INT && dtype == GPUDL_DTYPE_BOOL)
        dtype = GPUDL_DTYPE_I64;
    return tf_scalar(node->build, dtype, value, error);
}

gboolean aten_in_common(AtenNode *node, GpudlTensor **a, GpudlTensor **b, GError **error)
{
    const GpudlDType dtype = common_type(*a, *b);

    return (*a = tf_cast(node->build, *a, dtype, error)) != NULL &&
           (*b = tf_cast(node->build, *b, dtype, error)) != NULL;
}

gboolean aten_operands(AtenNode *node, const gchar *a, const gchar *b, GpudlTensor *two[2], GError **error)
{
    const gboolean second = !is_tensor(aten_arg(node, a));

    two[second] = aten_tensor(node, second ? b : a, error);
    two[!second] = two[second] != NULL ? aten_operand(node, second ? a : b, two[second], error) : NULL;
    return two[!second] != NULL && aten_in_common(node, &two[0], &two[1], error);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

gboolean aten_done(AtenNode *node, GpudlTensor *y)
{
    if (y == NULL)
        return FALSE;
    node->result = aten_of_tensor(node->context, y);
    return TRUE;
}

gboolean aten_done_list(AtenNode *node, GpudlTensor *const *ys, guint n)
{
    node->result = (AtenValue){.kind = ATEN_LIST, .n_items = n};
    node->result.items = aten_alloc(node->context, n, sizeof(AtenValue));
    for (guint i = 0; i < n; i++)
        node->result.items[i] = aten_of_tensor(node->context, ys[i]);
    return TRUE;
}

GpudlTensor *aten_reshape(AtenNode *node, GpudlTensor *x, const gint64 *dims, guint rank, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = (gint32)rank};

    if (rank > GPUDL_MAX_RANK) {
        tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a tensor of rank %u, at most %d is taken", rank,
                GPUDL_MAX_RANK);
        return NULL;
    }
    for (guint i = 0; i < rank; i++)
        if (dims[i] < -1) {
            tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "an extent of %" G_GINT64_FORMAT, dims[i]);
            return NULL;
        }
    memcpy(attrs.shape.dims, dims, rank * sizeof *dims);
    return tf_emit(node->build, GPUDL_OP_RESHAPE, &attrs, &x, 1, error);
}

GpudlTensor *aten_view(AtenNode *node, GpudlTensor *x, const gint64 *dims, guint rank, GError **error)
{
    gint64 elements = 1, out[GPUDL_MAX_RANK];
    gboolean says_rest = FALSE, overflow = FALSE;
    guint stay = 0;

    if (rank > GPUDL_MAX_RANK)
        return aten_reshape(node, x, dims, rank, error);
    for (guint i = 0; i < rank; i++) {
        says_rest = says_rest || dims[i] == -1;
        overflow = overflow || dims[i] == 0 || dims[i] < -1 || __builtin_mul_overflow(elements, dims[i], &elements);
        out[i] = dims[i];
    }
    if (overflow || (!says_rest && elements != gpudl_shape_elements(&x->shape))) {
        g_autofree gchar *text = gpudl_shape_to_string(&x->shape);

        tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%s does not fit in a shape of %" G_GINT64_FORMAT " elements",
                text, elements);
        return NULL;
    }
    while (stay < rank && stay < (guint)x->shape.rank && dims[stay] == x->shape.dims[stay])
        out[stay++] = 0;
    if (!says_rest && stay < rank)
        out[stay] = -1;
    return aten_reshape(node, x, out, rank, error);
}
