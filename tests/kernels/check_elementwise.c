/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element: each operation against a scalar formula of its own, broadcasting against coordinates. */
#include <math.h>

#include "kernels/elementwise.h"
#include "tests/kernels/check.h"

static const GpudlAct elu_one = {GPUDL_ACT_NONE, 1, 0};

/* ---- one input --------------------------------------------------------------------------------------------------- */

static double define_unary(GpudlUnaryOp op, const GpudlAct *act, double x)
{
    switch (op) {
    case GPUDL_UNARY_ACTIVATION:
        return gpudl_activate(act, x);
    case GPUDL_UNARY_ELU:
        return x < 0 ? act->alpha * (exp(x) - 1) : x;
    case GPUDL_UNARY_ABS:
        return x < 0 ? -x : x;
    case GPUDL_UNARY_NEG:
        return -x;
    case GPUDL_UNARY_EXP:
        return exp(x);
    case GPUDL_UNARY_LOG:
        return log(x);
    case GPUDL_UNARY_SQRT:
        return sqrt(x);
    case GPUDL_UNARY_RECIPROCAL:
        return 1 / x;
    case GPUDL_UNARY_FLOOR:
        return floor(x);
    case GPUDL_UNARY_CEIL:
        return ceil(x);
    case GPUDL_UNARY_ROUND:
        return nearbyint(x);
    case GPUDL_UNARY_ERF:
        return erf(x);
    case GPUDL_UNARY_NOT:
        break;
    }
    g_assert_not_reached();
}

static void test_unary_random(void)
{
    guint number = 0;

    for (int op = GPUDL_UNARY_ACTIVATION; op < GPUDL_UNARY_NOT; op++) {
        for (int kind = GPUDL_ACT_NONE; kind <= GPUDL_ACT_LAST; kind++) {
            g_autoptr(CheckTensor) x = NULL, y = NULL;
            g_autofree double *expected = NULL;
            GpudlAct act;
            GpudlShape shape;
            gboolean positive = op == GPUDL_UNARY_LOG || op == GPUDL_UNARY_SQRT;

            check_case(number++, "unary %d activation %d", op, kind);
            act = (GpudlAct){(GpudlActKind)kind, (float)check_real(-1, 0.5), (float)check_real(0.5, 1)};
            shape = check_shape(0, 6, 4);
            if (shape.rank > 0 && kind % 3 == 0)
                shape.dims[0] = check_int(100, 300);
            x = check_tensor_random(check_float_type(), shape, positive ? 0 : -4, 4);
            y = check_tensor(x->view.dtype, shape);
            check_status(gpudl_unary_ref((GpudlUnaryOp)op, &act, &x->view, &y->view, NULL), GPUDL_KERNEL_OK);
            expected = g_new(double, check_elements(x));
            for (gint64 i = 0; i < check_elements(x); i++)
                expected[i] = define_unary((GpudlUnaryOp)op, &act, check_get(x, i));
            check_close(y, expected, op == GPUDL_UNARY_ELU ? 1e-15 : 0);
            check_status(gpudl_unary_ref((GpudlUnaryOp)op, &act, &x->view, &x->view, NULL), GPUDL_KERNEL_OK);
            check_close(x, expected, op == GPUDL_UNARY_ELU ? 1e-15 : 0);
        }
    }
}

#define N 5

static void assert_unary(GpudlUnaryOp op, const GpudlAct *act, const double x[N], const double expected[N])
{
    g_autoptr(CheckTensor) in = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(N), x);
    g_autoptr(CheckTensor) out = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(N));

    check_status(gpudl_unary_ref(op, act, &in->view, &out->view, NULL), GPUDL_KERNEL_OK);
    check_close(out, expected, 0);
}

