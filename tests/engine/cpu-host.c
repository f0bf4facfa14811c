/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu-host.h"

#include <gmodule.h>

#include "engine/interface.h"

static const GpudlPlan *host_plan(void *data, int64_t batch, GpudlFault *fault)
{
    CpuHost *self = data;
    g_autoptr(GError) error = NULL;
    const GpudlPlan *plan = gpudl_planner_get(self->planner, batch, &error);

    if (plan == NULL)
        g_strlcpy(fault->message, error->message, sizeof fault->message);
    return plan;
}

static uint64_t host_place(void *data, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                           uint64_t alignment, uint64_t *offsets)
{
    return gpudl_place(n, sizes, first, last, alignment, offsets);
}

static void host_log(void *data, GpudlLogLevel level, const char *message)
{
    if (g_getenv("GPUDL_TEST_LOG") != NULL)
        g_test_message("%s", message);
}

static int host_cancelled(void *data)
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

CpuHost *cpu_host_open(const GpudlGraph *graph, const GpudlOpenParams *params)
{
    CpuHost *self = g_new0(CpuHost, 1);
    g_autofree gchar *path = g_build_filename(g_getenv("GPUDL_BACKEND_PATH"), "gpudl-cpu.so", NULL);
    GModule *module = g_module_open(path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    const GpudlTensor *input = g_ptr_array_index(graph->inputs, 0);
    GpudlOpenParams all = *params;
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
                             .closing = host_cancelled};
    all.input_channels = (gint)input->shape.dims[1];
    all.input_height = (gint)input->shape.dims[2];
    all.input_width = (gint)input->shape.dims[3];
    self->status = self->backend->open(NULL, &self->host, &all, &self->engine, &self->info, &self->fault);
    return self;
}

void cpu_host_close(CpuHost *self)
{
    if (self->engine != NULL)
        self->backend->close(self->engine);
    gpudl_planner_free(self->planner);
    g_free(self);
}
