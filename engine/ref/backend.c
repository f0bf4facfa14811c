/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/gpudl.h"
#include "engine/interface.h"
#include "engine/module.h"
#include "kernels/preproc.h"
#include "ref.h"

#define ALIGNMENT 64
#define REF_PRECISIONS (1u << GPUDL_PRECISION_FP32)

/** A plan with memory under it: everything gpudl_ref_eval() wants lies ready, so that a run allocates nothing. */
typedef struct {
    const GpudlPlan *plan;
    GpudlTensorView *views;         /* by tensor index */
    const GpudlTensorView **inputs; /* of all nodes, one after the other */
    GpudlTensorView *outputs;       /* likewise */
    gpointer memory;                /* the block under the values; work is aligned inside it */
    guint8 *work;
    guint64 work_bytes, weight_bytes;
} Runner;

typedef struct {
    const GpudlHost *host;
    GpudlOpenParams params;
    Runner *runner; /* batch 1 */
    gboolean holds; /* constants: they are read where the host has them, from open() to close() */
} Engine;

/* ---- runner ------------------------------------------------------------------------------------------------------ */

static void runner_free(Runner *runner)
{
    g_free(runner->views);
    g_free(runner->inputs);
    g_free(runner->outputs);
    g_free(runner->memory);
    g_free(runner);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Runner, runner_free)

/** Lets the host place inputs and values, and gets the memory. */
static GpudlStatus place_values(Runner *runner, const GpudlHost *host, guint64 limit, GpudlFault *fault)
{
    const GpudlPlan *plan = runner->plan;
    g_autofree guint64 *numbers = g_new0(guint64, 2 * (gsize)plan->n_tensors + 1);
    g_autofree gint32 *lives = g_new0(gint32, 2 * (gsize)plan->n_tensors + 1);
    guint64 *sizes = numbers, *offsets = numbers + plan->n_tensors;
    gint32 *first = lives, *last = lives + plan->n_tensors;
    GpudlStatus status;

    for (guint i = 0; i < plan->n_tensors; i++) {
        const GpudlPlanTensor *tensor = &plan->tensors[i];

        first[i] = tensor->first_node;
        last[i] = tensor->last_node;
        if (tensor->kind == GPUDL_PLAN_CONSTANT)
            runner->weight_bytes += tensor->bytes;
        else
            sizes[i] = tensor->bytes;
    }
    runner->work_bytes = host->place(host->host, plan->n_tensors, sizes, first, last, ALIGNMENT, offsets);
    if (runner->work_bytes >= G_MAXSIZE - ALIGNMENT)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY,
                                 "the values of batch %" G_GINT64_FORMAT " need too much memory", plan->batch);
    status = gpudl_module_check_memory(limit, runner->weight_bytes, 1, runner->work_bytes, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    runner->memory = g_try_malloc(runner->work_bytes + ALIGNMENT);
    if (runner->memory == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for values of %" G_GUINT64_FORMAT " bytes",
                                 runner->work_bytes);
    runner->work = (guint8 *)runner->memory + (ALIGNMENT - (guintptr)runner->memory % ALIGNMENT) % ALIGNMENT;

    runner->views = g_new0(GpudlTensorView, plan->n_tensors + 1);
    for (guint i = 0; i < plan->n_tensors; i++) {
        const GpudlPlanTensor *tensor = &plan->tensors[i];

        runner->views[i].dtype = tensor->dtype;
        runner->views[i].shape = tensor->shape;
        runner->views[i].data =
            tensor->kind == GPUDL_PLAN_CONSTANT ? (gpointer)tensor->data : runner->work + offsets[i];
    }
    return GPUDL_STATUS_OK;
}

/** Lays out the operands of all nodes. */
static void bind_nodes(Runner *runner)
{
    const GpudlPlan *plan = runner->plan;
    gsize n_inputs = 0, n_outputs = 0;

    for (guint i = 0; i < plan->n_nodes; i++) {
        n_inputs += plan->nodes[i].n_inputs;
        n_outputs += plan->nodes[i].n_outputs;
    }
    runner->inputs = g_new0(const GpudlTensorView *, n_inputs + 1);
    runner->outputs = g_new0(GpudlTensorView, n_outputs + 1);
    n_inputs = n_outputs = 0;
    for (guint i = 0; i < plan->n_nodes; i++) {
        const GpudlPlanNode *node = &plan->nodes[i];

        for (guint j = 0; j < node->n_inputs; j++)
            runner->inputs[n_inputs++] = node->inputs[j] < 0 ? NULL : &runner->views[node->inputs[j]];
        for (guint j = 0; j < node->n_outputs; j++)
            runner->outputs[n_outputs++] = runner->views[node->outputs[j]];
    }
}

