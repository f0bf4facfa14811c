/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/engine/cpu-nets.h"

#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/ref/ref.h"
#include "tests/engine/cpu-host.h"

/* In units of the output's range, as for real nets: float32 sums of up to a few thousand products, which an activation
 * may have clipped to a small range since, against sums in double. */
#define BOUND_FP32 1e-4
/* Weights and what lies between steps are rounded to 8 bits: by 2^-9 of themselves. Random nets of a dozen steps are
 * within 2e-2 but for few values. */
#define BOUND_BF16 2e-2
#define MOST_BF16 1e-1

Net net_new(GRand *rand, gint64 c, gint64 h, gint64 w)
{
    Net net = {gpudl_graph_new(), rand};

    gpudl_graph_add_input(net.graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, c, h, w}});
    return net;
}

GpudlTensor *net_input(const Net *net)
{
    return g_ptr_array_index(net->graph->inputs, 0);
}

GpudlTensor *net_constant(const Net *net, int rank, const gint64 *dims)
{
    GpudlShape shape = {.rank = rank};
    g_autofree float *values = NULL;
    double most;
    gint64 n, i;

    memcpy(shape.dims, dims, (gsize)rank * sizeof *dims);
    n = gpudl_shape_elements(&shape);
    most = rank >= 2 && cpu_host_precision() == GPUDL_PRECISION_BF16 ? MIN(1, sqrt(3. * dims[0] / n)) : 1;
    values = g_new(float, n);
    for (i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(net->rand, -most, most);
    return gpudl_graph_add_constant_f32(net->graph, "constant", values, dims, rank);
}

GpudlTensor *net_constant_between(const Net *net, gint64 n, double low, double high)
{
    g_autofree float *values = g_new(float, n);

    for (gint64 i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(net->rand, low, high);
    return gpudl_graph_add_constant_f32(net->graph, "constant", values, &n, 1);
}

GpudlTensor *net_apply_n(const Net *net, GpudlOp op, const GpudlAttrs *attrs, guint n_inputs,
                         GpudlTensor *const *inputs, guint n_outputs, GpudlTensor **outputs)
{
    g_autofree gchar *name = g_strdup_printf("n%u", net->graph->nodes->len);
    GpudlNode *node = gpudl_graph_add_node(net->graph, op, name, inputs, n_inputs, NULL, n_outputs);
    g_autoptr(GError) error = NULL;

    if (attrs != NULL)
        node->attrs = *attrs;
    gpudl_graph_infer(net->graph, 1, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < n_outputs && outputs != NULL; i++)
        outputs[i] = node->outputs[i];
    return node->outputs[0];
}

GpudlAttrs net_window(int n, int kernel, int stride, int pad, int dilation)
{
    GpudlAttrs a = {.window = {.n_spatial = n, .group = 1}};

    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        int used = i >= GPUDL_MAX_SPATIAL - n;

        a.window.kernel[i] = used ? kernel : 1;
        a.window.stride[i] = used ? stride : 1;
        a.window.pad_begin[i] = a.window.pad_end[i] = used ? pad : 0;
        a.window.dilation[i] = used ? dilation : 1;
    }
    return a;
}

GpudlAct net_act_from(GRand *rand, int least)
{
    GpudlAct act = {g_rand_int_range(rand, least, GPUDL_ACT_LAST + 1), 0, 0};

    if (act.kind == GPUDL_ACT_CLIP) {
        act.alpha = -0.25f;
        act.beta = 1.5f;
    } else if (act.kind == GPUDL_ACT_LEAKY_RELU) {
        act.alpha = 0.125f;
    } else if (act.kind == GPUDL_ACT_HARD_SIGMOID) {
        act.alpha = 0.25f;
        act.beta = 0.4f;
    }
    return act;
}

int net_as_many_as(int n, int under_valgrind)
{
    return g_getenv("GPUDL_TEST_VALGRIND") != NULL ? under_valgrind : n;
}

GpudlAct net_random_act(GRand *rand)
{
    return net_act_from(rand, GPUDL_ACT_NONE);
}

GpudlTensor *net_conv(const Net *net, GpudlTensor *x, gint64 k, int kernel, GpudlTensor *residual, GpudlAct act)
{
    GpudlAttrs a = net_window(2, kernel, 1, kernel / 2, 1);
    gint64 c = x->shape.dims[1];
    GpudlTensor *w = net_constant(net, 4, (gint64[]){k, c, kernel, kernel}), *bias = net_constant(net, 1, &k);

    a.window.act = act;
    return residual != NULL ? net_apply(net, GPUDL_OP_CONV, &a, x, w, bias, residual)
                            : net_apply(net, GPUDL_OP_CONV, &a, x, w, bias);
}

static void fill_random(GRand *rand, float *values, gsize n)
{
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -1, 1);
}

