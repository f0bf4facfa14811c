/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolutions and pools of one to three dimensions against the references, in layouts of all kinds. */
#include <math.h>

#include "kernels/conv.h"
#include "kernels/window_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

/* A window, and extents of x and y that have at least one position of it. */
static GpudlWindow random_window(GpudlShape *xs, GpudlShape *ys)
{
    GpudlWindow w = {.n_spatial = (int32_t)device_int(1, GPUDL_MAX_SPATIAL)};

    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
        w.kernel[i] = w.stride[i] = w.dilation[i] = 1;
    xs->rank = ys->rank = 2 + w.n_spatial;
    for (int d = 0; d < w.n_spatial; d++) {
        const int i = GPUDL_MAX_SPATIAL - w.n_spatial + d;
        int64_t padded;

        do {
            w.kernel[i] = (int32_t)device_int(1, 4);
            w.stride[i] = (int32_t)device_int(1, 3);
            w.dilation[i] = (int32_t)device_int(1, 2);
            w.pad_begin[i] = (int32_t)device_int(0, 2);
            w.pad_end[i] = (int32_t)device_int(0, 2);
            xs->dims[2 + d] = device_int(1, w.n_spatial == 1 ? 60 : w.n_spatial == 2 ? 12 : 6);
            padded = xs->dims[2 + d] + w.pad_begin[i] + w.pad_end[i] - (w.kernel[i] - 1) * w.dilation[i] - 1;
        } while (padded < 0);
        /* one more at times, as ceil_mode makes it */
        ys->dims[2 + d] = padded / w.stride[i] + 1 + (device_int(0, 4) == 0);
    }
    xs->dims[0] = ys->dims[0] = device_int(1, 3);
    device_note(", kernel %d %d %d stride %d %d %d dilation %d %d %d pads %d %d %d, %d %d %d", w.kernel[0], w.kernel[1],
                w.kernel[2], w.stride[0], w.stride[1], w.stride[2], w.dilation[0], w.dilation[1], w.dilation[2],
                w.pad_begin[0], w.pad_begin[1], w.pad_begin[2], w.pad_end[0], w.pad_end[1], w.pad_end[2]);
    return w;
}

static void check_conv(int number, int special)
{
    static const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    GpudlShape xs = (device_case(number, "conv"), (GpudlShape){0}), ys = {0}, ws, bs = {1, {0}};
    const GpudlWindow window = random_window(&xs, &ys);
    const int32_t group = (int32_t)device_int(1, 3);
    const GpudlAct act = {device_int(0, 1) ? GPUDL_ACT_RELU : GPUDL_ACT_NONE, 0, 0};
    const int has_bias = (int)device_int(0, 1), has_z = (int)device_int(0, 1);
    Strided x, w, bias, z, y;
    GpudlTensorView xv, wv, bv, zv, xm, wm, expected, magnitude;

    ws = xs;
    ws.dims[1] = device_int(1, 9);
    xs.dims[1] = ws.dims[1] * group;
    ys.dims[1] = ws.dims[0] = bs.dims[0] = group * device_int(1, 9);
    for (int d = 0; d < window.n_spatial; d++)
        ws.dims[2 + d] = window.kernel[GPUDL_MAX_SPATIAL - window.n_spatial + d];
    x = strided_input(device_float_type(), &xs, special);
    w = strided_input(device_float_type(), &ws, special);
    bias = strided_input(device_float_type(), &bs, 0);
    z = strided_input(device_float_type(), &ys, 0);
    y = strided_output(device_float_type(), &ys);
    device_note(", group %d act %d bias %d z %d", group, act.kind, has_bias, has_z);
    xv = strided_dense(&x, GPUDL_DTYPE_F64);
    wv = strided_dense(&w, GPUDL_DTYPE_F64);
    bv = strided_dense(&bias, GPUDL_DTYPE_F64);
    zv = strided_dense(&z, GPUDL_DTYPE_F64);
    xm = strided_magnitude(&xv);
    wm = strided_magnitude(&wv);
    expected = strided_room(GPUDL_DTYPE_F64, &ys);
    magnitude = strided_room(GPUDL_DTYPE_F64, &ys);
    if (gpudl_conv_ref(&xv, &wv, has_bias ? &bv : NULL, has_z ? &zv : NULL, &window, group, &act, &expected, NULL) !=
            0 ||
        gpudl_conv_ref(&xm, &wm, NULL, NULL, &window, group, &none, &magnitude, NULL) != 0)
        device_fail("the reference refuses");
    /* one rounding for each term */
    for (int64_t i = 0; i < gpudl_shape_elements(&ys); i++) {
        double *m = &((double *)magnitude.data)[i];

        *m = isfinite(*m) ? (*m + 6) * (double)(gpudl_shape_elements(&ws) / ws.dims[0] + 4) * 0x1p-24 : 0;
    }
    device_done(gpudl_window_conv_cuda(&xs, &x.strided, &ws, &w.strided, has_bias ? &bias.strided : NULL,
                                       has_z ? &z.strided : NULL, &window, group, &act, &ys, &y.strided, NULL));
    strided_compare(&y, &expected, &(StridedBound){0x1p-126, 0x1p-23, magnitude.data});
}

