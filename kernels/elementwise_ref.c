/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elementwise.h"

#include <math.h>
#include <string.h>

#include "ref_common.h"

/* ---- one input --------------------------------------------------------------------------------------------------- */

/* nearbyint() would follow the process's rounding mode */
static double round_even(double x)
{
    double down = floor(x), rest = x - down;

    if (rest > 0.5 || (rest == 0.5 && fmod(down, 2) != 0))
        return copysign(down + 1, x);
    return copysign(down, x);
}

typedef void (*UnaryBlock)(const GpudlAct *act, double *v, int64_t n);
typedef void (*UnaryIntegerBlock)(int64_t *v, int64_t n);

#define UNARY(name, expression)                                                                                        \
    static void name(const GpudlAct *act, double *v, int64_t n)                                                        \
    {                                                                                                                  \
        (void)act;                                                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            double x = v[i];                                                                                           \
            v[i] = (expression);                                                                                       \
        }                                                                                                              \
    }
UNARY(elu, x < 0 ? act->alpha * expm1(x) : x)
UNARY(abs_f64, fabs(x))
UNARY(neg_f64, -x)
UNARY(exp_f64, exp(x))
UNARY(log_f64, log(x))
UNARY(sqrt_f64, sqrt(x))
UNARY(reciprocal_f64, 1 / x)
UNARY(floor_f64, floor(x))
UNARY(ceil_f64, ceil(x))
UNARY(round_f64, round_even(x))
UNARY(erf_f64, erf(x))
#undef UNARY

static void abs_i64(int64_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = v[i] < 0 ? (int64_t)(0 - (uint64_t)v[i]) : v[i];
}

static void neg_i64(int64_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (int64_t)(0 - (uint64_t)v[i]);
}

static void not_i64(int64_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = !v[i];
}

static const struct {
    UnaryBlock f64;
    UnaryIntegerBlock i64;
} unary[GPUDL_UNARY_LAST + 1] = {
    [GPUDL_UNARY_ACTIVATION] = {gpudl_ref_activate_f64, NULL},
    [GPUDL_UNARY_ELU] = {elu, NULL},
    [GPUDL_UNARY_ABS] = {abs_f64, abs_i64},
    [GPUDL_UNARY_NEG] = {neg_f64, neg_i64},
    [GPUDL_UNARY_EXP] = {exp_f64, NULL},
    [GPUDL_UNARY_LOG] = {log_f64, NULL},
    [GPUDL_UNARY_SQRT] = {sqrt_f64, NULL},
    [GPUDL_UNARY_RECIPROCAL] = {reciprocal_f64, NULL},
    [GPUDL_UNARY_FLOOR] = {floor_f64, NULL},
    [GPUDL_UNARY_CEIL] = {ceil_f64, NULL},
    [GPUDL_UNARY_ROUND] = {round_f64, NULL},
    [GPUDL_UNARY_ERF] = {erf_f64, NULL},
    [GPUDL_UNARY_NOT] = {NULL, not_i64},
};

static int unary_takes(GpudlUnaryOp op, const GpudlAct *act, GpudlDType dtype)
{
    if ((unsigned)op > GPUDL_UNARY_LAST)
        return 0;
    if (gpudl_ref_is_float(dtype))
        return unary[op].f64 != NULL;
    if (!gpudl_ref_is_integer(dtype))
        return 0;
    if (op == GPUDL_UNARY_ACTIVATION)
        return gpudl_ref_act_takes_integers(act);
    return unary[op].i64 != NULL && (op == GPUDL_UNARY_NOT) == (dtype == GPUDL_DTYPE_BOOL);
}

static void unary_integers(GpudlUnaryOp op, const GpudlAct *act, GpudlDType dtype, int64_t *v, int64_t n)
{
    if (op == GPUDL_UNARY_ACTIVATION)
        gpudl_ref_activate_i64(act, dtype, v, n);
    else if (op != GPUDL_UNARY_ABS || dtype != GPUDL_DTYPE_U64)
        unary[op].i64(v, n);
}

