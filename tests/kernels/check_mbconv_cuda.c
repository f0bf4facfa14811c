/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inverted residuals against the reference convolution, three times in double, of the same values. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/mbconv.h"
#include "tests/kernels/device.h"
#include "tests/kernels/mbconv_bench.h"

#define MOST_SHARED (device_capability() >= 9 ? 227 << 10 : 99 << 10)

typedef struct {
    GpudlMbconv block;
    GpudlMbconvWeights weights;
    const float *bias; /* or NULL */
    uint16_t *x, *z;   /* host */
} Problem;

/* A picture in double, [n][c][h][w], and how far each value of ours may be off. */
typedef struct {
    GpudlTensorView value, error;
} Known;

static size_t elements(const GpudlNhwc *s, int64_t pitch)
{
    return ((size_t)s->n * (size_t)s->h * (size_t)s->w - 1) * (size_t)pitch + (size_t)s->c;
}

static void random_act(GpudlAct *act)
{
    static const GpudlActKind kinds[] = {GPUDL_ACT_NONE, GPUDL_ACT_RELU,       GPUDL_ACT_CLIP,
                                         GPUDL_ACT_SILU, GPUDL_ACT_HARD_SWISH, GPUDL_ACT_LEAKY_RELU};

    *act = (GpudlAct){kinds[device_int(0, 5)], 0, 0};
    if (act->kind == GPUDL_ACT_CLIP)
        act->beta = device_int(0, 1) ? 6 : 0.75f;
    if (act->kind == GPUDL_ACT_LEAKY_RELU)
        act->alpha = 0.1f;
}

static void random_block(GpudlMbconv *b)
{
    const int large = device_int(0, 7) == 0;

    *b = (GpudlMbconv){.dtype = device_int(0, 2) ? GPUDL_DTYPE_F16 : GPUDL_DTYPE_BF16,
                       .expands = device_int(0, 3) > 0,
                       .taps = device_int(0, 1) ? 3 : 5,
                       .stride = (int32_t)device_int(1, 2)};
    b->xs = (GpudlNhwc){(int32_t)device_int(1, 2), (int32_t)device_int(1, large ? 40 : 19),
                        (int32_t)device_int(1, large ? 40 : 19), 8 * (int32_t)device_int(1, 6), 0};
    b->ys = b->xs;
    b->ys.c = 8 * (int32_t)device_int(1, device_int(0, 2) ? 7 : 21);
    b->hidden = b->expands ? (int32_t)device_int(1, device_int(0, 1) ? 60 : 200) : b->xs.c;
    for (int d = 0; d < 2; d++)
        b->pad[d] = (int32_t)device_int(0, b->taps - 1);
    b->ys.h = (b->xs.h + 2 * b->pad[0]) / b->stride + 1;
    b->ys.w = (b->xs.w + 2 * b->pad[1]) / b->stride + 1;
    b->xs.pitch = b->xs.c + 8 * device_int(0, 2);
    b->ys.pitch = b->ys.c + 8 * device_int(0, 2);
    b->z_pitch = device_int(0, 1) ? b->ys.c + 8 * device_int(0, 2) : 0;
    random_act(&b->expand);
    random_act(&b->depthwise);
    random_act(&b->project);
}

/* As the type has them; magnitudes so that sums of so many terms are about 1. */
static float *random_floats(GpudlDType dtype, size_t n, double terms)
{
    float *to = device_host(n * sizeof(*to));
    const double most = sqrt(3 / terms);

    for (size_t i = 0; i < n; i++)
        to[i] = (float)device_rounded(dtype, device_real(-most, most));
    return to;
}

static uint16_t *random_picture(GpudlDType dtype, const GpudlNhwc *s, int64_t pitch)
{
    const size_t n = elements(s, pitch);
    uint16_t *to = device_host(n * sizeof(*to));

    device_random(dtype, to, n, -2, 2, 0);
    return to;
}

