/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which plans of a problem are kept, and that each is freed once. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/choice.h"

enum { MOST = 64 };

static gint alive[MOST]; /* plans, by number from 1 on, that nobody has freed */

static cudnnStatus_t destroy(cudnnBackendDescriptor_t plan)
{
    const guint number = GPOINTER_TO_UINT(plan);

    g_assert_cmpuint(number, <, MOST);
    g_assert_cmpint(alive[number], ==, 1);
    alive[number] = 0;
    return CUDNN_STATUS_SUCCESS;
}

static const CudaCudnn cudnn = {.destroy_descriptor = destroy};
static const CudaDevice device = {.cudnn = &cudnn};

/* number 0: one without a descriptor */
static void add(CudaConv *conv, guint number, float ns, gint64 workspace)
{
    CudaConvPlan plan = {.form = number == 0 ? CUDA_CONV_LT : CUDA_CONV_BIAS_FIRST,
                         .plan = GUINT_TO_POINTER(number),
                         .ns = ns,
                         .workspace = workspace};

    g_snprintf(plan.name, sizeof plan.name, "plan %u", number);
    if (number != 0)
        alive[number] = 1;
    cuda_conv_add(&device, conv, &plan);
    g_assert_null(plan.plan);
}

/* The conv's plan, then the others, by number. */
static void check(const CudaConv *conv, guint n, const guint *numbers)
{
    g_assert_cmpint(conv->chosen, ==, n > 0);
    g_assert_cmpint(conv->n_others, ==, (gint)n - 1);
    for (guint i = 0; i < n; i++) {
        g_autofree gchar *name = g_strdup_printf("plan %u", numbers[i]);

        g_assert_cmpstr(i == 0 ? conv->name : conv->others[i - 1].name, ==, name);
        g_assert_true((i == 0 ? conv->plan : conv->others[i - 1].plan) == GUINT_TO_POINTER(numbers[i]));
        g_assert_cmpint(i == 0 ? conv->form : conv->others[i - 1].form, ==,
                        numbers[i] == 0 ? CUDA_CONV_LT : CUDA_CONV_BIAS_FIRST);
    }
    for (guint i = 1; i < MOST; i++) {
        gboolean wanted = FALSE;

        for (guint k = 0; k < n; k++)
            wanted = wanted || numbers[k] == i;
        g_assert_cmpint(alive[i], ==, wanted);
    }
}

/* All is freed. */
static void end(CudaConv *conv)
{
    cuda_conv_settle(&device, conv);
    g_assert_cmpint(conv->n_others, ==, 0);
    cuda_conv_plan_free(&device, conv->plan);
    for (guint i = 0; i < MOST; i++)
        g_assert_cmpint(alive[i], ==, 0);
}

static void test_the_fastest_is_chosen_and_others_follow(void)
{
    CudaConv conv = {0};

    add(&conv, 1, 50, 0);
    check(&conv, 1, (const guint[]){1});
    add(&conv, 2, 40, 0);
    add(&conv, 0, 45, 0);
    add(&conv, 3, 60, 0);
    check(&conv, 4, (const guint[]){2, 0, 1, 3});
    g_assert_cmpfloat(conv.ns, ==, 40);
    add(&conv, 4, 40, 0); /* no faster */
    check(&conv, 5, (const guint[]){2, 4, 0, 1, 3});
    end(&conv);
}

static void test_the_slowest_go_when_there_are_enough(void)
{
    CudaConv conv = {0};

    for (guint i = 1; i <= 9; i++)
        add(&conv, i, (float)i * 10, 0);
    check(&conv, 9, (const guint[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
    add(&conv, 10, 90, 0); /* those that came first stay */
    check(&conv, 9, (const guint[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
    add(&conv, 11, 5, 0);
    check(&conv, 9, (const guint[]){11, 1, 2, 3, 4, 5, 6, 7, 8});
    add(&conv, 12, 25, 0);
    check(&conv, 9, (const guint[]){11, 1, 2, 12, 3, 4, 5, 6, 7});
    end(&conv);
}

static void test_plans_without_a_time(void)
{
    CudaConv conv = {0};

    add(&conv, 1, 0, 0);
    add(&conv, 2, 0, 0);
    check(&conv, 1, (const guint[]){1});
    add(&conv, 3, 30, 0); /* that one is known */
    check(&conv, 1, (const guint[]){3});
    add(&conv, 4, 0, 0);
    check(&conv, 1, (const guint[]){3});
    end(&conv);
}

static void test_pruning(void)
{
    const gint64 mb = 1 << 20;
    CudaConv conv = {0};

    add(&conv, 1, 10000, 20 * mb);
    add(&conv, 2, 11900, 0);       /* 15 % and half a microsecond */
    add(&conv, 3, 12100, 0);       /* more */
    add(&conv, 4, 10100, 21 * mb); /* takes more memory than the fastest and than is fair */
    add(&conv, 5, 10200, 20 * mb);
    cuda_conv_prune(&device, &conv);
    check(&conv, 3, (const guint[]){1, 5, 2});
    end(&conv);
    conv = (CudaConv){0};
    add(&conv, 1, 10000, 0);
    add(&conv, 2, 10100, 8 * mb);
    add(&conv, 3, 10100, 9 * mb);
    cuda_conv_prune(&device, &conv);
    check(&conv, 2, (const guint[]){1, 2});
    end(&conv);
    for (guint large = 0; large < 2; large++) { /* more of what is mostly a launch */
        conv = (CudaConv){0};
        for (guint i = 1; i <= 9; i++)
            add(&conv, i, (large ? 8000 : 7990) + (float)i, 0);
        cuda_conv_prune(&device, &conv);
        check(&conv, large ? 5 : 9, (const guint[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
        end(&conv);
    }
}

static void test_any_order(void)
{
    for (guint32 seed = 0; seed < 500; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        CudaConv conv = {0};
        const guint n = (guint)g_rand_int_range(rand, 1, MOST);
        float fastest = 0;

        for (guint i = 1; i < n; i++) {
            const float ns = (float)g_rand_int_range(rand, 0, 5000);

            add(&conv, g_rand_int_range(rand, 0, 4) == 0 ? 0 : i, ns, g_rand_int_range(rand, 0, 16) << 20);
            fastest = ns > 0 && (fastest == 0 || ns < fastest) ? ns : fastest;
            g_assert_cmpfloat(conv.ns, ==, fastest);
            if (g_rand_int_range(rand, 0, 8) == 0)
                cuda_conv_prune(&device, &conv);
            for (gint k = 1; k < conv.n_others; k++)
                g_assert_cmpfloat(conv.others[k - 1].ns, <=, conv.others[k].ns);
        }
        end(&conv);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-choice/the-fastest-is-chosen-and-others-follow",
                    test_the_fastest_is_chosen_and_others_follow);
    g_test_add_func("/cuda-choice/the-slowest-go-when-there-are-enough", test_the_slowest_go_when_there_are_enough);
    g_test_add_func("/cuda-choice/plans-without-a-time", test_plans_without_a_time);
    g_test_add_func("/cuda-choice/pruning", test_pruning);
    g_test_add_func("/cuda-choice/any-order", test_any_order);
    return g_test_run();
}
