/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Norms by a set's own mean and variance against sums in double, of the same values, in layouts of all kinds. */
#include <math.h>

#include "kernels/norm_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

/* What a float32 sum of a set by many threads, and what follows, may be off by, in units of the normalised value, which
 * is at most the root of the set's size. */
#define OFF 2e-6

static int64_t index_along(const GpudlShape *shape, int64_t i, int d)
{
    for (int k = shape->rank - 1; k > d; k--)
        i /= shape->dims[k];
    return i % shape->dims[d];
}

/* Place of element i of shape in a dense tensor that lacks the dimensions of lacking. */
static int64_t place_without(const GpudlShape *shape, int64_t i, uint32_t lacking)
{
    int64_t at = 0;

    for (int d = 0; d < shape->rank; d++)
        if ((lacking >> d & 1) == 0)
            at = at * shape->dims[d] + index_along(shape, i, d);
    return at;
}

/* mean and 1 / deviation of each element's set, by the set's place. */
static void measure(const GpudlShape *shape, uint32_t within, const double *x, double epsilon, double *mean,
                    double *factor)
{
    const int64_t n = gpudl_shape_elements(shape);
    int64_t size = 1;

    for (int d = 0; d < shape->rank; d++)
        size *= (within >> d & 1) != 0 ? shape->dims[d] : 1;
    for (int64_t s = 0; s < n / size; s++)
        mean[s] = factor[s] = 0;
    for (int64_t i = 0; i < n; i++)
        mean[place_without(shape, i, within)] += x[i] / (double)size;
    for (int64_t i = 0; i < n; i++) {
        const int64_t set = place_without(shape, i, within);

        factor[set] += (x[i] - mean[set]) * (x[i] - mean[set]) / (double)size;
    }
    for (int64_t s = 0; s < n / size; s++)
        factor[s] = 1 / sqrt(factor[s] + epsilon);
}

/* A parameter that is repeated along some dimensions. */
typedef struct {
    int is_there;
    uint32_t lacking;
    GpudlStrided strided;
    const double *values;
} Parameter;

static Parameter parameter(const GpudlShape *shape)
{
    Parameter p = {.is_there = device_int(0, 4) != 0};
    GpudlShape own = *shape;
    Strided s;

    for (int d = 0; d < own.rank; d++)
        if (device_int(0, 1)) {
            own.dims[d] = 1;
            p.lacking |= 1u << d;
        }
    s = strided_input(device_float_type(), &own, 0);
    p.values = strided_dense(&s, GPUDL_DTYPE_F64).data;
    p.strided = s.strided;
    for (int d = 0; d < own.rank; d++)
        if ((p.lacking >> d & 1) != 0)
            p.strided.strides[d] = 0;
    return p;
}

static double value_of(const Parameter *p, const GpudlShape *shape, int64_t i, double none)
{
    return p->is_there ? p->values[place_without(shape, i, p->lacking)] : none;
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlShape shape = (device_case(number, "norm"), strided_shape(1, 5, 20000));
        const uint32_t within = (uint32_t)device_int(0, (1 << shape.rank) - 1);
        const int64_t n = gpudl_shape_elements(&shape);
        const float epsilon = (float)device_real(1e-5, 1e-2);
        const Strided x = strided_input(device_float_type(), &shape, 0),
                      y = strided_output(device_float_type(), &shape);
        const Parameter scale = parameter(&shape), bias = parameter(&shape);
        const double *values = strided_dense(&x, GPUDL_DTYPE_F64).data;
        const GpudlTensorView expected = strided_room(GPUDL_DTYPE_F64, &shape),
                              off = strided_room(GPUDL_DTYPE_F64, &shape);
        double *mean = device_host((size_t)n * sizeof *mean), *factor = device_host((size_t)n * sizeof *factor);

        device_note(", within %x", (unsigned)within);
        measure(&shape, within, values, (double)epsilon, mean, factor);
        for (int64_t i = 0; i < n; i++) {
            const int64_t set = place_without(&shape, i, within);
            const double s = value_of(&scale, &shape, i, 1), b = value_of(&bias, &shape, i, 0),
                         normal = (values[i] - mean[set]) * factor[set];

            ((double *)expected.data)[i] = normal * s + b;
            /* the mean is off by a rounding of the largest values, 3 here, which a small deviation makes larger */
            ((double *)off.data)[i] = OFF * (fabs(normal * s) + fabs(b) + 3 * factor[set] * fabs(s));
        }
        device_done(gpudl_norm_cuda(&shape, within, &x.strided, scale.is_there ? &scale.strided : NULL,
                                    bias.is_there ? &bias.strided : NULL, epsilon, &y.strided, NULL));
        strided_compare(&y, &expected, &(StridedBound){0, 0, off.data, NULL});
    }
}

