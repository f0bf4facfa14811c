/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emulate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "cuda_runtime_api.h"
#include "fiber.h"

#define MOST_THREADS 1024 /* of a block */
#define MOST_BLOCKS 8     /* of a cluster */
#define MOST_FIBERS (MOST_THREADS * MOST_BLOCKS)
#define STACK_BYTES ((size_t)256 << 10)
#define MOST_SHARED (227 << 10)

enum State { NEW, READY, AT_BARRIER, AT_CLUSTER, AT_COUNTER, IN_WARP, OVER };

struct Copy {
    void *to;
    const void *from;
    size_t bytes;
};

/* What a counter is told of. */
struct Counted {
    uint64_t *counter;
    int bytes, block; /* block: of the cluster, that asked for it */
    std::function<void()> copy;
};

/* As a counter lies in shared memory. */
struct Counter {
    int32_t left;       /* bytes that are expected and have not come */
    uint16_t is_waited; /* for the word of what to expect */
    uint16_t mark;      /* COUNTER */
};
#define COUNTER 0xc0de

struct Thread {
    Fiber fiber;
    FiberStack *stack;
    State state;
    bool has_waited; /* for what was queued before */
    dim3 index;
    uint64_t *counter; /* AT_COUNTER */
    /* IN_WARP */
    unsigned mask;
    void (*exchange)(GpudlEmulateLane *, unsigned);
    void *data;
    std::vector<std::vector<Copy>> groups; /* of copies not made yet; the last one is not ended */
};

dim3 threadIdx, blockIdx, blockDim, gridDim;

static struct {
    Thread threads[MOST_FIBERS];
    Fiber scheduler;
    int n, blocks, at; /* of a block; of the cluster; the one that runs, block by block */
    dim3 first;        /* block of the cluster */
    const std::function<void()> *run;
    FiberStack stacks[MOST_FIBERS];
    uint8_t *shared;                 /* of the cluster's blocks, one behind the other */
    FiberStack *unused[MOST_FIBERS]; /* stacks: the one that was in use last is on top, and in the cache */
    int n_unused;
    size_t shared_bytes;
    std::vector<Counted> counted; /* not made yet */
    cudaError_t error;
} self;

extern "C" cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = self.error;

    self.error = cudaSuccess;
    return error;
}

void gpudl_emulate_fail(const char *format, ...)
{
    va_list args;

    printf("Bail out! block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
           threadIdx.y, threadIdx.z);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _Exit(1);
}

void gpudl_emulate_aligned(const void *p, size_t alignment)
{
    if ((uintptr_t)p % alignment != 0)
        gpudl_emulate_fail("%zu bytes at %p, which is not a multiple of that", alignment, p);
}

void *gpudl_emulate_shared()
{
    if (self.shared == nullptr)
        gpudl_emulate_fail("dynamic shared memory, of which the launch asked for none");
    return self.shared + self.at / self.n * self.shared_bytes;
}

int gpudl_emulate_cluster_rank()
{
    return self.at / self.n;
}

int gpudl_emulate_cluster_blocks()
{
    return self.blocks;
}

const void *gpudl_emulate_cluster_shared(const void *p, int block)
{
    const uint8_t *mine = self.shared + self.at / self.n * self.shared_bytes, *at = static_cast<const uint8_t *>(p);

    if (at < mine || at >= mine + self.shared_bytes)
        gpudl_emulate_fail("what a block of the cluster has of %p, which is not in dynamic shared memory", p);
    if (block < 0 || block >= self.blocks)
        gpudl_emulate_fail("block %d of a cluster of %d", block, self.blocks);
    for (int i = 0; i < self.n; i++)
        if (self.threads[block * self.n + i].state == OVER)
            gpudl_emulate_fail("what block %d of the cluster has, of which threads have ended", block);
    return self.shared + block * self.shared_bytes + (at - mine);
}

void gpudl_emulate_wait_for_previous()
{
    self.threads[self.at].has_waited = true;
}

