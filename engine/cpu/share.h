/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What engines share of a processor, and begin with. */
#ifndef GPUDL_ENGINE_CPU_SHARE_H
#define GPUDL_ENGINE_CPU_SHARE_H

#include "packed.h"

/** The processor's model, one line. */
void cpu_name_processor(char *name, size_t room);

/** Fills in all but oneDNN's objects. */
void cpu_share(CpuShared *shared, const GpudlHost *host, const GpudlOpenParams *params);

/** Opens the cache, where autotune and cache_dir want one. All that times depend on beside the problem makes a device
 * of its own there. FALSE if there is no memory. */
int cpu_share_cache(CpuShared *shared, const GpudlOpenParams *params);

#endif
