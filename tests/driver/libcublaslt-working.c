/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cuBLASLt that tells its version. */
#include <stddef.h>

__attribute__((visibility("default"))) size_t cublasLtGetVersion(void);

size_t cublasLtGetVersion(void)
{
    return 130102;
}