static void test_unary_by_hand(void)
{
    const double v[N] = {-INFINITY, -2.5, 0, 1.5, INFINITY}, bad[N] = {NAN, -1, -0.0, 0x1p-149, 0};
    const struct {
        GpudlActKind kind;
        float alpha, beta;
        double expected[N];
    } activations[] = {
        {GPUDL_ACT_RELU, 0, 0, {0, 0, 0, 1.5, INFINITY}},
        {GPUDL_ACT_CLIP, -1, 1, {-1, -1, 0, 1, 1}},
        {GPUDL_ACT_CLIP, 3, 1, {1, 1, 1, 1, 1}}, /* low above high: high */
        {GPUDL_ACT_LEAKY_RELU, 0.5, 0, {-INFINITY, -1.25, 0, 1.5, INFINITY}},
        {GPUDL_ACT_SIGMOID, 0, 0, {0, 0.07585818002124355, 0.5, 0.8175744761936437, 1}},
        {GPUDL_ACT_HARD_SIGMOID, 0.2f, 0.5f, {0, 0, 0.5, 0.2f * 1.5 + 0.5, 1}},
        {GPUDL_ACT_TANH, 0, 0, {-1, -0.9866142981514303, 0, 0.9051482536448664, 1}},
        {GPUDL_ACT_GELU, 0, 0, {NAN, -0.015524163314440398, 0, 1.399789198096713, INFINITY}},
        {GPUDL_ACT_GELU_TANH, 0, 0, {NAN, -0.015084266089998577, 0, 1.3995715769802328, INFINITY}},
        {GPUDL_ACT_MISH, 0, 0, {NAN, -0.19681620390653315, 0, 1.4033782663958028, INFINITY}},
        {GPUDL_ACT_HARD_SWISH, 0, 0, {NAN, -2.5 * (0.5 - 2.5 / 6), 0, 1.125, INFINITY}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(activations); i++) {
        GpudlAct act = {activations[i].kind, activations[i].alpha, activations[i].beta};
        double expected[N];

        check_case(i, "activation %d", act.kind);
        for (int j = 0; j < N; j++)
            expected[j] = activations[i].expected[j];
        /* -infinity times 0, as the formula of types.h has it */
        assert_unary(GPUDL_UNARY_ACTIVATION, &act, v, expected);
    }
    check_case(20, "rounding halves to even, keeping the sign of zero");
    assert_unary(GPUDL_UNARY_ROUND, NULL, (double[]){0.5, 1.5, -0.5, -2.5, 0.49999997}, (double[]){0, 2, -0.0, -2, 0});
    assert_unary(GPUDL_UNARY_ROUND, NULL, (double[]){8388609, -1e30, NAN, INFINITY, -1.5},
                 (double[]){8388609, -1e30, NAN, INFINITY, -2});
    check_case(21, "NaN, negative, zeros, subnormal");
    assert_unary(GPUDL_UNARY_SQRT, NULL, bad, (double[]){NAN, NAN, 0, sqrt(0x1p-149), 0});
    assert_unary(GPUDL_UNARY_LOG, NULL, bad, (double[]){NAN, NAN, -INFINITY, log(0x1p-149), -INFINITY});
    assert_unary(GPUDL_UNARY_RECIPROCAL, NULL, bad, (double[]){NAN, -1, -INFINITY, INFINITY, INFINITY});
    assert_unary(GPUDL_UNARY_EXP, NULL, v, (double[]){0, exp(-2.5), 1, exp(1.5), INFINITY});
    assert_unary(GPUDL_UNARY_ELU, &elu_one, v, (double[]){-1, expm1(-2.5), 0, 1.5, INFINITY});
    assert_unary(GPUDL_UNARY_ACTIVATION, &elu_one, bad, bad);
}

static void test_unary_integers(void)
{
    const gint64 v[] = {-128, -1, 0, 1, 127};
    const struct {
        GpudlUnaryOp op;
        GpudlAct act;
        gint64 expected[N];
    } cases[] = {
        {GPUDL_UNARY_ABS, {0}, {-128, 1, 0, 1, 127}},
        {GPUDL_UNARY_NEG, {0}, {-128, 1, 0, -1, -127}},
        {GPUDL_UNARY_ACTIVATION, {GPUDL_ACT_RELU, 0, 0}, {0, 0, 0, 1, 127}},
        {GPUDL_UNARY_ACTIVATION, {GPUDL_ACT_CLIP, -1.5f, 100.5f}, {-1, -1, 0, 1, 100}},
    };
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_I8, CHECK_SHAPE(N));
    g_autoptr(CheckTensor) u64 = check_tensor(GPUDL_DTYPE_U64, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) flag = check_tensor_of(GPUDL_DTYPE_BOOL, CHECK_SHAPE(2), (double[]){0, 1});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_I8, CHECK_SHAPE(N));
    g_autoptr(CheckTensor) y64 = check_tensor(GPUDL_DTYPE_U64, CHECK_SHAPE(2));
    const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0}, clip = {GPUDL_ACT_CLIP, 5, INFINITY}, tanh = {GPUDL_ACT_TANH, 0, 0};

    for (int i = 0; i < N; i++)
        check_set_int(x, i, v[i]);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        check_case(i, "integers, operation %d", cases[i].op);
        check_status(gpudl_unary_ref(cases[i].op, &cases[i].act, &x->view, &y->view, NULL), GPUDL_KERNEL_OK);
        check_equal_int(y, cases[i].expected);
    }
    check_case(10, "uint64 above int64");
    check_set_int(u64, 0, -1);
    check_set_int(u64, 1, 3);
    check_status(gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, &relu, &u64->view, &y64->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(y64, (gint64[]){-1, 3});
    check_status(gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, &clip, &u64->view, &y64->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(y64, (gint64[]){-1, 5});
    check_status(gpudl_unary_ref(GPUDL_UNARY_ABS, NULL, &u64->view, &y64->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(y64, (gint64[]){-1, 3});
    check_case(11, "not");
    check_status(gpudl_unary_ref(GPUDL_UNARY_NOT, NULL, &flag->view, &flag->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(flag, (gint64[]){1, 0});
    check_case(12, "refused");
    check_status(gpudl_unary_ref(GPUDL_UNARY_NOT, NULL, &x->view, &y->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_unary_ref(GPUDL_UNARY_EXP, NULL, &x->view, &y->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_unary_ref(GPUDL_UNARY_NEG, NULL, &flag->view, &flag->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, &tanh, &x->view, &y->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_unary_ref(GPUDL_UNARY_ABS, NULL, &u64->view, &x->view, NULL), GPUDL_KERNEL_DTYPE);
}

/* ---- two inputs -------------------------------------------------------------------------------------------------- */

static double define_binary(GpudlBinaryOp op, double a, double b)
{
    switch (op) {
    case GPUDL_BINARY_ADD:
        return a + b;
    case GPUDL_BINARY_SUB:
        return a - b;
    case GPUDL_BINARY_MUL:
        return a * b;
    case GPUDL_BINARY_DIV:
        return a / b;
    case GPUDL_BINARY_POW:
        return pow(a, b);
    case GPUDL_BINARY_MIN:
        return isnan(a) || isnan(b) ? NAN : fmin(a, b);
    case GPUDL_BINARY_MAX:
        return isnan(a) || isnan(b) ? NAN : fmax(a, b);
    case GPUDL_BINARY_PRELU:
        return a < 0 ? a * b : a;
    case GPUDL_BINARY_MOD:
        return a - floor(a / b) * b;
    case GPUDL_BINARY_FMOD:
        return a - trunc(a / b) * b;
    case GPUDL_BINARY_EQUAL:
        return a == b;
    case GPUDL_BINARY_LESS:
        return a < b;
    case GPUDL_BINARY_LESS_OR_EQUAL:
        return a <= b;
    case GPUDL_BINARY_GREATER:
        return a > b;
    case GPUDL_BINARY_GREATER_OR_EQUAL:
        return a >= b;
    case GPUDL_BINARY_AND:
        return a != 0 && b != 0;
    case GPUDL_BINARY_OR:
        return a != 0 || b != 0;
    case GPUDL_BINARY_XOR:
        return (a != 0) != (b != 0);
    }
    g_assert_not_reached();
}

static void test_binary_random(void)
{
    for (guint number = 0; number < 600; number++) {
        g_autoptr(CheckTensor) a = NULL, b = NULL, y = NULL;
        g_autofree double *expected = NULL;
        GpudlShape shape, as, bs;
        GpudlBinaryOp op;
        GpudlDType in, out;
        GpudlAct act;

        check_case(number, "binary");
        op = (GpudlBinaryOp)check_int(0, GPUDL_BINARY_LAST);
        in = op >= GPUDL_BINARY_AND ? GPUDL_DTYPE_BOOL : check_float_type();
        out = op >= GPUDL_BINARY_EQUAL ? GPUDL_DTYPE_BOOL : in;
        act =
            (GpudlAct){op <= GPUDL_BINARY_FMOD && check_int(0, 2) == 0 ? GPUDL_ACT_CLIP : GPUDL_ACT_NONE, -0.5f, 0.5f};
        shape = check_shape(0, 6, 4);
        if (shape.rank > 0 && number % 10 == 0)
            shape.dims[shape.rank - 1] = check_int(250, 520);
        as = check_int(0, 1) ? check_narrowed(&shape) : shape;
        bs = check_int(0, 1) ? check_narrowed(&shape) : shape;
        check_note(" operation %d, %s, ranks %d %d -> %d", op, gpudl_dtype_name(in), as.rank, bs.rank, shape.rank);
        /* a power of a negative number is NaN by chance only */
        a = check_tensor_random(in, as, op == GPUDL_BINARY_POW ? 0 : -2, 2);
        b = check_tensor_random(in, bs, -2, 2);
        for (gint64 i = 0; op == GPUDL_BINARY_EQUAL && i < check_elements(a); i++)
            check_set(a, i, check_get(b, i % check_elements(b)));
        y = check_tensor(out, shape);
        check_status(gpudl_binary_ref(op, &act, &a->view, &b->view, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(double, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++)
            expected[i] = gpudl_activate(&act, define_binary(op, check_get(a, check_broadcast(&shape, i, &as)),
                                                             check_get(b, check_broadcast(&shape, i, &bs))));
        check_close(y, expected, op == GPUDL_BINARY_MOD || op == GPUDL_BINARY_FMOD ? 1e-14 : 0);
    }
}

/** Integers in 128 bits, wrapped by the comparison. */
static gint64 define_integer(GpudlBinaryOp op, GpudlDType dtype, gint64 ia, gint64 ib)
{
    __int128 a = dtype == GPUDL_DTYPE_U64 ? (__int128)(guint64)ia : ia;
    __int128 b = dtype == GPUDL_DTYPE_U64 ? (__int128)(guint64)ib : ib;

    switch (op) {
    case GPUDL_BINARY_ADD:
        return (gint64)(a + b);
    case GPUDL_BINARY_SUB:
        return (gint64)(a - b);
    case GPUDL_BINARY_MUL:
        return (gint64)(guint64)((unsigned __int128)a * (unsigned __int128)b);
    case GPUDL_BINARY_DIV:
        return (gint64)(a / b);
    case GPUDL_BINARY_MIN:
        return (gint64)(a < b ? a : b);
    case GPUDL_BINARY_MAX:
        return (gint64)(a > b ? a : b);
    case GPUDL_BINARY_PRELU:
        return a < 0 ? (gint64)(guint64)((unsigned __int128)a * (unsigned __int128)b) : (gint64)a;
    case GPUDL_BINARY_MOD:
        return (gint64)(((a % b) + b) % b);
    case GPUDL_BINARY_FMOD:
        return (gint64)(a % b);
    case GPUDL_BINARY_EQUAL:
        return a == b;
    case GPUDL_BINARY_LESS:
        return a < b;
    case GPUDL_BINARY_LESS_OR_EQUAL:
        return a <= b;
    case GPUDL_BINARY_GREATER:
        return a > b;
    default:
        return a >= b;
    }
}

static void test_binary_integers_random(void)
{
    for (guint number = 0; number < 600; number++) {
        g_autoptr(CheckTensor) a = NULL, b = NULL, y = NULL;
        g_autofree gint64 *expected = NULL;
        GpudlShape shape;
        GpudlBinaryOp op;
        GpudlDType dtype;

        check_case(number, "integers");
        do
            op = (GpudlBinaryOp)check_int(0, GPUDL_BINARY_GREATER_OR_EQUAL);
        while (op == GPUDL_BINARY_POW);
        dtype = check_integer_type();
        check_note(", operation %d, %s", op, gpudl_dtype_name(dtype));
        shape = check_shape(0, 4, 6);
        a = check_tensor_random(dtype, shape, 0, 0);
        b = check_tensor_random(dtype, shape, 0, 0);
        for (gint64 i = 0; i < check_elements(a); i++) {
            if (check_int(0, 2) == 0)
                check_set_int(a, i, (gint64)check_bits()); /* all 64 bits */
            if (check_int(0, 2) == 0)
                check_set_int(b, i, check_int(-3, 3));
            if (check_get_int(b, i) == 0)
                check_set_int(b, i, 1);
        }
        y = check_tensor(op >= GPUDL_BINARY_EQUAL ? GPUDL_DTYPE_BOOL : dtype, shape);
        check_status(gpudl_binary_ref(op, NULL, &a->view, &b->view, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(gint64, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++)
            expected[i] = define_integer(op, dtype, check_get_int(a, i), check_get_int(b, i));
        check_equal_int(y, expected);
    }
}

static int run_integers(GpudlBinaryOp op, GpudlDType ta, gint64 a, GpudlDType tb, gint64 b, gint64 *y)
{
    g_autoptr(CheckTensor) va = check_tensor(ta, CHECK_SCALAR), vb = check_tensor(tb, CHECK_SCALAR),
                           vy = check_tensor(ta, CHECK_SCALAR);
    int status;

    check_set_int(va, 0, a);
    if (tb == GPUDL_DTYPE_F32)
        check_set(vb, 0, (double)b / 2);
    else
        check_set_int(vb, 0, b);
    status = gpudl_binary_ref(op, NULL, &va->view, &vb->view, &vy->view, NULL);
    *y = check_get_int(vy, 0);
    return status;
}

static void test_integer_corners(void)
{
    const GpudlDType i32 = GPUDL_DTYPE_I32, i64 = GPUDL_DTYPE_I64, u64 = GPUDL_DTYPE_U64, f32 = GPUDL_DTYPE_F32;
    const struct {
        GpudlBinaryOp op;
        GpudlDType ta;
        gint64 a;
        GpudlDType tb;
        gint64 b;
        int status;
        gint64 y;
    } cases[] = {
        {GPUDL_BINARY_DIV, i64, 7, i64, 0, GPUDL_KERNEL_DIVIDE, 0},
        {GPUDL_BINARY_MOD, i64, 7, i64, 0, GPUDL_KERNEL_DIVIDE, 0},
        {GPUDL_BINARY_FMOD, u64, 7, u64, 0, GPUDL_KERNEL_DIVIDE, 0},
        {GPUDL_BINARY_DIV, i64, G_MININT64, i64, -1, 0, G_MININT64},
        {GPUDL_BINARY_DIV, i32, G_MININT32, i32, -1, 0, G_MININT32},
        {GPUDL_BINARY_MOD, i64, G_MININT64, i64, -1, 0, 0},
        {GPUDL_BINARY_DIV, i64, -7, i64, 2, 0, -3},
        {GPUDL_BINARY_MOD, i64, -7, i64, 2, 0, 1},
        {GPUDL_BINARY_MOD, i64, 7, i64, -2, 0, -1},
        {GPUDL_BINARY_FMOD, i64, -7, i64, 2, 0, -1},
        {GPUDL_BINARY_DIV, u64, -1, u64, 2, 0, G_MAXINT64},
        {GPUDL_BINARY_POW, i64, 3, i64, 39, 0, G_GINT64_CONSTANT(4052555153018976267)},
        {GPUDL_BINARY_POW, i64, 2, i64, 64, 0, 0},
        {GPUDL_BINARY_POW, i32, -2, i64, 31, 0, G_MININT32},
        {GPUDL_BINARY_POW, i64, 0, i64, 0, 0, 1},
        {GPUDL_BINARY_POW, i64, 0, i64, -1, GPUDL_KERNEL_DIVIDE, 0},
        {GPUDL_BINARY_POW, i64, -1, i64, -3, 0, -1},
        {GPUDL_BINARY_POW, i64, -1, i64, -2, 0, 1},
        {GPUDL_BINARY_POW, i64, 5, i64, -2, 0, 0},
        {GPUDL_BINARY_POW, i32, 9, f32, 1, 0, 3},  /* exponent 0.5 */
        {GPUDL_BINARY_POW, i32, 10, f32, 3, 0, 31} /* exponent 1.5: 31.6 truncated */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        gint64 y;

        check_case(i, "corner");
        check_status(run_integers(cases[i].op, cases[i].ta, cases[i].a, cases[i].tb, cases[i].b, &y), cases[i].status);
        if (cases[i].status == GPUDL_KERNEL_OK && y != cases[i].y)
            check_fail("found %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT, y, cases[i].y);
    }
}

static void test_binary_extremes(void)
{
    const double av[] = {NAN, 1, INFINITY, 0, 3e38}, bv[] = {1, NAN, -INFINITY, 0, 3e38};
    g_autoptr(CheckTensor) a = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(N), av);
    g_autoptr(CheckTensor) b = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(N), bv);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(N));
    g_autoptr(CheckTensor) flags = check_tensor(GPUDL_DTYPE_BOOL, CHECK_SHAPE(N));
    const struct {
        GpudlBinaryOp op;
        double expected[N];
    } cases[] = {
        {GPUDL_BINARY_ADD, {NAN, NAN, NAN, 0, INFINITY}},
        {GPUDL_BINARY_DIV, {NAN, NAN, NAN, NAN, 1}},
        {GPUDL_BINARY_MIN, {NAN, NAN, -INFINITY, 0, 3e38f}},
        {GPUDL_BINARY_MAX, {NAN, NAN, INFINITY, 0, 3e38f}},
        {GPUDL_BINARY_FMOD, {NAN, NAN, NAN, NAN, 0}},
        {GPUDL_BINARY_POW, {NAN, 1, 0, 1, INFINITY}},
        {GPUDL_BINARY_EQUAL, {0, 0, 0, 1, 1}},
        {GPUDL_BINARY_LESS_OR_EQUAL, {0, 0, 0, 1, 1}},
        {GPUDL_BINARY_GREATER, {0, 0, 1, 0, 0}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        CheckTensor *out = cases[i].op >= GPUDL_BINARY_EQUAL ? flags : y;

        check_case(i, "extremes, operation %d", cases[i].op);
        check_status(gpudl_binary_ref(cases[i].op, NULL, &a->view, &b->view, &out->view, NULL), GPUDL_KERNEL_OK);
        check_close(out, cases[i].expected, 0);
    }
}

static void test_binary_refuses(void)
{
    g_autoptr(CheckTensor) f = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) f4 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(4));
    g_autoptr(CheckTensor) f3 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3));
    g_autoptr(CheckTensor) half = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) i = check_tensor(GPUDL_DTYPE_I32, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) none = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 0));
    g_autoptr(CheckTensor) one = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 1));
    const GpudlAct sigmoid = {GPUDL_ACT_SIGMOID, 0, 0};

    check_case(0, "refused");
    check_status(gpudl_binary_ref(GPUDL_BINARY_ADD, NULL, &f->view, &half->view, &f->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_binary_ref(GPUDL_BINARY_AND, NULL, &i->view, &i->view, &i->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_binary_ref(GPUDL_BINARY_LESS, NULL, &i->view, &i->view, &i->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_binary_ref(GPUDL_BINARY_ADD, &sigmoid, &i->view, &i->view, &i->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_binary_ref(GPUDL_BINARY_ADD, NULL, &f->view, &f4->view, &f->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_binary_ref(GPUDL_BINARY_ADD, NULL, &f->view, &f3->view, &f3->view, NULL), GPUDL_KERNEL_SHAPE);
    check_case(1, "empty, and one broadcast onto nothing");
    check_status(gpudl_binary_ref(GPUDL_BINARY_ADD, NULL, &none->view, &one->view, &none->view, NULL), GPUDL_KERNEL_OK);
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

static void test_where_random(void)
{
    for (guint number = 0; number < 150; number++) {
        g_autoptr(CheckTensor) c = NULL, a = NULL, b = NULL, y = NULL;
        g_autofree gint64 *expected = NULL;
        GpudlShape shape, cs, as, bs;
        GpudlDType dtype;

        check_case(number, "where");
        dtype = check_int(0, 4) ? check_integer_type() : GPUDL_DTYPE_BOOL;
        shape = check_shape(0, 6, 4);
        cs = check_narrowed(&shape);
        as = check_narrowed(&shape);
        bs = check_int(0, 1) ? check_narrowed(&shape) : shape;
        check_note(", %s ranks %d %d %d -> %d", gpudl_dtype_name(dtype), cs.rank, as.rank, bs.rank, shape.rank);
        c = check_tensor_random(GPUDL_DTYPE_BOOL, cs, 0, 0);
        a = check_tensor_random(dtype, as, 0, 0);
        b = check_tensor_random(dtype, bs, 0, 0);
        y = check_tensor(dtype, shape);
        check_status(gpudl_where_ref(&c->view, &a->view, &b->view, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(gint64, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++)
            expected[i] = check_get_int(c, check_broadcast(&shape, i, &cs))
                              ? check_get_int(a, check_broadcast(&shape, i, &as))
                              : check_get_int(b, check_broadcast(&shape, i, &bs));
        check_equal_int(y, expected);
    }
}

static void test_where_refuses(void)
{
    g_autoptr(CheckTensor) c = check_tensor(GPUDL_DTYPE_BOOL, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) f = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) i = check_tensor(GPUDL_DTYPE_I32, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) f3 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3));

    check_case(0, "refused");
    check_status(gpudl_where_ref(&i->view, &f->view, &f->view, &f->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_where_ref(&c->view, &f->view, &i->view, &f->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_where_ref(&c->view, &f->view, &f->view, &f3->view, NULL), GPUDL_KERNEL_SHAPE);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/elementwise/unary/by-hand", test_unary_by_hand);
    g_test_add_func("/elementwise/unary/integers", test_unary_integers);
    g_test_add_func("/elementwise/unary/random", test_unary_random);
    g_test_add_func("/elementwise/binary/extremes", test_binary_extremes);
    g_test_add_func("/elementwise/binary/refuses", test_binary_refuses);
    g_test_add_func("/elementwise/binary/integer-corners", test_integer_corners);
    g_test_add_func("/elementwise/binary/random", test_binary_random);
    g_test_add_func("/elementwise/binary/integers-random", test_binary_integers_random);
    g_test_add_func("/elementwise/where/random", test_where_random);
    g_test_add_func("/elementwise/where/refuses", test_where_refuses);
    return g_test_run();
}
