/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs ONNX models on tensors, for the scripts beside it.
 *
 *     onnx-run --list-ops             names of all operators the importer takes, one a line
 *     onnx-run --list-opsets          the same, TAB, the first opset that they are taken of
 *     onnx-run [--backend NAME]       reads cases from standard input, one a line, fields separated by tabs:
 *                                     MODEL OUT-PREFIX [INPUT.pb ...]
 *
 * Each case is imported and run twice: the graph as imported ("literal") and as rewritten by the passes ("rewritten").
 * Another backend than the reference ("ref", the default) runs the rewritten graph alone, of a network of one picture.
 * INPUT.pb are TensorProto files in the order of the model's inputs. Outputs go to OUT-PREFIX.literal.N.pb and
 * OUT-PREFIX.rewritten.N.pb. For each case one line is printed:
 *
 *     ok TAB n_outputs TAB which inputs became constants (none, integers, all)
 *     error TAB stage (import, batch, literal, rewrite, rewritten) TAB code TAB message
 *
 * An input that is larger in dimension 0 than the file says is a batch: the graph's batch is proven first, and both
 * graphs run at that batch.
 *
 * An input whose value decides shapes (a Reshape's target, axes) cannot be an input of a graph here, so the import is
 * tried with no input as a constant, then with the integer vectors, then with all.
 */
#include <stdio.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/modelfile/wire.h"
#include "engine/passes/passes.h"
#include "engine/ref/ref.h"
#include "engine/session/session.h"
#include "models/onnx/onnx-internal.h"
#include "models/onnx/onnx.h"

/* ---- backends ---------------------------------------------------------------------------------------------------- */

static const GpudlPlan *host_plan(void *host, int64_t batch, GpudlFault *fault)
{
    g_autoptr(GError) error = NULL;
    const GpudlPlan *plan = gpudl_planner_get(host, batch, &error);

    if (plan == NULL)
        g_strlcpy(fault->message, error->message, sizeof fault->message);
    return plan;
}

static uint64_t host_place(void *host, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                           uint64_t alignment, uint64_t *offsets)
{
    return gpudl_place(n, sizes, first, last, alignment, offsets);
}

static void host_log(void *host, GpudlLogLevel level, const char *message)
{
}

static int host_cancelled(void *host)
{
    return 0;
}

static GpudlStatus host_hold_constants(void *host, GpudlFault *fault)
{
    return GPUDL_STATUS_OK;
}

static void host_release_constants(void *host)
{
}

static void host_progress(void *host, double done, const char *what)
{
}

/* Through the contract of the modules: networks of one picture, as they take them. */
static GPtrArray *run_module(const gchar *name, const GpudlGraph *graph, GBytes *const *inputs, GError **error)
{
    const GpudlBackend *backend = gpudl_backend_find(name, -1, error);
    const GpudlTensor *input = graph->inputs->len == 1 ? graph->inputs->pdata[0] : NULL;
    g_autoptr(GPtrArray) outputs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GpudlPlanner) planner = gpudl_planner_new(graph, "0");
    g_autofree void **results = g_new0(void *, graph->outputs->len + 1);
    const GpudlHost host = {.host = planner,
                            .plan = host_plan,
                            .hold_constants = host_hold_constants,
                            .release_constants = host_release_constants,
                            .place = host_place,
                            .log = host_log,
                            .cancelled = host_cancelled,
                            .progress = host_progress};
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE};
    GpudlEngineInfo info = {0};
    GpudlFault fault = {0};
    GpudlStatus status;
    void *engine = NULL;
    gconstpointer values;

    if (backend == NULL)
        return NULL;
    if (input == NULL || input->shape.rank != 4) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "backend %s runs networks of one picture", name);
        return NULL;
    }
    params.threads = 1;
    params.precision = GPUDL_PRECISION_FP32;
    params.input_channels = (gint32)input->shape.dims[1];
    params.input_height = (gint32)input->shape.dims[2];
    params.input_width = (gint32)input->shape.dims[3];
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *output = graph->outputs->pdata[i];
        const gsize size = (gsize)gpudl_shape_elements(&output->shape) * gpudl_dtype_size(output->dtype);

        results[i] = g_malloc0(size + 1);
        g_ptr_array_add(outputs, g_bytes_new_take(results[i], size));
    }
    values = g_bytes_get_data(inputs[0], NULL);
    status = backend->open(NULL, &host, &params, &engine, &info, &fault);
    if (status == GPUDL_STATUS_OK)
        status = backend->run_tensors(engine, 0, graph->batch, &values, results, &fault);
    if (engine != NULL)
        backend->close(engine);
    if (status == GPUDL_STATUS_OK)
        return g_steal_pointer(&outputs);
    gpudl_set_fault(error, status, &fault, name);
    return NULL;
}

