/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peaks.h"

#include <stddef.h>

/* Operations of a multiprocessor in a clock: of the whitepapers' figures for dense products, divided by their clocks
 * and multiprocessors. Cards for games have half of the first two where sums are float32. */
static const struct {
    int major, minor;
    int half, bf16, tf32, fp32;
} generations[] = {
    {7, 5, 1024, 128, 128, 128}, /* bfloat16 and TF32: no tensor cores, float32 */
    {8, 0, 2048, 2048, 1024, 128}, {8, 6, 1024, 1024, 512, 256},   {8, 9, 1024, 1024, 512, 256},
    {9, 0, 4096, 4096, 2048, 256}, {10, 0, 8192, 8192, 4096, 256}, {12, 0, 1024, 1024, 512, 256},
};

void cuda_peaks(const CudaCard *card, GpudlBackendDevice *device)
{
    const uint64_t clocks = (uint64_t)card->multiprocessors * (uint64_t)card->clock_khz * 1000;

    /* two transfers a clock */
    device->bytes_per_second = 2 * (uint64_t)card->memory_khz * 1000 * (uint64_t)(card->bus_bits / 8);
    for (size_t p = 0; p < sizeof device->flops_per_second / sizeof *device->flops_per_second; p++)
        device->flops_per_second[p] = 0;
    for (size_t i = 0; i < sizeof generations / sizeof *generations; i++)
        if (generations[i].major == card->major && generations[i].minor == card->minor) {
            device->flops_per_second[GPUDL_PRECISION_FP16] = clocks * (uint64_t)generations[i].half;
            device->flops_per_second[GPUDL_PRECISION_BF16] = clocks * (uint64_t)generations[i].bf16;
            device->flops_per_second[GPUDL_PRECISION_TF32] = clocks * (uint64_t)generations[i].tf32;
            device->flops_per_second[GPUDL_PRECISION_FP32] = clocks * (uint64_t)generations[i].fp32;
        }
}
