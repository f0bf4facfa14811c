/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What a card could do at its highest clocks. */
#ifndef GPUDL_ENGINE_CUDA_PEAKS_H
#define GPUDL_ENGINE_CUDA_PEAKS_H

#include "engine/backend.h"

/** A card, as the driver describes it; 0: it does not say. */
typedef struct {
    int major, minor; /* compute capability */
    int multiprocessors;
    int clock_khz, memory_khz; /* at most */
    int bus_bits;
} CudaCard;

/** Sets rates that are known, the others to 0: of dense products with sums in float32, on tensor cores where the card
 * has some for the precision. */
void cuda_peaks(const CudaCard *card, GpudlBackendDevice *device);

#endif
