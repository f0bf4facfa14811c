/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolution against the reference in double, of the same values. */
#include "kernels/conv_cuda.h"
#include "tests/kernels/conv_problem.h"
#include "tests/kernels/device.h"

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        ConvProblem p;

        device_case(number, "conv");
        conv_problem_random(&p, device_float_type(), 1);
        device_done(gpudl_conv_cuda(p.dtype, p.from_x, &p.xs, p.from_w, p.has_bias ? p.from_bias : NULL,
                                    p.has_z ? p.from_z : NULL, p.z_pitch, &p.window, p.groups, &p.act, p.to_y, &p.ys,
                                    NULL));
        conv_problem_compare(&p);
    }
}

static void test_refuses(void)
{
    const GpudlNhwc xs = {1, 4, 4, 6, 6}, ys = {1, 4, 4, 8, 8}, other = {2, 4, 4, 8, 8}, none = {0, 4, 4, 6, 6},
                    empty = {0, 4, 4, 8, 8};
    const GpudlWindow good = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}},
                      deep = {3, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    void *y = device_output(256, 0);

    if (gpudl_conv_cuda(GPUDL_DTYPE_F64, y, &xs, y, NULL, NULL, 0, &good, 1, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_DTYPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &good, 4, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &good, 3, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &deep, 1, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, y, 7, &good, 1, &act, y, &ys, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &good, 1, &act, y, &other, NULL) !=
            GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    device_done(gpudl_conv_cuda(GPUDL_DTYPE_F16, NULL, &none, y, NULL, NULL, 0, &good, 1, &act, NULL, &empty, NULL));
}

typedef struct {
    GpudlNhwc xs, ys;
    const void *x, *w;
    void *y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    static const GpudlWindow window = {2, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {1, 1, 1}};
    static const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0};
    const Bench *b = data;

    return gpudl_conv_cuda(GPUDL_DTYPE_F16, b->x, &b->xs, b->w, NULL, NULL, 0, &window, 1, &relu, b->y, &b->ys, stream);
}

static void bench(void)
{
    const size_t bytes = (size_t)28 * 28 * 128 * 2;
    Bench b = {.xs = {1, 28, 28, 128, 128}, .ys = {1, 28, 28, 128, 128}};

    device_case(0, "bench");
    b.x = device_noise(bytes);
    b.w = device_noise((size_t)128 * 128 * 9 * 2);
    b.y = device_output(bytes, 0);
    device_bench("3x3 of 28x28x128 to 128, any shape", launch, &b, 10, 2.0 * (double)bytes + 128 * 128 * 9 * 2);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"conv", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