void gpudl_emulate_reads_written(const void *p)
{
    if (!self.threads[self.at].has_waited)
        gpudl_emulate_fail("a thread reads at %p without waiting for what was queued before, which may write there", p);
}

int gpudl_emulate_lane()
{
    return self.at % self.n % 32;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static void wait_as(State state)
{
    Thread *thread = &self.threads[self.at];

    thread->state = state;
    fiber_switch(&thread->fiber, &self.scheduler);
}

void gpudl_emulate_barrier()
{
    wait_as(AT_BARRIER);
}

void gpudl_emulate_cluster_barrier()
{
    wait_as(AT_CLUSTER);
}

void gpudl_emulate_warp(unsigned mask, void (*exchange)(GpudlEmulateLane *, unsigned), void *data)
{
    const int in_block = self.at % self.n, first = in_block / 32 * 32;
    Thread *mine = &self.threads[self.at], *warp = mine - in_block + first;
    GpudlEmulateLane lanes[32] = {};

    if ((mask >> in_block % 32 & 1) == 0)
        gpudl_emulate_fail("it waits for lanes %08x, of which it is none", mask);
    mine->mask = mask;
    mine->exchange = exchange;
    mine->data = data;
    for (int i = 0; i < 32; i++) {
        const bool is_there = first + i < self.n;

        if ((mask >> i & 1) == 0 || &warp[i] == mine)
            continue;
        if (!is_there || warp[i].state == OVER)
            gpudl_emulate_fail("it waits for lane %d of its warp, which %s", i, is_there ? "has ended" : "is none");
        if (warp[i].state != IN_WARP) {
            wait_as(IN_WARP);
            return;
        }
        if (warp[i].mask != mask || warp[i].exchange != exchange)
            gpudl_emulate_fail("it waits for lane %d, which waits for lanes %08x in another instruction", i,
                               warp[i].mask);
    }
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1)
            lanes[i].data = warp[i].data;
    exchange(lanes, mask);
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1)
            warp[i].state = READY;
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

void gpudl_emulate_copy(void *to, const void *from, size_t bytes)
{
    std::vector<std::vector<Copy>> &groups = self.threads[self.at].groups;

    if (groups.empty())
        groups.emplace_back();
    groups.back().push_back({to, from, bytes});
}

void gpudl_emulate_commit()
{
    std::vector<std::vector<Copy>> &groups = self.threads[self.at].groups;

    if (groups.empty())
        groups.emplace_back();
    groups.emplace_back();
}

void gpudl_emulate_wait(int n)
{
    std::vector<std::vector<Copy>> &groups = self.threads[self.at].groups;

    while ((int)groups.size() > n + 1) {
        for (const Copy &copy : groups.front())
            if (copy.from != nullptr)
                memcpy(copy.to, copy.from, copy.bytes);
            else
                memset(copy.to, 0, copy.bytes);
        groups.erase(groups.begin());
    }
}

/* ---- counters ---------------------------------------------------------------------------------------------------- */

unsigned gpudl_emulate_shared_offset(const void *p)
{
    const uint8_t *mine = self.shared + self.at / self.n * self.shared_bytes, *at = static_cast<const uint8_t *>(p);

    if (at < mine || at >= mine + self.shared_bytes)
        gpudl_emulate_fail("%p is taken for dynamic shared memory", p);
    return (unsigned)(at - mine);
}

uint8_t *gpudl_emulate_shared_at(unsigned offset)
{
    if (offset >= self.shared_bytes)
        gpudl_emulate_fail("byte %u of %zu bytes of shared memory", offset, self.shared_bytes);
    return self.shared + self.at / self.n * self.shared_bytes + offset;
}

static Counter *counter_at(uint64_t *memory)
{
    Counter *counter = reinterpret_cast<Counter *>(memory);

    if (counter->mark != COUNTER)
        gpudl_emulate_fail("%p is taken for a counter", (void *)memory);
    return counter;
}

