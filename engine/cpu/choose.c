/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choose.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- times ------------------------------------------------------------------------------------------------------- */

#define REPEATED_NS 30000 /* what takes less is run over and over between two looks at the clock */
#define MOST_REPEATS 64
#define MOST_SAMPLES 9
#define HOPELESS 4

uint64_t cpu_thread_clock(void *data)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ns of all repeats; 0: failed. */
static uint64_t sample(const CpuClock *clock, uint64_t repeats, CpuBefore *before, CpuRun *run, void *data)
{
    uint64_t begin, end;

    if (before != NULL)
        before(data);
    begin = clock->now(clock->data);
    for (uint64_t i = 0; i < repeats; i++)
        if (!run(data))
            return 0;
    end = clock->now(clock->data);
    return end > begin ? end - begin : 1;
}

uint64_t cpu_measure(const CpuClock *clock, uint64_t sample_ns, uint64_t best, CpuBefore *before, CpuRun *run,
                     void *data)
{
    const uint64_t warm = sample(clock, 1, before, run, data);
    uint64_t repeats = 1, least = UINT64_MAX, spent = 0;

    if (warm == 0 || (best != 0 && warm / HOPELESS > best))
        return warm;
    if (warm < REPEATED_NS && before == NULL)
        repeats = REPEATED_NS / warm < MOST_REPEATS ? REPEATED_NS / warm + 1 : MOST_REPEATS;
    for (int i = 0; i < MOST_SAMPLES && (i == 0 || spent < sample_ns); i++) {
        const uint64_t ns = sample(clock, repeats, before, run, data);

        if (ns == 0)
            return 0;
        spent += ns;
        least = ns / repeats < least ? ns / repeats : least;
    }
    return least > 0 ? least : 1;
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

/* Arcs lie in pairs: the one with the lowest bit flipped goes back. */
typedef struct {
    int32_t to, next;
    uint64_t room;
} Arc;

typedef struct {
    uint32_t n_vertices, n_arcs;
    int32_t *first, *level, *at, *queue, *path;
    Arc *arcs;
} Flow;

static void add_arcs(Flow *f, int32_t from, int32_t to, uint64_t room, uint64_t room_back)
{
    f->arcs[f->n_arcs] = (Arc){to, f->first[from], room};
    f->first[from] = (int32_t)f->n_arcs++;
    f->arcs[f->n_arcs] = (Arc){from, f->first[to], room_back};
    f->first[to] = (int32_t)f->n_arcs++;
}

/* Distances from the source over arcs with room; FALSE if the sink can't be reached. */
static int find_levels(Flow *f, int32_t source, int32_t sink)
{
    uint32_t head = 0, tail = 0;

    memset(f->level, 0xff, f->n_vertices * sizeof *f->level);
    f->level[source] = 0;
    f->queue[tail++] = source;
    while (head < tail) {
        const int32_t v = f->queue[head++];

        for (int32_t a = f->first[v]; a >= 0; a = f->arcs[a].next)
            if (f->arcs[a].room > 0 && f->level[f->arcs[a].to] < 0) {
                f->level[f->arcs[a].to] = f->level[v] + 1;
                f->queue[tail++] = f->arcs[a].to;
            }
    }
    return f->level[sink] >= 0;
}

static void push(Flow *f, uint32_t length)
{
    uint64_t room = UINT64_MAX;

    for (uint32_t i = 0; i < length; i++)
        room = f->arcs[f->path[i]].room < room ? f->arcs[f->path[i]].room : room;
    for (uint32_t i = 0; i < length; i++) {
        f->arcs[f->path[i]].room -= room;
        f->arcs[f->path[i] ^ 1].room += room;
    }
}

/* Fills all shortest ways (Dinic): f->at is where a vertex's search goes on. */
static void fill_ways(Flow *f, int32_t source, int32_t sink)
{
    uint32_t length = 0;
    int32_t v = source;

    memcpy(f->at, f->first, f->n_vertices * sizeof *f->at);
    for (;;) {
        int32_t a = f->at[v];

        if (v == sink) {
            push(f, length);
            length = 0;
            v = source;
            continue;
        }
        while (a >= 0 && (f->arcs[a].room == 0 || f->level[f->arcs[a].to] != f->level[v] + 1))
            a = f->arcs[a].next;
        f->at[v] = a;
        if (a >= 0) {
            f->path[length++] = a;
            v = f->arcs[a].to;
        } else if (length > 0) {
            v = f->arcs[f->path[--length] ^ 1].to;
            f->at[v] = f->arcs[f->at[v]].next;
        } else {
            return;
        }
    }
}

static int make_flow(Flow *f, uint32_t n_vertices, uint32_t n_arcs)
{
    *f = (Flow){.n_vertices = n_vertices,
                .first = malloc(n_vertices * sizeof *f->first),
                .level = malloc(n_vertices * sizeof *f->level),
                .at = malloc(n_vertices * sizeof *f->at),
                .queue = malloc(n_vertices * sizeof *f->queue),
                .path = malloc(n_vertices * sizeof *f->path),
                .arcs = malloc(((size_t)n_arcs + 1) * sizeof *f->arcs)};
    if (f->first != NULL)
        memset(f->first, 0xff, n_vertices * sizeof *f->first);
    return f->first != NULL && f->level != NULL && f->at != NULL && f->queue != NULL && f->path != NULL &&
           f->arcs != NULL;
}

/* What hangs on the source has layout 1, on the sink 0: a step is cut off from the source at its cost in layout 0. */
int cpu_choose_layouts(uint32_t n, const uint64_t (*costs)[2], uint32_t n_links, const CpuLink *links, uint8_t *layouts)
{
    const int32_t source = (int32_t)n, sink = (int32_t)n + 1;
    Flow f;
    const int made = make_flow(&f, n + 2, 4 * n + 2 * n_links);

    if (made) {
        for (uint32_t i = 0; i < n; i++) {
            add_arcs(&f, source, (int32_t)i, costs[i][0], 0);
            add_arcs(&f, (int32_t)i, sink, costs[i][1], 0);
        }
        /* the arc from a to b is cut where a is 1 and b is 0 */
        for (uint32_t i = 0; i < n_links; i++)
            add_arcs(&f, links[i].from, links[i].to, links[i].cost[1], links[i].cost[0]);
        while (find_levels(&f, source, sink))
            fill_ways(&f, source, sink);
        for (uint32_t i = 0; i < n; i++)
            layouts[i] = f.level[i] >= 0;
    }
    free(f.first);
    free(f.level);
    free(f.at);
    free(f.queue);
    free(f.path);
    free(f.arcs);
    return made;
}
