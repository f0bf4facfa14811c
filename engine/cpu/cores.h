/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How many processors this process may keep busy. */
#ifndef GPUDL_ENGINE_CPU_CORES_H
#define GPUDL_ENGINE_CPU_CORES_H

#include <stddef.h>
#include <stdint.h>

/** The smaller of cpu_cores_allowed() and cpu_cores_quota() of this machine, at least 1. */
uint32_t cpu_cores_usable(void);

/** Fills mask, of so many bytes, as sched_getaffinity() does for this thread: 0, or -1 with errno EINVAL if the machine
 * has more processors than bits. */
typedef int CpuGetAffinity(size_t bytes, void *mask);

/** Processors in the affinity mask, of however many the machine has; 1 if it can't be had. */
uint32_t cpu_cores_allowed(CpuGetAffinity *get);

/**
 * Processors' worth of time that control groups (version 1 and 2, own group and those above it) leave to this process,
 * rounded up: --cpus of containers, CPUQuota= of systemd. 0: no quota, or none that can be read. root stands before
 * /proc and the mount points named there; "" for this machine.
 */
uint32_t cpu_cores_quota(const char *root);

#endif