/* Of packed weights the caller's are only what is compared with. */
static void random_values(Problem *p)
{
    const GpudlMbconv *b = &p->block;
    const size_t c = (size_t)b->xs.c, hidden = (size_t)b->hidden, k = (size_t)b->ys.c;
    const size_t area = (size_t)(b->taps * b->taps);

    if (b->expands)
        p->weights.expand = random_floats(b->dtype, hidden * c, (double)c);
    if (b->expands && device_int(0, 3))
        p->weights.expand_bias = random_floats(b->dtype, hidden, 9);
    p->weights.depthwise = random_floats(b->dtype, hidden * area, (double)area);
    if (device_int(0, 3))
        p->weights.depthwise_bias = random_floats(b->dtype, hidden, 9);
    p->weights.project = random_floats(b->dtype, k * hidden, (double)hidden);
    if (device_int(0, 3))
        p->bias = random_floats(b->dtype, k, 9);
    p->x = random_picture(b->dtype, &b->xs, b->xs.pitch);
    if (b->z_pitch > 0)
        p->z = random_picture(b->dtype, &b->ys, b->z_pitch);
}

/* ---- the reference ----------------------------------------------------------------------------------------------- */

static GpudlTensorView picture(const GpudlNhwc *s, int32_t c)
{
    const size_t n = (size_t)s->n * (size_t)c * (size_t)s->h * (size_t)s->w;

    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {s->n, c, s->h, s->w}}, device_host(n * sizeof(double))};
}

static int64_t count(const GpudlTensorView *v)
{
    return gpudl_shape_elements(&v->shape);
}

static GpudlTensorView planar(GpudlDType dtype, const uint16_t *from, const GpudlNhwc *s, int64_t pitch)
{
    const int64_t plane = (int64_t)s->h * s->w;
    GpudlTensorView v = picture(s, s->c);

    for (int64_t i = 0; i < s->n * plane; i++)
        for (int64_t c = 0; c < s->c; c++)
            ((double *)v.data)[(i / plane * s->c + c) * plane + i % plane] = device_get(dtype, from, i * pitch + c);
    return v;
}

static GpudlTensorView doubles(const float *from, int64_t a, int64_t b, int64_t side, int magnitude)
{
    const int64_t n = a * b * side * side;
    double *to = device_host((size_t)n * sizeof(*to));

    for (int64_t i = 0; i < n && from != NULL; i++)
        to[i] = magnitude ? fabs((double)from[i]) : (double)from[i];
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {a, b, side, side}}, to};
}

static void magnitudes(const GpudlTensorView *from, const GpudlTensorView *more, GpudlTensorView *to)
{
    for (int64_t i = 0; i < count(from); i++)
        ((double *)to->data)[i] =
            fabs(((const double *)from->data)[i]) + (more != NULL ? fabs(((const double *)more->data)[i]) : 0);
}

static void convolve(const GpudlTensorView *x, const GpudlTensorView *w, const GpudlTensorView *bias,
                     const GpudlTensorView *z, const GpudlWindow *window, int groups, GpudlTensorView *y)
{
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const GpudlTensorView b = {GPUDL_DTYPE_F64, {1, {w->shape.dims[0]}}, bias->data};

    if (gpudl_conv_ref(x, w, &b, z, window, groups, &none, y, NULL) != 0)
        device_fail("the reference refuses");
}

/* A step of the block: its values, and how far ours may be off: by what its operands are off, and by epsilon of the
 * magnitudes that are summed. Activations have slopes of at most 1.1 and are off by a few 2^-22; results are rounded
 * to the type, and so is what is halfway of it. */
