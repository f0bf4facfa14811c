/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/torch/tensor.h"

#include <string.h>

#include "engine/limits.h"

/* Row after row, as our constants are. */
static gboolean is_dense(const TorchLayout *layout)
{
    gint64 expected = 1;

    for (gint i = layout->shape.rank; i-- > 0;) {
        if (layout->shape.dims[i] != 1 && layout->stride[i] != expected)
            return FALSE;
        /* both are below 2^31 */
        expected = MIN(expected * MAX(layout->shape.dims[i], 1), GPUDL_LIMIT_TENSOR_BYTES);
    }
    return TRUE;
}

/* The last element that is read lies in so many bytes. */
static gboolean fits(const TorchLayout *layout, gsize bytes)
{
    const gint64 room = (gint64)(bytes / gpudl_dtype_size(layout->dtype));
    gint64 last = layout->offset;

    for (gint i = 0; i < layout->shape.rank; i++) {
        if (layout->shape.dims[i] == 0)
            return layout->offset <= room;
        if (layout->stride[i] != 0 && layout->shape.dims[i] - 1 > room / layout->stride[i])
            return FALSE;
        last += (layout->shape.dims[i] - 1) * layout->stride[i];
    }
    return last < room;
}

/* Values in the order of their strides, one after the other. */
static GBytes *make_dense(const TorchLayout *layout, const guint8 *data, gsize n)
{
    const gsize size = gpudl_dtype_size(layout->dtype);
    gint64 at[GPUDL_MAX_RANK] = {0}, place = layout->offset;
    guint8 *out = g_malloc(MAX(n * size, 1));

    for (gsize i = 0; i < n; i++) {
        memcpy(out + i * size, data + (gsize)place * size, size);
        for (gint k = layout->shape.rank; k-- > 0;) {
            place += layout->stride[k];
            if (++at[k] < layout->shape.dims[k])
                break;
            place -= at[k] * layout->stride[k];
            at[k] = 0;
        }
    }
    return g_bytes_new_take(out, n * size);
}

GpudlTensor *torch_constant(AtenContext *context, const gchar *name, const TorchLayout *layout, GBytes *storage,
                            GError **error)
{
    const gsize size = gpudl_dtype_size(layout->dtype);
    const gint64 n = gpudl_shape_elements(&layout->shape);
    g_autoptr(GBytes) values = NULL;
    const guint8 *data;
    gsize bytes;

    data = g_bytes_get_data(storage, &bytes);
    if (n < 0 || n > GPUDL_LIMIT_TENSOR_BYTES / (gint64)size)
        return tf_fail(&context->build, GPUDL_ERROR_LIMIT, error,
                       "weight '%s' is larger than %" G_GINT64_FORMAT " bytes", name, (gint64)GPUDL_LIMIT_TENSOR_BYTES),
               NULL;
    if (!fits(layout, bytes))
        return tf_fail(&context->build, GPUDL_ERROR_FORMAT, error,
                       "weight '%s' reads beyond the %" G_GSIZE_FORMAT " bytes of its storage", name, bytes),
               NULL;
    if (is_dense(layout) && (n == 0 || GPOINTER_TO_SIZE(data + (gsize)layout->offset * size) % 64 == 0)) {
        values = g_bytes_new_from_bytes(storage, n > 0 ? (gsize)layout->offset * size : 0, (gsize)n * size);
    } else {
        /* what is repeated by strides of 0 is not in the file: its size is bounded as that of what is computed */
        if ((guint64)n * size > context->build.fold_left)
            return tf_fail(&context->build, GPUDL_ERROR_LIMIT, error, "weight '%s' repeats its values too often", name),
                   NULL;
        context->build.fold_left -= (guint64)n * size;
        values = make_dense(layout, data, (gsize)n);
    }
    return gpudl_graph_add_constant(context->build.graph, name, layout->dtype, &layout->shape, values, error);
}
