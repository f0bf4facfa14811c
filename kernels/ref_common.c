/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ref_common.h"

#include <math.h>
#include <string.h>

#include "half.h"
#include "narrow.h"

const char *gpudl_kernel_status_text(int status)
{
    switch (status) {
    case GPUDL_KERNEL_OK:
        return "no error";
    case GPUDL_KERNEL_DTYPE:
        return "not implemented for these element types";
    case GPUDL_KERNEL_SHAPE:
        return "shapes or parameters contradict each other";
    case GPUDL_KERNEL_INDEX:
        return "an index points outside its dimension";
    case GPUDL_KERNEL_DIVIDE:
        return "integer division by zero";
    default:
        return status > 0 ? "the device reported an error" : "unknown status";
    }
}

int gpudl_ref_is_float(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_F32 || dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16 ||
           dtype == GPUDL_DTYPE_F64;
}

int gpudl_ref_is_integer(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_I8 && dtype <= GPUDL_DTYPE_BOOL;
}

static const struct {
    int64_t low, high;
} ranges[GPUDL_DTYPE_LAST + 1] = {
    [GPUDL_DTYPE_I8] = {INT8_MIN, INT8_MAX},
    [GPUDL_DTYPE_U8] = {0, UINT8_MAX},
    [GPUDL_DTYPE_I16] = {INT16_MIN, INT16_MAX},
    [GPUDL_DTYPE_U16] = {0, UINT16_MAX},
    [GPUDL_DTYPE_I32] = {INT32_MIN, INT32_MAX},
    [GPUDL_DTYPE_U32] = {0, UINT32_MAX},
    [GPUDL_DTYPE_I64] = {INT64_MIN, INT64_MAX},
    [GPUDL_DTYPE_U64] = {0, -1},
    [GPUDL_DTYPE_BOOL] = {0, 1},
};

void gpudl_ref_integer_range(GpudlDType dtype, int64_t *low, int64_t *high)
{
    *low = ranges[dtype].low;
    *high = ranges[dtype].high;
}

/* Reading and writing through memcpy: no alignment is promised, and compilers make plain moves of it. */
#define ACCESS(name, type)                                                                                             \
    static inline type read_##name(const char *p)                                                                      \
    {                                                                                                                  \
        type v;                                                                                                        \
        memcpy(&v, p, sizeof(v));                                                                                      \
        return v;                                                                                                      \
    }                                                                                                                  \
    static inline void write_##name(char *p, type v)                                                                   \
    {                                                                                                                  \
        memcpy(p, &v, sizeof(v));                                                                                      \
    }
ACCESS(f32, float)
ACCESS(f64, double)
ACCESS(i8, int8_t)
ACCESS(u8, uint8_t)
ACCESS(i16, int16_t)
ACCESS(u16, uint16_t)
ACCESS(i32, int32_t)
ACCESS(u32, uint32_t)
ACCESS(i64, int64_t)
ACCESS(u64, uint64_t)
#undef ACCESS

static inline double read_f16(const char *p)
{
    return gpudl_f16_to_f32(read_u16(p));
}

static inline double read_bf16(const char *p)
{
    return gpudl_bf16_to_f32(read_u16(p));
}

static inline int read_bool(const char *p)
{
    return *p != 0;
}

static inline void write_f16(char *p, double v)
{
    write_u16(p, gpudl_f64_to_f16(v));
}

static inline void write_bf16(char *p, double v)
{
    write_u16(p, gpudl_f64_to_bf16(v));
}

/* One loop per type; the stride-1 case on its own is the one that vectorises. */
#define LOAD(name, size)                                                                                               \
    if (stride == 1)                                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                                                \
            out[i] = read_##name(p + i * (size));                                                                      \
    else                                                                                                               \
        for (int64_t i = 0; i < n; i++)                                                                                \
            out[i] = read_##name(p + i * stride * (size));                                                             \
    break

static void load_narrow(GpudlDType dtype, const char *p, int64_t stride, int64_t n, double *out)
{
    if (gpudl_is_narrow_float(dtype))
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)gpudl_narrow_to_f32(dtype, (uint8_t)p[i * stride]);
    else if (gpudl_is_narrow_integer(dtype))
        for (int64_t i = 0; i < n; i++)
            out[i] = gpudl_narrow_to_int(dtype, (uint8_t)p[i * stride]);
}

