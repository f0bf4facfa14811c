/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element-wise kernels against the references in double, of the same values, in layouts of all kinds. */
#include <math.h>
#include <string.h>

#include "kernels/elementwise_cuda.h"
#include "tests/kernels/device.h"

#define MOST_OPERANDS 5

/* Operand 0 is the result. Strides are in elements; n is how many elements its memory has. */
typedef struct {
    GpudlShape shape;
    int n_operands;
    GpudlStrided operands[MOST_OPERANDS];
    void *host[MOST_OPERANDS];
    int64_t n[MOST_OPERANDS];
} Problem;

static int64_t place(const Problem *p, int operand, int64_t element)
{
    int64_t at = 0;

    for (int d = p->shape.rank - 1; d >= 0; d--) {
        at += element % p->shape.dims[d] * p->operands[operand].strides[d];
        element /= p->shape.dims[d];
    }
    return at;
}

static int64_t random_extent(void)
{
    static const int64_t usual[] = {1, 2, 3, 7, 8, 9, 16, 24, 31, 32, 33, 40, 64};

    return usual[device_int(0, (int64_t)(sizeof(usual) / sizeof(*usual)) - 1)];
}

/* A layout: the dimensions in any order, gaps between them; some repeated where it is no result. */
static void random_layout(Problem *p, int operand)
{
    GpudlStrided *o = &p->operands[operand];
    const int repeats = operand > 0 && device_int(0, 2) == 0, gaps = device_int(0, 2) == 0;
    int order[GPUDL_MAX_RANK];
    int64_t stride = 1;

    for (int d = 0; d < p->shape.rank; d++)
        order[d] = d;
    /* channels last, or any order, or as it stands */
    if (device_int(0, 1) && p->shape.rank >= 3) {
        for (int d = 1; d < p->shape.rank - 1; d++)
            order[d] = d + 1;
        order[p->shape.rank - 1] = 1;
    } else if (device_int(0, 3) == 0) {
        for (int d = p->shape.rank - 1; d > 0; d--) {
            const int e = (int)device_int(0, d), swap = order[d];

            order[d] = order[e];
            order[e] = swap;
        }
    }
    for (int i = p->shape.rank - 1; i >= 0; i--) {
        const int d = order[i];

        o->strides[d] = stride;
        if (repeats && device_int(0, 1))
            o->strides[d] = 0;
        else
            stride *= p->shape.dims[d];
        if (gaps)
            stride += device_int(0, 1) ? 8 * device_int(0, 2) : device_int(0, 3);
    }
    p->n[operand] = 1;
    for (int d = 0; d < p->shape.rank; d++)
        p->n[operand] += (p->shape.dims[d] - 1) * o->strides[d];
}

static int extremes; /* some of the values are no numbers, or too large for one of the types */

static void random_problem(Problem *p, int n_operands, double low, double high)
{
    p->n_operands = n_operands;
    do {
        p->shape = (GpudlShape){.rank = (int32_t)device_int(0, 5)};
        for (int d = 0; d < p->shape.rank; d++)
            p->shape.dims[d] = random_extent();
    } while (gpudl_shape_elements(&p->shape) > 60000);
    for (int i = 0; i < n_operands; i++) {
        GpudlStrided *o = &p->operands[i];
        const size_t offset = device_int(0, 5) == 0 ? 1 : 0;
        size_t bytes;

        o->dtype = device_float_type();
        random_layout(p, i);
        bytes = (size_t)p->n[i] * gpudl_dtype_size(o->dtype);
        device_note(" %s", gpudl_dtype_name(o->dtype));
        for (int d = 0; d < p->shape.rank; d++)
            device_note("%s%d:%d", d == 0 ? " " : "x", (int)p->shape.dims[d], (int)o->strides[d]);
        if (i == 0) {
            o->data = device_output(bytes, offset * gpudl_dtype_size(o->dtype));
            continue;
        }
        p->host[i] = device_host(bytes);
        for (int64_t k = 0; k < p->n[i]; k++) {
            static const double odd[] = {NAN, INFINITY, -INFINITY, 65504, 1e5, -0.};
            const double v = extremes && device_int(0, 9) == 0 ? odd[device_int(0, 5)] : device_real(low, high);

            device_set(o->dtype, p->host[i], k, v);
        }
        o->data = device_input(p->host[i], bytes, offset * gpudl_dtype_size(o->dtype));
    }
}

