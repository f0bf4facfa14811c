/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Concatenations that are not made: whole nets against the reference, the steps and the memory they take. */
#include <math.h>
#include <stdio.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/ref/ref.h"

/* Of the output's range, and of bfloat16 for all but few values; see cpu-nets.c. */
#define BOUND_FP32 1e-4
#define BOUND_BF16 2e-2
#define MOST_BF16 1e-1

/* Under valgrind: what is looked for there is memory that is read after its time, and small nets show it. */
static gboolean is_slow(void)
{
    return g_getenv("GPUDL_TEST_VALGRIND") != NULL;
}

static void infer(const Builder *b, gint64 batch)
{
    g_autoptr(GError) error = NULL;

    gpudl_graph_infer(b->graph, batch, &error);
    g_assert_no_error(error);
}

/* Weights as large as trained ones: sums are of the size of what they sum. */
static GpudlTensor *conv(Builder *b, GpudlTensor *x, gint64 k, gint kernel, GpudlTensor *residual)
{
    const gint64 c = x->shape.dims[1];
    const double most = sqrt(3. / (double)(c * kernel * kernel));
    g_autofree gchar *shape = g_strdup_printf("%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT "x%dx%d", k, c, kernel, kernel);
    g_autofree gchar *bias_shape = g_strdup_printf("%" G_GINT64_FORMAT, k);
    g_autofree gchar *name = g_strdup_printf("conv%u", b->graph->nodes->len);
    GpudlTensor *inputs[] = {x, builder_random(b, shape, -most, most), builder_random(b, bias_shape, -.5, .5),
                             residual};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONV, name, inputs, residual != NULL ? 4 : 3, NULL, 1);

    node->attrs.window.n_spatial = 2;
    for (int i = 1; i < GPUDL_MAX_SPATIAL; i++) {
        node->attrs.window.kernel[i] = kernel;
        node->attrs.window.pad_begin[i] = node->attrs.window.pad_end[i] = kernel / 2;
    }
    infer(b, 1);
    return node->outputs[0];
}

static GpudlTensor *concat(Builder *b, gint axis, guint n, GpudlTensor *const *pieces)
{
    g_autofree gchar *name = g_strdup_printf("concat%u", b->graph->nodes->len);
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, name, pieces, n, NULL, 1);

    node->attrs.axis.axis = axis;
    infer(b, 1);
    return node->outputs[0];
}

static GpudlTensor *norm(Builder *b, GpudlTensor *x, gboolean relu)
{
    GpudlTensor *y = builder_batch_norm(b, x, x->shape.dims[1]);

    if (relu)
        y = builder_act(b, y, GPUDL_ACT_RELU, 0, 0);
    infer(b, 1);
    return y;
}

static GpudlTensor *slice(Builder *b, GpudlTensor *x, gint64 first, gint64 n)
{
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_SLICE, "slice", &x, 1, NULL, 1);

    node->attrs.slice.rank = 4;
    for (int i = 0; i < 4; i++) {
        node->attrs.slice.start[i] = i == 1 ? first : 0;
        node->attrs.slice.end[i] = i == 1 ? first + n : G_MAXINT64;
        node->attrs.slice.step[i] = 1;
    }
    infer(b, 1);
    return node->outputs[0];
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static void compare(const GpudlTensor *tensor, const float *got, const float *wanted)
{
    const gboolean narrow = cpu_host_precision() == GPUDL_PRECISION_BF16;
    const gint64 n = gpudl_shape_elements(&tensor->shape);
    double low = INFINITY, high = -INFINITY, range;
    gint64 outside = 0;

    for (gint64 i = 0; i < n; i++) {
        low = MIN(low, wanted[i]);
        high = MAX(high, wanted[i]);
    }
    range = MAX(high - low, 1.0);
    for (gint64 i = 0; i < n; i++) {
        const double difference = fabs((double)got[i] - (double)wanted[i]);

        if (!(difference <= (narrow ? MOST_BF16 : BOUND_FP32) * range))
            g_error("'%s', value %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT ": found %g, reference %g, range %g",
                    tensor->name, i, n, got[i], wanted[i], range);
        outside += difference > BOUND_BF16 * range;
    }
    if (outside > n / 8 + 1)
        g_error("'%s': %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " values are not near the reference's", tensor->name,
                outside, n);
}

