/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* swapcontext() asks the system to save a signal mask, which takes longer than what a fiber does between two changes:
 * on x86-64 a few instructions stand for it. */
#include "fiber.h"

#include <stdint.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
static const void *previous_stack;
static size_t previous_bytes;
static Fiber *previous;

static void leave(Fiber *from, Fiber *to, bool is_over)
{
    previous = from;
    __sanitizer_start_switch_fiber(is_over ? nullptr : &from->fake_stack, to->stack, to->stack_bytes);
}

static void arrive(Fiber *self)
{
    __sanitizer_finish_switch_fiber(self ? self->fake_stack : nullptr, &previous_stack, &previous_bytes);
    if (previous->stack == nullptr) { /* the fiber that was always there: its stack is known from here on */
        previous->stack = const_cast<void *>(previous_stack);
        previous->stack_bytes = previous_bytes;
    }
}
#else
static void leave(Fiber *, Fiber *, bool)
{
}

static void arrive(Fiber *)
{
}
#endif

void fiber_entered()
{
    arrive(nullptr);
}

#ifdef __x86_64__
/* saves what a called function keeps, and where it was, in *from */
extern "C" void gpudl_fiber_swap(void **from, void *to);
__asm__(".text\n"
        ".globl gpudl_fiber_swap\n"
        ".type gpudl_fiber_swap,@function\n"
        "gpudl_fiber_swap:\n"
        "    endbr64\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size gpudl_fiber_swap,.-gpudl_fiber_swap\n");

void fiber_begin(Fiber *fiber, void *stack, size_t stack_bytes, void (*entry)())
{
    uintptr_t top = ((uintptr_t)stack + stack_bytes) / 16 * 16;
    void **at = (void **)top;

    *--at = nullptr; /* entry's return address, so that the stack is aligned as behind a call */
    *--at = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--at = nullptr;
    *fiber = Fiber();
    fiber->stack_pointer = at;
    fiber->stack = stack;
    fiber->stack_bytes = stack_bytes;
}

void fiber_switch(Fiber *from, Fiber *to, bool is_over)
{
    leave(from, to, is_over);
    gpudl_fiber_swap(&from->stack_pointer, to->stack_pointer);
    arrive(from);
}
#else
void fiber_begin(Fiber *fiber, void *stack, size_t stack_bytes, void (*entry)())
{
    *fiber = Fiber();
    fiber->stack = stack;
    fiber->stack_bytes = stack_bytes;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = stack_bytes;
    makecontext(&fiber->context, entry, 0);
}

void fiber_switch(Fiber *from, Fiber *to, bool is_over)
{
    leave(from, to, is_over);
    swapcontext(&from->context, &to->context);
    arrive(from);
}
#endif
