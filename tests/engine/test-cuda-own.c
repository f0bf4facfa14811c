/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that does without NVIDIA's libraries (GPUDL_CUDA_LIBS=0): plans of our own product are tried against the
 * direct kernel, chosen and kept. The kernels run on this processor (tests/kernels/emulate), and what they deliver and
 * how long they seem to take is this test's to say. */
#include <glib.h>
#include <string.h>

#include "cuda-own-double.h"
#include "double-device.h"
#include "engine/cuda/block.h"
#include "engine/cuda/program.h"
#include "engine/cuda/tune.h"

static const CudaCudnn cudnn = {.get_version = own_cudnn_version};

#define FASTEST 5 /* is among the first plans of both products */

static int never(void *host)
{
    (void)host;
    return 0;
}

static GString *told, *missing;

static void log_message(void *host, GpudlLogLevel level, const char *message)
{
    (void)host;
    if (level == GPUDL_LOG_DEBUG) /* how far it is */
        return;
    g_assert_cmpint(level, ==, GPUDL_LOG_INFO);
    g_string_append_printf(told, "%s\n", message);
}

static void name_missing(void *host, const char *what)
{
    (void)host;
    g_string_append_printf(missing, "%s\n", what);
}

static const GpudlHost host = {
    .log = log_message, .missing = name_missing, .cancelled = never, .closing = never, .waiting = never};

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

typedef struct {
    gchar *folder;
    CudaDevice device;
    CudaConvs convs;
    CudaConv *dense, *deep, *narrow;
} Fixture;

static void begin_convs(CudaConvs *convs, CudaDevice *device)
{
    *convs = (CudaConvs){.device = device, .host = &host, .measured = 1};
}

static void add_convs(Fixture *f)
{
    CudaConvKey key = double_device_problem(8, 80);

    f->dense = cuda_convs_add(&f->convs, &key);
    key.n = 1; /* few results of many products each: their sums are split */
    key.c = key.x_pitch = 128;
    key.h = key.w = key.p = key.q = 2;
    key.k = key.y_pitch = 64;
    key.z_pitch = 0;
    f->deep = cuda_convs_add(&f->convs, &key);
    key = double_device_problem(8, 80);
    key.groups = key.k = 8;
    f->narrow = cuda_convs_add(&f->convs, &key);
}

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    told = g_string_new(NULL);
    missing = g_string_new(NULL);
    own_double.wrong_tiles = own_double.runs = 0;
    own_double.has_no_clusters = own_double.has_no_blocks = own_double.fails_fence = FALSE;
    own_double.fastest_tile = FASTEST;
    f->folder = g_dir_make_tmp("gpudl-own-XXXXXX", NULL);
    double_device_begin(&f->device);
    begin_convs(&f->convs, &f->device);
    add_convs(f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    cuda_convs_clear(&f->convs);
    g_assert_cmpint(double_device_entered(), ==, 0);
    double_device_remove(f->folder);
    g_free(f->folder);
    g_string_free(told, TRUE);
    g_string_free(missing, TRUE);
}

static CudaTuning *begin(Fixture *f)
{
    GpudlFault fault = {""};
    CudaTuning *tuning;

    g_assert_true(cuda_convs_open_cache(&f->convs, f->folder));
    tuning = cuda_tuning_new(&f->convs, "a network", &fault);
    g_assert_nonnull(tuning);
    return tuning;
}

static void tune(Fixture *f)
{
    CudaTuning *tuning = begin(f);
    GpudlFault fault = {""};
    int done = 0;

    cuda_tuning_build(tuning);
    g_assert_cmpint(cuda_tuning_try(tuning, UINT64_MAX, &done, &fault), ==, GPUDL_STATUS_OK);
    g_assert_true(done);
    cuda_tuning_free(tuning);
}

/* The same problems in an engine that begins. */
static void begin_again(Fixture *f)
{
    cuda_convs_clear(&f->convs);
    begin_convs(&f->convs, &f->device);
    add_convs(f);
    own_double.runs = 0;
}

static void check_own(const CudaConv *conv)
{
    g_assert_true(conv->chosen);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_OWN);
    g_assert_cmpstr(conv->name, ==, "own kernel");
    g_assert_null(conv->plan);
    g_assert_cmpint(conv->workspace, ==, 0);
    g_assert_cmpint(conv->n_others, ==, 0);
}

