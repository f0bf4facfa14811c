/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define INVERTED_NAME gpudl_inverted_avx512_bf16
#define INVERTED_TEXT "inverted:avx512_bf16"
#define INVERTED_ELEMENT uint16_t
#define INVERTED_GROUP gpudl_pointwise_group_avx512_bf16
#define INVERTED_PIXELS gpudl_pointwise_pixels_avx512_bf16
#define INVERTED_ROWS gpudl_depthwise_rows_avx512_bf16
#define INVERTED_FILTER GPUDL_DEPTHWISE_NARROWS
#define INVERTED_FILTER_X GPUDL_DEPTHWISE_BF16
#include "inverted_lines.inc"