static void test_conv(void)
{
    for (int number = 0; number < device_cases(200); number++)
        check_conv(number, 0);
}

static void test_conv_special(void)
{
    for (int number = 0; number < device_cases(60); number++)
        check_conv(number, 1);
}

static void test_pool(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        GpudlShape xs = (device_case(number, "pool"), (GpudlShape){0}), ys = {0};
        const GpudlWindow window = random_window(&xs, &ys);
        const GpudlPoolKind kind = (GpudlPoolKind)device_int(0, GPUDL_POOL_AVERAGE_PAD);
        const int integers = kind == GPUDL_POOL_MAX && device_int(0, 1);
        const GpudlDType from =
                             integers ? (GpudlDType)device_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_BOOL) : device_float_type(),
                         to = integers ? from : device_float_type();
        const GpudlDType wide = integers ? from : GPUDL_DTYPE_F64;
        GpudlTensorView dense, expected;
        Strided x, y;

        xs.dims[1] = ys.dims[1] = device_int(1, 20);
        x = strided_input(from, &xs, kind == GPUDL_POOL_MAX);
        y = strided_output(to, &ys);
        device_note(", kind %d", kind);
        dense = strided_dense(&x, wide);
        expected = strided_room(wide, &ys);
        if (gpudl_pool_ref(kind, &dense, &window, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_window_pool_cuda(kind, &xs, &x.strided, &window, &ys, &y.strided, NULL));
        /* maxima are exact; sums of up to 64 values below 2.5, one rounding each */
        strided_compare(&y, &expected,
                        kind == GPUDL_POOL_MAX && from == to && integers ? NULL
                        : kind == GPUDL_POOL_MAX                         ? &(StridedBound){0, 0, NULL}
                                                 : &(StridedBound){66 * 2.5 * 0x1p-24, 0x1p-23, NULL});
    }
}

static void test_indices(void)
{
    for (int number = 0; number < device_cases(200); number++) {
        GpudlShape xs = (device_case(number, "indices"), (GpudlShape){0}), ys = {0};
        const GpudlWindow window = random_window(&xs, &ys);
        const GpudlDType dtype =
            device_int(0, 1) ? (GpudlDType)device_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_BOOL) : device_float_type();
        const int column_major = (int)device_int(0, 1);
        GpudlTensorView dense, expected;
        Strided x, y;

        xs.dims[1] = ys.dims[1] = device_int(1, 20);
        x = strided_input(dtype, &xs, 1);
        y = strided_output(GPUDL_DTYPE_I64, &ys);
        device_note(", column_major %d", column_major);
        dense = strided_dense(&x, dtype);
        expected = strided_room(GPUDL_DTYPE_I64, &ys);
        if (gpudl_pool_indices_ref(&dense, &window, column_major, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_window_indices_cuda(&xs, &x.strided, &window, column_major, &ys, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

static void test_refuses(void)
{
    const GpudlShape shape = {3, {2, 4, 4}}, flat = {2, {2, 4}}, weights = {3, {4, 3, 1}};
    const GpudlWindow window = {1, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}},
                      still = {1, {1, 1, 1}, {1, 1, 0}, {0}, {0}, {1, 1, 1}};
    const GpudlStrided f32 = {GPUDL_DTYPE_F32, device_output(256, 0), {16, 4, 1}},
                       i32 = {GPUDL_DTYPE_I32, f32.data, {16, 4, 1}};

    if (gpudl_window_pool_cuda(GPUDL_POOL_AVERAGE, &shape, &i32, &window, &shape, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_window_pool_cuda(GPUDL_POOL_MAX, &shape, &i32, &window, &shape, &f32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_window_pool_cuda(GPUDL_POOL_MAX, &flat, &f32, &window, &flat, &f32, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_window_pool_cuda(GPUDL_POOL_MAX, &shape, &f32, &still, &shape, &f32, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_window_indices_cuda(&shape, &f32, &window, 0, &shape, &f32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_window_conv_cuda(&shape, &f32, &weights, &f32, NULL, NULL, &window, 1, NULL, &shape, &f32, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_window_conv_cuda(&shape, &i32, &weights, &f32, NULL, NULL, &window, 1, NULL, &shape, &f32, NULL) !=
            GPUDL_KERNEL_DTYPE)
        device_fail("a call that can't be served was not refused");
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"conv", test_conv},       {"conv_special", test_conv_special},
                                         {"pool", test_pool},       {"indices", test_indices},
                                         {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