static void check_product(const CudaConv *conv, gint tile)
{
    g_autofree gchar *name = g_strdup_printf("own product, tile %d, split %d", tile, conv->gemm.splits);

    g_assert_true(conv->chosen);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_GEMM);
    g_assert_cmpint(conv->gemm.tile, ==, tile);
    g_assert_cmpstr(conv->name, ==, name);
    g_assert_null(conv->plan);
    g_assert_cmpint(conv->workspace, ==, conv->gemm.workspace_bytes);
}

/* What is known of float16 is not taken for bfloat16, whose wrong products are found out as well. */
static void test_bf16(Fixture *f, gconstpointer data)
{
    CudaConvPlan plans[GPUDL_CONV_GEMM_PLANS];
    CudaConvKey key = double_device_problem(8, 80);
    CudaConv *conv;

    (void)data;
    tune(f);
    begin_again(f);
    f->convs.measured = 0;
    tune(f);
    g_assert_cmpuint(own_double.runs, ==, 0);
    begin_again(f);
    f->convs.measured = 0;
    key.dtype = GPUDL_DTYPE_BF16;
    conv = cuda_convs_add(&f->convs, &key);
    g_assert_true(conv != f->dense);
    g_assert_cmpint(cuda_gemm_plans(&f->device, &key, plans, GPUDL_CONV_GEMM_PLANS), >=, 4);
    own_double.wrong_tiles = 1u << plans[0].gemm.tile;
    tune(f);
    g_assert_cmpuint(own_double.runs, >, 1);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_GEMM);
    g_assert_cmpint(conv->gemm.tile, !=, plans[0].gemm.tile);
    g_assert_nonnull(strstr(told->str, " is wrong for 2x8x5x5, 3x3 taps to 80 channels in 1 groups\n"));
    check_product(f->dense, own_double.fastest_tile);
}

/* No bias of 8 bits, neither found nor kept by an earlier version. */
static void test_bf16_bias(Fixture *f, gconstpointer data)
{
    static const char text[] = "a plan";
    CudaConvKey key = double_device_problem(8, 80);
    GpudlCacheEntry entry = {.form = CUDA_CONV_RESIDUAL_FIRST,
                             .plan = (char *)text,
                             .plan_bytes = sizeof text - 1,
                             .ns = 1000,
                             .name = "half bias"};
    CudaConvPlan plan;
    char step[CUDA_STEP_ROOM], message[256];

    (void)data;
    f->device.cudnn = &own_library;
    g_assert_true(cuda_convs_open_cache(&f->convs, f->folder));
    key.act = GPUDL_ACT_RELU;
    for (key.bias = 0; key.bias < 2; key.bias++) {
        for (gint form = 0; form < CUDA_CONV_FORMS; form++)
            for (gint t = 0; t < 3; t++) {
                static const GpudlDType types[] = {GPUDL_DTYPE_F16, GPUDL_DTYPE_F32, GPUDL_DTYPE_BF16};

                key.dtype = (gint32)types[t];
                g_assert_cmpint(cuda_conv_has_form(&key, (CudaConvForm)form), ==,
                                form != CUDA_CONV_RESIDUAL_FIRST || (key.bias && types[t] != GPUDL_DTYPE_BF16));
            }
    }
    key.bias = 1;
    for (gint narrow = 0; narrow < 2; narrow++) {
        key.dtype = narrow ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16;
        cuda_conv_key_text(&key, step, sizeof step);
        g_assert_true(gpudl_cache_write(&f->convs.cache, step, &entry, message, sizeof message));
        g_assert_cmpint(cuda_convs_recall(&f->convs, "", (cudnnHandle_t)f, &key, &plan), ==, !narrow);
    }
}

