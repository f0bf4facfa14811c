/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hostile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/passes/passes.h"
#include "engine/ref/ref.h"
#include "models/caffe/caffe.h"
#include "models/import.h"
#include "models/onnx/onnx.h"
#include "models/tf/graphdef.h"
#include "models/tflite/tflite.h"
#include "models/torch/pt2.h"
#include "models/torch/script.h"
#include "seal.h"

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void hostile_series_clear(HostileSeries *series)
{
    g_clear_pointer(&series->structures, g_hash_table_unref);
    memset(series, 0, sizeof *series);
}

/* Names from the file reach messages, so they have to come out as text. */
void hostile_check_error(const GError *error)
{
    if (error == NULL)
        g_error("refused without an error");
    if (error->domain != GPUDL_ERROR)
        g_error("error of another domain: %s: %s", g_quark_to_string(error->domain), error->message);
    if (error->message == NULL || error->message[0] == '\0')
        g_error("error %d without a message", error->code);
    if (!g_utf8_validate(error->message, -1, NULL))
        g_error("message is not UTF-8: %s", g_strescape(error->message, NULL));
    if (strlen(error->message) > 4 * 4096)
        g_error("message of %zu bytes", strlen(error->message));
}

/* All of a graph but names and values: equal strings run through the same code. */
static gchar *fingerprint(const GpudlGraph *graph)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(graph->tensors, i);
        gint64 head[2 + GPUDL_MAX_RANK] = {(gint64)tensor->dtype * 2 + (tensor->data != NULL), tensor->shape.rank};
        for (gint d = 0; d < tensor->shape.rank; d++)
            head[2 + d] = tensor->shape.dims[d];
        g_checksum_update(sum, (const guchar *)head, sizeof head);
    }
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = g_ptr_array_index(graph->nodes, i);
        guint32 head[3] = {(guint32)node->op, node->n_inputs, node->n_outputs};
        g_checksum_update(sum, (const guchar *)head, sizeof head);
        g_checksum_update(sum, (const guchar *)&node->attrs, sizeof node->attrs);
        for (guint j = 0; j < node->n_inputs; j++) {
            guint32 id = node->inputs[j] != NULL ? node->inputs[j]->id : G_MAXUINT32;
            g_checksum_update(sum, (const guchar *)&id, sizeof id);
        }
    }
    return g_strdup(g_checksum_get_string(sum));
}

static gboolean too_large(const HostileSeries *series, const GpudlGraph *graph)
{
    const guint64 most = series->max_work != 0 ? series->max_work : HOSTILE_MAX_WORK;
    guint64 elements = 0;

    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(graph->tensors, i);
        gint64 n = gpudl_shape_elements(&tensor->shape);
        elements += n > 0 ? (guint64)n : 0;
    }
    return gpudl_graph_macs(graph) > most || elements > most;
}

/* TRUE if this structure is to be run: not seen before, or its turn. */
static gboolean worth_running(HostileSeries *series, const GpudlGraph *graph)
{
    if (series->structures == NULL)
        series->structures = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (g_hash_table_add(series->structures, fingerprint(graph)))
        return TRUE;
    return series->run_every != 0 && series->cases % series->run_every == 0;
}

static HostileOutcome run_once(const GpudlGraph *graph)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) inputs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (guint i = 0; i < graph->inputs->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(graph->inputs, i);
        gsize bytes = (gsize)gpudl_shape_elements(&tensor->shape) * gpudl_dtype_size(tensor->dtype);
        guint8 *values = g_malloc0(bytes);
        if (tensor->dtype == GPUDL_DTYPE_F32)
            for (gsize v = 0; v < bytes / 4; v++)
                ((float *)(gpointer)values)[v] = (float)((v * 2654435761u >> 8) & 255) / 255.0f;
        g_ptr_array_add(inputs, g_bytes_new_take(values, bytes));
    }
    g_autoptr(GPtrArray) outputs = gpudl_ref_run(graph, (GBytes *const *)inputs->pdata, NULL, &error);
    if (outputs == NULL) {
        hostile_check_error(error);
        return HOSTILE_NO_BATCH_1;
    }
    g_assert_no_error(error);
    g_assert_cmpuint(outputs->len, ==, graph->outputs->len);
    return HOSTILE_WORKS;
}

