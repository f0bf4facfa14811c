/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resampling against the reference in double, of the same values; what is moved, bit by bit. */
#include "kernels/resize_cuda.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

#define MOST 20000 /* elements of a tensor that is moved */

/* ---- problems ---------------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlResize params;
    GpudlShape in, out;
    double scale[GPUDL_MAX_RANK];
    Strided x, y;
} Problem;

static void random_params(GpudlResize *p, GpudlSampleMode mode)
{
    *p = (GpudlResize){.mode = mode,
                       .coordinate = (GpudlSampleCoordinate)device_int(0, GPUDL_SAMPLE_TF_HALF_PIXEL),
                       .nearest = (GpudlSampleNearest)device_int(0, GPUDL_SAMPLE_CEIL),
                       .exclude_outside = (int32_t)device_int(0, 1),
                       .antialias = (int32_t)device_int(0, 1),
                       .cubic_a = device_int(0, 1) ? -.75f : (float)device_real(-1, -.25)};
}

static void note(const Problem *p)
{
    device_note(", mode %d coordinate %d nearest %d exclude %d antialias %d a %g", p->params.mode, p->params.coordinate,
                p->params.nearest, p->params.exclude_outside, p->params.antialias, (double)p->params.cubic_a);
    for (int d = 0; d < p->in.rank; d++)
        device_note("%s%d to %d by %.17g", d ? ", " : ": ", (int)p->in.dims[d], (int)p->out.dims[d], p->scale[d]);
}

/* Another extent for dimension d, or the same by a scale. */
static void change(Problem *p, int d, int64_t most)
{
    static const int64_t times[] = {2, 2, 3, 4};

    p->out.dims[d] = device_int(0, 1) ? p->in.dims[d] * times[device_int(0, 3)] : device_int(1, most);
    if (p->out.dims[d] > most)
        p->out.dims[d] = most;
    if (device_int(0, 1)) /* as importers have it: what the extent was computed from */
        p->scale[d] = (double)p->out.dims[d] / (double)p->in.dims[d] * (device_int(0, 1) ? 1 : device_real(1, 1.05));
}

/* At most changes dimensions of a shape of any kind. */
static void random_problem(Problem *p, int most_rank, int changes, int64_t elements)
{
    int left;

    do {
        p->in = strided_shape(0, most_rank, elements);
        p->out = p->in;
        memset(p->scale, 0, sizeof p->scale);
        left = changes;
        for (int d = p->in.rank - 1; d >= 0; d--)
            if (left > 0 && device_int(0, 1)) {
                change(p, d, 40);
                left--;
            } else if (device_int(0, 1)) {
                p->scale[d] = 1;
            }
    } while (gpudl_shape_elements(&p->out) > elements);
    note(p);
}

/* Pictures that lie as networks have them; lanes: channels of a vector, which the pixels are whole ones of. */
static Strided picture(GpudlDType dtype, const GpudlShape *shape, int64_t pitch, const void *values)
{
    const int64_t *d = shape->dims;
    Strided s = {.strided = {dtype, NULL, {d[2] * d[3] * pitch, 1, d[3] * pitch, pitch}}, .shape = *shape};
    const size_t size = gpudl_dtype_size(dtype);

    s.places = d[0] * d[2] * d[3] * pitch;
    s.host = (void *)values;
    s.strided.data =
        values != NULL ? device_input(values, (size_t)s.places * size, 0) : device_output((size_t)s.places * size, 0);
    return s;
}

static void make_pictures(Problem *p, GpudlDType dtype, int special)
{
    const int64_t pitches[2] = {(p->in.dims[1] + 7) / 8 * 8 + 8 * device_int(0, 2),
                                (p->in.dims[1] + 7) / 8 * 8 + 8 * device_int(0, 2)};
    const size_t n = (size_t)(p->in.dims[0] * p->in.dims[2] * p->in.dims[3] * pitches[0]);
    void *values = device_host(n * gpudl_dtype_size(dtype));

    device_random(dtype, values, n, -2, 2, special);
    p->x = picture(dtype, &p->in, pitches[0], values);
    p->y = picture(dtype, &p->out, pitches[1], NULL);
    device_note(", %s pitches %d and %d", gpudl_dtype_name(dtype), (int)pitches[0], (int)pitches[1]);
}

