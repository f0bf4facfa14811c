/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Constants and shape arithmetic that becomes constants; Identity and Dropout, which pass values on. */
#include <math.h>
#include <string.h>

#include "engine/limits.h"
#include "onnx-internal.h"

gboolean onnx_map_identity(OnnxNode *node, GError **error)
{
    return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, node->inputs, 1, error);
}

/* A scalar spread over a shape. */
static GpudlTensor *emit_filled(OnnxNode *node, GpudlTensor *scalar, const gint64 *dims, gsize rank,
                                const gchar *output, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = (gint32)rank};

    memcpy(attrs.shape.dims, dims, rank * sizeof(gint64));
    return onnx_emit(node, GPUDL_OP_EXPAND, &attrs, &scalar, 1, output, error);
}

/* Whether an input, if there, is known to be 0. */
static gboolean is_zero(OnnxNode *node, guint i, gboolean *zero, GError **error)
{
    GpudlTensor *input = onnx_input(node, i);
    gboolean known = FALSE;
    double value = 1;

    if (input != NULL && !onnx_scalar(node, input, &known, &value, error))
        return FALSE;
    *zero = known && value == 0;
    return TRUE;
}

/* For inference an Identity, and in training mode where nothing is dropped; the mask, all true, exists as bool from
 * opset 10 on. */
gboolean onnx_map_dropout(OnnxNode *node, GError **error)
{
    const GpudlShape *shape = &node->inputs[0]->shape;
    gboolean no_ratio, no_training;
    GpudlTensor *scalar;

    if (!is_zero(node, 1, &no_ratio, error) || !is_zero(node, 2, &no_training, error))
        return FALSE;
    if (onnx_input(node, 2) != NULL && !no_training && !no_ratio)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "training mode: the model must be exported for inference");
    if (onnx_output_used(node, 1)) {
        if (node->import->opset < 10)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "its second output, the mask, is used");
        if ((scalar = onnx_constant_scalar(node, GPUDL_DTYPE_BOOL, 1, error)) == NULL ||
            (node->outputs[1] =
                 emit_filled(node, scalar, shape->dims, (gsize)shape->rank, onnx_output_name(node, 1), error)) == NULL)
            return FALSE;
    }
    return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, node->inputs, 1, error);
}

static gboolean constant_from_tensor(OnnxNode *node, Onnx__TensorProto *proto, GError **error)
{
    g_autofree gchar *what =
        g_strdup_printf("node '%s' (Constant, opset %" G_GINT64_FORMAT ")", node->name, node->import->opset);
    GpudlDType dtype;
    GpudlShape shape;
    GBytes *data;

    if (!onnx_tensor_read(node->import, proto, NULL, what, &dtype, &shape, &data, error))
        return FALSE;
    node->outputs[0] = onnx_constant(node, onnx_output_name(node, 0), dtype, &shape, data, error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_constant(OnnxNode *node, GError **error)
{
    static const struct {
        const gchar *name;
        GpudlDType dtype;
        gboolean vector;
    } forms[] = {
        {"value_float", GPUDL_DTYPE_F32, FALSE},
        {"value_floats", GPUDL_DTYPE_F32, TRUE},
        {"value_int", GPUDL_DTYPE_I64, FALSE},
        {"value_ints", GPUDL_DTYPE_I64, TRUE},
    };
    const Onnx__AttributeProto *attr = onnx_attr(node, "value");

    if (node->proto->n_attribute != 1)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " attributes, expected one value",
                         node->proto->n_attribute);
    if (attr != NULL)
        return constant_from_tensor(node, attr->t, error);
    for (guint i = 0; i < G_N_ELEMENTS(forms); i++) {
        GpudlShape shape = {.rank = forms[i].vector};
        GBytes *data;

        if ((attr = onnx_attr(node, forms[i].name)) == NULL)
            continue;
        if (forms[i].dtype == GPUDL_DTYPE_F32)
            data = forms[i].vector ? g_bytes_new(attr->floats, attr->n_floats * sizeof(float))
                                   : g_bytes_new(&attr->f, sizeof(float));
        else
            data = forms[i].vector ? g_bytes_new(attr->ints, attr->n_ints * sizeof(gint64))
                                   : g_bytes_new(&attr->i, sizeof(gint64));
        shape.dims[0] = (gint64)(g_bytes_get_size(data) / gpudl_dtype_size(forms[i].dtype));
        node->outputs[0] = onnx_constant(node, onnx_output_name(node, 0), forms[i].dtype, &shape, data, error);
        return node->outputs[0] != NULL;
    }
    return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "no value");
}

