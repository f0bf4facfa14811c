/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Movement of data that strides can't say: padding, gathering, resampling. */
#include "kernels/movement_cuda.h"
#include "kernels/resize_cuda.h"
#include "lower.h"

static const GpudlAttrs *attrs_of(const CudaStep *s, const CudaRun *run)
{
    return run->program->plan->nodes[s->node].attrs;
}

static int launch_pad(const CudaStep *s, const CudaRun *run)
{
    static const GpudlPadding paddings[] = {[GPUDL_PAD_CONSTANT] = GPUDL_PADDING_CONSTANT,
                                            [GPUDL_PAD_REFLECT] = GPUDL_PADDING_REFLECT,
                                            [GPUDL_PAD_EDGE] = GPUDL_PADDING_EDGE,
                                            [GPUDL_PAD_WRAP] = GPUDL_PADDING_WRAP};
    const GpudlPadAttrs *attrs = &attrs_of(s, run)->pad;
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);
    const CudaValue *values = run->program->values;

    return gpudl_pad_cuda(paddings[attrs->mode], &values[s->x].shape, &x, attrs->begin, attrs->value,
                          &values[s->y].shape, &y, run->stream);
}

/* w: the indices */
static int launch_gather(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), indices = cuda_value_strided(run, s->w),
                       y = cuda_value_strided(run, s->y);
    const CudaValue *values = run->program->values;

    return gpudl_gather_cuda(&values[s->x].shape, &x, &values[s->w].shape, &indices, attrs_of(s, run)->axis.axis, &y,
                             run->stream);
}

static int launch_resize(const CudaStep *s, const CudaRun *run)
{
    const GpudlResizeAttrs *attrs = &attrs_of(s, run)->resize;
    const GpudlResize params = {.mode = (GpudlSampleMode)attrs->mode,
                                .coordinate = (GpudlSampleCoordinate)attrs->coordinate,
                                .nearest = (GpudlSampleNearest)attrs->nearest,
                                .exclude_outside = attrs->exclude_outside,
                                .antialias = attrs->antialias,
                                .cubic_a = attrs->cubic_a};
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);
    const CudaValue *values = run->program->values;

    return gpudl_resize_cuda(&values[s->x].shape, &x, attrs->scale, &params, &values[s->y].shape, &y, run->stream);
}

/* A tensor in the type that its like are stored in: constants are float32. */
static int32_t use_stored(CudaCompiler *c, int32_t tensor)
{
    const int32_t value = cuda_use(c, tensor);
    int32_t copy;

    if (value < 0 || cuda_value(c, value)->dtype == cuda_storage(c, tensor))
        return value;
    copy = cuda_temporary(c, cuda_storage(c, tensor), &cuda_tensor(c, tensor)->shape, 0);
    cuda_copy(c, value, copy);
    return copy;
}

static int lower_one(CudaCompiler *c, const GpudlPlanNode *node, CudaLaunch *launch, const char *what)
{
    const int32_t x = use_stored(c, node->inputs[0]), y = cuda_define(c, node->outputs[0]);
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch, what) : NULL;

    if (s == NULL)
        return 0;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

int cuda_lower_pad(CudaCompiler *c, const GpudlPlanNode *node)
{
    return lower_one(c, node, launch_pad, "padding kernel");
}

int cuda_lower_resize(CudaCompiler *c, const GpudlPlanNode *node)
{
    return lower_one(c, node, launch_resize, "resampling kernel");
}

/* Indices outside are refused where they are known; else they give NaN, which integers have none of. */
static int check_indices(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlPlanTensor *x = cuda_tensor(c, node->inputs[0]), *indices = cuda_tensor(c, node->inputs[1]);
    const int32_t axis = ((const GpudlAttrs *)node->attrs)->axis.axis;
    const int64_t extent = x->shape.dims[axis];
    int64_t found = 0;

    if (indices->kind != GPUDL_PLAN_CONSTANT)
        return cuda_is_float(x->dtype) ||
               cuda_refuse(c, "it chooses among %s by '%s', which is not constant: an index outside could not be told",
                           gpudl_dtype_name(x->dtype), indices->name);
    if (cuda_check_integers(c, node->inputs[1], -extent, extent - 1, &found))
        return 1;
    return cuda_refuse(c, "'%s' has index %lld, expected %lld to %lld", indices->name, (long long)found,
                       (long long)-extent, (long long)extent - 1);
}

int cuda_lower_gather(CudaCompiler *c, const GpudlPlanNode *node)
{
    int32_t x, indices, y;
    CudaStep *s;

    if (!check_indices(c, node))
        return 0;
    x = use_stored(c, node->inputs[0]);
    indices = cuda_use(c, node->inputs[1]);
    y = cuda_define(c, node->outputs[0]);
    s = x >= 0 && indices >= 0 && y >= 0 ? cuda_step(c, launch_gather, "gathering kernel") : NULL;
    if (s == NULL)
        return 0;
    s->x = x;
    s->w = indices;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}
