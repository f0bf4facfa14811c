/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Where NVIDIA's libraries are looked for: by the module, and by what tells people which one that is. */
#ifndef GPUDL_ENGINE_CUDA_LOADER_H
#define GPUDL_ENGINE_CUDA_LOADER_H

#include <stddef.h>

/**
 * Opens the library of that name that the system's linker finds (LD_LIBRARY_PATH included), else the one in the first
 * of the folders, a list with colons, that opens. NULL if none does: the linker's words on each are in tried, of room
 * bytes.
 */
void *cuda_open_library(const char *name, const char *folders, char *tried, size_t room);

#endif