/* Pixels of channels that lie together, of gaps between them, with dense float32 parameters or none. */
static void test_rows(void)
{
    for (int number = 0; number < device_cases(200); number++) {
        const GpudlDType dtype = (device_case(number, "rows"), device_float_type());
        const int64_t rows = device_int(1, 70), v = dtype == GPUDL_DTYPE_F32 ? 4 : 8,
                      n = v * device_int(1, device_int(0, 2) ? 24 : 260), pitch = n + v * device_int(0, 2);
        const size_t size = gpudl_dtype_size(dtype), bytes = (size_t)(rows * pitch) * size;
        const GpudlShape shape = {2, {rows, n}};
        const int has_scale = device_int(0, 3) != 0, has_bias = device_int(0, 3) != 0, in_place = device_int(0, 3) == 0;
        uint8_t *host = device_host(bytes);
        float *parameters = device_host((size_t)n * 2 * sizeof *parameters);
        double *values = device_host((size_t)(rows * n) * sizeof *values),
               *mean = device_host((size_t)rows * sizeof *mean), *factor = device_host((size_t)rows * sizeof *factor);
        GpudlStrided x = {dtype, NULL, {pitch, 1}}, y = x, scale = {GPUDL_DTYPE_F32, NULL, {0, 1}}, bias = scale;
        const uint8_t *found;

        device_note(" %d of %d, pitch %d, %s%s%s%s", (int)rows, (int)n, (int)pitch, gpudl_dtype_name(dtype),
                    has_scale ? ", scale" : "", has_bias ? ", bias" : "", in_place ? ", in place" : "");
        device_random(dtype, host, (size_t)(rows * pitch), -3, 3, 0);
        for (int64_t i = 0; i < 2 * n; i++)
            parameters[i] = (float)device_real(-2, 2);
        for (int64_t i = 0; i < rows * n; i++)
            values[i] = device_get(dtype, host, i / n * pitch + i % n);
        measure(&shape, 2, values, 1e-5, mean, factor);
        x.data = device_input(host, bytes, 0);
        y.data = in_place ? x.data : device_output(bytes, 0);
        scale.data = device_input(parameters, (size_t)n * sizeof *parameters, 0);
        bias.data = device_input(parameters + n, (size_t)n * sizeof *parameters, 0);
        device_done(
            gpudl_norm_cuda(&shape, 2, &x, has_scale ? &scale : NULL, has_bias ? &bias : NULL, 1e-5f, &y, NULL));
        found = device_fetch(y.data, bytes);
        for (int64_t i = 0; i < rows * pitch; i++) {
            const int64_t row = i / pitch, c = i % pitch;
            double got = device_get(dtype, found, i), s, b, wanted;

            if (c >= n) { /* a gap, which stays as it was */
                for (size_t k = 0; k < size; k++)
                    if (found[(size_t)i * size + k] != (in_place ? host[(size_t)i * size + k] : 0xff))
                        device_fail("element %d, behind a row, was written", (int)i);
                continue;
            }
            s = has_scale ? (double)parameters[c] : 1;
            b = has_bias ? (double)parameters[n + c] : 0;
            wanted = (values[row * n + c] - mean[row]) * factor[row] * s + b;
            if (!(fabs(got - wanted) <=
                  device_rounding(dtype, wanted) + OFF * (fabs(wanted - b) + fabs(b) + 3 * factor[row] * fabs(s))))
                device_fail("row %d channel %d is %.9g, expected %.9g", (int)row, (int)c, got, wanted);
        }
    }
}

