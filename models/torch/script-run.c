/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Follows the code: functions, statements and expressions. */
#include <math.h>
#include <string.h>

#include "engine/limits.h"
#include "script-frame.h"

/* Each level takes room on the stack. */
#define MOST_CALLS 32 /* within calls */
#define MOST_DEEP 64  /* expressions within expressions of one statement */

static AtenValue *read_expression(ScriptFrame *frame, GError **error);
static AtenValue *call_function(Script *script, const gchar *type, const gchar *method, const ScriptObject *self,
                                const AtenArg *args, guint n_args, guint calls, GError **error);

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* Also what bounds the work: every token that is looked at counts. */
static const Token *next(ScriptFrame *frame)
{
    const Token *token = script_peek(frame);

    if (frame->script->steps > 0)
        frame->script->steps--;
    if (token->kind != TOKEN_END)
        frame->at++;
    return token;
}

static gboolean is_sign(const Token *token, const gchar *sign)
{
    return token->kind == TOKEN_SIGN && strcmp(token->text, sign) == 0;
}

static gboolean is_name(const Token *token, const gchar *name)
{
    return token->kind == TOKEN_NAME && strcmp(token->text, name) == 0;
}

static gboolean accept(ScriptFrame *frame, const gchar *sign)
{
    if (!is_sign(script_peek(frame), sign))
        return FALSE;
    next(frame);
    return TRUE;
}

static gboolean expect(ScriptFrame *frame, const gchar *sign, GError **error)
{
    g_autofree gchar *text = NULL;

    if (accept(frame, sign))
        return TRUE;
    text = g_strdup_printf("expected '%s'", sign);
    script_fail(frame, GPUDL_ERROR_FORMAT, error, text);
    return FALSE;
}

/* A type, which says nothing to us: up to one of the signs outside of its brackets. */
static void skip_type(ScriptFrame *frame, const gchar *ends)
{
    guint depth = 0;

    for (;;) {
        const Token *token = script_peek(frame);

        if (token->kind == TOKEN_END || token->kind == TOKEN_LINE)
            return;
        if (token->kind == TOKEN_SIGN && depth == 0 && token->text[1] == '\0' && strchr(ends, token->text[0]) != NULL)
            return;
        if (is_sign(token, "[") || is_sign(token, "("))
            depth++;
        if (is_sign(token, "]") || is_sign(token, ")"))
            depth--;
        next(frame);
    }
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* "(a, name=b, )"; the bracket is read already. NULL with error; the caller frees. */
static AtenArg *read_args(ScriptFrame *frame, guint *n, GError **error)
{
    g_autofree AtenArg *args = g_new0(AtenArg, SCRIPT_MOST_ARGS);

    for (*n = 0; !accept(frame, ")"); (*n)++) {
        const Token *name = script_peek(frame);

        if (*n >= SCRIPT_MOST_ARGS)
            return script_fail(frame, GPUDL_ERROR_UNSUPPORTED, error, "too many arguments");
        if (name->kind == TOKEN_NAME && is_sign(name + 1, "=")) {
            args[*n].name = name->text;
            next(frame);
            next(frame);
        }
        args[*n].value = read_expression(frame, error);
        if (args[*n].value == NULL)
            return NULL;
        if (!accept(frame, ",") && !is_sign(script_peek(frame), ")"))
            return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected ',' or ')'");
    }
    return g_steal_pointer(&args);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static AtenValue *get_attribute(ScriptFrame *frame, const AtenValue *of, const gchar *name, GError **error)
{
    const ScriptObject *object = of->kind == ATEN_OBJECT ? of->object : NULL;
    const PickleValue *value = object != NULL && object->value != NULL ? pickle_get(object->value->state, name) : NULL;
    g_autofree gchar *path = NULL, *text = NULL;

    if (value == NULL) {
        text = g_strdup_printf("nothing is called '%s' here", name);
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, text);
    }
    path = object->path[0] != '\0' ? g_strconcat(object->path, ".", name, NULL) : g_strdup(name);
    if (strlen(path) > GPUDL_LIMIT_NAME_BYTES)
        return script_fail(frame, GPUDL_ERROR_LIMIT, error, "modules within modules without end");
    /* the members were looked through, and the path is kept */
    if (!script_spend(frame, (object->value->state->items->len + strlen(path)) / 16, error))
        return NULL;
    return script_value(frame->script, value, "data", path, error);
}

/* CONSTANTS.c12; an integer that a trace has as a tensor is a number among others. */
static AtenValue *get_constant(ScriptFrame *frame, const gchar *name, GError **error)
{
    const Pickle *constants = frame->script->constants;
    TfBuild *build = &frame->script->context.build;
    const PickleValue *value = NULL;
    AtenValue *made;
    gint64 number;

    if (constants != NULL && name[0] == 'c')
        value = pickle_item(constants->root, (guint)MIN(g_ascii_strtoull(name + 1, NULL, 10), G_MAXUINT));
    if (value == NULL)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "a constant that is not in the archive");
    made = script_value(frame->script, value, "constants", name, error);
    if (made == NULL || made->kind != ATEN_TENSOR || made->tensor->shape.rank != 0 ||
        made->tensor->dtype != GPUDL_DTYPE_I64)
        return made;
    return tf_int(build, made->tensor, name, &number, error) ? script_keep(frame, aten_of_int(number)) : NULL;
}