int gpudl_unary_ref(GpudlUnaryOp op, const GpudlAct *act, const GpudlTensorView *x, const GpudlTensorView *y,
                    GpudlKernelStream stream)
{
    int64_t total = gpudl_shape_elements(&x->shape);

    (void)stream;
    if (x->dtype != y->dtype || !unary_takes(op, act, x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (total < 0 || !gpudl_shape_equal(&x->shape, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    for (int64_t i = 0; i < total; i += GPUDL_REF_BLOCK) {
        int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, total - i);

        if (gpudl_ref_is_float(x->dtype)) {
            double v[GPUDL_REF_BLOCK];

            gpudl_ref_load_f64(x->dtype, x->data, i, 1, n, v);
            unary[op].f64(act, v, n);
            gpudl_ref_store_f64(y->dtype, y->data, i, 1, n, v);
        } else {
            int64_t v[GPUDL_REF_BLOCK];

            gpudl_ref_load_i64(x->dtype, x->data, i, 1, n, v);
            unary_integers(op, act, x->dtype, v, n);
            gpudl_ref_store_i64(y->dtype, y->data, i, 1, n, v);
        }
    }
    return GPUDL_KERNEL_OK;
}

/* ---- two inputs, float ------------------------------------------------------------------------------------------- */

static double python_mod(double a, double b)
{
    double rest = fmod(a, b);

    if (rest != 0 && (rest < 0) != (b < 0))
        return rest + b;
    return rest == 0 ? copysign(rest, b) : rest;
}

typedef void (*BinaryBlock)(const double *a, const double *b, double *y, int64_t n);

#define BINARY(name, expression)                                                                                       \
    static void name(const double *a, const double *b, double *y, int64_t n)                                           \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i] = (expression);                                                                                       \
    }
BINARY(add_f64, a[i] + b[i])
BINARY(sub_f64, a[i] - b[i])
BINARY(mul_f64, a[i] * b[i])
BINARY(div_f64, a[i] / b[i])
BINARY(pow_f64, pow(a[i], b[i]))
/* a NaN in a falls through to a; one in b makes the comparison's second half choose b */
BINARY(min_f64, b[i] < a[i] || isnan(b[i]) ? b[i] : a[i])
BINARY(max_f64, b[i] > a[i] || isnan(b[i]) ? b[i] : a[i])
BINARY(prelu_f64, a[i] < 0 ? a[i] * b[i] : a[i])
BINARY(mod_f64, python_mod(a[i], b[i]))
BINARY(fmod_f64, fmod(a[i], b[i]))
BINARY(equal_f64, a[i] == b[i])
BINARY(less_f64, a[i] < b[i])
BINARY(less_equal_f64, a[i] <= b[i])
BINARY(greater_f64, a[i] > b[i])
BINARY(greater_equal_f64, a[i] >= b[i])
#undef BINARY

/* ---- two inputs, integer ----------------------------------------------------------------------------------------- */

typedef int (*BinaryIntegerBlock)(const int64_t *a, const int64_t *b, int64_t *y, int64_t n);

static int div_one(int64_t a, int64_t b, int64_t *y)
{
    if (b == 0)
        return GPUDL_KERNEL_DIVIDE;
    *y = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
    return GPUDL_KERNEL_OK;
}

static int fmod_one(int64_t a, int64_t b, int64_t *y)
{
    if (b == 0)
        return GPUDL_KERNEL_DIVIDE;
    *y = b == -1 ? 0 : a % b;
    return GPUDL_KERNEL_OK;
}

static int mod_one(int64_t a, int64_t b, int64_t *y)
{
    int status = fmod_one(a, b, y);

    if (status == GPUDL_KERNEL_OK && *y != 0 && (*y < 0) != (b < 0))
        *y += b;
    return status;
}

static int udiv_one(int64_t a, int64_t b, int64_t *y)
{
    if (b == 0)
        return GPUDL_KERNEL_DIVIDE;
    *y = (int64_t)((uint64_t)a / (uint64_t)b);
    return GPUDL_KERNEL_OK;
}

static int umod_one(int64_t a, int64_t b, int64_t *y)
{
    if (b == 0)
        return GPUDL_KERNEL_DIVIDE;
    *y = (int64_t)((uint64_t)a % (uint64_t)b);
    return GPUDL_KERNEL_OK;
}

static int upow_one(int64_t a, int64_t b, int64_t *y)
{
    uint64_t base = (uint64_t)a, exponent = (uint64_t)b, result = 1;

    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1)
            result *= base;
    *y = (int64_t)result;
    return GPUDL_KERNEL_OK;
}