void gpudl_emulate_counter_begin(uint64_t *counter)
{
    gpudl_emulate_aligned(counter, 8);
    gpudl_emulate_shared_offset(counter);
    *reinterpret_cast<Counter *>(counter) = {0, 1, COUNTER};
}

void gpudl_emulate_counter_expect(uint64_t *counter, int bytes)
{
    if (counter_at(counter)->is_waited == 0)
        gpudl_emulate_fail("a counter is told a second time what to expect");
    counter_at(counter)->left += bytes;
    counter_at(counter)->is_waited = 0;
}

void gpudl_emulate_counted(uint64_t *counter, int bytes, std::function<void()> copy)
{
    counter_at(counter);
    self.counted.push_back({counter, bytes, self.at / self.n, std::move(copy)});
}

static int count(int block, State state);

/* Makes the counter's copies; whether it is done. */
static bool is_done(uint64_t *counter)
{
    for (size_t i = 0; i < self.counted.size();) {
        Counted one = self.counted[i];

        if (one.counter != counter) {
            i++;
            continue;
        }
        self.counted.erase(self.counted.begin() + (ptrdiff_t)i);
        if (count(one.block, OVER) > 0)
            gpudl_emulate_fail("a copy is made that block %d of the cluster asked for, of which threads have ended",
                               one.block);
        one.copy();
        counter_at(counter)->left -= one.bytes;
    }
    return counter_at(counter)->is_waited == 0 && counter_at(counter)->left == 0;
}

