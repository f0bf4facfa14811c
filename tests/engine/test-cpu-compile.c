/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening on the CPU module: its time grows with the network, and it can be given up at any point. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "engine/gpudl.h"
#include "tests/engine/builder.h"
#include "tests/engine/cpu-host.h"

static const GpudlOpenParams one_worker = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};

static gint64 clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * G_GINT64_CONSTANT(1000000000) + t.tv_nsec;
}

/* ---- growth ------------------------------------------------------------------------------------------------------ */

/* A chain of nodes the reference kernels do, each with a constant of its own. */
static GpudlTensor *chain_maxima(Builder *b, GpudlTensor *x, guint n)
{
    for (guint i = 0; i < n; i++)
        x = builder_node(b, GPUDL_OP_MAX, x, builder_random(b, "1", -1, 1));
    return x;
}

/* A chain of primitives, each with packed weights of its own. */
static GpudlTensor *chain_convs(Builder *b, GpudlTensor *x, guint n)
{
    for (guint i = 0; i < n; i++)
        x = builder_conv(b, x, 3, 3, 1, FALSE);
    return x;
}

/* Each value's only reader is half the network away. */
static GpudlTensor *far_readers(Builder *b, GpudlTensor *x, guint n)
{
    g_autofree GpudlTensor **values = g_new(GpudlTensor *, n);

    for (guint i = 0; i < n; i++)
        values[i] = builder_reshape(b, x, "0x1x3x2x2");
    x = values[0];
    for (guint i = 1; i < n; i++)
        x = builder_node(b, GPUDL_OP_MAX, x, values[i]);
    return x;
}

/* One constant read by all. */
static GpudlTensor *one_constant(Builder *b, GpudlTensor *x, guint n)
{
    GpudlTensor *c = builder_random(b, "1x3x1x1", -1, 1);

    for (guint i = 0; i < n; i++)
        x = builder_node(b, GPUDL_OP_ADD, x, c);
    return x;
}

/* A node with as many inputs. */
static GpudlTensor *wide_concat(Builder *b, GpudlTensor *x, guint n)
{
    g_autofree GpudlTensor **values = g_new(GpudlTensor *, n);
    GpudlNode *node;

    for (guint i = 0; i < n; i++)
        values[i] = builder_node(b, GPUDL_OP_ABS, x, NULL);
    node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, "join", values, n, NULL, 1);
    node->attrs.axis.axis = 1;
    return node->outputs[0];
}

static GpudlTensor *concat(Builder *b, GpudlTensor *x, GpudlTensor *y)
{
    GpudlTensor *pieces[] = {x, y};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, "concat", pieces, 2, NULL, 1);

    node->attrs.axis.axis = 1;
    return node->outputs[0];
}

/* Lists that are written over, once nobody reads their pieces. */
static GpudlTensor *many_lists(Builder *b, GpudlTensor *x, guint n)
{
    GpudlTensor *first = concat(b, builder_reshape(b, x, "1x12"), builder_random(b, "1x4", -1, 1)), *y = NULL;

    for (guint i = 0; i < n; i++) {
        x = concat(b, builder_node(b, GPUDL_OP_ABS, first, NULL), builder_node(b, GPUDL_OP_NEG, first, NULL));
        x = builder_node(b, GPUDL_OP_ABS, x, NULL);
        y = y != NULL ? builder_node(b, GPUDL_OP_MAX, y, x) : x;
    }
    return y;
}

/* Each list is a piece of the next one, and computed where it belongs in that. */
static GpudlTensor *nested_lists(Builder *b, GpudlTensor *x, guint n)
{
    GpudlTensor *first = concat(b, builder_reshape(b, x, "1x12"), builder_random(b, "1x4", -1, 1)), *list = first;

    for (guint i = 0; i < n; i++)
        list = concat(b, list, builder_node(b, GPUDL_OP_ABS, first, NULL));
    return list;
}

typedef struct {
    const gchar *name;
    GpudlTensor *(*build)(Builder *b, GpudlTensor *x, guint n);
    guint n;
} Growth;

#ifdef __SANITIZE_ADDRESS__ /* it takes ten times as long, and what it finds is in shorter ones as well */
#define SHORTER 5
#else
#define SHORTER 1
#endif

static const Growth growths[] = {
    {"maxima", chain_maxima, 30000},       {"convolutions", chain_convs, 15000}, {"far-readers", far_readers, 15000},
    {"one-constant", one_constant, 15000}, {"wide-concat", wide_concat, 15000},  {"many-lists", many_lists, 6000},
    {"nested-lists", nested_lists, 5000},
};

static void build(Builder *b, const Growth *growth, guint n)
{
    g_autoptr(GError) error = NULL;

    builder_output(b, growth->build(b, builder_input(b, "1x3x2x2"), n));
    gpudl_graph_infer(b->graph, 1, &error);
    g_assert_no_error(error);
}

