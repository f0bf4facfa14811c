/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernels for few pixels, and for few vectors, among what a convolution is computed by: tried against the direct kernel
 * on this processor, chosen where they are faster, kept and found again. */
#include <glib.h>
#include <string.h>

#include "double-device.h"
#include "engine/cuda/choice.h"
#include "engine/cuda/convs.h"
#include "engine/cuda/own.h"
#include "engine/cuda/trial.h"
#include "engine/cuda/tune.h"

/* ---- a host ------------------------------------------------------------------------------------------------------ */

static int never(void *data)
{
    (void)data;
    return 0;
}

static GString *told;

static void log_message(void *data, GpudlLogLevel level, const char *message)
{
    (void)data;
    if (level != GPUDL_LOG_DEBUG)
        g_string_append_printf(told, "%s\n", message);
}

static void name_missing(void *data, const char *what)
{
    (void)data;
    (void)what;
}

static const GpudlHost host = {
    .log = log_message, .missing = name_missing, .cancelled = never, .closing = never, .waiting = never};

/* ---- the kernels, which may be wrong or missing, and the clock --------------------------------------------------- */

static CudaConvForm form; /* that is tested */
static guint runs;        /* of it */
static gboolean is_spoilt, is_missing;
static gint fastest; /* its number among the plans, or -1: the product */
static CudaConvPlan plans[GPUDL_CONV_ONCE_PLANS];

int __real_gpudl_conv_once_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                                const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups,
                                const GpudlAct *act, void *y, const GpudlNhwc *ys, const GpudlConvOncePlan *plan,
                                GpudlKernelStream stream);
int __wrap_gpudl_conv_once_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                                const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups,
                                const GpudlAct *act, void *y, const GpudlNhwc *ys, const GpudlConvOncePlan *plan,
                                GpudlKernelStream stream);
int __wrap_gpudl_conv_once_runs(void);
int __real_gpudl_gemv_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                           int32_t k, const GpudlAct *act, void *y, int64_t y_pitch, const GpudlGemvPlan *plan,
                           GpudlKernelStream stream);
int __wrap_gpudl_gemv_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                           int32_t k, const GpudlAct *act, void *y, int64_t y_pitch, const GpudlGemvPlan *plan,
                           GpudlKernelStream stream);
int __wrap_gpudl_gemv_has_clusters(void);
int __real_gpudl_stem_cuda(GpudlDType dtype, const GpudlStem *stem, const void *x, const void *w, const float *bias,
                           void *y, GpudlKernelStream stream);
int __wrap_gpudl_stem_cuda(GpudlDType dtype, const GpudlStem *stem, const void *x, const void *w, const float *bias,
                           void *y, GpudlKernelStream stream);
float __wrap_cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan);

int __wrap_gpudl_conv_once_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                                const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups,
                                const GpudlAct *act, void *y, const GpudlNhwc *ys, const GpudlConvOncePlan *plan,
                                GpudlKernelStream stream)
{
    const int status =
        __real_gpudl_conv_once_cuda(dtype, x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, plan, stream);

    runs += form == CUDA_CONV_ONCE;
    if (is_spoilt)
        ((guint16 *)y)[((gint64)ys->n * ys->h * ys->w - 1) * ys->pitch + ys->c - 1] ^= 0x3000;
    return status;
}

int __wrap_gpudl_conv_once_runs(void)
{
    return !is_missing;
}

int __wrap_gpudl_gemv_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                           int32_t k, const GpudlAct *act, void *y, int64_t y_pitch, const GpudlGemvPlan *plan,
                           GpudlKernelStream stream)
{
    const int status = __real_gpudl_gemv_cuda(dtype, x, xs, w, bias, k, act, y, y_pitch, plan, stream);

    runs += form == CUDA_CONV_GEMV;
    if (is_spoilt)
        ((guint16 *)y)[(gint64)(xs->n - 1) * y_pitch + k - 1] ^= 0x3000;
    return status;
}

int __wrap_gpudl_gemv_has_clusters(void)
{
    return !is_missing;
}

