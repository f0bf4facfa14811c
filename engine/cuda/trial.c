/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trial.h"

#include <math.h>
#include <stdlib.h>

#include "block.h"
#include "engine/module.h"
#include "kernels/half.h"
#include "lt.h"
#include "own.h"
#include "trial_block.h"

/* A measurement: the median of so many replays of a graph of so many runs, about the time that a layer takes in a
 * network. */
#define REPLAYS 5
#define RUNS 8

#define PATTERN_BYTES ((size_t)1 << 20)

/* Differences that roundings explain, in units of the largest result: of float16 and TF32 operands (2^-11 each) and
 * results; of bfloat16 results, and of sums that are stored before residual, bias and activation (2^-8 each); of
 * float32 sums in another order. What is wrong is off by more, or not a number. */
#define BOUND_HALF 1e-2f
#define BOUND_BF16 4e-2f
#define BOUND_TF32 1e-2f
#define BOUND_FLOAT 2e-4f

static size_t size_of(int32_t dtype)
{
    return gpudl_dtype_size((GpudlDType)dtype);
}

static uint16_t to_narrow(int32_t dtype, float value)
{
    return dtype == GPUDL_DTYPE_BF16 ? gpudl_f32_to_bf16(value) : gpudl_f32_to_f16(value);
}

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Lays a problem's data out from base on; returns the bytes. */
static size_t lay_out(const CudaConvKey *key, size_t workspace, uint8_t *base, CudaConvData *data, CudaConvData *truth)
{
    const size_t size = size_of(key->dtype), pixels = (size_t)key->n * (size_t)key->p * (size_t)key->q;
    const size_t weights = aligned(key->hidden != 0 ? cuda_trial_block_weights(key)
                                                    : (size_t)key->k * (size_t)(key->c / key->groups) * (size_t)key->r *
                                                          (size_t)key->s * size);
    size_t at = 0;

    data->x = base + at;
    at += aligned((size_t)key->n * (size_t)key->h * (size_t)key->w * (size_t)key->x_pitch * size);
    data->w = base + at;
    at += weights;
    data->z = base + at;
    at += aligned(pixels * (size_t)key->z_pitch * size);
    data->bias = base + at;
    at += aligned((size_t)key->k * 4);
    data->half_bias = base + at;
    at += aligned((size_t)key->k * 2);
    data->y = base + at;
    at += aligned(pixels * (size_t)key->y_pitch * size);
    *truth = *data;
    truth->y = base + at;
    at += aligned(pixels * (size_t)key->y_pitch * size);
    if (key->depthwise != 0) {
        truth->w = base + at;
        at += weights;
    }
    data->workspace = base + at; /* of a block's plans, which need none, what its truth is made of */
    if (cuda_conv_is_fused(key))
        at += cuda_trial_block_extra(key);
    return at + aligned(workspace);
}

size_t cuda_trial_bytes(const CudaConvKey *key, int64_t workspace, size_t *picture_bytes)
{
    CudaConvData data, truth;

    *picture_bytes = (size_t)key->p * (size_t)key->q * (size_t)key->y_pitch * size_of(key->dtype);
    return lay_out(key, (size_t)workspace, NULL, &data, &truth);
}

/* Uniform in -1..1. */
static void fill_pattern(uint8_t *pattern, int32_t dtype)
{
    uint64_t state = 88172645463325252u;

    for (size_t i = 0; i < PATTERN_BYTES / size_of(dtype); i++) {
        float v;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        v = (float)(int32_t)(state >> 32) * 0x1p-31f;
        if (dtype == GPUDL_DTYPE_F32)
            ((float *)(void *)pattern)[i] = v;
        else
            ((uint16_t *)(void *)pattern)[i] = to_narrow(dtype, v);
    }
}

