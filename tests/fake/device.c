/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices, contexts and pinned memory. A block has a page before and after it that can't be touched, and can't be
 * touched itself any more once it is freed, or its device closed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fake/fake-module.h"

struct FakeBlock {
    FakeBlock *next;
    uint8_t *mapping, *data;
    size_t mapped, bytes;
};

GpudlStatus fake_probe(int32_t device_id, GpudlFault *fault)
{
    GpudlStatus status;
    uint32_t n;

    pthread_mutex_lock(&fake.lock);
    if (fake.does.hang_probe) {
        fake.seen.probing++;
        pthread_cond_broadcast(&fake.changed);
        while (fake.does.hang_probe)
            fake_sleep_locked(0);
        fake.seen.probing--;
    }
    status = fake.does.probe_status;
    n = fake.is.n_devices;
    pthread_mutex_unlock(&fake.lock);
    if (status != GPUDL_STATUS_OK)
        return fake_fail(fault, status, "asked to find nothing");
    if (device_id >= (int32_t)n && (FAKE_ASYNC || n == 0))
        return fake_fail(fault, GPUDL_STATUS_NO_DEVICE, "device %d of %u", device_id, n);
    return GPUDL_STATUS_OK;
}

GpudlStatus fake_list_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault)
{
    GpudlStatus status;

    pthread_mutex_lock(&fake.lock);
    status = fake.does.devices_status;
    *n = fake.is.n_devices;
    pthread_mutex_unlock(&fake.lock);
    if (status != GPUDL_STATUS_OK)
        return fake_fail(fault, status, "asked to list nothing");
    for (uint32_t i = 0; i < *n && i < room; i++) {
        out[i] = (GpudlBackendDevice){.id = (int32_t)i,
                                      .memory_bytes = 1000 * (i + 1),
                                      .free_bytes = 500 * (i + 1),
                                      .capability = {9, (int32_t)i}};
        snprintf(out[i].name, sizeof out[i].name, "fake %u", i);
        snprintf(out[i].address, sizeof out[i].address, "0000:%02x:00.0", i);
    }
    return GPUDL_STATUS_OK;
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static GpudlStatus find(GpudlDeviceParams *params, GpudlFault *fault)
{
    FakeContext *context = params->context;

    if (fake.does.device_status != GPUDL_STATUS_OK)
        return fake_fail(fault, fake.does.device_status, "asked to open nothing");
    if (params->id < 0)
        params->id = context ? context->device : 0;
    if (params->id >= (int32_t)fake.is.n_devices)
        return fake_fail(fault, GPUDL_STATUS_NO_DEVICE, "device %d of %u", params->id, fake.is.n_devices);
    if (!context)
        params->context = context = &fake.primary[params->id];
    if (!context->alive)
        fake_violation("device_open() with a context that is gone");
    if (context->device != params->id)
        return fake_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "the context is of device %d, expected one of device %d",
                         context->device, params->id);
    return GPUDL_STATUS_OK;
}

/* A helper process, as a driver has that makes its device files. */
static void run_helper(void)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) { /* a program of its own: valgrind would search this one for leaks */
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fake_violation("device_open() can't fork()");
}

GpudlStatus fake_device_open(GpudlDeviceParams *params, void **result, GpudlFault *fault)
{
    FakeDevice *device;
    GpudlStatus status;

    pthread_mutex_lock(&fake.lock);
    fake.seen.device_tries++;
    pthread_cond_broadcast(&fake.changed);
    if (fake.does.hang_device_open) {
        pthread_mutex_unlock(&fake.lock);
        run_helper();
        pthread_mutex_lock(&fake.lock);
        fake.seen.opening++;
        pthread_cond_broadcast(&fake.changed);
        while (fake.does.hang_device_open)
            fake_sleep_locked(0);
        fake.seen.opening--;
    }
    status = find(params, fault);
    if (status == GPUDL_STATUS_OK) {
        *result = device = calloc(1, sizeof *device);
        device->id = params->id;
        device->context = params->context;
        fake.seen.device_opens++;
        fake.seen.devices++;
        pthread_cond_broadcast(&fake.changed);
    }
    pthread_mutex_unlock(&fake.lock);
    return status;
}

