/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu-host.h"

#include <gmodule.h>
#include <time.h>

#include "engine/interface.h"

static gint64 thread_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * G_GINT64_CONSTANT(1000000000) + t.tv_nsec;
}

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
    if (plan == NULL)
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

static GpudlStatus host_hold_constants(void *data, GpudlFault *fault)
{
    return GPUDL_STATUS_OK;
}

static void host_release_constants(void *data)
{
}

CpuHost *cpu_host_new(const GpudlGraph *graph)
{
    CpuHost *self = g_new0(CpuHost, 1);
    g_autofree gchar *path = g_build_filename(g_getenv("GPUDL_BACKEND_PATH"), "gpudl-cpu.so", NULL);
    GModule *module = g_module_open(path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    gpointer entry = NULL;

    if (module == NULL || !g_module_symbol(module, GPUDL_BACKEND_ENTRY, &entry))
        g_error("%s: %s", path, g_module_error());
    g_module_make_resident(module);
    self->backend = ((GpudlBackendEntry)entry)(GPUDL_BACKEND_ABI, GPUDL_BACKEND_INTERFACE);
    g_assert_nonnull(self->backend);
    self->planner = gpudl_planner_new(graph, "0");
    self->host = (GpudlHost){.host = self,
                             .plan = host_plan,
                             .hold_constants = host_hold_constants,
                             .release_constants = host_release_constants,
                             .place = host_place,
                             .log = host_log,
                             .cancelled = host_cancelled,
                             .closing = host_closing};
    return self;
}

void cpu_host_start(CpuHost *self, const GpudlOpenParams *params)
{
    const GpudlPlan *plan = gpudl_planner_get(self->planner, 1, NULL);
    const GpudlShape *input = &plan->tensors[plan->inputs[0]].shape;
    GpudlOpenParams all = *params;

    all.input_channels = (gint)input->dims[1];
    all.input_height = (gint)input->dims[2];
    all.input_width = (gint)input->dims[3];
    self->status = self->backend->resolve(NULL, &all, &self->fault);
    all.memory_limit = params->memory_limit; /* the host's own affair */
    if (self->status == GPUDL_STATUS_OK)
        self->status = self->backend->open(NULL, &self->host, &all, &self->engine, &self->info, &self->fault);
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
    g_free(self);
}
