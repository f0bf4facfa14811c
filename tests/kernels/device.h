/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the checks of CUDA kernels share, as check.h does for the references; without GLib, so that they run on a
 * machine that has a device and nothing else.
 *
 * Options: --seed N (default 1), --cases N (random cases of each check), --only NAME, --bench, --tap (accepted: the
 * output is always TAP). Without a device a program ends with 77, under --tap with 0 and TAP's skip;
 * GPUDL_REQUIRE_CUDA=1 makes it a failure.
 */
#ifndef GPUDL_TESTS_KERNELS_DEVICE_H
#define GPUDL_TESTS_KERNELS_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

#define DEVICE_PRINTF(a, b) __attribute__((format(printf, a, b)))

/** A check fails by device_fail(), and has passed when it returns. */
typedef struct {
    const char *name;
    void (*run)(void);
} DeviceCheck;

/** Runs what the options ask for; both lists end in a row without a name. Result for main() to return. */
int device_main(int argc, char **argv, const DeviceCheck *checks, const DeviceCheck *benches);

/* ---- cases ------------------------------------------------------------------------------------------------------- */

/** How many random cases a check has: --cases, else usual. */
int device_cases(int usual);
/** Names the case that follows, starts the generator from seed and number, and frees what the last case had on the
 * device after looking at its guard bands. The text is part of every failure's message. */
void device_case(int number, const char *format, ...) DEVICE_PRINTF(2, 3);
void device_note(const char *format, ...) DEVICE_PRINTF(1, 2);
/** Fails the check that runs; does not return. */
_Noreturn void device_fail(const char *format, ...) DEVICE_PRINTF(1, 2);
/** Ends the check that runs, which this device can't do, for a reason that is said; does not return. */
_Noreturn void device_skip(const char *reason);

uint64_t device_bits(void);
/** Uniform integer, low <= n <= high; uniform real. */
int64_t device_int(int64_t low, int64_t high);
double device_real(double low, double high);
/** Element at of memory of float16, bfloat16 or float32, which need not be aligned; sets it, rounded once. */
double device_get(GpudlDType dtype, const void *data, int64_t at);
void device_set(GpudlDType dtype, void *data, int64_t at, double value);
/** A value as such a type has it. */
double device_rounded(GpudlDType dtype, double value);
/** How far a value that is stored may be off where the expected one is rounded, too: float16 rounds to 2^-11, or to
 * 2^-25 where it is subnormal, bfloat16 to 2^-8, or to 2^-134; twice that. 0 for float32. */
double device_rounding(GpudlDType dtype, double value);
/** One of these types, by chance. */
GpudlDType device_float_type(void);
/** Random elements of such a type: values low..high, one in 16 of the rarer kinds (infinities, NaN, large, subnormal,
 * -0) where extremes is not 0. Sums of 256 large ones do not leave float32. */
void device_random(GpudlDType dtype, void *to, size_t n, double low, double high, int extremes);

/** Host memory of this case; freed with it. */
void *device_host(size_t bytes);

/* ---- device memory, freed with the case ----------------------------------------------------------------------------
 */

/** Input: a copy of bytes, at an address offset bytes behind an allocation's begin that ends with it, so that memcheck
 * sees reads beyond. */
void *device_input(const void *from, size_t bytes, size_t offset);
/** Output: filled with 0xff (NaN in both float types), between guard bands. */
void *device_output(size_t bytes, size_t offset);
/** Waits for the device; fails unless status, the launcher's, and the run were fine. */
void device_done(int status);
/** Copy of an output, in host memory of this case. */
void *device_fetch(const void *output, size_t bytes);

/** The device's compute capability, before the point. */
int device_capability(void);

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

/** A launch to be timed: i counts them, so that data can be rotated. */
typedef int DeviceLaunch(void *data, int i, GpudlKernelStream stream);

/** Prints name, time of one of launches launches in a CUDA graph (median of several runs), bytes it has to move at
 * least, rate, and that rate's fraction of a device-to-device copy's. */
void device_bench(const char *name, DeviceLaunch *launch, void *data, int launches, double bytes);
/** The time alone, in seconds. */
double device_time(DeviceLaunch *launch, void *data, int launches);
/** Fills device memory with noise that is finite in float16: a bench's input. */
void *device_noise(size_t bytes);

#endif
