/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/process.h"

#include <pthread.h>

#define MOST_GUARDED 8

static struct {
    GMutex *lock;
    void (*forget)(void);
} guarded[MOST_GUARDED];
static GMutex guarded_lock; /* taken before any guarded one */
static guint n_guarded;
static guint generation = 1;

static void before_fork(void)
{
    g_mutex_lock(&guarded_lock);
    for (guint i = 0; i < n_guarded; i++)
        g_mutex_lock(guarded[i].lock);
}

static void unlock_all(void)
{
    for (guint i = n_guarded; i > 0; i--)
        g_mutex_unlock(guarded[i - 1].lock);
    g_mutex_unlock(&guarded_lock);
}

static void in_child(void)
{
    g_atomic_int_inc((gint *)&generation);
    for (guint i = 0; i < n_guarded; i++)
        guarded[i].forget();
    unlock_all();
}

guint gpudl_process_generation(void)
{
    return (guint)g_atomic_int_get((gint *)&generation);
}

void gpudl_process_guard(GMutex *lock, void (*forget)(void))
{
    g_mutex_lock(&guarded_lock);
    if (n_guarded == 0)
        pthread_atfork(before_fork, unlock_all, in_child);
    g_assert(n_guarded < MOST_GUARDED);
    guarded[n_guarded].lock = lock;
    guarded[n_guarded++].forget = forget;
    g_mutex_unlock(&guarded_lock);
}