/* Runs a sorted, inferred graph on dense inputs; one GBytes per output, free with g_ptr_array_unref(). */
static GPtrArray *run(const gchar *backend, const GpudlGraph *graph, GBytes *const *inputs, GError **error)
{
    if (strcmp(backend, "ref") == 0) /* any graph, not through the contract */
        return gpudl_ref_run(graph, inputs, NULL, error);
    return run_module(backend, graph, inputs, error);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static void value_free(gpointer data)
{
    GpudlOnnxValue *value = data;

    if (value == NULL)
        return;
    g_bytes_unref(value->data);
    g_free(value);
}

static GpudlOnnxValue *value_read(const gchar *path, GError **error)
{
    g_autoptr(GpudlWireMessage) message = NULL;
    g_autofree gchar *content = NULL;
    GpudlOnnxValue *value = g_new0(GpudlOnnxValue, 1);
    OnnxImport import = {0};
    gsize size;

    if (g_file_get_contents(path, &content, &size, error) &&
        (message = gpudl_wire_unpack(&onnx__tensor_proto__descriptor, (const guint8 *)content, size, NULL, error)) !=
            NULL &&
        onnx_tensor_read(&import, (Onnx__TensorProto *)gpudl_wire_message_get(message), NULL, path, &value->dtype,
                         &value->shape, &value->data, error))
        return value;
    g_free(value);
    return NULL;
}

/* Elements below a byte as ONNX packs them: the first in the lowest bits. */
static guint8 *pack_elements(GpudlDType dtype, GBytes *data, gsize *size)
{
    const guint bits = (guint)gpudl_dtype_file_bits(dtype);
    const guint8 *codes = g_bytes_get_data(data, NULL);
    const gsize n = g_bytes_get_size(data);
    guint8 *packed;

    *size = (n * bits + 7) / 8;
    packed = g_malloc0(*size + 1);
    for (gsize i = 0; i < n; i++)
        packed[i * bits / 8] |= (guint8)((codes[i] & ((1u << bits) - 1)) << (i * bits % 8));
    return packed;
}

static gboolean value_write(const gchar *path, const GpudlTensor *tensor, GBytes *data, GError **error)
{
    Onnx__TensorProto proto = ONNX__TENSOR_PROTO__INIT;
    g_autofree guint8 *packed = NULL, *elements = NULL;
    gint64 dims[GPUDL_MAX_RANK];
    gsize size;

    for (gint i = 0; i < tensor->shape.rank; i++)
        dims[i] = tensor->shape.dims[i];
    proto.n_dims = (size_t)tensor->shape.rank;
    proto.dims = dims;
    proto.has_data_type = TRUE;
    while (onnx_dtype(proto.data_type) != tensor->dtype)
        proto.data_type++;
    proto.has_raw_data = TRUE;
    proto.raw_data.data = (guint8 *)g_bytes_get_data(data, &proto.raw_data.len);
    if (gpudl_dtype_file_bits(tensor->dtype) < 8)
        proto.raw_data.data = elements = pack_elements(tensor->dtype, data, &proto.raw_data.len);
    packed = g_malloc(onnx__tensor_proto__get_packed_size(&proto));
    size = onnx__tensor_proto__pack(&proto, packed);
    return g_file_set_contents_full(path, (const gchar *)packed, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0644, error);
}

/* ---- one case ---------------------------------------------------------------------------------------------------- */

typedef struct {
    GBytes *file;
    gchar *directory, *prefix;
    GPtrArray *names;  /* of the inputs that have a value */
    GPtrArray *values; /* GpudlOnnxValue* */
    const gchar *constants, *stage;
    guint n_outputs;
    gint64 batch; /* to infer both graphs at; 0: the file's own shapes */
} Case;

/* Names of the model's inputs that are no initializers, in order. */
static gboolean read_names(Case *self, GError **error)
{
    g_autoptr(GpudlWireMessage) message = NULL;
    const Onnx__GraphProto *graph;
    gsize size;
    const guint8 *data = g_bytes_get_data(self->file, &size);

    message = gpudl_wire_unpack(&onnx__model_proto__descriptor, data, size, NULL, error);
    if (message == NULL)
        return FALSE;
    graph = ((Onnx__ModelProto *)gpudl_wire_message_get(message))->graph;
    for (gsize i = 0; graph != NULL && i < graph->n_input; i++) {
        gboolean initialized = FALSE;

        for (gsize k = 0; k < graph->n_initializer; k++)
            initialized = initialized || g_strcmp0(graph->initializer[k]->name, graph->input[i]->name) == 0;
        if (!initialized)
            g_ptr_array_add(self->names, g_strdup(graph->input[i]->name));
    }
    return TRUE;
}

static gboolean becomes_constant(const GpudlOnnxValue *value, guint attempt)
{
    const gboolean integers =
        value->dtype == GPUDL_DTYPE_I64 || value->dtype == GPUDL_DTYPE_I32 || value->dtype == GPUDL_DTYPE_BOOL;

    /* a graph's input is never empty */
    return attempt == 2 || gpudl_shape_elements(&value->shape) == 0 ||
           (attempt == 1 && integers && value->shape.rank <= 1);
}

static GpudlGraph *import_case(Case *self, GError **error)
{
    static const gchar *const attempts[] = {"none", "integers", "all"};
    GpudlGraph *graph = NULL;

    for (guint i = 0; graph == NULL && i < G_N_ELEMENTS(attempts); i++) {
        g_autoptr(GHashTable) values = g_hash_table_new(g_str_hash, g_str_equal);
        const GpudlSourceOptions options = {.values = values, .directory = self->directory};

        for (guint k = 0; k < self->values->len && k < self->names->len; k++)
            if (becomes_constant(self->values->pdata[k], i))
                g_hash_table_insert(values, self->names->pdata[k], self->values->pdata[k]);
        g_clear_error(error);
        self->constants = attempts[i];
        graph = gpudl_onnx_import(self->file, &options, NULL, error);
    }
    return graph;
}

/* The value in the type that the graph's input has: rewriting widens halves to float32. NULL if it does not fit. */
static GBytes *input_bytes(const GpudlOnnxValue *value, const GpudlTensor *input)
{
    const gint64 n = gpudl_shape_elements(&input->shape);
    gpointer wide;

    if (value == NULL || !gpudl_shape_equal(&value->shape, &input->shape))
        return NULL;
    if (value->dtype == input->dtype)
        return g_bytes_ref(value->data);
    if (input->dtype != GPUDL_DTYPE_F32 || (value->dtype != GPUDL_DTYPE_F16 && value->dtype != GPUDL_DTYPE_BF16))
        return NULL;
    wide = g_new(float, n + 1);
    for (gint64 i = 0; i < n; i++)
        onnx_store_number(GPUDL_DTYPE_F32, wide, (gsize)i,
                          onnx_number(value->dtype, g_bytes_get_data(value->data, NULL), (gsize)i));
    return g_bytes_new_take(wide, (gsize)n * sizeof(float));
}

static gboolean run_graph(Case *self, const GpudlGraph *graph, const gchar *backend, GError **error)
{
    g_autoptr(GPtrArray) inputs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GPtrArray) outputs = NULL;

    for (guint i = 0; i < graph->inputs->len; i++) {
        const GpudlTensor *input = graph->inputs->pdata[i];
        const GpudlOnnxValue *value = NULL;
        GBytes *bytes;

        for (guint k = 0; k < self->names->len && k < self->values->len; k++)
            if (strcmp(self->names->pdata[k], input->name) == 0)
                value = self->values->pdata[k];
        bytes = input_bytes(value, input);
        if (bytes == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "no value, or one of another type, for input '%s'",
                        input->name);
            return FALSE;
        }
        g_ptr_array_add(inputs, bytes);
    }
    outputs = run(backend, graph, (GBytes *const *)inputs->pdata, error);
    if (outputs == NULL)
        return FALSE;
    self->n_outputs = graph->outputs->len;
    for (guint i = 0; i < outputs->len; i++) {
        g_autofree gchar *path = g_strdup_printf("%s.%s.%u.pb", self->prefix, self->stage, i);

        if (!value_write(path, graph->outputs->pdata[i], outputs->pdata[i], error))
            return FALSE;
    }
    return TRUE;
}

