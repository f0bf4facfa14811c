/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice.h"

#include <stdio.h>
#include <string.h>

/* Plans that take so much longer alone than the fastest may be faster in a network: a part of its time, and ns for what
 * takes hardly any. */
#define NEARLY 1.15f
#define NEARLY_NS 500
/* Of what takes so little alone, most is the launch, and what is fastest hangs on what it follows: more are tried. */
#define SMALL_NS 8000
/* Bytes of workspace that they may have if the fastest needs less. */
#define OTHERS_WORKSPACE ((int64_t)8 << 20)

void cuda_conv_plan_free(const CudaDevice *device, cudnnBackendDescriptor_t plan)
{
    if (plan != NULL)
        device->cudnn->destroy_descriptor(plan);
}

CudaConvPlan cuda_conv_plan(const CudaConv *conv)
{
    CudaConvPlan plan = {.form = conv->form,
                         .plan = conv->plan,
                         .lt = conv->lt,
                         .gemm = conv->gemm,
                         .once = conv->once,
                         .gemv = conv->gemv,
                         .depthwise = conv->depthwise,
                         .block = conv->block,
                         .workspace = conv->workspace,
                         .ns = conv->ns};

    snprintf(plan.name, sizeof plan.name, "%s", conv->name);
    return plan;
}

void cuda_conv_take(CudaConv *conv, const CudaConvPlan *plan)
{
    conv->chosen = 1;
    conv->ns = plan->ns;
    conv->plan = plan->plan;
    conv->form = plan->form;
    conv->lt = plan->lt;
    conv->gemm = plan->gemm;
    conv->once = plan->once;
    conv->gemv = plan->gemv;
    conv->depthwise = plan->depthwise;
    conv->block = plan->block;
    conv->workspace = plan->workspace;
    snprintf(conv->name, sizeof conv->name, "%s", plan->name);
}

static void drop_others(const CudaDevice *device, CudaConv *conv, int from)
{
    while (conv->n_others > from)
        cuda_conv_plan_free(device, conv->others[--conv->n_others].plan);
}

void cuda_conv_settle(const CudaDevice *device, CudaConv *conv)
{
    drop_others(device, conv, 0);
}

/* Takes the plan over. */
static void add_other(const CudaDevice *device, CudaConv *conv, const CudaConvPlan *plan)
{
    int at = conv->n_others;

    while (at > 0 && conv->others[at - 1].ns > plan->ns)
        at--;
    if (at == CUDA_CONV_OTHERS) {
        cuda_conv_plan_free(device, plan->plan);
        return;
    }
    drop_others(device, conv, CUDA_CONV_OTHERS - 1);
    memmove(&conv->others[at + 1], &conv->others[at], (size_t)(conv->n_others - at) * sizeof *conv->others);
    conv->others[at] = *plan;
    conv->n_others++;
}

void cuda_conv_add(const CudaDevice *device, CudaConv *conv, CudaConvPlan *plan)
{
    CudaConvPlan slower = *plan;

    plan->plan = NULL;
    if (!conv->chosen) {
        cuda_conv_take(conv, &slower);
        return;
    }
    if (slower.ns > 0 && (conv->ns <= 0 || slower.ns < conv->ns)) {
        const CudaConvPlan faster = slower;

        slower = cuda_conv_plan(conv);
        cuda_conv_take(conv, &faster);
    }
    if (slower.ns > 0)
        add_other(device, conv, &slower);
    else
        cuda_conv_plan_free(device, slower.plan);
}

void cuda_conv_prune(const CudaDevice *device, CudaConv *conv)
{
    const int most = conv->ns <= SMALL_NS ? CUDA_CONV_OTHERS : CUDA_CONV_OTHERS / 2;
    int n = 0;

    for (int i = 0; i < conv->n_others; i++) {
        const CudaConvPlan *other = &conv->others[i];

        if (n < most && other->ns <= conv->ns * NEARLY + NEARLY_NS &&
            (other->workspace <= conv->workspace || other->workspace <= OTHERS_WORKSPACE))
            conv->others[n++] = *other;
        else
            cuda_conv_plan_free(device, other->plan);
    }
    conv->n_others = n;
}