/* Not measured: what is thought to be the fastest, if it is right. */
static void test_first(Fixture *f, gconstpointer data)
{
    CudaConvPlan plans[GPUDL_CONV_GEMM_PLANS];

    (void)data;
    f->convs.measured = 0;
    tune(f);
    g_assert_cmpint(cuda_gemm_plans(&f->device, &f->dense->key, plans, GPUDL_CONV_GEMM_PLANS), >=, 4);
    check_product(f->dense, plans[0].gemm.tile);
    g_assert_cmpint(f->dense->n_others, ==, 0);
    g_assert_cmpint(cuda_gemm_plans(&f->device, &f->deep->key, plans, GPUDL_CONV_GEMM_PLANS), >=, 4);
    check_product(f->deep, plans[0].gemm.tile);
    g_assert_cmpint(f->deep->gemm.splits, >, 1);
    g_assert_cmpint(f->deep->workspace, ==, (gint64)f->deep->gemm.splits * 4 * 64 * 4);
    check_own(f->narrow);
    g_assert_cmpstr(told->str, ==, "");
}

/* What is not what the direct kernel computes is told and left out. */
static void test_wrong(Fixture *f, gconstpointer data)
{
    CudaConvPlan plans[GPUDL_CONV_GEMM_PLANS];

    (void)data;
    f->convs.measured = 0;
    cuda_gemm_plans(&f->device, &f->dense->key, plans, GPUDL_CONV_GEMM_PLANS);
    own_double.wrong_tiles = 1u << plans[0].gemm.tile;
    tune(f);
    g_assert_cmpint(f->dense->form, ==, CUDA_CONV_GEMM);
    g_assert_cmpint(f->dense->gemm.tile, !=, plans[0].gemm.tile);
    g_assert_nonnull(strstr(told->str, "own product, tile "));
    g_assert_nonnull(strstr(told->str, " is wrong for 2x8x5x5, 3x3 taps to 80 channels in 1 groups\n"));
}

static void test_all_wrong(Fixture *f, gconstpointer measured)
{
    f->convs.measured = GPOINTER_TO_INT(measured);
    own_double.wrong_tiles = ~0u;
    tune(f);
    check_own(f->dense);
    check_own(f->deep);
    check_own(f->narrow);
    g_assert_cmpfloat(f->dense->ns, ==, f->convs.measured ? 9000 : 0);
}

/* Measured: the fastest, which is kept with all that it takes to find it again. */
static void test_fastest(Fixture *f, gconstpointer data)
{
    GpudlConvGemmPlan deep;

    (void)data;
    tune(f);
    check_product(f->dense, own_double.fastest_tile);
    check_product(f->deep, own_double.fastest_tile);
    check_own(f->narrow);
    g_assert_cmpfloat(f->dense->ns, ==, 1000);
    g_assert_cmpint(f->dense->n_others, >, 0); /* for the network's graph, each with what it runs by */
    for (gint i = 0; i < f->dense->n_others; i++) {
        const CudaConvPlan *other = &f->dense->others[i];
        g_autofree gchar *name =
            g_strdup_printf("own product, tile %d, split %d", other->gemm.tile, other->gemm.splits);

        g_assert_cmpstr(other->name, ==, name);
        g_assert_cmpint(other->gemm.tile, !=, own_double.fastest_tile);
    }
    g_assert_cmpfloat(f->narrow->ns, ==, 9000);
    deep = f->deep->gemm;
    begin_again(f);
    own_double.fastest_tile = FASTEST + 1; /* what is kept is not measured again */
    f->convs.measured = 0;
    tune(f);
    g_assert_cmpuint(own_double.runs, ==, 0);
    check_product(f->dense, FASTEST);
    check_product(f->deep, FASTEST);
    g_assert_cmpint(f->deep->gemm.splits, ==, deep.splits);
    g_assert_cmpint(f->deep->gemm.workspace_bytes, ==, deep.workspace_bytes);
    check_own(f->narrow);
    g_assert_cmpfloat(f->narrow->ns, ==, 9000);
}