static Known step(GpudlDType dtype, const Known *x, const GpudlNhwc *ys, int channels, const float *weights,
                  const float *biases, const GpudlTensorView *z, const GpudlWindow *window, int groups,
                  const GpudlAct *act, double epsilon)
{
    const int64_t per_group = x->value.shape.dims[1] / groups;
    const GpudlTensorView w = doubles(weights, channels, per_group, window->kernel[1], 0);
    const GpudlTensorView w_sizes = doubles(weights, channels, per_group, window->kernel[1], 1);
    const GpudlTensorView bias = doubles(biases, channels, 1, 1, 0), bias_sizes = doubles(biases, channels, 1, 1, 1);
    const GpudlTensorView nothing = doubles(NULL, channels, 1, 1, 0);
    GpudlTensorView sizes = picture(ys, channels), x_sizes = x->value, z_sizes;
    Known y = {picture(ys, channels), picture(ys, channels)};
    double *value = y.value.data, *error = y.error.data;

    x_sizes.data = device_host((size_t)count(&x->value) * sizeof(double));
    magnitudes(&x->value, &x->error, &x_sizes);
    if (z != NULL) {
        z_sizes = *z;
        z_sizes.data = device_host((size_t)count(z) * sizeof(double));
        magnitudes(z, NULL, &z_sizes);
    }
    convolve(&x->value, &w, &bias, z, window, groups, &y.value);
    convolve(&x->error, &w_sizes, &nothing, NULL, window, groups, &y.error);
    convolve(&x_sizes, &w_sizes, &bias_sizes, z != NULL ? &z_sizes : NULL, window, groups, &sizes);
    for (int64_t i = 0; i < count(&y.value); i++) {
        const double off = error[i] + epsilon * ((const double *)sizes.data)[i];

        value[i] = gpudl_activate(act, value[i]);
        error[i] = 1.1 * off + fabs(value[i]) * 0x1p-20 + device_rounding(dtype, fabs(value[i]) + off);
    }
    return y;
}

static Known reference(const Problem *p)
{
    const GpudlMbconv *b = &p->block;
    const GpudlWindow one = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    const GpudlWindow square = {2,
                                {1, b->taps, b->taps},
                                {1, b->stride, b->stride},
                                {0, b->pad[0], b->pad[1]},
                                {0, b->pad[0], b->pad[1]},
                                {1, 1, 1}};
    const int area = b->taps * b->taps;
    GpudlTensorView z;
    Known x = {planar(b->dtype, p->x, &b->xs, b->xs.pitch), picture(&b->xs, b->xs.c)};

    if (b->z_pitch > 0)
        z = planar(b->dtype, p->z, &b->ys, b->z_pitch);
    if (b->expands)
        x = step(b->dtype, &x, &b->xs, b->hidden, p->weights.expand, p->weights.expand_bias, NULL, &one, 1, &b->expand,
                 1.1 * (b->xs.c + 2) * 0x1p-24);
    x = step(b->dtype, &x, &b->ys, b->hidden, p->weights.depthwise, p->weights.depthwise_bias, NULL, &square, b->hidden,
             &b->depthwise, 1.1 * (area + 2) * 0x1p-23); /* tensor cores cut off where others round */
    return step(b->dtype, &x, &b->ys, b->ys.c, p->weights.project, p->bias, b->z_pitch > 0 ? &z : NULL, &one, 1,
                &b->project, 1.1 * (b->hidden + 2) * 0x1p-24);
}

