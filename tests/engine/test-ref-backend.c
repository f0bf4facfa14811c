/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend "ref" over plans made here from graphs, with a host of its own: no session is involved. */
#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/ref/ref.h"
#include "kernels/preproc.h"

#define SHAPE(...) ((GpudlShape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dims = {__VA_ARGS__}})

#define MAX_TENSORS 16
#define MAX_NODES 8

/** A plan with the room its pointers need. */
typedef struct {
    GpudlPlan plan;
    GpudlPlanTensor tensors[MAX_TENSORS];
    GpudlPlanNode nodes[MAX_NODES];
    int32_t operands[MAX_NODES][2][8], inputs[2], outputs[4];
} TestPlan;

typedef struct {
    GpudlHost table;
    GpudlGraph *graph;
    TestPlan plans[5];      /* by batch */
    guint asked, cancel_at; /* which question whether it is cancelled gets the first yes; 0: none */
    guint64 placed;         /* bytes that place() asked for last */
    gint holds;             /* of constants */
    gboolean no_constants;  /* they can't be had */
} TestHost;

static void fill_plan(TestPlan *t, GpudlGraph *graph, gint64 batch)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(gpudl_graph_infer(graph, batch, &error));
    g_assert_cmpuint(graph->tensors->len, <=, MAX_TENSORS);
    t->plan = (GpudlPlan){.batch = batch,
                          .n_tensors = graph->tensors->len,
                          .n_nodes = graph->nodes->len,
                          .n_inputs = graph->inputs->len,
                          .n_outputs = graph->outputs->len,
                          .tensors = t->tensors,
                          .nodes = t->nodes,
                          .inputs = t->inputs,
                          .outputs = t->outputs};
    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(graph->tensors, i);

        t->tensors[i] = (GpudlPlanTensor){.name = tensor->name,
                                          .kind = tensor->data       ? GPUDL_PLAN_CONSTANT
                                                  : tensor->producer ? GPUDL_PLAN_VALUE
                                                                     : GPUDL_PLAN_INPUT,
                                          .dtype = tensor->dtype,
                                          .shape = tensor->shape,
                                          .first_node = -1,
                                          .last_node = -1};
        t->tensors[i].bytes = (guint64)gpudl_shape_elements(&tensor->shape) * gpudl_dtype_size(tensor->dtype);
        t->tensors[i].data = tensor->data ? g_bytes_get_data(tensor->data, NULL) : NULL;
    }
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = g_ptr_array_index(graph->nodes, i);

        for (guint j = 0; j < node->n_inputs; j++) {
            t->operands[i][0][j] = node->inputs[j] ? (int32_t)node->inputs[j]->id : -1;
            if (node->inputs[j])
                t->tensors[node->inputs[j]->id].last_node = (int32_t)i;
        }
        for (guint j = 0; j < node->n_outputs; j++) {
            t->operands[i][1][j] = (int32_t)node->outputs[j]->id;
            t->tensors[node->outputs[j]->id].first_node = t->tensors[node->outputs[j]->id].last_node = (int32_t)i;
        }
        t->nodes[i] = (GpudlPlanNode){node->op,        node->name,        &node->attrs,     node->n_inputs,
                                      node->n_outputs, t->operands[i][0], t->operands[i][1]};
    }
    for (guint i = 0; i < graph->inputs->len; i++)
        t->inputs[i] = (int32_t)((GpudlTensor *)g_ptr_array_index(graph->inputs, i))->id;
    for (guint i = 0; i < graph->outputs->len; i++) {
        t->outputs[i] = (int32_t)((GpudlTensor *)g_ptr_array_index(graph->outputs, i))->id;
        t->tensors[t->outputs[i]].last_node = (int32_t)graph->nodes->len;
    }
}

static const GpudlPlan *host_plan(void *data, int64_t batch, GpudlFault *fault)
{
    TestHost *host = data;

    if (batch >= (int64_t)G_N_ELEMENTS(host->plans)) {
        g_strlcpy(fault->message, "no plan for so many", sizeof(fault->message));
        return NULL;
    }
    fill_plan(&host->plans[batch], host->graph, batch);
    return &host->plans[batch].plan;
}

