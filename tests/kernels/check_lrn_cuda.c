/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Local response normalisation against the reference in double, of the same values. */
#include <math.h>
#include <string.h>

#include "kernels/lrn_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

static void check(int number, int special)
{
    static const int channels[] = {1, 3, 7, 8, 16, 31, 32, 40, 64, 100};
    const GpudlDType dtype = (device_case(number, "lrn"), device_float_type());
    const int32_t size = (int32_t)device_int(1, 9), c = channels[device_int(0, 9)];
    const float alpha = (float)device_real(0, 2), beta = (float)device_real(0.3, 1.5),
                bias = (float)device_real(0.5, 3);
    const GpudlShape shape = {4, {device_int(1, 3), c, device_int(1, 9), device_int(1, 9)}};
    const int64_t pitch[2] = {device_int(0, 1) ? c : (c + 15) / 8 * 8, device_int(0, 1) ? c : c + device_int(0, 3)};
    const size_t bytes = gpudl_dtype_size(dtype);
    GpudlTensorView dense, expected = strided_room(GPUDL_DTYPE_F64, &shape);
    GpudlNhwc s[2];
    Strided x = {.strided = {.dtype = dtype}, .shape = shape}, y = x;

    for (int i = 0; i < 2; i++) {
        Strided *t = i == 0 ? &x : &y;
        const int64_t h = shape.dims[2], w = shape.dims[3], strides[4] = {h * w * pitch[i], 1, w * pitch[i], pitch[i]};

        s[i] = (GpudlNhwc){(int32_t)shape.dims[0], (int32_t)h, (int32_t)w, c, pitch[i]};
        memcpy(t->strided.strides, strides, sizeof strides);
        t->places = (shape.dims[0] * h * w - 1) * pitch[i] + c;
    }
    {
        const GpudlShape places = {1, {x.places}};
        const Strided flat = strided_input(dtype, &places, special);

        x.host = strided_dense(&flat, dtype).data;
    }
    x.strided.data = device_input(x.host, (size_t)x.places * bytes, bytes * (size_t)(device_int(0, 2) ? 0 : 3));
    y.strided.data = device_output((size_t)y.places * bytes, bytes * (size_t)(device_int(0, 2) ? 0 : 1));
    device_note(", %dx%dx%dx%d pitches %d %d size %d alpha %g beta %g bias %g", s[0].n, c, s[0].h, s[0].w,
                (int)pitch[0], (int)pitch[1], size, (double)alpha, (double)beta, (double)bias);
    dense = strided_dense(&x, GPUDL_DTYPE_F64);
    if (gpudl_lrn_ref(&dense, size, alpha, beta, bias, &expected, NULL) != 0)
        device_fail("the reference refuses");
    device_done(gpudl_lrn_cuda(dtype, x.strided.data, &s[0], size, alpha, beta, bias, y.strided.data, &s[1], NULL));
    /* the sum of up to 9 squares and the bias: 12 roundings, 1.5 times as many in the power, whose own error is 2^-21
     * of an argument of up to 65536^2 */
    strided_compare(&y, &expected, &(StridedBound){0x1p-126, 0x1p-18, NULL});
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++)
        check(number, 0);
}

static void test_special(void)
{
    for (int number = 0; number < device_cases(100); number++)
        check(number, 1);
}

static void test_refuses(void)
{
    const GpudlNhwc s = {1, 2, 2, 8, 8}, other = {1, 2, 2, 7, 8};
    void *data = device_output(256, 0);

    if (gpudl_lrn_cuda(GPUDL_DTYPE_F64, data, &s, 5, 1, 1, 1, data, &s, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_lrn_cuda(GPUDL_DTYPE_F32, data, &s, 0, 1, 1, 1, data, &s, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_lrn_cuda(GPUDL_DTYPE_F32, data, &s, 5, 1, 1, 1, data, &other, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

typedef struct {
    GpudlNhwc s;
    void *x, *y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_lrn_cuda(GPUDL_DTYPE_F16, b->x, &b->s, 5, 1e-4f, 0.75f, 1, b->y, &b->s, stream);
}

static void bench(void)
{
    Bench b = {.s = {32, 56, 56, 64, 64}};
    const size_t bytes = (size_t)32 * 56 * 56 * 64 * 2;

    device_case(0, "bench");
    b.x = device_noise(bytes);
    b.y = device_output(bytes, 0);
    device_bench("lrn of 5, 32x64x56x56", launch, &b, 20, (double)(2 * bytes));
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"special", test_special}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"lrn", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
