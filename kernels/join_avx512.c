/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma GCC target("avx512f,avx512bw,avx2,fma")
#include "join_avx512.inc"

const GpudlJoinKernels gpudl_join_avx512 = {"join:avx512", copy, f32, NULL};
