/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of layers, and of mean files. */
#include <math.h>
#include <string.h>

#include "caffe-internal.h"
#include "engine/limits.h"
#include "engine/modelfile/wire.h"

static gboolean is_legacy(const Caffe__BlobProto *blob)
{
    return blob->has_num || blob->has_channels || blob->has_height || blob->has_width;
}

gboolean caffe_blob_shape(const Caffe__BlobProto *blob, GpudlShape *shape)
{
    *shape = (GpudlShape){0};
    if (is_legacy(blob)) {
        const gint32 dims[] = {blob->num, blob->channels, blob->height, blob->width};

        shape->rank = 4;
        for (guint i = 0; i < 4; i++)
            shape->dims[i] = dims[i];
    } else if (blob->shape != NULL) {
        if (blob->shape->n_dim > GPUDL_MAX_RANK)
            return FALSE;
        shape->rank = (gint32)blob->shape->n_dim;
        for (gsize i = 0; i < blob->shape->n_dim; i++)
            shape->dims[i] = blob->shape->dim[i];
    }
    return gpudl_shape_elements(shape) >= 0;
}

/* Equal but for dimensions of 1 in front, by which older files fill up to four. */
static gboolean are_equal(const GpudlShape *a, const GpudlShape *b)
{
    gint i = 0, k = 0;

    while (i < a->rank && a->dims[i] == 1)
        i++;
    while (k < b->rank && b->dims[k] == 1)
        k++;
    if (a->rank - i != b->rank - k)
        return FALSE;
    for (; i < a->rank; i++, k++)
        if (a->dims[i] != b->dims[k])
            return FALSE;
    return TRUE;
}

gboolean caffe_check_blobs(const CaffeLayer *layer, guint min, guint max, GError **error)
{
    if (layer->n_blobs == 0 && min > 0 && !layer->import->has_values)
        return caffe_fail(
            layer, GPUDL_ERROR_FORMAT, error,
            "it needs values, which a .caffemodel holds: expected one beside the .prototxt, or given with "
            "it");
    if (layer->n_blobs == 0 && min > 0)
        return caffe_fail(
            layer, GPUDL_ERROR_FORMAT, error,
            "the .caffemodel has no values for it: expected the .caffemodel of this network, whose layers "
            "have the same names");
    if (layer->n_blobs < min || layer->n_blobs > max)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%u arrays of values, expected %u%s", layer->n_blobs,
                          layer->n_blobs < min ? min : max,
                          min == max             ? ""
                          : layer->n_blobs < min ? " at least"
                                                 : " at most");
    return TRUE;
}

/* The number of values that a blob has, which has to be its shape's and the expected one. */
static gboolean check_blob(const CaffeLayer *layer, guint i, const gchar *what, const GpudlShape *expected, gsize *n,
                           GError **error)
{
    const Caffe__BlobProto *blob = layer->blobs[i];
    const gsize stored = blob->n_double_data > 0 ? blob->n_double_data : blob->n_data;
    GpudlShape shape;

    if (blob->n_double_data > 0 && blob->n_data > 0)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "its %s are there twice, as floats and as doubles", what);
    if (!caffe_blob_shape(blob, &shape))
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                          "its %s have a shape that can't be: more than %d dimensions, or a negative one", what,
                          GPUDL_MAX_RANK);
    if (!are_equal(&shape, expected)) {
        g_autofree gchar *found = gpudl_shape_to_string(&shape), *wanted = gpudl_shape_to_string(expected);

        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "its %s are %s, expected %s", what, found, wanted);
    }
    *n = (gsize)gpudl_shape_elements(&shape);
    if (stored != *n)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                          "its %s are %" G_GSIZE_FORMAT " values, expected %" G_GSIZE_FORMAT, what, stored, *n);
    return TRUE;
}

static GBytes *doubles_to_floats(const double *values, gsize n)
{
    float *floats = g_new(float, n);

    for (gsize i = 0; i < n; i++)
        floats[i] = (float)values[i];
    return g_bytes_new_take(floats, n * sizeof *floats);
}

