/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** The names of engine/settings.h's values, the only list of them: initialisers of arrays of strings. */
#ifndef GPUDL_ENGINE_NAMES_H
#define GPUDL_ENGINE_NAMES_H

#include "engine/settings.h"

#define GPUDL_PRECISION_NAMES                                                                                          \
    {                                                                                                                  \
        [GPUDL_PRECISION_AUTO] = "auto", [GPUDL_PRECISION_FP32] = "fp32", [GPUDL_PRECISION_TF32] = "tf32",             \
        [GPUDL_PRECISION_FP16] = "fp16", [GPUDL_PRECISION_BF16] = "bf16", [GPUDL_PRECISION_INT8] = "int8",             \
        [GPUDL_PRECISION_FP8] = "fp8"                                                                                  \
    }

#define GPUDL_ACTIVATION_NAMES                                                                                         \
    {                                                                                                                  \
        [GPUDL_ACTIVATION_AUTO] = "auto", [GPUDL_ACTIVATION_NONE] = "none", [GPUDL_ACTIVATION_SOFTMAX] = "softmax",    \
        [GPUDL_ACTIVATION_SIGMOID] = "sigmoid"                                                                         \
    }

#endif