/* An operand as the reference takes it: dense, in double. */
static GpudlTensorView dense(const Problem *p, int operand)
{
    const int64_t n = gpudl_shape_elements(&p->shape);
    double *to = device_host((size_t)n * sizeof(*to) + 1);

    for (int64_t i = 0; i < n && operand > 0; i++)
        to[i] = device_get(p->operands[operand].dtype, p->host[operand], place(p, operand, i));
    return (GpudlTensorView){GPUDL_DTYPE_F64, p->shape, to};
}

/* Each element within the device functions' errors and one rounding; nothing written in between. */
static void compare(const Problem *p, const double *expected, double relative)
{
    const GpudlDType dtype = p->operands[0].dtype;
    const size_t size = gpudl_dtype_size(dtype);
    const uint8_t *got = device_fetch(p->operands[0].data, (size_t)p->n[0] * size);
    uint8_t *written = device_host((size_t)p->n[0] + 1);
    const int64_t n = gpudl_shape_elements(&p->shape);

    memset(written, 0, (size_t)p->n[0]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = place(p, 0, i);
        const double value = device_get(dtype, got, at);
        const double wanted = dtype == GPUDL_DTYPE_F32 ? expected[i] : device_rounded(dtype, expected[i]);
        const double bound = fabs(wanted) * relative + device_rounding(dtype, wanted) + 0x1p-126 + relative;

        written[at] = 1;
        if (isnan(wanted) ? !isnan(value) : isinf(wanted) ? value != wanted : !(fabs(value - wanted) <= bound))
            device_fail("element %d: found %.9g, expected %.9g", (int)i, value, wanted);
    }
    for (int64_t at = 0; at < p->n[0]; at++)
        for (size_t b = 0; b < size && !written[at]; b++)
            if (got[(size_t)at * size + b] != 0xff)
                device_fail("place %d, between elements, was written", (int)at);
}

static GpudlAct random_act(int least)
{
    GpudlAct act = {(GpudlActKind)device_int(least, GPUDL_ACT_LAST), 0.25f, 0.5f};

    if (act.kind == GPUDL_ACT_CLIP)
        act.alpha = -0.5f;
    return act;
}

static void test_copies(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
        Problem p = {0};

        device_case(number, "copy");
        random_problem(&p, 2, -1000, 1000);
        device_done(gpudl_unary_cuda(GPUDL_UNARY_ACTIVATION, &none, &p.shape, &p.operands[1], &p.operands[0], NULL));
        compare(&p, dense(&p, 1).data, 0); /* exact, but for rounding */
    }
}

static void test_unary(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlUnaryOp op = (GpudlUnaryOp)device_int(0, GPUDL_UNARY_ERF);
        const int positive = op == GPUDL_UNARY_LOG || op == GPUDL_UNARY_SQRT || op == GPUDL_UNARY_RECIPROCAL;
        const GpudlAct act = random_act(GPUDL_ACT_RELU);
        Problem p = {0};
        GpudlTensorView x, y;

        device_case(number, "unary %d act %d", op, act.kind);
        random_problem(&p, 2, positive ? 0.01 : -8, 8);
        x = dense(&p, 1);
        y = dense(&p, 0);
        if (gpudl_unary_ref(op, &act, &x, &y, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_unary_cuda(op, &act, &p.shape, &p.operands[1], &p.operands[0], NULL));
        compare(&p, y.data, 0x1p-20); /* a few units of float32 */
    }
}

