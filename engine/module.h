/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What backend modules have in common: checks, messages and the last step of every run. Static and inline, because a
 * module links nothing of libgpudl; plain C. gpudl_module_write_head() needs the reference kernels, which modules link
 * anyway. Functions that return a status have written *fault if it is not OK.
 */
#ifndef GPUDL_ENGINE_MODULE_H
#define GPUDL_ENGINE_MODULE_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/backend.h"
#include "engine/graph/macs.h"
#include "engine/names.h"
#include "kernels/cast.h"
#include "kernels/elementwise.h"
#include "kernels/softmax.h"

/** Writes the message, cut to its room; returns status. */
__attribute__((format(printf, 3, 4))) static inline GpudlStatus gpudl_module_fail(GpudlFault *fault, GpudlStatus status,
                                                                                  const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(fault->message, sizeof fault->message, format, args);
    va_end(args);
    return status;
}

/** Monotonic. */
static inline uint64_t gpudl_module_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** What gpudl_backend_entry() returns: the table if the host speaks its interface, else NULL. */
static inline const GpudlBackend *gpudl_module_table(const GpudlBackend *table, uint32_t abi_version,
                                                     const char *interface)
{
    return abi_version == table->abi_version && strcmp(interface, table->interface) == 0 ? table : NULL;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static inline const char *gpudl_module_precision_name(int32_t precision)
{
    static const char *const names[] = GPUDL_PRECISION_NAMES;

    return precision >= 0 && precision < (int32_t)(sizeof names / sizeof names[0]) ? names[precision] : "unknown";
}

static inline const char *gpudl_module_activation_name(int32_t activation)
{
    static const char *const names[] = GPUDL_ACTIVATION_NAMES;

    return activation >= 0 && activation < (int32_t)(sizeof names / sizeof names[0]) ? names[activation] : "unknown";
}

/** What a module can do, for gpudl_module_resolve(). */
typedef struct {
    const char *name;
    uint32_t precisions;   /* as in GpudlBackend */
    int32_t automatic;     /* precision that AUTO comes to */
    uint32_t most_frames;  /* of an execution */
    uint32_t usual_frames; /* where the host leaves it open */
} GpudlModuleAbility;

/** The part of resolve() that all have: precision, batch_size and activation are checked and set. */
static inline GpudlStatus gpudl_module_resolve(const GpudlModuleAbility *can, GpudlOpenParams *params,
                                               GpudlFault *fault)
{
    if (params->precision == GPUDL_PRECISION_AUTO)
        params->precision = can->automatic;
    if (params->precision < 0 || params->precision > 31 || (can->precisions & (1u << params->precision)) == 0) {
        char list[64] = "";

        for (int i = 0; i < 32; i++)
            if ((can->precisions & (1u << i)) != 0)
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] != '\0' ? ", " : "",
                         gpudl_module_precision_name(i));
        return gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED, "backend %s can't do precision %s; it can do %s",
                                 can->name, gpudl_module_precision_name(params->precision), list);
    }
    if (params->batch_size > can->most_frames)
        return gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED,
                                 "backend %s can't do batches of %u; an execution has at most %u frame%s", can->name,
                                 params->batch_size, can->most_frames, can->most_frames == 1 ? "" : "s");
    if (params->batch_size == 0)
        params->batch_size = can->usual_frames;
    if (params->activation != GPUDL_ACTIVATION_NONE && params->activation != GPUDL_ACTIVATION_SOFTMAX &&
        params->activation != GPUDL_ACTIVATION_SIGMOID)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT,
                                 "activation %s (%d), expected none, softmax or sigmoid",
                                 gpudl_module_activation_name(params->activation), params->activation);
    return GPUDL_STATUS_OK;
}

/** What frames need of the plan for batch 1: one input, float32 [1][channels][height][width] as params say. */
static inline GpudlStatus gpudl_module_check_input(const GpudlPlan *plan, const GpudlOpenParams *params,
                                                   GpudlFault *fault)
{
    const GpudlPlanTensor *input;
    const int64_t *dims;
    char shape[GPUDL_MAX_RANK * 21 + 8] = "of rank 0";

    if (plan->n_inputs != 1)
        return gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED, "the network has %u inputs, expected 1",
                                 plan->n_inputs);
    input = &plan->tensors[plan->inputs[0]];
    dims = input->shape.dims;
    if (input->dtype == GPUDL_DTYPE_F32 && input->shape.rank == 4 && dims[0] == 1 &&
        dims[1] == params->input_channels && dims[2] == params->input_height && dims[3] == params->input_width)
        return GPUDL_STATUS_OK;
    for (int i = 0, at = 0; i < input->shape.rank; i++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, i > 0 ? "x%lld" : "%lld", (long long)dims[i]);
    return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "input '%s' is %s %s, expected float32 1x%dx%dx%d",
                             input->name, gpudl_dtype_name(input->dtype), shape, params->input_channels,
                             params->input_height, params->input_width);
}

/** Weights once and work memory n times, against GpudlOpenParams.memory_limit. */
static inline GpudlStatus gpudl_module_check_memory(uint64_t limit, uint64_t weight_bytes, uint32_t n,
                                                    uint64_t work_bytes, GpudlFault *fault)
{
    if (limit == 0 || (weight_bytes <= limit && work_bytes <= (limit - weight_bytes) / n))
        return GPUDL_STATUS_OK;
    return gpudl_module_fail(
        fault, GPUDL_STATUS_NO_MEMORY,
        "weights of %llu bytes and work memory of %u x %llu bytes are more than the memory limit of "
        "%llu bytes",
        (unsigned long long)weight_bytes, n, (unsigned long long)work_bytes, (unsigned long long)limit);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static inline GpudlStatus gpudl_module_check_slot(uint32_t slot, uint32_t n_slots, GpudlFault *fault)
{
    return slot < n_slots ? GPUDL_STATUS_OK
                          : gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "slot %u, expected less than %u",
                                              slot, n_slots);
}

