/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "times.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cache.h"

/* What takes as long is nothing that would be taken. */
#define MOST_NS 1000000000000u

/* What is measured of a product's weights, in rows of which there are so many or a multiple of that. */
#define PRODUCT_BYTES ((int64_t)8 << 20)
#define PRODUCT_ROWS 16

/* Entries of the cache: all have a text. */
enum { ENTRY_TIMES = 0, ENTRY_FORMS = 2 };

static const char *const form_names[CPU_FORMS] = {"none", "blocks", "last", "own", "strips"};

/* ---- problems ---------------------------------------------------------------------------------------------------- */

static const char *type_name(dnnl_data_type_t type)
{
    return type == dnnl_bf16 ? "bf16" : "f32";
}

static size_t append_dims(char *text, size_t at, const char *what, int n, const int64_t *dims)
{
    at += (size_t)snprintf(text + at, CPU_PROBLEM_TEXT - at, " %s ", what);
    for (int i = 0; i < n && at < CPU_PROBLEM_TEXT; i++)
        at += (size_t)snprintf(text + at, CPU_PROBLEM_TEXT - at, "%s%lld", i > 0 ? "x" : "", (long long)dims[i]);
    return at < CPU_PROBLEM_TEXT ? at : CPU_PROBLEM_TEXT - 1;
}

static size_t append_act(char *text, size_t at, const char *what, const GpudlAct *act)
{
    char alpha[GPUDL_CACHE_NUMBER], beta[GPUDL_CACHE_NUMBER];

    return at + (size_t)snprintf(text + at, CPU_PROBLEM_TEXT - at, " %s %d %s %s", what, (int)act->kind,
                                 gpudl_cache_number(act->alpha, alpha), gpudl_cache_number(act->beta, beta));
}

void cpu_conv_text(const CpuConv *conv, char text[CPU_PROBLEM_TEXT])
{
    const int n = conv->rank - 2;
    size_t at =
        (size_t)snprintf(text, CPU_PROBLEM_TEXT, "conv %s to %s", type_name(conv->type), type_name(conv->dst_type));

    at = append_dims(text, at, "x", conv->rank, conv->x);
    at = append_dims(text, at, "w", conv->weight_rank, conv->weights);
    at = append_dims(text, at, "y", conv->rank, conv->y);
    at = append_dims(text, at, "stride", n, conv->strides);
    at = append_dims(text, at, "dilate", n, conv->dilates);
    at = append_dims(text, at, "pad", n, conv->pad_l);
    at += (size_t)snprintf(text + at, CPU_PROBLEM_TEXT - at, "%s%s", conv->has_bias ? " bias" : "",
                           conv->post.sum ? " sum" : "");
    append_act(text, at, "act", &conv->post.act);
}

void cpu_squeeze_text(const GpudlSqueeze *s, char text[CPU_PROBLEM_TEXT])
{
    size_t at = (size_t)snprintf(text, CPU_PROBLEM_TEXT, "squeeze %s x %d pixels %d c %d r %d",
                                 type_name(s->type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32), (int)s->n,
                                 (int)s->pixels, (int)s->c, (int)s->r);

    at = append_act(text, at, "inner", &s->inner);
    append_act(text, at, "gate", &s->gate);
}

void cpu_inverted_text(const GpudlInverted *d, char text[CPU_PROBLEM_TEXT])
{
    size_t at = (size_t)snprintf(
        text, CPU_PROBLEM_TEXT, "inverted %s x %dx%dx%dx%d hidden %d%s%s y %dx%dx%d window %d stride %d pad %dx%d%s",
        type_name(d->type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32), (int)d->n, (int)d->c, (int)d->h, (int)d->w,
        (int)d->hidden, d->expands ? "" : " as x", d->projects ? "" : " as y", (int)d->k, (int)d->p, (int)d->q,
        (int)d->kernel, (int)d->stride, (int)d->pad_top, (int)d->pad_left, d->shortcut ? " sum" : "");

    if (d->expands)
        at = append_act(text, at, "act", &d->expand);
    at = append_act(text, at, "act", &d->depthwise);
    if (d->projects)
        append_act(text, at, "act", &d->project);
}

void cpu_product_text(const CpuProduct *product, char text[CPU_PROBLEM_TEXT])
{
    const size_t at = (size_t)snprintf(text, CPU_PROBLEM_TEXT, "product %s to %s x %lldx%lld y %lld%s",
                                       type_name(product->type), type_name(product->y_type), (long long)product->m,
                                       (long long)product->k, (long long)product->n, product->bias >= 0 ? " bias" : "");

    append_act(text, at, "act", &product->fused);
}