int __wrap_gpudl_stem_cuda(GpudlDType dtype, const GpudlStem *stem, const void *x, const void *w, const float *bias,
                           void *y, GpudlKernelStream stream)
{
    const int status = __real_gpudl_stem_cuda(dtype, stem, x, w, bias, y, stream);

    runs += form == CUDA_CONV_STEM;
    if (is_spoilt)
        ((guint16 *)y)[((gint64)stem->ys.n * stem->ys.h * stem->ys.w - 1) * stem->ys.pitch + stem->ys.c - 1] ^= 0x3000;
    return status;
}

static gboolean is_same(const CudaConvPlan *plan, const CudaConvPlan *other)
{
    return memcmp(&plan->once, &other->once, sizeof plan->once) == 0 &&
           memcmp(&plan->gemv, &other->gemv, sizeof plan->gemv) == 0;
}

float __wrap_cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan)
{
    (void)trial;
    if (plan->form != form)
        return plan->form == CUDA_CONV_GEMM ? 1000 : 9000;
    return fastest >= 0 && is_same(plan, &plans[fastest]) ? 800 : 1010;
}

/* ---- a convolution ----------------------------------------------------------------------------------------------- */

typedef struct {
    gchar *folder;
    CudaDevice device;
    CudaConvs convs;
    CudaConv *conv;
    CudaConvKey key;
} Fixture;

static void begin(Fixture *f, gboolean measured)
{
    cuda_convs_clear(&f->convs);
    f->convs = (CudaConvs){.device = &f->device, .host = &host, .measured = measured};
    f->conv = cuda_convs_add(&f->convs, &f->key);
    runs = 0;
}

/* Two pixels of each of three pictures. */
static const CudaConvKey gemv_key = {.dtype = GPUDL_DTYPE_F16,
                                     .n = 3,
                                     .c = 1032,
                                     .h = 1,
                                     .w = 2,
                                     .k = 72,
                                     .r = 1,
                                     .s = 1,
                                     .p = 1,
                                     .q = 2,
                                     .groups = 1,
                                     .stride = {1, 1},
                                     .dilation = {1, 1},
                                     .x_pitch = 1040,
                                     .y_pitch = 80,
                                     .bias = 1,
                                     .act = GPUDL_ACT_HARD_SWISH};

/* Whose maxima are of windows that begin beside the picture. */
static const CudaConvKey stem_key = {.dtype = GPUDL_DTYPE_F16,
                                     .n = 3,
                                     .c = 4,
                                     .h = 20,
                                     .w = 37,
                                     .k = 24,
                                     .r = 7,
                                     .s = 7,
                                     .p = 5,
                                     .q = 10,
                                     .groups = 1,
                                     .stride = {2, 2},
                                     .dilation = {1, 1},
                                     .pad_begin = {3, 3},
                                     .pad_end = {3, 3},
                                     .x_pitch = 4,
                                     .y_pitch = 32,
                                     .bias = 1,
                                     .act = GPUDL_ACT_RELU,
                                     .pooled = 1,
                                     .pool_pad = {1, 1}};

static gint find(const Fixture *f, CudaConvPlan *found, gint room)
{
    if (form == CUDA_CONV_STEM)
        return cuda_stem_plans(&f->key, found, room);
    return form == CUDA_CONV_ONCE ? cuda_once_plans(&f->device, &f->key, found, room)
                                  : cuda_gemv_plans(&f->device, &f->key, found, room);
}

static void set_up(Fixture *f, gconstpointer data)
{
    form = (CudaConvForm)GPOINTER_TO_INT(data);
    told = g_string_new(NULL);
    is_spoilt = is_missing = FALSE;
    fastest = form == CUDA_CONV_STEM ? 0 : 1;
    f->key = form == CUDA_CONV_ONCE ? double_device_problem(128, 72) : form == CUDA_CONV_STEM ? stem_key : gemv_key;
    f->folder = g_dir_make_tmp("gpudl-once-XXXXXX", NULL);
    double_device_begin(&f->device);
    begin(f, TRUE);
    g_assert_cmpint(find(f, plans, G_N_ELEMENTS(plans)), >, form == CUDA_CONV_STEM ? 0 : 8);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    cuda_convs_clear(&f->convs);
    g_assert_cmpint(double_device_entered(), ==, 0);
    double_device_remove(f->folder);
    g_free(f->folder);
    g_string_free(told, TRUE);
}