/* Runs the net twice, at each batch, against the reference; the host, for a look at its steps. */
static CpuHost *run_batches(Builder *b, gint64 most)
{
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_autoptr(GError) error = NULL;
    GpudlOpenForecast forecast;
    CpuHost *host;

    b->graph->symbolic_batch = most > 1;
    infer(b, 1);
    host = cpu_host_new(b->graph);
    cpu_host_foresee(host, &params, &forecast);
    if (host->status == GPUDL_STATUS_OK)
        cpu_host_start(host, &params);
    if (host->status != GPUDL_STATUS_OK)
        g_error("open: %s", host->fault.message);
    g_assert_cmpuint(forecast.weight_bytes, ==, host->info.weight_bytes);
    g_assert_cmpuint(forecast.work_bytes, ==, host->info.work_bytes);
    for (gint64 batch = 1; batch <= most; batch++) {
        const GpudlTensor *x = g_ptr_array_index(b->graph->inputs, 0);
        g_autoptr(GPtrArray) expected = NULL;
        g_autoptr(GBytes) input = NULL;
        float *values, *got[8];
        gsize n;

        infer(b, batch);
        n = (gsize)gpudl_shape_elements(&x->shape);
        values = g_new(float, n);
        for (gsize i = 0; i < n; i++)
            values[i] = (float)g_rand_double_range(b->rand, -1, 1);
        input = g_bytes_new_take(values, n * sizeof *values);
        expected = gpudl_ref_run(b->graph, &input, NULL, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < expected->len; i++)
            got[i] = g_malloc0(g_bytes_get_size(g_ptr_array_index(expected, i)));
        for (int turn = 0; turn < 2; turn++) { /* the second finds the first one's leftovers */
            if (host->backend->run_tensors(host->engine, 0, batch, (const void *const *)&values, (void *const *)got,
                                           &host->fault) != GPUDL_STATUS_OK)
                g_error("run: %s", host->fault.message);
            for (guint i = 0; i < expected->len; i++)
                compare(g_ptr_array_index(b->graph->outputs, i), got[i],
                        g_bytes_get_data(g_ptr_array_index(expected, i), NULL));
        }
        for (guint i = 0; i < expected->len; i++)
            g_free(got[i]);
    }
    return host;
}

static CpuHost *run(Builder *b)
{
    return run_batches(b, 2);
}

/* ---- nets -------------------------------------------------------------------------------------------------------- */

#define MOST_TENSORS 64

static GpudlTensor *pick(Builder *b, GpudlTensor *const *pool, guint n)
{
    /* the latest twice as often as others: chains grow long */
    return pool[g_rand_boolean(b->rand) ? n - 1 : (guint)g_rand_int_range(b->rand, 0, (gint32)n)];
}

static GpudlTensor *random_concat(Builder *b, GpudlTensor *const *pool, guint n)
{
    GpudlTensor *pieces[5];
    guint n_pieces = (guint)g_rand_int_range(b->rand, 1, 6);
    gint64 channels = 0;

    for (guint i = 0; i < n_pieces; i++) {
        pieces[i] = i > 0 && g_rand_int_range(b->rand, 0, 5) == 0 ? pieces[0] : pick(b, pool, n);
        channels += pieces[i]->shape.dims[1];
        if (channels > 400) /* as many as there are */
            n_pieces = i > 0 ? i : 1;
    }
    return concat(b, 1, n_pieces, pieces);
}