static int pow_one(int64_t a, int64_t b, int64_t *y)
{
    if (b >= 0)
        return upow_one(a, b, y);
    if (a == 0)
        return GPUDL_KERNEL_DIVIDE;
    *y = a == 1 || (a == -1 && b % 2 == 0) ? 1 : a == -1 ? -1 : 0;
    return GPUDL_KERNEL_OK;
}

#define INTEGER(name, call)                                                                                            \
    static int name(const int64_t *a, const int64_t *b, int64_t *y, int64_t n)                                         \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            int status = (call);                                                                                       \
            if (status != GPUDL_KERNEL_OK)                                                                             \
                return status;                                                                                         \
        }                                                                                                              \
        return GPUDL_KERNEL_OK;                                                                                        \
    }
#define SIMPLE(name, type, expression)                                                                                 \
    static int name(const int64_t *va, const int64_t *vb, int64_t *y, int64_t n)                                       \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            type a = (type)va[i], b = (type)vb[i];                                                                     \
            y[i] = (int64_t)(expression);                                                                              \
        }                                                                                                              \
        return GPUDL_KERNEL_OK;                                                                                        \
    }
INTEGER(div_i64, div_one(a[i], b[i], &y[i]))
INTEGER(mod_i64, mod_one(a[i], b[i], &y[i]))
INTEGER(fmod_i64, fmod_one(a[i], b[i], &y[i]))
INTEGER(pow_i64, pow_one(a[i], b[i], &y[i]))
INTEGER(div_u64, udiv_one(a[i], b[i], &y[i]))
INTEGER(mod_u64, umod_one(a[i], b[i], &y[i]))
INTEGER(pow_u64, upow_one(a[i], b[i], &y[i]))
SIMPLE(add_i64, uint64_t, a + b)
SIMPLE(sub_i64, uint64_t, a - b)
SIMPLE(mul_i64, uint64_t, a *b)
SIMPLE(min_i64, int64_t, b < a ? b : a)
SIMPLE(max_i64, int64_t, b > a ? b : a)
SIMPLE(prelu_i64, int64_t, a < 0 ? gpudl_ref_wrap_mul(a, b) : a)
SIMPLE(equal_i64, int64_t, a == b)
SIMPLE(less_i64, int64_t, a < b)
SIMPLE(less_equal_i64, int64_t, a <= b)
SIMPLE(greater_i64, int64_t, a > b)
SIMPLE(greater_equal_i64, int64_t, a >= b)
SIMPLE(and_i64, int64_t, a &b)
SIMPLE(or_i64, int64_t, a | b)
SIMPLE(xor_i64, int64_t, a ^ b)
SIMPLE(min_u64, uint64_t, b < a ? b : a)
SIMPLE(max_u64, uint64_t, b > a ? b : a)
SIMPLE(prelu_u64, uint64_t, ((void)b, a))
SIMPLE(less_u64, uint64_t, a < b)
SIMPLE(less_equal_u64, uint64_t, a <= b)
SIMPLE(greater_u64, uint64_t, a > b)
SIMPLE(greater_equal_u64, uint64_t, a >= b)
#undef SIMPLE
#undef INTEGER