static void check_forecast(Fixture *f, guint known)
{
    CudaTuning *tuning = begin(f);
    GpudlOpenForecast forecast = {0};
    GpudlFault fault = {""};
    g_auto(GStrv) lines = NULL;

    g_string_truncate(missing, 0);
    g_assert_cmpint(cuda_tuning_recall(tuning, &forecast, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(forecast.n_choices, ==, 4); /* three problems, and what is fastest inside the network */
    g_assert_cmpuint(forecast.n_known, ==, known);
    lines = g_strsplit(missing->str, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, known == 4 ? 0 : 4 - known + 1); /* behind the last end nothing */
    cuda_tuning_free(tuning);
}

static void test_forecast(Fixture *f, gconstpointer data)
{
    (void)data;
    f->convs.measured = 0;
    check_forecast(f, 0);
    g_assert_cmpint(f->deep->workspace, ==, 0);
    begin_again(f);
    tune(f); /* measures */
    cuda_convs_keep_network(&f->convs, "a network", 1, 1000);
    begin_again(f);
    f->convs.measured = 0;
    check_forecast(f, 4);
    g_assert_cmpint(f->deep->workspace, >, 0);
    g_assert_cmpuint(own_double.runs, ==, 0);
}

/* A plan is what the kernel says it is, whatever a file says. */
static void test_texts(Fixture *f, gconstpointer data)
{
    static const gchar *const bad[] = {
        "", "product 1", "product 7 split 1", "product 1 split 1 ", "product 1 split 17", "tile 1 split 1", "1 1"};
    CudaConvPlan plans[GPUDL_CONV_GEMM_PLANS], plan;
    const gint n = cuda_gemm_plans(&f->device, &f->deep->key, plans, GPUDL_CONV_GEMM_PLANS);

    (void)data;
    g_assert_cmpint(n, >, 4);
    for (gint i = 0; i < n; i++) {
        gsize bytes;
        g_autofree gchar *text = cuda_own_save(&plans[i], &bytes);

        memset(&plan, 0xff, sizeof plan);
        g_assert_true(cuda_own_load(&f->device, &f->deep->key, CUDA_CONV_GEMM, text, bytes, &plan));
        g_assert_cmpint(plan.form, ==, CUDA_CONV_GEMM);
        g_assert_cmpint(plan.gemm.tile, ==, plans[i].gemm.tile);
        g_assert_cmpint(plan.gemm.splits, ==, plans[i].gemm.splits);
        g_assert_cmpint(plan.workspace, ==, plans[i].workspace);
        g_assert_null(plan.plan);
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(cuda_own_load(&f->device, &f->deep->key, CUDA_CONV_GEMM, bad[i], strlen(bad[i]), &plan));
    g_assert_false(cuda_own_load(&f->device, &f->narrow->key, CUDA_CONV_GEMM, "product 3 split 1", 17, &plan));
    g_assert_cmpint(cuda_gemm_plans(&f->device, &f->deep->key, plans, 1), ==, 1);
}

/* They are in caches that there are. */
static void test_kept_texts(Fixture *f, gconstpointer data)
{
    static const struct {
        CudaConvPlan plan;
        const gchar *text;
    } rows[] = {{{.form = CUDA_CONV_GEMM, .gemm = {.tile = 3, .splits = 4}}, "product 3 split 4"},
                {{.form = CUDA_CONV_ONCE, .once = {.form = 1, .tile = 24, .parts = 2, .held = 5}},
                 "once 1 tile 24 parts 2 held 5"},
                {{.form = CUDA_CONV_GEMV, .gemv = {.rows = 16, .parts = 2, .warps = 8}}, "vectors 16 parts 2 warps 8"},
                {{.form = CUDA_CONV_DEPTHWISE, .depthwise = {.form = 4, .rows = 6}}, "depthwise 4 rows 6"},
                {{.form = CUDA_CONV_BLOCK, .block = {.tile = 2, .parts = 3}}, "block 2 parts 3"},
                {{.form = CUDA_CONV_STEM}, "stem"}};
    guint n_kept = 0;

    (void)f;
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        gsize bytes;
        g_autofree gchar *text = cuda_own_save(&rows[i].plan, &bytes);

        g_assert_cmpmem(text, bytes, rows[i].text, strlen(rows[i].text));
    }
    for (gint form = 0; form <= CUDA_CONV_LAST; form++)
        n_kept += cuda_own_keeps((CudaConvForm)form) != 0;
    g_assert_cmpuint(n_kept, ==, G_N_ELEMENTS(rows));
}

/* What was chosen with libraries is not known without, and the other way round. */
static void test_cache(Fixture *f, gconstpointer data)
{
    CudaConvs with;
    CudaConvPlan plan = {.ns = 7};
    const GpudlCacheEntry unproved = {.form = CUDA_CONV_OWN, .ns = 1000, .name = "settled on two streams"};
    char message[512];

    (void)data;
    begin_convs(&with, &f->device);
    f->device.cudnn = &cudnn;
    g_assert_true(cuda_convs_open_cache(&with, f->folder));
    g_assert_nonnull(strstr(with.cache.device, "cuDNN 91902"));
    f->dense->form = CUDA_CONV_OWN;
    f->dense->ns = 5000;
    g_assert_false(cuda_convs_recall(&with, "", NULL, &f->dense->key, &plan));
    cuda_convs_keep_plan(&with, f->dense);
    cuda_convs_keep_network(&with, "a network", 2, 1000);
    g_assert_true(cuda_convs_recall(&with, "", NULL, &f->dense->key, &plan));
    g_assert_cmpint(plan.form, ==, CUDA_CONV_OWN);
    g_assert_cmpfloat(plan.ns, ==, 5000);
    g_assert_false(cuda_convs_recall(&with, "", NULL, &f->deep->key, &plan));
    g_assert_false(cuda_convs_recall(&with, "a network", NULL, &f->dense->key, &plan));
    g_assert_cmpuint(cuda_convs_network_streams(&with, "a network"), ==, 2);
    cuda_convs_keep_network(&with, "a network", CUDA_APART, 1000);
    g_assert_cmpuint(cuda_convs_network_streams(&with, "a network"), ==, CUDA_APART);
    cuda_convs_keep_network(&with, "a network", 1, 1000);
    g_assert_cmpuint(cuda_convs_network_streams(&with, "a network"), ==, 1);
    g_assert_true(gpudl_cache_write(&with.cache, "a network", &unproved, message, sizeof message));
    g_assert_cmpuint(cuda_convs_network_streams(&with, "a network"), ==, 0);
    f->device.cudnn = NULL;
    g_assert_true(cuda_convs_open_cache(&f->convs, f->folder));
    g_assert_nonnull(strstr(f->convs.cache.device, "own kernels"));
    g_assert_false(cuda_convs_recall(&f->convs, "", NULL, &f->dense->key, &plan));
    g_assert_cmpuint(cuda_convs_network_streams(&f->convs, "a network"), ==, 0);
    f->deep->form = CUDA_CONV_OWN;
    f->deep->ns = 5000;
    cuda_convs_keep_plan(&f->convs, f->deep);
    cuda_convs_keep_choice(&f->convs, "a network", f->dense, 1);
    cuda_convs_keep_network(&f->convs, "another", 1, 1000);
    g_assert_true(cuda_convs_recall(&f->convs, "", NULL, &f->deep->key, &plan));
    g_assert_false(cuda_convs_recall(&with, "", NULL, &f->deep->key, &plan));
    g_assert_false(cuda_convs_recall(&with, "a network", NULL, &f->dense->key, &plan));
    g_assert_cmpuint(cuda_convs_network_streams(&with, "another"), ==, 0);
    cuda_convs_clear(&with);
}

static void test_handles(Fixture *f, gconstpointer data)
{
    GpudlFault fault = {""};
    char text[128];

    (void)data;
    g_assert_cmpint(cuda_bind(&f->device, NULL, &fault), ==, GPUDL_STATUS_OK);
    g_assert_null(f->device.handles[0]);
    cuda_describe(&f->device, text, sizeof text);
    g_assert_true(g_str_has_prefix(text, "NVIDIA Test, CUDA "));
    g_assert_true(g_str_has_suffix(text, ", own kernels"));
    f->device.cudnn = &cudnn;
    cuda_describe(&f->device, text, sizeof text);
    g_assert_true(g_str_has_suffix(text, ", cuDNN 9.19.2"));
}

/* ---- beside a library -------------------------------------------------------------------------------------------- */

/* One problem, for which the library has a plan of the form with the bias first and the bare one. */
static CudaConv *begin_beside(Fixture *f, gfloat ns, gboolean spoilt)
{
    CudaConvKey key = double_device_problem(8, 80);

    key.bias = 0;
    cuda_convs_clear(&f->convs);
    begin_convs(&f->convs, &f->device);
    f->device.cudnn = &own_library;
    own_double.library_ns = ns;
    own_double.is_spoilt = spoilt;
    return cuda_convs_add(&f->convs, &key);
}

static void test_beside(Fixture *f, gconstpointer data)
{
    CudaConv *conv = begin_beside(f, 1050, FALSE);
    CudaConvPlan plans[GPUDL_CONV_GEMM_PLANS];
    guint by_library = 0;

    (void)data;
    cuda_gemm_plans(&f->device, &conv->key, plans, GPUDL_CONV_GEMM_PLANS);
    own_double.fastest_tile = plans[0].gemm.tile;
    tune(f);
    check_product(conv, own_double.fastest_tile); /* the faster one */
    for (gint i = 0; i < conv->n_others; i++)     /* for the network's graph */
        by_library += conv->others[i].form == CUDA_CONV_BIAS_FIRST;
    g_assert_cmpuint(by_library, ==, 1);
    g_assert_cmpuint(own_double.runs, >=, 4); /* with NaN and without */
    g_assert_cmpuint(own_double.runs, <=, 6); /* three plans, however many there are */
    conv = begin_beside(f, 1050, FALSE);      /* kept, as the libraries' are */
    f->convs.measured = 0;
    own_double.runs = 0;
    tune(f);
    g_assert_cmpuint(own_double.runs, ==, 0);
    check_product(conv, own_double.fastest_tile);
}

/* A library's kernels are not queued where a fence before them can't be. */
static void test_beside_without_a_fence(Fixture *f, gconstpointer data)
{
    CudaConv *conv = begin_beside(f, 300, FALSE);

    (void)data;
    own_double.fails_fence = TRUE;
    tune(f);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_GEMM);
}

static void test_beside_a_faster_one(Fixture *f, gconstpointer data)
{
    CudaConv *conv = begin_beside(f, 300, FALSE);

    (void)data;
    tune(f);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_BIAS_FIRST);
    g_assert_cmpfloat(conv->ns, ==, 300);
    g_assert_cmpint(conv->n_others, ==, 0);
}