/* Groups of channels of pictures, channels last, of more elements than a warp has. */
static void test_pictures(void)
{
    for (int number = 0; number < device_cases(40); number++) {
        const GpudlDType dtype = (device_case(number, "pictures"), device_float_type());
        const int64_t v = dtype == GPUDL_DTYPE_F32 ? 4 : 8, groups = device_int(1, 3), each = v * device_int(1, 3),
                      c = groups * each, side = device_int(17, 24), n = device_int(1, 2),
                      pitch = c + v * device_int(0, 1);
        const GpudlShape shape = {5, {n, groups, each, side, side}};
        const int64_t elements = gpudl_shape_elements(&shape), places = n * side * side * pitch;
        const size_t size = gpudl_dtype_size(dtype);
        GpudlStrided x = {dtype, NULL, {side * side * pitch, each, 1, side * pitch, pitch}}, y = x,
                     scale = {GPUDL_DTYPE_F32, NULL, {0, each, 1, 0, 0}}, bias = scale;
        uint8_t *host = device_host((size_t)places * size);
        float *parameters = device_host((size_t)c * 2 * sizeof *parameters);
        double *values = device_host((size_t)elements * sizeof *values),
               *mean = device_host((size_t)elements * sizeof *mean),
               *factor = device_host((size_t)elements * sizeof *factor);
        const uint8_t *found;

        device_note(" %d of %dx%d channels, side %d, pitch %d, %s", (int)n, (int)groups, (int)each, (int)side,
                    (int)pitch, gpudl_dtype_name(dtype));
        device_random(dtype, host, (size_t)places, -3, 3, 0);
        for (int64_t i = 0; i < 2 * c; i++)
            parameters[i] = (float)device_real(-2, 2);
        for (int64_t i = 0; i < elements; i++) {
            int64_t at = 0;

            for (int d = 0; d < shape.rank; d++)
                at += index_along(&shape, i, d) * x.strides[d];
            values[i] = device_get(dtype, host, at);
        }
        measure(&shape, 0x1c, values, 1e-5, mean, factor);
        x.data = device_input(host, (size_t)places * size, 0);
        y.data = device_output((size_t)places * size, 0);
        scale.data = device_input(parameters, (size_t)c * sizeof *parameters, 0);
        bias.data = device_input(parameters + c, (size_t)c * sizeof *parameters, 0);
        device_done(gpudl_norm_cuda(&shape, 0x1c, &x, &scale, &bias, 1e-5f, &y, NULL));
        found = device_fetch(y.data, (size_t)places * size);
        for (int64_t i = 0; i < elements; i++) {
            const int64_t set = place_without(&shape, i, 0x1c),
                          channel = index_along(&shape, i, 1) * each + index_along(&shape, i, 2);
            const double s = (double)parameters[channel], b = (double)parameters[c + channel],
                         wanted = (values[i] - mean[set]) * factor[set] * s + b;
            int64_t at = 0;
            double got;

            for (int d = 0; d < shape.rank; d++)
                at += index_along(&shape, i, d) * x.strides[d];
            got = device_get(dtype, found, at);
            if (!(fabs(got - wanted) <=
                  device_rounding(dtype, wanted) + OFF * (fabs(wanted - b) + fabs(b) + 3 * factor[set] * fabs(s))))
                device_fail("element %d is %.9g, expected %.9g", (int)i, got, wanted);
        }
    }
}

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}};
    const GpudlStrided good = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       f64 = {GPUDL_DTYPE_F64, good.data, {8, 1}};

    if (gpudl_norm_cuda(&shape, 2, &f64, NULL, NULL, 1e-5f, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_norm_cuda(&shape, 2, &good, &f64, NULL, 1e-5f, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_norm_cuda(&shape, 2, &good, NULL, &f64, 1e-5f, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_norm_cuda(&shape, 2, &good, NULL, NULL, 1e-5f, &f64, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_norm_cuda(&shape, 4, &good, NULL, NULL, 1e-5f, &good, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

/* ---- benches ----------------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlShape shape;
    uint32_t within;
    GpudlStrided x, y, scale, bias;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_norm_cuda(&b->shape, b->within, &b->x, &b->scale, &b->bias, 1e-5f, &b->y, stream);
}

static void bench_shape(const char *name, int64_t n, int64_t c, int64_t side, uint32_t within)
{
    const size_t bytes = (size_t)(n * c * side * side) * 2;
    Bench b = {.shape = {4, {n, c, side, side}}, .within = within};

    device_case(0, "bench");
    b.x = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(bytes), {side * side * c, 1, side * c, c}};
    b.y = b.x;
    b.y.data = device_output(bytes, 0);
    b.scale = (GpudlStrided){GPUDL_DTYPE_F32, device_noise((size_t)c * 4), {0, 1, 0, 0}};
    b.bias = b.scale;
    device_bench(name, launch, &b, 20, 2 * (double)bytes);
}

static void bench(void)
{
    bench_shape("layer norm of 96, 56x56, 1 image", 1, 96, 56, 2);
    bench_shape("layer norm of 96, 56x56, 32 images", 32, 96, 56, 2);
    bench_shape("layer norm of 768, 7x7, 32 images", 32, 768, 7, 2);
    bench_shape("one group of 64, 56x56, 32 images", 32, 64, 56, 14);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},
                                         {"rows", test_rows},
                                         {"pictures", test_pictures},
                                         {"refuses", test_refuses},
                                         {NULL, NULL}};
    static const DeviceCheck benches[] = {{"norm", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
