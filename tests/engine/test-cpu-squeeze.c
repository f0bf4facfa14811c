/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Squeeze-and-excite as one step: whole nets against the reference, and which of them are not one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/ref/ref.h"

/* Of the output's range; see cpu-nets.c. */
#define BOUND_FP32 1e-4
#define BOUND_BF16 2e-2

static void infer(const Builder *b, gint64 batch)
{
    g_autoptr(GError) error = NULL;

    gpudl_graph_infer(b->graph, batch, &error);
    g_assert_no_error(error);
}

/* ---- nets -------------------------------------------------------------------------------------------------------- */

/* What can go wrong with it, and how it is written. */
typedef struct {
    gint64 c, r;
    gint h, w;
    GpudlActKind inner, gate;
    gboolean fused;     /* activations are the products' own */
    gboolean gemm;      /* products are of matrices, between reshapes */
    gboolean by_rows;   /* of those: weights are [results][operands] */
    gboolean bias;      /* products have one */
    gboolean gate_left; /* gate * x instead of x * gate */
    gboolean identity;  /* something that does nothing is in between */
} Form;

static GpudlAct act_of(GpudlActKind kind)
{
    return (GpudlAct){kind, kind == GPUDL_ACT_HARD_SIGMOID ? 1.f / 6 : -0.25f, kind == GPUDL_ACT_CLIP ? 0.75f : 0.5f};
}

static GpudlTensor *product(Builder *b, const Form *form, GpudlTensor *x, gint64 operands, gint64 results,
                            GpudlActKind kind)
{
    const double most = 3 / sqrt((double)operands);
    const GpudlAct act = act_of(kind);
    const gboolean swap = form->gemm && !form->by_rows;
    g_autofree gchar *shape = g_strdup_printf("%dx%d%s", (int)(swap ? operands : results),
                                              (int)(swap ? results : operands), form->gemm ? "" : "x1x1");
    g_autofree gchar *bias_shape = g_strdup_printf("%d", (int)results);
    GpudlTensor *inputs[] = {x, builder_random(b, shape, -most, most), NULL};
    g_autofree gchar *name = g_strdup_printf("product%u", b->graph->nodes->len);
    GpudlNode *node;

    if (form->bias)
        inputs[2] = builder_random(b, form->gemm && form->by_rows ? "1" : bias_shape, -1, 1);
    node = gpudl_graph_add_node(b->graph, form->gemm ? GPUDL_OP_GEMM : GPUDL_OP_CONV, name, inputs, form->bias ? 3 : 2,
                                NULL, 1);
    if (form->gemm)
        node->attrs.gemm = (GpudlGemmAttrs){.trans_b = form->by_rows, .alpha = 0.5f, .beta = 2.f};
    else
        node->attrs.window.n_spatial = 2;
    if (!form->fused)
        return kind != GPUDL_ACT_NONE ? builder_act(b, node->outputs[0], kind, act.alpha, act.beta) : node->outputs[0];
    if (form->gemm)
        node->attrs.gemm.act = act;
    else
        node->attrs.window.act = act;
    return node->outputs[0];
}

typedef struct {
    GpudlTensor *mean, *inner, *gate, *y;
} Block;

static Block block_of(Builder *b, const Form *form, GpudlTensor *x, GpudlTensor *scaled)
{
    Block block;

    block.mean = builder_node(b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL);
    block.gate = form->gemm ? builder_reshape(b, block.mean, "0x-1") : block.mean;
    block.inner = product(b, form, block.gate, form->c, form->r, form->inner);
    if (form->identity)
        block.inner = builder_node(b, GPUDL_OP_IDENTITY, block.inner, NULL);
    block.gate = product(b, form, block.inner, form->r, form->c, form->gate);
    if (form->gemm)
        block.gate = builder_reshape(b, block.gate, "0x-1x1x1");
    block.y = form->gate_left ? builder_node(b, GPUDL_OP_MUL, block.gate, scaled)
                              : builder_node(b, GPUDL_OP_MUL, scaled, block.gate);
    return block;
}

/* The input through a convolution, which is what a block reads. */
static GpudlTensor *begin(Builder *b, const Form *form)
{
    g_autofree gchar *shape = g_strdup_printf("1x5x%dx%d", form->h, form->w);

    return builder_conv(b, builder_input(b, shape), 5, form->c, 3, TRUE);
}

static GpudlTensor *last(Builder *b, const Form *form, GpudlTensor *y)
{
    return builder_conv(b, y, form->c, 6, 1, TRUE);
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static void compare(const GpudlTensor *tensor, const float *got, const float *wanted)
{
    const double bound = cpu_host_precision() == GPUDL_PRECISION_BF16 ? BOUND_BF16 : BOUND_FP32;
    const gint64 n = gpudl_shape_elements(&tensor->shape);
    double range = 1;

    for (gint64 i = 0; i < n; i++)
        range = MAX(range, 2 * fabs((double)wanted[i]));
    for (gint64 i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)wanted[i]) <= bound * range))
            g_error("'%s', value %d of %d: found %g, reference %g, range %g", tensor->name, (int)i, (int)n,
                    (double)got[i], (double)wanted[i], range);
}

