/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a net.bin whose answers are known by arithmetic: three classes, the mean of each channel times 10, softmax.
 * With a second argument: "bare": without labels, and without a word about its pixels; "forged": with an id of zeros in
 * its header. A red picture is class 0 with 1 / (1 + 2 exp(-10)) = 0.99991. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/graph/graph.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "models/gpudl-import.h"

/* a node's name that must be shown, and neither be a page's markup nor steer a terminal */
#define HOSTILE "</td><script>alert(\"1\")</script>&amp;'\x1b[31m"

static GpudlModel *make_model(gboolean bare, GError **error)
{
    static const float weights[9] = {10.0f, 0.0f, 0.0f, 0.0f, 10.0f, 0.0f, 0.0f, 0.0f, 10.0f};
    static const gint64 weight_dims[4] = {3, 3, 1, 1};
    static const gchar *const names[] = {"red", "green \"grass\"", "bl\xc3\xa4ulich", NULL};
    /* what the library assumes as well, but said */
    const GpudlPreproc said = {.width = 8,
                               .height = 8,
                               .channels = 3,
                               .channel_order = GPUDL_CHANNELS_RGB,
                               .resize_mode = GPUDL_RESIZE_STRETCH,
                               .scale_method = GPUDL_SCALE_BILINEAR,
                               .crop_fraction = 1.0f,
                               .pixel_scale = 255.0f,
                               .std = {1.0f, 1.0f, 1.0f}};
    const GpudlShape shape = {.rank = 4, .dims = {1, 3, 8, 8}};
    GpudlGraph *graph = gpudl_graph_new();
    GpudlTensor *input = gpudl_graph_add_input(graph, "input", GPUDL_DTYPE_F32, &shape), *inputs[2];
    GpudlNode *pool = gpudl_graph_add_node(graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, HOSTILE, &input, 1, NULL, 1);
    GpudlNode *conv;
    GpudlModel *model;

    inputs[0] = pool->outputs[0];
    inputs[1] = gpudl_graph_add_constant_f32(graph, "weights", weights, weight_dims, 4);
    conv = gpudl_graph_add_node(graph, GPUDL_OP_CONV, "times-ten", inputs, 2, NULL, 1);
    conv->attrs.window.n_spatial = 2;
    gpudl_graph_add_output(graph, conv->outputs[0]);
    graph->symbolic_batch = TRUE;
    if (!gpudl_graph_sort(graph, error) || !gpudl_graph_infer(graph, 1, error)) {
        gpudl_graph_free(graph);
        return NULL;
    }
    model = gpudl_model_new(graph, "three colours", bare ? NULL : &said, error);
    if (model != NULL && !bare && !gpudl_model_set_labels(model, names, error))
        g_clear_pointer(&model, gpudl_model_unref);
    return model;
}

static gboolean save_forged(GpudlModel *model, const gchar *path, GError **error)
{
    g_autoptr(GBytes) file = gpudl_modelfile_write(model, error);
    g_autofree guint8 *data = g_memdup2(g_bytes_get_data(file, NULL), g_bytes_get_size(file));
    guint64 check;

    memset(data + GPUDL_FILE_AT_ID, 0, 32);
    check = XXH3_64bits(data, GPUDL_FILE_AT_CHECK);
    memcpy(data + GPUDL_FILE_AT_CHECK, &check, sizeof check);
    return g_file_set_contents(path, (const gchar *)data, (gssize)g_bytes_get_size(file), error);
}

int main(int argc, char **argv)
{
    const gchar *kind = argc > 2 ? argv[2] : "";
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;

    if (argc < 2)
        return 2;
    model = make_model(strcmp(kind, "bare") == 0, &error);
    if (model == NULL || !(strcmp(kind, "forged") == 0 ? save_forged : gpudl_model_save)(model, argv[1], &error)) {
        fprintf(stderr, "make-model: %s\n", error->message);
        return 1;
    }
    return 0;
}
