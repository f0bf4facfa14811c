/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/plugin-file.h"

#include <dlfcn.h>
#include <elf.h>
#include <gst/gst.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "engine/gpudl.h"

#define FILE_NAME "libgstgpudl.so"
#define DESCRIPTION "gst_plugin_gpudl_get_desc" /* what GStreamer looks for in it */

/* ---- one file ---------------------------------------------------------------------------------------------------- */

/* The first bytes of an ELF file, those that all of them have in common. */
typedef struct {
    unsigned char ident[EI_NIDENT];
    guint16 type, machine;
} Header;

static gboolean read_header(const gchar *path, Header *header)
{
    FILE *file = fopen(path, "rb");
    gboolean all = file != NULL && fread(header, sizeof *header, 1, file) == 1;

    if (file != NULL)
        fclose(file);
    return all && memcmp(header->ident, ELFMAG, SELFMAG) == 0;
}

/* NULL, or what the loader would say no word about: it calls a file for another processor one that is not there. */
static gchar *check_processor(const gchar *path)
{
    Header own, other;

    if (!read_header("/proc/self/exe", &own) || !read_header(path, &other))
        return NULL;
    if (own.ident[EI_CLASS] == other.ident[EI_CLASS] && own.ident[EI_DATA] == other.ident[EI_DATA] &&
        own.machine == other.machine)
        return NULL;
    return g_strdup_printf("is for another processor: ELF machine %u, %s bits; this one is %u, %s bits", other.machine,
                           other.ident[EI_CLASS] == ELFCLASS64 ? "64" : "32", own.machine,
                           own.ident[EI_CLASS] == ELFCLASS64 ? "64" : "32");
}

/* The folder that libgpudl is in. */
static gchar *library_folder(void)
{
    Dl_info info;
    g_autofree gchar *real = NULL;

    if (dladdr((const void *)gpudl_version, &info) == 0 || info.dli_fname == NULL)
        return NULL;
    real = realpath(info.dli_fname, NULL);
    return real != NULL ? g_path_get_dirname(real) : NULL;
}

gchar *plugin_file_find_beside(const gchar *installed, const gchar *built, const gchar *name)
{
    const gchar *const places[] = {installed, built};
    g_autofree gchar *folder = library_folder();

    for (guint i = 0; i < G_N_ELEMENTS(places) && folder != NULL; i++) {
        gchar *file = g_build_filename(folder, places[i], name, NULL);

        if (g_file_test(file, G_FILE_TEST_EXISTS))
            return file;
        g_free(file);
    }
    return NULL;
}

