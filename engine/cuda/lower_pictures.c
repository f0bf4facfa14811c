/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tensors of any rank in the form of picture kernels, and what runs on them alone. */
#include "kernels/lrn_cuda.h"
#include "lower.h"

/* A shape of rank 2 or more as pictures: the last dimension is the width, what lies between it and the channels the
 * height. */
static GpudlShape as_picture(const GpudlShape *shape)
{
    GpudlShape picture = {4, {shape->dims[0], shape->dims[1], 1, 1}};

    if (shape->rank == 2)
        return *shape;
    picture.dims[3] = shape->dims[shape->rank - 1];
    for (int i = 2; i < shape->rank - 1; i++)
        picture.dims[2] *= shape->dims[i];
    return picture;
}

int32_t cuda_use_picture(CudaCompiler *c, int32_t tensor, GpudlNhwc *nhwc)
{
    const GpudlShape *shape = &cuda_tensor(c, tensor)->shape, picture = as_picture(shape);
    int32_t value, copy;
    CudaValue view;

    if (shape->rank == 2 || shape->rank == 4)
        return cuda_use_nhwc(c, tensor, 0, nhwc);
    value = cuda_use(c, tensor);
    if (value < 0)
        return -1;
    if (!cuda_reshape_view(cuda_value(c, value), &picture, &view)) {
        copy = cuda_temporary(c, c->dtype, shape, 0);
        cuda_copy(c, value, copy);
        if (copy < 0 || !cuda_reshape_view(cuda_value(c, copy), &picture, &view))
            return -1;
    }
    value = cuda_add_value(c, &view);
    if (cuda_value_nhwc(&view, nhwc) && view.dtype == c->dtype)
        return value;
    copy = cuda_temporary(c, c->dtype, &picture, 1);
    cuda_copy(c, value, copy);
    if (copy >= 0)
        cuda_value_nhwc(cuda_value(c, copy), nhwc);
    return copy;
}

int32_t cuda_begin_picture(CudaCompiler *c, int32_t tensor, GpudlNhwc *nhwc)
{
    const GpudlShape *shape = &cuda_tensor(c, tensor)->shape, picture = as_picture(shape);
    int32_t value = -1;

    if (shape->rank == 2 || shape->rank == 4) {
        value = cuda_define(c, tensor);
        if (value < 0 || cuda_value_nhwc(cuda_value(c, value), nhwc))
            return value;
    }
    value = cuda_temporary(c, c->dtype, &picture, 1);
    if (value >= 0)
        cuda_value_nhwc(cuda_value(c, value), nhwc);
    return value;
}

int cuda_end_picture(CudaCompiler *c, int32_t tensor, int32_t value)
{
    CudaValue view;

    if (c->status != GPUDL_STATUS_OK || value < 0)
        return 0;
    if (c->tensor_values[tensor] == value)
        return 1;
    if (!cuda_reshape_view(cuda_value(c, value), &cuda_tensor(c, tensor)->shape, &view))
        return cuda_refuse(c, "its result has a shape that pictures can't be seen in");
    if (c->tensor_values[tensor] < 0 && c->targets[tensor].concat < 0)
        return cuda_define_view(c, tensor, &view) >= 0;
    if (c->tensor_values[tensor] < 0)
        cuda_define(c, tensor);
    cuda_copy(c, cuda_add_value(c, &view), c->tensor_values[tensor]);
    return c->status == GPUDL_STATUS_OK;
}

/* ---- local response normalisation -------------------------------------------------------------------------------- */

static int launch_lrn(const CudaStep *s, const CudaRun *run)
{
    const CudaProgram *p = run->program;
    const GpudlLrnAttrs *attrs = &((const GpudlAttrs *)p->plan->nodes[s->node].attrs)->lrn;
    GpudlNhwc xs, ys;

    cuda_value_nhwc(&p->values[s->x], &xs);
    cuda_value_nhwc(&p->values[s->y], &ys);
    return gpudl_lrn_cuda(p->values[s->x].dtype, cuda_value_data(run, s->x), &xs, attrs->size, attrs->alpha,
                          attrs->beta, attrs->bias, cuda_value_data(run, s->y), &ys, run->stream);
}

int cuda_lower_lrn(CudaCompiler *c, const GpudlPlanNode *node)
{
    GpudlNhwc xs, ys;
    const int32_t x = cuda_use_picture(c, node->inputs[0], &xs), y = cuda_begin_picture(c, node->outputs[0], &ys);
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch_lrn, "normalisation kernel") : NULL;

    if (s == NULL)
        return 0;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return cuda_end_picture(c, node->outputs[0], y);
}
