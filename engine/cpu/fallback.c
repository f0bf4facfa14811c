/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What oneDNN does not do, or not for these shapes and types: the reference kernels on dense tensors. */
#include "engine/ref/call.h"
#include "program.h"

int cpu_call_supported(const GpudlPlanNode *node)
{
    return gpudl_ref_call_supported(node->op);
}

int cpu_call_run(const CpuCall *call, const GpudlTensorView *views, const GpudlTensorView **inputs)
{
    const GpudlRefCall ref = {(const GpudlAttrs *)call->node->attrs, inputs, call->n_inputs, views + call->n_inputs,
                              call->n_outputs};

    for (uint32_t i = 0; i < call->n_inputs; i++)
        inputs[i] = call->values[i] >= 0 ? &views[i] : NULL;
    return gpudl_ref_call(call->node->op, &ref);
}

const char *cpu_call_status_text(int status)
{
    return gpudl_kernel_status_text(status);
}