static GpudlTensor *random_node(Builder *b, GpudlTensor *const *pool, guint n)
{
    static const gint64 channels[] = {1, 3, 5, 7, 8, 16, 16, 24, 32, 32, 48, 64};
    GpudlTensor *x = pick(b, pool, n);
    gint64 c = x->shape.dims[1];

    switch (g_rand_int_range(b->rand, 0, 9)) {
    case 0:
    case 1:
        return conv(b, x, channels[g_rand_int_range(b->rand, 0, 12)], g_rand_boolean(b->rand) ? 1 : 3, NULL);
    case 2: /* onto a value that may be used again */
        return conv(b, pick(b, pool, n), c, 1, x);
    case 3:
    case 4:
        return norm(b, x, g_rand_boolean(b->rand));
    case 5: {
        gint64 first = g_rand_int_range(b->rand, 0, (gint32)c);

        return slice(b, x, first, g_rand_int_range(b->rand, 1, (gint32)(c - first) + 1));
    }
    case 6:
        x = builder_pool(b, GPUDL_OP_MAX_POOL, x, 3, 1, 1);
        infer(b, 1);
        return x;
    default:
        return random_concat(b, pool, n);
    }
}

static Builder seeded_builder(void)
{
    Builder b = builder_new();

    g_rand_set_seed(b.rand, (guint32)g_test_rand_int());
    return b;
}

/* In the layouts that are chosen, and in blocks of channels, where a list's pieces may lie in it from the beginning. */
static void test_random_nets(gconstpointer form)
{
    const guint n_nets = is_slow() ? 5 : 60;

    if (form != NULL)
        g_setenv("GPUDL_CPU_FORM", form, TRUE);
    for (guint i = 0; i < n_nets; i++) {
        g_auto(Builder) b = seeded_builder();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *pool[MOST_TENSORS];
        const guint n_nodes = (guint)g_rand_int_range(b.rand, 6, 20), side = (guint)g_rand_int_range(b.rand, 1, 12);
        g_autofree gchar *shape = g_strdup_printf("1x%dx%ux%u", (i % 3) * 13 + 3, side, side + i % 2);
        guint n = 0;

        pool[n++] = builder_input(&b, shape);
        infer(&b, 1);
        if (i % 4 != 0)
            pool[n++] = conv(&b, pool[0], 32, 3, NULL);
        while (n < n_nodes)
            pool[n] = random_node(&b, pool, n), n++;
        builder_output(&b, pool[n - 1]);
        for (guint k = 0; k < 2; k++) {
            GpudlTensor *output = pick(&b, pool + 1, n - 1);

            if (!g_ptr_array_find(b.graph->outputs, output, NULL))
                builder_output(&b, output);
        }
        host = run(&b);
    }
    g_unsetenv("GPUDL_CPU_FORM");
}

/* As DenseNet: growing = whether a list is the last list and one more piece, or all pieces anew. */
static GpudlTensor *dense_block(Builder *b, gboolean growing, guint layers, gint kernel)
{
    GpudlTensor *pieces[MOST_TENSORS], *all;

    all = pieces[0] = conv(b, builder_input(b, "1x16x14x14"), 64, kernel, NULL);
    for (guint i = 1; i <= layers; i++) {
        GpudlTensor *y = conv(b, norm(b, all, TRUE), 64, 1, NULL);

        pieces[i] = conv(b, norm(b, y, TRUE), 32, kernel, NULL);
        all = growing ? concat(b, 1, 2, (GpudlTensor *[]){all, pieces[i]}) : concat(b, 1, i + 1, pieces);
    }
    return norm(b, all, TRUE);
}

/* The steps that run a node of this operator; those whose implementation begins with what, if that is not NULL. */
static guint count_steps(CpuHost *host, GpudlOp op, const gchar *what)
{
    const GpudlProfileRow *rows;
    const GpudlPlan *plan = gpudl_planner_get(host->planner, 1, NULL);
    guint32 n;
    guint count = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &host->fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++)
        count += plan->nodes[rows[i].node].op == (gint32)op &&
                 (what == NULL || g_str_has_prefix(rows[i].implementation, what));
    return count;
}