void cpu_reorder_text(dnnl_data_type_t type, const GpudlShape *shape, char text[CPU_PROBLEM_TEXT])
{
    const size_t at = (size_t)snprintf(text, CPU_PROBLEM_TEXT, "reorder %s", type_name(type));

    append_dims(text, at, "x", shape->rank, shape->dims);
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

/* Lines "FORM NS IMPLEMENTATION". FALSE unless text is just that. */
static int parse_times(const char *text, size_t bytes, CpuProblem *problem)
{
    char line[128], form[16];
    const char *end = text + bytes;
    int n = 0;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        unsigned long long ns;
        char name[CPU_PROBLEM_NAME];
        int i = 0, used = 0;

        if (newline == NULL || (size_t)(newline - text) >= sizeof line)
            return 0;
        memcpy(line, text, (size_t)(newline - text));
        line[newline - text] = '\0';
        text = newline + 1;
        if (sscanf(line, "%15[a-z] %12llu %39[!-~]%n", form, &ns, name, &used) != 3 || line[used] != '\0')
            return 0;
        while (i < CPU_FORMS && strcmp(form, form_names[i]) != 0)
            i++;
        if (i == CPU_FORMS || ns == 0 || ns >= MOST_NS || problem->ns[i] != 0)
            return 0;
        problem->ns[i] = ns;
        memcpy(problem->names[i], name, sizeof name);
        n++;
    }
    return n > 0;
}

void cpu_times_recall(const CpuShared *shared, CpuProblem *problem)
{
    const GpudlCache *cache = &shared->cache;
    GpudlCacheEntry entry;

    if (cache->device == NULL || !gpudl_cache_read(cache, problem->text, ENTRY_FORMS, &entry))
        return;
    problem->known = entry.form == ENTRY_TIMES && parse_times(entry.plan, entry.plan_bytes, problem);
    if (!problem->known)
        memset(problem->ns, 0, sizeof problem->ns);
    free(entry.plan);
}

