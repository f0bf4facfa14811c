/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prove.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "choice.h"
#include "engine.h"
#include "engine/module.h"
#include "kernels/launch.h"
#include "proof.h"

/* Results may differ by so much of their range: several times what a precision may be off from float32, since two that
 * are off are compared, and networks are not all as good-natured. */
#define BOUND_HALF 5e-2f
#define BOUND_BF16 1e-1f
#define BOUND_TF32 1e-2f
#define BOUND_FLOAT 1e-3f

typedef struct {
    CudaEngine *engine;
    CudaProgram *program;
    CudaProveGroup *groups;
    uint32_t n, streams;
    CudaNoise noise;
    float *right, *found; /* values of all heads */
    uint32_t captured;    /* graphs so far */
    float worst;          /* of what was not right last */
    GpudlStatus failed;   /* and the fault: of the last run that did */
    GpudlFault fault;
} Prover;

uint32_t cuda_prove_reference(const CudaConvKey *key, CudaConvPlan *plans, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (plans[i].form != CUDA_CONV_ONCE && plans[i].form != CUDA_CONV_GEMV && plans[i].form != CUDA_CONV_BLOCK &&
            plans[i].form != CUDA_CONV_STEM)
            return i;
    if (cuda_conv_is_block(key)) /* its steps are always among them (tune.c), whatever they take */
        return 0;
    plans[n] = (CudaConvPlan){.form = CUDA_CONV_OWN, .name = "own kernel"};
    return n;
}

