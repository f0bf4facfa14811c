/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An NVIDIA driver that is broken, as GPUDL_TEST_DRIVER says:
 *     fails   cuInit() fails at once
 *     slow    the same after 2 s
 *     hangs   cuInit() does not return
 *     none    it finds no device
 *     old     it is for CUDA 11.4
 *     weak    the card has compute capability 6.1
 *     card    it tells of its card, as far as that needs no context
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };
enum { SUCCESS = 0, NO_DEVICE = 100, NOT_SUPPORTED = 801, SYSTEM_NOT_READY = 802, UNKNOWN = 999 };

VISIBLE int cuInit(unsigned flags);
VISIBLE int cuDriverGetVersion(int *version);
VISIBLE int cuDeviceGetCount(int *n);
VISIBLE int cuDeviceGet(int *device, int ordinal);
VISIBLE int cuDeviceGetName(char *name, int room, int device);
VISIBLE int cuDeviceGetAttribute(int *value, int attribute, int device);
VISIBLE int cuDeviceTotalMem_v2(size_t *bytes, int device);
VISIBLE int cuGetErrorName(int error, const char **name);
VISIBLE int cuGetProcAddress_v2(const char *symbol, void **address, int version, uint64_t flags, int *status);

static int is(const char *what)
{
    const char *driver = getenv("GPUDL_TEST_DRIVER");

    return driver != NULL && strcmp(driver, what) == 0;
}

int cuInit(unsigned flags)
{
    (void)flags;
    if (is("slow"))
        sleep(2);
    while (is("hangs"))
        pause();
    return is("slow") ? SYSTEM_NOT_READY : is("none") ? NO_DEVICE : is("fails") ? UNKNOWN : SUCCESS;
}

int cuDriverGetVersion(int *version)
{
    *version = is("old") ? 11040 : 13000;
    return SUCCESS;
}

int cuGetErrorName(int error, const char **name)
{
    *name = error == SYSTEM_NOT_READY ? "CUDA_ERROR_SYSTEM_NOT_READY" : "CUDA_ERROR_UNKNOWN";
    return SUCCESS;
}

int cuDeviceGetCount(int *n)
{
    *n = 1;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetName(char *name, int room, int device)
{
    snprintf(name, (size_t)room, "NVIDIA Test %d", device);
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    *value = attribute == CAPABILITY_MAJOR ? (is("weak") ? 6 : 9) : attribute == CAPABILITY_MINOR && is("weak") ? 1 : 0;
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    (void)device;
    *bytes = 80000000000;
    return SUCCESS;
}

/* All the others. */
#define FAILS(name_)                                                                                                   \
    VISIBLE int name_(void);                                                                                           \
    int name_(void)                                                                                                    \
    {                                                                                                                  \
        return NOT_SUPPORTED;                                                                                          \
    }

FAILS(cuCtxPushCurrent_v2)
FAILS(cuCtxPopCurrent_v2)
FAILS(cuCtxGetDevice)
FAILS(cuDevicePrimaryCtxRetain)
FAILS(cuDevicePrimaryCtxRelease_v2)

int cuGetProcAddress_v2(const char *symbol, void **address, int version, uint64_t flags, int *status)
{
    (void)version;
    (void)flags;
    *address = strcmp(symbol, "cuInit") == 0               ? (void *)(uintptr_t)cuInit
               : strcmp(symbol, "cuDriverGetVersion") == 0 ? (void *)(uintptr_t)cuDriverGetVersion
                                                           : (void *)(uintptr_t)cuCtxGetDevice;
    if (status != NULL)
        *status = 0;
    return SUCCESS;
}
