/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "join_x86.h"

const GpudlJoinKernels *gpudl_join_native(GpudlJoinIsa isa)
{
    (void)isa;
    return NULL;
}
