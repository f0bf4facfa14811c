/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU module against the reference: operators on random shapes in plain and blocked layouts, random nets. */
#include <math.h>
#include <stdio.h>
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

typedef struct {
    GpudlGraph *graph;
    GRand *rand;
} Net;

static Net net_new(GRand *rand, gint64 c, gint64 h, gint64 w)
{
    Net net = {gpudl_graph_new(), rand};

    gpudl_graph_add_input(net.graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, c, h, w}});
    return net;
}

static GpudlTensor *net_input(const Net *net)
{
    return g_ptr_array_index(net->graph->inputs, 0);
}

/* For bfloat16 weights are as large as trained ones, so that sums of products are of the size of the products' inputs:
 * its errors are as large as the sums, however small an activation makes those. */
static GpudlTensor *constant(const Net *net, int rank, const gint64 *dims)
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

/* Values in low..high: variances, slopes. */
static GpudlTensor *constant_between(const Net *net, gint64 n, double low, double high)
{
    g_autofree float *values = g_new(float, n);

    for (gint64 i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(net->rand, low, high);
    return gpudl_graph_add_constant_f32(net->graph, "constant", values, &n, 1);
}

/* Appends a node and infers, so that the next one can look at its shape. */
static GpudlTensor *apply_n(const Net *net, GpudlOp op, const GpudlAttrs *attrs, guint n_inputs,
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

#define apply(net, op, attrs, ...)                                                                                     \
    apply_n(net, op, attrs, sizeof((GpudlTensor *[]){__VA_ARGS__}) / sizeof(GpudlTensor *),                            \
            (GpudlTensor *[]){__VA_ARGS__}, 1, NULL)

static GpudlAttrs window(int n, int kernel, int stride, int pad, int dilation)
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

/* least 0: may be none */
static GpudlAct act_from(GRand *rand, int least)
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

/* Fewer under valgrind, which takes fifty times as long; every other run has them all. */
static int as_many_as(int n, int under_valgrind)
{
    return g_getenv("GPUDL_TEST_VALGRIND") != NULL ? under_valgrind : n;
}

static GpudlAct random_act(GRand *rand)
{
    return act_from(rand, GPUDL_ACT_NONE);
}

/* Dense convolution that keeps height and width; into the blocked layout for what follows. */
static GpudlTensor *conv(const Net *net, GpudlTensor *x, gint64 k, int kernel, GpudlTensor *residual, GpudlAct act)
{
    GpudlAttrs a = window(2, kernel, 1, kernel / 2, 1);
    gint64 c = x->shape.dims[1];
    GpudlTensor *w = constant(net, 4, (gint64[]){k, c, kernel, kernel}), *bias = constant(net, 1, &k);

    a.window.act = act;
    return residual != NULL ? apply(net, GPUDL_OP_CONV, &a, x, w, bias, residual)
                            : apply(net, GPUDL_OP_CONV, &a, x, w, bias);
}

static const GpudlAct no_act = {GPUDL_ACT_NONE, 0, 0};

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

/* Runs the net on both and compares every output, at batch 1 and if it may at 2. Takes the net. */
static gboolean check(Net *net, gint64 most_batch)
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

static int pick(GRand *rand, int n, const int *values)
{
    return values[g_rand_int_range(rand, 0, n)];
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static void test_conv(void)
{
    static const int channels[] = {1, 2, 3, 5, 8, 12, 16, 17, 24, 32, 40, 48};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(120, 20); i++) {
        int c0 = pick(rand, 12, channels), c = pick(rand, 12, channels), kernel = g_rand_int_range(rand, 1, 6);
        Net net = net_new(rand, c0, g_rand_int_range(rand, 5, 20), g_rand_int_range(rand, 5, 20));
        GpudlTensor *x = net_input(&net), *y;
        GpudlAttrs a =
            window(2, kernel, g_rand_int_range(rand, 1, 4), 0, kernel > 1 ? g_rand_int_range(rand, 1, 3) : 1);
        int form = g_rand_int_range(rand, 0, 4), group, k;
        GpudlTensor *bias = NULL, *w;

        if (g_rand_boolean(rand))
            x = conv(&net, x, c, 1, NULL, no_act);
        c = (int)x->shape.dims[1];
        group = form == 0 ? c : form == 1 && c % 2 == 0 ? 2 : form == 1 && c % 3 == 0 ? 3 : 1;
        k = group * (form == 0 ? g_rand_int_range(rand, 1, 3) : pick(rand, 6, channels));
        for (int d = 1; d < GPUDL_MAX_SPATIAL; d++) {
            int extent = (kernel - 1) * a.window.dilation[d] + 1;

            a.window.kernel[d] = kernel;
            a.window.pad_begin[d] = g_rand_int_range(rand, 0, kernel);
            a.window.pad_end[d] = g_rand_int_range(rand, 0, kernel);
            if (x->shape.dims[1 + d] + a.window.pad_begin[d] + a.window.pad_end[d] < extent)
                a.window.pad_end[d] = extent;
        }
        a.window.group = group;
        a.window.act = random_act(rand);
        w = constant(&net, 4, (gint64[]){k, c / group, kernel, kernel});
        if (g_rand_boolean(rand))
            bias = constant(&net, 1, &(gint64){k});
        y = apply(&net, GPUDL_OP_CONV, &a, x, w, bias);
        if (g_rand_boolean(rand)) { /* the same again onto its own result, which is then read twice or once */
            GpudlTensor *once = y;

            a.window.act = random_act(rand);
            y = apply(&net, GPUDL_OP_CONV, &a, x, w, bias, once);
            if (g_rand_boolean(rand))
                y = apply(&net, GPUDL_OP_ADD, NULL, y, once);
        }
        gpudl_graph_add_output(net.graph, y);
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* Groups of channels that fill no vector: oneDNN 2.6.3 describes some of them in bfloat16 for which it then has no
 * code, depending on the activation. */
static void test_conv_groups(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    gboolean good = TRUE;

    for (int kind = GPUDL_ACT_NONE; kind <= GPUDL_ACT_LAST && good; kind++) {
        Net net = net_new(rand, 5, 12, 12);
        GpudlTensor *x = conv(&net, net_input(&net), 24, 1, NULL, no_act);
        GpudlAttrs a = window(2, 3, 1, 1, 1);

        a.window.group = 2;
        a.window.act.kind = (GpudlActKind)kind;
        a.window.act.beta = kind == GPUDL_ACT_CLIP ? 1 : 0;
        gpudl_graph_add_output(net.graph,
                               apply(&net, GPUDL_OP_CONV, &a, x, constant(&net, 4, (gint64[]){16, 12, 3, 3})));
        good = check(&net, 1);
    }
    g_rand_free(rand);
}

static void test_conv_1d_3d(void)
{
    GRand *rand = g_rand_new_with_seed(3);
    Net net = net_new(rand, 6, 8, 10);
    GpudlAttrs flat = {.shape = {.rank = 3, .dims = {0, 6, -1}}},
               deep = {.shape = {.rank = 5, .dims = {0, 3, 2, 8, 10}}};
    GpudlAttrs one = window(1, 3, 2, 1, 1), three = window(3, 2, 1, 1, 1);
    GpudlTensor *x = net_input(&net);

    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CONV, &one, apply(&net, GPUDL_OP_RESHAPE, &flat, x),
                                            constant(&net, 3, (gint64[]){5, 6, 3})));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CONV, &three, apply(&net, GPUDL_OP_RESHAPE, &deep, x),
                                            constant(&net, 5, (gint64[]){4, 3, 2, 2, 2})));
    check(&net, 2);
    g_rand_free(rand);
}

