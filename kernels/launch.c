/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch.h"

static _Thread_local int is_alone;

void gpudl_launches_overlap(int may)
{
    is_alone = !may;
}

int gpudl_launches_may_overlap(void)
{
    return !is_alone;
}