static void compute(const Problem *p)
{
    device_done(gpudl_resize_cuda(&p->in, &p->x.strided, p->scale, &p->params, &p->out, &p->y.strided, NULL));
}

static void run_reference(const Problem *p, const GpudlTensorView *x, const GpudlTensorView *y)
{
    if (gpudl_resize_ref(x, p->scale, &p->params, y, NULL) != 0)
        device_fail("the reference refuses");
}

/* ---- what is moved ----------------------------------------------------------------------------------------------- */

static void compare_moved(const Problem *p)
{
    const GpudlTensorView dense = strided_dense(&p->x, p->x.strided.dtype),
                          expected = strided_room(p->x.strided.dtype, &p->out);

    compute(p);
    run_reference(p, &dense, &expected);
    strided_compare(&p->y, &expected, NULL);
}

static void test_nearest(void)
{
    for (int number = 0; number < device_cases(400); number++) {
        const GpudlDType dtype = (device_case(number, "nearest"), (GpudlDType)device_int(1, GPUDL_DTYPE_LAST));
        Problem p;

        random_params(&p.params, GPUDL_SAMPLE_NEAREST);
        random_problem(&p, 5, 5, MOST);
        p.x = strided_input(dtype, &p.in, 1);
        p.y = strided_output(dtype, &p.out);
        compare_moved(&p);
    }
}

/* Elements between which rounding decides: every extent by every other and every rule, where both are small. */
static void test_every_extent(void)
{
    static const int64_t extents[] = {1, 2, 3, 5, 6, 7, 10, 13, 14, 24, 28, 49};
    const int n = (int)(sizeof extents / sizeof *extents);

    for (int number = 0; number < n * n; number++) {
        Problem p = {.in = {1, {extents[number / n]}}, .out = {1, {extents[number % n]}}};

        device_case(number, "every rule, %d to %d", (int)p.in.dims[0], (int)p.out.dims[0]);
        p.x = strided_input(GPUDL_DTYPE_I32, &p.in, 0);
        for (int rule = 0; rule < 4 * 6; rule++) {
            p.params.coordinate = (GpudlSampleCoordinate)(rule / 4);
            p.params.nearest = (GpudlSampleNearest)(rule % 4);
            p.y = strided_output(GPUDL_DTYPE_I32, &p.out);
            compare_moved(&p);
        }
    }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* to[outer][out][inner] = sum over k of |weights[k][out]| * from[outer][k][inner]; infinite elements of weight 0 count
 * nothing. */
static void apply(const double *from, const double *weights, int64_t outer, int64_t in, int64_t out, int64_t inner,
                  double *to)
{
    for (int64_t i = 0; i < outer; i++)
        for (int64_t k = 0; k < in; k++)
            for (int64_t o = 0; o < out; o++) {
                const double weight = fabs(weights[k * out + o]);

                for (int64_t j = 0; j < inner && weight != 0; j++)
                    to[(i * out + o) * inner + j] += weight * from[(i * in + k) * inner + j];
            }
}

/* Sums of |weight| |x|. The weights of one dimension are what the reference makes of the unit matrix. */
static const double *magnitude(const Problem *p, const GpudlTensorView *x)
{
    GpudlTensorView sums = strided_magnitude(x);

    for (int d = 0; d < p->in.rank; d++) {
        const int64_t in = p->in.dims[d], out = p->out.dims[d];
        const GpudlTensorView unit = strided_room(GPUDL_DTYPE_F64, &(GpudlShape){2, {in, in}}),
                              weights = strided_room(GPUDL_DTYPE_F64, &(GpudlShape){2, {in, out}});
        GpudlShape shape = sums.shape;
        GpudlTensorView next;
        int64_t outer = 1, inner = 1;

        for (int64_t i = 0; i < in; i++)
            ((double *)unit.data)[i * in + i] = 1;
        if (gpudl_resize_ref(&unit, (double[]){1, p->scale[d]}, &p->params, &weights, NULL) != 0)
            device_fail("the reference refuses");
        shape.dims[d] = out;
        next = strided_room(GPUDL_DTYPE_F64, &shape);
        for (int e = 0; e < shape.rank; e++)
            *(e < d ? &outer : &inner) *= e == d ? 1 : shape.dims[e];
        apply(sums.data, weights.data, outer, in, out, inner, next.data);
        sums = next;
    }
    return sums.data;
}

/* Most elements that count for one of the result. */
static double terms(const Problem *p)
{
    double n = 1;

    for (int d = 0; d < p->in.rank; d++) {
        const double scale = p->scale[d] != 0 ? p->scale[d] : (double)p->out.dims[d] / (double)p->in.dims[d];
        const double width = p->params.mode == GPUDL_SAMPLE_CUBIC ? 4 : 2;

        if (p->in.dims[d] != p->out.dims[d] || (p->scale[d] != 0 && p->scale[d] != 1))
            n *= p->params.antialias && scale < 1 ? width / scale + 2 : width;
    }
    return n;
}

/* Each term rounds to 2^-24 when it is added, its weights when they are stored and multiplied. */
static double rounding(const Problem *p)
{
    return (terms(p) + 2 * p->in.rank) * 0x1p-24;
}

static void compare_within(const Problem *p, const GpudlTensorView *dense, const StridedBound *bound)
{
    const GpudlTensorView expected = strided_room(GPUDL_DTYPE_F64, &p->out);

    compute(p);
    run_reference(p, dense, &expected);
    strided_compare(&p->y, &expected, bound);
}

static void compare_sums(const Problem *p)
{
    const GpudlTensorView dense = strided_dense(&p->x, GPUDL_DTYPE_F64);
    double *bound = (double *)magnitude(p, &dense);

    /* weights of opposite sign that meet at a border hide part of the magnitude: at most half of it, for a of -1 and
     * more */
    for (int64_t i = 0; i < gpudl_shape_elements(&p->out); i++)
        bound[i] *= 2 * rounding(p);
    compare_within(p, &dense, &(StridedBound){.magnitude = bound});
}

static void test_sums(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p;
        GpudlDType dtype;

        device_case(number, "sums");
        random_params(&p.params, (GpudlSampleMode)device_int(GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_CUBIC));
        random_problem(&p, 4, 3, 3000);
        dtype = device_float_type();
        p.x = strided_input(dtype, &p.in, 1);
        p.y = strided_output(dtype, &p.out);
        compare_sums(&p);
    }
}