static void test_pools(void)
{
    static const GpudlOp ops[] = {GPUDL_OP_MAX_POOL, GPUDL_OP_AVERAGE_POOL, GPUDL_OP_GLOBAL_MAX_POOL,
                                  GPUDL_OP_GLOBAL_AVERAGE_POOL};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(80, 16); i++) {
        Net net =
            net_new(rand, g_rand_int_range(rand, 1, 40), g_rand_int_range(rand, 4, 16), g_rand_int_range(rand, 4, 16));
        GpudlTensor *x = net_input(&net), *y;
        GpudlOp op = ops[i % 4];
        int kernel = g_rand_int_range(rand, 1, 5);
        GpudlAttrs a = window(2, kernel, g_rand_int_range(rand, 1, 4), 0, 1);

        if (g_rand_boolean(rand))
            x = conv(&net, x, g_rand_int_range(rand, 1, 40), 1, NULL, no_act);
        a.window.ceil_mode = g_rand_boolean(rand);
        a.window.count_include_pad = g_rand_boolean(rand);
        if (op == GPUDL_OP_MAX_POOL && g_rand_int_range(rand, 0, 4) == 0 && kernel < 3)
            a.window.dilation[1] = a.window.dilation[2] = 2;
        for (int d = 1; d < GPUDL_MAX_SPATIAL; d++) {
            a.window.pad_begin[d] = g_rand_int_range(rand, 0, kernel);
            a.window.pad_end[d] = g_rand_int_range(rand, 0, kernel);
        }
        y = apply(&net, op, op == GPUDL_OP_MAX_POOL || op == GPUDL_OP_AVERAGE_POOL ? &a : NULL, x);
        gpudl_graph_add_output(net.graph, y);
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_normalisation(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(30, 6); i++) {
        gint64 c = g_rand_int_range(rand, 1, 40);
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *y;
        GpudlAttrs bn = {.batch_norm = {1e-3f}}, relu = {.unary = {{GPUDL_ACT_RELU, 0, 0}}};
        GpudlAttrs lrn = {.lrn = {g_rand_int_range(rand, 1, 6), 0.3f, 0.75f, 1.5f}}, mean = {.reduce = {2, {2, 3}, 0}};

        if (g_rand_boolean(rand))
            x = conv(&net, x, c, 3, NULL, no_act);
        y = apply(&net, GPUDL_OP_BATCH_NORM, &bn, x, constant(&net, 1, &c), constant(&net, 1, &c),
                  constant(&net, 1, &c), constant_between(&net, c, 0.5, 2));
        if (i % 3 == 0)
            gpudl_graph_add_output(net.graph, y); /* the ReLU must not be fused then */
        y = apply(&net, GPUDL_OP_ACTIVATION, &relu, y);
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_LRN, &lrn, y));
        if (i % 2 == 0)
            gpudl_graph_add_output(net.graph, y);
        mean.reduce.keepdims = i % 4 == 1;
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_REDUCE_MEAN, &mean, y));
        mean.reduce = (GpudlReduceAttrs){1, {1}, 1};
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_REDUCE_MEAN, &mean, y));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* Behind a convolution, in whatever layout that leaves, and on the input; read by one and by two. */
static void test_norms(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(60, 12); i++) {
        gint64 groups = g_rand_int_range(rand, 1, 5), c = groups * g_rand_int_range(rand, 1, 20);
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *inputs[3];
        GpudlAttrs a = {.norm = {.axis = 1 + i / 2 % 3, .n_axes = 1, .groups = (gint32)groups, .epsilon = 1e-2f}};
        const GpudlOp op = i % 2 ? GPUDL_OP_LAYER_NORM : GPUDL_OP_GROUP_NORM;
        gint64 each[3] = {c};
        guint n_inputs = 1 + (guint)g_rand_int_range(rand, 0, 3);

        if (i % 4 < 3)
            x = conv(&net, x, c, 3, NULL, no_act);
        if (op == GPUDL_OP_LAYER_NORM) {
            a.norm.n_axes = g_rand_int_range(rand, 1, 5 - a.norm.axis);
            for (int k = 0; k < a.norm.n_axes; k++)
                each[k] = x->shape.dims[a.norm.axis + k];
        }
        inputs[0] = x;
        for (guint k = 1; k < n_inputs; k++)
            inputs[k] = constant(&net, op == GPUDL_OP_LAYER_NORM ? a.norm.n_axes : 1, each);
        if (n_inputs == 3 && i % 5 == 0)
            inputs[1] = NULL;
        gpudl_graph_add_output(net.graph, apply_n(&net, op, &a, n_inputs, inputs, 1, NULL));
        if (i % 3 == 0)
            gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_ABS, NULL, x));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* The norm's scale is what the network's input is, which the stem reads channels last. */
