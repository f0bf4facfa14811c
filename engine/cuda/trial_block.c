/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trial_block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "kernels/half.h"
#include "kernels/pool_cuda.h"
#include "own.h"

/* The steps' weights as the direct kernel takes them, and what lies between the steps, of one picture. */
typedef struct {
    size_t expand, depthwise, project; /* elements */
    size_t expand_at, depthwise_at, project_at, biases_at, between_at[2], bytes;
} Extra;

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static Extra extra_of(const CudaConvKey *key)
{
    const size_t hidden = (size_t)key->hidden;
    Extra e = {.expand = key->expands ? hidden * (size_t)key->c : 0,
               .depthwise = hidden * (size_t)(key->r * key->s),
               .project = hidden * (size_t)key->k};

    e.depthwise_at = e.expand_at + aligned(e.expand * 2);
    e.project_at = e.depthwise_at + aligned(e.depthwise * 2);
    e.biases_at = e.project_at + aligned(e.project * 2);
    e.between_at[0] = e.biases_at + aligned(2 * hidden * sizeof(float));
    e.between_at[1] = e.between_at[0] + aligned(hidden * (size_t)key->h * (size_t)key->w * 2);
    e.bytes = e.between_at[1] + aligned(hidden * (size_t)key->p * (size_t)key->q * 2);
    return e;
}

size_t cuda_trial_block_weights(const CudaConvKey *key)
{
    const GpudlMbconv block = cuda_block_of(key);

    return (size_t)gpudl_mbconv_weight_bytes(&block);
}

