/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions that are not the archive's own: Python's few, and the operators. */
#include <math.h>
#include <string.h>

#include "script-frame.h"

#define MOST_LIST 1024u

gpointer script_fail(const ScriptFrame *frame, GpudlError code, GError **error, const gchar *what)
{
    if (error == NULL || *error == NULL)
        g_set_error(error, GPUDL_ERROR, code, "%s, line %u: %s", frame->file->path, script_peek(frame)->line, what);
    return NULL;
}

gpointer script_unsupported(const ScriptFrame *frame, GError **error, const gchar *what)
{
    g_autofree gchar *text =
        g_strdup_printf("%s is not taken: code that is a plain sequence of operators is. In Python: "
                        "torch.export.save(torch.export.export(model.eval(), (torch.zeros(1, 3, "
                        "224, 224),)), 'net.pt2')",
                        what);

    return script_fail(frame, GPUDL_ERROR_UNSUPPORTED, error, text);
}

gboolean script_spend(ScriptFrame *frame, guint64 steps, GError **error)
{
    if (frame->script->steps <= steps)
        return script_fail(frame, GPUDL_ERROR_LIMIT, error, "more code than a network can have") != NULL;
    frame->script->steps -= steps;
    return TRUE;
}

AtenValue *script_keep(ScriptFrame *frame, AtenValue value)
{
    AtenValue *kept = aten_alloc(&frame->script->context, 1, sizeof *kept);

    *kept = value;
    return kept;
}

static gboolean is_nothing(const AtenValue *value)
{
    return value->kind == ATEN_NONE;
}

/* int(), float(), bool() of a number. */
static AtenValue *convert(ScriptFrame *frame, const gchar *to, const AtenValue *value, GError **error)
{
    double number = value->kind == ATEN_NUMBER ? value->number : (double)value->integer;
    gchar *end;

    if (value->kind == ATEN_TENSOR && value->tensor != NULL && gpudl_tensor_is_constant(value->tensor)) {
        if (!tf_number(&frame->script->context.build, value->tensor, "number", &number, error))
            return NULL;
    } else if (value->kind == ATEN_TEXT && to[0] == 'f') {
        number = g_ascii_strtod(value->text, &end);
        if (end == value->text || *end != '\0')
            return script_fail(frame, GPUDL_ERROR_FORMAT, error, "a text that is no number");
    } else if (value->kind != ATEN_INT && value->kind != ATEN_NUMBER && value->kind != ATEN_FLAG) {
        return script_unsupported(frame, error, "a number of a value that depends on the picture");
    }
    if (to[0] == 'f')
        return script_keep(frame, aten_of_number(number));
    if (!(fabs(number) < 9e15))
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "a number that is no integer");
    return script_keep(frame, to[0] == 'i' ? aten_of_int((gint64)number) : aten_of_flag(number != 0));
}

/* torch.append(list, x): whoever has the list sees it. */
static AtenValue *append(ScriptFrame *frame, AtenValue *list, const AtenValue *item, GError **error)
{
    AtenValue *items;

    if (list->n_items >= MOST_LIST)
        return script_fail(frame, GPUDL_ERROR_LIMIT, error, "a list that is too long");
    if (!script_spend(frame, 2 * (guint64)list->n_items, error))
        return NULL;
    items = aten_alloc(&frame->script->context, list->n_items + 1, sizeof *items);
    if (list->n_items > 0)
        memcpy(items, list->items, list->n_items * sizeof *items);
    items[list->n_items++] = *item;
    list->items = items;
    return list;
}

AtenValue *script_call_builtin(ScriptFrame *frame, const gchar *name, const AtenArg *args, guint n, gboolean *known,
                               GError **error)
{
    const AtenValue *a = n > 0 ? args[0].value : NULL, *b = n > 1 ? args[1].value : NULL;

    *known = TRUE;
    if (n == 1 && (strcmp(name, "int") == 0 || strcmp(name, "float") == 0 || strcmp(name, "bool") == 0))
        return convert(frame, name, a, error);
    if (n == 1 && strcmp(name, "ops.prim.NumToTensor") == 0)
        return args[0].value;
    if (n == 1 && strcmp(name, "torch.__not__") == 0 && a->kind == ATEN_FLAG)
        return script_keep(frame, aten_of_flag(a->integer == 0));
    if (n == 2 && strcmp(name, "torch.__is__") == 0)
        return script_keep(frame, aten_of_flag(is_nothing(a) && is_nothing(b)));
    if (n == 2 && strcmp(name, "torch.__isnot__") == 0)
        return script_keep(frame, aten_of_flag(!(is_nothing(a) && is_nothing(b))));
    if (n == 2 && a->kind == ATEN_TEXT && b->kind == ATEN_TEXT &&
        (strcmp(name, "torch.eq") == 0 || strcmp(name, "torch.ne") == 0))
        return script_keep(frame, aten_of_flag((strcmp(a->text, b->text) == 0) == (name[6] == 'e')));
    if (n == 1 && a->kind == ATEN_LIST && strcmp(name, "torch.len") == 0)
        return script_keep(frame, aten_of_int(a->n_items));
    if (n == 1 && a->kind == ATEN_TENSOR && a->tensor != NULL && strcmp(name, "torch.dim") == 0)
        return script_keep(frame, aten_of_int(a->tensor->shape.rank));
    if (n == 2 && a->kind == ATEN_LIST && strcmp(name, "torch.append") == 0)
        return append(frame, args[0].value, b, error);
    if (strcmp(name, "torch.warn") == 0 || strcmp(name, "ops.prim.Print") == 0)
        return script_keep(frame, (AtenValue){0});
    if (strcmp(name, "torch.device") == 0)
        return script_keep(frame, (AtenValue){.kind = ATEN_PLACING});
    *known = FALSE;
    return NULL;
}

