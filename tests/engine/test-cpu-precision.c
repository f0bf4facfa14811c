/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which precision the CPU module computes in, what it says of it, and how far bfloat16 moves a network's values. Run
 * with several values of ONEDNN_MAX_CPU_ISA; what the processor has is read from the kernel's list. */
#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/ref/ref.h"
#include "kernels/rate.h"
#include "tests/engine/builder.h"
#include "tests/engine/cpu-host.h"

#define SIDE 48
#define N_CLASSES 100

static gboolean processor_has(const gchar *feature)
{
    g_autofree gchar *text = NULL, *pattern = g_strdup_printf("^flags\\s*:.* %s( |$)", feature);

    return g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL) &&
           g_regex_match_simple(pattern, text, G_REGEX_MULTILINE, 0);
}

/* A limit leaves room for feature if there is none, or if it names an instruction set that has it. */
static gboolean may_use(const gchar *feature, const gchar *const *limits)
{
    const gchar *limit = g_getenv("ONEDNN_MAX_CPU_ISA");

    return processor_has(feature) && (limit == NULL || g_strv_contains(limits, limit));
}

static gboolean multiplies_bf16(void)
{
    return may_use("avx512_bf16", (const gchar *const[]){"AVX512_CORE_BF16", "AVX512_CORE_AMX", NULL}) ||
           may_use("amx_bf16", (const gchar *const[]){"AVX512_CORE_AMX", NULL});
}

/* What this processor's vectors multiply in bfloat16 over what they do in float32, as instructions would not tell. */
static double bf16_gain(void)
{
    const GpudlRate *rates[] = {gpudl_rate(GPUDL_SIMD_AVX512_BF16, GPUDL_DTYPE_F32),
                                gpudl_rate(GPUDL_SIMD_AVX512_BF16, GPUDL_DTYPE_BF16)};
    double most[2] = {0};

    g_assert_true(rates[0] != NULL && rates[1] != NULL);
    for (guint i = 0; i < 2 * 50; i++) {
        const gint64 begin = g_get_monotonic_time();
        const double products = rates[i % 2]->multiply(20000);

        most[i % 2] = MAX(most[i % 2], products / (double)(g_get_monotonic_time() - begin));
    }
    g_test_message("vectors multiply %.2f times as many products in bf16", most[1] / most[0]);
    return most[1] / most[0];
}

static gboolean gains_by_bf16(void)
{
    return multiplies_bf16() &&
           (may_use("amx_bf16", (const gchar *const[]){"AVX512_CORE_AMX", NULL}) || bf16_gain() > 1.25);
}

/* Weights as trained ones are: sums are as large as what is summed up. */
static GpudlTensor *scaled(Builder *b, const gchar *shape, gint64 products)
{
    const double most = sqrt(3. / products);

    return builder_random(b, shape, -most, most);
}

static GpudlTensor *conv(Builder *b, GpudlTensor *x, gint64 from, gint64 to, int kernel, gint64 group, int stride)
{
    g_autofree gchar *shape = g_strdup_printf("%dx%dx%dx%d", (int)to, (int)(from / group), kernel, kernel);
    GpudlTensor *w = scaled(b, shape, from / group * kernel * kernel), *y = builder_conv(b, x, 1, 1, 1, FALSE);
    GpudlNode *node = y->producer;
    GpudlWindowAttrs *a = &node->attrs.window;

    node->inputs[1] = w;
    a->group = (gint)group;
    for (int i = GPUDL_MAX_SPATIAL - 2; i < GPUDL_MAX_SPATIAL; i++) {
        a->kernel[i] = kernel;
        a->stride[i] = stride;
        a->pad_begin[i] = a->pad_end[i] = kernel / 2;
    }
    a->act = (GpudlAct){GPUDL_ACT_CLIP, 0, 6};
    return y;
}

