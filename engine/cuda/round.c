/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "round.h"

#include <float.h>
#include <stdlib.h>

#include "blocks.h"
#include "choice.h"
#include "engine.h"
#include "engine/module.h"
#include "prove.h"
#include "search.h"

/* A measurement: the median of so many, each of as many replays as take about so long, at most so many. */
#define TIMES 7
#define LONG_NS 1000000.0f
#define MOST_REPLAYS 10

/* Steps that compute the same problem have the same plan. */
typedef struct {
    CudaConv *conv;
    /* the fastest alone, and the others, one of which is the conv's; behind those our direct kernel, for the proof */
    CudaConvPlan plans[1 + CUDA_CONV_OTHERS + 1];
    uint32_t n, steps, reference; /* reference: a plan that the others are to agree with in the network */
} Group;

struct CudaRound {
    CudaEngine *engine;
    CudaProgram *program;
    CudaSearch *search;
    Group *groups;
    uint32_t n, measured;
    uint32_t streams; /* that there is to choose from: 1, or CUDA_LANES for a program with branches */
    int is_wanted;    /* there is something to choose, or that nothing is to be kept */
    uint32_t *proved; /* the choices that are left of the best, once they are proved; of groups */
    uint32_t lanes;   /* with those: what the program's streams are to be */
};

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static Group *group_of(CudaRound *round, CudaConv *conv)
{
    for (uint32_t i = 0; i < round->n; i++)
        if (round->groups[i].conv == conv)
            return &round->groups[i];
    round->groups[round->n] = (Group){.conv = conv, .n = 1};
    return &round->groups[round->n++];
}

static void count_step(CudaRound *round, const CudaStep *step)
{
    if (step->conv != NULL)
        group_of(round, step->conv)->steps++;
    if (step->block != NULL && step->block_steps == 1)
        group_of(round, step->block)->steps++;
}

/* The plans are the round's from here on. */
static void fill_group(Group *group)
{
    CudaConv *conv = group->conv;

    group->plans[0] = cuda_conv_plan(conv);
    for (int i = 0; i < conv->n_others; i++)
        group->plans[group->n++] = conv->others[i];
    conv->n_others = 0;
    for (uint32_t i = 0; i < group->n; i++)
        if (group->plans[i].workspace > conv->most_workspace)
            conv->most_workspace = group->plans[i].workspace;
    group->reference = cuda_prove_reference(&conv->key, group->plans, group->n);
}

/* Behind the groups of steps there is one of the streams, which comes first: plans are chosen for what they run beside.
 */
static CudaSearch *new_search(const CudaRound *round)
{
    CudaSearchGroup *groups = calloc(round->n + 1u, sizeof *groups);
    CudaSearch *search;

    if (groups == NULL)
        return NULL;
    groups[round->n] = (CudaSearchGroup){round->streams, FLT_MAX};
    for (uint32_t i = 0; i < round->n; i++)
        groups[i] = (CudaSearchGroup){round->groups[i].n, (float)round->groups[i].steps * round->groups[i].plans[0].ns};
    search = cuda_search_new(groups, round->n + 1);
    free(groups);
    return search;
}

CudaRound *cuda_round_new(void *engine, CudaProgram *program, GpudlFault *fault)
{
    CudaRound *round = calloc(1, sizeof *round);

    if (round != NULL) {
        round->engine = engine;
        round->program = program;
        round->groups = calloc(2 * (size_t)program->n_steps + 1, sizeof *round->groups); /* of steps and blocks */
        cuda_blocks_begin_apart(program);
        round->streams =
            round->engine->shared.convs.measured && !program->is_settled && program->lanes.n > 0 ? CUDA_LANES : 1;
    }
    for (uint32_t i = 0; i < program->n_frame_steps && round != NULL && round->groups != NULL; i++)
        count_step(round, &program->steps[i]);
    for (uint32_t i = 0; round != NULL && i < round->n; i++)
        fill_group(&round->groups[i]);
    if (round != NULL && round->groups != NULL)
        round->search = new_search(round);
    if (round == NULL || round->search == NULL) {
        gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the choices of %u steps", program->n_steps);
        cuda_round_free(round);
        return NULL;
    }
    round->is_wanted =
        round->engine->shared.convs.measured && (!program->is_settled || cuda_search_next(round->search) != NULL);
    return round;
}

