/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Which steps of a program may run beside others, on a second stream. Steps are queued in their order, each on one of
 * two lanes; what is on one lane runs one after the other, and a step may wait for one of the other lane first. Knows
 * nothing of CUDA.
 *
 * Two steps meet if both touch the same memory and one of them writes: then the first has to have ended before the
 * other begins.
 */
#ifndef GPUDL_ENGINE_CUDA_LANES_H
#define GPUDL_ENGINE_CUDA_LANES_H

#include <stdint.h>

#define CUDA_LANES 2

typedef struct {
    uint32_t n;      /* steps, 0: not made */
    uint32_t n_side; /* of these on lane 1; lane 0 has the others */
    uint8_t *lane;   /* per step */
    int32_t *wait;   /* per step: the last step of the other lane that it waits for itself, -1: none */
    int32_t *seen;   /* per step: the last step of the other lane that has ended when it begins, -1: none */
} CudaLanes;

/** TRUE if step "before", which is queued first, and step "behind" meet. */
typedef int CudaMeet(const void *data, uint32_t before, uint32_t behind);

/** Gives n steps lanes: each goes where it can begin first, and stays with what it waits for if that gains little.
 * costs: about how long each takes, in ns. FALSE if there is no memory; lanes is zeroed before, cuda_lanes_clear()
 * frees what is in it. */
int cuda_lanes_split(CudaLanes *lanes, uint32_t n, const float *costs, CudaMeet *meet, const void *data);
/** What each step of these lanes waits for: all that meet are in order afterwards. */
void cuda_lanes_order(CudaLanes *lanes, CudaMeet *meet, const void *data);
/** TRUE if step "before" has ended when step "behind", a later one, begins. */
int cuda_lanes_are_ordered(const CudaLanes *lanes, uint32_t before, uint32_t behind);
/** Per lane: its next launch comes behind another stream's event, not only behind the lane's last launch. */
typedef struct {
    int joins[CUDA_LANES];
} CudaJoins;
/** Before the first step: lane 1 begins behind an event of lane 0's stream. */
#define CUDA_JOINS_BEGIN ((CudaJoins){{0, 1}})

/** For all steps in their order: TRUE if what a step launches may overlap the end of what is before it on its lane,
 * which is all that it comes behind. launches: FALSE for a step that launches nothing; what it waits for is waited for
 * by the next one of its lane. */
int cuda_lanes_overlap(const CudaLanes *lanes, uint32_t step, int launches, CudaJoins *joins);
/** *first .. *last is widened to all the steps that may run while a step does. What two such ranges don't share is in
 * order, so memory with disjoint ranges may be in one place. */
void cuda_lanes_widen(const CudaLanes *lanes, uint32_t step, int32_t *first, int32_t *last);
void cuda_lanes_clear(CudaLanes *lanes);

#endif
