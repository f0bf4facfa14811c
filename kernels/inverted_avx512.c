/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define INVERTED_NAME gpudl_inverted_avx512
#define INVERTED_TEXT "inverted:avx512"
#define INVERTED_ELEMENT float
#define INVERTED_GROUP gpudl_pointwise_group_avx512
#define INVERTED_PIXELS gpudl_pointwise_pixels_avx512
#define INVERTED_ROWS gpudl_depthwise_rows_avx512
#define INVERTED_FILTER GPUDL_DEPTHWISE_F32
#define INVERTED_FILTER_X GPUDL_DEPTHWISE_F32
#include "inverted_lines.inc"
