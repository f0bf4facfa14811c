/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/interface.h"
#include "kernels/cast.h"
#include "kernels/elementwise.h"
#include "kernels/preproc.h"
#include "kernels/softmax.h"
#include "ref.h"

#define ALIGNMENT 64

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
} Engine;

G_GNUC_PRINTF(3, 4)
static GpudlStatus fail(GpudlFault *fault, GpudlStatus status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);
    return status;
}

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
        return fail(fault, GPUDL_STATUS_NO_MEMORY, "the values of batch %" G_GINT64_FORMAT " need too much memory",
                    plan->batch);
    if (limit > 0 && (runner->weight_bytes > limit || runner->work_bytes > limit - runner->weight_bytes))
        return fail(fault, GPUDL_STATUS_NO_MEMORY,
                    "weights of %" G_GUINT64_FORMAT " and values of %" G_GUINT64_FORMAT
                    " bytes are more than the memory limit of %" G_GUINT64_FORMAT,
                    runner->weight_bytes, runner->work_bytes, limit);
    runner->memory = g_try_malloc(runner->work_bytes + ALIGNMENT);
    if (runner->memory == NULL)
        return fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for values of %" G_GUINT64_FORMAT " bytes",
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
            return fail(fault, GPUDL_STATUS_FAILED, "cancelled before node \"%s\"", node->name);
        if (!gpudl_ref_eval((GpudlOp)node->op, node->name, node->attrs, inputs, node->n_inputs, outputs,
                            node->n_outputs, &error))
            return fail(fault,
                        g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED) ? GPUDL_STATUS_UNSUPPORTED
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
    g_free(engine);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, ref_close)

/** What frames need: one float32 input [1][channels][height][width] as the session says it. */
static GpudlStatus check_input(const Engine *engine, GpudlFault *fault)
{
    const GpudlOpenParams *p = &engine->params;
    const GpudlPlan *plan = engine->runner->plan;
    const GpudlPlanTensor *input;

    if (plan->n_inputs != 1)
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "the network has %u inputs, expected 1", plan->n_inputs);
    input = &plan->tensors[plan->inputs[0]];
    if (input->dtype != GPUDL_DTYPE_F32 || input->shape.rank != 4 || input->shape.dims[0] != 1 ||
        input->shape.dims[1] != p->input_channels || input->shape.dims[2] != p->input_height ||
        input->shape.dims[3] != p->input_width) {
        g_autofree gchar *shape = gpudl_shape_to_string(&input->shape);

        return fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "input \"%s\" is %s %s, expected float32 1x%dx%dx%d",
                    input->name, gpudl_dtype_name(input->dtype), shape, p->input_channels, p->input_height,
                    p->input_width);
    }
    return GPUDL_STATUS_OK;
}

/** One run on zeros: tells how long a frame takes, and of operators without a kernel before the first frame. */
static GpudlStatus warm_up(const Engine *engine, guint64 *run_time_ns, GpudlFault *fault)
{
    const Runner *runner = engine->runner;
    const gint32 input = runner->plan->inputs[0];
    const gint64 begin = g_get_monotonic_time();
    GpudlStatus status;

    memset(runner->views[input].data, 0, runner->plan->tensors[input].bytes);
    status = run_nodes(runner, engine->host, fault);
    *run_time_ns = (guint64)MAX(g_get_monotonic_time() - begin, 1) * 1000;
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
    if (params->precision != GPUDL_PRECISION_AUTO && params->precision != GPUDL_PRECISION_FP32)
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "backend ref can't do precision %s; it can do fp32",
                    gpudl_precision_name((GpudlPrecision)params->precision));
    if (params->batch_size > 1)
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "backend ref can't do batches of %u; it runs 1 frame at a time",
                    params->batch_size);
    if (params->activation != GPUDL_ACTIVATION_NONE && params->activation != GPUDL_ACTIVATION_SOFTMAX &&
        params->activation != GPUDL_ACTIVATION_SIGMOID)
        return fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "activation %s, expected none, softmax or sigmoid",
                    gpudl_activation_name((GpudlActivation)params->activation));
    params->precision = GPUDL_PRECISION_FP32;
    params->batch_size = 1;
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
    GpudlOpenParams resolved = *params;
    GpudlStatus status = ref_resolve(device, &resolved, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    if (host->cancelled(host->host))
        return fail(fault, GPUDL_STATUS_FAILED, "cancelled");

    engine = g_new0(Engine, 1);
    engine->host = host;
    engine->params = *params;
    engine->params.cache_dir = NULL;
    status = runner_new(host, 1, params->memory_limit, &engine->runner, fault);
    if (status == GPUDL_STATUS_OK)
        status = check_input(engine, fault);
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

static GpudlStatus preprocess(const Engine *engine, const GpudlFrame *frame, const GpudlPreproc *preproc, float *dst,
                              GpudlFault *fault)
{
    const GpudlOpenParams *p = &engine->params;

    if (frame->memory != GPUDL_MEMORY_HOST)
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "backend ref takes frames in host memory only");
    if (preproc->channels != p->input_channels || preproc->height != p->input_height ||
        preproc->width != p->input_width)
        return fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "pre-processing makes %dx%dx%d, the network takes %dx%dx%d",
                    preproc->channels, preproc->height, preproc->width, p->input_channels, p->input_height,
                    p->input_width);
    if (gpudl_preproc_ref(frame, preproc, dst) != 0)
        return fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "frame (%s, %dx%d) or pre-processing is out of range",
                    gpudl_pixel_format_name(frame->format) ? gpudl_pixel_format_name(frame->format) : "unknown format",
                    frame->width, frame->height);
    return GPUDL_STATUS_OK;
}