/* Which overload it is where the arguments by place would mean something else. */
static const gchar *overload_of(const gchar *op, const AtenArg *args, guint n)
{
    static const struct {
        const gchar *op;
        guint n; /* of arguments by place; 0: any */
        AtenKind second;
        const gchar *full;
    } rows[] = {{"to", 0, ATEN_PLACING, "to.device"},
                {"to", 0, ATEN_TENSOR, "to.other"},
                {"max", 0, ATEN_INT, "max.dim"},
                {"max", 0, ATEN_TENSOR, "max.other"},
                {"min", 0, ATEN_INT, "min.dim"},
                {"min", 0, ATEN_TENSOR, "min.other"},
                {"eye", 0, ATEN_INT, "eye.m"},
                {"repeat_interleave", 0, ATEN_INT, "repeat_interleave.self_int"},
                {"_upsample_bilinear2d_aa", 4, ATEN_NONE, "_upsample_bilinear2d_aa.vec"},
                {"_upsample_bilinear2d_aa", 4, ATEN_LIST, "_upsample_bilinear2d_aa.vec"},
                {"_upsample_bicubic2d_aa", 4, ATEN_NONE, "_upsample_bicubic2d_aa.vec"},
                {"_upsample_bicubic2d_aa", 4, ATEN_LIST, "_upsample_bicubic2d_aa.vec"},
                {"upsample_nearest2d", 0, ATEN_NONE, "upsample_nearest2d.vec"},
                {"upsample_nearest2d", 3, ATEN_LIST, "upsample_nearest2d.vec"},
                {"upsample_bilinear2d", 4, ATEN_NONE, "upsample_bilinear2d.vec"},
                {"upsample_bilinear2d", 4, ATEN_LIST, "upsample_bilinear2d.vec"},
                {"upsample_bicubic2d", 4, ATEN_NONE, "upsample_bicubic2d.vec"},
                {"upsample_bicubic2d", 4, ATEN_LIST, "upsample_bicubic2d.vec"}};
    guint by_place = 0;

    while (by_place < n && args[by_place].name == NULL)
        by_place++;
    if (strcmp(op, "arange") == 0)
        return by_place == 2 ? "arange.start" : by_place == 3 ? "arange.start_step" : op;
    for (guint i = 0; i < G_N_ELEMENTS(rows) && by_place > 1; i++)
        if (strcmp(rows[i].op, op) == 0 && (rows[i].n == 0 || rows[i].n == by_place) &&
            args[1].value->kind == rows[i].second)
            return rows[i].full;
    return op;
}

AtenValue *script_call_operator(ScriptFrame *frame, const gchar *name, const AtenArg *args, guint n, GError **error)
{
    AtenContext *context = &frame->script->context;
    g_autofree gchar *op = NULL, *node = NULL;
    AtenValue result = {0};

    if (g_cancellable_is_cancelled(frame->script->cancellable))
        return script_fail(frame, GPUDL_ERROR_CANCELLED, error, "it was cancelled");
    if (g_str_has_prefix(name, "torch."))
        op = g_strconcat("aten.", overload_of(name + strlen("torch."), args, n), NULL);
    else if (g_str_has_prefix(name, "ops.aten."))
        op = g_strconcat("aten.", overload_of(name + strlen("ops.aten."), args, n), NULL);
    else
        return script_unsupported(frame, error, name);
    node = g_strdup_printf("%s%s%s", frame->self != NULL ? frame->self->path : "",
                           frame->self != NULL && frame->self->path[0] != '\0' ? "." : "", op + strlen("aten."));
    tf_build_at(&context->build, node, op);
    if (!aten_call(context, op, args, n, &result, error)) {
        g_prefix_error(error, "%s, line %u: ", frame->file->path, script_peek(frame)->line);
        return NULL;
    }
    tf_build_at(&context->build, "network", "TorchScript");
    return script_keep(frame, result);
}
