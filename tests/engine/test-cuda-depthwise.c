/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Depthwise convolutions among the others whose plans are tried against the direct kernel, chosen by time and kept. The
 * kernels run on this processor (tests/kernels/emulate); what they deliver and how long they seem to take is this
 * test's to say. */
#include <glib.h>
#include <string.h>

#include "double-device.h"
#include "engine/cuda/own.h"
#include "engine/cuda/trial.h"
#include "engine/cuda/tune.h"

static int never(void *host)
{
    (void)host;
    return 0;
}

static GString *told;

static void log_message(void *host, GpudlLogLevel level, const char *message)
{
    (void)host;
    if (level != GPUDL_LOG_DEBUG)
        g_string_append_printf(told, "%s\n", message);
}

static const GpudlHost host = {.log = log_message, .cancelled = never, .closing = never, .waiting = never};

/* ---- the kernel, which may be wrong, and the clock --------------------------------------------------------------- */

/* Forms whose results are spoilt, a bit each; runs; the plan that seems to be the fastest. */
static guint wrong_forms, runs;
static GpudlDepthwisePlan fastest;

int __real_gpudl_depthwise_plan_cuda(const GpudlDepthwiseCall *call, const GpudlDepthwisePlan *plan,
                                     GpudlKernelStream stream);
int __wrap_gpudl_depthwise_plan_cuda(const GpudlDepthwiseCall *call, const GpudlDepthwisePlan *plan,
                                     GpudlKernelStream stream);
float __wrap_cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan);

int __wrap_gpudl_depthwise_plan_cuda(const GpudlDepthwiseCall *call, const GpudlDepthwisePlan *plan,
                                     GpudlKernelStream stream)
{
    const int status = __real_gpudl_depthwise_plan_cuda(call, plan, stream);
    const GpudlNhwc *ys = call->ys;

    runs++;
    if ((wrong_forms & 1u << plan->form) != 0) /* the last result of the last picture */
        ((guint16 *)call->y)[((gint64)ys->n * ys->h * ys->w - 1) * ys->pitch + ys->c - 1] ^= 0x3000;
    return status;
}

float __wrap_cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan)
{
    (void)trial;
    g_assert_cmpint(plan->form, ==, CUDA_CONV_DEPTHWISE);
    return memcmp(&plan->depthwise, &fastest, sizeof fastest) == 0 ? 1000 : 1600 + (float)plan->depthwise.form;
}

/* ---- a convolution ----------------------------------------------------------------------------------------------- */

typedef struct {
    gchar *folder;
    CudaDevice device;
    CudaConvs convs;
    CudaConv *conv;
} Fixture;

static const CudaConvKey narrow_key = {.dtype = GPUDL_DTYPE_F16,
                                       .n = 2,
                                       .c = 12,
                                       .h = 9,
                                       .w = 7,
                                       .k = 12,
                                       .r = 5,
                                       .s = 5,
                                       .p = 5,
                                       .q = 4,
                                       .groups = 12,
                                       .stride = {2, 2},
                                       .dilation = {1, 1},
                                       .pad_begin = {2, 2},
                                       .pad_end = {2, 2},
                                       .x_pitch = 12,
                                       .y_pitch = 20,
                                       .bias = 1,
                                       .act = GPUDL_ACT_HARD_SWISH,
                                       .depthwise = 8};

/* The problem in an engine that begins. */
static void begin(Fixture *f, const CudaConvKey *key)
{
    cuda_convs_clear(&f->convs);
    f->convs = (CudaConvs){.device = &f->device, .host = &host, .measured = 1};
    f->conv = cuda_convs_add(&f->convs, key);
    g_assert_true(cuda_convs_open_cache(&f->convs, f->folder));
    runs = 0;
}

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    told = g_string_new(NULL);
    wrong_forms = 0;
    f->folder = g_dir_make_tmp("gpudl-depthwise-XXXXXX", NULL);
    double_device_begin(&f->device);
    begin(f, &narrow_key);
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
    CudaTuning *tuning = cuda_tuning_new(&f->convs, "", &fault);
    int done = 0;

    g_assert_nonnull(tuning);
    cuda_tuning_build(tuning);
    g_assert_cmpint(cuda_tuning_try(tuning, UINT64_MAX, &done, &fault), ==, GPUDL_STATUS_OK);
    g_assert_true(done);
    cuda_tuning_free(tuning);
}

static gint find_plans(Fixture *f, CudaConvPlan plans[GPUDL_DEPTHWISE_PLANS])
{
    return cuda_depthwise_plans(&f->device, &f->conv->key, plans, GPUDL_DEPTHWISE_PLANS);
}

static void check_plan(const CudaConv *conv, const GpudlDepthwisePlan *plan)
{
    g_assert_true(conv->chosen);
    g_assert_cmpint(conv->form, ==, CUDA_CONV_DEPTHWISE);
    g_assert_cmpint(conv->depthwise.form, ==, plan->form);
    g_assert_cmpint(conv->depthwise.rows, ==, plan->rows);
    g_assert_cmpint(conv->workspace, ==, 0);
}