void fake_check_context_locked(const FakeDevice *device, const char *what)
{
    if (device && !device->context->alive)
        fake_violation("%s: the context of device %d is gone", what, device->id);
}

void fake_device_close(void *data)
{
    FakeDevice *device = data;

    pthread_mutex_lock(&fake.lock);
    fake_check_context_locked(device, "device_close()");
    if (device->n_engines > 0)
        fake_violation("device_close() with %u engines open on it", device->n_engines);
    if (device->blocks)
        fake_violation("device_close() with memory of host_alloc() alive, %zu bytes at %p", device->blocks->bytes,
                       (void *)device->blocks->data);
    fake.seen.device_closes++;
    fake.seen.devices--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    free(device);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static uint64_t round_up(uint64_t bytes, uint64_t to)
{
    return (bytes + to - 1) / to * to;
}

/* The block ends where the page after it begins, as far as its alignment permits. */
static FakeBlock *map_block(uint64_t bytes, uint64_t align)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t room = round_up(bytes, page) + (align > page ? align : 0);
    FakeBlock *block = calloc(1, sizeof *block);
    uint64_t at;

    block->bytes = bytes;
    block->mapped = room + 2 * page;
    block->mapping = mmap(NULL, block->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block->mapping == MAP_FAILED || mprotect(block->mapping + page, room, PROT_READ | PROT_WRITE) != 0) {
        free(block);
        return NULL;
    }
    at = (uint64_t)(uintptr_t)block->mapping + page + room - bytes;
    block->data = block->mapping + (at / align * align - (uint64_t)(uintptr_t)block->mapping);
    memset(block->data, 0xa5, bytes);
    return block;
}

GpudlStatus fake_host_alloc(void *data, uint64_t bytes, uint64_t align, void **result, GpudlFault *fault)
{
    FakeDevice *device = data;
    FakeBlock *block = NULL;
    GpudlStatus status;

    if (bytes == 0 || align == 0 || (align & (align - 1)) != 0)
        fake_violation("host_alloc() of %llu bytes aligned to %llu", (unsigned long long)bytes,
                       (unsigned long long)align);
    pthread_mutex_lock(&fake.lock);
    fake_check_context_locked(device, "host_alloc()");
    status = fake.does.alloc_status;
    if (status == GPUDL_STATUS_OK && bytes < (uint64_t)1 << 40 && align < (uint64_t)1 << 30)
        block = map_block(bytes, align);
    if (block) {
        block->next = device->blocks;
        device->blocks = block;
        *result = block->data;
        fake.seen.blocks++;
    } else if (status == GPUDL_STATUS_OK) {
        status = GPUDL_STATUS_NO_MEMORY;
    }
    pthread_mutex_unlock(&fake.lock);
    return block ? status : fake_fail(fault, status, "no such room");
}

void fake_host_free(void *data, void *block_data)
{
    static FakeBlock *old[256]; /* not to be touched, and not to be mapped anew for a while */
    static unsigned next_old;
    FakeDevice *device = data;
    FakeBlock **link = &device->blocks, *block;

    pthread_mutex_lock(&fake.lock);
    fake_check_context_locked(device, "host_free()");
    while (*link && (*link)->data != block_data)
        link = &(*link)->next;
    block = *link;
    if (!block)
        fake_violation("host_free() of %p, which is no block of device %d", block_data, device->id);
    *link = block->next;
    mprotect(block->mapping, block->mapped, PROT_NONE);
    if (old[next_old]) {
        munmap(old[next_old]->mapping, old[next_old]->mapped);
        free(old[next_old]);
    }
    old[next_old] = block;
    next_old = (next_old + 1) % 256;
    fake.seen.blocks--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

int fake_is_pinned_locked(const FakeDevice *device, const void *data, size_t bytes)
{
    const uint8_t *begin = data;

    for (const FakeBlock *block = device ? device->blocks : NULL; block; block = block->next)
        if (begin >= block->data && bytes <= block->bytes && (size_t)(begin - block->data) <= block->bytes - bytes)
            return 1;
    return 0;
}
