/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* look-gpu: what there is of NVIDIA's, for gpudl doctor. A program of its own, since a driver may not return, and a
 * library that is damaged may end the process. Each finding is a line, written as it is made: a key, a value and a text
 * with tabs between; the value is empty where it is not there, and the text then says why.
 *
 *   cudnn, cublaslt, nvcuvid  version (nvcuvid: ok), file
 *   library                   ok, libcuda.so.1's file
 *   cuda                      what the driver is for, "-" or what was expected, if that is too old for networks
 *   start                     the driver is about to be started
 *   driver                    ok, when it has started
 *   gpu                       number; name, capability and memory
 *   weak                      as gpu, one that is too old for networks; the text says what was expected
 */
#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/cuda/loader.h"

#define CAPABILITY_MAJOR 75
#define CAPABILITY_MINOR 76
#define NO_DEVICE 100
/* what this version's networks run on, as engine/cuda/device.c has it; GPUDL_CUDA_NEEDED is the toolkit that it is
 * built with (as CUDART_VERSION counts), and any driver of the same major version runs that */
#define LEAST_CAPABILITY 75

__attribute__((format(printf, 3, 4))) static void tell(const char *key, const char *value, const char *format, ...)
{
    va_list args;

    printf("%s\t%s\t", key, value);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static const char *file_of(void *library)
{
    struct link_map *map = NULL;

    return dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map != NULL ? map->l_name : "";
}

/* Address of a function. dlsym() gives an object pointer, which C does not convert. */
static int find(void *library, const char *symbol, void *function)
{
    void *address = dlsym(library, symbol);

    memcpy(function, &address, sizeof address);
    return address != NULL;
}

/* A library whose version is a number: major * 10000 + minor * 100 + patch. */
static void look_at_versioned(const char *key, const char *name, const char *symbol)
{
    char tried[1024], version[32];
    void *library = cuda_open_library(name, GPUDL_CUDA_LIBDIRS, tried, sizeof tried);
    size_t (*get_version)(void), n;

    if (library == NULL) {
        tell(key, "", "%s", tried);
        return;
    }
    if (!find(library, symbol, &get_version)) {
        tell(key, "", "%s has no %s()", file_of(library), symbol);
        return;
    }
    n = get_version();
    snprintf(version, sizeof version, "%zu.%zu.%zu", n / 10000, n / 100 % 100, n % 100);
    tell(key, version, "%s", file_of(library));
}

static void look_at_nvcuvid(void)
{
    char tried[512];
    void *library = cuda_open_library("libnvcuvid.so.1", "", tried, sizeof tried);

    if (library != NULL)
        tell("nvcuvid", "ok", "%s", file_of(library));
    else
        tell("nvcuvid", "", "%s", tried);
}

static void look_at_gpus(void *cuda)
{
    int (*get_count)(int *n), (*get_device)(int *device, int ordinal), (*get_name)(char *name, int room, int device);
    int (*get_attribute)(int *value, int attribute, int device), (*get_memory)(size_t * bytes, int device);
    int n = 0;

    if (!find(cuda, "cuDeviceGetCount", &get_count) || !find(cuda, "cuDeviceGet", &get_device) ||
        !find(cuda, "cuDeviceGetName", &get_name) || !find(cuda, "cuDeviceGetAttribute", &get_attribute) ||
        !find(cuda, "cuDeviceTotalMem_v2", &get_memory) || get_count(&n) != 0)
        return;
    for (int i = 0; i < n; i++) {
        char name[128] = "unknown", number[16];
        int device, major = 0, minor = 0;
        size_t bytes = 0;

        if (get_device(&device, i) != 0)
            continue;
        get_name(name, sizeof name, device);
        get_attribute(&major, CAPABILITY_MAJOR, device);
        get_attribute(&minor, CAPABILITY_MINOR, device);
        get_memory(&bytes, device);
        snprintf(number, sizeof number, "%d", i);
        if (10 * major + minor < LEAST_CAPABILITY)
            tell("weak", number, "%s, compute capability %d.%d, expected %d.%d or newer", name, major, minor,
                 LEAST_CAPABILITY / 10, LEAST_CAPABILITY % 10);
        else
            tell("gpu", number, "%s, compute capability %d.%d, %.1f GB", name, major, minor, (double)bytes / 1e9);
    }
}

/* Of the driver that a toolkit came with first, "" if it is not known here. */
static const char *first_driver(int major)
{
    return major == 12 ? ", which is driver 525 or newer" : major == 13 ? ", which is driver 580 or newer" : "";
}

static void look_at_driver(void)
{
    const int needed = GPUDL_CUDA_NEEDED / 1000;
    int (*get_version)(int *version), (*init)(unsigned flags), (*get_error_name)(int error, const char **name);
    int version = 0, error;
    char tried[512], text[32];
    const char *name = NULL;
    void *cuda = cuda_open_library("libcuda.so.1", "", tried, sizeof tried);

    tell("library", cuda != NULL ? "ok" : "", "%s", cuda != NULL ? file_of(cuda) : tried);
    if (cuda == NULL)
        return;
    if (!find(cuda, "cuDriverGetVersion", &get_version) || !find(cuda, "cuInit", &init) ||
        !find(cuda, "cuGetErrorName", &get_error_name)) {
        tell("driver", "", "it has no cuInit(): it is no driver of NVIDIA's");
        return;
    }
    get_version(&version);
    snprintf(text, sizeof text, "%d.%d", version / 1000, version % 1000 / 10);
    if (version / 1000 < needed)
        tell("cuda", text, "expected %d.0 or newer%s", needed, first_driver(needed));
    else
        tell("cuda", text, "-");
    tell("start", "", "-");
    error = init(0);
    if (error == NO_DEVICE)
        tell("driver", "", "it finds no GPU, or CUDA_VISIBLE_DEVICES hides it");
    else if (error != 0) {
        get_error_name(error, &name);
        tell("driver", "", "it can't be started: cuInit(): %s (%d)", name != NULL ? name : "unknown error", error);
    } else {
        tell("driver", "ok", "-");
        look_at_gpus(cuda);
    }
}

int main(void)
{
    look_at_versioned("cudnn", "libcudnn.so.9", "cudnnGetVersion");
    look_at_versioned("cublaslt", "libcublasLt.so.13", "cublasLtGetVersion");
    look_at_nvcuvid();
    look_at_driver();
    fflush(stdout);
    _exit(0); /* nothing of the driver is to be ended in order */
}