static void test_norm_scaled_by_the_input(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    GpudlAttrs frame = {.shape = {3, {3, 8, 8}}}, norm = {.norm = {.axis = 1, .n_axes = 3, .epsilon = 1e-2f}};

    for (guint i = 1; i < 3; i++) {
        Net net = net_new(rand, 3, 8, 8);
        GpudlTensor *x = net_input(&net), *y = conv(&net, conv(&net, x, 16, 3, NULL, no_act), 3, 1, NULL, no_act);
        GpudlTensor *inputs[3] = {y, constant(&net, 3, frame.shape.dims), constant(&net, 3, frame.shape.dims)};

        inputs[i] = apply(&net, GPUDL_OP_RESHAPE, &frame, x);
        gpudl_graph_add_output(net.graph, apply_n(&net, GPUDL_OP_LAYER_NORM, &norm, 3, inputs, 1, NULL));
        check(&net, 1);
    }
    g_rand_free(rand);
}

/* To channels last and back, with something in place between: views of one memory, which must not be written to while
 * others read it. */
static void test_transposed_views(void)
{
    static const GpudlAttrs last = {.transpose = {4, {0, 2, 3, 1}}}, first = {.transpose = {4, {0, 3, 1, 2}}};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(40, 8); i++) {
        gint64 c = g_rand_int_range(rand, 1, 40);
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *y, *z;
        GpudlAttrs norm = {.norm = {.axis = 3, .n_axes = 1, .epsilon = 1e-2f}},
                   tanh = {.unary = {{GPUDL_ACT_TANH, 0, 0}}};

        if (i % 2)
            x = conv(&net, x, c, 3, NULL, no_act);
        y = apply(&net, GPUDL_OP_TRANSPOSE, &last, x);
        z = apply(&net, i % 3 ? GPUDL_OP_LAYER_NORM : GPUDL_OP_ACTIVATION, i % 3 ? &norm : &tanh, y);
        if (i % 4 == 3)
            z = apply(&net, GPUDL_OP_MATMUL, NULL, z, constant(&net, 2, (gint64[]){c, c}));
        z = apply(&net, GPUDL_OP_TRANSPOSE, &first, z);
        z = conv(&net, z, c, 1, i % 5 ? x : NULL, no_act);
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_TRANSPOSE, &last, z));
        if (i % 7 == 0)
            gpudl_graph_add_output(net.graph, y);
        if (i % 6 == 0)
            gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_NEG, NULL, x));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* A value for each of some neighbouring dimensions, at a rank where there are no channels to speak of; sums and maxima
 * over the rest. */
