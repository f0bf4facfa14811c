/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "graphdef-internal.h"

GpudlDType graphdef_dtype(gint32 type)
{
    static const GpudlDType types[] = {
        [1] = GPUDL_DTYPE_F32,   [2] = GPUDL_DTYPE_F64,  [3] = GPUDL_DTYPE_I32,  [4] = GPUDL_DTYPE_U8,
        [5] = GPUDL_DTYPE_I16,   [6] = GPUDL_DTYPE_I8,   [9] = GPUDL_DTYPE_I64,  [10] = GPUDL_DTYPE_BOOL,
        [14] = GPUDL_DTYPE_BF16, [17] = GPUDL_DTYPE_U16, [19] = GPUDL_DTYPE_F16, [22] = GPUDL_DTYPE_U32,
        [23] = GPUDL_DTYPE_U64};

    return type > 0 && type < (gint32)G_N_ELEMENTS(types) ? types[type] : GPUDL_DTYPE_NONE;
}

/* Values that are listed one by one, the last of them standing for all that follow; *size 0: none are. */
static gconstpointer listed(const Tensorflow__TensorProto *proto, GpudlDType dtype, gsize *n, gsize *step)
{
    switch (dtype) {
    case GPUDL_DTYPE_F32:
        *n = proto->n_float_val;
        *step = 4;
        return proto->float_val;
    case GPUDL_DTYPE_F64:
        *n = proto->n_double_val;
        *step = 8;
        return proto->double_val;
    case GPUDL_DTYPE_I64:
        *n = proto->n_int64_val;
        *step = 8;
        return proto->int64_val;
    case GPUDL_DTYPE_BOOL:
        *n = proto->n_bool_val;
        *step = sizeof(protobuf_c_boolean);
        return proto->bool_val;
    case GPUDL_DTYPE_F16:
    case GPUDL_DTYPE_BF16:
        *n = proto->n_half_val;
        *step = 4;
        return proto->half_val;
    default: /* the low bytes of an int32, little-endian */
        *n = proto->n_int_val;
        *step = 4;
        return proto->int_val;
    }
}

/* Fills the constant's memory; FALSE if the file has neither all of its bytes nor listed ones. */
static gboolean fill(const Tensorflow__TensorProto *proto, GpudlDType dtype, guint8 *to, gsize n)
{
    const gsize size = gpudl_dtype_size(dtype);
    gsize n_listed, step;
    const guint8 *from = listed(proto, dtype, &n_listed, &step);

    if (proto->has_tensor_content && proto->tensor_content.len > 0) {
        if (proto->tensor_content.len != n * size)
            return FALSE;
        memcpy(to, proto->tensor_content.data, n * size);
        return TRUE;
    }
    if (n_listed > n || step < size)
        return FALSE;
    for (gsize i = 0; i < n && n_listed > 0; i++)
        memcpy(to + i * size, from + MIN(i, n_listed - 1) * step, size);
    return TRUE; /* none at all: zeros */
}

GpudlTensor *graphdef_tensor(TfBuild *build, Tensorflow__TensorProto *proto, GError **error)
{
    const GpudlDType dtype = graphdef_dtype(proto->dtype);
    GpudlShape shape = {0};
    guint8 *values;
    gint64 n;

    if (dtype == GPUDL_DTYPE_NONE) {
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "a constant of type %d, which is not taken", proto->dtype);
        return NULL;
    }
    if (proto->tensor_shape != NULL && proto->tensor_shape->n_dim > GPUDL_MAX_RANK) {
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "a constant of rank %" G_GSIZE_FORMAT ", at most %d is taken",
                proto->tensor_shape->n_dim, GPUDL_MAX_RANK);
        return NULL;
    }
    shape.rank = proto->tensor_shape != NULL ? (gint32)proto->tensor_shape->n_dim : 0;
    for (gint i = 0; i < shape.rank; i++)
        shape.dims[i] = proto->tensor_shape->dim[i]->size;
    n = gpudl_shape_elements(&shape);
    if (n < 0 || n > (gint64)(build->fold_left / gpudl_dtype_size(dtype))) {
        tf_fail(build, GPUDL_ERROR_LIMIT, error, "a constant of %" G_GINT64_FORMAT " elements", n);
        return NULL;
    }
    build->fold_left -= (guint64)n * gpudl_dtype_size(dtype);
    if (proto->has_tensor_content && n > 0 && proto->tensor_content.len == (gsize)n * gpudl_dtype_size(dtype))
        return tf_constant(build, dtype, &shape, gpudl_wire_steal_bytes(&proto->tensor_content), error);
    values = g_malloc0(MAX((gsize)n * gpudl_dtype_size(dtype), 1));
    if (!fill(proto, dtype, values, (gsize)n)) {
        g_free(values);
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "a constant of %" G_GINT64_FORMAT " elements with %" G_GSIZE_FORMAT " bytes", n,
                proto->has_tensor_content ? proto->tensor_content.len : 0);
        return NULL;
    }
    return tf_constant(build, dtype, &shape, g_bytes_new_take(values, (gsize)n * gpudl_dtype_size(dtype)), error);
}