/** First fit, as tight as lifetimes allow: values that a backend leaves in place too long get overwritten. */
static uint64_t host_place(void *data, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                           uint64_t alignment, uint64_t *offsets)
{
    TestHost *host = data;
    uint64_t end = 0;

    for (uint32_t i = 0; i < n; i++) {
        gboolean moved = TRUE;

        offsets[i] = 0;
        while (sizes[i] > 0 && moved) {
            moved = FALSE;
            for (uint32_t j = 0; j < i; j++) {
                if (sizes[j] > 0 && first[j] <= last[i] && first[i] <= last[j] && offsets[j] < offsets[i] + sizes[i] &&
                    offsets[i] < offsets[j] + sizes[j]) {
                    offsets[i] = (offsets[j] + sizes[j] + alignment - 1) / alignment * alignment;
                    moved = TRUE;
                }
            }
        }
        end = MAX(end, offsets[i] + sizes[i]);
    }
    host->placed = end;
    return end;
}

static void host_log(void *data, GpudlLogLevel level, const char *message)
{
    g_test_message("log %d: %s", level, message);
}

static int host_cancelled(void *data)
{
    TestHost *host = data;

    return ++host->asked >= host->cancel_at && host->cancel_at > 0;
}

/** Three planes are averaged to three values; head 0: those times 2, head 1: their square roots as float16. */
static GpudlGraph *make_graph(void)
{
    GpudlGraph *graph = gpudl_graph_new();
    GpudlShape shape = SHAPE(1, 3, 2, 2);
    GpudlTensor *x = gpudl_graph_add_input(graph, "image", GPUDL_DTYPE_F32, &shape);
    GpudlNode *abs = gpudl_graph_add_node(graph, GPUDL_OP_ABS, "abs", &x, 1, NULL, 1);
    GpudlNode *pool = gpudl_graph_add_node(graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, "pool", abs->outputs, 1, NULL, 1);
    GpudlNode *sum = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "double",
                                          (GpudlTensor *[]){pool->outputs[0], pool->outputs[0]}, 2, NULL, 1);
    GpudlNode *root = gpudl_graph_add_node(graph, GPUDL_OP_SQRT, "root", pool->outputs, 1, NULL, 1);
    GpudlNode *half = gpudl_graph_add_node(graph, GPUDL_OP_CAST, "half", root->outputs, 1, NULL, 1);

    half->attrs.cast.to = GPUDL_DTYPE_F16;
    gpudl_graph_add_output(graph, sum->outputs[0]);
    gpudl_graph_add_output(graph, half->outputs[0]);
    return graph;
}

static GpudlStatus host_hold_constants(void *data, GpudlFault *fault)
{
    TestHost *host = data;

    if (host->no_constants) {
        g_strlcpy(fault->message, "the model's file is gone", sizeof(fault->message));
        return GPUDL_STATUS_FAILED;
    }
    host->holds++;
    return GPUDL_STATUS_OK;
}

static void host_release_constants(void *data)
{
    TestHost *host = data;

    g_assert_cmpint(--host->holds, >=, 0);
}

static void host_init(TestHost *host)
{
    g_autoptr(GError) error = NULL;

    memset(host, 0, sizeof(*host));
    host->graph = make_graph();
    host->table = (GpudlHost){.host = host,
                              .plan = host_plan,
                              .hold_constants = host_hold_constants,
                              .release_constants = host_release_constants,
                              .place = host_place,
                              .log = host_log,
                              .cancelled = host_cancelled};
    g_assert_true(gpudl_graph_sort(host->graph, &error));
}

static GpudlOpenParams make_params(gint activation)
{
    return (GpudlOpenParams){.activation = activation, .input_channels = 3, .input_height = 2, .input_width = 2};
}

static void assert_near(const float *got, const double *expected, int n, double tolerance)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - expected[i]) <= tolerance))
            g_error("value %d: found %.8g, expected %.8g", i, got[i], expected[i]);
}

static const float planes[] = {1, -2, 3, -4, 4, 4, 4, 4, 0, 0, 0, 0}; /* averages of magnitudes: 2.5, 4, 0 */

