/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "isa.h"

#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>

#include "engine/module.h"
#include "kernels/rate.h"

/* What rounding has to be worth. Processors are far from it: they have 2 (AMD) or 0.5 (Intel) times as many. */
#define BF16_PAYS 1.25

#define RATE_TURNS 32
#define RATE_ROUNDS 600 /* of a turn, which takes 2 us and more */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int prefers_bf16;

/* oneDNN's numbers are sets of bits: an instruction set has those of all that it includes. */
static int has(dnnl_cpu_isa_t isa)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)isa) == (unsigned)isa;
}

int cpu_isa_has_bf16(void)
{
    return has(dnnl_cpu_isa_avx512_core_bf16);
}

/* Less of it is nothing that a turn was disturbed by. */
static void time_turn(const GpudlRate *rate, double *least)
{
    const uint64_t begin = gpudl_module_now_ns();
    const double products = rate->multiply(RATE_ROUNDS), taken = (double)(gpudl_module_now_ns() - begin) / products;

    if (*least == 0 || taken < *least)
        *least = taken;
}

/* Times as many products as in float32 that vectors multiply in bfloat16, by the best of a few short turns of each, 0.2
 * ms in all; 0 without instructions for it. */
static double measure_bf16(void)
{
    const GpudlRate *narrow = gpudl_rate(cpu_isa_simd(), GPUDL_DTYPE_BF16),
                    *wide = gpudl_rate(cpu_isa_simd(), GPUDL_DTYPE_F32);
    double narrow_ns = 0, wide_ns = 0;

    if (narrow == NULL || wide == NULL)
        return 0;
    for (int i = 0; i < RATE_TURNS; i++) {
        time_turn(narrow, &narrow_ns);
        time_turn(wide, &wide_ns);
    }
    return narrow_ns > 0 ? wide_ns / narrow_ns : 0;
}

static void find_preference(void)
{
    prefers_bf16 = cpu_isa_has_bf16() && (has(dnnl_cpu_isa_avx512_core_amx) || measure_bf16() >= BF16_PAYS);
}

int cpu_isa_prefers_bf16(void)
{
    pthread_once(&once, find_preference);
    return prefers_bf16;
}

const char *cpu_isa_name(int bf16)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_avx512_core, "AVX-512"},
        {dnnl_cpu_isa_avx2, "AVX2"},
        {dnnl_cpu_isa_avx, "AVX"},
        {dnnl_cpu_isa_sse41, "SSE4.1"},
    };

    if (bf16 && has(dnnl_cpu_isa_avx512_core_amx))
        return "AMX";
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (has(names[i].isa))
            return names[i].name;
    return "no vectors that oneDNN tells of";
}

int cpu_isa_block(void)
{
    return has(dnnl_cpu_isa_avx512_core) ? 16 : 8;
}

GpudlSimd cpu_isa_simd(void)
{
    return has(dnnl_cpu_isa_avx512_core_bf16) ? GPUDL_SIMD_AVX512_BF16
           : has(dnnl_cpu_isa_avx512_core)    ? GPUDL_SIMD_AVX512
           : has(dnnl_cpu_isa_avx2)           ? GPUDL_SIMD_AVX2
                                              : GPUDL_SIMD_GENERIC;
}

CpuPreprocIsa cpu_isa_preproc(void)
{
    CpuPreprocIsa best = cpu_preproc_best();

    if (best >= CPU_PREPROC_AVX512 && !has(dnnl_cpu_isa_avx512_core))
        best = CPU_PREPROC_AVX2;
    if (best >= CPU_PREPROC_AVX2 && !has(dnnl_cpu_isa_avx2))
        best = CPU_PREPROC_GENERIC;
    return best;
}
