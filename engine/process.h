/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * fork(): a child has the parent's memory, but none of its threads. What needs threads (sessions) or a driver (devices)
 * is the parent's for good; what the process keeps lists of is forgotten in the child and begins anew.
 */
#ifndef GPUDL_ENGINE_PROCESS_H
#define GPUDL_ENGINE_PROCESS_H

#include <glib.h>

G_BEGIN_DECLS

/** Differs between a process and the children it has forked. Never 0. */
guint gpudl_process_generation(void);

/**
 * Keeps lock from being held by another thread when the process forks, and calls forget in the child, with the lock
 * held. For a registry's one lock, in a constructor: at its first use another thread may fork in the midst of it.
 * forget must not free what may be in use in the parent's threads, and takes no other lock. At fork all of them are
 * held: none may be taken while another is held.
 */
void gpudl_process_guard(GMutex *lock, void (*forget)(void));

G_END_DECLS
#endif
