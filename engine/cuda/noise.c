/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers for networks that are timed without frames. */
#include <stdlib.h>

#include "engine.h"
#include "engine/module.h"

/* Uniform in -2..2, as normalised pictures are; the same each time. */
static float *make_frame(int64_t n)
{
    float *values = malloc((size_t)n * sizeof *values);
    uint32_t state = 1;

    for (int64_t i = 0; i < n && values != NULL; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) * 0x1p-22f - 2.f;
    }
    return values;
}

static cudaError_t make(const CudaRun *run, const float *frame, int64_t n, CudaNoise *noise)
{
    const CudaValue *input = &run->program->values[run->program->input];
    float *values = NULL;
    cudaError_t error = cudaMalloc((void **)&values, (size_t)n * sizeof *values);

    noise->bytes = (size_t)input->strides[0] * (size_t)input->shape.dims[0] * gpudl_dtype_size(input->dtype);
    if (error == cudaSuccess)
        error = cudaMalloc(&noise->input, noise->bytes);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(values, frame, (size_t)n * sizeof *values, cudaMemcpyHostToDevice, run->stream);
    for (uint32_t i = 0; i < (uint32_t)input->shape.dims[0] && error == cudaSuccess; i++) {
        const int status = cuda_put_values(run, i, values);

        error = status >= 0 ? (cudaError_t)status : cudaErrorInvalidValue;
    }
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(noise->input, cuda_value_data(run, run->program->input), noise->bytes,
                                cudaMemcpyDeviceToDevice, run->stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(run->stream);
    cudaFree(values);
    return error;
}

GpudlStatus cuda_noise_make(const CudaRun *run, CudaNoise *noise, GpudlFault *fault)
{
    const int64_t *dims = run->program->values[run->program->input].shape.dims;
    const int64_t n = dims[1] * dims[2] * dims[3];
    float *frame = make_frame(n);
    cudaError_t error;

    *noise = (CudaNoise){NULL, 0};
    if (frame == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for an input of %lld values", (long long)n);
    error = make(run, frame, n, noise);
    free(frame);
    if (error == cudaSuccess)
        return GPUDL_STATUS_OK;
    cuda_noise_free(noise);
    return cuda_fail(run->device, fault, error, "making an input to time the network on");
}

cudaError_t cuda_noise_put(const CudaRun *run, const CudaNoise *noise)
{
    return cudaMemcpyAsync(cuda_value_data(run, run->program->input), noise->input, noise->bytes,
                           cudaMemcpyDeviceToDevice, run->stream);
}

void cuda_noise_free(CudaNoise *noise)
{
    cudaFree(noise->input);
    noise->input = NULL;
}
