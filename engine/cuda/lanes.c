/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes.h"

#include <stdlib.h>
#include <string.h>

/* A step that begins earlier on the other lane by less than this stays: waiting across lanes takes time itself. ns. */
#define LEAST_GAIN 1000.0f

void cuda_lanes_clear(CudaLanes *lanes)
{
    free(lanes->lane);
    free(lanes->wait);
    *lanes = (CudaLanes){0};
}

static float later(float a, float b)
{
    return a > b ? a : b;
}

/* A step goes behind the step that it has to wait for longest, or to the other lane if it begins earlier there. */
static void choose_lanes(CudaLanes *lanes, const float *costs, float *ends, CudaMeet *meet, const void *data)
{
    float end[CUDA_LANES] = {0};

    for (uint32_t i = 0; i < lanes->n; i++) {
        float ready = 0;
        int lane = 0;

        for (uint32_t j = 0; j < i; j++)
            if (ends[j] > ready && meet(data, j, i)) {
                ready = ends[j];
                lane = lanes->lane[j];
            }
        if (later(ready, end[!lane]) + LEAST_GAIN < later(ready, end[lane]))
            lane = !lane;
        ends[i] = end[lane] = later(ready, end[lane]) + costs[i];
        lanes->lane[i] = (uint8_t)lane;
        lanes->n_side += (uint32_t)lane;
    }
}

int cuda_lanes_split(CudaLanes *lanes, uint32_t n, const float *costs, CudaMeet *meet, const void *data)
{
    float *ends = calloc(n + 1u, sizeof *ends);

    *lanes = (CudaLanes){.n = n, .lane = calloc(n + 1u, 1), .wait = calloc(n + 1u, 2 * sizeof *lanes->wait)};
    if (ends == NULL || lanes->lane == NULL || lanes->wait == NULL) {
        free(ends);
        cuda_lanes_clear(lanes);
        return 0;
    }
    lanes->seen = lanes->wait + n + 1;
    choose_lanes(lanes, costs, ends, meet, data);
    free(ends);
    cuda_lanes_order(lanes, meet, data);
    return 1;
}

/* The last step that meets is enough: those of its lane before it have ended, too. */
void cuda_lanes_order(CudaLanes *lanes, CudaMeet *meet, const void *data)
{
    int32_t seen[CUDA_LANES] = {-1, -1};

    for (int32_t i = 0; i < (int32_t)lanes->n; i++) {
        const int lane = lanes->lane[i];
        int32_t at = i - 1;

        while (at > seen[lane] && (lanes->lane[at] == lane || !meet(data, (uint32_t)at, (uint32_t)i)))
            at--;
        lanes->wait[i] = at > seen[lane] ? at : -1;
        if (at > seen[lane])
            seen[lane] = at;
        lanes->seen[i] = seen[lane];
    }
}

int cuda_lanes_are_ordered(const CudaLanes *lanes, uint32_t before, uint32_t behind)
{
    return lanes->lane[before] == lanes->lane[behind] || lanes->seen[behind] >= (int32_t)before;
}

int cuda_lanes_overlap(const CudaLanes *lanes, uint32_t step, int launches, CudaJoins *joins)
{
    int *joined = &joins->joins[lanes->lane[step]];
    const int overlaps = !(*joined |= lanes->wait[step] >= 0);

    if (launches)
        *joined = 0;
    return overlaps;
}

void cuda_lanes_widen(const CudaLanes *lanes, uint32_t step, int32_t *first, int32_t *last)
{
    for (uint32_t j = 0; j < step; j++)
        if ((int32_t)j < *first && !cuda_lanes_are_ordered(lanes, j, step))
            *first = (int32_t)j;
    for (uint32_t j = step + 1; j < lanes->n; j++)
        if ((int32_t)j > *last && !cuda_lanes_are_ordered(lanes, step, j))
            *last = (int32_t)j;
}