static GpudlStatus runner_new(const GpudlHost *host, gint64 batch, guint64 limit, Runner **result, GpudlFault *fault)
{
    g_autoptr(Runner) runner = g_new0(Runner, 1);
    GpudlStatus status;

    runner->plan = host->plan(host->host, batch, fault);
    if (runner->plan == NULL)
        return GPUDL_STATUS_UNSUPPORTED; /* the model does not hold for this batch; the host has written why */
    status = place_values(runner, host, limit, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    bind_nodes(runner);
    *result = g_steal_pointer(&runner);
    return GPUDL_STATUS_OK;
}

/** host: asked between nodes whether to give up; NULL: nobody is. */
static GpudlStatus run_nodes(const Runner *runner, const GpudlHost *host, GpudlFault *fault)
{
    const GpudlTensorView **inputs = runner->inputs;
    GpudlTensorView *outputs = runner->outputs;

    for (guint i = 0; i < runner->plan->n_nodes; i++) {
        const GpudlPlanNode *node = &runner->plan->nodes[i];
        g_autoptr(GError) error = NULL;

        if (host && host->cancelled(host->host))
            return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled before node \"%s\"", node->name);
        if (!gpudl_ref_eval((GpudlOp)node->op, node->name, node->attrs, inputs, node->n_inputs, outputs,
                            node->n_outputs, &error))
            return gpudl_module_fail(fault,
                                     g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED)
                                         ? GPUDL_STATUS_UNSUPPORTED
                                         : GPUDL_STATUS_FAILED,
                                     "%s", error->message);
        inputs += node->n_inputs;
        outputs += node->n_outputs;
    }
    return GPUDL_STATUS_OK;
}

/* ---- engine ------------------------------------------------------------------------------------------------------ */

static GpudlStatus ref_probe(int32_t device_id, GpudlFault *fault)
{
    return GPUDL_STATUS_OK;
}

static void ref_close(void *data)
{
    Engine *engine = data;

    g_clear_pointer(&engine->runner, runner_free);
    if (engine->holds)
        engine->host->release_constants(engine->host->host);
    g_free(engine);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, ref_close)

/** One run on zeros: tells how long a frame takes, and of operators without a kernel before the first frame. */
static GpudlStatus warm_up(const Engine *engine, guint64 *run_time_ns, GpudlFault *fault)
{
    const Runner *runner = engine->runner;
    const gint32 input = runner->plan->inputs[0];
    const guint64 begin = gpudl_module_now_ns();
    GpudlStatus status;

    memset(runner->views[input].data, 0, runner->plan->tensors[input].bytes);
    status = run_nodes(runner, engine->host, fault);
    *run_time_ns = MAX(gpudl_module_now_ns() - begin, 1);
    return status;
}

static GpudlStatus ref_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault)
{
    *n = 1;
    if (room > 0)
        *out = (GpudlBackendDevice){.name = "reference"};
    return GPUDL_STATUS_OK;
}

static GpudlStatus ref_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault)
{
    static const GpudlModuleAbility can = {"ref", REF_PRECISIONS, GPUDL_PRECISION_FP32, 1, 1};
    GpudlStatus status = gpudl_module_resolve(&can, params, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    params->threads = 1;
    params->deterministic = 0; /* it always is */
    params->autotune = 0;
    params->priority = 0;
    params->memory_limit = 0; /* nothing is chosen by it */
    return GPUDL_STATUS_OK;
}

static GpudlStatus ref_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **result,
                            GpudlEngineInfo *info, GpudlFault *fault)
{
    g_autoptr(Engine) engine = NULL;
    GpudlStatus status;

    if (host->cancelled(host->host))
        return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled");

    engine = g_new0(Engine, 1);
    engine->host = host;
    engine->params = *params;
    engine->params.cache_dir = NULL;
    status = host->hold_constants(host->host, fault);
    engine->holds = status == GPUDL_STATUS_OK;
    if (status == GPUDL_STATUS_OK)
        status = runner_new(host, 1, params->memory_limit, &engine->runner, fault);
    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_input(engine->runner->plan, &engine->params, fault);
    if (status == GPUDL_STATUS_OK)
        status = warm_up(engine, &info->run_time_ns, fault);
    if (status != GPUDL_STATUS_OK)
        return status;

    info->n_slots = 1;
    info->max_batch = 1;
    info->n_buckets = 1;
    info->buckets[0] = 1;
    info->bucket_ns[0] = info->run_time_ns;
    info->depth = 2; /* one runs, and one waits or is being pushed on */
    info->precision = GPUDL_PRECISION_FP32;
    info->weight_bytes = engine->runner->weight_bytes;
    info->work_bytes = engine->runner->work_bytes;
    info->memory_kinds = 1u << GPUDL_MEMORY_HOST;
    g_strlcpy(info->device_name, "reference (scalar code, sums in double)", sizeof(info->device_name));
    *result = g_steal_pointer(&engine);
    return GPUDL_STATUS_OK;
}

