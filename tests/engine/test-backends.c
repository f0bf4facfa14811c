/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules that do not fit are refused, with a message that says what to do. A module is looked at until it fits, and
 * then stays: what is refused comes first in each test, which has a process of its own. */
#include <string.h>

#include "engine/interface.h"
#include "session-test.h"

static void check_unfit(Fake *fake, const gchar *text)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig config = {.backend = fake->whole->name};

    check_refused(model, &config, GPUDL_ERROR_BACKEND, text);
    check_refused(model, &config, GPUDL_ERROR_BACKEND, "has to be built together with this libgpudl");
    check_refused(model, &config, GPUDL_ERROR_BACKEND, GPUDL_BACKEND_INTERFACE);
    check_refused(model, &config, GPUDL_ERROR_BACKEND, fake->whole->name);
}

static void check_fit(Fake *fake)
{
    g_autoptr(GpudlModel) model = make_model();

    gpudl_session_unref(acquire(model, fake->whole->name));
}

static void other_interfaces(const gchar *backend)
{
    Fake *fake = fake_begin(backend);

    fake->interface = "00000000000000000000000000000000"; /* says no by itself */
    check_unfit(fake, "another version of the backend interface");
    fake->reset();
    fake->table->interface = "00000000000000000000000000000000"; /* or is seen to be another */
    check_unfit(fake, "another version of the backend interface");
    fake->table->interface = NULL;
    check_unfit(fake, "another version of the backend interface");
    fake->reset();
    fake->table->abi_version = GPUDL_BACKEND_ABI + 1;
    check_unfit(fake, "another version of the backend interface");
    fake->reset();
    check_fit(fake);
}

static void lacking_functions(const gchar *backend)
{
    Fake *fake = fake_begin(backend);

#define LACKS(function)                                                                                                \
    fake->reset();                                                                                                     \
    fake->table->function = NULL;                                                                                      \
    check_unfit(fake, "lacks a function");
    LACKS(name)
    LACKS(probe)
    LACKS(devices)
    LACKS(resolve)
    LACKS(open)
    LACKS(close)
    LACKS(submit)
    LACKS(wait)
    LACKS(run_tensors)
    LACKS(run_preproc)
#undef LACKS
#define LACKS(function)                                                                                                \
    fake->reset();                                                                                                     \
    *fake->table = *fake->whole;                                                                                       \
    fake->table->function = NULL;                                                                                      \
    check_unfit(fake, "has one function of a group");
    LACKS(device_open)
    LACKS(device_close)
    LACKS(host_alloc)
    LACKS(host_free)
    LACKS(stage)
    LACKS(unstage)
    LACKS(ticket_free)
#undef LACKS
    fake->reset();
    fake->table->idle = NULL;
    fake->table->profile = NULL;
    check_fit(fake);
}

static void test_other_interfaces_are_refused(gconstpointer backend)
{
    if (g_test_subprocess()) {
        other_interfaces(backend);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

static void test_lacking_functions_are_refused(gconstpointer backend)
{
    if (g_test_subprocess()) {
        lacking_functions(backend);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_for_both("/backends", "other-interfaces-are-refused", test_other_interfaces_are_refused);
    add_for_both("/backends", "lacking-functions-are-refused", test_lacking_functions_are_refused);
    return g_test_run();
}