#define LAYERS 6

static void test_lists_are_copied_by_what_normalises_them(void)
{
    for (int growing = 0; growing < 2; growing++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;

        infer(&b, 1);
        builder_output(&b, conv(&b, dense_block(&b, growing != 0, LAYERS, 3), 8, 1, NULL));
        host = run(&b);
        g_assert_cmpuint(count_steps(host, GPUDL_OP_CONCAT, NULL), ==, 0);
        g_assert_cmpuint(count_steps(host, GPUDL_OP_BATCH_NORM, "join:"), ==, LAYERS);
        g_assert_cmpuint(count_steps(host, GPUDL_OP_ACTIVATION, NULL), ==, 0);
    }
}

/* At the last layer there are all pieces, what they are normalised into, and small change: no list beside them. With
 * windows of 1x1, for which products take no memory of their own. */
static void test_lists_take_no_memory(void)
{
    const guint64 plane = 14 * 14 * (cpu_host_precision() == GPUDL_PRECISION_BF16 ? 2 : 4), channels = 64 + LAYERS * 32;
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;

    infer(&b, 1);
    builder_output(&b, conv(&b, dense_block(&b, TRUE, LAYERS, 1), 8, 1, NULL));
    host = run(&b);
    g_assert_cmpuint(host->info.work_bytes, <, plane * (2 * channels + channels / 2));
}

/* Two layers' squeezes and expansions, as SqueezeNet: in channels last made once, in one step; in blocks of channels
 * one frame's pieces are computed where they belong, and nothing is copied, nor is there memory for them besides.
 * Nothing is turned round for it. */
static void test_pieces_for_others(void)
{
    static const gchar *const forms[] = {"last", "blocks"};
    const guint64 plane = sizeof(float) * 13 * 13;
    guint64 bytes[2];

    for (guint form = 0; form < G_N_ELEMENTS(forms); form++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *x = conv(&b, builder_input(&b, "1x16x13x13"), 16, 1, NULL);
        const guint joins = form == 0 ? 2 : 0;

        for (int i = 0; i < 2; i++) {
            GpudlTensor *pieces[] = {conv(&b, x, 64, 1, NULL), conv(&b, x, 64, 1, NULL)};

            x = conv(&b, concat(&b, 1, 2, pieces), 16, 1, NULL);
        }
        builder_output(&b, x);
        g_setenv("GPUDL_CPU_FORM", forms[form], TRUE);
        host = run(&b);
        g_unsetenv("GPUDL_CPU_FORM");
        g_assert_cmpuint(count_steps(host, GPUDL_OP_CONCAT, NULL), ==, joins);
        g_assert_cmpuint(count_steps(host, GPUDL_OP_CONCAT, "join:"), ==, joins);
        bytes[form] = host->info.work_bytes;
    }
    g_test_message("%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes of work memory", bytes[0], bytes[1]);
    if (cpu_host_precision() == GPUDL_PRECISION_FP32) /* bfloat16 has scratch memory for blocks */
        g_assert_cmpuint(bytes[1] + 112 * plane, <=, bytes[0]);
}

/* What lies in a list from the beginning, and a residual sum or an activation would write over, were the list not read
 * again; a picture that a list has as it is, besides the first convolution, for which it is turned. */
