/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Running one convolution alone on random data: is it right, and how long does it take. */
#ifndef GPUDL_ENGINE_CUDA_TRIAL_H
#define GPUDL_ENGINE_CUDA_TRIAL_H

#include "conv.h"

/** Memory for whatever a problem reads and writes. */
typedef struct {
    CudaDevice *device;
    cudaStream_t stream;
    cudaEvent_t begin, end;
    uint8_t *memory;
    size_t bytes;
    uint8_t *pattern;         /* random numbers, on the host */
    uint8_t *found;           /* a picture of results */
    float *expected, *larges; /* of the first and of the last picture: right results; the largest of each channel */
    size_t most_values;       /* of a picture: where those of the last begin */
    size_t picture_bytes;
    /* of the problem at hand */
    const CudaConvKey *key;
    CudaConvData data, truth; /* truth: the same, but where the right result goes */
} CudaTrial;

/** Bytes of device memory for a problem, and of one picture of its result. */
size_t cuda_trial_bytes(const CudaConvKey *key, int64_t workspace, size_t *picture_bytes);
/** Room for as much, and for problems of the type. Under the device's lock, in its context; the first handle, if there
 * is cuDNN, runs on the trial's stream from here on. */
GpudlStatus cuda_trial_open(CudaTrial *trial, CudaDevice *device, int32_t dtype, size_t bytes, size_t picture_bytes,
                            GpudlFault *fault);
void cuda_trial_close(CudaTrial *trial);

/** Fills in random data and computes the first and the last picture by our own direct kernel. */
GpudlStatus cuda_trial_begin(CudaTrial *trial, const CudaConvKey *key, GpudlFault *fault);
/** Runs a plan: 1 if it gives what that kernel gives, within its arithmetic's roundings; 0 if not, or if it can't be
 * run. */
int cuda_trial_check(CudaTrial *trial, const CudaConvPlan *plan);
/** A plan that is right: 1 if a NaN that it reads is in its results; 0 if they are numbers, as a careless maximum makes
 * them. */
int cuda_trial_keeps_nan(CudaTrial *trial, const CudaConvPlan *plan);
/** Nanoseconds of one run in a CUDA graph; 0 if it can't be run. */
float cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan);

#endif