/* Processor time that the module takes to open, without the host's part. */
static gint64 module_ns(const Growth *growth, guint n)
{
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    gint64 start;

    build(&b, growth, n);
    host = cpu_host_new(b.graph);
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    cpu_host_start(host, &one_worker);
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start - host->host_ns;
    g_assert_cmpstr(host->fault.message, ==, "");
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    return start;
}

/* Twice the network takes twice the time, and three times it is let take; a quadratic part takes four. */
static void test_growth(gconstpointer data)
{
    const Growth *growth = data;
    const guint n = growth->n / SHORTER;
    gint64 once = G_MAXINT64, twice = G_MAXINT64;

    for (guint i = 0; i < 5 && (i == 0 || twice > 3 * once); i++) {
        once = MIN(once, module_ns(growth, n));
        twice = MIN(twice, module_ns(growth, 2 * n));
    }
    g_test_message("%u: %.3f s, %u: %.3f s", n, once / 1e9, 2 * n, twice / 1e9);
    g_assert_cmpint(twice, <=, 3 * once);
}

/* ---- giving up --------------------------------------------------------------------------------------------------- */

static int from_nth(CpuHost *host, guint nth)
{
    return nth >= GPOINTER_TO_UINT(host->data);
}

/* Whichever question is the first to be answered with yes, nothing is computed after it. */
static void test_given_up_at_every_question(void)
{
    g_auto(Builder) b = builder_new();
    guint n_questions, n_steps;

    build(&b, &growths[1], 12);
    {
        g_autoptr(CpuHost) host = cpu_host_open(b.graph, &one_worker);

        g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
        n_questions = (guint)host->questions;
        n_steps = (guint)host->steps;
    }
    /* between all nodes and between all steps of both warm-up runs */
    g_assert_cmpuint(n_steps, >=, 12);
    g_assert_cmpuint(n_questions, >=, 12 + 2 * n_steps);
    for (guint i = 1; i <= n_questions; i++) {
        g_autoptr(CpuHost) host = cpu_host_new(b.graph);

        host->cancelled = from_nth;
        host->data = GUINT_TO_POINTER(i);
        cpu_host_start(host, &one_worker);
        g_assert_cmpint(host->status, ==, GPUDL_STATUS_FAILED);
        g_assert_null(host->engine);
        g_assert_nonnull(strstr(host->fault.message, "cancelled"));
        g_assert_cmpint(host->questions, ==, (gint)i);
    }
}

typedef struct {
    CpuHost *host;
    clockid_t clock; /* of the processor time of the thread that opens: a busy machine does not count */
    gint cancelled;  /* atomic */
    gint64 at, heard;
} Flag;

static int ask_flag(CpuHost *host, guint nth)
{
    Flag *flag = host->data;

    if (!g_atomic_int_get(&flag->cancelled))
        return 0;
    if (flag->heard == 0)
        flag->heard = clock_ns(flag->clock);
    return 1;
}

/* All nodes have been lowered and their memory is being placed. */
static gpointer raise_flag(gpointer data)
{
    Flag *flag = data;

    while (g_atomic_int_get(&flag->host->places) == 0)
        g_usleep(100);
    flag->at = clock_ns(flag->clock);
    g_atomic_int_set(&flag->cancelled, 1);
    return NULL;
}

/* It is heard before half the time is over that opening takes. */
static void test_given_up_by_another_thread(void)
{
    const Growth *growth = &growths[0];
    gint64 all = module_ns(growth, 2 * growth->n), unheard = G_MAXINT64;

    for (guint i = 0; i < 5 && (i == 0 || unheard > all / 2); i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        Flag flag = {0};
        GThread *thread;

        build(&b, growth, 2 * growth->n);
        host = cpu_host_new(b.graph);
        host->cancelled = ask_flag;
        host->data = &flag;
        flag.host = host;
        g_assert_cmpint(pthread_getcpuclockid(pthread_self(), &flag.clock), ==, 0);
        thread = g_thread_new("cancel", raise_flag, &flag);
        cpu_host_start(host, &one_worker);
        g_thread_join(thread);
        g_assert_cmpint(host->status, ==, GPUDL_STATUS_FAILED);
        unheard = MIN(unheard, flag.heard - flag.at);
    }
    g_test_message("opened in %.3f s, unheard for %.3f s", all / 1e9, unheard / 1e9);
    g_assert_cmpint(unheard, <=, all / 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(growths); i++) {
        g_autofree gchar *path = g_strdup_printf("/cpu-compile/time-grows-with-the-network/%s", growths[i].name);

        g_test_add_data_func(path, &growths[i], test_growth);
    }
    g_test_add_func("/cpu-compile/given-up-at-every-question", test_given_up_at_every_question);
    g_test_add_func("/cpu-compile/given-up-by-another-thread", test_given_up_by_another_thread);
    return g_test_run();
}