/* As networks have them: whole vectors or not, height and width of other extents. */
static void test_pictures(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p = {.in = {4, {0}}};

        device_case(number, "pictures");
        random_params(&p.params, (GpudlSampleMode)device_int(GPUDL_SAMPLE_NEAREST, GPUDL_SAMPLE_CUBIC));
        p.in = (GpudlShape){4,
                            {device_int(1, 2), device_int(0, 3) ? 8 * device_int(1, 5) : device_int(1, 20),
                             device_int(1, 9), device_int(1, 9)}};
        p.out = p.in;
        change(&p, 2, 19);
        if (device_int(0, 7))
            change(&p, 3, 19);
        note(&p);
        make_pictures(&p, device_float_type(), number % 2);
        if (p.params.mode == GPUDL_SAMPLE_NEAREST)
            compare_moved(&p);
        else
            compare_sums(&p);
    }
}

/* So many that a thread has several pixels; runs that are longer than a block. */
static void test_large(void)
{
    static const GpudlDType types[] = {GPUDL_DTYPE_F16, GPUDL_DTYPE_BF16, GPUDL_DTYPE_F32};

    for (int number = 0; number < 6; number++) {
        Problem p = {.params = {.mode = (GpudlSampleMode)(number % 3), .cubic_a = -.75f},
                     .in = {4, {1, 1024, 25, 21}},
                     .out = {4, {1, 1024, 49, 47}}};

        if (number >= 3) {
            p.in = (GpudlShape){4, {2, 2088, 3, 2}};
            p.out = (GpudlShape){4, {2, 2088, 4, 5}};
        }
        device_case(number, "large");
        note(&p);
        make_pictures(&p, types[(number + number / 3) % 3], 0);
        if (number % 3 == 0)
            compare_moved(&p);
        else
            compare_sums(&p);
    }
}

