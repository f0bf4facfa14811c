/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trial.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/simd.h"

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
    const void *weights;
    uint64_t weight_bytes;
    int n;
    dnnl_exec_arg_t args[MOST_OPERANDS];
} Run;

static int run_primitive(void *data)
{
    Run *run = data;

    return dnnl_primitive_execute(run->primitive, run->stream, run->n, run->args) == dnnl_success &&
           dnnl_stream_wait(run->stream) == dnnl_success;
}

static void forget_operand(void *data)
{
    const Run *run = data;

    gpudl_simd_forget(run->weights, run->weight_bytes);
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
        if (kinds[i].arg == DNNL_ARG_WEIGHTS) {
            run->weights = memory + offsets[i];
            run->weight_bytes = dnn_md_bytes(mds[i]);
        }
        run->args[run->n++] = (dnnl_exec_arg_t){kinds[i].arg, operand};
    }
    return memory != NULL;
}

uint64_t cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best)
{
    Run run = {.stream = trial->shared->stream};
    uint64_t ns = 0;

    if (make_operands(trial, pd, &run) && dnnl_primitive_create(&run.primitive, pd) == dnnl_success)
        ns = cpu_measure(&trial->clock, trial->sample_ns, best, trial->cold ? forget_operand : NULL, run_primitive,
                         &run);
    if (run.primitive != NULL)
        dnnl_primitive_destroy(run.primitive);
    for (int i = 0; i < run.n; i++)
        dnnl_memory_destroy(run.args[i].memory);
    return ns;
}

typedef struct {
    CpuOwnFunc *run;
    const void *problem;
    void *data[CPU_TRIAL_VALUES];
    uint64_t weight_bytes;
} OwnRun;

static int run_own(void *data)
{
    const OwnRun *run = data;

    run->run(run->problem, run->data);
    return 1;
}

static void forget_value(void *data)
{
    const OwnRun *run = data;

    gpudl_simd_forget(run->data[1], run->weight_bytes);
}

uint64_t cpu_trial_own(CpuTrial *trial, CpuOwnFunc *run, const void *problem, uint32_t n, const uint64_t *sizes,
                       uint64_t best)
{
    OwnRun own = {.run = run, .problem = problem, .weight_bytes = sizes[1]};
    uint64_t bytes = 0, at = 0;
    uint8_t *memory;

    for (uint32_t i = 0; i < n; i++)
        bytes += (sizes[i] + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    memory = make_room(trial, bytes);
    for (uint32_t i = 0; i < n && memory != NULL; i++) {
        own.data[i] = memory + at;
        at += (sizes[i] + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    }
    if (memory == NULL)
        return 0;
    return cpu_measure(&trial->clock, trial->sample_ns, best, trial->cold ? forget_value : NULL, run_own, &own);
}
