/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Threads of control that hand over to one another by name, on one thread of the system. */
#ifndef GPUDL_EMULATE_FIBER_H
#define GPUDL_EMULATE_FIBER_H

#include <ucontext.h>

/** Zeroed: the fiber that was always there; another one gets its stack and entry by fiber_begin(). */
typedef struct {
    ucontext_t context; /* where fibers change by it */
    void *stack_pointer;
    void *stack;
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
} Fiber;

/** The next fiber_switch() to it calls entry(), which never returns: its last switch has is_over. */
void fiber_begin(Fiber *fiber, void *stack, size_t stack_bytes, void (*entry)());
void fiber_switch(Fiber *from, Fiber *to, bool is_over);
/** First thing in entry(). */
void fiber_entered();

#endif
