/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Choices that applications make and backend modules understand. Plain C, part of the public API. Values are kept.
 */
#ifndef GPUDL_ENGINE_SETTINGS_H
#define GPUDL_ENGINE_SETTINGS_H

#ifdef __cplusplus
extern "C" {
#endif

/** Arithmetic of the network. AUTO: fp16 on CUDA; on the CPU bf16 where the processor is faster in it (AMX_BF16;
 * AVX512_BF16 where that is measured), else fp32; and fp32 for a model whose golden sample does not bear the lower one.
 */
typedef enum {
    GPUDL_PRECISION_AUTO = 0,
    GPUDL_PRECISION_FP32,
    GPUDL_PRECISION_TF32,
    GPUDL_PRECISION_FP16,
    GPUDL_PRECISION_BF16,
    GPUDL_PRECISION_INT8,
    GPUDL_PRECISION_FP8
} GpudlPrecision;

/** What is done to the network's last values. AUTO: what the model says; a model that says nothing: softmax unless the
 * graph ends in one (or in a sigmoid). */
typedef enum {
    GPUDL_ACTIVATION_AUTO = 0,
    GPUDL_ACTIVATION_NONE,
    GPUDL_ACTIVATION_SOFTMAX,
    GPUDL_ACTIVATION_SIGMOID
} GpudlActivation;

/** How implementations are chosen where a backend measures them. */
typedef enum {
    GPUDL_AUTOTUNE_CACHED = 0, /* what was measured before, else first choices now, measured while nothing is queued;
                                  the CPU measures for a bounded time at once */
    GPUDL_AUTOTUNE_OFF,        /* first choices */
    GPUDL_AUTOTUNE_FULL,       /* measured while loading, however long it takes */
    GPUDL_AUTOTUNE_KNOWN       /* what was measured before, else first choices; nothing is measured */
} GpudlAutotune;

#ifdef __cplusplus
}
#endif
#endif