static void test_broadcasts(void)
{
    static const GpudlOp ops[] = {GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL, GPUDL_OP_DIV};
    static const GpudlOp reductions[] = {GPUDL_OP_REDUCE_SUM, GPUDL_OP_REDUCE_MAX, GPUDL_OP_REDUCE_MEAN};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(80, 16); i++) {
        const gint64 groups = g_rand_int_range(rand, 1, 4), each = g_rand_int_range(rand, 1, 9), c = groups * each;
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *b;
        GpudlAttrs apart = {.shape = {5, {0, groups, each, 5, 7}}}, act = {.binary = {.act = random_act(rand)}};
        gint64 dims[5] = {1, groups, each, 5, 7};
        gint64 n = 1;
        g_autofree float *values = NULL;
        GpudlAttrs reduce = {.reduce = {2, {2, 3}, i % 2}};

        if (i % 3 == 0)
            x = conv(&net, x, c, 1, NULL, no_act);
        gpudl_graph_add_output(net.graph, apply(&net, reductions[i % 3], &reduce, x));
        x = apply(&net, GPUDL_OP_RESHAPE, &apart, x);
        reduce.reduce = (GpudlReduceAttrs){1, {1 + i / 3 % 4, 4}, 1}; /* one of four, sometimes the last, too */
        reduce.reduce.n_axes += reduce.reduce.axes[0] < 4 && g_rand_boolean(rand);
        gpudl_graph_add_output(net.graph, apply(&net, reductions[i % 3], &reduce, x));
        for (int k = 1; k < 5; k++) {
            dims[k] = g_rand_boolean(rand) ? dims[k] : 1;
            n *= dims[k];
        }
        values = g_new(float, n);
        for (gint64 k = 0; k < n; k++)
            values[k] = (float)g_rand_double_range(rand, 0.5, 1.5);
        b = gpudl_graph_add_constant_f32(net.graph, "b", values, dims, 5);
        x = apply(&net, ops[i % 4], ops[i % 4] == GPUDL_OP_DIV ? NULL : &act, x, b);
        gpudl_graph_add_output(net.graph, x);
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_elements(void)
{
    static const GpudlOp unary[] = {GPUDL_OP_ELU,  GPUDL_OP_ABS, GPUDL_OP_NEG,      GPUDL_OP_EXP,  GPUDL_OP_FLOOR,
                                    GPUDL_OP_CEIL, GPUDL_OP_ERF, GPUDL_OP_IDENTITY, GPUDL_OP_ROUND};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int blocked = 0; blocked < 2; blocked++) {
        for (int kind = 1; kind <= GPUDL_ACT_LAST + (int)G_N_ELEMENTS(unary); kind++) {
            Net net = net_new(rand, 19, 4, 5);
            GpudlTensor *x = net_input(&net), *y;
            GpudlAttrs a = {.unary = {act_from(rand, GPUDL_ACT_RELU)}};

            if (blocked)
                x = conv(&net, x, 21, 1, NULL, no_act);
            while (kind <= GPUDL_ACT_LAST && (int)a.unary.act.kind != kind)
                a.unary.act = act_from(rand, GPUDL_ACT_RELU);
            if (kind <= GPUDL_ACT_LAST) {
                y = apply(&net, GPUDL_OP_ACTIVATION, &a, x);
            } else {
                a.unary.act.alpha = 0.7f;
                y = apply(&net, unary[kind - GPUDL_ACT_LAST - 1], &a, x);
            }
            /* x is read twice: what is written in place must be a copy */
            gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_SUB, NULL, x, y));
            if (!check(&net, 1))
                return;
        }
    }
    for (int i = 0; i < as_many_as(30, 6); i++) {
        Net net = net_new(rand, 18, 4, 5);
        GpudlTensor *x = net_input(&net);
        GpudlAttrs a = {.unary = {act_from(rand, GPUDL_ACT_RELU)}};

        if (g_rand_boolean(rand)) /* sqrt and log of what is positive */
            x = apply(&net, GPUDL_OP_ABS, NULL, conv(&net, x, 18, 1, NULL, no_act));
        else
            x = apply(&net, GPUDL_OP_EXP, NULL, x);
        x = apply(&net, i % 2 ? GPUDL_OP_SQRT : GPUDL_OP_LOG, NULL,
                  apply(&net, GPUDL_OP_ADD, NULL, x, constant_between(&net, 1, 0.5, 1)));
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_ACTIVATION, &a, x));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_binary(void)
{
    static const GpudlOp ops[] = {GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL, GPUDL_OP_DIV, GPUDL_OP_MIN, GPUDL_OP_MAX};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(150, 30); i++) {
        gint64 c = g_rand_int_range(rand, 1, 40);
        Net net = net_new(rand, c, 3, 4);
        GpudlTensor *x = net_input(&net), *other = NULL, *y;
        GpudlOp op = ops[g_rand_int_range(rand, 0, G_N_ELEMENTS(ops))];
        GpudlAttrs a = {0};

        if (g_rand_boolean(rand))
            x = conv(&net, x, c, 1, NULL, no_act);
        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            other = constant_between(&net, 1, 0.5, 1);
            break;
        case 1:
            other = constant(&net, 4, (gint64[]){1, c, 1, 1});
            break;
        case 2:
            other = constant(&net, 3, (gint64[]){c, 3, 4});
            break;
        case 3: /* squeeze and excite */
            other = conv(&net, apply(&net, GPUDL_OP_GLOBAL_AVERAGE_POOL, NULL, x), c, 1, NULL, no_act);
            break;
        case 4:
            other = conv(&net, x, c, 3, NULL, no_act);
            break;
        case 5:
            other = constant(&net, 4, (gint64[]){1, 1, 3, 4});
            break;
        case 6:
            other = x;
            break;
        default:
            other = constant(&net, 1, (gint64[]){4});
            break;
        }
        if (op == GPUDL_OP_DIV) /* away from 0 */
            other = apply(&net, GPUDL_OP_ADD, NULL, apply(&net, GPUDL_OP_ABS, NULL, other),
                          constant_between(&net, 1, 1, 2));
        if (op == GPUDL_OP_ADD || op == GPUDL_OP_SUB || op == GPUDL_OP_MUL)
            a.binary.act = random_act(rand);
        y = g_rand_boolean(rand) || op == GPUDL_OP_DIV ? apply(&net, op, &a, x, other) : apply(&net, op, &a, other, x);
        gpudl_graph_add_output(net.graph, y);
        if (g_rand_boolean(rand))
            gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_ADD, NULL, x, y));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_products(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(60, 12); i++) {
        gint64 c = g_rand_int_range(rand, 1, 30), k, n = g_rand_int_range(rand, 1, 50);
        Net net = net_new(rand, c, 3, 2);
        GpudlTensor *x = net_input(&net), *w, *bias = NULL, *y;
        GpudlAttrs flat = {.shape = {.rank = 2, .dims = {0, -1}}}, a = {.gemm = {0, 0, 1, 1, no_act}};

        if (g_rand_boolean(rand))
            x = conv(&net, x, c, 1, NULL, no_act);
        x = apply(&net, GPUDL_OP_RESHAPE, &flat, x);
        k = x->shape.dims[1];
        a.gemm.trans_b = g_rand_boolean(rand);
        a.gemm.alpha = g_rand_boolean(rand) ? 1.f : 0.5f;
        a.gemm.beta = g_rand_boolean(rand) ? 1.f : 2.f;
        a.gemm.act = random_act(rand);
        w = constant(&net, 2, a.gemm.trans_b ? (gint64[]){n, k} : (gint64[]){k, n});
        switch (g_rand_int_range(rand, 0, 4)) {
        case 0:
            bias = constant(&net, 1, &n);
            break;
        case 1:
            bias = constant(&net, 2, (gint64[]){1, n});
            break;
        case 2:
            bias = constant(&net, 1, (gint64[]){1});
            break;
        default:
            break;
        }
        y = i % 3 == 0 ? apply(&net, GPUDL_OP_MATMUL, NULL, x, constant(&net, 2, (gint64[]){k, n}))
                       : apply(&net, GPUDL_OP_GEMM, &a, x, w, bias);
        gpudl_graph_add_output(net.graph, y);
        if (!check(&net, 3))
            break;
    }
    {
        /* batches of matrices, broadcast, both made by the net */
        Net net = net_new(rand, 4, 5, 6);
        GpudlTensor *x = net_input(&net);
        GpudlAttrs swap = {.transpose = {4, {0, 1, 3, 2}}};
        GpudlTensor *t = apply(&net, GPUDL_OP_TRANSPOSE, &swap, x);

        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_MATMUL, NULL, x, t));
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_MATMUL, NULL, x, constant(&net, 2, (gint64[]){6, 3})));
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_MATMUL, NULL, t, constant(&net, 1, (gint64[]){5})));
        check(&net, 2);
    }
    g_rand_free(rand);
}

