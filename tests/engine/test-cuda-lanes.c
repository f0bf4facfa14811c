/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which steps run beside others, on random programs: whatever the lanes are, two steps that touch the same memory are
 * in order, by what a stream and its waits promise. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/branches.h"
#include "engine/plan.h"

enum { MOST = 60, MEMORIES = 24 };

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

typedef struct {
    guint32 reads[MOST], writes[MOST]; /* a bit for each piece of memory */
} Touched;

static int touch_meet(const void *data, uint32_t before, uint32_t behind)
{
    const Touched *t = data;

    g_assert_cmpuint(before, <, behind);
    return ((t->reads[before] | t->writes[before]) & t->writes[behind]) != 0 ||
           (t->writes[before] & t->reads[behind]) != 0;
}

/* What streams and events promise, worked out by paths: a step behind the one before it on its lane, and behind what it
 * waits for. */
static void find_paths(const CudaLanes *lanes, gboolean path[MOST][MOST])
{
    gint last[CUDA_LANES] = {-1, -1};

    memset(path, 0, sizeof(gboolean) * MOST * MOST);
    for (gint i = 0; i < (gint)lanes->n; i++) {
        const gint from[] = {last[lanes->lane[i]], lanes->wait[i]};

        for (guint k = 0; k < G_N_ELEMENTS(from); k++)
            for (gint j = 0; from[k] >= 0 && j < i; j++)
                path[j][i] |= j == from[k] || path[j][from[k]];
        last[lanes->lane[i]] = i;
    }
}

static void check_lanes(const CudaLanes *lanes, CudaMeet *meet, const void *data)
{
    static gboolean path[MOST][MOST];
    guint side = 0;

    find_paths(lanes, path);
    for (guint i = 0; i < lanes->n; i++) {
        side += lanes->lane[i];
        g_assert_cmpuint(lanes->lane[i], <, CUDA_LANES);
        g_assert_cmpint(lanes->wait[i], <, (gint)i);
        if (lanes->wait[i] >= 0)
            g_assert_cmpuint(lanes->lane[lanes->wait[i]], !=, lanes->lane[i]);
        for (guint j = 0; j < i; j++) {
            g_assert_cmpint(path[j][i], ==, cuda_lanes_are_ordered(lanes, j, i));
            if (meet(data, j, i))
                g_assert_true(path[j][i]);
        }
    }
    g_assert_cmpuint(lanes->n_side, ==, side);
}

static void check_widening(const CudaLanes *lanes)
{
    for (guint i = 0; i < lanes->n; i++) {
        gint32 first = (gint32)i, last = (gint32)i;

        cuda_lanes_widen(lanes, i, &first, &last);
        for (gint j = 0; j < (gint)lanes->n; j++)
            if (j < first || j > last)
                g_assert_true(cuda_lanes_are_ordered(lanes, (guint)MIN(j, (gint)i), (guint)MAX(j, (gint)i)));
    }
}

/* What a captured launch depends on, worked out as streams and events say: a launch on all that its stream came behind
 * since the one before it, which a wait adds to. One that overlaps depends on its lane's last launch and nothing else,
 * or on nothing at all. */
static guint check_overlap(const CudaLanes *lanes)
{
    guint64 behind[CUDA_LANES] = {0}, events[MOST] = {0}, last[CUDA_LANES] = {0};
    gboolean waited[CUDA_LANES] = {FALSE, TRUE};
    CudaJoins joins = CUDA_JOINS_BEGIN;
    guint apart = 0;

    for (guint i = 0; i < lanes->n; i++) {
        const guint lane = lanes->lane[i];
        const gboolean launches = g_test_rand_int_range(0, 4) > 0;
        const gboolean overlaps = cuda_lanes_overlap(lanes, i, launches, &joins);

        if (lanes->wait[i] >= 0) {
            behind[lane] |= events[lanes->wait[i]];
            waited[lane] = TRUE;
        }
        if (overlaps)
            g_assert_cmpuint(behind[lane] & ~last[lane], ==, 0);
        else
            g_assert_true(waited[lane]);
        if (launches) {
            last[lane] = behind[lane] = (guint64)1 << i;
            waited[lane] = FALSE;
            apart += !overlaps;
        }
        events[i] = behind[lane];
    }
    return apart;
}

