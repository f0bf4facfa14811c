/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What nodes read: constants, tensors as kernels want them, views. */
#include <math.h>
#include <stdlib.h>

#include "engine/module.h"
#include "kernels/cast.h"
#include "kernels/half.h"
#include "lower.h"

#define PART_RAW 0 /* a constant as it lies in the plan */

/* A value on a constant's memory, dense. */
static int32_t constant_value(CudaCompiler *c, CudaConstant *constant, GpudlDType dtype, const GpudlShape *shape)
{
    CudaValue v = {.dtype = dtype, .shape = *shape};

    if (constant->block < 0)
        constant->block = cuda_add_block(c, constant->data, constant->bytes);
    cuda_lay_out(&v, 0);
    v.block = constant->block;
    return cuda_add_value(c, &v);
}

static CudaConstant *upload(CudaCompiler *c, int32_t owner, int32_t part, const void *data, uint64_t bytes)
{
    return c->status == GPUDL_STATUS_OK ? cuda_weights_add(c->weights, owner, part, data, bytes, &c->status, c->fault)
                                        : NULL;
}

const float *cuda_constant_data(CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);

    if (t->kind != GPUDL_PLAN_CONSTANT || t->dtype != GPUDL_DTYPE_F32) {
        cuda_refuse(c, "'%s' is %s%s, expected constant float32", t->name,
                    t->kind == GPUDL_PLAN_CONSTANT ? "" : "not constant ", gpudl_dtype_name(t->dtype));
        return NULL;
    }
    if (t->data == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_FAILED, "constant '%s' can't be read any more", t->name);
    return t->data;
}

int cuda_was_checked(const CudaCompiler *c, int32_t tensor)
{
    return cuda_tensor(c, tensor)->data == NULL && cuda_weights_find(c->weights, tensor, PART_RAW) != NULL;
}

/* A constant of another float type, as float32. */
static CudaConstant *upload_converted(CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);
    const size_t n = (size_t)gpudl_shape_elements(&t->shape);
    float *values = malloc(n * sizeof *values + 1);
    const GpudlTensorView from = {t->dtype, t->shape, (void *)(uintptr_t)t->data},
                          to = {GPUDL_DTYPE_F32, t->shape, values};
    CudaConstant *constant = NULL;

    if (values == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory to convert constant '%s'", t->name);
    else if (gpudl_cast_ref(&from, &to, NULL, NULL) != GPUDL_KERNEL_OK)
        cuda_refuse(c, "'%s' is %s", t->name, gpudl_dtype_name(t->dtype));
    else
        constant = upload(c, tensor, PART_RAW, values, n * sizeof *values);
    free(values);
    return constant;
}

static int32_t use_constant(CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);
    const int converted = cuda_is_float(t->dtype) && t->dtype != GPUDL_DTYPE_F32;
    CudaConstant *constant = cuda_weights_find(c->weights, tensor, PART_RAW);

    if (constant == NULL && t->data == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_FAILED, "constant '%s' can't be read any more", t->name);
    else if (constant == NULL)
        constant = converted ? upload_converted(c, tensor) : upload(c, tensor, PART_RAW, t->data, t->bytes);
    if (constant == NULL)
        return -1;
    return c->tensor_values[tensor] = constant_value(c, constant, converted ? GPUDL_DTYPE_F32 : t->dtype, &t->shape);
}

int32_t cuda_find_constant(CudaCompiler *c, int32_t part, GpudlDType dtype, int64_t n)
{
    CudaConstant *constant = cuda_weights_find(c->weights, (int32_t)c->plan->n_tensors + c->node, part);

    return constant != NULL ? constant_value(c, constant, dtype, &(GpudlShape){1, {n}}) : -1;
}

/* Values in 16 bits; refuses those that become infinite. */
static void narrow(CudaCompiler *c, GpudlDType dtype, int64_t n, const float *values, uint16_t *to)
{
    for (int64_t i = 0; i < n; i++) {
        const int is_half = dtype == GPUDL_DTYPE_F16;

        to[i] = is_half ? gpudl_f32_to_f16(values[i]) : gpudl_f32_to_bf16(values[i]);
        if (isfinite(values[i]) && !isfinite(is_half ? gpudl_f16_to_f32(to[i]) : gpudl_bf16_to_f32(to[i])))
            cuda_refuse(c, "a weight is %g, more than %s holds", (double)values[i], gpudl_dtype_name(dtype));
    }
}

int32_t cuda_add_constant(CudaCompiler *c, int32_t part, GpudlDType dtype, int64_t n, float *values)
{
    CudaConstant *constant = NULL;
    const int is_narrow = dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16;
    uint16_t *halves = is_narrow && values != NULL ? malloc((size_t)n * sizeof *halves + 1) : NULL;

    if (values == NULL || (is_narrow && halves == NULL)) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory to pack the weights of node '%s'",
                           c->plan->nodes[c->node].name);
    } else {
        if (is_narrow)
            narrow(c, dtype, n, values, halves);
        constant = upload(c, (int32_t)c->plan->n_tensors + c->node, part,
                          halves != NULL ? (const void *)halves : values, (uint64_t)n * gpudl_dtype_size(dtype));
    }
    free(halves);
    free(values);
    return constant != NULL ? constant_value(c, constant, dtype, &(GpudlShape){1, {n}}) : -1;
}

int32_t cuda_add_table(CudaCompiler *c, int32_t part, int64_t n, const uint32_t *values)
{
    const int32_t known = cuda_find_constant(c, part, GPUDL_DTYPE_I32, n);
    CudaConstant *constant;

    if (known >= 0)
        return known;
    constant = upload(c, (int32_t)c->plan->n_tensors + c->node, part, values, (uint64_t)n * sizeof *values);
    return constant != NULL ? constant_value(c, constant, GPUDL_DTYPE_I32, &(GpudlShape){1, {n}}) : -1;
}