static void test_softmax(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(24, 6); i++) {
        Net net = net_new(rand, g_rand_int_range(rand, 1, 40), g_rand_int_range(rand, 1, 5), 3);
        GpudlTensor *x = net_input(&net);
        GpudlAttrs a = {.axis = {.axis = i % 4, .flatten = i / 4 % 2}};

        if (i % 3 == 0)
            x = conv(&net, x, 20, 1, NULL, no_act);
        gpudl_graph_add_output(net.graph, apply(&net, i % 2 ? GPUDL_OP_SOFTMAX : GPUDL_OP_LOG_SOFTMAX, &a, x));
        if (!check(&net, 1))
            break;
    }
    g_rand_free(rand);
}

static void test_moves(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(60, 12); i++) {
        static const int widths[] = {1, 3, 8, 16, 20, 32};
        gint64 a = pick(rand, 6, widths), b = pick(rand, 6, widths), c = pick(rand, 6, widths);
        Net net = net_new(rand, 5, 4, 3);
        GpudlTensor *x = net_input(&net), *parts[3], *joined;
        GpudlAttrs axis = {.axis = {.axis = 1, .n_sizes = 3, .sizes = {a, b, c}}}, slice = {.slice = {.rank = 4}};
        GpudlAttrs perm = {.transpose = {4, {0, 2, 3, 1}}};

        joined = apply(&net, GPUDL_OP_CONCAT, &axis, conv(&net, x, a, 1, NULL, no_act),
                       conv(&net, x, b, 1, NULL, no_act), conv(&net, x, c, 3, NULL, no_act));
        axis.axis.sizes[0] = c;
        axis.axis.sizes[2] = a;
        apply_n(&net, GPUDL_OP_SPLIT, &axis, 1, &joined, 3, parts);
        for (int d = 0; d < 4; d++) {
            slice.slice.start[d] = d == 0 ? 0 : g_rand_int_range(rand, 0, (gint32)joined->shape.dims[d]);
            slice.slice.end[d] = G_MAXINT64;
            slice.slice.step[d] = d == 0 || g_rand_int_range(rand, 0, 5) > 0 ? 1 : 2;
        }
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_SLICE, &slice, joined));
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CONCAT, &axis, parts[1], parts[0]));
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_TRANSPOSE, &perm, parts[2]));
        axis.axis.axis = g_rand_int_range(rand, 2, 4);
        gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CONCAT, &axis, joined, joined));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* Constants that no step reads: as an output, and seen in other ways by outputs. */
