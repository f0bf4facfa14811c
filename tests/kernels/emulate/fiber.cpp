/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* swapcontext() asks the system to save a signal mask, which takes longer than what a fiber does between two changes:
 * on x86-64 a few instructions stand for it. */
#include "fiber.h"

#include <stdint.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
static Fiber *previous;

static FiberStack *stack_of(Fiber *fiber)
{
    return fiber->stack != nullptr ? fiber->stack : &fiber->own;
}

static void leave(Fiber *from, Fiber *to)
{
    previous = from;
    __sanitizer_start_switch_fiber(&stack_of(from)->fake, stack_of(to)->memory, stack_of(to)->bytes);
}

/* A fiber that is over never returns from its last switch, so nothing there may lie on the stack by address: in
 * AddressSanitizer's it would stay for ever, and be searched among. */
static void arrive(Fiber *self)
{
    static const void *memory;
    static size_t bytes;

    __sanitizer_finish_switch_fiber(stack_of(self)->fake, &memory, &bytes);
    if (previous->stack == nullptr) { /* the fiber that was always there: its stack is known from here on */
        previous->own.memory = const_cast<void *>(memory);
        previous->own.bytes = bytes;
    }
}
#else
static void leave(Fiber *, Fiber *)
{
}

static void arrive(Fiber *)
{
}
#endif

void fiber_entered(Fiber *self)
{
    arrive(self);
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

void fiber_begin(Fiber *fiber, FiberStack *stack, void (*entry)())
{
    uintptr_t top = ((uintptr_t)stack->memory + stack->bytes) / 16 * 16;
    void **at = (void **)top;

    *--at = nullptr; /* entry's return address, so that the stack is aligned as behind a call */
    *--at = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--at = nullptr;
    *fiber = Fiber();
    fiber->stack_pointer = at;
    fiber->stack = stack;
}

void fiber_switch(Fiber *from, Fiber *to)
{
    leave(from, to);
    gpudl_fiber_swap(&from->stack_pointer, to->stack_pointer);
    arrive(from);
}
#else
void fiber_begin(Fiber *fiber, FiberStack *stack, void (*entry)())
{
    *fiber = Fiber();
    fiber->stack = stack;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack->memory;
    fiber->context.uc_stack.ss_size = stack->bytes;
    makecontext(&fiber->context, entry, 0);
}

void fiber_switch(Fiber *from, Fiber *to)
{
    leave(from, to);
    swapcontext(&from->context, &to->context);
    arrive(from);
}
#endif
