/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"

/* Counted up where other implementations than before are measured, or differently. */
#define CPU_WAYS 6

void cpu_name_processor(char *name, size_t room)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256], model[96];

    snprintf(name, room, "CPU");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "model name : %80[^\n]", model) == 1) {
            snprintf(name, room, "%s", model);
            break;
        }
    if (file != NULL)
        fclose(file);
}

int cpu_share_cache(CpuShared *shared, const GpudlOpenParams *params)
{
    const dnnl_version_t *version = dnnl_version();
    char model[96], line[256];

    if (shared->autotune == GPUDL_AUTOTUNE_OFF || params->cache_dir == NULL)
        return 1;
    cpu_name_processor(model, sizeof model);
    snprintf(line, sizeof line, "%s, %s, instructions %x, oneDNN %d.%d.%d, ways %d", model, cpu_isa_name(0),
             (unsigned)dnnl_get_effective_cpu_isa(), version->major, version->minor, version->patch, CPU_WAYS);
    return gpudl_cache_open(&shared->cache, "cpu", params->cache_dir, GPUDL_CPU_TUNING_DIR, line);
}

/* The form that every convolution which has it is to take, for finding out what each does; "first": nothing is chosen.
 */
static void force_form(CpuShared *shared)
{
    static const char *const names[] = {"first", "blocks", "last", "own", "strips"};
    _Static_assert(sizeof names / sizeof *names == CPU_FORMS, "each form has a name");
    const char *name = getenv("GPUDL_CPU_FORM");

    for (int i = 0; i < CPU_FORMS && name != NULL; i++)
        if (strcmp(name, names[i]) == 0) {
            shared->forced = (CpuForm)i;
            shared->autotune = GPUDL_AUTOTUNE_OFF;
        }
}

void cpu_share(CpuShared *shared, const GpudlHost *host, const GpudlOpenParams *params)
{
    *shared = (CpuShared){.host = host,
                          .type = params->precision == GPUDL_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32,
                          .autotune = params->autotune,
                          .packers = params->threads};
    force_form(shared);
}
