/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps that run by kernels of our own. */
#include <stdlib.h>
#include <string.h>

#include "lower.h"

CpuOwn *cpu_own(CpuCompiler *c, const char *name, CpuOwnFunc *run, const void *problem, size_t size, uint32_t n,
                const CpuUse *uses)
{
    CpuOwn *own;
    CpuStep *step;

    for (uint32_t i = 0; i < n; i++)
        if (uses[i].value < 0) { /* without memory for a layout nothing else may have failed yet */
            cpu_fail(c, GPUDL_STATUS_FAILED, "node '%s': an operand is missing", c->plan->nodes[c->node].name);
            return NULL;
        }
    own = calloc(1, sizeof *own + n * sizeof *uses);
    if (own != NULL)
        own->problem = malloc(size);
    if (own == NULL || own->problem == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    step = cpu_add_step(c);
    if (step == NULL) {
        if (own != NULL)
            free(own->problem);
        free(own);
        return NULL;
    }
    memcpy(own->problem, problem, size);
    memcpy(own->uses, uses, n * sizeof *uses);
    own->run = run;
    own->n = n;
    step->own = own;
    step->what = name;
    for (uint32_t i = 0; i < n; i++)
        cpu_touch(c, uses[i].value);
    return own;
}
