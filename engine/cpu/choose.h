/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Choosing among implementations: what each takes, and which of two layouts each step of a network gets. */
#ifndef GPUDL_ENGINE_CPU_CHOOSE_H
#define GPUDL_ENGINE_CPU_CHOOSE_H

#include <stdint.h>

/** A clock: ns since whenever. */
typedef struct {
    uint64_t (*now)(void *data);
    void *data;
} CpuClock;

/** Processor time of the calling thread: what else runs on the machine is not in it. data is not used. */
uint64_t cpu_thread_clock(void *data);

/** FALSE if it failed. */
typedef int CpuRun(void *data);

/** What is done before a run and does not count. */
typedef void CpuBefore(void *data);

/**
 * Shortest time of one run, ns, at least 1, after one that warms up; 0 if a run failed. Runs for about sample_ns at
 * most, but twice in any case. What takes longer than four times best (0: there is none yet) at first is not run again.
 * before: NULL, or called before each run.
 */
uint64_t cpu_measure(const CpuClock *clock, uint64_t sample_ns, uint64_t best, CpuBefore *before, CpuRun *run,
                     void *data);

/** A value that goes from one step to another: what it costs to bring it from layout 0 into 1, and from 1 into 0. */
typedef struct {
    int32_t from, to;
    uint64_t cost[2];
} CpuLink;

/**
 * Gives n steps a layout each, 0 or 1, so that the sum of their costs in them ([n][2]) and of those of the links
 * between unlike ones is as small as can be: a minimum cut. Costs are below 2^40. Where both are as good it is 0. FALSE
 * if there is no memory.
 */
int cpu_choose_layouts(uint32_t n, const uint64_t (*costs)[2], uint32_t n_links, const CpuLink *links,
                       uint8_t *layouts);

#endif
