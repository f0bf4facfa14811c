/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Channels of several pictures in one, bit by bit. */
#include <string.h>

#include "kernels/shuffle_cuda.h"
#include "tests/kernels/device.h"

static int32_t whole(int32_t channels)
{
    return (channels + 7) / 8 * 8;
}

/* Elements of a source end with its last channel of its last pixel: memcheck sees reads beyond. */
static size_t source_elements(int64_t pixels, int32_t pitch, int32_t channels)
{
    return (size_t)(pixels - 1) * (size_t)pitch + (size_t)channels;
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        const GpudlDType dtype = (device_case(number, "shuffle"), device_int(0, 1) ? GPUDL_DTYPE_F16 : GPUDL_DTYPE_F32);
        const size_t size = gpudl_dtype_size(dtype);
        const int64_t pixels = device_int(1, device_int(0, 3) ? 60 : 900);
        const int32_t n = (int32_t)device_int(1, GPUDL_SHUFFLE_SOURCES), channels = (int32_t)device_int(1, 70);
        const int32_t made = whole(channels), y_pitch = made + 8 * (int32_t)device_int(0, 2);
        const size_t bytes = (size_t)pixels * (size_t)y_pitch * size;
        GpudlShuffleSource sources[GPUDL_SHUFFLE_SOURCES];
        const uint8_t *host[GPUDL_SHUFFLE_SOURCES], *found;
        int32_t have[GPUDL_SHUFFLE_SOURCES];
        uint8_t *expected = device_host(bytes);
        uint32_t *from = device_host((size_t)made * sizeof *from);
        void *y;

        for (int32_t s = 0; s < n; s++) {
            uint8_t *values;
            size_t room;

            have[s] = (int32_t)device_int(1, 40);
            sources[s].pitch = have[s] + (int32_t)device_int(0, 9);
            room = source_elements(pixels, sources[s].pitch, have[s]) * size;
            host[s] = values = device_host(room);
            for (size_t b = 0; b < room; b++)
                values[b] = (uint8_t)device_bits();
            sources[s].data = device_input(values, room, size * (size_t)device_int(0, 3));
        }
        for (int32_t c = 0; c < made; c++) {
            const int32_t s = (int32_t)device_int(0, n - 1);

            from[c] = c >= channels || device_int(0, 9) == 0 ? GPUDL_SHUFFLE_ZERO
                                                             : GPUDL_SHUFFLE_FROM(s, device_int(0, have[s] - 1));
        }
        memset(expected, 0xff, bytes);
        for (int64_t i = 0; i < pixels * made; i++) {
            const int64_t pixel = i / made, c = i % made;
            uint8_t *to = expected + (size_t)(pixel * y_pitch + c) * size;

            if (from[c] == GPUDL_SHUFFLE_ZERO)
                memset(to, 0, size);
            else
                memcpy(to,
                       host[from[c] >> 24] +
                           (size_t)(pixel * sources[from[c] >> 24].pitch + (from[c] & 0xffffff)) * size,
                       size);
        }
        y = device_output(bytes, 0);
        device_note(", %d sources, %d pixels of %d channels, pitch %d, %d bytes", n, (int)pixels, made, y_pitch,
                    (int)size);
        device_done(gpudl_shuffle_cuda(dtype, sources, n, device_input(from, (size_t)made * sizeof *from, 0), pixels,
                                       made, y_pitch, y, NULL));
        found = device_fetch(y, bytes);
        for (size_t b = 0; b < bytes; b++)
            if (found[b] != expected[b])
                device_fail("byte %d is %d, expected %d", (int)b, found[b], expected[b]);
    }
}

static void test_refuses(void)
{
    const uint32_t from[16] = {0};
    const GpudlShuffleSource source = {device_input(from, sizeof from, 0), 8};
    const uint32_t *table = device_input(from, sizeof from, 0);
    void *y = device_output(256, 0);

    if (gpudl_shuffle_cuda(GPUDL_DTYPE_F64, &source, 1, table, 2, 8, 8, y, NULL) != GPUDL_KERNEL_DTYPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, 0, table, 2, 8, 8, y, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, GPUDL_SHUFFLE_SOURCES + 1, table, 2, 8, 8, y, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, 1, table, 0, 8, 8, y, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, 1, table, 2, 4, 8, y, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, 1, table, 2, 16, 8, y, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, 1, table, 2, 8, 12, y, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_shuffle_cuda(GPUDL_DTYPE_F16, &source, 1, table, (int64_t)1 << 28, 8, 8, y, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
}

/* ---- benches ----------------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlShuffleSource sources[2];
    const uint32_t *from;
    int64_t pixels;
    void *y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_shuffle_cuda(GPUDL_DTYPE_F16, b->sources, 2, b->from, b->pixels, 64, 64, b->y, stream);
}

/* As ShuffleNetV2 has it: the second half of what two branches of 58 channels are dealt out to. */
static void bench_images(int images, const char *name)
{
    Bench b = {.pixels = (int64_t)images * 28 * 28};
    const size_t bytes = (size_t)b.pixels * 64 * 2;
    uint32_t from[64];

    device_case(images, "bench");
    for (int c = 0; c < 64; c++)
        from[c] = c < 58 ? GPUDL_SHUFFLE_FROM((58 + c) % 2, (58 + c) / 2) : GPUDL_SHUFFLE_ZERO;
    b.sources[0] = b.sources[1] = (GpudlShuffleSource){device_noise(bytes), 64};
    b.sources[1].data = device_noise(bytes);
    b.from = device_input(from, sizeof from, 0);
    b.y = device_output(bytes, 0);
    device_bench(name, launch, &b, 20, 2.0 * (double)b.pixels * 58 * 2);
}

static void bench(void)
{
    bench_images(1, "58 of 116 channels, 28x28, 1 image");
    bench_images(32, "58 of 116 channels, 28x28, 32 images");
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"shuffle", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
