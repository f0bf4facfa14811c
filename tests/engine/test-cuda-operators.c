/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network for each operator (cuda-nets-operators.c), compiled for a device without NVIDIA's libraries and run by our
 * own kernels on this processor (tests/kernels/emulate), against the reference: steps, layouts and places in memory are
 * those that a device gets. Memory is NaN before.
 */
#include <math.h>
#include <string.h>

#include "cuda-nets.h"
#include "double-device.h"
#include "engine/cuda/block.h"
#include "engine/cuda/choice.h"
#include "engine/cuda/compile.h"
#include "engine/cuda/own.h"
#include "engine/passes/passes.h"
#include "engine/plan.h"
#include "engine/session/session.h"
#include "kernels/half.h"

/* Largest difference in units of the reference's range, as check-cuda-nets has it on a device. */
static const struct {
    const gchar *name;
    GpudlDType dtype;
    double bound;
} precisions[] = {{"fp32", GPUDL_DTYPE_F32, 1e-4}, {"fp16", GPUDL_DTYPE_F16, 1e-2}, {"bf16", GPUDL_DTYPE_BF16, 2e-2}};

/* ---- a device and a host ----------------------------------------------------------------------------------------- */

static CudaDevice device;

static uint64_t place(void *data, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                      uint64_t alignment, uint64_t *offsets)
{
    (void)data;
    return gpudl_place(n, sizes, first, last, alignment, offsets);
}

static void log_message(void *data, GpudlLogLevel level, const char *message)
{
    (void)data;
    if (level == GPUDL_LOG_WARNING)
        g_error("%s", message);
}

static int never(void *data)
{
    (void)data;
    return 0;
}

static const GpudlHost host = {
    .place = place, .log = log_message, .cancelled = never, .closing = never, .waiting = never};

/* ---- the reference ----------------------------------------------------------------------------------------------- */

static gsize elements(const GpudlPlan *plan, gint32 tensor)
{
    return (gsize)gpudl_shape_elements(&plan->tensors[tensor].shape);
}

typedef struct {
    gint64 batch;
    const float *input;
    float **outputs;
} Whole;

static GpudlStatus run_whole(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault)
{
    const Whole *whole = data;
    const void *inputs[] = {whole->input};

    return session->backend->run_tensors(session->engine, slot, whole->batch, inputs, (void *const *)whole->outputs,
                                         fault);
}

static void run_reference(GpudlModel *model, const GpudlPlan *plan, const float *input, float **outputs)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = "ref",
                                       .precision = GPUDL_PRECISION_FP32,
                                       .activation = GPUDL_ACTIVATION_NONE,
                                       .cache_dir = ""};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = gpudl_session_acquire(model, &config, NULL, &error);
    Whole whole = {plan->batch, input, outputs};

    g_assert_no_error(error);
    gpudl_scheduler_run(session, run_whole, &whole, &error);
    g_assert_no_error(error);
}

/* ---- the device -------------------------------------------------------------------------------------------------- */

static CudaProgram *compile(CudaShared *shared, const GpudlPlan *plan)
{
    GpudlFault fault = {""};
    GpudlStatus status = GPUDL_STATUS_OK;
    CudaCompilation *compilation = cuda_compile_begin(shared, plan, &status, &fault);
    CudaProgram *program;
    int done = 0;

    if (compilation == NULL)
        g_error("%s", fault.message);
    cuda_tuning_build(compilation->tuning);
    status = cuda_compile_weights(compilation, &fault);
    if (status == GPUDL_STATUS_OK)
        status = cuda_tuning_try(compilation->tuning, UINT64_MAX, &done, &fault);
    if (status != GPUDL_STATUS_OK)
        g_error("%s", fault.message);
    program = cuda_compile_end(compilation, &status, &fault);
    if (program == NULL)
        g_error("%s", fault.message);
    return program;
}