static void test_constant_outputs(void)
{
    GRand *rand = g_rand_new_with_seed(18);
    Net net = net_new(rand, 3, 2, 2);
    GpudlAttrs flat = {.shape = {.rank = 1, .dims = {-1}}};

    gpudl_graph_add_output(net.graph, constant(&net, 2, (gint64[]){2, 3}));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_IDENTITY, NULL, constant(&net, 2, (gint64[]){4, 5})));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_RESHAPE, &flat, constant(&net, 2, (gint64[]){3, 5})));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_ABS, NULL, net_input(&net)));
    check(&net, 1);
    g_rand_free(rand);
}

/* More pieces than oneDNN has numbers for. */
static void test_wide_concat(void)
{
    static const guint widths[] = {1024, 1025, 3100};

    for (gsize i = 0; i < G_N_ELEMENTS(widths); i++) {
        GRand *rand = g_rand_new_with_seed(17);
        Net net = net_new(rand, 3, 2, 2);
        GpudlAttrs axis = {.axis = {.axis = 1}};
        g_autofree GpudlTensor **pieces = g_new(GpudlTensor *, widths[i]);
        GpudlTensor *values[3] = {net_input(&net), conv(&net, net_input(&net), 8, 1, NULL, no_act)};

        values[2] = apply(&net, GPUDL_OP_ABS, NULL, values[1]);
        for (guint k = 0; k < widths[i]; k++)
            pieces[k] = values[g_rand_int_range(rand, 0, 3)];
        apply_n(&net, GPUDL_OP_CONCAT, &axis, widths[i], pieces, 1, pieces);
        gpudl_graph_add_output(net.graph, pieces[0]);
        check(&net, 2);
        g_rand_free(rand);
    }
}

/* Reshape, Transpose, Reshape as ShuffleNet has it, and the same with the middle seen by another. */
static void test_channel_shuffle(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < as_many_as(24, 6); i++) {
        int groups = g_rand_int_range(rand, 2, 5), each = g_rand_int_range(rand, 1, 13);
        Net net = net_new(rand, 3, 4, 5);
        GpudlAttrs split = {.shape = {.rank = 5, .dims = {0, groups, each, 4, 5}}};
        GpudlAttrs perm = {.transpose = {5, {0, 2, 1, 3, 4}}}, join = {.shape = {.rank = 4, .dims = {0, -1, 4, 5}}};
        GpudlTensor *x = net_input(&net), *y;

        x = conv(&net, x, groups * each, 1, NULL, no_act);
        y = apply(&net, GPUDL_OP_TRANSPOSE, &perm, apply(&net, GPUDL_OP_RESHAPE, &split, x));
        if (i % 4 == 3)
            gpudl_graph_add_output(net.graph, y);
        y = apply(&net, GPUDL_OP_RESHAPE, &join, y);
        gpudl_graph_add_output(net.graph, conv(&net, y, 7, 1, NULL, no_act));
        if (!check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* What oneDNN does not do goes through the reference kernels, between steps in blocked layouts. */
static void test_reference_kernels_in_between(void)
{
    GRand *rand = g_rand_new_with_seed(5);
    Net net = net_new(rand, 3, 6, 7);
    GpudlAttrs pad = {.pad = {4, GPUDL_PAD_REFLECT, {0, 0, 1, 2}, {0, 0, 2, 1}, 0}}, cast = {.cast = {GPUDL_DTYPE_I32}};
    GpudlAttrs back = {.cast = {GPUDL_DTYPE_F32}}, axis = {.axis = {.axis = 1}};
    GpudlAttrs narrow = {.cast = {GPUDL_DTYPE_F8E4M3FN, 1, 0}}, perm = {.transpose = {4, {0, 2, 3, 1}}};
    static const gint64 indices[] = {3, 0, -1};
    g_autoptr(GBytes) bytes = g_bytes_new_static(indices, sizeof indices);
    const GpudlAttrs pool = window(2, 2, 1, 0, 1);
    GpudlTensor *order =
        gpudl_graph_add_constant(net.graph, "order", GPUDL_DTYPE_I64, &(GpudlShape){1, {3}}, bytes, NULL);
    GpudlTensor *x = conv(&net, net_input(&net), 18, 3, NULL, no_act), *y, *less, *maxima[2];

    y = apply(&net, GPUDL_OP_PAD, &pad, x);
    y = conv(&net, y, 16, 3, NULL, no_act);
    y = apply(&net, GPUDL_OP_GATHER, &axis, y, order);
    less = apply(&net, GPUDL_OP_LESS, NULL, y, constant(&net, 1, (gint64[]){1}));
    y = apply(&net, GPUDL_OP_WHERE, NULL, less, y, apply(&net, GPUDL_OP_FLOOR, NULL, y));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CAST, &back, apply(&net, GPUDL_OP_CAST, &cast, y)));
    gpudl_graph_add_output(net.graph, conv(&net, y, 20, 1, NULL, no_act));
    apply_n(&net, GPUDL_OP_MAX_POOL, &pool, 1, &y, 2, maxima);
    gpudl_graph_add_output(net.graph, conv(&net, maxima[0], 8, 1, NULL, no_act));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CAST, &back, maxima[1]));
    y = apply(&net, GPUDL_OP_MAX_POOL, &pool, apply(&net, GPUDL_OP_CAST, &cast, x));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CAST, &back, y));
    y = apply(&net, GPUDL_OP_TRANSPOSE, &perm, apply(&net, GPUDL_OP_CAST, &narrow, x));
    gpudl_graph_add_output(net.graph, apply(&net, GPUDL_OP_CAST, &back, y));
    check(&net, 2);
    g_rand_free(rand);
}

