/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shuffle.h"

/* elements at any address */
typedef uint16_t Half __attribute__((aligned(1), may_alias));
typedef uint32_t Word __attribute__((aligned(1), may_alias));

/* Compilers make instructions that interleave vectors of loops over two groups. */
#define SHUFFLE(name, type)                                                                                            \
    static void two_##name(const type *restrict a, const type *restrict b, int64_t size, type *restrict y)             \
    {                                                                                                                  \
        for (int64_t i = 0; i < size; i++) {                                                                           \
            y[2 * i] = a[i];                                                                                           \
            y[2 * i + 1] = b[i];                                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void any_##name(const type *restrict x, int64_t groups, int64_t size, type *restrict y)                     \
    {                                                                                                                  \
        for (int64_t j = 0; j < groups; j++)                                                                           \
            for (int64_t i = 0; i < size; i++)                                                                         \
                y[i * groups + j] = x[j * size + i];                                                                   \
    }                                                                                                                  \
                                                                                                                       \
    static void shuffle_##name(const type *x, int64_t pixels, int64_t groups, int64_t size, type *y)                   \
    {                                                                                                                  \
        for (int64_t pixel = 0; pixel < pixels; pixel++, x += groups * size, y += groups * size) {                     \
            if (groups == 2)                                                                                           \
                two_##name(x, x + size, size, y);                                                                      \
            else                                                                                                       \
                any_##name(x, groups, size, y);                                                                        \
        }                                                                                                              \
    }

SHUFFLE(halves, Half)
SHUFFLE(words, Word)

void gpudl_shuffle(const void *x, int64_t pixels, int64_t groups, int64_t size, size_t element, void *y)
{
    if (element == sizeof(uint16_t))
        shuffle_halves(x, pixels, groups, size, y);
    else
        shuffle_words(x, pixels, groups, size, y);
}
