/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Whether gpudlinfer says that it falls behind, by pipelines that are computed: a source, a queue, workers and a sink
 * whose times are written down. No time passes.
 */
#include "video/pace.h"

#include <stdlib.h>

#define MS GST_MSECOND
#define S GST_SECOND
#define MAX_WORKERS 8
#define MAX_REPORTS 8

/* What it is like up to this frame. */
typedef struct {
    guint until;
    guint network_ms; /* of a frame on a worker */
    guint push_ms;
} Phase;

typedef struct {
    guint frames;
    guint interval_ms;
    guint burst;     /* so many come at once, the last one in time; 0: 1 */
    gboolean lossy;  /* what nobody takes is lost; else it waits */
    guint unstamped; /* each so manieth frame has no time; 0: none */
    guint depth, workers;
    gdouble rate;              /* the caps' */
    guint sync_ms;             /* the sink waits for running time and this; 0: it does not */
    guint stop_frame, stop_ms; /* before this frame nobody does anything for so long */
    Phase phases[5];
} Plan;

typedef struct {
    GstClockTime at;
    guint frame;
    enum { ARRIVE, ADMIT, AWAIT, ANSWER } kind;
    GpudlArrival arrival;
} Event;

typedef struct {
    guint n;
    GstClockTime at[MAX_REPORTS];
    GpudlPaceReport report[MAX_REPORTS];
} Said;

static gint compare_events(gconstpointer a, gconstpointer b)
{
    const Event *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->frame != y->frame)
        return x->frame < y->frame ? -1 : 1;
    return (gint)x->kind - (gint)y->kind;
}

static const Phase *phase_of(const Plan *plan, guint frame)
{
    const Phase *phase = plan->phases;

    while (phase->until != 0 && frame >= phase->until)
        phase++;
    return phase;
}

/* When the source has it. */
static GstClockTime available(const Plan *plan, guint frame)
{
    const guint burst = MAX(plan->burst, 1);

    return (frame / burst * burst + burst - 1) * plan->interval_ms * MS;
}

/* All that happens, in order. */
static GArray *compute(const Plan *plan)
{
    GArray *events = g_array_new(FALSE, FALSE, sizeof(Event));
    g_autofree GstClockTime *popped = g_new0(GstClockTime, plan->frames);
    GstClockTime workers[MAX_WORKERS] = {
        0,
    };
    GstClockTime free_at = 0; /* the streaming thread */
    guint source = 0, n = 0, gone = 0;

    for (; source < plan->frames; source++) {
        const Phase *phase;
        GstClockTime arrive, admit, await, answer;
        guint worker = 0;

        if (plan->stop_ms > 0 && source >= plan->stop_frame &&
            free_at < (plan->stop_frame * plan->interval_ms + plan->stop_ms) * MS)
            free_at = (plan->stop_frame * plan->interval_ms + plan->stop_ms) * MS;
        if (plan->lossy)
            source = MAX(source, free_at / (plan->interval_ms * MS));
        phase = phase_of(plan, source);
        arrive = MAX(free_at, available(plan, source));
        while (gone < n && popped[gone] <= arrive)
            gone++;
        admit = n < plan->depth ? arrive : MAX(arrive, popped[n - plan->depth]);
        for (guint i = 1; i < plan->workers; i++)
            worker = workers[i] < workers[worker] ? i : worker;
        workers[worker] = MAX(workers[worker], admit) + phase->network_ms * MS;
        await = MAX(admit, n == 0 ? 0 : popped[n - 1]);
        answer = MAX(await, workers[worker]);
        popped[n] = answer + phase->push_ms * MS;
        if (plan->sync_ms > 0)
            popped[n] = MAX(popped[n], (source * plan->interval_ms + plan->sync_ms) * MS);
        {
            const Event four[] = {
                {arrive,
                 n,
                 ARRIVE,
                 {.running_time = plan->unstamped > 0 && n % plan->unstamped == 0 ? GST_CLOCK_TIME_NONE
                                                                                  : source * plan->interval_ms * MS,
                  .before = n - gone,
                  .depth = plan->depth,
                  .parallelism = plan->workers,
                  .rate = plan->rate}},
                {admit,
                 n,
                 ADMIT,
                 {
                     0,
                 }},
                {await,
                 n,
                 AWAIT,
                 {
                     0,
                 }},
                {answer,
                 n,
                 ANSWER,
                 {
                     0,
                 }},
            };

            g_array_append_vals(events, four, G_N_ELEMENTS(four));
        }
        free_at = admit;
        n++;
    }
    g_array_sort(events, compare_events);
    return events;
}