int32_t cuda_add_packed(CudaCompiler *c, int32_t part, const CudaPacking *packing)
{
    const int64_t n = packing->rows * packing->taps * packing->pitch;
    CudaPackerJob job = {.packing = *packing};

    if (c->status != GPUDL_STATUS_OK)
        return -1;
    job.constant = cuda_weights_reserve(c->weights, (int32_t)c->plan->n_tensors + c->node, part,
                                        cuda_pack_bytes(packing, packing->rows), &c->status, c->fault);
    if (job.constant == NULL)
        return -1;
    snprintf(job.what, sizeof job.what, "backend cuda can't run node '%s' (%s)", c->plan->nodes[c->node].name,
             c->op_name);
    if (!cuda_packer_add(&c->packer, &job)) {
        job.constant->owner = -1;
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory to pack the weights of node '%s'",
                           c->plan->nodes[c->node].name);
        return -1;
    }
    return constant_value(c, job.constant, packing->dtype, &(GpudlShape){1, {n}});
}

int32_t cuda_use(CudaCompiler *c, int32_t tensor)
{
    if (c->status != GPUDL_STATUS_OK)
        return -1;
    if (c->tensor_values[tensor] >= 0)
        return c->tensor_values[tensor];
    if (cuda_is_constant(c, tensor))
        return use_constant(c, tensor);
    cuda_compiler_fail(c, GPUDL_STATUS_FAILED, "plan: tensor '%s' is read before it is written",
                       cuda_tensor(c, tensor)->name);
    return -1;
}

/* Whether each pixel begins at a vector; the network's input has 4 channels a pixel where it has at most 4. */
static int has_whole_pixels(const CudaValue *v, const GpudlNhwc *nhwc)
{
    return v->offset % CUDA_CHANNELS == 0 && (nhwc->pitch % CUDA_CHANNELS == 0 || (nhwc->pitch == 4 && nhwc->c <= 4));
}

int32_t cuda_use_nhwc(CudaCompiler *c, int32_t tensor, int whole, GpudlNhwc *nhwc)
{
    int32_t value = cuda_use(c, tensor), copy;

    if (value < 0)
        return -1;
    if (cuda_value_nhwc(cuda_value(c, value), nhwc) && cuda_value(c, value)->dtype == c->dtype &&
        (!whole || has_whole_pixels(cuda_value(c, value), nhwc)))
        return value;
    copy = cuda_temporary(c, c->dtype, &cuda_tensor(c, tensor)->shape, 1);
    cuda_copy(c, value, copy);
    if (copy >= 0)
        cuda_value_nhwc(cuda_value(c, copy), nhwc);
    return copy;
}

int32_t cuda_use_padded(CudaCompiler *c, int32_t tensor, int32_t channels, GpudlNhwc *nhwc)
{
    int32_t value = cuda_use_nhwc(c, tensor, 1, nhwc), copy, inside;
    CudaValue v;

    if (value < 0 || nhwc->c == channels)
        return value;
    if (!cuda_value(c, value)->finite || nhwc->pitch < channels) {
        v = *cuda_value(c, value);
        v.shape.dims[1] = channels;
        copy = cuda_temporary(c, c->dtype, &v.shape, 1);
        if (copy < 0)
            return -1;
        cuda_clear(c, copy);
        v = *cuda_value(c, copy);
        v.shape.dims[1] = nhwc->c;
        inside = cuda_add_value(c, &v);
        cuda_copy(c, value, inside);
        value = copy;
        if (c->status != GPUDL_STATUS_OK)
            return -1;
        cuda_value_nhwc(cuda_value(c, copy), nhwc);
    }
    nhwc->c = channels;
    return value;
}

int32_t cuda_broadcast(CudaCompiler *c, int32_t value, const GpudlShape *shape)
{
    CudaValue v, from;
    int ahead;

    if (value < 0)
        return -1;
    from = v = *cuda_value(c, value);
    ahead = shape->rank - from.shape.rank;
    v.shape = *shape;
    v.finite = 0;
    for (int i = 0; i < shape->rank; i++)
        v.strides[i] = i < ahead || from.shape.dims[i - ahead] == 1 ? 0 : from.strides[i - ahead];
    return cuda_add_value(c, &v);
}

int cuda_reshape_view(const CudaValue *from, const GpudlShape *shape, CudaValue *to)
{
    int old = 0, rank = from->shape.rank;
    const int64_t *d = from->shape.dims, *s = from->strides;

    *to = *from;
    to->shape = *shape;
    to->finite = 0;
    memset(to->strides, 0, sizeof to->strides);
    for (int new = 0; new < shape->rank;) {
        int64_t have = 1, want = shape->dims[new];
        int first = old, end = new + 1, last = -1;

        while (old < rank && d[old] == 1)
            old++;
        first = old;
        if (old < rank)
            have = d[old++];
        while (have != want) { /* the fewest dimensions on either side with as many elements */
            if (have < want) {
                if (old >= rank)
                    return 0;
                have *= d[old++];
            } else {
                if (end >= shape->rank)
                    return 0;
                want *= shape->dims[end++];
            }
        }
        for (int i = first; i < old; i++) { /* they have to be one */
            if (d[i] == 1)
                continue;
            if (last >= 0 && s[last] != s[i] * d[i])
                return 0;
            last = i;
        }
        for (int64_t i = end - 1, stride = last >= 0 ? s[last] : 0; i >= new; i--) {
            to->strides[i] = stride;
            stride *= shape->dims[i];
        }
        new = end;
    }
    return 1;
}
