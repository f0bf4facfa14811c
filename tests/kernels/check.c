/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/narrow.h"

#define GUARD 64
#define GUARD_BYTE 0xa5

static guint64 seed = 1, state = 1;
static GString *description;

/* ---- cases ------------------------------------------------------------------------------------------------------- */

void check_init(int *argc, char ***argv)
{
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const char *arg = (*argv)[i];

        if (strcmp(arg, "--seed") == 0 && i + 1 < *argc)
            seed = g_ascii_strtoull((*argv)[++i], NULL, 0);
        else if (g_str_has_prefix(arg, "--seed="))
            seed = g_ascii_strtoull(arg + 7, NULL, 0);
        else
            (*argv)[kept++] = (*argv)[i];
    }
    *argc = kept;
    (*argv)[kept] = NULL;
    description = g_string_new(NULL);
    state = seed;
    g_test_init(argc, argv, NULL);
}

static void append(const gchar *format, va_list args)
{
    g_string_append_vprintf(description, format, args);
}

void check_case(guint number, const gchar *format, ...)
{
    va_list args;

    /* any two seeds and numbers start far apart: splitmix64 scatters its state */
    state = seed * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) + number * G_GUINT64_CONSTANT(0xd1342543de82ef95);
    g_string_printf(description, "--seed %" G_GUINT64_FORMAT ", case %u: ", seed, number);
    va_start(args, format);
    append(format, args);
    va_end(args);
}

void check_note(const gchar *format, ...)
{
    va_list args;

    va_start(args, format);
    append(format, args);
    va_end(args);
}

guint64 check_bits(void)
{
    guint64 z = state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ z >> 31;
}

gint64 check_int(gint64 low, gint64 high)
{
    return low + (gint64)(check_bits() % ((guint64)(high - low) + 1));
}

double check_real(double low, double high)
{
    return low + (high - low) * ((double)(check_bits() >> 11) * 0x1p-53);
}

GpudlDType check_float_type(void)
{
    static const GpudlDType types[] = {GPUDL_DTYPE_F32, GPUDL_DTYPE_F16, GPUDL_DTYPE_BF16, GPUDL_DTYPE_F64};

    return types[check_int(0, 3)];
}

