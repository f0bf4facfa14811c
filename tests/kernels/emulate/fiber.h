/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Threads of control that hand over to one another by name, on one thread of the system. */
#ifndef GPUDL_EMULATE_FIBER_H
#define GPUDL_EMULATE_FIBER_H

#include <ucontext.h>

/** What a fiber runs on; used by one after another. */
typedef struct {
    void *memory;
    size_t bytes;
    void *fake; /* AddressSanitizer's; NULL: not made yet. Kept with the stack, since making one takes longer than a
                   thread */
} FiberStack;

/** Zeroed: the fiber that was always there; another one gets its stack and entry by fiber_begin(). */
typedef struct {
    ucontext_t context; /* where fibers change by it */
    void *stack_pointer;
    FiberStack *stack; /* of others than the one that was always there */
    FiberStack own;    /* of that one */
} Fiber;

/** The next fiber_switch() to it calls entry(), which never returns: its last switch is from it, and its stack is free
 * then. */
void fiber_begin(Fiber *fiber, FiberStack *stack, void (*entry)());
void fiber_switch(Fiber *from, Fiber *to);
/** First thing in entry(): self is the one that has begun. */
void fiber_entered(Fiber *self);

#endif