/* torch.relu(x), ops.aten.relu(x), __torch__.a.function(x), CONSTANTS.c0: the first name is read already. */
static AtenValue *read_global(ScriptFrame *frame, const gchar *first, GError **error)
{
    g_autoptr(GString) name = g_string_new(first);
    g_autofree AtenArg *args = NULL;
    AtenValue *value;
    gboolean known;
    guint n;

    while (accept(frame, ".")) {
        const Token *part = next(frame);

        if (part->kind != TOKEN_NAME)
            return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected a name");
        if (strcmp(name->str, "CONSTANTS") == 0)
            return get_constant(frame, part->text, error);
        g_string_append_c(name, '.');
        g_string_append(name, part->text);
    }
    if (!accept(frame, "(")) {
        if (!g_str_has_prefix(name->str, "__torch__."))
            return script_unsupported(frame, error, name->str);
        value = script_keep(frame, (AtenValue){.kind = ATEN_OBJECT});
        value->text = g_strdup(name->str);
        g_ptr_array_add(frame->script->context.owned, (gpointer)value->text);
        return value;
    }
    if ((args = read_args(frame, &n, error)) == NULL)
        return NULL;
    if (g_str_has_prefix(name->str, "__torch__."))
        return call_function(frame->script, name->str, NULL, NULL, args, n, frame->calls + 1, error);
    value = script_call_builtin(frame, name->str, args, n, &known, error);
    return known ? value : script_call_operator(frame, name->str, args, n, error);
}

/* annotate(TYPE, x), unchecked_cast(TYPE, x): x; uninitialized(TYPE): None */
static AtenValue *read_typed(ScriptFrame *frame, GError **error)
{
    AtenValue *value;

    if (!expect(frame, "(", error))
        return NULL;
    skip_type(frame, ",)");
    if (accept(frame, ")"))
        return script_keep(frame, (AtenValue){0});
    next(frame);
    value = read_expression(frame, error);
    accept(frame, ",");
    return value != NULL && expect(frame, ")", error) ? value : NULL;
}

/* getattr(self, "0") */
static AtenValue *read_getattr(ScriptFrame *frame, GError **error)
{
    g_autofree AtenArg *args = NULL;
    guint n;

    if (!expect(frame, "(", error) || (args = read_args(frame, &n, error)) == NULL)
        return NULL;
    if (n != 2 || args[1].value->kind != ATEN_TEXT)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected getattr(object, \"name\")");
    return get_attribute(frame, args[0].value, args[1].value->text, error);
}

static AtenValue *read_name(ScriptFrame *frame, const gchar *name, GError **error)
{
    AtenValue *local = g_hash_table_lookup(frame->locals, name);
    g_autofree AtenArg *args = NULL;
    AtenValue *value;
    gboolean known;
    guint n;

    if (local != NULL)
        return local;
    if (strcmp(name, "True") == 0 || strcmp(name, "False") == 0)
        return script_keep(frame, aten_of_flag(name[0] == 'T'));
    if (strcmp(name, "None") == 0)
        return script_keep(frame, (AtenValue){0});
    if (strcmp(name, "inf") == 0 || strcmp(name, "nan") == 0)
        return script_keep(frame, aten_of_number(name[0] == 'i' ? (double)INFINITY : (double)NAN));
    if (strcmp(name, "annotate") == 0 || strcmp(name, "unchecked_cast") == 0 || strcmp(name, "uninitialized") == 0)
        return read_typed(frame, error);
    if (strcmp(name, "getattr") == 0)
        return read_getattr(frame, error);
    if (strcmp(name, "torch") == 0 || strcmp(name, "ops") == 0 || strcmp(name, "__torch__") == 0 ||
        strcmp(name, "CONSTANTS") == 0)
        return read_global(frame, name, error);
    if (accept(frame, "(")) {
        args = read_args(frame, &n, error);
        value = args != NULL ? script_call_builtin(frame, name, args, n, &known, error) : NULL;
        return value != NULL ? value : script_unsupported(frame, error, name);
    }
    return script_unsupported(frame, error, name);
}