GpudlDType check_integer_type(void)
{
    return (GpudlDType)check_int(GPUDL_DTYPE_I8, GPUDL_DTYPE_U64);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* At skew bytes behind an address that is aligned to whatever malloc() aligns to. */
static CheckTensor *new_tensor(GpudlDType dtype, GpudlShape shape, gsize skew)
{
    CheckTensor *t = g_new0(CheckTensor, 1);

    t->bytes = (gsize)gpudl_shape_elements(&shape) * gpudl_dtype_size(dtype);
    t->skew = skew;
    t->block = g_malloc(t->bytes + 2 * GUARD + skew);
    memset(t->block, GUARD_BYTE, t->bytes + 2 * GUARD + skew);
    t->view = (GpudlTensorView){dtype, shape, t->block + GUARD + skew};
    memset(t->view.data, CHECK_FRESH_BYTE, t->bytes);
    return t;
}

/* the odd address makes sure that nothing relies on alignment, which no contract of tensors promises */
CheckTensor *check_tensor(GpudlDType dtype, GpudlShape shape)
{
    return new_tensor(dtype, shape, 1);
}

CheckTensor *check_floats(GpudlShape shape, double low, double high)
{
    CheckTensor *t = new_tensor(GPUDL_DTYPE_F32, shape, sizeof(float));

    for (gint64 i = 0; i < check_elements(t) && high > low; i++)
        check_set(t, i, check_real(low, high));
    return t;
}

CheckTensor *check_tensor_of(GpudlDType dtype, GpudlShape shape, const double *values)
{
    CheckTensor *t = check_tensor(dtype, shape);

    for (gint64 i = 0; i < check_elements(t); i++)
        check_set(t, i, values[i]);
    return t;
}

static gboolean is_float(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_F32 && dtype <= GPUDL_DTYPE_F64;
}

CheckTensor *check_tensor_random(GpudlDType dtype, GpudlShape shape, double low, double high)
{
    CheckTensor *t = check_tensor(dtype, shape);

    for (gint64 i = 0; i < check_elements(t); i++) {
        if (is_float(dtype))
            check_set(t, i, check_real(low, high));
        else
            check_set_int(t, i, dtype == GPUDL_DTYPE_BOOL ? (gint64)(check_bits() & 1) : (gint64)check_bits() >> 24);
    }
    return t;
}

void check_tensor_free(CheckTensor *tensor)
{
    if (tensor == NULL)
        return;
    for (gsize i = 0; i < GUARD; i++) {
        if (tensor->block[i + tensor->skew] != GUARD_BYTE)
            g_error("%s: byte %d before the output was written", description->str, (int)(GUARD - i));
        if (tensor->block[GUARD + tensor->skew + tensor->bytes + i] != GUARD_BYTE)
            g_error("%s: byte %d behind the output was written", description->str, (int)i);
    }
    g_free(tensor->block);
    g_free(tensor);
}

gint64 check_elements(const CheckTensor *tensor)
{
    return gpudl_shape_elements(&tensor->view.shape);
}

#define READ(type)                                                                                                     \
    {                                                                                                                  \
        type v;                                                                                                        \
        memcpy(&v, p, sizeof(v));                                                                                      \
        return v;                                                                                                      \
    }
#define WRITE(type)                                                                                                    \
    {                                                                                                                  \
        type v = (type)value;                                                                                          \
        memcpy(p, &v, sizeof(v));                                                                                      \
        return;                                                                                                        \
    }

static guint8 *element(const CheckTensor *tensor, gint64 i)
{
    return (guint8 *)tensor->view.data + (gsize)i * gpudl_dtype_size(tensor->view.dtype);
}

gint64 check_get_int(const CheckTensor *tensor, gint64 i)
{
    const guint8 *p = element(tensor, i);

    switch (tensor->view.dtype) {
    case GPUDL_DTYPE_I8:
        READ(gint8)
    case GPUDL_DTYPE_U8:
    case GPUDL_DTYPE_BOOL:
        READ(guint8)
    case GPUDL_DTYPE_I16:
        READ(gint16)
    case GPUDL_DTYPE_U16:
        READ(guint16)
    case GPUDL_DTYPE_I32:
        READ(gint32)
    case GPUDL_DTYPE_U32:
        READ(guint32)
    case GPUDL_DTYPE_I64:
        READ(gint64)
    case GPUDL_DTYPE_U64: {
        guint64 v;

        memcpy(&v, p, sizeof(v));
        return (gint64)v;
    }
    default: /* integers of fewer bits have their sign in the whole byte */
        g_assert_true(gpudl_is_narrow_integer(tensor->view.dtype));
        READ(gint8)
    }
}

void check_set_int(CheckTensor *tensor, gint64 i, gint64 value)
{
    guint8 *p = element(tensor, i);

    switch (gpudl_dtype_size(tensor->view.dtype)) {
    case 1:
        WRITE(guint8)
    case 2:
        WRITE(guint16)
    case 4:
        WRITE(guint32)
    default:
        WRITE(guint64)
    }
}

double check_get(const CheckTensor *tensor, gint64 i)
{
    const guint8 *p = element(tensor, i);
    guint16 half;

    switch (tensor->view.dtype) {
    case GPUDL_DTYPE_F32:
        READ(float)
    case GPUDL_DTYPE_F64:
        READ(double)
    case GPUDL_DTYPE_F16:
        memcpy(&half, p, 2);
        return gpudl_f16_to_f32(half);
    case GPUDL_DTYPE_BF16:
        memcpy(&half, p, 2);
        return gpudl_bf16_to_f32(half);
    case GPUDL_DTYPE_U64:
        return (double)(guint64)check_get_int(tensor, i);
    default:
        if (gpudl_is_narrow_float(tensor->view.dtype))
            return (double)gpudl_narrow_to_f32(tensor->view.dtype, *p);
        return (double)check_get_int(tensor, i);
    }
}

void check_set(CheckTensor *tensor, gint64 i, double value)
{
    guint8 *p = element(tensor, i);
    guint16 half;

    switch (tensor->view.dtype) {
    case GPUDL_DTYPE_F32:
        WRITE(float)
    case GPUDL_DTYPE_F64:
        WRITE(double)
    case GPUDL_DTYPE_F16:
        half = gpudl_f64_to_f16(value);
        memcpy(p, &half, 2);
        return;
    case GPUDL_DTYPE_BF16:
        half = gpudl_f64_to_bf16(value);
        memcpy(p, &half, 2);
        return;
    default:
        if (gpudl_is_narrow_float(tensor->view.dtype))
            *p = gpudl_f64_to_narrow(tensor->view.dtype, value, TRUE);
        else
            check_set_int(tensor, i, (gint64)value);
    }
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

void check_unravel(const GpudlShape *shape, gint64 index, gint64 *coordinates)
{
    for (int i = shape->rank - 1; i >= 0; i--) {
        coordinates[i] = index % shape->dims[i];
        index /= shape->dims[i];
    }
}

gint64 check_ravel(const GpudlShape *shape, const gint64 *coordinates)
{
    gint64 index = 0;

    for (int i = 0; i < shape->rank; i++)
        index = index * shape->dims[i] + coordinates[i];
    return index;
}

gint64 check_broadcast(const GpudlShape *out, gint64 index, const GpudlShape *shape)
{
    gint64 from[GPUDL_MAX_RANK], to[GPUDL_MAX_RANK];

    check_unravel(out, index, from);
    for (int i = 0; i < shape->rank; i++)
        to[i] = shape->dims[i] == 1 ? 0 : from[out->rank - shape->rank + i];
    return check_ravel(shape, to);
}

GpudlShape check_shape(int low, int high, gint64 max)
{
    GpudlShape shape = {.rank = (int32_t)check_int(low, high)};

    for (int i = 0; i < shape.rank; i++)
        shape.dims[i] = check_int(1, max);
    return shape;
}

GpudlShape check_narrowed(const GpudlShape *shape)
{
    GpudlShape result = {.rank = shape->rank};
    int skip = check_int(0, 2) == 0 ? (int)check_int(0, shape->rank) : 0;

    result.rank -= skip;
    for (int i = 0; i < result.rank; i++)
        result.dims[i] = check_int(0, 2) == 0 ? 1 : shape->dims[skip + i];
    return result;
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

/** Half a unit in the last place, relative, and the smallest subnormal. */
static void precision(GpudlDType dtype, double *relative, double *least)
{
    switch (dtype) {
    case GPUDL_DTYPE_F16:
        *relative = 0x1p-11;
        *least = 0x1p-24;
        break;
    case GPUDL_DTYPE_BF16:
        *relative = 0x1p-8;
        *least = 0x1p-133;
        break;
    case GPUDL_DTYPE_F32:
        *relative = 0x1p-24;
        *least = 0x1p-149;
        break;
    default:
        *relative = 0x1p-50; /* sums in another order, function results by other formulas */
        *least = 0;
    }
}

void check_close(const CheckTensor *got, const double *expected, double slack)
{
    const char *type = gpudl_dtype_name(got->view.dtype);
    double relative, least;

    precision(got->view.dtype, &relative, &least);
    for (gint64 i = 0; i < check_elements(got); i++) {
        double a = check_get(got, i), b = expected[i];

        if (isnan(b) ? isnan(a) : isinf(b) ? a == b : fabs(a - b) <= slack + least + relative * fabs(b) * (1 + 1e-6))
            continue;
        /* beyond the largest number a type rounds to infinity */
        if (isinf(a) && !isinf(b) && (a > 0) == (b > 0) &&
            ((got->view.dtype == GPUDL_DTYPE_F16 && fabs(b) >= 65519.99) ||
             (got->view.dtype == GPUDL_DTYPE_F32 && fabs(b) >= 3.4028235677973362e38)))
            continue;
        g_error("%s: %s element %" G_GINT64_FORMAT ": found %.17g, expected %.17g (slack %g)", description->str, type,
                i, a, b, slack);
    }
}

void check_equal_int(const CheckTensor *got, const gint64 *expected)
{
    g_autoptr(CheckTensor) wrapped = check_tensor(got->view.dtype, got->view.shape);

    for (gint64 i = 0; i < check_elements(got); i++) {
        check_set_int(wrapped, i, expected[i]);
        if (check_get_int(got, i) != check_get_int(wrapped, i))
            g_error("%s: %s element %" G_GINT64_FORMAT ": found %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT,
                    description->str, gpudl_dtype_name(got->view.dtype), i, check_get_int(got, i),
                    check_get_int(wrapped, i));
    }
}

void check_fail(const gchar *format, ...)
{
    va_list args;

    g_string_append(description, ": ");
    va_start(args, format);
    append(format, args);
    va_end(args);
    g_error("%s", description->str);
}

void check_status(int status, int expected)
{
    if (status != expected)
        g_error("%s: found status %d (%s), expected %d (%s)", description->str, status,
                gpudl_kernel_status_text(status), expected, gpudl_kernel_status_text(expected));
}