GpudlTensor *caffe_blob(CaffeLayer *layer, guint i, const gchar *what, const GpudlShape *expected, GError **error)
{
    Caffe__BlobProto *blob = layer->blobs[i];
    g_autofree gchar *name = g_strdup_printf("%s/%s", layer->name, what);
    g_autoptr(GBytes) data = NULL;
    gsize n;

    if (!check_blob(layer, i, what, expected, &n, error))
        return NULL;
    if (blob->n_double_data > 0) {
        data = doubles_to_floats(blob->double_data, n);
    } else {
        ProtobufCBinaryData field = {.len = n * sizeof(float), .data = (guint8 *)blob->data};

        data = gpudl_wire_steal_bytes(&field);
        blob->data = NULL;
        blob->n_data = 0;
    }
    return gpudl_graph_add_constant(layer->import->graph, name, GPUDL_DTYPE_F32, expected, data, error);
}

float *caffe_blob_floats(CaffeLayer *layer, guint i, const gchar *what, const GpudlShape *expected, GError **error)
{
    const Caffe__BlobProto *blob = layer->blobs[i];
    float *floats;
    gsize n;

    if (!check_blob(layer, i, what, expected, &n, error))
        return NULL;
    floats = g_new(float, n + 1);
    for (gsize k = 0; k < n; k++)
        floats[k] = blob->n_double_data > 0 ? (float)blob->double_data[k] : blob->data[k];
    return floats;
}

/* ---- mean files -------------------------------------------------------------------------------------------------- */

static gboolean read_mean(const Caffe__BlobProto *blob, GpudlCaffeInfo *info, GError **error)
{
    const gsize n = blob->n_double_data > 0 ? blob->n_double_data : blob->n_data;
    const gint channels = info->preproc.channels;
    GpudlShape shape;
    double mean[3] = {0};
    gboolean constant = TRUE;
    gsize plane;

    if (!caffe_blob_shape(blob, &shape) || shape.rank < 3 || (gsize)gpudl_shape_elements(&shape) != n || n == 0)
        return caffe_fail_net(GPUDL_ERROR_FORMAT, error, "no means of a picture, expected channels x height x width");
    if (shape.dims[shape.rank - 3] != channels || n % (gsize)channels != 0)
        return caffe_fail_net(GPUDL_ERROR_FORMAT, error,
                              "means of %" G_GINT64_FORMAT " channels, but the network's input has %d",
                              (gint64)shape.dims[shape.rank - 3], channels);
    plane = n / (gsize)channels;
    for (gint c = 0; c < channels; c++) {
        double low = G_MAXDOUBLE, high = -G_MAXDOUBLE;

        for (gsize i = (gsize)c * plane; i < (gsize)(c + 1) * plane; i++) {
            const double value = blob->n_double_data > 0 ? blob->double_data[i] : (double)blob->data[i];

            if (!isfinite(value))
                return caffe_fail_net(GPUDL_ERROR_FORMAT, error, "a mean is %g, expected a finite number", value);
            low = MIN(low, value);
            high = MAX(high, value);
            mean[c] += value / (double)plane;
        }
        constant = constant && high - low <= 1e-4;
    }
    if (!constant) {
        char shown[3][G_ASCII_DTOSTR_BUF_SIZE]; /* as options are read, not as the locale has it */

        for (gint c = 0; c < 3; c++)
            g_ascii_formatd(shown[c], sizeof shown[c], "%.6g", mean[channels > 1 ? c : 0]);
        return caffe_fail_net(
            GPUDL_ERROR_UNSUPPORTED, error,
            "a mean for each pixel, expected one for each channel. Their averages are what most take: --mean %s,%s,%s",
            shown[0], shown[1], shown[2]);
    }
    for (gint c = 0; c < 3; c++)
        info->preproc.mean[c] = (float)mean[channels > 1 ? c : 0];
    return TRUE;
}

gboolean gpudl_caffe_read_mean(GBytes *file, const gchar *name, GpudlCaffeInfo *info, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    g_autoptr(GpudlWireMessage) message = gpudl_wire_unpack(&caffe__blob_proto__descriptor, data, size, NULL, error);

    if (message != NULL && read_mean((const Caffe__BlobProto *)gpudl_wire_message_get(message), info, error))
        return TRUE;
    g_prefix_error(error, "%s: ", name);
    return FALSE;
}