static void tune(Fixture *f)
{
    GpudlFault fault = {""};
    CudaTuning *tuning;
    int done = 0;

    g_assert_true(cuda_convs_open_cache(&f->convs, f->folder));
    tuning = cuda_tuning_new(&f->convs, "a network", &fault);
    g_assert_nonnull(tuning);
    cuda_tuning_build(tuning);
    g_assert_cmpint(cuda_tuning_try(tuning, UINT64_MAX, &done, &fault), ==, GPUDL_STATUS_OK);
    g_assert_true(done);
    cuda_tuning_free(tuning);
}

static void check_fastest(const Fixture *f)
{
    const CudaConvPlan plan = cuda_conv_plan(f->conv);

    g_assert_cmpint(f->conv->form, ==, form);
    g_assert_true(is_same(&plan, &plans[fastest]));
    g_assert_cmpstr(f->conv->name, ==, plans[fastest].name);
    g_assert_true(g_str_has_prefix(f->conv->name, form == CUDA_CONV_ONCE   ? "at once, "
                                                  : form == CUDA_CONV_STEM ? "convolution "
                                                                           : "vectors, "));
    g_assert_cmpint(f->conv->workspace, ==, 0);
    g_assert_cmpfloat(f->conv->ns, ==, 800);
}

/* All that are tried compute what they should; the fastest one is kept with all that it takes to find it again. */
static void test_fastest(Fixture *f, gconstpointer data)
{
    guint products = 0;

    (void)data;
    tune(f);
    check_fastest(f);
    g_assert_cmpstr(told->str, ==, "");
    g_assert_cmpuint(runs, ==, 16); /* eight plans, with NaN and without */
    for (gint i = 0; i < f->conv->n_others; i++)
        products += f->conv->others[i].form == CUDA_CONV_GEMM;
    g_assert_cmpint(f->conv->n_others, ==, CUDA_CONV_OTHERS);
    g_assert_cmpuint(products, >, 0);
    begin(f, FALSE);
    tune(f);
    g_assert_cmpuint(runs, ==, 0);
    check_fastest(f);
}

static void test_slower(Fixture *f, gconstpointer data)
{
    (void)data;
    fastest = -1;
    tune(f);
    g_assert_cmpuint(runs, >, 0);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_GEMM);
}

static void test_wrong(Fixture *f, gconstpointer data)
{
    (void)data;
    is_spoilt = TRUE;
    tune(f);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_GEMM);
    g_assert_nonnull(strstr(told->str, plans[fastest].name));
    g_assert_nonnull(strstr(told->str, form == CUDA_CONV_ONCE
                                           ? " is wrong for 2x128x5x5, 3x3 taps to 72 channels in 1 groups\n"
                                           : " is wrong for 3x1032x1x2, 1x1 taps to 72 channels in 1 groups\n"));
}

/* What was kept is of no use where the kernels are not, or not for this problem. */
static void test_missing(Fixture *f, gconstpointer data)
{
    (void)data;
    while (form == CUDA_CONV_GEMV && plans[fastest].gemv.parts == 1) /* clusters are what is missing */
        fastest++;
    g_assert_cmpint(fastest, <, 8);
    tune(f);
    check_fastest(f);
    is_missing = TRUE;
    begin(f, FALSE);
    tune(f);
    g_assert_cmpuint(runs, ==, 0);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_GEMM);
}

static void test_first(Fixture *f, gconstpointer data)
{
    (void)data;
    begin(f, FALSE);
    tune(f);
    g_assert_cmpuint(runs, ==, 0); /* not measured: not taken on trust */
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_GEMM);
}