static guint count_squeezes(CpuHost *host)
{
    const GpudlProfileRow *rows = NULL;
    guint n = 0, found = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &host->fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++) {
        if (!g_str_has_prefix(rows[i].implementation, "squeeze:"))
            continue;
        found++;
        g_assert_cmpuint(rows[i].flops, >, 0);
        g_assert_cmpuint(rows[i].bytes, >, 0);
        g_assert_cmpint(rows[i].last_node, >, rows[i].node);
    }
    return found;
}

/* Runs the net on kernels of our own at batches 1 and 2 against the reference; how many squeezes are one step. */
static guint run(Builder *b)
{
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_autoptr(GError) error = NULL;
    g_autoptr(CpuHost) host = NULL;
    GpudlOpenForecast forecast;

    b->graph->symbolic_batch = TRUE;
    infer(b, 1);
    host = cpu_host_new(b->graph);
    g_setenv("GPUDL_CPU_FORM", "own", TRUE);
    cpu_host_foresee(host, &params, &forecast);
    cpu_host_start(host, &params);
    g_unsetenv("GPUDL_CPU_FORM");
    g_assert_cmpstr(host->fault.message, ==, "");
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(forecast.weight_bytes, ==, host->info.weight_bytes);
    g_assert_cmpuint(forecast.work_bytes, ==, host->info.work_bytes);
    for (gint64 batch = 1; batch <= 2; batch++) {
        g_autoptr(GPtrArray) expected = NULL, got = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GBytes) input = NULL;
        float *values;
        gsize n;

        infer(b, batch);
        n = (gsize)gpudl_shape_elements(&((GpudlTensor *)b->graph->inputs->pdata[0])->shape);
        values = g_new(float, n);
        for (gsize i = 0; i < n; i++)
            values[i] = (float)g_rand_double_range(b->rand, -1, 1);
        input = g_bytes_new_take(values, n * sizeof *values);
        expected = gpudl_ref_run(b->graph, &input, NULL, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < expected->len; i++)
            g_ptr_array_add(got, g_malloc0(g_bytes_get_size(expected->pdata[i])));
        for (int turn = 0; turn < 2; turn++) { /* the second finds the first one's leftovers */
            if (host->backend->run_tensors(host->engine, 0, batch, (const void *const *)&values,
                                           (void *const *)got->pdata, &host->fault) != GPUDL_STATUS_OK)
                g_error("run: %s", host->fault.message);
            for (guint i = 0; i < expected->len; i++)
                compare(b->graph->outputs->pdata[i], got->pdata[i], g_bytes_get_data(expected->pdata[i], NULL));
        }
    }
    return count_squeezes(host);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static Form random_form(GRand *rand)
{
    static const GpudlActKind inners[] = {GPUDL_ACT_NONE, GPUDL_ACT_RELU, GPUDL_ACT_SILU, GPUDL_ACT_HARD_SWISH,
                                          GPUDL_ACT_CLIP};
    static const GpudlActKind gates[] = {GPUDL_ACT_NONE, GPUDL_ACT_SIGMOID, GPUDL_ACT_HARD_SIGMOID};

    return (Form){.c = g_rand_int_range(rand, 1, 80),
                  .r = g_rand_int_range(rand, 1, 40),
                  .h = g_rand_int_range(rand, 1, 15),
                  .w = g_rand_int_range(rand, 1, 15),
                  .inner = inners[g_rand_int_range(rand, 0, G_N_ELEMENTS(inners))],
                  .gate = gates[g_rand_int_range(rand, 0, G_N_ELEMENTS(gates))],
                  .fused = g_rand_boolean(rand),
                  .gemm = g_rand_boolean(rand),
                  .by_rows = g_rand_boolean(rand),
                  .bias = g_rand_boolean(rand),
                  .gate_left = g_rand_boolean(rand),
                  .identity = g_rand_boolean(rand)};
}

static void test_random(void)
{
    GRand *rand = g_rand_new_with_seed((guint32)g_test_rand_int());

    for (int i = 0; i < 80; i++) {
        g_auto(Builder) b = builder_new();
        const Form form = random_form(rand);
        GpudlTensor *x = begin(&b, &form);
        Block block = block_of(&b, &form, x, x);
        /* what goes out as it is stays float32 */
        const gboolean is_last = i % 4 == 0 && cpu_host_precision() == GPUDL_PRECISION_FP32;

        if (i % 3 == 0) /* behind it x is read once more: y is not written over it */
            builder_output(&b, last(&b, &form, builder_node(&b, GPUDL_OP_SUB, x, block.y)));
        if (i % 3 == 1) /* two in a row */
            block = block_of(&b, &form, block.y, block.y);
        builder_output(&b, is_last ? block.y : last(&b, &form, block.y));
        g_assert_cmpuint(run(&b), ==, i % 3 == 1 ? 2 : 1);
    }
    g_rand_free(rand);
}

