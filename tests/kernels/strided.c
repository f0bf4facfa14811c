/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "strided.h"

#include <math.h>
#include <string.h>

#include "device.h"
#include "kernels/cast.h"

int strided_is_float(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16 || dtype == GPUDL_DTYPE_F32;
}

GpudlShape strided_shape(int low, int high, int64_t elements)
{
    static const int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 64, 65, 130};
    GpudlShape shape;

    do {
        shape = (GpudlShape){.rank = (int32_t)device_int(low, high)};
        for (int d = 0; d < shape.rank; d++)
            shape.dims[d] = extents[device_int(0, shape.rank > 3 ? 8 : 13)];
    } while (gpudl_shape_elements(&shape) > elements);
    return shape;
}

static void lay_out(Strided *s, int input)
{
    int order[GPUDL_MAX_RANK];
    int64_t stride = 1;
    const int plain = (int)device_int(0, 3) == 0; /* vectors are for what lies together */

    s->places = 1;
    for (int d = 0; d < s->shape.rank; d++)
        order[d] = d;
    for (int d = s->shape.rank - 1; d > 0 && !plain && device_int(0, 1); d--) {
        const int e = (int)device_int(0, d), swap = order[d];

        order[d] = order[e];
        order[e] = swap;
    }
    for (int i = s->shape.rank - 1; i >= 0; i--) {
        const int d = order[i];
        const int64_t extent = s->shape.dims[d];

        if (input && !plain && device_int(0, 9) == 0)
            continue; /* repeated */
        s->strided.strides[d] = stride;
        s->places += extent > 0 ? (extent - 1) * stride : 0;
        stride *= extent > 0 ? extent : 1;
        if (!plain)
            stride = device_int(0, 3) == 0   ? stride + device_int(1, 5)
                     : device_int(0, 1) == 0 ? (stride + 7) / 8 * 8
                                             : stride;
        if (input && !plain && extent > 1 && device_int(0, 7) == 0) { /* backwards */
            s->first += (extent - 1) * s->strided.strides[d];
            s->strided.strides[d] = -s->strided.strides[d];
        }
    }
}

/* Place of element i from the memory's begin. */
static int64_t place(const Strided *s, int64_t i)
{
    int64_t at = s->first;

    for (int d = s->shape.rank - 1; d >= 0; d--) {
        at += i % s->shape.dims[d] * s->strided.strides[d];
        i /= s->shape.dims[d];
    }
    return at;
}

static size_t offset(size_t size)
{
    return device_int(0, 3) ? 0 : size * (size_t)device_int(0, 9);
}

static void upload(Strided *s)
{
    const size_t size = gpudl_dtype_size(s->strided.dtype);
    uint8_t *data = device_input(s->host, (size_t)s->places * size, offset(size));

    s->strided.data = data + (size_t)s->first * size;
    device_note(" %s", gpudl_dtype_name(s->strided.dtype));
    for (int d = 0; d < s->shape.rank; d++)
        device_note("%c%d:%d", d ? ' ' : '[', (int)s->shape.dims[d], (int)s->strided.strides[d]);
    device_note("%s", s->shape.rank > 0 ? "]" : "");
}

static void fill(Strided *s, int special)
{
    static const float rare[] = {INFINITY, -INFINITY, NAN, -0.f, 1e-41f, 65504, -65504, 0.5f};
    const GpudlDType dtype = s->strided.dtype;

    for (int64_t i = 0; i < s->places; i++) {
        const float value = special && device_int(0, 15) == 0 ? rare[device_int(0, 7)] : (float)device_real(-2.5, 2.5);
        const uint64_t bits = device_int(0, 1) ? device_bits() : (uint64_t)device_int(-5, 5);
        uint8_t *at = (uint8_t *)s->host + (size_t)i * gpudl_dtype_size(dtype);

        if (strided_is_float(dtype))
            device_set(dtype, at, 0, (double)value);
        else if (dtype == GPUDL_DTYPE_BOOL)
            *at = device_int(0, 1) != 0;
        else
            memcpy(at, &bits, gpudl_dtype_size(dtype));
    }
}

static Strided make(GpudlDType dtype, const GpudlShape *shape, int input)
{
    Strided s = {.strided = {.dtype = dtype}, .shape = *shape};

    lay_out(&s, input);
    return s;
}

Strided strided_input(GpudlDType dtype, const GpudlShape *shape, int special)
{
    Strided s = make(dtype, shape, 1);

    s.host = device_host((size_t)s.places * gpudl_dtype_size(dtype));
    fill(&s, special);
    upload(&s);
    return s;
}

Strided strided_input_of(GpudlDType dtype, const GpudlShape *shape, const void *values)
{
    const size_t size = gpudl_dtype_size(dtype);
    Strided s = make(dtype, shape, 0);

    s.host = device_host((size_t)s.places * size);
    for (int64_t i = 0; i < gpudl_shape_elements(shape); i++)
        memcpy((uint8_t *)s.host + (size_t)place(&s, i) * size, (const uint8_t *)values + (size_t)i * size, size);
    upload(&s);
    return s;
}