static void test_pieces_are_not_written_over(void)
{
    for (int form = 0; form < 3; form++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *input = builder_input(&b, "1x3x16x16"), *x = conv(&b, input, 32, 3, NULL),
                    *y = conv(&b, x, 32, 1, NULL), *list;

        if (form == 2) {
            list = concat(&b, 1, 2, (GpudlTensor *[]){input, conv(&b, x, 1, 1, NULL)});
            builder_output(&b, conv(&b, x, 8, 1, NULL));
            builder_output(&b, list);
        } else {
            list = concat(&b, 1, 2, (GpudlTensor *[]){x, y});
            x = form == 0 ? conv(&b, conv(&b, list, 16, 1, NULL), 32, 1, y)
                          : builder_act(&b, y, GPUDL_ACT_SIGMOID, 0, 0);
            infer(&b, 1);
            x = conv(&b, x, 64, 1, NULL);
            builder_output(&b, conv(&b, list, 64, 1, x));
        }
        g_setenv("GPUDL_CPU_FORM", form == 2 ? "last" : "blocks", TRUE);
        host = run(&b);
        g_unsetenv("GPUDL_CPU_FORM");
    }
}

/* What is constant is copied into a list, and what would not lie there as oneDNN's memory does; other pieces are not.
 */
static void test_pieces_that_are_copied(void)
{
    static const struct {
        const gchar *shape;
        gboolean constant;
        guint copies;
    } cases[] = {{"1x16x8x8", FALSE, 0}, {"1x3x9x9", FALSE, 1}, {"1x16x8x8", TRUE, 1}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *x = builder_input(&b, cases[i].shape), *pieces[2], *list;

        pieces[0] = builder_node(&b, GPUDL_OP_ABS, x, NULL);
        pieces[1] =
            cases[i].constant ? builder_random(&b, cases[i].shape, -1, 1) : builder_node(&b, GPUDL_OP_NEG, x, NULL);
        infer(&b, 1);
        list = concat(&b, 1, 2, pieces);
        builder_output(&b, builder_node(&b, GPUDL_OP_NEG, list, NULL));
        builder_output(&b, builder_node(&b, GPUDL_OP_NEG, x, NULL)); /* else a piece is computed onto it */
        host = run_batches(&b, 1);
        g_assert_cmpuint(count_steps(host, GPUDL_OP_CONCAT, NULL), ==, cases[i].copies);
        g_assert_cmpuint(count_steps(host, GPUDL_OP_CONCAT, "reorder"), ==, cases[i].copies);
    }
}

/* A list of lists is written over by what reads it last, once their pieces have no readers. */
static void test_lists_of_lists_are_written_over(void)
{
    const guint64 plane = sizeof(float) * 16 * 16;
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    GpudlTensor *x = conv(&b, builder_input(&b, "1x16x16x16"), 64, 1, NULL), *y = conv(&b, x, 64, 1, NULL);
    GpudlTensor *list = concat(&b, 1, 2, (GpudlTensor *[]){x, y}), *z = conv(&b, list, 64, 1, NULL);
    GpudlTensor *longer = concat(&b, 1, 2, (GpudlTensor *[]){list, z}), *later = conv(&b, x, 16, 1, NULL);

    x = builder_act(&b, longer, GPUDL_ACT_SIGMOID, 0, 0);
    infer(&b, 1);
    builder_output(&b, conv(&b, x, 16, 1, later));
    g_setenv("GPUDL_CPU_FORM", "blocks", TRUE);
    host = run_batches(&b, 1);
    g_unsetenv("GPUDL_CPU_FORM");
    g_test_message("%" G_GUINT64_FORMAT " planes", host->info.work_bytes / plane);
    if (cpu_host_precision() == GPUDL_PRECISION_FP32)
        g_assert_cmpuint(host->info.work_bytes, <, plane * (3 * 64 + 2 * 64));
}

/* A list that others read as well, after and before those that could have done without; pieces that a residual sum or
 * an activation would write over, were they not read again through a list, or through a list of lists. */