gboolean onnx_map_constant_of_shape(OnnxNode *node, GError **error)
{
    const Onnx__AttributeProto *attr = onnx_attr(node, "value");
    const GpudlShape scalar_shape = {.rank = 0};
    g_autofree gint64 *dims = NULL;
    g_autofree gchar *what = g_strdup_printf("node '%s' (ConstantOfShape): value", node->name);
    GpudlDType dtype = GPUDL_DTYPE_F32;
    GpudlTensor *scalar;
    GBytes *data = NULL;
    gsize rank;

    if (!onnx_input_ints(node, 0, &dims, &rank, error))
        return FALSE;
    if (rank > GPUDL_MAX_RANK)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "rank %" G_GSIZE_FORMAT ", at most %d is taken", rank,
                         GPUDL_MAX_RANK);
    if (attr != NULL) {
        GpudlShape shape;

        if (!onnx_tensor_read(node->import, attr->t, NULL, what, &dtype, &shape, &data, error))
            return FALSE;
        if (gpudl_shape_elements(&shape) != 1) {
            g_bytes_unref(data);
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "value has %" G_GINT64_FORMAT " elements, expected one",
                             (gint64)gpudl_shape_elements(&shape));
        }
    } else {
        data = g_bytes_new((const float[]){0.f}, sizeof(float));
    }
    if ((scalar = onnx_constant(node, NULL, dtype, &scalar_shape, data, error)) == NULL)
        return FALSE;
    node->outputs[0] = emit_filled(node, scalar, dims, rank, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* From opset 15 on a part of the shape: start and end are clamped into 0..rank. */
gboolean onnx_map_shape(OnnxNode *node, GError **error)
{
    const GpudlShape *shape = &node->inputs[0]->shape;
    gint64 start = onnx_attr_int(node, "start", 0), end = onnx_attr_int(node, "end", G_MAXINT64);

    start = CLAMP(start < 0 ? start + shape->rank : start, 0, shape->rank);
    end = CLAMP(end < 0 ? end + shape->rank : end, start, MAX(start, shape->rank));
    node->outputs[0] =
        onnx_constant_ints(node, onnx_output_name(node, 0), shape->dims + start, (gsize)(end - start), FALSE, error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_size(OnnxNode *node, GError **error)
{
    const gint64 n = gpudl_shape_elements(&node->inputs[0]->shape);

    node->outputs[0] = onnx_constant_ints(node, onnx_output_name(node, 0), &n, 1, TRUE, error);
    return node->outputs[0] != NULL;
}

/* Number of values from start up to, without, limit; -1 if delta is 0 or it is no number that fits. */
static gint64 range_length(GpudlDType dtype, const double *v, const gint64 *i)
{
    double n;

    if (dtype == GPUDL_DTYPE_I64 || dtype == GPUDL_DTYPE_I32 || dtype == GPUDL_DTYPE_I16) {
        gint64 span;

        if (i[2] == 0 || __builtin_sub_overflow(i[1], i[0], &span))
            return -1;
        if (span == 0 || (span > 0) != (i[2] > 0))
            return 0;
        return i[2] == -1 ? -span : span / i[2] + (span % i[2] != 0);
    }
    n = ceil((v[1] - v[0]) / v[2]);
    return isfinite(n) && n < 1e15 ? (gint64)MAX(n, 0) : -1;
}

gboolean onnx_map_range(OnnxNode *node, GError **error)
{
    const GpudlDType dtype = node->inputs[0]->dtype;
    const gsize size = gpudl_dtype_size(dtype);
    gint64 whole[3] = {0};
    double value[3];
    GpudlShape shape = {.rank = 1};
    guint8 *out;

    for (guint i = 0; i < 3; i++) {
        gboolean known;

        if (node->inputs[i]->dtype != dtype)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "start, limit and delta have different types");
        if (!onnx_scalar(node, node->inputs[i], &known, &value[i], error))
            return FALSE;
        if (!known)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                             "input %u ('%s') depends on the network's input values, so the output's size does", i,
                             node->inputs[i]->name);
        if (dtype == GPUDL_DTYPE_I64)
            memcpy(&whole[i], g_bytes_get_data(onnx_fold(node->import, node->inputs[i], NULL), NULL), 8);
        else if (dtype == GPUDL_DTYPE_I32 || dtype == GPUDL_DTYPE_I16)
            whole[i] = (gint64)value[i];
    }
    shape.dims[0] = range_length(dtype, value, whole);
    if (shape.dims[0] < 0 || shape.dims[0] > GPUDL_LIMIT_TENSOR_BYTES / (gint64)size)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "from %g to %g in steps of %g", value[0], value[1], value[2]);
    out = g_malloc(MAX((gsize)shape.dims[0] * size, 1));
    for (gint64 i = 0; i < shape.dims[0]; i++) {
        const gint64 integer = whole[0] + i * whole[2];

        if (dtype == GPUDL_DTYPE_I64)
            memcpy(out + i * 8, &integer, 8);
        else
            onnx_store_number(dtype, out, (gsize)i, value[0] + (double)i * value[2]);
    }
    node->outputs[0] = onnx_constant(node, onnx_output_name(node, 0), dtype, &shape,
                                     g_bytes_new_take(out, (gsize)shape.dims[0] * size), error);
    return node->outputs[0] != NULL;
}