/* The input as the program has it, which lies on this processor's heap. */
static void put_input(const CudaRun *run, const float *input)
{
    const CudaValue *v = &run->program->values[run->program->input];
    const gint64 *d = v->shape.dims, *s = v->strides;
    guint8 *to = cuda_value_data(run, run->program->input);
    const gsize size = gpudl_dtype_size(v->dtype);

    memset(to, 0, (gsize)(d[0] * s[0]) * size);
    for (gint64 i = 0; i < d[0] * d[1] * d[2] * d[3]; i++) {
        const gint64 w = i % d[3], h = i / d[3] % d[2], c = i / (d[3] * d[2]) % d[1], n = i / (d[3] * d[2] * d[1]);
        const guint16 half = v->dtype == GPUDL_DTYPE_F16 ? gpudl_f32_to_f16(input[i]) : gpudl_f32_to_bf16(input[i]);

        memcpy(to + (gsize)(n * s[0] + c * s[1] + h * s[2] + w * s[3]) * size,
               v->dtype == GPUDL_DTYPE_F32 ? (const void *)&input[i] : &half, size);
    }
}

/* Largest difference by range; NaN counts as infinite. */
static double compare(const float *got, const float *expected, gsize n)
{
    double low = INFINITY, high = -INFINITY, difference = 0;

    for (gsize i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)expected[i]);

        low = MIN(low, (double)expected[i]);
        high = MAX(high, (double)expected[i]);
        difference = isnan(d) ? INFINITY : MAX(d, difference);
    }
    return difference / MAX(high - low, 1e-6);
}

static void check_program(const CudaProgram *program, const GpudlPlan *plan, const float *input, float **expected,
                          guint p)
{
    gsize bytes = 0;
    CudaRun run = {.program = program, .device = &device};
    uint32_t failed = 0;
    GpudlFault fault = {""};
    int status;

    for (guint i = 0; i < plan->n_outputs; i++)
        bytes += plan->tensors[plan->outputs[i]].bytes;
    run.workspace = g_aligned_alloc(1, program->work_bytes + 1, CUDA_ALIGNMENT);
    run.outputs = g_malloc(bytes);
    memset(run.workspace, 0xff, program->work_bytes);
    memset(run.outputs, 0xff, bytes);
    put_input(&run, input);
    status = cuda_program_queue(&run, 0, program->n_steps, &failed);
    if (status != 0) {
        cuda_program_fault(&run, failed, status, &fault);
        g_error("%s", fault.message);
    }
    bytes = 0;
    for (guint i = 0; i < plan->n_outputs; i++) {
        const gsize n = elements(plan, plan->outputs[i]);
        const double whole = compare(cuda_value_data(&run, program->heads[i]), expected[i], n),
                     scores = compare((const float *)(run.outputs + bytes), expected[i], n);

        bytes += plan->tensors[plan->outputs[i]].bytes;
        g_test_message("%s batch %d: %.2e of the range, bound %.0e", precisions[p].name, (int)plan->batch, whole,
                       precisions[p].bound);
        g_assert_cmpfloat(whole, <=, precisions[p].bound);
        g_assert_cmpfloat(scores, <=, precisions[p].bound);
    }
    g_aligned_free(run.workspace);
    g_free(run.outputs);
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

/* By precision: convolutions, whose plans are tried once for all networks that have them. */
static CudaShared shared[G_N_ELEMENTS(precisions)];

/* The plan as batches compiled later find it: constants are given back once the first is there. */
typedef struct {
    GpudlPlan plan;
    GpudlPlanTensor *tensors;
} Later;

static void drop_constants(Later *later, const GpudlPlan *plan)
{
    later->plan = *plan;
    later->tensors = g_memdup2(plan->tensors, plan->n_tensors * sizeof *plan->tensors);
    later->plan.tensors = later->tensors;
    for (guint i = 0; i < plan->n_tensors; i++)
        if (plan->tensors[i].kind == GPUDL_PLAN_CONSTANT)
            later->tensors[i].data = NULL;
}

/* Steps that a network takes in 16 bits, of any batch (0) or of one: what does not show in numbers. */
static void check_steps(const gchar *net, const CudaProgram *program, gint64 batch)
{
    static const struct {
        const gchar *net, *what;
        guint n;
        gint64 batch;
    } rows[] = {{"shuffled-often", "shuffling kernel", 11}, /* what a unit reads, what goes through to more than a pass
                                                               takes sources, both halves at the end */
                {"shuffled-often", "copy", 4},              /* the result */
                {"shuffled-often", "zeros", 0},
                {"shuffled", "zeros", 0},
                {"dense", "copy", 6},                /* other axes, and the result */
                {"dense", "element-wise kernel", 5}, /* norms with their activations */
                {"shuffled", "shuffling kernel", 4},
                {"activations", "copy", 2},                /* the result: rows of pictures are read as they lie */
                {"activations", "element-wise kernel", 0}, /* products do these themselves */
                {"gates", "global pooling kernel", 0},     /* all but the scaling is one step */
                {"turned", "copy", 10, 1},                 /* gaps, what is pooled, the result */
                {"turned", "copy", 16, 3}};                /* and four to read turned, two to lie above each other */

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint n = 0;

        for (guint s = 0; s < program->n_steps; s++)
            n += strcmp(program->steps[s].what, rows[i].what) == 0;
        if (strcmp(rows[i].net, net) == 0 && (rows[i].batch == 0 || rows[i].batch == batch) && n != rows[i].n)
            g_error("%s: %u times '%s', expected %u", net, n, rows[i].what, rows[i].n);
    }
}

