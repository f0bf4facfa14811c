/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which kernel makes a batch's input of frames. */
#include "engine.h"

/* Whether the kernel for pictures that shrink takes them, and is the right one: what it is off by is nothing beside the
 * rounding of 16 bits, but float32 should have more, and its products need tensor cores that know TF32. */
static int may_shrink(const CudaEngine *engine, const CudaSlot *slot, int32_t count, GpudlPreprocLayout layout)
{
    int32_t steps;

    return (layout == GPUDL_PREPROC_NHWC4_F16 || layout == GPUDL_PREPROC_NHWC4_BF16) &&
           engine->shared.device->properties.major >= 8 &&
           gpudl_preproc_jobs_shrink(slot->jobs, count, &steps) != GPUDL_SHRINK_NONE;
}

int cuda_queue_frames(const CudaEngine *engine, CudaSlot *slot, int32_t count, const int32_t size[3],
                      GpudlPreprocLayout layout, void *out, cudaStream_t stream)
{
    const int points = gpudl_preproc_jobs_are_points(slot->jobs, count);
    const int shrink = !points && may_shrink(engine, slot, count, layout);
    const int carried = points   ? gpudl_preproc_points_carried(slot->jobs, count)
                        : shrink ? count <= GPUDL_PREPROC_SHRINK_CARRIED_JOBS
                                 : 0;

    if (!carried) {
        const int status = gpudl_preproc_put_jobs_cuda(slot->jobs, count, slot->device_jobs, stream);

        if (status != GPUDL_KERNEL_OK)
            return status;
    }
    if (points)
        return gpudl_preproc_points_cuda(slot->jobs, slot->device_jobs, count, size[2], size[1], size[0], layout, out,
                                         stream);
    if (shrink)
        return gpudl_preproc_shrink_cuda(slot->jobs, slot->device_jobs, count, size[2], size[1], size[0], layout, out,
                                         stream);
    return gpudl_preproc_cuda(slot->device_jobs, count, size[2], size[1], size[0], layout, out, stream);
}
