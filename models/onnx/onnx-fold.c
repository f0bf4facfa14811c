/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values that must be known while importing: targets of Reshape, axes, bounds of Clip. They are computed on the
 * reference as far as they depend on constants; shapes are constants here, since every tensor is inferred at once.
 */
#include <math.h>
#include <string.h>

#include "engine/graph/ops.h"
#include "engine/ref/ref.h"
#include "kernels/half.h"
#include "kernels/narrow.h"
#include "onnx-internal.h"

/* Shape arithmetic is a few numbers; a file that computes with more at load time wants to keep us busy. */
#define FOLD_MAX_BYTES (G_GUINT64_CONSTANT(16) << 20)        /* one value */
#define FOLD_MAX_TOTAL_BYTES (G_GUINT64_CONSTANT(256) << 20) /* all values of one file */

gboolean onnx_is_computable(const OnnxImport *import, const GpudlTensor *tensor)
{
    return tensor->data != NULL || g_hash_table_contains(import->computable, tensor);
}

static GBytes *value_of(OnnxImport *import, GpudlTensor *tensor)
{
    return tensor->data != NULL ? tensor->data : g_hash_table_lookup(import->folded, tensor);
}

/* These cost more than their output's size. */
static gboolean is_heavy(GpudlOp op)
{
    return op == GPUDL_OP_CONV || op == GPUDL_OP_GEMM || op == GPUDL_OP_MATMUL || op == GPUDL_OP_MAX_POOL ||
           op == GPUDL_OP_AVERAGE_POOL || op == GPUDL_OP_LRN || op == GPUDL_OP_RESIZE;
}

static gboolean check_budget(OnnxImport *import, const GpudlNode *node, GError **error)
{
    guint64 bytes = 0;

    if (is_heavy(node->op)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "it would take computing node '%s' (%s) at load time",
                    node->name, gpudl_op_info(node->op)->name);
        return FALSE;
    }
    for (guint i = 0; i < node->n_outputs; i++)
        bytes += (guint64)gpudl_shape_elements(&node->outputs[i]->shape) * gpudl_dtype_size(node->outputs[i]->dtype);
    import->folded_bytes += bytes;
    if (bytes > FOLD_MAX_BYTES || import->folded_bytes > FOLD_MAX_TOTAL_BYTES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "node '%s' (%s) would have to be computed at load time: %" G_GUINT64_FORMAT
                    " bytes, at most %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT " in all) are",
                    node->name, gpudl_op_info(node->op)->name, bytes, FOLD_MAX_BYTES, FOLD_MAX_TOTAL_BYTES);
        return FALSE;
    }
    return TRUE;
}

gboolean onnx_spend(const OnnxNode *node, guint64 bytes, GError **error)
{
    OnnxImport *import = node->import;

    if (bytes <= FOLD_MAX_TOTAL_BYTES && import->folded_bytes + bytes <= FOLD_MAX_TOTAL_BYTES) {
        import->folded_bytes += bytes;
        return TRUE;
    }
    return onnx_fail(node, GPUDL_ERROR_LIMIT, error,
                     "it would take %" G_GUINT64_FORMAT " bytes at load time, at most %" G_GUINT64_FORMAT
                     " are taken for all of a file's operators",
                     bytes, FOLD_MAX_TOTAL_BYTES);
}

static void view_of(GpudlTensor *tensor, gconstpointer data, GpudlTensorView *view)
{
    view->dtype = tensor->dtype;
    view->shape = tensor->shape;
    view->data = (gpointer)data; /* the reference only reads its inputs */
}

static gboolean compute(OnnxImport *import, const GpudlNode *node, GError **error)
{
    g_autofree GpudlTensorView *inputs = g_new0(GpudlTensorView, node->n_inputs + 1);
    g_autofree const GpudlTensorView **present = g_new0(const GpudlTensorView *, node->n_inputs + 1);
    GpudlTensorView outputs[GPUDL_MAX_OUTPUTS];
    gboolean ok;

    if (!check_budget(import, node, error))
        return FALSE;
    for (guint i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] == NULL)
            continue;
        view_of(node->inputs[i], g_bytes_get_data(value_of(import, node->inputs[i]), NULL), &inputs[i]);
        present[i] = &inputs[i];
    }
    for (guint i = 0; i < node->n_outputs; i++) {
        const gsize size =
            (gsize)gpudl_shape_elements(&node->outputs[i]->shape) * gpudl_dtype_size(node->outputs[i]->dtype);

        view_of(node->outputs[i], g_malloc0(MAX(size, 1)), &outputs[i]);
        g_hash_table_insert(import->folded, node->outputs[i], g_bytes_new_take(outputs[i].data, size));
    }
    ok = gpudl_ref_eval(node->op, node->name, &node->attrs, present, node->n_inputs, outputs, node->n_outputs, error);
    if (!ok)
        for (guint i = 0; i < node->n_outputs; i++)
            g_hash_table_remove(import->folded, node->outputs[i]);
    return ok;
}