static GpudlStatus preprocess(const GpudlFrame *frame, const GpudlPreproc *preproc, float *dst, GpudlFault *fault)
{
    const char *format = gpudl_pixel_format_name(frame->format);

    if (gpudl_preproc_ref(frame, preproc, dst) != 0)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT,
                                 "frame (%s, %dx%d) or pre-processing is out of range",
                                 format ? format : "unknown format", frame->width, frame->height);
    return GPUDL_STATUS_OK;
}

static GpudlStatus run_job(const Engine *engine, const GpudlJob *job, GpudlFault *fault)
{
    const Runner *runner = engine->runner;
    const GpudlPlan *plan = runner->plan;
    const GpudlTensorView *input = &runner->views[plan->inputs[0]];
    GpudlStatus status = GPUDL_STATUS_OK;

    if (job->frame)
        status = preprocess(job->frame, job->preproc, input->data, fault);
    else
        gpudl_module_copy(&plan->tensors[plan->inputs[0]], input->data, job->values);
    if (status == GPUDL_STATUS_OK)
        status = run_nodes(runner, NULL, fault);
    for (guint i = 0; i < plan->n_outputs && status == GPUDL_STATUS_OK; i++)
        status = gpudl_module_write_head(&plan->tensors[plan->outputs[i]], runner->views[plan->outputs[i]].data,
                                         engine->params.activation, job->outputs[i], fault);
    return status;
}

static GpudlStatus ref_submit(void *data, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    GpudlStatus status = gpudl_module_check_slot(slot, 1, fault);

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_jobs(n, 1, fault);
    return status == GPUDL_STATUS_OK ? run_job(data, jobs, fault) : status;
}

static GpudlStatus ref_wait(void *data, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    return gpudl_module_check_slot(slot, 1, fault);
}

static GpudlStatus run_whole(const Runner *runner, const void *const *inputs, void *const *outputs, GpudlFault *fault)
{
    const GpudlPlan *plan = runner->plan;
    GpudlStatus status;

    for (guint i = 0; i < plan->n_inputs; i++)
        gpudl_module_copy(&plan->tensors[plan->inputs[i]], runner->views[plan->inputs[i]].data, inputs[i]);
    status = run_nodes(runner, NULL, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    for (guint i = 0; i < plan->n_outputs; i++)
        gpudl_module_copy(&plan->tensors[plan->outputs[i]], outputs[i], runner->views[plan->outputs[i]].data);
    return GPUDL_STATUS_OK;
}

static GpudlStatus ref_run_tensors(void *data, uint32_t slot, int64_t batch, const void *const *inputs,
                                   void *const *outputs, GpudlFault *fault)
{
    const Engine *engine = data;
    g_autoptr(Runner) larger = NULL;
    GpudlStatus status = gpudl_module_check_slot(slot, 1, fault);

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_batch(batch, fault);
    /* for checks, now and then: its memory is not kept */
    if (status == GPUDL_STATUS_OK && batch != 1)
        status = runner_new(engine->host, batch, engine->params.memory_limit, &larger, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    return run_whole(larger ? larger : engine->runner, inputs, outputs, fault);
}

static GpudlStatus ref_run_preproc(void *data, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                                   float *dst, GpudlFault *fault)
{
    GpudlStatus status = gpudl_module_check_slot(slot, 1, fault);

    return status == GPUDL_STATUS_OK ? preprocess(frame, preproc, dst, fault) : status;
}

const GpudlBackend *gpudl_ref_backend(void)
{
    static const GpudlBackend backend = {
        .abi_version = GPUDL_BACKEND_ABI,
        .interface = GPUDL_BACKEND_INTERFACE,
        .name = "ref",
        .flags = 0,
        .precisions = REF_PRECISIONS,
        .probe = ref_probe,
        .devices = ref_devices,
        .resolve = ref_resolve,
        .open = ref_open,
        .close = ref_close,
        .submit = ref_submit,
        .wait = ref_wait,
        .run_tensors = ref_run_tensors,
        .run_preproc = ref_run_preproc,
    };

    return &backend;
}
