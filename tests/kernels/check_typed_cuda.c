/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Integers, comparisons, selection and conversion against the references, in layouts of all kinds. */
#include <math.h>

#include "kernels/reduce.h"
#include "kernels/typed_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

#define MOST 20000 /* elements of a tensor */

static GpudlDType integer(void)
{
    return (GpudlDType)device_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_U64);
}

static GpudlAct integer_act(void)
{
    const GpudlAct acts[] = {
        {GPUDL_ACT_NONE, 0, 0}, {GPUDL_ACT_RELU, 0, 0}, {GPUDL_ACT_CLIP, -2.5f, 6.25f}, {GPUDL_ACT_CLIP, 1.5f, 1e30f}};

    return acts[device_int(0, 3)];
}

static void test_unary(void)
{
    static const GpudlUnaryOp ops[] = {GPUDL_UNARY_ACTIVATION, GPUDL_UNARY_ABS, GPUDL_UNARY_NEG, GPUDL_UNARY_NOT};

    for (int number = 0; number < device_cases(200); number++) {
        const GpudlUnaryOp op = (device_case(number, "unary"), ops[device_int(0, 3)]);
        const GpudlDType dtype = op == GPUDL_UNARY_NOT ? GPUDL_DTYPE_BOOL : integer();
        const GpudlShape shape = strided_shape(0, 6, MOST);
        const Strided x = strided_input(dtype, &shape, 0), y = strided_output(dtype, &shape);
        const GpudlTensorView dense = strided_dense(&x, dtype), expected = strided_room(dtype, &shape);
        const GpudlAct act = integer_act();

        device_note(", op %d act %d %g", op, act.kind, (double)act.alpha);
        if (gpudl_unary_ref(op, &act, &dense, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_typed_unary_cuda(op, &act, &shape, &x.strided, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

/* Types of an operation's operands and result. */
static void choose_types(GpudlBinaryOp op, GpudlDType *a, GpudlDType *b, GpudlDType *y)
{
    const int floats = (int)device_int(0, 1);

    *a = *b = *y = integer();
    if (op >= GPUDL_BINARY_AND) {
        *a = *b = *y = GPUDL_DTYPE_BOOL;
    } else if (op >= GPUDL_BINARY_EQUAL) {
        *y = GPUDL_DTYPE_BOOL;
        if (floats) {
            *a = device_float_type();
            *b = device_float_type();
        }
    } else if ((op == GPUDL_BINARY_MOD || op == GPUDL_BINARY_FMOD) && floats) {
        *a = device_float_type();
        *b = device_float_type();
        *y = device_float_type();
    } else if (op == GPUDL_BINARY_POW) {
        const int kind = (int)device_int(0, 2);

        *b = kind == 0 ? device_float_type() : integer();
        *a = kind == 1 ? device_float_type() : *a;
        *y = kind == 1 ? device_float_type() : *a;
    }
}

/* Divisors that are 0 become 1: the reference refuses them. */
static void avoid_zero(const GpudlTensorView *b)
{
    const size_t size = gpudl_dtype_size(b->dtype);

    for (int64_t i = 0; i < gpudl_shape_elements(&b->shape); i++) {
        uint8_t *at = (uint8_t *)b->data + (size_t)i * size, any = 0;

        for (size_t k = 0; k < size; k++)
            any |= at[k];
        at[0] = any ? at[0] : 1;
    }
}

/* CUDA's pow() is off by 2 units in the last place of float64 at the most, the host's by 1: together less than 2^-50 of
 * the value; one more where truncating falls to either side of an integer, which is so rare below 2^24 that it is none
 * there. found and expected are the type's bits, zeros above. */
static int same_power(GpudlDType dtype, uint64_t found, uint64_t expected)
{
    const int is_signed = dtype == GPUDL_DTYPE_I32 || dtype == GPUDL_DTYPE_I64, bits = 8 * (int)gpudl_dtype_size(dtype);
    const uint64_t sign = is_signed ? (uint64_t)1 << (bits - 1) : 0, all = UINT64_MAX >> (64 - bits),
                   size = (expected & sign) != 0 ? (0 - expected) & all : expected,
                   off = found > expected ? found - expected : expected - found;

    return ((found ^ expected) & sign) == 0 && size >= 1 << 24 && off <= 1 + (size >> 50);
}

static void test_binary(void)
{
    for (int number = 0; number < device_cases(500); number++) {
        const GpudlBinaryOp op = (device_case(number, "binary"), (GpudlBinaryOp)device_int(0, GPUDL_BINARY_LAST));
        const GpudlShape shape = strided_shape(0, 6, MOST);
        GpudlDType a, b, y;
        Strided as, bs, ys;
        GpudlTensorView left, right, expected;
        GpudlAct act = integer_act();
        int floats;

        choose_types(op, &a, &b, &y);
        floats = strided_is_float(a) || strided_is_float(b);
        if (floats || op >= GPUDL_BINARY_EQUAL)
            act.kind = GPUDL_ACT_NONE;
        as = strided_input(a, &shape, 1);
        right = strided_room(b, &shape);
        bs = strided_input(b, &shape, 1);
        if (!strided_is_float(b) && (op == GPUDL_BINARY_DIV || op == GPUDL_BINARY_MOD || op == GPUDL_BINARY_FMOD)) {
            right = strided_dense(&bs, b);
            avoid_zero(&right);
            bs = strided_input_of(b, &shape, right.data);
        }
        if (op == GPUDL_BINARY_POW && !strided_is_float(a) &&
            !strided_is_float(b)) { /* 0 to a negative power is refused as well */
            left = strided_dense(&as, a);
            avoid_zero(&left);
            as = strided_input_of(a, &shape, left.data);
        }
        ys = strided_output(y, &shape);
        device_note(", op %d act %d %g", op, act.kind, (double)act.alpha);
        left = strided_dense(&as, strided_is_float(a) && floats ? GPUDL_DTYPE_F64 : a);
        right = strided_dense(&bs, strided_is_float(b) && floats ? GPUDL_DTYPE_F64 : b);
        expected = strided_room(strided_is_float(y) ? GPUDL_DTYPE_F64 : y, &shape);
        if (gpudl_binary_ref(op, &act, &left, &right, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_typed_binary_cuda(op, &act, &shape, &as.strided, &bs.strided, &ys.strided, NULL));
        /* remainders are exact in float32 but where the divisor is added: one rounding of at most it; powers go through
         * double */
        strided_compare(
            &ys, &expected,
            &(StridedBound){0x1p-24 * 65536, 0x1p-23, NULL, op == GPUDL_BINARY_POW && floats ? same_power : NULL});
    }
}

static void test_where(void)
{
    for (int number = 0; number < device_cases(200); number++) {
        const int mixed = (device_case(number, "where"), (int)device_int(0, 1));
        const GpudlDType dtype = (GpudlDType)device_int(GPUDL_DTYPE_F32, GPUDL_DTYPE_LAST),
                         a = mixed ? device_float_type() : dtype, b = mixed ? device_float_type() : dtype,
                         y = mixed ? device_float_type() : dtype;
        const GpudlShape shape = strided_shape(0, 6, MOST);
        const Strided condition = strided_input(GPUDL_DTYPE_BOOL, &shape, 0), as = strided_input(a, &shape, 1),
                      bs = strided_input(b, &shape, 1), ys = strided_output(y, &shape);
        const GpudlDType wide = mixed ? GPUDL_DTYPE_F64 : dtype;
        const GpudlTensorView which = strided_dense(&condition, GPUDL_DTYPE_BOOL), left = strided_dense(&as, wide),
                              right = strided_dense(&bs, wide), expected = strided_room(wide, &shape);

        if (gpudl_where_ref(&which, &left, &right, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_where_cuda(&shape, &condition.strided, &as.strided, &bs.strided, &ys.strided, NULL));
        strided_compare(&ys, &expected, mixed ? &(StridedBound){0, 0, NULL} : NULL);
    }
}

static void test_cast(void)
{
    for (int number = 0; number < device_cases(400); number++) {
        const GpudlDType from =
            (device_case(number, "cast"),
             device_int(0, 2) ? (GpudlDType)device_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_BOOL) : device_float_type());
        const GpudlDType to =
            device_int(0, 2) ? (GpudlDType)device_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_BOOL) : device_float_type();
        const GpudlShape shape = strided_shape(0, 6, MOST);
        const Strided x = strided_input(from, &shape, 1), y = strided_output(to, &shape);
        const GpudlTensorView dense = strided_dense(&x, from), expected = strided_room(to, &shape);

        if (gpudl_cast_ref(&dense, &expected, NULL, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_cast_cuda(&shape, &x.strided, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

/* Integers beside those half way between two of bfloat16: rounded to float32 first they would be ties. */
static void test_ties(void)
{
    enum { FIRST = 25, LAST = 62, N = LAST - FIRST + 1 };

    for (int number = 0; number < 6; number++) {
        const int is_unsigned = number % 2;
        const int64_t beside = number / 2 - 1;
        const GpudlDType from = is_unsigned ? GPUDL_DTYPE_U64 : GPUDL_DTYPE_I64;
        const GpudlShape shape = (device_case(number, "ties"), (GpudlShape){1, {2 * N}});
        int64_t values[2 * N];
        Strided x, y;
        GpudlTensorView dense, expected;

        for (int i = 0; i < N; i++)
            for (int sign = 0; sign < 2; sign++) {
                const int64_t value = ((int64_t)(257 + 2 * sign) << (FIRST - 8 + i)) + beside;

                values[2 * i + sign] = sign && !is_unsigned ? -value : value;
            }
        x = strided_input_of(from, &shape, values);
        y = strided_output(GPUDL_DTYPE_BF16, &shape);
        dense = strided_dense(&x, from);
        expected = strided_room(GPUDL_DTYPE_BF16, &shape);
        if (gpudl_cast_ref(&dense, &expected, NULL, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_cast_cuda(&shape, &x.strided, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

static void test_reduce(void)
{
    for (int number = 0; number < device_cases(200); number++) {
        const GpudlReduceKind kind = (device_case(number, "reduce"), (GpudlReduceKind)device_int(0, GPUDL_REDUCE_LAST));
        const GpudlDType dtype = integer();
        const GpudlShape shape = strided_shape(0, 5, MOST);
        GpudlShape kept = shape;
        int32_t axes[GPUDL_MAX_RANK], n_axes = 0;
        Strided x, y;
        GpudlTensorView dense, expected;

        for (int d = shape.rank - 1; d >= 0; d--)
            if (device_int(0, 1))
                axes[n_axes++] = d;
        for (int i = 0; i < n_axes; i++)
            kept.dims[axes[i]] = 1;
        for (int d = 0; d < shape.rank && n_axes == 0; d++)
            kept.dims[d] = 1;
        x = strided_input(dtype, &shape, 0);
        y = strided_output(dtype, &kept);
        device_note(", kind %d, %d axes", kind, n_axes);
        dense = strided_dense(&x, dtype);
        expected = strided_room(dtype, &kept);
        if (gpudl_reduce_ref(kind, &dense, axes, n_axes, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_typed_reduce_cuda((int32_t)kind, &shape, &x.strided, axes, n_axes, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}}, large = {2, {1 << 16, 1 << 16}};
    const GpudlAct sigmoid = {GPUDL_ACT_SIGMOID, 0, 0};
    const GpudlStrided f32 = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       i32 = {GPUDL_DTYPE_I32, f32.data, {8, 1}}, i64 = {GPUDL_DTYPE_I64, f32.data, {8, 1}},
                       yes = {GPUDL_DTYPE_BOOL, f32.data, {8, 1}}, narrow = {GPUDL_DTYPE_F8E5M2, f32.data, {8, 1}};

    if (gpudl_typed_unary_cuda(GPUDL_UNARY_EXP, NULL, &shape, &i32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_unary_cuda(GPUDL_UNARY_NOT, NULL, &shape, &i32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_unary_cuda(GPUDL_UNARY_ACTIVATION, &sigmoid, &shape, &i32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_binary_cuda(GPUDL_BINARY_ADD, NULL, &shape, &i32, &i64, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_binary_cuda(GPUDL_BINARY_ADD, NULL, &shape, &f32, &f32, &f32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_binary_cuda(GPUDL_BINARY_EQUAL, NULL, &shape, &i32, &i32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_binary_cuda(GPUDL_BINARY_AND, NULL, &shape, &i32, &i32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_where_cuda(&shape, &i32, &i32, &i32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_where_cuda(&shape, &yes, &i32, &f32, &i32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_cast_cuda(&shape, &f32, &narrow, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_reduce_cuda(GPUDL_REDUCE_SUM, &shape, &f32, NULL, 0, &f32, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_typed_reduce_cuda(GPUDL_REDUCE_SUM, &shape, &i32, (const int32_t[]){2}, 1, &i32, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_typed_reduce_cuda(GPUDL_REDUCE_SUM, &large, &i32, NULL, 0, &i32, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"unary", test_unary}, {"binary", test_binary}, {"where", test_where},     {"cast", test_cast},
        {"ties", test_ties},   {"reduce", test_reduce}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