/* From when the clock says this; resume: frame before which it was paused, or 0. */
static void run_on(GpudlPace *pace, const Plan *plan, Said *said, GstClockTime origin)
{
    GArray *events = compute(plan);

    for (guint i = 0; i < events->len; i++) {
        Event *event = &g_array_index(events, Event, i);
        const GstClockTime now = origin + event->at;

        switch (event->kind) {
        case ARRIVE:
            event->arrival.now = now;
            if (gpudl_pace_arrive(pace, &event->arrival, &said->report[said->n])) {
                said->at[said->n++] = event->at;
                g_assert_cmpuint(said->n, <, MAX_REPORTS);
            }
            break;
        case ADMIT:
            gpudl_pace_admit(pace, now);
            break;
        case AWAIT:
            gpudl_pace_await(pace, now);
            break;
        case ANSWER:
            gpudl_pace_answer(pace, now);
            break;
        }
    }
    g_array_unref(events);
}

static void run(const Plan *plan, Said *said)
{
    GpudlPace pace;

    said->n = 0;
    gpudl_pace_init(&pace);
    run_on(&pace, plan, said, 7000 * S);
}

static void check_none(const Plan *plan)
{
    Said said;

    run(plan, &said);
    g_assert_cmpuint(said.n, ==, 0);
}

static void check_rate(gdouble rate, gdouble expected)
{
    g_assert_cmpfloat(rate, >=, 0.93 * expected);
    g_assert_cmpfloat(rate, <=, 1.07 * expected);
}

/* Once, within this time, with these rates. */
static void check_once(const Plan *plan, GstClockTime latest, gboolean downstream, gdouble asked, gdouble reached)
{
    Said said;

    run(plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_cmpuint(said.at[0], >=, 4 * S); /* settled, and a spell */
    g_assert_cmpuint(said.at[0], <=, latest);
    g_assert_cmpint(said.report[0].downstream, ==, downstream);
    check_rate(said.report[0].asked, asked);
    check_rate(said.report[0].reached, reached);
}

/* 25 frames/s for a minute and a half */
#define CAMERA .frames = 2250, .interval_ms = 40

static void test_keeps_pace(void)
{
    static const Plan plans[] = {
        {CAMERA, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 30, 1}}},
        {CAMERA, .depth = 1, .workers = 1, .rate = 25, .phases = {{0, 38, 1}}},
        {CAMERA, .depth = 3, .workers = 2, .rate = 0, .phases = {{0, 70, 1}}},
        {CAMERA, .depth = 64, .workers = 2, .rate = 25, .phases = {{0, 78, 1}}},
        /* the caps promise more than the camera gives in the dark */
        {CAMERA, .depth = 2, .workers = 1, .rate = 50, .phases = {{0, 30, 1}}},
        {CAMERA, .depth = 64, .workers = 1, .rate = 50, .burst = 3, .phases = {{100, 41, 0}, {0, 40, 0}}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(plans); i++)
        check_none(&plans[i]);
}

static void test_behind(void)
{
    /* frames that nobody takes wait before the element, or are lost */
    for (guint lossy = 0; lossy < 2; lossy++) {
        const Plan one = {CAMERA, .lossy = lossy, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 100, 1}}};
        const Plan pairs = {CAMERA, .lossy = lossy, .depth = 3, .workers = 2, .rate = 25, .phases = {{0, 100, 0}}};
        const Plan many = {CAMERA, .lossy = lossy, .depth = 8, .workers = 8, .rate = 25, .phases = {{0, 500, 0}}};
        const Plan depth_1 = {CAMERA, .lossy = lossy, .depth = 1, .workers = 2, .rate = 25, .phases = {{0, 60, 0}}};
        Plan unstamped = {CAMERA,       .lossy = lossy, .unstamped = 1,         .depth = 2,
                          .workers = 1, .rate = 25,     .phases = {{0, 100, 1}}};

        check_once(&one, 5 * S, FALSE, 25, 10);
        check_once(&pairs, 6 * S, FALSE, 25, 20);
        check_once(&many, 8 * S, FALSE, 25, 16);
        check_once(&depth_1, 5 * S, FALSE, 25, 16.7);
        check_once(&unstamped, 5 * S, FALSE, 25, 10);
        unstamped.unstamped = 3;
        check_once(&unstamped, 6 * S, FALSE, 25, 10);
    }
}