/* As gpudl_model_load() goes on with what was imported, or NULL. */
static HostileOutcome go_on(HostileSeries *series, GpudlGraph *graph, const GError *refused)
{
    g_autoptr(GError) error = NULL;
    if (graph == NULL) {
        hostile_check_error(refused);
        return HOSTILE_REFUSED;
    }
    g_assert_no_error(refused);
    if (too_large(series, graph))
        return HOSTILE_TOO_LARGE;
    if (!worth_running(series, graph))
        return HOSTILE_SAME;
    /* any batch, then rewriting */
    if (!gpudl_graph_infer(graph, 1, &error) || !gpudl_graph_prove_batch(graph, NULL, &error) ||
        !gpudl_passes_run(graph, NULL, &error)) {
        hostile_check_error(error);
        return HOSTILE_NO_BATCH_1;
    }
    g_assert_no_error(error);
    return too_large(series, graph) ? HOSTILE_TOO_LARGE : run_once(graph);
}

typedef GpudlGraph *(*ImportFunc)(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info,
                                  GError **error);

static HostileOutcome import_case(HostileSeries *series, GBytes *file, ImportFunc import, gboolean picture)
{
    GpudlSourceOptions options = {.picture = picture};
    g_auto(GpudlSourceInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) graph = import(file, &options, &info, &error);
    return go_on(series, graph, error);
}

static HostileOutcome caffe_case(HostileSeries *series, GBytes *file, gboolean text)
{
    const GpudlCaffeFiles files = {
        .text = text ? file : NULL, .values = text ? NULL : g_bytes_ref(file), .text_name = "t"};
    g_auto(GpudlCaffeInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) graph = gpudl_caffe_import(&files, NULL, &info, &error);
    return go_on(series, graph, error);
}

static HostileOutcome netbin_case(HostileSeries *series, GBytes *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_modelfile_read(file, "hostile.bin", &error);
    if (model == NULL) {
        hostile_check_error(error);
        return HOSTILE_REFUSED;
    }
    g_assert_no_error(error);
    if (too_large(series, model->graph))
        return HOSTILE_TOO_LARGE;
    return worth_running(series, model->graph) ? run_once(model->graph) : HOSTILE_SAME;
}

static HostileOutcome count(HostileSeries *series, HostileOutcome outcome, double since)
{
    double seconds = processor_seconds() - since;
    if (seconds > series->slowest_seconds) {
        series->slowest_seconds = seconds;
        series->slowest_case = series->cases;
    }
    series->outcomes[outcome]++;
    series->cases++;
    return outcome;
}

/* A copy that ends where its allocation ends, aligned as gpudl_file_read() does. */
static GBytes *exact_copy(const guint8 *data, gsize size)
{
    void *copy = NULL;
    g_assert_cmpint(posix_memalign(&copy, 64, MAX(size, 1)), ==, 0);
    if (size > 0)
        memcpy(copy, data, size);
    return g_bytes_new_with_free_func(copy, size, free, copy);
}

HostileOutcome hostile_onnx(HostileSeries *series, const guint8 *data, gsize size)
{
    g_autoptr(GBytes) file = exact_copy(data, size);
    double since = processor_seconds();
    return count(series, import_case(series, file, gpudl_onnx_import, FALSE), since);
}

HostileOutcome hostile_tensorflow(HostileSeries *series, const guint8 *data, gsize size)
{
    g_autoptr(GBytes) file = exact_copy(data, size);
    double since = processor_seconds();
    ImportFunc import = gpudl_tflite_sniff(data, size) ? gpudl_tflite_import : gpudl_graphdef_import;
    return count(series, import_case(series, file, import, TRUE), since);
}

