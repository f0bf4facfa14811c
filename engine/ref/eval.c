/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "call.h"
#include "engine/gpudl.h"
#include "engine/graph/ops.h"
#include "ref.h"

typedef GpudlRefCall Call;

/** "float32 1x3x8x8, absent -> float32 1x8": what the message of a refused call shows. */
static gchar *describe(const Call *c)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < c->n_in + c->n_out; i++) {
        const GpudlTensorView *view = i < c->n_in ? c->in[i] : &c->out[i - c->n_in];
        g_autofree gchar *shape = view ? gpudl_shape_to_string(&view->shape) : NULL;

        g_string_append(text, i == c->n_in ? " -> " : i > 0 ? ", " : "");
        if (view)
            g_string_append_printf(text, "%s %s", gpudl_dtype_name(view->dtype), shape);
        else
            g_string_append(text, "absent");
    }
    return g_string_free(text, FALSE);
}

static void set_error(GError **error, const gchar *op, const gchar *name, const Call *call, int status)
{
    GpudlError code = status == GPUDL_KERNEL_DTYPE ? GPUDL_ERROR_UNSUPPORTED : GPUDL_ERROR_FORMAT;
    g_autofree gchar *operands = describe(call);

    g_set_error(error, GPUDL_ERROR, (gint)code, "node \"%s\" (%s): %s: %s", name ? name : "", op,
                gpudl_kernel_status_text(status), operands);
}

static gboolean check_arity(const GpudlOpInfo *info, const gchar *name, const Call *c, GError **error)
{
    if (c->n_in < info->min_inputs || c->n_in > info->max_inputs || c->n_out < info->min_outputs ||
        c->n_out > info->max_outputs) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "node \"%s\" (%s): %u inputs and %u outputs, expected %u to %u and %u to %u", name ? name : "",
                    info->name, c->n_in, c->n_out, info->min_inputs, info->max_inputs, info->min_outputs,
                    info->max_outputs);
        return FALSE;
    }
    for (guint i = 0; i < info->min_inputs; i++) {
        if (c->in[i] == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "node \"%s\" (%s): input %u is absent but required",
                        name ? name : "", info->name, i);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean gpudl_ref_eval(GpudlOp op, const gchar *name, const GpudlAttrs *attrs, const GpudlTensorView *const *inputs,
                        guint n_inputs, const GpudlTensorView *outputs, guint n_outputs, GError **error)
{
    const Call call = {attrs, inputs, n_inputs, outputs, n_outputs};
    const GpudlOpInfo *info;
    int status;

    if (!gpudl_ref_call_supported((int)op)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "node \"%s\": operator %d has no reference kernel",
                    name ? name : "", (gint)op);
        return FALSE;
    }
    info = gpudl_op_info(op);
    if (!check_arity(info, name, &call, error))
        return FALSE;
    status = gpudl_ref_call((int)op, &call);
    if (status != GPUDL_KERNEL_OK)
        set_error(error, info->name, name, &call, status);
    return status == GPUDL_KERNEL_OK;
}