Strided strided_output(GpudlDType dtype, const GpudlShape *shape)
{
    Strided s = make(dtype, shape, 0);
    const size_t size = gpudl_dtype_size(dtype);

    s.strided.data = device_output((size_t)s.places * size, offset(size));
    device_note(" -> %s", gpudl_dtype_name(dtype));
    for (int d = 0; d < shape->rank; d++)
        device_note(" %d:%d", (int)shape->dims[d], (int)s.strided.strides[d]);
    return s;
}

GpudlTensorView strided_room(GpudlDType dtype, const GpudlShape *shape)
{
    return (GpudlTensorView){dtype, *shape, device_host((size_t)gpudl_shape_elements(shape) * gpudl_dtype_size(dtype))};
}

GpudlTensorView strided_magnitude(const GpudlTensorView *x)
{
    const GpudlTensorView y = strided_room(GPUDL_DTYPE_F64, &x->shape);

    for (int64_t i = 0; i < gpudl_shape_elements(&x->shape); i++)
        ((double *)y.data)[i] = fabs(((const double *)x->data)[i]);
    return y;
}

GpudlTensorView strided_dense(const Strided *s, GpudlDType dtype)
{
    const size_t size = gpudl_dtype_size(s->strided.dtype);
    GpudlTensorView view = strided_room(s->strided.dtype, &s->shape), wide;

    for (int64_t i = 0; i < gpudl_shape_elements(&s->shape); i++)
        memcpy((uint8_t *)view.data + (size_t)i * size, (const uint8_t *)s->host + (size_t)place(s, i) * size, size);
    if (dtype == s->strided.dtype)
        return view;
    wide = strided_room(dtype, &s->shape);
    if (gpudl_cast_ref(&view, &wide, NULL, NULL) != 0)
        device_fail("the reference does not convert");
    return wide;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static void compare_float(const Strided *y, int64_t i, const void *got, double expected, const StridedBound *bound)
{
    const GpudlDType dtype = y->strided.dtype;
    const double value = device_get(dtype, got, 0), wanted = device_rounded(dtype, expected);
    double allowed = bound->absolute + bound->relative * fabs(expected) + device_rounding(dtype, expected) + 0x1p-149 +
                     0x1p-24 * fabs(expected);

    if (bound->magnitude != NULL)
        allowed += bound->magnitude[i];
    if (bound->absolute == 0 && bound->relative == 0 && bound->magnitude == NULL)
        allowed = 0; /* exact */
    if (isnan(wanted)   ? !isnan(value)
        : isinf(wanted) ? value != wanted /* beside which every bound is infinite */
                        : value != wanted && !(fabs(value - wanted) <= allowed))
        device_fail("output %lld: found %.9g, expected %.9g, bound %g", (long long)i, value, expected, allowed);
}

static void compare_bits(const Strided *y, int64_t i, const uint8_t *got, const uint8_t *expected,
                         const StridedBound *bound)
{
    const GpudlDType dtype = y->strided.dtype;
    const size_t size = gpudl_dtype_size(dtype);
    uint64_t found = 0, wanted = 0;

    if (memcmp(got, expected, size) == 0 ||
        (strided_is_float(dtype) && isnan(device_get(dtype, got, 0)) && isnan(device_get(dtype, expected, 0))))
        return;
    memcpy(&found, got, size);
    memcpy(&wanted, expected, size);
    if (bound != NULL && bound->integers != NULL && bound->integers(dtype, found, wanted))
        return;
    device_fail("output %lld: found %#llx, expected %#llx", (long long)i, (unsigned long long)found,
                (unsigned long long)wanted);
}

void strided_compare(const Strided *y, const GpudlTensorView *expected, const StridedBound *bound)
{
    const size_t size = gpudl_dtype_size(y->strided.dtype);
    const int64_t n = gpudl_shape_elements(&y->shape);
    uint8_t *got = device_fetch(y->strided.data, (size_t)y->places * size), *seen = device_host((size_t)y->places);

    for (int64_t i = 0; i < n; i++) {
        const int64_t at = place(y, i);

        seen[at] = 1;
        if (bound != NULL && strided_is_float(y->strided.dtype))
            compare_float(y, i, got + (size_t)at * size, ((const double *)expected->data)[i], bound);
        else
            compare_bits(y, i, got + (size_t)at * size, (const uint8_t *)expected->data + (size_t)i * size, bound);
    }
    for (int64_t at = 0; at < y->places; at++)
        for (size_t b = 0; b < size && !seen[at]; b++)
            if (got[(size_t)at * size + b] != 0xff)
                device_fail("place %lld, which is no element's, was written", (long long)at);
}
