/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Softmax and its logarithm against the reference in double, of the same values, in layouts of all kinds. */
#include <math.h>

#include "kernels/softmax_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

static void check(int number, int special)
{
    const GpudlSoftmaxKind kind = (device_case(number, "softmax"), (GpudlSoftmaxKind)device_int(0, 1));
    const GpudlShape shape = strided_shape(1, 5, 20000);
    const int flatten = device_int(0, 3) == 0;
    const int32_t axis = (int32_t)device_int(0, shape.rank - 1);
    const Strided x = strided_input(device_float_type(), &shape, special),
                  y = strided_output(device_float_type(), &shape);
    const GpudlTensorView dense = strided_dense(&x, GPUDL_DTYPE_F64), expected = strided_room(GPUDL_DTYPE_F64, &shape);
    int64_t terms = 1;

    for (int d = axis; d < shape.rank; d++)
        terms *= d == axis || flatten ? shape.dims[d] : 1;
    device_note(", kind %d axis %d flatten %d", kind, axis, flatten);
    if (gpudl_softmax_ref(kind, &dense, axis, flatten, &expected, NULL) != 0)
        device_fail("the reference refuses");
    device_done(gpudl_softmax_cuda(kind, &shape, &x.strided, axis, flatten, &y.strided, NULL));
    /* each exponential is right to 2^-22, and to 2^-24 of its argument, at most 5 here; the sum adds one rounding for
     * each of its terms, whose logarithm is that far off */
    strided_compare(&y, &expected,
                    &(StridedBound){(double)(terms + 16) * 0x1p-24, (double)(terms + 16) * 0x1p-24, NULL});
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++)
        check(number, 0);
}

/* Infinities and NaN, and 65504, beside which all others vanish. */
static void test_special(void)
{
    for (int number = 0; number < device_cases(150); number++)
        check(number, 1);
}

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}};
    const GpudlStrided good = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       f64 = {GPUDL_DTYPE_F64, good.data, {8, 1}};

    if (gpudl_softmax_cuda(GPUDL_SOFTMAX, &shape, &f64, 1, 0, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_softmax_cuda(GPUDL_SOFTMAX, &shape, &good, 1, 0, &f64, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_softmax_cuda(GPUDL_SOFTMAX, &shape, &good, 2, 0, &good, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_softmax_cuda(GPUDL_SOFTMAX, &shape, &good, -1, 1, &good, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

typedef struct {
    GpudlShape shape;
    GpudlStrided x, y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_softmax_cuda(GPUDL_SOFTMAX, &b->shape, &b->x, 1, 0, &b->y, stream);
}

static void bench(void)
{
    const int64_t rows = 32 * 12 * 197, columns = 197;
    const size_t bytes = (size_t)(rows * columns) * 2;
    Bench b = {.shape = {2, {rows, columns}}};

    device_case(0, "bench");
    b.x = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(bytes), {columns, 1}};
    b.y = (GpudlStrided){GPUDL_DTYPE_F16, device_output(bytes, 0), {columns, 1}};
    device_bench("softmax of 197, 32x12x197 rows", launch, &b, 20, (double)(2 * bytes));
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"special", test_special}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"softmax", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
