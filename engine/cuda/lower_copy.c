/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps that come between those of operators: copies, zeros, what follows a sum. */
#include "kernels/movement_cuda.h"
#include "kernels/typed_cuda.h"
#include "lower.h"

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static const GpudlShape *shape_of(const CudaRun *run, int32_t value)
{
    return &run->program->values[value].shape;
}

int cuda_launch_unary(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_unary_cuda((GpudlUnaryOp)s->op, &s->act, shape_of(run, s->y), &x, &y, run->stream);
}

static int launch_move(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_copy_cuda(shape_of(run, s->y), &x, &y, run->stream);
}

static int launch_cast(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_cast_cuda(shape_of(run, s->y), &x, &y, run->stream);
}

int cuda_launch_binary(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided a = cuda_value_strided(run, s->x), b = cuda_value_strided(run, s->z),
                       y = cuda_value_strided(run, s->y);

    return gpudl_binary_cuda((GpudlBinaryOp)s->op, &s->act, shape_of(run, s->y), &a, &b, &y, run->stream);
}

static int launch_clear(const CudaStep *s, const CudaRun *run)
{
    const CudaValue *v = &run->program->values[s->y];

    return (int)cudaMemsetAsync(cuda_value_data(run, s->y), 0, run->program->blocks[v->block].bytes, run->stream);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/* What copies: the element-wise kernel, which knows floats and no stride below 0; else by type. */
static CudaLaunch *copy_launch(const CudaValue *x, const CudaValue *y)
{
    int backwards = 0;

    for (int i = 0; i < x->shape.rank; i++)
        backwards |= x->strides[i] < 0;
    if (cuda_is_float(x->dtype) && cuda_is_float(y->dtype) && !backwards)
        return cuda_launch_unary;
    return x->dtype == y->dtype ? launch_move : launch_cast;
}

void cuda_copy(CudaCompiler *c, int32_t x, int32_t y)
{
    CudaStep *s;

    if (x < 0 || y < 0 || c->status != GPUDL_STATUS_OK || gpudl_shape_elements(&cuda_value(c, y)->shape) == 0)
        return;
    s = cuda_step(c, copy_launch(cuda_value(c, x), cuda_value(c, y)), "copy");
    if (s == NULL)
        return;
    s->op = GPUDL_UNARY_ACTIVATION;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
}

void cuda_clear(CudaCompiler *c, int32_t y)
{
    CudaStep *s = y >= 0 ? cuda_step(c, launch_clear, "zeros") : NULL;

    if (s == NULL)
        return;
    s->y = y;
    cuda_touch(c, s);
}

void cuda_finish(CudaCompiler *c, int32_t y, int32_t z, const GpudlAct *act)
{
    CudaStep *s = y >= 0 ? cuda_step(c, z >= 0 ? cuda_launch_binary : cuda_launch_unary, "element-wise kernel") : NULL;

    if (s == NULL)
        return;
    s->op = z >= 0 ? (int)GPUDL_BINARY_ADD : (int)GPUDL_UNARY_ACTIVATION;
    s->act = *act;
    s->x = s->y = y;
    s->z = z;
    cuda_touch(c, s);
}