/* Bare plans are tried all the same where the library's others are wrong, and the direct kernel is the last of all. */
static void test_beside_a_wrong_one(Fixture *f, gconstpointer measured)
{
    CudaConv *conv = begin_beside(f, 300, TRUE);

    f->convs.measured = GPOINTER_TO_INT(measured);
    tune(f);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_GEMM);
    g_assert_nonnull(strstr(told->str, "float bias is wrong"));
    g_assert_nonnull(strstr(told->str, "bare bias is wrong"));
    own_double.wrong_tiles = ~0u;
    conv = begin_beside(f, 300, TRUE);
    conv->key.act = GPUDL_ACT_NONE; /* another problem: nothing is kept of it */
    f->convs.measured = GPOINTER_TO_INT(measured);
    tune(f);
    check_own(conv);
}

/* First choices are the library's. */
static void test_beside_first(Fixture *f, gconstpointer data)
{
    CudaConv *conv = begin_beside(f, 5000, FALSE);

    (void)data;
    f->convs.measured = 0;
    tune(f);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_BIAS_FIRST);
    g_assert_cmpuint(own_double.runs, ==, 0);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static const CudaConvKey block_key = {.dtype = GPUDL_DTYPE_F16,
                                      .n = 8,
                                      .c = 16,
                                      .h = 9,
                                      .w = 8,
                                      .k = 24,
                                      .r = 3,
                                      .s = 3,
                                      .p = 5,
                                      .q = 4,
                                      .groups = 1,
                                      .stride = {2, 2},
                                      .dilation = {1, 1},
                                      .pad_begin = {1, 1},
                                      .pad_end = {1, 1},
                                      .x_pitch = 16,
                                      .y_pitch = 32,
                                      .z_pitch = 24,
                                      .bias = 1,
                                      .act = GPUDL_ACT_RELU,
                                      .hidden = 40,
                                      .expands = 1,
                                      .inner_act = {GPUDL_ACT_CLIP, GPUDL_ACT_HARD_SWISH},
                                      .inner_beta = {6, 0}};