/* Nodes that may make a difference of a rounding's size into one of the whole range. */
static gboolean has_steps(const GpudlGraph *graph)
{
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlOp op = ((const GpudlNode *)g_ptr_array_index(graph->nodes, i))->op;

        if (op == GPUDL_OP_FLOOR || op == GPUDL_OP_CEIL || op == GPUDL_OP_ROUND || op == GPUDL_OP_MOD ||
            op == GPUDL_OP_CAST || op == GPUDL_OP_DIV || op == GPUDL_OP_RECIPROCAL || op == GPUDL_OP_LOG ||
            (op >= GPUDL_OP_EQUAL && op <= GPUDL_OP_WHERE))
            return TRUE;
    }
    return FALSE;
}

/* Few values may leave BOUND_BF16, and none MOST_BF16 unless there are steps. */
static gboolean values_near(const char *what, const GpudlTensor *tensor, const float *got, const float *expected,
                            gboolean steps)
{
    const gint64 n = gpudl_shape_elements(&tensor->shape);
    double low = INFINITY, high = -INFINITY, range, most = 0;
    gint64 outside = 0;

    for (gint64 i = 0; i < n; i++) {
        low = MIN(low, expected[i]);
        high = MAX(high, expected[i]);
    }
    range = MAX(high - low, 1.0);
    for (gint64 i = 0; i < n; i++) {
        const double difference = fabs((double)got[i] - (double)expected[i]);

        if (!(difference <= BOUND_BF16 * range))
            outside++;
        most = isnan(difference) ? INFINITY : MAX(most, difference);
    }
    if (outside <= n / 8 + 1 && (steps || most <= MOST_BF16 * range))
        return TRUE;
    g_test_message("%s, output '%s': %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                   " values are not near the reference's, the farthest differs by %g, range %g",
                   what, tensor->name, outside, n, most, high - low);
    g_test_fail();
    return FALSE;
}

static gboolean values_equal(const char *what, const GpudlTensor *tensor, const float *got, const float *expected)
{
    gint64 n = gpudl_shape_elements(&tensor->shape);
    double low = INFINITY, high = -INFINITY, bound;

    for (gint64 i = 0; i < n; i++) {
        low = MIN(low, expected[i]);
        high = MAX(high, expected[i]);
    }
    bound = BOUND_FP32 * MAX(high - low, 1.0);
    for (gint64 i = 0; i < n; i++) {
        if (!(fabs(got[i] - expected[i]) <= bound)) {
            g_test_message("%s, output '%s', value %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                           ": found %.8g, reference %.8g, range %g",
                           what, tensor->name, i, n, got[i], expected[i], high - low);
            g_test_fail();
            return FALSE;
        }
    }
    return TRUE;
}