void gpudl_emulate_counter_wait(uint64_t *counter)
{
    gpudl_emulate_shared_offset(counter);
    while (!is_done(counter)) {
        self.threads[self.at].counter = counter;
        wait_as(AT_COUNTER);
    }
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void run_thread()
{
    (*self.run)();
    if (!self.threads[self.at].has_waited)
        gpudl_emulate_fail("the kernel has ended without waiting for what was queued before it");
    self.threads[self.at].groups.clear();
    self.threads[self.at].state = OVER;
    self.unused[self.n_unused++] = self.threads[self.at].stack;
}

/* It never returns, so nothing in it may lie on the stack by address: see fiber.cpp. */
static void run_fiber()
{
    fiber_entered(&self.threads[self.at].fiber);
    run_thread();
    fiber_switch(&self.threads[self.at].fiber, &self.scheduler);
}

static void resume(int i)
{
    Thread *thread = &self.threads[i];

    self.at = i;
    threadIdx = thread->index;
    blockIdx = dim3(self.first.x + (unsigned)(i / self.n), self.first.y, self.first.z);
    if (thread->state == NEW) {
        thread->stack = self.unused[--self.n_unused];
        fiber_begin(&thread->fiber, thread->stack, run_fiber);
    }
    thread->state = READY;
    fiber_switch(&self.scheduler, &thread->fiber);
}

static int count(int block, State state)
{
    int n = 0;

    for (int i = 0; i < self.n; i++)
        n += self.threads[block * self.n + i].state == state;
    return n;
}

static int count_all(State state)
{
    int n = 0;

    for (int block = 0; block < self.blocks; block++)
        n += count(block, state);
    return n;
}

static void go_on(int block)
{
    for (int i = 0; i < self.n; i++)
        self.threads[block * self.n + i].state = READY;
}

/* As far as it comes without others of its cluster; whether it came any further. */
static bool run_block(int block)
{
    bool any = false;

    for (;;) {
        int ran = 0;

        for (int i = block * self.n; i < (block + 1) * self.n; i++)
            if (self.threads[i].state == NEW || self.threads[i].state == READY ||
                (self.threads[i].state == AT_COUNTER && is_done(self.threads[i].counter))) {
                resume(i);
                ran++;
            }
        any = any || ran > 0;
        if (ran > 0)
            continue;
        if (count(block, AT_BARRIER) < self.n)
            return any;
        go_on(block);
    }
}

/* What is wrong with a block that can't go on. */
static void tell_stuck(int block)
{
    const Thread *threads = &self.threads[block * self.n];
    const int at_barrier = count(block, AT_BARRIER);

    for (int i = 0; i < self.n; i++)
        if (threads[i].state == AT_COUNTER) {
            const Counter *counter = reinterpret_cast<const Counter *>(threads[i].counter);

            threadIdx = threads[i].index;
            gpudl_emulate_fail("it waits for a counter that lacks %d bytes%s", (int)counter->left,
                               counter->is_waited ? " and was not told what to expect" : "");
        }
    for (int i = 0; i < self.n; i++)
        if (threads[i].state == IN_WARP) {
            threadIdx = threads[i].index;
            gpudl_emulate_fail("it waits for lanes %08x of its warp, of which some wait at a barrier", threads[i].mask);
        }
    if (at_barrier > 0)
        gpudl_emulate_fail("%d threads wait at a barrier, %d have ended", at_barrier, count(block, OVER));
}

static void run_cluster()
{
    const int all = self.n * self.blocks;

    for (int i = 0; i < all; i++) {
        const int in_block = i % self.n;

        self.threads[i].state = NEW;
        self.threads[i].has_waited = false;
        self.threads[i].index =
            dim3(in_block % blockDim.x, in_block / blockDim.x % blockDim.y, in_block / blockDim.x / blockDim.y);
    }
    for (;;) {
        bool any = false;

        for (int block = 0; block < self.blocks; block++)
            any = run_block(block) || any;
        if (any)
            continue;
        if (count_all(OVER) == all)
            return;
        if (count_all(AT_CLUSTER) < all)
            break;
        for (int block = 0; block < self.blocks; block++)
            go_on(block);
    }
    for (int block = 0; block < self.blocks; block++)
        tell_stuck(block);
    gpudl_emulate_fail("%d threads wait at the cluster's barrier, %d have ended", count_all(AT_CLUSTER),
                       count_all(OVER));
}

void gpudl_emulate_grid(dim3 grid, dim3 block, size_t shared, int cluster, const std::function<void()> &thread)
{
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;

    if (threads < 1 || threads > MOST_THREADS || grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > INT32_MAX ||
        grid.y > 65535 || grid.z > 65535 || block.z > 64 || cluster < 1 || cluster > MOST_BLOCKS ||
        grid.x % (unsigned)cluster != 0) {
        self.error = cudaErrorInvalidConfiguration;
        return;
    }
    if (shared > MOST_SHARED) {
        self.error = cudaErrorInvalidValue;
        return;
    }
    if (self.stacks[0].memory == nullptr) {
        void *stacks = mmap(nullptr, MOST_FIBERS * STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (stacks == MAP_FAILED)
            gpudl_emulate_fail("no memory for the threads of a block");
        for (int i = MOST_FIBERS - 1; i >= 0; i--) {
            self.stacks[i] = {(uint8_t *)stacks + i * STACK_BYTES, STACK_BYTES, nullptr};
            self.unused[self.n_unused++] = &self.stacks[i];
        }
    }
    self.n = (int)threads;
    self.blocks = cluster;
    self.shared_bytes = cluster == 1 ? shared : (shared + 127) / 128 * 128;
    self.run = &thread;
    gridDim = grid;
    blockDim = block;
    if (shared > 0 && cudaMalloc((void **)&self.shared, self.shared_bytes * (size_t)cluster) != cudaSuccess)
        gpudl_emulate_fail("no memory for %zu bytes of shared memory", shared);
    for (uint64_t i = 0; i < (uint64_t)grid.x * grid.y * grid.z; i += (unsigned)cluster) {
        self.first = dim3((unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / grid.x / grid.y));
        if (shared > 0)
            memset(self.shared, 0xff, self.shared_bytes * (size_t)cluster);
        run_cluster();
        if (!self.counted.empty())
            gpudl_emulate_fail("the block has ended, and nobody waited for a copy of %d bytes", self.counted[0].bytes);
    }
    cudaFree(self.shared);
    self.shared = nullptr;
}