void gpudl_ref_load_f64(GpudlDType dtype, const void *base, int64_t index, int64_t stride, int64_t n, double *out)
{
    const char *p = (const char *)base + index * (int64_t)gpudl_dtype_size(dtype);

    switch (dtype) {
    case GPUDL_DTYPE_F32:
        LOAD(f32, 4);
    case GPUDL_DTYPE_F16:
        LOAD(f16, 2);
    case GPUDL_DTYPE_BF16:
        LOAD(bf16, 2);
    case GPUDL_DTYPE_F64:
        LOAD(f64, 8);
    case GPUDL_DTYPE_I8:
        LOAD(i8, 1);
    case GPUDL_DTYPE_U8:
        LOAD(u8, 1);
    case GPUDL_DTYPE_I16:
        LOAD(i16, 2);
    case GPUDL_DTYPE_U16:
        LOAD(u16, 2);
    case GPUDL_DTYPE_I32:
        LOAD(i32, 4);
    case GPUDL_DTYPE_U32:
        LOAD(u32, 4);
    case GPUDL_DTYPE_I64:
        LOAD(i64, 8);
    case GPUDL_DTYPE_U64:
        LOAD(u64, 8);
    case GPUDL_DTYPE_BOOL:
        LOAD(bool, 1);
    default:
        load_narrow(dtype, p, stride, n, out);
        break;
    }
}

void gpudl_ref_load_i64(GpudlDType dtype, const void *base, int64_t index, int64_t stride, int64_t n, int64_t *out)
{
    const char *p = (const char *)base + index * (int64_t)gpudl_dtype_size(dtype);

    switch (dtype) {
    case GPUDL_DTYPE_I8:
        LOAD(i8, 1);
    case GPUDL_DTYPE_U8:
        LOAD(u8, 1);
    case GPUDL_DTYPE_I16:
        LOAD(i16, 2);
    case GPUDL_DTYPE_U16:
        LOAD(u16, 2);
    case GPUDL_DTYPE_I32:
        LOAD(i32, 4);
    case GPUDL_DTYPE_U32:
        LOAD(u32, 4);
    case GPUDL_DTYPE_I64:
    case GPUDL_DTYPE_U64:
        LOAD(i64, 8);
    case GPUDL_DTYPE_BOOL:
        LOAD(bool, 1);
    default:
        if (gpudl_is_narrow_integer(dtype))
            for (int64_t i = 0; i < n; i++)
                out[i] = gpudl_narrow_to_int(dtype, (uint8_t)p[i * stride]);
        break;
    }
}

void gpudl_ref_gather_f64(GpudlDType dtype, const void *base, int64_t index, const int64_t *offsets, int64_t n,
                          double *out)
{
    const char *p = (const char *)base + index * (int64_t)gpudl_dtype_size(dtype);

    if (dtype == GPUDL_DTYPE_F32) {
        for (int64_t i = 0; i < n; i++)
            out[i] = offsets[i] < 0 ? 0 : read_f32(p + offsets[i] * 4);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        out[i] = 0;
        if (offsets[i] >= 0)
            gpudl_ref_load_f64(dtype, base, index + offsets[i], 1, 1, &out[i]);
    }
}

static inline int64_t to_integer(double v, int64_t low, int64_t high)
{
    /* (double)high may round up to the next power of two: compare with >=, the cast below must stay in range */
    if (!(v > (double)low))
        return isnan(v) ? 0 : low;
    if (v >= (double)high)
        return high;
    return (int64_t)v;
}

static inline uint64_t to_unsigned64(double v)
{
    if (!(v > 0))
        return 0;
    return v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
}

#define STORE(name, size, convert)                                                                                     \
    for (int64_t i = 0; i < n; i++)                                                                                    \
        write_##name(p + i * stride * (size), convert);                                                                \
    break

static void store_narrow(GpudlDType dtype, char *p, int64_t stride, int64_t n, const double *in)
{
    if (gpudl_is_narrow_float(dtype))
        for (int64_t i = 0; i < n; i++)
            p[i * stride] = (char)gpudl_f64_to_narrow(dtype, in[i], 1);
    else if (gpudl_is_narrow_integer(dtype))
        for (int64_t i = 0; i < n; i++)
            p[i * stride] = (char)gpudl_int_to_narrow(dtype, to_integer(in[i], INT64_MIN, INT64_MAX));
}