static inline GpudlStatus gpudl_module_check_jobs(uint32_t n, uint32_t most, GpudlFault *fault)
{
    return n >= 1 && n <= most
               ? GPUDL_STATUS_OK
               : gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "%u jobs, expected 1 to %u", n, most);
}

static inline GpudlStatus gpudl_module_check_batch(int64_t batch, GpudlFault *fault)
{
    return batch >= 1 ? GPUDL_STATUS_OK
                      : gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "batch %lld, expected 1 or more",
                                          (long long)batch);
}

/* ---- profiles ---------------------------------------------------------------------------------------------------- */

/** Arithmetic operations of a node, for GpudlProfileRow.flops: a multiply-accumulate is two, functions count as one;
 * 0 for what moves only. */
static inline uint64_t gpudl_module_flops(const GpudlPlan *plan, int32_t index)
{
    const GpudlPlanNode *node = &plan->nodes[index];
    const GpudlAttrs *attrs = (const GpudlAttrs *)node->attrs;
    const GpudlShape *x = node->n_inputs > 0 && node->inputs[0] >= 0 ? &plan->tensors[node->inputs[0]].shape : NULL;
    const GpudlShape *w = node->n_inputs > 1 && node->inputs[1] >= 0 ? &plan->tensors[node->inputs[1]].shape : NULL;
    const GpudlShape *y = &plan->tensors[node->outputs[0]].shape;
    uint64_t n = (uint64_t)gpudl_shape_elements(y);

    if (node->op >= GPUDL_OP_RESHAPE || x == NULL)
        return 0;
    switch (node->op) {
    case GPUDL_OP_CONV:
    case GPUDL_OP_GEMM:
    case GPUDL_OP_MATMUL:
        return w != NULL ? 2 * gpudl_macs(node->op, attrs, x, w, y) : 0;
    case GPUDL_OP_MAX_POOL:
    case GPUDL_OP_AVERAGE_POOL:
        for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
            n *= (uint64_t)attrs->window.kernel[i];
        return n;
    case GPUDL_OP_GLOBAL_MAX_POOL:
    case GPUDL_OP_GLOBAL_AVERAGE_POOL:
    case GPUDL_OP_REDUCE_MEAN:
    case GPUDL_OP_REDUCE_SUM:
    case GPUDL_OP_REDUCE_MAX:
    case GPUDL_OP_REDUCE_MIN:
    case GPUDL_OP_REDUCE_PROD:
        return (uint64_t)gpudl_shape_elements(x);
    case GPUDL_OP_LRN:
        return 2 * n * (uint64_t)attrs->lrn.size;
    case GPUDL_OP_RESIZE: /* two a dimension of a picture */
        return attrs->resize.mode == 0 ? n : 8 * n;
    case GPUDL_OP_BATCH_NORM:
        return 2 * n;
    case GPUDL_OP_LAYER_NORM: /* the mean, the variance, what follows */
    case GPUDL_OP_GROUP_NORM:
        return 8 * n;
    case GPUDL_OP_SOFTMAX:
    case GPUDL_OP_LOG_SOFTMAX: /* exponent, sum, quotient */
        return 3 * n;
    default: /* element by element */
        return n;
    }
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/** A whole tensor, dense, from one place of host memory to another. */
static inline void gpudl_module_copy(const GpudlPlanTensor *tensor, void *to, const void *from)
{
    if (tensor->bytes > 0)
        memcpy(to, from, tensor->bytes);
}

/** One frame's values of a head (of the plan for batch 1; dense, in host memory) as float32, the activation over all of
 * them, where GpudlJob.outputs says. */
static inline GpudlStatus gpudl_module_write_head(const GpudlPlanTensor *head, const void *values, int32_t activation,
                                                  float *out, GpudlFault *fault)
{
    const GpudlAct sigmoid = {GPUDL_ACT_SIGMOID, 0, 0};
    const GpudlShape flat = {.rank = 1, .dims = {gpudl_shape_elements(&head->shape)}};
    const GpudlTensorView from = {head->dtype, flat, (void *)values}, to = {GPUDL_DTYPE_F32, flat, out};
    int status = GPUDL_KERNEL_OK;

    if (head->dtype == GPUDL_DTYPE_F32)
        gpudl_module_copy(head, out, values);
    else
        status = gpudl_cast_ref(&from, &to, NULL, NULL);
    if (status == GPUDL_KERNEL_OK && activation == GPUDL_ACTIVATION_SOFTMAX)
        status = gpudl_softmax_ref(GPUDL_SOFTMAX, &to, 0, 0, &to, NULL);
    else if (status == GPUDL_KERNEL_OK && activation == GPUDL_ACTIVATION_SIGMOID)
        status = gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, &sigmoid, &to, &to, NULL);
    return status == GPUDL_KERNEL_OK ? GPUDL_STATUS_OK
                                     : gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED, "output '%s': %s", head->name,
                                                         gpudl_kernel_status_text(status));
}

#endif