/* Nothing of a network whose pictures are dense has gaps. */
static void check_dense(const CudaProgram *program)
{
    for (guint i = 0; i < program->n_steps; i++) {
        const CudaValue *y = program->steps[i].y >= 0 ? &program->values[program->steps[i].y] : NULL;

        if (y != NULL && y->shape.rank == 4 && y->shape.dims[1] == 1)
            g_assert_cmpint(y->strides[3], ==, 1);
    }
}

#define MOST_PLANS MAX(GPUDL_MBCONV_PLANS, GPUDL_GEMV_PLANS)

/* Memory is placed already. */
static int find_without_workspace(const CudaConvKey *key, CudaConvPlan *plans)
{
    const int all = cuda_gemm_plans(&device, key, plans, MOST_PLANS / 2);
    int n = 0;

    for (int i = 0; i < all; i++)
        if (plans[i].workspace == 0)
            plans[n++] = plans[i];
    return n + cuda_once_plans(&device, key, plans + n, 2);
}

/* As if each block's number-th plan had been found the fastest; how many blocks have one. */
static guint choose_blocks(const CudaProgram *program, int number)
{
    guint n = 0;

    for (guint i = 0; i < program->n_steps; i++) {
        const CudaStep *step = &program->steps[i];
        CudaConvPlan plans[MOST_PLANS];
        const CudaConvKey *key = step->block != NULL && step->block_steps == 1 ? &step->block->key : NULL;
        const int n_plans = key == NULL          ? 0
                            : key->means != 0    ? cuda_gemv_plans(&device, key, plans, MOST_PLANS)
                            : key->pooled != 0   ? cuda_stem_plans(key, plans, MOST_PLANS)
                            : key->siblings != 0 ? find_without_workspace(key, plans)
                                                 : cuda_block_plans(&device, key, plans, MOST_PLANS);

        if (number < n_plans) {
            cuda_conv_take(step->block, &plans[number]);
            n++;
        }
    }
    return n;
}

static void check_blocks(const gchar *net, const CudaProgram *program, const GpudlPlan *plan, const float *input,
                         float **expected, guint p)
{
    const guint n = choose_blocks(program, 0);

    if (strcmp(net, "blocks") == 0)
        g_assert_cmpuint(n, ==, precisions[p].dtype != GPUDL_DTYPE_F32 ? 4 : 0);
    if (strcmp(net, "fires") == 0)
        g_assert_cmpuint(n, ==, precisions[p].dtype != GPUDL_DTYPE_F32 ? 3 : 0);
    if (strcmp(net, "means") == 0 || strcmp(net, "stems") == 0)
        g_assert_cmpuint(n, ==, precisions[p].dtype != GPUDL_DTYPE_F32 ? 2 : 0);
    for (int number = 1; n > 0; number++) {
        check_program(program, plan, input, expected, p);
        if (number == 4 || choose_blocks(program, number) == 0)
            break;
    }
    for (guint i = 0; i < program->n_steps; i++) /* other batches begin with their steps again */
        if (program->steps[i].block != NULL)
            program->steps[i].block->form = CUDA_CONV_APART;
}

