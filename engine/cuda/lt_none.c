/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of lt.c, where cuBLASLt's header was missing when this was built: no product is one of cuBLASLt's. */
#include "lt.h"

#include <stddef.h>

int cuda_lt_fits(const CudaConvKey *key)
{
    (void)key;
    return 0;
}

int cuda_lt_open(CudaDevice *device, const GpudlHost *host)
{
    (void)device;
    host->log(host->host, GPUDL_LOG_DEBUG, "products are computed without cuBLASLt: this was built without its header");
    return 0;
}

void cuda_lt_describe(const CudaDevice *device, char *text, size_t room)
{
    (void)device;
    if (room > 0)
        text[0] = '\0';
}

void cuda_lt_close(CudaDevice *device)
{
    (void)device;
}

int cuda_lt_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    (void)device;
    (void)key;
    (void)plans;
    (void)room;
    return 0;
}

char *cuda_lt_save(const CudaDevice *device, const CudaLtAlgo *algo, size_t *bytes)
{
    (void)device;
    (void)algo;
    (void)bytes;
    return NULL;
}

int cuda_lt_load(const CudaDevice *device, const CudaConvKey *key, const char *text, size_t bytes, CudaConvPlan *plan)
{
    (void)device;
    (void)key;
    (void)text;
    (void)bytes;
    (void)plan;
    return 0;
}

int cuda_lt_run(const CudaDevice *device, const CudaConvKey *key, const CudaLtAlgo *algo, int64_t workspace,
                const CudaConvData *data, cudaStream_t stream)
{
    (void)device;
    (void)key;
    (void)algo;
    (void)workspace;
    (void)data;
    (void)stream;
    return 1;
}

const char *cuda_lt_status_name(const CudaDevice *device, int status)
{
    (void)device;
    (void)status;
    return "there is no cuBLASLt";
}