/* ---- nets -------------------------------------------------------------------------------------------------------- */

/* A random net: every node reads any earlier values that fit. Finds what is overwritten too early. */
/* A layer norm of some dimensions or a group norm, with a scale and a bias or without. */
static GpudlTensor *random_norm(const Net *net, GpudlTensor *x)
{
    const gboolean layer = g_rand_boolean(net->rand);
    GpudlAttrs a = {.norm = {.epsilon = 1e-1f, .groups = 1}};
    GpudlTensor *inputs[3] = {x};
    gint64 each[3] = {x->shape.dims[1]};

    if (layer) {
        a.norm.axis = g_rand_int_range(net->rand, 1, 4);
        a.norm.n_axes = g_rand_int_range(net->rand, 1, 5 - a.norm.axis);
        for (int k = 0; k < a.norm.n_axes; k++)
            each[k] = x->shape.dims[a.norm.axis + k];
    } else if (x->shape.dims[1] % 4 == 0) {
        a.norm.groups = g_rand_boolean(net->rand) ? 4 : 2;
    }
    inputs[1] = constant(net, layer ? a.norm.n_axes : 1, each);
    inputs[2] = constant(net, layer ? a.norm.n_axes : 1, each);
    return apply_n(net, layer ? GPUDL_OP_LAYER_NORM : GPUDL_OP_GROUP_NORM, &a, g_rand_boolean(net->rand) ? 3 : 1,
                   inputs, 1, NULL);
}

/* Channels last for a while: a product, a norm or a GELU of what lies so. */
static GpudlTensor *random_stretch(const Net *net, GpudlTensor *x)
{
    static const GpudlAttrs last = {.transpose = {4, {0, 2, 3, 1}}}, first = {.transpose = {4, {0, 3, 1, 2}}};
    const GpudlAttrs norm = {.norm = {.axis = 3, .n_axes = 1, .epsilon = 1e-1f}},
                     gelu = {.unary = {{g_rand_boolean(net->rand) ? GPUDL_ACT_GELU : GPUDL_ACT_GELU_TANH, 0, 0}}};
    const gint64 c = x->shape.dims[1];
    GpudlTensor *y = apply(net, GPUDL_OP_TRANSPOSE, &last, x);

    for (int n = g_rand_int_range(net->rand, 1, 4); n > 0; n--) {
        const int kind = g_rand_int_range(net->rand, 0, 4);

        y = kind == 0   ? apply(net, GPUDL_OP_MATMUL, NULL, y, constant(net, 2, (gint64[]){c, c}))
            : kind == 1 ? apply(net, GPUDL_OP_LAYER_NORM, &norm, y)
            : kind == 2 ? apply(net, GPUDL_OP_ACTIVATION, &gelu, y)
                        : apply(net, GPUDL_OP_ADD, NULL, y, constant(net, 1, &c));
    }
    return apply(net, GPUDL_OP_TRANSPOSE, &first, y);
}

/* Groups of channels times a value for each, or for each channel in them, plus their own mean. */
static GpudlTensor *random_broadcast(const Net *net, GpudlTensor *x)
{
    static const GpudlOp reductions[] = {GPUDL_OP_REDUCE_MEAN, GPUDL_OP_REDUCE_MAX};
    const gint64 c = x->shape.dims[1], each = c % 4 == 0 ? 4 : 1;
    const GpudlAttrs apart = {.shape = {5, {0, c / each, each, 6, 6}}}, again = {.shape = {4, {0, c, 6, 6}}};
    GpudlAttrs reduce = {.reduce = {2, {3, 4}, 1}};
    GpudlTensor *y = apply(net, GPUDL_OP_RESHAPE, &apart, x), *scale;

    scale = constant(net, 5, (gint64[]){1, c / each, g_rand_boolean(net->rand) ? each : 1, 1, 1});
    if (g_rand_boolean(net->rand))
        reduce.reduce = (GpudlReduceAttrs){3, {2, 3, 4}, 1};
    y = apply(net, GPUDL_OP_MUL, NULL, y, scale);
    y = apply(net, GPUDL_OP_ADD, NULL, y, apply(net, reductions[g_rand_boolean(net->rand)], &reduce, y));
    return apply(net, GPUDL_OP_RESHAPE, &again, y);
}