/* NULL if the file can be loaded, else why not. Another program tries it: a damaged file may end that. */
static gchar *try_to_load(const gchar *path)
{
    g_autofree gchar *loader = plugin_file_find_beside("gpudl", "tools", "load-plugin"), *words = NULL;
    const gchar *argv[] = {loader, path, DESCRIPTION, NULL};
    g_autoptr(GError) error = NULL;
    gchar *processor = check_processor(path);
    gint status;

    if (processor != NULL)
        return processor;
    if (loader == NULL)
        return g_strdup("can't be tried: load-plugin is not installed beside libgpudl");
    if (!g_spawn_sync(NULL, (gchar **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &words, NULL, &status,
                      &error))
        return g_strdup_printf("can't be tried: %s", error->message);
    if (WIFSIGNALED(status))
        return g_strdup_printf("can't be loaded: that ends in signal %d (%s), as with a file that is damaged or cut "
                               "short",
                               WTERMSIG(status), g_strsignal(WTERMSIG(status)));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    return g_strdup_printf("can't be loaded: %s", g_strchomp(words));
}

/* The library that the loader did not find: "libx.so.1: cannot open shared object file: ..."; else NULL. */
static gchar *missing_library(const gchar *reason)
{
    g_autoptr(GRegex) regex = g_regex_new(": ([^:/ ]+): cannot open shared object file", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    return g_regex_match(regex, reason, 0, &match) ? g_match_info_fetch(match, 1) : NULL;
}

/* ---- where it is ------------------------------------------------------------------------------------------------- */

static const gchar *first_set(const gchar *versioned, const gchar *plain)
{
    const gchar *value = g_getenv(versioned);

    return value != NULL ? value : g_getenv(plain);
}

/* Deletes what GStreamer remembers of plugins; it looks at all of them anew at its next start. */
static gchar *forget_command(void)
{
    const gchar *file = first_set("GST_REGISTRY_1_0", "GST_REGISTRY"), *cache = g_getenv("XDG_CACHE_HOME");
    g_autofree gchar *quoted = NULL;

    if (file != NULL) {
        quoted = g_shell_quote(file);
        return g_strdup_printf("rm %s", quoted);
    }
    if (cache == NULL || cache[0] == '\0')
        return g_strdup("rm ~/.cache/gstreamer-1.0/registry.*.bin");
    quoted = g_shell_quote(cache);
    return g_strdup_printf("rm %s/gstreamer-1.0/registry.*.bin", quoted);
}

/* A file of the plugin's name that GStreamer's registry has; blacklisted: as one that could not be loaded. */
static gchar *find_in_registry(gboolean *blacklisted)
{
    GList *plugins = gst_registry_get_plugin_list(gst_registry_get());
    gchar *found = NULL;

    for (GList *l = plugins; l != NULL && found == NULL; l = l->next) {
        const gchar *file = gst_plugin_get_filename(l->data);
        g_autofree gchar *name = file != NULL ? g_path_get_basename(file) : NULL;

        if (g_strcmp0(name, FILE_NAME) != 0)
            continue;
        found = g_strdup(file);
        *blacklisted = GST_OBJECT_FLAG_IS_SET(l->data, GST_PLUGIN_FLAG_BLACKLISTED);
    }
    gst_plugin_list_free(plugins);
    return found;
}

static gboolean on_path(const gchar *file)
{
    const gchar *path = first_set("GST_PLUGIN_PATH_1_0", "GST_PLUGIN_PATH");
    g_auto(GStrv) folders = g_strsplit(path != NULL ? path : "", G_SEARCHPATH_SEPARATOR_S, -1);
    g_autofree gchar *folder = g_path_get_dirname(file);
    gboolean found = FALSE;

    for (guint i = 0; folders[i] != NULL && !found; i++) {
        g_autofree gchar *real = realpath(folders[i], NULL);

        found = g_strcmp0(real, folder) == 0;
    }
    return found;
}

/* ---- what is to be said ------------------------------------------------------------------------------------------ */

static gchar *mend_loading(const gchar *why, const gchar *forget)
{
    g_autofree gchar *library = missing_library(why);
    g_autofree gchar *folder = library_folder(), *quoted = folder != NULL ? g_shell_quote(folder) : NULL;

    if (library == NULL)
        return g_strdup("install the plugin again, of the same version as gpudl");
    if (quoted != NULL && g_str_has_prefix(library, "libgpudl.so."))
        return g_strdup_printf("export LD_LIBRARY_PATH=%s\"${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\"; %s", quoted,
                               forget);
    return g_strdup_printf("install the package that has %s (Debian: apt-file search %s), then: %s", library, library,
                           forget);
}

void plugin_file_explain(gchar **reason, gchar **mend)
{
    gboolean blacklisted = FALSE;
    g_autofree gchar *forget = forget_command(), *why = NULL, *folder = NULL, *quoted = NULL;
    g_autofree gchar *known = find_in_registry(&blacklisted);
    g_autofree gchar *file =
        known != NULL ? g_strdup(known) : plugin_file_find_beside("gstreamer-1.0", "plugin", FILE_NAME);

    if (file == NULL) {
        *reason = g_strdup("plugin gpudl is not found, neither by GStreamer nor beside libgpudl");
        *mend = g_strdup("install it (Debian: gstreamer1.0-gpudl), or set GST_PLUGIN_PATH to the folder of " FILE_NAME);
        return;
    }
    why = try_to_load(file);
    if (why != NULL) {
        *reason = g_strdup_printf("%s %s", file, why);
        *mend = mend_loading(why, forget);
    } else if (known != NULL && blacklisted) {
        *reason = g_strdup_printf("%s can be loaded, but GStreamer's registry has it as one that can't", file);
        *mend = g_strdup(forget);
    } else if (known != NULL || on_path(file)) {
        *reason = g_strdup_printf("%s can be loaded, but GStreamer's registry is of another time", file);
        *mend = g_strdup(forget);
    } else {
        folder = g_path_get_dirname(file);
        quoted = g_shell_quote(folder);
        *reason = g_strdup_printf("%s is not where GStreamer looks", file);
        *mend = g_strdup_printf("export GST_PLUGIN_PATH=%s\"${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}\"", quoted);
    }
}
