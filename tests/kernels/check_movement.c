/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data movement: every element's number is followed to where it went. */
#include <math.h>

#include "kernels/movement.h"
#include "tests/kernels/check.h"

static GpudlDType any_type(void)
{
    /* one type per element size; more would be the same code */
    static const GpudlDType types[] = {GPUDL_DTYPE_U8, GPUDL_DTYPE_U16, GPUDL_DTYPE_F32, GPUDL_DTYPE_I64};

    return types[check_int(0, 3)];
}

static gint64 raw(const CheckTensor *t, gint64 i)
{
    CheckTensor bits = *t;

    if (t->view.dtype == GPUDL_DTYPE_F32)
        bits.view.dtype = GPUDL_DTYPE_U32;
    return check_get_int(&bits, i);
}

/** Filled with random bits, NaN patterns included: movement must not touch them. */
static CheckTensor *random_bits(GpudlDType dtype, GpudlShape shape)
{
    CheckTensor *t = check_tensor(dtype, shape);

    for (gint64 i = 0; i < check_elements(t); i++)
        check_set_int(t, i, (gint64)check_bits());
    return t;
}

/** Fails unless y's element i is x's element from. */
static void assert_from(const CheckTensor *y, gint64 i, const CheckTensor *x, gint64 from, const char *what)
{
    if (raw(y, i) != raw(x, from))
        check_fail("%s: element %" G_GINT64_FORMAT ", from %" G_GINT64_FORMAT ": found 0x%" G_GINT64_MODIFIER
                   "x, expected 0x%" G_GINT64_MODIFIER "x",
                   what, i, from, raw(y, i), raw(x, from));
}