GBytes *onnx_fold(OnnxImport *import, GpudlTensor *tensor, GError **error)
{
    g_autoptr(GPtrArray) stack = g_ptr_array_new(); /* GpudlTensor* still to compute; no recursion: chains are long */

    if (!onnx_is_computable(import, tensor))
        return NULL;
    g_ptr_array_add(stack, tensor);
    while (stack->len > 0) {
        GpudlTensor *top = stack->pdata[stack->len - 1];
        const guint before = stack->len;

        if (value_of(import, top) != NULL) {
            g_ptr_array_set_size(stack, (gint)before - 1);
            continue;
        }
        for (guint i = 0; i < top->producer->n_inputs; i++) {
            GpudlTensor *input = top->producer->inputs[i];

            if (input != NULL && value_of(import, input) == NULL)
                g_ptr_array_add(stack, input);
        }
        if (stack->len == before && !compute(import, top->producer, error))
            return NULL;
    }
    return value_of(import, tensor);
}

double onnx_number(GpudlDType dtype, gconstpointer data, gsize index)
{
    const guint8 *at = (const guint8 *)data + index * gpudl_dtype_size(dtype);
    union {
        float f32;
        double f64;
        gint8 i8;
        gint16 i16;
        gint32 i32;
        gint64 i64;
        guint8 u8;
        guint16 u16;
        guint32 u32;
        guint64 u64;
    } v;

    memcpy(&v, at, gpudl_dtype_size(dtype));
    switch (dtype) {
    case GPUDL_DTYPE_F32:
        return (double)v.f32;
    case GPUDL_DTYPE_F64:
        return v.f64;
    case GPUDL_DTYPE_F16:
        return (double)gpudl_f16_to_f32(v.u16);
    case GPUDL_DTYPE_BF16:
        return (double)gpudl_bf16_to_f32(v.u16);
    case GPUDL_DTYPE_I8:
        return v.i8;
    case GPUDL_DTYPE_I16:
        return v.i16;
    case GPUDL_DTYPE_I32:
        return v.i32;
    case GPUDL_DTYPE_I64:
        return (double)v.i64;
    case GPUDL_DTYPE_U8:
    case GPUDL_DTYPE_BOOL:
        return v.u8;
    case GPUDL_DTYPE_U16:
        return v.u16;
    case GPUDL_DTYPE_U32:
        return v.u32;
    case GPUDL_DTYPE_U64:
        return (double)v.u64;
    default:
        if (gpudl_is_narrow_float(dtype))
            return (double)gpudl_narrow_to_f32(dtype, v.u8);
        return gpudl_is_narrow_integer(dtype) ? gpudl_narrow_to_int(dtype, v.u8) : NAN;
    }
}

/* Rounds to the nearest integer in low..high; NaN becomes 0. */
static gint64 to_integer(double value, gint64 low, gint64 high)
{
    if (isnan(value))
        return 0;
    value = nearbyint(value);
    if (value <= (double)low)
        return low;
    return value >= (double)high ? high : (gint64)value;
}

void onnx_store_number(GpudlDType dtype, gpointer data, gsize index, double value)
{
    guint8 *at = (guint8 *)data + index * gpudl_dtype_size(dtype);
    const float f32 = (float)value;
    guint16 half;
    gint64 integer;

    if (gpudl_is_narrow_float(dtype)) {
        *at = gpudl_f64_to_narrow(dtype, value, TRUE);
        return;
    }
    switch (dtype) {
    case GPUDL_DTYPE_F32:
        memcpy(at, &f32, 4);
        return;
    case GPUDL_DTYPE_F64:
        memcpy(at, &value, 8);
        return;
    case GPUDL_DTYPE_F16:
    case GPUDL_DTYPE_BF16:
        half = dtype == GPUDL_DTYPE_F16 ? gpudl_f64_to_f16(value) : gpudl_f64_to_bf16(value);
        memcpy(at, &half, 2);
        return;
    case GPUDL_DTYPE_I8:
        integer = to_integer(value, G_MININT8, G_MAXINT8);
        break;
    case GPUDL_DTYPE_I16:
        integer = to_integer(value, G_MININT16, G_MAXINT16);
        break;
    case GPUDL_DTYPE_I32:
        integer = to_integer(value, G_MININT32, G_MAXINT32);
        break;
    case GPUDL_DTYPE_I64:
        integer = to_integer(value, G_MININT64, G_MAXINT64);
        break;
    case GPUDL_DTYPE_U8:
        integer = to_integer(value, 0, G_MAXUINT8);
        break;
    case GPUDL_DTYPE_BOOL:
        integer = value != 0;
        break;
    case GPUDL_DTYPE_I4:
        integer = to_integer(value, -8, 7);
        break;
    case GPUDL_DTYPE_U4:
        integer = to_integer(value, 0, 15);
        break;
    case GPUDL_DTYPE_I2:
        integer = to_integer(value, -2, 1);
        break;
    case GPUDL_DTYPE_U2:
        integer = to_integer(value, 0, 3);
        break;
    case GPUDL_DTYPE_U16:
        integer = to_integer(value, 0, G_MAXUINT16);
        break;
    case GPUDL_DTYPE_U32:
        integer = to_integer(value, 0, G_MAXUINT32);
        break;
    default: /* U64; the largest one by its bits, numbers between are not asked for */
        integer = value > (double)G_MAXINT64 ? -1 : to_integer(value, 0, G_MAXINT64);
        break;
    }
    memcpy(at, &integer, gpudl_dtype_size(dtype)); /* little-endian: the low bytes come first */
}
