/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "siblings.h"

#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "lower_windows.h"

#define MOST_PICTURES 8
/* Products in vain: some half a microsecond of what a device does that these launches matter on. */
#define MOST_IN_VAIN ((int64_t)1 << 27)

/* In the order of their channels; window: the one that has the larger window, or the first. */
typedef struct {
    const CudaStep *lower, *upper, *window;
} Found;

/* One launch writes both results, the upper one's channels behind the lower one's. */
static int launch_siblings(const CudaStep *s, const CudaRun *run)
{
    const CudaProgram *p = run->program;
    const int32_t y = p->values[s->y].offset < p->values[s[-1].y].offset ? s->y : s[-1].y;
    const int bias = s->block->key.bias;
    const CudaConvData data = {.x = cuda_value_data(run, s->more[0]),
                               .w = cuda_value_data(run, s->more[1]),
                               .bias = bias ? cuda_value_data(run, s->more[2]) : NULL,
                               .half_bias = bias ? cuda_value_data(run, s->more[3]) : NULL,
                               .y = cuda_value_data(run, y),
                               .workspace = run->workspace + p->blocks[s->scratch].offset};

    return cuda_conv_queue(s->block, &data, run);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* Whether it keeps a picture's extents. */
static int is_like_picture(const CudaCompiler *c, const CudaStep *s)
{
    const CudaConvKey *key = s->conv != NULL ? &s->conv->key : NULL;

    if (key == NULL || s->block != NULL || s->z >= 0 || !cuda_conv_is_narrow(key) || key->groups != 1 ||
        key->depthwise != 0 || key->p != key->h || key->q != key->w || key->n > MOST_PICTURES ||
        key->k % CUDA_CHANNELS != 0 || c->plan->nodes[s->node].op != GPUDL_OP_CONV)
        return 0;
    for (int d = 0; d < 2; d++) {
        const int32_t taps = d == 0 ? key->r : key->s;

        if (key->stride[d] != 1 || key->dilation[d] != 1 || taps % 2 == 0 || key->pad_begin[d] != taps / 2 ||
            key->pad_end[d] != taps / 2)
            return 0;
    }
    return 1;
}

static int do_alike(const CudaConvKey *a, const CudaConvKey *b)
{
    return a->dtype == b->dtype && a->n == b->n && a->c == b->c && a->h == b->h && a->w == b->w &&
           a->x_pitch == b->x_pitch && a->y_pitch == b->y_pitch && a->bias == b->bias && a->act == b->act &&
           memcmp(&a->alpha, &b->alpha, sizeof a->alpha) == 0 && memcmp(&a->beta, &b->beta, sizeof a->beta) == 0;
}

/* Whether upper's channels begin where lower's end. */
static int are_neighbours(const CudaValue *lower, const CudaValue *upper, int64_t channels)
{
    return lower->block == upper->block && lower->dtype == upper->dtype && lower->shape.rank == 4 &&
           upper->shape.rank == 4 && upper->offset == lower->offset + channels &&
           memcmp(lower->strides, upper->strides, 4 * sizeof *lower->strides) == 0;
}

static int find(const CudaCompiler *c, uint32_t i, Found *found)
{
    const CudaStep *b = &c->program->steps[i], *a = b - 1;
    const CudaValue *ya, *yb, *xa, *xb;
    const CudaConvKey *point, *window;

    if (!is_like_picture(c, a) || !is_like_picture(c, b) || !do_alike(&a->conv->key, &b->conv->key))
        return 0;
    xa = cuda_value(c, a->x);
    xb = cuda_value(c, b->x);
    ya = cuda_value(c, a->y);
    yb = cuda_value(c, b->y);
    if (xa->block != xb->block || xa->offset != xb->offset || xa->block == ya->block)
        return 0;
    if (are_neighbours(ya, yb, a->conv->key.k))
        *found = (Found){a, b, a};
    else if (are_neighbours(yb, ya, b->conv->key.k))
        *found = (Found){b, a, a};
    else
        return 0;
    if (a->conv->key.r == 1 && a->conv->key.s == 1)
        found->window = b;
    window = &found->window->conv->key;
    point = &(found->window == a ? b : a)->conv->key;
    return point->r == 1 && point->s == 1 &&
           (int64_t)point->n * point->p * point->q * point->k * point->c * (window->r * window->s - 1) <= MOST_IN_VAIN;
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* The filters of a step as [k][r][s][c], of one tap in the middle. FALSE if they can't be had. */
static int put_filters(const CudaCompiler *c, const CudaStep *s, const CudaConvKey *key, float *to)
{
    const CudaConvKey *own = &s->conv->key;
    const int64_t channels = key->c, taps = (int64_t)own->r * own->s, all = (int64_t)key->r * key->s;
    const int64_t first = (all - taps) / 2;
    const float *from = cuda_step_constant(c, s, 1, own->k * channels * taps);

    if (from == NULL || (taps != 1 && taps != all))
        return 0;
    for (int64_t k = 0; k < own->k; k++)
        for (int64_t tap = 0; tap < taps; tap++)
            for (int64_t i = 0; i < channels; i++)
                to[(k * all + first + tap) * channels + i] = from[(k * channels + i) * taps + tap];
    return 1;
}

static int32_t make_weights(CudaCompiler *c, const Found *found, const CudaConvKey *key)
{
    const int64_t filter = (int64_t)key->r * key->s * key->c, n = key->k * filter;
    const int32_t known = cuda_find_constant(c, CUDA_PART_SIBLINGS, c->dtype, n);
    float *values;

    if (known >= 0)
        return known;
    values = calloc((size_t)n, sizeof *values);
    if (values == NULL || !put_filters(c, found->lower, key, values) ||
        !put_filters(c, found->upper, key, values + found->lower->conv->key.k * filter)) {
        free(values);
        return -1;
    }
    return cuda_add_constant(c, CUDA_PART_SIBLINGS, c->dtype, n, values);
}

static int32_t make_bias(CudaCompiler *c, const Found *found, int32_t part, GpudlDType dtype)
{
    const int64_t lower = found->lower->conv->key.k, upper = found->upper->conv->key.k, n = lower + upper;
    const int32_t known = cuda_find_constant(c, part, dtype, n);
    const float *from[2];
    float *values;

    if (known >= 0)
        return known;
    from[0] = cuda_step_constant(c, found->lower, 2, lower);
    from[1] = cuda_step_constant(c, found->upper, 2, upper);
    values = from[0] != NULL && from[1] != NULL ? malloc((size_t)n * sizeof *values) : NULL;
    if (values == NULL)
        return -1;
    memcpy(values, from[0], (size_t)lower * sizeof *values);
    memcpy(values + lower, from[1], (size_t)upper * sizeof *values);
    return cuda_add_constant(c, part, dtype, n, values);
}

/* w, bias and bias of the pictures' type, of the node that the steps end with. FALSE if they can't be had. */
static int make_constants(CudaCompiler *c, const Found *found, const CudaConvKey *key, int32_t constants[3])
{
    constants[0] = make_weights(c, found, key);
    if (key->bias && constants[0] >= 0) {
        constants[1] = make_bias(c, found, CUDA_PART_SIBLINGS_BIAS, GPUDL_DTYPE_F32);
        constants[2] = make_bias(c, found, CUDA_PART_SIBLINGS_HALF_BIAS, c->dtype);
    }
    return constants[0] >= 0 && (!key->bias || (constants[1] >= 0 && constants[2] >= 0));
}

int cuda_siblings_add(CudaCompiler *c, uint32_t i)
{
    CudaStep *last = &c->program->steps[i];
    const int32_t node = c->node;
    int32_t constants[3];
    CudaConvKey key;
    CudaConv *conv;
    Found found;
    int made;

    if (!find(c, i, &found))
        return 0;
    memcpy(&key, &found.window->conv->key, sizeof key);
    key.k = found.lower->conv->key.k + found.upper->conv->key.k;
    key.siblings = 1;
    c->node = last->node;
    made = make_constants(c, &found, &key, constants);
    c->node = node;
    if (!made)
        return 0;
    conv = cuda_convs_add(c->convs, &key);
    if (conv == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 0;
    }
    for (CudaStep *s = last - 1; s <= last; s++) {
        s->block = conv;
        s->launch_block = launch_siblings;
        s->block_steps = (int32_t)(last - s) + 1;
    }
    last->more[0] = last->x;
    memcpy(last->more + 1, constants, sizeof constants);
    last->n_more = key.bias ? 4 : 2;
    cuda_touch(c, last);
    return 1;
}