static void test_first(Fixture *f, gconstpointer data)
{
    CudaConvPlan plans[GPUDL_DEPTHWISE_PLANS];

    (void)data;
    g_assert_cmpint(find_plans(f, plans), >=, 3);
    g_assert_cmpint(plans[0].depthwise.form, >, 0);
    f->convs.measured = 0;
    tune(f);
    check_plan(f->conv, &plans[0].depthwise);
    g_assert_cmpuint(runs, ==, 2); /* with NaN and without */
    g_assert_cmpstr(told->str, ==, "");
}

/* The last of the plans is as good as the first. */
static void test_fastest(Fixture *f, gconstpointer data)
{
    CudaConvPlan plans[GPUDL_DEPTHWISE_PLANS];
    const gint n = find_plans(f, plans);

    (void)data;
    for (gint i = 0; i < n; i += n - 1) {
        g_autofree gchar *folder = g_steal_pointer(&f->folder);

        double_device_remove(folder);
        f->folder = g_dir_make_tmp("gpudl-depthwise-XXXXXX", NULL);
        begin(f, &narrow_key);
        fastest = plans[i].depthwise;
        tune(f);
        check_plan(f->conv, &fastest);
        g_assert_cmpstr(f->conv->name, ==, plans[i].name);
        g_assert_cmpuint(runs, ==, 2 * (guint)n);
    }
    g_assert_cmpstr(f->conv->name, ==, "depthwise kernel");
    g_assert_cmpstr(told->str, ==, "");
}

static void test_wrong(Fixture *f, gconstpointer measured)
{
    CudaConvPlan plans[GPUDL_DEPTHWISE_PLANS];

    find_plans(f, plans);
    fastest = plans[0].depthwise;
    wrong_forms = 1u << fastest.form;
    f->convs.measured = GPOINTER_TO_INT(measured);
    tune(f);
    g_assert_cmpint(f->conv->form, ==, CUDA_CONV_DEPTHWISE);
    g_assert_cmpint(f->conv->depthwise.form, !=, fastest.form);
    g_assert_nonnull(strstr(told->str, " is wrong for 2x12x9x7, 5x5 taps to 12 channels in 12 groups\n"));
}

static void test_all_wrong(Fixture *f, gconstpointer measured)
{
    static const GpudlDepthwisePlan last = {0, 0};

    wrong_forms = ~0u;
    f->convs.measured = GPOINTER_TO_INT(measured);
    tune(f);
    check_plan(f->conv, &last);
    g_assert_cmpstr(f->conv->name, ==, "depthwise kernel");
}

/* Kept, and recalled for the same problem alone. */
static void test_cache(Fixture *f, gconstpointer data)
{
    CudaConvPlan plans[GPUDL_DEPTHWISE_PLANS], plan;
    CudaConvKey key = narrow_key;
    GpudlCacheEntry entry = {.form = CUDA_CONV_OWN, .ns = 1000, .name = "own kernel"};
    char text[CUDA_STEP_ROOM], message[256];

    (void)data;
    find_plans(f, plans);
    fastest = plans[1].depthwise;
    tune(f);
    begin(f, &narrow_key);
    f->convs.measured = 0;
    tune(f);
    check_plan(f->conv, &fastest);
    g_assert_cmpuint(runs, ==, 0);
    key.depthwise = 2; /* at worse places: no vectors of 2 */
    g_assert_false(cuda_convs_recall(&f->convs, "", NULL, &key, &plan));
    begin(f, &key);
    g_assert_cmpint(find_plans(f, plans), >=, 2);
    for (gint i = 0; plans[i].depthwise.form > 0; i++)
        g_assert_cmpint(plans[i].depthwise.form, ==, 4);
    cuda_conv_key_text(&key, text, sizeof text); /* what another kind of plan would be */
    g_assert_true(gpudl_cache_write(&f->convs.cache, text, &entry, message, sizeof message));
    g_assert_false(cuda_convs_recall(&f->convs, "", NULL, &key, &plan));
    entry.form = CUDA_CONV_DEPTHWISE;
    entry.plan = (char *)"depthwise 1 rows 5";
    entry.plan_bytes = strlen(entry.plan);
    g_assert_true(gpudl_cache_write(&f->convs.cache, text, &entry, message, sizeof message));
    g_assert_false(cuda_convs_recall(&f->convs, "", NULL, &key, &plan));
    key.depthwise = 0;
    cuda_conv_key_text(&key, text, sizeof text);
    g_assert_true(gpudl_cache_write(&f->convs.cache, text, &entry, message, sizeof message));
    g_assert_false(cuda_convs_recall(&f->convs, "", NULL, &key, &plan));
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*test)(Fixture *f, gconstpointer data);
        gint data;
    } tests[] = {{"first", test_first, 0},         {"fastest", test_fastest, 0},
                 {"wrong", test_wrong, 0},         {"wrong-measured", test_wrong, 1},
                 {"all-wrong", test_all_wrong, 0}, {"all-wrong-measured", test_all_wrong, 1},
                 {"cache", test_cache, 0}};

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree gchar *path = g_strdup_printf("/cuda-depthwise/%s", tests[i].name);

        g_test_add(path, Fixture, GINT_TO_POINTER(tests[i].data), set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
