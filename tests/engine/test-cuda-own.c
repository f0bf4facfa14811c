/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that does without NVIDIA's libraries (GPUDL_CUDA_LIBS=0): our own kernel is chosen for all, nothing is
 * tried, read or kept. No device is needed, since none is asked. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "engine/cuda/tune.h"

static gint entered;

static CUresult push(CUcontext context)
{
    (void)context;
    entered++;
    return CUDA_SUCCESS;
}

static CUresult pop(CUcontext *context)
{
    *context = NULL;
    entered--;
    return CUDA_SUCCESS;
}

static CUresult get_version(int *version)
{
    *version = 13000;
    return CUDA_SUCCESS;
}

static size_t cudnn_version(void)
{
    return 91902;
}

static const CudaDriver driver = {.ctx_push = push, .ctx_pop = pop, .get_version = get_version};
static const CudaCudnn cudnn = {.get_version = cudnn_version};

static int never(void *host)
{
    (void)host;
    return 0;
}

static void log_message(void *host, GpudlLogLevel level, const char *message)
{
    (void)host;
    g_error("level %d: %s", (int)level, message);
}

static void name_missing(void *host, const char *what)
{
    (void)host;
    g_error("missing: %s", what);
}

static const GpudlHost host = {
    .log = log_message, .missing = name_missing, .cancelled = never, .closing = never, .waiting = never};

typedef struct {
    gchar *folder;
    CudaDevice device;
    CudaConvs convs;
    CudaConv *first, *second;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    CudaConvKey key;

    (void)data;
    f->folder = g_dir_make_tmp("gpudl-own-XXXXXX", NULL);
    f->device = (CudaDevice){.driver = &driver};
    g_strlcpy(f->device.properties.name, "NVIDIA Test", sizeof f->device.properties.name);
    pthread_mutex_init(&f->device.lock, NULL);
    pthread_mutex_init(&f->device.building, NULL);
    f->convs = (CudaConvs){.device = &f->device, .host = &host, .measured = 1};
    memset(&key, 0, sizeof key);
    key.n = 4;
    f->first = cuda_convs_add(&f->convs, &key);
    key.n = 1;
    f->second = cuda_convs_add(&f->convs, &key);
}

static void remove_all(const gchar *path)
{
    GDir *folder = g_dir_open(path, 0, NULL);
    const gchar *name;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree gchar *inside = g_build_filename(path, name, NULL);

        remove_all(inside);
    }
    g_clear_pointer(&folder, g_dir_close);
    g_assert_cmpint(g_remove(path), ==, 0);
}

/* Nothing was kept. */
static void check_empty(const gchar *path)
{
    GDir *folder = g_dir_open(path, 0, NULL);

    g_assert_null(g_dir_read_name(folder));
    g_dir_close(folder);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    cuda_convs_clear(&f->convs);
    g_assert_cmpint(entered, ==, 0);
    remove_all(f->folder);
    g_free(f->folder);
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

static void check_chosen(const Fixture *f)
{
    for (const CudaConv *conv = f->convs.first; conv != NULL; conv = conv->next) {
        g_assert_true(conv->chosen);
        g_assert_cmpint(conv->form, ==, CUDA_CONV_OWN);
        g_assert_cmpstr(conv->name, ==, "own kernel");
        g_assert_null(conv->plan);
        g_assert_cmpint(conv->workspace, ==, 0);
        g_assert_cmpint(conv->n_others, ==, 0);
    }
}

static void test_tuning(Fixture *f, gconstpointer data)
{
    CudaTuning *tuning = begin(f);
    GpudlFault fault = {""};
    int done = 0;

    (void)data;
    check_chosen(f);
    cuda_tuning_build(tuning);
    g_assert_cmpint(cuda_tuning_try(tuning, UINT64_MAX, &done, &fault), ==, GPUDL_STATUS_OK);
    g_assert_true(done);
    g_assert_cmpfloat(cuda_tuning_done(tuning), ==, 1);
    g_assert_true(cuda_tuning_is_settled(tuning));
    cuda_tuning_free(tuning);
    check_chosen(f);
    check_empty(f->folder);
}

static void test_forecast(Fixture *f, gconstpointer data)
{
    CudaTuning *tuning = begin(f);
    GpudlOpenForecast forecast = {0};
    GpudlFault fault = {""};

    (void)data;
    g_assert_cmpint(cuda_tuning_recall(tuning, &forecast, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(forecast.n_choices, ==, 0);
    g_assert_cmpuint(forecast.n_known, ==, 0);
    cuda_tuning_free(tuning);
    check_chosen(f);
    check_empty(f->folder);
}

/* What was chosen with libraries is not known without, and nothing is added to it. */
static void test_cache(Fixture *f, gconstpointer data)
{
    CudaConvs with = {.device = &f->device, .host = &host, .measured = 1};
    CudaConvPlan plan = {.ns = 7};
    CudaTuning *tuning;

    (void)data;
    f->device.cudnn = &cudnn;
    g_assert_true(cuda_convs_open_cache(&with, f->folder));
    g_assert_nonnull(strstr(with.cache.device, "cuDNN 91902"));
    f->first->form = CUDA_CONV_OWN;
    f->first->ns = 5000;
    g_assert_false(cuda_convs_recall(&with, "", NULL, &f->first->key, &plan));
    cuda_convs_keep_plan(&with, f->first);
    cuda_convs_keep_network(&with, "a network", 1000);
    g_assert_true(cuda_convs_recall(&with, "", NULL, &f->first->key, &plan));
    g_assert_cmpint(plan.form, ==, CUDA_CONV_OWN);
    g_assert_cmpfloat(plan.ns, ==, 5000);
    g_assert_false(cuda_convs_recall(&with, "", NULL, &f->second->key, &plan));
    g_assert_false(cuda_convs_recall(&with, "a network", NULL, &f->first->key, &plan));
    g_assert_true(cuda_convs_knows_network(&with, "a network"));
    f->device.cudnn = NULL;
    tuning = begin(f);
    g_assert_false(cuda_convs_recall(&f->convs, "", NULL, &f->first->key, &plan));
    g_assert_false(cuda_convs_knows_network(&f->convs, "a network"));
    cuda_convs_keep_plan(&f->convs, f->second);
    cuda_convs_keep_choice(&f->convs, "a network", f->first, 1);
    cuda_convs_keep_network(&f->convs, "another", 1000);
    g_assert_false(cuda_convs_recall(&with, "", NULL, &f->second->key, &plan));
    g_assert_false(cuda_convs_recall(&with, "a network", NULL, &f->first->key, &plan));
    g_assert_false(cuda_convs_knows_network(&with, "another"));
    cuda_tuning_free(tuning);
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

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*test)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"tuning", test_tuning}, {"forecast", test_forecast}, {"cache", test_cache}, {"handles", test_handles}};

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree gchar *path = g_strdup_printf("/cuda-own/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
