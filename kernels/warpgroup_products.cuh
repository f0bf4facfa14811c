/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The instructions behind GpudlProducts of warpgroup.cuh, which includes this: each names as many registers as its tile
 * has. */
#ifndef GPUDL_KERNELS_WARPGROUP_PRODUCTS_CUH
#define GPUDL_KERNELS_WARPGROUP_PRODUCTS_CUH

/* names of the sums of so many groups of 8 lines */
#define GPUDL_NAMES_1 "%0,%1,%2,%3"
#define GPUDL_NAMES_2 GPUDL_NAMES_1 ",%4,%5,%6,%7"
#define GPUDL_NAMES_3 GPUDL_NAMES_2 ",%8,%9,%10,%11"
#define GPUDL_NAMES_4 GPUDL_NAMES_3 ",%12,%13,%14,%15"
#define GPUDL_NAMES_5 GPUDL_NAMES_4 ",%16,%17,%18,%19"
#define GPUDL_NAMES_6 GPUDL_NAMES_5 ",%20,%21,%22,%23"
#define GPUDL_NAMES_7 GPUDL_NAMES_6 ",%24,%25,%26,%27"
#define GPUDL_NAMES_8 GPUDL_NAMES_7 ",%28,%29,%30,%31"
#define GPUDL_NAMES_9 GPUDL_NAMES_8 ",%32,%33,%34,%35"
#define GPUDL_NAMES_10 GPUDL_NAMES_9 ",%36,%37,%38,%39"
#define GPUDL_NAMES_11 GPUDL_NAMES_10 ",%40,%41,%42,%43"
#define GPUDL_NAMES_12 GPUDL_NAMES_11 ",%44,%45,%46,%47"
#define GPUDL_NAMES_13 GPUDL_NAMES_12 ",%48,%49,%50,%51"
#define GPUDL_NAMES_14 GPUDL_NAMES_13 ",%52,%53,%54,%55"
#define GPUDL_NAMES_15 GPUDL_NAMES_14 ",%56,%57,%58,%59"
#define GPUDL_NAMES_16 GPUDL_NAMES_15 ",%60,%61,%62,%63"
/* and these sums */
#define GPUDL_SUMS(i) "+f"(sum[i]), "+f"(sum[(i) + 1]), "+f"(sum[(i) + 2]), "+f"(sum[(i) + 3])
#define GPUDL_SUMS_1 GPUDL_SUMS(0)
#define GPUDL_SUMS_2 GPUDL_SUMS_1, GPUDL_SUMS(4)
#define GPUDL_SUMS_3 GPUDL_SUMS_2, GPUDL_SUMS(8)
#define GPUDL_SUMS_4 GPUDL_SUMS_3, GPUDL_SUMS(12)
#define GPUDL_SUMS_5 GPUDL_SUMS_4, GPUDL_SUMS(16)
#define GPUDL_SUMS_6 GPUDL_SUMS_5, GPUDL_SUMS(20)
#define GPUDL_SUMS_7 GPUDL_SUMS_6, GPUDL_SUMS(24)
#define GPUDL_SUMS_8 GPUDL_SUMS_7, GPUDL_SUMS(28)
#define GPUDL_SUMS_9 GPUDL_SUMS_8, GPUDL_SUMS(32)
#define GPUDL_SUMS_10 GPUDL_SUMS_9, GPUDL_SUMS(36)
#define GPUDL_SUMS_11 GPUDL_SUMS_10, GPUDL_SUMS(40)
#define GPUDL_SUMS_12 GPUDL_SUMS_11, GPUDL_SUMS(44)
#define GPUDL_SUMS_13 GPUDL_SUMS_12, GPUDL_SUMS(48)
#define GPUDL_SUMS_14 GPUDL_SUMS_13, GPUDL_SUMS(52)
#define GPUDL_SUMS_15 GPUDL_SUMS_14, GPUDL_SUMS(56)
#define GPUDL_SUMS_16 GPUDL_SUMS_15, GPUDL_SUMS(60)