/* Stem, inverted residuals with a gate, a concatenation, the head: what real networks are made of. */
static Builder network(guint32 seed)
{
    Builder b = builder_new();
    GpudlTensor *x, *y, *gate;
    g_autoptr(GError) error = NULL;

    g_rand_set_seed(b.rand, seed);
    x = conv(&b, builder_input(&b, "1x3x48x48"), 3, 16, 3, 1, 2);
    for (int i = 0; i < 6; i++) {
        y = conv(&b, conv(&b, x, 16, 96, 1, 1, 1), 96, 96, i % 2 ? 5 : 3, 96, 1);
        gate = builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL);
        gate = builder_act(&b, conv(&b, gate, 96, 96, 1, 1, 1), GPUDL_ACT_SIGMOID, 0, 0);
        y = conv(&b, builder_node(&b, GPUDL_OP_MUL, y, gate), 96, 16, 1, 1, 1);
        y->producer->attrs.window.act.kind = GPUDL_ACT_NONE;
        x = builder_node(&b, GPUDL_OP_ADD, x, y);
    }
    y = conv(&b, x, 16, 16, 3, 1, 1);
    x = builder_node(&b, GPUDL_OP_CONCAT, x, y);
    x->producer->attrs.axis.axis = 1;
    x = builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, conv(&b, x, 32, 128, 1, 1, 1), NULL);
    builder_output(&b, builder_node(&b, GPUDL_OP_MATMUL, builder_reshape(&b, x, "0x-1"), scaled(&b, "128x100", 128)));
    gpudl_graph_remove_dead(b.graph);
    if (!gpudl_graph_sort(b.graph, &error) || !gpudl_graph_infer(b.graph, 1, &error))
        g_error("%s", error->message);
    return b;
}

static CpuHost *open_with(const GpudlGraph *graph, GpudlPrecision precision)
{
    const GpudlOpenParams params = {.precision = precision, .activation = GPUDL_ACTIVATION_NONE, .threads = 1};

    return cpu_host_open(graph, &params);
}

