/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How matvec.c packs, and the tables that it chooses from. */
#ifndef GPUDL_KERNELS_MATVEC_X86_H
#define GPUDL_KERNELS_MATVEC_X86_H

#include "matvec.h"

#define GPUDL_MATVEC_ROWS 4   /* of the matrix, that are multiplied at once */
#define GPUDL_MATVEC_BLOCK 16 /* rows that there are a multiple of */
#define GPUDL_MATVEC_CHUNK 64 /* bytes of a row that lie together */

/**
 * Packed: biases, [rows], float32, zeros behind the last one; then weights, [rows / 4][chunks][4][elements of a chunk],
 * zeros behind the last ones.
 */
static inline int64_t gpudl_matvec_rows(const GpudlMatvec *d)
{
    return ((int64_t)d->n + GPUDL_MATVEC_BLOCK - 1) / GPUDL_MATVEC_BLOCK * GPUDL_MATVEC_BLOCK;
}

/** Elements of a chunk, and chunks of a row. */
static inline int64_t gpudl_matvec_elements(const GpudlMatvec *d)
{
    return GPUDL_MATVEC_CHUNK / (d->type == GPUDL_DTYPE_BF16 ? 2 : 4);
}

static inline int64_t gpudl_matvec_chunks(const GpudlMatvec *d)
{
    const int64_t elements = gpudl_matvec_elements(d);

    return (d->k + elements - 1) / elements;
}

extern const GpudlMatvecKernels gpudl_matvec_avx2, gpudl_matvec_avx512, gpudl_matvec_avx512_bf16;

/** That of an instruction set other than GENERIC, NULL where there is none. */
const GpudlMatvecKernels *gpudl_matvec_native(GpudlSimd simd, GpudlDType type);

#endif