static void test_transpose(void)
{
    for (guint number = 0; number < 200; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        gint32 perm[GPUDL_MAX_RANK];
        GpudlShape xs, ys;

        check_case(number, "transpose");
        xs = ys = check_shape(0, 6, 5);
        for (int i = 0; i < xs.rank; i++)
            perm[i] = i;
        for (int i = xs.rank - 1; i > 0; i--) {
            int j = (int)check_int(0, i), swap = perm[i];

            perm[i] = perm[j];
            perm[j] = swap;
        }
        for (int i = 0; i < xs.rank; i++)
            ys.dims[i] = xs.dims[perm[i]];
        x = random_bits(any_type(), xs);
        y = check_tensor(x->view.dtype, ys);
        check_status(gpudl_transpose_ref(&x->view, perm, &y->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 at[GPUDL_MAX_RANK], from[GPUDL_MAX_RANK];

            check_unravel(&ys, i, at);
            for (int d = 0; d < xs.rank; d++)
                from[perm[d]] = at[d];
            assert_from(y, i, x, check_ravel(&xs, from), "transpose");
        }
    }
}

static void test_concat_and_split(void)
{
    for (guint number = 0; number < 150; number++) {
        CheckTensor *parts[5] = {NULL}, *back[5] = {NULL};
        const GpudlTensorView *views[5];
        GpudlTensorView outputs[5];
        g_autoptr(CheckTensor) whole = NULL;
        GpudlShape shape;
        GpudlDType dtype;
        gint64 at[GPUDL_MAX_RANK];
        int axis, n;

        check_case(number, "concat and split");
        shape = check_shape(1, 6, 4);
        dtype = any_type();
        axis = (int)check_int(0, shape.rank - 1);
        n = (int)check_int(1, 5);
        check_note(", rank %d axis %d of %d", shape.rank, axis, n);
        shape.dims[axis] = 0;
        for (int i = 0; i < n; i++) {
            GpudlShape part = shape;

            part.dims[axis] = check_int(0, 4);
            parts[i] = random_bits(dtype, part);
            back[i] = check_tensor(dtype, part);
            views[i] = &parts[i]->view;
            outputs[i] = back[i]->view;
        }
        for (int i = 0; i < n; i++)
            shape.dims[axis] += parts[i]->view.shape.dims[axis];
        whole = check_tensor(dtype, shape);
        check_status(gpudl_concat_ref(views, n, axis, &whole->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(whole); i++) {
            int part = 0;

            check_unravel(&shape, i, at);
            while (at[axis] >= parts[part]->view.shape.dims[axis])
                at[axis] -= parts[part++]->view.shape.dims[axis];
            assert_from(whole, i, parts[part], check_ravel(&parts[part]->view.shape, at), "concat");
        }
        check_status(gpudl_split_ref(&whole->view, axis, outputs, n, NULL), GPUDL_KERNEL_OK);
        for (int part = 0; part < n; part++) {
            for (gint64 i = 0; i < check_elements(parts[part]); i++)
                assert_from(back[part], i, parts[part], i, "split");
            check_tensor_free(parts[part]);
            check_tensor_free(back[part]);
        }
    }
}

/** The indices a slice visits, one by one, with Python's rule written out. */
static int visit(gint64 extent, gint64 start, gint64 end, gint64 step, gint64 *visited)
{
    int n = 0;

    start = start < 0 ? MAX(start + extent, step < 0 ? -1 : 0) : MIN(start, step < 0 ? extent - 1 : extent);
    end = end < 0 ? MAX(end + extent, -1) : MIN(end, extent);
    for (gint64 i = start; step > 0 ? i < end : i > end; i += step)
        visited[n++] = i;
    return n;
}

static void test_slice(void)
{
    for (guint number = 0; number < 500; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        gint64 start[GPUDL_MAX_RANK], end[GPUDL_MAX_RANK], step[GPUDL_MAX_RANK], visited[GPUDL_MAX_RANK][16];
        GpudlShape xs, ys;

        check_case(number, "slice");
        xs = ys = check_shape(0, 6, 6);
        for (int i = 0; i < xs.rank; i++) {
            do
                step[i] = check_int(-3, 3);
            while (step[i] == 0);
            start[i] = check_int(-9, 9);
            end[i] = check_int(-9, 9);
            if (check_int(0, 3) == 0) {
                start[i] = step[i] > 0 ? 0 : G_MAXINT64;
                end[i] = step[i] > 0 ? G_MAXINT64 : G_MININT64;
            }
            ys.dims[i] = visit(xs.dims[i], start[i], end[i], step[i], visited[i]);
            check_note(", %d: %d..%d by %d", (int)xs.dims[i], (int)start[i], (int)end[i], (int)step[i]);
        }
        x = random_bits(any_type(), xs);
        y = check_tensor(x->view.dtype, ys);
        check_status(gpudl_slice_ref(&x->view, start, end, step, &y->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 at[GPUDL_MAX_RANK];

            check_unravel(&ys, i, at);
            for (int d = 0; d < xs.rank; d++)
                at[d] = visited[d][at[d]];
            assert_from(y, i, x, check_ravel(&xs, at), "slice");
        }
    }
}

static void test_slice_by_hand(void)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_I64, CHECK_SHAPE(5), (double[]){0, 1, 2, 3, 4});
    const struct {
        gint64 start, end, step;
        int n;
        gint64 expected[5];
    } cases[] = {
        {0, G_MAXINT64, 1, 5, {0, 1, 2, 3, 4}},
        {1, -1, 1, 3, {1, 2, 3}},
        {-2, G_MAXINT64, 1, 2, {3, 4}},
        {G_MAXINT64, G_MININT64, -1, 5, {4, 3, 2, 1, 0}},
        {-1, G_MININT64, -2, 3, {4, 2, 0}},
        {3, 0, -1, 3, {3, 2, 1}},
        {0, G_MAXINT64, G_MAXINT64, 1, {0}},
        {4, G_MININT64, G_MININT64, 1, {4}},
        {3, 3, 1, 0, {0}},
        {7, 9, 1, 0, {0}},
        {-9, -7, 1, 0, {0}},
        {-9, 2, 1, 2, {0, 1}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_I64, CHECK_SHAPE(cases[i].n));

        check_case(i, "slice by hand");
        check_status(gpudl_slice_ref(&x->view, &cases[i].start, &cases[i].end, &cases[i].step, &y->view, NULL),
                     GPUDL_KERNEL_OK);
        check_equal_int(y, cases[i].expected);
    }
}

static void assert_pad(GpudlPadding padding, gint64 begin, gint64 end, gint64 n, const gint64 *expected)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_I8, CHECK_SHAPE(3), (double[]){1, 2, 3});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_I8, CHECK_SHAPE(n));

    check_note(" [%d]", padding);
    check_status(gpudl_pad_ref(padding, &x->view, &begin, &end, 9.7, &y->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(y, expected);
}

static void test_pad_by_hand(void)
{
    check_case(0, "pad by hand");
    assert_pad(GPUDL_PADDING_CONSTANT, 2, 1, 6, (gint64[]){9, 9, 1, 2, 3, 9});
    assert_pad(GPUDL_PADDING_EDGE, 2, 1, 6, (gint64[]){1, 1, 1, 2, 3, 3});
    assert_pad(GPUDL_PADDING_REFLECT, 2, 1, 6, (gint64[]){3, 2, 1, 2, 3, 2});
    assert_pad(GPUDL_PADDING_REFLECT, 5, 4, 12, (gint64[]){2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3});
    assert_pad(GPUDL_PADDING_WRAP, 4, 2, 9, (gint64[]){3, 1, 2, 3, 1, 2, 3, 1, 2});
    assert_pad(GPUDL_PADDING_CONSTANT, -1, 2, 4, (gint64[]){2, 3, 9, 9});
    assert_pad(GPUDL_PADDING_CONSTANT, -4, 3, 2, (gint64[]){9, 9});
    assert_pad(GPUDL_PADDING_CONSTANT, 3, -4, 2, (gint64[]){9, 9});
    assert_pad(GPUDL_PADDING_EDGE, -1, -1, 1, (gint64[]){2});
    assert_pad(GPUDL_PADDING_EDGE, -2, -1, 0, NULL);
}

/** By the definitions, walked element by element: a reflected index turns round at each border. */
static gint64 pad_source(GpudlPadding padding, gint64 i, gint64 extent)
{
    gint64 at = 0, direction = 1;

    if (i >= 0 && i < extent)
        return i;
    if (padding == GPUDL_PADDING_CONSTANT)
        return -1;
    if (padding == GPUDL_PADDING_EDGE)
        return i < 0 ? 0 : extent - 1;
    for (gint64 steps = i < 0 ? -i : i; steps > 0; steps--) {
        if (padding == GPUDL_PADDING_WRAP) {
            at = (at + (i < 0 ? extent - 1 : 1)) % extent;
            continue;
        }
        if (at + direction < 0 || at + direction >= extent)
            direction = -direction;
        at += extent == 1 ? 0 : direction;
    }
    return at;
}

static void test_pad(void)
{
    for (guint number = 0; number < 400; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL, constant = NULL;
        gint64 begin[GPUDL_MAX_RANK], end[GPUDL_MAX_RANK];
        GpudlPadding padding;
        GpudlShape xs, ys;

        check_case(number, "pad");
        padding = (GpudlPadding)check_int(0, 3);
        check_note(" %d", padding);
        xs = ys = check_shape(0, 5, 5);
        for (int i = 0; i < xs.rank; i++) {
            begin[i] = check_int(-2, check_int(0, 1) ? 2 : 7);
            end[i] = check_int(-2, 2);
            if (xs.dims[i] + begin[i] + end[i] < 0)
                begin[i] = end[i] = 0;
            ys.dims[i] = xs.dims[i] + begin[i] + end[i];
            check_note(", %d + %d + %d", (int)xs.dims[i], (int)begin[i], (int)end[i]);
        }
        x = random_bits(any_type(), xs);
        y = check_tensor(x->view.dtype, ys);
        constant = check_tensor_of(x->view.dtype, CHECK_SCALAR, (double[]){5});
        check_status(gpudl_pad_ref(padding, &x->view, begin, end, 5, &y->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 at[GPUDL_MAX_RANK];
            gboolean inside = TRUE;

            check_unravel(&ys, i, at);
            for (int d = 0; d < xs.rank; d++) {
                at[d] = pad_source(padding, at[d] - begin[d], xs.dims[d]);
                inside = inside && at[d] >= 0;
            }
            assert_from(y, i, inside ? x : constant, inside ? check_ravel(&xs, at) : 0, "pad");
        }
    }
}

static void test_expand(void)
{
    for (guint number = 0; number < 150; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        GpudlShape shape;

        check_case(number, "expand");
        shape = check_shape(0, 6, 4);
        x = random_bits(any_type(), check_narrowed(&shape));
        y = check_tensor(x->view.dtype, shape);
        check_status(gpudl_expand_ref(&x->view, &y->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(y); i++)
            assert_from(y, i, x, check_broadcast(&shape, i, &x->view.shape), "expand");
    }
}

static void test_gather(void)
{
    for (guint number = 0; number < 200; number++) {
        g_autoptr(CheckTensor) x = NULL, indices = NULL, y = NULL;
        GpudlShape xs, is, ys = {0};
        int axis;

        check_case(number, "gather");
        xs = check_shape(1, 4, 4);
        is = check_shape(0, 3, 4);
        axis = (int)check_int(0, xs.rank - 1);
        check_note(", ranks %d %d axis %d", xs.rank, is.rank, axis);
        for (int i = 0; i < axis; i++)
            ys.dims[ys.rank++] = xs.dims[i];
        for (int i = 0; i < is.rank; i++)
            ys.dims[ys.rank++] = is.dims[i];
        for (int i = axis + 1; i < xs.rank; i++)
            ys.dims[ys.rank++] = xs.dims[i];
        x = random_bits(any_type(), xs);
        indices = check_tensor(check_int(0, 1) ? GPUDL_DTYPE_I32 : GPUDL_DTYPE_I64, is);
        for (gint64 i = 0; i < check_elements(indices); i++)
            check_set_int(indices, i, check_int(-xs.dims[axis], xs.dims[axis] - 1));
        y = check_tensor(x->view.dtype, ys);
        check_status(gpudl_gather_ref(&x->view, &indices->view, axis, &y->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 at[GPUDL_MAX_RANK + 1], from[GPUDL_MAX_RANK], picked;

            check_unravel(&ys, i, at);
            picked = check_get_int(indices, check_ravel(&is, at + axis));
            for (int d = 0; d < xs.rank; d++)
                from[d] = d < axis ? at[d] : d == axis ? picked : at[d + is.rank - 1];
            from[axis] += picked < 0 ? xs.dims[axis] : 0;
            assert_from(y, i, x, check_ravel(&xs, from), "gather");
        }
    }
}

static void test_gather_refuses(void)
{
    const gint64 bad[] = {3, -4, G_MAXINT64, G_MININT64};
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3, 2));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2));
    g_autoptr(CheckTensor) index = check_tensor(GPUDL_DTYPE_I64, CHECK_SHAPE(1));
    g_autoptr(CheckTensor) bytes = check_tensor(GPUDL_DTYPE_U8, CHECK_SHAPE(1));

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        check_case(i, "index out of range");
        check_set_int(index, 0, bad[i]);
        check_status(gpudl_gather_ref(&x->view, &index->view, 0, &y->view, NULL), GPUDL_KERNEL_INDEX);
    }
    check_case(9, "refused");
    check_status(gpudl_gather_ref(&x->view, &bytes->view, 0, &y->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_gather_ref(&x->view, &index->view, 2, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_gather_ref(&x->view, &index->view, 0, &x->view, NULL), GPUDL_KERNEL_SHAPE);
}

static void test_reshape(void)
{
    g_autoptr(CheckTensor) x = random_bits(GPUDL_DTYPE_F16, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(3, 1, 2));
    g_autoptr(CheckTensor) wrong = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(5));
    g_autoptr(CheckTensor) other = check_tensor(GPUDL_DTYPE_BF16, CHECK_SHAPE(6));
    g_autoptr(CheckTensor) none = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(0, 4));
    g_autoptr(CheckTensor) none2 = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(2, 0, 2));

    check_case(0, "reshape");
    check_status(gpudl_reshape_ref(&x->view, &y->view, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpmem(x->view.data, x->bytes, y->view.data, y->bytes);
    check_status(gpudl_reshape_ref(&x->view, &wrong->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_reshape_ref(&x->view, &other->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_reshape_ref(&none->view, &none2->view, NULL), GPUDL_KERNEL_OK);
}

static void test_refuses(void)
{
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3, 2));
    g_autoptr(CheckTensor) empty = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0, 3));
    const GpudlTensorView *both[] = {&x->view, &y->view};
    const gint64 zeros[] = {0, 0}, ends[] = {9, 9}, steps[] = {1, 0}, ones[] = {1, 1}, one_row[] = {2, 0};

    check_case(0, "refused");
    check_status(gpudl_transpose_ref(&x->view, (gint32[]){0, 1}, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_transpose_ref(&x->view, (gint32[]){1, 1}, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_transpose_ref(&x->view, (gint32[]){1, 2}, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_concat_ref(both, 2, 0, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_concat_ref(both, 1, 2, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_concat_ref(both, 0, 0, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_split_ref(&x->view, 0, &y->view, 1, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_slice_ref(&x->view, zeros, ends, steps, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_slice_ref(&x->view, zeros, ends, ones, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_pad_ref(GPUDL_PADDING_CONSTANT, &x->view, zeros, zeros, 0, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_pad_ref(GPUDL_PADDING_EDGE, &empty->view, one_row, zeros, 0, &x->view, NULL),
                 GPUDL_KERNEL_SHAPE);
    check_status(gpudl_expand_ref(&x->view, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_case(1, "padding nothing with a constant");
    check_status(gpudl_pad_ref(GPUDL_PADDING_CONSTANT, &empty->view, one_row, zeros, 1, &x->view, NULL),
                 GPUDL_KERNEL_OK);
    check_close(x, (double[]){1, 1, 1, 1, 1, 1}, 0);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/movement/reshape", test_reshape);
    g_test_add_func("/movement/transpose", test_transpose);
    g_test_add_func("/movement/concat-and-split", test_concat_and_split);
    g_test_add_func("/movement/slice/by-hand", test_slice_by_hand);
    g_test_add_func("/movement/slice/random", test_slice);
    g_test_add_func("/movement/pad/by-hand", test_pad_by_hand);
    g_test_add_func("/movement/pad/random", test_pad);
    g_test_add_func("/movement/expand", test_expand);
    g_test_add_func("/movement/gather/random", test_gather);
    g_test_add_func("/movement/gather/refuses", test_gather_refuses);
    g_test_add_func("/movement/refuses", test_refuses);
    return g_test_run();
}