/* Weights are those of the batches before. */
static void check_batch(const gchar *name, GpudlModel *model, const GpudlPlan *plan, guint p, gboolean later)
{
    const gsize n = elements(plan, plan->inputs[0]);
    g_autofree float *input = g_new(float, n);
    float *expected[GPUDL_MAX_OUTPUTS];
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    Later dropped = {.plan = *plan};
    CudaProgram *program;

    for (gsize i = 0; i < n; i++)
        input[i] = (float)g_rand_double_range(rand, -1.5, 1.5);
    for (guint i = 0; i < plan->n_outputs; i++)
        expected[i] = g_new0(float, elements(plan, plan->outputs[i]));
    run_reference(model, plan, input, expected);
    if (later)
        drop_constants(&dropped, plan);
    program = compile(&shared[p], &dropped.plan);
    if (precisions[p].dtype != GPUDL_DTYPE_F32)
        check_steps(name, program, plan->batch);
    if (strcmp(name, "one-channel") == 0)
        check_dense(program);
    check_program(program, plan, input, expected, p);
    check_blocks(name, program, plan, input, expected, p);
    cuda_program_free(program);
    g_free(dropped.tensors);
    for (guint i = 0; i < plan->n_outputs; i++)
        g_free(expected[i]);
}

static void test_operator(gconstpointer data)
{
    const gchar *name;
    g_autofree gchar *text = NULL;
    g_autoptr(GpudlModel) model = nets_operator(GPOINTER_TO_UINT(data), &name, &text);
    g_autoptr(GpudlPlanner) planner = gpudl_planner_new(model->graph, "");

    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++) {
        shared[p].weights = (CudaWeights){.device = &device};
        check_batch(name, model, gpudl_planner_get(planner, 1, NULL), p, FALSE);
        check_batch(name, model, gpudl_planner_get(planner, 1, NULL), p, TRUE);
        if (gpudl_model_get_symbolic_batch(model, NULL))
            check_batch(name, model, gpudl_planner_get(planner, 3, NULL), p, TRUE);
        cuda_weights_clear(&shared[p].weights);
    }
}

/* What the first batch does not read as it lies, later ones do not either: weights are there in one order. */
static void test_batches_in_another_order(gconstpointer data)
{
    const gchar *name;
    g_autofree gchar *text = NULL;
    g_autoptr(GpudlModel) model = nets_operator(GPOINTER_TO_UINT(data), &name, &text);
    g_autoptr(GpudlPlanner) planner = gpudl_planner_new(model->graph, "");

    g_assert_true(gpudl_model_get_symbolic_batch(model, NULL));
    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++) {
        shared[p].weights = (CudaWeights){.device = &device};
        check_batch("", model, gpudl_planner_get(planner, 3, NULL), p, FALSE);
        check_batch("", model, gpudl_planner_get(planner, 1, NULL), p, TRUE);
        cuda_weights_clear(&shared[p].weights);
    }
}

/* ---- siblings ---------------------------------------------------------------------------------------------------- */

#define SIDE 8
#define AT 27 /* row 3, column 3 */

/* Two convolutions of the same picture, one of one tap, as one launch. */
static GpudlModel *make_siblings(gint taps, gboolean first)
{
    g_auto(Builder) b = builder_new();
    g_autoptr(GError) error = NULL;
    GpudlTensor *x = builder_conv(&b, builder_input(&b, "1x3x8x8"), 3, 16, 1, TRUE), *y, *z;
    GpudlModel *model;

    y = builder_conv(&b, x, 16, 8, first ? 1 : taps, TRUE);
    z = builder_node(&b, GPUDL_OP_CONCAT, y, builder_conv(&b, x, 16, 8, first ? taps : 1, TRUE));
    z->producer->attrs.axis.axis = 1;
    builder_output(&b, builder_reshape(&b, z, "0x-1"));
    if (!gpudl_graph_sort(b.graph, &error) || !gpudl_graph_infer(b.graph, 1, &error) ||
        !gpudl_graph_prove_batch(b.graph, NULL, &error) || !gpudl_passes_run(b.graph, NULL, &error))
        g_error("%s", error->message);
    model = gpudl_model_new(g_steal_pointer(&b.graph), "net", NULL, &error);
    g_assert_no_error(error);
    return model;
}