/* Of means: those of all pictures. Of maxima: what they are of, of one picture. */
size_t cuda_trial_block_extra(const CudaConvKey *key)
{
    const GpudlStem stem = cuda_stem_of(key);

    return key->means != 0    ? aligned((size_t)key->n * (size_t)key->c * 2)
           : key->pooled != 0 ? aligned((size_t)stem.p * (size_t)stem.q * (size_t)key->k * 2)
                              : extra_of(key).bytes;
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* Both forms of some weights on the host. */
typedef struct {
    float *floats;
    uint16_t *halfs;
} Both;

/* Numbers of the pattern, from one on that others do not begin with, so large that a sum of so many is about 1. */
static Both take(GpudlDType dtype, const uint16_t *pattern, size_t n, size_t first, size_t elements, double terms)
{
    Both both = {malloc((elements + 1) * sizeof(float)), malloc((elements + 1) * sizeof(uint16_t))};
    const float scale = (float)sqrt(3 / terms);

    for (size_t i = 0; i < elements && both.floats != NULL && both.halfs != NULL; i++) {
        const uint16_t bits = pattern[(first + i) & (n - 1)];

        if (dtype == GPUDL_DTYPE_BF16) {
            both.halfs[i] = gpudl_f32_to_bf16(scale * gpudl_bf16_to_f32(bits));
            both.floats[i] = gpudl_bf16_to_f32(both.halfs[i]);
        } else {
            both.halfs[i] = gpudl_f32_to_f16(scale * gpudl_f16_to_f32(bits));
            both.floats[i] = gpudl_f16_to_f32(both.halfs[i]);
        }
    }
    return both;
}

/* On the stream that reads it, which others' copies are not in order with. */
static cudaError_t upload(const CudaTrial *trial, const uint8_t *to, const void *from, size_t bytes)
{
    return cudaMemcpyAsync((void *)(uintptr_t)to, from, bytes, cudaMemcpyHostToDevice, trial->stream);
}

static int put_weights(const CudaTrial *trial, const uint16_t *pattern, size_t n, const uint8_t *extra)
{
    const CudaConvKey *key = trial->key;
    const GpudlMbconv block = cuda_block_of(key);
    const Extra e = extra_of(key);
    const size_t hidden = (size_t)key->hidden, bytes = cuda_trial_block_weights(key);
    const Both all[4] = {take(block.dtype, pattern, n, 1009, e.expand, key->c),
                         take(block.dtype, pattern, n, 20011, e.depthwise, (double)(key->r * key->s)),
                         take(block.dtype, pattern, n, 40009, e.project, key->hidden),
                         take(block.dtype, pattern, n, 60013, 2 * hidden, 9)};
    const GpudlMbconvWeights weights = {all[0].floats, all[1].floats, all[2].floats, all[3].floats,
                                        all[3].floats + hidden};
    void *packed = malloc(bytes);
    int status = (int)cudaErrorMemoryAllocation, there = packed != NULL;

    for (int i = 0; i < 4; i++)
        there = there && all[i].floats != NULL && all[i].halfs != NULL;
    if (there)
        status = gpudl_mbconv_pack(&block, &weights, packed) ? (int)cudaSuccess : GPUDL_KERNEL_SHAPE;
    if (status == 0)
        status = (int)upload(trial, trial->data.w, packed, bytes);
    if (status == 0)
        status = (int)upload(trial, extra + e.expand_at, all[0].halfs, e.expand * 2);
    if (status == 0)
        status = (int)upload(trial, extra + e.depthwise_at, all[1].halfs, e.depthwise * 2);
    if (status == 0)
        status = (int)upload(trial, extra + e.project_at, all[2].halfs, e.project * 2);
    if (status == 0)
        status = (int)upload(trial, extra + e.biases_at, all[3].floats, 2 * hidden * sizeof(float));
    if (status == 0)
        status = (int)cudaStreamSynchronize(trial->stream);
    for (int i = 0; i < 4; i++) {
        free(all[i].floats);
        free(all[i].halfs);
    }
    free(packed);
    return status;
}

/* ---- right results ----------------------------------------------------------------------------------------------- */

static void set_act(CudaConvKey *step, const CudaConvKey *key, int i)
{
    step->act = key->inner_act[i];
    step->alpha = key->inner_alpha[i];
    step->beta = key->inner_beta[i];
}

/* A step of one tap and stride, from and to pictures of the hidden size. */
static CudaConvKey step_of(const CudaConvKey *key, int32_t h, int32_t w)
{
    CudaConvKey step;

    memset(&step, 0, sizeof step);
    step.dtype = key->dtype;
    step.n = step.groups = step.r = step.s = 1;
    step.c = step.k = key->hidden;
    step.x_pitch = step.y_pitch = key->hidden;
    step.h = step.p = h;
    step.w = step.q = w;
    step.stride[0] = step.stride[1] = step.dilation[0] = step.dilation[1] = 1;
    step.bias = 1;
    return step;
}

static int run_steps(const CudaTrial *trial, int32_t picture, uint8_t *extra)
{
    const CudaConvKey *key = trial->key;
    const Extra e = extra_of(key);
    const size_t in = (size_t)picture * (size_t)key->h * (size_t)key->w * (size_t)key->x_pitch * 2;
    const size_t out = (size_t)picture * (size_t)key->p * (size_t)key->q * 2;
    const float *biases = (const float *)(const void *)(extra + e.biases_at);
    CudaConvKey expand = step_of(key, key->h, key->w), filter = expand, project = step_of(key, key->p, key->q);
    CudaConvData data = {.x = (const uint8_t *)trial->data.x + in, .w = extra + e.expand_at, .bias = biases};
    int status = 0;

    expand.c = key->c;
    expand.x_pitch = key->x_pitch;
    set_act(&expand, key, 0);
    data.y = extra + e.between_at[0];
    if (key->expands) {
        status = cuda_conv_own(&expand, &data, 0, 1, trial->stream);
        data.x = data.y;
    }
    filter.x_pitch = key->expands ? key->hidden : key->x_pitch;
    filter.groups = key->hidden;
    filter.r = key->r;
    filter.s = key->s;
    filter.p = key->p;
    filter.q = key->q;
    for (int d = 0; d < 2; d++) {
        filter.stride[d] = key->stride[d];
        filter.pad_begin[d] = key->pad_begin[d];
        filter.pad_end[d] = key->pad_end[d];
    }
    set_act(&filter, key, 1);
    data.w = extra + e.depthwise_at;
    data.bias = biases + key->hidden;
    data.y = extra + e.between_at[1];
    if (status == 0)
        status = cuda_conv_own(&filter, &data, 0, 1, trial->stream);
    project.k = key->k;
    project.y_pitch = key->y_pitch;
    project.z_pitch = key->z_pitch;
    project.bias = key->bias;
    project.act = key->act;
    project.alpha = key->alpha;
    project.beta = key->beta;
    data = (CudaConvData){.x = data.y,
                          .w = extra + e.project_at,
                          .z = (const uint8_t *)trial->data.z + out * (size_t)key->z_pitch,
                          .bias = trial->data.bias,
                          .y = (uint8_t *)trial->truth.y + out * (size_t)key->y_pitch};
    return status == 0 ? cuda_conv_own(&project, &data, 0, 1, trial->stream) : status;
}

int cuda_trial_means_begin(const CudaTrial *trial, uint8_t *extra)
{
    const GpudlNhwc xs = {trial->key->n, trial->key->h, trial->key->w, trial->key->c, trial->key->x_pitch};
    CudaConvKey product = *trial->key;
    CudaConvData data = trial->truth;
    int status = gpudl_global_pool_cuda(GPUDL_POOL_AVERAGE, (GpudlDType)product.dtype, data.x, &xs, extra, product.c,
                                        trial->stream);

    product.means = 0;
    product.h = product.w = 1;
    product.x_pitch = product.c;
    data.x = extra;
    return status == 0 ? cuda_conv_own(&product, &data, 0, product.n, trial->stream) : status;
}

static int run_pooled(const CudaTrial *trial, const CudaConvKey *conv, int32_t picture, uint8_t *extra)
{
    const GpudlStem stem = cuda_stem_of(trial->key);
    const GpudlNhwc xs = {1, stem.p, stem.q, conv->k, conv->k}, ys = {1, stem.ys.h, stem.ys.w, conv->k, stem.ys.pitch};
    const GpudlWindow window = {2, {1, 3, 3}, {1, 2, 2}, {0, stem.pool_pad[0], stem.pool_pad[1]}, {0}, {1, 1, 1}};
    const size_t in = (size_t)picture * (size_t)conv->h * (size_t)conv->w * (size_t)conv->x_pitch * 2;
    const size_t out = (size_t)picture * (size_t)ys.h * (size_t)ys.w * (size_t)ys.pitch * 2;
    CudaConvData data = trial->truth;
    int status;

    data.x = (const uint8_t *)data.x + in;
    data.y = extra;
    status = cuda_conv_own(conv, &data, 0, 1, trial->stream);
    return status == 0 ? gpudl_pool_cuda(GPUDL_POOL_MAX, (GpudlDType)conv->dtype, extra, &xs, &window,
                                         (uint8_t *)trial->truth.y + out, &ys, trial->stream)
                       : status;
}

int cuda_trial_pooled_begin(const CudaTrial *trial, uint8_t *extra)
{
    const GpudlStem stem = cuda_stem_of(trial->key);
    CudaConvKey conv = *trial->key;
    int status;

    conv.pooled = 0;
    conv.p = stem.p;
    conv.q = stem.q;
    conv.y_pitch = conv.k;
    status = run_pooled(trial, &conv, 0, extra);
    return status == 0 && conv.n > 1 ? run_pooled(trial, &conv, conv.n - 1, extra) : status;
}

int cuda_trial_block_begin(const CudaTrial *trial, const uint16_t *pattern, size_t n, uint8_t *extra)
{
    const int32_t pictures = trial->key->n;
    int status = put_weights(trial, pattern, n, extra);

    if (status == 0)
        status = run_steps(trial, 0, extra);
    if (status == 0 && pictures > 1)
        status = run_steps(trial, pictures - 1, extra);
    return status;
}