/* Caps without a frame rate: what the frames' times say, unless some are lost. */
static void test_unknown_rate(void)
{
    Plan plan = {CAMERA, .depth = 2, .workers = 1, .phases = {{0, 100, 1}}};
    Said said;

    check_once(&plan, 5 * S, FALSE, 25, 10);
    plan.lossy = TRUE;
    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_cmpfloat(said.report[0].asked, ==, 0);
    check_rate(said.report[0].reached, 10);
    plan.lossy = FALSE;
    plan.unstamped = 1;
    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_cmpfloat(said.report[0].asked, ==, 0);
}

/* Caps that promise too little are no proof of keeping pace. */
static void test_wrong_rate(void)
{
    const Plan plan = {CAMERA, .depth = 2, .workers = 1, .rate = 10, .phases = {{0, 80, 1}}};

    check_once(&plan, 5 * S, FALSE, 25, 12.5);
}

/* A little too slow shows after some time; as much too quick never does. */
static void test_nearly(void)
{
    Plan plan = {CAMERA, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 42, 0}}};

    check_once(&plan, 10 * S, FALSE, 25, 23.8);
    plan.phases[0].network_ms = 41;
    check_once(&plan, 15 * S, FALSE, 25, 24.4);
    plan.phases[0].network_ms = 39;
    check_none(&plan);
}

/* A deep queue fills slowly: known before it is full, which takes 20 s here. */
static void test_deep_queue(void)
{
    const Plan plan = {CAMERA, .depth = 100, .workers = 1, .rate = 25, .phases = {{0, 50, 1}}};

    Plan unknown = plan;
    Said said;

    check_once(&plan, 6 * S, FALSE, 25, 20);
    unknown.rate = 0;
    unknown.unstamped = 1;
    run(&unknown, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_cmpuint(said.at[0], <=, 6 * S);
}

/* A network that is slow for less than 2 s is none to speak of, one that is slow for longer is. */
static void test_hiccup(void)
{
    Plan plan = {CAMERA, .depth = 3, .workers = 2, .rate = 25, .phases = {{500, 70, 1}, {510, 250, 1}, {0, 70, 1}}};
    Said said;

    check_none(&plan);
    plan.phases[1].until = 530;
    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
}

/* What was long ago is no part of what is: a minute of good frames, in which the queue is never empty. */
static void test_long_ago(void)
{
    const Plan plan = {CAMERA, .depth = 3, .workers = 2, .rate = 25,
                       .phases = {{60, 70, 1}, {75, 120, 1}, {1500, 70, 1}, {0, 110, 1}}};
    Said said;

    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_cmpuint(said.at[0], >=, 60 * S);
    g_assert_cmpuint(said.at[0], <=, 63 * S);
}

/* Each episode by what is slow in it. */
static void test_network_then_sink(void)
{
    const Plan plan = {CAMERA, .depth = 3, .workers = 2, .rate = 25,
                       .phases = {{250, 100, 1}, {1000, 20, 1}, {0, 5, 100}}};
    Said said;

    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 2);
    g_assert_false(said.report[0].downstream);
    g_assert_true(said.report[1].downstream);
}

static void test_low_rate(void)
{
    const Plan plan = {
        .frames = 90, .interval_ms = 1000, .depth = 3, .workers = 1, .rate = 1, .phases = {{0, 3000, 1}}};
    const Plan nearly = {
        .frames = 90, .interval_ms = 1000, .depth = 3, .workers = 1, .rate = 1, .phases = {{0, 1250, 1}}};
    const Plan fine = {.frames = 90, .interval_ms = 1000, .depth = 3, .workers = 1, .rate = 1, .phases = {{0, 900, 1}}};
    Said said;

    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_false(said.report[0].downstream);
    run(&nearly, &said);
    g_assert_cmpuint(said.n, ==, 1);
    check_none(&fine);
}

