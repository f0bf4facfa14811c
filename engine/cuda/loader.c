/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/cuda/loader.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void add(char *tried, size_t room, const char *text)
{
    size_t used = strlen(tried);

    snprintf(tried + used, room - used, "%s%s", used > 0 ? "; " : "", text != NULL ? text : "unknown error");
}

void *cuda_open_library(const char *name, const char *folders, char *tried, size_t room)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    char path[PATH_MAX];

    tried[0] = '\0';
    if (library == NULL)
        add(tried, room, dlerror());
    while (library == NULL && *folders != '\0') {
        const int length = (int)strcspn(folders, ":");

        if (snprintf(path, sizeof path, "%.*s/%s", length, folders, name) < (int)sizeof path) {
            library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
            if (library == NULL)
                add(tried, room, dlerror());
        }
        folders += length + (folders[length] == ':');
    }
    return library;
}