static void check_block(const CudaConv *block)
{
    g_assert_cmpint(block->form, ==, CUDA_CONV_BLOCK);
    g_assert_true(strstr(told->str, "is wrong") == NULL);
    g_assert_true(strstr(told->str, "of NaN") == NULL);
}

enum { EXPANDS = 1, IS_BF16 = 2 };

/* Its launch is right by its steps' direct kernels, and kept; its steps apart stay beside it. Unmeasured it is these.
 */
static void test_block(Fixture *f, gconstpointer data)
{
    const int kind = GPOINTER_TO_INT(data);
    CudaConvKey key = block_key;
    CudaConv *block;
    int n_apart = 0;

    key.expands = (kind & EXPANDS) != 0;
    if (kind & IS_BF16)
        key.dtype = GPUDL_DTYPE_BF16;
    if (!key.expands) {
        key.c = key.x_pitch = key.hidden;
        key.inner_act[0] = 0;
        key.inner_beta[0] = 0;
    }
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    check_block(block);
    for (int i = 0; i < block->n_others; i++)
        n_apart += block->others[i].form == CUDA_CONV_APART;
    g_assert_cmpint(n_apart, ==, 1);
    begin_again(f);
    f->convs.measured = 0;
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    check_block(block);
    g_assert_cmpint(block->n_others, ==, 0);
    begin_again(f);
    key.n--; /* of fewer frames a network has to be measured with it */
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    check_block(block);
    begin_again(f);
    f->convs.measured = 0;
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    g_assert_cmpint(block->form, ==, CUDA_CONV_APART);
    begin_again(f);
    f->convs.measured = 0;
    key.h++;
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    g_assert_true(block->chosen);
    g_assert_cmpint(block->form, ==, CUDA_CONV_APART);
}