static void test_plans(Fixture *f, gconstpointer data)
{
    static const gchar *const bad[] = {"",
                                       "once 0",
                                       "once 0 tile 20 parts 1 held 0",
                                       "once 0 tile 24 parts 3 held 0",
                                       "once 2 tile 24 parts 1 held 0",
                                       "once 0 tile 24 parts 1 held 0 "};
    CudaConvPlan found[GPUDL_CONV_ONCE_PLANS], plan;
    const gint n = cuda_once_plans(&f->device, &f->key, found, GPUDL_CONV_ONCE_PLANS);

    (void)data;
    for (gint i = 0; i < n; i++) {
        gsize bytes;
        g_autofree gchar *text = cuda_own_save(&found[i], &bytes);

        g_assert_true(cuda_own_load(&f->device, &f->key, CUDA_CONV_ONCE, text, bytes, &plan));
        g_assert_cmpint(plan.form, ==, CUDA_CONV_ONCE);
        g_assert_cmpmem(&plan.once, sizeof plan.once, &found[i].once, sizeof plan.once);
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(cuda_own_load(&f->device, &f->key, CUDA_CONV_ONCE, bad[i], strlen(bad[i]), &plan));
    g_assert_cmpint(cuda_once_plans(&f->device, &f->key, found, 3), ==, 3);
    f->key.n = 8;
    g_assert_cmpint(cuda_once_plans(&f->device, &f->key, found, 3), ==, 3);
    f->key.n = 9;
    g_assert_cmpint(cuda_once_plans(&f->device, &f->key, found, 3), ==, 0);
    f->key.n = 1;
    f->key.dtype = GPUDL_DTYPE_F32;
    g_assert_cmpint(cuda_once_plans(&f->device, &f->key, found, 3), ==, 0);
}

/* Pixels of all pictures, eight at most, or whole pictures; nothing else. */
static void test_vectors(Fixture *f, gconstpointer data)
{
    static const gchar *const bad[] = {"", "vectors 16", "vectors 24 parts 1 warps 8", "vectors 16 parts 3 warps 8",
                                       "vectors 16 parts 1 warps 8 "};
    CudaConvPlan found[GPUDL_GEMV_PLANS], plan;
    const gint n = find(f, found, GPUDL_GEMV_PLANS);
    CudaConvKey wrong[12];

    (void)data;
    for (gint i = 0; i < n; i++) {
        gsize bytes;
        g_autofree gchar *text = cuda_own_save(&found[i], &bytes);

        g_assert_true(cuda_own_load(&f->device, &f->key, CUDA_CONV_GEMV, text, bytes, &plan));
        g_assert_cmpint(plan.form, ==, CUDA_CONV_GEMV);
        g_assert_cmpmem(&plan.gemv, sizeof plan.gemv, &found[i].gemv, sizeof plan.gemv);
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(cuda_own_load(&f->device, &f->key, CUDA_CONV_GEMV, bad[i], strlen(bad[i]), &plan));
    g_assert_cmpint(find(f, found, 3), ==, 3);
    f->key.n = 4;
    g_assert_cmpint(find(f, found, 3), ==, 3);
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++)
        wrong[i] = gemv_key;
    wrong[0].n = 5;
    wrong[1].dtype = GPUDL_DTYPE_F32;
    wrong[2].groups = 2;
    wrong[3].z_pitch = 72;
    wrong[4].pad_begin[1] = wrong[4].pad_end[0] = 1;
    wrong[5].stride[1] = 2;
    wrong[6].s = 2; /* the window is the picture, but pictures have gaps */
    wrong[6].q = 1;
    wrong[7].q = 1;
    wrong[8].hidden = 8;
    wrong[9].depthwise = 16;
    wrong[10] = wrong[6];
    wrong[10].x_pitch = 1032;
    wrong[11] = wrong[10];
    wrong[11].dilation[1] = 2;
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        f->key = wrong[i];
        g_assert_cmpint(find(f, found, 3), ==, i == 10 ? 3 : 0);
    }
}

/* Whole pictures: the order of their pixels is that of the weights' taps. */
static void test_pictures(Fixture *f, gconstpointer data)
{
    (void)data;
    f->key.c = f->key.x_pitch = 136;
    f->key.n = 7;
    f->key.h = f->key.r = 3;
    f->key.s = 2;
    f->key.q = 1;
    f->key.stride[0] = 2; /* there is no second place */
    begin(f, TRUE);
    g_assert_cmpint(find(f, plans, G_N_ELEMENTS(plans)), >, 8);
    tune(f);
    check_fastest(f);
    g_assert_cmpstr(told->str, ==, "");
}

static void make_means(Fixture *f, gint n)
{
    f->key.n = n;
    f->key.h = 3;
    f->key.w = 5;
    f->key.q = f->key.means = 1;
    g_assert_cmpint(find(f, plans, G_N_ELEMENTS(plans)), >, 8);
}

