/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "choice.h"
#include "lower_windows.h"
#include "own.h"
#include "siblings.h"

static int launch_pair(const CudaStep *s, const CudaRun *run)
{
    const CudaConvKey *key = &s->block->key;
    const CudaConvData data = {
        .x = cuda_value_data(run, s->more[0]),
        .w = cuda_value_data(run, s->more[1]),
        .bias = key->bias ? cuda_value_data(run, s->more[2]) : NULL,
        .y = cuda_value_data(run, s->y),
    };

    return key->means != 0 ? cuda_gemv_run(key, &s->block->gemv, &data, run->stream)
                           : cuda_stem_run(key, &data, run->stream);
}

static int launch_block(const CudaStep *s, const CudaRun *run)
{
    const CudaConvData data = {
        .x = cuda_value_data(run, s->more[0]),
        .w = cuda_value_data(run, s->more[1]),
        .z = s->z >= 0 ? cuda_value_data(run, s->z) : NULL,
        .bias = s->bias >= 0 ? cuda_value_data(run, s->bias) : NULL,
        .y = cuda_value_data(run, s->y),
    };

    return cuda_block_run(&s->block->key, &s->block->block, &data, run->stream);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* The steps of a block, expand NULL: there is none. */
typedef struct {
    CudaStep *expand, *filter, *project;
} Found;

static int is_conv(const CudaCompiler *c, const CudaStep *s)
{
    return s->conv != NULL && (s->conv->key.dtype == GPUDL_DTYPE_F16 || s->conv->key.dtype == GPUDL_DTYPE_BF16) &&
           c->plan->nodes[s->node].op == GPUDL_OP_CONV;
}

static int is_product(const CudaCompiler *c, const CudaStep *s)
{
    const CudaConvKey *key;

    if (!is_conv(c, s))
        return 0;
    key = &s->conv->key;
    return key->depthwise == 0 && key->groups == 1 && key->r == 1 && key->s == 1 && key->stride[0] == 1 &&
           key->stride[1] == 1 && key->h == key->p && key->w == key->q && key->pad_begin[0] == 0 &&
           key->pad_begin[1] == 0;
}

static int is_filter(const CudaCompiler *c, const CudaStep *s)
{
    const CudaConvKey *key;

    if (!is_conv(c, s))
        return 0;
    key = &s->conv->key;
    return key->depthwise != 0 && key->r == key->s && key->stride[0] == key->stride[1] && key->dilation[0] == 1 &&
           key->dilation[1] == 1;
}

/* Whether what a convolution gives is what the other one has as its input: a slice of it may lie where it begins. */
static int is_same_picture(const CudaConv *given, const CudaConv *read)
{
    const CudaConvKey *y = &given->key, *x = &read->key;

    return x->n == y->n && x->h == y->p && x->w == y->q && x->c == y->k && x->x_pitch == y->y_pitch;
}

/* Whether a step's block of memory is read by the one behind it from where the step writes to, and by nothing else. */
static int is_for_next(const CudaCompiler *c, const CudaStep *s)
{
    const int32_t at = (int32_t)(s - c->program->steps);
    const CudaValue *y = cuda_value(c, s->y), *x = s[1].x >= 0 ? cuda_value(c, s[1].x) : NULL;
    const CudaBlock *block = &c->program->blocks[y->block];

    return x != NULL && x->block == y->block && x->offset == y->offset && block->constant == NULL && !block->pinned &&
           block->first == at && block->last == at + 1;
}

/* Whether all that a step writes is read by the one behind it just as it lies, and by nothing else. */
static int feeds_next(const CudaCompiler *c, const CudaStep *s)
{
    return is_for_next(c, s) && s[1].conv != NULL && is_same_picture(s->conv, s[1].conv);
}

static int is_whole(const CudaCompiler *c, int32_t value)
{
    return value < 0 || cuda_value(c, value)->offset % CUDA_CHANNELS == 0;
}

/* A block that ends at the step. */
static int find_at(const CudaCompiler *c, uint32_t i, Found *found)
{
    CudaStep *s = &c->program->steps[i];

    *found = (Found){NULL, s - 1, s};
    if (i < 1 || !is_product(c, s) || !is_filter(c, s - 1) || !feeds_next(c, s - 1))
        return 0;
    if (i >= 2 && s[-2].block == NULL && is_product(c, s - 2) && feeds_next(c, s - 2) && s[-2].z < 0)
        found->expand = s - 2;
    return is_whole(c, s->y) && is_whole(c, s->z) && is_whole(c, (found->expand != NULL ? s - 2 : s - 1)->x);
}

static void key_of(const Found *found, CudaConvKey *key)
{
    const CudaConvKey *last = &found->project->conv->key, *filter = &found->filter->conv->key;
    const CudaConvKey *first = found->expand != NULL ? &found->expand->conv->key : filter;

    memcpy(key, last, sizeof *key);
    key->n = first->n;
    key->c = first->c;
    key->h = first->h;
    key->w = first->w;
    key->x_pitch = first->x_pitch;
    key->r = filter->r;
    key->s = filter->s;
    for (int d = 0; d < 2; d++) {
        key->stride[d] = filter->stride[d];
        key->pad_begin[d] = filter->pad_begin[d];
        key->pad_end[d] = filter->pad_end[d];
    }
    key->hidden = filter->c;
    key->expands = found->expand != NULL;
    for (int i = 0; i < 2; i++) {
        const CudaConvKey *of = i == 0 ? first : filter;

        if (i == 0 && found->expand == NULL)
            continue;
        key->inner_act[i] = of->act;
        key->inner_alpha[i] = of->alpha;
        key->inner_beta[i] = of->beta;
    }
}

const float *cuda_step_constant(const CudaCompiler *c, const CudaStep *s, uint32_t input, int64_t elements)
{
    const GpudlPlanNode *node = &c->plan->nodes[s->node];
    const int32_t tensor = node->n_inputs > input ? node->inputs[input] : -1;

    if (tensor < 0 || !cuda_is_constant(c, tensor) || cuda_tensor(c, tensor)->dtype != GPUDL_DTYPE_F32 ||
        gpudl_shape_elements(&cuda_tensor(c, tensor)->shape) != elements)
        return NULL;
    return cuda_tensor(c, tensor)->data;
}

/* Packed weights as a value, -1: they can't be had. In another batch the node may end a block with a first product
 * where it ends one without here: those are other weights. They are there whatever the block's choice is: batches that
 * are compiled later, when the model's own are gone, may take the launch. */
static int32_t pack(CudaCompiler *c, const Found *found, const CudaConvKey *key)
{
    const GpudlMbconv block = cuda_block_of(key);
    const int64_t words = gpudl_mbconv_weight_bytes(&block) / 4, hidden = key->hidden;
    const int32_t part = found->expand != NULL ? CUDA_PART_BLOCK : CUDA_PART_SHORT_BLOCK;
    const int32_t known = cuda_find_constant(c, part, GPUDL_DTYPE_I32, words);
    GpudlMbconvWeights weights = {
        .depthwise = cuda_step_constant(c, found->filter, 1, hidden * key->r * key->s),
        .depthwise_bias = cuda_step_constant(c, found->filter, 2, hidden),
        .project = cuda_step_constant(c, found->project, 1, key->k * hidden),
    };
    int32_t value = -1;
    uint32_t *packed;

    if (known >= 0)
        return known;
    if (found->expand != NULL) {
        weights.expand = cuda_step_constant(c, found->expand, 1, hidden * key->c);
        weights.expand_bias = cuda_step_constant(c, found->expand, 2, hidden);
    }
    /* of padded channels, or not to be read any more */
    if (weights.depthwise == NULL || weights.project == NULL || (found->expand != NULL && weights.expand == NULL) ||
        (found->filter->bias >= 0 && weights.depthwise_bias == NULL) ||
        (found->expand != NULL && found->expand->bias >= 0 && weights.expand_bias == NULL))
        return -1;
    packed = malloc((size_t)words * sizeof *packed);
    if (packed != NULL && gpudl_mbconv_pack(&block, &weights, packed))
        value = cuda_add_table(c, part, words, packed);
    free(packed);
    return value;
}

static void add(CudaCompiler *c, const Found *found)
{
    CudaStep *last = found->project, *first = found->expand != NULL ? found->expand : found->filter;
    const int32_t node = c->node;
    CudaConvPlan plan;
    CudaConvKey key;
    int32_t weights;
    CudaConv *conv;

    key_of(found, &key);
    if (cuda_block_plans(c->device, &key, &plan, 1) == 0)
        return;
    c->node = last->node;
    weights = pack(c, found, &key);
    c->node = node;
    if (weights < 0)
        return;
    conv = cuda_convs_add(c->convs, &key);
    if (conv == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return;
    }
    for (CudaStep *s = first; s <= last; s++) {
        s->block = conv;
        s->launch_block = launch_block;
        s->block_steps = (int32_t)(last - s) + 1;
    }
    last->more[0] = first->x;
    last->more[1] = weights;
    last->n_more = 2;
    cuda_touch(c, last);
}

/* A product that ends at the step, of the means that the one before it gives. */
static int find_means(const CudaCompiler *c, uint32_t i, CudaConvKey *key)
{
    const CudaStep *s = &c->program->steps[i], *means = s - 1;
    GpudlNhwc xs, ys;

    if (s->conv == NULL || s->block != NULL || s->z >= 0 || !cuda_gives_means(means) || !is_for_next(c, means) ||
        !is_whole(c, means->x) || !cuda_value_nhwc(cuda_value(c, means->x), &xs) ||
        !cuda_value_nhwc(cuda_value(c, means->y), &ys))
        return 0;
    memcpy(key, &s->conv->key, sizeof *key);
    if (key->n != xs.n || key->c != xs.c || key->h != 1 || key->w != 1 || (xs.n > 1 && key->x_pitch != ys.pitch) ||
        key->r != 1 || key->s != 1)
        return 0;
    key->h = xs.h;
    key->w = xs.w;
    key->x_pitch = xs.pitch;
    key->means = 1;
    return 1;
}

/* A maximum pool that ends at the step, of what the convolution before it gives. */
static int find_maxima(const CudaCompiler *c, uint32_t i, CudaConvKey *key)
{
    const CudaStep *s = &c->program->steps[i], *first = s - 1;
    const GpudlWindow *window = &s->window;
    GpudlNhwc xs, ys;
    GpudlStem stem;

    if (!cuda_gives_maxima(s) || first->conv == NULL || first->block != NULL || first->z >= 0 ||
        !is_for_next(c, first) || !is_whole(c, s->y) || cuda_value(c, first->x)->offset % 4 != 0 ||
        !cuda_value_nhwc(cuda_value(c, s->x), &xs) || !cuda_value_nhwc(cuda_value(c, s->y), &ys))
        return 0;
    for (int d = 1; d <= 2; d++)
        if (window->kernel[d] != 3 || window->stride[d] != 2 || window->dilation[d] != 1)
            return 0;
    memcpy(key, &first->conv->key, sizeof *key);
    key->pooled = 1;
    stem = cuda_stem_of(key);
    if (cuda_conv_is_block(&first->conv->key) || xs.n != key->n || xs.h != key->p || xs.w != key->q || xs.c != key->k ||
        xs.pitch != key->y_pitch || stem.p != key->p || stem.q != key->q)
        return 0;
    key->p = ys.h;
    key->q = ys.w;
    key->y_pitch = ys.pitch;
    for (int d = 0; d < 2; d++)
        key->pool_pad[d] = window->pad_begin[1 + d];
    return 1;
}

/* A block of the step and the one before it, one of which has the weights. */
static void add_pair(CudaCompiler *c, CudaStep *last, const CudaConvKey *key)
{
    const CudaStep *weighs = key->means != 0 ? last : last - 1;
    CudaConvPlan plan;
    CudaConv *conv;

    if ((key->means != 0 ? cuda_gemv_plans(c->device, key, &plan, 1) : cuda_stem_plans(key, &plan, 1)) == 0)
        return;
    conv = cuda_convs_add(c->convs, key);
    if (conv == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return;
    }
    for (CudaStep *s = last - 1; s <= last; s++) {
        s->block = conv;
        s->launch_block = launch_pair;
        s->block_steps = (int32_t)(last - s) + 1;
    }
    last->more[0] = last[-1].x;
    last->more[1] = weighs->w;
    last->more[2] = weighs->bias;
    last->n_more = key->bias ? 3 : 2;
    cuda_touch(c, last);
}

void cuda_blocks_find(CudaCompiler *c)
{
    CudaConvKey key;
    Found found;

    for (uint32_t i = 1; c->tries_blocks && i < c->program->n_frame_steps && c->status == GPUDL_STATUS_OK; i++)
        if (find_at(c, i, &found))
            add(c, &found);
        else if (find_means(c, i, &key) || find_maxima(c, i, &key))
            add_pair(c, &c->program->steps[i], &key);
        else
            cuda_siblings_add(c, i);
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static void take_apart(CudaConv *conv)
{
    for (int i = 0; i < conv->n_others; i++)
        if (conv->others[i].form == CUDA_CONV_APART) {
            const CudaConvPlan apart = conv->others[i];

            conv->others[i] = cuda_conv_plan(conv);
            cuda_conv_take(conv, &apart);
            return;
        }
}

void cuda_blocks_begin_apart(CudaProgram *program)
{
    for (uint32_t i = 0; i < program->n_steps; i++) {
        const CudaStep *s = &program->steps[i];

        if (s->block != NULL && cuda_conv_is_one_launch(s->block))
            take_apart(s->block);
    }
}

void cuda_blocks_name(CudaProgram *program)
{
    for (uint32_t i = 0; i < program->n_steps; i++) {
        CudaStep *s = &program->steps[i];
        const int is_block = s->block != NULL && cuda_conv_is_one_launch(s->block);

        if (is_block && s->block_steps > 1)
            snprintf(s->what, sizeof s->what, "part of the block behind");
        else if (is_block)
            snprintf(s->what, sizeof s->what, "%s", s->block->name);
        else if (s->conv != NULL)
            snprintf(s->what, sizeof s->what, "%s", s->conv->name);
    }
}
