/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies, padding and gathering against the references, bit by bit, of any type in layouts of all kinds. */
#include "kernels/movement_cuda.h"
#include "tests/kernels/device.h"
#include "tests/kernels/strided.h"

#define MOST 20000 /* elements of a tensor */

static GpudlDType any_type(void)
{
    return (GpudlDType)device_int(GPUDL_DTYPE_F32, GPUDL_DTYPE_LAST);
}

static void test_copy(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlDType dtype = (device_case(number, "copy"), any_type());
        const GpudlShape shape = strided_shape(0, 6, MOST);
        const Strided x = strided_input(dtype, &shape, 1), y = strided_output(dtype, &shape);
        const GpudlTensorView expected = strided_dense(&x, dtype);

        device_done(gpudl_copy_cuda(&shape, &x.strided, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

static void test_pad(void)
{
    for (int number = 0; number < device_cases(400); number++) {
        const GpudlDType dtype = (device_case(number, "pad"), any_type());
        const GpudlPadding padding = (GpudlPadding)device_int(0, GPUDL_PADDING_WRAP);
        const double value = device_int(0, 2) ? device_real(-3, 3) : 0;
        const GpudlShape shape = strided_shape(0, 5, MOST / 4);
        int64_t begin[GPUDL_MAX_RANK] = {0}, end[GPUDL_MAX_RANK] = {0};
        GpudlShape padded = shape;
        GpudlTensorView dense, expected;
        Strided x, y;

        for (int d = 0; d < shape.rank; d++) {
            if (device_int(0, 1))
                continue;
            begin[d] = device_int(-1, 6);
            end[d] = device_int(-1, 6);
            if (shape.dims[d] + begin[d] + end[d] < 1)
                begin[d] = 1;
            padded.dims[d] = shape.dims[d] + begin[d] + end[d];
        }
        x = strided_input(dtype, &shape, 1);
        y = strided_output(dtype, &padded);
        device_note(", mode %d value %g begin", padding, value);
        for (int d = 0; d < shape.rank; d++)
            device_note(" %d", (int)begin[d]);
        dense = strided_dense(&x, dtype);
        expected = strided_room(dtype, &padded);
        if (gpudl_pad_ref(padding, &dense, begin, end, value, &expected, NULL) != 0)
            device_fail("the reference refuses");
        device_done(gpudl_pad_cuda(padding, &shape, &x.strided, begin, value, &padded, &y.strided, NULL));
        strided_compare(&y, &expected, NULL);
    }
}

/* Within the reference's range, or all outside, whose elements have all bits set. */
static void gather(int number, int outside)
{
    const GpudlDType dtype = (device_case(number, "gather"), any_type());
    const GpudlDType index_type = device_int(0, 1) ? GPUDL_DTYPE_I32 : GPUDL_DTYPE_I64;
    const GpudlShape shape = strided_shape(1, 4, MOST / 8), index_shape = strided_shape(0, 2, 40);
    const int32_t axis = (int32_t)device_int(0, shape.rank - 1);
    const int64_t n = gpudl_shape_elements(&index_shape), extent = shape.dims[axis];
    GpudlTensorView indices = strided_room(index_type, &index_shape), dense, expected;
    GpudlShape gathered = {.rank = shape.rank - 1 + index_shape.rank};
    Strided x, y, i;

    for (int64_t k = 0; k < n; k++) {
        const int64_t beyond = device_int(0, 1) ? extent + device_int(0, 3) : -extent - 1 - device_int(0, 3),
                      index = outside ? beyond : device_int(-extent, extent - 1);

        if (index_type == GPUDL_DTYPE_I32)
            ((int32_t *)indices.data)[k] = (int32_t)index;
        else
            ((int64_t *)indices.data)[k] = index;
    }
    for (int d = 0; d < gathered.rank; d++)
        gathered.dims[d] = d < axis                      ? shape.dims[d]
                           : d < axis + index_shape.rank ? index_shape.dims[d - axis]
                                                         : shape.dims[d - index_shape.rank + 1];
    x = strided_input(dtype, &shape, 1);
    i = strided_input_of(index_type, &index_shape, indices.data);
    y = strided_output(dtype, &gathered);
    device_note(", axis %d", axis);
    dense = strided_dense(&x, dtype);
    expected = strided_room(dtype, &gathered);
    if (outside) {
        /* memory has all bits set before: other values first */
        const Strided zeros = strided_input_of(index_type, &index_shape, strided_room(index_type, &index_shape).data);

        device_done(gpudl_gather_cuda(&shape, &x.strided, &index_shape, &zeros.strided, axis, &y.strided, NULL));
        for (size_t b = 0; b < (size_t)gpudl_shape_elements(&gathered) * gpudl_dtype_size(dtype); b++)
            ((uint8_t *)expected.data)[b] = 0xff;
    } else if (gpudl_gather_ref(&dense, &indices, axis, &expected, NULL) != 0)
        device_fail("the reference refuses");
    device_done(gpudl_gather_cuda(&shape, &x.strided, &index_shape, &i.strided, axis, &y.strided, NULL));
    strided_compare(&y, &expected, NULL);
}

static void test_gather(void)
{
    for (int number = 0; number < device_cases(300); number++)
        gather(number, 0);
}

static void test_outside(void)
{
    for (int number = 0; number < device_cases(40); number++)
        gather(number, 1);
}

static void test_refuses(void)
{
    const GpudlShape shape = {2, {4, 8}}, empty = {2, {0, 8}};
    const int64_t none[2] = {0, 0};
    const GpudlStrided good = {GPUDL_DTYPE_F32, device_output(256, 0), {8, 1}},
                       other = {GPUDL_DTYPE_F16, good.data, {8, 1}}, backwards = {GPUDL_DTYPE_F32, good.data, {-8, 1}},
                       unknown = {GPUDL_DTYPE_NONE, good.data, {8, 1}};

    if (gpudl_copy_cuda(&shape, &good, &other, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_copy_cuda(&shape, &unknown, &unknown, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_copy_cuda(&shape, &good, &backwards, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_copy_cuda(&empty, &good, &good, NULL) != GPUDL_KERNEL_OK ||
        gpudl_pad_cuda(GPUDL_PADDING_EDGE, &empty, &good, none, 0, &shape, &good, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_pad_cuda((GpudlPadding)9, &shape, &good, none, 0, &shape, &good, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_gather_cuda(&shape, &good, &shape, &good, 0, &good, NULL) != GPUDL_KERNEL_DTYPE)
        device_fail("a call that can't be served was not refused");
}

typedef struct {
    GpudlShape shape, padded;
    GpudlStrided x, y;
} Bench;

static int launch_pad(void *data, int i, GpudlKernelStream stream)
{
    static const int64_t begin[] = {0, 0, 1, 1};
    const Bench *b = data;

    return gpudl_pad_cuda(GPUDL_PADDING_CONSTANT, &b->shape, &b->x, begin, 0, &b->padded, &b->y, stream);
}

static void bench(void)
{
    Bench b = {.shape = {4, {32, 64, 112, 112}}, .padded = {4, {32, 64, 114, 114}}};
    const size_t from = (size_t)gpudl_shape_elements(&b.shape) * 2, to = (size_t)gpudl_shape_elements(&b.padded) * 2;

    device_case(0, "bench");
    b.x = (GpudlStrided){GPUDL_DTYPE_F16, device_noise(from), {64 * 112 * 112, 1, 64 * 112, 64}};
    b.y = (GpudlStrided){GPUDL_DTYPE_F16, device_output(to, 0), {64 * 114 * 114, 1, 64 * 114, 64}};
    device_bench("padding 32x64x112x112 by 1", launch_pad, &b, 10, (double)(from + to));
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"copy", test_copy},       {"pad", test_pad},         {"gather", test_gather},
                                         {"outside", test_outside}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"pad", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
