/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * libFuzzer's entry point, and a main() that replays files where libFuzzer is not built in:
 *
 *     fuzz PARSER OPTION... CORPUS...       scripts/fuzz builds and runs it: make fuzz PARSER=...
 *     fuzz-replay PARSER FILE_OR_FOLDER...
 *
 * Without a parser's name the names are printed, one a line.
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parsers.h"

#define CHOICE "GPUDL_FUZZ_PARSER" /* libFuzzer starts itself anew with its own arguments alone */

#define ROOM ((gsize)4 << 20)

static const FuzzParser *const tables[] = {fuzz_models, fuzz_pieces, fuzz_tools};
static FuzzFunc *chosen;

static FuzzFunc *find(const gchar *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const FuzzParser *parser = tables[i]; parser->name != NULL; parser++)
            if (g_strcmp0(parser->name, name) == 0)
                return parser->run;
    return NULL;
}

/* Takes the name out of the arguments; FALSE: there is none, and the names are printed. */
static gboolean choose(int *argc, char **argv)
{
    if (*argc > 1 && find(argv[1]) != NULL) {
        g_setenv(CHOICE, argv[1], TRUE);
        for (int i = 1; i < *argc; i++)
            argv[i] = argv[i + 1];
        (*argc)--;
    }
    chosen = find(g_getenv(CHOICE));
    if (chosen != NULL)
        return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const FuzzParser *parser = tables[i]; parser->name != NULL; parser++)
            g_print("%s\n", parser->name);
    return FALSE;
}

const gchar *fuzz_as_file(const guint8 *data, gsize size)
{
    static int fd = -1;
    static gchar *path;

    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        g_assert_cmpint(fd, >=, 0);
        path = g_strdup_printf("/proc/self/fd/%d", fd);
    }
    g_assert_cmpint(ftruncate(fd, 0), ==, 0);
    g_assert_cmpint(pwrite(fd, data, size, 0), ==, (gssize)size);
    return path;
}

/* A copy behind which no memory is: libraries that are not compiled with a sanitizer read past it no more than we do.
 */
static const guint8 *before_nothing(const guint8 *data, gsize size)
{
    static guint8 *room;
    const gsize page = (gsize)sysconf(_SC_PAGESIZE);

    if (size == 0 || size > ROOM)
        return size > 0 ? data : NULL; /* as GBytes has it */
    if (room == NULL) {
        room = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(room != MAP_FAILED && mprotect(room + ROOM, page, PROT_NONE) == 0);
    }
    memcpy(room + ROOM - size, data, size);
    return room + ROOM - size;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* g_error() ends in a trap, of which libFuzzer does not know: the input would not be kept. */
static void on_trap(int number)
{
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    signal(SIGTRAP, on_trap);
    g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
    if (!choose(argc, *argv))
        _exit(2);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    chosen(before_nothing(data, size), size);
    return 0;
}

#ifndef GPUDL_LIBFUZZER
static guint replay(const gchar *path)
{
    GDir *folder = g_dir_open(path, 0, NULL);
    g_autofree gchar *data = NULL;
    g_autoptr(GError) error = NULL;
    const gchar *name;
    guint n = 0;
    gsize size;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree gchar *inside = g_build_filename(path, name, NULL);

        n += replay(inside);
    }
    if (folder != NULL) {
        g_dir_close(folder);
        return n;
    }
    g_file_get_contents(path, &data, &size, &error);
    g_assert_no_error(error);
    LLVMFuzzerTestOneInput((const uint8_t *)data, size);
    return 1;
}

int main(int argc, char **argv)
{
    guint n = 0;

    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        n += replay(argv[i]);
    g_print("%u files\n", n);
    return n > 0 ? 0 : 1;
}
#endif