/* Filters that there is no room for in shared memory: of more than 6000 elements; and some that there just is. */
static void test_wide(void)
{
    for (int number = 0; number < 8; number++) {
        const int cubic = number % 2, fits = number >= 4;
        Problem p = {.params = {.mode = cubic ? GPUDL_SAMPLE_CUBIC : GPUDL_SAMPLE_LINEAR,
                                .antialias = 1,
                                .exclude_outside = number / 2 % 2,
                                .cubic_a = -.5f},
                     .in = {2, {(cubic ? 1600 : 3200) - 200 * fits, 2}},
                     .out = {2, {1, 2}}};
        const GpudlDType dtype = (device_case(number, "wide"), device_float_type());
        GpudlTensorView dense;

        note(&p);
        p.x = strided_input(dtype, &p.in, 0);
        p.y = strided_output(dtype, &p.out);
        dense = strided_dense(&p.x, GPUDL_DTYPE_F64);
        /* values of at most 2.5, whose weights' magnitudes make 1.3 */
        compare_within(&p, &dense, &(StridedBound){.absolute = 4 * rounding(&p)});
    }
}

/* More dimensions than have tables. */
static void test_dimensions(void)
{
    for (int number = 0; number < device_cases(40); number++) {
        Problem p;
        GpudlDType dtype;

        device_case(number, "dimensions");
        random_params(&p.params, (GpudlSampleMode)device_int(GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_CUBIC));
        p.in = p.out = (GpudlShape){5, {1, 2, 3, 2, 3}};
        memset(p.scale, 0, sizeof p.scale);
        for (int d = 0; d < 5; d++)
            change(&p, d, 4);
        note(&p);
        dtype = device_float_type();
        p.x = strided_input(dtype, &p.in, 1);
        p.y = strided_output(dtype, &p.out);
        compare_sums(&p);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}}, flat = {1, {32}}, empty = {2, {0, 8}}, large = {2, {65536, 65536}};
    const double zero[2] = {0, 0}, negative[2] = {0, -1}, nan[2] = {NAN, 0}, tiny[2] = {1e-12, 0};
    const GpudlStrided good = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       other = {GPUDL_DTYPE_F16, good.data, {8, 1}}, bytes = {GPUDL_DTYPE_U8, good.data, {8, 1}},
                       doubles = {GPUDL_DTYPE_F64, good.data, {8, 1}},
                       backwards = {GPUDL_DTYPE_F32, good.data, {-8, 1}}, none = {GPUDL_DTYPE_NONE, good.data, {8, 1}};
    const GpudlResize linear = {.mode = GPUDL_SAMPLE_LINEAR, .antialias = 1}, nearest = {.mode = GPUDL_SAMPLE_NEAREST},
                      mode = {.mode = (GpudlSampleMode)3}, coordinate = {.coordinate = (GpudlSampleCoordinate)6},
                      rule = {.nearest = (GpudlSampleNearest)4};
    const struct {
        const char *what;
        const GpudlShape *in, *out;
        const GpudlStrided *x, *y;
        const double *scale;
        const GpudlResize *params;
        int expected;
    } calls[] = {
        {"types that differ", &shape, &shape, &good, &other, zero, &linear, GPUDL_KERNEL_DTYPE},
        {"sums of bytes", &shape, &shape, &bytes, &bytes, zero, &linear, GPUDL_KERNEL_DTYPE},
        {"sums of doubles", &shape, &shape, &doubles, &doubles, zero, &linear, GPUDL_KERNEL_DTYPE},
        {"no type", &shape, &shape, &none, &none, zero, &nearest, GPUDL_KERNEL_DTYPE},
        {"ranks that differ", &shape, &flat, &good, &good, zero, &linear, GPUDL_KERNEL_SHAPE},
        {"too much", &shape, &large, &good, &good, zero, &nearest, GPUDL_KERNEL_SHAPE},
        {"a result that runs backwards", &shape, &shape, &good, &backwards, zero, &nearest, GPUDL_KERNEL_SHAPE},
        {"a negative scale", &shape, &shape, &good, &good, negative, &nearest, GPUDL_KERNEL_SHAPE},
        {"a scale that is no number", &shape, &shape, &good, &good, nan, &nearest, GPUDL_KERNEL_SHAPE},
        {"an endless filter", &shape, &shape, &good, &good, tiny, &linear, GPUDL_KERNEL_SHAPE},
        {"something of nothing", &empty, &shape, &good, &good, zero, &nearest, GPUDL_KERNEL_SHAPE},
        {"no such mode", &shape, &shape, &good, &good, zero, &mode, GPUDL_KERNEL_SHAPE},
        {"no such coordinate", &shape, &shape, &good, &good, zero, &coordinate, GPUDL_KERNEL_SHAPE},
        {"no such rule", &shape, &shape, &good, &good, zero, &rule, GPUDL_KERNEL_SHAPE},
        {"nothing of something", &shape, &empty, &good, &good, zero, &linear, GPUDL_KERNEL_OK},
        {"nothing of nothing", &empty, &empty, &good, &good, zero, &linear, GPUDL_KERNEL_OK},
    };

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const int status =
            gpudl_resize_cuda(calls[i].in, calls[i].x, calls[i].scale, calls[i].params, calls[i].out, calls[i].y, NULL);

        if (status != calls[i].expected)
            device_fail("%s: status %d, expected %d", calls[i].what, status, calls[i].expected);
    }
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

