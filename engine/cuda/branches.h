/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The lanes (lanes.h) of a program: what its steps touch, before and after memory is placed.
 */
#ifndef GPUDL_ENGINE_CUDA_BRANCHES_H
#define GPUDL_ENGINE_CUDA_BRANCHES_H

#include "program.h"

/** Bytes of a block that a step reads or writes. */
typedef struct {
    int32_t block, writes;
    int64_t begin, end;        /* within the block */
    int64_t period, low, high; /* of these, those with low <= offset % period < high; period 0: all */
    int32_t instead;           /* what the step before writes if this one does not in its place (siblings.h) */
} CudaAccess;

#define CUDA_ACCESSES (CUDA_STEP_READS + 3) /* most that a step has */

/** What a step touches that is no constant; how many. */
int cuda_step_accesses(const CudaProgram *program, const CudaStep *step, CudaAccess accesses[CUDA_ACCESSES]);
/** TRUE if two of them are of one block and share a byte that one of them writes. */
int cuda_accesses_meet(const CudaAccess *a, const CudaAccess *b);

/** Gives the steps that frames need lanes, blocks being apart from one another. FALSE if there is no memory. A program
 * of very many steps, or without branches, gets none. */
int cuda_branches_split(CudaProgram *program);
/** Widens the lifetimes of blocks, in steps, to those in which another lane may be at work: what is placed by them can
 * be used on both lanes without further waits. */
void cuda_branches_widen(const CudaProgram *program, int32_t *first, int32_t *last);
/** Once blocks are placed, however they are: what is to be waited for, so that no two steps meet in memory. FALSE if
 * there is no memory. */
int cuda_branches_order(CudaProgram *program);

#endif