static void compare(const Problem *p, const Known *known, const uint16_t *got)
{
    const GpudlNhwc *s = &p->block.ys;
    const double *expected = known->value.data, *errors = known->error.data;
    const int64_t plane = (int64_t)s->h * s->w;

    for (int64_t pixel = 0; pixel < s->n * plane; pixel++)
        for (int64_t c = 0; c < s->pitch; c++) {
            const int64_t at = (pixel / plane * s->c + c) * plane + pixel % plane, place = pixel * s->pitch + c;
            double value;

            if (c >= s->c) { /* another tensor's */
                if (pixel + 1 < s->n * plane && got[place] != 0xffff)
                    device_fail("pixel %d: channel %d, behind the last, was written", (int)pixel, (int)c);
                continue;
            }
            value = device_get(p->block.dtype, got, place);
            if (isnan(expected[at]) ? !isnan(value) : !(fabs(value - expected[at]) <= errors[at]))
                device_fail("pixel %d channel %d: found %g, expected %g, bound %g", (int)pixel, (int)c, value,
                            expected[at], errors[at]);
        }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static void note(const GpudlMbconv *b)
{
    device_note(", %s %dx%dx%dx%d pitch %d -> %d -> %dx%dx%d pitch %d, taps %d stride %d pad %d %d z %d acts %d %d %d",
                b->dtype == GPUDL_DTYPE_F16 ? "f16" : "bf16", b->xs.n, b->xs.h, b->xs.w, b->xs.c, (int)b->xs.pitch,
                b->expands ? b->hidden : 0, b->ys.h, b->ys.w, b->ys.c, (int)b->ys.pitch, b->taps, b->stride, b->pad[0],
                b->pad[1], (int)b->z_pitch, b->expand.kind, b->depthwise.kind, b->project.kind);
}

static void *packed(const Problem *p)
{
    const size_t bytes = (size_t)gpudl_mbconv_weight_bytes(&p->block);
    void *to = device_host(bytes);

    memset(to, 0xff, bytes);
    if (!gpudl_mbconv_pack(&p->block, &p->weights, to))
        device_fail("weights that the type has are refused");
    return to;
}

/* Every step'th plan of the block from first on. */
static void check_plans(const Problem *p, int first, int step_by)
{
    const GpudlMbconv *b = &p->block;
    const size_t k = (size_t)b->ys.c, y_bytes = elements(&b->ys, b->ys.pitch) * 2;
    const void *w = device_input(packed(p), (size_t)gpudl_mbconv_weight_bytes(b), 0);
    const void *x = device_input(p->x, elements(&b->xs, b->xs.pitch) * 2, 0);
    const void *z = p->z != NULL ? device_input(p->z, elements(&b->ys, b->z_pitch) * 2, 0) : NULL;
    const float *bias = p->bias != NULL ? device_input(p->bias, k * sizeof(float), 0) : NULL;
    const Known known = reference(p);
    GpudlMbconvPlan plans[GPUDL_MBCONV_PLANS];
    const int n = gpudl_mbconv_plans(b, 1 << device_int(0, 8), MOST_SHARED, gpudl_mbconv_has_clusters(), plans);

    for (int i = first; i < n; i += step_by) {
        void *y = device_output(y_bytes, 0);

        device_note("; plan %d of %d: tile %d, %d parts", i, n, plans[i].tile, plans[i].parts);
        device_done(gpudl_mbconv_cuda(b, x, w, bias, z, y, &plans[i], NULL));
        compare(p, &known, device_fetch(y, y_bytes));
    }
}

static void test_random(void)
{
    int most = 0;

    for (int number = 0; number < device_cases(200); number++) {
        GpudlMbconvPlan plans[GPUDL_MBCONV_PLANS];
        Problem p = {.x = NULL};
        int n;

        device_case(number, "mbconv");
        random_block(&p.block);
        note(&p.block);
        random_values(&p);
        n = gpudl_mbconv_plans(&p.block, 132, MOST_SHARED, 1, plans);
        most = n > most ? n : most;
        check_plans(&p, (int)device_int(0, 3), 4);
    }
    if (most < 4)
        device_fail("no block has more than %d plans", most);
}

/* Sums of a window that are small while what they are made of is large: 512 to 516 by taps that cancel one another.
 * What is rounded to float16 on the way is off by as much as what is left. */
static void test_cancels(void)
{
    for (int number = 0; number < device_cases(20); number++) {
        Problem p = {.x = NULL};
        GpudlMbconv *b = &p.block;
        float *taps;

        device_case(number, "mbconv of a window that cancels");
        do
            random_block(b);
        while (b->expands);
        b->depthwise.kind = GPUDL_ACT_NONE;
        note(b);
        random_values(&p);
        for (size_t i = 0; i < elements(&b->xs, b->xs.pitch); i++)
            p.x[i] = (uint16_t)(b->dtype == GPUDL_DTYPE_F16 ? 0x6000 + device_int(0, 4) : 0x4400 + device_int(0, 1));
        p.weights.depthwise = taps = random_floats(b->dtype, (size_t)(b->hidden * b->taps * b->taps), 9);
        for (int c = 0; c < b->hidden; c++, taps += b->taps * b->taps)
            for (int i = 0; i < b->taps * b->taps; i++)
                taps[i] = i + 1 == b->taps * b->taps ? 0 : i % 2 != 0 ? -taps[i - 1] : taps[i];
        check_plans(&p, (int)device_int(0, 1), 3);
    }
}

/* NaN of a pixel reaches all channels of the outputs that see it, and no other output. */
static void test_nan(void)
{
    for (int number = 0; number < device_cases(20); number++) {
        Problem p = {.x = NULL};

        device_case(number, "mbconv of NaN");
        random_block(&p.block);
        note(&p.block);
        random_values(&p);
        p.x[device_int(0, p.block.xs.h * p.block.xs.w - 1) * p.block.xs.pitch] =
            p.block.dtype == GPUDL_DTYPE_F16 ? 0x7e00 : 0x7fc0;
        check_plans(&p, (int)device_int(0, 1), 3);
    }
}

static void test_refuses(void)
{
    const GpudlMbconv good = {.dtype = GPUDL_DTYPE_F16,
                              .xs = {1, 4, 4, 8, 8},
                              .ys = {1, 4, 4, 8, 8},
                              .z_pitch = 8,
                              .hidden = 40,
                              .expands = 1,
                              .taps = 3,
                              .stride = 1,
                              .pad = {1, 1}};
    GpudlMbconv bad[13];
    GpudlMbconvPlan plans[GPUDL_MBCONV_PLANS];
    const GpudlMbconvPlan plan = {2, 1}, others[] = {{3, 1}, {-1, 1}, {2, 3}, {2, 0}, {2, 16}, {2, 4}};
    uint8_t *y = device_output(1 << 16, 0);

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        bad[i] = good;
    bad[0].xs.c = bad[0].xs.pitch = 12;
    bad[1].ys.pitch = 12;
    bad[2].z_pitch = 4;
    bad[3].taps = 7;
    bad[4].stride = 3;
    bad[5].pad[1] = 3;
    bad[6].expands = 0;
    bad[7].project.kind = GPUDL_ACT_GELU;
    bad[8].ys.n = 2;
    bad[9].hidden = 0;
    bad[10].ys.c = bad[10].ys.pitch = 400;
    bad[10].z_pitch = 0;
    bad[11].xs.c = bad[11].xs.pitch = 4096;
    bad[12].dtype = GPUDL_DTYPE_F32;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const int n = gpudl_mbconv_plans(&bad[i], 132, MOST_SHARED, 1, plans);

        if (n != 0 || (i != 11 && gpudl_mbconv_cuda(&bad[i], y, y, NULL, y, y, &plan, NULL) != GPUDL_KERNEL_SHAPE))
            device_fail("block %d was not refused", (int)i);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (gpudl_mbconv_cuda(&good, y, y, NULL, y, y, &others[i], NULL) != GPUDL_KERNEL_SHAPE)
            device_fail("plan %d was not refused", (int)i);
    if (gpudl_mbconv_cuda(&good, y + 8, y, NULL, y, y, &plan, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_mbconv_cuda(&good, y, y, NULL, NULL, y, &plan, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("an operand at no multiple of 16 bytes was not refused");
    bad[0] = good;
    bad[0].xs.n = bad[0].ys.n = 0;
    device_done(gpudl_mbconv_cuda(&bad[0], NULL, NULL, NULL, NULL, NULL, &plan, NULL));
}

/* What the type has not is told, and only that. */
static void test_packs(void)
{
    GpudlMbconv block = {.dtype = GPUDL_DTYPE_F16,
                         .xs = {1, 4, 4, 8, 8},
                         .ys = {1, 4, 4, 8, 8},
                         .hidden = 3,
                         .expands = 1,
                         .taps = 3,
                         .stride = 1};
    float values[72] = {0};
    const GpudlMbconvWeights weights = {values, values, values, values, values};
    void *to = device_host((size_t)gpudl_mbconv_weight_bytes(&block));

    values[17] = 65504;
    if (!gpudl_mbconv_pack(&block, &weights, to))
        device_fail("65504 was refused");
    values[17] = 65536;
    if (gpudl_mbconv_pack(&block, &weights, to))
        device_fail("65536 was packed");
    block.dtype = GPUDL_DTYPE_BF16;
    if (!gpudl_mbconv_pack(&block, &weights, to))
        device_fail("65536 was refused of bfloat16");
    values[17] = 3.4e38f; /* nearest is what bfloat16 has not */
    if (gpudl_mbconv_pack(&block, &weights, to))
        device_fail("3.4e38 was packed");
}

/* Channels beyond the hidden ones are 0 whatever lies behind their weights, and so is all of a bias that is none. */
static void test_packs_nothing_beyond(void)
{
    GpudlMbconv block = {.dtype = GPUDL_DTYPE_F16,
                         .xs = {1, 4, 4, 8, 8},
                         .ys = {1, 4, 4, 8, 8},
                         .hidden = 5,
                         .expands = 1,
                         .taps = 3,
                         .stride = 1};
    float values[5 * 9 + 1];

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = 1;
    for (int bias = 0; bias < 4; bias++) {
        const GpudlMbconvWeights weights = {values, values, values, bias & 1 ? values : NULL, bias & 2 ? values : NULL};
        const GpudlMbconvSlice slice = gpudl_mbconv_slice(&block);
        uint8_t *to = device_host((size_t)gpudl_mbconv_weight_bytes(&block));
        float packed[2][GPUDL_MBCONV_SLICE];

        if (!gpudl_mbconv_pack(&block, &weights, to))
            device_fail("weights of 1 were refused");
        memcpy(packed, to + slice.biases, sizeof packed);
        for (int i = 0; i < 2 * GPUDL_MBCONV_SLICE; i++) {
            const int which = i / GPUDL_MBCONV_SLICE, channel = i % GPUDL_MBCONV_SLICE;
            const float expected = channel < block.hidden && bias >> which & 1 ? 1 : 0;

            if (packed[which][channel] != expected)
                device_fail("bias %d of step %d is packed as %g, expected %g", channel, which, packed[which][channel],
                            expected);
        }
        for (int i = 0; i < (slice.biases - slice.taps) / 4; i++) {
            const int words = gpudl_mbconv_tap_bytes(block.taps) / 4, channel = i / words;
            const int is_tap = channel < block.hidden && i % words < gpudl_mbconv_tap_words(block.taps);
            uint32_t tap;

            memcpy(&tap, to + slice.taps + i * 4, sizeof tap);
            if (tap != (is_tap ? channel % 2 ? 0x3c000000u : 0x3c00u : 0))
                device_fail("word %d of channel %d's taps is packed as 0x%08x", i % words, channel, (unsigned)tap);
        }
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},
                                         {"cancels", test_cancels},
                                         {"nan", test_nan},
                                         {"refuses", test_refuses},
                                         {"packs", test_packs},
                                         {"packs-nothing-beyond", test_packs_nothing_beyond},
                                         {NULL, NULL}};
    static const DeviceCheck benches[] = {{"mbconv", mbconv_bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
