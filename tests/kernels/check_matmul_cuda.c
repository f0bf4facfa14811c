/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batched products against the reference in double, of the same values, in layouts of all kinds. */
#include <math.h>

#include "kernels/matmul_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

typedef struct {
    GpudlShape a, b, y;
    int32_t k;
} Extents;

static Extents random_extents(void)
{
    static const int64_t extents[] = {1, 2, 3, 15, 16, 17, 33, 63, 64, 65, 100, 130};
    Extents e = {.k = device_int(0, 15) == 0 ? 0 : (int32_t)extents[device_int(0, 11)]};

    e.y.rank = (int32_t)device_int(2, 5);
    for (int d = 0; d < e.y.rank - 2; d++)
        e.y.dims[d] = device_int(1, 3);
    for (int d = e.y.rank - 2; d < e.y.rank; d++)
        e.y.dims[d] = extents[device_int(0, 11)];
    e.a = e.b = e.y;
    e.a.dims[e.y.rank - 1] = e.b.dims[e.y.rank - 2] = e.k;
    return e;
}

/* Of values or magnitudes. */
static GpudlTensorView reference(const Extents *e, const GpudlTensorView *a, const GpudlTensorView *b)
{
    static const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const GpudlTensorView y = strided_room(a->dtype, &e->y);

    if (gpudl_matmul_ref(a, b, &none, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y;
}

static void check_floats(int number, int special)
{
    const Extents e = (device_case(number, "product"), random_extents());
    const Strided a = strided_input(device_float_type(), &e.a, special),
                  b = strided_input(device_float_type(), &e.b, special),
                  c = strided_input(device_float_type(), &e.y, special), y = strided_output(device_float_type(), &e.y);
    const int added = (int)device_int(0, 1);
    const GpudlGemm params = {0,
                              0,
                              device_int(0, 1) ? 1 : (float)device_real(-2, 2),
                              device_int(0, 1) ? 1 : (float)device_real(-2, 2),
                              {device_int(0, 1) ? GPUDL_ACT_RELU : GPUDL_ACT_NONE, 0, 0}};
    const GpudlTensorView av = strided_dense(&a, GPUDL_DTYPE_F64), bv = strided_dense(&b, GPUDL_DTYPE_F64),
                          cv = strided_dense(&c, GPUDL_DTYPE_F64), am = strided_magnitude(&av),
                          bm = strided_magnitude(&bv), expected = reference(&e, &av, &bv),
                          magnitude = reference(&e, &am, &bm);

    device_note(", k %d alpha %g beta %g act %d", e.k, (double)params.alpha, added ? (double)params.beta : 0.,
                params.act.kind);
    for (int64_t i = 0; i < gpudl_shape_elements(&e.y); i++) {
        double *value = &((double *)expected.data)[i], *m = &((double *)magnitude.data)[i],
               add = added ? (double)params.beta * ((const double *)cv.data)[i] : 0;

        *value = (double)params.alpha * *value + add;
        *value = gpudl_activate(&params.act, *value);
        /* one rounding for each term, and of what is added */
        *m = isfinite(*m) ? ((double)(e.k + 4) * *m * fabs((double)params.alpha) + 4 * fabs(add)) * 0x1p-24 : 0;
    }
    device_done(
        gpudl_matmul_cuda(&e.y, e.k, &a.strided, &b.strided, added ? &c.strided : NULL, &params, &y.strided, NULL));
    strided_compare(&y, &expected, &(StridedBound){0x1p-126, 0x1p-23, magnitude.data});
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(200); number++)
        check_floats(number, 0);
}

static void test_special(void)
{
    for (int number = 0; number < device_cases(60); number++)
        check_floats(number, 1);
}

static void test_integers(void)
{
    for (int number = 0; number < device_cases(80); number++) {
        const GpudlDType dtype =
            (device_case(number, "integers"), (GpudlDType)device_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_U64));
        const Extents e = random_extents();
        const int added = (int)device_int(0, 1);
        const Strided a = strided_input(dtype, &e.a, 0), b = strided_input(dtype, &e.b, 0),
                      c = strided_input(dtype, &e.y, 0), y = strided_output(dtype, &e.y);
        const GpudlTensorView av = strided_dense(&a, dtype), bv = strided_dense(&b, dtype),
                              cv = strided_dense(&c, dtype), product = reference(&e, &av, &bv),
                              sum = strided_room(dtype, &e.y);
        const GpudlGemm params = {.alpha = 1, .beta = 1};

        device_note(", k %d added %d", e.k, added);
        if (gpudl_binary_ref(GPUDL_BINARY_ADD, NULL, &product, &cv, &sum, NULL) != 0)
            device_fail("the reference does not add");
        device_done(
            gpudl_matmul_cuda(&e.y, e.k, &a.strided, &b.strided, added ? &c.strided : NULL, &params, &y.strided, NULL));
        strided_compare(&y, added ? &sum : &product, NULL);
    }
}

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}}, vector = {1, {8}}, wide = {2, {1, INT32_MAX}};
    const GpudlGemm plain = {.alpha = 1, .beta = 1}, twice = {.alpha = 2, .beta = 1};
    const GpudlStrided f32 = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       i32 = {GPUDL_DTYPE_I32, f32.data, {8, 1}}, f64 = {GPUDL_DTYPE_F64, f32.data, {8, 1}};

    if (gpudl_matmul_cuda(&shape, 8, &f32, &i32, NULL, &plain, &f32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_matmul_cuda(&shape, 8, &f64, &f64, NULL, &plain, &f64, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_matmul_cuda(&shape, 8, &i32, &i32, NULL, &twice, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_matmul_cuda(&vector, 8, &f32, &f32, NULL, &plain, &f32, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_matmul_cuda(&shape, -1, &f32, &f32, NULL, &plain, &f32, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_matmul_cuda(&shape, INT32_MAX, &f32, &f32, NULL, &plain, &f32, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_matmul_cuda(&wide, 8, &f32, &f32, NULL, &plain, &f32, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

typedef struct {
    GpudlShape shape;
    GpudlStrided a, b, y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    static const GpudlGemm plain = {.alpha = 1, .beta = 0};
    const Bench *b = data;

    return gpudl_matmul_cuda(&b->shape, 64, &b->a, &b->b, NULL, &plain, &b->y, stream);
}

/* What attention multiplies: queries by keys, which are transposed. */
static void bench(void)
{
    Bench b = {.shape = {3, {8 * 12, 197, 197}}};
    const size_t in = (size_t)8 * 12 * 197 * 64 * 2, out = (size_t)8 * 12 * 197 * 197 * 2;

    device_case(0, "bench");
    b.a = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(in), {197 * 64, 64, 1}};
    b.b = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(in), {197 * 64, 1, 64}};
    b.y = (GpudlStrided){GPUDL_DTYPE_F16, device_output(out, 0), {197 * 197, 197, 1}};
    device_bench("96 products of 197x64 and 64x197", launch, &b, 20, (double)(2 * in + out));
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},
                                         {"special", test_special},
                                         {"integers", test_integers},
                                         {"refuses", test_refuses},
                                         {NULL, NULL}};
    static const DeviceCheck benches[] = {{"matmul", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