/* A sink that takes too long is not the network's fault. */
static void test_slow_sink(void)
{
    Plan plan = {CAMERA, .depth = 3, .workers = 2, .rate = 25, .phases = {{0, 5, 100}}};
    const Plan deep = {CAMERA, .depth = 100, .workers = 2, .rate = 25, .phases = {{0, 5, 500}}};
    Said said;

    check_once(&plan, 5 * S, TRUE, 25, 10);
    run(&deep, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_true(said.report[0].downstream);
    /* where frames are lost, what is left is in time */
    plan.lossy = TRUE;
    check_none(&plan);
}

/* A sink that waits for a latency which the queue has no room for keeps it full, and pace. */
static void test_waiting_sink(void)
{
    Plan plan = {CAMERA, .depth = 3, .workers = 2, .rate = 25, .sync_ms = 100, .phases = {{0, 5, 0}}};

    check_none(&plan);
    plan.sync_ms = 1000;
    check_none(&plan);
    plan.rate = 0;
    check_none(&plan);
    plan.rate = 50;
    check_none(&plan);
}

/* Both are slow: whoever is slower. */
static void test_slow_both(void)
{
    Plan plan = {CAMERA, .depth = 3, .workers = 1, .rate = 25, .phases = {{0, 60, 50}}};

    check_once(&plan, 5 * S, FALSE, 25, 16.7);
    plan.phases[0] = (Phase){0, 50, 60};
    check_once(&plan, 5 * S, TRUE, 25, 16.7);
}

/* Five frames come at once: some wait for room, and the queue empties each time. */
static void test_bursts(void)
{
    Plan plan = {CAMERA, .burst = 5, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 30, 1}}};

    check_none(&plan);
    plan.rate = 0;
    check_none(&plan);
    plan.depth = 3;
    plan.workers = 2;
    plan.phases[0].network_ms = 75; /* it does not quite empty */
    plan.rate = 25;
    check_none(&plan);
}

/* A process stopped for 5 s: what has waited meanwhile goes through faster than it came. */
static void test_stopped_process(void)
{
    Plan plan = {
        CAMERA, .depth = 2, .workers = 1, .rate = 25, .stop_frame = 500, .stop_ms = 5000, .phases = {{0, 20, 1}}};

    check_none(&plan);
    plan.rate = 0;
    check_none(&plan);
    plan.lossy = TRUE;
    check_none(&plan);
}

/* The first frames are slow. */
static void test_startup(void)
{
    const Plan plan = {CAMERA, .depth = 2, .workers = 1, .rate = 25, .phases = {{20, 100, 1}, {0, 20, 1}}};

    check_none(&plan);
}

/* One episode, and another one after 10 good seconds. */
static void test_episodes(void)
{
    Plan plan = {CAMERA,       .lossy = TRUE, .depth = 2,
                 .workers = 1, .rate = 25,    .phases = {{250, 100, 1}, {450, 20, 1}, {0, 100, 1}}};
    const Plan busy = {CAMERA, .depth = 3, .workers = 2, .rate = 25,
                       .phases = {{250, 110, 1}, {1000, 70, 1}, {0, 110, 1}}};
    const Plan broken = {CAMERA,     .lossy = TRUE,
                         .depth = 2, .workers = 1,
                         .rate = 25, .phases = {{250, 100, 1}, {400, 20, 1}, {445, 100, 1}, {595, 20, 1}, {0, 100, 1}}};
    Said said;

    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 1);
    plan.phases[1].until = 550; /* 12 s */
    run(&plan, &said);
    g_assert_cmpuint(said.n, ==, 2);
    g_assert_cmpuint(said.at[1], >=, 24 * S);
    g_assert_cmpuint(said.at[1], <=, 25 * S);

    /* also where the queue is never empty meanwhile */
    run(&busy, &said);
    g_assert_cmpuint(said.n, ==, 2);
    /* a bad second among them: it is not 10 without a break */
    run(&broken, &said);
    g_assert_cmpuint(said.n, ==, 1);
}

/* After a pause it has to settle anew; what has been said stays said. */
static void test_pause(void)
{
    const Plan plan = {.frames = 100, .interval_ms = 40, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 100, 1}}};
    const Plan shorter = {
        .frames = 39, .interval_ms = 40, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 100, 1}}};
    Said said = {
        0,
    };
    GpudlPace pace;

    gpudl_pace_init(&pace);
    for (guint i = 0; i < 10; i++) { /* 4 s each: none is judged */
        run_on(&pace, &shorter, &said, (i + 1) * 1000 * S);
        gpudl_pace_resume(&pace);
    }
    g_assert_cmpuint(said.n, ==, 0);
    for (guint i = 0; i < 10; i++) {
        run_on(&pace, &plan, &said, (i + 100) * 1000 * S);
        gpudl_pace_resume(&pace);
    }
    g_assert_cmpuint(said.n, ==, 1);
}