void gpudl_ref_store_f64(GpudlDType dtype, void *base, int64_t index, int64_t stride, int64_t n, const double *in)
{
    char *p = (char *)base + index * (int64_t)gpudl_dtype_size(dtype);

    switch (dtype) {
    case GPUDL_DTYPE_F32:
        STORE(f32, 4, (float)in[i]);
    case GPUDL_DTYPE_F16:
        STORE(f16, 2, in[i]);
    case GPUDL_DTYPE_BF16:
        STORE(bf16, 2, in[i]);
    case GPUDL_DTYPE_F64:
        STORE(f64, 8, in[i]);
    case GPUDL_DTYPE_I8:
        STORE(i8, 1, (int8_t)to_integer(in[i], INT8_MIN, INT8_MAX));
    case GPUDL_DTYPE_U8:
        STORE(u8, 1, (uint8_t)to_integer(in[i], 0, UINT8_MAX));
    case GPUDL_DTYPE_I16:
        STORE(i16, 2, (int16_t)to_integer(in[i], INT16_MIN, INT16_MAX));
    case GPUDL_DTYPE_U16:
        STORE(u16, 2, (uint16_t)to_integer(in[i], 0, UINT16_MAX));
    case GPUDL_DTYPE_I32:
        STORE(i32, 4, (int32_t)to_integer(in[i], INT32_MIN, INT32_MAX));
    case GPUDL_DTYPE_U32:
        STORE(u32, 4, (uint32_t)to_integer(in[i], 0, UINT32_MAX));
    case GPUDL_DTYPE_I64:
        STORE(i64, 8, to_integer(in[i], INT64_MIN, INT64_MAX));
    case GPUDL_DTYPE_U64:
        STORE(u64, 8, to_unsigned64(in[i]));
    case GPUDL_DTYPE_BOOL:
        STORE(u8, 1, in[i] != 0);
    default:
        store_narrow(dtype, p, stride, n, in);
        break;
    }
}

void gpudl_ref_store_i64(GpudlDType dtype, void *base, int64_t index, int64_t stride, int64_t n, const int64_t *in)
{
    char *p = (char *)base + index * (int64_t)gpudl_dtype_size(dtype);

    switch (dtype) {
    case GPUDL_DTYPE_I8:
    case GPUDL_DTYPE_U8:
        STORE(u8, 1, (uint8_t)in[i]);
    case GPUDL_DTYPE_I16:
    case GPUDL_DTYPE_U16:
        STORE(u16, 2, (uint16_t)in[i]);
    case GPUDL_DTYPE_I32:
    case GPUDL_DTYPE_U32:
        STORE(u32, 4, (uint32_t)in[i]);
    case GPUDL_DTYPE_I64:
    case GPUDL_DTYPE_U64:
        STORE(i64, 8, in[i]);
    case GPUDL_DTYPE_BOOL:
        STORE(u8, 1, in[i] != 0);
    default:
        if (gpudl_is_narrow_integer(dtype))
            for (int64_t i = 0; i < n; i++)
                p[i * stride] = (char)gpudl_int_to_narrow(dtype, in[i]);
        break;
    }
}

void gpudl_ref_activate_f64(const GpudlAct *act, double *v, int64_t n)
{
    const double low = act->alpha, high = act->beta;

    switch (act->kind) {
    case GPUDL_ACT_NONE:
        return;
    case GPUDL_ACT_RELU:
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] < 0 ? 0 : v[i];
        return;
    case GPUDL_ACT_CLIP:
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] < low ? low : v[i];
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] > high ? high : v[i];
        return;
    default:
        for (int64_t i = 0; i < n; i++)
            v[i] = gpudl_activate(act, v[i]);
    }
}

int gpudl_ref_act_takes_integers(const GpudlAct *act)
{
    return act->kind == GPUDL_ACT_NONE || act->kind == GPUDL_ACT_RELU || act->kind == GPUDL_ACT_CLIP;
}

void gpudl_ref_activate_i64(const GpudlAct *act, GpudlDType dtype, int64_t *v, int64_t n)
{
    int64_t low, high;

    if (act->kind == GPUDL_ACT_NONE)
        return;
    if (dtype == GPUDL_DTYPE_U64) {
        uint64_t min = act->kind == GPUDL_ACT_CLIP ? to_unsigned64(act->alpha) : 0;
        uint64_t max = act->kind == GPUDL_ACT_CLIP ? to_unsigned64(act->beta) : UINT64_MAX;

        for (int64_t i = 0; i < n; i++) {
            uint64_t x = (uint64_t)v[i];

            x = x < min ? min : x;
            v[i] = (int64_t)(x > max ? max : x);
        }
        return;
    }
    gpudl_ref_integer_range(dtype, &low, &high);
    if (act->kind == GPUDL_ACT_CLIP) {
        /* bounds between two integers: the values that lie inside them */
        int64_t min = to_integer(ceil(act->alpha), low, high), max = to_integer(floor(act->beta), low, high);

        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] < min ? min : v[i];
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] > max ? max : v[i];
    } else {
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] < 0 ? 0 : v[i];
    }
}