/** A head's values as float32, the activation over all of them. */
static int write_head(const GpudlTensorView *head, gint32 activation, float *out)
{
    static const GpudlAct sigmoid = {GPUDL_ACT_SIGMOID, 0, 0};
    GpudlShape flat = {.rank = 1, .dims = {gpudl_shape_elements(&head->shape)}};
    GpudlTensorView from = {head->dtype, flat, head->data}, to = {GPUDL_DTYPE_F32, flat, out};
    int status = gpudl_cast_ref(&from, &to, NULL, NULL);

    if (status != GPUDL_KERNEL_OK || activation == GPUDL_ACTIVATION_NONE)
        return status;
    if (activation == GPUDL_ACTIVATION_SOFTMAX)
        return gpudl_softmax_ref(GPUDL_SOFTMAX, &to, 0, 0, &to, NULL);
    return gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, &sigmoid, &to, &to, NULL);
}

static GpudlStatus run_job(const Engine *engine, const GpudlJob *job, GpudlFault *fault)
{
    const Runner *runner = engine->runner;
    const GpudlPlan *plan = runner->plan;
    const GpudlTensorView *input = &runner->views[plan->inputs[0]];
    GpudlStatus status = GPUDL_STATUS_OK;

    if (job->frame)
        status = preprocess(engine, job->frame, job->preproc, input->data, fault);
    else
        memcpy(input->data, job->values, (gsize)gpudl_shape_elements(&input->shape) * sizeof(float));
    if (status == GPUDL_STATUS_OK)
        status = run_nodes(runner, NULL, fault);
    for (guint i = 0; i < plan->n_outputs && status == GPUDL_STATUS_OK; i++) {
        int written = write_head(&runner->views[plan->outputs[i]], engine->params.activation, job->outputs[i]);

        if (written != GPUDL_KERNEL_OK)
            status = fail(fault, GPUDL_STATUS_UNSUPPORTED, "output \"%s\": %s", plan->tensors[plan->outputs[i]].name,
                          gpudl_kernel_status_text(written));
    }
    return status;
}

static GpudlStatus check_slot(uint32_t slot, GpudlFault *fault)
{
    if (slot != 0)
        return fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "slot %u, expected 0: backend ref has one", slot);
    return GPUDL_STATUS_OK;
}

static GpudlStatus ref_submit(void *data, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    GpudlStatus status = check_slot(slot, fault);

    if (status == GPUDL_STATUS_OK && n != 1)
        status = fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "%u jobs, expected 1", n);
    return status == GPUDL_STATUS_OK ? run_job(data, jobs, fault) : status;
}

static GpudlStatus ref_wait(void *data, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    return check_slot(slot, fault);
}

static GpudlStatus run_whole(const Runner *runner, const void *const *inputs, void *const *outputs, GpudlFault *fault)
{
    const GpudlPlan *plan = runner->plan;
    GpudlStatus status;

    for (guint i = 0; i < plan->n_inputs; i++)
        if (plan->tensors[plan->inputs[i]].bytes > 0)
            memcpy(runner->views[plan->inputs[i]].data, inputs[i], plan->tensors[plan->inputs[i]].bytes);
    status = run_nodes(runner, NULL, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    for (guint i = 0; i < plan->n_outputs; i++)
        if (plan->tensors[plan->outputs[i]].bytes > 0)
            memcpy(outputs[i], runner->views[plan->outputs[i]].data, plan->tensors[plan->outputs[i]].bytes);
    return GPUDL_STATUS_OK;
}

static GpudlStatus ref_run_tensors(void *data, uint32_t slot, int64_t batch, const void *const *inputs,
                                   void *const *outputs, GpudlFault *fault)
{
    const Engine *engine = data;
    g_autoptr(Runner) larger = NULL;
    GpudlStatus status = check_slot(slot, fault);

    if (status == GPUDL_STATUS_OK && batch < 1)
        status = fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "batch %" G_GINT64_FORMAT ", expected 1 or more", batch);
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
    GpudlStatus status = check_slot(slot, fault);

    return status == GPUDL_STATUS_OK ? preprocess(data, frame, preproc, dst, fault) : status;
}

const GpudlBackend *gpudl_ref_backend(void)
{
    static const GpudlBackend backend = {
        .abi_version = GPUDL_BACKEND_ABI,
        .interface = GPUDL_BACKEND_INTERFACE,
        .name = "ref",
        .flags = 0,
        .precisions = 1u << GPUDL_PRECISION_FP32,
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
