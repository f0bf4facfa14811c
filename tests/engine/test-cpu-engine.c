/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of an engine of the CPU module: what it makes of parameters, its workers and their threads, programs of other
 * batches, constants that go. */
#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/gpudl.h"
#include "tests/engine/builder.h"
#include "tests/engine/cpu-host.h"

#define SIDE 32
#define N_INPUT (3 * SIDE * SIDE)
#define N_CLASSES 10

/* Primitives with packed weights, constants read as they lie (bias; Max, which a reference kernel does), and a matrix.
 */
static Builder classifier(void)
{
    Builder b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x3x32x32"), *y;
    g_autoptr(GError) error = NULL;

    x = builder_act(&b, builder_conv(&b, x, 3, 24, 3, TRUE), GPUDL_ACT_RELU, 0, 0);
    x = builder_pool(&b, GPUDL_OP_MAX_POOL, x, 2, 2, 0);
    y = builder_node(&b, GPUDL_OP_ADD, builder_conv(&b, x, 24, 24, 3, TRUE), x);
    y = builder_node(&b, GPUDL_OP_MAX, y, builder_random(&b, "24x1x1", -1, 1));
    y = builder_reshape(&b, builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL), "0x-1");
    builder_output(&b, builder_node(&b, GPUDL_OP_MATMUL, y, builder_random(&b, "24x10", -1, 1)));
    b.graph->symbolic_batch = TRUE;
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    return b;
}

static void fill_random(GRand *rand, float *values, gsize n)
{
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -1, 1);
}

static CpuHost *open_classifier(guint threads, GpudlActivation activation)
{
    g_auto(Builder) b = classifier();
    const GpudlOpenParams params = {.activation = activation, .threads = threads};
    CpuHost *host = cpu_host_open(b.graph, &params);

    g_assert_cmpstr(host->fault.message, ==, "");
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    return host;
}

static void submit_values(CpuHost *host, guint slot, const float *input, float *scores)
{
    float *const heads[] = {scores};
    const GpudlJob job = {.values = input, .outputs = heads};
    GpudlFault fault = {""};

    if (host->backend->submit(host->engine, slot, &job, 1, &fault) != GPUDL_STATUS_OK ||
        host->backend->wait(host->engine, slot, G_MAXUINT64, &fault) != GPUDL_STATUS_OK)
        g_error("slot %u: %s", slot, fault.message);
}