/* lines: of b; groups: of 8 of these; p0 ..: names of what follows the sums; type: of T */
#define GPUDL_PRODUCTS(T, type, lines, groups, p0, p1, p2, p3, p4)                                                     \
    template <> struct GpudlProducts<T, lines> {                                                                       \
        /* both operands in shared memory */                                                                           \
        static __device__ __forceinline__ void add(float *sum, uint64_t a, uint64_t b)                                 \
        {                                                                                                              \
            GPUDL_WARPGROUP_ASM("wgmma.mma_async.sync.aligned.m64n" #lines "k16.f32." type "." type                    \
                                " {" GPUDL_NAMES_##groups "}, " p0 ", " p1 ", 1, 1, 1, 0, 0;"                          \
                                : GPUDL_SUMS_##groups                                                                  \
                                : "l"(a), "l"(b));                                                                     \
        }                                                                                                              \
        /* a in registers, as gpudl_load_matrices() gets 16 of its lines for each warp */                              \
        static __device__ __forceinline__ void add(float *sum, const unsigned (&a)[4], uint64_t b)                     \
        {                                                                                                              \
            GPUDL_WARPGROUP_ASM("wgmma.mma_async.sync.aligned.m64n" #lines "k16.f32." type "." type                    \
                                " {" GPUDL_NAMES_##groups "}, {" p0 "," p1 "," p2 "," p3 "}, " p4 ", 1, 1, 1, 0;"      \
                                : GPUDL_SUMS_##groups                                                                  \
                                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                 \
        }                                                                                                              \
    };
#define GPUDL_PRODUCTS_OF_BOTH(lines, groups, ...)                                                                     \
    GPUDL_PRODUCTS(__half, "f16", lines, groups, __VA_ARGS__)                                                          \
    GPUDL_PRODUCTS(GpudlBf16, "bf16", lines, groups, __VA_ARGS__)

GPUDL_PRODUCTS_OF_BOTH(16, 2, "%8", "%9", "%10", "%11", "%12")
GPUDL_PRODUCTS_OF_BOTH(24, 3, "%12", "%13", "%14", "%15", "%16")
GPUDL_PRODUCTS_OF_BOTH(32, 4, "%16", "%17", "%18", "%19", "%20")
GPUDL_PRODUCTS_OF_BOTH(40, 5, "%20", "%21", "%22", "%23", "%24")
GPUDL_PRODUCTS_OF_BOTH(48, 6, "%24", "%25", "%26", "%27", "%28")
GPUDL_PRODUCTS_OF_BOTH(56, 7, "%28", "%29", "%30", "%31", "%32")
GPUDL_PRODUCTS_OF_BOTH(64, 8, "%32", "%33", "%34", "%35", "%36")
GPUDL_PRODUCTS_OF_BOTH(96, 12, "%48", "%49", "%50", "%51", "%52")
GPUDL_PRODUCTS_OF_BOTH(128, 16, "%64", "%65", "%66", "%67", "%68")
#undef GPUDL_PRODUCTS_OF_BOTH
#undef GPUDL_PRODUCTS
#undef GPUDL_SUMS

#undef GPUDL_NAMES_1
#undef GPUDL_SUMS_1
#undef GPUDL_NAMES_2
#undef GPUDL_SUMS_2
#undef GPUDL_NAMES_3
#undef GPUDL_SUMS_3
#undef GPUDL_NAMES_4
#undef GPUDL_SUMS_4
#undef GPUDL_NAMES_5
#undef GPUDL_SUMS_5
#undef GPUDL_NAMES_6
#undef GPUDL_SUMS_6
#undef GPUDL_NAMES_7
#undef GPUDL_SUMS_7
#undef GPUDL_NAMES_8
#undef GPUDL_SUMS_8
#undef GPUDL_NAMES_9
#undef GPUDL_SUMS_9
#undef GPUDL_NAMES_10
#undef GPUDL_SUMS_10
#undef GPUDL_NAMES_11
#undef GPUDL_SUMS_11
#undef GPUDL_NAMES_12
#undef GPUDL_SUMS_12
#undef GPUDL_NAMES_13
#undef GPUDL_SUMS_13
#undef GPUDL_NAMES_14
#undef GPUDL_SUMS_14
#undef GPUDL_NAMES_15
#undef GPUDL_SUMS_15
#undef GPUDL_NAMES_16
#undef GPUDL_SUMS_16

#endif
