/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Measurements of the same at the beginning, by which the noise is known. */
#define BEGINNING 4
/* What is less of a difference than this is none, whatever the noise. */
#define LEAST_GAIN 0.0015f
/* A clock that jumps at the beginning is no reason to miss more than this. */
#define MOST_NOISE 0.02f
#define MOST_PASSES 2
/* Comparisons of what was found with what it began with. */
#define FINALS 3

/* What is being measured. */
typedef enum {
    BEGIN,   /* the first choices, for the noise */
    CURRENT, /* the choices so far, before a group's others are compared with them */
    OTHER,   /* the same but one */
    AGAIN_CURRENT,
    AGAIN_OTHER,
    FINAL_FIRST, /* the first choices and the best in turns */
    FINAL_BEST,
    DONE
} State;

struct CudaSearch {
    CudaSearchGroup *groups;
    uint32_t *order, *best, *asked, *first; /* per group; order: of going through them; first: zeros */
    uint32_t n;
    State state;
    uint32_t at, choice, pass, rounds; /* at: in the order; rounds: of the state */
    int improved;                      /* in this pass */
    float least, most;                 /* of the beginning */
    float gain;                        /* part of the time that a choice has to be faster by */
    float current;                     /* measured last */
    float first_ns, best_ns;           /* at the end: the least of each */
};

CudaSearch *cuda_search_new(const CudaSearchGroup *groups, uint32_t n)
{
    CudaSearch *search = calloc(1, sizeof *search);

    if (search == NULL)
        return NULL;
    search->n = n;
    search->groups = calloc(n + 1u, sizeof *search->groups);
    search->order = calloc(n + 1u, 4 * sizeof *search->order);
    if (search->groups == NULL || search->order == NULL) {
        cuda_search_free(search);
        return NULL;
    }
    search->best = search->order + n + 1;
    search->asked = search->best + n + 1;
    search->first = search->asked + n + 1;
    if (n > 0)
        memcpy(search->groups, groups, n * sizeof *groups);
    for (uint32_t i = 0; i < n; i++) { /* insertion keeps the order of equal ones */
        uint32_t at = i;

        for (; at > 0 && groups[search->order[at - 1]].weight < groups[i].weight; at--)
            search->order[at] = search->order[at - 1];
        search->order[at] = i;
    }
    search->state = DONE;
    for (uint32_t i = 0; i < n; i++)
        if (groups[i].n > 1)
            search->state = BEGIN;
    return search;
}

void cuda_search_free(CudaSearch *search)
{
    if (search == NULL)
        return;
    free(search->groups);
    free(search->order);
    free(search);
}

static uint32_t group_at(const CudaSearch *search)
{
    return search->order[search->at];
}

const uint32_t *cuda_search_next(CudaSearch *search)
{
    const uint32_t *from = search->state == BEGIN || search->state == FINAL_FIRST ? search->first : search->best;

    if (search->state == DONE)
        return NULL;
    memcpy(search->asked, from, search->n * sizeof *from);
    if (search->state == OTHER || search->state == AGAIN_OTHER)
        search->asked[group_at(search)] = search->choice;
    return search->asked;
}

static void begin_final(CudaSearch *search)
{
    int changed = 0;

    for (uint32_t i = 0; i < search->n; i++)
        changed |= search->best[i] != 0;
    search->state = changed ? FINAL_FIRST : DONE;
    search->rounds = 0;
}

/* The next group from at on that has a choice, in this pass or another one. */
static void begin_group(CudaSearch *search)
{
    while (search->at < search->n && search->groups[group_at(search)].n < 2)
        search->at++;
    if (search->at < search->n) {
        search->state = CURRENT;
        return;
    }
    search->at = 0;
    if (search->improved && ++search->pass < MOST_PASSES) {
        search->improved = 0;
        begin_group(search);
    } else {
        begin_final(search);
    }
}

/* The group's next choice that is not the current one. */
static void next_choice(CudaSearch *search)
{
    const uint32_t group = group_at(search);

    do
        search->choice++;
    while (search->choice == search->best[group]);
    if (search->choice < search->groups[group].n) {
        search->state = OTHER;
    } else {
        search->at++;
        begin_group(search);
    }
}

static void tell_begin(CudaSearch *search, float ns)
{
    if (search->rounds > 0) { /* the first one warms up */
        search->least = search->rounds == 1 ? ns : fminf(search->least, ns);
        search->most = search->rounds == 1 ? ns : fmaxf(search->most, ns);
    }
    if (++search->rounds < BEGINNING)
        return;
    search->first_ns = search->best_ns = search->least;
    search->gain = fminf(fmaxf((search->most - search->least) / search->least, LEAST_GAIN), MOST_NOISE);
    begin_group(search);
}

static int is_faster(const CudaSearch *search, float ns, float than)
{
    return ns > 0 && ns < than * (1 - search->gain);
}

static void tell_again(CudaSearch *search, float ns)
{
    if (is_faster(search, ns, search->current)) {
        search->best[group_at(search)] = search->choice;
        search->best_ns = search->current = ns;
        search->improved = 1;
    }
    next_choice(search);
}

static void tell_final(CudaSearch *search, float ns)
{
    float *least = search->state == FINAL_FIRST ? &search->first_ns : &search->best_ns;

    *least = search->rounds == 0 ? ns : fminf(*least, ns);
    if (search->state == FINAL_FIRST) {
        search->state = FINAL_BEST;
        return;
    }
    search->state = ++search->rounds < FINALS ? FINAL_FIRST : DONE;
    if (search->state == DONE && !(search->best_ns < search->first_ns)) {
        memset(search->best, 0, search->n * sizeof *search->best);
        search->best_ns = search->first_ns;
    }
}

void cuda_search_tell(CudaSearch *search, float ns)
{
    if (search->state != OTHER && search->state != AGAIN_OTHER && !(ns > 0)) { /* what ran does not any more */
        search->state = DONE;
        return;
    }
    switch (search->state) {
    case BEGIN:
        tell_begin(search, ns);
        break;
    case CURRENT:
        search->current = search->best_ns = ns;
        search->choice = UINT32_MAX;
        next_choice(search);
        break;
    case OTHER:
        if (is_faster(search, ns, search->current))
            search->state = AGAIN_CURRENT;
        else
            next_choice(search);
        break;
    case AGAIN_CURRENT:
        search->current = search->best_ns = ns;
        search->state = AGAIN_OTHER;
        break;
    case AGAIN_OTHER:
        tell_again(search, ns);
        break;
    case FINAL_FIRST:
    case FINAL_BEST:
        tell_final(search, ns);
        break;
    case DONE:
        break;
    }
}

const uint32_t *cuda_search_best(const CudaSearch *search)
{
    return search->best;
}

float cuda_search_first_ns(const CudaSearch *search)
{
    return search->first_ns;
}

float cuda_search_best_ns(const CudaSearch *search)
{
    return search->best_ns;
}
