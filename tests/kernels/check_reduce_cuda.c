/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reductions against the reference in double, of the same values, in layouts of all kinds. */
#include <math.h>
#include <string.h>

#include "kernels/reduce_cuda.h"
#include "tests/kernels/device.h"

typedef struct {
    GpudlReduceKind kind;
    GpudlShape shape;
    int32_t axes[GPUDL_MAX_RANK], n_axes;
    int reduced[GPUDL_MAX_RANK];
    GpudlStrided x, y;
    void *host;
    int64_t n_x, n_y;
} Problem;

/* The dimensions in any order, gaps between some; what is left out has stride 0. Returns the elements of its memory. */
static int64_t random_layout(const Problem *p, GpudlStrided *o, const int *left_out)
{
    int order[GPUDL_MAX_RANK];
    int64_t stride = 1, n = 1;

    for (int d = 0; d < p->shape.rank; d++)
        order[d] = d;
    for (int d = p->shape.rank - 1; d > 0 && device_int(0, 1); d--) {
        const int e = (int)device_int(0, d), swap = order[d];

        order[d] = order[e];
        order[e] = swap;
    }
    for (int i = p->shape.rank - 1; i >= 0; i--) {
        const int d = order[i];

        if (left_out != NULL && left_out[d])
            continue;
        o->strides[d] = stride;
        n += (p->shape.dims[d] - 1) * stride;
        stride = stride * p->shape.dims[d] + (device_int(0, 3) ? 0 : device_int(1, 5));
    }
    return n;
}

static void random_problem(Problem *p)
{
    static const int64_t extents[] = {1, 2, 3, 5, 8, 31, 32, 33, 49, 100, 257};

    p->kind = (GpudlReduceKind)device_int(0, GPUDL_REDUCE_LAST);
    do {
        p->shape = (GpudlShape){.rank = (int32_t)device_int(1, 5)};
        for (int d = 0; d < p->shape.rank; d++)
            p->shape.dims[d] = extents[device_int(0, 10)];
    } while (gpudl_shape_elements(&p->shape) > 100000);
    for (int d = p->shape.rank - 1; d >= 0; d--)
        if (device_int(0, 1))
            p->axes[p->n_axes++] = d;
    for (int d = 0; d < p->shape.rank; d++)
        p->reduced[d] = p->n_axes == 0;
    for (int i = 0; i < p->n_axes; i++)
        p->reduced[p->axes[i]] = 1;
    p->x.dtype = device_float_type();
    p->y.dtype = device_float_type();
    p->n_x = random_layout(p, &p->x, NULL);
    p->n_y = random_layout(p, &p->y, p->reduced);
    device_note(", kind %d %s to %s", p->kind, gpudl_dtype_name(p->x.dtype), gpudl_dtype_name(p->y.dtype));
    for (int d = 0; d < p->shape.rank; d++)
        device_note(" %d:%d%s", (int)p->shape.dims[d], (int)p->x.strides[d], p->reduced[d] ? "*" : "");
}

/* Of the values or of their magnitudes: which roundings of sums are relative to. */
static const double *reference(const Problem *p, int magnitude)
{
    const int64_t n = gpudl_shape_elements(&p->shape);
    GpudlTensorView x = {GPUDL_DTYPE_F64, p->shape, device_host((size_t)n * sizeof(double))}, y = x;

    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0, rest = i;

        for (int d = p->shape.rank - 1; d >= 0; d--) {
            at += rest % p->shape.dims[d] * p->x.strides[d];
            rest /= p->shape.dims[d];
        }
        ((double *)x.data)[i] =
            magnitude ? fabs(device_get(p->x.dtype, p->host, at)) : device_get(p->x.dtype, p->host, at);
    }
    for (int d = 0; d < p->shape.rank; d++)
        if (p->reduced[d])
            y.shape.dims[d] = 1;
    y.data = device_host((size_t)n * sizeof(double));
    if (gpudl_reduce_ref(p->kind, &x, p->axes, p->n_axes, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y.data;
}

static void compare(const Problem *p)
{
    const size_t size = gpudl_dtype_size(p->y.dtype);
    const uint8_t *got = device_fetch(p->y.data, (size_t)p->n_y * size);
    const double *expected = reference(p, 0), *magnitude = reference(p, 1);
    int64_t n = 1, terms = 1, written = 0;

    for (int d = 0; d < p->shape.rank; d++)
        *(p->reduced[d] ? &terms : &n) *= p->shape.dims[d];
    for (int64_t i = 0; i < n; i++) {
        const int extremes = p->kind == GPUDL_REDUCE_MAX || p->kind == GPUDL_REDUCE_MIN;
        int64_t at = 0, rest = i;
        double wanted, bound, value;

        for (int d = p->shape.rank - 1; d >= 0; d--)
            if (!p->reduced[d]) {
                at += rest % p->shape.dims[d] * p->y.strides[d];
                rest /= p->shape.dims[d];
            }
        value = device_get(p->y.dtype, got, at);
        wanted = device_rounded(p->y.dtype, expected[i]);
        /* each sum, or product, rounds to 2^-24 of at most the magnitude. Extremes are exact but for being stored */
        bound = (extremes ? 0 : (double)(terms + 2) * magnitude[i] * 0x1p-24) + 0x1p-126 +
                device_rounding(p->y.dtype, expected[i]);
        if (isnan(wanted) ? !isnan(value) : value != wanted && !(fabs(value - wanted) <= bound))
            device_fail("output %d: found %.9g, expected %.9g, bound %g", (int)i, value, wanted, bound);
    }
    for (int64_t at = 0; at < p->n_y; at++) {
        int untouched = 1;

        for (size_t b = 0; b < size; b++)
            untouched = untouched && got[(size_t)at * size + b] == 0xff;
        written += !untouched;
    }
    if (written > n)
        device_fail("%d places were written, expected %d", (int)written, (int)n);
}

static void check(int number, const char *what)
{
    Problem p = {0};
    size_t bytes;

    device_case(number, "%s", what);
    random_problem(&p);
    bytes = (size_t)p.n_x * gpudl_dtype_size(p.x.dtype);
    p.host = device_host((size_t)p.n_x * sizeof(float));
    device_random(p.x.dtype, p.host, (size_t)p.n_x, -1.25, 1.25, 0);
    p.x.data = (void *)device_input(p.host, bytes, 0);
    p.y.data = device_output((size_t)p.n_y * gpudl_dtype_size(p.y.dtype), 0);
    device_done(gpudl_reduce_cuda(p.kind, &p.shape, &p.x, p.axes, p.n_axes, &p.y, NULL));
    compare(&p);
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++)
        check(number, "reduce");
}

