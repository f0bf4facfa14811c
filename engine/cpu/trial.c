/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trial.h"

#include <stdlib.h>
#include <string.h>

#define MOST_OPERANDS 6
#define FILLING 0x3c /* bytes of it are 0.0115 in float32 and in bfloat16 */

void cpu_trial_clear(CpuTrial *trial)
{
    free(trial->memory);
    trial->memory = NULL;
    trial->bytes = 0;
}

/* Memory for so much, NULL if there is none. */
static uint8_t *make_room(CpuTrial *trial, uint64_t bytes)
{
    if (bytes > trial->bytes) {
        cpu_trial_clear(trial);
        trial->memory = cpu_aligned_bytes(bytes);
        if (trial->memory != NULL) {
            trial->bytes = bytes;
            memset(trial->memory, FILLING, bytes);
        }
    }
    return trial->memory;
}

typedef struct {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    int n;
    dnnl_exec_arg_t args[MOST_OPERANDS];
} Run;

static int run_primitive(void *data)
{
    Run *run = data;

    return dnnl_primitive_execute(run->primitive, run->stream, run->n, run->args) == dnnl_success &&
           dnnl_stream_wait(run->stream) == dnnl_success;
}

/* The operands one after the other in the trial's memory. */
static int make_operands(CpuTrial *trial, dnnl_primitive_desc_t pd, Run *run)
{
    static const struct {
        dnnl_query_t query;
        int index, arg;
    } kinds[MOST_OPERANDS] = {
        {dnnl_query_src_md, 0, DNNL_ARG_SRC},         {dnnl_query_src_md, 1, DNNL_ARG_SRC_1},
        {dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS}, {dnnl_query_weights_md, 1, DNNL_ARG_BIAS},
        {dnnl_query_dst_md, 0, DNNL_ARG_DST},         {dnnl_query_scratchpad_md, 0, DNNL_ARG_SCRATCHPAD},
    };
    DnnMdRef mds[MOST_OPERANDS];
    uint64_t offsets[MOST_OPERANDS], bytes = 0;
    uint8_t *memory;

    for (int i = 0; i < MOST_OPERANDS; i++) {
        mds[i] = dnn_pd_md(pd, kinds[i].query, kinds[i].index);
        offsets[i] = bytes;
        if (mds[i] != NULL)
            bytes += (dnn_md_bytes(mds[i]) + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    }
    memory = make_room(trial, bytes);
    for (int i = 0; i < MOST_OPERANDS && memory != NULL; i++) {
        dnnl_memory_t operand;

        if (mds[i] == NULL || dnn_md_bytes(mds[i]) == 0)
            continue;
        operand = dnn_memory(trial->shared->dnn, mds[i], memory + offsets[i]);
        if (operand == NULL)
            return 0;
        run->args[run->n++] = (dnnl_exec_arg_t){kinds[i].arg, operand};
    }
    return memory != NULL;
}

uint64_t cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best)
{
    Run run = {.stream = trial->shared->stream};
    uint64_t ns = 0;

    if (make_operands(trial, pd, &run) && dnnl_primitive_create(&run.primitive, pd) == dnnl_success)
        ns = cpu_measure(&trial->clock, trial->sample_ns, best, run_primitive, &run);
    if (run.primitive != NULL)
        dnnl_primitive_destroy(run.primitive);
    for (int i = 0; i < run.n; i++)
        dnnl_memory_destroy(run.args[i].memory);
    return ns;
}