static void keep(const CpuShared *shared, const CpuProblem *problem)
{
    static atomic_int told;
    char text[CPU_FORMS * 80], message[512];
    GpudlCacheEntry entry = {.form = ENTRY_TIMES, .plan = text};
    int best = -1;

    if (shared->cache.device == NULL)
        return;
    for (int i = 0; i < CPU_FORMS; i++) {
        if (problem->ns[i] == 0)
            continue;
        entry.plan_bytes += (size_t)snprintf(text + entry.plan_bytes, sizeof text - entry.plan_bytes, "%s %llu %s\n",
                                             form_names[i], (unsigned long long)problem->ns[i], problem->names[i]);
        if (best < 0 || problem->ns[i] < problem->ns[best])
            best = i;
    }
    entry.ns = (float)problem->ns[best];
    snprintf(entry.name, sizeof entry.name, "%.31s", problem->names[best]);
    if (!gpudl_cache_write(&shared->cache, problem->text, &entry, message, sizeof message) &&
        atomic_exchange(&told, 1) == 0)
        shared->host->log(shared->host->host, GPUDL_LOG_WARNING, message);
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static void note(CpuProblem *problem, CpuForm form, uint64_t ns, const char *name)
{
    problem->ns[form] = ns < MOST_NS ? ns : 0;
    snprintf(problem->names[form], CPU_PROBLEM_NAME, "%s", name);
    for (char *at = problem->names[form]; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            *at = '-';
}

static uint64_t time_own(CpuTrial *trial, const CpuConv *conv, const CpuOwnConv *own, uint64_t best)
{
    const uint64_t size = conv->type == dnnl_bf16 ? sizeof(uint16_t) : sizeof(float);
    uint64_t sizes[4] = {size, own->packed_bytes, own->scratch_bytes}, y = size;
    const uint32_t n = own->scratch_bytes > 0 ? 4 : 3;

    for (int i = 0; i < 4; i++) {
        sizes[0] *= (uint64_t)conv->x[i];
        y *= (uint64_t)conv->y[i];
    }
    sizes[n - 1] = y;
    return cpu_trial_own(trial, own->run, own->problem, n, sizes, best);
}

static void measure_conv(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem)
{
    CpuOwnConv own;
    CpuConv conv;
    uint64_t best = 0;

    cpu_conv_of(c, &c->plan->nodes[problem->owner], c->type, &conv);
    for (CpuForm form = CPU_FORM_BLOCKS; form < CPU_FORM_OWN; form++) {
        dnnl_primitive_desc_t pd = cpu_conv_describe_form(c->shared, &conv, form);

        /* in bfloat16 oneDNN's lesser code goes by way of float32 */
        if (pd != NULL && (c->type == dnnl_f32 || cpu_quality(pd) >= CPU_WIDE_LOOPS))
            note(problem, form, cpu_trial_primitive(trial, pd, best), dnn_pd_name(pd));
        if (problem->ns[form] != 0 && (best == 0 || problem->ns[form] < best))
            best = problem->ns[form];
        if (pd != NULL)
            dnnl_primitive_desc_destroy(pd);
    }
    if (cpu_conv_own(c, &c->plan->nodes[problem->owner], &conv, &own)) {
        note(problem, CPU_FORM_OWN, time_own(trial, &conv, &own, best), own.name);
        best = best != 0 ? best : problem->ns[CPU_FORM_OWN];
    }
    if (best == 0)
        note(problem, CPU_FORM_FIRST, 1, "none");
}

/* ns of a primitive, which is freed; 0: there is none. */
static uint64_t time_part(CpuTrial *trial, dnnl_primitive_desc_t pd)
{
    const uint64_t ns = pd != NULL ? cpu_trial_primitive(trial, pd, 0) : 0;

    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    return ns;
}

/* The convolution of a single pixel that a product is. */
static uint64_t time_product(CpuCompiler *c, CpuTrial *trial, CpuForm form, dnnl_data_type_t type, int64_t n,
                             int64_t operands, int64_t results, const GpudlAct *act)
{
    const CpuConv conv = {.type = type,
                          .dst_type = type,
                          .rank = 4,
                          .weight_rank = 4,
                          .x = {n, operands, 1, 1},
                          .y = {n, results, 1, 1},
                          .weights = {results, operands, 1, 1},
                          .strides = {1, 1},
                          .has_bias = 1,
                          .post = {0, *act}};
    dnnl_primitive_desc_t pd = cpu_conv_describe_form(c->shared, &conv, form);

    return time_part(trial, pd != NULL ? pd : cpu_conv_describe(c->shared, &conv, NULL, NULL));
}

/* A picture's mean, as cpu_lower_global_pool() makes it. */
static uint64_t time_mean(CpuCompiler *c, CpuTrial *trial, dnnl_primitive_attr_t attr, DnnMdRef x, DnnMdRef y,
                          const int64_t *dims, dnnl_format_tag_t tag)
{
    static const int64_t zeros[2] = {0, 0};
    int64_t window[2], rest[4] = {dims[0], dims[1]};
    uint64_t ns[2] = {0};
    DnnMd md;

    if (!cpu_mean_window(c, 2, dims + 2, window))
        return time_part(trial, dnn_pooling(c->shared->dnn, attr, dnnl_pooling_avg_exclude_padding, x, y, dims + 2,
                                            dims + 2, zeros, zeros, zeros));
    for (int i = 0; i < 2; i++)
        rest[2 + i] = dims[2 + i] / window[i];
    md = dnn_md_typed(dnn_md_type(x), 4, rest, tag);
    if (md != NULL) {
        ns[0] = time_part(trial, dnn_pooling(c->shared->dnn, attr, dnnl_pooling_avg_exclude_padding, x, md, window,
                                             window, zeros, zeros, zeros));
        ns[1] = time_part(trial, dnn_pooling(c->shared->dnn, attr, dnnl_pooling_avg_exclude_padding, md, y, rest + 2,
                                             rest + 2, zeros, zeros, zeros));
    }
    dnn_md_free(md);
    return ns[0] != 0 && ns[1] != 0 ? ns[0] + ns[1] : 0;
}

/* By oneDNN in four parts, on one layout: the sum of their times, 0 if one of them is not there. */
static uint64_t time_parts(CpuCompiler *c, CpuTrial *trial, CpuForm form, const int64_t *dims, const GpudlSqueeze *s)
{
    const dnnl_format_tag_t tag = form == CPU_FORM_LAST ? dnnl_acdb : cpu_conv_block_tag();
    const dnnl_data_type_t type = s->type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    const int64_t vector[4] = {dims[0], dims[1], 1, 1};
    DnnMd x = dnn_md_typed(type, 4, dims, tag), gate = dnn_md_typed(type, 4, vector, tag);
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    uint64_t parts[4] = {0}, sum = 0;

    if (x != NULL && gate != NULL && attr != NULL) {
        parts[0] = time_mean(c, trial, attr, x, gate, dims, tag);
        parts[1] = time_product(c, trial, form, type, s->n, s->c, s->r, &s->inner);
        parts[2] = time_product(c, trial, form, type, s->n, s->r, s->c, &s->gate);
        parts[3] = time_part(trial, dnn_binary(c->shared->dnn, attr, dnnl_binary_mul, x, gate, x));
    }
    dnn_md_free(x);
    dnn_md_free(gate);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++) {
        if (parts[i] == 0)
            return 0;
        sum += parts[i];
    }
    return sum;
}

static void measure_squeeze(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem)
{
    const int64_t *dims = cpu_tensor(c, c->plan->nodes[problem->owner].inputs[0])->shape.dims;
    CpuSqueezeFound found;

    if (!cpu_squeeze_find(c, problem->owner, &found)) {
        note(problem, CPU_FORM_FIRST, 1, "none");
        return;
    }
    for (CpuForm form = CPU_FORM_BLOCKS; form <= CPU_FORM_LAST; form++)
        note(problem, form, time_parts(c, trial, form, dims, &found.s), "parts");
    note(problem, CPU_FORM_OWN, cpu_squeeze_trial(trial, &found), found.kernels->name);
}

static void measure_inverted(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem)
{
    CpuInvertedFound found;

    if (cpu_inverted_find(c, problem->owner, &found))
        note(problem, CPU_FORM_STRIPS, cpu_inverted_trial(trial, &found.own), found.own.kernels->name);
    if (problem->ns[CPU_FORM_STRIPS] == 0)
        note(problem, CPU_FORM_FIRST, 1, "none");
}

/* ns of all rows, of what some take. */
static uint64_t of_all(uint64_t ns, int64_t some, int64_t all)
{
    return (uint64_t)((double)ns * (double)all / (double)some);
}

/* Of a large one a part, whose time is as long as there are bytes: what is measured is how fast these come. */
static void measure_product(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem)
{
    const GpudlPlanNode *node = &c->plan->nodes[problem->owner];
    dnnl_primitive_desc_t pd;
    int64_t rows, all;
    CpuProduct part;
    CpuMatvec own;

    cpu_product_of(c, node, c->type, &part);
    all = part.n;
    rows = PRODUCT_BYTES / (part.k * (int64_t)(part.type == dnnl_bf16 ? sizeof(uint16_t) : sizeof(float)));
    rows = rows < PRODUCT_ROWS ? PRODUCT_ROWS : rows / PRODUCT_ROWS * PRODUCT_ROWS;
    part.n = all < rows ? all : rows;
    trial->cold = 1;
    pd = cpu_product_describe(c->shared, &part);
    if (pd != NULL) {
        note(problem, CPU_FORM_BLOCKS, of_all(cpu_trial_primitive(trial, pd, 0), part.n, all), dnn_pd_name(pd));
        dnnl_primitive_desc_destroy(pd);
    }
    if (cpu_product_own(&part, &own))
        note(problem, CPU_FORM_OWN, of_all(cpu_matvec_trial(trial, &own, 0), part.n, all), own.kernels->name);
    trial->cold = 0;
    if (problem->ns[CPU_FORM_BLOCKS] == 0 && problem->ns[CPU_FORM_OWN] == 0)
        note(problem, CPU_FORM_FIRST, 1, "none");
}

static void measure_reorder(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem)
{
    const int64_t *dims = cpu_tensor(c, problem->owner)->shape.dims;
    const dnnl_data_type_t type = cpu_result_type(c, problem->owner, c->type);
    DnnMd blocks = dnn_md_typed(type, 4, dims, cpu_conv_block_tag()), last = dnn_md_typed(type, 4, dims, dnnl_acdb);
    dnnl_primitive_attr_t attr = dnn_attr(NULL);

    for (CpuForm form = CPU_FORM_BLOCKS; form <= CPU_FORM_LAST && attr != NULL; form++) {
        const int back = form == CPU_FORM_BLOCKS;
        dnnl_primitive_desc_t pd = blocks != NULL && last != NULL
                                       ? dnn_reorder(c->shared->dnn, attr, back ? last : blocks, back ? blocks : last)
                                       : NULL;

        if (pd != NULL)
            note(problem, form, cpu_trial_primitive(trial, pd, 0), dnn_pd_name(pd));
        if (pd != NULL)
            dnnl_primitive_desc_destroy(pd);
    }
    if (problem->ns[CPU_FORM_BLOCKS] == 0 && problem->ns[CPU_FORM_LAST] == 0)
        note(problem, CPU_FORM_FIRST, 1, "none");
    dnn_md_free(blocks);
    dnn_md_free(last);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
}

void cpu_times_measure(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem)
{
    static void (*const measures[])(CpuCompiler * c, CpuTrial * trial, CpuProblem * problem) = {
        [CPU_PROBLEM_CONV] = measure_conv,       [CPU_PROBLEM_SQUEEZE] = measure_squeeze,
        [CPU_PROBLEM_REORDER] = measure_reorder, [CPU_PROBLEM_INVERTED] = measure_inverted,
        [CPU_PROBLEM_PRODUCT] = measure_product,
    };

    measures[problem->kind](c, trial, problem);
    problem->known = 1;
    keep(c->shared, problem);
}