typedef struct {
    GpudlResize params;
    GpudlShape in, out;
    GpudlStrided x, y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    static const double zero[GPUDL_MAX_RANK] = {0};
    const Bench *b = data;

    (void)i;
    return gpudl_resize_cuda(&b->in, &b->x, zero, &b->params, &b->out, &b->y, stream);
}

static void bench(void)
{
    static const struct {
        GpudlResize params;
        int64_t channels, side, to;
        const char *name;
    } cases[] = {
        {{.mode = GPUDL_SAMPLE_NEAREST, .coordinate = GPUDL_SAMPLE_ASYMMETRIC, .nearest = GPUDL_SAMPLE_FLOOR},
         256,
         40,
         80,
         "nearest 256x40x40 by 2"},
        {{.mode = GPUDL_SAMPLE_LINEAR}, 256, 28, 56, "linear 256x28x28 by 2"},
        {{.mode = GPUDL_SAMPLE_LINEAR, .coordinate = GPUDL_SAMPLE_ALIGN_CORNERS}, 64, 56, 224, "linear 64x56x56 by 4"},
        {{.mode = GPUDL_SAMPLE_CUBIC, .cubic_a = -.75f}, 64, 56, 112, "cubic 64x56x56 by 2"},
        {{.mode = GPUDL_SAMPLE_LINEAR, .antialias = 1}, 64, 112, 28, "antialiased 64x112x112 by 1/4"}};
    static const int64_t batches[] = {1, 32};

    for (int i = 0; i < 2 * (int)(sizeof cases / sizeof *cases); i++) {
        const int64_t n = batches[i % 2], c = cases[i / 2].channels, side = cases[i / 2].side, to = cases[i / 2].to;
        Bench b = {.params = cases[i / 2].params, .in = {4, {n, c, side, side}}, .out = {4, {n, c, to, to}}};
        const size_t bytes_in = (size_t)(n * c * side * side) * 2, bytes_out = (size_t)(n * c * to * to) * 2;
        char name[64];

        device_case(i, "bench");
        b.x = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(bytes_in), {side * side * c, 1, side * c, c}};
        b.y = (GpudlStrided){GPUDL_DTYPE_F16, device_output(bytes_out, 0), {to * to * c, 1, to * c, c}};
        snprintf(name, sizeof name, "%s, batch %d", cases[i / 2].name, (int)n);
        device_bench(name, launch, &b, 20, (double)(bytes_in + bytes_out));
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"nearest", test_nearest},
                                         {"every-extent", test_every_extent},
                                         {"sums", test_sums},
                                         {"pictures", test_pictures},
                                         {"large", test_large},
                                         {"wide", test_wide},
                                         {"dimensions", test_dimensions},
                                         {"refuses", test_refuses},
                                         {NULL, NULL}};
    static const DeviceCheck benches[] = {{"resize", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
