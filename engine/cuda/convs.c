/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "lt.h"
#include "own.h"
#include "program.h"

/* ---- the list ---------------------------------------------------------------------------------------------------- */

CudaConv *cuda_convs_add(CudaConvs *convs, const CudaConvKey *key)
{
    CudaConv *conv;

    for (conv = convs->first; conv != NULL; conv = conv->next)
        if (memcmp(&conv->key, key, sizeof *key) == 0)
            return conv;
    conv = calloc(1, sizeof *conv);
    if (conv == NULL)
        return NULL;
    conv->key = *key;
    conv->next = convs->first;
    convs->first = conv;
    return conv;
}

int cuda_convs_open_cache(CudaConvs *convs, const char *folder)
{
    const CudaDevice *device = convs->device;
    char line[512], libraries[64] = "own kernels";
    int driver = 0;

    if (folder == NULL)
        return 1;
    if (device->cudnn != NULL)
        snprintf(libraries, sizeof libraries, "cuDNN %zu", device->cudnn->get_version());
    device->driver->get_version(&driver);
    /* fenced: what others kept was measured, and proved, while libraries' kernels might overlap ours (fence.h) */
    snprintf(line, sizeof line, "%.128s, %d.%d, %d multiprocessors, driver %d, CUDA %d, %s, fenced",
             device->properties.name, device->properties.major, device->properties.minor,
             device->properties.multiProcessorCount, driver, CUDART_VERSION, libraries);
    return gpudl_cache_open(&convs->cache, "cuda", folder, GPUDL_CUDA_TUNING_DIR, line);
}

void cuda_convs_clear(CudaConvs *convs)
{
    gpudl_cache_close(&convs->cache);
    while (convs->first != NULL) {
        CudaConv *conv = convs->first;

        convs->first = conv->next;
        cuda_conv_settle(convs->device, conv);
        cuda_conv_plan_free(convs->device, conv->plan);
        free(conv);
    }
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

/* An entry's plan; FALSE if the libraries that are here can't make it, or if it is not for this problem. */
static int load_entry(const CudaConvs *convs, cudnnHandle_t handle, const CudaConvKey *key,
                      const GpudlCacheEntry *entry, CudaConvPlan *plan)
{
    const CudaConvForm form = (CudaConvForm)entry->form;

    if (form == CUDA_CONV_APART)
        return cuda_conv_is_block(key);
    if ((form == CUDA_CONV_DEPTHWISE) != (key->depthwise != 0) ||
        (cuda_conv_is_fused(key) && form != CUDA_CONV_BLOCK && form != CUDA_CONV_GEMV && form != CUDA_CONV_STEM))
        return 0;
    if (form == CUDA_CONV_OWN)
        return 1;
    if (cuda_own_keeps(form))
        return cuda_own_load(convs->device, key, form, entry->plan, entry->plan_bytes, plan);
    if (form == CUDA_CONV_LT)
        return cuda_lt_fits(key) && cuda_lt_open(convs->device, convs->host) &&
               cuda_lt_load(convs->device, key, entry->plan, entry->plan_bytes, plan);
    return handle != NULL && cuda_conv_has_form(key, form) &&
           cuda_conv_plan_load(convs->device, handle, entry->plan, entry->plan_bytes, plan);
}

/* The line of a problem in a network; of the problem alone where network is "". */
static void step_text(const char *network, const CudaConvKey *key, char step[CUDA_STEP_ROOM])
{
    const int n = snprintf(step, CUDA_STEP_ROOM, "%s%s", network, network[0] != '\0' ? ": " : "");

    cuda_conv_key_text(key, step + n, CUDA_STEP_ROOM - (size_t)n);
}

static int read_cache(const CudaConvs *convs, const char *step, GpudlCacheEntry *entry)
{
    static const int32_t ends[] = {CUDA_CONV_OWN, CUDA_CONV_APART, CUDA_CONV_LAST + 1};

    if (convs->cache.device == NULL)
        return 0;
    /* the last form has no plan: of the numbers that were given first it is our direct kernel, then a block's steps, of
     * those behind there is none such */
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (!gpudl_cache_read(&convs->cache, step, ends[i] + 1, entry))
            continue;
        if (i == 0 || entry->form > ends[i - 1])
            return 1;
        free(entry->plan);
        return 0;
    }
    return 0;
}