static void test_random_steps_are_in_order(void)
{
    guint with_branches = 0, apart = 0;

    for (guint run = 0; run < 400; run++) {
        const guint n = (guint)g_test_rand_int_range(1, MOST), memories = (guint)g_test_rand_int_range(1, MEMORIES);
        Touched t = {{0}};
        gfloat costs[MOST];
        CudaLanes lanes;

        for (guint i = 0; i < n; i++) {
            t.reads[i] = 1u << g_test_rand_int_range(0, (gint)memories);
            if (g_test_rand_bit())
                t.reads[i] |= 1u << g_test_rand_int_range(0, (gint)memories);
            t.writes[i] = 1u << g_test_rand_int_range(0, (gint)memories);
            costs[i] = (gfloat)g_test_rand_double_range(500, 30000);
        }
        g_assert_true(cuda_lanes_split(&lanes, n, costs, touch_meet, &t));
        check_lanes(&lanes, touch_meet, &t);
        check_widening(&lanes);
        apart += check_overlap(&lanes);
        with_branches += lanes.n_side > 0;
        for (guint i = 0; i < n; i++) /* any lanes, as long as it is waited for */
            lanes.lane[i] = g_test_rand_bit() ? 1 : 0;
        lanes.n_side = 0;
        for (guint i = 0; i < n; i++)
            lanes.n_side += lanes.lane[i];
        cuda_lanes_order(&lanes, touch_meet, &t);
        check_lanes(&lanes, touch_meet, &t);
        check_widening(&lanes);
        apart += check_overlap(&lanes);
        cuda_lanes_clear(&lanes);
        g_assert_null(lanes.lane);
    }
    g_assert_cmpuint(with_branches, >, 100);
    g_assert_cmpuint(apart, >, 1000);
}

static void test_a_chain_stays_on_one_lane(void)
{
    Touched t = {{0}};
    gfloat costs[10];
    CudaLanes lanes;

    for (guint i = 0; i < 10; i++) {
        t.reads[i] = 1u << i;
        t.writes[i] = 2u << i;
        costs[i] = 5000;
    }
    g_assert_true(cuda_lanes_split(&lanes, 10, costs, touch_meet, &t));
    g_assert_cmpuint(lanes.n_side, ==, 0);
    for (guint i = 0; i < 10; i++)
        g_assert_cmpint(lanes.wait[i], ==, -1);
    cuda_lanes_clear(&lanes);
}

static void test_a_chain_overlaps(void)
{
    uint8_t lane[4] = {0};
    gint32 waits[] = {-1, -1, -1, -1};
    const CudaLanes lanes = {.n = 4, .lane = lane, .wait = waits};
    CudaJoins joins = CUDA_JOINS_BEGIN;

    for (guint i = 0; i < 4; i++)
        g_assert_true(cuda_lanes_overlap(&lanes, i, TRUE, &joins));
}

/* Step 2 begins a lane, 3 joins both but launches nothing, so 4 does. */
static void test_forks_and_joins_do_not_overlap(void)
{
    uint8_t lane[] = {0, 0, 1, 0, 0, 0, 1};
    gint32 waits[] = {-1, -1, 0, 2, -1, -1, -1};
    const gboolean launches[] = {TRUE, TRUE, TRUE, FALSE, TRUE, TRUE, TRUE};
    const gboolean expected[] = {TRUE, TRUE, FALSE, FALSE, FALSE, TRUE, TRUE};
    const CudaLanes lanes = {.n = 7, .lane = lane, .wait = waits};
    CudaJoins joins = CUDA_JOINS_BEGIN;

    for (guint i = 0; i < 7; i++)
        g_assert_cmpint(cuda_lanes_overlap(&lanes, i, launches[i], &joins), ==, expected[i]);
}

/* Lane 1 is behind the event that its stream joined the capture with, also where its first step waits for none. */
static void test_the_second_lane_begins_without_overlap(void)
{
    uint8_t lane[] = {0, 1, 1};
    gint32 waits[] = {-1, -1, -1};
    const gboolean expected[] = {TRUE, FALSE, TRUE};
    const CudaLanes lanes = {.n = 3, .lane = lane, .wait = waits};
    CudaJoins joins = CUDA_JOINS_BEGIN;

    for (guint i = 0; i < 3; i++)
        g_assert_cmpint(cuda_lanes_overlap(&lanes, i, TRUE, &joins), ==, expected[i]);
}