static void test_nan(void)
{
    for (int number = 0; number < device_cases(100); number++) {
        Problem p = {0};
        float *got;

        device_case(number, "NaN among others");
        p.shape = (GpudlShape){2, {5, device_int(1, 100)}};
        p.kind = (GpudlReduceKind)device_int(0, GPUDL_REDUCE_LAST);
        p.host = device_host((size_t)(5 * p.shape.dims[1]) * sizeof(float));
        for (int64_t i = 0; i < 5 * p.shape.dims[1]; i++)
            ((float *)p.host)[i] = (float)device_real(-1, 1);
        ((float *)p.host)[3 * p.shape.dims[1] + device_int(0, p.shape.dims[1] - 1)] = NAN;
        p.x = (GpudlStrided){
            GPUDL_DTYPE_F32, (void *)device_input(p.host, (size_t)(5 * p.shape.dims[1]) * 4, 0), {p.shape.dims[1], 1}};
        p.y = (GpudlStrided){GPUDL_DTYPE_F32, device_output(20, 0), {1, 0}};
        device_done(gpudl_reduce_cuda(p.kind, &p.shape, &p.x, (const int32_t[]){1}, 1, &p.y, NULL));
        got = device_fetch(p.y.data, 20);
        for (int i = 0; i < 5; i++)
            if (isnan(got[i]) != (i == 3))
                device_fail("row %d: found %g", i, (double)got[i]);
    }
}

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}}, empty = {2, {0, 8}};
    const GpudlStrided good = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       f64 = {GPUDL_DTYPE_F64, good.data, {8, 1}};
    const int32_t axes[] = {1}, beyond[] = {2};

    if (gpudl_reduce_cuda(GPUDL_REDUCE_SUM, &shape, &f64, axes, 1, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_reduce_cuda(GPUDL_REDUCE_SUM, &shape, &good, axes, 1, &f64, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_reduce_cuda(GPUDL_REDUCE_SUM, &shape, &good, beyond, 1, &good, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_reduce_cuda((GpudlReduceKind)99, &shape, &good, axes, 1, &good, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_reduce_cuda(GPUDL_REDUCE_SUM, &empty, &good, axes, 1, &good, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

typedef struct {
    GpudlShape shape;
    GpudlStrided x, y;
    int32_t axis;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_reduce_cuda(GPUDL_REDUCE_MEAN, &b->shape, &b->x, &b->axis, 1, &b->y, stream);
}

static void bench(void)
{
    const int64_t rows = 32 * 56 * 56, channels = 96;
    const size_t bytes = (size_t)(rows * channels) * 2;
    Bench b = {.shape = {2, {rows, channels}}, .axis = 1};

    device_case(0, "bench");
    b.x = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(bytes), {channels, 1}};
    b.y = (GpudlStrided){GPUDL_DTYPE_F16, device_output((size_t)rows * 2, 0), {1, 0}};
    device_bench("mean of 96 channels, 32x56x56", launch, &b, 20, (double)bytes);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"nan", test_nan}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"reduce", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