/* A pause does not make up for good seconds, and is none of them. */
static void test_pause_among_good_seconds(void)
{
    const Plan bad = {
        .frames = 150, .interval_ms = 40, .depth = 2, .workers = 1, .rate = 25, .lossy = TRUE, .phases = {{0, 100, 1}}};
    const Plan good = {.frames = 150, .interval_ms = 40, .depth = 2, .workers = 1, .rate = 25, .phases = {{0, 20, 1}}};
    Said said = {
        0,
    };
    GpudlPace pace;

    gpudl_pace_init(&pace);
    run_on(&pace, &bad, &said, 1000 * S);
    run_on(&pace, &good, &said, 1006 * S);
    gpudl_pace_resume(&pace);
    run_on(&pace, &good, &said, 5000 * S);
    run_on(&pace, &bad, &said, 5006 * S);
    g_assert_cmpuint(said.n, ==, 1);
}

/* By hand: a frame that finds another one. */
static void arrive(GpudlPace *pace, GstClockTime running_time, gdouble rate, GstClockTime now, GstClockTime waits,
                   Said *said)
{
    const GpudlArrival arrival = {now, running_time, 1, 2, 2, rate};

    said->n += gpudl_pace_arrive(pace, &arrival, &said->report[0]);
    gpudl_pace_admit(pace, now + waits);
}

/* A frame every 40 ms that waits so long for room, then the network for the head; by running time it takes less. */
static void check_waits(GstClockTime running_time, gdouble rate, GstClockTime room, GstClockTime head)
{
    Said said = {
        0,
    };
    GpudlPace pace;

    gpudl_pace_init(&pace);
    for (guint i = 0; i < 1000; i++) {
        const GstClockTime now = i * 40 * MS;

        arrive(&pace, i * running_time, rate, now, room, &said);
        gpudl_pace_await(&pace, now);
        gpudl_pace_answer(&pace, now + head);
    }
    g_assert_cmpuint(said.n, ==, 0);
}

static void test_short_waits(void)
{
    /* a little for room, of a camera that gives less than its caps say */
    check_waits(40 * MS, 50, 2 * MS, 30 * MS);
    /* more, where it isn't known what more there is, but not half of the time */
    check_waits(40 * MS, 0, 15 * MS, 30 * MS);
    /* for whoever is downstream, and frames drift by next to nothing */
    check_waits(40 * MS - 40 * GST_USECOND, 25, 35 * MS, 0);
}

/* What was waited for before a spell is no part of it. */
static void test_wait_before_spell(void)
{
    Said said = {
        0,
    };
    GpudlPace pace;

    gpudl_pace_init(&pace);
    arrive(&pace, 0, 50, 0, 0, &said);
    gpudl_pace_await(&pace, 0);
    arrive(&pace, 0, 50, 10 * S, 2100 * MS, &said);
    gpudl_pace_answer(&pace, 10 * S + MS);
    arrive(&pace, 40 * MS, 50, 12100 * MS, 0, &said);
    g_assert_cmpuint(said.n, ==, 1);
    g_assert_true(said.report[0].downstream);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add_func("/plugin/pace/" name, func)
    ADD("nothing-to-say", test_keeps_pace);
    ADD("behind-is-said-once", test_behind);
    ADD("unknown-rate", test_unknown_rate);
    ADD("wrong-rate", test_wrong_rate);
    ADD("nearly-quick-enough", test_nearly);
    ADD("deep-queue-before-it-is-full", test_deep_queue);
    ADD("hiccup", test_hiccup);
    ADD("long-ago", test_long_ago);
    ADD("network-then-sink", test_network_then_sink);
    ADD("low-rate", test_low_rate);
    ADD("slow-sink", test_slow_sink);
    ADD("waiting-sink", test_waiting_sink);
    ADD("slow-sink-and-network", test_slow_both);
    ADD("bursts", test_bursts);
    ADD("stopped-process", test_stopped_process);
    ADD("startup", test_startup);
    ADD("again-after-10-good-seconds", test_episodes);
    ADD("pause", test_pause);
    ADD("pause-among-good-seconds", test_pause_among_good_seconds);
    ADD("short-waits", test_short_waits);
    ADD("wait-before-spell", test_wait_before_spell);
    return g_test_run();
}