static gboolean sees(gint pixel, gint taps)
{
    return ABS(pixel / SIDE - AT / SIDE) <= taps / 2 && ABS(pixel % SIDE - AT % SIDE) <= taps / 2;
}

/* Where an input that is no number at one pixel shows: of one tap there alone, in one launch no further than the larger
 * window sees, and with that everywhere it does. */
static void check_reach(const CudaProgram *program, const float *input, gint taps, gboolean first, gboolean fused)
{
    CudaRun run = {.program = program, .device = &device};
    const float *found = NULL;
    uint32_t failed = 0;

    run.workspace = g_aligned_alloc(1, program->work_bytes + 1, CUDA_ALIGNMENT);
    run.outputs = g_malloc(16 * SIDE * SIDE * sizeof *found);
    memset(run.workspace, 0xff, program->work_bytes);
    put_input(&run, input);
    g_assert_cmpint(cuda_program_queue(&run, 0, program->n_steps, &failed), ==, 0);
    found = cuda_value_data(&run, program->heads[0]);
    for (gint i = 0; i < 16 * SIDE * SIDE; i++) {
        const gint pixel = i % (SIDE * SIDE), own = (i / (SIDE * SIDE) < 8) == first ? 1 : taps;

        if (sees(pixel, own))
            g_assert_false(isfinite(found[i]));
        else if (!fused || !sees(pixel, taps))
            g_assert_true(isfinite(found[i]));
    }
    g_aligned_free(run.workspace);
    g_free(run.outputs);
}

static void test_what_is_infinite_beside_siblings(void)
{
    static const float kinds[] = {NAN, -INFINITY};

    for (guint i = 0; i < 2 * 2 * 2 * G_N_ELEMENTS(kinds); i++) {
        const guint p = 1 + i % 2;
        const gint taps = 1 + i / 2 % 2 * 2;
        const gboolean first = i / 4 % 2;
        g_autoptr(GpudlModel) model = make_siblings(taps, first);
        g_autoptr(GpudlPlanner) planner = gpudl_planner_new(model->graph, "");
        float input[3 * SIDE * SIDE];
        CudaProgram *program;
        guint n;

        for (guint k = 0; k < G_N_ELEMENTS(input); k++)
            input[k] = (float)g_test_rand_double_range(-1, 1);
        input[AT] = kinds[i / 8];
        shared[p].weights = (CudaWeights){.device = &device};
        program = compile(&shared[p], gpudl_planner_get(planner, 1, NULL));
        check_reach(program, input, taps, first, FALSE);
        n = choose_blocks(program, 0);
        g_assert_cmpuint(n, ==, 1);
        for (int number = 1; n > 0; number++) {
            check_reach(program, input, taps, first, TRUE);
            n = choose_blocks(program, number);
        }
        for (guint k = 0; k < program->n_steps; k++)
            if (program->steps[k].block != NULL)
                program->steps[k].block->form = CUDA_CONV_APART;
        cuda_program_free(program);
        cuda_weights_clear(&shared[p].weights);
    }
}

int main(int argc, char **argv)
{
    int result;

    g_test_init(&argc, &argv, NULL);
    double_device_begin(&device);
    device.properties.major = 9;
    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++)
        shared[p] = (CudaShared){.device = &device,
                                 .host = &host,
                                 .convs = {.device = &device, .host = &host},
                                 .dtype = precisions[p].dtype,
                                 .activation = GPUDL_ACTIVATION_NONE,
                                 .tries_blocks = 1};
    for (guint i = 0;; i++) {
        g_autofree gchar *text = NULL, *path = NULL;
        const gchar *name;
        g_autoptr(GpudlModel) model = nets_operator(i, &name, &text);

        if (model == NULL)
            break;
        path = g_strconcat("/cuda-operators/", name, NULL);
        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_operator);
        if (strcmp(name, "turned") == 0)
            g_test_add_data_func("/cuda-operators/turned-later", GUINT_TO_POINTER(i), test_batches_in_another_order);
    }
    g_test_add_func("/cuda-operators/what-is-infinite-beside-siblings", test_what_is_infinite_beside_siblings);
    result = g_test_run();
    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++)
        cuda_convs_clear(&shared[p].convs);
    return result;
}
