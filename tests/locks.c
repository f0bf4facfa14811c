/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GLib's locks on pthreads, for race detectors: GLib's own are bare futexes, which no detector sees. Linked into the
 * program, they take the place of GLib's for everybody but GLib itself, whose calls inside its own library stay what
 * they are: an object is used by either, never by both.
 */
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* The lock behind an object that may be all zeros still. */
static gpointer get(gpointer *where, gsize size, void (*init)(gpointer lock))
{
    gpointer lock = __atomic_load_n(where, __ATOMIC_ACQUIRE), none = NULL;

    if (lock)
        return lock;
    lock = calloc(1, size);
    init(lock);
    if (__atomic_compare_exchange_n(where, &none, lock, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return lock;
    free(lock); /* another thread was quicker */
    return none;
}

static void clear(gpointer *where, int (*destroy)(gpointer lock))
{
    if (*where)
        destroy(*where);
    free(*where);
    *where = NULL;
}

static void init_mutex(gpointer lock)
{
    pthread_mutex_init(lock, NULL);
}

static void init_recursive(gpointer lock)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static void init_cond(gpointer cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void init_rw(gpointer lock)
{
    pthread_rwlock_init(lock, NULL);
}

static int destroy_mutex(gpointer lock)
{
    return pthread_mutex_destroy(lock);
}

static int destroy_cond(gpointer cond)
{
    return pthread_cond_destroy(cond);
}

static int destroy_rw(gpointer lock)
{
    return pthread_rwlock_destroy(lock);
}

#define MUTEX(m) get(&(m)->p, sizeof(pthread_mutex_t), init_mutex)
#define RECURSIVE(m) get(&(m)->p, sizeof(pthread_mutex_t), init_recursive)
#define COND(c) get(&(c)->p, sizeof(pthread_cond_t), init_cond)
#define RW(l) get(&(l)->p, sizeof(pthread_rwlock_t), init_rw)

/* ---- GMutex ------------------------------------------------------------------------------------------------------ */

void g_mutex_init(GMutex *mutex)
{
    mutex->p = NULL;
}

void g_mutex_clear(GMutex *mutex)
{
    clear(&mutex->p, destroy_mutex);
}

void g_mutex_lock(GMutex *mutex)
{
    pthread_mutex_lock(MUTEX(mutex));
}

void g_mutex_unlock(GMutex *mutex)
{
    pthread_mutex_unlock(MUTEX(mutex));
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    return pthread_mutex_trylock(MUTEX(mutex)) == 0;
}

/* ---- GRecMutex --------------------------------------------------------------------------------------------------- */

void g_rec_mutex_init(GRecMutex *mutex)
{
    mutex->p = NULL;
}

void g_rec_mutex_clear(GRecMutex *mutex)
{
    clear(&mutex->p, destroy_mutex);
}

void g_rec_mutex_lock(GRecMutex *mutex)
{
    pthread_mutex_lock(RECURSIVE(mutex));
}

void g_rec_mutex_unlock(GRecMutex *mutex)
{
    pthread_mutex_unlock(RECURSIVE(mutex));
}

gboolean g_rec_mutex_trylock(GRecMutex *mutex)
{
    return pthread_mutex_trylock(RECURSIVE(mutex)) == 0;
}

/* ---- GCond ------------------------------------------------------------------------------------------------------- */

void g_cond_init(GCond *cond)
{
    cond->p = NULL;
}

void g_cond_clear(GCond *cond)
{
    clear(&cond->p, destroy_cond);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    pthread_cond_wait(COND(cond), MUTEX(mutex));
}

void g_cond_signal(GCond *cond)
{
    pthread_cond_signal(COND(cond));
}

void g_cond_broadcast(GCond *cond)
{
    pthread_cond_broadcast(COND(cond));
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end)
{
    struct timespec until = {end / G_USEC_PER_SEC, end % G_USEC_PER_SEC * 1000};

    return pthread_cond_timedwait(COND(cond), MUTEX(mutex), &until) != ETIMEDOUT;
}

/* ---- GRWLock ----------------------------------------------------------------------------------------------------- */

void g_rw_lock_init(GRWLock *lock)
{
    lock->p = NULL;
}

void g_rw_lock_clear(GRWLock *lock)
{
    clear(&lock->p, destroy_rw);
}

void g_rw_lock_reader_lock(GRWLock *lock)
{
    pthread_rwlock_rdlock(RW(lock));
}

void g_rw_lock_reader_unlock(GRWLock *lock)
{
    pthread_rwlock_unlock(RW(lock));
}

gboolean g_rw_lock_reader_trylock(GRWLock *lock)
{
    return pthread_rwlock_tryrdlock(RW(lock)) == 0;
}

void g_rw_lock_writer_lock(GRWLock *lock)
{
    pthread_rwlock_wrlock(RW(lock));
}

void g_rw_lock_writer_unlock(GRWLock *lock)
{
    pthread_rwlock_unlock(RW(lock));
}

gboolean g_rw_lock_writer_trylock(GRWLock *lock)
{
    return pthread_rwlock_trywrlock(RW(lock)) == 0;
}