static float bound_of(const CudaShared *shared)
{
    return shared->dtype == GPUDL_DTYPE_F16    ? BOUND_HALF
           : shared->dtype == GPUDL_DTYPE_BF16 ? BOUND_BF16
           : shared->tf32                      ? BOUND_TF32
                                               : BOUND_FLOAT;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* The steps, or the graph that is made of them, on the made input; then what makes heads dense. */
static GpudlStatus queue(const Prover *p, const CudaRun *run, cudaGraphExec_t graph, GpudlFault *fault)
{
    const uint32_t begin = graph != NULL ? p->program->n_frame_steps : 0;
    cudaError_t error = cuda_noise_put(run, &p->noise);
    uint32_t failed = 0;
    int status = 0;

    if (error == cudaSuccess && graph != NULL)
        error = cudaGraphLaunch(graph, run->stream);
    if (error != cudaSuccess)
        return cuda_fail(run->device, fault, error, "proving the choices of batch %lld",
                         (long long)p->program->plan->batch);
    gpudl_launches_overlap(0);
    status = cuda_program_queue(run, begin, p->program->n_steps, &failed);
    gpudl_launches_overlap(1);
    return status == 0 ? GPUDL_STATUS_OK : cuda_program_fault(run, failed, status, fault);
}

static GpudlStatus read_heads(const Prover *p, const CudaRun *run, float *to, GpudlFault *fault)
{
    const GpudlPlan *plan = p->program->plan;
    cudaError_t error = cudaSuccess;

    for (uint32_t i = 0; i < plan->n_outputs && error == cudaSuccess; i++) {
        const size_t bytes = plan->tensors[plan->outputs[i]].bytes;

        error =
            cudaMemcpyAsync(to, cuda_value_data(run, p->program->heads[i]), bytes, cudaMemcpyDeviceToHost, run->stream);
        to += bytes / sizeof *to;
    }
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(run->stream);
    return error == cudaSuccess
               ? GPUDL_STATUS_OK
               : cuda_fail(run->device, fault, error, "proving the choices of batch %lld", (long long)plan->batch);
}

static GpudlStatus compute(Prover *p, const uint8_t *taken, CudaProofWay way, float *to, GpudlFault *fault)
{
    CudaDevice *device = p->engine->shared.device;
    const CudaBucket bucket = {.program = p->program};
    const CudaRun run = cuda_run_on(p->engine, &bucket, 0);
    cudaGraphExec_t graph = NULL;
    GpudlStatus status = GPUDL_STATUS_OK;

    for (uint32_t i = 0; i < p->n; i++)
        cuda_conv_take(p->groups[i].conv, taken[i] ? p->groups[i].chosen : p->groups[i].reference);
    p->program->streams = way == CUDA_PROOF_GRAPH ? p->streams : way == CUDA_PROOF_ONE_STREAM ? 1 : CUDA_APART;
    pthread_mutex_lock(&device->lock);
    if (way == CUDA_PROOF_STEPS)
        status = cuda_bind(device, run.stream, fault);
    else
        status = cuda_capture(p->engine, &bucket, 0, p->captured++ == 0, &graph, fault);
    if (status == GPUDL_STATUS_OK)
        status = queue(p, &run, graph, fault);
    if (status == GPUDL_STATUS_OK)
        status = read_heads(p, &run, to, fault);
    pthread_mutex_unlock(&device->lock);
    if (graph != NULL)
        cudaGraphExecDestroy(graph);
    return status;
}

static float differ(void *data, const uint8_t *taken, CudaProofWay way)
{
    Prover *p = data;
    const GpudlPlan *plan = p->program->plan;
    size_t at = 0;
    GpudlStatus status;
    float most = 0;

    if (p->failed == GPUDL_STATUS_DEVICE)
        return INFINITY;
    status = compute(p, taken, way, p->found, &p->fault);
    if (status != GPUDL_STATUS_OK) {
        p->failed = status;
        return INFINITY;
    }
    for (uint32_t i = 0; i < plan->n_outputs; i++) {
        const size_t n = plan->tensors[plan->outputs[i]].bytes / sizeof(float);

        most = fmaxf(most, cuda_proof_difference(p->right + at, p->found + at, n));
        at += n;
    }
    if (!(most <= bound_of(&p->engine->shared)))
        p->worst = most;
    return most;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static const char *first_node(const Prover *p, const CudaConv *conv)
{
    for (uint32_t i = 0; i < p->program->n_frame_steps; i++)
        if (p->program->steps[i].conv == conv || p->program->steps[i].block == conv)
            return p->program->plan->nodes[p->program->steps[i].node].name;
    return "";
}

static void tell(const Prover *p, CudaProofWay way)
{
    const GpudlHost *host = p->engine->shared.host;
    const long long batch = (long long)p->program->plan->batch;
    char message[480];

    for (uint32_t i = 0; i < p->n; i++)
        if (!p->groups[i].taken && p->groups[i].chosen != p->groups[i].reference) {
            snprintf(
                message, sizeof message,
                "batch %lld of %.80s: node '%.100s' by %s and by %s give results that differ by up to %.1e of their "
                "range, expected at most %.1e; the latter is taken. Please report this line",
                batch, p->program->network, first_node(p, p->groups[i].conv), p->groups[i].chosen->name,
                p->groups[i].reference->name, (double)p->worst, (double)bound_of(&p->engine->shared));
            host->log(host->host, GPUDL_LOG_WARNING, message);
        }
    if (way == CUDA_PROOF_GRAPH)
        return;
    snprintf(message, sizeof message,
             "batch %lld of %.80s: as a graph on %s results differ from the steps' one by one, by up to %.1e of their "
             "range, expected at most %.1e; it runs on one stream%s. Please report this line",
             batch, p->program->network, p->streams == CUDA_LANES ? "two streams" : "one stream", (double)p->worst,
             (double)bound_of(&p->engine->shared), way == CUDA_PROOF_APART ? ", launches without overlap" : "");
    host->log(host->host, GPUDL_LOG_WARNING, message);
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static GpudlStatus prove(Prover *p, uint8_t *taken, uint32_t *streams, GpudlFault *fault)
{
    const CudaBucket bucket = {.program = p->program};
    const CudaRun run = cuda_run_on(p->engine, &bucket, 0);
    GpudlStatus status = cuda_noise_make(&run, &p->noise, fault);
    CudaProofWay way;

    if (status == GPUDL_STATUS_OK) /* no group is taken yet */
        status = compute(p, taken, CUDA_PROOF_STEPS, p->right, fault);
    if (status != GPUDL_STATUS_OK || cuda_proof(differ, p, bound_of(&p->engine->shared), p->n, taken, &way))
        return status;
    /* lost, or none of the runs that ended was wrong */
    if (p->failed == GPUDL_STATUS_DEVICE || (p->failed != GPUDL_STATUS_OK && p->worst == 0)) {
        *fault = p->fault;
        return p->failed;
    }
    for (uint32_t i = 0; i < p->n; i++)
        p->groups[i].taken = taken[i];
    if (way != CUDA_PROOF_GRAPH)
        *streams = way == CUDA_PROOF_ONE_STREAM ? 1 : CUDA_APART;
    tell(p, way);
    return GPUDL_STATUS_OK;
}

GpudlStatus cuda_prove(void *engine, CudaProgram *program, CudaProveGroup *groups, uint32_t n, uint32_t *streams,
                       GpudlFault *fault)
{
    const size_t values = cuda_output_bytes(program->plan) / sizeof(float);
    Prover p = {.engine = engine, .program = program, .groups = groups, .n = n, .streams = *streams};
    uint8_t *taken = calloc(n + 1u, 1);
    GpudlStatus status;

    p.right = calloc(2 * values + 1, sizeof *p.right);
    p.found = p.right != NULL ? p.right + values : NULL;
    if (taken == NULL || p.right == NULL)
        status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory to prove choices");
    else
        status = prove(&p, taken, streams, fault);
    cuda_noise_free(&p.noise);
    free(p.right);
    free(taken);
    if (status != GPUDL_STATUS_OK && status != GPUDL_STATUS_DEVICE) {
        const GpudlHost *host = p.engine->shared.host;

        host->log(host->host, GPUDL_LOG_INFO, fault->message); /* they are taken as they are */
        status = GPUDL_STATUS_OK;
    }
    return status;
}