static void test_binary(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlBinaryOp op = (GpudlBinaryOp)device_int(0, GPUDL_BINARY_PRELU);
        const int positive = op == GPUDL_BINARY_POW || op == GPUDL_BINARY_DIV;
        const GpudlAct act = random_act(GPUDL_ACT_NONE);
        Problem p = {0};
        GpudlTensorView a, b, y;

        device_case(number, "binary %d act %d", op, act.kind);
        random_problem(&p, 3, positive ? 0.25 : -3, 3);
        a = dense(&p, 1);
        b = dense(&p, 2);
        y = dense(&p, 0);
        if (gpudl_binary_ref(op, &act, &a, &b, &y, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_binary_cuda(op, &act, &p.shape, &p.operands[1], &p.operands[2], &p.operands[0], NULL));
        compare(&p, y.data, 0x1p-18); /* powf; a difference of terms of up to 6 */
    }
}

static void test_affine(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlAct act = random_act(GPUDL_ACT_NONE);
        const int has[3] = {(int)device_int(0, 1), (int)device_int(0, 1), (int)device_int(0, 1)};
        Problem p = {0};
        double *expected;
        int64_t n;

        device_case(number, "affine act %d scale %d shift %d z %d", act.kind, has[0], has[1], has[2]);
        random_problem(&p, 5, -2, 2);
        n = gpudl_shape_elements(&p.shape);
        expected = device_host((size_t)n * sizeof(*expected) + 1);
        for (int64_t i = 0; i < n; i++) {
            double v = device_get(p.operands[1].dtype, p.host[1], place(&p, 1, i));

            v *= has[0] ? device_get(p.operands[2].dtype, p.host[2], place(&p, 2, i)) : 1;
            v += has[1] ? device_get(p.operands[3].dtype, p.host[3], place(&p, 3, i)) : 0;
            v += has[2] ? device_get(p.operands[4].dtype, p.host[4], place(&p, 4, i)) : 0;
            expected[i] = gpudl_activate(&act, v);
        }
        device_done(gpudl_affine_cuda(&act, &p.shape, &p.operands[1], has[0] ? &p.operands[2] : NULL,
                                      has[1] ? &p.operands[3] : NULL, has[2] ? &p.operands[4] : NULL, &p.operands[0],
                                      NULL));
        compare(&p, expected, 0x1p-19); /* four roundings of terms of up to 8 */
    }
}

/* What is NaN, infinite or too large is so in the result, and nothing else. */
static void test_extremes(void)
{
    extremes = 1;
    for (int number = 0; number < device_cases(400); number++) {
        const int binary = (int)device_int(0, 1);
        const GpudlBinaryOp op = (GpudlBinaryOp)device_int(0, GPUDL_BINARY_DIV);
        const GpudlAct act = random_act(binary ? GPUDL_ACT_NONE : GPUDL_ACT_RELU);
        Problem p = {0};
        GpudlTensorView a, b, y;

        device_case(number, "extremes %d act %d", binary ? (int)op : -1, act.kind);
        random_problem(&p, binary ? 3 : 2, 0.25, 3);
        a = dense(&p, 1);
        b = binary ? dense(&p, 2) : a;
        y = dense(&p, 0);
        if ((binary ? gpudl_binary_ref(op, &act, &a, &b, &y, NULL)
                    : gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, &act, &a, &y, NULL)) != 0)
            device_fail("the reference refuses");
        device_done(
            binary ? gpudl_binary_cuda(op, &act, &p.shape, &p.operands[1], &p.operands[2], &p.operands[0], NULL)
                   : gpudl_unary_cuda(GPUDL_UNARY_ACTIVATION, &act, &p.shape, &p.operands[1], &p.operands[0], NULL));
        compare(&p, y.data, 0x1p-18);
    }
    extremes = 0;
}