/* [a, b] or (a, b) up to the bracket that closes; (a): a itself. */
static AtenValue *read_list(ScriptFrame *frame, const gchar *end, GError **error)
{
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(AtenValue));
    AtenValue *value = NULL, *list;
    gboolean comma = end[0] == ']';

    while (!accept(frame, end)) {
        value = read_expression(frame, error);
        if (value == NULL)
            return NULL;
        g_array_append_val(items, *value);
        if (accept(frame, ","))
            comma = TRUE;
        else if (!is_sign(script_peek(frame), end))
            return script_unsupported(frame, error, "an operator between values");
    }
    if (items->len == 1 && !comma)
        return value;
    list = script_keep(frame, (AtenValue){.kind = ATEN_LIST, .n_items = items->len});
    list->items = aten_alloc(&frame->script->context, items->len, sizeof *list->items);
    if (items->len > 0)
        memcpy(list->items, items->data, items->len * sizeof *list->items);
    return list;
}

/* A number behind its sign. */
static AtenValue *read_negative(ScriptFrame *frame, GError **error)
{
    const Token *token = next(frame);

    if (token->kind == TOKEN_INT)
        return script_keep(frame, aten_of_int(-token->integer));
    if (token->kind == TOKEN_NUMBER)
        return script_keep(frame, aten_of_number(-token->number));
    if (is_name(token, "inf"))
        return script_keep(frame, aten_of_number(-(double)INFINITY));
    return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected a number");
}

static AtenValue *read_primary(ScriptFrame *frame, GError **error)
{
    const Token *token = next(frame);

    switch (token->kind) {
    case TOKEN_NAME:
        return read_name(frame, token->text, error);
    case TOKEN_INT:
        return script_keep(frame, aten_of_int(token->integer));
    case TOKEN_NUMBER:
        return script_keep(frame, aten_of_number(token->number));
    case TOKEN_TEXT:
        return script_keep(frame, (AtenValue){.kind = ATEN_TEXT, .text = token->text});
    case TOKEN_SIGN:
        if (token->text[0] == '(' || token->text[0] == '[')
            return read_list(frame, token->text[0] == '(' ? ")" : "]", error);
        if (token->text[0] == '-' && token->text[1] == '\0')
            return read_negative(frame, error);
        return script_unsupported(frame, error, token->text);
    default:
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected a value");
    }
}

/* x[i] of a list */
static AtenValue *read_item(ScriptFrame *frame, AtenValue *list, GError **error)
{
    const AtenValue *index = read_expression(frame, error);
    gint64 i;

    if (index == NULL || !expect(frame, "]", error))
        return NULL;
    if (list->kind != ATEN_LIST || index->kind != ATEN_INT)
        return script_unsupported(frame, error, "an item of what is no list");
    i = index->integer < 0 ? index->integer + list->n_items : index->integer;
    if (i < 0 || i >= list->n_items)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "a list's item that is not there");
    return &list->items[i];
}

/* object.name, object.method(...) */
static AtenValue *read_member(ScriptFrame *frame, AtenValue *of, GError **error)
{
    const Token *name = next(frame);
    const ScriptObject *object = of->kind == ATEN_OBJECT ? of->object : NULL;
    g_autofree AtenArg *args = NULL;
    guint n;

    if (name->kind != TOKEN_NAME)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected a name");
    if (!accept(frame, "("))
        return get_attribute(frame, of, name->text, error);
    if (object == NULL || object->value->of == NULL)
        return script_unsupported(frame, error, "a method of what is no module");
    args = read_args(frame, &n, error);
    return args != NULL ? call_function(frame->script, object->value->of->text, name->text, object, args, n,
                                        frame->calls + 1, error)
                        : NULL;
}