/* Places so many operands one after the other in the trial's memory; FALSE if there is none. */
static int place_operands(CpuTrial *trial, int n, const uint64_t *sizes, uint8_t **operands)
{
    uint64_t bytes = 0, at = 0;
    uint8_t *memory;

    for (int i = 0; i < n; i++)
        bytes += (sizes[i] + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    memory = make_room(trial, bytes);
    for (int i = 0; i < n && memory != NULL; i++) {
        operands[i] = memory + at;
        at += (sizes[i] + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    }
    return memory != NULL;
}

typedef struct {
    const CpuDepthwise *own;
    uint8_t *operands[3]; /* x, weights, y */
} DepthwiseRun;

static int run_depthwise(void *data)
{
    const DepthwiseRun *run = data;

    run->own->kernels->run(&run->own->d, run->operands[0], (const void *)run->operands[1], run->operands[2]);
    return 1;
}

uint64_t cpu_trial_depthwise(CpuTrial *trial, const CpuDepthwise *own, uint64_t best)
{
    const GpudlDepthwise *d = &own->d;
    const uint64_t size = d->type == GPUDL_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    const uint64_t sizes[] = {(uint64_t)d->x_frame * (uint64_t)d->n * size, gpudl_depthwise_weights_size(d),
                              (uint64_t)d->y_frame * (uint64_t)d->n * size};
    DepthwiseRun run = {.own = own};

    return place_operands(trial, 3, sizes, run.operands)
               ? cpu_measure(&trial->clock, trial->sample_ns, best, run_depthwise, &run)
               : 0;
}

typedef struct {
    const CpuTiles *own;
    uint8_t *operands[4]; /* x, weights, scratch, y */
} TilesRun;

static int run_tiles(void *data)
{
    const TilesRun *run = data;

    run->own->kernels->run(&run->own->d, run->operands[0], run->operands[1], run->operands[2], run->operands[3]);
    return 1;
}

uint64_t cpu_trial_tiles(CpuTrial *trial, const CpuTiles *own, uint64_t best)
{
    const GpudlWinograd *d = &own->d;
    const uint64_t sizes[] = {(uint64_t)d->x_frame * (uint64_t)d->n * sizeof(uint16_t), gpudl_winograd_weights_size(d),
                              gpudl_winograd_scratch_size(d), (uint64_t)d->y_frame * (uint64_t)d->n * sizeof(uint16_t)};
    TilesRun run = {.own = own};

    return place_operands(trial, 4, sizes, run.operands)
               ? cpu_measure(&trial->clock, trial->sample_ns, best, run_tiles, &run)
               : 0;
}

typedef struct {
    const CpuPointwise *own;
    uint8_t *operands[3]; /* x, weights, y */
} PointwiseRun;

static int run_pointwise(void *data)
{
    const PointwiseRun *run = data;

    run->own->kernels->run(&run->own->d, run->operands[0], run->operands[1], run->operands[2]);
    return 1;
}

uint64_t cpu_trial_pointwise(CpuTrial *trial, const CpuPointwise *own, uint64_t best)
{
    const GpudlPointwise *d = &own->d;
    const uint64_t size = d->type == GPUDL_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    const uint64_t sizes[] = {(uint64_t)d->x_frame * (uint64_t)d->n * size, gpudl_pointwise_weights_size(d),
                              (uint64_t)d->y_frame * (uint64_t)d->n * size};
    PointwiseRun run = {.own = own};

    return place_operands(trial, 3, sizes, run.operands)
               ? cpu_measure(&trial->clock, trial->sample_ns, best, run_pointwise, &run)
               : 0;
}

typedef struct {
    const CpuStem *own;
    uint8_t *operands[3]; /* x, weights, y */
} StemRun;

static int run_stem(void *data)
{
    const StemRun *run = data;

    run->own->kernels->run(&run->own->d, run->operands[0], run->operands[1], run->operands[2]);
    return 1;
}

uint64_t cpu_trial_stem(CpuTrial *trial, const CpuStem *own, uint64_t best)
{
    const GpudlStem *d = &own->d;
    const uint64_t size = d->type == GPUDL_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    const uint64_t sizes[] = {(uint64_t)d->x_frame * (uint64_t)d->n * size, gpudl_stem_weights_size(d),
                              (uint64_t)d->y_frame * (uint64_t)d->n * size};
    StemRun run = {.own = own};

    return place_operands(trial, 3, sizes, run.operands)
               ? cpu_measure(&trial->clock, trial->sample_ns, best, run_stem, &run)
               : 0;
}

typedef struct {
    const CpuInverted *own;
    uint8_t *operands[4]; /* x, weights, scratch, y */
} InvertedRun;

static int run_inverted(void *data)
{
    const InvertedRun *run = data;

    run->own->kernels->run(&run->own->d, run->operands[0], run->operands[1], run->operands[2], run->operands[3]);
    return 1;
}

uint64_t cpu_trial_inverted(CpuTrial *trial, const CpuInverted *own, uint64_t best)
{
    const GpudlInverted *d = &own->d;
    const uint64_t size = d->type == GPUDL_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    const uint64_t sizes[] = {(uint64_t)d->x_frame * (uint64_t)d->n * size, gpudl_inverted_weights_size(d),
                              gpudl_inverted_scratch_size(d), (uint64_t)d->y_frame * (uint64_t)d->n * size};
    InvertedRun run = {.own = own};

    return place_operands(trial, 4, sizes, run.operands)
               ? cpu_measure(&trial->clock, trial->sample_ns, best, run_inverted, &run)
               : 0;
}

typedef struct {
    const GpudlSqueezeKernels *kernels;
    const GpudlSqueeze *s;
    uint8_t *operands[4]; /* x, weights, scratch, y */
} SqueezeRun;

static int run_squeeze(void *data)
{
    const SqueezeRun *run = data;

    run->kernels->run(run->s, run->operands[0], run->operands[1], (void *)run->operands[2], run->operands[3]);
    return 1;
}

uint64_t cpu_trial_squeeze(CpuTrial *trial, const GpudlSqueezeKernels *kernels, const GpudlSqueeze *s, uint64_t best)
{
    const uint64_t size = s->type == GPUDL_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    const uint64_t sizes[] = {(uint64_t)s->x_frame * (uint64_t)s->n * size, gpudl_squeeze_weights_size(s),
                              gpudl_squeeze_scratch_size(s), (uint64_t)s->y_frame * (uint64_t)s->n * size};
    SqueezeRun run = {.kernels = kernels, .s = s};

    return place_operands(trial, 4, sizes, run.operands)
               ? cpu_measure(&trial->clock, trial->sample_ns, best, run_squeeze, &run)
               : 0;
}