/* 0 makes what 1, 2 and 3 read; 4 reads what 2 and 3 make, 5 what 1 and 4 do. */
static void test_a_long_branch_has_a_lane_to_itself(void)
{
    const Touched t = {{0, 1, 1, 1, 4 | 8, 2 | 16}, {1, 2, 4, 8, 16, 32}};
    const gfloat costs[] = {5000, 30000, 5000, 5000, 5000, 5000}, little[] = {900, 900, 50, 50, 50, 50};
    static const guint8 expected[] = {0, 0, 1, 1, 1, 0};
    static const gint32 waits[] = {-1, -1, 0, -1, -1, 4};
    CudaLanes lanes;

    g_assert_true(cuda_lanes_split(&lanes, 6, costs, touch_meet, &t));
    g_assert_cmpmem(lanes.lane, 6, expected, 6);
    g_assert_cmpmem(lanes.wait, 6 * sizeof *waits, waits, sizeof waits);
    g_assert_true(cuda_lanes_are_ordered(&lanes, 4, 5));
    g_assert_false(cuda_lanes_are_ordered(&lanes, 1, 4));
    cuda_lanes_clear(&lanes);
    g_assert_true(cuda_lanes_split(&lanes, 6, little, touch_meet, &t)); /* not worth a wait */
    g_assert_cmpuint(lanes.n_side, ==, 0);
    cuda_lanes_clear(&lanes);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static CudaValue picture(gint32 block, gint64 n, gint64 c, gint64 side, gint64 pitch, gint64 offset)
{
    return (CudaValue){.block = block,
                       .dtype = GPUDL_DTYPE_F16,
                       .shape = {4, {n, c, side, side}},
                       .strides = {side * side * pitch, 1, side * pitch, pitch},
                       .offset = offset};
}

static CudaAccess written(const CudaValue *value)
{
    CudaBlock blocks[2] = {{.bytes = 1 << 20}, {.bytes = 1 << 20}};
    CudaValue values[2] = {*value, *value};
    const CudaProgram program = {.n_blocks = 2, .n_values = 2, .blocks = blocks, .values = values};
    const CudaStep step = {.x = 1, .y = 0, .w = -1, .bias = -1, .half_bias = -1, .z = -1, .scratch = -1};
    CudaAccess accesses[CUDA_ACCESSES];

    values[1].block = 1;
    g_assert_cmpint(cuda_step_accesses(&program, &step, accesses), ==, 2);
    g_assert_true(accesses[1].writes);
    g_assert_false(accesses[0].writes);
    return accesses[1];
}

static gboolean slices_meet(gint64 first, gint64 c, gint64 second, gint64 k)
{
    const CudaValue a = picture(0, 2, c, 3, 32, first), b = picture(0, 2, k, 3, 32, second);
    const CudaAccess x = written(&a), y = written(&b);

    g_assert_cmpint(cuda_accesses_meet(&x, &y), ==, cuda_accesses_meet(&y, &x));
    return cuda_accesses_meet(&x, &y);
}

static void test_slices_of_a_concatenation_are_apart(void)
{
    CudaValue a, b;
    CudaAccess x, y;

    g_assert_false(slices_meet(0, 16, 16, 16));
    g_assert_false(slices_meet(24, 8, 0, 24));
    g_assert_true(slices_meet(0, 16, 8, 16));
    g_assert_true(slices_meet(0, 12, 12, 16)); /* whole vectors are written */
    g_assert_false(slices_meet(0, 12, 16, 16));
    a = picture(0, 1, 8, 1, 32, 0); /* single pixels */
    b = picture(0, 1, 8, 1, 32, 8);
    x = written(&a);
    y = written(&b);
    g_assert_false(cuda_accesses_meet(&x, &y));
    a = picture(0, 2, 16, 3, 32, 0); /* other layouts share bytes */
    b = picture(0, 2, 16, 3, 48, 16);
    x = written(&a);
    y = written(&b);
    g_assert_true(cuda_accesses_meet(&x, &y));
    a = picture(0, 1, 8, 3, 24, 0); /* rows of another pitch than whole pixels: the second one begins at 80 */
    a.strides[2] += 8;
    b = a;
    b.offset = 32;
    x = written(&a);
    y = written(&b);
    g_assert_true(cuda_accesses_meet(&x, &y));
    y = x;
    x.writes = 0;
    g_assert_true(cuda_accesses_meet(&x, &y));
    g_assert_true(cuda_accesses_meet(&y, &x));
    y.writes = 0;
    g_assert_false(cuda_accesses_meet(&x, &y));
}

static void mark(guint8 *bytes, const CudaValue *v)
{
    const gint64 *d = v->shape.dims, *s = v->strides;

    for (gint64 i = 0; i < d[0]; i++)
        for (gint64 h = 0; h < d[2]; h++)
            for (gint64 w = 0; w < d[3]; w++)
                for (gint64 c = 0; c < d[1]; c++)
                    bytes[v->offset + i * s[0] + c * s[1] + h * s[2] + w * s[3]] = 1;
}

/* Views that are said to be apart are. */
static void test_random_views(void)
{
    guint apart = 0;

    for (guint run = 0; run < 3000; run++) {
        guint8 bytes[2][8192] = {{0}};
        CudaValue v[2];
        CudaAccess access[2];

        for (guint i = 0; i < 2; i++) {
            const gint64 pitch = 8 * g_test_rand_int_range(1, 5), c = g_test_rand_int_range(1, (gint)pitch + 1);

            v[i] = picture(0, g_test_rand_int_range(1, 3), c, g_test_rand_int_range(1, 5), pitch,
                           g_test_rand_int_range(0, 64));
            if (g_test_rand_int_range(0, 4) == 0) { /* channels first */
                v[i].strides[1] = v[i].shape.dims[2] * v[i].shape.dims[3];
                v[i].strides[0] = v[i].strides[1] * c;
                v[i].strides[2] = v[i].shape.dims[3];
                v[i].strides[3] = 1;
            } else if (g_test_rand_bit()) { /* rows of their own pitch */
                v[i].strides[2] += 8;
                v[i].strides[0] = v[i].shape.dims[2] * v[i].strides[2];
            }
            mark(bytes[i], &v[i]);
            access[i] = written(&v[i]);
        }
        if (cuda_accesses_meet(&access[0], &access[1]))
            continue;
        apart++;
        for (guint k = 0; k < sizeof bytes[0]; k++)
            g_assert_false(bytes[0][k] && bytes[1][k]);
    }
    g_assert_cmpuint(apart, >, 50);
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

typedef struct {
    CudaProgram program;
    CudaStep steps[MOST];
    CudaBlock blocks[MOST + 2];
    CudaValue values[MOST + 2];
    guint64 offsets[MOST + 2];
} Net;

static void touch(Net *net, gint32 value, gint32 step)
{
    CudaBlock *block = &net->blocks[net->values[value].block];

    block->first = MIN(block->first, step);
    block->last = MAX(block->last, step);
}

/* Value and block 0 are the input; step i writes value and block i + 1, of one or two values before, or writes over one
 * of them. */
static void make_random(Net *net)
{
    const guint n = (guint)g_test_rand_int_range(3, MOST);

    memset(net, 0, sizeof *net);
    net->program = (CudaProgram){.n_steps = n,
                                 .n_frame_steps = n,
                                 .n_blocks = n + 1,
                                 .n_values = n + 1,
                                 .steps = net->steps,
                                 .blocks = net->blocks,
                                 .values = net->values};
    for (guint i = 0; i <= n; i++) {
        net->values[i] = picture((gint32)i, 1, 8 * g_test_rand_int_range(1, 9), g_test_rand_int_range(1, 9), 0, 0);
        net->values[i] = picture((gint32)i, 1, net->values[i].shape.dims[1], net->values[i].shape.dims[2],
                                 net->values[i].shape.dims[1], 0);
        net->blocks[i] = (CudaBlock){.bytes = 2u * (guint64)gpudl_shape_elements(&net->values[i].shape),
                                     .first = i == 0 ? -1 : INT32_MAX,
                                     .last = -1};
    }
    for (gint32 i = 0; i < (gint32)n; i++) {
        const gint32 x = g_test_rand_int_range(MAX(0, i - 3), i + 1);
        const gint32 z = g_test_rand_bit() ? g_test_rand_int_range(MAX(0, i - 5), i + 1) : -1;

        net->steps[i] = (CudaStep){.x = x, .z = z, .y = i + 1, .w = -1, .bias = -1, .half_bias = -1, .scratch = -1};
        if (i > 0 && g_test_rand_int_range(0, 5) == 0)
            net->steps[i].y = x;
        touch(net, x, i);
        touch(net, i + 1, i);
        if (z >= 0)
            touch(net, z, i);
    }
}

static void place(Net *net, gboolean wide)
{
    gint32 first[MOST + 2], last[MOST + 2];
    guint64 sizes[MOST + 2];

    for (guint i = 0; i < net->program.n_blocks; i++) {
        sizes[i] = net->blocks[i].bytes;
        first[i] = net->blocks[i].first;
        last[i] = net->blocks[i].last;
    }
    if (wide)
        cuda_branches_widen(&net->program, first, last);
    net->program.work_bytes = gpudl_place(net->program.n_blocks, sizes, first, last, CUDA_ALIGNMENT, net->offsets);
    for (guint i = 0; i < net->program.n_blocks; i++)
        net->blocks[i].offset = net->offsets[i];
}

/* By the bytes themselves. */
static int bytes_meet(const void *data, uint32_t before, uint32_t behind)
{
    const CudaProgram *p = data;
    CudaAccess a[CUDA_ACCESSES], b[CUDA_ACCESSES];
    const int n = cuda_step_accesses(p, &p->steps[before], a), m = cuda_step_accesses(p, &p->steps[behind], b);

    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++) {
            const gint64 x = (gint64)p->blocks[a[i].block].offset, y = (gint64)p->blocks[b[k].block].offset;

            if ((a[i].writes || b[k].writes) && x + a[i].begin < y + b[k].end && y + b[k].begin < x + a[i].end)
                return 1;
        }
    return 0;
}

static void test_random_programs_share_no_memory(void)
{
    static Net net;
    guint with_branches = 0, shared = 0;

    for (guint run = 0; run < 300; run++) {
        gint32 waits[MOST];
        guint64 narrow;

        make_random(&net);
        g_assert_true(cuda_branches_split(&net.program));
        if (net.program.lanes.n == 0)
            continue;
        with_branches++;
        memcpy(waits, net.program.lanes.wait, net.program.n_steps * sizeof *waits);
        place(&net, FALSE);
        narrow = net.program.work_bytes;
        g_assert_true(cuda_branches_order(&net.program));
        check_lanes(&net.program.lanes, bytes_meet, &net.program);
        shared += memcmp(waits, net.program.lanes.wait, net.program.n_steps * sizeof *waits) != 0;
        cuda_lanes_clear(&net.program.lanes);
        g_assert_true(cuda_branches_split(&net.program));
        place(&net, TRUE);
        g_assert_true(cuda_branches_order(&net.program));
        check_lanes(&net.program.lanes, bytes_meet, &net.program);
        g_assert_cmpmem(waits, net.program.n_steps * sizeof *waits, net.program.lanes.wait,
                        net.program.n_steps * sizeof *waits); /* no wait more */
        g_assert_cmpuint(net.program.work_bytes, >=, narrow / 2);
        cuda_lanes_clear(&net.program.lanes);
    }
    g_assert_cmpuint(with_branches, >, 100);
    g_assert_cmpuint(shared, >, 20);
}

/* SqueezeNet's: two convolutions write halves of a block. */
static void test_a_fire_module_forks(void)
{
    static Net net;

    make_random(&net);
    net.program.n_steps = net.program.n_frame_steps = 4;
    net.program.n_blocks = 4;
    net.blocks[2].bytes = 2 * 28 * 28 * 128;
    net.values[0] = picture(0, 1, 64, 28, 64, 0);
    net.values[1] = picture(1, 1, 16, 28, 16, 0);
    net.values[2] = picture(2, 1, 64, 28, 128, 0);
    net.values[3] = picture(2, 1, 64, 28, 128, 64);
    net.values[4] = picture(2, 1, 128, 28, 128, 0);
    net.values[5] = picture(3, 1, 16, 28, 16, 0);
    for (gint32 i = 0; i < 4; i++) {
        static const gint32 x[] = {0, 1, 1, 4}, y[] = {1, 2, 3, 5};

        net.steps[i] = (CudaStep){.x = x[i], .y = y[i], .z = -1, .w = -1, .bias = -1, .half_bias = -1, .scratch = -1};
    }
    g_assert_true(cuda_branches_split(&net.program));
    g_assert_cmpuint(net.program.lanes.n, ==, 4);
    g_assert_cmpuint(net.program.lanes.lane[1], !=, net.program.lanes.lane[2]);
    g_assert_false(cuda_lanes_are_ordered(&net.program.lanes, 1, 2));
    g_assert_true(cuda_lanes_are_ordered(&net.program.lanes, 1, 3));
    g_assert_true(cuda_lanes_are_ordered(&net.program.lanes, 2, 3));
    cuda_lanes_clear(&net.program.lanes);
    net.steps[1].scratch = net.steps[2].scratch = 0; /* the same work memory */
    g_assert_true(cuda_branches_split(&net.program));
    g_assert_cmpuint(net.program.lanes.n, ==, 0);
    net.steps[1].scratch = net.steps[2].scratch = -1;
    net.steps[1].x = -1; /* clears all of its block */
    g_assert_true(cuda_branches_split(&net.program));
    if (net.program.lanes.n > 0)
        g_assert_true(cuda_lanes_are_ordered(&net.program.lanes, 1, 2));
    cuda_lanes_clear(&net.program.lanes);
}

/* Its convolutions as one launch write both halves at the place of the last one: who reads the first half alone waits
 * for that, and it waits for who has read there; apart they are as they were. */
static void test_siblings_fork_and_are_waited_for(void)
{
    static const gint32 x[] = {0, 0, 1, 1, 2, 3}, y[] = {1, 6, 2, 3, 5, 6};
    static Net net;
    CudaConv conv = {.key = {.siblings = 1}};
    CudaAccess accesses[CUDA_ACCESSES];

    for (gint siblings = 0; siblings < 2; siblings++) {
        make_random(&net);
        net.program.n_steps = net.program.n_frame_steps = 6;
        net.values[0] = picture(0, 1, 64, 28, 64, 0);
        net.values[1] = picture(1, 1, 16, 28, 16, 0);
        net.values[2] = picture(2, 1, 64, 28, 128, 0);
        net.values[3] = picture(2, 1, 64, 28, 128, 64);
        net.values[5] = picture(3, 1, 64, 28, 64, 0);
        net.values[6] = picture(4, 1, 64, 28, 64, 0);
        for (gint32 i = 0; i < 6; i++)
            net.steps[i] =
                (CudaStep){.x = x[i], .y = y[i], .z = -1, .w = -1, .bias = -1, .half_bias = -1, .scratch = -1};
        net.steps[1].z = 2; /* reads what was there before */
        for (gint32 i = 2; i < 4 && siblings; i++) {
            net.steps[i].block = &conv;
            net.steps[i].block_steps = 4 - i;
        }
        g_assert_cmpint(cuda_step_accesses(&net.program, &net.steps[3], accesses), ==, 2 + siblings);
        g_assert_true(cuda_branches_split(&net.program));
        g_assert_cmpuint(net.program.lanes.n, ==, 6);
        g_assert_false(cuda_lanes_are_ordered(&net.program.lanes, 2, 3));
        g_assert_true(cuda_lanes_are_ordered(&net.program.lanes, 1, 2));
        g_assert_true(cuda_lanes_are_ordered(&net.program.lanes, 2, 4));
        g_assert_cmpint(cuda_lanes_are_ordered(&net.program.lanes, 1, 3), >=, siblings);
        g_assert_cmpint(cuda_lanes_are_ordered(&net.program.lanes, 3, 4), >=, siblings);
        cuda_lanes_clear(&net.program.lanes);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-lanes/random-steps", test_random_steps_are_in_order);
    g_test_add_func("/cuda-lanes/chain", test_a_chain_stays_on_one_lane);
    g_test_add_func("/cuda-lanes/chain-overlaps", test_a_chain_overlaps);
    g_test_add_func("/cuda-lanes/forks-and-joins-do-not-overlap", test_forks_and_joins_do_not_overlap);
    g_test_add_func("/cuda-lanes/second-lane-begins", test_the_second_lane_begins_without_overlap);
    g_test_add_func("/cuda-lanes/long-branch", test_a_long_branch_has_a_lane_to_itself);
    g_test_add_func("/cuda-lanes/slices", test_slices_of_a_concatenation_are_apart);
    g_test_add_func("/cuda-lanes/random-views", test_random_views);
    g_test_add_func("/cuda-lanes/random-programs", test_random_programs_share_no_memory);
    g_test_add_func("/cuda-lanes/siblings", test_siblings_fork_and_are_waited_for);
    g_test_add_func("/cuda-lanes/fire", test_a_fire_module_forks);
    return g_test_run();
}