/* Of means: right by a pool's and the direct kernel, and kept; the steps apart stay beside it. Of few frames it is
 * these unless the network was measured. */
static void test_means(Fixture *f, gconstpointer data)
{
    gint n_apart = 0;

    (void)data;
    make_means(f, 8);
    begin(f, TRUE);
    tune(f);
    check_fastest(f);
    g_assert_cmpstr(told->str, ==, "");
    g_assert_cmpuint(runs, ==, 16);
    for (gint i = 0; i < f->conv->n_others; i++)
        n_apart += f->conv->others[i].form == CUDA_CONV_APART;
    g_assert_cmpint(n_apart, ==, 1);
    begin(f, FALSE);
    tune(f);
    g_assert_cmpuint(runs, ==, 0);
    check_fastest(f);
    make_means(f, 3);
    begin(f, TRUE);
    tune(f);
    check_fastest(f);
    begin(f, FALSE);
    tune(f);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_APART);
    f->key.h++;
    begin(f, FALSE);
    tune(f);
    g_assert_true(f->conv->chosen);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_APART);
}

/* Its product alone is another problem, and no library is asked for it. */
static void test_wrong_means(Fixture *f, gconstpointer data)
{
    const CudaConvKey product = f->key;
    CudaConvPlan plan;
    gchar texts[2][512];

    (void)data;
    make_means(f, 3);
    begin(f, TRUE);
    is_spoilt = TRUE;
    tune(f);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_APART);
    g_assert_cmpint(f->conv->n_others, ==, 0);
    g_assert_nonnull(strstr(told->str, " is wrong for 3x1032x3x5, "));
    g_assert_true(cuda_convs_recall(&f->convs, "", NULL, &f->key, &plan));
    g_assert_cmpint(plan.form, ==, CUDA_CONV_APART);
    for (gint i = 0; i < CUDA_CONV_FORMS; i++)
        g_assert_false(cuda_conv_has_form(&f->key, (CudaConvForm)i));
    cuda_conv_key_text(&f->key, texts[0], sizeof texts[0]);
    f->key.means = 0;
    cuda_conv_key_text(&f->key, texts[1], sizeof texts[1]);
    g_assert_cmpstr(texts[0], !=, texts[1]);
    g_assert_cmpint(find(f, plans, G_N_ELEMENTS(plans)), ==, 0); /* means are not windows */
    f->key = product;
}

/* Of siblings: any convolution's plan, or their steps. */
static void test_siblings(Fixture *f, gconstpointer data)
{
    const CudaConvKey alone = double_device_problem(128, 72);
    gchar texts[2][512];
    gint n_apart = 0, n_products = 0;

    (void)data;
    f->key.siblings = 1;
    begin(f, TRUE);
    tune(f);
    check_fastest(f);
    g_assert_true(cuda_conv_is_one_launch(f->conv));
    g_assert_true(cuda_conv_has_form(&f->key, CUDA_CONV_BIAS_FIRST));
    for (gint i = 0; i < f->conv->n_others; i++) {
        n_apart += f->conv->others[i].form == CUDA_CONV_APART;
        n_products += f->conv->others[i].form == CUDA_CONV_GEMM;
    }
    g_assert_cmpint(n_apart, ==, 1);
    g_assert_cmpint(n_products, >, 0);
    begin(f, FALSE);
    g_assert_false(cuda_conv_is_one_launch(f->conv));
    tune(f); /* of few frames */
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_APART);
    g_assert_false(cuda_conv_is_one_launch(f->conv));
    f->key.n = 8;
    begin(f, TRUE);
    tune(f);
    begin(f, FALSE);
    tune(f);
    g_assert_cmpint(f->conv->form, !=, CUDA_CONV_APART);
    cuda_conv_key_text(&alone, texts[0], sizeof texts[0]);
    f->key.n = alone.n;
    cuda_conv_key_text(&f->key, texts[1], sizeof texts[1]);
    g_assert_cmpstr(texts[0], !=, texts[1]);
}

