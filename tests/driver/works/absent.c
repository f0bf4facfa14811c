/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions that GStreamer's CUDA library of 1.26 does not start without, and that nobody here calls. */
#include <stdio.h>
#include <stdlib.h>

#define ABSENT(name)                                                                                                   \
    __attribute__((visibility("default"), noreturn)) void name(void);                                                  \
    void name(void)                                                                                                    \
    {                                                                                                                  \
        fputs("fake driver: " #name " is called, which it does not have\n", stderr);                                   \
        abort();                                                                                                       \
    }

ABSENT(cuMemcpyDtoD_v2)
ABSENT(cuMemcpyDtoDAsync_v2)
ABSENT(cuMemcpyDtoH_v2)
ABSENT(cuMemcpyDtoHAsync_v2)
ABSENT(cuMemcpyHtoD_v2)
ABSENT(cuMemcpyHtoDAsync_v2)
ABSENT(cuMemsetD2D8_v2)
ABSENT(cuMemsetD2D8Async)
ABSENT(cuMemsetD2D16_v2)
ABSENT(cuMemsetD2D16Async)
ABSENT(cuMemsetD2D32_v2)
ABSENT(cuMemsetD2D32Async)
