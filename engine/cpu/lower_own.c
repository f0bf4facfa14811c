/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps that run by kernels of our own. */
#include <stdlib.h>
#include <string.h>

#include "lower.h"

/* A step of these values, of which the first have to be there; NULL after a failure. */
static CpuStep *add_own(CpuCompiler *c, const char *what, const int32_t *values, int wanted, int n)
{
    CpuStep *step;

    for (int i = 0; i < wanted; i++)
        if (values[i] < 0)
            return NULL;
    step = cpu_add_step(c);
    if (step == NULL)
        return NULL;
    step->what = what;
    for (int i = 0; i < n; i++)
        if (values[i] >= 0)
            cpu_touch(c, values[i]);
    return step;
}

static void *copy_of(CpuCompiler *c, const void *own, size_t size)
{
    void *copy = malloc(size);

    if (copy != NULL)
        memcpy(copy, own, size);
    else
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    return copy;
}

void cpu_norm(CpuCompiler *c, const CpuNorm *norm)
{
    CpuStep *step = add_own(c, norm->kernels->name, (const int32_t[]){norm->x, norm->y, norm->scale, norm->bias}, 2, 4);

    if (step != NULL)
        step->norm = copy_of(c, norm, sizeof *norm);
}

void cpu_join(CpuCompiler *c, CpuJoin *join)
{
    CpuStep *step;
    int whole = 1;

    for (uint32_t i = 0; i < join->n; i++)
        whole = whole && join->pieces[i].value >= 0;
    step = whole ? add_own(c, join->kernels->name, (const int32_t[]){join->y, join->scale, join->shift}, 1, 3) : NULL;
    if (step == NULL) {
        free(join);
        return;
    }
    step->join = join;
    for (uint32_t i = 0; i < join->n; i++)
        cpu_touch(c, join->pieces[i].value);
}

void cpu_depthwise(CpuCompiler *c, const CpuDepthwise *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->y}, 3, 3);

    if (step != NULL)
        step->depthwise = copy_of(c, own, sizeof *own);
}

void cpu_tiles(CpuCompiler *c, const CpuTiles *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->scratch, own->y}, 4, 4);

    if (step != NULL)
        step->tiles = copy_of(c, own, sizeof *own);
}

void cpu_pointwise(CpuCompiler *c, const CpuPointwise *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->y}, 3, 3);

    if (step != NULL)
        step->pointwise = copy_of(c, own, sizeof *own);
}

void cpu_stem(CpuCompiler *c, const CpuStem *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->y}, 3, 3);

    if (step != NULL)
        step->stem = copy_of(c, own, sizeof *own);
}

void cpu_matvec(CpuCompiler *c, const CpuMatvec *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->y}, 3, 3);

    if (step != NULL)
        step->matvec = copy_of(c, own, sizeof *own);
}

void cpu_inverted(CpuCompiler *c, const CpuInverted *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->scratch, own->y}, 4, 4);

    if (step != NULL)
        step->inverted = copy_of(c, own, sizeof *own);
}

void cpu_squeeze(CpuCompiler *c, const CpuSqueeze *own)
{
    CpuStep *step = add_own(c, own->kernels->name, (const int32_t[]){own->x, own->packed, own->scratch, own->y}, 4, 4);

    if (step != NULL)
        step->squeeze = copy_of(c, own, sizeof *own);
}

void cpu_shuffle(CpuCompiler *c, const CpuShuffle *own)
{
    CpuStep *step = add_own(c, "shuffle", (const int32_t[]){own->x, own->y}, 2, 2);

    if (step != NULL)
        step->shuffle = copy_of(c, own, sizeof *own);
}
