/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How launches of our own kernels are queued. A kernel may come to the processors while what was queued before it still
 * ends, and waits for that itself (programmatic dependent launch, device.cuh). What it waits for then is what precedes
 * it on its stream; where it has to come behind something else as well, such as another stream's event, it is to be
 * queued without overlap: all that it depends on has ended before it begins.
 */
#ifndef GPUDL_KERNELS_LAUNCH_H
#define GPUDL_KERNELS_LAUNCH_H

#ifdef __cplusplus
extern "C" {
#endif

/** Whether kernels that this thread queues from here on may overlap what they come behind. They may until it is said
 * otherwise. Of no matter to libraries' kernels. */
void gpudl_launches_overlap(int may);
/** What was said last. */
int gpudl_launches_may_overlap(void);

#ifdef __cplusplus
}
#endif

#endif
