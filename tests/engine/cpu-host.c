/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu-host.h"

#include <glib/gstdio.h>
#include <gmodule.h>
#include <string.h>
#include <time.h>

#include "engine/cache.h"
#include "engine/interface.h"

static gint64 thread_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * G_GINT64_CONSTANT(1000000000) + t.tv_nsec;
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

/* Under the lock: gives a plan's constants the memory that can be seen now. */
static void show_constants(CpuHost *self, const GpudlPlan *plan)
{
    GpudlPlanTensor *tensors = (GpudlPlanTensor *)plan->tensors; /* the planner's, which made them on the heap */

    for (guint i = 0; i < plan->n_tensors; i++) {
        if (tensors[i].kind != GPUDL_PLAN_CONSTANT)
            continue;
        if (self->holds > 0 && self->copies->pdata[i] == NULL) {
            self->copies->pdata[i] = g_aligned_alloc(1, MAX(tensors[i].bytes, 1), 64);
            memcpy(self->copies->pdata[i], self->originals->pdata[i], tensors[i].bytes);
        } else if (self->holds == 0 && self->copies->pdata[i] != NULL) {
            memset(self->copies->pdata[i], 0xff, tensors[i].bytes);
            g_aligned_free(self->copies->pdata[i]);
            self->copies->pdata[i] = NULL;
        }
        tensors[i].data = self->copies->pdata[i];
    }
}

static void see_plan(CpuHost *self, const GpudlPlan *plan)
{
    g_mutex_lock(&self->lock);
    if (!g_ptr_array_find(self->seen_plans, plan, NULL)) {
        g_ptr_array_set_size(self->originals, (gint)plan->n_tensors);
        g_ptr_array_set_size(self->copies, (gint)plan->n_tensors);
        for (guint i = 0; i < plan->n_tensors; i++)
            self->originals->pdata[i] = (gpointer)plan->tensors[i].data;
        g_ptr_array_add(self->seen_plans, (gpointer)plan);
        show_constants(self, plan);
    }
    g_mutex_unlock(&self->lock);
}

static void change_holds(CpuHost *self, gint by)
{
    g_mutex_lock(&self->lock);
    self->holds += by;
    g_assert_cmpint(self->holds, >=, 0);
    for (guint i = 0; i < self->seen_plans->len; i++)
        show_constants(self, self->seen_plans->pdata[i]);
    g_mutex_unlock(&self->lock);
}

static GpudlStatus host_hold_constants(void *data, GpudlFault *fault)
{
    CpuHost *self = data;

    if (self->no_constants) {
        g_strlcpy(fault->message, "the model's file is gone", sizeof fault->message);
        return GPUDL_STATUS_FAILED;
    }
    change_holds(self, 1);
    return GPUDL_STATUS_OK;
}

static void host_release_constants(void *data)
{
    change_holds(data, -1);
}

/* ---- others ------------------------------------------------------------------------------------------------------ */

static const GpudlPlan *host_plan(void *data, int64_t batch, GpudlFault *fault)
{
    CpuHost *self = data;
    gint64 start = thread_ns();
    g_autoptr(GError) error = NULL;
    const GpudlPlan *plan;

    g_atomic_int_inc(&self->plans);
    if (self->planned != NULL)
        self->planned(self, batch);
    plan = gpudl_planner_get(self->planner, batch, &error);
    if (plan != NULL)
        see_plan(self, plan);
    else
        g_strlcpy(fault->message, error->message, sizeof fault->message);
    if (self->engine == NULL)
        self->host_ns += thread_ns() - start;
    return plan;
}

static uint64_t host_place(void *data, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                           uint64_t alignment, uint64_t *offsets)
{
    CpuHost *self = data;
    gint64 start = thread_ns();
    guint64 bytes;

    g_atomic_int_inc(&self->places);
    bytes = gpudl_place(n, sizes, first, last, alignment, offsets);

    if (self->engine == NULL)
        self->host_ns += thread_ns() - start;
    return bytes;
}

static void host_log(void *data, GpudlLogLevel level, const char *message)
{
    CpuHost *self = data;

    if (g_str_has_prefix(message, "step "))
        g_atomic_int_inc(&self->steps);
    if (level == GPUDL_LOG_WARNING)
        g_atomic_int_inc(&self->warnings);
    if (g_getenv("GPUDL_TEST_LOG") != NULL)
        g_test_message("%s", message);
}

static int host_cancelled(void *data)
{
    CpuHost *self = data;
    gint nth = g_atomic_int_add(&self->questions, 1) + 1;

    return self->cancelled != NULL && self->cancelled(self, (guint)nth);
}

static int host_closing(void *data)
{
    return 0;
}

static void host_progress(void *data, double done, const char *what)
{
    g_assert_true(done >= 0 && done <= 1);
    g_assert_nonnull(what);
}

static void host_missing(void *data, const char *what)
{
    CpuHost *self = data;

    g_assert_cmpuint(strlen(what), >, 0);
    g_atomic_int_inc(&self->missing);
}