/* Sets self->batch if the one input's value says another batch than the graph; the graph has to hold for it. */
static gboolean prove_batch(Case *self, GpudlGraph *graph, GError **error)
{
    const GpudlTensor *input = graph->inputs->len == 1 ? graph->inputs->pdata[0] : NULL;
    const GpudlOnnxValue *value = self->values->len == 1 ? self->values->pdata[0] : NULL;

    if (input == NULL || value == NULL || value->shape.rank < 1 || value->shape.dims[0] == input->shape.dims[0])
        return TRUE;
    self->batch = value->shape.dims[0];
    if (!gpudl_graph_prove_batch(graph, NULL, error))
        return FALSE;
    if (!graph->symbolic_batch)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "the graph holds for batch 1 alone: %s",
                    graph->batch_reason);
    return graph->symbolic_batch;
}

static gboolean run_case(Case *self, gchar **fields, const gchar *backend, GError **error)
{
    g_autoptr(GpudlGraph) graph = NULL;
    gchar *content;
    gsize size;

    self->stage = "import";
    self->prefix = fields[1];
    self->directory = g_path_get_dirname(fields[0]);
    if (!g_file_get_contents(fields[0], &content, &size, error))
        return FALSE;
    self->file = g_bytes_new_take(content, size);
    for (guint i = 2; fields[i] != NULL; i++) {
        GpudlOnnxValue *value = value_read(fields[i], error);

        if (value == NULL)
            return FALSE;
        g_ptr_array_add(self->values, value);
    }
    if (!read_names(self, error))
        return FALSE;
    graph = import_case(self, error);
    if (graph == NULL)
        return FALSE;
    g_clear_pointer(&self->file, g_bytes_unref);
    self->stage = "batch";
    if (!prove_batch(self, graph, error))
        return FALSE;
    self->stage = "literal";
    if (strcmp(backend, "ref") == 0 &&
        (!gpudl_graph_infer(graph, self->batch, error) || !run_graph(self, graph, backend, error)))
        return FALSE;
    self->stage = "rewrite";
    if (!gpudl_graph_infer(graph, self->batch != 0 ? 1 : 0, error) || !gpudl_passes_run(graph, NULL, error))
        return FALSE;
    self->stage = "rewritten";
    return gpudl_graph_infer(graph, self->batch, error) && run_graph(self, graph, backend, error);
}