static void test_jobs(gconstpointer user_data)
{
    const gint activation = GPOINTER_TO_INT(user_data);
    const GpudlBackend *backend = gpudl_ref_backend();
    const double sums[] = {5, 8, 0}, roots[] = {sqrt(2.5), 2, 0};
    double expected[2][3];
    float heads[2][3] = {{NAN, NAN, NAN}, {NAN, NAN, NAN}}, *outputs[] = {heads[0], heads[1]};
    GpudlOpenParams params = make_params(activation);
    GpudlJob job = {.values = planes, .outputs = outputs};
    GpudlEngineInfo info = {0};
    GpudlFault fault = {""};
    void *engine = NULL;
    TestHost host;

    host_init(&host);
    g_assert_cmpint(backend->probe(-1, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(backend->open(NULL, &host.table, &params, &engine, &info, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(info.n_slots, ==, 1);
    g_assert_cmpuint(info.max_batch, ==, 1);
    g_assert_cmpint(info.precision, ==, GPUDL_PRECISION_FP32);
    g_assert_cmpuint(info.memory_kinds, ==, 1u << GPUDL_MEMORY_HOST);
    g_assert_cmpuint(info.work_bytes, ==, host.placed);

    for (int head = 0; head < 2; head++) {
        double total = 0;

        for (int i = 0; i < 3; i++) {
            double v = head ? roots[i] : sums[i];

            expected[head][i] = activation == GPUDL_ACTIVATION_SIGMOID   ? 1 / (1 + exp(-v))
                                : activation == GPUDL_ACTIVATION_SOFTMAX ? exp(v)
                                                                         : v;
            total += expected[head][i];
        }
        for (int i = 0; i < 3 && activation == GPUDL_ACTIVATION_SOFTMAX; i++)
            expected[head][i] /= total;
    }
    /* twice: nothing of the first run stays behind */
    for (int round = 0; round < 2; round++) {
        g_assert_cmpint(backend->submit(engine, 0, &job, 1, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpint(backend->wait(engine, 0, G_MAXUINT64, &fault), ==, GPUDL_STATUS_OK);
        assert_near(heads[0], expected[0], 3, 1e-6);
        assert_near(heads[1], expected[1], 3, 1e-3); /* float16 has 11 bits */
        memset(heads, 0xff, sizeof(heads));
    }
    backend->close(engine);
    gpudl_graph_free(host.graph);
}

static void test_frame(void)
{
    const GpudlBackend *backend = gpudl_ref_backend();
    const guint8 pixels[] = {10, 20, 30, 40, 50, 60, 0, 0, 70, 80, 90, 100, 110, 120, 0, 0};
    const GpudlFrame frame = {.format = GPUDL_PIXEL_RGB,
                              .width = 2,
                              .height = 2,
                              .planes = {pixels},
                              .strides = {8},
                              .range = GPUDL_RANGE_FULL};
    GpudlPreproc preproc = {.width = 2,
                            .height = 2,
                            .channels = 3,
                            .channel_order = GPUDL_CHANNELS_RGB,
                            .resize_mode = GPUDL_RESIZE_STRETCH,
                            .scale_method = GPUDL_SCALE_BILINEAR,
                            .crop_fraction = 1,
                            .pixel_scale = 1,
                            .std = {1, 1, 1}};
    float heads[2][3], *outputs[] = {heads[0], heads[1]}, direct[12], expected[12];
    GpudlOpenParams params = make_params(GPUDL_ACTIVATION_NONE);
    GpudlJob job = {.frame = &frame, .preproc = &preproc, .outputs = outputs};
    GpudlFrame narrow = frame;
    GpudlEngineInfo info = {0};
    GpudlFault fault = {""};
    void *engine = NULL;
    TestHost host;

    host_init(&host);
    g_assert_cmpint(backend->open(NULL, &host.table, &params, &engine, &info, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(backend->submit(engine, 0, &job, 1, &fault), ==, GPUDL_STATUS_OK);
    /* red is 10, 40, 70, 100 */
    assert_near(heads[0], (double[]){110, 130, 150}, 3, 1e-4);
    g_assert_cmpint(backend->run_preproc(engine, 0, &frame, &preproc, direct, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(gpudl_preproc_ref(&frame, &preproc, expected), ==, 0);
    g_assert_cmpmem(direct, sizeof(direct), expected, sizeof(expected));

    narrow.strides[0] = 5;
    job.frame = &narrow;
    g_assert_cmpint(backend->submit(engine, 0, &job, 1, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(fault.message, "2x2"));
    /* it reads them where they are, until the end */
    g_assert_cmpint(host.holds, ==, 1);
    backend->close(engine);
    g_assert_cmpint(host.holds, ==, 0);
    gpudl_graph_free(host.graph);
}

static void test_tensors(void)
{
    const GpudlBackend *backend = gpudl_ref_backend();
    GpudlOpenParams params = make_params(GPUDL_ACTIVATION_SOFTMAX);
    float x[3][12], sums[3][3];
    guint16 roots[3][3];
    const void *inputs[] = {x};
    void *outputs[] = {sums, roots};
    GpudlEngineInfo info = {0};
    GpudlFault fault = {""};
    void *engine = NULL;
    TestHost host;

    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 12; i++)
            x[n][i] = planes[i] * (float)(n + 1) * (float)(n + 1);
    host_init(&host);
    g_assert_cmpint(backend->open(NULL, &host.table, &params, &engine, &info, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(info.run_time_ns, >, 0);
    for (int batch = 1; batch <= 3; batch += 2) {
        g_assert_cmpint(backend->run_tensors(engine, 0, batch, inputs, outputs, &fault), ==, GPUDL_STATUS_OK);
        /* no activation here; float16 0x4000 is 2, 0x4400 is 4, 0x4600 is 6 */
        for (int n = 0; n < batch; n++) {
            const guint16 expected[] = {0x4000, 0x4400, 0x4600};

            assert_near(sums[n], (double[]){5. * (n + 1) * (n + 1), 8. * (n + 1) * (n + 1), 0}, 3, 0);
            g_assert_cmphex(roots[n][1], ==, expected[n]);
            g_assert_cmphex(roots[n][2], ==, 0);
        }
    }
    g_assert_cmpint(backend->run_tensors(engine, 0, 99, inputs, outputs, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
    g_assert_cmpstr(fault.message, ==, "no plan for so many");
    g_assert_cmpint(backend->run_tensors(engine, 0, 0, inputs, outputs, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    g_assert_cmpint(backend->run_tensors(engine, 1, 1, inputs, outputs, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    backend->close(engine);
    gpudl_graph_free(host.graph);
}

static void assert_refused(TestHost *host, const GpudlOpenParams *params, GpudlStatus status, const gchar *text)
{
    GpudlEngineInfo info = {0};
    GpudlFault fault = {""};
    void *engine = NULL;

    GpudlOpenParams resolved = *params;
    GpudlStatus got = gpudl_ref_backend()->resolve(NULL, &resolved, &fault);

    resolved.memory_limit = params->memory_limit;
    if (got == GPUDL_STATUS_OK)
        got = gpudl_ref_backend()->open(NULL, &host->table, &resolved, &engine, &info, &fault);
    g_assert_cmpint(got, ==, status);
    g_assert_null(engine);
    g_assert_cmpint(host->holds, ==, 0);
    if (!strstr(fault.message, text))
        g_error("\"%s\" does not say \"%s\"", fault.message, text);
}

static void test_open_refuses(void)
{
    const GpudlOpenParams good = make_params(GPUDL_ACTIVATION_NONE);
    GpudlOpenParams params;
    TestHost host;

    host_init(&host);
    params = good;
    params.precision = GPUDL_PRECISION_INT8;
    assert_refused(&host, &params, GPUDL_STATUS_UNSUPPORTED, "int8");
    params = good;
    params.batch_size = 4;
    assert_refused(&host, &params, GPUDL_STATUS_UNSUPPORTED, "batches of 4");
    params = good;
    params.activation = GPUDL_ACTIVATION_AUTO;
    assert_refused(&host, &params, GPUDL_STATUS_INVALID_ARGUMENT, "activation auto");
    params = good;
    params.input_width = 7;
    assert_refused(&host, &params, GPUDL_STATUS_INVALID_ARGUMENT, "1x3x2x2, expected float32 1x3x2x7");
    params = good;
    params.memory_limit = 16;
    assert_refused(&host, &params, GPUDL_STATUS_NO_MEMORY, "limit of 16");
    host.asked = 0;
    host.cancel_at = 1;
    assert_refused(&host, &good, GPUDL_STATUS_FAILED, "cancelled");
    host.asked = 0;
    host.cancel_at = 4;
    assert_refused(&host, &good, GPUDL_STATUS_FAILED, "cancelled before node \"double\"");
    g_assert_cmpuint(host.asked, ==, 4); /* it did not go on */
    host.cancel_at = 0;
    host.no_constants = TRUE;
    assert_refused(&host, &good, GPUDL_STATUS_FAILED, "file is gone");
    gpudl_graph_free(host.graph);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ref-backend/jobs/none", GINT_TO_POINTER(GPUDL_ACTIVATION_NONE), test_jobs);
    g_test_add_data_func("/ref-backend/jobs/softmax", GINT_TO_POINTER(GPUDL_ACTIVATION_SOFTMAX), test_jobs);
    g_test_add_data_func("/ref-backend/jobs/sigmoid", GINT_TO_POINTER(GPUDL_ACTIVATION_SIGMOID), test_jobs);
    g_test_add_func("/ref-backend/frame", test_frame);
    g_test_add_func("/ref-backend/tensors", test_tensors);
    g_test_add_func("/ref-backend/open-refuses", test_open_refuses);
    return g_test_run();
}
