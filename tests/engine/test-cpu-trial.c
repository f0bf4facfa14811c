/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What trials run and on what, the module being linked into the test: its calls of oneDNN, of kernels of our own and of
 * gpudl_simd_forget() come by here. Trials of fully connected layers have to find their weights in memory, as they do
 * in a whole network, not in a cache, where the run before left them. No time is looked at.
 */
#include <string.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/cpu/dnn.h"
#include "engine/cpu/trial.h"
#include "engine/interface.h"
#include "kernels/matvec.h"
#include "kernels/simd.h"

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface);

static struct {
    const void *forgotten; /* what was taken out of caches since the last run, NULL: nothing */
    gsize bytes;
    gboolean in_trial; /* else a network runs */
    guint n_forgotten, n_products, n_own, n_convs;
} seen;

void __real_gpudl_simd_forget(const void *data, size_t bytes);
void __wrap_gpudl_simd_forget(const void *data, size_t bytes);
dnnl_status_t __real_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int n,
                                            const dnnl_exec_arg_t *args);
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int n,
                                            const dnnl_exec_arg_t *args);
uint64_t __real_cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best);
uint64_t __wrap_cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best);
uint64_t __real_cpu_trial_own(CpuTrial *trial, CpuOwnFunc *run, const void *problem, uint32_t n, const uint64_t *sizes,
                              uint64_t best);
uint64_t __wrap_cpu_trial_own(CpuTrial *trial, CpuOwnFunc *run, const void *problem, uint32_t n, const uint64_t *sizes,
                              uint64_t best);
const GpudlMatvecKernels *__real_gpudl_matvec_kernels(GpudlSimd simd, GpudlDType type);
const GpudlMatvecKernels *__wrap_gpudl_matvec_kernels(GpudlSimd simd, GpudlDType type);

uint64_t __wrap_cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best)
{
    uint64_t ns;

    seen.in_trial = TRUE;
    ns = __real_cpu_trial_primitive(trial, pd, best);
    seen.in_trial = FALSE;
    return ns;
}

uint64_t __wrap_cpu_trial_own(CpuTrial *trial, CpuOwnFunc *run, const void *problem, uint32_t n, const uint64_t *sizes,
                              uint64_t best)
{
    uint64_t ns;

    seen.in_trial = TRUE;
    ns = __real_cpu_trial_own(trial, run, problem, n, sizes, best);
    seen.in_trial = FALSE;
    return ns;
}

/* A run on the weights of a fully connected layer; NULL: of something else. */
static void see_run(const void *weights, gsize bytes)
{
    if (!seen.in_trial || weights == NULL) {
        g_assert_null(seen.forgotten);
        return;
    }
    g_assert_true(seen.forgotten == weights);
    g_assert_cmpuint(seen.bytes, ==, bytes);
    seen.forgotten = NULL;
}

void __wrap_gpudl_simd_forget(const void *data, size_t bytes)
{
    g_assert_true(seen.in_trial);
    g_assert_null(seen.forgotten); /* else it was for a run of something else */
    g_assert_cmpuint(bytes, >, 0);
    seen.forgotten = data;
    seen.bytes = bytes;
    seen.n_forgotten++;
    __real_gpudl_simd_forget(data, bytes);
}

dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int n,
                                            const dnnl_exec_arg_t *args)
{
    const dnnl_primitive_kind_t kind = dnn_primitive_kind((dnnl_primitive_t)primitive);
    void *weights = NULL;
    gsize bytes = 0;

    if (kind == dnnl_inner_product) {
        const_dnnl_primitive_desc_t pd;

        for (int i = 0; i < n; i++)
            if (args[i].arg == DNNL_ARG_WEIGHTS)
                g_assert_cmpint(dnnl_memory_get_data_handle(args[i].memory, &weights), ==, dnnl_success);
        g_assert_nonnull(weights);
        g_assert_cmpint(dnnl_primitive_get_primitive_desc(primitive, &pd), ==, dnnl_success);
        bytes = dnn_md_bytes(dnn_pd_md((dnnl_primitive_desc_t)pd, dnnl_query_weights_md, 0));
    }
    see_run(weights, bytes);
    if (seen.in_trial) {
        seen.n_products += kind == dnnl_inner_product;
        seen.n_convs += kind == dnnl_convolution;
    }
    return __real_dnnl_primitive_execute(primitive, stream, n, args);
}

static const GpudlMatvecKernels *real_kernels;

static void run_matvec(const GpudlMatvec *d, const void *x, const void *packed, void *y)
{
    see_run(packed, gpudl_matvec_weights_size(d));
    seen.n_own += seen.in_trial;
    real_kernels->run(d, x, packed, y);
}

const GpudlMatvecKernels *__wrap_gpudl_matvec_kernels(GpudlSimd simd, GpudlDType type)
{
    static GpudlMatvecKernels watched;

    real_kernels = __real_gpudl_matvec_kernels(simd, type);
    if (real_kernels == NULL)
        return NULL;
    watched = (GpudlMatvecKernels){real_kernels->name, run_matvec};
    return &watched;
}

/* A fully connected layer of rows x 64 before a convolution, whose weights are small beside what a network reads. */
static void watch(gint64 rows)
{
    g_auto(Builder) b = builder_new();
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-trial-XXXXXX", NULL);
    g_autofree gchar *w = g_strdup_printf("64x%" G_GINT64_FORMAT, rows), *bias = g_strdup_printf("%d", (gint)rows);
    g_autofree gchar *picture = g_strdup_printf("0x%dx8x8", (gint)rows / 64);
    const GpudlOpenParams params = {
        .activation = GPUDL_ACTIVATION_NONE, .threads = 1, .autotune = GPUDL_AUTOTUNE_FULL, .cache_dir = folder};
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    GpudlTensor *x = builder_reshape(&b, builder_input(&b, "1x1x8x8"), "0x-1");
    GpudlTensor *inputs[] = {x, builder_random(&b, w, -1, 1), builder_random(&b, bias, -1, 1)};

    x = gpudl_graph_add_node(b.graph, GPUDL_OP_GEMM, "product", inputs, 3, NULL, 1)->outputs[0];
    x = builder_conv(&b, builder_reshape(&b, x, picture), rows / 64, 16, 5, TRUE);
    builder_output(&b, x);
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    memset(&seen, 0, sizeof seen);
    host = cpu_host_new(b.graph);
    host->backend = gpudl_backend_entry(GPUDL_BACKEND_ABI, GPUDL_BACKEND_INTERFACE);
    g_assert_nonnull(host->backend);
    host->tunes = TRUE;
    cpu_host_start(host, &params);
    g_assert_cmpstr(host->fault.message, ==, "");
    g_assert_null(seen.forgotten);
    g_assert_cmpuint(seen.n_products, >=, 2); /* one that warms up the code, one that counts */
    g_assert_cmpuint(seen.n_own, >=, 2);
    g_assert_cmpuint(seen.n_convs, >=, 2);
    g_assert_cmpuint(seen.n_forgotten, ==, seen.n_products + seen.n_own);
    cpu_host_remove_cache(folder);
}

/* One as short as what is else run over and over between two looks at the clock. */
static void test_small_products_are_cold(void)
{
    watch(1024);
}

/* One of which a part is measured. */
static void test_parts_of_large_products_are_cold(void)
{
    watch(64 * 1024);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-trial/small-products-are-cold", test_small_products_are_cold);
    g_test_add_func("/cpu-trial/parts-of-large-products-are-cold", test_parts_of_large_products_are_cold);
    return g_test_run();
}