int cuda_convs_read(const CudaConvs *convs, const char *network, const CudaConvKey *key, GpudlCacheEntry *entry)
{
    char step[CUDA_STEP_ROOM];

    step_text(network, key, step);
    return read_cache(convs, step, entry);
}

int cuda_convs_load(const CudaConvs *convs, cudnnHandle_t handle, const CudaConvKey *key, const GpudlCacheEntry *entry,
                    CudaConvPlan *plan)
{
    int is_known;

    *plan = (CudaConvPlan){.form = CUDA_CONV_OWN};
    is_known = load_entry(convs, handle, key, entry, plan);
    plan->form = (CudaConvForm)entry->form;
    memcpy(plan->name, entry->name, sizeof plan->name);
    plan->ns = entry->ns;
    return is_known;
}

int cuda_convs_recall(const CudaConvs *convs, const char *network, cudnnHandle_t handle, const CudaConvKey *key,
                      CudaConvPlan *plan)
{
    GpudlCacheEntry entry;
    int is_known;

    if (!cuda_convs_read(convs, network, key, &entry))
        return 0;
    is_known = cuda_convs_load(convs, handle, key, &entry, plan);
    free(entry.plan);
    return is_known;
}

/* The names of what is kept of a network, by its streams. Folders may have others, "settled on two streams": choices
 * that are not proved, and are made anew. */
static const char *const settled[] = {"", "proved on one stream", "proved on two streams",
                                      "proved on one stream, apart"};
_Static_assert(sizeof settled / sizeof *settled == CUDA_APART + 1, "each number of streams has a name");

uint32_t cuda_convs_network_streams(const CudaConvs *convs, const char *network)
{
    GpudlCacheEntry entry;
    uint32_t streams = CUDA_APART;

    if (!read_cache(convs, network, &entry))
        return 0;
    while (streams > 0 && strcmp(entry.name, settled[streams]) != 0)
        streams--;
    free(entry.plan);
    return streams;
}

static void keep_entry(const CudaConvs *convs, const char *step, const GpudlCacheEntry *entry)
{
    static atomic_int told;
    char message[512];

    if (!gpudl_cache_write(&convs->cache, step, entry, message, sizeof message) && atomic_exchange(&told, 1) == 0)
        convs->host->log(convs->host->host, GPUDL_LOG_WARNING, message);
}

static void keep_plan(const CudaConvs *convs, const char *step, const CudaConv *conv)
{
    const CudaConvPlan plan = cuda_conv_plan(conv);
    GpudlCacheEntry entry = {.form = conv->form, .ns = conv->ns};

    snprintf(entry.name, sizeof entry.name, "%s", conv->name);
    if (conv->form == CUDA_CONV_LT)
        entry.plan = cuda_lt_save(convs->device, &conv->lt, &entry.plan_bytes);
    else if (cuda_own_keeps(conv->form))
        entry.plan = cuda_own_save(&plan, &entry.plan_bytes);
    else if (conv->plan != NULL)
        entry.plan = cuda_conv_plan_save(convs->device, conv->plan, &entry.plan_bytes);
    if (conv->form == CUDA_CONV_OWN || conv->form == CUDA_CONV_APART || entry.plan != NULL)
        keep_entry(convs, step, &entry);
    free(entry.plan);
}

void cuda_convs_keep_plan(const CudaConvs *convs, const CudaConv *conv)
{
    char step[CUDA_STEP_ROOM];

    step_text("", &conv->key, step);
    keep_plan(convs, step, conv);
}

void cuda_convs_keep_choice(const CudaConvs *convs, const char *network, const CudaConv *conv, int swapped)
{
    GpudlCacheEntry entry;
    char step[CUDA_STEP_ROOM];

    step_text(network, &conv->key, step);
    if (!swapped && read_cache(convs, step, &entry)) {
        free(entry.plan);
        swapped = 1;
    }
    if (swapped)
        keep_plan(convs, step, conv);
}

void cuda_convs_keep_network(const CudaConvs *convs, const char *network, uint32_t streams, float ns)
{
    GpudlCacheEntry entry = {.form = CUDA_CONV_OWN, .ns = ns};

    snprintf(entry.name, sizeof entry.name, "%s", settled[streams]);
    keep_entry(convs, network, &entry);
}