static void test_lists_that_are_read_elsewhere(void)
{
    for (int form = 0; form < 6; form++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *x = conv(&b, builder_input(&b, "1x3x9x9"), 32, 3, NULL), *y = conv(&b, x, 32, 1, NULL);
        GpudlTensor *list = concat(&b, 1, 2, (GpudlTensor *[]){x, y});
        GpudlTensor *longer = concat(&b, 1, 3, (GpudlTensor *[]){list, list, x}), *part = NULL;

        if (form == 0)
            part = slice(&b, list, 10, 40);
        if (form == 1)
            part = conv(&b, x, 32, 1, y);
        if (form == 2)
            part = builder_act(&b, y, GPUDL_ACT_RELU, 0, 0);
        infer(&b, 1);
        builder_output(&b, norm(&b, longer, TRUE));
        if (form == 3)
            part = conv(&b, list, 8, 3, NULL);
        if (form == 4)
            part = list; /* an output itself */
        if (form == 5)
            part = conv(&b, x, 32, 1, y);
        builder_output(&b, part);
        if (form != 1 && form != 2) /* there y is read through the longer list alone */
            builder_output(&b, norm(&b, list, FALSE));
        host = run(&b);
    }
}

/* A list that is made after all, for one that is too long to take its pieces, while one that waits reads it twice more:
 * between those, nothing may be written over it. */
static void test_lists_are_held_by_those_that_wait(void)
{
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    GpudlTensor *x = conv(&b, builder_input(&b, "1x3x3x3"), 32, 1, NULL), *y = conv(&b, x, 32, 1, NULL);
    GpudlTensor *list = concat(&b, 1, 2, (GpudlTensor *[]){x, y}), *many[129];
    GpudlTensor *longer = concat(&b, 1, 2, (GpudlTensor *[]){list, conv(&b, x, 64, 1, NULL)});

    for (guint i = 0; i < G_N_ELEMENTS(many); i++)
        many[i] = list;
    builder_output(&b, concat(&b, 1, G_N_ELEMENTS(many), many));
    builder_output(&b, norm(&b, longer, TRUE));
    builder_output(&b, norm(&b, list, TRUE));
    builder_output(&b, norm(&b, longer, FALSE));
    host = run(&b);
}

/* Along other axes: the rows of a list are longer or shorter, never in pieces. */
static void test_other_axes(void)
{
    for (int axis = 0; axis < 4; axis++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *x = conv(&b, builder_input(&b, "1x3x5x6"), 32, 3, NULL), *y = conv(&b, x, 32, 1, NULL);
        GpudlTensor *list = concat(&b, axis == 0 ? 1 : axis, 2, (GpudlTensor *[]){x, y});

        builder_output(&b, concat(&b, axis == 0 ? 2 : axis, 2, (GpudlTensor *[]){list, list}));
        host = run(&b);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        printf("1..0 # SKIP bfloat16 is not this machine's\n");
        return 0;
    }
    g_test_add_data_func("/cpu-joins/random-nets", NULL, test_random_nets);
    g_test_add_data_func("/cpu-joins/random-nets/blocks", "blocks", test_random_nets);
    if (!is_slow()) {
        g_test_add_func("/cpu-joins/lists-are-copied-by-what-normalises-them",
                        test_lists_are_copied_by_what_normalises_them);
        g_test_add_func("/cpu-joins/lists-take-no-memory", test_lists_take_no_memory);
        g_test_add_func("/cpu-joins/pieces-for-others", test_pieces_for_others);
    }
    g_test_add_func("/cpu-joins/pieces-are-not-written-over", test_pieces_are_not_written_over);
    g_test_add_func("/cpu-joins/pieces-that-are-copied", test_pieces_that_are_copied);
    if (!is_slow())
        g_test_add_func("/cpu-joins/lists-of-lists-are-written-over", test_lists_of_lists_are_written_over);
    g_test_add_func("/cpu-joins/lists-that-are-read-elsewhere", test_lists_that_are_read_elsewhere);
    g_test_add_func("/cpu-joins/lists-are-held-by-those-that-wait", test_lists_are_held_by_those_that_wait);
    g_test_add_func("/cpu-joins/other-axes", test_other_axes);
    return g_test_run();
}
