/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What cards could do, against the data sheets of some. */
#include <glib.h>

#include "engine/cuda/peaks.h"

/* At the clock that a data sheet's figures are for; in 10^9 bytes and 10^12 operations. */
static const struct {
    const gchar *name;
    CudaCard card;
    double bytes, half, bf16, tf32, fp32;
} cards[] = {
    {"T4", {7, 5, 40, 1590000, 5001000, 256}, 320, 65, 8.1, 8.1, 8.1},
    {"A100", {8, 0, 108, 1410000, 1593000, 5120}, 2039, 312, 312, 156, 19.5},
    {"A40", {8, 6, 84, 1740000, 7251000, 384}, 696, 149.7, 149.7, 74.8, 37.4},
    {"L40S", {8, 9, 142, 2520000, 9001000, 384}, 864, 362, 362, 183, 91.6},
    {"H100", {9, 0, 132, 1830000, 2619000, 5120}, 3350, 989, 989, 494.7, 61.8},
    {"H100's own float32 clock", {9, 0, 132, 1980000, 2619000, 5120}, 3350, 1070, 1070, 535, 66.9},
};

static void check(double found, double expected)
{
    g_assert_cmpfloat(found, >=, 0.98 * expected);
    g_assert_cmpfloat(found, <=, 1.02 * expected);
}

static void test_cards(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(cards); i++) {
        GpudlBackendDevice device = {.id = 3};

        g_test_message("%s", cards[i].name);
        cuda_peaks(&cards[i].card, &device);
        check((double)device.bytes_per_second / 1e9, cards[i].bytes);
        check((double)device.flops_per_second[GPUDL_PRECISION_FP16] / 1e12, cards[i].half);
        check((double)device.flops_per_second[GPUDL_PRECISION_BF16] / 1e12, cards[i].bf16);
        check((double)device.flops_per_second[GPUDL_PRECISION_TF32] / 1e12, cards[i].tf32);
        check((double)device.flops_per_second[GPUDL_PRECISION_FP32] / 1e12, cards[i].fp32);
        g_assert_cmpuint(device.flops_per_second[GPUDL_PRECISION_AUTO], ==, 0);
        g_assert_cmpuint(device.flops_per_second[GPUDL_PRECISION_INT8], ==, 0);
        g_assert_cmpint(device.id, ==, 3);
    }
}

/* Nothing is said of what is not known: a generation that came later, a driver that does not tell its clocks. */
static void test_unknown(void)
{
    const CudaCard later = {99, 0, 200, 2000000, 3000000, 8192}, silent = {9, 0, 132, 0, 0, 5120};
    GpudlBackendDevice device = {.flops_per_second = {1, 2, 3, 4, 5, 6, 7}};

    cuda_peaks(&later, &device);
    g_assert_cmpuint(device.bytes_per_second, ==, G_GUINT64_CONSTANT(6144000000000));
    for (guint p = 0; p < G_N_ELEMENTS(device.flops_per_second); p++)
        g_assert_cmpuint(device.flops_per_second[p], ==, 0);
    cuda_peaks(&silent, &device);
    g_assert_cmpuint(device.bytes_per_second, ==, 0);
    for (guint p = 0; p < G_N_ELEMENTS(device.flops_per_second); p++)
        g_assert_cmpuint(device.flops_per_second[p], ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-peaks/cards", test_cards);
    g_test_add_func("/cuda-peaks/unknown", test_unknown);
    return g_test_run();
}
