/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every operator through gpudl_ref_eval(): that its row calls the right kernel with the right attributes. What the
 * kernels compute is checked in tests/kernels. */
#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/graph/ops.h"
#include "engine/ref/ref.h"

#define MAX_VALUES 9

/** A small tensor; dims end with the first 0. */
typedef struct {
    GpudlDType dtype;
    int64_t dims[4];
    double values[MAX_VALUES];
} Small;

typedef struct {
    GpudlOp op;
    GpudlAttrs attrs;
    Small in[5], out[2]; /* dtype NONE: no more */
} Case;

#define F GPUDL_DTYPE_F32
#define I GPUDL_DTYPE_I64
#define B GPUDL_DTYPE_BOOL
#define V3(...)                                                                                                        \
    {                                                                                                                  \
        F, {3},                                                                                                        \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define B2(...)                                                                                                        \
    {                                                                                                                  \
        B, {2},                                                                                                        \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define WINDOW(k, s, pb, pe, ...)                                                                                      \
    {                                                                                                                  \
        .window = { 1, {1, 1, k}, {1, 1, s}, {0, 0, pb}, {0, 0, pe}, {1, 1, 1}, 1, __VA_ARGS__ }                       \
    }
#define UNARY(id, x0, x1, x2, y0, y1, y2)                                                                              \
    {                                                                                                                  \
        GPUDL_OP_##id, {.unary = {{0}}}, {V3(x0, x1, x2)},                                                             \
        {                                                                                                              \
            V3(y0, y1, y2)                                                                                             \
        }                                                                                                              \
    }
#define BINARY(id, y0, y1, y2)                                                                                         \
    {                                                                                                                  \
        GPUDL_OP_##id, {.binary = {{0}, 0}}, {V3(-7, 2, 3), V3(2, 3, 3)},                                              \
        {                                                                                                              \
            V3(y0, y1, y2)                                                                                             \
        }                                                                                                              \
    }
#define COMPARE(id, y0, y1, y2)                                                                                        \
    {                                                                                                                  \
        GPUDL_OP_##id, {.binary = {{0}, 0}}, {V3(1, 2, 3), V3(2, 2, 2)},                                               \
        {                                                                                                              \
            {                                                                                                          \
                B, {3},                                                                                                \
                {                                                                                                      \
                    y0, y1, y2                                                                                         \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }
#define LOGIC(id, y0, y1)                                                                                              \
    {                                                                                                                  \
        GPUDL_OP_##id, {.binary = {{0}, 0}}, {B2(1, 1), B2(0, 1)},                                                     \
        {                                                                                                              \
            B2(y0, y1)                                                                                                 \
        }                                                                                                              \
    }
#define REDUCE(id, y0, y1)                                                                                             \
    {                                                                                                                  \
        GPUDL_OP_##id, {.reduce = {1, {1}, 0}}, {{F, {2, 2}, {1, 3, 4, 8}}},                                           \
        {                                                                                                              \
            {                                                                                                          \
                F, {2},                                                                                                \
                {                                                                                                      \
                    y0, y1                                                                                             \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

static const Case cases[] = {
    {GPUDL_OP_CONV,
     WINDOW(2, 1, 1, 0, 0, 0, {GPUDL_ACT_CLIP, 0, 9}),
     {{F, {1, 1, 3}, {1, 2, 3}}, {F, {1, 1, 2}, {2, 1}}, {F, {1}, {1}}, {F, {1, 1, 3}, {-9, 1, 1}}},
     {{F, {1, 1, 3}, {0, 6, 9}}}},
    {GPUDL_OP_GEMM,
     {.gemm = {0, 1, 2, 3, {GPUDL_ACT_RELU, 0, 0}}},
     {{F, {1, 2}, {1, 2}}, {F, {2, 2}, {3, 4, 5, -6}}, {F, {1}, {1}}},
     {{F, {1, 2}, {25, 0}}}},
    {GPUDL_OP_MATMUL, {{0}}, {{F, {1, 2}, {1, 2}}, {F, {2, 2}, {3, 4, 5, -6}}}, {{F, {1, 2}, {13, -8}}}},
    {GPUDL_OP_MAX_POOL, WINDOW(2, 1, 1, 0, 0, 0), {{F, {1, 1, 3}, {-1, -2, 3}}}, {{F, {1, 1, 3}, {-1, -1, 3}}}},
    {GPUDL_OP_MAX_POOL,
     WINDOW(2, 1, 1, 0, 0, 0),
     {{F, {1, 2, 3}, {-1, -2, 3, 5, 5, 4}}},
     {{F, {1, 2, 3}, {-1, -1, 3, 5, 5, 5}}, {I, {1, 2, 3}, {0, 0, 2, 3, 3, 4}}}},
    {GPUDL_OP_AVERAGE_POOL, WINDOW(2, 1, 1, 0, 0, 0), {{F, {1, 1, 3}, {1, 2, 4}}}, {{F, {1, 1, 3}, {1, 1.5, 3}}}},
    {GPUDL_OP_AVERAGE_POOL, WINDOW(2, 1, 1, 0, 0, 1), {{F, {1, 1, 3}, {1, 2, 4}}}, {{F, {1, 1, 3}, {.5, 1.5, 3}}}},
    {GPUDL_OP_GLOBAL_MAX_POOL, {{0}}, {{F, {1, 1, 3}, {1, 2, 6}}}, {{F, {1, 1, 1}, {6}}}},
    {GPUDL_OP_GLOBAL_AVERAGE_POOL, {{0}}, {{F, {1, 1, 3}, {1, 2, 6}}}, {{F, {1, 1, 1}, {3}}}},
    {GPUDL_OP_RESIZE,
     {.resize = {.rank = 1, .mode = 1, .coordinate = 4, .sizes = {6}, .scale = {2}}},
     {V3(1, 2, 4)},
     {{F, {6}, {1, 1.5, 2, 3, 4, 4}}}},
    {GPUDL_OP_LRN, {.lrn = {1, 2, 1, 3}}, {{F, {1, 2, 1}, {1, 2}}}, {{F, {1, 2, 1}, {1. / 5, 2. / 11}}}},
    {GPUDL_OP_BATCH_NORM,
     {.batch_norm = {0.75f}},
     {{F, {1, 1, 2}, {5, 1}}, {F, {1}, {3}}, {F, {1}, {4}}, {F, {1}, {1}}, {F, {1}, {3.25}}},
     {{F, {1, 1, 2}, {10, 4}}}},
    {GPUDL_OP_LAYER_NORM,
     {.norm = {.axis = 1, .n_axes = 1, .epsilon = 0.75f}},
     {{F, {1, 2, 2}, {1, 3, 2, 3}}, {F, {2}, {2, 4}}, {F, {2}, {0, 1}}},
     {{F, {1, 2, 2}, {-1, 0, 3, 1}}}},
    {GPUDL_OP_GROUP_NORM,
     {.norm = {.groups = 2, .epsilon = 3}},
     {{F, {1, 2, 2}, {1, 3, 2, 2}}, {F, {2}, {2, 4}}, {F, {2}, {0, 1}}},
     {{F, {1, 2, 2}, {-1, 1, 1, 1}}}},
    {GPUDL_OP_ACTIVATION, {.unary = {{GPUDL_ACT_LEAKY_RELU, 0.25f, 0}}}, {V3(-4, 0, 2)}, {V3(-1, 0, 2)}},
    {GPUDL_OP_ELU, {.unary = {{GPUDL_ACT_NONE, 2, 0}}}, {V3(-INFINITY, 0, 2)}, {V3(-2, 0, 2)}},
    UNARY(ABS, -1, 0, 2, 1, 0, 2),
    UNARY(NEG, -1, 0, 2, 1, 0, -2),
    UNARY(EXP, -INFINITY, 0, 1, 0, 1, M_E),
    UNARY(LOG, 0, 1, M_E *M_E, -INFINITY, 0, 2),
    UNARY(SQRT, 0, 1, 9, 0, 1, 3),
    UNARY(RECIPROCAL, -2, 4, INFINITY, -0.5, 0.25, 0),
    UNARY(FLOOR, -1.5, 0, 1.5, -2, 0, 1),
    UNARY(CEIL, -1.5, 0, 1.5, -1, 0, 2),
    UNARY(ROUND, -2.5, 0.5, 1.5, -2, 0, 2),
    UNARY(ERF, -INFINITY, 0, INFINITY, -1, 0, 1),
    {GPUDL_OP_NOT, {{0}}, {B2(0, 1)}, {B2(1, 0)}},
    {GPUDL_OP_CAST, {.cast = {I}}, {V3(-1.9, 0.5, 7)}, {{I, {3}, {-1, 0, 7}}}},
    BINARY(ADD, -5, 5, 6),
    BINARY(SUB, -9, -1, 0),
    BINARY(MUL, -14, 6, 9),
    {GPUDL_OP_ADD, {.binary = {{GPUDL_ACT_CLIP, -4, 5.5f}, 0}}, {V3(-7, 2, 3), V3(2, 3, 3)}, {V3(-4, 5, 5.5)}},
    {GPUDL_OP_SUB, {.binary = {{GPUDL_ACT_RELU, 0, 0}, 0}}, {V3(-7, 5, 3), V3(2, 3, 3)}, {V3(0, 2, 0)}},
    {GPUDL_OP_MUL, {.binary = {{GPUDL_ACT_RELU, 0, 0}, 0}}, {V3(-7, 2, 3), V3(2, 3, 3)}, {V3(0, 6, 9)}},
    BINARY(DIV, -3.5, 2. / 3, 1),
    BINARY(POW, 49, 8, 27),
    BINARY(MIN, -7, 2, 3),
    BINARY(MAX, 2, 3, 3),
    BINARY(PRELU, -14, 2, 3),
    BINARY(MOD, 1, 2, 0),
    {GPUDL_OP_MOD, {.binary = {{0}, 1}}, {V3(-7, 2, 3), V3(2, 3, 3)}, {V3(-1, 2, 0)}},
    COMPARE(EQUAL, 0, 1, 0),
    COMPARE(LESS, 1, 0, 0),
    COMPARE(LESS_OR_EQUAL, 1, 1, 0),
    COMPARE(GREATER, 0, 0, 1),
    COMPARE(GREATER_OR_EQUAL, 0, 1, 1),
    LOGIC(AND, 0, 1),
    LOGIC(OR, 1, 1),
    LOGIC(XOR, 1, 0),
    {GPUDL_OP_WHERE, {{0}}, {B2(0, 1), {F, {2}, {1, 2}}, {F, {2}, {3, 4}}}, {{F, {2}, {3, 2}}}},
    {GPUDL_OP_SOFTMAX, {.axis = {1, 0}}, {{F, {1, 2, 2}, {0, 0, 0, 0}}}, {{F, {1, 2, 2}, {.5, .5, .5, .5}}}},
    {GPUDL_OP_SOFTMAX, {.axis = {1, 1}}, {{F, {1, 2, 2}, {0, 0, 0, 0}}}, {{F, {1, 2, 2}, {.25, .25, .25, .25}}}},
    {GPUDL_OP_LOG_SOFTMAX, {.axis = {1, 0}}, {{F, {1, 2}, {7, 7}}}, {{F, {1, 2}, {-M_LN2, -M_LN2}}}},
    REDUCE(REDUCE_MEAN, 2, 6),
    REDUCE(REDUCE_SUM, 4, 12),
    REDUCE(REDUCE_MAX, 3, 8),
    REDUCE(REDUCE_MIN, 1, 4),
    REDUCE(REDUCE_PROD, 3, 32),
    {GPUDL_OP_RESHAPE, {.shape = {2, {1, 3}}}, {V3(1, 2, 3)}, {{F, {1, 3}, {1, 2, 3}}}},
    {GPUDL_OP_TRANSPOSE, {.transpose = {2, {1, 0}}}, {{F, {2, 2}, {1, 2, 3, 4}}}, {{F, {2, 2}, {1, 3, 2, 4}}}},
    {GPUDL_OP_CONCAT, {.axis = {0}}, {V3(1, 2, 3), {F, {1}, {4}}, {F, {1}, {5}}}, {{F, {5}, {1, 2, 3, 4, 5}}}},
    {GPUDL_OP_SPLIT, {.axis = {0, 0, 2, {1, 2}}}, {V3(1, 2, 3)}, {{F, {1}, {1}}, {F, {2}, {2, 3}}}},
    {GPUDL_OP_SLICE, {.slice = {1, {-1}, {G_MININT64}, {-2}}}, {V3(1, 2, 3)}, {{F, {2}, {3, 1}}}},
    {GPUDL_OP_PAD, {.pad = {1, GPUDL_PAD_CONSTANT, {1}, {-1}, 9}}, {V3(1, 2, 3)}, {V3(9, 1, 2)}},
    {GPUDL_OP_PAD, {.pad = {1, GPUDL_PAD_REFLECT, {2}, {1}, 9}}, {V3(1, 2, 3)}, {{F, {6}, {3, 2, 1, 2, 3, 2}}}},
    {GPUDL_OP_PAD, {.pad = {1, GPUDL_PAD_EDGE, {2}, {1}, 9}}, {V3(1, 2, 3)}, {{F, {6}, {1, 1, 1, 2, 3, 3}}}},
    {GPUDL_OP_PAD, {.pad = {1, GPUDL_PAD_WRAP, {2}, {1}, 9}}, {V3(1, 2, 3)}, {{F, {6}, {2, 3, 1, 2, 3, 1}}}},
    {GPUDL_OP_EXPAND, {.shape = {1, {3}}}, {{F, {1}, {5}}}, {V3(5, 5, 5)}},
    {GPUDL_OP_GATHER, {.axis = {1}}, {{F, {1, 3}, {1, 2, 3}}, {I, {2}, {-1, 0}}}, {{F, {1, 2}, {3, 1}}}},
    {GPUDL_OP_IDENTITY, {{0}}, {V3(1, 2, 3)}, {V3(1, 2, 3)}},
};

static gsize fill(GpudlTensorView *view, const Small *small, gpointer room)
{
    gsize n = 1;

    *view = (GpudlTensorView){.dtype = small->dtype, .data = room};
    for (int i = 0; i < 4 && small->dims[i] > 0; i++) {
        view->shape.dims[view->shape.rank++] = small->dims[i];
        n *= (gsize)small->dims[i];
    }
    for (gsize i = 0; i < n; i++) {
        if (small->dtype == F)
            ((float *)room)[i] = (float)small->values[i];
        else if (small->dtype == I)
            ((gint64 *)room)[i] = (gint64)small->values[i];
        else
            ((guint8 *)room)[i] = small->values[i] != 0;
    }
    return n;
}

static double value_at(const GpudlTensorView *view, gsize i)
{
    return view->dtype == F   ? ((float *)view->data)[i]
           : view->dtype == I ? (double)((gint64 *)view->data)[i]
                              : ((guint8 *)view->data)[i];
}

static void test_case(gconstpointer user_data)
{
    const Case *c = user_data;
    gint64 in_room[5][MAX_VALUES], out_room[2][MAX_VALUES];
    GpudlTensorView in[5], out[2];
    const GpudlTensorView *inputs[5];
    gsize n[2] = {0};
    guint n_in = 0, n_out = 0;
    g_autoptr(GError) error = NULL;

    for (; n_in < 5 && c->in[n_in].dtype != GPUDL_DTYPE_NONE; n_in++) {
        fill(&in[n_in], &c->in[n_in], in_room[n_in]);
        inputs[n_in] = &in[n_in];
    }
    for (; n_out < 2 && c->out[n_out].dtype != GPUDL_DTYPE_NONE; n_out++) {
        n[n_out] = fill(&out[n_out], &c->out[n_out], out_room[n_out]);
        memset(out_room[n_out], 0x77, sizeof(out_room[n_out]));
    }
    g_assert_true(gpudl_ref_eval(c->op, "n", &c->attrs, inputs, n_in, out, n_out, &error));
    g_assert_no_error(error);
    for (guint o = 0; o < n_out; o++) {
        for (gsize i = 0; i < n[o]; i++) {
            double found = value_at(&out[o], i), expected = c->out[o].values[i];

            if (!(found == expected || fabs(found - expected) <= 1e-6 * fabs(expected)))
                g_error("output %u value %" G_GSIZE_FORMAT ": found %.9g, expected %.9g", o, i, found, expected);
        }
    }
}

/** No operator without a case above. */
static void test_all_there(void)
{
    for (int op = GPUDL_OP_NONE + 1; op <= GPUDL_OP_LAST; op++) {
        gboolean there = FALSE;

        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
            there = there || cases[i].op == (GpudlOp)op;
        if (!there)
            g_error("operator %s has no case here", gpudl_op_info((GpudlOp)op)->name);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ref-ops/all-there", test_all_there);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree gchar *name = g_strdup_printf("/ref-ops/%s/%" G_GSIZE_FORMAT, gpudl_op_info(cases[i].op)->name, i);

        g_test_add_data_func(name, &cases[i], test_case);
    }
    return g_test_run();
}
