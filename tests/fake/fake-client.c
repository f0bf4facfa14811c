/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests use to reach the module. */
#include <gmodule.h>
#include <string.h>

#include "tests/fake/fake.h"

#define PATIENCE_NS (60 * G_GINT64_CONSTANT(1000000000))

Fake *fake_get(const char *backend)
{
    g_auto(GStrv) folders =
        g_strsplit(g_getenv("GPUDL_BACKEND_PATH") ? g_getenv("GPUDL_BACKEND_PATH") : "", G_SEARCHPATH_SEPARATOR_S, -1);
    g_autofree gchar *name = g_strdup_printf("gpudl-%s.so", backend);
    g_autofree gchar *file = NULL;
    GModule *module;
    FakeEntry entry = NULL;
    gpointer symbol = NULL;

    for (guint i = 0; folders[i] && !(file && g_file_test(file, G_FILE_TEST_EXISTS)); i++) {
        g_free(file);
        file = g_build_filename(folders[i], name, NULL);
    }
    module = g_module_open(file ? file : name, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    if (!module || !g_module_symbol(module, FAKE_ENTRY, &symbol))
        g_error("%s is not the fake module: %s", file ? file : name, g_module_error());
    g_module_make_resident(module);
    memcpy(&entry, &symbol, sizeof entry);
    return entry();
}

void fake_lock(Fake *fake)
{
    pthread_mutex_lock(&fake->lock);
}

void fake_unlock(Fake *fake)
{
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

void fake_set(Fake *fake, uint32_t *number, uint32_t value)
{
    fake_lock(fake);
    *number = value;
    fake_unlock(fake);
}

uint32_t fake_read(Fake *fake, const uint32_t *number)
{
    uint32_t value;

    fake_lock(fake);
    value = *number;
    fake_unlock(fake);
    return value;
}

static void await(Fake *fake, const uint32_t *number, uint32_t value, gboolean exactly, const char *what)
{
    gint64 end = g_get_monotonic_time() * 1000 + PATIENCE_NS;
    struct timespec until = {(time_t)(end / 1000000000), (long)(end % 1000000000)};

    fake_lock(fake);
    while (exactly ? *number != value : *number < value)
        if (pthread_cond_timedwait(&fake->changed, &fake->lock, &until) != 0)
            g_error("the fake's %s is %u, %u was waited for", what, *number, value);
    pthread_mutex_unlock(&fake->lock);
}

void fake_await(Fake *fake, const uint32_t *number, uint32_t value, const char *what)
{
    await(fake, number, value, FALSE, what);
}

void fake_await_exactly(Fake *fake, const uint32_t *number, uint32_t value, const char *what)
{
    await(fake, number, value, TRUE, what);
}
