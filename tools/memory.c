/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/memory.h"

#include <malloc.h>

void memory_give_back(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 * 1024); /* said once, the threshold does not rise with what is freed */
}