/* A convolution's maxima, likewise; what is no such block has no plan. */
static void test_stem(Fixture *f, gconstpointer data)
{
    CudaConvKey wrong[10];
    CudaConvPlan plan;
    const CudaConvPlan only = {.form = CUDA_CONV_STEM};
    gsize bytes;
    g_autofree gchar *text = cuda_own_save(&only, &bytes);

    (void)data;
    tune(f);
    check_fastest(f);
    g_assert_cmpstr(told->str, ==, "");
    g_assert_cmpuint(runs, ==, 2);
    g_assert_cmpint(f->conv->n_others, ==, 1);
    g_assert_cmpint(f->conv->others[0].form, ==, CUDA_CONV_APART);
    begin(f, FALSE);
    tune(f);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_APART); /* of few frames */
    f->key.n = 8;
    begin(f, TRUE);
    tune(f);
    begin(f, FALSE);
    tune(f);
    check_fastest(f);
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++)
        wrong[i] = stem_key;
    wrong[0].pooled = 0;
    wrong[1].s = 3;
    wrong[2].stride[0] = 1;
    wrong[3].dilation[1] = 2;
    wrong[4].groups = 2;
    wrong[5].z_pitch = 32;
    wrong[6].dtype = GPUDL_DTYPE_F32;
    wrong[7].c = wrong[7].x_pitch = 8;
    wrong[8].pool_pad[1] = 2;
    g_assert_true(cuda_own_load(&f->device, &stem_key, CUDA_CONV_STEM, text, bytes, &plan));
    g_assert_cmpint(plan.form, ==, CUDA_CONV_STEM);
    g_assert_false(cuda_own_load(&f->device, &stem_key, CUDA_CONV_STEM, "stem 1", 6, &plan));
    g_assert_false(cuda_own_load(&f->device, &stem_key, CUDA_CONV_STEM, "stem", 3, &plan));
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_cmpint(cuda_stem_plans(&wrong[i], &plan, 1), ==, i == 9);
        g_assert_cmpint(cuda_own_load(&f->device, &wrong[i], CUDA_CONV_STEM, text, bytes, &plan), ==, i == 9);
    }
    g_assert_cmpint(cuda_stem_plans(&stem_key, &plan, 0), ==, 0);
}

static void test_wrong_stem(Fixture *f, gconstpointer data)
{
    CudaConvKey other = f->key;
    gchar texts[2][512];

    (void)data;
    is_spoilt = TRUE;
    tune(f);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_APART);
    g_assert_nonnull(strstr(told->str, "convolution and maxima is wrong for 3x4x20x37, "));
    other.pool_pad[0] = 0;
    cuda_conv_key_text(&f->key, texts[0], sizeof texts[0]);
    cuda_conv_key_text(&other, texts[1], sizeof texts[1]);
    g_assert_cmpstr(texts[0], !=, texts[1]);
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*test)(Fixture *f, gconstpointer data);
        CudaConvForm form;
    } tests[] = {
        {"once/fastest", test_fastest, CUDA_CONV_ONCE},   {"once/slower", test_slower, CUDA_CONV_ONCE},
        {"once/wrong", test_wrong, CUDA_CONV_ONCE},       {"once/missing", test_missing, CUDA_CONV_ONCE},
        {"once/siblings", test_siblings, CUDA_CONV_ONCE}, {"once/first", test_first, CUDA_CONV_ONCE},
        {"once/plans", test_plans, CUDA_CONV_ONCE},       {"gemv/fastest", test_fastest, CUDA_CONV_GEMV},
        {"gemv/slower", test_slower, CUDA_CONV_GEMV},     {"gemv/wrong", test_wrong, CUDA_CONV_GEMV},
        {"gemv/missing", test_missing, CUDA_CONV_GEMV},   {"gemv/first", test_first, CUDA_CONV_GEMV},
        {"gemv/vectors", test_vectors, CUDA_CONV_GEMV},   {"gemv/pictures", test_pictures, CUDA_CONV_GEMV},
        {"gemv/means", test_means, CUDA_CONV_GEMV},       {"gemv/wrong-means", test_wrong_means, CUDA_CONV_GEMV},
        {"stem/right", test_stem, CUDA_CONV_STEM},        {"stem/wrong", test_wrong_stem, CUDA_CONV_STEM}};

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree gchar *path = g_strdup_printf("/cuda-%s", tests[i].name);

        g_test_add(path, Fixture, GINT_TO_POINTER(tests[i].form), set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