HostileOutcome hostile_torch(HostileSeries *series, const guint8 *data, gsize size, gboolean sealed)
{
    g_autoptr(GBytes) file = exact_copy(data, size);
    ImportFunc import = gpudl_pt2_import;
    double since;

    if (gpudl_import_is_script(g_bytes_get_data(file, NULL), size))
        import = gpudl_script_import;
    if (sealed)
        seal_archive((guint8 *)g_bytes_get_data(file, NULL), size);
    since = processor_seconds();
    return count(series, import_case(series, file, import, TRUE), since);
}

HostileOutcome hostile_caffe(HostileSeries *series, const guint8 *data, gsize size, gboolean text)
{
    g_autoptr(GBytes) file = exact_copy(data, size);
    double since = processor_seconds();
    gpudl_caffe_sniff(g_bytes_get_data(file, NULL), size);
    gpudl_caffe_sniff_text(g_bytes_get_data(file, NULL), size);
    return count(series, caffe_case(series, file, text), since);
}

HostileOutcome hostile_netbin(HostileSeries *series, const guint8 *data, gsize size, gboolean may_work)
{
    g_autoptr(GBytes) file = exact_copy(data, size);
    double since = processor_seconds();
    HostileOutcome outcome = netbin_case(series, file);
    if (!may_work && outcome != HOSTILE_REFUSED)
        g_error("a damaged net.bin was taken (case %" G_GUINT64_FORMAT ")", series->cases);
    return count(series, outcome, since);
}

void hostile_series_report(const HostileSeries *series, const gchar *what)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    g_test_message(
        "%s: %" G_GUINT64_FORMAT " cases: %" G_GUINT64_FORMAT " refused, %" G_GUINT64_FORMAT " run, %" G_GUINT64_FORMAT
        " of a structure that had run, %" G_GUINT64_FORMAT " too large to run, %" G_GUINT64_FORMAT
        " refused later; slowest %.3f s (case %" G_GUINT64_FORMAT "); largest memory %ld MiB",
        what, series->cases, series->outcomes[HOSTILE_REFUSED], series->outcomes[HOSTILE_WORKS],
        series->outcomes[HOSTILE_SAME], series->outcomes[HOSTILE_TOO_LARGE], series->outcomes[HOSTILE_NO_BATCH_1],
        series->slowest_seconds, series->slowest_case, usage.ru_maxrss / 1024);
    g_assert_cmpfloat(series->slowest_seconds, <, 20.0);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
    g_assert_cmpint(usage.ru_maxrss / 1024, <, 2048);
#endif
}

GBytes *hostile_testcard(void)
{
    const gchar *path = g_getenv("GPUDL_TESTCARD");
    g_autoptr(GError) error = NULL;
    gchar *data = NULL;
    gsize size = 0;
    if (path == NULL)
        g_error("GPUDL_TESTCARD is not set: run this by meson test");
    g_file_get_contents(path, &data, &size, &error);
    g_assert_no_error(error);
    return g_bytes_new_take(data, size);
}

GpudlGraph *hostile_testcard_graph(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    GpudlSourceOptions options = {0};
    g_autoptr(GError) error = NULL;
    GpudlGraph *graph = gpudl_onnx_import(file, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(gpudl_graph_infer(graph, 1, &error));
    g_assert_true(gpudl_graph_prove_batch(graph, NULL, &error));
    g_assert_true(gpudl_passes_run(graph, NULL, &error));
    g_assert_no_error(error);
    return graph;
}

GBytes *hostile_testcard_netbin(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_new(hostile_testcard_graph(), "testcard", NULL, &error);
    g_assert_no_error(error);
    gchar *labels[20];
    for (guint i = 0; i < 19; i++)
        labels[i] = g_strdup_printf("label %u", i);
    labels[19] = NULL;
    gpudl_model_set_labels(model, (const gchar *const *)labels, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < 19; i++)
        g_free(labels[i]);
    GBytes *file = gpudl_modelfile_write(model, &error);
    g_assert_no_error(error);
    return file;
}
