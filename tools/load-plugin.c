/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* load-plugin FILE SYMBOL: loads a plugin's file with all that it needs. Prints the loader's words and ends with 1 if
 * that fails; a damaged file may end it by a signal. It is linked with nothing that a plugin could need, as libgpudl:
 * that has to be found by the plugin itself, as in any other program. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int say(const char *file, const char *words)
{
    /* the file is named by whoever says this */
    size_t n = strlen(file);

    puts(strncmp(words, file, n) == 0 && words[n] == ':' && words[n + 1] == ' ' ? words + n + 2 : words);
    fflush(stdout);
    return 1;
}

int main(int argc, char **argv)
{
    /* with everything bound: bound as it is called, a missing function would show at the first frame */
    void *module = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

    if (argc != 3)
        return 2;
    if (module == NULL)
        return say(argv[1], dlerror());
    if (dlsym(module, argv[2]) == NULL) {
        printf("it has no %s: it is not this plugin\n", argv[2]);
        return 1;
    }
    fflush(stdout);
    _exit(0); /* loading was asked for, nothing of it is to be ended in order */
}