static void apply(CudaRound *round, const uint32_t *choices)
{
    for (uint32_t i = 0; i < round->n; i++)
        cuda_conv_take(round->groups[i].conv, &round->groups[i].plans[choices[i]]);
    if (round->streams > 1)
        round->program->streams = 1 + choices[round->n];
}

void cuda_round_free(CudaRound *round)
{
    const uint32_t *best;

    if (round == NULL)
        return;
    best = round->proved != NULL ? round->proved : round->search != NULL ? cuda_search_best(round->search) : NULL;
    for (uint32_t i = 0; i < round->n; i++) {
        Group *group = &round->groups[i];
        const uint32_t choice = best != NULL ? best[i] : 0;

        cuda_conv_take(group->conv, &group->plans[choice]);
        group->conv->most_workspace = 0;
        for (uint32_t k = 0; k < group->n; k++)
            if (k != choice)
                cuda_conv_plan_free(round->engine->shared.device, group->plans[k].plan);
    }
    if (round->proved != NULL)
        round->program->streams = round->lanes;
    else if (best != NULL && round->streams > 1)
        round->program->streams = 1 + best[round->n];
    if (round->n > 0)
        cuda_blocks_name(round->program);
    cuda_search_free(round->search);
    free(round->proved);
    free(round->groups);
    free(round);
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* Nanoseconds of a replay, so many one after the other, each with its input: the same 2 us more for all choices. */
static cudaError_t replay(const CudaSlot *slot, const CudaRun *run, cudaGraphExec_t exec, uint32_t replays, float *ns)
{
    float ms = 0;
    cudaError_t error = cudaEventRecord(slot->begin, slot->stream);

    for (uint32_t i = 0; i < replays && error == cudaSuccess; i++) {
        error = cuda_put_colour(run);
        if (error == cudaSuccess)
            error = cudaGraphLaunch(exec, slot->stream);
    }
    if (error == cudaSuccess)
        error = cudaEventRecord(slot->done, slot->stream);
    if (error == cudaSuccess)
        error = cudaEventSynchronize(slot->done);
    if (error == cudaSuccess)
        error = cudaEventElapsedTime(&ms, slot->begin, slot->done);
    *ns = ms * 1e6f / (float)replays;
    return error;
}

/* *stopped: something waits for the device; *ns is of no use. */
static cudaError_t time_graph(const CudaEngine *engine, const CudaRun *run, cudaGraphExec_t exec, int may_stop,
                              float *ns, int *stopped)
{
    const GpudlHost *host = engine->shared.host;
    const CudaSlot *slot = &engine->slots[0];
    float times[TIMES];
    cudaError_t error = replay(slot, run, exec, 1, ns); /* uploads it */
    uint32_t replays;

    if (error == cudaSuccess)
        error = replay(slot, run, exec, 1, ns);
    replays = *ns > 0 && LONG_NS / *ns < MOST_REPLAYS ? (uint32_t)(LONG_NS / *ns) + 1 : MOST_REPLAYS;
    for (int i = 0; i < TIMES && error == cudaSuccess && !(*stopped = may_stop && host->waiting(host->host)); i++)
        error = replay(slot, run, exec, replays, &times[i]);
    if (error == cudaSuccess && !*stopped) {
        qsort(times, TIMES, sizeof *times, by_value);
        *ns = times[TIMES / 2];
    }
    return error;
}

/* *ns 0: these choices can't be run, which only matters if the device is lost by it. *stopped: it was not measured. */
static GpudlStatus measure(CudaRound *round, const uint32_t *choices, int may_stop, float *ns, int *stopped,
                           GpudlFault *fault)
{
    CudaEngine *engine = round->engine;
    CudaDevice *device = engine->shared.device;
    const CudaBucket bucket = {.program = round->program};
    const CudaRun run = cuda_run_on(engine, &bucket, 0);
    cudaGraphExec_t exec = NULL;
    GpudlStatus status;
    cudaError_t error = cudaSuccess;

    *ns = 0;
    *stopped = 0;
    apply(round, choices);
    pthread_mutex_lock(&device->lock);
    status = cuda_capture(engine, &bucket, 0, round->measured++ == 0, &exec, fault);
    pthread_mutex_unlock(&device->lock);
    if (status == GPUDL_STATUS_OK)
        error = time_graph(engine, &run, exec, may_stop, ns, stopped);
    if (exec != NULL)
        cudaGraphExecDestroy(exec);
    if (error != cudaSuccess) {
        *ns = 0;
        status = cuda_fail(device, fault, error, "choosing inside the graph of batch %lld",
                           (long long)round->program->plan->batch);
    }
    return status == GPUDL_STATUS_DEVICE ? status : GPUDL_STATUS_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void tell(const CudaRound *round, uint32_t changed)
{
    const GpudlHost *host = round->engine->shared.host;
    const char *streams = round->streams == 1                     ? ""
                          : round->program->streams != CUDA_LANES ? ", branches one after the other"
                                                                  : ", branches on a second stream";
    char message[240];

    snprintf(message, sizeof message,
             "batch %lld: %.4f ms with the fastest plans alone, %.4f ms with other plans for %u of %u problems%s; %u "
             "graphs measured",
             (long long)round->program->plan->batch, (double)cuda_search_first_ns(round->search) / 1e6,
             (double)cuda_search_best_ns(round->search) / 1e6, changed, round->n, streams, round->measured);
    host->log(host->host, GPUDL_LOG_INFO, message);
}

/* What is left of the best choices when their results are compared with those of the references. */
static GpudlStatus prove(CudaRound *round, GpudlFault *fault)
{
    const uint32_t *best = cuda_search_best(round->search);
    CudaProveGroup *groups = calloc(round->n + 1u, sizeof *groups);
    GpudlStatus status;

    round->proved = calloc(round->n + 1u, sizeof *round->proved);
    if (groups == NULL || round->proved == NULL) {
        free(groups);
        free(round->proved);
        round->proved = NULL;
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory to prove the choices of %u problems",
                                 round->n);
    }
    apply(round, best);
    round->lanes = round->program->streams;
    for (uint32_t i = 0; i < round->n; i++)
        groups[i] = (CudaProveGroup){round->groups[i].conv, &round->groups[i].plans[best[i]],
                                     &round->groups[i].plans[round->groups[i].reference], 1};
    status = cuda_prove(round->engine, round->program, groups, round->n, &round->lanes, fault);
    for (uint32_t i = 0; i < round->n; i++)
        round->proved[i] = groups[i].taken ? best[i] : round->groups[i].reference;
    free(groups);
    return status;
}

/* Each has its plan; what is kept. */
static void finish(CudaRound *round)
{
    const CudaConvs *convs = &round->engine->shared.convs;
    const char *network = round->program->network;
    uint32_t changed = 0;

    for (uint32_t i = 0; i < round->n; i++) {
        cuda_conv_take(round->groups[i].conv, &round->groups[i].plans[round->proved[i]]);
        changed += round->proved[i] != 0;
        if (network[0] != '\0') /* a block's first choice, its steps, is not what is kept of it alone */
            cuda_convs_keep_choice(convs, network, round->groups[i].conv,
                                   round->proved[i] != 0 || cuda_conv_is_block(&round->groups[i].conv->key));
    }
    round->program->streams = round->lanes;
    if (network[0] != '\0')
        cuda_convs_keep_network(convs, network, round->program->streams, cuda_search_best_ns(round->search));
    if (round->measured > 0)
        tell(round, changed);
    round->is_wanted = 0;
}

GpudlStatus cuda_round_go(CudaRound *round, uint64_t deadline_ns, int *done, GpudlFault *fault)
{
    const GpudlHost *host = round->engine->shared.host;
    const uint32_t *choices;

    *done = 0;
    while ((choices = cuda_search_next(round->search)) != NULL) {
        GpudlStatus status;
        float ns;
        int stopped;

        if (host->cancelled(host->host) || host->closing(host->host))
            return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while choosing plans");
        status = measure(round, choices, deadline_ns != UINT64_MAX, &ns, &stopped, fault);
        if (status != GPUDL_STATUS_OK)
            return status;
        if (!stopped)
            cuda_search_tell(round->search, ns);
        if (stopped || gpudl_module_now_ns() >= deadline_ns)
            break;
    }
    *done = cuda_search_next(round->search) == NULL;
    if (*done && round->is_wanted && (round->measured == 0 || cuda_search_best_ns(round->search) > 0)) {
        const GpudlStatus status = prove(round, fault);

        if (status != GPUDL_STATUS_OK)
            return status;
        finish(round);
    }
    return GPUDL_STATUS_OK;
}