static GpudlStatus run_batch(CpuHost *host, guint slot, gint64 batch, const float *input, float *logits,
                             GpudlFault *fault)
{
    const void *const inputs[] = {input};
    void *const outputs[] = {logits};

    return host->backend->run_tensors(host->engine, slot, batch, inputs, outputs, fault);
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static GpudlStatus resolve(GpudlOpenParams *params, GpudlFault *fault)
{
    g_auto(Builder) b = classifier();
    g_autoptr(CpuHost) host = cpu_host_new(b.graph);

    return host->backend->resolve(NULL, params, fault);
}

static void test_what_means_the_same_resolves_to_the_same(void)
{
    const GpudlOpenParams plain = {.activation = GPUDL_ACTIVATION_NONE, .input_channels = 3, .input_height = SIDE};
    GpudlOpenParams expected = plain, other = plain;
    GpudlFault fault = {""};

    g_assert_cmpint(resolve(&expected, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(expected.precision, !=, GPUDL_PRECISION_AUTO);
    g_assert_cmpuint(expected.batch_size, ==, 1);
    g_assert_cmpuint(expected.threads, >=, 1);
    g_assert_cmpuint(expected.threads, <=, g_get_num_processors());
    g_assert_cmpint(expected.input_height, ==, SIDE);
    for (guint i = 0; i < 8; i++) {
        other = i == 7 ? expected : plain;
        other.precision = i == 0 ? expected.precision : other.precision;
        other.batch_size = i == 1 ? 1 : other.batch_size;
        other.threads = i == 2 ? expected.threads : other.threads;
        other.autotune = i == 4 ? GPUDL_AUTOTUNE_FULL : GPUDL_AUTOTUNE_CACHED;
        other.deterministic = i == 3 || i == 4;
        other.priority = i == 5 ? 3 : 0;
        other.memory_limit = i == 6 ? 1 << 20 : 0;
        g_assert_cmpint(resolve(&other, &fault), ==, GPUDL_STATUS_OK);
        if (i == 3 || i == 4) { /* what is measured may come out otherwise */
            g_assert_cmpint(other.autotune, ==, GPUDL_AUTOTUNE_OFF);
            other.autotune = expected.autotune;
        }
        g_assert_cmpmem(&other, sizeof other, &expected, sizeof expected);
    }
    other.threads = expected.threads + 1;
    g_assert_cmpint(resolve(&other, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(other.threads, ==, expected.threads + 1);
}

static void test_refuses(void)
{
    g_auto(Builder) b = classifier();
    const GpudlOpenParams fine = {.activation = GPUDL_ACTIVATION_NONE, .threads = 2};
    const struct {
        GpudlOpenParams params;
        GpudlStatus status;
        const char *text;
    } cases[] = {
        {{.precision = GPUDL_PRECISION_FP16}, GPUDL_STATUS_UNSUPPORTED, "fp16; it can do fp32"},
        {{.activation = GPUDL_ACTIVATION_NONE, .batch_size = 4}, GPUDL_STATUS_UNSUPPORTED, "batches of 4"},
        {{.activation = GPUDL_ACTIVATION_AUTO}, GPUDL_STATUS_INVALID_ARGUMENT, "activation"},
        {{.activation = GPUDL_ACTIVATION_NONE, .memory_limit = 1000}, GPUDL_STATUS_NO_MEMORY, "limit of 1000"},
    };
    g_autoptr(CpuHost) host = cpu_host_open(b.graph, &fine), again = NULL, less = NULL;
    GpudlOpenParams exact = fine;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CpuHost) refused = cpu_host_open(b.graph, &cases[i].params);

        g_assert_cmpint(refused->status, ==, cases[i].status);
        g_assert_nonnull(strstr(refused->fault.message, cases[i].text));
        g_assert_null(refused->engine);
    }
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    exact.memory_limit = host->info.weight_bytes + host->info.work_bytes;
    again = cpu_host_open(b.graph, &exact);
    g_assert_cmpint(again->status, ==, GPUDL_STATUS_OK);
    exact.memory_limit--;
    less = cpu_host_open(b.graph, &exact);
    g_assert_cmpint(less->status, ==, GPUDL_STATUS_NO_MEMORY);
}

static void test_tells_what_it_is(void)
{
    g_autoptr(CpuHost) host = open_classifier(3, GPUDL_ACTIVATION_NONE);
    /* weights of two convolutions and a matrix, biases, the constant of Max; blocked layouts may pad channels to 16 */
    const guint64 values = 24 * 27 + 24 * 24 * 9 + 24 * 10 + 24 + 24 + 24;
    const GpudlEngineInfo *info = &host->info;
    GpudlBackendDevice device = {.id = -1};
    GpudlFault fault = {""};
    guint32 n = 0;

    g_assert_cmpuint(info->n_slots, ==, 3);
    g_assert_cmpuint(info->max_batch, ==, 1);
    g_assert_cmpuint(info->n_buckets, ==, 1);
    g_assert_cmpuint(info->buckets[0], ==, 1);
    g_assert_cmpuint(info->bucket_ns[0], ==, info->run_time_ns);
    g_assert_cmpuint(info->run_time_ns, >, 0);
    g_assert_cmpuint(info->depth, ==, 4);
    g_assert_cmpuint(info->memory_kinds, ==, 1u << GPUDL_MEMORY_HOST);
    g_assert_cmpuint(info->weight_bytes, >=, 4 * values);
    g_assert_cmpuint(info->weight_bytes, <=, 2 * 4 * values);

    g_assert_cmpint(host->backend->devices(NULL, 0, &n, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(host->backend->devices(&device, 1, &n, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(device.id, ==, 0);
    g_assert_cmpuint(strlen(device.name), >=, 3);
    g_assert_cmpuint(device.memory_bytes, >, 1 << 20);
    g_assert_cmpuint(device.free_bytes, <=, device.memory_bytes);
}

/* The run that a frame has to wait for is a warm one: what the first one takes more is no part of it. */
typedef struct {
    guint slow_at; /* which question takes long to answer */
    gulong us;
} Slow;

static int slowly(CpuHost *host, guint nth)
{
    const Slow *slow = host->data;

    if (nth == slow->slow_at)
        g_usleep(slow->us);
    return 0;
}

static void test_run_time_is_that_of_a_warm_run(void)
{
    g_auto(Builder) b = classifier();
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    guint n_questions, n_steps;
    {
        g_autoptr(CpuHost) host = cpu_host_open(b.graph, &params);

        n_questions = (guint)host->questions;
        n_steps = (guint)host->steps;
    }
    g_assert_cmpuint(n_questions, >=, b.graph->nodes->len + 2 * n_steps);
    for (guint warm = 0; warm < 2; warm++) {
        g_autoptr(CpuHost) host = cpu_host_new(b.graph);
        /* each run asks before each step; the last questions are those of the second run */
        Slow slow = {n_questions - (2 - warm) * n_steps + 1, 400000};

        host->cancelled = slowly;
        host->data = &slow;
        cpu_host_start(host, &params);
        g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
        g_assert_cmpuint((guint)host->questions, ==, n_questions);
        if (warm)
            g_assert_cmpuint(host->info.run_time_ns, >=, 400 * 1000 * 1000);
        else
            g_assert_cmpuint(host->info.run_time_ns, <, 400 * 1000 * 1000);
    }
}

/* However many workers there are, the network is run as often: they share what a run warms. */
static void test_workers_cost_no_runs(void)
{
    g_auto(Builder) b = classifier();
    gint questions[2], steps;

    for (guint i = 0; i < 2; i++) {
        const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = i == 0 ? 1 : 8};
        g_autoptr(CpuHost) host = cpu_host_open(b.graph, &params);

        g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
        questions[i] = host->questions;
        steps = host->steps;
    }
    g_assert_cmpint(questions[1], <, questions[0] + 7 + steps); /* each worker's memory is worth one */
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

typedef struct {
    CpuHost *host;
    guint slot;
    float (*inputs)[N_INPUT];
    float outputs[4][N_CLASSES];
} Worker;

static gpointer run_worker(gpointer data)
{
    Worker *worker = data;

    for (guint turn = 0; turn < (g_getenv("GPUDL_TEST_VALGRIND") ? 2u : 8u); turn++)
        for (guint i = 0; i < 4; i++)
            submit_values(worker->host, worker->slot, worker->inputs[i], worker->outputs[i]);
    return NULL;
}

static void test_slots_give_the_same_bits(void)
{
    GRand *rand = g_rand_new_with_seed(11);
    g_autoptr(CpuHost) host = open_classifier(3, GPUDL_ACTIVATION_SOFTMAX);
    float inputs[4][N_INPUT];
    Worker workers[4];
    GThread *threads[3];

    for (int i = 0; i < 4; i++)
        fill_random(rand, inputs[i], N_INPUT);
    for (guint i = 0; i < 4; i++)
        workers[i] = (Worker){host, i % 3, inputs, {{0}}};
    run_worker(&workers[3]);
    for (guint i = 0; i < 3; i++)
        threads[i] = g_thread_new("worker", run_worker, &workers[i]);
    for (guint i = 0; i < 3; i++) {
        g_thread_join(threads[i]);
        g_assert_cmpmem(workers[i].outputs, sizeof workers[i].outputs, workers[3].outputs, sizeof workers[3].outputs);
    }
    g_rand_free(rand);
}

static guint count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    guint n = 0;

    g_assert_nonnull(folder);
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

/* OpenMP would start threads at a thread's first parallel loop, and keep them for as long as that thread lives. */
static gpointer use_with_openmp_of_4(gpointer data)
{
    const guint before = count_threads();
    g_autofree float *input = g_new0(float, 2 * N_INPUT);
    float scores[2 * N_CLASSES];
    CpuHost *host = data;
    g_autoptr(CpuHost) own = NULL;
    GpudlFault fault = {""};

    omp_set_num_threads(4);
    if (host == NULL)
        host = own = open_classifier(1, GPUDL_ACTIVATION_NONE);
    submit_values(host, 0, input, scores);
    g_assert_cmpint(run_batch(host, 0, 1, input, scores, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(run_batch(host, 0, 2, input, scores, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(count_threads(), ==, before);
    g_assert_cmpint(omp_get_max_threads(), ==, 4); /* the caller's own loops are as they were */
    return NULL;
}

static void test_each_worker_is_one_thread(void)
{
    g_autoptr(CpuHost) host = open_classifier(1, GPUDL_ACTIVATION_NONE);

    /* opened and run on a thread; opened here, run on another; opened on a thread, run here */
    g_thread_join(g_thread_new("all", use_with_openmp_of_4, NULL));
    g_thread_join(g_thread_new("run", use_with_openmp_of_4, host));
}

static void test_a_frame_goes_all_the_way(void)
{
    GRand *rand = g_rand_new_with_seed(12);
    g_autoptr(CpuHost) host = open_classifier(1, GPUDL_ACTIVATION_SIGMOID);
    guint8 pixels[40 * 50 * 3];
    GpudlFrame frame = {.format = GPUDL_PIXEL_RGB, .width = 50, .height = 40, .planes = {pixels}, .strides = {150}};
    const GpudlPreproc pp = {.struct_size = sizeof pp,
                             .width = SIDE,
                             .height = SIDE,
                             .channels = 3,
                             .channel_order = GPUDL_CHANNELS_RGB,
                             .resize_mode = GPUDL_RESIZE_STRETCH,
                             .scale_method = GPUDL_SCALE_BILINEAR,
                             .crop_fraction = 1,
                             .pixel_scale = 255,
                             .std = {1, 1, 1}};
    float input[N_INPUT], logits[N_CLASSES], scores[N_CLASSES], *const heads[] = {scores};
    const GpudlJob job = {.frame = &frame, .preproc = &pp, .outputs = heads};
    GpudlFault fault = {""};

    for (gsize i = 0; i < sizeof pixels; i++)
        pixels[i] = (guint8)g_rand_int(rand);
    g_assert_cmpint(host->backend->submit(host->engine, 0, &job, 1, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(host->backend->wait(host->engine, 0, G_MAXUINT64, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(host->backend->run_preproc(host->engine, 0, &frame, &pp, input, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(run_batch(host, 0, 1, input, logits, &fault), ==, GPUDL_STATUS_OK);
    for (int i = 0; i < N_CLASSES; i++)
        g_assert_cmpfloat_with_epsilon(scores[i], 1 / (1 + exp(-(double)logits[i])), 1e-6);
    /* what a worker can't take is one message each */
    g_assert_cmpint(host->backend->submit(host->engine, 1, &job, 1, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(fault.message, "slot 1"));
    g_assert_cmpint(host->backend->wait(host->engine, 1, 0, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    g_assert_cmpint(host->backend->submit(host->engine, 0, &job, 2, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    g_assert_cmpint(run_batch(host, 0, 0, input, logits, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    frame.strides[0] = 149;
    g_assert_cmpint(host->backend->submit(host->engine, 0, &job, 1, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(fault.message, "50x40"));
    g_rand_free(rand);
}

/* ---- profile ----------------------------------------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

/* Median of whole runs, ns. */
static gint64 median_run(CpuHost *host, const float *input)
{
    const guint n = 101;
    g_autofree gint64 *times = g_new(gint64, n);
    float scores[N_CLASSES];

    for (guint i = 0; i < n; i++) {
        struct timespec start, end;

        clock_gettime(CLOCK_MONOTONIC, &start);
        submit_values(host, 0, input, scores);
        clock_gettime(CLOCK_MONOTONIC, &end);
        times[i] = (end.tv_sec - start.tv_sec) * G_GINT64_CONSTANT(1000000000) + end.tv_nsec - start.tv_nsec;
    }
    qsort(times, n, sizeof *times, compare_times);
    return times[n / 2];
}

static gint64 sum_of_rows(CpuHost *host, guint runs)
{
    const GpudlProfileRow *rows = NULL;
    GpudlFault fault = {""};
    guint32 n_rows = 0;
    gint64 sum = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, runs, &rows, &n_rows, &fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n_rows; i++)
        sum += (gint64)rows[i].ns;
    return sum;
}

/* The steps take together what a run takes; a busy machine gets several tries. */
static void test_profile_adds_up(void)
{
    g_autoptr(CpuHost) host = open_classifier(1, GPUDL_ACTIVATION_NONE);
    float input[N_INPUT];
    double ratio = 0;

    if (g_getenv("GPUDL_TEST_VALGRIND") != NULL) {
        g_test_skip("times mean nothing under valgrind");
        return;
    }
    for (int i = 0; i < N_INPUT; i++)
        input[i] = (float)(i % 7) - 3;
    for (guint i = 0; i < 10 && (ratio < 0.9 || ratio > 1.1); i++) {
        double rows = (double)sum_of_rows(host, 101), whole = (double)median_run(host, input);

        ratio = rows / whole;
        g_test_message("rows %.0f us, whole run %.0f us", rows / 1e3, whole / 1e3);
    }
    g_assert_cmpfloat(ratio, >=, 0.9);
    g_assert_cmpfloat(ratio, <=, 1.1);
}

static void test_profile_rows(void)
{
    g_auto(Builder) b = classifier();
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 2};
    g_autoptr(CpuHost) host = cpu_host_open(b.graph, &params);
    const GpudlPlan *plan = host->host.plan(host, 1, NULL);
    const guint64 macs = gpudl_graph_macs(b.graph);

    for (gint64 batch = 1; batch <= 2; batch++) {
        const GpudlProfileRow *rows = NULL, *again = NULL;
        guint64 flops = 0, bytes = 0, sums = 0;
        GpudlFault fault = {""};
        guint32 n = 0, n_again = 0;
        gint32 last = 0;
        guint n_calls = 0;

        g_assert_cmpint(host->backend->profile(host->engine, 1, batch, 3, &rows, &n, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpuint(n, >=, 6);
        for (guint i = 0; i < n; i++) {
            const GpudlPlanNode *node = &plan->nodes[rows[i].node];

            g_assert_cmpint(rows[i].node, >=, last);
            g_assert_cmpint(rows[i].last_node, >=, rows[i].node);
            g_assert_cmpint(rows[i].last_node, <, (gint32)plan->n_nodes);
            g_assert_cmpuint(strlen(rows[i].implementation), >, 2);
            g_assert_cmpuint(rows[i].bytes, >, 0);
            last = rows[i].node;
            flops += rows[i].flops;
            bytes += rows[i].bytes;
            if (node->op == GPUDL_OP_CONV || node->op == GPUDL_OP_MATMUL)
                sums += rows[i].flops;
            if (node->op == GPUDL_OP_MAX) { /* out of the blocked layout first */
                g_assert_true(g_str_has_prefix(rows[i].implementation, "reorder ") ||
                              g_str_equal(rows[i].implementation, "reference kernel"));
                n_calls += g_str_equal(rows[i].implementation, "reference kernel");
            }
        }
        g_assert_cmpuint(n_calls, ==, 1);
        /* sums of products are counted exactly, the rest is small; each weight and value is moved at least once */
        g_assert_cmpuint(sums, ==, 2 * macs * (guint64)batch);
        g_assert_cmpuint(flops, >, sums);
        g_assert_cmpuint(flops, <, sums * 11 / 10);
        g_assert_cmpuint(bytes, >, host->info.weight_bytes + (guint64)batch * 4 * (N_INPUT + 2 * 24 * SIDE * SIDE));
        g_assert_cmpuint(bytes, <, host->info.weight_bytes + (guint64)batch * 4 * 20 * 24 * SIDE * SIDE);
        g_assert_cmpint(host->backend->profile(host->engine, 1, batch, 1, &again, &n_again, &fault), ==,
                        GPUDL_STATUS_OK);
        g_assert_true(again == rows); /* which stay valid */
        g_assert_cmpuint(n_again, ==, n);
    }
    {
        const GpudlProfileRow *rows = NULL;
        GpudlFault fault = {""};
        guint32 n = 0;

        g_assert_cmpint(host->backend->profile(host->engine, 2, 1, 1, &rows, &n, &fault), ==,
                        GPUDL_STATUS_INVALID_ARGUMENT);
        g_assert_cmpint(host->backend->profile(host->engine, 0, 0, 1, &rows, &n, &fault), ==,
                        GPUDL_STATUS_INVALID_ARGUMENT);
        g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 0, &rows, &n, &fault), ==,
                        GPUDL_STATUS_INVALID_ARGUMENT);
    }
}

/* What a step computes of several nodes is one row. */
static void test_profile_names_all_nodes_of_a_step(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x3x8x8");
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    const GpudlProfileRow *rows = NULL;
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    GpudlFault fault = {""};
    guint32 n = 0;

    x = builder_act(&b, builder_batch_norm(&b, x, 3), GPUDL_ACT_RELU, 0, 0);
    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL));
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_open(b.graph, &params);
    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpint(rows[0].node, ==, 0);
    g_assert_cmpint(rows[0].last_node, ==, 1);
    g_assert_cmpuint(rows[0].flops, ==, 3 * 3 * 8 * 8);
    g_assert_cmpint(rows[1].node, ==, 2);
    g_assert_cmpint(rows[1].last_node, ==, 2);
    g_assert_cmpuint(rows[1].bytes, ==, 2 * 4 * 3 * 8 * 8);
}

/* A residual is read from where the result goes: those bytes move twice. */
static void test_profile_counts_residuals(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x16x8x8");
    GpudlTensor *inputs[] = {x, builder_random(&b, "16x16x1x1", -1, 1), builder_random(&b, "16", -1, 1),
                             builder_node(&b, GPUDL_OP_ABS, x, NULL)};
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    const GpudlProfileRow *rows = NULL;
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    GpudlFault fault = {""};
    GpudlNode *conv;
    guint32 n = 0;

    conv = gpudl_graph_add_node(b.graph, GPUDL_OP_CONV, "conv", inputs, 4, NULL, 1);
    conv->attrs.window.n_spatial = 2;
    builder_output(&b, conv->outputs[0]);
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_open(b.graph, &params);
    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++) {
        if (rows[i].flops != 2 * 16 * 16 * 64)
            continue;
        g_assert_cmpuint(rows[i].bytes, ==, 4 * (3 * 16 * 64 + 16 * 16 + 16));
        return;
    }
    g_assert_not_reached();
}

/* ---- programs of other batches ----------------------------------------------------------------------------------- */

/* Time for all who ask for the same to ask at once. */
static void plan_slowly(CpuHost *host, gint64 batch)
{
    if (batch > 1)
        g_usleep(50000);
}

typedef struct {
    CpuHost *host;
    guint slot;
    const float *input;
    float logits[3 * N_CLASSES];
} Asker;

static gpointer ask_for_three(gpointer data)
{
    Asker *asker = data;
    GpudlFault fault = {""};

    if (run_batch(asker->host, asker->slot, 3, asker->input, asker->logits, &fault) != GPUDL_STATUS_OK)
        g_error("slot %u: %s", asker->slot, fault.message);
    return NULL;
}

static void test_slots_share_the_program_of_a_batch(void)
{
    GRand *rand = g_rand_new_with_seed(13);
    g_autoptr(CpuHost) host = open_classifier(4, GPUDL_ACTIVATION_NONE);
    g_autofree float *input = g_new(float, 3 * N_INPUT);
    const gint plans = host->plans, steps = host->steps;
    float single[N_CLASSES];
    Asker askers[4];
    GThread *threads[4];

    fill_random(rand, input, 3 * N_INPUT);
    host->planned = plan_slowly;
    for (guint i = 0; i < 4; i++) {
        askers[i] = (Asker){host, i, input, {0}};
        threads[i] = g_thread_new("ask", ask_for_three, &askers[i]);
    }
    for (guint i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(host->plans, ==, plans + 1);
    g_assert_cmpint(host->steps, >, steps);
    g_assert_cmpint(host->steps, <=, steps + 2 * steps); /* one program's, which may be made otherwise */
    for (guint i = 1; i < 4; i++)
        g_assert_cmpmem(askers[i].logits, sizeof askers[i].logits, askers[0].logits, sizeof askers[0].logits);
    for (guint k = 0; k < 3; k++) {
        submit_values(host, 0, input + k * N_INPUT, single);
        for (guint i = 0; i < N_CLASSES; i++)
            g_assert_cmpfloat_with_epsilon(askers[0].logits[k * N_CLASSES + i], single[i], 1e-4);
    }
    g_rand_free(rand);
}

static void test_another_batch_holds_constants_while_it_compiles(void)
{
    g_autoptr(CpuHost) host = open_classifier(1, GPUDL_ACTIVATION_NONE);
    g_autofree float *input = g_new0(float, 2 * N_INPUT);
    float logits[2 * N_CLASSES];
    GpudlFault fault = {""};

    /* open() is over: nothing is readable any more, which submit() does not notice (the host has spoilt it) */
    g_assert_cmpint(host->holds, ==, 0);
    submit_values(host, 0, input, logits);
    for (int i = 0; i < N_CLASSES; i++)
        g_assert_true(isfinite(logits[i]));
    host->no_constants = TRUE;
    g_assert_cmpint(run_batch(host, 0, 2, input, logits, &fault), ==, GPUDL_STATUS_FAILED);
    g_assert_cmpstr(fault.message, ==, "the model's file is gone");
    g_assert_cmpint(run_batch(host, 0, 1, input, logits, &fault), ==, GPUDL_STATUS_OK);
    host->no_constants = FALSE;
    g_assert_cmpint(run_batch(host, 0, 2, input, logits, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(host->holds, ==, 0);
    host->no_constants = TRUE; /* it is there now */
    g_assert_cmpint(run_batch(host, 0, 2, input, logits, &fault), ==, GPUDL_STATUS_OK);
    for (int i = 0; i < 2 * N_CLASSES; i++)
        g_assert_true(isfinite(logits[i]));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-engine/what-means-the-same-resolves-to-the-same",
                    test_what_means_the_same_resolves_to_the_same);
    g_test_add_func("/cpu-engine/refuses", test_refuses);
    g_test_add_func("/cpu-engine/tells-what-it-is", test_tells_what_it_is);
    g_test_add_func("/cpu-engine/run-time-is-that-of-a-warm-run", test_run_time_is_that_of_a_warm_run);
    g_test_add_func("/cpu-engine/workers-cost-no-runs", test_workers_cost_no_runs);
    g_test_add_func("/cpu-engine/slots-give-the-same-bits", test_slots_give_the_same_bits);
    g_test_add_func("/cpu-engine/each-worker-is-one-thread", test_each_worker_is_one_thread);
    g_test_add_func("/cpu-engine/a-frame-goes-all-the-way", test_a_frame_goes_all_the_way);
    g_test_add_func("/cpu-engine/profile-adds-up", test_profile_adds_up);
    g_test_add_func("/cpu-engine/profile-rows", test_profile_rows);
    g_test_add_func("/cpu-engine/profile-names-all-nodes-of-a-step", test_profile_names_all_nodes_of_a_step);
    g_test_add_func("/cpu-engine/profile-counts-residuals", test_profile_counts_residuals);
    g_test_add_func("/cpu-engine/slots-share-the-program-of-a-batch", test_slots_share_the_program_of_a_batch);
    g_test_add_func("/cpu-engine/another-batch-holds-constants-while-it-compiles",
                    test_another_batch_holds_constants_while_it_compiles);
    return g_test_run();
}