static void test_auto_is_what_the_processor_is_faster_in(void)
{
    g_auto(Builder) b = network(1);
    g_autoptr(CpuHost) host = cpu_host_new(b.graph);
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE};
    GpudlFault fault = {""};

    g_assert_cmpint(host->backend->resolve(NULL, &params, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(params.precision, ==, gains_by_bf16() ? GPUDL_PRECISION_BF16 : GPUDL_PRECISION_FP32);
    params.precision = GPUDL_PRECISION_BF16;
    if (multiplies_bf16()) {
        g_assert_cmpint(host->backend->resolve(NULL, &params, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpint(params.precision, ==, GPUDL_PRECISION_BF16);
    } else {
        g_assert_cmpint(host->backend->resolve(NULL, &params, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
        g_assert_nonnull(strstr(fault.message, "bf16 would only be emulated"));
        g_assert_nonnull(strstr(fault.message, "needs AVX512_BF16 or AMX_BF16; use auto or fp32"));
        g_assert_nonnull(
            strstr(fault.message, g_strcmp0(g_getenv("ONEDNN_MAX_CPU_ISA"), "AVX2") == 0 ? " AVX2 " : "AVX"));
    }
}

static void test_the_device_line_says_what_runs(void)
{
    const gboolean amx = may_use("amx_bf16", (const gchar *const[]){"AVX512_CORE_AMX", NULL});
    const gboolean avx512 =
        may_use("avx512bw", (const gchar *const[]){"AVX512_CORE", "AVX512_CORE_BF16", "AVX512_CORE_AMX", NULL});
    const gboolean avx2 = avx512 || may_use("avx2", (const gchar *const[]){"AVX2", NULL});
    g_auto(Builder) b = network(1);
    g_autoptr(CpuHost) wide = open_with(b.graph, GPUDL_PRECISION_FP32);

    g_assert_cmpint(wide->status, ==, GPUDL_STATUS_OK);
    g_assert_cmpint(wide->info.precision, ==, GPUDL_PRECISION_FP32);
    g_test_message("%s", wide->info.device_name);
    if (avx512)
        g_assert_nonnull(strstr(wide->info.device_name, "CPU, fp32, AVX-512, oneDNN "));
    else if (avx2)
        g_assert_nonnull(strstr(wide->info.device_name, "CPU, fp32, AVX2, oneDNN "));
    /* own kernels keep to the same limit */
    if (avx512 || avx2)
        g_assert_true(g_str_has_suffix(wide->info.device_name, avx512 ? "pixels by avx512" : "pixels by avx2"));
    if (multiplies_bf16()) {
        g_autoptr(CpuHost) narrow = open_with(b.graph, GPUDL_PRECISION_BF16);

        g_assert_cmpint(narrow->status, ==, GPUDL_STATUS_OK);
        g_assert_cmpint(narrow->info.precision, ==, GPUDL_PRECISION_BF16);
        g_test_message("%s", narrow->info.device_name);
        g_assert_nonnull(
            strstr(narrow->info.device_name, amx ? "CPU, bf16, AMX, oneDNN " : "CPU, bf16, AVX-512, oneDNN "));
    }
}

/* What is found out of a model's precision is of this device: its name has all that decides it. */
static void test_the_device_is_named_with_what_computes(void)
{
    g_auto(Builder) b = network(1);
    g_autoptr(CpuHost) host = open_with(b.graph, GPUDL_PRECISION_FP32);
    const gchar *library = strstr(host->info.device_name, "oneDNN ");
    g_autofree gchar *version = library != NULL ? g_strndup(library, strcspn(library, ",")) : NULL;
    GpudlBackendDevice device;
    guint32 n = 0;

    g_assert_cmpint(host->backend->devices(&device, 1, &n, &host->fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(n, ==, 1);
    g_test_message("%s", device.name);
    g_assert_nonnull(version);
    g_assert_true(g_str_has_suffix(device.name, version));
    g_assert_true((strstr(device.name, ", bf16, ") != NULL) == gains_by_bf16());
}

static void test_weights_are_in_memory_in_the_precision_that_runs(void)
{
    g_auto(Builder) b = network(1);
    g_autoptr(CpuHost) wide = open_with(b.graph, GPUDL_PRECISION_FP32), narrow = NULL;

    if (!multiplies_bf16()) {
        g_test_skip("bfloat16 is not this machine's");
        return;
    }
    narrow = open_with(b.graph, GPUDL_PRECISION_BF16);
    g_assert_cmpint(narrow->status, ==, GPUDL_STATUS_OK);
    /* pairs of input channels are interleaved, which pads the stem's three, and each depthwise filter's tap */
    g_assert_cmpuint(narrow->info.weight_bytes, <, wide->info.weight_bytes * 6 / 10);
    /* scratchpads, which may be the most of it, are the library's affair */
    g_assert_cmpuint(narrow->info.work_bytes, <=, wide->info.work_bytes * 11 / 10);
}

/* Before a softmax, against the reference in double. */
static void test_values_are_near_the_references(void)
{
    double worst = 0;

    if (!multiplies_bf16()) {
        g_test_skip("bfloat16 is not this machine's");
        return;
    }
    for (guint32 seed = 1; seed <= 8; seed++) {
        g_auto(Builder) b = network(seed);
        g_autoptr(CpuHost) host = open_with(b.graph, GPUDL_PRECISION_BF16);
        const gsize n = 3 * SIDE * SIDE;
        float *values = g_new(float, n);
        g_autoptr(GBytes) input = g_bytes_new_take(values, n * sizeof *values);
        g_autoptr(GPtrArray) expected = NULL;
        g_autoptr(GError) error = NULL;
        float got[N_CLASSES];
        const float *wanted;
        double low = INFINITY, high = -INFINITY, most = 0;

        g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
        for (gsize i = 0; i < n; i++)
            values[i] = (float)g_rand_double_range(b.rand, -2, 2);
        expected = gpudl_ref_run(b.graph, &input, NULL, &error);
        g_assert_no_error(error);
        wanted = g_bytes_get_data(expected->pdata[0], NULL);
        g_assert_cmpint(host->backend->run_tensors(host->engine, 0, 1, (const void *const[]){values},
                                                   (void *const[]){got}, &host->fault),
                        ==, GPUDL_STATUS_OK);
        for (guint i = 0; i < N_CLASSES; i++) {
            low = MIN(low, wanted[i]);
            high = MAX(high, wanted[i]);
            most = MAX(most, fabs((double)got[i] - (double)wanted[i]));
        }
        worst = MAX(worst, most / (high - low));
    }
    g_test_message("largest difference %g of the range", worst);
    g_assert_cmpfloat(worst, <=, 2e-2);
    g_assert_cmpfloat(worst, >, 1e-5); /* else it was float32 that ran */
}

/* Share of values that bfloat16 could not hold. */
static double share_finer(const float *values, gsize n)
{
    gsize finer = 0;

    for (gsize i = 0; i < n; i++) {
        guint32 bits;

        memcpy(&bits, &values[i], sizeof bits);
        finer += (bits & 0xffff) != 0;
    }
    return (double)finer / n;
}

/* The last product's sums reach the outside as they are: logits have more than bfloat16's eight bits. */
static void test_logits_are_not_rounded(void)
{
    g_auto(Builder) b = network(1);
    g_autoptr(CpuHost) host = NULL;
    float got[N_CLASSES];
    g_autofree float *values = g_new(float, 3 * SIDE * SIDE);

    if (!multiplies_bf16()) {
        g_test_skip("bfloat16 is not this machine's");
        return;
    }
    host = open_with(b.graph, GPUDL_PRECISION_BF16);
    for (gsize i = 0; i < 3 * SIDE * SIDE; i++)
        values[i] = (float)g_rand_double_range(b.rand, -2, 2);
    g_assert_cmpint(host->backend->run_tensors(host->engine, 0, 1, (const void *const[]){values}, (void *const[]){got},
                                               &host->fault),
                    ==, GPUDL_STATUS_OK);
    g_assert_cmpfloat(share_finer(got, N_CLASSES), >, 0.9);
}

/* A square and a power, whose operand lies in bfloat16 because a product reads it, too, are not rounded once more. */
static void test_results_of_what_was_rounded_are_not(void)
{
    enum { N = 16 * 24 * 24 };
    g_auto(Builder) b = builder_new();
    g_autofree float *values = g_new(float, 3 * SIDE * SIDE), *square = g_new(float, N), *power = g_new(float, N);
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    GpudlTensor *x, *y;
    float mean[16];

    if (!multiplies_bf16()) {
        g_test_skip("bfloat16 is not this machine's");
        return;
    }
    x = conv(&b, builder_input(&b, "1x3x48x48"), 3, 16, 3, 1, 2);
    x->producer->attrs.window.act.kind = GPUDL_ACT_NONE;
    x = builder_node(&b, GPUDL_OP_ABS, x, NULL);
    y = conv(&b, x, 16, 16, 3, 1, 1);
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, x, x));
    builder_output(&b, builder_node(&b, GPUDL_OP_EXP, x, NULL));
    builder_output(&b, builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL));
    g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
    for (gsize i = 0; i < 3 * SIDE * SIDE; i++)
        values[i] = (float)g_rand_double_range(b.rand, -2, 2);
    host = open_with(b.graph, GPUDL_PRECISION_BF16);
    g_assert_cmpint(host->backend->run_tensors(host->engine, 0, 1, (const void *const[]){values},
                                               (void *const[]){square, power, mean}, &host->fault),
                    ==, GPUDL_STATUS_OK);
    g_test_message("square %g, power %g", share_finer(square, N), share_finer(power, N));
    g_assert_cmpfloat(share_finer(square, N), >, 0.9);
    g_assert_cmpfloat(share_finer(power, N), >, 0.9);
}

/* A network of width 16 round what differs. */
static Builder sandwich(GpudlTensor *(*filling)(Builder *b, GpudlTensor *x))
{
    Builder b = builder_new();
    g_autoptr(GError) error = NULL;

    builder_output(&b, filling(&b, conv(&b, builder_input(&b, "1x3x48x48"), 3, 16, 3, 1, 2)));
    gpudl_graph_remove_dead(b.graph);
    if (!gpudl_graph_sort(b.graph, &error) || !gpudl_graph_infer(b.graph, 1, &error))
        g_error("%s", error->message);
    return b;
}

static GpudlTensor *product_last(Builder *b, GpudlTensor *x)
{
    return builder_node(b, GPUDL_OP_MATMUL, builder_transpose(b, x, "0x2x3x1"), scaled(b, "16x16", 16));
}

/* oneDNN has only its general loop for rows in any layout. */
static GpudlTensor *scaled_rows(Builder *b, GpudlTensor *x)
{
    return conv(b, builder_node(b, GPUDL_OP_MUL, x, scaled(b, "1x1x24x1", 3)), 16, 16, 3, 1, 1);
}

/* Steps of another type than the network's come with the change of it, and with nothing that nobody reads. */
static void test_no_copies_that_nobody_reads(void)
{
    static const struct {
        GpudlTensor *(*filling)(Builder *b, GpudlTensor *x);
        gint more; /* steps than in float32 */
    } cases[] = {{product_last, 0}, {scaled_rows, 0}};

    if (!multiplies_bf16()) {
        g_test_skip("bfloat16 is not this machine's");
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Builder) b = sandwich(cases[i].filling);
        g_autoptr(CpuHost) wide = open_with(b.graph, GPUDL_PRECISION_FP32),
                           narrow = open_with(b.graph, GPUDL_PRECISION_BF16);

        g_assert_cmpint(wide->status, ==, GPUDL_STATUS_OK);
        g_assert_cmpint(narrow->status, ==, GPUDL_STATUS_OK);
        g_test_message("case %u: %d and %d steps", i, wide->steps, narrow->steps);
        g_assert_cmpint(narrow->steps, <=, wide->steps + cases[i].more);
    }
}

/* Whoever writes the picture rounds it as well: the first step multiplies. */
static void test_the_picture_is_written_as_the_stem_reads_it(void)
{
    g_auto(Builder) b = network(1);
    g_autoptr(CpuHost) host = NULL;
    const GpudlProfileRow *rows;
    guint32 n;

    if (!multiplies_bf16()) {
        g_test_skip("bfloat16 is not this machine's");
        return;
    }
    host = open_with(b.graph, GPUDL_PRECISION_BF16);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &host->fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(n, >, 1);
    g_test_message("%s", rows[0].implementation);
    g_assert_null(strstr(rows[0].implementation, "reorder"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-precision/auto-is-what-the-processor-is-faster-in",
                    test_auto_is_what_the_processor_is_faster_in);
    g_test_add_func("/cpu-precision/the-device-line-says-what-runs", test_the_device_line_says_what_runs);
    g_test_add_func("/cpu-precision/the-device-is-named-with-what-computes",
                    test_the_device_is_named_with_what_computes);
    g_test_add_func("/cpu-precision/weights-are-in-memory-in-the-precision-that-runs",
                    test_weights_are_in_memory_in_the_precision_that_runs);
    g_test_add_func("/cpu-precision/values-are-near-the-references", test_values_are_near_the_references);
    g_test_add_func("/cpu-precision/logits-are-not-rounded", test_logits_are_not_rounded);
    g_test_add_func("/cpu-precision/results-of-what-was-rounded-are-not", test_results_of_what_was_rounded_are_not);
    g_test_add_func("/cpu-precision/the-picture-is-written-as-the-stem-reads-it",
                    test_the_picture_is_written_as_the_stem_reads_it);
    g_test_add_func("/cpu-precision/no-copies-that-nobody-reads", test_no_copies_that_nobody_reads);
    return g_test_run();
}