static gchar *net_text(const GpudlGraph *graph)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = g_ptr_array_index(graph->nodes, i);

        g_string_append_printf(text, "%s: op %d (", node->name, node->op);
        for (guint k = 0; k < node->n_inputs; k++) {
            g_autofree gchar *shape = node->inputs[k] ? gpudl_shape_to_string(&node->inputs[k]->shape) : NULL;

            g_string_append_printf(text, "%s%s %s", k > 0 ? ", " : "", node->inputs[k] ? node->inputs[k]->name : "-",
                                   shape != NULL ? shape : "");
        }
        if (node->op == GPUDL_OP_CONV || node->op == GPUDL_OP_MAX_POOL || node->op == GPUDL_OP_AVERAGE_POOL) {
            const GpudlWindowAttrs *a = &node->attrs.window;

            g_string_append_printf(text, " kernel %dx%d stride %d,%d pads %d,%d..%d,%d dilation %d,%d group %d act %d",
                                   a->kernel[1], a->kernel[2], a->stride[1], a->stride[2], a->pad_begin[1],
                                   a->pad_begin[2], a->pad_end[1], a->pad_end[2], a->dilation[1], a->dilation[2],
                                   a->group, a->act.kind);
        }
        if (node->op == GPUDL_OP_ADD || node->op == GPUDL_OP_SUB || node->op == GPUDL_OP_MUL)
            g_string_append_printf(text, " act %d", node->attrs.binary.act.kind);
        g_string_append(text, ")\n");
    }
    return g_string_free(text, FALSE);
}

gboolean net_check(Net *net, gint64 most_batch)
{
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    gboolean good = TRUE;

    net->graph->symbolic_batch = most_batch > 1;
    gpudl_graph_infer(net->graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_open(net->graph, &params);
    if (g_getenv("GPUDL_TEST_LOG") != NULL) {
        g_autofree gchar *text = net_text(net->graph);

        g_test_message("%s", text);
    }
    if (host->status != GPUDL_STATUS_OK)
        g_error("open: %s", host->fault.message);
    for (gint64 batch = 1; batch <= most_batch && good; batch++) {
        g_autoptr(GPtrArray) expected = NULL;
        g_autoptr(GBytes) input = NULL;
        float *values, *got[8];
        gsize n;

        gpudl_graph_infer(net->graph, batch, &error);
        g_assert_no_error(error);
        n = (gsize)gpudl_shape_elements(&net_input(net)->shape);
        values = g_new(float, n);
        fill_random(net->rand, values, n);
        input = g_bytes_new_take(values, n * sizeof *values);
        expected = gpudl_ref_run(net->graph, &input, NULL, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < net->graph->outputs->len; i++)
            got[i] = g_malloc0(g_bytes_get_size(g_ptr_array_index(expected, i)) + 1);
        for (int turn = 0; turn < 2 && good; turn++) { /* the second finds the first one's leftovers */
            GpudlStatus status = host->backend->run_tensors(host->engine, 0, batch, (const void *const *)&values,
                                                            (void *const *)got, &host->fault);

            if (status != GPUDL_STATUS_OK)
                g_error("run: %s", host->fault.message);
            for (guint i = 0; i < net->graph->outputs->len && good; i++) {
                const GpudlTensor *output = g_ptr_array_index(net->graph->outputs, i);
                const float *wanted = g_bytes_get_data(g_ptr_array_index(expected, i), NULL);
                const char *what = batch == 1 ? "batch 1" : "larger batch";

                good = cpu_host_precision() == GPUDL_PRECISION_BF16
                           ? values_near(what, output, got[i], wanted, has_steps(net->graph))
                           : values_equal(what, output, got[i], wanted);
            }
        }
        for (guint i = 0; i < net->graph->outputs->len; i++)
            g_free(got[i]);
    }
    if (!good) {
        g_autofree gchar *text = net_text(net->graph);

        g_test_message("%s", text);
    }
    gpudl_graph_free(net->graph);
    return good;
}

int net_pick(GRand *rand, int n, const int *values)
{
    return values[g_rand_int_range(rand, 0, n)];
}
