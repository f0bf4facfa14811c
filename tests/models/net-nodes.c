/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For check-nets.py: imports each ONNX file named, makes its batch symbolic, rewrites it, and prints a line
 *
 *     FILE TAB symbolic|fixed TAB nodes TAB convolutions with activation TAB with residual TAB difference
 *
 * where nodes is "Conv:52 Gemm:1 ..." after the rewrites and difference is that of the rewritten graph's result to the
 * imported one's on the reference backend, by the range.
 */
#include <stdio.h>

#include "engine/passes/passes.h"
#include "models/onnx/onnx.h"
#include "tests/engine/builder.h"

static gboolean examine(const gchar *path, GError **error)
{
    g_autoptr(GpudlGraph) graph = NULL, imported = NULL;
    g_auto(GpudlSourceInfo) info = {0};
    g_autoptr(GBytes) file = NULL;
    g_autofree gchar *nodes = NULL;
    GpudlSourceOptions options = {0};
    guint n_acts = 0, n_residuals = 0;
    gchar *data;
    gsize size;

    if (!g_file_get_contents(path, &data, &size, error))
        return FALSE;
    file = g_bytes_new_take(data, size);
    graph = gpudl_onnx_import(file, &options, &info, error);
    if (graph == NULL || !gpudl_graph_prove_batch(graph, NULL, error))
        return FALSE;
    imported = gpudl_graph_copy(graph);
    if (!gpudl_passes_run(graph, NULL, error))
        return FALSE;
    nodes = graph_histogram(graph);
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = graph->nodes->pdata[i];

        n_acts += node->op == GPUDL_OP_CONV && node->attrs.window.act.kind != GPUDL_ACT_NONE;
        n_residuals += node->op == GPUDL_OP_CONV && node->n_inputs == 4;
    }
    printf("%s\t%s\t%s\t%u\t%u\t%g\n", path, graph->symbolic_batch ? "symbolic" : "fixed", nodes, n_acts, n_residuals,
           graph_difference(imported, graph, 1));
    fflush(stdout);
    return TRUE;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        g_autoptr(GError) error = NULL;

        if (!examine(argv[i], &error)) {
            fprintf(stderr, "%s: %s\n", argv[i], error->message);
            return 1;
        }
    }
    return 0;
}
