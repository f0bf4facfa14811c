/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bicubic-bytes: a thread takes a pixel, along its window's rows first, since what is rounded to bytes between lies
 * along them; GPUDL_CUBIC_ROWS rows at a time, so that a column's weight is made once for them. */
#ifndef GPUDL_KERNELS_PREPROC_CUBIC_CUH
#define GPUDL_KERNELS_PREPROC_CUBIC_CUH

#include "preproc_output.cuh"

#define GPUDL_CUBIC_ROWS 8

/** Components of the pixel whose windows these are. */
__device__ __forceinline__ void gpudl_cubic_pixel(const GpudlPreprocJob &job, const GpudlPreprocCubic &wx,
                                                  const GpudlPreprocCubic &wy, float component[3])
{
    int down[3] = {0, 0, 0};

    for (int row = wy.begin; row < wy.end; row += GPUDL_CUBIC_ROWS) {
        int across[GPUDL_CUBIC_ROWS][3] = {};

        for (int s = wx.begin; s < wx.end; s++) {
            const int weight = gpudl_job_cubic_weight(&wx, s);

#pragma unroll
            for (int k = 0; k < 3; k++) {
                const int plane = job.component_plane[k];
                const uint8_t *p = job.planes[plane] + job.component_offset[k] + s * job.component_step[k];

                if (k >= job.n_components)
                    break;
#pragma unroll
                for (int r = 0; r < GPUDL_CUBIC_ROWS; r++)
                    across[r][k] +=
                        weight * (int)gpudl_load_written(p + (int64_t)min(row + r, wy.end - 1) * job.strides[plane]);
            }
        }
#pragma unroll
        for (int r = 0; r < GPUDL_CUBIC_ROWS; r++) {
            const int weight = row + r < wy.end ? gpudl_job_cubic_weight(&wy, row + r) : 0;

#pragma unroll
            for (int k = 0; k < 3; k++)
                down[k] += weight * gpudl_job_cubic_byte(across[r][k]);
        }
    }
#pragma unroll
    for (int k = 0; k < 3; k++)
        component[k] = (float)gpudl_job_cubic_byte(down[k]);
}

/** Rows y0 <= y < y0 + rows of column x of input n; of them ra <= y - y0 < rb lie in the destination rectangle where
 * the column is mine. A call, so that it takes no registers from what other methods need. */
static __device__ __noinline__ void gpudl_preproc_cubic(const GpudlPreprocJob &job, const GpudlPreprocOutput &out,
                                                        int n, int y0, int rows, int x, bool mine, int ra, int rb)
{
    GpudlPreprocCubic wx;

    if (mine)
        wx = gpudl_job_cubic(&job.x[0], x - job.dst_x);
    for (int r = 0; r < rows; r++) {
        const bool inside = mine && r >= ra && r < rb;
        float component[3] = {0.f, 0.f, 0.f};

        if (y0 + r >= out.height)
            break;
        if (inside)
            gpudl_cubic_pixel(job, wx, gpudl_job_cubic(&job.y[0], y0 + r - job.dst_y), component);
        gpudl_preproc_write(job, out, n, y0 + r, x, inside, component);
    }
}

#endif