/* function(...) of a function that a name stands for. */
static AtenValue *read_call(ScriptFrame *frame, const AtenValue *function, GError **error)
{
    guint n;
    g_autofree AtenArg *args = read_args(frame, &n, error);

    return args != NULL ? call_function(frame->script, function->text, NULL, NULL, args, n, frame->calls + 1, error)
                        : NULL;
}

static AtenValue *read_expression(ScriptFrame *frame, GError **error)
{
    AtenValue *value;

    if (++frame->deep > MOST_DEEP || frame->script->steps == 0)
        return script_fail(frame, GPUDL_ERROR_LIMIT, error, "more code than a network can have");
    value = read_primary(frame, error);
    while (value != NULL) {
        if (accept(frame, ".")) {
            value = read_member(frame, value, error);
        } else if (accept(frame, "[")) {
            value = read_item(frame, value, error);
        } else if (value->kind == ATEN_OBJECT && value->object == NULL && accept(frame, "(")) {
            value = read_call(frame, value, error);
        } else {
            break;
        }
    }
    frame->deep--;
    return value;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static gboolean end_line(ScriptFrame *frame, GError **error)
{
    if (next(frame)->kind == TOKEN_LINE)
        return TRUE;
    script_unsupported(frame, error, "an operator between values");
    return FALSE;
}

/* The block that begins with the next token. */
static void skip_block(ScriptFrame *frame)
{
    guint depth = 0;

    do {
        const Token *token = next(frame);

        depth += token->kind == TOKEN_INDENT;
        depth -= token->kind == TOKEN_DEDENT;
        if (token->kind == TOKEN_END)
            return;
    } while (depth > 0);
}

static gboolean run_block(ScriptFrame *frame, GError **error);

/* if CONDITION: a block, and maybe another one behind else. What the condition is has to be known. */
static gboolean run_if(ScriptFrame *frame, GError **error)
{
    const AtenValue *condition;

    next(frame);
    condition = read_expression(frame, error);
    if (condition == NULL || !expect(frame, ":", error) || !end_line(frame, error))
        return FALSE;
    if (condition->kind != ATEN_FLAG && condition->kind != ATEN_INT)
        return script_unsupported(frame, error, "a condition that depends on the picture") != NULL;
    if (condition->integer == 0)
        skip_block(frame);
    else if (!run_block(frame, error))
        return FALSE;
    if (frame->result != NULL || !is_name(script_peek(frame), "else"))
        return TRUE;
    next(frame);
    if (!expect(frame, ":", error) || !end_line(frame, error))
        return FALSE;
    if (condition->integer == 0)
        return run_block(frame, error);
    skip_block(frame);
    return TRUE;
}

/* a, b, = x */
static gboolean assign_several(ScriptFrame *frame, GPtrArray *names, GError **error)
{
    AtenValue *value = read_expression(frame, error);

    if (value == NULL)
        return FALSE;
    if (value->kind != ATEN_LIST || value->n_items != names->len)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "another number of values than of names") != NULL;
    for (guint i = 0; i < names->len; i++)
        g_hash_table_insert(frame->locals, names->pdata[i], &value->items[i]);
    return end_line(frame, error);
}

/* Names with commas behind them and "=": the names; the place stays if there are none. */
static GPtrArray *read_names(ScriptFrame *frame)
{
    GPtrArray *names = g_ptr_array_new();
    const guint from = frame->at;

    while (script_peek(frame)->kind == TOKEN_NAME) {
        g_ptr_array_add(names, next(frame)->text);
        if (!accept(frame, ","))
            break;
    }
    if (names->len > 0 && accept(frame, "="))
        return names;
    frame->at = from;
    g_ptr_array_set_size(names, 0);
    return names;
}

static gboolean run_statement(ScriptFrame *frame, GError **error)
{
    static const gchar *const others[] = {"for", "while", "with", "assert", "raise", "del", "break", "continue", NULL};
    const Token *token = script_peek(frame);
    g_autoptr(GPtrArray) names = NULL;
    AtenValue *value;

    if (is_name(token, "if"))
        return run_if(frame, error);
    if (token->kind == TOKEN_NAME && g_strv_contains(others, token->text))
        return script_unsupported(frame, error, token->text) != NULL;
    if (is_name(token, "pass")) {
        next(frame);
        return end_line(frame, error);
    }
    if (is_name(token, "return")) {
        next(frame);
        frame->result =
            script_peek(frame)->kind == TOKEN_LINE ? script_keep(frame, (AtenValue){0}) : read_expression(frame, error);
        return frame->result != NULL && end_line(frame, error);
    }
    names = read_names(frame);
    /* one name with a comma behind it is a list of one */
    if (names->len > 1 || (names->len == 1 && is_sign(script_peek(frame) - 2, ",")))
        return assign_several(frame, names, error);
    value = read_expression(frame, error);
    if (value != NULL && names->len == 1)
        g_hash_table_insert(frame->locals, names->pdata[0], value);
    return value != NULL && end_line(frame, error);
}