static const struct {
    BinaryBlock f64;
    BinaryIntegerBlock i64;
    BinaryIntegerBlock u64; /* NULL: i64's bits are right for uint64 too */
} binary[GPUDL_BINARY_LAST + 1] = {
    [GPUDL_BINARY_ADD] = {add_f64, add_i64, NULL},
    [GPUDL_BINARY_SUB] = {sub_f64, sub_i64, NULL},
    [GPUDL_BINARY_MUL] = {mul_f64, mul_i64, NULL},
    [GPUDL_BINARY_DIV] = {div_f64, div_i64, div_u64},
    [GPUDL_BINARY_POW] = {pow_f64, pow_i64, pow_u64},
    [GPUDL_BINARY_MIN] = {min_f64, min_i64, min_u64},
    [GPUDL_BINARY_MAX] = {max_f64, max_i64, max_u64},
    [GPUDL_BINARY_PRELU] = {prelu_f64, prelu_i64, prelu_u64},
    [GPUDL_BINARY_MOD] = {mod_f64, mod_i64, mod_u64},
    [GPUDL_BINARY_FMOD] = {fmod_f64, fmod_i64, mod_u64},
    [GPUDL_BINARY_EQUAL] = {equal_f64, equal_i64, NULL},
    [GPUDL_BINARY_LESS] = {less_f64, less_i64, less_u64},
    [GPUDL_BINARY_LESS_OR_EQUAL] = {less_equal_f64, less_equal_i64, less_equal_u64},
    [GPUDL_BINARY_GREATER] = {greater_f64, greater_i64, greater_u64},
    [GPUDL_BINARY_GREATER_OR_EQUAL] = {greater_equal_f64, greater_equal_i64, greater_equal_u64},
    [GPUDL_BINARY_AND] = {NULL, and_i64, NULL},
    [GPUDL_BINARY_OR] = {NULL, or_i64, NULL},
    [GPUDL_BINARY_XOR] = {NULL, xor_i64, NULL},
};

/* ---- two inputs -------------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlBinaryOp op;
    const GpudlAct *act;
    const GpudlTensorView *a, *b, *y;
    int in_double;
} Binary;

static int binary_takes(const Binary *p)
{
    const GpudlDType a = p->a->dtype, b = p->b->dtype, y = p->y->dtype;

    if ((unsigned)p->op > GPUDL_BINARY_LAST || !gpudl_dtype_size(a) || !gpudl_dtype_size(b))
        return 0;
    if (p->op >= GPUDL_BINARY_AND)
        return a == GPUDL_DTYPE_BOOL && b == a && y == a;
    if (p->op >= GPUDL_BINARY_EQUAL)
        return a == b && y == GPUDL_DTYPE_BOOL;
    if (p->act && !gpudl_ref_is_float(y) && !gpudl_ref_act_takes_integers(p->act))
        return 0;
    return a == y && (a == b || p->op == GPUDL_BINARY_POW);
}

static int binary_block(const Binary *p, int64_t ia, int64_t sa, int64_t ib, int64_t sb, int64_t iy, int64_t n)
{
    const GpudlDType out = p->y->dtype;
    const int activate = p->act && p->op < GPUDL_BINARY_EQUAL;

    if (p->in_double) {
        double a[GPUDL_REF_BLOCK], b[GPUDL_REF_BLOCK], y[GPUDL_REF_BLOCK];

        gpudl_ref_load_f64(p->a->dtype, p->a->data, ia, sa, n, a);
        gpudl_ref_load_f64(p->b->dtype, p->b->data, ib, sb, n, b);
        binary[p->op].f64(a, b, y, n);
        if (activate)
            gpudl_ref_activate_f64(p->act, y, n);
        gpudl_ref_store_f64(out, p->y->data, iy, 1, n, y);
    } else {
        int64_t a[GPUDL_REF_BLOCK], b[GPUDL_REF_BLOCK], y[GPUDL_REF_BLOCK];
        /* of a power, the exponent's sign alone matters */
        GpudlDType signedness = p->op == GPUDL_BINARY_POW ? p->b->dtype : p->a->dtype;
        int unsigned64 = signedness == GPUDL_DTYPE_U64 && binary[p->op].u64;
        int status;

        gpudl_ref_load_i64(p->a->dtype, p->a->data, ia, sa, n, a);
        gpudl_ref_load_i64(p->b->dtype, p->b->data, ib, sb, n, b);
        status = (unsigned64 ? binary[p->op].u64 : binary[p->op].i64)(a, b, y, n);
        if (status != GPUDL_KERNEL_OK)
            return status;
        if (activate)
            gpudl_ref_activate_i64(p->act, out, y, n);
        gpudl_ref_store_i64(out, p->y->data, iy, 1, n, y);
    }
    return GPUDL_KERNEL_OK;
}