/* What was chosen with clusters is not known where kernels are compiled for older devices, and none of them is tried.
 */
static void test_block_without_clusters(Fixture *f, gconstpointer data)
{
    CudaConvKey key = block_key;
    CudaConv *block;

    (void)data;
    f->device.properties.major = 9;
    key.hidden = 320; /* so many that it pays to share them */
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    check_block(block);
    g_assert_cmpint(block->block.parts, >, 1);
    begin_again(f);
    own_double.has_no_clusters = TRUE;
    f->convs.measured = 0;
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    g_assert_cmpint(block->form, ==, CUDA_CONV_APART);
    begin_again(f);
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    check_block(block);
    g_assert_cmpint(block->block.parts, ==, 1);
    for (int i = 0; i < block->n_others; i++)
        g_assert_cmpint(block->others[i].block.parts, <=, 1);
}

/* That its steps are all there is, is known as well: it is not tuned again. */
static void test_block_wrong(Fixture *f, gconstpointer data)
{
    CudaConvKey key = block_key;
    CudaConv *block = cuda_convs_add(&f->convs, &key);
    CudaConvPlan plan;

    (void)data;
    own_double.has_no_blocks = TRUE;
    tune(f);
    g_assert_cmpint(block->form, ==, CUDA_CONV_APART);
    g_assert_nonnull(strstr(told->str, "is wrong for 8x16x9x8"));
    g_assert_cmpfloat(block->ns, >, 0);
    g_assert_true(cuda_convs_recall(&f->convs, "", NULL, &key, &plan));
    g_assert_cmpint(plan.form, ==, CUDA_CONV_APART);
    begin_again(f);
    f->convs.measured = 0;
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    g_assert_cmpint(block->form, ==, CUDA_CONV_APART);
    g_assert_cmpfloat(block->ns, >, 0);
}