static void test_in_place(void)
{
    for (int number = 0; number < device_cases(50); number++) {
        enum { N = 4096 + 8 };
        GpudlShape shape = {1, {N}};
        const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0};
        const GpudlDType dtype = number % 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16;
        const void *got;
        float *z;
        GpudlStrided ys = {dtype, NULL, {1}}, zs = {GPUDL_DTYPE_F32, NULL, {1}};

        device_case(number, "in place");
        shape.dims[0] = device_int(1, N);
        ys.data = device_output(N * 2, 0);
        z = device_host(N * sizeof(*z));
        for (int i = 0; i < N; i++)
            z[i] = (float)device_real(-4, 4);
        zs.data = device_input(z, N * sizeof(*z), 0);
        device_done(gpudl_unary_cuda(GPUDL_UNARY_ACTIVATION, &relu, &shape, &zs, &ys, NULL));
        device_done(gpudl_affine_cuda(&relu, &shape, &ys, NULL, &zs, NULL, &ys, NULL));
        got = device_fetch(ys.data, N * 2);
        for (int64_t i = 0; i < shape.dims[0]; i++) {
            const double first = device_rounded(dtype, z[i] > 0 ? (double)z[i] : 0), sum = first + (double)z[i];
            const double wanted = device_rounded(dtype, sum > 0 ? sum : 0), value = device_get(dtype, got, i);

            if (!(fabs(value - wanted) <= device_rounding(dtype, wanted)))
                device_fail("element %d: found %g, expected %g", (int)i, value, wanted);
        }
    }
}

static void test_refuses(void)
{
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const GpudlShape shape = {1, {8}}, large = {1, {(int64_t)1 << 31}}, empty = {2, {0, 3}};
    const GpudlStrided good = {GPUDL_DTYPE_F16, device_output(64, 0), {1}};
    const GpudlStrided rows = {GPUDL_DTYPE_F16, good.data, {3, 1}};
    const GpudlStrided f64 = {GPUDL_DTYPE_F64, good.data, {1}}, repeated = {GPUDL_DTYPE_F16, good.data, {0}};

    if (gpudl_unary_cuda(GPUDL_UNARY_NOT, &none, &shape, &good, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_binary_cuda(GPUDL_BINARY_EQUAL, &none, &shape, &good, &good, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_unary_cuda(GPUDL_UNARY_ABS, &none, &shape, &f64, &good, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_unary_cuda(GPUDL_UNARY_ABS, &none, &shape, &good, &repeated, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_unary_cuda(GPUDL_UNARY_ABS, &none, &large, &good, &good, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    device_done(gpudl_unary_cuda(GPUDL_UNARY_ABS, &none, &empty, &rows, &rows, NULL));
}

typedef struct {
    GpudlStrided a, b, y;
    GpudlShape shape;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_binary_cuda(GPUDL_BINARY_ADD, NULL, &b->shape, &b->a, &b->b, &b->y, stream);
}

static void bench(void)
{
    const int64_t n = 32, hw = 56 * 56, c = 256;
    const size_t bytes = (size_t)(n * hw * c * 2);
    Bench b = {.shape = {4, {n, c, 56, 56}}};
    const int64_t nhwc[4] = {hw * c, 1, 56 * c, c}, gate[4] = {c, 1, 0, 0};

    device_case(0, "bench");
    b.a = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(bytes), {0}};
    b.y = (GpudlStrided){GPUDL_DTYPE_F16, device_output(bytes, 0), {0}};
    memcpy(b.a.strides, nhwc, sizeof(nhwc));
    memcpy(b.y.strides, nhwc, sizeof(nhwc));
    b.b = b.a;
    b.b.data = device_noise(bytes);
    device_bench("sum of 32x56x56x256", launch, &b, 20, 3.0 * (double)bytes);
    memcpy(b.b.strides, gate, sizeof(gate));
    device_bench("sum of 32x56x56x256 and channels", launch, &b, 20, 2.0 * (double)bytes);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"copies", test_copies},     {"unary", test_unary},       {"binary", test_binary},   {"affine", test_affine},
        {"extremes", test_extremes}, {"in-place", test_in_place}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"elementwise", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
