/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/interrupt.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/command.h"

static struct {
    int pipe[2];
    GThread *thread;
    GCancellable *cancellable;
    struct sigaction before;
    gboolean handled;
    gint limit_ms; /* atomic; 0: none */
} state;

/* Nothing but write() may be called here: cancelling takes locks. */
static void on_interrupt(int number)
{
    const char byte = 'c';
    gssize n = write(state.pipe[1], &byte, 1);

    (void)n;
}

/* Returns when interrupt_end() is called before. Whoever is late may hold a lock of stdio. */
static void end_after_limit(void)
{
    struct pollfd closing = {.fd = state.pipe[0], .events = POLLIN};
    gint ms = g_atomic_int_get(&state.limit_ms);

    if (ms > 0 && poll(&closing, 1, ms) == 0)
        _exit(EXIT_INTERRUPTED);
}

/* 'c': cancel, anything else: the end. */
static gpointer watch(gpointer data)
{
    char byte;

    for (;;) {
        gssize n = read(state.pipe[0], &byte, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n != 1 || byte != 'c')
            return NULL;
        g_cancellable_cancel(state.cancellable);
        end_after_limit();
    }
}

void interrupt_limit(guint ms)
{
    g_atomic_int_set(&state.limit_ms, (gint)ms);
}

GCancellable *interrupt_begin(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND | SA_RESTART};

    state.cancellable = g_cancellable_new();
    state.handled = FALSE;
    g_atomic_int_set(&state.limit_ms, 0);
    if (sigaction(SIGINT, NULL, &state.before) != 0 || state.before.sa_handler == SIG_IGN ||
        !g_unix_open_pipe(state.pipe, FD_CLOEXEC, NULL))
        return g_object_ref(state.cancellable);
    state.thread = g_thread_try_new("interrupt", watch, NULL, NULL);
    state.handled = state.thread != NULL;
    if (state.handled) {
        sigaction(SIGINT, &action, NULL);
    } else { /* Ctrl-C then ends the program as ever */
        close(state.pipe[0]);
        close(state.pipe[1]);
    }
    return g_object_ref(state.cancellable);
}

void interrupt_end(void)
{
    if (state.handled) {
        sigaction(SIGINT, &state.before, NULL);
        close(state.pipe[1]);
        g_thread_join(state.thread);
        close(state.pipe[0]);
    }
    g_clear_object(&state.cancellable);
}

void interrupt_exit(const gchar *command, const gchar *outcome)
{
    say_error(command, "interrupted%s%s", outcome != NULL ? ": " : "", outcome != NULL ? outcome : "");
    fflush(NULL);
    _exit(EXIT_INTERRUPTED);
}