static void print_case(gchar **fields, const gchar *backend)
{
    g_autoptr(GError) error = NULL;
    Case self = {.names = g_ptr_array_new_with_free_func(g_free), .values = g_ptr_array_new_with_free_func(value_free)};

    if (run_case(&self, fields, backend, &error)) {
        g_print("ok\t%u\t%s\n", self.n_outputs, self.constants);
    } else {
        g_strdelimit(error->message, "\t\n", ' ');
        g_print("error\t%s\t%d\t%s\n", self.stage, error->code, error->message);
    }
    fflush(stdout);
    g_ptr_array_unref(self.names);
    g_ptr_array_unref(self.values);
    g_clear_pointer(&self.file, g_bytes_unref);
    g_free(self.directory);
}

/* ---- program ----------------------------------------------------------------------------------------------------- */

static void list_ops(gboolean opsets)
{
    const gchar *last = "";
    guint n;
    const OnnxOp *ops = onnx_ops(&n);

    for (guint i = 0; i < n; i++) {
        if (strcmp(ops[i].name, last) != 0 && opsets)
            g_print("%s\t%d\n", ops[i].name, MAX(ops[i].since, ONNX_OPSET_OLDEST));
        else if (strcmp(ops[i].name, last) != 0)
            g_print("%s\n", ops[i].name);
        last = ops[i].name;
    }
}

static gint usage(void)
{
    g_printerr("usage: onnx-run --list-ops[ets] | onnx-run [--backend NAME] < cases\n");
    return 2;
}

gint main(gint argc, gchar **argv)
{
    const gchar *backend = "ref";
    g_autoptr(GIOChannel) in = NULL;
    gchar *line;

    if (argc == 2 && g_str_has_prefix(argv[1], "--list-ops")) {
        list_ops(strcmp(argv[1], "--list-opsets") == 0);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--backend") == 0)
        backend = argv[2];
    else if (argc != 1)
        return usage();
    in = g_io_channel_unix_new(0);
    while (g_io_channel_read_line(in, &line, NULL, NULL, NULL) == G_IO_STATUS_NORMAL) {
        g_auto(GStrv) fields = g_strsplit(g_strstrip(line), "\t", -1);

        if (g_strv_length(fields) < 2)
            return usage();
        print_case(fields, backend);
        g_free(line);
    }
    return 0;
}