/* A problem is not computed by what is another kind's, though that would have such a plan for its extents. */
static void test_forms_of_other_problems(Fixture *f, gconstpointer data)
{
    static const CudaConvForm forms[] = {CUDA_CONV_OWN,       CUDA_CONV_APART, CUDA_CONV_GEMM, CUDA_CONV_ONCE,
                                         CUDA_CONV_DEPTHWISE, CUDA_CONV_BLOCK, CUDA_CONV_GEMV, CUDA_CONV_STEM};
    static int (*const finds[])(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room) = {
        NULL, NULL, cuda_gemm_plans, cuda_once_plans, cuda_depthwise_plans, cuda_block_plans, cuda_gemv_plans, NULL};
    CudaConvKey keys[6];
    guint n_known = 0;

    (void)data;
    g_assert_true(cuda_convs_open_cache(&f->convs, f->folder));
    for (guint k = 0; k < G_N_ELEMENTS(keys); k++)
        keys[k] = k == 1 ? block_key : double_device_problem(8, 80);
    keys[2].means = keys[3].pooled = keys[4].siblings = 1;
    keys[5].z_pitch = 0;
    keys[5].k = keys[5].groups = 8;
    keys[5].depthwise = 16;
    for (guint i = 0; i < G_N_ELEMENTS(keys) * G_N_ELEMENTS(forms); i++) {
        const guint k = i / G_N_ELEMENTS(forms), form = i % G_N_ELEMENTS(forms);
        const gboolean is_conv = k == 0 || k == 4;
        const gboolean fits[] = {is_conv, k >= 1 && k <= 4, is_conv, is_conv, k == 5, k == 1, FALSE, FALSE};
        CudaConvPlan plan = {.form = forms[form]};
        const gint n = finds[form] != NULL ? finds[form](&f->device, &keys[k], &plan, 1) : 1;
        gsize bytes = 0;
        g_autofree gchar *text = cuda_own_keeps(plan.form) ? cuda_own_save(&plan, &bytes) : NULL;
        const GpudlCacheEntry entry = {
            .form = (gint32)forms[form], .plan = text, .plan_bytes = bytes, .ns = 1000, .name = "kept"};
        gchar step[CUDA_STEP_ROOM], message[256];

        g_test_message("problem %u, form %d, %d plans", k, (gint)forms[form], n);
        cuda_conv_key_text(&keys[k], step, sizeof step);
        g_assert_true(gpudl_cache_write(&f->convs.cache, step, &entry, message, sizeof message));
        g_assert_cmpint(cuda_convs_recall(&f->convs, "", NULL, &keys[k], &plan), ==, fits[form] && n > 0);
        n_known += fits[form] && n > 0;
    }
    g_assert_cmpuint(n_known, >=, 10);
}

/* No library is asked for it: to one it would be another convolution, of weights that are not there. */
static void test_block_beside(Fixture *f, gconstpointer data)
{
    CudaConvKey key = block_key;
    CudaConv *block;

    (void)data;
    f->device.cudnn = &own_library;
    own_double.library_ns = 300;
    cuda_convs_clear(&f->convs);
    begin_convs(&f->convs, &f->device);
    f->convs.measured = 0;
    block = cuda_convs_add(&f->convs, &key);
    tune(f);
    g_assert_cmpint(block->form, ==, CUDA_CONV_APART);
    g_assert_cmpstr(told->str, ==, "");
    for (gint form = 0; form < CUDA_CONV_FORMS; form++)
        g_assert_false(cuda_conv_has_form(&key, (CudaConvForm)form));
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*test)(Fixture *f, gconstpointer data);
        gint data;
    } tests[] = {{"first", test_first, 0},
                 {"wrong", test_wrong, 0},
                 {"all-wrong", test_all_wrong, 0},
                 {"all-wrong-measured", test_all_wrong, 1},
                 {"fastest", test_fastest, 0},
                 {"forecast", test_forecast, 0},
                 {"texts", test_texts, 0},
                 {"kept-texts", test_kept_texts, 0},
                 {"cache", test_cache, 0},
                 {"handles", test_handles, 0},
                 {"bf16", test_bf16, 0},
                 {"bf16-bias", test_bf16_bias, 0},
                 {"beside", test_beside, 0},
                 {"beside-without-a-fence", test_beside_without_a_fence, 0},
                 {"beside-a-faster-one", test_beside_a_faster_one, 0},
                 {"beside-a-wrong-one", test_beside_a_wrong_one, 0},
                 {"beside-a-wrong-one-measured", test_beside_a_wrong_one, 1},
                 {"beside-first", test_beside_first, 0},
                 {"block", test_block, EXPANDS},
                 {"block-of-what-is-there", test_block, 0},
                 {"block-of-bfloat16", test_block, EXPANDS | IS_BF16},
                 {"block-without-clusters", test_block_without_clusters, 0},
                 {"block-wrong", test_block_wrong, 0},
                 {"block-beside", test_block_beside, 0},
                 {"forms-of-other-problems", test_forms_of_other_problems, 0}};

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree gchar *path = g_strdup_printf("/cuda-own/%s", tests[i].name);

        g_test_add(path, Fixture, GINT_TO_POINTER(tests[i].data), set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
