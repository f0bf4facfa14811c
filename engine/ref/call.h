/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Operators to reference kernels: plain C, so that backend modules can use it for what their library does not do.
 */
#ifndef GPUDL_ENGINE_REF_CALL_H
#define GPUDL_ENGINE_REF_CALL_H

#include "engine/graph/attrs.h"
#include "kernels/kernel.h"

/** One operation. The arity is checked by the caller: required inputs and the first output are there. An absent
 * optional input is NULL. */
typedef struct {
    const GpudlAttrs *attrs;
    const GpudlTensorView *const *in;
    uint32_t n_in;
    const GpudlTensorView *out;
    uint32_t n_out;
} GpudlRefCall;

/** Nonzero if the operator has a reference kernel. */
int gpudl_ref_call_supported(int op);

/** Carries out an operation that is supported; returns a GPUDL_KERNEL_ status. */
int gpudl_ref_call(int op, const GpudlRefCall *call);

#endif