static gboolean run_block(ScriptFrame *frame, GError **error)
{
    if (next(frame)->kind != TOKEN_INDENT)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected a block") != NULL;
    while (frame->result == NULL && script_peek(frame)->kind != TOKEN_DEDENT) {
        if (script_peek(frame)->kind == TOKEN_END || frame->script->steps == 0)
            return script_fail(frame, GPUDL_ERROR_LIMIT, error, "more code than a network can have") != NULL;
        if (!run_statement(frame, error))
            return FALSE;
    }
    if (frame->result == NULL)
        next(frame);
    return TRUE;
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

/* (self: TYPE, x: TYPE, y: TYPE=1) -> TYPE: */
static gboolean bind(ScriptFrame *frame, const AtenArg *args, guint n_args, GError **error)
{
    guint place = 0, used = 0;

    for (gboolean first = TRUE; !accept(frame, ")"); first = FALSE) {
        const Token *name = next(frame);
        AtenValue *value = NULL;

        if (name->kind != TOKEN_NAME)
            return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected a name") != NULL;
        if (accept(frame, ":"))
            skip_type(frame, ",)=");
        if (first && frame->self != NULL) {
            value = script_keep(frame, (AtenValue){.kind = ATEN_OBJECT, .object = frame->self});
        } else {
            if (place < n_args && args[place].name == NULL)
                value = args[place++].value;
            for (guint i = 0; i < n_args && value == NULL; i++)
                if (args[i].name != NULL && strcmp(args[i].name, name->text) == 0)
                    value = args[i].value;
            used += value != NULL;
        }
        if (accept(frame, "=")) {
            AtenValue *fallback = read_expression(frame, error);

            if (fallback == NULL)
                return FALSE;
            value = value != NULL ? value : fallback;
        }
        if (value == NULL)
            return script_fail(frame, GPUDL_ERROR_FORMAT, error, "a function is called with too few arguments") != NULL;
        g_hash_table_insert(frame->locals, name->text, value);
        if (!accept(frame, ",") && !is_sign(script_peek(frame), ")"))
            return script_fail(frame, GPUDL_ERROR_FORMAT, error, "expected ',' or ')'") != NULL;
    }
    if (used != n_args)
        return script_fail(frame, GPUDL_ERROR_FORMAT, error, "a function is called with too many arguments") != NULL;
    if (accept(frame, "->"))
        skip_type(frame, ":");
    return expect(frame, ":", error) && end_line(frame, error);
}

static AtenValue *call_function(Script *script, const gchar *type, const gchar *method, const ScriptObject *self,
                                const AtenArg *args, guint n_args, guint calls, GError **error)
{
    ScriptFrame frame = {.script = script, .self = self, .calls = calls};
    gboolean good;

    frame.file = script_find(script, type, method, &frame.at, error);
    if (frame.file == NULL)
        return NULL;
    if (calls > MOST_CALLS)
        return script_fail(&frame, GPUDL_ERROR_LIMIT, error, "functions that call functions without end");
    frame.locals = g_hash_table_new(g_str_hash, g_str_equal);
    good = expect(&frame, "(", error) && bind(&frame, args, n_args, error) && run_block(&frame, error);
    g_hash_table_unref(frame.locals);
    if (good && frame.result == NULL)
        frame.result = script_keep(&frame, (AtenValue){0});
    return good ? frame.result : NULL;
}

AtenValue *script_call(Script *script, const ScriptObject *self, const gchar *method, AtenValue **args, guint n_args,
                       GError **error)
{
    AtenArg named[SCRIPT_MOST_ARGS] = {{0}};

    for (guint i = 0; i < n_args && i < SCRIPT_MOST_ARGS; i++)
        named[i].value = args[i];
    return call_function(script, self->value->of->text, method, self, named, MIN(n_args, SCRIPT_MOST_ARGS), 0, error);
}