static const Form plain = {24, 8, 7, 6, GPUDL_ACT_RELU, GPUDL_ACT_SIGMOID, .fused = TRUE, .bias = TRUE};

/* What lies between is read elsewhere, or goes out. */
static void test_what_is_read_elsewhere_is_made(void)
{
    for (int i = 0; i < 6; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = begin(&b, &plain);
        const Block block = block_of(&b, &plain, x, x);
        GpudlTensor *read = i % 3 == 0 ? block.mean : i % 3 == 1 ? block.inner : block.gate;

        builder_output(&b, last(&b, &plain, block.y));
        builder_output(&b, i < 3 ? read : builder_scalar_op(&b, GPUDL_OP_ADD, read, 1));
        g_assert_cmpuint(run(&b), ==, 0);
    }
}

/* What looks much like it: something else is scaled, the gate is one for all channels or one for each pixel, products
 * have groups or read padding alone, there is one of them or three, something else is done to the gate, the result has
 * an activation. */
static void test_what_is_none(void)
{
    for (int i = 0; i < 10; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = begin(&b, &plain), *other = builder_conv(&b, x, plain.c, plain.c, 1, TRUE), *y;

        y = builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL);
        if (i == 1)
            y = product(&b, &plain, product(&b, &plain, y, plain.c, plain.r, plain.inner), plain.r, 1, plain.gate);
        else if (i == 2)
            y = product(&b, &plain, y, plain.c, plain.c, plain.gate);
        else
            y = product(&b, &plain, product(&b, &plain, y, plain.c, plain.r, plain.inner), plain.r, plain.c,
                        plain.gate);
        if (i == 3)
            y = product(&b, &plain, y, plain.c, plain.c, plain.gate);
        if (i == 4) {
            GpudlNode *node = y->producer;

            node->attrs.window.group = 2;
            node->inputs[1] = builder_random(&b, "24x4x1x1", -1, 1);
        }
        if (i == 9) {
            GpudlWindowAttrs *window = &y->producer->attrs.window;

            for (int d = 0; d < GPUDL_MAX_SPATIAL; d++) {
                window->stride[d] = d > 0 ? 2 : 1;
                window->pad_begin[d] = d > 0;
            }
        }
        if (i == 5)
            y = builder_scalar_op(&b, GPUDL_OP_ADD, y, 0.25);
        if (i == 6 || i == 8)
            y = builder_act(&b, y, i == 6 ? GPUDL_ACT_RELU : GPUDL_ACT_TANH, 0, 0);
        y = builder_node(&b, GPUDL_OP_MUL, i == 0 ? other : x, y);
        if (i == 7)
            y->producer->attrs.binary.act = act_of(GPUDL_ACT_RELU);
        builder_output(&b, last(&b, &plain, y));
        if (i == 0)
            builder_output(&b, other);
        else
            gpudl_graph_remove_dead(b.graph);
        g_assert_cmpuint(run(&b), ==, 0);
    }
}

/* NaN goes through, as the reference has it. */
static void test_nan_goes_through(void)
{
    g_auto(Builder) b = builder_new();
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_autoptr(CpuHost) host = NULL;
    const gint n = 5 * plain.h * plain.w;
    g_autofree float *input = g_new0(float, n), *output = g_new0(float, plain.c *plain.h *plain.w);
    GpudlTensor *x = begin(&b, &plain);

    builder_output(&b, block_of(&b, &plain, x, x).y);
    infer(&b, 1);
    g_setenv("GPUDL_CPU_FORM", "own", TRUE);
    host = cpu_host_open(b.graph, &params);
    g_unsetenv("GPUDL_CPU_FORM");
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    input[n / 2] = NAN;
    g_assert_cmpint(host->backend->run_tensors(host->engine, 0, 1, (const void *const[]){input},
                                               (void *const[]){output}, &host->fault),
                    ==, GPUDL_STATUS_OK);
    for (gint i = 0; i < plain.c * plain.h * plain.w; i++)
        g_assert_true(isnan(output[i])); /* by way of the gates */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        printf("1..0 # SKIP this processor does not compute in %s\n", g_getenv("GPUDL_TEST_PRECISION"));
        return 0;
    }
    g_test_add_func("/cpu-squeeze/random", test_random);
    g_test_add_func("/cpu-squeeze/what-is-read-elsewhere-is-made", test_what_is_read_elsewhere_is_made);
    g_test_add_func("/cpu-squeeze/what-is-none", test_what_is_none);
    g_test_add_func("/cpu-squeeze/nan-goes-through", test_nan_goes_through);
    return g_test_run();
}