static const GpudlBackend *find_backend(void)
{
    g_autofree gchar *path = g_build_filename(g_getenv("GPUDL_BACKEND_PATH"), "gpudl-cpu.so", NULL);
    GModule *module = g_module_open(path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    gpointer entry = NULL;

    if (module == NULL || !g_module_symbol(module, GPUDL_BACKEND_ENTRY, &entry))
        g_error("%s: %s", path, g_module_error());
    g_module_make_resident(module);
    return ((GpudlBackendEntry)entry)(GPUDL_BACKEND_ABI, GPUDL_BACKEND_INTERFACE);
}

GpudlPrecision cpu_host_precision(void)
{
    const gchar *name = g_getenv("GPUDL_TEST_PRECISION");

    if (name == NULL)
        return GPUDL_PRECISION_FP32;
    if (strcmp(name, "bf16") != 0)
        g_error("GPUDL_TEST_PRECISION=%s, expected bf16 or nothing", name);
    return GPUDL_PRECISION_BF16;
}

gboolean cpu_host_can(void)
{
    GpudlOpenParams params = {.precision = cpu_host_precision(), .activation = GPUDL_ACTIVATION_NONE};
    GpudlFault fault;

    return find_backend()->resolve(NULL, &params, &fault) == GPUDL_STATUS_OK;
}

CpuHost *cpu_host_new(const GpudlGraph *graph)
{
    CpuHost *self = g_new0(CpuHost, 1);

    self->backend = find_backend();
    g_assert_nonnull(self->backend);
    self->planner = gpudl_planner_new(graph, "0");
    g_mutex_init(&self->lock);
    self->seen_plans = g_ptr_array_new();
    self->originals = g_ptr_array_new();
    self->copies = g_ptr_array_new();
    self->host = (GpudlHost){.host = self,
                             .plan = host_plan,
                             .hold_constants = host_hold_constants,
                             .release_constants = host_release_constants,
                             .place = host_place,
                             .log = host_log,
                             .cancelled = host_cancelled,
                             .closing = host_closing,
                             .progress = host_progress,
                             .missing = host_missing};
    return self;
}

/* params, resolved; status and fault say whether they could be. */
static GpudlOpenParams resolve(CpuHost *self, const GpudlPlan *plan, const GpudlOpenParams *params)
{
    const GpudlShape *input = &plan->tensors[plan->inputs[0]].shape;
    GpudlOpenParams all = *params;

    all.input_channels = (gint)input->dims[1];
    all.input_height = (gint)input->dims[2];
    all.input_width = (gint)input->dims[3];
    if (all.precision == GPUDL_PRECISION_AUTO)
        all.precision = cpu_host_precision();
    if (!self->tunes)
        all.autotune = GPUDL_AUTOTUNE_OFF;
    self->status = self->backend->resolve(NULL, &all, &self->fault);
    all.memory_limit = params->memory_limit; /* the host's own affair */
    return all;
}

GpudlStatus cpu_host_foresee(CpuHost *self, const GpudlOpenParams *params, GpudlOpenForecast *forecast)
{
    const GpudlPlan *plan = gpudl_planner_get(self->planner, 1, NULL);
    const GpudlOpenParams all = resolve(self, plan, params);

    *forecast = (GpudlOpenForecast){0};
    if (self->status != GPUDL_STATUS_OK)
        return self->status;
    see_plan(self, plan);
    change_holds(self, 1);
    self->status = self->backend->forecast(NULL, &self->host, &all, forecast, &self->fault);
    change_holds(self, -1);
    g_assert_cmpint(self->holds, ==, 0);
    return self->status;
}

void cpu_host_start(CpuHost *self, const GpudlOpenParams *params)
{
    const GpudlPlan *plan = gpudl_planner_get(self->planner, 1, NULL);
    const GpudlOpenParams all = resolve(self, plan, params);

    if (self->status == GPUDL_STATUS_OK) {
        gint64 start = thread_ns();

        see_plan(self, plan);
        change_holds(self, 1);
        self->host_ns += thread_ns() - start;
        self->status = self->backend->open(NULL, &self->host, &all, &self->engine, &self->info, &self->fault);
        start = thread_ns();
        change_holds(self, -1);
        self->host_ns += thread_ns() - start;
        g_assert_cmpint(self->holds, ==, 0);
    }
}

CpuHost *cpu_host_open(const GpudlGraph *graph, const GpudlOpenParams *params)
{
    CpuHost *self = cpu_host_new(graph);

    cpu_host_start(self, params);
    return self;
}

void cpu_host_close(CpuHost *self)
{
    if (self->engine != NULL)
        self->backend->close(self->engine);
    gpudl_planner_free(self->planner);
    g_ptr_array_unref(self->seen_plans);
    g_ptr_array_unref(self->originals);
    g_ptr_array_unref(self->copies);
    g_mutex_clear(&self->lock);
    g_free(self);
}

void cpu_host_remove_cache(const gchar *folder)
{
    g_autofree gchar *inner = g_strdup_printf("%s/cpu-%d", folder, GPUDL_CACHE_FORMAT);
    g_autoptr(GDir) dir = g_dir_open(inner, 0, NULL);
    const gchar *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(inner, name, NULL);

        g_remove(path);
    }
    g_rmdir(inner);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}
