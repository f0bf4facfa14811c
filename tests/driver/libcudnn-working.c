/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cuDNN of the version VERSION that has all that is looked for, and does none of it. */
#include <stddef.h>

#define VISIBLE __attribute__((visibility("default")))

VISIBLE size_t cudnnGetVersion(void);

size_t cudnnGetVersion(void)
{
    return VERSION;
}

#define FAILS(name_)                                                                                                   \
    VISIBLE int name_(void);                                                                                           \
    int name_(void)                                                                                                    \
    {                                                                                                                  \
        return 1;                                                                                                      \
    }

FAILS(cudnnCreate)
FAILS(cudnnDestroy)
FAILS(cudnnSetStream)
FAILS(cudnnGetErrorString)
FAILS(cudnnGetLastErrorString)
FAILS(cudnnBackendCreateDescriptor)
FAILS(cudnnBackendDestroyDescriptor)
FAILS(cudnnBackendFinalize)
FAILS(cudnnBackendSetAttribute)
FAILS(cudnnBackendGetAttribute)
FAILS(cudnnBackendExecute)