GpudlStatus cuda_trial_open(CudaTrial *trial, CudaDevice *device, int32_t dtype, size_t bytes, size_t picture_bytes,
                            GpudlFault *fault)
{
    cudaError_t error;

    *trial = (CudaTrial){
        .device = device, .bytes = bytes > PATTERN_BYTES ? bytes : PATTERN_BYTES, .picture_bytes = picture_bytes};
    trial->pattern = malloc(PATTERN_BYTES);
    trial->found = malloc(picture_bytes);
    trial->most_values = picture_bytes / size_of(dtype) + 1;
    trial->expected = malloc(2 * trial->most_values * sizeof *trial->expected);
    trial->larges = malloc(2 * trial->most_values * sizeof *trial->larges);
    if (trial->pattern == NULL || trial->found == NULL || trial->expected == NULL || trial->larges == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory to try convolutions");
    fill_pattern(trial->pattern, dtype);
    error = cudaMalloc((void **)&trial->memory, trial->bytes);
    if (error == cudaSuccess)
        error = cudaStreamCreateWithFlags(&trial->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess)
        error = cudaEventCreate(&trial->begin);
    if (error == cudaSuccess)
        error = cudaEventCreate(&trial->end);
    return error == cudaSuccess
               ? cuda_bind(device, trial->stream, fault)
               : cuda_fail(device, fault, error, "%llu bytes to try convolutions in", (unsigned long long)trial->bytes);
}

void cuda_trial_close(CudaTrial *trial)
{
    if (trial->end != NULL)
        cudaEventDestroy(trial->end);
    if (trial->begin != NULL)
        cudaEventDestroy(trial->begin);
    if (trial->stream != NULL)
        cudaStreamDestroy(trial->stream);
    cudaFree(trial->memory);
    free(trial->pattern);
    free(trial->found);
    free(trial->expected);
    free(trial->larges);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* The pattern, doubled until all is full. */
static cudaError_t fill(const CudaTrial *trial, size_t bytes)
{
    size_t done = PATTERN_BYTES < bytes ? PATTERN_BYTES : bytes;
    cudaError_t error = cudaMemcpyAsync(trial->memory, trial->pattern, done, cudaMemcpyHostToDevice, trial->stream);

    while (done < bytes && error == cudaSuccess) {
        const size_t more = done < bytes - done ? done : bytes - done;

        error = cudaMemcpyAsync(trial->memory + done, trial->memory, more, cudaMemcpyDeviceToDevice, trial->stream);
        done += more;
    }
    return error;
}

/* The same bias in both types. */
static cudaError_t fill_bias(const CudaTrial *trial)
{
    const size_t k = (size_t)trial->key->k;
    float *floats = malloc(k * sizeof *floats);
    uint16_t *halves = malloc(k * sizeof *halves);
    cudaError_t error = floats != NULL && halves != NULL ? cudaSuccess : cudaErrorMemoryAllocation;

    for (size_t i = 0; i < k && error == cudaSuccess; i++) {
        /* some far off, where an activation's exponential overflows if it is careless */
        floats[i] = (float)((int)(i * 37 % 101) - 50) / (i % 8 == 5 ? 0.25f : 64);
        halves[i] = to_narrow(trial->key->dtype, floats[i]);
    }
    if (error == cudaSuccess)
        error = cudaMemcpyAsync((void *)trial->data.bias, floats, k * sizeof *floats, cudaMemcpyHostToDevice,
                                trial->stream);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync((void *)trial->data.half_bias, halves, k * sizeof *halves, cudaMemcpyHostToDevice,
                                trial->stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(trial->stream);
    free(floats);
    free(halves);
    return error;
}

/* Depthwise weights, which are RSK, as the direct kernel takes them: KRS. */
static cudaError_t turn_weights(const CudaTrial *trial)
{
    const CudaConvKey *key = trial->key;
    const size_t k = (size_t)key->k, taps = (size_t)key->r * (size_t)key->s, bytes = k * taps * sizeof(uint16_t);
    uint16_t *from = malloc(bytes), *to = malloc(bytes);
    cudaError_t error = from != NULL && to != NULL ? cudaStreamSynchronize(trial->stream) : cudaErrorMemoryAllocation;

    if (error == cudaSuccess)
        error = cudaMemcpy(from, trial->data.w, bytes, cudaMemcpyDeviceToHost);
    for (size_t i = 0; i < k * taps && error == cudaSuccess; i++)
        to[i % k * taps + i / k] = from[i];
    if (error == cudaSuccess)
        error = cudaMemcpyAsync((void *)(uintptr_t)trial->truth.w, to, bytes, cudaMemcpyHostToDevice, trial->stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(trial->stream);
    free(from);
    free(to);
    return error;
}

static float value_at(const CudaTrial *trial, const uint8_t *picture, size_t i)
{
    const int32_t dtype = trial->key->dtype;

    if (dtype == GPUDL_DTYPE_F32)
        return ((const float *)(const void *)picture)[i];
    return dtype == GPUDL_DTYPE_BF16 ? gpudl_bf16_to_f32(((const uint16_t *)(const void *)picture)[i])
                                     : gpudl_f16_to_f32(((const uint16_t *)(const void *)picture)[i]);
}

/* The right results of a picture, in the order of pixels and then channels. */
static cudaError_t read_truth(CudaTrial *trial, int which, int32_t n)
{
    const CudaConvKey *key = trial->key;
    const size_t pixels = (size_t)key->p * (size_t)key->q, pitch = (size_t)key->y_pitch, channels = (size_t)key->k;
    float *expected = trial->expected + (size_t)which * trial->most_values;
    float *larges = trial->larges + (size_t)which * trial->most_values;
    const cudaError_t error = cudaMemcpy(trial->found, (uint8_t *)trial->truth.y + (size_t)n * trial->picture_bytes,
                                         trial->picture_bytes, cudaMemcpyDeviceToHost);

    for (size_t k = 0; k < channels; k++)
        larges[k] = 0.5f;
    for (size_t i = 0; i < pixels && error == cudaSuccess; i++)
        for (size_t k = 0; k < channels; k++) {
            const float v = value_at(trial, trial->found, i * pitch + k);

            expected[i * channels + k] = v;
            larges[k] = fmaxf(larges[k], fabsf(v));
        }
    return error;
}

/* Of the first and the last picture. */
static int find_truth(CudaTrial *trial)
{
    const CudaConvKey *key = trial->key;
    int status;

    if (key->means != 0)
        return cuda_trial_means_begin(trial, trial->data.workspace);
    if (key->pooled != 0)
        return cuda_trial_pooled_begin(trial, trial->data.workspace);
    if (key->hidden != 0)
        return cuda_trial_block_begin(trial, (const uint16_t *)(const void *)trial->pattern,
                                      PATTERN_BYTES / sizeof(uint16_t), trial->data.workspace);
    status = cuda_conv_own(key, &trial->truth, 0, 1, trial->stream);
    if (status == 0 && key->n > 1)
        status = cuda_conv_own(key, &trial->truth, key->n - 1, 1, trial->stream);
    return status;
}

GpudlStatus cuda_trial_begin(CudaTrial *trial, const CudaConvKey *key, GpudlFault *fault)
{
    cudaError_t error;
    int status = 0;

    trial->key = key;
    trial->picture_bytes = (size_t)key->p * (size_t)key->q * (size_t)key->y_pitch * size_of(key->dtype);
    lay_out(key, 0, trial->memory, &trial->data, &trial->truth);
    error = fill(trial, (size_t)((uint8_t *)trial->data.y - trial->memory));
    if (error == cudaSuccess)
        error = fill_bias(trial);
    if (error == cudaSuccess && key->depthwise != 0)
        error = turn_weights(trial);
    if (error == cudaSuccess)
        status = find_truth(trial);
    if (status > 0)
        error = (cudaError_t)status;
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(trial->stream);
    if (error == cudaSuccess && status == 0)
        error = read_truth(trial, 0, 0);
    if (error == cudaSuccess && status == 0 && key->n > 1)
        error = read_truth(trial, 1, key->n - 1);
    return error == cudaSuccess && status == 0
               ? GPUDL_STATUS_OK
               : cuda_fail(trial->device, fault, error, "trying a convolution of %dx%dx%dx%d to %d channels", key->n,
                           key->c, key->h, key->w, key->k);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

static int queue(const CudaTrial *trial, const CudaConvPlan *plan)
{
    const CudaDevice *device = trial->device;

    if (plan->form == CUDA_CONV_LT)
        return cuda_lt_run(device, trial->key, &plan->lt, plan->workspace, &trial->data, trial->stream) == 0 &&
               cuda_conv_finish(trial->key, plan->form, &trial->data, trial->stream) == GPUDL_KERNEL_OK;
    if (plan->form == CUDA_CONV_GEMM)
        return cuda_gemm_run(trial->key, &plan->gemm, &trial->data, trial->stream) == 0;
    if (plan->form == CUDA_CONV_ONCE)
        return cuda_once_run(trial->key, &plan->once, &trial->data, trial->stream) == 0;
    if (plan->form == CUDA_CONV_GEMV)
        return cuda_gemv_run(trial->key, &plan->gemv, &trial->data, trial->stream) == 0;
    if (plan->form == CUDA_CONV_STEM)
        return cuda_stem_run(trial->key, &trial->data, trial->stream) == 0;
    if (plan->form == CUDA_CONV_DEPTHWISE) {
        const GpudlAct act = cuda_conv_act(trial->key);

        return cuda_depthwise_run(trial->key, &plan->depthwise, &act, &trial->data, trial->stream) == 0;
    }
    if (plan->form == CUDA_CONV_BLOCK)
        return cuda_block_run(trial->key, &plan->block, &trial->data, trial->stream) == 0;
    if (plan->form == CUDA_CONV_OWN)
        return cuda_conv_own(trial->key, &trial->data, 0, trial->key->n, trial->stream) == 0;
    if (cuda_conv_run(device, device->handles[0], trial->key, plan->form, plan->plan, &trial->data, trial->stream) !=
        CUDNN_STATUS_SUCCESS)
        return 0;
    return cuda_conv_finish(trial->key, plan->form, &trial->data, trial->stream) == GPUDL_KERNEL_OK;
}

/* Differences in units of the largest value of the channel. which: the first of those expected, or the last. */
static int same_picture(const CudaTrial *trial, int which, int32_t n)
{
    const CudaConvKey *key = trial->key;
    const size_t pixels = (size_t)key->p * (size_t)key->q, pitch = (size_t)key->y_pitch, channels = (size_t)key->k;
    const float *expected = trial->expected + (size_t)which * trial->most_values;
    const float *larges = trial->larges + (size_t)which * trial->most_values;
    const float bound = key->dtype == GPUDL_DTYPE_F16    ? BOUND_HALF
                        : key->dtype == GPUDL_DTYPE_BF16 ? BOUND_BF16
                        : key->tf32                      ? BOUND_TF32
                                                         : BOUND_FLOAT;

    if (cudaMemcpy(trial->found, (uint8_t *)trial->data.y + (size_t)n * trial->picture_bytes, trial->picture_bytes,
                   cudaMemcpyDeviceToHost) != cudaSuccess)
        return 0;
    for (size_t i = 0; i < pixels; i++)
        for (size_t k = 0; k < channels; k++)
            if (!(fabsf(value_at(trial, trial->found, i * pitch + k) - expected[i * channels + k]) <=
                  bound * larges[k]))
                return 0;
    return 1;
}

int cuda_trial_check(CudaTrial *trial, const CudaConvPlan *plan)
{
    const size_t y_bytes = (size_t)((uint8_t *)trial->truth.y - (uint8_t *)trial->data.y);
    int good;

    /* NaN, so that what is not written is seen; also in the workspace, which nobody cleans in a network */
    good = cudaMemsetAsync(trial->data.y, 0xff, y_bytes, trial->stream) == cudaSuccess &&
           cudaMemsetAsync(trial->data.workspace, 0xff, (size_t)plan->workspace, trial->stream) == cudaSuccess &&
           queue(trial, plan) && cudaStreamSynchronize(trial->stream) == cudaSuccess;
    good = good && same_picture(trial, 0, 0) && (trial->key->n == 1 || same_picture(trial, 1, trial->key->n - 1));
    return good;
}

/* A place (h, w) of the first picture that the result at (p, q) of it is summed from; FALSE if there is none. */
static int find_tap(const CudaConvKey *key, int32_t p, int32_t q, int32_t *h, int32_t *w)
{
    if (key->pooled != 0) { /* of the convolution's pixels, one that the maximum is of */
        p = 2 * p > key->pool_pad[0] ? 2 * p - key->pool_pad[0] : 0;
        q = 2 * q > key->pool_pad[1] ? 2 * q - key->pool_pad[1] : 0;
    }
    for (int32_t r = 0; r < key->r; r++)
        for (int32_t s = 0; s < key->s; s++) {
            *h = p * key->stride[0] - key->pad_begin[0] + r * key->dilation[0];
            *w = q * key->stride[1] - key->pad_begin[1] + s * key->dilation[1];
            if (*h >= 0 && *h < key->h && *w >= 0 && *w < key->w)
                return 1;
        }
    return 0;
}

int cuda_trial_keeps_nan(CudaTrial *trial, const CudaConvPlan *plan)
{
    static const uint8_t nan[4] = {0xff, 0xff, 0xff, 0xff};
    const CudaConvKey *key = trial->key;
    const size_t size = size_of(key->dtype), pitch = (size_t)key->y_pitch;
    const int32_t p = key->p / 2, q = key->q / 2;
    uint8_t *x = (uint8_t *)(uintptr_t)trial->data.x, number[4];
    int32_t h, w;
    int good;

    if (key->act == GPUDL_ACT_NONE || !find_tap(key, p, q, &h, &w))
        return 1;
    x += ((size_t)h * (size_t)key->w + (size_t)w) * (size_t)key->x_pitch * size;
    good = cudaMemcpy(number, x, size, cudaMemcpyDeviceToHost) == cudaSuccess &&
           cudaMemcpyAsync(x, nan, size, cudaMemcpyHostToDevice, trial->stream) == cudaSuccess && queue(trial, plan) &&
           cudaStreamSynchronize(trial->stream) == cudaSuccess &&
           cudaMemcpy(trial->found, trial->data.y, trial->picture_bytes, cudaMemcpyDeviceToHost) == cudaSuccess;
    for (int32_t k = 0; k < key->k / key->groups && good; k++)
        good = isnan(value_at(trial, trial->found, ((size_t)p * (size_t)key->q + (size_t)q) * pitch + (size_t)k));
    return cudaMemcpyAsync(x, number, size, cudaMemcpyHostToDevice, trial->stream) == cudaSuccess &&
           cudaStreamSynchronize(trial->stream) == cudaSuccess && good;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static cudaGraphExec_t capture(const CudaTrial *trial, const CudaConvPlan *plan)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    int good = 1;

    if (cudaStreamBeginCapture(trial->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess)
        return NULL;
    for (int i = 0; i < RUNS && good; i++)
        good = queue(trial, plan);
    if (cudaStreamEndCapture(trial->stream, &graph) != cudaSuccess || !good ||
        cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess)
        exec = NULL;
    if (graph != NULL)
        cudaGraphDestroy(graph);
    return exec;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

float cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan)
{
    cudaGraphExec_t exec = capture(trial, plan);
    float times[REPLAYS + 1] = {0}, ns = 0;
    int good = exec != NULL;

    for (int i = 0; i <= REPLAYS && good; i++)
        good = cudaEventRecord(trial->begin, trial->stream) == cudaSuccess &&
               cudaGraphLaunch(exec, trial->stream) == cudaSuccess &&
               cudaEventRecord(trial->end, trial->stream) == cudaSuccess &&
               cudaEventSynchronize(trial->end) == cudaSuccess &&
               cudaEventElapsedTime(&times[i], trial->begin, trial->end) == cudaSuccess;
    if (good) {
        qsort(times + 1, REPLAYS, sizeof *times, by_value);
        ns = times[1 + REPLAYS / 2] * 1e6f / RUNS;
    }
    if (exec != NULL)
        cudaGraphExecDestroy(exec);
    cudaGetLastError();
    return ns;
}
