/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forecast.h"

#include <stdlib.h>

#include "compile.h"

/* A program that is compiled dry, with a table of constants of its own, in the forms that are chosen or that the tuning
 * cache knows. */
GpudlStatus cpu_foresee(const CpuShared *shared, const GpudlPlan *plan, CpuNeeds *needs, GpudlFault *fault)
{
    CpuShared dry = *shared;
    GpudlStatus status = GPUDL_STATUS_OK;
    CpuProgram *program;

    dry.packed = (CpuPackedTable){0};
    dry.compilations = shared->forms != NULL; /* forms are chosen in the first */
    if (dry.autotune != GPUDL_AUTOTUNE_OFF)
        dry.autotune = GPUDL_AUTOTUNE_KNOWN;
    dry.dry = 1;
    program = cpu_program_new(&dry, plan, 0, &status, fault);
    if (program != NULL)
        *needs = (CpuNeeds){program->weight_bytes, program->work_bytes};
    cpu_program_free(program);
    cpu_packed_clear(&dry.packed);
    if (dry.forms != shared->forms)
        free(dry.forms);
    return status;
}

static int fits(const CpuNeeds *needs, uint32_t n_slots, uint64_t limit)
{
    return needs->weight_bytes <= limit && needs->work_bytes <= (limit - needs->weight_bytes) / n_slots;
}

GpudlStatus cpu_fit(CpuShared *shared, const GpudlPlan *plan, uint32_t n_slots, uint64_t limit, CpuNeeds *needs,
                    GpudlFault *fault)
{
    CpuNeeds direct;
    GpudlStatus status = cpu_foresee(shared, plan, needs, fault);

    if (status != GPUDL_STATUS_OK || limit == 0 || fits(needs, n_slots, limit))
        return status;
    shared->direct = 1;
    status = cpu_foresee(shared, plan, &direct, fault);
    if (status == GPUDL_STATUS_OK)
        *needs = direct;
    return status;
}