static void random_net(GRand *rand, Net *net)
{
    static const int widths[] = {3, 8, 16, 20, 32};
    g_autoptr(GPtrArray) values = g_ptr_array_new();

    *net = net_new(rand, 3, 6, 6);
    g_ptr_array_add(values, net_input(net));
    for (int i = 0; i < 14; i++) {
        GpudlTensor *x = g_ptr_array_index(values, g_rand_int_range(rand, 0, (gint32)values->len)), *y = NULL,
                    *same = NULL;
        GpudlAttrs a = {.unary = {act_from(rand, GPUDL_ACT_RELU)}}, axis = {.axis = {.axis = 1}},
                   pool = window(2, 3, 1, 1, 1);

        for (guint k = 0; k < values->len; k++) {
            GpudlTensor *candidate = g_ptr_array_index(values, k);

            if (gpudl_shape_equal(&candidate->shape, &x->shape) && (same == NULL || g_rand_boolean(rand)))
                same = candidate;
        }
        switch (g_rand_int_range(rand, 0, 12)) {
        case 0:
        case 1:
            y = conv(net, x, pick(rand, 5, widths), g_rand_boolean(rand) ? 1 : 3, NULL, a.unary.act);
            break;
        case 2:
            y = conv(net, g_ptr_array_index(values, 0), x->shape.dims[1], 3, x, a.unary.act);
            break;
        case 3:
            y = apply(net, GPUDL_OP_ACTIVATION, &a, x);
            break;
        case 4:
            y = apply(net, g_rand_boolean(rand) ? GPUDL_OP_ADD : GPUDL_OP_MUL, &a, x, same);
            break;
        case 5:
            y = apply(net, GPUDL_OP_CONCAT, &axis, x, same);
            break;
        case 6:
            y = apply(net, g_rand_boolean(rand) ? GPUDL_OP_MAX_POOL : GPUDL_OP_AVERAGE_POOL, &pool, x);
            break;
        case 7: {
            GpudlAttrs sigmoid = {.unary = {{GPUDL_ACT_SIGMOID, 0, 0}}};
            GpudlTensor *gate =
                conv(net, apply(net, GPUDL_OP_GLOBAL_AVERAGE_POOL, NULL, x), x->shape.dims[1], 1, NULL, no_act);

            y = apply(net, GPUDL_OP_MUL, NULL, x, apply(net, GPUDL_OP_ACTIVATION, &sigmoid, gate));
            break;
        }
        case 8:
            y = random_norm(net, x);
            break;
        case 9:
            y = random_stretch(net, x);
            break;
        case 10:
            y = random_broadcast(net, x);
            break;
        default: {
            GpudlAttrs flat = {.shape = {.rank = 4, .dims = {0, 0, 4, 9}}},
                       again = {.shape = {.rank = 4, .dims = {0, 0, 6, 6}}};

            y = apply(net, GPUDL_OP_RESHAPE, &again, apply(net, GPUDL_OP_RESHAPE, &flat, x));
            break;
        }
        }
        g_ptr_array_add(values, y);
    }
    gpudl_graph_add_output(net->graph, g_ptr_array_index(values, values->len - 1));
    gpudl_graph_add_output(net->graph, g_ptr_array_index(values, g_rand_int_range(rand, 0, (gint32)values->len)));
    gpudl_graph_remove_dead(net->graph);
}

static void test_random_nets(void)
{
    for (int i = 0; i < as_many_as(100, 15); i++) {
        guint32 seed = (guint32)g_test_rand_int();
        GRand *rand = g_rand_new_with_seed(seed);
        gboolean good;
        Net net;

        random_net(rand, &net);
        good = check(&net, 2);
        g_rand_free(rand);
        if (!good) {
            g_test_message("net of seed %u", seed);
            break;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        printf("1..0 # SKIP bfloat16 is not this machine's\n");
        return 0;
    }
    g_test_add_func("/cpu/conv", test_conv);
    g_test_add_func("/cpu/conv-groups", test_conv_groups);
    g_test_add_func("/cpu/conv-1d-3d", test_conv_1d_3d);
    g_test_add_func("/cpu/pools", test_pools);
    g_test_add_func("/cpu/normalisation", test_normalisation);
    g_test_add_func("/cpu/norms", test_norms);
    g_test_add_func("/cpu/norm-scaled-by-the-input", test_norm_scaled_by_the_input);
    g_test_add_func("/cpu/transposed-views", test_transposed_views);
    g_test_add_func("/cpu/broadcasts", test_broadcasts);
    g_test_add_func("/cpu/elements", test_elements);
    g_test_add_func("/cpu/binary", test_binary);
    g_test_add_func("/cpu/products", test_products);
    g_test_add_func("/cpu/softmax", test_softmax);
    g_test_add_func("/cpu/moves", test_moves);
    g_test_add_func("/cpu/constant-outputs", test_constant_outputs);
    g_test_add_func("/cpu/wide-concat", test_wide_concat);
    g_test_add_func("/cpu/channel-shuffle", test_channel_shuffle);
    g_test_add_func("/cpu/reference-kernels-in-between", test_reference_kernels_in_between);
    g_test_add_func("/cpu/random-nets", test_random_nets);
    return g_test_run();
}