int gpudl_binary_ref(GpudlBinaryOp op, const GpudlAct *act, const GpudlTensorView *a, const GpudlTensorView *b,
                     const GpudlTensorView *y, GpudlKernelStream stream)
{
    Binary p = {op, act, a, b, y, gpudl_ref_is_float(a->dtype) || gpudl_ref_is_float(b->dtype)};
    GpudlWalk w;
    int last;

    (void)stream;
    if (!binary_takes(&p))
        return GPUDL_KERNEL_DTYPE;
    if (gpudl_walk_begin(&w, &y->shape, 3) < 0 || gpudl_walk_broadcast(&w, 0, &a->shape) < 0 ||
        gpudl_walk_broadcast(&w, 1, &b->shape) < 0)
        return GPUDL_KERNEL_SHAPE;
    gpudl_walk_dense(&w, 2);
    gpudl_walk_merge(&w);
    if (w.elements == 0)
        return GPUDL_KERNEL_OK;
    last = w.rank - 1;
    do {
        for (int64_t i = 0; i < w.dims[last]; i += GPUDL_REF_BLOCK) {
            int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, w.dims[last] - i);
            int status = binary_block(&p, w.offset[0] + i * w.strides[0][last], w.strides[0][last],
                                      w.offset[1] + i * w.strides[1][last], w.strides[1][last], w.offset[2] + i, n);

            if (status != GPUDL_KERNEL_OK)
                return status;
        }
    } while (gpudl_walk_next(&w));
    return GPUDL_KERNEL_OK;
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

int gpudl_where_ref(const GpudlTensorView *condition, const GpudlTensorView *a, const GpudlTensorView *b,
                    const GpudlTensorView *y, GpudlKernelStream stream)
{
    const int64_t size = (int64_t)gpudl_dtype_size(y->dtype);
    const char *choice = condition->data;
    char *out = y->data;
    GpudlWalk w;
    int last;

    (void)stream;
    if (condition->dtype != GPUDL_DTYPE_BOOL || a->dtype != y->dtype || b->dtype != y->dtype || size == 0)
        return GPUDL_KERNEL_DTYPE;
    if (gpudl_walk_begin(&w, &y->shape, 4) < 0 || gpudl_walk_broadcast(&w, 0, &condition->shape) < 0 ||
        gpudl_walk_broadcast(&w, 1, &a->shape) < 0 || gpudl_walk_broadcast(&w, 2, &b->shape) < 0)
        return GPUDL_KERNEL_SHAPE;
    gpudl_walk_dense(&w, 3);
    gpudl_walk_merge(&w);
    if (w.elements == 0)
        return GPUDL_KERNEL_OK;
    last = w.rank - 1;
    do {
        for (int64_t i = 0; i < w.dims[last]; i++) {
            int from = choice[w.offset[0] + i * w.strides[0][last]] ? 1 : 2;
            const char *in = from == 1 ? a->data : b->data;

            memcpy(out + (w.offset[3] + i) * size, in + (w.offset[from] + i * w.strides[from][last]) * size,
                   (size_t)size);
        }
    } while (gpudl_walk_next(&w));
    return GPUDL_KERNEL_OK;
}
