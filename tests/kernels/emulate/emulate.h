/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Runs CUDA kernels on this processor, for their checks: blocks one after another, the threads of a block as fibers
 * that run in turn, each until it waits for others. kernels/ is compiled as C++17 with include/ found first.
 *
 * What such a run shows: arithmetic and addresses for all sizes, tails and alignments; writes beside an output; under
 * AddressSanitizer and UndefinedBehaviorSanitizer reads beyond memory and vectors at odd addresses; barriers that not
 * all threads come to; lanes that wait for others of their warp in vain; most barriers and waits for copies that are
 * missing, since a thread runs far ahead of those behind it; reads of what kernels before may have written that do not
 * wait for these, where they are gpudl_load_written(). What it can't show: races of threads that happen to run in
 * the right order here, memory ordering, how the tensor cores round their sums, registers, speed, or anything about
 * launches in streams.
 */
#ifndef GPUDL_EMULATE_H
#define GPUDL_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#include <functional>

struct dim3 {
    unsigned x, y, z;

    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/** Of the thread that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/** Runs thread for each thread of a grid; shared: bytes of dynamic shared memory; cluster: blocks along x that run
 * together. What a launch refuses is what cudaGetLastError() returns then. */
void gpudl_emulate_grid(dim3 grid, dim3 block, size_t shared, int cluster, const std::function<void()> &thread);

/** The block's dynamic shared memory: NaN when the block begins. */
void *gpudl_emulate_shared();

/** Is called by each thread: a launch that overlaps the one before needs it. */
void gpudl_emulate_wait_for_previous();
/** Fails if the thread, which reads at p what kernels before may have written, has not waited for them. */
void gpudl_emulate_reads_written(const void *p);

/** Of the warp. */
int gpudl_emulate_lane();

/** __syncthreads() */
void gpudl_emulate_barrier();

/** The block's number in its cluster, and how many it has. */
int gpudl_emulate_cluster_rank();
int gpudl_emulate_cluster_blocks();
/** Waits for all threads of the cluster. */
void gpudl_emulate_cluster_barrier();
/** Where another block of the cluster has what lies at p in this one's dynamic shared memory. Fails if that block has
 * ended. */
const void *gpudl_emulate_cluster_shared(const void *p, int block);

typedef struct {
    void *data;
} GpudlEmulateLane;

/** Waits until all lanes of mask are here with the same mask and exchange, which the last one calls with everybody's
 * data. */
void gpudl_emulate_warp(unsigned mask, void (*exchange)(GpudlEmulateLane *lanes, unsigned mask), void *data);

/** A copy of the thread that runs, made no sooner than it waits for it: who reads before that reads what was there.
 * from NULL: zeros. */
void gpudl_emulate_copy(void *to, const void *from, size_t bytes);
/** Ends a group of copies. */
void gpudl_emulate_commit();
/** Makes all copies but those of the last groups. */
void gpudl_emulate_wait(int groups);

/** From the begin of the block's dynamic shared memory, which is at a multiple of 1024 bytes as it were; fails if p is
 * not there. And back. */
unsigned gpudl_emulate_shared_offset(const void *p);
uint8_t *gpudl_emulate_shared_at(unsigned offset);

/** Counters of bytes in shared memory (mbarriers), of one phase: begin() by one thread, expect() once. */
void gpudl_emulate_counter_begin(uint64_t *counter);
void gpudl_emulate_counter_expect(uint64_t *counter, int bytes);
/** Waits until what is expected has come. */
void gpudl_emulate_counter_wait(uint64_t *counter);
/** A copy of so many bytes that counter, which may be another block's, is told of; made no sooner than somebody waits
 * for it. Fails then if the block that asked has ended. */
void gpudl_emulate_counted(uint64_t *counter, int bytes, std::function<void()> copy);

/** Fails if p is not a multiple of alignment, as such an access does on a device. */
void gpudl_emulate_aligned(const void *p, size_t alignment);

/** Says which thread of which block did what, and ends the process. */
[[noreturn]] void gpudl_emulate_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
