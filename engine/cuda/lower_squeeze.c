/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The scales of squeeze-and-excite; what they scale is multiplied by them as any tensor by a broadcast one. */
#include <stdlib.h>

#include "engine/module.h"
#include "engine/squeeze.h"
#include "kernels/squeeze_cuda.h"
#include "lower_windows.h"

/* Each picture's cluster reads all weights: of more terms than these, in pictures and weights, products on tensor cores
 * are the better ones. */
#define MOST_TERMS ((int64_t)1 << 24)

static int launch_squeeze(const CudaStep *s, const CudaRun *run)
{
    const CudaValue *x = &run->program->values[s->x];
    GpudlNhwc xs, ys;

    cuda_value_nhwc(x, &xs);
    cuda_value_nhwc(&run->program->values[s->y], &ys);
    return gpudl_squeeze_cuda(x->dtype, cuda_value_data(run, s->x), &xs, cuda_value_data(run, s->w),
                              (const float *)cuda_value_data(run, s->bias), s->op, &s->act, &s->gate,
                              cuda_value_data(run, s->y), ys.pitch, run->stream);
}

/* Weights and bias of a product, as gpudl_squeeze_dense() has them; NULL after a failure. */
static float *dense(CudaCompiler *c, const GpudlSqueezeProduct *p, int64_t results, int64_t operands)
{
    const float *w = cuda_constant_data(c, p->weights);
    const float *bias = w != NULL && p->bias >= 0 ? cuda_constant_data(c, p->bias) : NULL;
    float *values = NULL;

    if (c->status == GPUDL_STATUS_OK)
        values = gpudl_squeeze_dense(
            p, w, bias, p->bias >= 0 ? gpudl_shape_elements(&cuda_tensor(c, p->bias)->shape) : 0, results, operands);
    if (values == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    return values;
}

/* Both products' weights and biases as the kernel reads them. */
static void pack(CudaCompiler *c, const GpudlSqueezeFound *found, CudaStep *s)
{
    const int64_t channels = found->c, r = found->r, pitch = gpudl_squeeze_cuda_pitch(found->c);
    float *first, *second, *w, *bias;

    s->w = cuda_find_constant(c, CUDA_PART_WEIGHTS, c->dtype, 2 * r * pitch);
    s->bias = cuda_find_constant(c, CUDA_PART_BIAS, GPUDL_DTYPE_F32, r + channels);
    if (s->w >= 0 && s->bias >= 0)
        return;
    first = dense(c, &found->products[0], r, channels);
    second = dense(c, &found->products[1], channels, r);
    w = calloc((size_t)(2 * r * pitch), sizeof *w);
    bias = calloc((size_t)(r + channels), sizeof *bias);
    if (w == NULL || bias == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    if (c->status == GPUDL_STATUS_OK) {
        for (int64_t j = 0; j < r; j++) {
            memcpy(w + j * pitch, first + j * channels, (size_t)channels * sizeof *w);
            for (int64_t k = 0; k < channels; k++)
                w[(r + j) * pitch + k] = second[k * r + j];
        }
        memcpy(bias, first + r * channels, (size_t)r * sizeof *bias);
        memcpy(bias + r, second + channels * r, (size_t)channels * sizeof *bias);
        s->w = cuda_add_constant(c, CUDA_PART_WEIGHTS, c->dtype, 2 * r * pitch, w);
        s->bias = cuda_add_constant(c, CUDA_PART_BIAS, GPUDL_DTYPE_F32, r + channels, bias);
    } else {
        free(w);
        free(bias);
    }
    free(first);
    free(second);
}

/* Before compute capability 9 there are no clusters. */
static int is_preferred(const CudaCompiler *c, const GpudlSqueezeFound *found)
{
    const int64_t n = cuda_tensor(c, found->x)->shape.dims[0];

    return c->device->properties.major >= 9 && found->c <= GPUDL_SQUEEZE_CUDA_CHANNELS &&
           found->r <= GPUDL_SQUEEZE_CUDA_INNER && n <= MOST_TERMS / found->c / found->r;
}

int cuda_lower_squeeze(CudaCompiler *c, const GpudlPlanNode *node)
{
    GpudlSqueezeFound found;
    GpudlNhwc xs, ys;
    int32_t x, y;
    CudaStep *s;

    (void)node;
    if (!gpudl_squeeze_find(c->plan, c->node, &found) || !is_preferred(c, &found))
        return 0;
    x = cuda_use_nhwc(c, found.x, 0, &xs);
    y = cuda_begin_picture(c, found.gate, &ys);
    s = x >= 0 && y >= 0 ? cuda_step(c, launch_squeeze, "squeeze kernel") : NULL;
    if (s == NULL)
        return 0;
    s->x = x;
    s->y = y;
    s->op = found.r;
    s->act = found.products[0].act;
    s->gate = found.products[1].act;
    pack(c, &found, s);
    if (c->status != GPUDL_STATUS_OK)
        return 0;
    for (int i = 0; i + 1 < found.n_nodes; i++) {
        c->covered[found.nodes[i]] = 1;
        s->last_node = found.nodes[i] > s->last_node ? found.nodes[i] : s->last_node;
    }
    cuda_touch(c, s);
    return cuda_end_picture(c, found.gate, y);
}
