/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs TensorFlow's files on tensors, for the scripts beside it. Reads cases from standard input, one a line, fields
 * separated by tabs:
 *
 *     MODEL OUT-PREFIX [INPUT ...]
 *
 * Each is imported as it is (no picture is asked for) and run twice on the reference: as imported ("literal") and as
 * rewritten by the passes ("rewritten"). With TF_RUN_SIZE=HxW in the environment the input has to be a picture, of that
 * size. INPUT are the values alone, as the graph has them; outputs go to OUT-PREFIX.literal.N and
 * OUT-PREFIX.rewritten.N. For each case a line: ok TAB element type of each output, or error TAB message.
 */
#include <stdio.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/passes/passes.h"
#include "engine/ref/ref.h"
#include "models/import.h"
#include "models/tf/graphdef.h"
#include "models/tflite/tflite.h"
#include "models/torch/pt2.h"
#include "models/torch/script.h"

static GBytes *read_file(const gchar *path, GError **error)
{
    gchar *data;
    gsize size;

    return g_file_get_contents(path, &data, &size, error) ? g_bytes_new_take(data, size) : NULL;
}

static GpudlGraph *import(GBytes *file, GError **error)
{
    GpudlSourceOptions sized = {.picture = TRUE};
    const gchar *size = g_getenv("TF_RUN_SIZE");
    const gboolean is_sized = size != NULL && sscanf(size, "%dx%d", &sized.input_height, &sized.input_width) == 2;
    const GpudlSourceOptions *options = is_sized ? &sized : NULL;

    switch (gpudl_import_kind(file, error)) {
    case GPUDL_IMPORT_TFLITE:
        return gpudl_tflite_import(file, options, NULL, error);
    case GPUDL_IMPORT_GRAPHDEF:
        return gpudl_graphdef_import(file, options, NULL, error);
    case GPUDL_IMPORT_PT2:
        return gpudl_pt2_import(file, options, NULL, error);
    case GPUDL_IMPORT_SCRIPT:
        return gpudl_script_import(file, options, NULL, error);
    default:
        return NULL;
    }
}

static gboolean run(const GpudlGraph *graph, gchar **fields, const gchar *stage, GError **error)
{
    g_autoptr(GPtrArray) inputs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref), outputs = NULL;

    for (guint i = 0; i < graph->inputs->len; i++) {
        const GpudlTensor *tensor = graph->inputs->pdata[i];
        GBytes *values = fields[2 + i] != NULL ? read_file(fields[2 + i], error) : NULL;

        if (values == NULL)
            return FALSE;
        g_ptr_array_add(inputs, values);
        if (g_bytes_get_size(values) != (gsize)gpudl_shape_elements(&tensor->shape) * gpudl_dtype_size(tensor->dtype)) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: %" G_GSIZE_FORMAT " bytes", fields[2 + i],
                        g_bytes_get_size(values));
            return FALSE;
        }
    }
    outputs = gpudl_ref_run(graph, (GBytes *const *)inputs->pdata, NULL, error);
    for (guint i = 0; outputs != NULL && i < outputs->len; i++) {
        g_autofree gchar *path = g_strdup_printf("%s.%s.%u", fields[1], stage, i);
        gsize size;
        const gchar *data = g_bytes_get_data(outputs->pdata[i], &size);

        if (!g_file_set_contents(path, data, (gssize)size, error))
            return FALSE;
    }
    return outputs != NULL;
}

static gboolean run_case(gchar **fields, GString *types, GError **error)
{
    g_autoptr(GBytes) file = read_file(fields[0], error);
    g_autoptr(GpudlGraph) graph = file != NULL ? import(file, error) : NULL;

    if (graph == NULL || !run(graph, fields, "literal", error))
        return FALSE;
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *tensor = graph->outputs->pdata[i];
        g_autofree gchar *shape = gpudl_shape_to_string(&tensor->shape);

        g_string_append_printf(types, "\t%s %s", gpudl_dtype_name(tensor->dtype), shape);
    }
    return gpudl_graph_prove_batch(graph, NULL, error) && gpudl_passes_run(graph, NULL, error) &&
           run(graph, fields, "rewritten", error);
}

int main(void)
{
    char line[8192];

    while (fgets(line, sizeof line, stdin) != NULL) {
        g_auto(GStrv) fields = g_strsplit(g_strchomp(line), "\t", -1);
        g_autoptr(GString) types = g_string_new(NULL);
        g_autoptr(GError) error = NULL;

        if (g_strv_length(fields) < 2)
            return 2;
        if (run_case(fields, types, &error))
            printf("ok%s\n", types->str);
        else
            printf("error\t%s\n", error != NULL ? g_strdelimit(error->message, "\n\t", ' ') : "no input");
        fflush(stdout);
    }
    return 0;
}
